//! Samples as columns of Arrow.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use terrarium_core::sample::{Metric, Sample};

/// Name of the first column.
pub(super) const TIME: &str = "time";

/// Whole numbers throughout, 64 bits wide: compressed they take no more room than narrow ones.
pub(super) fn schema(metadata: HashMap<String, String>) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields = vec![Field::new(TIME, time, false)];
    fields.extend(Metric::ALL.map(|metric| Field::new(metric.name(), DataType::Int64, true)));
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

pub(super) fn batch(schema: &SchemaRef, samples: &[Sample]) -> Result<RecordBatch, ArrowError> {
    let time: TimestampMillisecondArray = samples.iter().map(|s| s.time_ms).collect::<Vec<_>>().into();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(time.with_timezone("UTC"))];
    for metric in Metric::ALL {
        let values: Int64Array = samples.iter().map(|s| s.get(metric)).collect();
        columns.push(Arc::new(values));
    }
    RecordBatch::try_new(schema.clone(), columns)
}
