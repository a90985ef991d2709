//! Tables with commas (RFC 4180), row by row, whatever their bytes.

use std::io::{self, BufRead};

use crate::lines::{LONGEST, Lines, TOO_LONG};

/// More columns than any table here has.
const MOST_COLUMNS: usize = 4096;

/// A row.
pub(crate) struct Row {
    /// Where it begins, bytes from the start.
    pub(crate) offset: u64,
    /// Its first line.
    pub(crate) line: u64,
    /// Its cells, or what is wrong with it.
    pub(crate) cells: Result<Vec<String>, String>,
}

/// Reads rows; a quoted cell may go on over lines, but no row is longer than a line may be.
pub(crate) struct Table<R> {
    lines: Lines<R>,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Before the first letter of a cell.
    Begin,
    Plain,
    Quoted,
    /// After a quote in a quoted cell: it ended, or another follows.
    Quote,
}

impl<R: BufRead> Table<R> {
    pub(crate) fn new(input: R) -> Self {
        Table { lines: Lines::new(input) }
    }

    /// The next row that is not blank.
    pub(crate) fn next(&mut self) -> io::Result<Option<Row>> {
        loop {
            let Some(first) = self.lines.next()? else {
                return Ok(None);
            };
            let (offset, line) = (first.offset, first.number);
            if first.text.as_deref().is_some_and(|text| text.trim().is_empty()) {
                continue;
            }
            let cells = self.row(first.text)?;
            return Ok(Some(Row { offset, line, cells }));
        }
    }

    fn row(&mut self, first: Option<String>) -> io::Result<Result<Vec<String>, String>> {
        let (mut cells, mut cell, mut at, mut length) = (Vec::new(), String::new(), At::Begin, 0);
        let mut next = Some(first);
        while let Some(text) = next.take() {
            let Some(text) = text else {
                return Ok(Err(TOO_LONG.to_owned()));
            };
            length += text.len() + 1;
            if length > LONGEST {
                return Ok(Err("a quote opens a cell that is longer than 16 MiB".to_owned()));
            }
            for letter in text.chars() {
                at = match (at, letter) {
                    (At::Begin, '"') => At::Quoted,
                    (At::Quoted, '"') => At::Quote,
                    (At::Begin | At::Plain | At::Quote, ',') => {
                        cells.push(std::mem::take(&mut cell));
                        At::Begin
                    }
                    (At::Quote, '"') => {
                        cell.push('"');
                        At::Quoted
                    }
                    (At::Quoted, letter) => {
                        cell.push(letter);
                        At::Quoted
                    }
                    (_, letter) => {
                        cell.push(letter);
                        At::Plain
                    }
                };
                if cells.len() > MOST_COLUMNS {
                    return Ok(Err("it has too many columns".to_owned()));
                }
            }
            if at == At::Quoted {
                cell.push('\n');
                match self.lines.next()? {
                    Some(line) => next = Some(line.text),
                    None => return Ok(Err("a quoted cell has no end".to_owned())),
                }
            }
        }
        cells.push(cell);
        Ok(Ok(cells))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let text = "a,\"b, \"\"c\"\"\",\r\n\n\"x\ny\",5\" disk,z\n\"no end";
        let mut table = Table::new(text.as_bytes());
        let first = table.next().unwrap().unwrap();
        assert_eq!((first.offset, first.line), (0, 1));
        assert_eq!(first.cells.unwrap(), ["a", "b, \"c\"", ""]);
        let second = table.next().unwrap().unwrap();
        assert_eq!((second.offset, second.line), (16, 3));
        assert_eq!(second.cells.unwrap(), ["x\ny", "5\" disk", "z"]);
        assert!(table.next().unwrap().unwrap().cells.is_err());
        assert!(table.next().unwrap().is_none());
    }

    #[test]
    fn rows_are_bounded() {
        let mut wide = ",".repeat(5000);
        wide.push_str("\na,b\n");
        let mut table = Table::new(wide.as_bytes());
        assert!(table.next().unwrap().unwrap().cells.is_err());
        assert_eq!(table.next().unwrap().unwrap().cells.unwrap(), ["a", "b"]);
    }
}
