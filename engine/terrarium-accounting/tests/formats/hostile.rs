//! No bytes make a reader panic, and none of them is lost in silence.

use proptest::prelude::*;
use terrarium_accounting::{Options, djc, domains, kind_of, lsb_acct, pbs_log, sacct_json, sacct_text, swf};

use crate::{Seen, seen, utc};

const LSF: &str = "\"JOB_FINISH\" \"10.1\" 1795305700 7 1501 33554434 4 1795305600 0 0 1795305610 \"u\" \
    \"q\" \"\" \"\" \"\" \"h\" \"/\" \"\" \"\" \"\" \"f\" 1 \"n\" 2 \"4*a\" \"b\" 64 60.0 \"n\" \
    \"echo \"\"x\"\"\" 1.5 0.2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 \"\" \"p\" 0 4 \"\" \"\" 3 2048 0\n";
const SWF: &str = "; UnixStartTime: 1795305600\n; Computer: c\n\
    1 0 10 60 4 12.5 2048 4 3600 4096 1 12 3 7 2 -1 -1 -1\n";
const DJC: &str = "JOB_NAME,COBALT_JOBID,MACHINE_NAME,QUEUED_TIMESTAMP,WALLTIME_SECONDS,\
    NODES_USED,EXIT_STATUS\n\
    \"12[3].a-pbs\",,P,2026-11-22 00:00:00,60,1,271\nx,9,T,2026-11-22T00:00:00Z,60,1.0,-29\n";
const DOMAINS: &str = "project,domain,since,until\na,\"b, c\",2026-01-01,2026-02-01\n";

fn text(bytes: &[u8]) -> Seen {
    seen(|sink| sacct_text(&mut &bytes[..], &utc(), sink))
}

fn json(bytes: &[u8]) -> Seen {
    seen(|sink| sacct_json(&mut &bytes[..], &utc(), sink))
}

fn pbs(bytes: &[u8]) -> Seen {
    // Of the zone here: times that the clock leaves out, or has twice.
    seen(|sink| pbs_log(&mut &bytes[..], &Options { cluster_of_server: true, ..Options::default() }, sink))
}

fn lsf(bytes: &[u8]) -> Seen {
    seen(|sink| lsb_acct(&mut &bytes[..], &utc(), sink))
}

fn workload(bytes: &[u8]) -> Seen {
    seen(|sink| swf(&mut &bytes[..], &Options { start_us: Some(i64::MAX), ..utc() }, sink))
}

fn alcf(bytes: &[u8]) -> Seen {
    seen(|sink| djc(&mut &bytes[..], &utc(), sink))
}

fn fields(bytes: &[u8]) {
    domains(&mut &bytes[..], |_| Ok(())).unwrap();
}

/// Real bytes, some of them changed, left out or written twice.
fn changed(real: &'static str, most: usize) -> impl Strategy<Value = Vec<u8>> {
    let real = real.as_bytes();
    let pieces = [
        "99999999999999999999",
        "-",
        "\"",
        "\"\"",
        "|",
        ",",
        "[",
        "]",
        "[1-99999999]",
        "\n",
        "\u{1f}",
        "\u{e9}",
        "-9223372036854775808",
        "1e308",
        "nan",
        ";",
        "0000-00-00T00:00:00",
        "null",
        "{}",
    ];
    let change = (0..real.len().min(most), any::<u8>(), 0..40_usize, 0..pieces.len(), 0..4);
    proptest::collection::vec(change, 1..12).prop_map(move |changes| {
        let mut bytes = real[..real.len().min(most)].to_vec();
        for (at, byte, length, piece, how) in changes {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..end, pieces[piece].bytes())),
                _ => {
                    let again = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, again));
                }
            }
        }
        bytes
    })
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn sacct_text_takes_anything(
        bytes in anything(),
        real in changed(include_str!("../data/sacct-22.05.txt"), 6000),
    ) {
        text(&bytes);
        text(&real);
        let mut row = b"JobID|JobIDRaw|AllocTRES|NodeList|Start|ExitCode|TotalCPU\n".to_vec();
        row.extend(&bytes);
        text(&row);
    }

    #[test]
    fn sacct_json_takes_anything(
        bytes in anything(),
        old in changed(include_str!("../data/sacct-22.05.json"), 12_000),
        new in changed(include_str!("../data/sacct-26.05.json"), 12_000),
    ) {
        json(&bytes);
        json(&old);
        json(&new);
        let mut lines = b"{\"job_id\": 1}\n".to_vec();
        lines.extend(&bytes);
        let found = json(&lines);
        prop_assert_eq!(found.job("1").id.as_str(), "1");
    }

    #[test]
    fn pbs_log_takes_anything(
        bytes in anything(),
        real in changed(include_str!("../data/pbs-23.06.06.log"), 6000),
    ) {
        pbs(&bytes);
        pbs(&real);
        let mut record = b"11/22/2026 00:00:00;E;1[2].s;".to_vec();
        record.extend(&bytes);
        pbs(&record);
    }

    #[test]
    fn lsb_acct_takes_anything(bytes in anything(), real in changed(LSF, 6000)) {
        lsf(&bytes);
        lsf(&real);
    }

    #[test]
    fn swf_takes_anything(bytes in anything(), real in changed(SWF, 6000)) {
        workload(&bytes);
        workload(&real);
    }

    #[test]
    fn djc_takes_anything(bytes in anything(), real in changed(DJC, 6000)) {
        alcf(&bytes);
        alcf(&real);
    }

    #[test]
    fn domains_take_anything(bytes in anything(), real in changed(DOMAINS, 6000)) {
        fields(&bytes);
        fields(&real);
    }

    #[test]
    fn kind_of_takes_anything(
        bytes in anything(),
        real in changed(include_str!("../data/pbs-23.06.06.log"), 6000),
    ) {
        kind_of(&bytes);
        kind_of(&real);
    }
}

#[test]
fn samples_are_right_unchanged() {
    for (found, jobs) in [(lsf(LSF.as_bytes()), 1), (workload(SWF.as_bytes()), 1), (alcf(DJC.as_bytes()), 2)]
    {
        assert_eq!((found.jobs.len(), found.broken), (jobs, Vec::new()));
    }
}

#[test]
fn lines_that_are_too_long_are_skipped() {
    let long = "x".repeat((16 << 20) + 1);
    let sacct = text(format!("JobID|User\n1|{long}\n2|b\n").as_bytes());
    assert_eq!((sacct.jobs.len(), sacct.broken[0].0), (1, 11));
    assert_eq!(sacct.job("2").user.as_deref(), Some("b"));
    let queued = "11/22/2026 00:00:00;Q;";
    let log = pbs(format!("{queued}1.s;queue={long}\n{queued}2.s;queue=q\n").as_bytes());
    assert_eq!((log.jobs.len(), log.broken.len()), (1, 1));
    let events = lsf(format!("\"JOB_FINISH\" \"{long}\"\n{LSF}").as_bytes());
    assert_eq!((events.jobs.len(), events.broken.len()), (1, 1));
    let numbers = workload(format!("{long}\n{SWF}").as_bytes());
    assert_eq!((numbers.jobs.len(), numbers.broken.len()), (1, 1));
    let table = alcf(format!("{DJC}{long}\nx,9,T,,,,\n").as_bytes());
    assert_eq!((table.jobs.len(), table.broken.len()), (3, 1));
    let lines = json(format!("{{\"job_id\": 1}}\n{{\"user\": \"{long}\"}}\n{{\"job_id\": 2}}\n").as_bytes());
    assert_eq!((lines.jobs.len(), lines.broken.len()), (2, 1));
}
