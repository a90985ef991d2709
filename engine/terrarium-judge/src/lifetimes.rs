//! How old a version is, and whether its life has ended.
//!
//! For `python` there is a table of CPython's series (`cpython.csv`, with its sources, as of
//! [`CPYTHON_AS_OF`]). For all else a site gives a table of its own, which also goes before ours: a vendor may
//! support a Python for longer. Where the day of release is known and no end of life, the rule of SPEC 0
//! (<https://scientific-python.org/specs/spec-0000/>) stands in for core packages: support ends 24 months
//! after the first release of the feature series (2.1 for 2.1.3).

use std::collections::HashMap;
use std::io::Read;

use chrono::{Months, NaiveDate};
use csv::StringRecord;
use pep440_rs::Version;

use crate::names::{Installed, normal_name, version};

const CPYTHON: &str = include_str!("cpython.csv");

/// The day (ISO) as of which our table of CPython is; later days in it are as planned then.
pub const CPYTHON_AS_OF: &str = "2026-08-22";

/// The core packages of SPEC 0, in normal form.
pub const SPEC_0_PACKAGES: [&str; 10] = [
    "ipython",
    "matplotlib",
    "networkx",
    "numpy",
    "pandas",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "xarray",
    "zarr",
];

/// SPEC 0's support of a core package, in months from the first release of the series.
const SPEC_0_MONTHS: u32 = 24;

/// The columns of a site's table.
const COLUMNS: [&str; 4] = ["distribution", "version", "released", "end_of_life"];

/// Why a site's table was not taken. None of it is then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LifetimesError {
    /// It cannot be read, or is no CSV.
    #[error("cannot read the table of lifetimes: {source}")]
    Csv {
        /// What and where.
        source: csv::Error,
    },
    /// Its first line is another.
    #[error(
        "the table of lifetimes begins with {found:?}: its first line must be distribution,version,released,end_of_life"
    )]
    Columns {
        /// What stands there; a long one is cut.
        found: String,
    },
    /// A field is not what it should be.
    #[error("line {line} of the table of lifetimes: {column} is {found:?}: write {wanted}")]
    Field {
        /// The line, from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What stands there; a long one is cut.
        found: String,
        /// What should stand there.
        wanted: &'static str,
    },
    /// A version stands there twice.
    #[error(
        "line {line} of the table of lifetimes: {distribution} {version} was there before: keep one of the two"
    )]
    Twice {
        /// The line, from 1.
        line: u64,
        /// The distribution, in normal form.
        distribution: String,
        /// The version; a long one is cut.
        version: String,
    },
}

/// Tables of releases and ends of life.
#[derive(Clone, Debug)]
pub struct Lifetimes {
    /// By normal name.
    site: HashMap<String, Vec<Row>>,
    cpython: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    of: Of,
    released: Option<NaiveDate>,
    end_of_bugfix: Option<NaiveDate>,
    end_of_life: Option<NaiveDate>,
}

/// What a row speaks of.
#[derive(Clone, Debug, PartialEq)]
enum Of {
    Version(Version),
    /// `2.1.*`.
    Series(Version),
    /// A version that PEP 440 does not know.
    Text(String),
}

impl Of {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix(".*") {
            Some(series) => {
                let series = version(series)?;
                (series == series.only_release()).then_some(Of::Series(series))
            }
            None if text.is_empty() => None,
            None => Some(version(text).map_or_else(|| Of::Text(text.to_owned()), Of::Version)),
        }
    }

    /// How closely it fits, more is closer; `None` if it does not.
    fn fits(&self, text: &str, installed: Option<&Installed>) -> Option<usize> {
        let fits = match (self, installed) {
            (Of::Text(own), _) => own == text,
            (Of::Version(own), Some(installed)) => *own == installed.full || *own == installed.public,
            (Of::Series(own), Some(installed)) => {
                return is_in(&installed.public, own).then(|| own.release().len());
            }
            (_, None) => false,
        };
        fits.then_some(usize::MAX)
    }
}

/// Whether a version is of a series, as PEP 440's `== 2.1.*`: places that it lacks are zero.
fn is_in(version: &Version, series: &Version) -> bool {
    let own = version.release();
    let own = own.iter().chain(std::iter::repeat(&0));
    version.epoch() == series.epoch() && own.zip(series.release().iter()).all(|(own, wanted)| own == wanted)
}

/// By which rule a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A table says so: the site's, or for `python` ours.
    Table,
    /// SPEC 0: 24 months after the first release of the series.
    Spec0,
}

/// What is known of a version on a day. All `None` if nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// When it was released, or else its series.
    pub released: Option<NaiveDate>,
    /// Days since then; negative before it.
    pub age_days: Option<i64>,
    /// The last day of fixes that are not for security; known for `python` only.
    pub end_of_bugfix: Option<NaiveDate>,
    /// The last day of its life.
    pub end_of_life: Option<NaiveDate>,
    /// By which rule that is so.
    pub rule: Option<Rule>,
    /// Whether the day is after the last one.
    pub has_ended: Option<bool>,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifetimes {
    /// Those of CPython only.
    pub fn new() -> Self {
        Lifetimes { site: HashMap::new(), cpython: cpython() }
    }

    /// Takes a site's table, CSV: `distribution,version,released,end_of_life`; the version may be a series
    /// (`2.1.*`), the days are ISO (`2026-11-28`) or empty. Lines that begin with `#` are passed over. Gives
    /// how many rows it has; with an error nothing of it is taken.
    pub fn add(&mut self, input: impl Read) -> Result<usize, LifetimesError> {
        let csv_error = |source| LifetimesError::Csv { source };
        let mut reader =
            csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(input);
        let header = reader.headers().map_err(csv_error)?;
        let plain = header.iter().map(|name| name.trim_start_matches('\u{feff}').to_ascii_lowercase());
        if !plain.eq(COLUMNS) {
            return Err(LifetimesError::Columns { found: cut(&header.iter().collect::<Vec<_>>().join(",")) });
        }
        let mut added = self.site.clone();
        let mut record = StringRecord::new();
        let mut count = 0;
        while reader.read_record(&mut record).map_err(csv_error)? {
            let line = record.position().map_or(0, csv::Position::line);
            let (name, row) = row(&record, line)?;
            let rows = added.entry(name).or_default();
            if rows.iter().any(|other| other.of == row.of) {
                let distribution = cut(&normal_name(&record[0]));
                return Err(LifetimesError::Twice { line, distribution, version: cut(&record[1]) });
            }
            rows.push(row);
            count += 1;
        }
        self.site = added;
        Ok(count)
    }

    /// What is known of a version of a distribution (the name in any spelling; `python` for the interpreter)
    /// on a day. Each date is that of the row that fits closest and has it: the version itself, then the
    /// narrowest series.
    pub fn of(&self, distribution: &str, version: &str, day: NaiveDate) -> Life {
        let name = normal_name(distribution);
        let version = version.trim();
        let installed = Installed::parse(version);
        let site = self.site.get(&name).map_or(&[][..], Vec::as_slice);
        let ours = if name == "python" { self.cpython.as_slice() } else { &[] };
        let closest = |of: fn(&Row) -> Option<NaiveDate>| {
            [site, ours].into_iter().find_map(|rows| {
                let fitting =
                    rows.iter().filter_map(|row| Some((row.of.fits(version, installed.as_ref())?, of(row)?)));
                fitting.max_by_key(|(fit, _)| *fit).map(|(_, date)| date)
            })
        };
        let released = closest(|row| row.released);
        let by_table = closest(|row| row.end_of_life).map(|end| (end, Rule::Table));
        let by_spec = || Some((spec_0(&name, site, &installed.as_ref()?.public)?, Rule::Spec0));
        let end = by_table.or_else(by_spec);
        Life {
            released,
            age_days: released.map(|released| (day - released).num_days()),
            end_of_bugfix: closest(|row| row.end_of_bugfix),
            end_of_life: end.map(|(end, _)| end),
            rule: end.map(|(_, rule)| rule),
            has_ended: end.map(|(end, _)| day > end),
        }
    }
}

/// When SPEC 0 ends the support of a version: counted from the first release known of its feature series.
fn spec_0(name: &str, rows: &[Row], public: &Version) -> Option<NaiveDate> {
    if !SPEC_0_PACKAGES.contains(&name) {
        return None;
    }
    let place = |place: usize| public.release().get(place).copied().unwrap_or(0);
    let series = Version::new([place(0), place(1)]).with_epoch(public.epoch());
    let in_series = |row: &&Row| match &row.of {
        // Those that come before the release (2.1rc1) do not begin it.
        Of::Version(own) => is_in(own, &series) && !own.any_prerelease(),
        Of::Series(own) => own.release().len() >= 2 && is_in(own, &series),
        Of::Text(_) => false,
    };
    let first = rows.iter().filter(in_series).filter_map(|row| row.released).min()?;
    first.checked_add_months(Months::new(SPEC_0_MONTHS))
}

fn row(record: &StringRecord, line: u64) -> Result<(String, Row), LifetimesError> {
    let wrong = |place: usize, wanted: &'static str| {
        let found = cut(record.get(place).unwrap_or_default());
        LifetimesError::Field { line, column: COLUMNS[place], found, wanted }
    };
    let date = |place: usize| match record.get(place).unwrap_or_default() {
        "" => Ok(None),
        text => NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map(Some)
            .map_err(|_| wrong(place, "a day such as 2026-11-28, or leave it empty")),
    };
    let name = normal_name(record.get(0).unwrap_or_default());
    if name.is_empty() {
        return Err(wrong(0, "the name of a distribution"));
    }
    let of = Of::parse(record.get(1).unwrap_or_default());
    let of = of.ok_or_else(|| wrong(1, "a version such as 2.1.3, or a series such as 2.1.*"))?;
    Ok((name, Row { of, released: date(2)?, end_of_bugfix: None, end_of_life: date(3)? }))
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Our table. A test reads it, so no row of it is left out here.
fn cpython() -> Vec<Row> {
    let date = |text: Option<&str>| NaiveDate::parse_from_str(text?, "%Y-%m-%d").ok();
    let rows = CPYTHON.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    let parse = |line: &str| {
        let mut fields = line.split(',');
        Some(Row {
            of: Of::Series(version(fields.next()?)?),
            released: date(fields.next()),
            end_of_bugfix: date(fields.next()),
            end_of_life: date(fields.next()),
        })
    };
    rows.filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap()
    }

    fn with(rows: &str) -> Lifetimes {
        let mut lifetimes = Lifetimes::new();
        lifetimes.add(format!("distribution,version,released,end_of_life\n{rows}").as_bytes()).unwrap();
        lifetimes
    }

    #[test]
    fn our_table_is_whole() {
        let rows = cpython();
        assert_eq!(rows.len(), 10);
        assert_eq!(rows[0].of, Of::parse("3.6.*").unwrap());
        for row in &rows {
            assert!(row.released.unwrap() < row.end_of_bugfix.unwrap());
            assert!(row.end_of_bugfix.unwrap() < row.end_of_life.unwrap());
        }
        assert!(CPYTHON.contains(CPYTHON_AS_OF));
    }

    #[test]
    fn pythons_have_ends() {
        let lifetimes = Lifetimes::new();
        let today = day("2026-11-28");
        for (version, end, has_ended) in [
            ("3.6.8", "2021-12-23", true),
            ("3.9", "2025-10-31", true),
            ("3.10.20", "2026-10-31", true),
            ("3.11.4+site", "2027-10-31", false),
            ("3.14.0rc1", "2030-10-31", false),
        ] {
            let life = lifetimes.of("Python", version, today);
            assert_eq!((life.end_of_life, life.has_ended), (Some(day(end)), Some(has_ended)), "{version}");
            assert_eq!(life.rule, Some(Rule::Table));
        }
        assert_eq!(lifetimes.of("python", "3.14", day("2025-10-17")).age_days, Some(10));
        assert_eq!(lifetimes.of("python", "3.9", day("2025-10-31")).has_ended, Some(false));
        for version in ["2.7.18", "3", "3.1", "3.60", "x", ""] {
            assert_eq!(lifetimes.of("python", version, today), Life::default(), "{version}");
        }
        assert_eq!(lifetimes.of("numpy", "3.9", today), Life::default());
    }

    #[test]
    fn the_site_goes_first_and_the_closest_row() {
        let lifetimes = with(
            "python,3.6.*,,2029-05-31\n# a remark\nPy_Foo,2.*,2020-01-01,2025-01-01\npy-foo,2.1.*,2021-01-01,\n\
             py.foo,2.1.3,2022-01-01,\npy-foo,oldest,2001-01-01,\n",
        );
        let today = day("2026-11-28");
        let python = lifetimes.of("python", "3.6.8", today);
        assert_eq!(python.end_of_life, Some(day("2029-05-31")));
        assert_eq!(python.released, Some(day("2016-12-23")));
        for (version, released) in
            [("2.1.3", "2022-01-01"), ("2.1.3+a", "2022-01-01"), ("2.1.4", "2021-01-01"), ("2", "2020-01-01")]
        {
            let life = lifetimes.of("py-foo", version, today);
            assert_eq!((life.released, life.end_of_life), (Some(day(released)), Some(day("2025-01-01"))));
        }
        assert_eq!(lifetimes.of("py-foo", "oldest", day("2001-01-03")).age_days, Some(2));
        assert_eq!(lifetimes.of("py-foo", "1!2.1.3", today), Life::default());
    }

    #[test]
    fn spec_0_counts_from_the_first_of_the_series() {
        let lifetimes = with(
            "numpy,2.1.3,2024-11-02,\nnumpy,2.1.0,2024-08-18,\nnumpy,2.1.0rc1,2024-08-01,\nnumpy,2.*,2024-06-16,\n\
             numpy,2.0.2,2024-08-26,2030-01-01\nother,2.1.3,2024-11-02,\nscipy,1.0,,\n",
        );
        let life = lifetimes.of("NumPy", "2.1.3", day("2026-08-19"));
        assert_eq!((life.end_of_life, life.rule), (Some(day("2026-08-18")), Some(Rule::Spec0)));
        assert_eq!((life.has_ended, life.released), (Some(true), Some(day("2024-11-02"))));
        assert_eq!(lifetimes.of("numpy", "2.0.2", day("2026-11-28")).rule, Some(Rule::Table));
        assert_eq!(lifetimes.of("other", "2.1.3", day("2026-11-28")).rule, None);
        assert_eq!(lifetimes.of("scipy", "1.0", day("2026-11-28")), Life::default());
    }

    #[test]
    fn a_broken_table_says_where_and_changes_nothing() {
        let mut lifetimes = Lifetimes::new();
        let header = "distribution,version,released,end_of_life\n";
        for (rows, wanted) in [
            (
                "a,1,2026-02-30,",
                "line 2 of the table of lifetimes: released is \"2026-02-30\": write a day such as \
              2026-11-28, or leave it empty",
            ),
            (
                "a,1,,\n ,1,,",
                "line 3 of the table of lifetimes: distribution is \"\": write the name of a distribution",
            ),
            (
                "a,1rc1.*,,",
                "line 2 of the table of lifetimes: version is \"1rc1.*\": write a version such as 2.1.3, or \
              a series such as 2.1.*",
            ),
            (
                "A_b,1,,\na-b,1.0,,",
                "line 3 of the table of lifetimes: a-b 1.0 was there before: keep one of the two",
            ),
        ] {
            let error = lifetimes.add(format!("{header}{rows}").as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), wanted);
        }
        assert!(matches!(lifetimes.add(&b"a,b\n"[..]), Err(LifetimesError::Columns { .. })));
        assert!(matches!(
            lifetimes.add(format!("{header}a,1\n").as_bytes()),
            Err(LifetimesError::Csv { .. })
        ));
        assert!(matches!(lifetimes.add(format!("{header}\n").as_bytes()), Ok(0)));
        assert!(lifetimes.site.is_empty());
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic(rows in "[a-b0-2.,*!\"\n-]{0,60}", version in ".{0,8}") {
            let mut lifetimes = Lifetimes::new();
            let _ = lifetimes.add(format!("distribution,version,released,end_of_life\n{rows}").as_bytes());
            let _ = lifetimes.of("a", &version, NaiveDate::MAX);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Lifetimes::new().add(&bytes[..]);
        }
    }
}
