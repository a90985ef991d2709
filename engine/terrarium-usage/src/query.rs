//! Queries: the tables of a store as they were at one moment, in SQL.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::choice::Choice;
use crate::error::Result;
use crate::schema::{TABLES, Table};
use crate::store::Store;

/// What a process loaded, with the process.
const LOADS: &str = "SELECT i.cluster, i.date, i.process_id, i.module, i.package, i.distribution, i.version, \
     i.origin, i.place, i.kind, i.imported_by, i.direct, i.took_us, p.\"user\", p.user_no, p.host, p.started, p.ended, p.\"end\", \
     p.python, p.environment_id, p.environment_class, p.scheduler, p.job_id, p.run, p.rank, p.ranks, p.probability, p.source, p.doubts \
     FROM imports i JOIN processes p ON i.cluster = p.cluster AND i.date = p.date AND i.process_id = p.process_id";

/// Processes, each with its job as accounting knows it, and the field of science.
const PROCESS_JOBS: &str = "SELECT p.cluster, p.date, p.process_id, p.\"user\", p.user_no, p.host, p.started, \
     coalesce(p.ended, j.ended) AS ended, p.\"end\", p.python, p.environment_id, p.environment_class, p.rank, p.ranks, p.objects, p.extent, \
     p.probability, p.source, p.doubts, \
     coalesce(p.scheduler, l.scheduler) AS scheduler, coalesce(p.job_id, l.job_id) AS job_id, l.job_id IS NOT NULL AS is_found, \
     j.job_id IS NOT NULL AND coalesce(j.submitted, j.started) IS NOT NULL AS is_accounted, j.project, j.queue, j.qos, j.nodes, \
     j.cores, j.gpus, j.state, j.started AS job_started, j.ended AS job_ended, coalesce(j.domain, d.domain) AS domain \
     FROM processes p \
     LEFT JOIN links l ON l.cluster = p.cluster AND l.date = p.date AND l.process_id = p.process_id \
     LEFT JOIN jobs j ON j.cluster = p.cluster AND j.scheduler = coalesce(p.scheduler, l.scheduler) \
     AND j.job_id = coalesce(p.job_id, l.job_id) AND (j.holds_from IS NULL OR p.started >= j.holds_from) \
     AND (j.holds_until IS NULL OR p.started < j.holds_until) \
     LEFT JOIN domains d ON d.project = j.project AND (d.since IS NULL OR p.date >= d.since) AND (d.until IS NULL OR p.date <= d.until)";

const VIEWS: [(&str, &str); 2] = [("loads", LOADS), ("process_jobs", PROCESS_JOBS)];

/// Whether a query asks this table or view: it has its name behind FROM or JOIN, or, in somebody's own query, anywhere.
fn mentions(query: &str, table: &str, anywhere: bool) -> bool {
    let mut words = query.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let mut is_next = false;
    words.any(|word| {
        let found = (is_next || anywhere) && word.eq_ignore_ascii_case(table);
        is_next = word.eq_ignore_ascii_case("from") || word.eq_ignore_ascii_case("join");
        found
    })
}

/// How much memory, in bytes, queries take where nobody says otherwise; what needs more goes to temporary files.
pub const MEMORY: usize = 2 << 30;

/// A session: what it sees does not change while it lives.
pub struct Session {
    context: SessionContext,
}

impl Session {
    /// All tables, and the views `loads` and `process_jobs`.
    pub async fn open(store: &Store, memory: usize) -> Result<Self> {
        let session = Self::with(store, &TABLES, memory).await?;
        for (name, query) in VIEWS {
            session.view(name, query).await?;
        }
        Ok(session)
    }

    /// What this query needs, and nothing else: reading the logs of all tables takes longer than many an answer. With a choice there
    /// are views of the rows chosen.
    pub async fn for_query(
        store: &Store,
        query: &str,
        choice: Option<&Choice>,
        memory: usize,
    ) -> Result<Self> {
        // Reports are written so that it shows what they ask; people write as they like.
        let is_own = choice.is_none();
        let chosen = choice.map(Choice::views).unwrap_or_default();
        let chosen = chosen.iter().map(|(name, query)| (*name, query.as_str()));
        // In the order in which they are made: what a view refers to is there already.
        let views: Vec<(&str, &str)> = VIEWS.into_iter().chain(chosen).collect();
        let code = query.lines().filter(|line| !line.trim_start().starts_with("--"));
        let mut text = code.collect::<Vec<_>>().join("\n");
        let mut used = Vec::new();
        for (name, definition) in views.iter().rev() {
            if mentions(&text, name, is_own) {
                text.push(' ');
                text.push_str(definition);
                used.push((*name, *definition));
            }
        }
        let tables: Vec<&'static Table> =
            TABLES.into_iter().filter(|table| mentions(&text, table.name, is_own)).collect();
        let session = Self::with(store, &tables, memory).await?;
        for (name, definition) in used.into_iter().rev() {
            session.view(name, definition).await?;
        }
        Ok(session)
    }

    /// Makes the functions `usage`, `origin_loads` and `together` known.
    pub fn add_rollups(&self, source: &crate::rollup::Source) {
        crate::rollup::register(&self.context, source);
    }

    async fn view(&self, name: &str, query: &str) -> Result<()> {
        self.context.sql(&format!("CREATE VIEW {name} AS {query}")).await?.collect().await?;
        Ok(())
    }

    /// These tables only.
    pub(crate) async fn of(store: &Store, tables: &[&'static Table]) -> Result<Self> {
        Self::with(store, tables, MEMORY).await
    }

    async fn with(store: &Store, tables: &[&'static Table], memory: usize) -> Result<Self> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory)))
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory),
            )
            .build_arc()?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let config = SessionConfig::new()
            .with_target_partitions(cores)
            .with_information_schema(true)
            // Many rows, few groups: what is done for each batch shows.
            .with_batch_size(32_768)
            .set_bool("datafusion.sql_parser.enable_ident_normalization", true)
            // The generic one takes the column `cluster` behind a comma for the end of a list.
            .set_str("datafusion.sql_parser.dialect", "postgresql");
        let context = SessionContext::new_with_config_rt(config, runtime);
        crate::bitmap::register(&context);
        // In the order in which a batch comes, backwards: what a row refers to is there already.
        for table in tables.iter().rev() {
            let state = store.table(table).await?;
            let provider = state.table_provider().await?;
            context.register_table(table.name, provider)?;
        }
        Ok(Session { context })
    }

    /// What a query says, as it comes.
    pub async fn query(&self, sql: &str) -> Result<DataFrame> {
        Ok(self.context.sql(sql).await?)
    }

    /// All rows of a query.
    pub async fn rows(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        Ok(self.context.sql(sql).await?.collect().await?)
    }

    /// For functions of our own.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }
}
