//! Data files: rows to Parquet, with the encodings that suit them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::Add;
use object_store::{ObjectStoreExt, path::Path as ObjectPath};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::schema::Table;
use crate::store::{Partition, Store};

/// Rows of one group: what a reader can pass over.
const GROUP: usize = 1 << 20;

/// How hard it is packed: quickly when a batch comes, well when it is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// A batch.
    Quick,
    /// For long.
    Tight,
}

fn properties(table: &Table, packing: Packing) -> WriterProperties {
    let level = if packing == Packing::Quick { 1 } else { 9 };
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default()))
        .set_max_row_group_row_count(Some(GROUP))
        .set_data_page_row_count_limit(100_000)
        .set_write_batch_size(8192)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("terrarium {}", env!("CARGO_PKG_VERSION")));
    if table.name == "imports" {
        // Rows of a module are in the order of processes that are numbered in a row: differences are mostly 1.
        let process = ColumnPath::from("process_id");
        builder = builder
            .set_column_dictionary_enabled(process.clone(), false)
            .set_column_encoding(process, Encoding::DELTA_BINARY_PACKED);
    }
    if table.name == "daily" {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from("users"), false);
    }
    builder.build()
}

/// A Parquet file of these rows.
pub(crate) fn parquet(table: &'static Table, batches: &[RecordBatch], packing: Packing) -> Result<Vec<u8>> {
    let failed =
        |error: parquet::errors::ParquetError| Error::Rows { table: table.name, source: Box::new(error) };
    let schema = batches.first().map_or_else(|| table.in_files(), RecordBatch::schema);
    // What Arrow would note of its own types is nobody else's business.
    let options =
        ArrowWriterOptions::new().with_properties(properties(table, packing)).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(failed)?;
    for batch in batches {
        writer.write(batch).map_err(failed)?;
    }
    writer.into_inner().map_err(failed)
}

/// The path of a file of a partition, below the table.
fn path(table: &Table, partition: &Partition, name: &str) -> String {
    let mut path = String::new();
    for column in table.partitions {
        let value = partition.get(*column).cloned().flatten().unwrap_or_default();
        path.push_str(&format!("{column}={value}/"));
    }
    path + name + ".parquet"
}

/// Writes a file, and says how it is added to the table.
pub(crate) async fn write(
    store: &Store,
    table: &'static Table,
    partition: Partition,
    name: &str,
    batches: &[RecordBatch],
    packing: Packing,
) -> Result<Add> {
    let bytes = parquet(table, batches, packing)?;
    let path = path(table, &partition, name);
    let at = ObjectPath::from(format!("{}/{path}", table.name));
    let size = bytes.len();
    store.objects.put(&at, bytes.into()).await.map_err(|source| Error::Object {
        what: "write",
        path: at.to_string(),
        source,
    })?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    Ok(Add {
        path,
        partition_values: partition,
        size: size as i64,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        // The number alone: lowest and highest values could be somebody's name, and stand in the log for ever.
        stats: Some(format!("{{\"numRecords\":{rows}}}")),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

/// The values of a partition.
pub(crate) fn partition(table: &Table, cluster: &str, date: Option<i32>) -> Partition {
    let mut values = HashMap::new();
    for column in table.partitions {
        let value = match *column {
            "cluster" => Some(cluster.to_owned()),
            _ => date.map(day),
        };
        values.insert((*column).to_owned(), value);
    }
    values
}

/// `2026-11-28`, of days since 1970.
pub(crate) fn day(days: i32) -> String {
    let start = chrono::NaiveDate::default();
    start
        .checked_add_signed(chrono::TimeDelta::days(i64::from(days)))
        .map_or_else(|| "1970-01-01".to_owned(), |date| date.format("%Y-%m-%d").to_string())
}

/// Rows of one schema that are cut to the columns which are in files.
pub(crate) fn without_partitions(table: &Table, batch: &RecordBatch) -> Result<RecordBatch> {
    let schema: SchemaRef = table.in_files();
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let column = batch.column_by_name(field.name()).cloned().ok_or_else(|| Error::Rows {
                table: table.name,
                source: format!("the column {} is missing", field.name()).into(),
            })?;
            arrow::compute::cast(&column, field.data_type())
                .map_err(|error| Error::Rows { table: table.name, source: Box::new(error) })
        })
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(&schema), columns)
        .map_err(|error| Error::Rows { table: table.name, source: Box::new(error) })
}
