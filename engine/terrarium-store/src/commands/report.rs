//! `terrarium report`.

use std::io::Write;

use arrow::array::RecordBatch;
use serde_json::{Value, json};
use terrarium_chart::bars::{Bar, BarChart, Layout};
use terrarium_chart::escape::Escaped;
use terrarium_chart::svg::{DARK_CSS, Place, bar_chart};
use terrarium_usage::query::Session;
use terrarium_usage::report::{self, Completeness, Days, Report};
use terrarium_usage::store::Store;

use super::sql::{csv, objects, table};
use crate::cli::{Format, ReportArgs};
use crate::error::CliError;
use crate::out;

/// Bars of a picture.
const MOST_BARS: usize = 20;

/// Returns the exit code.
pub(crate) async fn run(args: &ReportArgs) -> Result<u8, CliError> {
    let all = report::all();
    if args.name == "list" {
        for report in all {
            out::result(format_args!("{:<10} {}\n", report.name, report.question))?;
        }
        return Ok(0);
    }
    let wanted = all.into_iter().find(|report| report.name == args.name);
    let wanted = wanted.ok_or_else(|| CliError::NoReport(out::printable(&args.name)))?;
    let days = days(&args.since, args.until.as_deref())?;
    let store = Store::open(args.store.location()?).await?;
    let session = Session::open(&store, args.memory).await?;
    let rows = wanted.rows(&session, &days, args.limit).await?;
    let complete = report::completeness(&session, &days).await?;
    let text = render(args.format, &wanted, &days, &rows, &complete);
    match &args.output {
        None => out::result(text)?,
        Some(path) => {
            // Whole or not at all.
            let new = path.with_extension("new");
            let written = std::fs::File::create(&new)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .and_then(|()| std::fs::rename(&new, path));
            written.map_err(|source| CliError::File { path: path.clone(), source })?;
        }
    }
    Ok(0)
}

fn days(since: &str, until: Option<&str>) -> Result<Days, CliError> {
    let today = chrono::Utc::now().date_naive();
    let day = |text: &str| text.parse::<chrono::NaiveDate>().ok();
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
    Ok(Days { since: since_day, until })
}

fn render(
    format: Format,
    report: &Report,
    days: &Days,
    rows: &[RecordBatch],
    complete: &Completeness,
) -> String {
    match format {
        Format::Table => {
            // What is only for the picture has no meaning written down.
            let hidden = hidden(report, rows);
            let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
            format!(
                "{}, {} to {}\n\n{}\n{complete}\n{}\n",
                report.title,
                days.since,
                days.until,
                table(rows, &hidden),
                report.note
            )
        }
        Format::Csv => csv(rows),
        Format::Json => {
            let document = json!({
                "schema": "terrarium.report/1",
                "report": report.name,
                "title": report.title,
                "question": report.question,
                "since": days.since.to_string(),
                "until": days.until.to_string(),
                "columns": report.columns.iter().map(|(name, about)| json!({"name": name, "about": about})).collect::<Vec<_>>(),
                "note": report.note,
                "completeness": {
                    "processes": complete.processes, "opted_out": complete.opted_out, "incomplete": complete.incomplete,
                    "lost": complete.lost, "sampled": complete.sampled,
                },
                "rows": objects(rows),
            });
            format!("{document}\n")
        }
        Format::Svg => bar_chart(&chart(report, days, rows, complete), Place::File),
        Format::Html => page(report, days, rows, complete),
    }
}

fn hidden(report: &Report, rows: &[RecordBatch]) -> Vec<String> {
    let names = rows.first().map(RecordBatch::schema);
    let names = names.iter().flat_map(|schema| schema.fields().iter().map(|field| field.name().clone()));
    names.filter(|name| !report.columns.iter().any(|(known, _)| known == name)).collect()
}

fn chart(report: &Report, days: &Days, rows: &[RecordBatch], complete: &Completeness) -> BarChart {
    let bars = objects(rows).into_iter().take(MOST_BARS).map(|row| {
        let text = |name: &String| match &row[name.as_str()] {
            Value::String(text) => text.clone(),
            Value::Null => "—".to_owned(),
            other => other.to_string(),
        };
        let name = report.chart.label.iter().map(text).collect::<Vec<_>>().join(" ");
        let values = report.chart.values.iter().map(|value| row[value.as_str()].as_f64().unwrap_or(0.0));
        Bar { name, values: values.collect(), range: None }
    });
    BarChart {
        id: report.name.to_owned(),
        title: format!("{}, {} to {}", report.title, days.since, days.until),
        axis: report.chart.axis.clone(),
        parts: report.chart.names.clone(),
        bars: bars.collect(),
        layout: Layout::Stacked,
        full: false,
        note: complete.to_string(),
    }
}

/// A page that needs no network and runs no script.
fn page(report: &Report, days: &Days, rows: &[RecordBatch], complete: &Completeness) -> String {
    let picture = bar_chart(&chart(report, days, rows, complete), Place::Page);
    let mut head = String::new();
    let mut columns = Vec::new();
    for (name, about) in &report.columns {
        head.push_str(&format!("<th title=\"{}\">{}</th>", Escaped(about), Escaped(name)));
        columns.push(name.as_str());
    }
    let mut body = String::new();
    for row in objects(rows) {
        body.push_str("<tr>");
        for column in &columns {
            let (class, text) = match &row[*column] {
                Value::Null => ("", String::new()),
                Value::String(text) => ("", text.clone()),
                other => (" class=\"n\"", other.to_string()),
            };
            body.push_str(&format!("<td{class}>{}</td>", Escaped(&text)));
        }
        body.push_str("</tr>\n");
    }
    let meaning: String = report
        .columns
        .iter()
        .map(|(name, about)| format!("<dt>{}</dt><dd>{}</dd>\n", Escaped(name), Escaped(about)))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\nbody{{font:16px/1.5 system-ui,'Segoe UI','DejaVu Sans',Arial,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}}\n\
         svg{{width:100%;height:auto}}table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #dde1e6}}\
         td.n{{text-align:right;font-variant-numeric:tabular-nums}}dt{{font-weight:600}}dd{{margin:0 0 .3rem 1rem}}p.q{{color:#57606a}}\n\
         @media (prefers-color-scheme:dark){{body{{color:#e8eaed;background:#15191e}}th,td{{border-color:#2f3640}}p.q{{color:#a7b0ba}}{DARK_CSS}}}\n</style></head>\n\
         <body><h1>{title}</h1><p class=\"q\">{question} {since} to {until}.</p>\n{picture}\n\
         <table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>\n<p>{complete}</p><p>{note}</p>\n<h2>What the columns mean</h2><dl>\n{meaning}</dl></body></html>\n",
        title = Escaped(&report.title),
        question = Escaped(&report.question),
        since = days.since,
        until = days.until,
        complete = Escaped(&complete.to_string()),
        note = Escaped(&report.note),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_a_report() {
        let of = |since, until| days(since, until).map(|d| (d.since.to_string(), d.until.to_string()));
        assert_eq!(of("2026-11-01", Some("2026-11-03")).unwrap(), ("2026-11-01".into(), "2026-11-03".into()));
        assert!(of("30d", None).is_ok());
        for (since, until) in
            [("x", None), ("2026-13-01", None), ("30d", Some("y")), ("2026-11-03", Some("2026-11-01"))]
        {
            assert!(of(since, until).is_err(), "{since}");
        }
    }
}
