//! Rollups of a store: kept beside the tables, made from them, and believed only while they say from which files they were made.
//!
//! A part is a month of a cluster, and says of each of its days a digest of the data files that it was made from. A day whose files
//! are others now — something came, was forgotten, or accounting tells more of its jobs — is made anew from the rows, and the rest of
//! the month is used as it is. So an answer never rests on old rows, whoever changed the tables and whatever was killed when; and
//! what is kept here can be thrown away.

mod day;
mod function;
mod jobs;
mod sources;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use terrarium_rollup::{AskedOf, Part, Wanted, decode, encode, in_threads, merge, peek};

use crate::error::{Error, Result};
use crate::rewrite::remove;
use crate::store::{OWN, Store};

pub(crate) use function::register;
pub use function::{FUNCTIONS, Source};
use sources::Sources;
pub(crate) use state::State;

/// More days than this of a month are worth keeping.
const WORTH_KEEPING: usize = 2;

/// Told how many days are made of how many.
pub type Progress<'a> = &'a mut (dyn FnMut(usize, usize) + Send);

/// A cluster, and a month since the year 0.
type Month = (String, i32);

fn month(day: i32) -> i32 {
    use chrono::Datelike;
    let date = chrono::NaiveDate::default() + chrono::TimeDelta::days(i64::from(day));
    date.year() * 12 + date.month0() as i32
}

/// From the first day of a month to the last of another.
fn whole_months(days: (i32, i32)) -> (i32, i32) {
    (days.0.saturating_sub(31), days.1.saturating_add(31))
}

/// Names of clusters may have anything in them.
fn path(of: &Month) -> ObjectPath {
    let mut cluster = String::new();
    for byte in of.0.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => cluster.push(byte as char),
            _ => cluster.push_str(&format!("={byte:02x}")),
        }
    }
    ObjectPath::from(format!(
        "{OWN}/rollups/{cluster}/{:04}-{:02}.part",
        of.1.div_euclid(12),
        of.1.rem_euclid(12) + 1
    ))
}

/// A part as it lies in the store, or as it was made just now.
#[derive(Clone)]
enum Kept {
    Bytes(Bytes),
    Made(Arc<Part>),
}

/// Parts of some days: what questions are asked of.
pub struct Rollups {
    /// Each with those of its days that are believed.
    parts: Vec<(Kept, Option<Vec<i32>>)>,
    read: Mutex<HashMap<u8, Arc<Vec<Arc<Part>>>>>,
}

/// What an update did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// Days that were made anew.
    pub days: usize,
    /// Months that were written.
    pub months: usize,
    /// Parts that nothing refers to any more, removed.
    pub removed: usize,
}

impl Rollups {
    /// Of some days, both inclusive, of a cluster or of all; days that are not kept are made, and kept if that is worth it.
    pub(crate) async fn open(
        store: &Store,
        known: &State,
        days: (i32, i32),
        cluster: Option<&str>,
        told: Progress<'_>,
    ) -> Result<Self> {
        // Months as a whole: what is kept of the other days stays when some are added.
        let wanted = |day: &i32| (days.0..=days.1).contains(day);
        let span = whole_months(days);
        let mut months = known.months(span, cluster);
        let mut plans = plan(store, &months, false).await?;
        let mut sources = None;
        if plans.iter().any(|plan| plan.stale.iter().any(wanted)) {
            // Of tables as they are now; what is kept is compared with those.
            let read = Sources::read(store).await?;
            months = read.months(span, cluster);
            plans = plan(store, &months, true).await?;
            sources = Some(read);
        }
        plans.iter_mut().for_each(|plan| plan.stale.retain(wanted));
        let total: usize = plans.iter().map(|plan| plan.stale.len()).sum();
        let (mut parts, mut done) = (Vec::new(), 0);
        for plan in plans {
            let mut made = Vec::new();
            if let (Some(first), Some(last), Some(sources)) =
                (plan.stale.first(), plan.stale.last(), &sources)
            {
                let jobs = jobs::Jobs::read(store, sources, &plan.month.0, (*first, *last)).await?;
                for day in &plan.stale {
                    made.push(day::build(store, sources, &jobs, &plan.month.0, *day).await?);
                    done += 1;
                    told(done, total);
                }
            }
            if made.len() > WORTH_KEEPING
                && let Ok(lock) = store.lock()
            {
                // Somebody who may only read gets the answer all the same.
                let part = Arc::new(join(plan.kept.as_ref(), &plan.fresh, &made)?);
                let _ = write(store, &plan.month, &part).await;
                drop(lock);
                parts.push((Kept::Made(part), None));
                continue;
            }
            if let Some(bytes) = plan.kept {
                let is_whole = plan.fresh.len() == plan.all;
                parts.push((Kept::Bytes(bytes), (!is_whole).then_some(plan.fresh)));
            }
            parts.extend(made.into_iter().map(|part| (Kept::Made(Arc::new(part)), None)));
        }
        Ok(Rollups { parts, read: Mutex::default() })
    }

    /// Asks something of all parts, with at least what is wanted in them.
    pub fn ask<R>(&self, wanted: Wanted, of: impl FnOnce(&[AskedOf<'_>]) -> R) -> Result<R> {
        let parts = self.read(wanted)?;
        let asked: Vec<AskedOf<'_>> =
            parts.iter().zip(&self.parts).map(|(part, (_, days))| (part.as_ref(), days.as_deref())).collect();
        Ok(of(&asked))
    }

    fn read(&self, wanted: Wanted) -> Result<Arc<Vec<Arc<Part>>>> {
        let flags = [wanted.labels, wanted.counts, wanted.loads, wanted.libraries, wanted.others];
        let key = flags.iter().fold(0, |key, flag| key << 1 | u8::from(*flag));
        let mut known = self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, parts)) = known.iter().find(|(has, _)| **has & key == key) {
            return Ok(Arc::clone(parts));
        }
        let read = in_threads(&self.parts, |(kept, _)| match kept {
            Kept::Bytes(bytes) => decode(bytes, wanted).map(Arc::new),
            Kept::Made(part) => Ok(Arc::clone(part)),
        });
        let parts: Result<Vec<Arc<Part>>, _> = read.into_iter().collect();
        let parts = Arc::new(parts.map_err(damaged)?);
        known.insert(key, Arc::clone(&parts));
        Ok(parts)
    }
}

fn damaged(error: terrarium_rollup::Damaged) -> Error {
    Error::Damaged {
        path: format!("{OWN}/rollups"),
        why: format!("{error}; `terrarium store rollup` makes it anew"),
    }
}

/// The tables as they are: what is known of them, or what their logs say.
pub(crate) async fn known(store: &Store) -> Result<State> {
    match State::read(store).await? {
        Some(state) => Ok(state),
        None => look(store, &Sources::read(store).await?).await,
    }
}

async fn look(store: &Store, sources: &Sources) -> Result<State> {
    let (version, fields) = crate::choice::fields(store).await?;
    let mut versions = sources.versions().clone();
    versions.insert(crate::schema::DOMAINS.name.to_owned(), version);
    let mut tables = BTreeMap::new();
    for (table, version) in versions {
        let (size, written) = state::log_file(store, &table, version).await?.unwrap_or_default();
        tables.insert(table, (version, size, written));
    }
    let state = State::new(tables, &sources.months((i32::MIN, i32::MAX), None), fields);
    state.keep(store).await;
    Ok(state)
}

/// What of a month is kept, and what is not.
struct Plan {
    month: Month,
    kept: Option<Bytes>,
    /// Days that are in it and as they were; how many days it has.
    fresh: Vec<i32>,
    all: usize,
    /// Days that are to be made.
    stale: Vec<i32>,
}

/// Compares what is kept with the tables; if it is to be looked at closely, what is damaged is as good as not there.
async fn plan(
    store: &Store,
    months: &BTreeMap<Month, BTreeMap<i32, u64>>,
    closely: bool,
) -> Result<Vec<Plan>> {
    let read = months.iter().map(|(month, days)| async move {
        // What cannot be read is made anew as well.
        let kept = store.get(&path(month)).await.unwrap_or_default();
        // What is damaged or of another version is made anew.
        let has = kept.as_ref().and_then(|bytes| peek(bytes).ok());
        let (cluster, has) = has.unwrap_or_default();
        let has = if cluster == month.0 { has } else { Vec::new() };
        let fresh: Vec<i32> =
            has.iter().filter(|(day, digest)| days.get(day) == Some(digest)).map(|(day, _)| *day).collect();
        let stale = days.keys().copied().filter(|day| !fresh.contains(day)).collect();
        let is_well = |bytes: &Bytes| !closely || decode(bytes, Wanted::ALL).is_ok();
        let kept = kept.filter(|bytes| !fresh.is_empty() && is_well(bytes));
        let (fresh, stale) =
            if kept.is_some() { (fresh, stale) } else { (Vec::new(), days.keys().copied().collect()) };
        Ok(Plan { month: month.clone(), kept, fresh, all: has.len(), stale })
    });
    futures::future::try_join_all(read).await
}

fn join(kept: Option<&Bytes>, fresh: &[i32], made: &[Part]) -> Result<Part> {
    let kept = kept.map(|bytes| decode(bytes, Wanted::ALL)).transpose().map_err(damaged)?;
    let mut all: Vec<AskedOf<'_>> = kept.iter().map(|part| (part, Some(fresh))).collect();
    all.extend(made.iter().map(|part| (part, None)));
    Ok(merge(&all))
}

async fn write(store: &Store, month: &Month, part: &Part) -> Result<()> {
    let path = path(month);
    let put = store.objects.put(&path, encode(part).into()).await;
    put.map(drop).map_err(|source| Error::Object { what: "write", path: path.to_string(), source })
}

/// Makes all that is not as the tables are now, and removes what they have no more.
pub async fn update(store: &Store, told: Progress<'_>) -> Result<Updated> {
    let _lock = store.lock()?;
    let sources = Sources::read(store).await?;
    let months = sources.months((i32::MIN, i32::MAX), None);
    let plans = plan(store, &months, true).await?;
    let total: usize = plans.iter().map(|plan| plan.stale.len()).sum();
    let mut done = Updated::default();
    for plan in plans {
        if plan.stale.is_empty() && plan.fresh.len() == plan.all {
            continue;
        }
        let mut made = Vec::new();
        if let (Some(first), Some(last)) = (plan.stale.first(), plan.stale.last()) {
            let jobs = jobs::Jobs::read(store, &sources, &plan.month.0, (*first, *last)).await?;
            for day in &plan.stale {
                made.push(day::build(store, &sources, &jobs, &plan.month.0, *day).await?);
                done.days += 1;
                told(done.days, total);
            }
        }
        write(store, &plan.month, &join(plan.kept.as_ref(), &plan.fresh, &made)?).await?;
        done.months += 1;
    }
    done.removed = without(store, &months).await?;
    look(store, &sources).await?;
    Ok(done)
}

/// Removes parts of which no day is as the tables are now.
pub(crate) async fn sweep(store: &Store) -> Result<()> {
    let sources = Sources::read(store).await?;
    let months = sources.months((i32::MIN, i32::MAX), None);
    look(store, &sources).await?;
    for plan in plan(store, &months, true).await? {
        if plan.fresh.len() == plan.all {
            continue;
        }
        // Of a month that changed the rest stays, without a trace of the others.
        match plan.kept.is_some() {
            true => write(store, &plan.month, &join(plan.kept.as_ref(), &plan.fresh, &[])?).await?,
            false => remove(store, &path(&plan.month)).await?,
        }
    }
    without(store, &months).await.map(drop)
}

async fn without(store: &Store, months: &BTreeMap<Month, BTreeMap<i32, u64>>) -> Result<usize> {
    let wanted: Vec<ObjectPath> = months.keys().map(path).collect();
    let all = ObjectPath::from(format!("{OWN}/rollups"));
    let failed = |source| Error::Object { what: "list", path: all.to_string(), source };
    let found: Vec<_> = store.objects.list(Some(&all)).try_collect().await.map_err(failed)?;
    let mut removed = 0;
    for meta in found.iter().filter(|meta| !wanted.contains(&meta.location) && !State::is_at(&meta.location))
    {
        remove(store, &meta.location).await?;
        removed += 1;
    }
    Ok(removed)
}
