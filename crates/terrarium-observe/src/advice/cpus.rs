//! How many CPUs, threads and GPUs to ask for, from what was really used.

use serde::Serialize;
use terrarium_core::Finding;
use terrarium_core::report::RunReport;
use terrarium_core::sample::{Metric, Sample};

/// Runs below this say more of the start of the interpreter than of the job.
const SHORTEST_SECONDS: f64 = 1.0;
/// Of the CPUs: above this all of them count as busy.
const ALL_BUSY: f64 = 0.9;
/// The GPU of the paper's Figure 6 was used for 63 % with one CPU and for 90 % with enough of them.
const GPU_HUNGRY: f64 = 80.0;
const GPU_IDLE: f64 = 15.0;

/// What to ask for, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CpuAdvice {
    /// CPUs to ask for.
    pub request: u64,
    /// Threads for each process (`--threads`), if the default is not right.
    pub threads: Option<u64>,
    /// CPUs that the job had in the last of the runs.
    pub had: u64,
    /// Highest average of busy CPUs over the runs.
    pub busy_average: f64,
    /// Busy CPUs in the busiest tenth of the time, where there is a series.
    pub busy_often: Option<f64>,
    /// Runs that it was learnt from.
    pub runs: usize,
    /// All CPUs were busy: with more the job may be faster.
    pub all_busy: bool,
}

/// Busy CPUs that are exceeded in a tenth of the time only. `None` with fewer than ten looks, or without CPU times.
pub fn busy_often(samples: &[Sample]) -> Option<f64> {
    let mut busy: Vec<f64> = samples
        .windows(2)
        .filter_map(|pair| {
            let wall = pair[1].time_ms.checked_sub(pair[0].time_ms).filter(|ms| *ms > 0)?;
            Some(pair[1].get(Metric::Cpu)? as f64 / wall as f64)
        })
        .collect();
    if busy.len() < 10 {
        return None;
    }
    busy.sort_by(f64::total_cmp);
    busy.get(busy.len() * 9 / 10).copied()
}

/// From runs and their series, oldest first; `None` if none of them says anything.
pub fn cpus(runs: &[(&RunReport, Option<&[Sample]>)]) -> Option<CpuAdvice> {
    let known: Vec<(u64, f64, Option<f64>)> = runs
        .iter()
        .filter(|(report, _)| report.wall_seconds >= SHORTEST_SECONDS)
        .filter_map(|(report, samples)| {
            let average = report.usage.cpu_seconds?.value / report.wall_seconds;
            Some((report.cpus.filter(|n| *n > 0)?, average, samples.and_then(busy_often)))
        })
        .collect();
    let had = known.last()?.0;
    let busy_average = known.iter().map(|k| k.1).fold(0.0, f64::max);
    let busy_often = known.iter().filter_map(|k| k.2).reduce(f64::max);
    // Measured with a clock of its own: a tenth of a CPU too many is no other CPU.
    let wanted = (busy_average.max(busy_often.unwrap_or(0.0)) - 0.1).ceil().max(1.0) as u64;
    let most = known.iter().map(|k| k.0).max()?;
    let threads = runs
        .iter()
        .rev()
        .find_map(|(report, _)| report.findings.iter().find(|f| f.code == "oversubscribed"))
        .and_then(threads_of)
        .filter(|n| *n <= most);
    Some(CpuAdvice {
        request: wanted.min(most),
        threads,
        had,
        busy_average,
        busy_often,
        runs: known.len(),
        all_busy: known.iter().any(|(cpus, average, _)| *average >= ALL_BUSY * *cpus as f64),
    })
}

/// What `oversubscription` proposed.
fn threads_of(finding: &Finding) -> Option<u64> {
    let (_, rest) = finding.hint.as_deref()?.split_once("--threads ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// GPUs to ask for: those that were used.
pub fn gpus(runs: &[&RunReport]) -> Option<u32> {
    let known: Vec<_> = runs.iter().filter_map(|r| r.usage.gpu).filter(|g| g.devices > 0).collect();
    known.iter().map(|g| g.used).max()
}

/// What else there is to say of CPUs and GPUs; a starved GPU raises the request.
pub fn findings(advice: &mut CpuAdvice, runs: &[&RunReport]) -> Vec<Finding> {
    let mut out = Vec::new();
    if advice.request < advice.had {
        let often = advice.busy_often.map_or_else(String::new, |n| format!(", {n:.1} in the busiest tenth"));
        out.push(
            Finding::new(
                "cpus-idle",
                format!(
                    "{} of {} CPUs were idle: {:.1} were busy on average{often}",
                    advice.had - advice.request,
                    advice.had,
                    advice.busy_average
                ),
            )
            .hint("ask for fewer, or have the program use them (processes, or threads of its libraries)"),
        );
    }
    if let Some(threads) = advice.threads {
        out.push(
            Finding::new("oversubscribed", "more threads wanted to run than there were CPUs")
                .hint(format!("run it with --threads {threads}, or OMP_NUM_THREADS={threads}")),
        );
    }
    let gpus = runs.iter().rev().find_map(|r| Some((r.usage.gpu.filter(|g| g.used > 0)?, *r)));
    if let Some((gpu, report)) = gpus
        && let Some(percent) = gpu.use_percent
    {
        let busy = report.usage.cpu_seconds.map(|c| c.value / report.wall_seconds.max(f64::MIN_POSITIVE));
        let cpus = report.cpus.unwrap_or(0) as f64;
        match busy {
            Some(busy) if percent < GPU_HUNGRY && cpus > 0.0 && busy >= ALL_BUSY * cpus => {
                advice.request = advice.request.max(report.cpus.unwrap_or(1) * 2);
                out.push(
                    Finding::new(
                        "gpu-starved",
                        format!(
                            "the GPU was used for {percent:.0} % of the time while all {cpus:.0} CPUs were busy: \
                             it waits for data"
                        ),
                    )
                    .hint(format!(
                        "ask for {} CPUs, or have more workers prepare data, and compare the times",
                        advice.request
                    )),
                );
            }
            _ if percent < GPU_IDLE => out.push(
                Finding::new("gpu-idle", format!("the GPU was used for {percent:.0} % of the time"))
                    .hint("does the job need one? If so, look at what it waits for: reading, copies, or one slow CPU"),
            ),
            _ => {}
        }
        if gpu.used < gpu.devices {
            out.push(Finding::new(
                "gpus-unused",
                format!("{} of {} GPUs had no process of the job", gpu.devices - gpu.used, gpu.devices),
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::evidence::tests::report;
    use super::*;
    use proptest::prelude::*;
    use terrarium_core::report::{GpuUsage, Measured};

    fn run(cpus: u64, busy: f64) -> RunReport {
        let mut report = report(1);
        report.cpus = Some(cpus);
        report.usage.cpu_seconds = Some(Measured::cgroup(busy * report.wall_seconds));
        report
    }

    fn samples(busy: &[i64]) -> Vec<Sample> {
        let look = |(i, tenths): (usize, &i64)| {
            let mut sample = Sample::at(i as i64 * 1000);
            sample.set(Metric::Cpu, Some(tenths * 100));
            sample
        };
        busy.iter().enumerate().map(look).collect()
    }

    #[test]
    fn idle_cpus_are_given_back() {
        let run = run(8, 1.05);
        let mut advice = cpus(&[(&run, None)]).unwrap();
        assert_eq!((advice.request, advice.all_busy), (1, false));
        assert_eq!(findings(&mut advice, &[&run])[0].code, "cpus-idle");
    }

    #[test]
    fn a_short_parallel_phase_keeps_its_cpus() {
        let run = run(8, 2.0);
        let phases: Vec<i64> = (0..40).map(|i| if i < 10 { 80 } else { 5 }).collect();
        assert_eq!(cpus(&[(&run, Some(&samples(&phases)))]).unwrap().request, 8);
        assert_eq!(cpus(&[(&run, None)]).unwrap().request, 2);
        assert_eq!(busy_often(&samples(&[80; 5])), None, "too few looks");
    }

    #[test]
    fn busy_cpus_are_never_more_than_there_were() {
        let run = run(2, 2.05);
        let advice = cpus(&[(&run, None)]).unwrap();
        assert_eq!((advice.request, advice.all_busy), (2, true));
    }

    #[test]
    fn a_starved_gpu_wants_cpus() {
        let mut starved = run(1, 1.0);
        let gpu = GpuUsage { devices: 2, used: 1, use_percent: Some(63.0), memory_peak: None };
        starved.usage.gpu = Some(gpu);
        let mut advice = cpus(&[(&starved, None)]).unwrap();
        let found = findings(&mut advice, &[&starved]);
        assert_eq!(advice.request, 2);
        let codes: Vec<&str> = found.iter().map(|f| f.code.as_str()).collect();
        assert_eq!(codes, ["gpu-starved", "gpus-unused"]);
        assert_eq!(gpus(&[&starved]), Some(1));
        let mut fed = run(4, 1.0);
        fed.usage.gpu = Some(GpuUsage { use_percent: Some(90.0), devices: 1, ..gpu });
        let mut advice = cpus(&[(&fed, None)]).unwrap();
        assert!(findings(&mut advice, &[&fed]).iter().all(|f| f.code == "cpus-idle"));
    }

    #[test]
    fn crowds_of_threads_are_told() {
        let mut crowded = run(2, 2.0);
        crowded.findings.push(Finding::new("oversubscribed", "x").hint("try --threads 1: a process pool"));
        let mut advice = cpus(&[(&crowded, None)]).unwrap();
        assert_eq!(advice.threads, Some(1));
        assert!(
            findings(&mut advice, &[&crowded]).iter().any(|f| f
                .hint
                .as_deref()
                .unwrap()
                .contains("--threads 1"))
        );
    }

    #[test]
    fn no_data_is_no_advice() {
        let mut nothing = run(4, 1.0);
        nothing.usage.cpu_seconds = None;
        assert_eq!(cpus(&[(&nothing, None)]), None);
        let mut short = run(4, 1.0);
        short.wall_seconds = 0.2;
        assert_eq!(cpus(&[(&short, None)]), None);
        assert_eq!(gpus(&[&short]), None);
    }

    proptest! {
        #[test]
        fn a_request_is_sensible(cpu in 1u64..256, busy in 0.0..300.0f64) {
            let run = run(cpu, busy);
            let advice = cpus(&[(&run, None)]).unwrap();
            prop_assert!(advice.request >= 1 && advice.request <= cpu);
        }
    }
}
