//! Sockets by which a job could have a process started outside of itself.

use std::path::PathBuf;

use crate::host::Host;

/// Paths to cover: service managers, container daemons and terminal multiplexers that run
/// outside and start what they are told to.
///
/// `variable` looks into the environment of the user. Abstract sockets have no
/// path: only a network namespace (`--net none`) closes them.
pub fn service_sockets(host: &Host, uid: u32, variable: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let runtime = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let (runtime, bus) = (runtime.as_deref(), variable("DBUS_SESSION_BUS_ADDRESS"));
    let default_runtime = PathBuf::from(format!("/run/user/{uid}"));
    let mut paths: Vec<PathBuf> = vec![
        "/run/systemd/private".into(),
        "/run/docker.sock".into(),
        "/run/podman".into(),
        "/run/containerd".into(),
        "/run/crio".into(),
        "/run/screen".into(),
        format!("/tmp/tmux-{uid}").into(),
    ];
    let other = runtime.filter(|r| *r != default_runtime);
    for runtime in [Some(default_runtime.as_path()), other].into_iter().flatten() {
        if !host.path(runtime).exists() {
            continue;
        }
        for name in ["bus", "systemd", "podman", "docker.sock"] {
            paths.push(runtime.join(name));
        }
    }
    if uid == 0 {
        // An ordinary user cannot have anything started through it without being asked for a password.
        paths.push("/run/dbus/system_bus_socket".into());
    }
    paths.extend(bus.iter().flat_map(|b| bus_paths(b)));
    // SOCKET,PID,SESSION; and where a server that is started later would put it.
    paths.extend(variable("TMUX").and_then(|t| Some(PathBuf::from(t.split(',').next()?))));
    paths.extend(variable("TMUX_TMPDIR").map(|d| PathBuf::from(d).join(format!("tmux-{uid}"))));
    paths.extend(variable("SCREENDIR").map(PathBuf::from));
    paths.sort();
    paths.dedup();
    paths.retain(|p| p.is_absolute() && host.path(p).exists());
    paths
}

/// `unix:path=/run/user/1000/bus,guid=…;unix:abstract=…`
fn bus_paths(address: &str) -> Vec<PathBuf> {
    address
        .split(';')
        .filter_map(|one| one.strip_prefix("unix:"))
        .flat_map(|options| options.split(','))
        .filter_map(|option| option.strip_prefix("path="))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["run/user/7/bus", "run/docker.sock", "odd/bus", "odd/mux", "tmp/tmux-7/default"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let host = Host::at(dir.path());
        let bus = "unix:abstract=/tmp/x;unix:path=/odd/bus,guid=1;unix:path=relative";
        let found = service_sockets(&host, 7, &|name| match name {
            "XDG_RUNTIME_DIR" => Some("/run/user/7".to_owned()),
            "DBUS_SESSION_BUS_ADDRESS" => Some(bus.to_owned()),
            "TMUX" => Some("/odd/mux,12,0".to_owned()),
            _ => None,
        });
        let found: Vec<_> = found.iter().map(|p| p.to_str().unwrap()).collect();
        assert_eq!(found, ["/odd/bus", "/odd/mux", "/run/docker.sock", "/run/user/7/bus", "/tmp/tmux-7"]);
    }
}
