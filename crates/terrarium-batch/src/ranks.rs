//! Whether a process was started once for each rank of a parallel job, and by which name the ranks of one job on one node
//! know each other.
//!
//! Launchers say so in the environment. It is inherited by all that a rank starts, so a program that a rank starts counts as
//! that rank too.

/// A process further up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Its PID.
    pub pid: u32,
    /// When it started, in clock ticks after boot: with the PID a name that is used once.
    pub start_ticks: u64,
    /// Its name (comm).
    pub name: String,
}

/// One rank of a parallel job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// What started it.
    pub launcher: &'static str,
    /// The same for all ranks of the job on this node, and for no others of the user.
    pub job: String,
    /// How many ranks of the job this node has, if the launcher says so.
    pub on_node: Option<u32>,
    /// The process that started the ranks here, if it is an ancestor that is known by name; else the parent.
    pub starter: Option<u32>,
    /// The name is the launcher's own, or that of a process known as one: not just that of the parent.
    pub is_certain: bool,
}

/// Processes that start the ranks on a node.
const STARTERS: [&str; 12] = [
    "orted",
    "prted",
    "mpirun",
    "mpiexec",
    "orterun",
    "prterun",
    "mpiexec.hydra",
    "mpiexec.mpich",
    "hydra_pmi_proxy",
    "hydra_bstrap_pr",
    "slurmstepd",
    "palsd",
];

/// Variables of which a rank has at least one.
const SIGNS: [&str; 6] =
    ["OMPI_COMM_WORLD_RANK", "PALS_RANKID", "PMIX_RANK", "PMI_RANK", "FLUX_TASK_RANK", "SLURM_STEP_ID"];

/// A quick look: whether [`rank`] is worth the reading of ancestors.
pub fn may_be_rank(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    SIGNS.iter().any(|sign| variable(sign).is_some())
}

/// Which rank this process is, from its environment and its ancestors, the parent first. `None`: none, or the only one on this
/// node.
pub fn rank(variable: &dyn Fn(&str) -> Option<String>, ancestors: &[Ancestor]) -> Option<Rank> {
    let number = |name: &str| variable(name)?.trim().parse::<u32>().ok();
    let named = ancestors.iter().find(|a| is_starter(&a.name));
    let starter = named.or(ancestors.first());
    // By what started them: where the launcher gives the job no name that all know.
    let by_starter = || starter.map(|a| format!("{}.{}", a.pid, a.start_ticks));
    let (launcher, job, on_node) = if variable("OMPI_COMM_WORLD_RANK").is_some() {
        let job =
            variable("PMIX_NAMESPACE").or_else(|| variable("OMPI_MCA_ess_base_jobid")).or_else(by_starter);
        ("Open MPI", job, number("OMPI_COMM_WORLD_LOCAL_SIZE"))
    } else if variable("PALS_RANKID").is_some() {
        ("PALS", variable("PALS_APID").or_else(by_starter), number("PALS_LOCAL_SIZE"))
    } else if variable("PMIX_RANK").is_some() {
        ("PMIx", variable("PMIX_NAMESPACE").or_else(by_starter), slurm_tasks_here(variable))
    } else if variable("PMI_RANK").is_some() && variable("SLURM_STEP_ID").is_none() {
        ("MPICH", by_starter(), number("MPI_LOCALNRANKS"))
    } else if variable("FLUX_TASK_RANK").is_some() {
        ("Flux", variable("FLUX_JOB_ID").or_else(by_starter), None)
    } else {
        let step = number("SLURM_STEP_ID")?;
        // The batch script and the extern step are one process, whatever the variables say of tasks.
        variable("SLURM_PROCID").filter(|_| step < 0xFFFF_FF00)?;
        let job = variable("SLURM_JOB_ID").map(|job| format!("{job}.{step}")).or_else(by_starter);
        ("Slurm", job, slurm_tasks_here(variable))
    };
    if on_node == Some(1) {
        return None;
    }
    let job = job?;
    let is_certain = named.is_some() || Some(&job) != by_starter().as_ref();
    let job = format!("{launcher} {job}");
    Some(Rank { launcher, job, on_node, starter: starter.map(|a| a.pid), is_certain })
}

fn is_starter(name: &str) -> bool {
    // comm is cut at 15 bytes.
    STARTERS.iter().any(|s| name == *s || (s.len() > 15 && name == &s[..15]))
}

/// Tasks of the Slurm step on this node.
fn slurm_tasks_here(variable: &dyn Fn(&str) -> Option<String>) -> Option<u32> {
    let list = variable("SLURM_STEP_TASKS_PER_NODE").or_else(|| variable("SLURM_TASKS_PER_NODE"))?;
    let node = variable("SLURM_NODEID")?.parse().ok()?;
    tasks_of_node(&list, node)
}

/// `4(x2),3`: two nodes with 4 and one with 3.
fn tasks_of_node(list: &str, node: u32) -> Option<u32> {
    let mut left = node;
    for part in list.split(',') {
        let (tasks, nodes) = match part.split_once("(x") {
            Some((tasks, nodes)) => (tasks, nodes.strip_suffix(')')?.parse().ok()?),
            None => (part, 1u32),
        };
        if left < nodes {
            return tasks.parse().ok();
        }
        left -= nodes;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(variables: &[(&str, &str)], names: &[&str]) -> Option<Rank> {
        let ancestors: Vec<Ancestor> = names
            .iter()
            .enumerate()
            .map(|(i, name)| Ancestor { pid: 10 + i as u32, start_ticks: 7, name: (*name).to_owned() })
            .collect();
        let variable =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let rank = rank(&variable, &ancestors);
        assert!(rank.is_none() || may_be_rank(&variable));
        rank
    }

    #[test]
    fn each_launcher() {
        let ompi =
            [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "4"), ("PMIX_NAMESPACE", "77")];
        let rank = found(&ompi, &["sh", "mpirun"]).unwrap();
        assert_eq!((rank.job.as_str(), rank.on_node, rank.starter), ("Open MPI 77", Some(4), Some(11)));

        let hydra = [("PMI_RANK", "0"), ("MPI_LOCALNRANKS", "2")];
        assert_eq!(found(&hydra, &["numactl", "hydra_pmi_proxy", "mpiexec"]).unwrap().job, "MPICH 11.7");
        let parent = found(&hydra, &["unknown"]).unwrap();
        assert_eq!((parent.job.as_str(), parent.is_certain), ("MPICH 10.7", false));

        let slurm = [
            ("SLURM_JOB_ID", "5"),
            ("SLURM_STEP_ID", "0"),
            ("SLURM_PROCID", "3"),
            ("SLURM_NODEID", "1"),
            ("SLURM_STEP_TASKS_PER_NODE", "2,4"),
        ];
        let rank = found(&slurm, &["slurmstepd"]).unwrap();
        assert_eq!((rank.job.as_str(), rank.on_node), ("Slurm 5.0", Some(4)));
        // MPICH under srun speaks PMI with Slurm.
        let mut pmi = slurm.to_vec();
        pmi.push(("PMI_RANK", "3"));
        assert_eq!(found(&pmi, &["slurmstepd"]).unwrap().job, "Slurm 5.0");
    }

    #[test]
    fn one_process_is_no_rank() {
        assert_eq!(found(&[], &["bash"]), None);
        assert_eq!(
            found(&[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "1")], &["mpirun"]),
            None
        );
        // A batch script has the variables of tasks, but no step of its own, or one with a special number.
        let batch = [("SLURM_JOB_ID", "5"), ("SLURM_PROCID", "0"), ("SLURM_TASKS_PER_NODE", "4")];
        assert_eq!(found(&batch, &["slurmstepd"]), None);
        let mut special = batch.to_vec();
        special.push(("SLURM_STEP_ID", "4294967291"));
        assert_eq!(found(&special, &["slurmstepd"]), None);
    }

    #[test]
    fn slurms_list_of_tasks() {
        assert_eq!(tasks_of_node("4(x2),3", 0), Some(4));
        assert_eq!(tasks_of_node("4(x2),3", 1), Some(4));
        assert_eq!(tasks_of_node("4(x2),3", 2), Some(3));
        assert_eq!(tasks_of_node("4(x2),3", 3), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(list in "\\PC{0,20}", node in 0u32..5) {
            let _ = tasks_of_node(&list, node);
        }
    }
}
