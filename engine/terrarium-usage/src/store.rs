//! The store: tables in one place, and who may change them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::sync::Arc;

use arrow::datatypes::Schema;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{
    Action, Add, Remove, StructType, Transaction, engine::arrow_conversion::TryIntoKernel,
};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::StreamExt;
use object_store::{
    DynObjectStore, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path as ObjectPath,
};

use crate::error::{Error, Result};
use crate::location::Location;
use crate::schema::{self, TABLES, Table};

/// Who commits, in the logs of the tables.
pub(crate) const APPLICATION: &str = "terrarium";

/// Files of the store's own.
pub(crate) const OWN: &str = "_terrarium";

const LOCK: &str = "lock";
const SCHEMA: &str = "terrarium.schema";

/// A store that is open.
#[derive(Clone, Debug)]
pub struct Store {
    /// Where.
    pub location: Location,
    /// Its files.
    pub objects: Arc<DynObjectStore>,
}

/// That no other process of this machine changes the store; held while this is.
#[derive(Debug)]
pub struct Exclusive(#[expect(dead_code, reason = "held open")] Option<File>);

impl Store {
    /// Opens a store that is there.
    pub async fn open(location: Location) -> Result<Self> {
        crate::location::register();
        let missing = || Error::NoStore { location: location.name() };
        if location.directory.as_ref().is_some_and(|directory| !directory.is_dir()) {
            return Err(missing());
        }
        let objects = location.objects()?;
        let store = Store { location: location.clone(), objects };
        let last = TABLES[TABLES.len() - 1];
        if !store.has(last).await? {
            return Err(missing());
        }
        store.check_version(&store.table(last).await?)?;
        Ok(store)
    }

    /// Opens a store to be asked: if what is known of its tables holds, their logs are not read.
    pub async fn open_to_ask(location: Location) -> Result<Self> {
        crate::location::register();
        let store = Store { location: location.clone(), objects: location.objects()? };
        match crate::rollup::State::read(&store).await {
            Ok(Some(_)) => Ok(store),
            _ => Store::open(location).await,
        }
    }

    /// Opens a store, and makes what is missing.
    pub async fn make(location: Location) -> Result<Self> {
        crate::location::register();
        location.make()?;
        let objects = location.objects()?;
        let store = Store { location, objects };
        for table in TABLES {
            if store.has(table).await? {
                let state = store.table(table).await?;
                store.check_version(&state)?;
                store.complete(table, state).await?;
            } else {
                store.create(table).await?;
            }
        }
        Ok(store)
    }

    /// Whether a table was made.
    async fn has(&self, table: &'static Table) -> Result<bool> {
        let log = ObjectPath::from(format!("{}/_delta_log", table.name));
        let first = self.objects.list(Some(&log)).next().await.transpose();
        Ok(first.map_err(|source| Error::Object { what: "list", path: log.to_string(), source })?.is_some())
    }

    fn check_version(&self, table: &DeltaTable) -> Result<()> {
        let state = table.snapshot().map_err(failed("?"))?;
        let found = state.metadata().configuration().get(SCHEMA).cloned().unwrap_or_default();
        if found.parse::<u32>().is_ok_and(|version| version <= schema::VERSION) {
            return Ok(());
        }
        Err(Error::Newer { location: self.location.name(), version: found })
    }

    /// Gives a table that an earlier version made the columns that came since.
    async fn complete(&self, table: &'static Table, state: DeltaTable) -> Result<()> {
        let failed = failed(table.name);
        let there = state.snapshot().map_err(failed)?.schema();
        let is_new = |column: &&Arc<arrow::datatypes::Field>| there.field(column.name()).is_none();
        let new: Vec<_> = table.schema().fields().iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let columns: StructType = (&Schema::new(new))
            .try_into_kernel()
            .map_err(|error| Error::Rows { table: table.name, source: Box::new(error) })?;
        let fields: Vec<_> = columns.fields().cloned().collect();
        state.add_columns().with_fields(fields).await.map(drop).map_err(failed)
    }

    async fn create(&self, table: &'static Table) -> Result<()> {
        let failed = failed(table.name);
        let arrow: Schema = table.schema().as_ref().clone();
        let columns: StructType = (&arrow)
            .try_into_kernel()
            .map_err(|error| Error::Rows { table: table.name, source: Box::new(error) })?;
        let made = CreateBuilder::new()
            .with_location(self.location.table(table.name)?.to_string())
            .with_table_name(table.name)
            .with_comment(table.about)
            .with_columns(columns.fields().cloned())
            .with_partition_columns(table.partitions.iter().copied())
            .with_configuration([
                (SCHEMA.to_owned(), Some(schema::VERSION.to_string())),
                // Old logs are removed by `compact`, and by nothing that may come in the middle of something.
                ("delta.enableExpiredLogCleanup".to_owned(), Some("false".to_owned())),
                ("delta.checkpointInterval".to_owned(), Some("50".to_owned())),
            ])
            .with_raise_if_key_not_exists(false)
            .with_save_mode(SaveMode::Ignore)
            .await;
        made.map(drop).map_err(failed)
    }

    /// A table as it is now.
    pub async fn table(&self, table: &'static Table) -> Result<DeltaTable> {
        let url = self.location.table(table.name)?;
        DeltaTableBuilder::from_url(url).map_err(failed(table.name))?.load().await.map_err(failed(table.name))
    }

    /// Keeps other processes of this machine from changing it.
    pub fn lock(&self) -> Result<Exclusive> {
        let Some(directory) = &self.location.directory else { return Ok(Exclusive(None)) };
        let own = directory.join(OWN);
        let path = own.join(LOCK);
        let failed = |source| Error::File { path: path.clone(), source };
        std::fs::create_dir_all(&own).map_err(failed)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Exclusive(Some(file))),
            Err(std::fs::TryLockError::WouldBlock) => Err(Error::Busy { location: self.location.name() }),
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The last batch that a table has.
    pub(crate) async fn last_batch(&self, table: &'static Table, state: &DeltaTable) -> Result<u64> {
        let snapshot = state.snapshot().map_err(failed(table.name))?;
        let version = snapshot
            .transaction_version(state.log_store().as_ref(), APPLICATION.to_owned())
            .await
            .map_err(failed(table.name))?;
        Ok(version.and_then(|version| u64::try_from(version).ok()).unwrap_or(0))
    }

    /// Commits files to a table, as batch `batch` if it is one.
    pub(crate) async fn commit(
        &self,
        table: &'static Table,
        state: &DeltaTable,
        (added, removed): (Vec<Add>, Vec<Remove>),
        batch: Option<u64>,
    ) -> Result<()> {
        let properties =
            CommitProperties::default().with_cleanup_expired_logs(Some(false)).with_max_retries(0);
        let properties = match batch {
            Some(number) => {
                properties.with_application_transaction(Transaction::new(APPLICATION, number as i64))
            }
            None => properties,
        };
        let actions = removed.into_iter().map(Action::Remove).chain(added.into_iter().map(Action::Add));
        // Without a predicate: it could name somebody, and would stay in the log.
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(table.partitions.iter().map(|name| (*name).to_owned()).collect()),
            predicate: None,
        };
        let snapshot = state.snapshot().map_err(failed(table.name))?;
        CommitBuilder::from(properties)
            .with_actions(actions.collect())
            .build(Some(snapshot), state.log_store(), operation)
            .await
            .map(drop)
            .map_err(failed(table.name))
    }

    /// Writes a file of the store's own; `false`: it was there already.
    pub(crate) async fn put_new(&self, path: &str, bytes: Vec<u8>) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&ObjectPath::from(path), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(Error::Object { what: "write", path: path.to_owned(), source }),
        }
    }

    /// Reads a file; `None`: there is none.
    pub(crate) async fn get(&self, path: &ObjectPath) -> Result<Option<bytes::Bytes>> {
        let failed = |source| Error::Object { what: "read", path: path.to_string(), source };
        match self.objects.get(path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }
}

/// For errors of one table.
pub(crate) fn failed(table: &'static str) -> impl Fn(DeltaTableError) -> Error + Copy {
    move |source| Error::Table { table, source: Box::new(source) }
}

/// Values of a row's partition columns.
pub(crate) type Partition = HashMap<String, Option<String>>;
