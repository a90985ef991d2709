//! What a file is that is no series.

/// Tells from the first bytes, where that is easy: a fragment and, where there is one, a hint.
pub(super) fn what(begin: &[u8]) -> Option<(&'static str, Option<&'static str>)> {
    let text = begin.trim_ascii_start();
    let known = match begin {
        [] => ("it is empty", Some("a series is written from the first look on; does the run go on?")),
        _ if begin.starts_with(b"PAR1") => ("it is a Parquet file", None),
        _ if begin.starts_with(&[0x1f, 0x8b]) || begin.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) => {
            ("it is compressed", Some("decompress it first (gunzip, unzstd)"))
        }
        _ if begin.starts_with(b"\x89HDF") => ("it is an HDF5 file", None),
        _ if begin.starts_with(b"\x7fELF") => ("it is a program", None),
        _ if begin.starts_with(b"SQLite format 3") => ("it is an SQLite database", None),
        _ if text.starts_with(b"{") && contains(begin, b"\"terrarium.run/") => (
            "it is a report (of --report), which holds no looks",
            Some("a series is what `terrarium run --record FILE` writes"),
        ),
        _ if text.starts_with(b"{") || text.starts_with(b"[") => ("it is JSON", None),
        _ if text.starts_with(b"<") => ("it is a page or XML", None),
        _ if begin.starts_with(b"time,elapsed_seconds,") => {
            ("it is the CSV of a series, not the series", Some("name the file that the CSV was made from"))
        }
        _ if is_text(begin) => ("it is text", None),
        _ => return None,
    };
    Some(known)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn is_text(begin: &[u8]) -> bool {
    // A character may be cut off at the end.
    let valid = match std::str::from_utf8(begin) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    valid && !begin.iter().any(|byte| *byte < 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_mistakes_are_named() {
        for (begin, part) in [
            (&b""[..], "empty"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"{\n  \"schema\": \"terrarium.run/1\",", "report"),
            (b"[1, 2]", "JSON"),
            (b"<!DOCTYPE html>", "page"),
            (b"#!/bin/sh\n", "text"),
            (b"time,elapsed_seconds,cpu_ms\n", "CSV"),
            ("schön".as_bytes().split_last().unwrap().1, "text"),
            (b"caf\xc3", "text"),
        ] {
            assert!(what(begin).unwrap().0.contains(part), "{part}");
        }
        assert_eq!(what(b"ARROW1\0\0\xff\xff\xff\xff\x10\0"), None);
        assert_eq!(what(&[0, 1, 2, 3]), None);
    }
}
