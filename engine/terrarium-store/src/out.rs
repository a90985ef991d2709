//! Writing to the user. A closed pipe or a full disk is no reason to panic.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};

use crate::error::CliError;

/// One line to stderr, marked as ours.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "terrarium: {text}");
}

/// One unmarked line to stderr.
pub(crate) fn err(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Text to stdout. A reader that has seen enough is no failure; a full disk is.
pub(crate) fn result(text: impl Display) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(CliError::Write(source)),
        _ => Ok(()),
    }
}

/// Bytes to stdout.
pub(crate) fn bytes_out(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(CliError::Write(source)),
        _ => Ok(()),
    }
}

/// On a terminal, a line in the place of the last.
pub(crate) fn progress(text: impl Display) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{text}");
        let _ = err.flush();
    }
}

/// Ends what [`progress`] wrote.
pub(crate) fn progress_end() {
    progress("");
}

/// Text that others wrote, fit for a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `1 row`, `2 rows`.
pub(crate) fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Powers of 1024.
pub(crate) fn bytes(n: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_and_numbers() {
        assert_eq!((super::bytes(1023), super::bytes(1536)), ("1023 B".to_owned(), "1.5 KiB".to_owned()));
        assert_eq!(
            (super::counted(1, "row"), super::counted(0, "row")),
            ("1 row".to_owned(), "0 rows".to_owned())
        );
    }
}
