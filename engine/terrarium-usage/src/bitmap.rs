//! Sets of users in SQL: `user_count(users)` counts the users in all sets of a group, each once; `user_set(users)` is that set;
//! `user_list(set)` are its numbers. Of two sets, `users_both(a, b)` are those in both, `users_without(a, b)` those in the first only;
//! `users_in(set)` says how many a set has. A set that is null has nobody.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Int64Array, ListBuilder, UInt32Builder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr_fn::{SimpleAggregateUDF, SimpleScalarUDF};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, ColumnarValue, ScalarUDF, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;
use roaring::RoaringBitmap;

pub(crate) fn register(session: &SessionContext) {
    let aggregate = |name: &str, result: DataType, counts: bool| {
        AggregateUDF::from(SimpleAggregateUDF::new_with_signature(
            name,
            sets(),
            result,
            Arc::new(move |_| Ok(Box::new(Union { users: RoaringBitmap::new(), counts }))),
            vec![Arc::new(Field::new("users", DataType::Binary, true))],
        ))
    };
    session.register_udaf(aggregate("user_count", DataType::Int64, true));
    session.register_udaf(aggregate("user_set", DataType::Binary, false));
    session.register_udf(list());
    session.register_udf(of_two("users_both", |a, b| a & b));
    session.register_udf(of_two("users_without", |a, b| a - b));
    session.register_udf(size());
}

/// Readers give bytes in several forms.
fn sets() -> Signature {
    Signature::uniform(
        1,
        vec![DataType::Binary, DataType::BinaryView, DataType::LargeBinary],
        Volatility::Immutable,
    )
}

/// A set of users as `daily` holds it.
pub(crate) fn read(bytes: &[u8]) -> std::io::Result<RoaringBitmap> {
    RoaringBitmap::deserialize_from(bytes)
}

fn damaged(error: std::io::Error) -> DataFusionError {
    DataFusionError::Execution(format!("a set of users is damaged: {error}"))
}

#[derive(Debug)]
struct Union {
    users: RoaringBitmap,
    counts: bool,
}

impl Union {
    fn add(&mut self, values: &[ArrayRef]) -> Result<()> {
        let sets = cast(&values[0], &DataType::Binary)?;
        for set in sets.as_binary::<i32>().iter().flatten() {
            self.users |= read(set).map_err(damaged)?;
        }
        Ok(())
    }

    fn bytes(&self) -> Result<ScalarValue> {
        let mut bytes = Vec::with_capacity(self.users.serialized_size());
        self.users.serialize_into(&mut bytes).map_err(damaged)?;
        Ok(ScalarValue::Binary(Some(bytes)))
    }
}

impl Accumulator for Union {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.add(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.bytes()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.counts { Ok(ScalarValue::Int64(Some(self.users.len() as i64))) } else { self.bytes() }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.users.serialized_size()
    }
}

/// A set made of two.
fn of_two(name: &str, with: fn(RoaringBitmap, RoaringBitmap) -> RoaringBitmap) -> ScalarUDF {
    let of = move |arguments: &[ColumnarValue]| -> Result<ColumnarValue> {
        let sets = ColumnarValue::values_to_arrays(arguments)?;
        let (a, b) = (cast(&sets[0], &DataType::Binary)?, cast(&sets[1], &DataType::Binary)?);
        let mut results = BinaryBuilder::new();
        let mut bytes = Vec::new();
        for (a, b) in a.as_binary::<i32>().iter().zip(b.as_binary::<i32>()) {
            let set = |bytes: Option<&[u8]>| {
                bytes.map_or_else(|| Ok(RoaringBitmap::new()), |b| read(b).map_err(damaged))
            };
            bytes.clear();
            with(set(a)?, set(b)?).serialize_into(&mut bytes).map_err(damaged)?;
            results.append_value(&bytes);
        }
        Ok(ColumnarValue::Array(Arc::new(results.finish())))
    };
    let two = Signature::one_of(
        [DataType::Binary, DataType::BinaryView, DataType::LargeBinary]
            .map(|kind| TypeSignature::Exact(vec![kind.clone(), kind]))
            .to_vec(),
        Volatility::Immutable,
    );
    ScalarUDF::from(SimpleScalarUDF::new_with_signature(name, two, DataType::Binary, Arc::new(of)))
}

/// How many a set has.
fn size() -> ScalarUDF {
    let of = |arguments: &[ColumnarValue]| -> Result<ColumnarValue> {
        let sets = ColumnarValue::values_to_arrays(arguments)?;
        let sets = cast(&sets[0], &DataType::Binary)?;
        let size = |set: Option<&[u8]>| {
            set.map_or(Ok(0), |set| read(set).map(|set| set.len() as i64).map_err(damaged))
        };
        let sizes: Result<Int64Array> =
            sets.as_binary::<i32>().iter().map(|set| size(set).map(Some)).collect();
        Ok(ColumnarValue::Array(Arc::new(sizes?)))
    };
    ScalarUDF::from(SimpleScalarUDF::new_with_signature("users_in", sets(), DataType::Int64, Arc::new(of)))
}

fn list() -> ScalarUDF {
    let element = Arc::new(Field::new("element", DataType::UInt32, true));
    let of = move |arguments: &[ColumnarValue]| -> Result<ColumnarValue> {
        let sets = ColumnarValue::values_to_arrays(arguments)?;
        let sets = cast(&sets[0], &DataType::Binary)?;
        let field = Field::new("element", DataType::UInt32, true);
        let mut lists = ListBuilder::new(UInt32Builder::new()).with_field(field);
        for set in sets.as_binary::<i32>() {
            if let Some(set) = set {
                read(set).map_err(damaged)?.iter().for_each(|user| lists.values().append_value(user));
            }
            lists.append(set.is_some());
        }
        Ok(ColumnarValue::Array(Arc::new(lists.finish()) as Arc<dyn Array>))
    };
    ScalarUDF::from(SimpleScalarUDF::new_with_signature(
        "user_list",
        sets(),
        DataType::List(element),
        Arc::new(of),
    ))
}
