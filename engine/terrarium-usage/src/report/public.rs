//! The public form of a report: how many people, for fixed periods and groupings, in steps.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use chrono::{Datelike, NaiveDate};
use terrarium_rollup::{Dimension, PublicQuestion, Value, Wanted, public};

use crate::error::{Error, Result};
use crate::rollup::Source;

use super::{Asked, Chart, Report, unfit};

/// First and last day of the month, quarter and year of a day: of so many months.
fn around(day: NaiveDate, months: u32) -> Option<(NaiveDate, NaiveDate)> {
    let month = day.month0() / months * months;
    let first = NaiveDate::from_ymd_opt(day.year(), month + 1, 1)?;
    let last = first.checked_add_months(chrono::Months::new(months))?.pred_opt()?;
    Some((first, last))
}

/// The time asked for, and those around it that may be asked for as well; `None`: it is none of those.
fn periods(asked: &Asked) -> Option<Vec<(NaiveDate, NaiveDate)>> {
    let asked_for = (asked.choice.since, asked.choice.until);
    let all: Vec<_> = [1, 3, 12].into_iter().filter_map(|months| around(asked_for.0, months)).collect();
    let place = all.iter().position(|period| *period == asked_for)?;
    Some(all[place..].to_vec())
}

fn days(date: NaiveDate) -> i32 {
    (date - NaiveDate::default()).num_days() as i32
}

/// Days that are read: those of all periods around.
pub(super) fn span(asked: &Asked) -> Option<(i32, i32)> {
    asked.public?;
    let last = periods(asked)?.pop()?;
    Some((days(last.0), days(last.1)))
}

/// What is to be said beside.
pub(super) fn notes(least: u64) -> Vec<String> {
    vec![format!(
        "public: numbers of people are the next lower multiple of {least}; groups of fewer, and those from which fewer could be told, are left out"
    )]
}

/// Its rows.
pub(super) fn rows(
    report: &mut Report,
    asked: &Asked,
    source: &Source,
    least: u64,
) -> Result<Vec<RecordBatch>> {
    let columns = report.public.clone().ok_or_else(|| unfit(report, "it has no public form"))?;
    let choice = &asked.choice;
    if choice.user.is_some() || choice.project.is_some() || asked.min_users.is_some() {
        return Err(unfit(
            report,
            "its public form cannot be narrowed to a user, a project, or by --min-users",
        ));
    }
    if choice.words().len() > 1 {
        return Err(unfit(report, "its public form takes one filter at most"));
    }
    if choice.env.as_deref() == Some("own") {
        return Err(unfit(report, "its public form takes one class of environments: --env own-venv"));
    }
    let least = usize::try_from(least.max(2)).unwrap_or(usize::MAX);
    let periods = periods(asked).ok_or_else(|| {
        unfit(
            report,
            "its public form is of a whole month, quarter or year: --since 2026-01-01 --until 2026-03-31",
        )
    })?;
    // A step of time is a period of its own, each told apart from those around it.
    let step = columns.iter().find(|column| matches!(column.as_str(), "day" | "week" | "month")).cloned();
    if step.as_deref().is_some_and(|step| step != "month") {
        return Err(unfit(report, "its public form goes by months"));
    }
    let names: Vec<&String> = columns.iter().filter(|column| Some(*column) != step.as_ref()).collect();
    let dimensions: Vec<Dimension> = names.iter().filter_map(|name| Dimension::of(name)).collect();
    let packages = report.libraries.clone().filter(|names| !names.is_empty());
    let spans: Vec<Vec<(NaiveDate, NaiveDate)>> = match step {
        None => vec![periods],
        Some(_) => months(&periods),
    };
    let mut found: Vec<(NaiveDate, Vec<Value>, usize)> = Vec::new();
    for span in spans {
        let first = span[0].0;
        let question = PublicQuestion {
            dimensions: dimensions.clone(),
            packages: packages.clone(),
            periods: span.iter().map(|(from, to)| (days(*from), days(*to))).collect(),
            least,
        };
        let wanted = Wanted { labels: true, libraries: true, ..Wanted::default() };
        let cells = source.rollups.ask(wanted, |parts| public(parts, &source.filter, &question))?;
        found.extend(cells.into_iter().map(|(values, users)| (first, values, users)));
    }
    match &step {
        None => found.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.1.cmp(&b.1))),
        Some(_) => found.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0))),
    }
    head(report, &columns, step.as_deref(), &names);
    batch(&names, step.as_deref(), &found)
}

/// Each month of the time, with the periods around it.
fn months(periods: &[(NaiveDate, NaiveDate)]) -> Vec<Vec<(NaiveDate, NaiveDate)>> {
    let (mut first, last) = periods[0];
    let mut all = Vec::new();
    while first <= last {
        all.push([1, 3, 12].into_iter().filter_map(|months| around(first, months)).collect());
        match first.checked_add_months(chrono::Months::new(1)) {
            Some(next) => first = next,
            None => break,
        }
    }
    all
}

fn head(report: &mut Report, columns: &[String], step: Option<&str>, names: &[&String]) {
    report.columns.retain(|(name, _)| columns.contains(name));
    for name in names.iter().filter(|name| name.as_str() == "environment_class") {
        report.columns.push(((*name).clone(), "class of the environment that it was used in".to_owned()));
    }
    report.columns.push(("users".to_owned(), "people, in steps".to_owned()));
    report.optional.clear();
    let axis = "users, in steps".to_owned();
    report.chart = match step {
        Some(step) => Chart::Dates {
            x: step.to_owned(),
            series: names.first().map(|name| (*name).clone()).unwrap_or_default(),
            values: vec!["users".to_owned()],
            names: Vec::new(),
            reference: String::new(),
            axis,
        },
        None => Chart::Bars {
            label: names.iter().map(|name| (*name).clone()).collect(),
            values: vec!["users".to_owned()],
            names: Vec::new(),
            layout: String::new(),
            axis,
        },
    };
}

fn batch(
    names: &[&String],
    step: Option<&str>,
    found: &[(NaiveDate, Vec<Value>, usize)],
) -> Result<Vec<RecordBatch>> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    if let Some(step) = step {
        fields.push(Field::new(step, DataType::Date32, true));
        columns.push(Arc::new(found.iter().map(|row| Some(days(row.0))).collect::<Date32Array>()));
    }
    for (place, name) in names.iter().enumerate() {
        let is_bool = found.iter().any(|row| matches!(row.1[place], Value::Bool(_)));
        if is_bool {
            let value = |value: &Value| if let Value::Bool(yes) = value { Some(*yes) } else { None };
            columns.push(Arc::new(found.iter().map(|row| value(&row.1[place])).collect::<BooleanArray>()));
        } else {
            let value = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
            columns.push(Arc::new(found.iter().map(|row| value(&row.1[place])).collect::<StringArray>()));
        }
        fields.push(Field::new(
            name.as_str(),
            if is_bool { DataType::Boolean } else { DataType::Utf8 },
            true,
        ));
    }
    fields.push(Field::new("users", DataType::Int64, true));
    columns.push(Arc::new(found.iter().map(|row| Some(row.2 as i64)).collect::<Int64Array>()));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    Ok(vec![batch.map_err(|error| Error::Rows { table: "report", source: Box::new(error) })?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_months_quarters_and_years() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(around(day("2026-02-11"), 1), Some((day("2026-02-01"), day("2026-02-28"))));
        assert_eq!(around(day("2026-12-11"), 3), Some((day("2026-10-01"), day("2026-12-31"))));
        assert_eq!(around(day("2024-02-29"), 12), Some((day("2024-01-01"), day("2024-12-31"))));
        let quarter = [(day("2026-04-01"), day("2026-06-30"))];
        let all = months(&quarter);
        assert_eq!(all.len(), 3);
        assert_eq!(
            all[1],
            [(day("2026-05-01"), day("2026-05-31")), quarter[0], (day("2026-01-01"), day("2026-12-31"))]
        );
    }
}
