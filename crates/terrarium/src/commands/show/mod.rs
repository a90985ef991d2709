//! `terrarium show`: a series as charts in the terminal, as a page, as pictures, as text.

mod charts;
pub(crate) mod clock;
mod csv;
#[cfg(test)]
mod examples;
mod facts;
mod figures;
mod page;
mod terminal;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use terrarium_chart::svg::{Place, time_chart};
use terrarium_core::JobId;
use terrarium_observe::series::{self, Series, SeriesError};

use crate::cli::show::ShowArgs;
use crate::error::CliError;
use crate::history;
use crate::out;
use crate::summary::printable;
use crate::whole_file::Destination;
use terminal::Terminal;

/// Returns the exit code.
pub(crate) fn run(args: &ShowArgs) -> Result<u8, CliError> {
    let files = [&args.html, &args.csv];
    let to_stdout =
        files.into_iter().flatten().filter(|file| is_stdout(file)).count() + usize::from(args.json);
    if to_stdout > 1 {
        return Err(CliError::Conflict(
            "only one of --json, --html - and --csv - can go to stdout".to_owned(),
        ));
    }
    let path = match &args.file {
        Some(path) => named(path),
        None => last_run()?,
    };
    let series = read(&path)?;
    if let Some(file) = &args.html {
        write("--html", file, &page::page(&series))?;
    }
    if let Some(file) = &args.csv {
        write("--csv", file, &csv::csv(&series))?;
    }
    if let Some(directory) = &args.svg {
        pictures(directory, &series)?;
    }
    if args.json {
        // Numbers and texts only: it cannot fail.
        stdout(&(csv::json(&series).unwrap_or_default() + "\n"))?;
    }
    if args.json || args.html.is_some() || args.csv.is_some() || args.svg.is_some() {
        // The terminal's view tells it itself.
        if let Some(damage) = &series.damage {
            out::note(format_args!("note: {} is damaged: {}", path.display(), printable(damage)));
        }
    } else {
        stdout(&terminal::view(&series, Terminal::of_stdout()))?;
    }
    Ok(0)
}

/// The series of the last run in the history that has one.
fn last_run() -> Result<PathBuf, CliError> {
    let none = |why: &str| CliError::NothingToShow { why: why.to_owned() };
    let directory = history::directory().ok_or_else(|| none("there is no history"))?;
    let unreadable = |error: std::io::Error| none(&format!("{}: {error}", directory.display()));
    let kept = terrarium_observe::history::read(&directory).map_err(unreadable)?;
    if kept.entries.is_empty() {
        return Err(none(&format!("no history yet (in {})", directory.display())));
    }
    let series = kept.entries.into_iter().rev().filter_map(|entry| entry.series);
    let mut files = series.map(|file| directory.join(file)).filter(|file| file.is_file());
    files.next().ok_or_else(|| none("no run in the history has a series"))
}

/// What is named: a file, or the job of a series in the history.
fn named(path: &Path) -> PathBuf {
    let of_job = || {
        let job: JobId = path.to_str()?.parse().ok()?;
        let directory = history::directory()?;
        Some(directory.join(terrarium_observe::history::find_series(&directory, &job.to_string())?))
    };
    if path.exists() { path.to_owned() } else { of_job().unwrap_or_else(|| path.to_owned()) }
}

fn read(path: &Path) -> Result<Series, CliError> {
    let fail = |why: String| CliError::Series { path: path.to_owned(), why };
    let file = File::open(path).map_err(|error| {
        fail(match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => error.to_string(),
        })
    })?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(fail("it is a directory".to_owned()));
    }
    series::read(file).map_err(|error| match error {
        SeriesError::Io(error) => fail(error.to_string()),
        SeriesError::Foreign { why } => fail(why),
    })
}

fn pictures(directory: &Path, series: &Series) -> Result<(), CliError> {
    std::fs::create_dir_all(directory)
        .map_err(|source| CliError::Write { path: directory.to_owned(), source })?;
    let (drawn, _) = charts::charts(series);
    if drawn.is_empty() {
        out::note("note: there is no data, and so no picture");
    }
    for drawn in drawn {
        let file = directory.join(format!("{}.svg", drawn.chart.id));
        write("--svg", &file, &time_chart(&drawn.chart, Place::File))?;
    }
    Ok(())
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn write(flag: &'static str, path: &Path, content: &str) -> Result<(), CliError> {
    if is_stdout(path) {
        return stdout(content);
    }
    Destination::of(flag, path)?
        .write(content.as_bytes())
        .map_err(|source| CliError::Write { path: path.to_owned(), source })
}

/// A reader that has seen enough is no failure; a full disk is.
fn stdout(content: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(content.as_bytes()).and_then(|()| stdout.flush()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::Write { path: PathBuf::from("standard output"), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use terrarium_observe::series::Encoder;

    fn bytes(series: &Series) -> Vec<u8> {
        let mut encoder = Encoder::new(series.start.clone()).unwrap();
        for sample in &series.samples {
            encoder.push(sample.clone()).unwrap();
        }
        encoder.file(series.report.as_ref()).unwrap()
    }

    fn args(file: PathBuf) -> ShowArgs {
        ShowArgs { file: Some(file), html: None, svg: None, csv: None, json: false }
    }

    #[test]
    fn a_file_becomes_a_page_pictures_and_a_table() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("a.arrow"), bytes(&examples::gaps())).unwrap();
        let mut args = args(path("a.arrow"));
        (args.html, args.svg, args.csv) = (Some(path("a.html")), Some(path("p/q")), Some(path("a.csv")));
        assert_eq!(run(&args).unwrap(), 0);
        assert!(fs::read_to_string(path("a.html")).unwrap().ends_with("</html>\n"));
        assert_eq!(fs::read_dir(path("p/q")).unwrap().count(), 5);
        assert_eq!(
            fs::read_to_string(path("a.csv")).unwrap().lines().count(),
            1 + examples::gaps().samples.len()
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    }

    #[test]
    fn what_stands_before_a_cut_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.arrow");
        let whole = bytes(&examples::pool());
        for length in [whole.len() * 9 / 10, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            let series = read(&path).unwrap();
            assert!(series.damage.is_some() && series.samples.len() >= 4096);
            assert!(page::page(&series).contains("damaged"));
        }
    }

    #[test]
    fn what_is_no_series_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.arrow");
        for (content, part) in
            [(&b""[..], "empty"), (b"PAR1", "Parquet"), (b"{\"schema\": 1}", "JSON"), (b"hello", "text")]
        {
            fs::write(&path, content).unwrap();
            let error = run(&args(path.clone())).unwrap_err();
            assert_eq!(error.code(), 125);
            assert!(error.to_string().contains(part), "{error}");
        }
        let error = run(&args(directory.path().to_owned())).unwrap_err().to_string();
        assert!(error.contains("directory"), "{error}");
        let error = run(&args(directory.path().join("none"))).unwrap_err().to_string();
        assert!(error.contains("no such file"), "{error}");
    }

    #[test]
    fn stdout_is_for_one() {
        let mut args = args("x".into());
        (args.csv, args.json) = (Some("-".into()), true);
        assert!(matches!(run(&args), Err(CliError::Conflict(_))));
    }
}
