//! Which format something is in.

use terrarium_accounting::{Kind, kind_of};

#[test]
fn formats_are_told_apart() {
    for (head, kind) in [
        (include_str!("../data/sacct-22.05.txt"), Some(Kind::SacctText)),
        (include_str!("../data/sacct-22.05.json"), Some(Kind::SacctJson)),
        (include_str!("../data/sacct-26.05.json"), Some(Kind::SacctJson)),
        ("{\"job_id\": 1}\n", Some(Kind::SacctJson)),
        ("[{\"job_id\": 1}]", Some(Kind::SacctJson)),
        (include_str!("../data/pbs-23.06.06.log"), Some(Kind::Pbs)),
        ("\"JOB_FINISH\" \"10.1\" 1527327585 7610 1000", Some(Kind::Lsf)),
        ("\"EVENT_ADRSV_FINISH\" \"10.1\" 1527327585", Some(Kind::Lsf)),
        (
            "; Version: 2.2\n; UnixStartTime: 0\n1 0 0 60 4 1 -1 4 -1 -1 1 12 3 7 2 -1 -1 -1\n",
            Some(Kind::Swf),
        ),
        ("1 0 0 60 4 1 -1 4 -1 -1 1 12 3 7 2 -1 -1 -1\n", Some(Kind::Swf)),
        ("JOB_NAME,COBALT_JOBID,MACHINE_NAME,QUEUED_TIMESTAMP\n", Some(Kind::Djc)),
        ("\u{feff}\n jobid\u{1f}State\n", Some(Kind::SacctText)),
        ("jobidraw\n1\n", Some(Kind::SacctText)),
        ("User,State\n", None),
        ("project,domain\n", None),
        ("{\"a\": 1}", None),
        ("hello\n", None),
        ("", None),
    ] {
        assert_eq!(kind_of(head.as_bytes()), kind, "{head:.60}");
    }
}
