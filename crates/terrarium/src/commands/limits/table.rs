//! The tables that people read, 80 columns wide.

use clap::ValueEnum;
use terrarium_core::Bytes;
use terrarium_jail::plan::enforcer_name;

use super::cell::{Came, Verdict};
use super::{Cell, CountCell, Measured, PaperRow};
use crate::cli::limits::{Limit, Way, name};
use crate::summary::printable;

const WIDTH: usize = 80;

/// What a row is called.
pub(super) fn way_label(way: Way) -> &'static str {
    match way {
        Way::Malloc => "malloc",
        Way::Mmap => "private mapping",
        Way::Shared => "shared mapping",
        Way::ShmMap => "/dev/shm map",
        Way::ShmWrite => "/dev/shm write",
        Way::MemfdMap => "memfd map",
        Way::MemfdWrite => "memfd write",
        Way::Sysv => "System V memory",
        Way::File => "page cache",
        Way::Stack => "stack",
        Way::Processes => "many processes",
        Way::Fork => "forked copies",
        Way::Python => "Python objects",
        Way::Numpy => "NumPy arrays",
    }
}

/// What a column is called.
pub(super) fn column(limit: Limit) -> &'static str {
    match limit {
        Limit::None => "no limit",
        Limit::M => "ulimit -m",
        Limit::D => "ulimit -d",
        Limit::V => "ulimit -v",
        Limit::Mem => "--mem",
    }
}

fn label_of(way: &str) -> String {
    match way {
        "as-started" => "all that it starts".to_owned(),
        "asking-for-more" => "asking for more".to_owned(),
        _ => Way::from_str(way, false).map_or_else(|_| way.to_owned(), |w| way_label(w).to_owned()),
    }
}

fn column_of(limit: &str) -> String {
    Limit::from_str(limit, false).map_or_else(|_| limit.to_owned(), |l| column(l).to_owned())
}

fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Stopped => "stopped".to_owned(),
        Verdict::Killed => "killed".to_owned(),
        Verdict::Reclaimed => "reclaimed".to_owned(),
        Verdict::NotStopped { .. } => "not stopped".to_owned(),
        Verdict::Late => "late".to_owned(),
        Verdict::TooEarly => "too early".to_owned(),
        Verdict::NotTried { .. } => "not tried".to_owned(),
    }
}

/// Rows in columns; the first row is the head.
fn grid(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// Text in lines, those after the first indented.
fn wrap(text: &str, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{}{word}", " ".repeat(indent))),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn found_lines(m: &Measured) -> Vec<String> {
    let by = m.mem_enforced_by.map_or("nothing", enforcer_name);
    let kernel = m.kernel.as_deref().map(|k| format!(", Linux {k}")).unwrap_or_default();
    let mut lines = vec![format!("{}{kernel}: jails of tier {}, --mem by {by}", m.host, m.tier)];
    let mut above = Vec::new();
    if let Some(cgroup) = &m.found.cgroup {
        let (version, path) = (cgroup.version, printable(&cgroup.path.display().to_string()));
        above.push(format!("cgroup v{version} {path}: {}", Bytes(cgroup.bytes)));
    }
    above
        .extend(m.found.ulimits.iter().map(|(letter, value)| format!("ulimit -{letter}: {}", Bytes(*value))));
    let job = m.found.batch_job.as_ref().map(|(system, id)| format!(" of {system} job {}", printable(id)));
    if m.found.is_hidden {
        above.push("that of the job of terrarium around this, which is not seen from here".to_owned());
    }
    if above.is_empty() {
        above.push("none, so a job can take all of the node".to_owned());
    }
    let job = job.unwrap_or_default();
    lines.extend(wrap(&format!("Limits on memory{job} before: {}", above.join(", ")), 2));
    lines
}

fn paper_lines(rows: &[PaperRow]) -> Vec<String> {
    let Some(first) = rows.first() else { return Vec::new() };
    let amount = Bytes(first.attempt.asked);
    let mut table = vec![vec!["Command".to_owned(), "Limit size".to_owned(), format!("{amount} allocated")]];
    for row in rows {
        let had = match &row.attempt.came {
            Came::All | Came::Reclaimed => "yes".to_owned(),
            Came::Refused { .. } | Came::Killed { .. } => "no".to_owned(),
            Came::Unknown { why } => format!("not tried: {why}"),
        };
        table.push(vec![row.command.clone(), Bytes(row.attempt.limit.unwrap_or(0)).to_string(), had]);
    }
    let mut lines = vec![format!("Tables I and II: trying to allocate {amount} of main memory (malloc)")];
    lines.push(String::new());
    lines.extend(grid(&table));
    // Between the two tables.
    if let Some(at) = rows.iter().position(|r| r.table == "II").filter(|at| *at > 0) {
        lines.insert(3 + at, String::new());
    }
    lines
}

/// Cells by row and column, as far as there are any.
fn matrix<'a>(corner: &str, cells: impl Iterator<Item = (&'a str, &'a str, String)> + Clone) -> Vec<String> {
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for (row, column, _) in cells.clone() {
        if !rows.contains(&row) {
            rows.push(row);
        }
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    // A row that lacks its first cells must not change the order; what is no limit on memory has none and stays as it is.
    columns.sort_by_key(|c| Limit::from_str(c, false).ok());
    let head = std::iter::once(corner.to_owned()).chain(columns.iter().map(|c| column_of(c))).collect();
    let mut table = vec![head];
    for row in rows {
        let cell = |column: &&str| {
            let found = cells.clone().find(|(r, c, _)| r == &row && c == column);
            found.map(|(_, _, text)| text).unwrap_or_default()
        };
        table.push(std::iter::once(label_of(row)).chain(columns.iter().map(cell)).collect());
    }
    grid(&table)
}

fn memory_lines(m: &Measured) -> Vec<String> {
    if m.memory.is_empty() {
        return Vec::new();
    }
    let text = |cell: &Cell| match (&cell.verdict, cell.limit == name(Limit::None)) {
        (Verdict::NotStopped { count }, true) => Bytes(*count).to_string(),
        (verdict, _) => word(verdict),
    };
    let title = format!("Trying to take {} of memory where the limit is {}", Bytes(m.limit.0 * 4), m.limit);
    let mut lines = vec![title, String::new()];
    lines.extend(matrix("", m.memory.iter().map(|c| (c.way.as_str(), c.limit.as_str(), text(c)))));
    lines
}

fn count_lines(title: String, cells: &[CountCell]) -> Vec<String> {
    if cells.is_empty() {
        return Vec::new();
    }
    let text = |cell: &CountCell| match &cell.verdict {
        Verdict::NotStopped { count } => format!("not stopped ({count})"),
        verdict => word(verdict),
    };
    let mut lines = vec![title, String::new()];
    lines.extend(matrix("", cells.iter().map(|c| (c.way, c.limit, text(c)))));
    lines
}

/// What the words in the tables mean: those that are there.
fn legend(m: &Measured) -> Vec<String> {
    let memory = || m.memory.iter().filter(|c| c.limit != "none");
    let has = |fits: &dyn Fn(&Verdict) -> bool| memory().any(|c| fits(&c.verdict));
    let counted_early = m.cpus.iter().chain(&m.pids).any(|c| c.verdict == Verdict::TooEarly);
    let is_not_stopped = |v: &Verdict| matches!(v, Verdict::NotStopped { .. });
    let file = name(Way::File);
    let rows = [
        (
            has(&|v| *v == Verdict::Stopped),
            "stopped",
            "the call failed at the limit, and the program could react",
        ),
        (has(&|v| *v == Verdict::Killed), "killed", "the kernel ended it at the limit"),
        (
            has(&|v| *v == Verdict::Reclaimed),
            "reclaimed",
            "it went on; what it wrote went to disk, to stay below the limit",
        ),
        (has(&is_not_stopped), "not stopped", "it had all"),
        (
            memory().any(|c| c.way == file && is_not_stopped(&c.verdict)),
            "page cache",
            "not stopped, but the kernel drops it where memory is short",
        ),
        (has(&|v| *v == Verdict::Late), "late", "it had at least twice the limit before it was stopped"),
        (
            has(&|v| *v == Verdict::TooEarly) || counted_early,
            "too early",
            "half of the limit was refused as well: what is reserved counts",
        ),
    ];
    let there = rows.into_iter().filter(|(is_there, ..)| *is_there);
    there.map(|(_, word, meaning)| format!("{word:<11}  {meaning}")).collect()
}

fn not_tried(m: &Measured) -> Vec<String> {
    let mut whys: Vec<(&str, Vec<String>)> = Vec::new();
    let memory = m.memory.iter().map(|c| (label_of(&c.way), column_of(&c.limit), &c.verdict));
    let counted = m.cpus.iter().chain(&m.pids).map(|c| (label_of(c.way), c.limit.to_owned(), &c.verdict));
    for (way, limit, verdict) in memory.chain(counted) {
        let Verdict::NotTried { why } = verdict else { continue };
        let cell = format!("{way} ({limit})");
        match whys.iter_mut().find(|(w, _)| w == why) {
            Some((_, cells)) => cells.push(cell),
            None => whys.push((why, vec![cell])),
        }
    }
    // All columns of a row: its name is enough.
    let columns = |way: &str| m.memory.iter().filter(|c| label_of(&c.way) == way).count();
    whys.into_iter()
        .flat_map(|(why, cells)| {
            let mut names: Vec<String> = Vec::new();
            for cell in &cells {
                let way = cell.split(" (").next().unwrap_or(cell);
                let whole =
                    cells.iter().filter(|c| c.starts_with(&format!("{way} ("))).count() == columns(way);
                let name = if whole { way.to_owned() } else { cell.clone() };
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            wrap(&format!("not tried: {}: {}", names.join(", "), printable(why)), 2)
        })
        .collect()
}

fn hole_lines(m: &Measured) -> Vec<String> {
    let mut lines = Vec::new();
    for hole in &m.holes {
        let column = column_of(&hole.limit);
        let ways: Vec<String> = hole.ways.iter().map(|w| label_of(w)).collect();
        let is_tried = |c: &&Cell| {
            c.limit == hole.limit
                && c.way != name(Way::File)
                && !matches!(c.verdict, Verdict::NotTried { .. })
        };
        let is_all = ways.len() > 2 && m.memory.iter().filter(is_tried).count() == ways.len();
        let ways = if is_all { "all that was tried".to_owned() } else { ways.join(", ") };
        let text = format!("{column} {}. Not stopped: {ways}. Instead: {}.", hole.message, hole.instead);
        lines.extend(wrap(&text, 2));
    }
    if !lines.is_empty() {
        lines.insert(0, "Holes".to_owned());
        lines.insert(1, String::new());
    }
    lines
}

/// All of it.
pub(super) fn lines(m: &Measured) -> Vec<String> {
    let given = m.cpus.first().map_or(0, |c| c.asked);
    let (allowed, asked) = m.pids.first().map_or((0, 0), |c| (c.allowed, c.asked));
    let parts = [
        found_lines(m),
        paper_lines(&m.paper),
        memory_lines(m),
        count_lines(format!("Using {given} CPUs where 1 was given"), &m.cpus),
        count_lines(format!("Starting {asked} where {allowed} are allowed"), &m.pids),
        legend(m),
        not_tried(m),
        hole_lines(m),
    ];
    let mut lines: Vec<String> = Vec::new();
    for part in parts.into_iter().filter(|p| !p.is_empty()) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(part);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::limits::cell::Attempt;
    use crate::commands::limits::found::Found;
    use crate::commands::limits::holes::holes;
    use terrarium_core::Tier;
    use terrarium_core::report::Enforcer;

    fn attempt(came: Came) -> Attempt {
        Attempt { limit: Some(1024), asked: 512 << 20, had: 0, came }
    }

    fn cell(way: Way, limit: Limit, verdict: Verdict) -> Cell {
        Cell { way: name(way), limit: name(limit), verdict, attempts: Vec::new() }
    }

    /// Every word that a table can hold, in its widest place.
    fn measured() -> Measured {
        let had = || Verdict::NotStopped { count: 512 << 20 };
        let mut memory = Vec::new();
        for way in Way::value_variants() {
            for limit in Limit::value_variants() {
                let verdict = match (way, limit) {
                    (Way::Numpy, _) => Verdict::NotTried { why: "there is no python3 in PATH".to_owned() },
                    (Way::File, Limit::Mem) => Verdict::Reclaimed,
                    (Way::Python, Limit::V) => Verdict::TooEarly,
                    (Way::Stack, Limit::V) => Verdict::Late,
                    (_, Limit::None | Limit::M) => had(),
                    (Way::Shared, Limit::D) => had(),
                    (_, Limit::Mem) => Verdict::Killed,
                    _ => Verdict::Stopped,
                };
                memory.push(cell(*way, *limit, verdict));
            }
        }
        let count = |way, limit, verdict| CountCell { way, limit, allowed: 1, asked: 128, had: 1, verdict };
        let refused = Came::Refused { how: "ENOMEM".to_owned() };
        let mut m = Measured {
            schema: "terrarium.limits/1",
            terrarium: "0",
            host: "n1".to_owned(),
            kernel: Some("6.1".to_owned()),
            uid: 1000,
            tier: Tier::Userns,
            limit: Bytes(128 << 20),
            mem_enforced_by: Some(Enforcer::CgroupV2),
            found: Found {
                memory_available: None,
                ulimits: vec![('v', 1 << 30)],
                cgroup: None,
                batch_job: None,
                is_hidden: false,
            },
            paper: vec![
                PaperRow { table: "I", command: "ulimit -m 1".to_owned(), attempt: attempt(Came::All) },
                PaperRow { table: "II", command: "ulimit -d 1".to_owned(), attempt: attempt(refused) },
            ],
            memory,
            cpus: vec![
                count("as-started", "OMP_NUM_THREADS=1", Verdict::NotStopped { count: 128 }),
                count("as-started", "taskset", Verdict::Stopped),
                count("as-started", "--cpus 1", Verdict::Stopped),
            ],
            pids: vec![count("threads", "ulimit -u", Verdict::TooEarly)],
            holes: Vec::new(),
            seconds: 1.0,
        };
        m.holes = holes(&m);
        m
    }

    #[test]
    fn the_tables_fit_into_80_columns() {
        let lines = lines(&measured());
        for line in &lines {
            assert!(line.chars().count() <= WIDTH && line.trim_end() == line, "{line:?}");
        }
        let text = lines.join("\n");
        for part in [
            "Limits on memory before: ulimit -v: 1.0 GiB",
            "\nulimit -m 1  1.0 KiB     yes\n\nulimit -d 1  1.0 KiB     no\n",
            "\nmalloc           512 MiB    not stopped  stopped      stopped    killed\n",
            "\nshared mapping   512 MiB    not stopped  not stopped  stopped    killed\n",
            "\nnot tried: NumPy arrays: there is no python3 in PATH\n",
            "\nall that it starts  not stopped (128)  stopped  stopped\n",
            "ulimit -m stops nothing: Linux has ignored it since 2.4.30. Not stopped: all\n  that was tried. ",
            "Not stopped: shared\n  mapping. Instead: use --mem.",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn a_part_is_shown_without_the_rest() {
        let mut m = measured();
        m.memory.retain(|c| c.way == "shared" && c.limit == "d");
        (m.paper, m.cpus, m.pids) = (Vec::new(), Vec::new(), Vec::new());
        m.holes = holes(&m);
        let lines = lines(&m);
        assert_eq!(lines[5..7], ["                ulimit -d", "shared mapping  not stopped"], "{lines:?}");
        assert_eq!(lines.iter().filter(|l| l.contains("ulimit -m")).count(), 0);
    }

    #[test]
    fn the_json_names_what_it_holds() {
        let json = serde_json::to_value(measured()).unwrap();
        assert_eq!(json["schema"], "terrarium.limits/1");
        assert_eq!(json["memory"][0]["way"], "malloc");
        assert_eq!(json["memory"][0]["verdict"], "not-stopped");
        assert_eq!(json["paper"][1]["came"]["how"], "ENOMEM");
        assert_eq!(json["holes"][0]["limit"], "m");
    }
}
