//! Too many threads for the CPUs.

use terrarium_core::Finding;

use crate::Sampler;

/// Too many threads for the CPUs: they spend their time waiting for one another.
///
/// Said when it held in at least half of at least four looks, and several processes had
/// several threads running: the picture of a process pool whose numerical library starts a thread per CPU in
/// each worker. (Measured: such a pool on 2 CPUs ran 10 times slower than with one thread each.)
pub fn oversubscription(seen: &Sampler, cpus: usize, threads_set: bool) -> Option<Finding> {
    if threads_set || seen.samples < 4 || seen.crowded * 2 < seen.samples || seen.crowded_processes < 2 {
        return None;
    }
    let each = (cpus as u64 / seen.crowded_processes).max(1);
    Some(
        Finding::new(
            "oversubscribed",
            format!(
                "more threads wanted to run than there are CPUs ({cpus}) in {} of {} looks, in {} processes at once",
                seen.crowded, seen.samples, seen.crowded_processes
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
        let pool = Sampler { samples: 8, crowded: 6, crowded_processes: 4, ..Sampler::default() };
        let finding = oversubscription(&pool, 2, false).unwrap();
        assert!(finding.hint.unwrap().starts_with("try --threads 1:"));
        assert!(oversubscription(&pool, 16, false).unwrap().hint.unwrap().starts_with("try --threads 4:"));
        assert_eq!(oversubscription(&pool, 2, true), None);
        for quiet in [
            Sampler { samples: 3, ..pool.clone() },
            Sampler { crowded: 3, ..pool.clone() },
            Sampler { crowded_processes: 1, ..pool },
        ] {
            assert_eq!(oversubscription(&quiet, 2, false), None);
        }
    }
}
