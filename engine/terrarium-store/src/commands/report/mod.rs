//! `terrarium report`.

mod list;
mod overhead;
mod page;
mod picture;

use std::io::{IsTerminal, Write};
use std::path::Path;

use arrow::array::RecordBatch;
use chrono::{Datelike, NaiveDate};
use serde_json::json;
use terrarium_usage::choice::Choice;
use terrarium_usage::report::{self, Answered, Asked, completeness_words};
use terrarium_usage::store::Store;

use super::sql::{csv, objects, table};
use crate::cli::{Format, ReportArgs};
use crate::error::CliError;
use crate::out;

/// Returns the exit code.
pub(crate) async fn run(args: &ReportArgs) -> Result<u8, CliError> {
    let all = report::all();
    if args.name == "list" {
        return list::print(&all, args.format, args.markdown).map(|()| 0);
    }
    let wanted = all.into_iter().find(|report| report.name == args.name);
    let wanted = wanted.ok_or_else(|| CliError::NoReport(out::printable(&args.name)))?;
    let asked = asked(args)?;
    let answered = if wanted.name == "overhead" {
        overhead::measure(wanted, args)?
    } else {
        let store = Store::open_to_ask(args.store.location()?).await?;
        let mut told = |done: usize, all: usize| {
            out::progress(format_args!(
                "adding up {done} of {}: once for each day that is new",
                out::counted(all as u64, "day")
            ));
        };
        let answered = wanted.ask(&store, &asked, &mut told).await;
        out::progress_end();
        answered?
    };
    if args.format != Format::Table {
        answered.notes.iter().for_each(|note| out::note(format_args!("note: {}", out::printable(note))));
    }
    let bytes = render(args.format, &answered, &asked.choice)?;
    match &args.output {
        None if args.format == Format::Parquet && std::io::stdout().is_terminal() => {
            return Err(CliError::Usage("Parquet is not for a terminal: name a file with -o".to_owned()));
        }
        None => out::bytes_out(&bytes)?,
        Some(path) => write(path, &bytes).map_err(|source| CliError::File { path: path.clone(), source })?,
    }
    Ok(0)
}

/// A file is there whole or not at all, and in nobody else's way; what is no file is written to.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if path.exists() && !path.is_file() {
        return std::fs::OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    for attempt in 0..100 {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".new{}-{attempt}", std::process::id()));
        let new = path.with_file_name(name);
        // Never one that is there already, nor behind a link.
        let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).open(&new) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            opened => opened?,
        };
        let done = file.write_all(bytes).and_then(|()| std::fs::rename(&new, path));
        if done.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        return done;
    }
    Err(std::io::Error::from(std::io::ErrorKind::AlreadyExists))
}

fn asked(args: &ReportArgs) -> Result<Asked, CliError> {
    let named =
        [&args.cluster, &args.domain, &args.project, &args.user, &args.env, &args.origin, &args.queue];
    for name in named.into_iter().flatten().chain(&args.libraries) {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(CliError::Usage(format!("`{}` is no name", out::printable(name))));
        }
    }
    let public = args.public.then_some(args.people);
    let (since, until) = match (&args.since, &args.until) {
        (None, None) if public.is_some() => last_month(),
        (since, until) => days(since.as_deref().unwrap_or("30d"), until.as_deref())?,
    };
    let choice = Choice {
        cluster: args.cluster.clone(),
        domain: args.domain.clone(),
        project: args.project.clone(),
        user: args.user.clone(),
        env: args.env.clone(),
        origin: args.origin.clone(),
        queue: args.queue.clone(),
        gpu: args.gpu,
        direct: args.direct,
        ..Choice::days(since, until)
    };
    Ok(Asked {
        choice,
        libraries: args.libraries.clone(),
        limit: args.limit,
        by: args.by.as_ref().map(|by| by.replace('-', "_")),
        step: args.step.map(|step| step.name().to_owned()),
        min_users: args.min_users,
        memory: args.memory,
        advisories: args.advisories.clone(),
        releases: args.releases.clone(),
        public,
    })
}

/// The last month that has ended.
fn last_month() -> (NaiveDate, NaiveDate) {
    let today = chrono::Utc::now().date_naive();
    let first = today.with_day(1).unwrap_or(today);
    let since = first.checked_sub_months(chrono::Months::new(1)).unwrap_or(first);
    (since, first.pred_opt().unwrap_or(first))
}

fn days(since: &str, until: Option<&str>) -> Result<(NaiveDate, NaiveDate), CliError> {
    let today = chrono::Utc::now().date_naive();
    let day = |text: &str| text.parse::<NaiveDate>().ok();
    let bad = |flag: &str, text: &str| {
        CliError::Usage(format!("{flag} {}: write a day such as 2026-11-01, or 30d", out::printable(text)))
    };
    let since_day = match (day(since), super::time(since)) {
        (Some(day), _) => day,
        (None, Ok(ago)) => {
            let ago = chrono::TimeDelta::from_std(ago).unwrap_or_default();
            today.checked_sub_signed(ago).unwrap_or_default()
        }
        (None, Err(_)) => return Err(bad("--since", since)),
    };
    let until = match until {
        None => today,
        Some(text) => day(text).ok_or_else(|| bad("--until", text))?,
    };
    if until < since_day {
        return Err(CliError::Usage(format!("--until {until} is before --since {since_day}")));
    }
    Ok((since_day, until))
}

/// What stands above it: the title, and what it is about.
fn title(answered: &Answered, choice: &Choice) -> String {
    let title = &answered.report.title;
    if answered.report.name == "overhead" {
        return title.clone();
    }
    let words = choice.words();
    let about = if words.is_empty() { String::new() } else { format!("; {}", words.join(", ")) };
    format!("{title}, {} to {}{about}", choice.since, choice.until)
}

/// What stands below it.
fn below(answered: &Answered, choice: &Choice) -> String {
    let Some(complete) = &answered.complete else { return String::new() };
    let words = completeness_words(complete);
    // A process' class of environment is not told apart in what is counted for it.
    if choice.env.is_some() { format!("{words} (in all kinds of environments)") } else { words }
}

fn render(format: Format, answered: &Answered, choice: &Choice) -> Result<Vec<u8>, CliError> {
    let (report, rows) = (&answered.report, answered.rows.as_slice());
    Ok(match format {
        Format::Table => {
            let hidden = hidden(answered);
            let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
            let mut text = format!("{}\n\n", out::printable(&title(answered, choice)));
            if rows.iter().all(|batch| batch.num_rows() == 0) {
                text.push_str("no rows\n");
            } else {
                text.push_str(&table(rows, &hidden));
            }
            text.push('\n');
            let notes = answered.notes.iter().map(String::as_str);
            for line in [below(answered, choice).as_str(), report.note.as_str()]
                .into_iter()
                .chain(notes)
                .filter(|l| !l.is_empty())
            {
                text.push_str(&out::printable(line));
                text.push('\n');
            }
            text.into_bytes()
        }
        Format::Csv => csv(rows).into_bytes(),
        Format::Json => format!("{}\n", document(answered, choice)).into_bytes(),
        Format::Parquet => report::parquet(answered)?,
        Format::Svg => {
            picture::draw(answered, &title(answered, choice), &below(answered, choice), picture::Place::File)
                .into_bytes()
        }
        Format::Html => page::page(answered, choice).into_bytes(),
    })
}

fn document(answered: &Answered, choice: &Choice) -> serde_json::Value {
    let report = &answered.report;
    let complete = answered.complete.as_ref().map(|complete| {
        json!({
            "processes": complete.processes, "python": complete.python, "opted_out": complete.opted_out,
            "incomplete": complete.incomplete, "lost": complete.lost, "sampled": complete.sampled, "doubtful": complete.doubtful,
            "in_jobs": complete.in_jobs, "accounted": complete.accounted,
        })
    });
    json!({
        "schema": "terrarium.report/2",
        "report": report.name,
        "title": report.title,
        "question": report.question,
        "since": choice.since.to_string(),
        "until": choice.until.to_string(),
        "filters": {
            "cluster": choice.cluster, "domain": choice.domain, "project": choice.project, "user": choice.user, "env": choice.env,
            "origin": choice.origin, "queue": choice.queue, "gpu": choice.gpu, "direct": choice.direct,
        },
        "columns": report.columns.iter().map(|(name, about)| json!({"name": name, "about": about})).collect::<Vec<_>>(),
        "note": report.note,
        "notes": answered.notes,
        "completeness": complete,
        "rows": objects(&answered.rows),
    })
}

/// Columns that are not shown to people: what is only for the picture has no meaning written down, and some say nothing here.
fn hidden(answered: &Answered) -> Vec<String> {
    let report = &answered.report;
    let names = answered.rows.first().map(RecordBatch::schema);
    let names = names.iter().flat_map(|schema| schema.fields().iter().map(|field| field.name().clone()));
    let says_nothing = |name: &String| {
        let columns = answered.rows.iter().filter_map(|batch| batch.column_by_name(name));
        columns.map(|column| column.len() - column.null_count()).sum::<usize>() == 0
    };
    let is_hidden = |name: &String| {
        !report.columns.iter().any(|(known, _)| known == name)
            || (report.optional.contains(name) && says_nothing(name))
    };
    names.filter(is_hidden).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_a_report() {
        let of = |since, until| days(since, until).map(|d| (d.0.to_string(), d.1.to_string()));
        assert_eq!(of("2026-11-01", Some("2026-11-03")).unwrap(), ("2026-11-01".into(), "2026-11-03".into()));
        assert!(of("30d", None).is_ok());
        for (since, until) in
            [("x", None), ("2026-13-01", None), ("30d", Some("y")), ("2026-11-03", Some("2026-11-01"))]
        {
            assert!(of(since, until).is_err(), "{since}");
        }
    }
}
