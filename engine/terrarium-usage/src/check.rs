//! Whether a store is whole: what is written down agrees with what is there.

use std::collections::HashSet;

use arrow::array::{Int64Array, RecordBatch};

use crate::batch::Batches;
use crate::error::Result;
use crate::maintain::{bitmap, damaged, sums_of};
use crate::query::Session;
use crate::rewrite::{files, read};
use crate::schema::{self, TABLES};
use crate::store::Store;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files that were read.
    pub files: u64,
    /// Rows of each table.
    pub rows: Vec<(&'static str, u64)>,
    /// What is wrong, a line each.
    pub wrong: Vec<String>,
}

/// Reads everything.
pub async fn check(store: &Store) -> Result<Checked> {
    let mut checked = Checked::default();
    let batches = Batches::read(store).await?;
    let last = batches.last.map_or(0, |batch| batch.number);
    for table in TABLES {
        let state = store.table(table).await?;
        let all = files(table, &state)?;
        checked.files += all.len() as u64;
        checked.rows.push((table.name, all.iter().map(|file| file.rows.unwrap_or(0) as u64).sum()));
        checked.wrong.extend(damaged(store, table).await?);
        let has = store.last_batch(table, &state).await?;
        if has < last {
            checked.wrong.push(format!(
                "{}: batch {last} is not in it yet; the next `terrarium collect --store` finishes it",
                table.name
            ));
        }
    }
    if !checked.wrong.is_empty() {
        return Ok(checked);
    }
    let session = Session::of(store, &[&schema::PROCESSES, &schema::IMPORTS, &schema::USERS]).await?;
    for (query, what) in [
        (
            "SELECT count(*) FROM (SELECT process_id FROM processes GROUP BY process_id HAVING count(*) > 1)",
            "process numbers stand for more than one process",
        ),
        (
            "SELECT count(*) FROM imports i LEFT ANTI JOIN processes p \
             ON i.process_id = p.process_id AND i.cluster = p.cluster AND i.date = p.date",
            "rows of imports are of no process",
        ),
        (
            "SELECT count(*) FROM processes p LEFT JOIN (SELECT process_id, count(*) AS n FROM imports GROUP BY process_id) i \
             ON p.process_id = i.process_id WHERE coalesce(p.modules, 0) <> coalesce(i.n, 0)",
            "processes have other numbers of modules than they have rows in imports",
        ),
        (
            "SELECT count(*) FROM processes p LEFT ANTI JOIN users u ON p.user_no = u.user_no AND p.\"user\" = u.\"user\"",
            "processes have a user whose number is another's",
        ),
        (
            "SELECT count(*) FROM (SELECT source, record FROM processes WHERE content IS NOT NULL \
             GROUP BY source, record HAVING count(*) > 1)",
            "imported records are there more than once",
        ),
        (
            "SELECT count(*) FROM (SELECT user_no FROM users GROUP BY user_no HAVING count(*) > 1)",
            "numbers stand for more than one user",
        ),
    ] {
        let count = number(&session.rows(query).await?);
        if count != 0 {
            checked.wrong.push(format!("{count} {what}"));
        }
    }
    daily(store, &session, &mut checked).await?;
    Ok(checked)
}

fn number(rows: &[RecordBatch]) -> i64 {
    rows.first()
        .and_then(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>().map(|c| c.value(0)))
        .unwrap_or(0)
}

/// Each day's sums, beside those of its rows; days without rows are of the past.
async fn daily(store: &Store, session: &Session, checked: &mut Checked) -> Result<()> {
    let table = &schema::DAILY;
    let state = store.table(table).await?;
    let mut days: std::collections::BTreeMap<(String, String), (i64, i64, roaring::RoaringBitmap)> =
        Default::default();
    for file in files(table, &state)? {
        let value = |name: &str| file.partition.get(name).cloned().flatten().unwrap_or_default();
        let day = days.entry((value("cluster"), value("date"))).or_default();
        for batch in read(store, table, &file).await? {
            let long = |name: &str| {
                batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref::<Int64Array>().cloned())
            };
            let sum = |name: &str| long(name).map_or(0, |c| c.iter().flatten().sum::<i64>());
            day.0 += sum("processes");
            day.1 += sum("modules");
            let users = batch
                .column_by_name("users")
                .and_then(|c| c.as_any().downcast_ref::<arrow::array::BinaryArray>());
            for bytes in users.into_iter().flatten().flatten() {
                day.2 |= bitmap(bytes)?;
            }
        }
    }
    for ((cluster, date), said) in days {
        let of_day = format!("cluster = '{}' AND date = DATE '{date}'", cluster.replace('\'', "''"));
        let sums = sums_of(session, &of_day, &HashSet::new()).await?;
        if sums.rows.is_empty() {
            continue;
        }
        let mut found = (0, 0, roaring::RoaringBitmap::new());
        for sum in sums.rows.values() {
            found.0 += sum.processes;
            found.1 += sum.modules;
            found.2 |= &sum.users;
        }
        if found != said {
            checked.wrong.push(format!(
                "daily, {cluster} {date}: {} processes, {} modules, {} users in it; {}, {}, {} in the rows of the day",
                said.0, said.1, said.2.len(), found.0, found.1, found.2.len()
            ));
        }
    }
    Ok(())
}
