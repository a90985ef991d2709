//! Draws: what is to be shown becomes lines of a given width, each piece with its look.

use terrarium_core::Bytes;

use super::look::{Part, Row, View};
use super::screen::{Screen, Sort};
use super::text::{clean, clock, curve, fit, size, width};

/// How a piece of a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Look {
    #[default]
    Plain,
    Bold,
    Dim,
    /// The marked line.
    Marked,
    /// Close to a limit.
    Warning,
}

/// One line of the screen.
pub(crate) type Line = Vec<(String, Look)>;

/// How a job starts, where there is none.
const NONE: [&str; 2] =
    ["No terrarium job runs on this node.", "Start one:  terrarium run -- python3 train.py"];
/// Where others may run that cannot be seen.
const NONE_SEEN: &str = "No terrarium job is to be seen on this node.";

const HELP: &[&str] = &[
    "up down j k    choose a job, or scroll          enter   its processes",
    "esc backspace  back; esc in the list quits       q       quit",
    "c m t u p      sort by CPU, memory, time, user or name, processes or PID",
    "r              the other way round               /       filter: user, command, ID",
    "space          pause and go on                   ?       this help",
    "",
    "CPU    CPUs in use since the look before; 1.00 is one CPU all the time.",
    "MEM    of the cgroup, without file pages not used lately. ≤ is an upper",
    "       bound: added up over processes, what they share counts more than once.",
    "MEM%   of the limit that the job's cgroup has; - without one.",
    "PROCS  processes of the job; terrarium's own two are not in it.",
    "LEFT   of --time. - is not known, or not asked for.",
];

/// A column of the table of jobs.
pub(crate) struct Column {
    title: &'static str,
    width: usize,
    right: bool,
    sort: Option<Sort>,
    /// Whether it goes when there is no room: the highest goes first, 0 never.
    spare: u8,
    cell: fn(&Row) -> String,
}

fn dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

/// The share of its memory limit that a run uses.
pub(crate) fn share(row: &Row) -> Option<f64> {
    let (memory, limit) = row.memory.zip(row.limit)?;
    (limit.0 > 0).then(|| memory.bytes.0 as f64 / limit.0 as f64)
}

fn memory(row: &Row) -> String {
    dash(row.memory, |m| format!("{}{}", if m.at_most { "≤" } else { "" }, size(m.bytes)))
}

/// GPU columns belong here once there are figures for them.
pub(crate) const COLUMNS: &[Column] = &[
    Column { title: "JOB", width: 8, right: true, sort: None, spare: 0, cell: |r| r.key.1.to_string() },
    Column {
        title: "USER",
        width: 10,
        right: false,
        sort: Some(Sort::User),
        spare: 1,
        cell: |r| r.user.clone(),
    },
    Column {
        title: "CPU",
        width: 6,
        right: true,
        sort: Some(Sort::Cpu),
        spare: 0,
        cell: |r| dash(r.cpu, |c| format!("{c:.2}")),
    },
    Column { title: "MEM", width: 7, right: true, sort: Some(Sort::Memory), spare: 0, cell: memory },
    Column {
        title: "MEM%",
        width: 4,
        right: true,
        sort: None,
        spare: 3,
        cell: |r| dash(share(r), |s| format!("{:.0}", s * 100.0)),
    },
    Column {
        title: "PROCS",
        width: 6,
        right: true,
        sort: Some(Sort::Processes),
        spare: 0,
        cell: |r| r.processes.to_string(),
    },
    Column { title: "THR", width: 6, right: true, sort: None, spare: 4, cell: |r| r.threads.to_string() },
    Column {
        title: "TIME",
        width: 8,
        right: true,
        sort: Some(Sort::Time),
        spare: 2,
        cell: |r| dash(r.elapsed, clock),
    },
    Column { title: "LEFT", width: 8, right: true, sort: None, spare: 5, cell: |r| dash(r.left, clock) },
];

/// Columns that have something to say, and fit so that the command has room as well.
fn fitting(view: &View, columns: usize) -> Vec<&'static Column> {
    let says =
        |c: &&Column| !matches!(c.title, "MEM%" | "LEFT") || view.rows.iter().any(|r| (c.cell)(r) != "-");
    let mut left: Vec<&Column> = COLUMNS.iter().filter(says).collect();
    while left.iter().map(|c| c.width + 1).sum::<usize>() + 14 > columns {
        let Some(at) = (0..left.len()).filter(|i| left[*i].spare > 0).max_by_key(|i| left[*i].spare) else {
            break;
        };
        left.remove(at);
    }
    left
}

/// What a run was started with, or what it is called.
pub(crate) fn command(row: &Row) -> String {
    let base = if row.command.is_empty() { "?".to_owned() } else { row.command.join(" ") };
    match row.ranks {
        Some(1) => format!("{base} (1 rank)"),
        Some(n) => format!("{base} ({n} ranks)"),
        None => base,
    }
}

fn indented(depth: usize, row: &Row) -> String {
    let mark = if depth > 0 { format!("{}└ ", " ".repeat(2 * (depth - 1).min(8))) } else { String::new() };
    mark + &command(row)
}

/// The table of jobs as plain text, for people and scripts; without a width nothing is cut.
pub(crate) fn table(screen: &Screen, view: &View, columns: Option<usize>) -> Vec<String> {
    let shown = fitting(view, columns.unwrap_or(usize::MAX));
    let rows = screen.rows(view);
    let cells: Vec<Vec<String>> =
        rows.iter().map(|(_, r)| shown.iter().map(|c| clean(&(c.cell)(r))).collect()).collect();
    let width_of = |i: usize| {
        let widest = cells.iter().map(|row| width(&row[i])).max().unwrap_or(0);
        if columns.is_some() { shown[i].width } else { widest.max(shown[i].title.len()) }
    };
    let widths: Vec<usize> = (0..shown.len()).map(width_of).collect();
    let line = |cells: Vec<&str>, last: &str| {
        let mut text = String::new();
        for ((cell, column), width) in cells.iter().zip(&shown).zip(&widths) {
            text += &fit(cell, *width, column.right);
            text.push(' ');
        }
        match columns {
            Some(columns) => fit(&(text + &clean(last)), columns, false).trim_end().to_owned(),
            None => text + &clean(last),
        }
    };
    let mut lines = vec![line(shown.iter().map(|c| c.title).collect(), "COMMAND")];
    for ((depth, row), cells) in rows.iter().zip(&cells) {
        lines.push(line(cells.iter().map(String::as_str).collect(), &indented(*depth, row)));
    }
    lines
}

/// Why there is nothing to show, and what is not shown.
pub(crate) fn remarks(view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    match (view.rows.is_empty(), view.partly) {
        (true, false) => lines.extend(NONE.map(str::to_owned)),
        (true, true) => lines.push(NONE_SEEN.to_owned()),
        _ => {}
    }
    if view.partly {
        lines.push(match view.hidden {
            0 => "/proc hides other users' processes here (hidepid): their jobs are not shown.".to_owned(),
            n => format!(
                "/proc hides other users' processes here (hidepid): {n} more seen by their cgroups alone."
            ),
        });
    }
    lines
}

/// The whole screen: exactly `lines` lines, each exactly `columns` wide.
pub(crate) fn draw(screen: &mut Screen, view: &View, columns: usize, lines: usize) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    let into = screen.into.and_then(|key| view.rows.iter().find(|row| row.key == key));
    if screen.help {
        out.push(vec![("terrarium top".to_owned(), Look::Bold)]);
        out.extend(HELP.iter().map(|l| vec![((*l).to_owned(), Look::Plain)]));
    } else if let Some(row) = into {
        job(screen, row, view, columns, lines, &mut out);
    } else {
        list(screen, view, columns, lines, &mut out);
    }
    out.truncate(lines.saturating_sub(1));
    out.resize(lines.saturating_sub(1), Line::new());
    if lines > 0 {
        out.push(footer(screen));
    }
    out.into_iter().map(|line| fitted(line, columns)).collect()
}

/// A line of exactly this width; no piece gets out of it.
fn fitted(line: Line, columns: usize) -> Line {
    let mut room = columns;
    let mut out = Line::new();
    let last = line.last().map_or(Look::Plain, |piece| piece.1);
    for (text, look) in line {
        let text = super::text::cut(&text, room);
        room -= width(&text);
        out.push((text, look));
    }
    out.push((" ".repeat(room), if last == Look::Marked { last } else { Look::Plain }));
    out
}

fn footer(screen: &Screen) -> Line {
    if screen.typing {
        return vec![
            (format!("filter: {}_", screen.filter), Look::Bold),
            ("  enter  esc".to_owned(), Look::Dim),
        ];
    }
    let mut line = Line::new();
    if screen.paused {
        line.push(("paused ".to_owned(), Look::Warning));
    }
    if !screen.filter.is_empty() {
        line.push((format!("filter: {} ", screen.filter), Look::Bold));
    }
    let keys = match (screen.help, screen.into) {
        (true, _) => "any key: back",
        (_, Some(_)) => "esc back  c m t u p sort  r reverse  ? help  q quit",
        _ => "q quit  ? help  enter processes  / filter  c m t u p sort  r reverse",
    };
    line.push((keys.to_owned(), Look::Dim));
    line
}

fn title(columns: &[(&str, usize, bool, bool)], reverse: bool, last: &str) -> Line {
    let mut line = Line::new();
    for (name, width, right, sorted) in columns {
        let arrow = if reverse { "↑" } else { "↓" };
        let name = if *sorted { format!("{name}{arrow}") } else { (*name).to_owned() };
        line.push((fit(&name, *width, *right) + " ", if *sorted { Look::Bold } else { Look::Dim }));
    }
    line.push((last.to_owned(), Look::Dim));
    line
}

fn list(screen: &mut Screen, view: &View, columns: usize, lines: usize, out: &mut Vec<Line>) {
    let outer = || view.rows.iter().filter(|row| row.inside.is_none());
    let jobs = view.rows.len();
    // At the first look nobody's is known yet, and where there is nobody it is 0 (an empty sum of f64 is -0).
    let known: Vec<f64> = outer().filter_map(|row| row.cpu).collect();
    let unknown = known.is_empty() && jobs > 0;
    let cpu = dash((!unknown).then(|| known.iter().fold(0.0, |a, b| a + b)), |cpu| format!("{cpu:.2}"));
    let memory: u64 = outer().filter_map(|row| row.memory.map(|m| m.bytes.0)).sum();
    let bound = if outer().any(|row| row.memory.is_some_and(|m| m.at_most)) { "≤" } else { "" };
    let mut head = vec![
        (format!("{jobs} {}", if jobs == 1 { "job" } else { "jobs" }), Look::Bold),
        (
            format!(
                "  {cpu} of {} CPUs  {bound}{} of {}  {}",
                view.cpus,
                size(Bytes(memory)),
                size(Bytes(view.node_memory)),
                clean(&view.host)
            ),
            Look::Plain,
        ),
    ];
    if jobs == 0 {
        head.truncate(1);
    }
    out.push(head);
    let remarks = remarks(view);
    let room = lines.saturating_sub(3 + remarks.len());
    if view.rows.is_empty() {
        out.push(Line::new());
    } else {
        let shown = fitting(view, columns);
        let titles: Vec<_> =
            shown.iter().map(|c| (c.title, c.width, c.right, c.sort == Some(screen.sort))).collect();
        out.push(title(&titles, screen.reverse, "COMMAND"));
        let rows = screen.rows(view);
        if rows.is_empty() {
            out.push(vec![("nothing fits the filter; esc shows all".to_owned(), Look::Plain)]);
        }
        screen.page = room.max(1);
        // The marked line is always in sight.
        let from = screen.at.saturating_sub(room.saturating_sub(1));
        for (depth, row) in rows.iter().skip(from).take(room) {
            let marked = Some(row.key) == screen.marked;
            let mut line = Line::new();
            for column in &shown {
                let near = column.title == "MEM%" && share(row).is_some_and(|s| s >= 0.9);
                let look = match (marked, near) {
                    (true, _) => Look::Marked,
                    (_, true) => Look::Warning,
                    _ => Look::Plain,
                };
                line.push((fit(&(column.cell)(row), column.width, column.right) + " ", look));
            }
            line.push((indented(*depth, row), if marked { Look::Marked } else { Look::Plain }));
            out.push(line);
        }
    }
    out.extend(remarks.into_iter().map(|text| vec![(text, Look::Plain)]));
}

fn job(screen: &mut Screen, row: &Row, view: &View, columns: usize, lines: usize, out: &mut Vec<Line>) {
    let plain = |text: String| vec![(text, Look::Plain)];
    let ranks = dash(row.ranks, |n| format!("  {n} ranks"));
    let inside = row.inside.map_or_else(String::new, |id| format!("  in {id}"));
    out.push(vec![(clean(&command(row)), Look::Bold)]);
    out.push(plain(format!(
        "job {}  user {}  tier {}{}{inside}",
        row.key.0,
        clean(&row.user),
        row.tier.map_or_else(|| "?".to_owned(), |t| t.to_string()),
        if row.ranks.is_some() { ranks } else { String::new() },
    )));
    let left = row.left.map_or_else(String::new, |t| format!("  {} left", clock(t)));
    out.push(plain(format!(
        "{} processes  {} threads  runs for {}{left}",
        row.processes,
        row.threads,
        dash(row.elapsed, clock)
    )));
    let (cpu, used): (Vec<_>, Vec<_>) =
        row.past.iter().map(|(cpu, memory)| (*cpu, memory.map(|m| m.0 as f64))).unzip();
    let limit = row.limit.map_or_else(String::new, |l| {
        format!(" of {} ({})", size(l), dash(share(row), |s| format!("{:.0} %", s * 100.0)))
    });
    let label =
        |name: &str, text: String| (fit(&format!("{name} {text}"), 26.min(columns), false), Look::Plain);
    let room = columns.saturating_sub(26);
    if lines >= 12 {
        out.push(vec![
            label("CPU", dash(row.cpu, |c| format!("{c:.2} of {}", view.cpus))),
            (curve(&cpu, room, 1.0), Look::Bold),
        ]);
        let top = row.limit.map_or(0.0, |l| l.0 as f64);
        let text = memory(row) + &limit;
        out.push(vec![label("MEM", text), (curve(&used, room, top), Look::Bold)]);
    } else {
        out.push(plain(format!("CPU {}  MEM {}{limit}", dash(row.cpu, |c| format!("{c:.2}")), memory(row))));
    }
    let is = |sort| screen.sort == sort;
    // Names come first where there is little room.
    let wide = columns >= 56;
    let mut titles = vec![
        ("PID", 8, true, is(Sort::Processes)),
        ("S", 1, false, false),
        ("CPU%", 6, true, is(Sort::Cpu)),
        ("MEM", 7, true, is(Sort::Memory)),
    ];
    if wide {
        titles.extend([("THR", 5, true, false), ("TIME", 8, true, is(Sort::Time))]);
    }
    out.push(title(&titles, screen.reverse, if is(Sort::User) { "NAME↓" } else { "NAME" }));
    let parts = screen.parts(row);
    screen.page = lines.saturating_sub(out.len() + 1).max(1);
    screen.first = screen.first.min(parts.len().saturating_sub(screen.page));
    out.extend(
        parts
            .iter()
            .skip(screen.first)
            .take(screen.page)
            .map(|p| plain(part(p, row.main == Some(p.pid), wide))),
    );
}

/// The processes of a run as plain text.
pub(crate) fn parts(screen: &Screen, row: &Row) -> Vec<String> {
    let head = format!("{:>8} S {:>6} {:>7} {:>5} {:>8} NAME", "PID", "CPU%", "MEM", "THR", "TIME");
    let main = |p: &Part| part(p, row.main == Some(p.pid), true);
    std::iter::once(head).chain(screen.parts(row).into_iter().map(main)).collect()
}

fn part(part: &Part, is_main: bool, wide: bool) -> String {
    let cpu = dash(part.cpu, |c| format!("{:.0}", c * 100.0));
    let memory = fit(&dash(part.memory, size), 7, true);
    let more =
        if wide { format!(" {:>5} {:>8}", part.threads, dash(part.elapsed, clock)) } else { String::new() };
    let main = if is_main { "  (main)" } else { "" };
    format!("{:>8} {} {cpu:>6} {memory}{more} {}{main}", part.pid, part.state, clean(&part.name))
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
