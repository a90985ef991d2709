//! One look at a running job: the metrics, their units and what each means.

use serde::{Deserialize, Serialize};

/// What can be looked at; [`Metric::meaning`] says more. The order is that of the columns of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// CPU time.
    Cpu,
    /// Highest memory of the cgroup.
    MemoryPeak,
    /// Its working set.
    MemoryWorkingSet,
    /// Anonymous and shared memory.
    MemoryAnonymousShared,
    /// Processes.
    Processes,
    /// Threads.
    Threads,
    /// Threads that run or want to.
    ThreadsRunning,
    /// The CPU that the main process ran on last.
    MainCpu,
    /// Bytes read.
    Read,
    /// Bytes written.
    Written,
    /// Voluntary context switches.
    SwitchesVoluntary,
    /// Involuntary ones.
    SwitchesInvoluntary,
    /// Minor page faults.
    FaultsMinor,
    /// Major ones.
    FaultsMajor,
    /// CPU pressure.
    CpuPressure,
    /// Memory pressure.
    MemoryPressure,
    /// I/O pressure.
    IoPressure,
    /// Use of GPUs.
    GpuUse,
    /// Memory on GPUs.
    GpuMemory,
}

/// How the values of a metric are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was so at the moment of the look.
    Gauge,
    /// What was added since the look before (for the first one, since the start): the sum of a column is the total.
    Delta,
}

/// Unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Percent; of several GPUs, the sum.
    Percent,
    /// A number that names something.
    Index,
}

impl Metric {
    /// All, in the order of the columns.
    pub const ALL: [Metric; 19] = [
        Metric::Cpu,
        Metric::MemoryPeak,
        Metric::MemoryWorkingSet,
        Metric::MemoryAnonymousShared,
        Metric::Processes,
        Metric::Threads,
        Metric::ThreadsRunning,
        Metric::MainCpu,
        Metric::Read,
        Metric::Written,
        Metric::SwitchesVoluntary,
        Metric::SwitchesInvoluntary,
        Metric::FaultsMinor,
        Metric::FaultsMajor,
        Metric::CpuPressure,
        Metric::MemoryPressure,
        Metric::IoPressure,
        Metric::GpuUse,
        Metric::GpuMemory,
    ];

    /// Name of its column: with the unit.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Cpu => "cpu_ms",
            Metric::MemoryPeak => "memory_peak_bytes",
            Metric::MemoryWorkingSet => "memory_working_set_bytes",
            Metric::MemoryAnonymousShared => "memory_anonymous_shared_bytes",
            Metric::Processes => "processes",
            Metric::Threads => "threads",
            Metric::ThreadsRunning => "threads_running",
            Metric::MainCpu => "main_cpu",
            Metric::Read => "read_bytes",
            Metric::Written => "written_bytes",
            Metric::SwitchesVoluntary => "switches_voluntary",
            Metric::SwitchesInvoluntary => "switches_involuntary",
            Metric::FaultsMinor => "faults_minor",
            Metric::FaultsMajor => "faults_major",
            Metric::CpuPressure => "cpu_pressure_ms",
            Metric::MemoryPressure => "memory_pressure_ms",
            Metric::IoPressure => "io_pressure_ms",
            Metric::GpuUse => "gpu_use_percent",
            Metric::GpuMemory => "gpu_memory_bytes",
        }
    }

    /// Its unit.
    pub fn unit(self) -> Unit {
        match self {
            Metric::Cpu | Metric::CpuPressure | Metric::MemoryPressure | Metric::IoPressure => {
                Unit::Milliseconds
            }
            Metric::MemoryPeak
            | Metric::MemoryWorkingSet
            | Metric::MemoryAnonymousShared
            | Metric::Read
            | Metric::Written
            | Metric::GpuMemory => Unit::Bytes,
            Metric::GpuUse => Unit::Percent,
            Metric::MainCpu => Unit::Index,
            _ => Unit::Count,
        }
    }

    /// How its values are to be read.
    pub fn kind(self) -> Kind {
        match self {
            Metric::Cpu
            | Metric::Read
            | Metric::Written
            | Metric::SwitchesVoluntary
            | Metric::SwitchesInvoluntary
            | Metric::FaultsMinor
            | Metric::FaultsMajor
            | Metric::CpuPressure
            | Metric::MemoryPressure
            | Metric::IoPressure => Kind::Delta,
            _ => Kind::Gauge,
        }
    }

    /// What it is, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Metric::Cpu => "CPU time of all processes, those that have ended included",
            Metric::MemoryPeak => "highest memory of the job's cgroup up to now, page cache included",
            Metric::MemoryWorkingSet => {
                "memory of the job's cgroup without file pages that were not used lately"
            }
            Metric::MemoryAnonymousShared => {
                "anonymous and shared memory: of the cgroup, each page once; without one, added up over processes (as a rule an upper bound)"
            }
            Metric::Processes => "processes",
            Metric::Threads => "threads of all processes",
            Metric::ThreadsRunning => "threads that run or want to run; looked at only now and then",
            Metric::MainCpu => "the CPU that the main process ran on last",
            Metric::Read => "bytes that processes read, by read(2) and its kin",
            Metric::Written => "bytes that processes wrote, by write(2) and its kin",
            Metric::SwitchesVoluntary => {
                "times a process waited for something (of each process, its first thread)"
            }
            Metric::SwitchesInvoluntary => {
                "times a process had to make room for another (of each process, its first thread)"
            }
            Metric::FaultsMinor => "page faults that needed no I/O",
            Metric::FaultsMajor => "page faults that waited for I/O",
            Metric::CpuPressure => "time in which some thread waited for a CPU (PSI)",
            Metric::MemoryPressure => "time in which some thread waited for memory (PSI)",
            Metric::IoPressure => "time in which some thread waited for I/O (PSI)",
            Metric::GpuUse => {
                "use of the GPUs of the job, added up: 100 is one that always had something to do"
            }
            Metric::GpuMemory => "memory of the job's processes on GPUs",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// One look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When, milliseconds since 1970 UTC.
    pub time_ms: i64,
    values: [Option<i64>; Metric::ALL.len()],
}

impl Sample {
    /// A look at which nothing is known yet.
    pub fn at(time_ms: i64) -> Self {
        Sample { time_ms, ..Sample::default() }
    }

    /// A value; `None` is "no data", never 0.
    pub fn get(&self, metric: Metric) -> Option<i64> {
        self.values[metric.index()]
    }

    /// Sets a value.
    pub fn set(&mut self, metric: Metric, value: Option<i64>) {
        self.values[metric.index()] = value;
    }
}

/// What is known of a run when its series begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesStart {
    /// [`SERIES_SCHEMA`].
    pub schema: String,
    /// Name of the run on its node.
    pub job: crate::JobId,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Working directory.
    pub directory: String,
    /// Node name.
    pub host: String,
    /// Start, seconds since 1970 UTC.
    pub started: f64,
    /// Time from look to look, milliseconds.
    pub interval_ms: u64,
    /// CPUs that the job may use.
    pub cpus: u64,
    /// Memory of the node, bytes.
    pub node_memory: crate::Bytes,
    /// The job's memory limit, if it is enforced for the job as a whole.
    pub memory_limit: Option<crate::Bytes>,
    /// Whether a cgroup counts memory: if not, `memory_anonymous_shared_bytes` is, as a rule, an upper bound.
    pub memory_by_cgroup: bool,
}

/// Name and version of the series' schema.
pub const SERIES_SCHEMA: &str = "terrarium.series/1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_stand_where_they_belong() {
        for (i, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric.index(), i);
            let mut sample = Sample::at(1);
            sample.set(metric, Some(7));
            assert_eq!(Metric::ALL.iter().filter(|m| sample.get(**m).is_some()).count(), 1);
            let unit = match metric.unit() {
                Unit::Bytes => "_bytes",
                Unit::Milliseconds => "_ms",
                Unit::Percent => "_percent",
                Unit::Count | Unit::Index => "",
            };
            assert!(metric.name().ends_with(unit));
        }
    }
}
