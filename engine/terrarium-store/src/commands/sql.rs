//! `terrarium store sql`, and how rows are printed.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value, json};
use terrarium_usage::query::Session;
use terrarium_usage::rollup;
use terrarium_usage::store::Store;

use crate::cli::{Rows, SqlArgs};
use crate::error::CliError;
use crate::out::{printable, result};

/// Characters of a value in a table for people.
const WIDEST: usize = 60;

/// Returns the exit code.
pub(crate) async fn run(args: &SqlArgs) -> Result<u8, CliError> {
    let store = Store::open(args.store.location()?).await?;
    let session = Session::for_query(&store, &args.query, None, args.memory).await?;
    if rollup::FUNCTIONS.iter().any(|function| args.query.contains(function)) {
        let mut told = |done: usize, all: usize| {
            crate::out::progress(format_args!("adding up day {done} of {all}"));
        };
        let source = rollup::Source::of_all(&store, &mut told).await;
        crate::out::progress_end();
        session.add_rollups(&source?);
    }
    let rows = session.rows(&args.query).await?;
    result(match args.format {
        Rows::Table => table(&rows, &[]),
        Rows::Csv => csv(&rows),
        Rows::Json => format!("{}\n", Value::Array(objects(&rows))),
    })?;
    Ok(0)
}

/// Texts of all values; nothing is `null`.
fn texts(rows: &[RecordBatch]) -> (Vec<String>, Vec<Vec<Option<String>>>) {
    let options = FormatOptions::default();
    let names = rows.first().map(|batch| batch.schema().fields().iter().map(|f| f.name().clone()).collect());
    let mut all = Vec::new();
    for batch in rows {
        let formatters: Vec<Option<ArrayFormatter<'_>>> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).ok()).collect();
        for i in 0..batch.num_rows() {
            let cell = |(column, formatter): (&std::sync::Arc<dyn Array>, &Option<ArrayFormatter<'_>>)| {
                if column.is_null(i) { None } else { formatter.as_ref().map(|f| f.value(i).to_string()) }
            };
            all.push(batch.columns().iter().zip(&formatters).map(cell).collect());
        }
    }
    (names.unwrap_or_default(), all)
}

/// For people; columns in `hidden` are left out.
pub(crate) fn table(rows: &[RecordBatch], hidden: &[&str]) -> String {
    let (names, all) = texts(rows);
    let is_number: Vec<bool> = rows
        .first()
        .map(|batch| batch.schema().fields().iter().map(|field| field.data_type().is_numeric()).collect())
        .unwrap_or_default();
    let shown: Vec<usize> = (0..names.len()).filter(|i| !hidden.contains(&names[*i].as_str())).collect();
    let cut = |text: &str| {
        let text = printable(text);
        if text.chars().count() <= WIDEST {
            return text;
        }
        text.chars().take(WIDEST - 1).chain(['…']).collect()
    };
    let cells: Vec<Vec<String>> = all
        .iter()
        .map(|row| shown.iter().map(|i| row[*i].as_deref().map(cut).unwrap_or_default()).collect())
        .collect();
    let width = |place: usize| {
        let heads = names[shown[place]].chars().count();
        cells.iter().map(|row| row[place].chars().count()).max().unwrap_or(0).max(heads)
    };
    let widths: Vec<usize> = (0..shown.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (place, cell) in cells.iter().enumerate() {
            let space = " ".repeat(widths[place] - cell.chars().count());
            let right = is_number[shown[place]];
            text.push_str(&if right { format!("{space}{cell}  ") } else { format!("{cell}{space}  ") });
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(shown.iter().map(|i| names[*i].as_str()).collect());
    cells.iter().for_each(|row| line(row.iter().map(String::as_str).collect()));
    if cells.is_empty() {
        out.push_str("(no rows)\n");
    }
    out
}

/// As RFC 4180 has it.
pub(crate) fn csv(rows: &[RecordBatch]) -> String {
    let (names, all) = texts(rows);
    let field = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let mut out = names.iter().map(|name| field(name)).collect::<Vec<_>>().join(",");
    out.push_str("\r\n");
    for row in all {
        let fields: Vec<String> = row.iter().map(|cell| field(cell.as_deref().unwrap_or_default())).collect();
        out.push_str(&fields.join(","));
        out.push_str("\r\n");
    }
    out
}

/// Rows as JSON objects: numbers are numbers, lists lists.
pub(crate) fn objects(rows: &[RecordBatch]) -> Vec<Value> {
    let mut all = Vec::new();
    for batch in rows {
        let schema = batch.schema();
        for i in 0..batch.num_rows() {
            let values = schema.fields().iter().zip(batch.columns());
            let object: Map<String, Value> =
                values.map(|(field, column)| (field.name().clone(), value(column.as_ref(), i))).collect();
            all.push(Value::Object(object));
        }
    }
    all
}

fn value(column: &dyn Array, i: usize) -> Value {
    if column.is_null(i) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(i)),
        DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(i)),
        DataType::UInt64 => json!(column.as_primitive::<UInt64Type>().value(i)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(i)),
        DataType::Boolean => json!(column.as_boolean().value(i)),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(i);
            Value::Array((0..list.len()).map(|j| value(list.as_ref(), j)).collect())
        }
        _ => {
            let text =
                ArrayFormatter::try_new(column, &FormatOptions::default()).map(|f| f.value(i).to_string());
            text.map_or(Value::Null, Value::String)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn rows() -> Vec<RecordBatch> {
        let names: Arc<dyn Array> =
            Arc::new(StringArray::from(vec![Some("a,\"b\""), None, Some("x\u{1b}[2J")]));
        let numbers: Arc<dyn Array> = Arc::new(Int64Array::from(vec![Some(1), Some(22), None]));
        vec![RecordBatch::try_from_iter([("name", names), ("n", numbers)]).unwrap()]
    }

    #[test]
    fn rows_for_people_and_programs() {
        assert_eq!(table(&rows(), &[]), "name    n\na,\"b\"   1\n       22\nx?[2J\n");
        assert_eq!(table(&rows(), &["n"]), "name\na,\"b\"\n\nx?[2J\n");
        assert!(csv(&rows()).starts_with("name,n\r\n\"a,\"\"b\"\"\",1\r\n,22\r\n"));
        assert_eq!(objects(&rows())[1], json!({"name": null, "n": 22}));
    }
}
