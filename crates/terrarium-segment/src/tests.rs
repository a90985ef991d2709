//! Segments that are written, read, damaged and forged.

use proptest::prelude::*;

use super::*;

fn head() -> Head {
    Head {
        cluster: "c".into(),
        host: "n1".into(),
        made_ms: 1,
        terrarium: "0.1.0".into(),
        pseudonyms: false,
        source: "terrarium".into(),
    }
}

fn module(name: &str) -> Module {
    Module {
        name: name.into(),
        distribution: Some("PyYAML".into()),
        version: Some("6.0.1".into()),
        origin: "home".into(),
        place: "~/venv/lib/python3.11/site-packages".into(),
        kind: Kind::File,
    }
}

fn process(loads: Vec<Load>) -> Process {
    Process {
        record: 1,
        forked_from: None,
        pid: 2,
        parent: Some(1),
        user: "ada".into(),
        host: "n1".into(),
        started_us: 1_000_000,
        lasted_us: 5,
        end: End::Gone,
        status: None,
        extent: Extent::Full,
        python: Some("3.11.7".into()),
        environment: Some(0),
        main: "script".into(),
        script: None,
        program: "/usr/bin/python3.11".into(),
        job: None,
        run: None,
        rank: None,
        ranks: None,
        peak_bytes: Some(1 << 20),
        import_events: 3,
        not_loaded: 1,
        dropped: 0,
        is_cut: false,
        exception: None,
        objects: Vec::new(),
        probability: CERTAIN,
        doubts: Vec::new(),
        content: 0,
        loads,
    }
}

fn environment() -> Environment {
    let package = Package {
        name: "PyYAML".into(),
        version: "6.0.1".into(),
        manager: Manager::DistInfo,
        imports: vec!["yaml".into(), "_yaml".into()],
    };
    Environment {
        id: "00112233445566ff".into(),
        prefix: "~/venv".into(),
        class: "own-venv".into(),
        python: "3.11.7".into(),
        seen_ms: 2,
        packages: vec![package],
        is_partial: false,
    }
}

fn sample(processes: usize, modules: usize) -> (Vec<u8>, String) {
    let mut writer = Writer::new(Vec::new(), &head()).unwrap();
    writer.environment(&environment());
    for i in 0..processes {
        let loads = (0..modules)
            .map(|m| Load {
                module: writer.module(&module(&format!("yaml.m{m}"))),
                importer: writer.name(&format!("i{i}")),
                direct: (m == 0).into(),
                took: rounded(m as u64 * 1234),
            })
            .collect();
        writer.process(&process(loads)).unwrap();
    }
    assert_eq!(writer.rows(), (processes * modules) as u64);
    writer.finish().unwrap()
}

#[test]
fn what_was_written_is_read() {
    // More than one block of each kind.
    let (bytes, id) = sample(2000, 300);
    let segment = read(&bytes).unwrap();
    assert_eq!(segment.head, head());
    assert_eq!((segment.id.as_str(), segment.id.len()), (id.as_str(), 64));
    assert_eq!(segment.environments, [environment()]);
    assert_eq!((segment.processes.len(), segment.modules.len()), (2000, 300));
    let last = segment.processes.last().unwrap().loads.last().unwrap();
    assert_eq!(segment.modules[last.module as usize], module("yaml.m299"));
    assert_eq!(segment.names[last.importer as usize], "i1999");
    assert_eq!(module("yaml.m1").package(), "yaml");
}

#[test]
fn jobs_and_domains_come_back() {
    let job = BatchJob {
        system: "slurm".into(),
        id: job_id("slurm", " 39.batch "),
        submitted_us: Some(1),
        cpu_seconds: Some(0.5),
        hosts: vec!["n1".into()],
        ..BatchJob::default()
    };
    let domain = Domain { project: "p".into(), domain: "Physics".into(), since: Some(-1), until: None };
    let mut writer = Writer::new(Vec::new(), &head()).unwrap();
    writer.job(&job).unwrap();
    writer.domain(&domain).unwrap();
    let segment = read(&writer.finish().unwrap().0).unwrap();
    assert_eq!((segment.jobs, segment.domains), (vec![job.clone()], vec![domain]));
    assert_eq!(job.id, "39");
    assert_eq!(job_id("pbs", "123[4].pbs1"), "123[4]");
    assert_eq!(job_id("lsf", "7.a"), "7.a");
}

#[test]
fn one_bit_is_enough_to_be_refused() {
    let (bytes, _) = sample(3, 4);
    for i in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[i] ^= 1;
        assert!(read(&changed).is_err(), "byte {i}");
        assert!(read(&bytes[..i]).is_err(), "cut at {i}");
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(matches!(read(&longer), Err(ReadError::Malformed { .. })));
    assert_eq!(read(b"something else"), Err(ReadError::NotASegment));
}

/// Sealed by somebody who means harm.
fn forged(blocks: &[(u8, u32, Vec<u8>)]) -> Vec<u8> {
    use sha2::Digest as _;
    let mut bytes = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
    let add = |bytes: &mut Vec<u8>, kind: u8, length: u32, packed: &[u8]| {
        bytes.push(kind);
        bytes.extend(length.to_le_bytes());
        bytes.extend((packed.len() as u32).to_le_bytes());
        bytes.extend(packed);
    };
    for (kind, length, packed) in blocks {
        add(&mut bytes, *kind, *length, packed);
    }
    let digest: [u8; 32] = sha2::Sha256::digest(&bytes).into();
    add(&mut bytes, block::SEAL, 32, &digest);
    bytes
}

fn packed(bytes: &[u8]) -> (u32, Vec<u8>) {
    (bytes.len() as u32, zstd::bulk::compress(bytes, 1).unwrap())
}

#[test]
fn a_seal_does_not_make_it_true() {
    let (n, head) = packed(&postcard::to_stdvec(&head()).unwrap());
    let head = (block::HEAD, n, head);
    // Without names nothing can be named, not even nobody.
    assert!(matches!(read(&forged(std::slice::from_ref(&head))), Err(ReadError::Malformed { .. })));
    let (n, names) = packed(&postcard::to_stdvec("").unwrap());
    let names = (block::NAMES, n, names);
    assert!(read(&forged(&[head.clone(), names.clone()])).is_ok());
    // A bomb.
    let bomb = zstd::bulk::compress(&vec![0; MOST_BLOCK + 1], 19).unwrap();
    let row = (block::NAMES, MOST_BLOCK as u32 + 1, bomb.clone());
    assert_eq!(read(&forged(&[head.clone(), row])), Err(ReadError::TooLarge));
    // One that lies about its size.
    let row = (block::NAMES, 10, bomb);
    assert!(matches!(read(&forged(&[head.clone(), names.clone(), row])), Err(ReadError::Malformed { .. })));
    let load = Load { module: 7, importer: 0, direct: Direct::Yes, took: 0 };
    let (n, wild) =
        packed(&postcard::to_stdvec(&Process { environment: None, ..process(vec![load]) }).unwrap());
    let row = (block::PROCESSES, n, wild);
    assert!(matches!(read(&forged(&[head, names, row])), Err(ReadError::Malformed { .. })));
}

#[test]
fn times_are_rounded() {
    let all = [(0, 0), (999, 999), (1234, 1230), (99_999, 99_900), (u64::MAX, u32::MAX - 1)];
    assert!(all.iter().all(|(micros, is)| rounded(*micros) == *is));
}

proptest! {
    #[test]
    fn no_bytes_panic(kind in 1u8..10, rows in prop::collection::vec(any::<u8>(), 0..300)) {
        let (n, head) = packed(&postcard::to_stdvec(&head()).unwrap());
        let (length, bytes) = packed(&rows);
        let _ = read(&forged(&[(block::HEAD, n, head), (kind, length, bytes)]));
        let _ = read(&rows);
    }
}
