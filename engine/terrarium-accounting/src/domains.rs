//! Which project belongs to which field of science, as a site lists it.

use std::io::{self, BufReader, Read};

use chrono::{Datelike, NaiveDate};
use terrarium_segment::Domain;

use crate::table::Table;
use crate::text::short;

/// Names of the columns: project, field, first and last day.
const NAMES: [&[&str]; 4] = [
    &["project", "account"],
    &["domain", "field", "field_of_science", "science_field"],
    &["since", "from"],
    &["until", "to"],
];

/// Days from the first of year 1 to 1970.
const DAYS_TO_1970: i32 = 719_163;

/// Where the columns are.
type Columns = [Option<usize>; 4];

/// Reads a table of fields of science, CSV with the columns `project,domain,since,until`; without a header
/// there may be the first two alone. Days are as `2026-01-31`, and an empty one is open. An error has its
/// line, counted from 1.
pub fn domains(
    input: &mut dyn Read,
    mut row: impl FnMut(Result<Domain, (u64, String)>) -> io::Result<()>,
) -> io::Result<()> {
    let mut table = Table::new(BufReader::new(input));
    let mut columns: Option<Columns> = None;
    while let Some(found) = table.next()? {
        let line = found.line;
        let cells = match found.cells {
            Ok(cells) => cells,
            Err(why) => {
                row(Err((line, why)))?;
                continue;
            }
        };
        let Some(columns) = &columns else {
            match header(&cells) {
                Some(read) => columns = Some(read),
                None if cells.len() == 2 => {
                    let plain = [Some(0), Some(1), None, None];
                    row(domain(&cells, &plain).map_err(|why| (line, why)))?;
                    columns = Some(plain);
                }
                None => {
                    return row(Err((line, "there is no header with project and domain".to_owned())));
                }
            }
            continue;
        };
        row(domain(&cells, columns).map_err(|why| (line, why)))?;
    }
    Ok(())
}

fn header(cells: &[String]) -> Option<Columns> {
    let columns = NAMES.map(|names| {
        cells.iter().position(|cell| names.iter().any(|name| cell.trim().eq_ignore_ascii_case(name)))
    });
    (columns[0].is_some() && columns[1].is_some()).then_some(columns)
}

fn domain(cells: &[String], columns: &Columns) -> Result<Domain, String> {
    let cell = |column: usize| columns[column].and_then(|at| cells.get(at)).map_or("", |cell| cell.trim());
    let width = columns.iter().flatten().max().map_or(0, |last| last + 1);
    if cells.len() < 2 {
        return Err(format!("{} column instead of {width}", cells.len()));
    }
    if columns[2].is_none() && columns[3].is_none() && width == 2 && cells.len() > 2 {
        return Err(format!("{} columns instead of 2: a field with a comma in it needs quotes", cells.len()));
    }
    let (project, domain) = (cell(0), cell(1));
    if project.is_empty() {
        return Err("the project is empty".to_owned());
    }
    if domain.is_empty() {
        return Err(format!("project '{}' has no field", short(project)));
    }
    let (since, until) = (day(cell(2))?, day(cell(3))?);
    if since.zip(until).is_some_and(|(since, until)| until < since) {
        return Err(format!("until {} is before since {}", cell(3), cell(2)));
    }
    Ok(Domain { project: project.to_owned(), domain: domain.to_owned(), since, until })
}

/// Days since 1970.
fn day(text: &str) -> Result<Option<i32>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_day = text.len() == 10;
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| is_day);
    let date = date.ok_or_else(|| format!("'{}' is no day such as 2026-01-31", short(text)))?;
    Ok(Some(date.num_days_from_ce() - DAYS_TO_1970))
}
