//! Any bytes as a spool file.

#![no_main]

#[path = "../../crates/terrarium-spool/tests/examine/mod.rs"]
#[expect(dead_code, reason = "the seeds are written by another")]
mod examine;

use libfuzzer_sys::fuzz_target;
use terrarium_wire::check;
use terrarium_wire::header::LENGTH;

fuzz_target!(|bytes: &[u8]| {
    examine::examine(bytes);
    // Again with the checks right: a fuzzer does not guess them.
    let mut bytes = bytes.to_vec();
    let mut at = LENGTH;
    while let Some(length) = bytes.get(at..at + 2) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        let Some(payload) = bytes.get(at + 4..at + 4 + length).filter(|payload| !payload.is_empty()) else { break };
        let check = check(payload).to_le_bytes();
        bytes[at + 2..at + 4].copy_from_slice(&check);
        at = (at + 4 + length).next_multiple_of(4);
    }
    examine::examine(&bytes);
});
