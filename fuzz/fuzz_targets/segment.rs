//! Segments that somebody sealed who means harm: the digest is right, and nothing else need be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sha2::Digest;

fuzz_target!(|bytes: &[u8]| {
    let _ = terrarium_segment::read(bytes);
    // The seal is ours, so that the fuzzer gets behind it.
    let mut sealed = [&terrarium_segment::MAGIC[..], &terrarium_segment::VERSION.to_le_bytes(), bytes].concat();
    let digest: [u8; 32] = sha2::Sha256::digest(&sealed).into();
    sealed.push(0xFF);
    sealed.extend(32u32.to_le_bytes());
    sealed.extend(32u32.to_le_bytes());
    sealed.extend(digest);
    if let Ok(segment) = terrarium_segment::read(&sealed) {
        // What was read refers to what is there.
        for process in &segment.processes {
            for load in &process.loads {
                let _ = (&segment.modules[load.module as usize], &segment.names[load.importer as usize]);
            }
        }
    }
});
