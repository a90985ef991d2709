//! The process in the jail: sets a limit on itself, takes memory in one way until it has it or is stopped, and tells.
//!
//! One line each time that it has taken more (`had BYTES`), so that how far it came is known when it is killed; at the
//! end `all BYTES`, `refused BYTES ERRNO` or `skip WHY`.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use terrarium_sys::Errno;
use terrarium_sys::allocate::{self, Resource, Sharing};
use terrarium_sys::process::{self, Forked, Namespaces};

use crate::cli::limits::{Way, WorkerArgs};
use crate::out;

/// What is taken at once.
const STEP: u64 = 4 << 20;
/// A block that malloc takes from the heap, not by mmap.
const SMALL: u64 = 64 << 10;
const FRAME: usize = 64 << 10;
/// After how much one line is written.
const TELL: u64 = 16 << 20;
/// What the stack limit needs beyond what is taken.
const STACK_MARGIN: u64 = 16 << 20;

/// Why it did not get all.
enum Stop {
    Refused(u64, Errno),
    Skip(&'static str),
}

/// How much there is by now.
struct Had(u64);

impl Had {
    fn add(&mut self, bytes: u64) {
        let before = self.0 / TELL;
        self.0 += bytes;
        if self.0 / TELL != before {
            out::print(format_args!("had {}", self.0));
        }
    }
}

const PYTHON: &str = "\
import sys
size, numpy, had, step, kept = int(sys.argv[1]), sys.argv[2] == 'numpy', 0, 4 << 20, []
try:
    if numpy:
        import numpy
    while had < size:
        kept.append(numpy.ones(step, dtype='u1') if numpy else bytearray(step))
        had += step
        if had % (16 << 20) == 0:
            print('had', had, flush=True)
    print('all', had, flush=True)
except (MemoryError, ImportError):
    print('refused', had, 12, flush=True)
    sys.exit(3)
";

/// Runs it; returns the exit code.
pub(crate) fn run(args: &WorkerArgs) -> u8 {
    // If the node itself runs out of memory, this process goes first.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    out::print("had 0");
    match work(args) {
        Ok(had) => {
            out::print(format_args!("all {had}"));
            0
        }
        Err(Stop::Refused(had, errno)) => {
            out::print(format_args!("refused {had} {}", errno as i32));
            3
        }
        Err(Stop::Skip(why)) => {
            out::print(format_args!("skip {why}"));
            4
        }
    }
}

fn work(args: &WorkerArgs) -> Result<u64, Stop> {
    let way = Way::from_str(&args.what, false).ok();
    if way == Some(Way::Stack) && !args.again {
        return Err(with_large_stack(args.amount));
    }
    if let Some(letter) = &args.resource {
        let resource = match letter.as_str() {
            "m" => Resource::ResidentSet,
            "d" => Resource::Data,
            "v" => Resource::AddressSpace,
            "u" => Resource::Processes,
            _ => return Err(Stop::Skip("no such limit")),
        };
        if allocate::set_limit(resource, args.value).is_err() {
            return Err(Stop::Skip("a lower limit of this kind is set here already"));
        }
    }
    let Some(way) = way else { return other(args) };
    let mut had = Had(0);
    match way {
        Way::Processes => processes(args, &mut had),
        Way::Fork => copies(args, &mut had),
        Way::Python | Way::Numpy => python(args),
        Way::Stack => deeper(args.amount, &mut had),
        _ => take(way, args.amount, &mut had),
    }
    .map(|()| had.0)
}

/// Takes `size` bytes by one of the ways that need one process.
fn take(way: Way, size: u64, had: &mut Had) -> Result<(), Stop> {
    let file = match way {
        Way::ShmMap | Way::ShmWrite => Some(nameless(Path::new("/dev/shm"))),
        Way::File => Some(nameless(&std::env::temp_dir())),
        Way::MemfdMap | Way::MemfdWrite => Some(allocate::memory_file().map(File::from)),
        _ => None,
    };
    let mut file = file.transpose().map_err(|errno| Stop::Refused(0, errno))?;
    let step = if way == Way::Malloc { SMALL } else { STEP };
    // Room for the list itself, before the limit is near.
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity((size / step + 1) as usize);
    while had.0 < size {
        let bytes = step.min(size - had.0);
        let taken = match (way, &mut file) {
            (Way::Malloc, _) => filled(bytes).map(|block| kept.push(block)),
            (Way::Shared, _) => allocate::map_anonymous(Sharing::Shared, bytes as usize),
            (Way::Sysv, _) => allocate::system_v(bytes as usize),
            (Way::ShmMap | Way::MemfdMap, Some(file)) => room(file, had.0, bytes)
                .and_then(|()| allocate::map_file(file.as_fd(), had.0, bytes as usize)),
            (_, Some(file)) => write(file, bytes),
            (_, None) => allocate::map_anonymous(Sharing::Private, bytes as usize),
        };
        taken.map_err(|errno| Stop::Refused(had.0, errno))?;
        had.add(bytes);
    }
    black_box(&kept);
    Ok(())
}

/// As shared memory is made by most: the size is set and nothing is reserved, so a full file system is a SIGBUS later.
fn room(file: &mut File, at: u64, bytes: u64) -> Result<(), Errno> {
    file.set_len(at + bytes).map_err(|e| errno(&e))
}

static BLOCK: [u8; SMALL as usize] = [1; SMALL as usize];

fn write(file: &mut File, bytes: u64) -> Result<(), Errno> {
    let mut left = bytes as usize;
    while left > 0 {
        let n = left.min(BLOCK.len());
        file.write_all(&BLOCK[..n]).map_err(|e| errno(&e))?;
        left -= n;
    }
    Ok(())
}

fn filled(bytes: u64) -> Result<Vec<u8>, Errno> {
    let mut block: Vec<u8> = Vec::new();
    block.try_reserve_exact(bytes as usize).map_err(|_| Errno::ENOMEM)?;
    // Copied, because `resize` goes byte by byte in a debug build.
    while block.len() < bytes as usize {
        block.extend_from_slice(&BLOCK[..BLOCK.len().min(bytes as usize - block.len())]);
    }
    Ok(black_box(block))
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// A file that is gone when this process is, however it ends.
fn nameless(directory: &Path) -> Result<File, Errno> {
    let path = directory.join(format!("terrarium-limits-{}", std::process::id()));
    let open = File::options().read(true).write(true).create_new(true).open(&path);
    let file = open.map_err(|e| errno(&e))?;
    std::fs::remove_file(&path).map_err(|e| errno(&e))?;
    Ok(file)
}

/// The kernel leaves room for the stack when a program is executed, as much as its limit says then.
fn with_large_stack(size: u64) -> Stop {
    match allocate::raise_limit(Resource::Stack, size + STACK_MARGIN) {
        Ok(limit) if limit.is_none_or(|limit| limit >= size + STACK_MARGIN) => {}
        _ => return Stop::Skip("ulimit -s is lower, and cannot be raised"),
    }
    let mut again = Command::new("/proc/self/exe");
    again.args(std::env::args_os().skip(1)).arg("--again");
    Stop::Refused(0, errno(&again.exec()))
}

#[inline(never)]
fn deeper(left: u64, had: &mut Had) -> Result<(), Stop> {
    let mut frame = [0u8; FRAME];
    black_box(&mut frame);
    had.add(left.min(FRAME as u64));
    let result = if left > FRAME as u64 { deeper(left - FRAME as u64, had) } else { Ok(()) };
    // Used after the call, so that the frame stays.
    black_box(&frame);
    result
}

/// Waits to be killed, as all that is left in a jail is.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

/// Runs `work` in a copy of this process, which stays, and waits until it is done.
fn in_a_copy(work: impl FnOnce() -> Result<(), Stop>) -> Result<(), Errno> {
    let (mut done, mut tell) = std::io::pipe().map_err(|e| errno(&e))?;
    match process::clone_process(Namespaces::default())? {
        Forked::Child => {
            drop(done);
            let result = match work() {
                Ok(()) => 0,
                Err(Stop::Refused(_, errno)) => errno as u8,
                Err(Stop::Skip(_)) => Errno::EINVAL as u8,
            };
            let _ = tell.write_all(&[result]);
            drop(tell);
            wait_for_the_end();
        }
        Forked::Parent(_) => {
            drop(tell);
            let mut result = [0];
            match done.read_exact(&mut result) {
                Ok(()) if result[0] == 0 => Ok(()),
                Ok(()) => Err(Errno::from_raw(i32::from(result[0]))),
                // It was killed.
                Err(_) => process::exit_now(137),
            }
        }
    }
}

/// Several processes, each with half of the limit.
fn processes(args: &WorkerArgs, had: &mut Had) -> Result<(), Stop> {
    let n = args.amount.div_ceil((args.unit / 2).max(1));
    for _ in 0..n {
        let share = args.amount.div_ceil(n);
        in_a_copy(|| take(Way::Mmap, share, &mut Had(0))).map_err(|errno| Stop::Refused(had.0, errno))?;
        had.add(share);
    }
    Ok(())
}

/// A process with less than the limit, and copies of it that write to all of it.
fn copies(args: &WorkerArgs, had: &mut Had) -> Result<(), Stop> {
    let n = args.amount.div_ceil((args.unit / 4 * 3).max(1)).max(2);
    let share = args.amount.div_ceil(n);
    let mut memory = filled(share).map_err(|errno| Stop::Refused(0, errno))?;
    had.add(share);
    for _ in 1..n {
        let write_to_all = || {
            memory.iter_mut().step_by(4096).for_each(|byte| *byte = 2);
            black_box(&memory);
            Ok(())
        };
        in_a_copy(write_to_all).map_err(|errno| Stop::Refused(had.0, errno))?;
        had.add(share);
    }
    Ok(())
}

fn python(args: &WorkerArgs) -> Result<(), Stop> {
    let Some(python) = &args.python else { return Err(Stop::Skip("no Python")) };
    let size = args.amount.to_string();
    let error = Command::new(python).args(["-c", PYTHON, &size, &args.what]).stderr(Stdio::null()).exec();
    Err(Stop::Refused(0, errno(&error)))
}

/// What is not about memory.
fn other(args: &WorkerArgs) -> Result<u64, Stop> {
    match args.what.as_str() {
        "nothing" => Ok(0),
        "start-processes" => start(args.amount, || in_a_copy(|| Ok(()))),
        "start-threads" => start(args.amount, || {
            let thread = std::thread::Builder::new().stack_size(SMALL as usize);
            thread.spawn(|| wait_for_the_end()).map(drop).map_err(|e| errno(&e))
        }),
        "cpus" => cpus(args, &[]),
        "cpus-wide" => cpus(args, &args.cpus),
        "taskset" => narrow().and_then(|()| cpus(args, &[])),
        "taskset-wide" => narrow().and_then(|()| cpus(args, &args.cpus)),
        _ => Err(Stop::Skip("nothing of that name")),
    }
}

fn start(n: u64, mut one: impl FnMut() -> Result<(), Errno>) -> Result<u64, Stop> {
    for started in 0..n {
        one().map_err(|errno| Stop::Refused(started, errno))?;
    }
    Ok(n)
}

fn mask(cpus: &[usize]) -> Vec<u8> {
    let mut mask = vec![0u8; cpus.iter().max().map_or(0, |last| last / 64 * 8 + 8)];
    for cpu in cpus {
        mask[cpu / 8] |= 1 << (cpu % 8);
    }
    mask
}

/// What `taskset -c N` does.
fn narrow() -> Result<(), Stop> {
    let allowed = process::allowed_cpus().map_err(|errno| Stop::Refused(0, errno))?;
    process::set_affinity(0, &mask(&allowed[..1])).map_err(|errno| Stop::Refused(0, errno))
}

/// On how many of the CPUs named it may run in the end, and with it all that it starts: a pool of processes would.
fn cpus(args: &WorkerArgs, wanted: &[usize]) -> Result<u64, Stop> {
    if !wanted.is_empty() {
        // Refused or clipped: what counts is what it has afterwards.
        let _ = process::set_affinity(0, &mask(wanted));
    }
    let allowed = process::allowed_cpus().map_err(|errno| Stop::Refused(0, errno))?;
    Ok(allowed.iter().filter(|cpu| args.cpus.contains(cpu)).count() as u64)
}
