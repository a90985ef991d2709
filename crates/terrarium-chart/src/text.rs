//! A line as text: a small picture of characters for a terminal.

use crate::{Line, TimeChart, runs, scale};

/// Which characters there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Characters {
    /// Blocks in eighths.
    Blocks,
    /// Nothing but ASCII.
    Ascii,
}

/// Size of the picture, without what stands to its left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters.
    pub columns: usize,
    /// Lines of text.
    pub rows: usize,
}

/// One row: what stands at the value axis, and the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Empty or a value.
    pub label: String,
    /// As many characters as columns were asked for.
    pub plot: String,
}

impl Characters {
    fn full(self) -> char {
        if self == Characters::Blocks { '█' } else { '#' }
    }

    fn shade(self) -> char {
        if self == Characters::Blocks { '░' } else { '|' }
    }

    /// In a column of which nothing is known.
    pub fn unknown(self) -> char {
        if self == Characters::Blocks { '·' } else { '?' }
    }

    fn part(self, eighths: usize) -> char {
        match self {
            Characters::Blocks => [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][eighths.min(8)],
            Characters::Ascii => [' ', '.', '.', '.', ':', ':', ':', '#', '#'][eighths.min(8)],
        }
    }

    /// What the characters mean, in a line.
    pub fn legend(self) -> String {
        format!(
            "{} mean of a column, {} up to its highest, {} no data",
            self.full(),
            self.shade(),
            self.unknown()
        )
    }
}

/// What is known of one column.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Column {
    mean: f64,
    highest: f64,
}

/// Draws one line of a chart; its scale is that of the chart's lines and limits. The first row is the highest.
pub fn plot(chart: &TimeChart, line: &Line, size: Size, characters: Characters) -> Vec<Row> {
    let ticks = scale::values(chart.quantity, chart.reach());
    let top = ticks.last().map_or(1.0, |tick| tick.value);
    let columns = columns(line, chart, size.columns);
    let rows = size.rows.max(1);
    let mut picture = Vec::with_capacity(rows);
    for row in (0..rows).rev() {
        let cell = |column: &Option<Column>| match column {
            None if row == 0 => characters.unknown(),
            None => ' ',
            Some(column) => cell(*column, top, row, rows, characters),
        };
        let label = if row + 1 == rows { ticks.last().map(|t| t.label.clone()) } else { None };
        let label = if row == 0 && rows > 1 { Some("0".to_owned()) } else { label };
        picture.push(Row { label: label.unwrap_or_default(), plot: columns.iter().map(cell).collect() });
    }
    picture
}

fn cell(column: Column, top: f64, row: usize, rows: usize, characters: Characters) -> char {
    let eighths = |value: f64| {
        let part = value.max(0.0) / top * rows as f64 * 8.0;
        // What is not 0 does not look like 0.
        let shown = if value > 0.0 { part.max(1.0) } else { 0.0 };
        (shown.round() as usize).saturating_sub(row * 8).min(8)
    };
    match (eighths(column.mean), eighths(column.highest)) {
        (8, _) => characters.full(),
        (mean, highest) if highest > mean && mean == 0 => {
            // Its upper end: as high as it can be told.
            if highest >= 4 || row == 0 { characters.shade() } else { ' ' }
        }
        (mean, _) => characters.part(mean),
    }
}

/// Mean and highest of each column; between two points of a run the values in between.
fn columns(line: &Line, chart: &TimeChart, count: usize) -> Vec<Option<Column>> {
    let duration = if chart.duration > 0.0 { chart.duration } else { 1.0 };
    let width = duration / count.max(1) as f64;
    let mut sums: Vec<(f64, u32, f64)> = vec![(0.0, 0, 0.0); count];
    let runs = runs::of(line, chart.gap);
    for (x, y) in runs.iter().flatten() {
        let column = ((x / width).floor().max(0.0) as usize).min(count.saturating_sub(1));
        if let Some((sum, n, highest)) = sums.get_mut(column) {
            (*sum, *n, *highest) = (*sum + y, *n + 1, highest.max(*y));
        }
    }
    let mut columns: Vec<_> = sums
        .into_iter()
        .map(|(sum, n, highest)| (n > 0).then(|| Column { mean: sum / f64::from(n), highest }))
        .collect();
    for pair in runs.iter().flat_map(|run| run.windows(2)) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let from = ((x0 / width).floor().max(0.0) as usize).saturating_add(1);
        let to = ((x1 / width).floor().max(0.0) as usize).min(count);
        for (i, column) in columns.iter_mut().enumerate().take(to).skip(from) {
            let middle = (i as f64 + 0.5) * width;
            let value = y0 + (y1 - y0) * ((middle - x0) / (x1 - x0)).clamp(0.0, 1.0);
            *column = Some(Column { mean: value, highest: value });
        }
    }
    columns
}

/// The time axis below a picture: ticks, and what stands at them.
pub fn time_axis(duration: f64, columns: usize, characters: Characters) -> [String; 2] {
    let (dash, mark) = if characters == Characters::Blocks { ('─', '┴') } else { ('-', '+') };
    let axis = scale::time(duration, (columns / 12).max(2));
    let mut line = vec![dash; columns];
    let mut labels = vec![' '; columns];
    let mut free = 0;
    for tick in &axis.ticks {
        let at = ((tick.value / duration.max(f64::MIN_POSITIVE) * columns as f64) as usize)
            .min(columns.saturating_sub(1));
        let label = if tick.value == 0.0 { "0".to_owned() } else { format!("{} {}", tick.label, axis.unit) };
        let length = label.chars().count();
        if columns < length {
            continue;
        }
        let start = at.saturating_sub(length / 2).min(columns - length);
        if start < free {
            continue;
        }
        line[at] = mark;
        for (i, c) in label.chars().enumerate() {
            labels[start + i] = c;
        }
        free = start + length + 2;
    }
    [line.into_iter().collect(), labels.into_iter().collect()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantity;
    use crate::testing::{chart, line};
    use proptest::prelude::*;

    fn drawn(points: &[crate::Point], duration: f64, characters: Characters) -> Vec<String> {
        let chart = chart(Quantity::Cpus, duration, vec![line("a", points)]);
        let rows = plot(&chart, &chart.lines[0], Size { columns: 10, rows: 2 }, characters);
        rows.into_iter().map(|row| format!("{:>2}{}", row.label, row.plot)).collect()
    }

    #[test]
    fn a_step_and_a_gap() {
        let points: Vec<_> = (0..10)
            .map(|i| {
                (f64::from(i) + 0.5, [Some(0.0), Some(2.0), None, Some(4.0), Some(0.01)][i as usize / 2])
            })
            .collect();
        assert_eq!(drawn(&points, 10.0, Characters::Blocks), [" 4      ██  ", " 0  ██··██▁▁"]);
        assert_eq!(drawn(&points, 10.0, Characters::Ascii), [" 4      ##  ", " 0  ##??##.."]);
    }

    #[test]
    fn a_spike_of_one_sample_is_seen() {
        let points: Vec<_> =
            (0..1000).map(|i| (f64::from(i), Some(if i == 555 { 4.0 } else { 1.0 }))).collect();
        let rows = drawn(&points, 1000.0, Characters::Blocks);
        assert_eq!(rows, [" 4     ░    ", " 0▄▄▄▄▄▄▄▄▄▄"]);
    }

    #[test]
    fn few_samples_fill_the_columns_between_them() {
        let rows = drawn(&[(0.0, Some(1.0)), (1.0, Some(1.0)), (2.0, Some(1.0))], 2.0, Characters::Blocks);
        assert_eq!(rows, [" 1██████████", " 0██████████"]);
    }

    #[test]
    fn times_stand_at_their_ticks() {
        let [line, labels] = time_axis(600.0, 40, Characters::Ascii);
        assert_eq!(line, "+-------------------+------------------+");
        assert_eq!(labels, "0                 5 min           10 min");
    }

    proptest! {
        #[test]
        fn no_size_and_no_point_breaks_it(
            columns in 0usize..60,
            rows in 0usize..6,
            values in proptest::collection::vec((0.0f64..1e6, proptest::option::of(any::<f64>())), 0..50),
            duration in any::<f64>(),
        ) {
            let mut values = values;
            values.sort_by(|a, b| a.0.total_cmp(&b.0));
            let chart = chart(Quantity::Bytes, duration, vec![line("a", &values)]);
            for characters in [Characters::Blocks, Characters::Ascii] {
                for row in plot(&chart, &chart.lines[0], Size { columns, rows }, characters) {
                    prop_assert_eq!(row.plot.chars().count(), columns);
                }
                for text in time_axis(duration, columns, characters) {
                    prop_assert_eq!(text.chars().count(), columns);
                }
            }
        }
    }
}
