//! A matrix: how much of each thing goes with each other.

use crate::quantity;

/// Rows or columns beyond this are told and not drawn: nobody could see them.
pub const MOST_NAMES: usize = 120;

/// A matrix of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatChart {
    /// Short name: lower-case letters and `-`. It becomes a file name and part of XML names.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// What a value is: `share of the row's users who use the column too`.
    pub key: String,
    /// From where to where values go.
    pub scale: HeatScale,
    /// Names of the rows, from above.
    pub rows: Vec<String>,
    /// Names of the columns, from the left.
    pub columns: Vec<String>,
    /// For each row a value for each column. `None`, what is not finite, and what is not there is no data.
    pub cells: Vec<Vec<Option<f64>>>,
    /// Below: where the figures come from, and what is missing in them.
    pub note: String,
}

/// From where to where values go; what is beyond is drawn as the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeatScale {
    /// 0 to 1: from the ground's colour to blue.
    #[default]
    Share,
    /// -1 to 1: from orange over the ground's colour to blue.
    Signed,
}

impl HeatScale {
    /// The lowest value.
    pub(crate) fn lowest(self) -> f64 {
        if self == HeatScale::Share { 0.0 } else { -1.0 }
    }
}

impl HeatChart {
    /// A value within the scale.
    pub(crate) fn value(&self, row: usize, column: usize) -> Option<f64> {
        let value = self.cells.get(row)?.get(column).copied().flatten().filter(|value| value.is_finite())?;
        Some(value.clamp(self.scale.lowest(), 1.0))
    }

    /// Rows and columns that are not drawn because there are too many.
    pub fn left_out(&self) -> (usize, usize) {
        (self.rows.len().saturating_sub(MOST_NAMES), self.columns.len().saturating_sub(MOST_NAMES))
    }

    /// The chart in words, for those who do not see it.
    pub fn describe(&self) -> String {
        let (height, width) = (self.rows.len(), self.columns.len());
        let mut cells: Vec<(f64, usize, usize)> = Vec::new();
        let mut missing = 0;
        for row in 0..height.min(MOST_NAMES) {
            for column in 0..width.min(MOST_NAMES) {
                let Some(value) = self.value(row, column) else {
                    missing += 1;
                    continue;
                };
                // What goes with itself, and the other half of what is the same both ways, says nothing.
                let mirrored = row > column
                    && self.rows.get(row) == self.columns.get(row)
                    && self.rows.get(column) == self.columns.get(column)
                    && self.value(column, row) == Some(value);
                if self.rows.get(row) != self.columns.get(column) && !mirrored {
                    cells.push((value, row, column));
                }
            }
        }
        if cells.is_empty() && missing == height.min(MOST_NAMES) * width.min(MOST_NAMES) {
            return format!("{}: no data.", self.title);
        }
        cells.sort_by(|a, b| b.0.total_cmp(&a.0));
        let say = |cell: &(f64, usize, usize)| {
            let name = |names: &[String], i: usize| names.get(i).cloned().unwrap_or_default();
            format!(
                "{} and {} {}",
                name(&self.rows, cell.1),
                name(&self.columns, cell.2),
                quantity::number(cell.0)
            )
        };
        let mut text = format!("{}, {height} rows and {width} columns, {}.", self.title, self.key);
        let highest: Vec<String> = cells.iter().take(5).map(say).collect();
        if !highest.is_empty() {
            text += &format!(" Highest: {}.", highest.join(", "));
        }
        if let Some(lowest) = cells.last().filter(|_| cells.len() > 5) {
            text += &format!(" Lowest: {}.", say(lowest));
        }
        if missing > 0 {
            text += &format!(" No data in {missing} cells.");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_are_told() {
        let names = vec!["numpy".to_owned(), "torch".to_owned()];
        let mut chart = HeatChart {
            title: "Together".to_owned(),
            key: "share".to_owned(),
            rows: names.clone(),
            columns: names,
            cells: vec![vec![Some(1.0), Some(0.5)], vec![Some(0.5), None]],
            ..HeatChart::default()
        };
        assert_eq!(
            chart.describe(),
            "Together, 2 rows and 2 columns, share. Highest: numpy and torch 0.50. No data in 1 cells."
        );
        chart.cells = vec![vec![Some(f64::NAN)]];
        assert_eq!(chart.describe(), "Together: no data.");
    }
}
