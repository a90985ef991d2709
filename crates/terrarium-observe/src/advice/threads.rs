//! Too many threads for the CPUs.

use terrarium_core::Finding;

use crate::Seen;

/// Too many threads for the CPUs: they spend their time waiting for one another.
///
/// Said when it held in at least half of at least four looks at which that was looked for, and several processes had
/// several threads running: the picture of a process pool whose numerical library starts a thread per CPU in
/// each worker. (Measured: such a pool on 2 CPUs ran 10 times slower than with one thread each.)
pub fn oversubscription(seen: &Seen, cpus: usize, threads_set: bool) -> Option<Finding> {
    if threads_set
        || seen.crowd_looks < 4
        || seen.crowded * 2 < seen.crowd_looks
        || seen.crowded_processes < 2
    {
        return None;
    }
    let each = (cpus as u64 / seen.crowded_processes).max(1);
    Some(
        Finding::new(
            "oversubscribed",
            format!(
                "more threads wanted to run than there are CPUs ({cpus}) in {} of {} looks, in {} processes at once",
                seen.crowded, seen.crowd_looks, seen.crowded_processes
            ),
        )
        .hint(format!("try --threads {each}: a process pool wants about one thread per CPU over all its workers")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lasting_crowd_of_several_processes_counts() {
        let pool = Seen { crowd_looks: 8, crowded: 6, crowded_processes: 4, ..Seen::default() };
        let finding = oversubscription(&pool, 2, false).unwrap();
        assert!(finding.hint.unwrap().starts_with("try --threads 1:"));
        assert!(oversubscription(&pool, 16, false).unwrap().hint.unwrap().starts_with("try --threads 4:"));
        assert_eq!(oversubscription(&pool, 2, true), None);
        for quiet in [
            Seen { crowd_looks: 3, ..pool.clone() },
            Seen { crowded: 3, ..pool.clone() },
            Seen { crowded_processes: 1, ..pool },
        ] {
            assert_eq!(oversubscription(&quiet, 2, false), None);
        }
    }
}
