//! `terrarium report list`.

use serde_json::json;
use terrarium_usage::report::Report;

use crate::cli::Format;
use crate::error::CliError;
use crate::out;

/// All reports, for people or programs; or the page of the reference.
pub(super) fn print(all: &[Report], format: Format) -> Result<(), CliError> {
    match format {
        Format::Json => {
            let of = |report: &Report| {
                json!({
                    "name": report.name, "title": report.title, "question": report.question, "libraries": report.libraries,
                    "by": report.by, "step": report.step, "reads_rows": report.is_raw, "public": report.public,
                    "columns": report.columns.iter().map(|(name, about)| json!({"name": name, "about": about})).collect::<Vec<_>>(),
                    "note": report.note,
                })
            };
            out::result(format_args!("{}\n", json!(all.iter().map(of).collect::<Vec<_>>())))
        }
        Format::Html => out::result(markdown(all)),
        _ => {
            let width = all.iter().map(|report| report.name.len()).max().unwrap_or(0);
            for report in all {
                out::result(format_args!("{:width$}  {}\n", report.name, report.question))?;
            }
            Ok(())
        }
    }
}

/// The part of docs/reference/reports.md that is made from the reports.
fn markdown(all: &[Report]) -> String {
    let mut text = String::new();
    for report in all {
        let name = report.name;
        let libraries = match &report.libraries {
            Some(_) => " [LIBRARY]...",
            None => "",
        };
        text.push_str(&format!(
            "### `{name}{libraries}`\n\n{}\n\n| column | |\n|---|---|\n",
            report.question
        ));
        for (column, about) in &report.columns {
            text.push_str(&format!("| `{column}` | {about} |\n"));
        }
        text.push_str(&format!("\n{}", report.note));
        if let Some(libraries) = report.libraries.as_ref().filter(|names| !names.is_empty()) {
            text.push_str(&format!(" Without libraries named: {}.", libraries.join(", ")));
        }
        if report.by.len() > 1 {
            text.push_str(&format!(" `--by`: {}.", report.by.join(", ")));
        }
        if let Some(step) = &report.step {
            text.push_str(&format!(" `--step`: {step}, if nobody says otherwise."));
        }
        if report.is_raw {
            text.push_str(" Reads rows.");
        }
        if let Some(public) = &report.public {
            text.push_str(&format!(" `--public`: by {}.", public.join(", ")));
        }
        text.push_str("\n\n");
    }
    text
}
