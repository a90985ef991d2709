//! Writing to the user. A closed pipe or a full disk is no reason to panic.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use crate::error::CliError;

/// One line to stderr, marked as ours: it may stand among the job's own output.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "terrarium: {text}");
}

/// One unmarked line to stderr.
pub(crate) fn err(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// One line to stdout.
pub(crate) fn print(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// One line to stdout, for commands of which that is the whole result. A reader that has seen enough is no failure; a full
/// disk is.
pub(crate) fn result(text: impl Display) -> Result<(), CliError> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::Write { path: "standard output".into(), source })
        }
        _ => Ok(()),
    }
}

/// Text that takes the place of the terminal's last line on stderr.
pub(crate) fn replace_line(text: impl Display) {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "\r\x1b[K{text}");
    let _ = err.flush();
}

/// One line to a stream that was kept for it.
pub(crate) fn to(stream: &mut dyn Write, text: impl Display) {
    let _ = writeln!(stream, "{text}");
}
