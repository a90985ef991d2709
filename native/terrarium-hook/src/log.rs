//! One record after the other, and the fixed fields before them.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use terrarium_wire::header::flag;
use terrarium_wire::{CONTINUED, Put, Shared, header};

use crate::clock;
use crate::kernel::{self, File, open};
use crate::spool::Spool;

/// After so many records that found no room growing is tried again; doubled each time.
const FIRST_RETRY: u32 = 16;

/// The texts before the next, by sort.
#[repr(C)]
pub(crate) struct Texts {
    pub(crate) objects: Shared,
    pub(crate) names: Shared,
    pub(crate) origins: Shared,
}

/// The file as a log. In this order: what every process touches lies together.
#[repr(C)]
pub(crate) struct Log {
    /// Where the next record goes in the current chunk.
    at: usize,
    /// CLOCK_MONOTONIC of the start, in nanoseconds.
    start: u64,
    /// Microseconds after the start of the last record with a time.
    last_time: u64,
    /// So many records are dropped before growing is tried again.
    wait: u32,
    /// The last value that `wait` was set to.
    waited: u32,
    pub(crate) texts: Texts,
    pub(crate) spool: Spool,
}

impl Log {
    pub(crate) const fn new() -> Self {
        Self {
            spool: Spool::new(),
            texts: Texts { names: Shared::new(), origins: Shared::new(), objects: Shared::new() },
            at: 0,
            start: 0,
            last_time: 0,
            wait: 0,
            waited: 0,
        }
    }

    /// Makes the file and fills in the header.
    pub(crate) fn create(&mut self, flags: u32, forked_from: u64) -> bool {
        let pid = kernel::pid();
        let parent = kernel::parent();
        let Some(start) = self.spool.create(pid, clock::since_1970()) else { return false };
        self.start = clock::now();
        self.at = header::LENGTH;
        (self.last_time, self.wait, self.waited) = (0, 0, 0);
        self.texts = Texts { names: Shared::new(), origins: Shared::new(), objects: Shared::new() };
        let lengths = u32::from(header::VERSION) | (header::LENGTH as u32) << 16;
        self.set_u32(header::AT_VERSION, lengths);
        self.set_u32(header::AT_FLAGS, flags);
        self.set_u32(header::AT_PID, pid);
        self.set_u32(header::AT_PARENT, parent);
        self.set_u64(header::AT_START, start);
        self.set_u64(header::AT_ID, id(start, pid));
        self.set_u64(header::AT_FORKED_FROM, forked_from);
        self.set_u32(header::AT_USER, kernel::user());
        // Last: with it the file can be read.
        self.set_u64(0, u64::from_le_bytes(header::MAGIC));
        true
    }

    /// Where the next record goes, in the current chunk.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Records as they stand in another file's first chunk. Only at the start of a file, and without continued texts.
    pub(crate) fn copy(&mut self, records: &[u8]) {
        if self.spool.length() - self.at <= records.len() && !self.grow() {
            self.count(header::AT_NO_SPACE);
            return;
        }
        // SAFETY: mapped, and only this thread writes it; a second chunk is longer than the first, from which these come.
        unsafe { self.spool.current.add(self.at).copy_from_nonoverlapping(records.as_ptr(), records.len()) };
        self.at += records.len();
    }

    /// The process ends. May come in a signal handler: nothing but stores and system calls.
    pub(crate) fn end(&self, how: u32, status: i32) {
        self.set_u64(header::AT_ENDED, self.elapsed());
        self.set_u32(header::AT_STATUS, status as u32);
        self.set_u32(header::AT_ENDING, how);
    }

    /// Looks how much memory the process had at most.
    pub(crate) fn look_at_peak(&self) {
        if let Some(peak) = peak() {
            self.set_u64(header::AT_PEAK, peak);
            self.set_u64(header::AT_PEAK_SEEN, self.elapsed());
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn elapsed(&self) -> u64 {
        clock::now().saturating_sub(self.start)
    }

    /// Microseconds since the last record with a time; the next counts from `now`, microseconds since the start.
    pub(crate) fn since_last(&self, now: u64) -> u64 {
        now.saturating_sub(self.last_time)
    }

    /// The record with this time was written.
    pub(crate) fn was_at(&mut self, now: u64) {
        self.last_time = self.last_time.max(now);
        self.set_u64(header::AT_LAST, now.saturating_mul(1000));
    }

    /// Writes a record; false: it was dropped, and counted.
    pub(crate) fn write(&mut self, kind: u8, fill: &dyn Fn(&mut Put<'_>, &Texts)) -> bool {
        if self.spool.first.is_null() {
            return false;
        }
        for attempt in 0..2 {
            let length = self.spool.length() - self.at;
            // SAFETY: this part of the chunk is mapped, and only this thread writes it.
            let room = unsafe { core::slice::from_raw_parts_mut(self.spool.current.add(self.at), length) };
            let mut put = Put::new(&mut *room, kind);
            fill(&mut put, &self.texts);
            if let Some((word, whole)) = put.end() {
                self.publish(word);
                self.at += whole;
                return true;
            }
            // What was begun must not look like a record.
            room.fill(0);
            // The next chunk has room for any record that is not too long.
            if attempt == 1 {
                self.count(header::AT_TOO_MUCH);
            } else if !self.grow() {
                self.count(header::AT_NO_SPACE);
                break;
            }
        }
        false
    }

    fn grow(&mut self) -> bool {
        if self.wait > 0 {
            self.wait -= 1;
            return false;
        }
        let Some(next) = self.spool.next_chunk() else {
            self.waited = (self.waited * 2).clamp(FIRST_RETRY, 1 << 16);
            self.wait = self.waited;
            return false;
        };
        if self.spool.length() - self.at >= 4 {
            self.publish(CONTINUED);
        }
        self.spool.go_on(next);
        (self.at, self.waited) = (0, 0);
        true
    }

    /// Stores the first word of the record at `self.at`.
    fn publish(&self, word: u32) {
        // SAFETY: inside the mapped chunk, and a multiple of 4 from its start, as the length of every record is.
        let place = unsafe { AtomicU32::from_ptr(self.spool.current.add(self.at).cast()) };
        place.store(word.to_le(), Ordering::Release);
    }

    /// The `id` of the file, from its header; 0 without a file.
    pub(crate) fn id(&self) -> u64 {
        self.u64_at(header::AT_ID).map_or(0, |place| u64::from_le(place.load(Ordering::Relaxed)))
    }

    pub(crate) fn set_u32(&self, at: usize, value: u32) {
        if let Some(place) = self.u32_at(at) {
            place.store(value.to_le(), Ordering::Release);
        }
    }

    pub(crate) fn set_u64(&self, at: usize, value: u64) {
        if let Some(place) = self.u64_at(at) {
            place.store(value.to_le(), Ordering::Release);
        }
    }

    /// Sets bits of the flags.
    pub(crate) fn flag(&self, bits: u32) {
        if let Some(place) = self.u32_at(header::AT_FLAGS) {
            place.fetch_or(bits.to_le(), Ordering::Relaxed);
        }
    }

    /// Whether a Python is or was running here.
    pub(crate) fn is_python(&self) -> bool {
        self.flags() & flag::PYTHON != 0
    }

    /// Whether nothing but the process itself is wanted.
    pub(crate) fn is_only_counted(&self) -> bool {
        self.flags() & flag::COUNTED != 0
    }

    fn flags(&self) -> u32 {
        self.u32_at(header::AT_FLAGS).map_or(0, |place| u32::from_le(place.load(Ordering::Relaxed)))
    }

    /// Adds one to a counter of the header that only the holder of the lock writes.
    pub(crate) fn count_alone(&self, at: usize) {
        if let Some(place) = self.u32_at(at) {
            place.store(place.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Adds one to a counter of the header.
    pub(crate) fn count(&self, at: usize) {
        if let Some(place) = self.u32_at(at) {
            // Others that count at the same time are no danger: only little-endian machines are supported.
            place.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn u32_at(&self, at: usize) -> Option<&AtomicU32> {
        let first = self.spool.first;
        // SAFETY: the header is mapped as long as `first` is set, and its fields are aligned.
        (!first.is_null()).then(|| unsafe { AtomicU32::from_ptr(first.add(at).cast()) })
    }

    fn u64_at(&self, at: usize) -> Option<&AtomicU64> {
        let first = self.spool.first;
        // SAFETY: as above.
        (!first.is_null()).then(|| unsafe { AtomicU64::from_ptr(first.add(at).cast()) })
    }
}

#[cfg(not(target_endian = "little"))]
compile_error!("the spool's numbers are little-endian, and counted in place");

/// Peak resident set in bytes. `getrusage` would tell the peak of the program before exec as well.
fn peak() -> Option<u64> {
    let mut text = [0; 2048];
    let file = File::open(c"/proc/self/status", open::READ, 0).ok()?;
    let text = file.read(&mut text).ok()?;
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"VmHWM:"))?;
    let digits = line.iter().filter(|byte| byte.is_ascii_digit());
    let kilobytes =
        digits.fold(0_u64, |sum, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    Some(kilobytes.wrapping_mul(1024))
}

fn id(start: u64, pid: u32) -> u64 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&start.to_le_bytes());
    bytes[8..].copy_from_slice(&pid.to_le_bytes());
    // 0 stands for none.
    terrarium_wire::hash(&bytes).max(1)
}
