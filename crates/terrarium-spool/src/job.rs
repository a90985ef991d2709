//! Which batch job and which rank a process belongs to, by the variables that it had.

use super::Text;

/// What keeps the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names")]
pub enum BatchSystem {
    Slurm,
    Pbs,
    Lsf,
    Flux,
}

impl BatchSystem {
    /// As documents name it.
    pub fn name(self) -> &'static str {
        match self {
            BatchSystem::Slurm => "slurm",
            BatchSystem::Pbs => "pbs",
            BatchSystem::Lsf => "lsf",
            BatchSystem::Flux => "flux",
        }
    }
}

/// A job of a batch system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What keeps it.
    pub system: BatchSystem,
    /// As the batch system calls it.
    pub id: Text,
    /// Of a job array: the array.
    pub array: Option<Text>,
    /// Of a job array: which of it.
    pub array_task: Option<Text>,
    /// Of Slurm: which step; `batch`, `extern` and `interactive` are steps as well.
    pub step: Option<Text>,
    /// Of Slurm: which cluster.
    pub cluster: Option<Text>,
}

/// Which rank of a parallel job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// From 0.
    pub rank: u32,
    /// How many there are, if the launcher says so.
    pub size: Option<u32>,
}

/// Slurm's steps that are no ranks begin here.
const FIRST_SPECIAL_STEP: u64 = 0xFFFF_FF00;

/// Launchers by what they set: rank, then size.
const LAUNCHERS: [(&str, &[&str]); 6] = [
    ("OMPI_COMM_WORLD_RANK", &["OMPI_COMM_WORLD_SIZE"]),
    ("MV2_COMM_WORLD_RANK", &["MV2_COMM_WORLD_SIZE"]),
    ("PALS_RANKID", &["PMI_SIZE"]),
    ("PMI_RANK", &["PMI_SIZE", "SLURM_STEP_NUM_TASKS"]),
    ("PMIX_RANK", &["SLURM_STEP_NUM_TASKS"]),
    ("FLUX_TASK_RANK", &["FLUX_JOB_SIZE"]),
];

type Variables<'a> = &'a dyn Fn(&str) -> Option<&'a Text>;

/// The job, if these are the variables of one.
pub(super) fn job(variable: Variables<'_>) -> Option<Job> {
    let text = |name: &str| variable(name).cloned();
    let job = |system, id| Job { system, id, array: None, array_task: None, step: None, cluster: None };
    if let Some(id) = text("SLURM_JOB_ID") {
        return Some(Job {
            array: text("SLURM_ARRAY_JOB_ID"),
            array_task: text("SLURM_ARRAY_TASK_ID"),
            step: text("SLURM_STEP_ID").map(step),
            cluster: text("SLURM_CLUSTER_NAME"),
            ..job(BatchSystem::Slurm, id)
        });
    }
    if let Some(id) = text("PBS_JOBID") {
        let array_task = text("PBS_ARRAY_INDEX");
        let array = array_task.as_ref().and_then(|_| pbs_array(&id));
        return Some(Job { array, array_task, ..job(BatchSystem::Pbs, id) });
    }
    if let Some(id) = text("LSB_JOBID") {
        // 0 is no array.
        let array_task = text("LSB_JOBINDEX").filter(|index| *index != "0");
        let array = array_task.as_ref().map(|_| id.clone());
        return Some(Job { array, array_task, ..job(BatchSystem::Lsf, id) });
    }
    text("FLUX_JOB_ID").map(|id| job(BatchSystem::Flux, id))
}

/// `12[3].server` is one of `12[].server`.
fn pbs_array(id: &Text) -> Option<Text> {
    let id = std::str::from_utf8(id.as_bytes()).ok()?;
    let (number, rest) = id.split_once('[')?;
    let (_, server) = rest.split_once(']')?;
    Some(format!("{number}[]{server}").as_str().into())
}

fn step(id: Text) -> Text {
    match id.to_number::<u64>() {
        Some(0xFFFF_FFFB) => "batch".into(),
        Some(0xFFFF_FFFC) => "extern".into(),
        Some(0xFFFF_FFFA) => "interactive".into(),
        _ => id,
    }
}

/// The rank, if a launcher gave one.
pub(super) fn rank(variable: Variables<'_>) -> Option<Rank> {
    let number = |name: &str| variable(name)?.to_number();
    for (rank, sizes) in LAUNCHERS {
        if let Some(rank) = number(rank) {
            return Some(Rank { rank, size: sizes.iter().find_map(|size| number(size)) });
        }
    }
    // The batch script has these too, and is no rank.
    let step: u64 = variable("SLURM_STEP_ID")?.to_number()?;
    let rank = number("SLURM_PROCID").filter(|_| step < FIRST_SPECIAL_STEP)?;
    Some(Rank { rank, size: number("SLURM_STEP_NUM_TASKS").or_else(|| number("SLURM_NTASKS")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(variables: &[(&str, &str)], ask: impl Fn(Variables<'_>) -> T) -> T {
        let texts: Vec<(&str, Text)> =
            variables.iter().map(|(name, value)| (*name, (*value).into())).collect();
        ask(&|name| texts.iter().find(|(other, _)| *other == name).map(|(_, text)| text))
    }

    #[test]
    fn jobs_of_each_system() {
        assert_eq!(with(&[("SLURM_NTASKS", "4")], job), None);
        let slurm = [
            ("SLURM_JOB_ID", "17"),
            ("SLURM_ARRAY_JOB_ID", "12"),
            ("SLURM_ARRAY_TASK_ID", "5"),
            ("SLURM_STEP_ID", "4294967291"),
            ("SLURM_CLUSTER_NAME", "alpha"),
            // Flux inside of the job.
            ("FLUX_JOB_ID", "f1"),
        ];
        let found = with(&slurm, job).unwrap();
        assert_eq!((found.system, found.id), (BatchSystem::Slurm, "17".into()));
        assert_eq!((found.array.unwrap(), found.array_task.unwrap()), ("12".into(), "5".into()));
        assert_eq!((found.step.unwrap(), found.cluster.unwrap()), ("batch".into(), "alpha".into()));
        let pbs = with(&[("PBS_JOBID", "12[3].server"), ("PBS_ARRAY_INDEX", "3")], job).unwrap();
        assert_eq!((pbs.array.unwrap(), pbs.array_task.unwrap()), ("12[].server".into(), "3".into()));
        let lsf = with(&[("LSB_JOBID", "9"), ("LSB_JOBINDEX", "0")], job).unwrap();
        assert_eq!((lsf.system, lsf.array, lsf.array_task), (BatchSystem::Lsf, None, None));
        assert_eq!(with(&[("FLUX_JOB_ID", "f1")], job).unwrap().system, BatchSystem::Flux);
    }

    #[test]
    fn ranks_of_each_launcher() {
        let both = [("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "8"), ("SLURM_PROCID", "0")];
        assert_eq!(with(&both, rank), Some(Rank { rank: 3, size: Some(8) }));
        let step = |id| [("SLURM_PROCID", "1"), ("SLURM_STEP_ID", id), ("SLURM_NTASKS", "2")];
        assert_eq!(with(&step("0"), rank), Some(Rank { rank: 1, size: Some(2) }));
        assert_eq!(with(&step("4294967291"), rank), None);
        assert_eq!(with(&[("PMI_RANK", "x")], rank), None);
        assert_eq!(with(&[], rank), None);
    }
}
