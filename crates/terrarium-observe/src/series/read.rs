//! Reading a series, also a file that was cut.

use std::borrow::Cow;
use std::io::Read;

use arrow_ipc::{CompressionType, Footer, Message, RecordBatch, Schema, root_as_footer, root_as_message};
use terrarium_core::sample::{Metric, Sample};

use super::columns::TIME;
use super::{REPORT_KEY, START_KEY, Series, SeriesError};

/// No series is as large: at 10 looks a second this is more than three years.
const LARGEST: u64 = 1 << 30;

/// In one record batch; terrarium writes 4,096. A batch of nothing but zeros takes a few bytes of file, however long it is.
const MOST_ROWS: usize = 1 << 16;

/// In one series: three months at one look a second, and 2.5 GiB of memory to read it.
const MOST_SAMPLES: usize = 1 << 23;

/// Buffers are filled up to a multiple of 64 bytes.
const PADDING: usize = 64;

/// The magic, padded to 8 bytes; messages follow.
const HEADER: &[u8] = b"ARROW1\0\0";

fn foreign(why: impl Into<String>) -> SeriesError {
    SeriesError::Foreign { why: why.into() }
}

/// Reads a series, up to the last whole record batch.
///
/// The messages are taken one after the other, so that a file without its end gives what it has. Everything is checked
/// before it is used: decoders of Arrow panic on damaged files.
pub fn read(mut file: impl Read) -> Result<Series, SeriesError> {
    let mut bytes = Vec::new();
    file.by_ref().take(4096).read_to_end(&mut bytes)?;
    // What is something else may have no end.
    if bytes.starts_with(HEADER) {
        file.take(LARGEST + 1 - bytes.len() as u64).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > LARGEST {
        return Err(foreign("it is larger than any series (1 GiB)"));
    }
    if !bytes.starts_with(HEADER) {
        return Err(foreign(what_else(&bytes)));
    }
    let mut messages = Messages { bytes: &bytes[HEADER.len()..], damage: None };
    let Some((first, _)) = messages.next() else {
        return Err(foreign("it is an Arrow file that was cut before its first record, or is damaged"));
    };
    let schema = first.header_as_schema().ok_or_else(|| foreign("it is an Arrow file without a schema"))?;
    let columns = columns(&schema)?;
    let start = metadata(&schema, START_KEY)
        .ok_or_else(|| foreign("it is an Arrow file, but no series of terrarium's"))?;
    let start =
        serde_json::from_str(start).map_err(|e| foreign(format!("its description cannot be read: {e}")))?;
    let mut samples = Vec::new();
    let mut damage = None;
    for (message, body) in &mut messages {
        let decoded = message.header_as_record_batch().ok_or("a message is no record batch");
        if let Err(why) = decoded.and_then(|batch| decode(&batch, body, &columns, bytes.len(), &mut samples))
        {
            damage = Some(why);
            break;
        }
    }
    let footer = footer(&bytes);
    let report = footer.and_then(|f| f.schema());
    let report = report.and_then(|s| serde_json::from_str(metadata(&s, REPORT_KEY)?).ok());
    let damage = damage.or(messages.damage).or(footer.is_none().then_some("its end is missing"));
    Ok(Series { start, samples, report, damage: damage.map(str::to_owned) })
}

/// The messages of a stream, with their bodies.
struct Messages<'a> {
    bytes: &'a [u8],
    damage: Option<&'static str>,
}

impl<'a> Iterator for Messages<'a> {
    type Item = (Message<'a>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let Some((start, rest)) = self.bytes.split_first_chunk::<8>() else {
            self.damage = Some("it was cut between two records");
            return None;
        };
        let length = u32::from_le_bytes([start[4], start[5], start[6], start[7]]) as usize;
        if start[..4] != [0xff; 4] {
            self.damage = Some("a record does not begin as it should");
            return None;
        }
        if length == 0 {
            return None;
        }
        let parsed = rest.split_at_checked(length).and_then(|(described, rest)| {
            let message = root_as_message(described).ok()?;
            let (body, rest) = rest.split_at_checked(usize::try_from(message.bodyLength()).ok()?)?;
            Some((message, body, rest))
        });
        let Some((message, body, rest)) = parsed else {
            self.damage = Some("a record was cut or is damaged");
            return None;
        };
        self.bytes = rest;
        Some((message, body))
    }
}

fn footer(bytes: &[u8]) -> Option<Footer<'_>> {
    let (rest, end) = bytes.split_last_chunk::<10>()?;
    let length = u32::from_le_bytes([end[0], end[1], end[2], end[3]]) as usize;
    let at = rest.len().checked_sub(length).filter(|_| end[4..] == *b"ARROW1")?;
    root_as_footer(&rest[at..]).ok()
}

fn metadata<'a>(schema: &Schema<'a>, key: &str) -> Option<&'a str> {
    schema.custom_metadata()?.iter().find(|pair| pair.key() == Some(key))?.value()
}

/// What a column holds.
#[derive(Clone, Copy)]
enum Column {
    Time,
    Of(Metric),
    Unknown,
}

fn columns(schema: &Schema<'_>) -> Result<Vec<Column>, SeriesError> {
    let fields = schema.fields().ok_or_else(|| foreign("it is an Arrow file without columns"))?;
    let columns: Result<Vec<Column>, SeriesError> = fields
        .iter()
        .map(|field| {
            let name = field.name().unwrap_or_default();
            let is_number = field.type_as_int().is_some_and(|int| int.bitWidth() == 64 && int.is_signed());
            // What newer versions may add is passed over; but where the buffers of others lie is not known.
            match Metric::ALL.into_iter().find(|metric| metric.name() == name) {
                Some(metric) if is_number => Ok(Column::Of(metric)),
                None if name == TIME && field.type_as_timestamp().is_some() => Ok(Column::Time),
                None if is_number => Ok(Column::Unknown),
                _ => Err(foreign(format!(
                    "it was written by another program: its column `{name}` has another type"
                ))),
            }
        })
        .collect();
    let columns = columns?;
    if columns.iter().any(|c| matches!(c, Column::Time)) {
        Ok(columns)
    } else {
        Err(foreign("it is an Arrow file without a column `time`"))
    }
}

/// Appends what a batch holds, or nothing if it is damaged.
fn decode(
    batch: &RecordBatch<'_>,
    body: &[u8],
    columns: &[Column],
    file_size: usize,
    out: &mut Vec<Sample>,
) -> Result<(), &'static str> {
    const DAMAGED: &str = "a record is damaged";
    let rows = usize::try_from(batch.length()).ok().filter(|n| *n <= MOST_ROWS).ok_or(DAMAGED)?;
    let buffers = batch.buffers().filter(|b| b.len() == columns.len() * 2).ok_or(DAMAGED)?;
    let compressed = match batch.compression() {
        None => false,
        Some(compression) if compression.codec() == CompressionType::ZSTD => true,
        Some(_) => return Err("a record is compressed in a way that terrarium does not use"),
    };
    let buffer = |i: usize, longest: usize| {
        let place = buffers.get(i);
        let (offset, length) = (usize::try_from(place.offset()).ok()?, usize::try_from(place.length()).ok()?);
        let raw = body.get(offset..offset.checked_add(length)?)?;
        unpack(raw, compressed, longest)
    };
    // Time alone takes more than a byte a look: what claims to hold more was made to fill the reader's memory.
    let so_far = out.len() + rows;
    if so_far > file_size {
        return Err("a record claims to hold more looks than there is room for");
    }
    if so_far > MOST_SAMPLES {
        return Err("it holds more looks than can be read (8 million)");
    }
    let mut samples = vec![Sample::default(); rows];
    for (i, column) in columns.iter().enumerate() {
        let valid = buffer(2 * i, rows.div_ceil(8) + PADDING).ok_or(DAMAGED)?;
        let values = buffer(2 * i + 1, rows * 8 + PADDING).ok_or(DAMAGED)?;
        if values.len() < rows * 8 || (!valid.is_empty() && valid.len() < rows.div_ceil(8)) {
            return Err(DAMAGED);
        }
        for (row, (sample, value)) in samples.iter_mut().zip(values.as_chunks().0).enumerate() {
            let value = i64::from_le_bytes(*value);
            let is_valid = valid.is_empty() || valid[row / 8] >> (row % 8) & 1 == 1;
            match column {
                Column::Time => sample.time_ms = value,
                Column::Of(metric) => sample.set(*metric, is_valid.then_some(value)),
                Column::Unknown => {}
            }
        }
    }
    out.append(&mut samples);
    Ok(())
}

/// A buffer's bytes, of which there may be so many at most.
fn unpack(raw: &[u8], compressed: bool, longest: usize) -> Option<Cow<'_, [u8]>> {
    if !compressed || raw.is_empty() {
        return Some(Cow::Borrowed(raw));
    }
    let (length, packed) = raw.split_first_chunk::<8>()?;
    match i64::from_le_bytes(*length) {
        // It did not become smaller.
        -1 => Some(Cow::Borrowed(packed)),
        length => {
            let length = usize::try_from(length).ok().filter(|n| *n <= longest)?;
            zstd::bulk::decompress(packed, length).ok().map(Cow::Owned)
        }
    }
}

/// What a file that is none of ours seems to be.
fn what_else(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    match bytes {
        [] => "it is empty",
        _ if bytes.starts_with(b"PAR1") => "it is a Parquet file",
        _ if bytes.starts_with(&[0xff, 0xff, 0xff, 0xff]) => {
            "it is an Arrow stream, not a file of terrarium's"
        }
        _ if bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\x28\xb5\x2f\xfd") => {
            "it is compressed: unpack it first"
        }
        _ if HEADER.starts_with(bytes) => "it was cut after a few bytes",
        _ if text.starts_with(b"{") => "it is JSON; a report (`--report`) is no series",
        _ if bytes.starts_with(b"\x89HDF") => "it is an HDF5 file",
        _ if bytes.starts_with(b"time,elapsed_seconds,") => "it is the CSV of a series, not the series",
        _ if text.starts_with(b"<") => "it is a page or XML",
        _ if is_text(&bytes[..bytes.len().min(4096)]) => "it is text",
        _ => "it is no Arrow file",
    }
}

fn is_text(begin: &[u8]) -> bool {
    // The last character may be cut.
    let is_utf8 = std::str::from_utf8(begin).map_or_else(|error| error.error_len().is_none(), |_| true);
    is_utf8 && begin.iter().all(|byte| *byte >= b'\t')
}

#[cfg(test)]
mod tests {
    use super::super::Encoder;
    use super::*;
    use proptest::prelude::*;
    use terrarium_core::Bytes;
    use terrarium_core::report::RunReport;
    use terrarium_core::sample::{SERIES_SCHEMA, SeriesStart};

    fn start() -> SeriesStart {
        SeriesStart {
            schema: SERIES_SCHEMA.to_owned(),
            job: "12-34-56".parse().unwrap(),
            command: vec!["python3".to_owned(), "x\u{1b}\n.py".to_owned()],
            directory: "/home/a".to_owned(),
            host: "n1".to_owned(),
            started: 1.5,
            interval_ms: 1000,
            cpus: 2,
            node_memory: Bytes(1 << 34),
            memory_limit: None,
            memory_by_cgroup: true,
        }
    }

    fn some(n: usize) -> Vec<Sample> {
        (0..n as i64)
            .map(|i| {
                let mut sample = Sample::at(1_770_000_000_000 + i * 1000);
                sample.set(Metric::Cpu, Some(900 + i * 7919 % 100));
                sample.set(Metric::MemoryWorkingSet, (i % 10 != 3).then_some((1 << 30) + i * 4096));
                sample.set(Metric::Threads, Some(0));
                sample
            })
            .collect()
    }

    fn report() -> RunReport {
        serde_json::from_value(serde_json::json!({
            "schema": "terrarium.run/1", "terrarium": "0.1.0", "job": "12-34-56", "command": [], "directory": "/",
            "host": "n1", "uid": 1, "started": 1.5, "wall_seconds": 2.0, "end": {"kind": "exited", "code": 0},
            "exit_status": 0, "tier": "userns", "limits": {}, "usage": {"memory_saturated": false},
            "left_behind": {"processes": 0, "names": [], "shared": []}, "survivors": [], "findings": []
        }))
        .unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        for n in [0, 1, 4095, 4096, 4097, 10_000] {
            let mut encoder = Encoder::new(start()).unwrap();
            let samples = some(n);
            for (i, sample) in samples.iter().enumerate() {
                encoder.push(sample.clone()).unwrap();
                if i % 3000 == 17 {
                    let series = read(&encoder.file(None).unwrap()[..]).unwrap();
                    assert_eq!(series.samples, samples[..=i]);
                    assert_eq!((series.report, series.damage), (None, None));
                }
            }
            let file = encoder.file(Some(&report())).unwrap();
            let series = read(&file[..]).unwrap();
            assert_eq!(
                series,
                Series { start: start(), samples, report: Some(report()), damage: None },
                "{n}"
            );
        }
    }

    #[test]
    fn a_file_that_was_cut_gives_what_is_whole() {
        let samples = some(9000);
        let mut encoder = Encoder::new(start()).unwrap();
        samples.iter().for_each(|s| encoder.push(s.clone()).unwrap());
        let file = encoder.file(None).unwrap();
        let mut seen = Vec::new();
        for cut in [file.len() - 1, file.len() - 2000, file.len() * 2 / 3, file.len() / 3, 3000, 100, 8, 3, 0]
        {
            match read(&file[..cut]) {
                Ok(series) => {
                    assert!(series.damage.is_some());
                    assert_eq!(series.samples, samples[..series.samples.len()]);
                    seen.push(series.samples.len());
                }
                Err(SeriesError::Foreign { why }) => assert!(cut < 4000, "{cut}: {why}"),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen[0], 9000);
        assert!(seen.contains(&4096) && seen.contains(&0), "{seen:?}");
    }

    #[test]
    fn others_are_told_apart() {
        for (bytes, part) in [
            (&b""[..], "empty"),
            (b"PAR1...", "Parquet"),
            (b" {\"schema\": 1}", "no series"),
            (b"time,cpu\n", "text"),
            (b"caf\xc3", "text"),
            (b"time,elapsed_seconds,cpu_ms\n", "CSV of a series"),
            (b"<!DOCTYPE html>", "page"),
            (b"\0\x01\x02\x03", "no Arrow file"),
            (b"ARR", "cut after"),
            (b"ARROW1\0\0abc", "cut before its first"),
        ] {
            let SeriesError::Foreign { why } = read(bytes).unwrap_err() else { panic!() };
            assert!(why.contains(part), "{why}");
        }
    }

    /// A batch of zeros: a few hundred bytes, whatever its length.
    fn zeros(rows: usize, batches: usize) -> Vec<u8> {
        use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
        let text = serde_json::to_string(&start()).unwrap();
        let schema = super::super::columns::schema([(START_KEY.to_owned(), text)].into());
        let samples = vec![Sample::at(0); rows];
        let batch = super::super::columns::batch(&schema, &samples).unwrap();
        let options = IpcWriteOptions::try_new(8, false, arrow_ipc::MetadataVersion::V5).unwrap();
        let options = options.try_with_compression(Some(CompressionType::ZSTD)).unwrap();
        let mut file = FileWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
        (0..batches).for_each(|_| file.write(&batch).unwrap());
        file.finish().unwrap();
        file.into_inner().unwrap()
    }

    #[test]
    fn a_small_file_takes_no_large_memory() {
        for (rows, batches) in [(MOST_ROWS + 1, 1), (60_000, 40), (4096, 200)] {
            let file = zeros(rows, batches);
            let series = read(&file[..]).unwrap();
            assert!(series.damage.is_some() && series.samples.len() <= file.len(), "{rows} × {batches}");
            assert!(series.samples.len() < rows * batches);
        }
    }

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let SeriesError::Foreign { why } = read(std::io::repeat(0)).unwrap_err() else { panic!() };
        assert!(why.contains("no Arrow file"), "{why}");
    }

    #[test]
    fn the_steadiest_job_is_no_bomb() {
        let mut encoder = Encoder::new(start()).unwrap();
        (0..100_000).for_each(|i| encoder.push(Sample::at(i * 1000)).unwrap());
        let series = read(&encoder.file(None).unwrap()[..]).unwrap();
        assert_eq!((series.samples.len(), series.damage), (100_000, None));
    }

    proptest! {
        #[test]
        fn no_damage_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), n in 0usize..20) {
            let mut encoder = Encoder::new(start()).unwrap();
            some(n).into_iter().for_each(|s| encoder.push(s).unwrap());
            let mut file = encoder.file(None).unwrap();
            for (at, byte) in changes {
                let at = at.index(file.len());
                file[at] = byte;
            }
            let _ = read(&file[..]);
        }
    }
}
