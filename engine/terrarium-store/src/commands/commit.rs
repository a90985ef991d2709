//! `terrarium-store commit`.

use std::time::Instant;

use serde::Serialize;
use terrarium_usage::commit::{Committed, commit};
use terrarium_usage::inbox::Inbox;
use terrarium_usage::store::Store;

use crate::cli::CommitArgs;
use crate::error::CliError;
use crate::out::{counted, note, printable, progress, progress_end, result};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    store: String,
    batches: u64,
    segments: u64,
    processes: u64,
    modules: u64,
    known: u64,
    refused: Vec<(&'a std::path::Path, &'a str)>,
    seconds: f64,
}

/// Returns the exit code: 1 if a segment was refused.
pub(crate) async fn run(args: &CommitArgs) -> Result<u8, CliError> {
    let began = Instant::now();
    let inbox = Inbox::new(args.segments.clone());
    // Without anything to commit nothing is made.
    let location = args.store.location()?;
    let store = Store::make(location).await?;
    let mut told = |done: &Committed, waiting: usize| {
        if !args.quiet {
            let rate = done.modules as f64 / began.elapsed().as_secs_f64().max(0.001);
            progress(format_args!(
                "{} committed, {waiting} left; {rate:.0} modules/s",
                counted(done.segments, "segment")
            ));
        }
    };
    let done = commit(&store, &inbox, &mut told, &mut |_| Ok(())).await;
    progress_end();
    let done = done?;
    for refused in &done.refused {
        note(format_args!(
            "note: {}: {}",
            printable(&refused.path.display().to_string()),
            printable(&refused.why)
        ));
    }
    if args.json {
        let document = Document {
            schema: "terrarium.commit/1",
            store: store.location.name(),
            batches: done.batches,
            segments: done.segments,
            processes: done.processes,
            modules: done.modules,
            known: done.known,
            refused: done.refused.iter().map(|r| (r.path.as_path(), r.why.as_str())).collect(),
            seconds: began.elapsed().as_secs_f64(),
        };
        result(format_args!("{}\n", serde_json::to_string(&document).unwrap_or_default()))?;
    } else if !args.quiet {
        result(format_args!(
            "{}: {}, {} and {} committed in {:.1} s\n",
            printable(&store.location.name()),
            counted(done.segments, "segment"),
            if done.processes == 1 {
                "1 process".to_owned()
            } else {
                format!("{} processes", done.processes)
            },
            counted(done.modules, "module row"),
            began.elapsed().as_secs_f64()
        ))?;
    }
    Ok(u8::from(!done.refused.is_empty()))
}
