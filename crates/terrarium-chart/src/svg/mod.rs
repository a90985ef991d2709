//! Charts as SVG: a frame with axes, and what is drawn in it.
//!
//! Colours stand as attributes, because programs that put pictures on slides know little CSS; a page may replace them by
//! class ([`DARK_CSS`]). Lines also differ in their dashes and carry their names, so that they can be told apart in
//! black and white.

mod bars;
mod curve;
mod dates;
mod frame;
mod heat;
#[cfg(test)]
mod hostile;
mod lines;
mod measure;
mod palette;
mod plot;
mod spread;

use std::fmt::Write;

pub use bars::bar_chart;
pub use curve::curve_chart;
pub use dates::date_chart;
pub use heat::heat_chart;

use crate::escape::Escaped;
use crate::{TimeChart, words};
use frame::{Frame, HEIGHT, TITLE_HEIGHT, WIDTH};
use measure::{Keep, cut};

/// Where a picture is to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of its own: white behind it, always the same colours.
    File,
    /// In a page, whose style sheet may give other colours.
    Page,
}

/// How a line is drawn.
struct Pen {
    colour: &'static str,
    dashes: &'static str,
    width: f64,
}

/// Told apart with any kind of colour vision; all of them dark enough for white paper.
const PENS: [Pen; 8] = [
    Pen { colour: "#0b5cad", dashes: "", width: 2.0 },
    Pen { colour: "#c24a00", dashes: "8 3", width: 2.0 },
    Pen { colour: "#00735a", dashes: "2 3", width: 2.4 },
    Pen { colour: "#7b3fa0", dashes: "9 3 2 3", width: 2.0 },
    Pen { colour: "#b58900", dashes: "16 4", width: 2.2 },
    Pen { colour: "#5c0f3c", dashes: "4 3", width: 2.2 },
    Pen { colour: "#3a9fc4", dashes: "12 3 2 3 2 3", width: 2.2 },
    Pen { colour: "#e0559b", dashes: "1 4", width: 2.8 },
];

/// What the others are compared with.
const REFERENCE: &str = "#8a929b";

const INK: &str = "#1b1f24";
const MUTED: &str = "#57606a";
const GRID: &str = "#dde1e6";

/// For pages with a dark background, by the classes of the parts.
pub const DARK_CSS: &str = "\
.c-ink{fill:#e8eaed}.c-muted{fill:#a7b0ba}.c-grid{stroke:#2f3640}.c-axis,.c-limit{stroke:#a7b0ba}.c-gap{fill:#a7b0ba}\
.c-line0{stroke:#6cb2ff}.c-line1{stroke:#ff9e5e}.c-line2{stroke:#4fd1a5}.c-line3{stroke:#d0a2f2}\
.c-line4{stroke:#ffe88a}.c-line5{stroke:#d8506f}.c-line6{stroke:#b8f2ff}.c-line7{stroke:#ffb3da}.c-ref{stroke:#8f98a3}\
.c-fill0{fill:#6cb2ff}.c-fill1{fill:#ff9e5e}.c-fill2{fill:#4fd1a5}.c-fill3{fill:#d0a2f2}\
.c-fill4{fill:#ffe88a}.c-fill5{fill:#d8506f}.c-fill6{fill:#b8f2ff}.c-fill7{fill:#ffb3da}.c-reffill{fill:#8f98a3}\
.c-part0{fill:#3b79c8}.c-part1{fill:#ffc48a}.c-part2{fill:#2fa583}.c-part3{fill:#f3ebfc}.c-part4{fill:#a32f5f}\
.c-part5{fill:#a6b4bf}.c-on0,.c-on4,.c-onlow{fill:#ffffff}.c-on1,.c-on2,.c-on3,.c-on5,.c-onhigh{fill:#10151b}\
.c-seam{stroke:#15191e}.c-range{stroke:#e8eaed}.c-high{fill:#8cc6ff}.c-low{fill:#ffa25c}";

fn pen(index: usize) -> &'static Pen {
    &PENS[index % PENS.len()]
}

/// Lines over time. In a page, all charts need different `id`s.
pub fn time_chart(chart: &TimeChart, place: Place) -> String {
    let frame = Frame::of(chart);
    let mut body = String::new();
    frame.grid(&mut body);
    lines::gaps(&mut body, &frame, chart);
    lines::limits(&mut body, &frame, chart);
    lines::lines(&mut body, &frame, chart);
    frame.axes(&mut body, lines::has_bands(chart));
    lines::labels(&mut body, &frame, chart);
    document(&chart.id, &chart.title, &words::describe(chart), place, HEIGHT, &body)
}

/// The element around any chart.
fn document(id: &str, title: &str, description: &str, place: Place, height: f64, body: &str) -> String {
    let mut svg = String::new();
    let id = Escaped(id);
    let height = height.ceil();
    // A page has a heading of its own above the picture.
    let above = if place == Place::File { 0.0 } else { TITLE_HEIGHT };
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 {above} {WIDTH} {}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\" font-family=\"system-ui,'Segoe UI','DejaVu Sans',Arial,sans-serif\" \
         font-size=\"14\"",
        height - above
    );
    if place == Place::File {
        let _ = write!(svg, " width=\"{WIDTH}\" height=\"{height}\"");
    }
    let _ = write!(
        svg,
        ">\n<title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
        Escaped(title),
        Escaped(description)
    );
    if place == Place::File {
        let _ = writeln!(svg, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>");
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"30\" font-size=\"19\" font-weight=\"600\" fill=\"{INK}\">{}</text>",
            // Bold letters are a tenth wider.
            Escaped(&cut(title, 19.0 * 1.1, WIDTH - 32.0, Keep::Start))
        );
    }
    svg.push_str(body);
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chart, line};
    use crate::{Limit, Quantity};
    use proptest::prelude::*;

    fn drawn(svg: &str, class: &str) -> Vec<String> {
        let tree = roxmltree::Document::parse(svg).unwrap();
        let of_class = tree.descendants().filter(|n| n.attribute("class") == Some(class));
        of_class.filter_map(|n| n.attribute("d").map(str::to_owned)).collect()
    }

    #[test]
    fn it_is_named_and_described() {
        let mut chart = chart(Quantity::Cpus, 2.0, vec![line("a", &[(1.0, Some(2.0))])]);
        chart.title = "<b>\"&".to_owned();
        for place in [Place::File, Place::Page] {
            let svg = time_chart(&chart, place);
            let tree = roxmltree::Document::parse(&svg).unwrap();
            let root = tree.root_element();
            assert_eq!(root.attribute("role"), Some("img"));
            let labels: Vec<_> = root.attribute("aria-labelledby").unwrap().split(' ').collect();
            for (id, part) in labels.iter().zip(["<b>\"&", "<b>\"&, over 2.0 s. A: 2 CPUs throughout."]) {
                let text =
                    tree.descendants().find(|n| n.attribute("id") == Some(id)).unwrap().text().unwrap();
                assert!(text.starts_with(part), "{text}");
            }
        }
    }

    #[test]
    fn a_gap_is_shown_and_not_bridged_and_not_zero() {
        let points: Vec<_> =
            (0..=20).map(|i| (f64::from(i), (!(5..15).contains(&i)).then_some(3.0))).collect();
        let svg = time_chart(&chart(Quantity::Cpus, 20.0, vec![line("a", &points)]), Place::Page);
        let path = &drawn(&svg, "c-line0")[0];
        assert_eq!(path.matches('M').count(), 2, "{path}");
        let tree = roxmltree::Document::parse(&svg).unwrap();
        assert!(tree.descendants().any(|n| n.text() == Some("no data")));
        assert_eq!(tree.descendants().filter(|n| n.attribute("class") == Some("c-gap")).count(), 1);
    }

    #[test]
    fn every_line_has_a_colour_in_the_dark() {
        for i in 0..PENS.len() {
            assert!(
                DARK_CSS.contains(&format!(".c-line{i}{{")) && DARK_CSS.contains(&format!(".c-fill{i}{{"))
            );
        }
    }

    #[test]
    fn no_data_at_all_is_said() {
        let svg = time_chart(&chart(Quantity::Bytes, 20.0, vec![line("a", &[(1.0, None)])]), Place::File);
        assert!(svg.contains("no data"));
        assert_eq!(drawn(&svg, "c-line0"), [""; 0]);
    }

    /// The highest place that a path reaches.
    fn highest(path: &str) -> i64 {
        let (mut y, mut highest) = (0, i64::MAX);
        for step in
            path.split_inclusive(['M', 'l', 'Z', 'V', 'h']).flat_map(|s| s.split(['M', 'l', 'Z', 'V', 'h']))
        {
            let Some((_, dy)) = step.split_once(' ') else { continue };
            y += dy.parse::<i64>().unwrap();
            highest = highest.min(y);
        }
        highest
    }

    #[test]
    fn many_points_make_a_small_file_that_shows_the_spike() {
        for count in [1000u32, 100_000] {
            let spike = count / 2;
            let value = |i: u32| {
                if i == spike { 4.0 } else { f64::from(i.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 }
            };
            let points: Vec<_> = (0..count).map(|i| (f64::from(i), Some(value(i)))).collect();
            let chart = chart(Quantity::Cpus, f64::from(count), vec![line("a", &points)]);
            let svg = time_chart(&chart, Place::File);
            assert!(svg.len() < 40_000, "{} bytes", svg.len());
            let band = drawn(&svg, "c-fill0 c-line0");
            let path = band.first().cloned().unwrap_or_else(|| drawn(&svg, "c-line0")[0].clone());
            assert_eq!(band.len(), usize::from(count > 10_000));
            let top = (Frame::of(&chart).y(4.0) * 10.0).round() as i64;
            assert!((highest(&path) - top).abs() <= 1, "{count}: {} {top}", highest(&path));
        }
    }

    #[test]
    fn what_stands_alone_is_a_dot() {
        let points: Vec<_> = (0..50).map(|i| (f64::from(i), (i % 10 == 0).then_some(2.0))).collect();
        let svg = time_chart(&chart(Quantity::Cpus, 50.0, vec![line("a", &points)]), Place::Page);
        assert_eq!(drawn(&svg, "c-line0")[0].matches("h0").count(), 5);
    }

    proptest! {
        #[test]
        fn any_chart_is_well_formed(
            names in proptest::collection::vec(any::<String>(), 0..6),
            values in proptest::collection::vec((-1e12f64..1e12, proptest::option::of(any::<f64>())), 0..50),
            duration in any::<f64>(),
            limit in any::<f64>(),
        ) {
            let mut chart = chart(Quantity::Bytes, duration, names.iter().map(|n| line(n, &values)).collect());
            chart.title = names.first().cloned().unwrap_or_default();
            chart.limits = vec![Limit { name: chart.title.clone(), value: limit }];
            for place in [Place::File, Place::Page] {
                let svg = time_chart(&chart, place);
                let tree = roxmltree::Document::parse(&svg).unwrap();
                for attribute in tree.descendants().flat_map(|n| n.attributes().collect::<Vec<_>>()) {
                    prop_assert!(!attribute.value().contains("NaN") && !attribute.value().contains("inf"), "{svg}");
                }
            }
        }
    }
}
