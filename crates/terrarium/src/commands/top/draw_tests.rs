//! Pictures of the screen, and what keys do to them.

use std::collections::VecDeque;
use std::time::Duration;

use terrarium_core::Tier;

use super::*;
use crate::commands::top::keys::Key as Pressed;
use crate::commands::top::keys::keys;
use crate::commands::top::look::Memory;
use crate::commands::top::screen::Deed;

fn row(pid: u32, user: &str, cpu: Option<f64>, command: &str) -> Row {
    Row {
        key: (format!("{pid}-1000-5").parse().unwrap(), pid),
        inside: None,
        user: user.to_owned(),
        uid: Some(1000),
        tier: Some(Tier::Userns),
        ranks: None,
        main: Some(pid + 2),
        command: command.split(' ').map(str::to_owned).collect(),
        cpu,
        memory: Some(Memory { bytes: Bytes::mib(u64::from(pid)), at_most: false }),
        limit: None,
        processes: 2,
        threads: 3,
        elapsed: Some(Duration::from_secs(3723)),
        left: None,
        parts: Vec::new(),
        past: VecDeque::new(),
    }
}

fn view() -> View {
    let mut first = row(100, "ada", Some(1.5), "python3 train.py");
    first.limit = Some(Bytes::mib(105));
    first.left = Some(Duration::from_secs(59));
    first.past = [(None, None), (Some(0.5), Some(Bytes::mib(50))), (Some(1.0), Some(Bytes::mib(105)))].into();
    let part = |pid, name: &str, cpu, memory| Part {
        pid,
        name: name.to_owned(),
        state: 'S',
        cpu,
        memory: Some(Bytes::mib(memory)),
        threads: 1,
        elapsed: Some(Duration::from_secs(5)),
    };
    first.parts = vec![part(102, "python3", Some(0.25), 90), part(103, "helper", Some(1.25), 10)];
    let mut second = row(300, "bob", None, "sleep 60");
    second.memory = Some(Memory { bytes: Bytes::mib(1), at_most: true });
    let mut inner = row(400, "ada", Some(2.0), "inner");
    inner.inside = Some(first.key.0);
    View {
        host: "node1".to_owned(),
        cpus: 4,
        node_memory: 8 << 30,
        rows: vec![first, second, inner],
        partly: false,
        hidden: 0,
    }
}

fn picture(screen: &mut Screen, view: &View, columns: usize, lines: usize) -> Vec<String> {
    screen.settle(view);
    let drawn = draw(screen, view, columns, lines);
    assert_eq!(drawn.len(), lines);
    let text = |line: Line| line.into_iter().map(|piece| piece.0).collect::<String>();
    let lines: Vec<String> = drawn.into_iter().map(text).collect();
    for line in &lines {
        assert_eq!(width(line), columns, "{line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    lines.into_iter().map(|l| l.trim_end().to_owned()).collect()
}

fn press(screen: &mut Screen, view: &View, text: &str) -> Deed {
    keys(text.as_bytes()).into_iter().fold(Deed::Nothing, |_, key| screen.key(key, view))
}

#[test]
fn the_list() {
    let mut screen = Screen::default();
    assert_eq!(
        picture(&mut screen, &view(), 100, 8),
        [
            "3 jobs  1.50 of 4 CPUs  ≤101 M of 8.0 G  node1",
            "     JOB USER         CPU↓     MEM MEM%  PROCS    THR     TIME     LEFT COMMAND",
            "     100 ada          1.50   100 M   95      2      3  1:02:03     0:59 python3 train.py",
            "     400 ada          2.00   400 M    -      2      3  1:02:03        - └ inner",
            "     300 bob             -  ≤1.0 M    -      2      3  1:02:03        - sleep 60",
            "",
            "",
            "q quit  ? help  enter processes  / filter  c m t u p sort  r reverse",
        ]
    );
}

#[test]
fn a_tiny_terminal() {
    let mut screen = Screen::default();
    assert_eq!(
        picture(&mut screen, &view(), 40, 10)[..3],
        [
            "3 jobs  1.50 of 4 CPUs  ≤101 M of 8.0 G…",
            "     JOB   CPU↓     MEM  PROCS COMMAND",
            "     100   1.50   100 M      2 python3 …"
        ]
    );
    for columns in 0..45 {
        for lines in 0..12 {
            for keys in ["", "\n", "?"] {
                let mut screen = Screen::default();
                screen.settle(&view());
                press(&mut screen, &view(), keys);
                picture(&mut screen, &view(), columns, lines);
            }
        }
    }
}

#[test]
fn into_a_job_and_back() {
    let (mut screen, view) = (Screen::default(), view());
    screen.settle(&view);
    assert_eq!(press(&mut screen, &view, "\n"), Deed::Look);
    let expected = [
        "python3 train.py",
        "job 100-1000-5  user ada  tier userns",
        "2 processes  3 threads  runs for 1:02:03  0:59 left",
        "CPU 1.50 of 4              ▅█",
        "MEM 100 M of 105 M (95 %)  ▄█",
        "     PID S  CPU↓%     MEM   THR     TIME NAME",
    ];
    let got = picture(&mut screen, &view, 80, 14);
    assert_eq!(got[..5], expected[..5]);
    assert!(got[6].ends_with("helper") && got[6].contains("125"), "{got:?}");
    assert!(got[7].ends_with("python3  (main)") && got[7].contains("90.0 M"), "{got:?}");
    press(&mut screen, &view, "m");
    assert!(picture(&mut screen, &view, 80, 14)[6].contains("python3"));
    press(&mut screen, &view, "\x7f");
    assert!(picture(&mut screen, &view, 80, 14)[0].starts_with("3 jobs"));
    // A job that has ended leads back by itself.
    press(&mut screen, &view, "\n");
    let gone = View { rows: view.rows[1..].to_vec(), ..view.clone() };
    assert!(picture(&mut screen, &gone, 80, 14)[0].starts_with("2 jobs"));
}

#[test]
fn order_filter_and_mark() {
    let (mut screen, view) = (Screen::default(), view());
    screen.settle(&view);
    let order = |screen: &Screen| screen.rows(&view).iter().map(|(_, r)| r.key.1).collect::<Vec<_>>();
    assert_eq!(order(&screen), [100, 400, 300]);
    for (keys, expected) in [("u", [100, 400, 300]), ("r", [300, 100, 400]), ("rm", [100, 400, 300])] {
        press(&mut screen, &view, keys);
        assert_eq!(order(&screen), expected, "{keys}");
    }
    press(&mut screen, &view, "jj");
    assert_eq!(screen.marked.unwrap().1, 300);
    // The mark stays on its job when the order changes.
    press(&mut screen, &view, "r");
    assert_eq!((screen.marked.unwrap().1, screen.at), (300, 0));
    press(&mut screen, &view, "/INNq\n");
    assert_eq!(screen.filter, "INNq");
    assert!(picture(&mut screen, &view, 80, 10)[2].starts_with("nothing fits"));
    press(&mut screen, &view, "/\x7f\n");
    assert_eq!(order(&screen), [400]);
    assert_eq!(press(&mut screen, &view, "\x1b"), Deed::Nothing);
    assert_eq!(order(&screen).len(), 3);
    assert_eq!(press(&mut screen, &view, "?"), Deed::Nothing);
    assert!(picture(&mut screen, &view, 80, 24)[1].contains("choose a job"));
    assert_eq!(press(&mut screen, &view, "qq"), Deed::Quit);
    assert_eq!(press(&mut screen, &view, "\x1b"), Deed::Quit);
    assert_eq!(press(&mut screen, &view, "\x03"), Deed::Quit);
    assert_eq!((press(&mut screen, &view, " "), screen.paused), (Deed::Nothing, true));
    assert_eq!((press(&mut screen, &view, " "), screen.paused), (Deed::Look, false));
}

#[test]
fn hostile_names_stay_in_their_line() {
    let mut view = view();
    view.rows[0].command = vec!["\x1b]0;owned\x07\x1b[2J\r\n".to_owned(), "\u{202e}漢".repeat(100_000)];
    view.rows[0].user = "\x1b[31mroot".to_owned();
    view.rows[0].parts[0].name = "a\nb\x1bc".to_owned();
    for keys in ["", "\n"] {
        let mut screen = Screen::default();
        screen.settle(&view);
        press(&mut screen, &view, keys);
        picture(&mut screen, &view, 80, 24);
        picture(&mut screen, &view, 41, 11);
    }
    for line in table(&Screen::default(), &view, None).iter().chain(&parts(&Screen::default(), &view.rows[0]))
    {
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'));
    }
}

#[test]
fn nothing_to_show() {
    let mut view = View { host: "node1".to_owned(), ..View::default() };
    let got = picture(&mut Screen::default(), &view, 80, 6);
    assert_eq!(got[0], "0 jobs");
    assert_eq!(got[2..4], NONE);
    view.partly = true;
    view.hidden = 3;
    let remarks = remarks(&view);
    assert!(remarks.last().unwrap().contains("3 more") && remarks[0] == NONE_SEEN, "{remarks:?}");
}

#[test]
fn use_that_is_not_known_yet_is_no_figure() {
    let head = |cpu| {
        let view = View { rows: vec![row(1, "ada", cpu, "x")], cpus: 4, ..view() };
        picture(&mut Screen::default(), &view, 80, 6)[0].clone()
    };
    assert!(head(None).starts_with("1 job  - of 4 CPUs"), "{}", head(None));
    assert!(head(Some(0.0)).starts_with("1 job  0.00 of 4 CPUs"), "{}", head(Some(0.0)));
    let none = picture(&mut Screen::default(), &View::default(), 80, 6);
    assert!(!none[0].contains("-0"), "{none:?}");
}

#[test]
fn many_jobs_scroll_with_the_mark() {
    let rows = (1..=100).map(|pid| row(pid, "ada", Some(f64::from(pid)), "x")).collect();
    let view = View { rows, ..view() };
    let mut screen = Screen::default();
    picture(&mut screen, &view, 80, 13);
    screen.key(Pressed::End, &view);
    let got = picture(&mut screen, &view, 80, 13);
    assert_eq!((screen.at, screen.page), (99, 10));
    assert!(got[11].trim_start().starts_with("1 ada"), "{got:?}");
    screen.key(Pressed::PageUp, &view);
    assert_eq!(screen.at, 90);
}
