//! A matrix of coloured cells.

use std::fmt::Write;

use super::frame::WIDTH;
use super::measure::{Keep, Put, SMALL, widest, width};
use super::palette::{HIGH, LOW, on_cell};
use super::plot::{EDGE, HEAD, note};
use super::{MUTED, Place, document};
use crate::heat::{HeatChart, HeatScale, MOST_NAMES};

/// Names are a little smaller than elsewhere: there are many.
const NAME: f64 = 13.0;
/// From one name to the next.
const NAME_STEP: f64 = 15.0;
const LONGEST_ROW_NAME: f64 = 210.0;
const LONGEST_COLUMN_NAME: f64 = 180.0;
const TOP: f64 = HEAD + 18.0;

/// How large the parts are.
struct Grid {
    left: f64,
    width: f64,
    height: f64,
    rows: usize,
    columns: usize,
}

impl Grid {
    fn of(chart: &HeatChart) -> Self {
        let (rows, columns) = (chart.rows.len().min(MOST_NAMES), chart.columns.len().min(MOST_NAMES));
        let names = widest(chart.rows.iter().take(rows).map(String::as_str), NAME);
        let left = (names + EDGE + 12.0).clamp(110.0, LONGEST_ROW_NAME + EDGE + 12.0);
        let width = ((WIDTH - EDGE - left) / columns.max(1) as f64).min(100.0);
        // Cells are no higher than wide, and the picture about as high as a slide.
        let height = (560.0 / rows.max(1) as f64).clamp(5.0, 34.0).min(width.max(20.0));
        Grid { left, width, height, rows, columns }
    }

    fn right(&self) -> f64 {
        self.left + self.width * self.columns as f64
    }

    fn bottom(&self) -> f64 {
        TOP + self.height * self.rows as f64
    }
}

/// A matrix. In a page, all charts need different `id`s.
pub fn heat_chart(chart: &HeatChart, place: Place) -> String {
    let mut out = String::new();
    let grid = Grid::of(chart);
    key(&mut out, chart, &grid);
    let mut bottom = grid.bottom();
    if grid.rows == 0 || grid.columns == 0 {
        Put::at(WIDTH / 2.0, TOP + 20.0).middle().muted().write(&mut out, "no data");
        bottom = TOP + 36.0;
    } else {
        cells(&mut out, chart, &grid);
        row_names(&mut out, chart, &grid);
        bottom += column_names(&mut out, chart, &grid);
    }
    let text = match chart.left_out() {
        (0, 0) => chart.note.clone(),
        (rows, columns) => {
            format!("{rows} more rows and {columns} more columns are not drawn. {}", chart.note)
        }
    };
    let height = note(&mut out, bottom + 24.0, &text);
    document(&chart.id, &chart.title, &chart.describe(), place, height, &out)
}

/// As short as can be read: `.85`; with a 0 before it where there is room.
fn printed(value: f64, long: bool) -> String {
    let text = format!("{:.2}", value.abs());
    let sign = if value < 0.0 && text != "0.00" { "−" } else { "" };
    match text.as_str() {
        "0.00" => "0".to_owned(),
        "1.00" => format!("{sign}1"),
        _ if long => format!("{sign}{text}"),
        _ => format!("{sign}{}", text.trim_start_matches('0')),
    }
}

fn cells(out: &mut String, chart: &HeatChart, grid: &Grid) {
    let signed = chart.scale == HeatScale::Signed;
    let fits = |text: &str| grid.width >= width(text, SMALL) + 2.0 && grid.height >= 16.0;
    let (long, short) = if signed { ("−0.88", "−.88") } else { ("0.88", ".88") };
    let (print, long) = (fits(short), fits(long));
    // Small cells without lines between them are seen as one picture.
    let gap = if grid.width.min(grid.height) >= 12.0 { 1.0 } else { 0.0 };
    let mut missing = String::new();
    for row in 0..grid.rows {
        for column in 0..grid.columns {
            let (x, y) = (grid.left + grid.width * column as f64, TOP + grid.height * row as f64);
            let Some(value) = chart.value(row, column) else {
                let (right, bottom) = (x + grid.width - gap, y + grid.height - gap);
                let _ = write!(missing, "M{x:.1} {bottom:.1}L{right:.1} {y:.1}");
                continue;
            };
            square(out, (x, y), (grid.width - gap, grid.height - gap), value);
            if print {
                let (class, fill) = on_cell(value.abs(), value < 0.0);
                let at = Put::at(x + (grid.width - gap) / 2.0, y + grid.height / 2.0 + 4.0).middle();
                at.size(SMALL).class(class, fill).write(out, &printed(value, long));
            }
        }
    }
    if !missing.is_empty() {
        let _ = writeln!(
            out,
            "<path class=\"c-axis\" d=\"{missing}\" fill=\"none\" stroke=\"{MUTED}\" stroke-width=\"0.6\"/>"
        );
    }
    let _ = writeln!(
        out,
        "<rect class=\"c-axis\" x=\"{:.1}\" y=\"{TOP:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"none\" \
         stroke=\"{MUTED}\" stroke-width=\"0.8\"/>",
        grid.left - 0.5,
        grid.right() - grid.left + 0.5,
        grid.bottom() - TOP
    );
}

fn square(out: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), value: f64) {
    // Nothing at all is the ground.
    if value.abs() < 0.005 {
        return;
    }
    let (class, colour) = if value < 0.0 { ("c-low", LOW) } else { ("c-high", HIGH) };
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         fill=\"{colour}\" fill-opacity=\"{:.2}\"/>",
        value.abs()
    );
}

fn row_names(out: &mut String, chart: &HeatChart, grid: &Grid) {
    let every = (NAME_STEP / grid.height).ceil().max(1.0) as usize;
    for (i, name) in chart.rows.iter().take(grid.rows).enumerate().step_by(every) {
        let y = TOP + grid.height * (i as f64 + 0.5) + 4.5;
        let at = Put::at(grid.left - 8.0, y).end().size(NAME);
        at.room(LONGEST_ROW_NAME, Keep::Ends).write(out, name);
    }
}

/// Names below the columns: level if all fit, else turned by as much as they need. Returns the room they take.
fn column_names(out: &mut String, chart: &HeatChart, grid: &Grid) -> f64 {
    let names = || chart.columns.iter().take(grid.columns).map(String::as_str);
    let longest = widest(names(), NAME);
    let middle = |i: usize| grid.left + grid.width * (i as f64 + 0.5);
    let y = grid.bottom();
    if longest <= grid.width - 8.0 {
        for (i, name) in names().enumerate() {
            Put::at(middle(i), y + 18.0).middle().size(NAME).write(out, name);
        }
        return 24.0;
    }
    let slope = std::f64::consts::FRAC_1_SQRT_2;
    if grid.width * slope >= NAME_STEP - 2.0 {
        // The first must not leave the picture to the left.
        let room = ((middle(0) - 8.0) / slope).min(LONGEST_COLUMN_NAME);
        for (i, name) in names().enumerate() {
            let at = Put::at(middle(i) + 4.0, y + 14.0).end().size(NAME).turn(-45.0);
            at.room(room, Keep::Ends).write(out, name);
        }
        return 18.0 + longest.min(room) * slope;
    }
    let every = (NAME_STEP / grid.width).ceil().max(1.0) as usize;
    for (i, name) in names().enumerate().step_by(every) {
        let at = Put::at(middle(i) + 4.5, y + 8.0).end().size(NAME).turn(-90.0);
        at.room(LONGEST_COLUMN_NAME, Keep::Ends).write(out, name);
    }
    12.0 + widest(names().step_by(every), NAME).min(LONGEST_COLUMN_NAME)
}

/// Which colour is which value, and what a value is.
fn key(out: &mut String, chart: &HeatChart, grid: &Grid) {
    let (labels, steps): (&[&str], i32) = match chart.scale {
        HeatScale::Share => (&["0", "1"], 10),
        HeatScale::Signed => (&["−1", "1"], 20),
    };
    let (y, long) = (HEAD - 13.0, 160.0);
    let step = long / f64::from(steps + 1);
    let lowest = chart.scale.lowest();
    let [low, high] = labels else { return };
    Put::at(EDGE, HEAD).write(out, low);
    let left = EDGE + width(low, 14.0) + 8.0;
    for i in 0..=steps {
        let value = lowest + (1.0 - lowest) * f64::from(i) / f64::from(steps);
        square(out, (left + step * f64::from(i), y), (step, 15.0), value);
    }
    let _ = writeln!(
        out,
        "<rect class=\"c-axis\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{long:.1}\" height=\"15\" fill=\"none\" \
         stroke=\"{MUTED}\" stroke-width=\"0.8\"/>"
    );
    Put::at(left + long + 8.0, HEAD).write(out, high);
    let mut end = WIDTH - EDGE;
    if (0..grid.rows).any(|row| (0..grid.columns).any(|column| chart.value(row, column).is_none())) {
        end -= width("no data", 14.0);
        Put::at(end, HEAD).muted().write(out, "no data");
        end -= 30.0;
        let _ = writeln!(
            out,
            "<path class=\"c-axis\" d=\"M{end:.1} {:.1}l22 -15\" fill=\"none\" stroke=\"{MUTED}\" stroke-width=\"0.6\"/>\
             <rect class=\"c-axis\" x=\"{end:.1}\" y=\"{y:.1}\" width=\"22\" height=\"15\" fill=\"none\" stroke=\"{MUTED}\" \
             stroke-width=\"0.8\"/>",
            y + 15.0
        );
        end -= 20.0;
    }
    let start = left + long + 36.0;
    Put::at(start, HEAD).muted().room(end - start, Keep::Start).write(out, &chart.key);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_short() {
        for (value, long, short) in [
            (0.0, "0", "0"),
            (0.85, "0.85", ".85"),
            (1.0, "1", "1"),
            (-0.85, "−0.85", "−.85"),
            (-0.001, "0", "0"),
        ] {
            assert_eq!((printed(value, true).as_str(), printed(value, false).as_str()), (long, short));
        }
    }

    #[test]
    fn values_stand_in_twenty_columns_but_not_in_sixty() {
        for (count, printed) in [(20, true), (60, false)] {
            let names: Vec<String> = (0..count).map(|i| format!("package-{i}")).collect();
            let cells = vec![vec![Some(-0.25); count]; count];
            let scale = HeatScale::Signed;
            let chart =
                HeatChart { rows: names.clone(), columns: names, cells, scale, ..HeatChart::default() };
            let svg = heat_chart(&chart, Place::Page);
            assert_eq!(svg.contains(".25</text>"), printed);
        }
    }
}
