//! Batches: which segments are in the store already.
//!
//! A batch is a file with a number, written before anything of it is in a table and never changed. Whoever finds the last batch not
//! whole in all tables finishes it first; a segment that is in any batch is never taken again.

use std::collections::HashSet;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::store::{OWN, Store};

/// Segments are known for so long: a node that sends one again does so within hours.
const KNOWN_FOR_MS: i64 = 60 * 24 * 3600 * 1000;

/// After so many batches their files are folded into one.
const FOLD: usize = 200;

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) made_ms: i64,
    /// Their names, in the order in which they were put together.
    pub(crate) segments: Vec<String>,
    /// Processes that it says anew, and that go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replaced: Vec<Replaced>,
}

/// Processes of a day that a batch says anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replaced {
    pub(crate) cluster: String,
    pub(crate) date: i32,
    pub(crate) processes: Vec<i64>,
}

/// What is known of earlier batches.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    /// The last one; its tables may lack it.
    pub(crate) last: Option<Batch>,
    pub(crate) known: HashSet<String>,
    files: Vec<ObjectPath>,
}

fn directory() -> ObjectPath {
    ObjectPath::from(format!("{OWN}/batches"))
}

fn name(number: u64) -> String {
    format!("{OWN}/batches/{number:020}.json")
}

impl Batches {
    /// Reads them all.
    pub(crate) async fn read(store: &Store) -> Result<Self> {
        let failed = |source| Error::Object { what: "list", path: directory().to_string(), source };
        let mut files: Vec<ObjectPath> = store
            .objects
            .list(Some(&directory()))
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .map_err(failed)?;
        files.sort();
        let mut batches = Batches::default();
        for path in files {
            let Some(bytes) = store.get(&path).await? else { continue };
            let read: Vec<Batch> = serde_json::from_slice(&bytes)
                .map_err(|error| Error::Damaged { path: path.to_string(), why: error.to_string() })?;
            for batch in read {
                batches.known.extend(batch.segments.iter().cloned());
                if batches.last.as_ref().is_none_or(|last| last.number < batch.number) {
                    batches.last = Some(batch);
                }
            }
            batches.files.push(path);
        }
        Ok(batches)
    }

    /// Begins the next one; `None`: another collector was quicker.
    pub(crate) async fn begin(
        &mut self,
        store: &Store,
        segments: Vec<String>,
        replaced: Vec<Replaced>,
    ) -> Result<Option<Batch>> {
        let number = self.last.as_ref().map_or(1, |last| last.number + 1);
        let batch = Batch { number, made_ms: chrono::Utc::now().timestamp_millis(), segments, replaced };
        if !store.put_new(&name(number), json(std::slice::from_ref(&batch))).await? {
            return Ok(None);
        }
        self.known.extend(batch.segments.iter().cloned());
        self.files.push(ObjectPath::from(name(number)));
        self.last = Some(batch.clone());
        Ok(Some(batch))
    }

    /// Puts many files into one, and forgets segments that nobody will send again. The last batch keeps its file.
    pub(crate) async fn fold(&mut self, store: &Store) -> Result<()> {
        if self.files.len() < FOLD {
            return Ok(());
        }
        let since = chrono::Utc::now().timestamp_millis() - KNOWN_FOR_MS;
        let last = self.files.len() - 1;
        let mut all: Vec<Batch> = Vec::new();
        for path in &self.files[..last] {
            let Some(bytes) = store.get(path).await? else { continue };
            let read: Vec<Batch> = serde_json::from_slice(&bytes)
                .map_err(|error| Error::Damaged { path: path.to_string(), why: error.to_string() })?;
            all.extend(read.into_iter().filter(|batch| batch.made_ms > since));
        }
        // In the place of the newest of them, so that a reader sees each at least once at any time.
        let into = self.files[last - 1].clone();
        store.objects.put(&into, json(&all).into()).await.map_err(|source| Error::Object {
            what: "write",
            path: into.to_string(),
            source,
        })?;
        for path in &self.files[..last - 1] {
            store.objects.delete(path).await.map_err(|source| Error::Object {
                what: "remove",
                path: path.to_string(),
                source,
            })?;
        }
        self.files.drain(..last - 1);
        Ok(())
    }
}

fn json(batches: &[Batch]) -> Vec<u8> {
    serde_json::to_vec(batches).unwrap_or_default()
}
