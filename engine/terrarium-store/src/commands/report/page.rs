//! A report as a page that needs no network and runs no script.

use serde_json::Value;
use terrarium_chart::escape::Escaped;
use terrarium_chart::svg::DARK_CSS;
use terrarium_usage::choice::Choice;
use terrarium_usage::report::Answered;

use super::{below, hidden, objects, picture, title};

pub(super) fn page(answered: &Answered, choice: &Choice) -> String {
    let report = &answered.report;
    let whole = title(answered, choice);
    let picture = picture::draw(answered, &whole, &below(answered, choice), picture::Place::Page);
    let hidden = hidden(answered);
    let columns: Vec<&(String, String)> =
        report.columns.iter().filter(|(name, _)| !hidden.contains(name)).collect();
    let mut head = String::new();
    for (name, about) in &columns {
        head.push_str(&format!("<th title=\"{}\">{}</th>", Escaped(about), Escaped(&name.replace('_', " "))));
    }
    let mut body = String::new();
    for row in objects(&answered.rows) {
        body.push_str("<tr>");
        for (name, _) in &columns {
            let (class, text) = match &row[name.as_str()] {
                Value::Null => ("", String::new()),
                Value::String(text) => ("", text.clone()),
                Value::Bool(yes) => ("", if *yes { "yes" } else { "no" }.to_owned()),
                other => (" class=\"n\"", other.to_string()),
            };
            body.push_str(&format!("<td{class}>{}</td>", Escaped(&text)));
        }
        body.push_str("</tr>\n");
    }
    let meaning: String = columns
        .iter()
        .map(|(name, about)| {
            format!("<dt>{}</dt><dd>{}</dd>\n", Escaped(&name.replace('_', " ")), Escaped(about))
        })
        .collect();
    let notes: String = answered.notes.iter().map(|note| format!("<p>{}</p>\n", Escaped(note))).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\nbody{{font:16px/1.5 system-ui,'Segoe UI','DejaVu Sans',Arial,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}}\n\
         svg{{width:100%;height:auto}}.w{{overflow-x:auto}}table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #dde1e6}}\
         td.n{{text-align:right;font-variant-numeric:tabular-nums}}dt{{font-weight:600}}dd{{margin:0 0 .3rem 1rem}}p.q{{color:#57606a}}\n\
         @media (prefers-color-scheme:dark){{body{{color:#e8eaed;background:#15191e}}th,td{{border-color:#2f3640}}p.q{{color:#a7b0ba}}{DARK_CSS}}}\n</style></head>\n\
         <body><h1>{heading}</h1><p class=\"q\">{question} {about}</p>\n{picture}\n\
         <div class=\"w\"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n<p>{complete}</p><p>{note}</p>\n{notes}<h2>What the columns mean</h2><dl>\n{meaning}</dl></body></html>\n",
        title = Escaped(&whole),
        heading = Escaped(&report.title),
        question = Escaped(&report.question),
        about = Escaped(whole.strip_prefix(&report.title).unwrap_or_default().trim_start_matches([',', ' '])),
        complete = Escaped(&below(answered, choice)),
        note = Escaped(&report.note),
    )
}
