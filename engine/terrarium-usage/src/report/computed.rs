//! What is computed from the rows of a report's query.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type};
use chrono::NaiveDate;
use roaring::RoaringBitmap;
use terrarium_judge::advisories::{Advisories, merge};
use terrarium_judge::cover::{Owner, bound, cover};
use terrarium_judge::lifetimes::{Lifetimes, Rule};
use terrarium_judge::significance::{Seen, benjamini_hochberg, trend_of_users};
use terrarium_rollup::Completeness;

use crate::error::{Error, Result};

use super::Asked;

type Rows = Vec<RecordBatch>;

/// The rows of a report that is computed.
pub(super) fn rows(
    what: &str,
    results: Vec<Rows>,
    asked: &Asked,
    complete: &Completeness,
    notes: &mut Vec<String>,
) -> Result<Rows> {
    match what {
        "trends" => trends(&results, asked),
        "drivers" => drivers(&results, asked),
        "versions" => versions(&results, asked),
        "vulnerable" => vulnerable(&results, asked, notes),
        "base-cover" => base_cover(&results),
        "completeness" => completeness(complete),
        _ => Ok(Vec::new()),
    }
}

fn bad(what: &str) -> Error {
    Error::Rows { table: "report", source: format!("{what} has another type").into() }
}

fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef> {
    let array = batch.column_by_name(name).ok_or_else(|| bad(name))?;
    cast(array, kind).map_err(|_| bad(name))
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray> {
    Ok(column(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn longs(batch: &RecordBatch, name: &str) -> Result<Int64Array> {
    Ok(column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<Rows> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    Ok(vec![batch.map_err(|error| Error::Rows { table: "report", source: Box::new(error) })?])
}

fn text<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn long(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn double(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

fn rounded(value: f64, digits: i32) -> f64 {
    let power = 10f64.powi(digits);
    (value * power).round() / power
}

/// By library (none: everyone) and month: who.
type Months = BTreeMap<Option<String>, BTreeMap<i32, RoaringBitmap>>;

fn months(results: &[Rows]) -> Result<Months> {
    let mut all = Months::new();
    for batch in results.iter().flatten() {
        let packages = batch.column_by_name("package").map(|_| texts(batch, "package")).transpose()?;
        let months = column(batch, "month", &DataType::Date32)?;
        let sets = column(batch, "user_set", &DataType::Binary)?;
        for (i, set) in sets.as_binary::<i32>().iter().enumerate() {
            let package = packages.as_ref().map(|packages| packages.value(i).to_owned());
            let users = crate::maintain::bitmap(set.unwrap_or_default())?;
            *all.entry(package)
                .or_default()
                .entry(months.as_primitive::<Date32Type>().value(i))
                .or_default() |= users;
        }
    }
    Ok(all)
}

/// Whether a month, by its first day, lies within the days asked for as a whole.
fn is_whole(first: i32, asked: &Asked) -> bool {
    let first = NaiveDate::default() + chrono::TimeDelta::days(i64::from(first));
    let next = first.checked_add_months(chrono::Months::new(1));
    first >= asked.choice.since
        && next.and_then(|next| next.pred_opt()).is_some_and(|last| last <= asked.choice.until)
}

fn trends(results: &[Rows], asked: &Asked) -> Result<Rows> {
    /// Fewer people than this tell of no trend.
    const LEAST: u64 = 10;
    let mut all = months(results)?;
    all.values_mut().for_each(|months| months.retain(|first, _| is_whole(*first, asked)));
    let everyone = all.remove(&None).unwrap_or_default();
    let order: Vec<i32> = everyone.keys().copied().collect();
    let [first, .., last] = order[..] else {
        let why = "a trend needs two whole months with Python in them: --since 365d".to_owned();
        return Err(Error::Report { report: "trends", why });
    };
    struct Found {
        package: String,
        users: u64,
        first: f64,
        last: f64,
        change: f64,
        p: f64,
    }
    let mut found = Vec::new();
    for (package, months) in all {
        let Some(package) = package else { continue };
        let users: RoaringBitmap = months.values().fold(RoaringBitmap::new(), |all, users| all | users);
        if users.len() < LEAST {
            continue;
        }
        let nobody = RoaringBitmap::new();
        let seen = order.iter().enumerate().flat_map(|(at, month)| {
            let used = months.get(month).unwrap_or(&nobody);
            let seen = move |user| Seen { user: u64::from(user), at: at as f64, used: used.contains(user) };
            everyone[month].iter().map(seen)
        });
        // Who uses it all the time, or nobody: there is no trend to look for.
        let Ok(trend) = trend_of_users(seen) else { continue };
        let share = |month: i32| {
            100.0 * months.get(&month).map_or(0, RoaringBitmap::len) as f64 / everyone[&month].len() as f64
        };
        found.push(Found {
            package,
            users: users.len(),
            first: share(first),
            last: share(last),
            change: trend.change,
            p: trend.p,
        });
    }
    let q = benjamini_hochberg(&found.iter().map(|one| one.p).collect::<Vec<_>>());
    let mut found: Vec<(Found, f64)> = found.into_iter().zip(q).collect();
    // What is believed first, and of that the largest change.
    found.sort_by(|(a, qa), (b, qb)| {
        let rank = |q: f64| q > 0.05;
        rank(*qa)
            .cmp(&rank(*qb))
            .then(b.change.abs().total_cmp(&a.change.abs()))
            .then(a.package.cmp(&b.package))
    });
    let direction = |(one, q): &(Found, f64)| match (*q <= 0.05, one.change > 0.0) {
        (true, true) => Some("emerging"),
        (true, false) => Some("fading"),
        _ => None,
    };
    batch(vec![
        ("package", text(found.iter().map(|(one, _)| Some(one.package.as_str())))),
        ("direction", text(found.iter().map(direction))),
        ("users", long(found.iter().map(|(one, _)| Some(one.users as i64)))),
        ("first", double(found.iter().map(|(one, _)| Some(rounded(one.first, 1))))),
        ("last", double(found.iter().map(|(one, _)| Some(rounded(one.last, 1))))),
        ("change", double(found.iter().map(|(one, _)| Some(rounded(one.change, 1))))),
        ("p", double(found.iter().map(|(one, _)| Some(rounded(one.p, 6))))),
        ("q", double(found.iter().map(|(_, q)| Some(rounded(*q, 6))))),
    ])
}

fn drivers(results: &[Rows], asked: &Asked) -> Result<Rows> {
    let [packages, everyone, asking, fields] = results else { return Ok(Vec::new()) };
    let mut all = months(std::slice::from_ref(packages))?;
    all.extend(months(std::slice::from_ref(everyone))?);
    let everyone = all.remove(&None).unwrap_or_default();
    let mut first_run: HashMap<u32, i32> = HashMap::new();
    for (month, users) in &everyone {
        users.iter().for_each(|user| {
            first_run.entry(user).or_insert(*month);
        });
    }
    let mut asked_by: HashMap<String, RoaringBitmap> = HashMap::new();
    for batch in asking {
        let (names, sets) = (texts(batch, "package")?, column(batch, "user_set", &DataType::Binary)?);
        for (i, set) in sets.as_binary::<i32>().iter().enumerate() {
            *asked_by.entry(names.value(i).to_owned()).or_default() |=
                crate::maintain::bitmap(set.unwrap_or_default())?;
        }
    }
    // Of each user, the field of most jobs.
    let mut field: HashMap<u32, (f64, String)> = HashMap::new();
    for batch in fields {
        let (users, domains) = (longs(batch, "user_no")?, texts(batch, "domain")?);
        let jobs = column(batch, "jobs", &DataType::Float64)?;
        for i in 0..batch.num_rows() {
            let new = (jobs.as_primitive::<Float64Type>().value(i), domains.value(i).to_owned());
            let known = field.entry(users.value(i) as u32).or_insert_with(|| new.clone());
            if new.0 > known.0 {
                *known = new;
            }
        }
    }
    struct New {
        package: String,
        /// User and month.
        newcomers: Vec<(u32, i32)>,
        asked: usize,
    }
    let nobody = RoaringBitmap::new();
    let mut new: Vec<New> = Vec::new();
    for (package, months) in all {
        let Some(package) = package else { continue };
        let mut seen = RoaringBitmap::new();
        let mut newcomers = Vec::new();
        for (month, users) in months {
            let fresh = users
                .iter()
                .filter(|user| !seen.contains(*user) && first_run.get(user).is_some_and(|run| *run < month));
            newcomers.extend(fresh.map(|user| (user, month)));
            seen |= users;
        }
        let by = asked_by.get(&package).unwrap_or(&nobody);
        let asked = newcomers.iter().filter(|(user, _)| by.contains(*user)).count();
        if !newcomers.is_empty() {
            new.push(New { package, newcomers, asked });
        }
    }
    // What each took up by asking for it, in a month.
    let mut taken_up: HashMap<(u32, i32), Vec<usize>> = HashMap::new();
    for (number, one) in new.iter().enumerate() {
        let by = asked_by.get(&one.package).unwrap_or(&nobody);
        for key in one.newcomers.iter().filter(|(user, _)| by.contains(*user)) {
            taken_up.entry(*key).or_default().push(number);
        }
    }
    let wanted: BTreeSet<&String> = asked.libraries.iter().collect();
    let mut order: Vec<usize> =
        (0..new.len()).filter(|n| wanted.is_empty() || wanted.contains(&new[*n].package)).collect();
    order.sort_by(|a, b| {
        let key = |n: usize| (new[n].asked, new[n].newcomers.len());
        key(*b).cmp(&key(*a)).then(new[*a].package.cmp(&new[*b].package))
    });
    order.truncate(asked.limit.unwrap_or(super::ROWS));
    let most =
        |counts: HashMap<String, i64>| counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)));
    let mut rows = Vec::new();
    for number in order {
        let one = &new[number];
        let (mut fields, mut others) = (HashMap::new(), HashMap::new());
        for key in &one.newcomers {
            if let Some((_, name)) = field.get(&key.0) {
                *fields.entry(name.clone()).or_insert(0) += 1;
            }
            for other in taken_up.get(key).into_iter().flatten().filter(|other| **other != number) {
                *others.entry(new[*other].package.clone()).or_insert(0) += 1;
            }
        }
        rows.push((one, most(fields), most(others)));
    }
    let name = |pair: &Option<(String, i64)>| pair.as_ref().map(|(name, _)| name.clone());
    let count = |pair: &Option<(String, i64)>| pair.as_ref().map(|(_, count)| *count);
    batch(vec![
        ("package", text(rows.iter().map(|row| Some(row.0.package.as_str())))),
        ("newcomers", long(rows.iter().map(|row| Some(row.0.newcomers.len() as i64)))),
        ("asked", long(rows.iter().map(|row| Some(row.0.asked as i64)))),
        ("along", long(rows.iter().map(|row| Some((row.0.newcomers.len() - row.0.asked) as i64)))),
        ("domain", Arc::new(rows.iter().map(|row| name(&row.1)).collect::<StringArray>())),
        ("of_domain", long(rows.iter().map(|row| count(&row.1)))),
        ("with", Arc::new(rows.iter().map(|row| name(&row.2)).collect::<StringArray>())),
        ("of_with", long(rows.iter().map(|row| count(&row.2)))),
    ])
}

fn with(rows: &RecordBatch, new: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let schema = rows.schema();
    let known = schema.fields().iter().map(|field| field.name().as_str()).zip(rows.columns().iter().cloned());
    let all: Vec<(&str, ArrayRef)> = known.chain(new).collect();
    Ok(batch(all)?.remove(0))
}

fn file(path: &std::path::Path) -> Result<std::fs::File> {
    std::fs::File::open(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn versions(results: &[Rows], asked: &Asked) -> Result<Rows> {
    let mut lifetimes = Lifetimes::new();
    if let Some(path) = &asked.releases {
        let why = |error: terrarium_judge::lifetimes::LifetimesError| Error::Damaged {
            path: path.display().to_string(),
            why: error.to_string(),
        };
        lifetimes.add(file(path)?).map_err(why)?;
    }
    let day = |date: Option<NaiveDate>| date.map(|date| (date - NaiveDate::default()).num_days() as i32);
    let one = |rows: &RecordBatch| {
        let (names, versions) = (texts(rows, "distribution")?, texts(rows, "version")?);
        let of = |i: usize| lifetimes.of(names.value(i), versions.value(i), asked.choice.until);
        let lives: Vec<_> = (0..rows.num_rows()).map(of).collect();
        let rule = |rule: Option<Rule>| match rule {
            Some(Rule::Table) => Some("table"),
            Some(Rule::Spec0) => Some("SPEC 0"),
            _ => None,
        };
        with(
            rows,
            vec![
                ("released", Arc::new(lives.iter().map(|life| day(life.released)).collect::<Date32Array>())),
                ("age_days", long(lives.iter().map(|life| life.age_days))),
                (
                    "end_of_life",
                    Arc::new(lives.iter().map(|life| day(life.end_of_life)).collect::<Date32Array>()),
                ),
                ("ended", Arc::new(lives.iter().map(|life| life.has_ended).collect::<BooleanArray>())),
                ("rule", text(lives.iter().map(|life| rule(life.rule)))),
            ],
        )
    };
    results.iter().flatten().map(one).collect()
}

fn vulnerable(results: &[Rows], asked: &Asked, notes: &mut Vec<String>) -> Result<Rows> {
    let Some(folder) = &asked.advisories else {
        let why = "name a folder of OSV records with --advisories DIR: https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip, unpacked";
        return Err(Error::Report { report: "vulnerable", why: why.to_owned() });
    };
    let mut advisories = Advisories::new();
    let read = advisories.read_folder(folder);
    let read =
        read.map_err(|error| Error::Damaged { path: folder.display().to_string(), why: error.to_string() })?;
    notes.push(format!("{} advisories from {}", read.kept, folder.display()));
    if let Some(first) = read.unread.first() {
        let (path, why) = (first.path.display(), &first.why);
        notes.push(format!("{} files could not be read, the first of them {path}: {why}", read.unread.len()));
    }
    let mut found = Vec::new();
    for rows in results.iter().flatten() {
        let (names, versions) = (texts(rows, "distribution")?, texts(rows, "version")?);
        let (users, jobs) = (longs(rows, "users")?, longs(rows, "jobs")?);
        for i in 0..rows.num_rows() {
            let mut hold = merge(advisories.of(names.value(i), versions.value(i)));
            // The worst first.
            hold.sort_by(|a, b| {
                b.severity.partial_cmp(&a.severity).unwrap_or(std::cmp::Ordering::Equal).then(a.id.cmp(&b.id))
            });
            if !hold.is_empty() {
                let name = (names.value(i).to_owned(), versions.value(i).to_owned());
                found.push((name, users.value(i), jobs.value(i), hold));
            }
        }
    }
    // A version that mends all has to be at least the one that mends each: known only if the rows agree on one.
    let fixed = |hold: &[terrarium_judge::advisories::Advisory]| -> Option<String> {
        let all: BTreeSet<&String> = hold.iter().filter_map(|one| one.fixed.as_ref()).collect();
        let has_all = hold.iter().all(|one| one.fixed.is_some());
        let mut all = all.into_iter().filter(|_| has_all).cloned().collect::<Vec<_>>();
        all.sort_by(|a, b| terrarium_judge::compare_versions(a, b));
        all.pop()
    };
    let worst =
        |row: &((String, String), i64, i64, Vec<terrarium_judge::advisories::Advisory>)| row.3[0].clone();
    let name = |one: &terrarium_judge::advisories::Advisory| {
        one.aliases.iter().find(|alias| alias.starts_with("CVE-")).unwrap_or(&one.id).clone()
    };
    batch(vec![
        ("distribution", text(found.iter().map(|row| Some(row.0.0.as_str())))),
        ("version", text(found.iter().map(|row| Some(row.0.1.as_str())))),
        ("users", long(found.iter().map(|row| Some(row.1)))),
        ("jobs", long(found.iter().map(|row| Some(row.2)))),
        ("severity", text(found.iter().map(|row| row.3[0].severity.as_ref().map(|s| s.word.as_str())))),
        ("score", double(found.iter().map(|row| row.3[0].severity.as_ref().and_then(|s| s.score)))),
        ("advisories", long(found.iter().map(|row| Some(row.3.len() as i64)))),
        ("worst", Arc::new(found.iter().map(|row| Some(name(&worst(row)))).collect::<StringArray>())),
        ("fixed", Arc::new(found.iter().map(|row| fixed(&row.3)).collect::<StringArray>())),
        ("summary", Arc::new(found.iter().map(|row| worst(row).summary).collect::<StringArray>())),
    ])
}

fn base_cover(results: &[Rows]) -> Result<Rows> {
    let mut names: BTreeMap<String, u32> = BTreeMap::new();
    let mut needs: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for batch in results.iter().flatten() {
        let (users, packages) = (longs(batch, "user_no")?, texts(batch, "distribution")?);
        for i in 0..batch.num_rows() {
            let of = needs.entry(users.value(i)).or_default();
            if packages.is_valid(i) {
                of.push(packages.value(i).to_owned());
                names.insert(packages.value(i).to_owned(), 0);
            }
        }
    }
    names.values_mut().enumerate().for_each(|(number, name)| *name = number as u32);
    let by_number: Vec<&String> = names.keys().collect();
    let owners: Vec<Owner> = needs.values().map(|of| Owner::new(of.iter().map(|name| names[name]))).collect();
    let found = cover(&owners);
    let mut needed_by = vec![0i64; names.len()];
    owners.iter().flat_map(|owner| &owner.needs).for_each(|need| needed_by[*need as usize] += 1);
    let all = owners.len().max(1) as f64;
    let content: Vec<i64> = found.curve.iter().map(|point| point.owners as i64).collect();
    // The first is base as it is.
    let package = |k: usize| k.checked_sub(1).map(|place| found.order[place] as usize);
    let k = 0..content.len();
    batch(vec![
        ("packages", long(k.clone().map(|k| Some(k as i64)))),
        ("package", text(k.clone().map(|k| package(k).map(|number| by_number[number].as_str())))),
        ("owners", long(content.iter().map(|n| Some(*n)))),
        ("share", double(content.iter().map(|n| Some(rounded(100.0 * *n as f64 / all, 1))))),
        ("gained", long(k.clone().map(|k| Some(content[k] - if k == 0 { 0 } else { content[k - 1] })))),
        ("needed_by", long(k.clone().map(|k| package(k).map(|number| needed_by[number])))),
        ("most", long(k.map(|k| (k <= 60).then(|| bound(&owners, k) as i64)))),
    ])
}

fn completeness(of: &Completeness) -> Result<Rows> {
    let share = |part: u64, whole: u64| (whole > 0).then(|| rounded(100.0 * part as f64 / whole as f64, 2));
    let not_joined = of.in_jobs - of.accounted;
    let rows = [
        ("recorded", of.processes, share(of.processes, of.processes)),
        ("with Python", of.python, share(of.python, of.processes)),
        ("opted out", of.opted_out, share(of.opted_out, of.processes)),
        ("incomplete", of.incomplete, share(of.incomplete, of.processes)),
        ("lost", of.lost, share(of.lost, of.processes + of.lost)),
        ("samples", of.sampled, share(of.sampled, of.processes)),
        ("doubtful", of.doubtful, share(of.doubtful, of.processes)),
        ("in jobs", of.in_jobs, share(of.in_jobs, of.processes)),
        ("joined no accounting", not_joined, share(not_joined, of.in_jobs)),
    ];
    batch(vec![
        ("what", text(rows.iter().map(|row| Some(row.0)))),
        ("processes", long(rows.iter().map(|row| Some(row.1 as i64)))),
        ("share", double(rows.iter().map(|row| row.2))),
    ])
}
