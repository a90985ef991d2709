//! Flags of `terrarium limits`, and the names of what it measures.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use terrarium_core::Bytes;

/// Flags of `terrarium limits`.
#[derive(Debug, Args)]
pub struct LimitsArgs {
    /// The limit to try; up to four times as much is taken, for a moment [default: 128M, or what fits]
    ///
    /// Four times the limit must fit into a quarter of the memory that is available.
    #[arg(long, value_name = "SIZE", value_parser = super::size_not_zero)]
    pub limit: Option<Bytes>,
    /// Only this way of taking memory, this limit, or one of the other tables; can be repeated
    ///
    /// WAY: malloc, mmap, shared, shm-map, shm-write, memfd-map, memfd-write, sysv, file, stack, processes, fork, python,
    /// numpy. LIMIT: none, m, d and v (ulimit -m, -d, -v), mem (--mem of terrarium). Other tables: paper, cpus, pids.
    #[arg(long, value_name = "WAY|LIMIT|WAY/LIMIT", value_parser = only)]
    pub only: Vec<Only>,
    /// Say what would be tried, and try nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A way of taking memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Way {
    /// Small blocks from malloc: the heap (brk).
    Malloc,
    /// Private anonymous mappings.
    Mmap,
    /// Shared anonymous mappings.
    Shared,
    /// A file in /dev/shm, mapped.
    ShmMap,
    /// A file in /dev/shm, written to.
    ShmWrite,
    /// A memfd, mapped.
    MemfdMap,
    /// A memfd, written to.
    MemfdWrite,
    /// System V segments.
    Sysv,
    /// A file on a disk: page cache.
    File,
    /// The main thread's stack.
    Stack,
    /// Processes that each take less than the limit.
    Processes,
    /// Copies of one process that each write to what they share with it.
    Fork,
    /// Python objects.
    Python,
    /// NumPy arrays.
    Numpy,
}

/// A limit on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Limit {
    /// What holds anyhow.
    None,
    /// `ulimit -m`, RLIMIT_RSS.
    M,
    /// `ulimit -d`, RLIMIT_DATA.
    D,
    /// `ulimit -v`, RLIMIT_AS.
    V,
    /// terrarium's `--mem`.
    Mem,
}

/// The other tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// One way, with limits from far below to far above what is taken.
    Paper,
    /// CPUs.
    Cpus,
    /// Processes and threads.
    Pids,
}

/// `--only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// A row.
    Way(Way),
    /// A column.
    Limit(Limit),
    /// A cell.
    Cell(Way, Limit),
    /// A table.
    Table(Table),
}

fn only(text: &str) -> Result<Only, String> {
    let way = |text| Way::from_str(text, false).ok();
    let limit = |text| Limit::from_str(text, false).ok();
    let found = match text.split_once('/') {
        Some((w, l)) => way(w).zip(limit(l)).map(|(w, l)| Only::Cell(w, l)),
        None => way(text)
            .map(Only::Way)
            .or_else(|| limit(text).map(Only::Limit))
            .or_else(|| Table::from_str(text, false).ok().map(Only::Table)),
    };
    found.ok_or_else(|| {
        let names = |all: Vec<String>| all.join(", ");
        format!(
            "ways: {}; limits: {}; tables: {}; or WAY/LIMIT, such as shared/d",
            names(Way::value_variants().iter().map(|v| name(*v)).collect()),
            names(Limit::value_variants().iter().map(|v| name(*v)).collect()),
            names(Table::value_variants().iter().map(|v| name(*v)).collect())
        )
    })
}

/// The name by which `--only` and the JSON know it.
pub fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

/// Arguments of the process that takes the memory, in the jail.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// What to do
    pub what: String,
    /// How much: bytes, or processes
    pub amount: u64,
    /// The limit that it is about, in bytes
    #[arg(long, default_value_t = 0)]
    pub unit: u64,
    /// A resource limit to set before: m, d, v or u
    #[arg(long)]
    pub resource: Option<String>,
    /// Its value
    #[arg(long, default_value_t = 0)]
    pub value: u64,
    /// The interpreter, for Python
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// CPUs to ask for
    #[arg(long, value_delimiter = ',')]
    pub cpus: Vec<usize>,
    /// The stack limit was raised already
    #[arg(long)]
    pub again: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_takes_rows_columns_cells_and_tables() {
        assert_eq!(only("shared"), Ok(Only::Way(Way::Shared)));
        assert_eq!(only("d"), Ok(Only::Limit(Limit::D)));
        assert_eq!(only("shm-write/mem"), Ok(Only::Cell(Way::ShmWrite, Limit::Mem)));
        assert_eq!(only("pids"), Ok(Only::Table(Table::Pids)));
        for wrong in ["", "x", "d/shared", "shared/", "/d"] {
            assert!(only(wrong).unwrap_err().contains("shm-map"), "{wrong}");
        }
    }
}
