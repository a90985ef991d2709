//! Parts as bytes: a head, then blocks, each a zstd frame with a checksum, so that only what a question needs is unpacked.

use serde::{Deserialize, Serialize};

use crate::part::{Asked, JobDays, Key, Part, Runs};

/// What a part begins with.
const MAGIC: [u8; 8] = *b"terrroll";
/// Version of the format. Another one is made anew.
const VERSION: u32 = 2;
/// The longest block, unpacked.
const MOST: usize = 1 << 30;

/// Why bytes are no part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rollup is damaged or of another version: {why}")]
pub struct Damaged {
    /// What is wrong.
    pub why: &'static str,
}

fn damaged(why: &'static str) -> Damaged {
    Damaged { why }
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    cluster: String,
    days: Vec<(i32, u64)>,
    job_days: u32,
    loads: u32,
    sets: [u32; 2],
    /// Length packed and unpacked.
    blocks: Vec<(u32, u32)>,
}

/// Blocks, by number: texts, 19 columns of job-days, 7 of their loads, and twice keys, ends and runs.
const TEXTS: usize = 0;
const COLUMNS: usize = 1;
const LOADS: usize = 20;
const LIBRARIES: usize = 27;
const OTHERS: usize = 30;
const BLOCKS: usize = 33;

/// A part as bytes.
pub fn encode(part: &Part) -> Vec<u8> {
    let of = &part.job_days;
    let mut raw: Vec<Vec<u8>> = vec![part.texts.join("\0").into_bytes()];
    raw.push(numbers(&of.day));
    raw.push(differences(&of.user));
    raw.push(longs(&of.job));
    raw.push(longs(&of.sort));
    for column in [
        &of.project,
        &of.domain,
        &of.queue,
        &of.nodes,
        &of.gpus,
        &of.seconds,
        &of.probability,
        &of.processes,
        &of.python,
        &of.opted_out,
        &of.incomplete,
        &of.sampled,
        &of.doubtful,
        &of.lost,
        &of.accounted,
    ] {
        raw.push(numbers(column));
    }
    raw.push(differences(&of.load_ends));
    raw.push(numbers(&of.load_origin));
    raw.push(numbers(&of.load_class));
    raw.push(numbers(&of.load_asked));
    raw.push(longs(&of.load_modules));
    raw.push(longs(&of.load_us));
    raw.push(longs(&of.load_parallel_us));
    for runs in [&part.libraries, &part.others] {
        let columns: [fn(&Key) -> u32; 6] = [
            |key| key.package,
            |key| key.distribution,
            |key| key.version,
            |key| key.origin,
            |key| key.class,
            |key| key.asked.number(),
        ];
        raw.push(
            columns
                .iter()
                .flat_map(|column| numbers(&runs.keys.iter().map(column).collect::<Vec<_>>()))
                .collect(),
        );
        raw.push(differences(&runs.ends));
        raw.push(runs.bytes.clone());
    }
    let packed: Vec<Vec<u8>> = raw.iter().map(|block| pack(block)).collect();
    let head = Head {
        cluster: part.cluster.clone(),
        days: part.days.clone(),
        job_days: of.len() as u32,
        loads: of.load_origin.len() as u32,
        sets: [part.libraries.keys.len() as u32, part.others.keys.len() as u32],
        blocks: raw
            .iter()
            .zip(&packed)
            .map(|(raw, packed)| (packed.len() as u32, raw.len() as u32))
            .collect(),
    };
    // To memory: there is no error.
    let head = pack(&postcard::to_extend(&head, Vec::new()).unwrap_or_default());
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((head.len() as u32).to_le_bytes());
    bytes.extend(head);
    packed.iter().for_each(|block| bytes.extend(block));
    bytes
}

/// Level 3 with a checksum.
fn pack(bytes: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::Compressor::new(3).and_then(|mut compressor| {
        compressor.include_checksum(true)?;
        compressor.compress(bytes)
    });
    // To memory: there is no error.
    packed.unwrap_or_default()
}

fn numbers(column: &[u32]) -> Vec<u8> {
    column.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn longs(column: &[u64]) -> Vec<u8> {
    column.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Of numbers in order.
fn differences(column: &[u32]) -> Vec<u8> {
    let mut last = 0;
    let difference = |number: &u32| number.wrapping_sub(std::mem::replace(&mut last, *number));
    numbers(&column.iter().map(difference).collect::<Vec<_>>())
}

/// The cluster of a part, and the days that are in it; it is whole, but its blocks are not looked at.
pub fn peek(bytes: &[u8]) -> Result<(String, Vec<(i32, u64)>), Damaged> {
    let (head, rest) = head(bytes)?;
    let length: u64 = head.blocks.iter().map(|(packed, _)| u64::from(*packed)).sum();
    if length != rest.len() as u64 {
        return Err(damaged("it is cut"));
    }
    Ok((head.cluster, head.days))
}

fn head(bytes: &[u8]) -> Result<(Head, &[u8]), Damaged> {
    let cut = || damaged("it is cut");
    let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| damaged("it begins with other bytes"))?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    if u32::from_le_bytes(*version) != VERSION {
        return Err(damaged("its version is another"));
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let (head, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
    let head = zstd::bulk::decompress(head, 16 << 20).map_err(|_| damaged("its head"))?;
    let head: Head = postcard::from_bytes(&head).map_err(|_| damaged("its head"))?;
    if head.blocks.len() != BLOCKS || head.days.is_empty() {
        return Err(damaged("its head"));
    }
    Ok((head, rest))
}

/// Reads a part; `loads`, `counts` and `others` say what is wanted beside what every question needs. What is not is empty.
pub fn decode(bytes: &[u8], wanted: Wanted) -> Result<Part, Damaged> {
    let (head, mut rest) = head(bytes)?;
    let mut packed = Vec::with_capacity(BLOCKS);
    for (length, unpacked) in &head.blocks {
        let (block, after) = rest.split_at_checked(*length as usize).ok_or_else(|| damaged("it is cut"))?;
        packed.push((block, *unpacked as usize));
        rest = after;
    }
    let raw = |block: usize| -> Result<Vec<u8>, Damaged> {
        let (bytes, length) = packed[block];
        let raw = zstd::bulk::decompress(bytes, length.min(MOST)).map_err(|_| damaged("a block"))?;
        if raw.len() == length { Ok(raw) } else { Err(damaged("a block")) }
    };
    let texts = raw(TEXTS)?;
    let texts = String::from_utf8(texts).map_err(|_| damaged("a text"))?;
    let texts: Vec<String> = texts.split('\0').map(str::to_owned).collect();
    let (n, loads, known) = (head.job_days as usize, head.loads as usize, texts.len());
    let column = |block: usize, is_wanted: bool, length: usize| -> Result<Vec<u32>, Damaged> {
        if is_wanted { u32s(&raw(block)?, length) } else { Ok(Vec::new()) }
    };
    let wide = |block: usize, is_wanted: bool, length: usize| -> Result<Vec<u64>, Damaged> {
        if is_wanted { u64s(&raw(block)?, length) } else { Ok(Vec::new()) }
    };
    let text = |block: usize, is_wanted: bool, length: usize| -> Result<Vec<u32>, Damaged> {
        let numbers = column(block, is_wanted, length)?;
        if numbers.iter().all(|number| (*number as usize) < known) {
            Ok(numbers)
        } else {
            Err(damaged("a text"))
        }
    };
    let c = COLUMNS;
    let (facts, counts) = (true, wanted.counts);
    let job_days = JobDays {
        day: column(c, facts, n)?,
        user: sums(column(c + 1, facts, n)?),
        job: wide(c + 2, facts, n)?,
        sort: wide(c + 3, wanted.sort, n)?,
        project: text(c + 4, wanted.labels, n)?,
        domain: text(c + 5, wanted.labels, n)?,
        queue: text(c + 6, wanted.labels, n)?,
        nodes: column(c + 7, facts, n)?,
        gpus: column(c + 8, wanted.labels, n)?,
        seconds: column(c + 9, facts, n)?,
        probability: column(c + 10, facts, n)?,
        processes: column(c + 11, counts, n)?,
        python: column(c + 12, counts, n)?,
        opted_out: column(c + 13, counts, n)?,
        incomplete: column(c + 14, counts, n)?,
        sampled: column(c + 15, counts, n)?,
        doubtful: column(c + 16, counts, n)?,
        lost: column(c + 17, counts, n)?,
        accounted: column(c + 18, counts, n)?,
        load_ends: sums(column(LOADS, wanted.loads, n)?),
        load_origin: text(LOADS + 1, wanted.loads, loads)?,
        load_class: text(LOADS + 2, wanted.loads, loads)?,
        load_asked: column(LOADS + 3, wanted.loads, loads)?,
        load_modules: wide(LOADS + 4, wanted.loads, loads)?,
        load_us: wide(LOADS + 5, wanted.loads, loads)?,
        load_parallel_us: wide(LOADS + 6, wanted.loads, loads)?,
    };
    let ordered =
        |ends: &[u32], most: usize| ends.is_sorted() && ends.last().is_none_or(|end| *end as usize <= most);
    let offsets = head.days.iter().map(|day| day.0.saturating_sub(head.days[0].0));
    let last = offsets.max().unwrap_or(0).max(0) as u32;
    if !ordered(&job_days.load_ends, loads) || job_days.day.iter().any(|day| *day > last) {
        return Err(damaged("its job-days"));
    }
    let runs = |block: usize, is_wanted: bool, sets: u32| -> Result<Runs, Damaged> {
        if !is_wanted {
            return Ok(Runs::default());
        }
        let keys = keys(&raw(block)?, sets as usize, known)?;
        let runs = Runs { keys, ends: sums(u32s(&raw(block + 1)?, sets as usize)?), bytes: raw(block + 2)? };
        if ordered(&runs.ends, runs.bytes.len()) { Ok(runs) } else { Err(damaged("its sets")) }
    };
    Ok(Part {
        libraries: runs(LIBRARIES, wanted.libraries, head.sets[0])?,
        others: runs(OTHERS, wanted.others, head.sets[1])?,
        cluster: head.cluster,
        days: head.days,
        texts,
        job_days,
    })
}

/// What a question needs of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Project, field, queue, GPUs.
    pub labels: bool,
    /// How many processes, and what is missing.
    pub counts: bool,
    /// Loads by origin.
    pub loads: bool,
    /// The libraries of a job-day as a number.
    pub sort: bool,
    /// Sets of libraries.
    pub libraries: bool,
    /// Sets of all else.
    pub others: bool,
}

impl Wanted {
    /// All that there is.
    pub const ALL: Self =
        Wanted { labels: true, counts: true, loads: true, sort: true, libraries: true, others: true };
}

fn u32s(bytes: &[u8], length: usize) -> Result<Vec<u32>, Damaged> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    if chunks.len() != length || !rest.is_empty() {
        return Err(damaged("a column"));
    }
    Ok(chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect())
}

fn u64s(bytes: &[u8], length: usize) -> Result<Vec<u64>, Damaged> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    if chunks.len() != length || !rest.is_empty() {
        return Err(damaged("a column"));
    }
    Ok(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect())
}

fn sums(mut column: Vec<u32>) -> Vec<u32> {
    let mut sum = 0u32;
    for number in &mut column {
        sum = sum.wrapping_add(*number);
        *number = sum;
    }
    column
}

fn keys(bytes: &[u8], sets: usize, texts: usize) -> Result<Vec<Key>, Damaged> {
    let all = u32s(bytes, sets.checked_mul(6).ok_or_else(|| damaged("its sets"))?)?;
    let column = |which: usize| &all[which * sets..(which + 1) * sets];
    let of = |at: usize| Key {
        package: column(0)[at],
        distribution: column(1)[at],
        version: column(2)[at],
        origin: column(3)[at],
        class: column(4)[at],
        asked: Asked::of(column(5)[at]),
    };
    let is_known = |key: &Key| {
        [key.package, key.distribution, key.version, key.origin, key.class]
            .iter()
            .all(|text| (*text as usize) < texts)
    };
    let keys: Vec<Key> = (0..sets).map(of).collect();
    if keys.iter().all(is_known) { Ok(keys) } else { Err(damaged("its sets")) }
}
