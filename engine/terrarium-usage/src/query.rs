//! Queries: the tables of a store as they were at one moment, in SQL.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::error::Result;
use crate::schema::{TABLES, Table};
use crate::store::Store;

/// What a process loaded, with the process.
const LOADS: &str = "CREATE VIEW loads AS SELECT i.cluster, i.date, i.process_id, i.module, i.package, i.distribution, i.version, \
     i.origin, i.place, i.kind, i.imported_by, i.direct, i.took_us, p.\"user\", p.user_no, p.host, p.started, p.ended, p.\"end\", \
     p.python, p.environment_id, p.environment_class, p.scheduler, p.job_id, p.run, p.rank, p.ranks, p.probability, p.source \
     FROM imports i JOIN processes p ON i.cluster = p.cluster AND i.date = p.date AND i.process_id = p.process_id";

/// How much memory, in bytes, queries take where nobody says otherwise; what needs more goes to temporary files.
pub const MEMORY: usize = 2 << 30;

/// A session: what it sees does not change while it lives.
pub struct Session {
    context: SessionContext,
}

impl Session {
    /// All tables, and the view `loads`.
    pub async fn open(store: &Store, memory: usize) -> Result<Self> {
        let session = Self::with(store, &TABLES, memory).await?;
        session.context.sql(LOADS).await?.collect().await?;
        Ok(session)
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
            .set_bool("datafusion.sql_parser.enable_ident_normalization", true);
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
