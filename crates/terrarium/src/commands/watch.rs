//! What looks on while a job runs: takes samples, asks the GPUs' driver, and tells what happens.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use terrarium_core::report::GpuUsage;
use terrarium_core::sample::Sample;
use terrarium_core::{GpuRequest, JobId};
use terrarium_jail::cgroup::Groups;
use terrarium_jail::host::Host;
use terrarium_jail::{Look, Notice, Observer, Started};
use terrarium_observe::sampler::{Cgroups, Now, Processes, Sampler};
use terrarium_sys::fds::room_for_files;
use terrarium_sys::process::forget_program;

use crate::cli::RunArgs;
use crate::recorder::Recorder;
use crate::{nvml, summary};

/// Files that the sampler may keep open, and some for the rest.
const OPEN_FILES: u64 = 8192;

/// From here on most of the program is not needed.
const SETTLED: Duration = Duration::from_secs(1);

pub(super) struct Watch {
    pub(super) sampler: Sampler,
    pub(super) cpus: usize,
    quiet: bool,
    started: Instant,
    is_settled: bool,
    /// Gets every sample.
    pub(super) recorder: Option<Recorder>,
    /// Not asked yet, or asked.
    pub(super) gpus: Option<GpusSeen>,
}

impl Watch {
    /// To be made after the job was started, for it raises a limit that the job is not to inherit.
    pub(super) fn new(cpus: usize, quiet: bool) -> Self {
        let sampler = Sampler::new(cpus, room_for_files(OPEN_FILES));
        Watch { sampler, cpus, quiet, started: Instant::now(), is_settled: false, recorder: None, gpus: None }
    }

    fn now(&self) -> Now {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { time_ms: i64::try_from(time.as_millis()).unwrap_or(i64::MAX), elapsed: self.started.elapsed() }
    }

    fn tell(&mut self, sample: Option<Sample>) {
        if let (Some(sample), Some(recorder)) = (sample, &mut self.recorder) {
            recorder.push(sample);
        }
    }
}

/// The GPUs of a job that may have some.
pub(super) struct GpusSeen {
    host: Host,
    job: JobId,
    interval: Duration,
    asked: Option<u32>,
    /// Started when the job has run for a while: the driver's library takes its time.
    watch: Option<Option<nvml::GpuWatch>>,
}

/// Jobs that are shorter than this are not worth asking the driver.
const GPUS_FROM: Duration = Duration::from_secs(1);

impl GpusSeen {
    pub(super) fn of(args: &RunArgs, started: &Started) -> Option<Self> {
        let (Started::Job(running) | Started::Holder(running)) = started;
        let has_driver = Path::new("/dev/nvidiactl").exists() && args.gpus != Some(GpuRequest::None);
        if running.is_rank() || !(has_driver || wants_gpu_check(args)) {
            return None;
        }
        let asked = match &args.gpus {
            Some(GpuRequest::Indices(gpus)) => Some(gpus.len() as u32),
            _ => {
                let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok().filter(|_| wants_gpu_check(args));
                visible.map(|list| list.split(',').count() as u32)
            }
        };
        Some(GpusSeen {
            host: Host::default(),
            job: *running.job(),
            interval: args.interval,
            asked,
            watch: None,
        })
    }

    /// `None`: not asked, or never answered.
    pub(super) fn usage(&self) -> Option<GpuUsage> {
        self.watch.as_ref()?.as_ref()?.usage()
    }

    fn look(&mut self, elapsed: Duration, sample: &mut Sample) {
        if elapsed < GPUS_FROM {
            return;
        }
        let start = || nvml::GpuWatch::start(self.interval, self.asked);
        if let Some(watch) = self.watch.get_or_insert_with(start) {
            watch.look(&self.host, &self.job, sample);
        }
    }
}

fn cgroups(groups: &Groups) -> Cgroups<'_> {
    let directories = groups.directories();
    Cgroups { v2: directories.v2, memory: directories.memory, cpuacct: directories.cpuacct }
}

impl Observer for Watch {
    fn look(&mut self, look: &Look<'_>) {
        let is_settled = self.started.elapsed() > SETTLED;
        if is_settled && !std::mem::replace(&mut self.is_settled, true) {
            forget_program();
        }
        let processes =
            look.processes.map(|p| Processes { proc: p.proc, pids: p.pids, init: p.init, main: p.main });
        let now = self.now();
        let mut sample = self.sampler.look(processes.as_ref(), &cgroups(look.groups), now);
        if let (Some(gpus), Some(sample)) = (&mut self.gpus, &mut sample) {
            gpus.look(now.elapsed, sample);
        }
        self.tell(sample);
    }

    fn last_look(&mut self, groups: &Groups) {
        let now = self.now();
        let sample = self.sampler.last_look(&cgroups(groups), now);
        self.tell(sample);
    }

    fn notice(&mut self, notice: &Notice) {
        if !self.quiet {
            summary::print_notice(notice);
        }
    }
}

/// Whether the job may have used an NVIDIA GPU.
pub(super) fn wants_gpu_check(args: &RunArgs) -> bool {
    match &args.gpus {
        Some(GpuRequest::None) => false,
        Some(GpuRequest::Indices(_)) => true,
        None => std::env::var("CUDA_VISIBLE_DEVICES")
            .is_ok_and(|v| !v.is_empty() && v != "-1" && v != "NoDevFiles"),
    }
}
