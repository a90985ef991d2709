//! A request as lines of a batch script, for Slurm, PBS and LSF.

use serde::Serialize;
use terrarium_core::Bytes;

/// A batch system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Slurm.
    Slurm,
    /// OpenPBS and PBS Professional.
    Pbs,
    /// IBM Spectrum LSF.
    Lsf,
}

impl System {
    /// All of them.
    pub const ALL: [System; 3] = [System::Slurm, System::Pbs, System::Lsf];
}

/// What to ask for, on one node. What is not known is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Memory of the job as a whole.
    pub memory: Option<Bytes>,
    /// CPUs.
    pub cpus: Option<u64>,
    /// Time, seconds.
    pub seconds: Option<u64>,
    /// GPUs.
    pub gpus: Option<u32>,
    /// Ranks of a parallel job; `None` for one that is not.
    pub ranks: Option<u64>,
}

impl Request {
    /// CPUs of all ranks together: at least one for each.
    fn all_cpus(&self) -> Option<u64> {
        self.cpus.max(self.ranks)
    }
}

/// The lines, ready to copy.
pub fn lines(system: System, request: &Request) -> Vec<String> {
    match system {
        System::Slurm => slurm(request),
        System::Pbs => pbs(request),
        System::Lsf => lsf(request),
    }
}

/// What to know about the lines of a batch system.
pub fn note(system: System) -> Option<&'static str> {
    match system {
        System::Slurm | System::Pbs => None,
        System::Lsf => Some(
            "LSF: the units are written out, because a bare number of -M is KB, or whatever LSF_UNIT_FOR_LIMITS says at your \
             site. Where memory is reserved for each task (RESOURCE_RESERVE_PER_TASK), divide rusage by -n.",
        ),
    }
}

fn mib(size: Bytes) -> u64 {
    size.0.div_ceil(Bytes::MIB).max(1)
}

fn hours(seconds: u64) -> (u64, u64, u64) {
    (seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn slurm(request: &Request) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(memory) = request.memory {
        let mib = mib(memory);
        let size = if mib.is_multiple_of(1024) { format!("{}G", mib / 1024) } else { format!("{mib}M") };
        out.push(format!("#SBATCH --mem={size}"));
    }
    let ranks = request.ranks.unwrap_or(1).max(1);
    if ranks > 1 {
        out.push("#SBATCH --nodes=1".to_owned());
        out.push(format!("#SBATCH --ntasks={ranks}"));
    }
    if let Some(cpus) = request.all_cpus() {
        let cpus = cpus.div_ceil(ranks);
        out.push(format!("#SBATCH --cpus-per-task={cpus}"));
    }
    if let Some(gpus) = request.gpus.filter(|n| *n > 0) {
        out.push(format!("#SBATCH --gres=gpu:{gpus}"));
    }
    if let Some(seconds) = request.seconds {
        let (h, m, s) = hours(seconds);
        let days = if h >= 24 { format!("{}-", h / 24) } else { String::new() };
        out.push(format!("#SBATCH --time={days}{:02}:{m:02}:{s:02}", h % 24));
    }
    out
}

fn pbs(request: &Request) -> Vec<String> {
    let mut out = Vec::new();
    let mut chunk = String::from("select=1");
    if let Some(cpus) = request.all_cpus() {
        chunk.push_str(&format!(":ncpus={cpus}"));
    }
    if let Some(ranks) = request.ranks {
        chunk.push_str(&format!(":mpiprocs={ranks}"));
    }
    if let Some(memory) = request.memory {
        chunk.push_str(&format!(":mem={}mb", mib(memory)));
    }
    if let Some(gpus) = request.gpus.filter(|n| *n > 0) {
        chunk.push_str(&format!(":ngpus={gpus}"));
    }
    if chunk.contains(':') {
        out.push(format!("#PBS -l {chunk}"));
    }
    if let Some(seconds) = request.seconds {
        let (h, m, s) = hours(seconds);
        out.push(format!("#PBS -l walltime={h:02}:{m:02}:{s:02}"));
    }
    out
}

fn lsf(request: &Request) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(memory) = request.memory {
        let mib = mib(memory);
        out.push(format!("#BSUB -M {mib}MB"));
        out.push(format!("#BSUB -R \"rusage[mem={mib}MB]\""));
    }
    if let Some(cpus) = request.all_cpus() {
        out.push(format!("#BSUB -n {cpus}"));
        out.push("#BSUB -R \"span[hosts=1]\"".to_owned());
    }
    if let Some(gpus) = request.gpus.filter(|n| *n > 0) {
        out.push(format!("#BSUB -gpu \"num={gpus}\""));
    }
    if let Some(seconds) = request.seconds {
        // Hours and minutes: LSF knows no seconds here.
        let minutes = seconds.div_ceil(60);
        out.push(format!("#BSUB -W {}:{:02}", minutes / 60, minutes % 60));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Request {
        Request {
            memory: Some(Bytes::mib(3200)),
            cpus: Some(4),
            seconds: Some(26 * 3600 + 1800),
            gpus: Some(1),
            ranks: None,
        }
    }

    #[test]
    fn lines_of_each_system() {
        assert_eq!(
            lines(System::Slurm, &all()),
            [
                "#SBATCH --mem=3200M",
                "#SBATCH --cpus-per-task=4",
                "#SBATCH --gres=gpu:1",
                "#SBATCH --time=1-02:30:00"
            ]
        );
        assert_eq!(
            lines(System::Pbs, &all()),
            ["#PBS -l select=1:ncpus=4:mem=3200mb:ngpus=1", "#PBS -l walltime=26:30:00"]
        );
        assert_eq!(
            lines(System::Lsf, &all()),
            [
                "#BSUB -M 3200MB",
                "#BSUB -R \"rusage[mem=3200MB]\"",
                "#BSUB -n 4",
                "#BSUB -R \"span[hosts=1]\"",
                "#BSUB -gpu \"num=1\"",
                "#BSUB -W 26:30"
            ]
        );
    }

    #[test]
    fn ranks_are_tasks() {
        let request = Request { ranks: Some(4), cpus: Some(6), ..Request::default() };
        assert_eq!(
            lines(System::Slurm, &request),
            ["#SBATCH --nodes=1", "#SBATCH --ntasks=4", "#SBATCH --cpus-per-task=2"]
        );
        assert_eq!(lines(System::Pbs, &request), ["#PBS -l select=1:ncpus=6:mpiprocs=4"]);
        assert_eq!(lines(System::Lsf, &request)[0], "#BSUB -n 6");
        let idle = Request { cpus: Some(1), ..request };
        assert_eq!(lines(System::Lsf, &idle)[0], "#BSUB -n 4");
    }

    #[test]
    fn what_is_not_known_is_not_asked_for() {
        for system in System::ALL {
            assert!(lines(system, &Request::default()).is_empty());
            let none = Request { gpus: Some(0), memory: Some(Bytes::mib(2048)), ..Request::default() };
            let text = lines(system, &none).join("\n");
            assert!(!text.contains("gpu") && !text.contains("time") && !text.contains("-W"), "{text}");
        }
        let short = Request { seconds: Some(300), memory: Some(Bytes::mib(2048)), ..Request::default() };
        assert_eq!(lines(System::Slurm, &short), ["#SBATCH --mem=2G", "#SBATCH --time=00:05:00"]);
        assert_eq!(lines(System::Pbs, &short)[0], "#PBS -l select=1:mem=2048mb");
    }
}
