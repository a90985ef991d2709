//! What the cgroups of a job tell.

use std::path::{Path, PathBuf};

use super::file::{Kept, Reader};
use super::parse;

/// Directories in which the job as a whole is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cgroups<'a> {
    /// That of v2.
    pub v2: Option<&'a Path>,
    /// That of v1's memory controller.
    pub memory: Option<&'a Path>,
    /// That of v1's cpuacct controller.
    pub cpuacct: Option<&'a Path>,
}

/// One reading. `None`: no such file, or no such line in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// CPU time, µs.
    pub(super) cpu: Option<u64>,
    /// Highest memory, bytes.
    pub(super) peak: Option<u64>,
    /// Memory now.
    pub(super) current: Option<u64>,
    /// Memory without file pages that were not used lately.
    pub(super) working_set: Option<u64>,
    /// Anonymous and shared memory.
    pub(super) anonymous_shared: Option<u64>,
    /// PSI: time in which some thread waited, µs.
    pub(super) cpu_pressure: Option<u64>,
    pub(super) memory_pressure: Option<u64>,
    pub(super) io_pressure: Option<u64>,
}

/// A file of a cgroup; `None` once it is known not to be there.
#[derive(Debug)]
struct Source(Option<(PathBuf, Kept)>);

impl Source {
    fn new(directory: Option<&Path>, name: &str) -> Self {
        Source(directory.map(|d| (d.join(name), Kept::default())))
    }

    fn read<'a>(&mut self, reader: &'a mut Reader) -> Option<&'a [u8]> {
        let (path, kept) = self.0.as_mut()?;
        let text = reader.read(kept, || path.display().to_string()).ok();
        if text.is_none() {
            self.0 = None;
        }
        text
    }
}

/// The files, kept open.
#[derive(Debug)]
pub(super) struct Files {
    cpu_stat: Source,
    cpuacct: Source,
    peak: [Source; 2],
    current: [Source; 2],
    memory_stat: [Source; 2],
    pressures: [Source; 3],
}

impl Files {
    pub(super) fn new(groups: &Cgroups<'_>) -> Self {
        let v2 = |name| Source::new(groups.v2, name);
        let v1 = |name| Source::new(groups.memory, name);
        Files {
            cpu_stat: v2("cpu.stat"),
            cpuacct: Source::new(groups.cpuacct, "cpuacct.usage"),
            peak: [v2("memory.peak"), v1("memory.max_usage_in_bytes")],
            current: [v2("memory.current"), v1("memory.usage_in_bytes")],
            memory_stat: [v2("memory.stat"), v1("memory.stat")],
            pressures: [v2("cpu.pressure"), v2("memory.pressure"), v2("io.pressure")],
        }
    }

    pub(super) fn read(&mut self, reader: &mut Reader) -> Reading {
        let mut now = Reading {
            // v1's, where both are: then v2 has no controllers, and its figure is a copy.
            cpu: self.cpuacct.read(reader).and_then(parse::number).map(|ns| ns / 1000),
            ..Reading::default()
        };
        if now.cpu.is_none() {
            now.cpu = self.cpu_stat.read(reader).and_then(|text| parse::key(text, b"usage_usec"));
        }
        now.peak = first(&mut self.peak, reader, |_, text| parse::number(text));
        now.current = first(&mut self.current, reader, |_, text| parse::number(text));
        let stat = first(&mut self.memory_stat, reader, |version, text| {
            let key = |name: &[u8]| parse::key(text, name);
            Some(match version {
                0 => (key(b"inactive_file"), key(b"anon").map(|anon| (anon, key(b"shmem")))),
                // Without the totals a hierarchy below would be left out.
                _ => (key(b"total_inactive_file"), key(b"total_rss").map(|rss| (rss, key(b"total_shmem")))),
            })
        });
        if let Some((inactive, anonymous)) = stat {
            now.working_set = now.current.zip(inactive).map(|(all, file)| all.saturating_sub(file));
            now.anonymous_shared = anonymous.map(|(anon, shared)| anon.saturating_add(shared.unwrap_or(0)));
        }
        let [cpu, memory, io] = &mut self.pressures;
        let mut pressure = |source: &mut Source| source.read(reader).and_then(parse::pressure);
        now.cpu_pressure = pressure(cpu);
        now.memory_pressure = pressure(memory);
        now.io_pressure = pressure(io);
        now
    }

    pub(super) fn count_cpu(&self) -> bool {
        self.cpuacct.0.is_some() || self.cpu_stat.0.is_some()
    }
}

/// The first of two versions of a file that can be read.
fn first<T>(
    sources: &mut [Source; 2],
    reader: &mut Reader,
    parse: impl Fn(usize, &[u8]) -> Option<T>,
) -> Option<T> {
    sources.iter_mut().enumerate().find_map(|(version, source)| parse(version, source.read(reader)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn version_2() {
        let dir = root(&[
            ("cpu.stat", "usage_usec 1500\nuser_usec 1000\n"),
            ("memory.peak", "900\n"),
            ("memory.current", "800\n"),
            ("memory.stat", "anon 100\nfile 500\nshmem 50\ninactive_anon 7\ninactive_file 300\n"),
            ("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 total=3\n"),
        ]);
        let groups = Cgroups { v2: Some(dir.path()), ..Cgroups::default() };
        let expected = Reading {
            cpu: Some(1500),
            peak: Some(900),
            current: Some(800),
            working_set: Some(500),
            anonymous_shared: Some(150),
            cpu_pressure: Some(12),
            memory_pressure: None,
            io_pressure: None,
        };
        let (mut files, mut reader) = (Files::new(&groups), Reader::new(9));
        assert_eq!(files.read(&mut reader), expected);
        fs::write(dir.path().join("memory.current"), "700\n").unwrap();
        assert_eq!(files.read(&mut reader).working_set, Some(400));
    }

    #[test]
    fn version_1() {
        let memory = root(&[
            ("memory.max_usage_in_bytes", "900\n"),
            ("memory.usage_in_bytes", "800\n"),
            ("memory.stat", "cache 1\nrss 2\ninactive_file 3\ntotal_rss 100\ntotal_inactive_file 300\n"),
        ]);
        let cpu = root(&[("cpuacct.usage", "1500999\n")]);
        let mut groups = Cgroups { v2: None, memory: Some(memory.path()), cpuacct: Some(cpu.path()) };
        let reading = Files::new(&groups).read(&mut Reader::new(9));
        assert_eq!((reading.cpu, reading.peak), (Some(1500), Some(900)));
        assert_eq!((reading.working_set, reading.anonymous_shared), (Some(500), Some(100)));
        fs::write(memory.path().join("memory.stat"), "total_rss 100\ntotal_shmem 9\n").unwrap();
        groups.cpuacct = None;
        let reading = Files::new(&groups).read(&mut Reader::new(9));
        assert_eq!((reading.cpu, reading.working_set, reading.anonymous_shared), (None, None, Some(109)));
    }

    #[test]
    fn no_cgroup_is_no_data() {
        let reading = Files::new(&Cgroups::default()).read(&mut Reader::new(9));
        assert_eq!(reading, Reading::default());
    }
}
