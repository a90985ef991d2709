//! What the tables were when their logs were read last, so that they need not be read again for every answer.
//!
//! It is believed only while no table has a later version: a question of whether a file is there, for each table.

use std::collections::BTreeMap;

use object_store::{ObjectStoreExt, path::Path as ObjectPath};
use serde::{Deserialize, Serialize};
use terrarium_rollup::Field;

use crate::error::{Error, Result};
use crate::schema;
use crate::store::{OWN, Store};

use super::{Month, month};

/// Version of the file. Another one is made anew.
const VERSION: u32 = 2;

/// Tables that must be in it.
const TABLES: [&str; 7] = ["processes", "imports", "links", "job_usage", "jobs", "daily", "domains"];

/// The tables, as they were.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    /// Version of the tables together.
    schema: u32,
    /// Of each table its last version, and the size and time of the file that says so.
    tables: BTreeMap<String, (u64, u64, i64)>,
    /// Cluster, day, and the digest of what it is made from.
    days: Vec<(String, i32, u64)>,
    /// Fields of science of projects.
    fields: BTreeMap<String, Vec<Field>>,
}

fn path() -> ObjectPath {
    ObjectPath::from(format!("{OWN}/rollups/state.json"))
}

/// Size and time of the file of a version of a table.
pub(super) async fn log_file(store: &Store, table: &str, version: u64) -> Result<Option<(u64, i64)>> {
    let path = ObjectPath::from(format!("{table}/_delta_log/{version:020}.json"));
    match store.objects.head(&path).await {
        Ok(meta) => Ok(Some((meta.size, meta.last_modified.timestamp_micros()))),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(Error::Object { what: "look at", path: path.to_string(), source }),
    }
}

impl State {
    /// Of what was read.
    pub(super) fn new(
        tables: BTreeMap<String, (u64, u64, i64)>,
        months: &BTreeMap<Month, BTreeMap<i32, u64>>,
        fields: BTreeMap<String, Vec<Field>>,
    ) -> Self {
        let days = months
            .iter()
            .flat_map(|((cluster, _), days)| {
                days.iter().map(|(day, digest)| (cluster.clone(), *day, *digest))
            })
            .collect();
        State { version: VERSION, schema: schema::VERSION, tables, days, fields }
    }

    /// The last one, if all tables are as they were then.
    pub(crate) async fn read(store: &Store) -> Result<Option<Self>> {
        // What cannot be read is as good as not there: somebody else's, or cut.
        let Ok(Some(bytes)) = store.get(&path()).await else { return Ok(None) };
        let Ok(state) = serde_json::from_slice::<State>(&bytes) else { return Ok(None) };
        let has_all = TABLES.iter().all(|table| state.tables.contains_key(*table));
        if state.version != VERSION || state.schema != schema::VERSION || !has_all {
            return Ok(None);
        }
        // Its last version is there, and no later one: logs are cut from behind.
        let is_last = state.tables.iter().map(|(table, (version, size, written))| async move {
            let last = log_file(store, table, *version).await?;
            Ok::<_, Error>(
                last == Some((*size, *written)) && log_file(store, table, version + 1).await?.is_none(),
            )
        });
        let all = futures::future::try_join_all(is_last).await?;
        Ok(all.into_iter().all(|is_last| is_last).then_some(state))
    }

    /// Keeps it. Who may only read the store goes without.
    pub(super) async fn keep(&self, store: &Store) {
        if let Ok(bytes) = serde_json::to_vec(self) {
            let _ = store.objects.put(&path(), bytes.into()).await;
        }
    }

    /// Days that there is something of.
    pub(super) fn months(
        &self,
        days: (i32, i32),
        cluster: Option<&str>,
    ) -> BTreeMap<Month, BTreeMap<i32, u64>> {
        let mut months: BTreeMap<Month, BTreeMap<i32, u64>> = BTreeMap::new();
        for (of, day, digest) in &self.days {
            if (days.0..=days.1).contains(day) && cluster.is_none_or(|cluster| cluster == of) {
                months.entry((of.clone(), month(*day))).or_default().insert(*day, *digest);
            }
        }
        months
    }

    /// Fields of science of projects.
    pub(crate) fn fields(&self) -> terrarium_rollup::Map<String, Vec<Field>> {
        self.fields.iter().map(|(project, fields)| (project.clone(), fields.clone())).collect()
    }

    /// Whether a path is that of the file.
    pub(super) fn is_at(other: &ObjectPath) -> bool {
        *other == path()
    }
}
