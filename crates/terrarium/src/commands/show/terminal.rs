//! A series in a terminal.

use std::fmt::Write;

use terrarium_chart::text::{Characters, Size, plot, time_axis};
use terrarium_chart::{Quantity, TimeChart, quantity, words};
use terrarium_core::sample::Metric;
use terrarium_observe::series::Series;

use super::charts::{Drawn, charts};
use super::facts;

/// What the terminal can show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    pub(super) width: usize,
    pub(super) characters: Characters,
    pub(super) colour: bool,
}

/// Not drawn here: they are in the table, and in the page.
const TABLE_ONLY: &[&str] = &["switches", "faults"];

/// Room for what stands at the value axis.
const LABELS: usize = 10;

/// Wider pictures are harder to read, not easier.
const WIDEST: usize = 160;

/// ANSI colours by place in a chart, with the same meaning as on pages.
const COLOURS: [&str; 4] = ["34", "33", "32", "35"];

impl Terminal {
    /// Asks the environment: COLUMNS, the locale, NO_COLOR, and whether stdout is a terminal.
    pub(super) fn of_stdout() -> Self {
        use std::io::IsTerminal;
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let is_terminal = std::io::stdout().is_terminal();
        let asked = set("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
        let seen = || terminal_size::terminal_size_of(std::io::stdout()).map(|size| usize::from(size.0.0));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        Terminal {
            width: asked.or_else(seen).filter(|width| *width > 0).unwrap_or(80),
            characters: characters(&locale),
            colour: is_terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
        }
    }

    fn coloured(&self, text: &str, code: &str) -> String {
        if self.colour && !text.trim().is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn bold(&self, text: &str) -> String {
        self.coloured(text, "1")
    }

    /// In a terminal that shows ASCII only, other characters become question marks.
    fn fit(&self, text: String) -> String {
        match self.characters {
            Characters::Blocks => text,
            Characters::Ascii => text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect(),
        }
    }
}

fn characters(locale: &str) -> Characters {
    let locale = locale.to_ascii_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") { Characters::Blocks } else { Characters::Ascii }
}

/// All of it, with a line break at its end.
pub(super) fn view(series: &Series, terminal: Terminal) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", terminal.bold(&cut(&facts::command(series), terminal.width)));
    for (name, text) in facts::facts(series) {
        let _ = writeln!(out, "  {name:<10}{text}");
    }
    for (note, hint) in facts::notes(series) {
        let _ = writeln!(out, "{} {note}", terminal.coloured("note:", "1;33"));
        if let Some(hint) = hint {
            let _ = writeln!(out, "  hint: {hint}");
        }
    }
    let (drawn, missing) = charts(series);
    let in_view: Vec<&Drawn> = drawn.iter().filter(|d| !TABLE_ONLY.contains(&d.chart.id.as_str())).collect();
    for drawn in &in_view {
        chart(&mut out, &drawn.chart, terminal);
    }
    if !in_view.is_empty() {
        let _ = writeln!(out, "{:LABELS$}  {}", "", terminal.coloured(&terminal.characters.legend(), "2"));
    }
    if !missing.is_empty() && !series.samples.is_empty() {
        let _ = writeln!(
            out,
            "{:LABELS$}  {}",
            "",
            terminal.coloured(&format!("no data: {}", missing.join(", ")), "2")
        );
    }
    if !series.samples.is_empty() {
        out.push('\n');
        table(&mut out, series, terminal);
    }
    terminal.fit(out)
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let dots = "...";
    text.chars().take(width.saturating_sub(dots.len())).chain(dots.chars()).collect()
}

fn chart(out: &mut String, chart: &TimeChart, terminal: Terminal) {
    let columns = terminal.width.min(WIDEST).saturating_sub(LABELS + 3).max(10);
    let limits: Vec<String> = chart
        .limits
        .iter()
        .map(|limit| format!("{} {}", chart.quantity.phrase(limit.value), limit.name))
        .collect();
    let axis = match chart.quantity {
        // Their labels say it.
        Quantity::Bytes | Quantity::BytesPerSecond => String::new(),
        other => other.axis(),
    };
    let beside: Vec<String> = [axis].into_iter().filter(|a| !a.is_empty()).chain(limits).collect();
    let beside = if beside.is_empty() { String::new() } else { format!(" ({})", beside.join("; ")) };
    let bar = if terminal.characters == Characters::Blocks { '│' } else { '|' };
    out.push('\n');
    for (i, line) in chart.lines.iter().enumerate() {
        let Some((low, high)) = words::extremes(line) else { continue };
        // What never changes needs no picture beside another.
        let is_flat = low.1 == high.1 && i > 0;
        let value = chart.quantity.format(high.1);
        let said = if low.1 == high.1 {
            format!("{value} throughout")
        } else {
            format!("highest {value} at {}", quantity::time(high.0))
        };
        let name = terminal.coloured(&line.name, COLOURS[i % 4]);
        if i == 0 {
            let _ = writeln!(out, "{}{beside}: {name}, {said}", terminal.bold(&chart.title));
        } else {
            let _ = writeln!(out, "{:LABELS$}  {name}: {said}", "");
        }
        if is_flat {
            continue;
        }
        let rows = if i == 0 { 4 } else { 2 };
        // What is low beside another would be flat on its scale.
        let alone = TimeChart { lines: vec![line.clone()], limits: Vec::new(), ..chart.clone() };
        let scale = if chart.reach() > 8.0 * alone.reach() { &alone } else { chart };
        for row in plot(scale, line, Size { columns, rows }, terminal.characters) {
            let label = cut(&row.label, LABELS);
            let _ = writeln!(
                out,
                "{label:>LABELS$} {bar}{}",
                terminal.coloured(&row.plot, COLOURS[i % 4]).trim_end()
            );
        }
    }
    let corner = if terminal.characters == Characters::Blocks { '└' } else { '+' };
    let [axis, labels] = time_axis(chart.duration, columns, terminal.characters);
    let _ = writeln!(out, "{:LABELS$} {corner}{axis}", "");
    let _ = writeln!(out, "{:LABELS$}  {}", "", labels.trim_end());
}

fn table(out: &mut String, series: &Series, terminal: Terminal) {
    let head = ["", "lowest", "mean", "95 %", "highest", "total"].map(str::to_owned);
    let rows: Vec<[String; 6]> =
        [head].into_iter().chain(Metric::ALL.into_iter().map(|metric| facts::row(series, metric))).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for (i, row) in rows.iter().enumerate() {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            let _ = write!(line, "  {cell:>width$}");
        }
        let line = line.trim_end();
        let _ = writeln!(out, "{}", if i == 0 { terminal.bold(line) } else { line.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    fn shown(series: &Series, width: usize, characters: Characters) -> String {
        view(series, Terminal { width, characters, colour: false })
    }

    #[test]
    fn pictures_fit_and_nothing_drives_the_terminal() {
        for (name, series) in examples::all() {
            for characters in [Characters::Blocks, Characters::Ascii] {
                let text = shown(&series, 80, characters);
                assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{name}");
                assert!(characters == Characters::Blocks || text.is_ascii(), "{name}");
                let picture = |line: &&str| line.contains('│') || line.contains('└');
                let widest = text.lines().filter(picture).map(|l| l.chars().count()).max();
                assert!(widest.unwrap_or(0) <= 80, "{name} {widest:?}");
                if let Some(directory) = std::env::var_os("TERRARIUM_TEST_OUT") {
                    let file = std::path::Path::new(&directory).join(format!("{name}-{characters:?}.txt"));
                    std::fs::write(file, text).unwrap();
                }
            }
        }
    }

    #[test]
    fn what_was_not_looked_at_is_no_data() {
        let text = shown(&examples::gaps(), 80, Characters::Blocks);
        assert!(text.contains("█·····"), "{text}");
        assert!(text.contains("read ") && text.contains("no data"), "{text}");
        let none =
            shown(&examples::all().into_iter().find(|e| e.0 == "unseen").unwrap().1, 80, Characters::Ascii);
        assert!(none.contains("ended before the first look") && !none.contains('#'), "{none}");
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let colour = |colour| {
            view(&examples::moment(), Terminal { width: 80, characters: Characters::Blocks, colour })
        };
        assert!(colour(true).contains("\x1b[") && !colour(false).contains('\x1b'));
    }

    #[test]
    fn the_locale_decides_over_characters() {
        assert_eq!(characters("de_DE.UTF-8"), Characters::Blocks);
        assert_eq!(characters("C.utf8"), Characters::Blocks);
        assert_eq!(characters("C"), Characters::Ascii);
    }
}
