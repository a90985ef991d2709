//! Traces of tasks, as Nextflow writes them: CSV with a header, perhaps compressed.

use std::fs;
use std::path::Path;
use std::process::Command;

use terrarium_core::Bytes;

use crate::Result;

/// A task that came to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    /// What tasks of one kind have in common: the process of the workflow.
    pub(crate) kind: String,
    pub(crate) peak: Bytes,
    /// What the user asked for.
    pub(crate) request: Bytes,
    pub(crate) seconds: f64,
}

/// The traces of a directory, by name, each in the order of submission.
pub(crate) fn read_all(directory: &Path) -> Result<Vec<(String, Vec<Task>)>> {
    let entries = fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    let mut out = Vec::new();
    for path in paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(stem) = file.strip_suffix(".csv.gz").or_else(|| file.strip_suffix(".csv")) else { continue };
        let text = text_of(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let tasks = parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        out.push((stem.trim_start_matches("trace_").to_owned(), tasks));
    }
    if out.is_empty() {
        return Err(format!("{}: no file ends in .csv or .csv.gz", directory.display()));
    }
    Ok(out)
}

fn text_of(path: &Path) -> Result<String> {
    if path.extension().is_some_and(|e| e == "csv") {
        return fs::read_to_string(path).map_err(|e| e.to_string());
    }
    let output = Command::new("gzip").arg("-dc").arg(path).output().map_err(|e| format!("gzip: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    String::from_utf8(output.stdout).map_err(|e| e.to_string())
}

/// Tasks that were completed, with their peak, request and time known and not 0.
pub(crate) fn parse(text: &str) -> Result<Vec<Task>> {
    let mut lines = text.lines();
    let header = fields(lines.next().ok_or("the file is empty")?);
    let column =
        |name: &str| header.iter().position(|h| h == name).ok_or(format!("there is no column `{name}`"));
    let (process, status, submit) = (column("process")?, column("status")?, column("submit")?);
    let (memory, peak, time) = (column("memory")?, column("peak_rss")?, column("realtime")?);
    let mut out: Vec<(f64, Task)> = Vec::new();
    for line in lines {
        let row = fields(line);
        let number = |at: usize| row.get(at).and_then(|f| f.parse::<f64>().ok()).filter(|n| n.is_finite());
        if row.get(status).is_none_or(|s| s != "COMPLETED") {
            continue;
        }
        let (Some(submitted), Some(request), Some(peak), Some(milliseconds)) =
            (number(submit), number(memory), number(peak), number(time))
        else {
            continue;
        };
        if peak <= 0.0 || request <= 0.0 || milliseconds < 0.0 {
            continue;
        }
        let kind = row.get(process).cloned().unwrap_or_default();
        let (peak, request) = (Bytes(peak as u64), Bytes(request as u64));
        out.push((submitted, Task { kind, peak, request, seconds: milliseconds / 1000.0 }));
    }
    out.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(out.into_iter().map(|(_, task)| task).collect())
}

/// The fields of a line; one in quotes may hold commas, and a quote doubled.
fn fields(line: &str) -> Vec<String> {
    let (mut out, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    out.push(field);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_in_the_order_of_submission() {
        let text = "process,status,submit,memory,peak_rss,realtime,name\n\
            B,COMPLETED,20,4096,2048,3000,\"x, y\"\n\
            A,COMPLETED,10,4096,1024,0,z\n\
            A,FAILED,5,4096,1024,1,z\n\
            A,COMPLETED,6,4096,-,1,z\n\
            A,COMPLETED,7,4096,0,1,z\n";
        let tasks = parse(text).unwrap();
        assert_eq!(tasks.iter().map(|t| t.kind.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!((tasks[1].peak, tasks[1].request, tasks[1].seconds), (Bytes(2048), Bytes(4096), 3.0));
        assert_eq!(fields("a,\"b \"\"c\"\", d\",e"), ["a", "b \"c\", d", "e"]);
        assert!(parse("a,b\n1,2\n").unwrap_err().contains("process"));
        assert!(parse("").is_err());
    }
}
