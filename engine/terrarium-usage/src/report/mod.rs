//! Reports: questions that are asked again and again, each a file of SQL that says in its head what it means. What SQL cannot say —
//! a test for a trend, a cover — is computed from its rows ([`computed`]).

mod complete;
mod computed;
mod public;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use terrarium_rollup::Wanted;

use crate::choice::Choice;
use crate::error::{Error, Result};
use crate::query::Session;
use crate::rollup::{Progress, Rollups, Source};
use crate::store::Store;

pub use complete::{Joined, completeness_words, joined};
pub use terrarium_rollup::Completeness;

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it is called.
    pub name: &'static str,
    /// What stands above it.
    pub title: String,
    /// What it answers.
    pub question: String,
    /// What each column means.
    pub columns: Vec<(String, String)>,
    /// Columns that are shown only if they say something.
    pub optional: Vec<String>,
    /// How it is drawn.
    pub chart: Chart,
    /// What is to be known of its figures.
    pub note: String,
    /// Libraries that it is about where nobody names others; `None`: none can be named.
    pub libraries: Option<Vec<String>>,
    /// Columns that it can be ordered by, the usual one first.
    pub by: Vec<String>,
    /// Step of time where nobody says another; `None`: it has none.
    pub step: Option<String>,
    /// It reads rows, and takes as long.
    pub is_raw: bool,
    /// What its public form keeps apart; `None`: it has none.
    pub public: Option<Vec<String>>,
    /// Filters that have no meaning for it.
    pub not: Vec<String>,
    /// So many rows where nobody says otherwise.
    pub limit: usize,
    computed: Option<String>,
    sql: &'static str,
}

/// What a report is drawn as, and from which columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chart {
    /// Bars.
    Bars {
        /// Columns that make the name of a bar.
        label: Vec<String>,
        /// Columns that are its parts.
        values: Vec<String>,
        /// What the parts are called.
        names: Vec<String>,
        /// `stacked`, `grouped` or `share`.
        layout: String,
        /// What the values are.
        axis: String,
    },
    /// Lines over dates.
    Dates {
        /// The date.
        x: String,
        /// Column that tells lines apart; empty: `values` do.
        series: String,
        /// Columns of values; one if there are series.
        values: Vec<String>,
        /// What the lines are called, if there are no series.
        names: Vec<String>,
        /// Column of a line that all others are to be compared with.
        reference: String,
        /// What the values are.
        axis: String,
    },
    /// A matrix.
    Heat {
        /// Names of rows,
        row: String,
        /// and of columns.
        column: String,
        /// What is in it.
        value: String,
        /// What that is.
        key: String,
    },
    /// A curve.
    Curve {
        /// From left to right,
        x: String,
        /// and from below.
        y: String,
        /// Names of points.
        label: String,
        /// What is on the axis from left to right,
        x_axis: String,
        /// and on the other.
        y_axis: String,
    },
}

const FILES: [(&str, &str); 29] = [
    ("top", include_str!("../../reports/top.sql")),
    ("domains", include_str!("../../reports/domains.sql")),
    ("frameworks", include_str!("../../reports/frameworks.sql")),
    ("submodules", include_str!("../../reports/submodules.sql")),
    ("origins", include_str!("../../reports/origins.sql")),
    ("adoption", include_str!("../../reports/adoption.sql")),
    ("trends", include_str!("../../reports/trends.sql")),
    ("drivers", include_str!("../../reports/drivers.sql")),
    ("daily", include_str!("../../reports/daily.sql")),
    ("cooccurrence", include_str!("../../reports/cooccurrence.sql")),
    ("users-jobs", include_str!("../../reports/users-jobs.sql")),
    ("runtime", include_str!("../../reports/runtime.sql")),
    ("jobsize", include_str!("../../reports/jobsize.sql")),
    ("partitions", include_str!("../../reports/partitions.sql")),
    ("envs", include_str!("../../reports/envs.sql")),
    ("base-gap", include_str!("../../reports/base-gap.sql")),
    ("base-cover", include_str!("../../reports/base-cover.sql")),
    ("installed-unused", include_str!("../../reports/installed-unused.sql")),
    ("imported-unused", include_str!("../../reports/imported-unused.sql")),
    ("versions", include_str!("../../reports/versions.sql")),
    ("vulnerable", include_str!("../../reports/vulnerable.sql")),
    ("optimised", include_str!("../../reports/optimised.sql")),
    ("gpu-idle", include_str!("../../reports/gpu-idle.sql")),
    ("home-cost", include_str!("../../reports/home-cost.sql")),
    ("libraries", include_str!("../../reports/libraries.sql")),
    ("processes", include_str!("../../reports/processes.sql")),
    ("coverage", include_str!("../../reports/coverage.sql")),
    ("completeness", include_str!("../../reports/completeness.sql")),
    ("overhead", include_str!("../../reports/overhead.sql")),
];

/// More rows than this are as good as all.
const MOST: usize = 1_000_000_000;

/// Rows of a report where nobody says how many.
const ROWS: usize = 20;

/// All of them.
pub fn all() -> Vec<Report> {
    FILES.iter().map(|(name, sql)| parse(name, sql)).collect()
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
}

fn parse(name: &'static str, sql: &'static str) -> Report {
    let mut report = Report {
        name,
        title: String::new(),
        question: String::new(),
        columns: Vec::new(),
        optional: Vec::new(),
        chart: Chart::Heat {
            row: String::new(),
            column: String::new(),
            value: String::new(),
            key: String::new(),
        },
        note: String::new(),
        libraries: None,
        by: Vec::new(),
        step: sql.contains("{step}").then(|| "month".to_owned()),
        is_raw: false,
        public: None,
        not: Vec::new(),
        limit: ROWS,
        computed: None,
        sql,
    };
    for (key, value) in sql.lines().filter_map(|line| line.strip_prefix("-- ")?.split_once(':')) {
        let value = value.trim();
        match key {
            "title" => report.title = value.to_owned(),
            "question" => report.question = value.to_owned(),
            "note" => report.note = value.to_owned(),
            "column" => {
                if let Some((name, about)) = value.split_once(": ") {
                    report.columns.push((name.to_owned(), about.to_owned()));
                }
            }
            "optional" => report.optional = list(value),
            "libraries" => report.libraries = Some(list(value)),
            "by" => report.by = list(value),
            "step" => report.step = Some(value.to_owned()),
            "raw" => report.is_raw = true,
            "public" => report.public = Some(list(value)),
            "not" => report.not = list(value),
            "limit" => report.limit = value.parse().unwrap_or(ROWS),
            "computed" => report.computed = Some(value.to_owned()),
            "chart" => report.chart = chart(value),
            _ => {}
        }
    }
    report
}

fn chart(text: &str) -> Chart {
    let (kind, rest) = text.split_once("; ").unwrap_or((text, ""));
    let of = |key: &str| {
        let mut parts = rest.split("; ").filter_map(|part| part.split_once('='));
        parts.find(|(known, _)| *known == key).map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let several = |key: &str| list(&of(key));
    match kind {
        "dates" => {
            let mut values = several("values");
            values.extend(several("value"));
            let (x, series, names) = (of("x"), of("series"), several("names"));
            Chart::Dates { x, series, values, names, reference: of("reference"), axis: of("axis") }
        }
        "heat" => Chart::Heat { row: of("row"), column: of("column"), value: of("value"), key: of("key") },
        "curve" => Chart::Curve {
            x: of("x"),
            y: of("y"),
            label: of("label"),
            x_axis: of("x-axis"),
            y_axis: of("y-axis"),
        },
        _ => Chart::Bars {
            label: of("label").split('+').map(str::to_owned).collect(),
            values: several("values"),
            names: several("names"),
            layout: of("layout"),
            axis: of("axis"),
        },
    }
}

/// How a report is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it is about.
    pub choice: Choice,
    /// Libraries; none: those that the report is about by itself.
    pub libraries: Vec<String>,
    /// So many rows, if somebody says so.
    pub limit: Option<usize>,
    /// The column that it is ordered by, if somebody says so.
    pub by: Option<String>,
    /// `day`, `week` or `month`, if somebody says so.
    pub step: Option<String>,
    /// Rows of fewer users are left out.
    pub min_users: Option<i64>,
    /// Bytes that queries may take before they go to temporary files.
    pub memory: usize,
    /// A folder of OSV records.
    pub advisories: Option<PathBuf>,
    /// A table of releases and ends of life.
    pub releases: Option<PathBuf>,
    /// For everybody's eyes: no group of fewer people than this.
    pub public: Option<u64>,
}

/// What a report says.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What it was made of, its title, columns and chart as they are for what was asked.
    pub report: Report,
    /// Its rows.
    pub rows: Vec<RecordBatch>,
    /// How complete they are; `None`: that is not told.
    pub complete: Option<Completeness>,
    /// What is to be said beside.
    pub notes: Vec<String>,
}

/// What is wrong with how it was asked for.
fn unfit(report: &Report, what: impl std::fmt::Display) -> Error {
    Error::Report { report: report.name, why: what.to_string() }
}

impl Report {
    /// Asks a store.
    pub async fn ask(&self, store: &Store, asked: &Asked, told: Progress<'_>) -> Result<Answered> {
        let mut report = self.clone();
        report.fit(asked)?;
        let choice = &asked.choice;
        for (name, is_set) in [
            ("env", choice.env.is_some()),
            ("origin", choice.origin.is_some()),
            ("direct", choice.direct.is_some()),
        ] {
            if is_set && self.not.iter().any(|not| not == name) {
                return Err(unfit(self, format!("--{name} says nothing of it")));
            }
        }
        let known = crate::rollup::known(store).await?;
        let filter = asked.choice.filter(store, &known).await?;
        let mut notes = Vec::new();
        if let (Some(user), Some(found)) = (&asked.choice.user, &filter.users)
            && found.is_empty()
        {
            notes.push(format!(
                "there is no user {user} in the store: write the name as the table users has it"
            ));
        }
        let span = public::span(asked).unwrap_or_else(|| asked.choice.span());
        let rollups = Rollups::open(store, &known, span, asked.choice.cluster.as_deref(), told).await?;
        let source = Source { rollups: Arc::new(rollups), filter: Arc::new(filter) };
        // All at once, with what its query will ask for.
        let asks = |function: &str| self.sql.contains(function);
        let wanted = Wanted {
            counts: true,
            labels: source.filter.wants_labels() || asked.public.is_some(),
            libraries: asks("usage(") || asks("together("),
            loads: asks("origin_loads("),
            ..Wanted::default()
        };
        let complete =
            source.rollups.ask(wanted, |parts| terrarium_rollup::completeness(parts, &source.filter))?;
        let rows = if let Some(least) = asked.public {
            notes.extend(public::notes(least));
            public::rows(&mut report, asked, &source, least)?
        } else {
            report.rows(store, asked, &source, &complete, &mut notes).await?
        };
        let rows = match asked.min_users {
            Some(least) => at_least(&report, &rows, least)?,
            None => rows,
        };
        let rows = first(rows, report.limit);
        let about = choice.words();
        if rows.iter().all(|batch| batch.num_rows() == 0) && !about.is_empty() && asked.public.is_none() {
            notes.push(format!("nothing was recorded of {}: are the names right?", about.join(", ")));
        }
        // How many processes there were would tell of groups of one.
        let complete = asked.public.is_none().then_some(complete);
        Ok(Answered { report, rows, complete, notes })
    }

    /// Takes over what was asked for.
    fn fit(&mut self, asked: &Asked) -> Result<()> {
        if let Some(by) = &asked.by {
            if !self.by.contains(by) {
                let known =
                    if self.by.is_empty() { "it has one order only".to_owned() } else { self.by.join(", ") };
                return Err(unfit(self, format!("it cannot be ordered by {by}; {known}")));
            }
            if let Chart::Bars { values, names, axis, .. } = &mut self.chart
                && *by != self.by[0]
            {
                (*values, *names, *axis) = (vec![by.clone()], Vec::new(), by.replace('_', "-"));
            }
            self.by = vec![by.clone()];
        }
        match (&asked.step, &mut self.step) {
            (Some(step), Some(of)) => *of = step.clone(),
            (Some(_), None) => return Err(unfit(self, "it has no steps of time")),
            _ => {}
        }
        match (&asked.libraries[..], &self.libraries) {
            ([], _) => {}
            (_, None) => return Err(unfit(self, "it is about all libraries: none can be named")),
            (named, Some(_)) if named.len() > 1 && self.sql.contains("{library}") => {
                return Err(unfit(self, format!("it is about one library: {}", named.join(", "))));
            }
            (named, Some(_)) => self.libraries = Some(named.to_vec()),
        }
        self.limit = asked.limit.unwrap_or(self.limit).min(MOST);
        let filled = self.clone();
        let fill = |text: &str| filled.fill(text, asked);
        (self.title, self.question) = (fill(&self.title), fill(&self.question));
        self.columns = filled.columns.iter().map(|(name, about)| (fill(name), fill(about))).collect();
        if let Chart::Dates { x, .. } = &mut self.chart {
            *x = x.replace("{step}", self.step.as_deref().unwrap_or("month"));
        }
        self.public = self
            .public
            .as_ref()
            .map(|columns| columns.iter().map(|column| self.fill(column, asked)).collect());
        Ok(())
    }

    /// Puts what was asked for into a text.
    fn fill(&self, text: &str, asked: &Asked) -> String {
        let libraries = self.libraries.clone().unwrap_or_default();
        let quoted: Vec<String> = libraries.iter().map(|name| name.replace('\'', "''")).collect();
        let only = match &quoted[..] {
            [] => "true".to_owned(),
            names => format!("package IN ('{}')", names.join("', '")),
        };
        let most = if libraries.is_empty() { 15 } else { libraries.len() };
        // Rows are cut when those of few users are gone.
        let limit = if asked.min_users.is_some() { MOST } else { self.limit };
        text.replace("{since}", &asked.choice.since.to_string())
            .replace("{until}", &asked.choice.until.to_string())
            .replace("{limit}", &limit.to_string())
            .replace("{most}", &most.to_string())
            .replace("{by}", self.by.first().map_or("users", String::as_str))
            .replace("{step}", self.step.as_deref().unwrap_or("month"))
            .replace("{only}", &only)
            .replace("{library}", quoted.first().map_or("", String::as_str))
            .replace("{libraries}", &quoted.join(", "))
    }

    async fn rows(
        &self,
        store: &Store,
        asked: &Asked,
        source: &Source,
        complete: &Completeness,
        notes: &mut Vec<String>,
    ) -> Result<Vec<RecordBatch>> {
        // Names are put into the query, and nowhere else.
        let code: Vec<&str> = self.sql.lines().filter(|line| !line.starts_with("-- ")).collect();
        let sql = self.fill(&code.join("\n"), asked);
        let mut results = Vec::new();
        if !matches!(self.computed.as_deref(), Some("completeness" | "overhead")) {
            let session = Session::for_query(store, &sql, Some(&asked.choice), asked.memory).await?;
            session.add_rollups(source);
            for query in sql.split("\n;\n") {
                let answer = session.query(query).await?;
                let schema = Arc::new(answer.schema().as_arrow().clone());
                let mut rows = answer.collect().await?;
                if rows.is_empty() {
                    rows.push(RecordBatch::new_empty(schema));
                }
                results.push(rows);
            }
        }
        match self.computed.as_deref() {
            None => Ok(results.pop().unwrap_or_default()),
            Some(what) => computed::rows(what, results, asked, complete, notes),
        }
    }
}

/// A Parquet file of an answer, with what its columns mean in its metadata.
pub fn parquet(answered: &Answered) -> Result<Vec<u8>> {
    let failed =
        |error: parquet::errors::ParquetError| Error::Rows { table: "report", source: Box::new(error) };
    let report = &answered.report;
    let mut about = vec![
        ("terrarium.report".to_owned(), report.name.to_owned()),
        ("title".to_owned(), report.title.clone()),
        ("question".to_owned(), report.question.clone()),
        ("completeness".to_owned(), answered.complete.as_ref().map(completeness_words).unwrap_or_default()),
    ];
    about.extend(report.columns.iter().map(|(name, text)| (format!("column.{name}"), text.clone())));
    let about =
        about.into_iter().map(|(key, value)| parquet::file::metadata::KeyValue::new(key, value)).collect();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(Default::default()))
        .set_key_value_metadata(Some(about))
        .build();
    let schema = answered.rows.first().map(RecordBatch::schema);
    let schema = schema.unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty()));
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(failed)?;
    for batch in &answered.rows {
        writer.write(batch).map_err(failed)?;
    }
    writer.into_inner().map_err(failed)
}

/// Rows with at least so many users.
fn at_least(report: &Report, rows: &[RecordBatch], least: i64) -> Result<Vec<RecordBatch>> {
    let mut kept = Vec::new();
    for batch in rows {
        let users = batch.column_by_name("users").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let users =
            users.ok_or_else(|| unfit(report, "it counts no users: --min-users says nothing of it"))?;
        let wanted: arrow::array::BooleanArray =
            (0..users.len()).map(|i| Some(users.is_valid(i) && users.value(i) >= least)).collect();
        let filtered = arrow::compute::filter_record_batch(batch, &wanted);
        kept.push(filtered.map_err(|error| Error::Rows { table: "report", source: Box::new(error) })?);
    }
    Ok(kept)
}

/// The first rows.
fn first(rows: Vec<RecordBatch>, limit: usize) -> Vec<RecordBatch> {
    let mut left = limit;
    let take = |batch: RecordBatch| {
        let taken = batch.slice(0, batch.num_rows().min(left));
        left -= taken.num_rows();
        taken
    };
    rows.into_iter().map(take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_it_means() {
        for report in all() {
            assert!(!report.title.is_empty() && report.question.ends_with('?'), "{report:?}");
            assert!(!report.columns.is_empty() && !report.note.is_empty(), "{}", report.name);
            let has = |name: &String| name.contains("{step}") || report.sql.contains(name.as_str());
            match &report.chart {
                Chart::Bars { label, values, names, axis, .. } => {
                    assert!(!axis.is_empty() && label.iter().chain(values).all(has), "{}", report.name);
                    assert!(names.is_empty() || names.len() == values.len(), "{}", report.name);
                }
                Chart::Dates { x, series, values, names, axis, .. } => {
                    assert!(!axis.is_empty() && has(x) && values.iter().all(has), "{}", report.name);
                    assert!(!series.is_empty() || names.len() == values.len(), "{}", report.name);
                }
                Chart::Heat { row, column, value, .. } => assert!([row, column, value].into_iter().all(has)),
                Chart::Curve { x, y, .. } => assert!(has(x) && has(y)),
            }
            // It is about the days asked for: by what is chosen, or by rollups.
            let words = ["chosen_", "usage(", "usage_all(", "origin_loads(", "together(", "SELECT 1"];
            assert!(words.iter().any(|word| report.sql.contains(word)), "{}", report.name);
            for optional in &report.optional {
                assert!(
                    report.columns.iter().any(|(name, _)| name == optional),
                    "{} {optional}",
                    report.name
                );
            }
        }
    }
}
