//! Advice as people read it.

use std::time::Duration;

use terrarium_core::{Bytes, HumanDuration};
use terrarium_observe::advice::command::Matched;
use terrarium_observe::advice::{Advice, Use};

/// Of what was left out, so many runs are named.
const NAMED: usize = 4;

/// The lines.
pub(crate) fn lines(advice: &Advice) -> Vec<String> {
    let mut out = vec![headline(advice), String::new()];
    out.extend(memory(advice));
    out.extend(cpus(advice));
    out.extend(time(advice));
    out.extend(runs(advice));
    for batch in advice.batch.iter().filter(|b| !b.lines.is_empty()) {
        out.push(String::new());
        out.extend(batch.lines.iter().cloned());
        out.extend(batch.note.iter().map(|note| format!("# {note}")));
    }
    if !advice.findings.is_empty() {
        out.push(String::new());
    }
    for finding in &advice.findings {
        out.push(format!("note: {}", finding.message));
        out.extend(finding.hint.iter().map(|hint| format!("hint: {hint}")));
    }
    if let Some(python) = &advice.python {
        out.push(String::new());
        out.push("Why memory that Python has freed may not come back:".to_owned());
        out.extend(python.story());
    }
    // Where a part had nothing to say.
    out.dedup_by(|a, b| a.is_empty() && b.is_empty());
    out
}

fn seconds(seconds: f64) -> HumanDuration {
    HumanDuration(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

/// A time that was rounded to minutes.
fn minutes(seconds: u64) -> String {
    let (h, m) = (seconds / 3600, seconds.div_ceil(60) % 60);
    match (h, m) {
        (0, m) => format!("{m} min"),
        (h, 0) => format!("{h} h"),
        (h, m) => format!("{h} h {m:02} min"),
    }
}

fn count(n: u64, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

fn printable(command: &[String]) -> String {
    // Neither what moves the cursor nor what turns the direction of writing.
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let line: String = command.join(" ").chars().map(|c| if hides(c) { '?' } else { c }).collect();
    match line.char_indices().nth(80) {
        Some((at, _)) => format!("{} …", &line[..at]),
        None => line,
    }
}

fn headline(advice: &Advice) -> String {
    let command = printable(&advice.command);
    let mut parts = Vec::new();
    parts.extend(advice.memory.request.map(|m| format!("{m} of memory")));
    parts.extend(advice.cpus.as_ref().map(|c| count(c.request, "CPU")));
    parts.extend(advice.gpus.filter(|n| *n > 0).map(|n| count(u64::from(n), "GPU")));
    parts.extend(advice.time.as_ref().map(|t| minutes(t.request_seconds)));
    let asked = match parts.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    };
    match (advice.memory.request, advice.memory.at_least) {
        (None, _) if advice.runs.is_empty() => format!("Nothing is known of {command}"),
        (None, Some(bytes)) => {
            let rest = if asked.is_empty() { String::new() } else { format!("; ask for {asked}") };
            format!("At least {bytes} of memory for {command}, how much more is not known{rest}")
        }
        (None, None) if asked.is_empty() => format!("No run of {command} says what it needs"),
        (None, None) => format!("Ask for {asked}; how much memory it needs is not known: {command}"),
        _ => format!("Ask for {asked}: {command}"),
    }
}

fn row(name: &str, text: &str) -> String {
    format!("  {name:<8}{text}")
}

fn memory(advice: &Advice) -> Vec<String> {
    let memory = &advice.memory;
    let mut out = Vec::new();
    if let Some(request) = memory.request {
        out.push(row("memory", &format!("{request}: {}", memory.because)));
    } else if let Some(bytes) = memory.at_least {
        let growing = match memory.still_growing {
            Some(true) => "and still growing when it was cut",
            Some(false) => "and no longer growing when it was cut",
            None => "how much more is not known",
        };
        out.push(row("memory", &format!("at least {bytes}, {growing}")));
    }
    if let (Some(lowest), Some(median), Some(highest), Some(spread)) =
        (memory.lowest, memory.median, memory.highest, memory.spread)
    {
        let spread = format!("spread {:.0} %", spread * 100.0);
        out.push(row("", &format!("peaks from {lowest} to {highest}, median {median}, {spread}")));
    } else if let Some(highest) = memory.highest {
        out.push(row("", &format!("peak {highest}")));
    }
    out
}

fn cpus(advice: &Advice) -> Option<String> {
    let cpus = advice.cpus.as_ref()?;
    let of = if cpus.request > cpus.had { "where it had" } else { "of" };
    let mut text = format!("{} {of} {}: {:.1} busy on average", cpus.request, cpus.had, cpus.busy_average);
    if let Some(often) = cpus.busy_often {
        text.push_str(&format!(", {often:.1} in the busiest tenth of the time"));
    }
    if let Some(threads) = cpus.threads {
        text.push_str(&format!("; run it with --threads {threads}"));
    } else if cpus.all_busy && cpus.request <= cpus.had {
        text.push_str("; with more it may be faster");
    }
    Some(row("CPUs", &text))
}

fn time(advice: &Advice) -> Option<String> {
    let time = advice.time.as_ref()?;
    let longest = seconds(time.longest_seconds);
    let of = if time.runs == 1 {
        "the only whole run".to_owned()
    } else {
        format!("the longest of {} runs", time.runs)
    };
    Some(row("time", &format!("{}: {of} took {longest}, and 30 % more", minutes(time.request_seconds))))
}

fn runs(advice: &Advice) -> Vec<String> {
    let used = advice.runs.iter().filter(|r| r.used).count();
    if advice.runs.is_empty() {
        return Vec::new();
    }
    let like = match advice.matched {
        Matched::Exact => "with equal arguments",
        Matched::Shape => "of the same program, with other numbers or paths too",
    };
    let all = advice.runs.len();
    let mut out = vec![row("runs", &format!("memory from {used} of {}, {like}", count(all as u64, "run")))];
    let told: Vec<&Use> = advice.runs.iter().filter(|r| r.why.is_some()).collect();
    for run in told.iter().rev().take(NAMED) {
        let how = if run.used { "used" } else { "left out" };
        let memory = run.memory.map_or_else(|| "no figure".to_owned(), |m: Bytes| m.to_string());
        let why = run.why.as_deref().unwrap_or_default();
        out.push(row("", &format!("{how}: {} ({memory}, {}): {why}", run.job, seconds(run.wall_seconds))));
    }
    if told.len() > NAMED {
        out.push(row("", &format!("and {} more", told.len() - NAMED)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrarium_observe::advice::advise;

    #[test]
    fn the_request_stands_first() {
        let command = ["python3".to_owned(), "x\u{1b}[2J.py".to_owned()];
        let mut advice = advise(&command, Matched::Exact, &[]);
        let text = lines(&advice);
        assert_eq!(
            text[0], "Nothing is known of python3 x?[2J.py",
            "no control character reaches the terminal"
        );
        assert!(text.windows(2).all(|pair| !(pair[0].is_empty() && pair[1].is_empty())), "{text:?}");
        advice.memory.request = Some(Bytes::mib(512));
        advice.gpus = Some(2);
        assert_eq!(headline(&advice), "Ask for 512 MiB of memory and 2 GPUs: python3 x?[2J.py");
        advice.memory.request = None;
        advice.memory.at_least = Some(Bytes::mib(512));
        advice.runs.clear();
        assert!(headline(&advice).starts_with("Nothing is known"));
    }

    #[test]
    fn times_are_said_in_minutes() {
        for (seconds, text) in [(300, "5 min"), (3600, "1 h"), (5400, "1 h 30 min"), (46_800, "13 h")] {
            assert_eq!(minutes(seconds), text);
        }
    }
}
