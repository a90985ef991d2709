//! Lines over dates, with their names at their ends.

use std::fmt::Write;

use super::frame::WIDTH;
use super::measure::{Keep, Put, SIZE, widest};
use super::plot::{EDGE, HEAD, LEGEND_ROW, Legend, Plot, Row, note};
use super::spread::spread;
use super::{MUTED, PENS, Pen, Place, REFERENCE, document};
use crate::dates::{DateChart, DateLine, Known, MOST_LINES};
use crate::{days, scale};

const HEIGHT: f64 = 270.0;
/// From one name to the next below it.
const NAME_STEP: f64 = 20.0;
/// What stands between the plot and a name: how the line looks.
const SAMPLE: f64 = 50.0;
/// Longer names stand in a legend, where there is more room.
const LONGEST_NAME: f64 = 230.0;
/// Room for one label of the time axis.
const TICK_ROOM: f64 = 58.0;
/// Fewer points are marked each.
const FEW: usize = 40;
/// More points make lines that go up and down so often that dashes would only add to it.
const MANY: usize = 150;

/// How a line of the chart is drawn, and the number of its classes; no number for the reference.
struct Look {
    pen: Pen,
    class: String,
    fill: String,
}

fn looks(lines: &[DateLine]) -> Vec<Look> {
    let mut next = 0;
    let many = lines.iter().any(|line| line.points.len() > MANY);
    let look = |line: &DateLine| {
        if line.reference {
            let pen = Pen { colour: REFERENCE, dashes: "", width: if many { 2.0 } else { 3.2 } };
            return Look { pen, class: "c-ref".to_owned(), fill: "c-reffill".to_owned() };
        }
        let i = next % PENS.len();
        next += 1;
        let Pen { colour, dashes, width } = PENS[i];
        let pen = if many {
            Pen { colour, dashes: "", width: 1.5 }
        } else {
            Pen { colour, dashes, width: width + 0.3 }
        };
        Look { pen, class: format!("c-line{i}"), fill: format!("c-fill{i}") }
    };
    lines.iter().map(look).collect()
}

/// Lines over dates. In a page, all charts need different `id`s.
pub fn date_chart(chart: &DateChart, place: Place) -> String {
    let lines = chart.lines.get(..MOST_LINES).unwrap_or(&chart.lines);
    let runs: Vec<Vec<Vec<Known>>> = lines.iter().map(|line| line.runs(chart.step)).collect();
    let looks = looks(lines);
    let known = runs.iter().flatten().flatten();
    let highest = known.map(|k| k.band.map_or(k.value, |band| band.1.max(k.value))).fold(0.0, f64::max);
    let values = scale::values(chart.quantity, highest);

    let names: Vec<String> = lines.iter().zip(&runs).map(|(line, runs)| name(line, runs)).collect();
    let longest = widest(names.iter().map(String::as_str), SIZE);
    let in_legend = longest > LONGEST_NAME;
    let left = Plot::left_of(&values);
    let legend = Legend::of(names.iter().map(String::as_str).filter(|_| in_legend), left, SAMPLE - 14.0);
    let top = HEAD + 18.0 + legend.rows as f64 * LEGEND_ROW;
    let beside = if in_legend || longest == 0.0 { 2.0 * EDGE } else { SAMPLE + longest + EDGE };
    let (from, to) = ends(chart);
    let plot = Plot {
        left,
        right: WIDTH - beside,
        top,
        bottom: top + HEIGHT,
        from: from as f64,
        to: to as f64,
        reach: values.last().map_or(1.0, |tick| tick.value),
    };

    let mut out = String::new();
    let has_data = runs.iter().any(|runs| !runs.is_empty());
    plot.values(&mut out, &values, &chart.axis());
    if has_data {
        // Beside a single day there is nothing to miss.
        if chart.ends().is_some_and(|(from, to)| from < to) {
            gaps(&mut out, &plot, &runs);
        }
        // What the others are compared with does not hide them.
        let (below, above): (Vec<usize>, Vec<usize>) = (0..lines.len()).partition(|i| lines[*i].reference);
        for i in below.iter().chain(&above) {
            bands(&mut out, &plot, &looks[*i], &runs[*i]);
        }
        // The first is the most important.
        for i in below.iter().chain(above.iter().rev()) {
            draw(&mut out, &plot, &looks[*i], &runs[*i]);
        }
        time_axis(&mut out, &plot, chart);
    } else {
        plot.no_data(&mut out);
    }
    plot.base(&mut out);
    if in_legend {
        for ((look, name), (x, row, room)) in looks.iter().zip(&names).zip(&legend.places) {
            let y = HEAD + 22.0 + *row as f64 * LEGEND_ROW;
            sample(&mut out, look, *x, y - 5.0);
            Put::at(*x + SAMPLE - 14.0, y).room(*room, Keep::Ends).write(&mut out, name);
        }
    } else if longest > 0.0 {
        labels(&mut out, &plot, &looks, &names, &runs);
    }
    let mut text = chart.note.clone();
    if chart.left_out() > 0 {
        text = format!("{} more lines are not drawn. {text}", chart.left_out());
    }
    let height = note(&mut out, plot.bottom + 66.0, &text);
    document(&chart.id, &chart.title, &chart.describe(), place, height, &out)
}

fn name(line: &DateLine, runs: &[Vec<Known>]) -> String {
    if runs.is_empty() { format!("{}: no data", line.name) } else { line.name.clone() }
}

/// One day alone stands in the middle.
fn ends(chart: &DateChart) -> (i64, i64) {
    match chart.ends() {
        None => (0, 1),
        Some((from, to)) if from == to => (from - chart.step.longest(), to + chart.step.longest()),
        Some(ends) => ends,
    }
}

/// Where no line is known, and more than a point is missing.
fn gaps(out: &mut String, plot: &Plot, runs: &[Vec<Vec<Known>>]) {
    let ends = |run: &Vec<Known>| Some((run.first()?.day, run.last()?.day));
    let mut spans: Vec<(i64, i64)> = runs.iter().flatten().filter_map(ends).collect();
    spans.sort_unstable();
    let mut known = plot.left;
    let end = (plot.to as i64, plot.to as i64);
    for (from, to) in spans.into_iter().chain([end]) {
        let (from, to) = (plot.x(from as f64), plot.x(to as f64));
        if from > known + 1.0 {
            let (width, height) = (from - known, plot.bottom - plot.top);
            let _ = writeln!(
                out,
                "<rect class=\"c-gap\" x=\"{known:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                 fill=\"{MUTED}\" fill-opacity=\"0.13\"/>",
                plot.top
            );
            if width > 70.0 {
                let y = (plot.top + plot.bottom) / 2.0;
                Put::at(known + width / 2.0, y).middle().muted().write(out, "no data");
            }
        }
        known = known.max(to);
    }
}

fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut d = String::new();
    for (x, y) in points {
        let _ = write!(d, "{}{x:.1} {y:.1}", if d.is_empty() { "M" } else { "L" });
    }
    d
}

/// From the lowest to the highest that values may be.
fn bands(out: &mut String, plot: &Plot, look: &Look, runs: &[Vec<Known>]) {
    let mut d = String::new();
    for run in runs.iter().flat_map(|run| run.chunk_by(|a, b| a.band.is_some() == b.band.is_some())) {
        let side = |of: fn((f64, f64)) -> f64| {
            run.iter().filter_map(move |k| Some((plot.x(k.day as f64), plot.y(of(k.band?)))))
        };
        // A point without neighbours has a band as wide as a mark.
        let there: Vec<(f64, f64)> = side(|band| band.1).collect();
        let back: Vec<(f64, f64)> = side(|band| band.0).collect();
        match (there.as_slice(), back.as_slice()) {
            ([], _) | (_, []) => {}
            ([high], [low]) => {
                let (l, r) = (high.0 - 4.0, high.0 + 4.0);
                d += &path([(l, high.1), (r, high.1), (r, low.1), (l, low.1)]);
                d.push('Z');
            }
            _ => {
                d += &path(there.into_iter().chain(back.into_iter().rev()));
                d.push('Z');
            }
        }
    }
    if !d.is_empty() {
        let (class, colour) = (&look.fill, look.pen.colour);
        let _ = writeln!(out, "<path class=\"{class}\" d=\"{d}\" fill=\"{colour}\" fill-opacity=\"0.18\"/>");
    }
}

fn draw(out: &mut String, plot: &Plot, look: &Look, runs: &[Vec<Known>]) {
    let at = |k: &Known| (plot.x(k.day as f64), plot.y(k.value));
    let (dots, runs): (Vec<&Vec<Known>>, Vec<&Vec<Known>>) = runs.iter().partition(|run| run.len() == 1);
    let d: String = runs.iter().map(|run| path(run.iter().map(at))).collect();
    stroke(out, look, &d);
    let count: usize = runs.iter().map(|run| run.len()).sum();
    let marked = runs.into_iter().flatten().filter(|_| count <= FEW);
    let width = look.pen.width;
    // What stands alone must be seen without a line that leads to it.
    for (marks, width) in [
        (marked.map(|k| path([at(k)]) + "h0").collect::<String>(), width + 3.2),
        (dots.into_iter().flatten().map(|k| path([at(k)]) + "h0").collect(), width + 4.6),
    ] {
        if !marks.is_empty() {
            let _ = writeln!(
                out,
                "<path class=\"{}\" d=\"{marks}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width:.1}\" \
                 stroke-linecap=\"round\"/>",
                look.class, look.pen.colour
            );
        }
    }
}

fn stroke(out: &mut String, look: &Look, d: &str) {
    if d.is_empty() {
        return;
    }
    let Pen { colour, dashes, width } = look.pen;
    let _ = write!(
        out,
        "<path class=\"{}\" d=\"{d}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width:.1}\" \
         stroke-linejoin=\"round\"",
        look.class
    );
    if !dashes.is_empty() {
        let _ = write!(out, " stroke-dasharray=\"{dashes}\"");
    }
    out.push_str("/>\n");
}

fn sample(out: &mut String, look: &Look, x: f64, y: f64) {
    stroke(out, look, &format!("M{x:.1} {y:.1}h28"));
}

/// Names where the lines end.
fn labels(out: &mut String, plot: &Plot, looks: &[Look], names: &[String], runs: &[Vec<Vec<Known>>]) {
    let last = |i: usize| runs.get(i).and_then(|runs| runs.last()?.last());
    let wanted = |i: usize| last(i).map_or(plot.bottom, |known| plot.y(known.value));
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|a, b| wanted(*a).total_cmp(&wanted(*b)));
    let places: Vec<f64> = order.iter().map(|i| wanted(*i)).collect();
    let places = spread(&places, NAME_STEP, plot.top, plot.bottom).unwrap_or(places);
    for (i, y) in order.into_iter().zip(places) {
        let x = plot.right + SAMPLE - 36.0;
        // From the line's end to its name, if the name had to move.
        if last(i).is_some_and(|known| plot.x(known.day as f64) >= plot.right - 1.0)
            && (y - wanted(i)).abs() > 3.0
        {
            let _ = writeln!(
                out,
                "<path class=\"c-axis\" d=\"M{:.1} {:.1}L{:.1} {y:.1}\" fill=\"none\" stroke=\"{MUTED}\" \
                 stroke-width=\"0.8\"/>",
                plot.right + 4.0,
                wanted(i),
                x - 2.0
            );
        }
        let muted = last(i).is_none();
        if !muted {
            sample(out, &looks[i], x, y);
        }
        let at = Put::at(plot.right + SAMPLE, y + 5.0).room(LONGEST_NAME, Keep::Ends);
        if muted { at.muted() } else { at }.write(out, &names[i]);
    }
}

fn time_axis(out: &mut String, plot: &Plot, chart: &DateChart) {
    let Some((from, to)) = chart.ends() else { return };
    let most = ((plot.right - plot.left) / TICK_ROOM) as usize;
    let (mut labels, mut years) = (Row::new(), Row::new());
    for tick in days::ticks(from, to, chart.step, most) {
        let x = plot.x(tick.day as f64);
        plot.tick(out, x);
        if labels.takes(x, &tick.label) {
            Put::at(x, plot.bottom + 22.0).middle().write(out, &tick.label);
        }
        if let Some(year) = tick.year.filter(|year| years.takes(x, year)) {
            Put::at(x, plot.bottom + 40.0).middle().muted().write(out, &year);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantity;
    use crate::dates::DatePoint;
    use crate::days::Step;

    fn line(name: &str, values: &[f64]) -> DateLine {
        let point = |(i, value): (usize, &f64)| DatePoint { day: i as i32, value: Some(*value), band: None };
        DateLine {
            name: name.to_owned(),
            points: values.iter().enumerate().map(point).collect(),
            reference: false,
        }
    }

    fn drawn(lines: Vec<DateLine>) -> String {
        let (id, title, axis, note) = ("x".to_owned(), "X".to_owned(), "users".to_owned(), String::new());
        let chart =
            DateChart { id, title, axis, quantity: Quantity::Count("users"), step: Step::Day, lines, note };
        date_chart(&chart, Place::File)
    }

    #[test]
    fn what_others_are_compared_with_lies_below_them() {
        let mut all = line("all", &[5.0, 6.0]);
        all.reference = true;
        let svg = drawn(vec![line("numpy", &[1.0, 2.0]), all]);
        assert!(svg.find("class=\"c-ref\"") < svg.find("class=\"c-line0\""));
    }

    #[test]
    fn zero_is_drawn_and_nothing_is_said() {
        let svg = drawn(vec![line("nose", &[0.0, 0.0])]);
        assert!(svg.contains("class=\"c-line0\"") && svg.contains(">1</text>") && !svg.contains("no data"));
        assert!(drawn(vec![]).contains("no data") && drawn(vec![line("a", &[f64::NAN])]).contains("no data"));
    }

    #[test]
    fn long_names_stand_in_a_legend() {
        let name = "SciPy-bundle/2025.06-gfbf-2025a with mpi4py";
        for (name, width) in [("numpy", None), (name, Some(()))] {
            let svg = drawn(vec![line(name, &[1.0, 2.0])]);
            let text = format!(">{name}</text>");
            let at = svg.lines().find(|line| line.contains(&text)).unwrap();
            assert_eq!(at.contains("y=\"78.0\"").then_some(()), width, "{at}");
        }
    }
}
