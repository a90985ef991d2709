//! The columns of a series as text, and its figures as JSON.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

use terrarium_chart::quantity::{number, time};
use terrarium_core::Bytes;
use terrarium_core::report::RunReport;
use terrarium_core::sample::{Metric, SeriesStart, Unit};
use terrarium_observe::series::Series;

use super::clock;
use super::figures::{Figures, duration, figures};

/// Name and version of the schema of `--json`.
const SCHEMA: &str = "terrarium.show/1";

/// One row a look, one column a metric, in the units of the series. No data is an empty cell.
pub(super) fn csv(series: &Series) -> String {
    let mut out = String::from("time,elapsed_seconds");
    for metric in Metric::ALL {
        let _ = write!(out, ",{}", metric.name());
    }
    out.push('\n');
    for sample in &series.samples {
        let elapsed = sample.time_ms as f64 / 1e3 - series.start.started;
        let _ = write!(out, "{},{elapsed:.3}", clock::iso(sample.time_ms));
        for metric in Metric::ALL {
            out.push(',');
            if let Some(value) = sample.get(metric) {
                let _ = write!(out, "{value}");
            }
        }
        out.push('\n');
    }
    out
}

/// A total as people read it.
pub(super) fn total(metric: Metric, total: i64) -> String {
    match metric.unit() {
        Unit::Bytes => Bytes(total.max(0) as u64).to_string(),
        Unit::Milliseconds => time(total as f64 / 1e3),
        _ => number(total as f64),
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    schema: &'static str,
    start: &'a SeriesStart,
    duration_seconds: f64,
    looks: usize,
    /// `None` if nothing tells how it ended.
    report: &'a Option<RunReport>,
    damage: &'a Option<String>,
    /// By the names of the columns; `None` is "no data".
    metrics: BTreeMap<&'static str, Option<Described>>,
}

#[derive(Serialize)]
struct Described {
    /// Of min, mean, p95 and max.
    unit: &'static str,
    #[serde(flatten)]
    figures: Figures,
}

/// What `--json` prints.
pub(super) fn json(series: &Series) -> serde_json::Result<String> {
    let described = |metric| Some(Described { unit: unit(metric), figures: figures(series, metric)? });
    let summary = Summary {
        schema: SCHEMA,
        start: &series.start,
        duration_seconds: duration(series),
        looks: series.samples.len(),
        report: &series.report,
        damage: &series.damage,
        metrics: Metric::ALL.into_iter().map(|metric| (metric.name(), described(metric))).collect(),
    };
    serde_json::to_string_pretty(&summary)
}

/// The unit of what [`figures`] says: what was counted is a rate.
fn unit(metric: Metric) -> &'static str {
    use terrarium_chart::Quantity;
    match super::figures::quantity(metric) {
        Quantity::Cpus => "cpus",
        Quantity::Count(_) if metric.unit() == Unit::Index => "index",
        Quantity::Count(_) => "count",
        Quantity::Bytes => "bytes",
        Quantity::BytesPerSecond => "bytes/s",
        Quantity::PerSecond(_) => "1/s",
        Quantity::Percent(_) => "percent",
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    #[test]
    fn no_data_is_an_empty_cell() {
        let text = csv(&examples::moment());
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        assert_eq!(header.len(), 2 + Metric::ALL.len());
        let row: Vec<&str> = lines.next().unwrap().split(',').collect();
        let cell = |name| row[header.iter().position(|h| *h == name).unwrap()];
        assert_eq!((cell("time"), cell("elapsed_seconds")), ("2026-11-22T06:13:20.040Z", "0.040"));
        assert_eq!((cell("processes"), cell("gpu_use_percent"), cell("faults_major")), ("1", "", "0"));
        assert_eq!(lines.count(), 4);
    }

    #[test]
    fn no_data_is_null() {
        let value: serde_json::Value = serde_json::from_str(&json(&examples::steady()).unwrap()).unwrap();
        assert_eq!(value["metrics"]["gpu_use_percent"], serde_json::Value::Null);
        assert_eq!(value["metrics"]["faults_major"]["total"], 0);
        assert_eq!(value["metrics"]["cpu_ms"]["unit"], "cpus");
        assert_eq!(value["report"]["end"]["kind"], "exited");
    }
}
