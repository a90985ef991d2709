//! `terrarium store compact`, `expire` and `forget`.

use std::time::{SystemTime, UNIX_EPOCH};

use terrarium_usage::inbox::Inbox;
use terrarium_usage::maintain::{self, Maintained};
use terrarium_usage::rollup;
use terrarium_usage::store::Store;

use crate::cli::{CompactArgs, ExpireArgs, ForgetArgs, RollupArgs};
use crate::error::CliError;
use crate::out::{bytes, counted, progress, progress_end, result};

/// Returns the exit code.
pub(crate) async fn compact(args: &CompactArgs) -> Result<u8, CliError> {
    let store = Store::open(args.store.location()?).await?;
    let keep = i64::try_from(args.keep.as_millis()).unwrap_or(i64::MAX / 2);
    let mut told = |done: &Maintained| progress(format_args!("{}: {} files", done.table, done.files_after));
    let all = maintain::compact(&store, keep, &mut told).await;
    progress_end();
    print(&all?)
}

/// Returns the exit code.
pub(crate) async fn rollup(args: &RollupArgs) -> Result<u8, CliError> {
    let store = Store::open(args.store.location()?).await?;
    let began = std::time::Instant::now();
    let mut told = |done: usize, all: usize| progress(format_args!("day {done} of {all}"));
    let done = rollup::update(&store, &mut told).await;
    progress_end();
    let done = done?;
    let seconds = began.elapsed().as_secs_f64();
    if args.json {
        let document = serde_json::json!({
            "schema": "terrarium.rollup/1", "days": done.days, "months": done.months, "removed": done.removed, "seconds": seconds,
        });
        result(format_args!("{document}\n"))?;
    } else {
        let days = counted(done.days as u64, "day");
        result(format_args!(
            "{days} added up, {} written, {seconds:.1} s\n",
            counted(done.months as u64, "month")
        ))?;
    }
    Ok(0)
}

/// Returns the exit code.
pub(crate) async fn expire(args: &ExpireArgs) -> Result<u8, CliError> {
    let store = Store::open(args.store.location()?).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let day =
        |ago: std::time::Duration| i32::try_from(now.saturating_sub(ago).as_secs() / 86_400).unwrap_or(0);
    let all = maintain::expire(&store, day(args.older_than), args.sums_older_than.map(day)).await?;
    print(&all)
}

fn print(all: &[Maintained]) -> Result<u8, CliError> {
    for done in all {
        let went = match (done.rows_removed, done.swept) {
            (0, 0) => String::new(),
            (rows, swept) => {
                format!("; {} gone, {} removed", counted(rows, "row"), counted(swept, "old file"))
            }
        };
        result(format_args!(
            "{:<13} {} ({}), before {} ({}){went}\n",
            done.table,
            counted(done.files_after, "file"),
            bytes(done.bytes_after),
            done.files_before,
            bytes(done.bytes_before),
        ))?;
    }
    Ok(0)
}

/// Returns the exit code.
pub(crate) async fn forget(args: &ForgetArgs) -> Result<u8, CliError> {
    let store = Store::open(args.store.location()?).await?;
    super::import::clear(&store).await?;
    let inbox = args.segments.clone().map(Inbox::new);
    let done = maintain::forget(&store, inbox.as_ref(), &args.user).await?;
    let rows: Vec<String> =
        done.rows.iter().filter(|(_, n)| *n > 0).map(|(table, n)| format!("{n} of {table}")).collect();
    let rows = if rows.is_empty() { "none".to_owned() } else { rows.join(", ") };
    result(format_args!("rows removed: {rows}; segments written anew: {}\n", done.segments))?;
    if args.segments.is_none() {
        crate::out::note("note: segments that wait were not looked at; name their folder: --segments DIR");
    }
    Ok(0)
}
