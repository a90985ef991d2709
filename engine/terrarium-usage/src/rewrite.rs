//! Changing files that are in a table: read, change, write anew.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use bytes::Bytes;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::{Add, Remove};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::error::{Error, Result};
use crate::files::{Packing, write};
use crate::schema::Table;
use crate::store::{Partition, Store, failed};

/// A file that is in a table.
#[derive(Clone, Debug)]
pub(crate) struct InTable {
    /// Below the table.
    pub(crate) path: String,
    pub(crate) size: i64,
    /// When it was written, milliseconds since 1970.
    pub(crate) written_ms: i64,
    pub(crate) rows: Option<usize>,
    pub(crate) partition: Partition,
    pub(crate) remove: Remove,
}

/// All files of a table, as it was.
pub(crate) fn files(table: &'static Table, state: &DeltaTable) -> Result<Vec<InTable>> {
    let snapshot = state.snapshot().map_err(failed(table.name))?;
    let now = chrono::Utc::now().timestamp_millis();
    let log = snapshot.log_data();
    let mut files = Vec::new();
    for file in log.iter() {
        let remove = Remove { deletion_timestamp: Some(now), ..file.remove_action(true) };
        files.push(InTable {
            path: remove.path.clone(),
            size: file.size(),
            written_ms: file.modification_time(),
            rows: file.num_records(),
            partition: file.partition_values_map(),
            remove,
        });
    }
    Ok(files)
}

/// Where a file of a table lies in the store.
pub(crate) fn place(table: &Table, path: &str) -> ObjectPath {
    ObjectPath::from(format!("{}/{path}", table.name))
}

/// The rows of a file.
pub(crate) async fn read(store: &Store, table: &'static Table, file: &InTable) -> Result<Vec<RecordBatch>> {
    let at = place(table, &file.path);
    let missing = || Error::Damaged { path: at.to_string(), why: "it is not there".to_owned() };
    let bytes = store.get(&at).await?.ok_or_else(missing)?;
    rows(table, bytes)
}

/// The rows of a Parquet file.
pub(crate) fn rows(table: &'static Table, bytes: Bytes) -> Result<Vec<RecordBatch>> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Rows { table: table.name, source };
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| failed(Box::new(e)))?;
    let reader = reader.with_batch_size(1 << 16).build().map_err(|e| failed(Box::new(e)))?;
    reader.map(|batch| batch.map_err(|e| failed(Box::new(e)))).collect()
}

/// Some columns of the rows of a file; texts of which many are the same as a dictionary.
pub(crate) async fn read_some(
    store: &Store,
    table: &'static Table,
    file: &InTable,
    columns: &[&str],
) -> Result<Vec<RecordBatch>> {
    let at = place(table, &file.path);
    let missing = || Error::Damaged { path: at.to_string(), why: "it is not there".to_owned() };
    let bytes = store.get(&at).await?.ok_or_else(missing)?;
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Rows { table: table.name, source };
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|e| failed(Box::new(e)))?;
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = reader.schema().fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 if columns.contains(&field.name().as_str()) => {
            Arc::new(field.as_ref().clone().with_data_type(dictionary.clone()))
        }
        _ => Arc::clone(field),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options);
    let reader = reader.map_err(|e| failed(Box::new(e)))?;
    let wanted = ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied());
    let reader = reader.with_projection(wanted).with_batch_size(1 << 16).build();
    reader.map_err(|e| failed(Box::new(e)))?.map(|batch| batch.map_err(|e| failed(Box::new(e)))).collect()
}

/// What becomes of the rows of a table.
pub(crate) type Keep<'a> = &'a dyn Fn(&RecordBatch) -> Result<BooleanArray>;

/// Writes those files anew in which rows are not kept.
pub(crate) async fn keep_only(
    store: &Store,
    table: &'static Table,
    state: &DeltaTable,
    keep: Keep<'_>,
) -> Result<(Vec<Add>, Vec<Remove>, u64)> {
    keep_in(store, table, files(table, state)?, keep).await
}

/// The same, of some files.
pub(crate) async fn keep_in(
    store: &Store,
    table: &'static Table,
    of: Vec<InTable>,
    keep: Keep<'_>,
) -> Result<(Vec<Add>, Vec<Remove>, u64)> {
    let (mut added, mut removed, mut gone) = (Vec::new(), Vec::new(), 0);
    for file in of {
        let rows = read(store, table, &file).await?;
        let before: usize = rows.iter().map(RecordBatch::num_rows).sum();
        let mut kept = Vec::new();
        for batch in rows {
            let wanted = keep(&batch)?;
            kept.push(
                arrow::compute::filter_record_batch(&batch, &wanted)
                    .map_err(|error| Error::Rows { table: table.name, source: Box::new(error) })?,
            );
        }
        let after: usize = kept.iter().map(RecordBatch::num_rows).sum();
        if after == before {
            continue;
        }
        gone += (before - after) as u64;
        if after > 0 {
            let name = format!("kept-{}", uuid::Uuid::new_v4());
            added.push(write(store, table, file.partition, &name, &kept, Packing::Tight).await?);
        }
        removed.push(file.remove);
    }
    Ok((added, removed, gone))
}

/// Removes files that no table has, if they are older than `older_than_ms`: what was replaced, and what was written and never
/// committed. Readers of older versions of the table need them no longer.
pub(crate) async fn sweep(store: &Store, table: &'static Table, older_than_ms: i64) -> Result<u64> {
    let state = store.table(table).await?;
    let wanted: std::collections::HashSet<ObjectPath> =
        files(table, &state)?.into_iter().map(|file| place(table, &file.path)).collect();
    let root = ObjectPath::from(table.name);
    let log = ObjectPath::from(format!("{}/_delta_log", table.name));
    let found: Vec<_> = store
        .objects
        .list(Some(&root))
        .try_collect()
        .await
        .map_err(|source| Error::Object { what: "list", path: root.to_string(), source })?;
    let limit = chrono::Utc::now().timestamp_millis() - older_than_ms;
    let mut swept = 0;
    for meta in found {
        let is_old = meta.last_modified.timestamp_millis() <= limit;
        if is_old && !meta.location.prefix_matches(&log) && !wanted.contains(&meta.location) {
            remove(store, &meta.location).await?;
            swept += 1;
        }
    }
    Ok(swept)
}

pub(crate) async fn remove(store: &Store, path: &ObjectPath) -> Result<()> {
    match store.objects.delete(path).await {
        Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
        Err(source) => Err(Error::Object { what: "remove", path: path.to_string(), source }),
    }
}

/// Writes down the state of a table as it is, and removes all of its log before that if `forget` is set, or what is older than
/// `older_than_ms`.
pub(crate) async fn checkpoint(
    store: &Store,
    table: &'static Table,
    forget: bool,
    older_than_ms: i64,
) -> Result<()> {
    let state = store.table(table).await?;
    let version = state.snapshot().map_err(failed(table.name))?.version();
    deltalake_core::checkpoints::create_checkpoint(&state, None).await.map_err(failed(table.name))?;
    let log = ObjectPath::from(format!("{}/_delta_log", table.name));
    let found: Vec<_> = store
        .objects
        .list(Some(&log))
        .try_collect()
        .await
        .map_err(|source| Error::Object { what: "list", path: log.to_string(), source })?;
    let limit = chrono::Utc::now().timestamp_millis() - older_than_ms;
    for meta in found {
        // `00000000000000000042.json`, `…42.checkpoint.parquet`; others have no number in front.
        let name = meta.location.filename().unwrap_or_default();
        let of: Option<u64> = name.get(..20).and_then(|digits| digits.parse().ok());
        let is_before = of.is_some_and(|of| of < version as u64);
        if is_before && (forget || meta.last_modified.timestamp_millis() <= limit) {
            remove(store, &meta.location).await?;
        }
    }
    Ok(())
}
