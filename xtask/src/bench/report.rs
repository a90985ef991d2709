//! What a benchmark found, as a table and as JSON.

use std::fmt;
use std::os::unix::fs::PermissionsExt;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::contender::{Absent, Contender};
use super::place::Place;
use super::samples::quantile;

/// On what, and as whom, it was measured.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    kernel: String,
    processor: String,
    cpus: usize,
    account: String,
    terrarium: String,
    tier: String,
}

/// One benchmark.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    name: String,
    question: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One contender in one case.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    case: String,
    contender: String,
    unit: String,
    median: f64,
    /// A quarter of the samples lie below the first, a quarter above the second.
    quartiles: (f64, f64),
    runs: usize,
    /// Medians: this row's by that of the row all are compared with.
    ratio: Option<f64>,
    remark: String,
}

impl Row {
    pub(super) fn new(case: &str, contender: &str, unit: &str, samples: &[f64]) -> Self {
        Self {
            case: case.to_owned(),
            contender: contender.to_owned(),
            unit: unit.to_owned(),
            median: quantile(samples, 0.5),
            quartiles: (quantile(samples, 0.25), quantile(samples, 0.75)),
            runs: samples.len(),
            ratio: None,
            remark: String::new(),
        }
    }

    /// Its samples are ratios already.
    pub(super) fn of_ratios(mut self) -> Self {
        self.ratio = Some(self.median).filter(|ratio| ratio.is_finite());
        self
    }

    pub(super) fn remark(mut self, text: impl Into<String>) -> Self {
        self.remark = text.into();
        self
    }
}

impl Report {
    pub(super) fn new(name: &str, question: &str) -> Self {
        Self { name: name.to_owned(), question: question.to_owned(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a case: its rows are compared with that of the contender `base`.
    pub(super) fn add(&mut self, base: Option<&str>, mut rows: Vec<Row>) {
        if let Some(base) = rows.iter().find(|row| Some(row.contender.as_str()) == base).map(|row| row.median)
        {
            for row in &mut rows {
                row.ratio = Some(row.median / base).filter(|ratio| ratio.is_finite());
            }
        }
        self.rows.append(&mut rows);
    }

    /// Adds a case from the samples of each contender.
    pub(super) fn add_samples(
        &mut self,
        case: &str,
        unit: &str,
        base: &str,
        who: &[Contender],
        samples: &[Vec<f64>],
    ) {
        let rows = who.iter().zip(samples).map(|(who, samples)| Row::new(case, &who.name, unit, samples));
        self.add(Some(base), rows.collect());
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(super) fn absent(&mut self, absent: &[Absent]) {
        self.notes.extend(absent.iter().map(|absent| format!("{}: {}", absent.name, absent.reason)));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.question)?;
        let heads = ["case", "contender", "median", "", "quartiles", "ratio", "runs", ""].map(str::to_owned);
        let cells = self.rows.iter().map(|row| {
            [
                row.case.clone(),
                row.contender.clone(),
                number(row.median),
                row.unit.clone(),
                format!("{}-{}", number(row.quartiles.0), number(row.quartiles.1)),
                row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}")),
                row.runs.to_string(),
                row.remark.clone(),
            ]
        });
        let lines: Vec<[String; 8]> = std::iter::once(heads).chain(cells).collect();
        let widths: [usize; 8] =
            std::array::from_fn(|k| lines.iter().map(|line| line[k].len()).max().unwrap_or(0));
        for line in &lines {
            let mut text = String::from(" ");
            for (k, (cell, width)) in line.iter().zip(widths).enumerate() {
                // Numbers to the right, words to the left.
                text += &if matches!(k, 2 | 4..=6) {
                    format!(" {cell:>width$} ")
                } else {
                    format!(" {cell:<width$} ")
                };
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

/// Three significant digits, or all before the point.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        x if x >= 100.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        x if x >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl Machine {
    pub(super) fn this(account: &Account, place: &Place) -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors
            .lines()
            .find(|line| line.starts_with("model name"))
            .and_then(|line| line.split_once(':'));
        Self {
            kernel: kernel.trim().to_owned(),
            processor: model.map(|(_, model)| model.trim().to_owned()).unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            account: account.to_string(),
            terrarium: place.terrarium.display().to_string(),
            tier: tier(account, place).unwrap_or_else(|| "not known".to_owned()),
        }
    }
}

/// What held a job of this account, from terrarium's own report of one.
fn tier(account: &Account, place: &Place) -> Option<String> {
    let scratch = tempfile::tempdir().ok()?;
    // The account writes into it.
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o777)).ok()?;
    let path = scratch.path().join("report.json");
    account
        .command(&place.terrarium)
        .args(["run", "--quiet", "--report"])
        .arg(&path)
        .args(["--", "/bin/true"])
        .status()
        .ok()?;
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    report["tier"].as_str().map(str::to_owned)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} x {}, Linux {}", self.cpus, self.processor, self.kernel)?;
        writeln!(f, "{} as {}, tier {}", self.terrarium, self.account, self.tier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_medians() {
        let mut report = Report::new("x", "how long?");
        report.add(
            Some("a"),
            vec![Row::new("c", "a", "ms", &[2.0, 1.0, 9.0]), Row::new("c", "b", "ms", &[3.0])],
        );
        let ratios: Vec<Option<f64>> = report.rows.iter().map(|row| row.ratio).collect();
        assert_eq!(ratios, [Some(1.0), Some(1.5)]);
        assert_eq!(
            report.to_string(),
            "x: how long?\n\
             \x20 case  contender  median      quartiles  ratio  runs\n\
             \x20 c     a            2.00  ms  1.50-5.50  1.000     3\n\
             \x20 c     b            3.00  ms  3.00-3.00  1.500     1\n"
        );
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([1234.5, 99.96, 1.2345, 0.0123].map(number), ["1234", "100.0", "1.23", "0.012"]);
    }
}
