//! Which format something is in.

use crate::djc::known_columns;
use crate::sacct_row::Header;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `sacct --parsable2`.
    SacctText,
    /// `sacct --json`.
    SacctJson,
    /// PBS's accounting log.
    Pbs,
    /// LSF's `lsb.acct`.
    Lsf,
    /// The Standard Workload Format.
    Swf,
    /// The public job data of ALCF.
    Djc,
}

/// So much is looked at.
const LOOKED_AT: usize = 64 << 10;

/// Guesses the format from how the input begins, its first 64 KiB.
pub fn kind_of(head: &[u8]) -> Option<Kind> {
    let head = &head[..head.len().min(LOOKED_AT)];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start();
    if text.starts_with(['{', '[']) {
        let names = ["\"jobs\"", "\"job_id\"", "\"meta\""];
        return names.iter().any(|name| text.contains(name)).then_some(Kind::SacctJson);
    }
    let line = text.lines().next()?.trim_end();
    if is_lsf(line) {
        return Some(Kind::Lsf);
    }
    if is_pbs(line) {
        return Some(Kind::Pbs);
    }
    if known_columns(line.split(',').map(|name| name.trim_matches('"'))) >= 4 {
        return Some(Kind::Djc);
    }
    if matches!(Header::read(line), Some(Ok(_))) {
        return Some(Kind::SacctText);
    }
    is_swf(text).then_some(Kind::Swf)
}

/// `"JOB_FINISH" "10.1" 1527327585 …`.
fn is_lsf(line: &str) -> bool {
    let Some((kind, rest)) = line.strip_prefix('"').and_then(|line| line.split_once("\" \"")) else {
        return false;
    };
    let is_kind = kind.len() > 2 && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    is_kind && rest.starts_with(|letter: char| letter.is_ascii_digit())
}

/// `11/22/2026 01:49:50;Q;0.pbs1;…`.
fn is_pbs(line: &str) -> bool {
    let mut parts = line.splitn(3, ';');
    let (Some(when), Some(kind), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let form = when.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    form.take(19).eq(*b"00/00/0000 00:00:00") && kind.len() == 1
}

/// Comments that begin with a semicolon, then 18 numbers a line.
fn is_swf(text: &str) -> bool {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(';'));
    match line {
        Some(line) => {
            let words = || line.split_ascii_whitespace();
            // The last line that was looked at may be cut.
            let is_whole = words().count() == 18 || text.len() + 64 > LOOKED_AT;
            is_whole && words().count() > 0 && words().all(|word| word.parse::<f64>().is_ok())
        }
        None => text.contains("UnixStartTime"),
    }
}
