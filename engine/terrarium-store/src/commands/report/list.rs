//! `terrarium report list`.

use serde_json::json;
use terrarium_usage::report::Report;

use crate::cli::Format;
use crate::error::CliError;
use crate::out;

/// All reports, for people or programs; or the page of the reference.
pub(super) fn print(all: &[Report], format: Format, is_markdown: bool) -> Result<(), CliError> {
    match format {
        _ if is_markdown => out::result(markdown(all)),
        Format::Json => {
            let of = |report: &Report| {
                json!({
                    "name": report.name, "title": plain(report, &report.title), "question": plain(report, &report.question), "libraries": report.libraries,
                    "by": report.by, "step": report.step, "reads_rows": report.is_raw, "public": report.public,
                    "columns": report.columns.iter().map(|(name, about)| json!({"name": plain(report, name), "about": plain(report, about)})).collect::<Vec<_>>(),
                    "note": report.note,
                })
            };
            out::result(format_args!("{}\n", json!(all.iter().map(of).collect::<Vec<_>>())))
        }
        _ => {
            let width = all.iter().map(|report| report.name.len()).max().unwrap_or(0);
            for report in all {
                out::result(format_args!("{:width$}  {}\n", report.name, plain(report, &report.question)))?;
            }
            Ok(())
        }
    }
}

/// A text as it is where nobody says otherwise.
fn plain(report: &Report, text: &str) -> String {
    let library = report.libraries.as_ref().and_then(|names| names.first());
    text.replace("{step}", report.step.as_deref().unwrap_or("month"))
        .replace("{library}", library.map_or("a library", String::as_str))
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
            text.push_str(&format!("| `{}` | {} |\n", plain(report, column), plain(report, about)));
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
            text.push_str(&format!(" `--public`: by {}.", plain(report, &public.join(", "))));
        }
        text.push_str("\n\n");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_has_them_as_they_are() {
        let page = include_str!("../../../../../docs/reference/reports.md");
        let made = super::markdown(&terrarium_usage::report::all());
        assert!(
            page.contains(&made),
            "put `terrarium-store report list --markdown` into docs/reference/reports.md"
        );
    }
}
