//! Which data files a day is made from.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::rewrite::{InTable, files};
use crate::schema::{self, Table};
use crate::store::{Store, failed};

use super::{Month, month};

/// Jobs last no longer: a process belongs to a job of so many days before, or of the next.
pub(super) const LONGEST: i32 = 40;

/// A cluster and a day.
type Day = (String, i32);

/// Data files by day, of the tables that rollups are made from.
pub(super) struct Sources {
    tables: BTreeMap<&'static str, BTreeMap<Day, Vec<InTable>>>,
    versions: BTreeMap<String, u64>,
    /// Which tables those are: they may have been made anew.
    ids: BTreeMap<&'static str, String>,
}

const FROM: [&Table; 6] =
    [&schema::PROCESSES, &schema::IMPORTS, &schema::LINKS, &schema::JOB_USAGE, &schema::JOBS, &schema::DAILY];

impl Sources {
    pub(super) async fn read(store: &Store) -> Result<Self> {
        let read = FROM.map(|table| async move {
            let state = store.table(table).await?;
            let snapshot = state.snapshot().map_err(failed(table.name))?;
            let (version, id) = (snapshot.version(), snapshot.metadata().id().to_owned());
            let mut days: BTreeMap<Day, Vec<InTable>> = BTreeMap::new();
            for file in files(table, &state)? {
                let value = |name: &str| file.partition.get(name).cloned().flatten().unwrap_or_default();
                let Ok(date) = value("date").parse::<chrono::NaiveDate>() else { continue };
                let day = (date - chrono::NaiveDate::default()).num_days() as i32;
                days.entry((value("cluster"), day)).or_default().push(file);
            }
            days.values_mut().for_each(|files| files.sort_by(|a, b| a.path.cmp(&b.path)));
            Ok::<_, Error>((table.name, version, id, days))
        });
        let mut sources =
            Sources { tables: BTreeMap::new(), versions: BTreeMap::new(), ids: BTreeMap::new() };
        for (name, version, id, days) in futures::future::try_join_all(read).await? {
            sources.versions.insert(name.to_owned(), version);
            sources.ids.insert(name, id);
            sources.tables.insert(name, days);
        }
        Ok(sources)
    }

    /// Versions of the tables that were read.
    pub(super) fn versions(&self) -> &BTreeMap<String, u64> {
        &self.versions
    }

    /// The files of a table.
    pub(super) fn of(&self, table: &Table, cluster: &str, day: i32) -> &[InTable] {
        let days = self.tables.get(table.name);
        days.and_then(|days| days.get(&(cluster.to_owned(), day))).map_or(&[], Vec::as_slice)
    }

    /// Those of some days.
    pub(super) fn between(
        &self,
        table: &Table,
        cluster: &str,
        days: (i32, i32),
    ) -> impl Iterator<Item = &InTable> {
        let range = (cluster.to_owned(), days.0)..=(cluster.to_owned(), days.1);
        self.tables
            .get(table.name)
            .into_iter()
            .flat_map(move |days| days.range(range.clone()))
            .flat_map(|(_, files)| files)
    }

    /// Days that there is something of, each with a digest of what it is made from.
    pub(super) fn months(
        &self,
        days: (i32, i32),
        cluster: Option<&str>,
    ) -> BTreeMap<Month, BTreeMap<i32, u64>> {
        let mut months: BTreeMap<Month, BTreeMap<i32, u64>> = BTreeMap::new();
        let tables = [&schema::PROCESSES, &schema::JOB_USAGE, &schema::DAILY];
        for day in tables.iter().flat_map(|table| self.tables[table.name].keys()) {
            if day.1 < days.0 || day.1 > days.1 || cluster.is_some_and(|cluster| cluster != day.0) {
                continue;
            }
            let days = months.entry((day.0.clone(), month(day.1))).or_default();
            days.entry(day.1).or_insert_with(|| self.digest(&day.0, day.1));
        }
        months
    }

    /// Another whenever a file is another: names come again in a store that was restored or made anew.
    fn digest(&self, cluster: &str, day: i32) -> u64 {
        let mut hash = 0xCBF2_9CE4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes.iter().chain(&[0xFF]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
            }
        };
        let whole = |file: &InTable| format!("{} {} {}", file.path, file.size, file.written_ms);
        // Sums hold where rows are gone.
        let has_rows = !self.of(&schema::PROCESSES, cluster, day).is_empty();
        for table in FROM {
            add(self.ids.get(table.name).map_or(table.name, String::as_str).as_bytes());
            match table.name {
                "jobs" => {
                    self.between(table, cluster, (day - LONGEST, day + 1))
                        .for_each(|file| add(whole(file).as_bytes()));
                }
                "daily" if has_rows => {}
                _ => self.of(table, cluster, day).iter().for_each(|file| add(whole(file).as_bytes())),
            }
        }
        hash
    }
}
