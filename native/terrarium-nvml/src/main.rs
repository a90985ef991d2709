//! Prints who holds memory on which NVIDIA GPU, as one JSON object; or, with `--watch MILLISECONDS`, one in each such
//! time with the use of each GPU, a line each, until standard input is closed.
//!
//! A program of its own because a call into the driver can hang in the kernel: a process can be given up,
//! a thread could not. It loads the driver's library from wherever the dynamic linker finds it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};
use serde::Serialize;

const LIBRARY: &str = "libnvidia-ml.so.1";

/// What is printed.
#[derive(Serialize)]
struct Answer {
    /// Sorted by GPU and PID, one entry for each pair.
    holders: Vec<Holder>,
    /// Left out if all GPUs answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<Unread>,
    /// Use of each GPU that tells it: with `--watch` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gpus: Vec<Use>,
}

/// How busy a GPU is.
#[derive(Serialize)]
struct Use {
    gpu: u32,
    /// Part of the driver's last period (1/6 to 1 s) in which some kernel ran.
    percent: u32,
}

/// A process with memory on a GPU.
#[derive(Serialize)]
struct Holder {
    /// Index in bus order; that of the whole GPU for a process on a MIG instance.
    gpu: u32,
    /// PID as the driver tells it.
    pid: u32,
    /// `None` if the driver does not know.
    bytes: Option<u64>,
}

/// A GPU that did not answer in full: holders may be missing.
#[derive(Serialize)]
struct Unread {
    gpu: u32,
    why: String,
}

/// By GPU and PID.
type Found = BTreeMap<(u32, u32), Option<u64>>;

type Listed = Result<Vec<ProcessInfo>, NvmlError>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] => open().and_then(|nvml| print(&answer(&nvml, false)?)),
        ["--watch", millis] => match millis.parse() {
            Ok(millis) => watch(Duration::from_millis(millis)),
            Err(_) => Err("--watch: write a whole number of milliseconds".to_owned()),
        },
        _ => Err("usage: terrarium-nvml [--watch MILLISECONDS]".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn print(answer: &Answer) -> Result<(), String> {
    let text = serde_json::to_string(answer).map_err(|e| e.to_string())?;
    writeln!(std::io::stdout(), "{text}").map_err(|e| format!("cannot write the answer: {e}"))
}

/// Never ends but with who started it, or with the driver.
fn watch(pause: Duration) -> Result<(), String> {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // Also if the driver holds the other thread.
        std::process::exit(0);
    });
    let nvml = open()?;
    let mut next = Instant::now();
    loop {
        print(&answer(&nvml, true)?)?;
        // On a grid; after a hang, not all at once.
        next = (next + pause).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn open() -> Result<Nvml, String> {
    Nvml::builder().lib_path(OsStr::new(LIBRARY)).init().map_err(|e| explain(&e))
}

fn answer(nvml: &Nvml, with_use: bool) -> Result<Answer, String> {
    let gpus = nvml.device_count().map_err(|e| explain(&e))?;
    let has_v3 = nvml.lib().nvmlDeviceGetComputeRunningProcesses_v3.is_ok();
    let version = if has_v3 && !nvml.sys_driver_version().is_ok_and(|v| has_wide_lists(&v)) { 3 } else { 2 };

    let mut found = Found::new();
    let mut unread = Vec::new();
    let mut uses = Vec::new();
    for gpu in 0..gpus {
        if let Err(e) = read_gpu(nvml, gpu, version, &mut found) {
            unread.push(Unread { gpu, why: e.to_string() });
        }
        // Not to be had of a GPU that is divided (MIG).
        if with_use && let Ok(rates) = nvml.device_by_index(gpu).and_then(|d| d.utilization_rates()) {
            uses.push(Use { gpu, percent: rates.gpu });
        }
    }
    match unread.first() {
        Some(first) if found.is_empty() && unread.len() == gpus as usize => {
            Err(format!("the NVIDIA driver refuses: GPU {}: {}", first.gpu, first.why))
        }
        _ => {
            let holders = found.into_iter().map(|((gpu, pid), bytes)| Holder { gpu, pid, bytes }).collect();
            Ok(Answer { holders, unread, gpus: uses })
        }
    }
}

fn explain(error: &NvmlError) -> String {
    let text = error.to_string();
    match error {
        // Names another file where a library that this one needs is missing.
        NvmlError::LibloadingError(_) if text.contains(LIBRARY) && text.contains("No such file") => {
            format!("{LIBRARY} is not installed")
        }
        NvmlError::LibloadingError(_) | NvmlError::FailedToLoadSymbol(_) => {
            format!("{LIBRARY} cannot be used: {text}")
        }
        _ => format!("the NVIDIA driver refuses: {text}"),
    }
}

/// Whether lists of version 3 have larger entries than the wrapper believes.
///
/// They had in drivers 535.43 to 535.86, under the same name as before and after: PIDs would be read from the wrong
/// places and memory behind the list be overwritten. Only the version tells. The functions of version 2 never
/// changed, and are also what there is before 510 and in 535.98.
fn has_wide_lists(driver: &str) -> bool {
    let mut parts = driver.split('.').map(str::parse::<u32>);
    matches!((parts.next(), parts.next()), (Some(Ok(535)), Some(Ok(0..98))))
}

fn read_gpu(nvml: &Nvml, gpu: u32, version: u32, found: &mut Found) -> Result<(), NvmlError> {
    let device = nvml.device_by_index(gpu)?;
    let whole = read(&device, gpu, version, found);
    let instances = read_instances(&device, gpu, version, found);
    match (whole, instances) {
        // With MIG only a privileged user may ask the whole GPU; then its instances answer for it.
        (Err(NvmlError::NoPermission | NvmlError::NotSupported), Some(instances)) => instances,
        (whole, _) => whole,
    }
}

/// `None` if the GPU is not divided.
fn read_instances(
    device: &Device<'_>,
    gpu: u32,
    version: u32,
    found: &mut Found,
) -> Option<Result<(), NvmlError>> {
    let mut result = None;
    // An error, or 0, where there is no MIG.
    for index in 0..device.mig_device_count().unwrap_or(0) {
        let read = match device.mig_device_by_index(index) {
            Ok(instance) => read(&instance, gpu, version, found),
            // The indices have gaps.
            Err(NvmlError::NotFound) => continue,
            Err(e) => Err(e),
        };
        result = Some(result.unwrap_or(Ok(())).and(read));
    }
    result
}

/// Reads both lists of a GPU or an instance; the first error comes after what could be read.
///
/// Clients of the multi-process service (MPS) are in the compute list too.
fn read(device: &Device<'_>, gpu: u32, version: u32, found: &mut Found) -> Result<(), NvmlError> {
    let compute = ask(|| match version {
        2 => device.running_compute_processes_v2(),
        _ => device.running_compute_processes(),
    });
    let graphics = ask(|| match version {
        2 => device.running_graphics_processes_v2(),
        _ => device.running_graphics_processes(),
    });
    let graphics = match graphics {
        // On some GPUs, and on instances: nothing can be drawn there.
        Err(NvmlError::NotSupported) => Ok(Vec::new()),
        other => other,
    };
    let mut result = Ok(());
    for list in [compute, graphics] {
        match list {
            Ok(processes) => processes.iter().for_each(|p| add(p, gpu, found)),
            Err(e) => result = result.and(Err(e)),
        }
    }
    result
}

/// The wrapper asks for the number and then for the list, with room for five more: too few at times.
fn ask(list: impl Fn() -> Listed) -> Listed {
    for _ in 0..3 {
        match list() {
            Err(NvmlError::InsufficientSize(_)) => {}
            other => return other,
        }
    }
    list()
}

/// A process in several lists has the same size in each, where it is known.
fn add(process: &ProcessInfo, gpu: u32, found: &mut Found) {
    let bytes = match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    };
    let known = found.entry((gpu, process.pid)).or_default();
    *known = (*known).max(bytes);
}

#[cfg(test)]
mod tests {
    use super::has_wide_lists;

    #[test]
    fn wide_lists_by_version() {
        for driver in ["535.43.02", "535.54.03", "535.86.10"] {
            assert!(has_wide_lists(driver), "{driver}");
        }
        for driver in ["535.98", "535.104.05", "530.41.03", "580.82.07", "535", ""] {
            assert!(!has_wide_lists(driver), "{driver}");
        }
    }
}
