//! A series as one page that needs nothing else: pictures inside, a table behind each, no scripts.

use std::fmt::Write;

use terrarium_chart::escape::Escaped;
use terrarium_chart::svg::{DARK_CSS, Place, time_chart};
use terrarium_chart::{Line, TimeChart, quantity, runs, words};
use terrarium_core::sample::{Kind, Metric};
use terrarium_observe::series::Series;

use super::charts::{Drawn, charts};
use super::facts;

/// More rows than this are put together: the numbers themselves are in the series and its CSV.
const ROWS: usize = 60;

const CSS: &str = "\
:root{color-scheme:light dark;--back:#fff;--card:#fff;--ink:#1b1f24;--muted:#57606a;--edge:#d5dae0;--note:#fff6e0;--note-edge:#b07a00}\
*{box-sizing:border-box}\
body{margin:0 auto;padding:1.5rem;max-width:64rem;background:var(--back);color:var(--ink);\
font:1rem/1.5 system-ui,'Segoe UI','DejaVu Sans',Arial,sans-serif}\
h1{font:600 1.35rem/1.35 ui-monospace,'DejaVu Sans Mono',Consolas,monospace;margin:0 0 1rem;overflow-wrap:anywhere}\
h2{font-size:1.1rem;margin:0 0 .25rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1.25rem;margin:0 0 1rem}\
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}\
.note{margin:.5rem 0;padding:.5rem .9rem;border-left:.3rem solid var(--note-edge);background:var(--note);overflow-wrap:anywhere}\
figure{margin:1.25rem 0;padding:1rem;border:1px solid var(--edge);border-radius:.5rem;background:var(--card)}\
figure svg{display:block;width:100%;height:auto}\
figcaption,footer,.far{color:var(--muted);font-size:.9rem}\
details{margin-top:.5rem}summary{cursor:pointer;color:var(--muted);font-size:.9rem}\
.scroll{overflow-x:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;margin:.5rem 0}\
th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid var(--edge);white-space:nowrap}\
th:first-child,td:first-child{text-align:left;padding-left:0}thead th{color:var(--muted);font-weight:600}\
td.none{color:var(--muted);font-style:italic}\
@media screen and (prefers-color-scheme:dark){:root{--back:#0f1216;--card:#161a20;--ink:#e8eaed;--muted:#a7b0ba;--edge:#2f3640;\
--note:#2b2413;--note-edge:#e0a83c}DARK}\
@media print{:root{color-scheme:light}body{padding:0;max-width:none;font-size:10pt}\
figure{break-inside:avoid;margin:.4rem 0;padding:0;border:0}figure svg{width:86%}.note{border:1px solid #999;border-left-width:.3rem}details:not([open]){display:none}}";

/// The whole page.
pub(super) fn page(series: &Series) -> String {
    let mut out = String::new();
    let command = facts::command(series);
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         base-uri 'none'; form-action 'none'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"referrer\" content=\"no-referrer\"/>\n<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
        Escaped(&command),
        CSS.replace("DARK", DARK_CSS)
    );
    let _ = writeln!(out, "<h1>{}</h1>\n<dl>", Escaped(&command));
    for (name, text) in facts::facts(series) {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(&text));
    }
    out.push_str("</dl>\n");
    for (note, hint) in facts::notes(series) {
        let hint = hint.map(|hint| format!("<br/>Hint: {}", Escaped(&hint))).unwrap_or_default();
        let _ = writeln!(out, "<p class=\"note\" role=\"note\">{}{hint}</p>", Escaped(&capital(&note)));
    }
    let (drawn, missing) = charts(series);
    for drawn in &drawn {
        figure(&mut out, drawn);
    }
    if !missing.is_empty() && !series.samples.is_empty() {
        let _ = writeln!(out, "<p class=\"far\">No data: {}.</p>", Escaped(&missing.join(", ")));
    }
    if !series.samples.is_empty() {
        figures_table(&mut out, series);
    }
    let _ = write!(
        out,
        "</main>\n<footer><p>Means and percentiles count each value for the time since the one before. Figures are those of the \
         looks; what happened between two of them is in totals and peaks of the cgroup only. \
         Made by terrarium {}.</p></footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn figure(out: &mut String, drawn: &Drawn) {
    let chart = &drawn.chart;
    let _ = write!(
        out,
        "<figure>\n<h2>{}</h2>\n{}<figcaption>{}</figcaption>\n<details><summary>Numbers</summary>\n<div class=\"scroll\">",
        Escaped(&chart.title),
        time_chart(chart, Place::Page),
        Escaped(&words::describe(chart))
    );
    numbers(out, drawn);
    out.push_str("</div>\n</details>\n</figure>\n");
}

/// The table behind a chart: mean and highest of each line, in slices of time.
fn numbers(out: &mut String, drawn: &Drawn) {
    let chart = &drawn.chart;
    out.push_str("<table>\n<thead><tr><th scope=\"col\">from</th><th scope=\"col\">to</th>");
    for line in &chart.lines {
        let name = Escaped(&line.name);
        let _ = write!(out, "<th scope=\"col\">{name}, mean</th><th scope=\"col\">{name}, highest</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (from, to) in slices(chart) {
        let _ = write!(out, "<tr><td>{}</td><td>{}</td>", quantity::time(from), quantity::time(to));
        for line in &chart.lines {
            match within(line, from, to) {
                Some((mean, highest)) => {
                    for value in [mean, highest] {
                        let _ = write!(out, "<td>{}</td>", Escaped(&chart.quantity.format(value)));
                    }
                }
                None => out.push_str("<td class=\"none\">no data</td><td class=\"none\">no data</td>"),
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
    if drawn.metrics.iter().any(|metric| metric.kind() == Kind::Delta) {
        out.push_str("<p class=\"far\">Each rate is over the time since the look before.</p>\n");
    }
}

/// Slices of equal length, or from look to look if there are few.
fn slices(chart: &TimeChart) -> Vec<(f64, f64)> {
    let mut times: Vec<f64> = chart
        .lines
        .iter()
        .flat_map(|line| runs::of(line, chart.gap))
        .flatten()
        .map(|point| point.0)
        .collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    if times.len() <= ROWS {
        return times.iter().scan(0.0, |from, to| Some((std::mem::replace(from, *to), *to))).collect();
    }
    let length = chart.duration / ROWS as f64;
    (0..ROWS).map(|i| (i as f64 * length, (i + 1) as f64 * length)).collect()
}

/// Mean and highest of what lies after `from`, up to `to`.
fn within(line: &Line, from: f64, to: f64) -> Option<(f64, f64)> {
    // A look at the very start belongs to the first slice.
    let inside = |x: f64| x <= to && (x > from || from == 0.0);
    let values: Vec<f64> = line.points.iter().filter(|(x, _)| inside(*x)).filter_map(|(_, y)| *y).collect();
    let highest = values.iter().copied().reduce(f64::max)?;
    Some((values.iter().sum::<f64>() / values.len() as f64, highest))
}

fn figures_table(out: &mut String, series: &Series) {
    out.push_str(
        "<h2>All figures</h2>\n<div class=\"scroll\">\n<table>\n<thead><tr><th scope=\"col\">what</th>\
         <th scope=\"col\">lowest</th><th scope=\"col\">mean</th><th scope=\"col\">95 %</th>\
         <th scope=\"col\">highest</th><th scope=\"col\">total</th><th scope=\"col\">column</th></tr></thead>\n<tbody>\n",
    );
    for metric in Metric::ALL {
        let [name, cells @ ..] = facts::row(series, metric);
        let _ = write!(
            out,
            "<tr><th scope=\"row\" title=\"{}\">{}</th>",
            Escaped(metric.meaning()),
            Escaped(&name)
        );
        if cells[1].is_empty() {
            out.push_str("<td class=\"none\" colspan=\"5\">no data</td>");
        } else {
            for cell in cells {
                let _ = write!(out, "<td>{}</td>", Escaped(&cell));
            }
        }
        let _ = writeln!(out, "<td><code>{}</code></td></tr>", metric.name());
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    #[test]
    fn pages_are_well_formed_and_hold_nothing_foreign() {
        for (name, series) in examples::all() {
            let page = page(&series);
            // Written so that it is XML as well, which can be checked to the last bracket.
            let tree = roxmltree::Document::parse_with_options(
                &page,
                roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() },
            )
            .unwrap_or_else(|error| panic!("{name}: {error}"));
            let ids: Vec<_> = tree.descendants().filter_map(|n| n.attribute("id")).collect();
            let different: std::collections::HashSet<_> = ids.iter().collect();
            assert_eq!(ids.len(), different.len(), "{name}");
            for node in tree.descendants().filter(roxmltree::Node::is_element) {
                assert!(
                    !["script", "link", "img", "iframe", "image"].contains(&node.tag_name().name()),
                    "{name}"
                );
                for attribute in node.attributes() {
                    assert!(!attribute.name().starts_with("on") && attribute.name() != "href", "{name}");
                    assert!(attribute.name() != "style", "{name}");
                }
            }
            // The namespace of SVG is a name, not an address that anything is loaded from.
            assert!(!page.replace("http://www.w3.org/2000/svg", "").contains("://"), "{name}");
            assert!(!page.contains("url("), "{name}");
            assert!(page.len() < 900_000, "{name}: {}", page.len());
            let figures = tree.descendants().filter(|n| n.has_tag_name("figure"));
            for figure in figures {
                assert!(figure.descendants().any(|n| n.has_tag_name("table")), "{name}");
            }
            if let Some(directory) = std::env::var_os("TERRARIUM_TEST_OUT") {
                std::fs::write(std::path::Path::new(&directory).join(format!("{name}.html")), &page).unwrap();
                for drawn in charts(&series).0 {
                    let file =
                        std::path::Path::new(&directory).join(format!("{name}-{}.svg", drawn.chart.id));
                    std::fs::write(file, time_chart(&drawn.chart, Place::File)).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_table_tells_no_data_from_zero() {
        let page = page(&examples::gaps());
        assert!(page.contains("<td class=\"none\">no data</td>"));
        assert!(!page.contains("NaN"));
        let chart = &charts(&examples::day()).0[1].chart;
        assert_eq!(slices(chart).len(), ROWS);
        let highest =
            slices(chart).into_iter().filter_map(|(a, b)| within(&chart.lines[0], a, b)).map(|v| v.1);
        assert_eq!(highest.fold(0.0, f64::max), 40.0 * 1024f64.powi(3));
    }
}
