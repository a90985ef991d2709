//! The file: made, allocated before it is touched, mapped, grown. No descriptor is kept: a program may close any.

use core::ffi::CStr;
use core::fmt::{self, Write as _};
use core::ptr;

use rustix::fd::OwnedFd;
use rustix::fs::{self, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{self, MapFlags, ProtFlags};
use rustix::process::{Resource, getrlimit};
use terrarium_wire::chunk;

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
        let mut made = Err(Errno::EXIST);
        for _ in 0..8 {
            if self.file.set_file(format_args!("{pid}-{start:016x}.spool")).is_err() {
                return None;
            }
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            made = fs::open(self.file.as_c(), flags, Mode::RUSR | Mode::WUSR);
            match made {
                // The same PID in another PID namespace, in the same nanosecond.
                Err(Errno::EXIST) => start += 1,
                _ => break,
            }
        }
        let failed = match made {
            Ok(file) => {
                let mapped = match is_shared(&file) {
                    true => Err(Errno::XDEV),
                    false => map(&file, 0),
                };
                match mapped {
                    Ok(at) => {
                        (self.first, self.current, self.index) = (at, at, 0);
                        return Some(start);
                    }
                    Err(why) => {
                        let _ = fs::unlink(self.file.as_c());
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
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = fs::open(self.file.as_c(), flags, Mode::empty()).ok()?;
        map(&file, self.index + 1).ok()
    }

    /// Goes on in the next chunk, which lies there.
    pub(crate) fn go_on(&mut self, next: *mut u8) {
        if self.current != self.first {
            // SAFETY: nothing points there any more: `current` is set anew.
            let _ = unsafe { mm::munmap(self.current.cast(), self.length()) };
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
        if why == Errno::XDEV {
            return;
        }
        let place = match why {
            Errno::NOSPC | Errno::DQUOT => 0,
            _ => 8,
        };
        if self.file.set_file(format_args!("drops")).is_err() {
            return;
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(file) = fs::open(self.file.as_c(), flags, Mode::empty()) else { return };
        let mut count = [0; 8];
        if let Ok(8) = rustix::io::pread(&file, &mut count, place) {
            let more = u64::from_le_bytes(count).saturating_add(1);
            let _ = rustix::io::pwrite(&file, &more.to_le_bytes(), place);
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
                let _ = mm::munmap(self.current.cast(), self.length);
            }
            if !self.first.is_null() {
                let _ = mm::munmap(self.first.cast(), chunk(0).1 as usize);
            }
        }
    }
}

fn is_shared(file: &OwnedFd) -> bool {
    fs::fstatfs(file).map_or(true, |stat| SHARED.contains(&(stat.f_type as u64 & 0xFFFF_FFFF)))
}

/// Allocates a chunk and maps it.
fn map(file: &OwnedFd, index: u32) -> rustix::io::Result<*mut u8> {
    let (begin, size) = chunk(index);
    let end = begin + size;
    // Beyond the limit on files the kernel would send SIGXFSZ.
    if end > LARGEST || getrlimit(Resource::Fsize).current.is_some_and(|most| end > most) {
        return Err(Errno::FBIG);
    }
    allocate(file, begin, size)?;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address that the kernel chooses. The file is ours and is not truncated.
    let at = unsafe { mm::mmap(ptr::null_mut(), size as usize, protection, MapFlags::SHARED, file, begin)? };
    Ok(at.cast())
}

/// Gets blocks for a part of the file: a page that has none would be a SIGBUS when it is written.
fn allocate(file: &OwnedFd, begin: u64, size: u64) -> rustix::io::Result<()> {
    loop {
        match fs::fallocate(file, FallocateFlags::empty(), begin, size) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP) => break,
            other => return other,
        }
    }
    let zeros = [0; 4096];
    let mut at = begin;
    while at < begin + size {
        match rustix::io::pwrite(file, &zeros, at) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => at += written as u64,
            Err(Errno::INTR) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}
