//! What the readers make of real output, of every trap that is known of it, and of anything else.

mod djc;
mod domains;
mod hostile;
mod kind;
mod lsf;
mod pbs;
mod sacct;
mod sacct_json;
mod swf;

use std::io;

use terrarium_accounting::{Found, Options, Sink, Zone};
use terrarium_segment::BatchJob;

/// 2026-11-22T00:00:00 UTC, seconds since 1970.
const DAY: i64 = 1_795_305_600;

/// All that was found.
#[derive(Default)]
struct Seen {
    jobs: Vec<(Option<String>, BatchJob)>,
    passed: Vec<&'static str>,
    broken: Vec<(u64, String)>,
}

impl Seen {
    /// The only job of this name.
    fn job(&self, id: &str) -> &BatchJob {
        let mut of_id = self.jobs.iter().filter(|(_, job)| job.id == id);
        let (_, job) = of_id.next().unwrap_or_else(|| panic!("no job {id}: {:?}", self.broken));
        assert!(of_id.next().is_none(), "{id} is there twice");
        job
    }

    /// The only job.
    fn only(&self) -> &BatchJob {
        assert_eq!(self.jobs.len(), 1, "{:?}", self.broken);
        &self.jobs[0].1
    }
}

/// Runs a reader.
fn seen(read: impl FnOnce(Sink<'_>) -> io::Result<()>) -> Seen {
    let mut seen = Seen::default();
    let mut sink = |found| {
        match found {
            Found::Job { cluster, job } => seen.jobs.push((cluster, *job)),
            Found::Passed(what) => seen.passed.push(what),
            Found::Broken { offset, why } => seen.broken.push((offset, why)),
        }
        Ok(())
    };
    read(&mut sink).unwrap();
    seen
}

fn utc() -> Options {
    Options { zone: Zone::Utc, ..Options::default() }
}

/// Microseconds of a time of [`DAY`].
fn at(hours: i64, minutes: i64, seconds: i64) -> Option<i64> {
    Some((DAY + hours * 3600 + minutes * 60 + seconds) * 1_000_000)
}
