//! The file: made, allocated before it is touched, mapped, grown. No descriptor is kept: a program may close any.

use core::ffi::CStr;
use core::fmt::{self, Write as _};
use core::ptr;

use syscalls::Errno;
use terrarium_wire::chunk;

use crate::kernel::{self, File, Result, open};

/// Where a file ends at the latest, in bytes.
const LARGEST: u64 = 16 << 20;

/// File systems on which a process may have to wait for another machine, as statfs(2) names them: NFS, SMB, SMB2, CIFS, AFS
/// (two), Coda, 9P, Ceph, Lustre, GPFS, BeeGFS, PanFS, GFS2, OCFS2, and all that are reached through FUSE.
const SHARED: [u64; 16] = [
    0x6969,
    0x517B,
    0xFE53_4D42,
    0xFF53_4D42,
    0x5346_414F,
    0x6B41_4653,
    0x7375_7245,
    0x0102_1997,
    0x00C3_6400,
    0x0BD0_0BD0,
    0x4750_4653,
    0x1983_0326,
    0xAAD7_AAEA,
    0x0116_1970,
    0x7461_636F,
    0x6573_5546,
];

/// How a file is opened that is there already: the process's own, or the spool's count.
const OURS: u32 = open::READ_WRITE | open::NO_LINK | open::NO_WAITING;

/// The longest path of a directory, in bytes.
const PATH: usize = 4096;

/// The path of a file in a directory that stays.
struct Path {
    /// The directory, then the file and a zero.
    bytes: [u8; PATH + 64],
    /// How long the directory is.
    directory: usize,
    /// How long all of it is.
    length: usize,
}

impl fmt::Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes())
    }
}

impl Path {
    const fn new() -> Self {
        Self { bytes: [0; PATH + 64], directory: 0, length: 0 }
    }

    fn push(&mut self, bytes: &[u8]) -> fmt::Result {
        // A zero stays behind it.
        let Some((place, [zero, ..])) =
            self.bytes.get_mut(self.length..).and_then(|rest| rest.split_at_mut_checked(bytes.len()))
        else {
            return Err(fmt::Error);
        };
        place.copy_from_slice(bytes);
        *zero = 0;
        self.length += bytes.len();
        Ok(())
    }

    fn set_directory(&mut self, directory: &[u8]) -> fmt::Result {
        self.length = 0;
        if directory.len() >= PATH {
            return Err(fmt::Error);
        }
        self.push(directory)?;
        self.push(b"/")?;
        self.directory = self.length;
        Ok(())
    }

    fn set_file(&mut self, name: fmt::Arguments<'_>) -> fmt::Result {
        self.length = self.directory;
        self.write_fmt(name)
    }

    fn as_c(&self) -> &CStr {
        let whole = self.bytes.get(..=self.length).unwrap_or_default();
        CStr::from_bytes_with_nul(whole).unwrap_or_default()
    }
}

/// One process's file. What is mapped of it: the first chunk, and the one that is being written.
#[repr(C)]
pub(crate) struct Spool {
    /// The first chunk; null: there is no file.
    pub(crate) first: *mut u8,
    /// The chunk being written, which may be the first.
    pub(crate) current: *mut u8,
    pub(crate) index: u32,
    file: Path,
}

impl Spool {
    pub(crate) const fn new() -> Self {
        Self { first: ptr::null_mut(), current: ptr::null_mut(), index: 0, file: Path::new() }
    }

    /// Files go there from now on.
    pub(crate) fn set_directory(&mut self, directory: &CStr) -> bool {
        let directory = directory.to_bytes();
        directory.starts_with(b"/") && self.file.set_directory(directory).is_ok()
    }

    /// How long the chunk being written is.
    pub(crate) fn length(&self) -> usize {
        chunk(self.index).1 as usize
    }

    /// Makes a file for a process that started then; says when, for its name is to be unique.
    pub(crate) fn create(&mut self, pid: u32, mut start: u64) -> Option<u64> {
        let mut made = Err(Errno::EEXIST);
        for _ in 0..8 {
            if self.file.set_file(format_args!("{pid}-{start:016x}.spool")).is_err() {
                return None;
            }
            let flags = open::CREATE | open::NEW | open::READ_WRITE | open::NO_LINK;
            made = File::open(self.file.as_c(), flags, 0o600);
            match made {
                // The same PID in another PID namespace, in the same nanosecond.
                Err(Errno::EEXIST) => start += 1,
                _ => break,
            }
        }
        let failed = match made {
            Ok(file) => {
                let mapped = match is_shared(&file) {
                    true => Err(Errno::EXDEV),
                    false => map(&file, 0),
                };
                match mapped {
                    Ok(at) => {
                        (self.first, self.current, self.index) = (at, at, 0);
                        return Some(start);
                    }
                    Err(why) => {
                        kernel::unlink(self.file.as_c());
                        why
                    }
                }
            }
            Err(why) => why,
        };
        self.count_drop(failed);
        None
    }

    /// Allocates and maps the chunk after the one being written.
    pub(crate) fn next_chunk(&self) -> Option<*mut u8> {
        let file = File::open(self.file.as_c(), OURS, 0).ok()?;
        map(&file, self.index + 1).ok()
    }

    /// Goes on in the next chunk, which lies there.
    pub(crate) fn go_on(&mut self, next: *mut u8) {
        if self.current != self.first {
            // SAFETY: nothing points there any more: `current` is set anew.
            unsafe { kernel::unmap(self.current, self.length()) };
        }
        self.current = next;
        self.index += 1;
    }

    /// What is mapped, to be unmapped when another file was made.
    pub(crate) fn mapped(&self) -> Mapped {
        Mapped { first: self.first, current: self.current, length: self.length() }
    }

    /// There is no file any more.
    pub(crate) fn forget(&mut self) {
        (self.first, self.current, self.index) = (ptr::null_mut(), ptr::null_mut(), 0);
    }

    /// Adds one to the spool's count of processes that have no file, if it keeps one. Two processes at the same moment may
    /// count as one.
    fn count_drop(&mut self, why: Errno) {
        // On a shared file system nothing more is touched.
        if why == Errno::EXDEV {
            return;
        }
        let place = match why {
            Errno::ENOSPC | Errno::EDQUOT => 0,
            _ => 8,
        };
        if self.file.set_file(format_args!("drops")).is_err() {
            return;
        }
        let Ok(file) = File::open(self.file.as_c(), OURS, 0) else { return };
        let mut count = [0; 8];
        if let Ok(8) = file.read_at(&mut count, place) {
            let more = u64::from_le_bytes(count).saturating_add(1);
            let _ = file.write_at(&more.to_le_bytes(), place);
        }
    }
}

/// The parent's file, in a forked child: it is the parent's alone.
pub(crate) struct Mapped {
    first: *mut u8,
    current: *mut u8,
    length: usize,
}

impl Mapped {
    /// A part of the first chunk.
    pub(crate) fn part(&self, from: usize, to: usize) -> &[u8] {
        match self.first.is_null() || from > to || to > chunk(0).1 as usize {
            true => &[],
            // SAFETY: the first chunk is mapped, and the parent's records in it are written once.
            false => unsafe { core::slice::from_raw_parts(self.first.add(from), to - from) },
        }
    }

    pub(crate) fn unmap(self) {
        // SAFETY: the log has another file now, or none; nothing points into these mappings.
        unsafe {
            if self.current != self.first {
                kernel::unmap(self.current, self.length);
            }
            if !self.first.is_null() {
                kernel::unmap(self.first, chunk(0).1 as usize);
            }
        }
    }
}

fn is_shared(file: &File) -> bool {
    file.file_system().map_or(true, |kind| SHARED.contains(&(kind & 0xFFFF_FFFF)))
}

/// Allocates a chunk and maps it.
fn map(file: &File, index: u32) -> Result<*mut u8> {
    let (begin, size) = chunk(index);
    let end = begin + size;
    // Beyond the limit on files the kernel would send SIGXFSZ.
    if end > LARGEST || end > kernel::largest_file() {
        return Err(Errno::EFBIG);
    }
    allocate(file, begin, size)?;
    file.map(begin, size)
}

/// Gets blocks for a part of the file: a page that has none would be a SIGBUS when it is written.
fn allocate(file: &File, begin: u64, size: u64) -> Result<()> {
    loop {
        match file.allocate(begin, size) {
            Err(Errno::EINTR) => {}
            Err(Errno::EOPNOTSUPP) => break,
            other => return other,
        }
    }
    let zeros = [0; 512];
    let mut at = begin;
    while at < begin + size {
        match file.write_at(&zeros, at) {
            Ok(0) => return Err(Errno::ENOSPC),
            Ok(written) => at += written as u64,
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}
