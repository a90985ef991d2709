//! Rollups in SQL: `usage('package, month')` is a table of who used what, kept apart by what is named; `origin_loads('domain')` one of
//! modules by the kind of place they lie in; `together('numpy, torch')` one of pairs.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, RecordBatch,
    StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use roaring::RoaringBitmap;
use terrarium_rollup::{
    AskedOf, Dimension, Filter, Group, Loads, Pair, Question, Set, Value, Wanted, answer, loads, pairs,
};

use super::Rollups;

/// What the functions ask, and about what.
#[derive(Clone)]
pub struct Source {
    /// Parts.
    pub rollups: Arc<Rollups>,
    /// What questions are about.
    pub filter: Arc<Filter>,
}

/// Names of the functions.
pub const FUNCTIONS: [&str; 4] = ["usage", "usage_all", "origin_loads", "together"];

impl Source {
    /// Of all days, and about all.
    pub async fn of_all(
        store: &crate::store::Store,
        told: super::Progress<'_>,
    ) -> crate::error::Result<Self> {
        let all = crate::choice::Choice::days(chrono::NaiveDate::MIN, chrono::NaiveDate::MAX);
        let known = super::known(store).await?;
        let filter = Filter { days: None, ..all.filter(store, &known).await? };
        let rollups = Rollups::open(store, &known, (i32::MIN, i32::MAX), None, told).await?;
        Ok(Source { rollups: Arc::new(rollups), filter: Arc::new(filter) })
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("filter", &self.filter).finish_non_exhaustive()
    }
}

/// Makes the functions known.
pub(crate) fn register(session: &SessionContext, source: &Source) {
    for (name, kind) in FUNCTIONS.into_iter().zip([Kind::Usage, Kind::UsageAll, Kind::Loads, Kind::Together])
    {
        session.register_udtf(name, Arc::new(Function { source: source.clone(), kind }));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Usage,
    /// With Python's own modules, and users' own code.
    UsageAll,
    Loads,
    Together,
}

#[derive(Debug)]
struct Function {
    source: Source,
    kind: Kind,
}

fn text(expression: Option<&Expr>) -> Result<Option<String>> {
    match expression {
        None => Ok(None),
        Some(Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text), _)) => Ok(text.clone()),
        Some(_) => Err(DataFusionError::Plan("write a text: usage('package, month')".to_owned())),
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
}

impl TableFunctionImpl for Function {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let args = args.exprs();
        let first = text(args.first())?.unwrap_or_default();
        let packages = text(args.get(1))?.map(|text| list(&text));
        let dimensions = if self.kind == Kind::Together { Vec::new() } else { dimensions(&first)? };
        let packages = if self.kind == Kind::Together { Some(list(&first)) } else { packages };
        let of_library = |d: &&Dimension| **d <= Dimension::Direct;
        if self.kind == Kind::Loads
            && let Some(dimension) = dimensions.iter().find(of_library)
        {
            let name = dimension.name();
            return Err(DataFusionError::Plan(format!(
                "origin_loads tells origins apart by itself, and no {name}"
            )));
        }
        let schema = schema(self.kind, &dimensions);
        Ok(Arc::new(Answers { source: self.source.clone(), kind: self.kind, dimensions, packages, schema }))
    }
}

fn dimensions(text: &str) -> Result<Vec<Dimension>> {
    let mut all = Vec::new();
    for name in list(text) {
        let found = Dimension::of(&name).ok_or_else(|| {
            DataFusionError::Plan(format!(
                "`{name}` is nothing to keep apart; these are: {}",
                Dimension::names().join(", ")
            ))
        })?;
        if !all.contains(&found) {
            all.push(found);
        }
    }
    Ok(all)
}

fn kind_of(dimension: Dimension) -> DataType {
    match dimension {
        Dimension::Day | Dimension::Week | Dimension::Month => DataType::Date32,
        Dimension::User | Dimension::Nodes | Dimension::Minutes => DataType::Int64,
        Dimension::Direct | Dimension::Own | Dimension::Gpu | Dimension::InJob => DataType::Boolean,
        _ => DataType::Utf8,
    }
}

fn schema(kind: Kind, dimensions: &[Dimension]) -> SchemaRef {
    let mut fields: Vec<Field> =
        dimensions.iter().map(|dimension| Field::new(dimension.name(), kind_of(*dimension), true)).collect();
    let figures: &[(&str, DataType)] = match kind {
        Kind::Usage | Kind::UsageAll => &[
            ("users", DataType::Int64),
            ("user_set", DataType::Binary),
            ("jobs", DataType::Float64),
            ("jobs_least", DataType::Float64),
            ("jobs_most", DataType::Float64),
            ("node_hours", DataType::Float64),
            ("node_hours_least", DataType::Float64),
            ("node_hours_most", DataType::Float64),
            ("job_days", DataType::Int64),
        ],
        Kind::Loads => &[
            ("origin", DataType::Utf8),
            ("users", DataType::Int64),
            ("user_set", DataType::Binary),
            ("modules", DataType::Float64),
            ("process_hours", DataType::Float64),
            ("node_hours", DataType::Float64),
        ],
        Kind::Together => &[
            ("package", DataType::Utf8),
            ("other", DataType::Utf8),
            ("together", DataType::Int64),
            ("of_package", DataType::Int64),
            ("of_other", DataType::Int64),
            ("of_all", DataType::Int64),
        ],
    };
    fields.extend(figures.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)));
    Arc::new(Schema::new(fields))
}

#[derive(Debug)]
struct Answers {
    source: Source,
    kind: Kind,
    dimensions: Vec<Dimension>,
    packages: Option<Vec<String>>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Answers {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wants = |name: &str| {
            let place = self.schema.index_of(name).ok();
            projection.is_none_or(|wanted| place.is_some_and(|place| wanted.contains(&place)))
        };
        let rows =
            self.rows(wants("user_set")).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let plan = MemorySourceConfig::try_new_exec(&[vec![rows?]], self.schema(), projection.cloned())?;
        Ok(plan)
    }
}

impl Answers {
    fn rows(&self, with_sets: bool) -> crate::error::Result<Result<RecordBatch>> {
        let filter = &self.source.filter;
        let labels =
            filter.wants_labels() || self.dimensions.iter().any(|dimension| dimension.wants_labels());
        let rollups = &self.source.rollups;
        Ok(match self.kind {
            Kind::Usage | Kind::UsageAll => {
                let with_others = self.kind == Kind::UsageAll;
                let wanted = Wanted { labels, libraries: true, others: with_others, ..Wanted::default() };
                let question = Question {
                    dimensions: self.dimensions.clone(),
                    packages: self.packages.clone(),
                    with_others,
                };
                self.usage(&rollups.ask(wanted, |parts| answer(parts, filter, &question))?, with_sets)
            }
            Kind::Loads => {
                let wanted = Wanted { labels, loads: true, ..Wanted::default() };
                self.loads(&rollups.ask(wanted, |parts| loads(parts, filter, &self.dimensions))?, with_sets)
            }
            Kind::Together => {
                let wanted = Wanted { labels, libraries: true, ..Wanted::default() };
                let named = self.packages.clone().unwrap_or_default();
                let most =
                    |parts: &[AskedOf<'_>]| if named.is_empty() { most_used(parts, filter) } else { named };
                self.together(&rollups.ask(wanted, |parts| pairs(parts, filter, &most(parts)))?)
            }
        })
    }

    fn usage(&self, groups: &[Group], with_sets: bool) -> Result<RecordBatch> {
        let mut columns = self.values(groups.iter().map(|group| group.values.as_slice()));
        columns.push(longs(groups.iter().map(|group| group.users.len() as i64)));
        columns.push(sets(groups.iter().map(|group| &group.users), with_sets)?);
        // What was seen is the least; the most is the upper end of a 95 % interval, as of a normal distribution. None where nothing was
        // left to chance.
        let least = |seen: f64, variance: f64| (variance > 0.0).then_some(seen);
        let most = |value: f64, variance: f64| (variance > 0.0).then(|| value + 1.96 * variance.sqrt());
        columns.push(doubles(groups.iter().map(|group| Some(group.jobs))));
        columns.push(doubles(groups.iter().map(|group| least(group.jobs_seen as f64, group.jobs_variance))));
        columns.push(doubles(groups.iter().map(|group| most(group.jobs, group.jobs_variance))));
        columns.push(doubles(groups.iter().map(|group| Some(group.node_hours))));
        columns.push(doubles(
            groups.iter().map(|group| least(group.node_hours_seen, group.node_hours_variance)),
        ));
        columns.push(doubles(groups.iter().map(|group| most(group.node_hours, group.node_hours_variance))));
        columns.push(longs(groups.iter().map(|group| group.job_days as i64)));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn loads(&self, all: &[Loads], with_sets: bool) -> Result<RecordBatch> {
        let mut columns = self.values(all.iter().map(|one| one.values.as_slice()));
        let mut origins = StringBuilder::new();
        all.iter().for_each(|one| origins.append_value(&one.origin));
        columns.push(Arc::new(origins.finish()));
        columns.push(longs(all.iter().map(|one| one.users.len() as i64)));
        columns.push(sets(all.iter().map(|one| &one.users), with_sets)?);
        columns.push(doubles(all.iter().map(|one| Some(one.modules))));
        columns.push(doubles(all.iter().map(|one| Some(one.process_hours))));
        columns.push(doubles(all.iter().map(|one| Some(one.node_hours))));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn together(&self, all: &[Pair]) -> Result<RecordBatch> {
        let names = |of: fn(&Pair) -> &str| -> ArrayRef {
            let mut names = StringBuilder::new();
            all.iter().for_each(|pair| names.append_value(of(pair)));
            Arc::new(names.finish())
        };
        let number = |of: fn(&Pair) -> u64| longs(all.iter().map(|pair| of(pair) as i64));
        let columns = vec![
            names(|pair| &pair.package),
            names(|pair| &pair.other),
            number(|pair| pair.together),
            number(|pair| pair.of_package),
            number(|pair| pair.of_other),
            number(|pair| pair.of_all),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn values<'a>(&self, rows: impl Iterator<Item = &'a [Value]> + Clone) -> Vec<ArrayRef> {
        let column = |(place, dimension): (usize, &Dimension)| -> ArrayRef {
            let values = rows.clone().map(|values| &values[place]);
            match kind_of(*dimension) {
                DataType::Utf8 => {
                    let mut column = StringBuilder::new();
                    values.for_each(|value| match value {
                        Value::Text(text) => column.append_value(text),
                        _ => column.append_null(),
                    });
                    Arc::new(column.finish())
                }
                DataType::Boolean => {
                    let mut column = BooleanBuilder::new();
                    values.for_each(|value| match value {
                        Value::Bool(yes) => column.append_value(*yes),
                        _ => column.append_null(),
                    });
                    Arc::new(column.finish())
                }
                DataType::Date32 => {
                    let mut column = Date32Builder::new();
                    values.for_each(|value| match value {
                        Value::Number(day) => column.append_value(*day as i32),
                        _ => column.append_null(),
                    });
                    Arc::new(column.finish())
                }
                _ => {
                    let mut column = Int64Builder::new();
                    values.for_each(|value| match value {
                        Value::Number(number) => column.append_value(*number),
                        _ => column.append_null(),
                    });
                    Arc::new(column.finish())
                }
            }
        };
        self.dimensions.iter().enumerate().map(column).collect()
    }
}

/// The libraries that most people use.
fn most_used(parts: &[AskedOf<'_>], filter: &Filter) -> Vec<String> {
    const MOST: usize = 20;
    let question = Question { dimensions: vec![Dimension::Package], ..Question::default() };
    let mut groups = answer(parts, filter, &question);
    groups.sort_by(|a, b| {
        (b.users.len(), b.job_days).cmp(&(a.users.len(), a.job_days)).then(a.values.cmp(&b.values))
    });
    let name = |group: Group| match group.values.into_iter().next() {
        Some(Value::Text(name)) => Some(name),
        _ => None,
    };
    groups.into_iter().take(MOST).filter_map(name).collect()
}

fn longs(values: impl Iterator<Item = i64>) -> ArrayRef {
    let mut column = Int64Builder::new();
    values.for_each(|value| column.append_value(value));
    Arc::new(column.finish())
}

fn doubles(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    let mut column = Float64Builder::new();
    values.for_each(|value| column.append_option(value));
    Arc::new(column.finish())
}

/// Sets as `daily` has them; none if nobody asks for them.
fn sets<'a>(sets: impl Iterator<Item = &'a Set>, is_wanted: bool) -> Result<ArrayRef> {
    let mut column = BinaryBuilder::new();
    let mut bytes = Vec::new();
    for set in sets {
        if !is_wanted {
            column.append_null();
            continue;
        }
        bytes.clear();
        let users: RoaringBitmap = set.iter().collect();
        users.serialize_into(&mut bytes)?;
        column.append_value(&bytes);
    }
    Ok(Arc::new(column.finish()))
}
