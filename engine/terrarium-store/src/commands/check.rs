//! `terrarium store check`.

use serde_json::json;
use terrarium_usage::check::check;
use terrarium_usage::store::Store;

use crate::cli::CheckArgs;
use crate::error::CliError;
use crate::out::{counted, printable, result};

/// Returns the exit code: 1 if something is wrong.
pub(crate) async fn run(args: &CheckArgs) -> Result<u8, CliError> {
    let store = Store::open(args.store.location()?).await?;
    let found = check(&store).await?;
    let code = u8::from(!found.wrong.is_empty());
    if args.json {
        let rows: serde_json::Map<String, serde_json::Value> =
            found.rows.iter().map(|(table, rows)| ((*table).to_owned(), json!(rows))).collect();
        let document = json!({
            "schema": "terrarium.check/1", "store": store.location.name(), "files": found.files, "rows": rows, "wrong": found.wrong,
        });
        result(format_args!("{document}\n"))?;
        return Ok(code);
    }
    for (table, rows) in &found.rows {
        result(format_args!("{table:<13} {:>12}\n", counted(*rows, "row")))?;
    }
    for wrong in &found.wrong {
        result(format_args!("wrong: {}\n", printable(wrong)))?;
    }
    result(match found.wrong.len() {
        0 => format!("all is well: {} were read\n", counted(found.files, "file")),
        n => format!("{} found\n", counted(n as u64, "fault")),
    })?;
    Ok(code)
}
