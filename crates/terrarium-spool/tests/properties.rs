//! Bytes from anywhere: nothing panics, and what stands before a cut or a change is read.

mod examine;

use examine::{examine, seeds};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use terrarium_spool::sample::{By, Sample};
use terrarium_spool::{Importer, Origin, OriginKind, Record, Records, State, Stopped, process};
use terrarium_wire::header::LENGTH;
use terrarium_wire::kind::origin;
use terrarium_wire::{LONGEST, REMEMBERED, check};

/// The same cases in each run: a 16-bit check passes some change in 65,536, and a test must not fail one day in a hundred.
fn always_the_same<T: std::fmt::Debug>(
    cases: u32,
    strategy: &impl Strategy<Value = T>,
    test: impl Fn(T) -> Result<(), TestCaseError>,
) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(strategy, test).unwrap();
}

/// Of a module in a file.
#[derive(Clone, Debug)]
struct Written {
    name: Vec<u8>,
    path: Vec<u8>,
    /// How many modules back its importer is; 0: `__main__`.
    back: u64,
    later: u64,
    /// Imported and loaded, imported only, or there without an import.
    way: u8,
}

/// Names with common beginnings, some longer than what is remembered.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let common = prop_oneof![Just(0), 1..20_usize, REMEMBERED - 2..REMEMBERED + 2, 0..3000_usize];
    (common, vec(any::<u8>(), 0..30)).prop_map(|(common, rest)| {
        let beginning = b"/site-packages/numpy/core/".iter().cycle().take(common).copied();
        beginning.chain(rest).collect()
    })
}

fn written() -> impl Strategy<Value = Written> {
    let numbers = (0..5_u64, prop_oneof![0..100_u64, any::<u32>().prop_map(u64::from)], 0..3_u8);
    (text(), text(), numbers).prop_map(|(name, path, (back, later, way))| Written {
        name,
        path,
        back,
        later,
        way,
    })
}

fn sample(modules: &[Written]) -> Sample {
    let mut sample = Sample::new();
    let mut time = 0;
    for module in modules {
        time += module.later;
        let by = match module.back {
            back if back == 0 || back > sample.modules() => By::Main,
            back => By::Module(sample.modules() - back),
        };
        if module.way == 2 {
            sample.module(time, by, &module.name, origin::FILE, &module.path).unwrap();
        } else {
            let number = sample.import(time, by, 0, &module.name).unwrap();
            if module.way == 0 {
                sample.loaded(time + 5, number, origin::FILE, &module.path);
                time += 5;
            }
        }
    }
    sample
}

#[test]
fn what_was_written_is_read() {
    always_the_same(60, &vec(written(), 0..200), |modules| {
        let bytes = sample(&modules).bytes();
        examine(&bytes);
        let found = process(&bytes).unwrap();
        prop_assert_eq!(found.stopped, Stopped::End);
        prop_assert_eq!(found.modules.len(), modules.len());
        let mut time = 0;
        for (number, (read, written)) in found.modules.iter().zip(&modules).enumerate() {
            time += written.later;
            prop_assert_eq!(read.name.as_bytes(), &written.name[..]);
            let importer = match written.back as usize {
                back if back == 0 || back > number => Importer::Main,
                back => Importer::Module(number - back),
            };
            prop_assert_eq!(&read.importer, &importer);
            prop_assert_eq!(read.started_us, (written.way != 2).then_some(time));
            if written.way == 1 {
                prop_assert!(read.origin.is_none() && read.state != State::Loaded);
                continue;
            }
            let kind = if written.path.ends_with(b".so") { OriginKind::Extension } else { OriginKind::File };
            let origin = Origin { kind, path: written.path.clone().into() };
            prop_assert_eq!(read.origin.as_ref(), Some(&origin));
            prop_assert_eq!(read.state, State::Loaded);
            if written.way == 0 {
                time += 5;
            }
            prop_assert_eq!(read.loaded_us, Some(time));
        }
        Ok(())
    });
}

#[test]
fn records_of_any_length_find_their_chunk() {
    always_the_same(40, &vec(0..LONGEST, 1..40), |lengths| {
        let mut sample = Sample::new();
        let written: Vec<usize> = lengths
            .into_iter()
            .filter(|length| {
                sample.record(terrarium_wire::kind::ARGUMENT, |put| put.text(&vec![b'x'; *length]))
            })
            .collect();
        let bytes = sample.bytes();
        examine(&bytes);
        let read = process(&bytes).unwrap().arguments;
        prop_assert_eq!(read.iter().map(|text| text.as_bytes().len()).collect::<Vec<_>>(), written);
        Ok(())
    });
}

/// Each record of a file, with where it ends.
fn records(bytes: &[u8]) -> Vec<(u64, Record<'_>)> {
    let Ok((_, mut records)) = Records::of(bytes) else { return Vec::new() };
    let mut all = Vec::new();
    while let Some(record) = records.next() {
        all.push((records.offset(), record));
    }
    all
}

#[test]
fn a_file_is_read_up_to_a_cut() {
    let strategy = (vec(written(), 1..60), any::<prop::sample::Index>());
    always_the_same(100, &strategy, |(modules, place)| {
        let bytes = sample(&modules).bytes();
        let cut = place.index(bytes.len());
        examine(&bytes[..cut]);
        let whole = records(&bytes);
        let before = whole.iter().take_while(|(end, _)| *end <= cut as u64).count();
        let rest = records(&bytes[..cut]);
        // In the header nothing can be read.
        prop_assert_eq!(rest.len(), if cut < LENGTH { 0 } else { before });
        prop_assert_eq!(&whole[..rest.len()], &rest[..]);
        Ok(())
    });
}

#[test]
fn a_file_is_read_up_to_a_change() {
    let change = (any::<prop::sample::Index>(), 1..=255_u8);
    always_the_same(200, &(vec(written(), 1..40), change), |(modules, (place, change))| {
        let sample = sample(&modules);
        let end = sample.offset();
        let mut bytes = sample.bytes();
        let whole: Vec<u64> = records(&bytes).iter().map(|(end, _)| *end).collect();
        let names: Vec<_> = process(&bytes).unwrap().modules.into_iter().map(|module| module.name).collect();
        let at = LENGTH + place.index(end - LENGTH);
        bytes[at] ^= change;
        examine(&bytes);
        let before = whole.iter().take_while(|end| **end <= at as u64).count();
        prop_assert!(records(&bytes).len() >= before);
        // All that is read was written: the first so many of it.
        let read = process(&bytes).unwrap().modules;
        prop_assert!(read.len() <= names.len());
        prop_assert!(read.iter().zip(&names).all(|(read, name)| read.name == *name));
        Ok(())
    });
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..6000)) {
        examine(&bytes);
        let mut behind_a_header = Sample::new().bytes();
        behind_a_header.truncate(LENGTH);
        behind_a_header.extend_from_slice(&bytes);
        examine(&behind_a_header);
    }

    /// Payloads that pass the check, so that the fields are looked at.
    #[test]
    fn any_fields_are_read_or_refused(payloads in vec((0..20_u8, vec(any::<u8>(), 0..40)), 0..60)) {
        let mut bytes = Sample::new().bytes();
        bytes.truncate(LENGTH);
        for (kind, fields) in payloads {
            let payload: Vec<u8> = [kind].into_iter().chain(fields).collect();
            bytes.extend_from_slice(&(payload.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&check(&payload).to_le_bytes());
            bytes.extend_from_slice(&payload);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        examine(&bytes);
    }
}

/// What the fuzzer does, over its seeds and some thousand changes of each.
#[test]
fn seeds_and_their_changes() {
    let mut state = 1_u64;
    let mut next = move |below: usize| {
        // Numerical Recipes' generator: any will do.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    for seed in seeds() {
        examine(&seed);
        for _ in 0..2000 {
            let mut bytes = seed.clone();
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                match next(4) {
                    0 if !bytes.is_empty() => bytes[at] = next(256) as u8,
                    1 if !bytes.is_empty() => bytes[at] ^= 1 << next(8),
                    2 => bytes.truncate(at),
                    _ => {
                        let more: Vec<u8> = (0..next(9)).map(|_| next(256) as u8).collect();
                        bytes.splice(at..at, more);
                    }
                }
            }
            mend(&mut bytes);
            examine(&bytes);
        }
    }
}

/// Sets the checks right, every other time, so that changes are not only met by them.
fn mend(bytes: &mut [u8]) {
    if bytes.len().is_multiple_of(2) {
        return;
    }
    let mut at = LENGTH;
    while let Some(length) = bytes.get(at..at + 2) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        let Some(payload) = bytes.get(at + 4..at + 4 + length) else { return };
        let check = check(payload).to_le_bytes();
        bytes[at + 2..at + 4].copy_from_slice(&check);
        at = (at + 4 + length).next_multiple_of(4);
        if length == 0 {
            return;
        }
    }
}

/// A small file that unpacks to more than is kept, and names as deep as they go.
#[test]
fn what_is_kept_is_bounded() {
    let mut sample = Sample::new();
    let deep: Vec<u8> = b"a.".repeat(LONGEST / 4);
    for number in 0..240_000_u64 {
        let mut name = vec![b'a'; REMEMBERED];
        name.extend(number.to_string().as_bytes());
        sample.import(number, By::Main, 0, &name);
        if number % 20_000 == 0 {
            sample.import(number, By::Main, 0, &deep);
        }
    }
    let bytes = sample.bytes();
    assert!(bytes.len() < 8 << 20, "{}", bytes.len());
    let found = process(&bytes).unwrap();
    assert!(matches!(found.stopped, Stopped::TooMuch { .. }), "{:?}", found.stopped);
}
