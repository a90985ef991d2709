//! Which GPUs are here, and which device nodes a job may not open.

use std::fs;
use std::path::PathBuf;

use terrarium_core::GpuRequest;
use terrarium_core::gpus::GpuError;

use crate::host::Host;

/// What `--gpus` comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpus {
    /// For `CUDA_VISIBLE_DEVICES` and its kin.
    pub names: Vec<String>,
    /// Device nodes to be closed.
    pub denied: Vec<PathBuf>,
}

/// One NVIDIA GPU as /proc/driver/nvidia tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Nvidia {
    bus: String,
    minor: u32,
    uuid: String,
}

fn nvidia(host: &Host) -> Vec<Nvidia> {
    let Ok(entries) = fs::read_dir(host.path("/proc/driver/nvidia/gpus")) else { return Vec::new() };
    let mut found: Vec<Nvidia> = entries
        .flatten()
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("information")).ok()?;
            let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
            Some(Nvidia {
                bus: entry.file_name().to_str()?.to_owned(),
                minor: field("Device Minor:")?.parse().ok()?,
                uuid: field("GPU UUID:").unwrap_or("").to_owned(),
            })
        })
        .collect();
    // The order of CUDA_DEVICE_ORDER=PCI_BUS_ID and of NVML.
    found.sort_by(|a, b| a.bus.cmp(&b.bus));
    found
}

/// The GPUs that are visible now: what a batch system's `CUDA_VISIBLE_DEVICES` names, or all.
pub fn visible_gpus(host: &Host, variable: Option<&str>) -> Vec<String> {
    match variable {
        Some(list) => list
            .split(',')
            .map(str::trim)
            // CUDA ends the list at the first name that it does not know.
            .take_while(|n| !n.is_empty() && *n != "-1" && *n != "NoDevFiles")
            .map(str::to_owned)
            .collect(),
        None => (0..nvidia(host).len()).map(|i| i.to_string()).collect(),
    }
}

impl Gpus {
    /// Chooses out of what is visible; other devices' nodes are denied.
    ///
    /// NVIDIA's nodes are told apart by number. AMD and Intel devices are closed all together by `none`;
    /// between them only the variables choose.
    pub fn choose(host: &Host, request: &GpuRequest, variable: Option<&str>) -> Result<Gpus, GpuError> {
        let names = request.choose(&visible_gpus(host, variable))?;
        let all = nvidia(host);
        let minors: Option<Vec<u32>> = names
            .iter()
            .map(|name| match name.parse::<usize>() {
                Ok(index) => all.get(index).map(|g| g.minor),
                // CUDA accepts the beginning of a UUID.
                Err(_) => all.iter().find(|g| g.uuid.starts_with(name.as_str())).map(|g| g.minor),
            })
            .collect();
        let none = *request == GpuRequest::None;
        let denied = nodes(host)
            .into_iter()
            .filter(|node| match (&node.kind, &minors) {
                _ if none => true,
                (Kind::Nvidia(minor), Some(minors)) => !minors.contains(minor),
                // A MIG slice or a name unknown here: its node cannot be told, so none is closed.
                (Kind::Nvidia(_), None) | (Kind::Other, _) => false,
            })
            .map(|node| node.path)
            .collect();
        Ok(Gpus { names, denied })
    }
}

struct Node {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Nvidia(u32),
    Other,
}

fn nodes(host: &Host) -> Vec<Node> {
    let list = |dir: &str| -> Vec<String> {
        fs::read_dir(host.path(dir))
            .map(|d| d.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
            .unwrap_or_default()
    };
    let mut found = Vec::new();
    for name in list("/dev") {
        let path = PathBuf::from("/dev").join(&name);
        if let Some(rest) = name.strip_prefix("nvidia") {
            match rest.parse() {
                Ok(minor) => found.push(Node { path, kind: Kind::Nvidia(minor) }),
                Err(_) if matches!(rest, "ctl" | "-uvm" | "-uvm-tools" | "-modeset") => {
                    found.push(Node { path, kind: Kind::Other });
                }
                Err(_) => {}
            }
        } else if name == "kfd" {
            found.push(Node { path, kind: Kind::Other });
        }
    }
    let render = list("/dev/dri").into_iter().filter(|n| n.starts_with("renderD") || n.starts_with("card"));
    found.extend(render.map(|n| Node { path: PathBuf::from("/dev/dri").join(n), kind: Kind::Other }));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        // The second on the bus has the lower minor number.
        for (bus, minor, uuid) in [("0000:3b:00.0", 1, "GPU-aaaa-1"), ("0000:86:00.0", 0, "GPU-bbbb-2")] {
            let gpu = dir.path().join("proc/driver/nvidia/gpus").join(bus);
            fs::create_dir_all(&gpu).unwrap();
            fs::write(
                gpu.join("information"),
                format!("Model: \t x\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n"),
            )
            .unwrap();
        }
        fs::create_dir_all(dir.path().join("dev/dri")).unwrap();
        for node in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "kfd", "dri/renderD128", "null"] {
            fs::write(dir.path().join("dev").join(node), "").unwrap();
        }
        let host = Host::at(dir.path());
        (dir, host)
    }

    fn denied(request: &str, variable: Option<&str>) -> Vec<String> {
        let (_dir, host) = host();
        let gpus = Gpus::choose(&host, &request.parse().unwrap(), variable).unwrap();
        gpus.denied.iter().map(|p| p.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn indices_are_in_bus_order_and_nodes_by_minor() {
        assert_eq!(denied("0", None), ["/dev/nvidia0"]);
        assert_eq!(denied("1", None), ["/dev/nvidia1"]);
        assert_eq!(denied("0,1", None), [""; 0]);
    }

    #[test]
    fn an_allocation_is_narrowed_not_widened() {
        assert_eq!(denied("0", Some("1")), ["/dev/nvidia1"]);
        assert_eq!(denied("0", Some("GPU-aaaa")), ["/dev/nvidia0"]);
        assert_eq!(denied("0", Some("MIG-xyz")), [""; 0]);
        let (_dir, host) = host();
        assert!(Gpus::choose(&host, &"1".parse().unwrap(), Some("1")).is_err());
        assert!(Gpus::choose(&host, &"0".parse().unwrap(), Some("-1")).is_err());
    }

    #[test]
    fn none_closes_every_vendor() {
        assert_eq!(
            denied("none", None),
            [
                "/dev/dri/renderD128",
                "/dev/kfd",
                "/dev/nvidia-uvm",
                "/dev/nvidia0",
                "/dev/nvidia1",
                "/dev/nvidiactl"
            ]
        );
    }
}
