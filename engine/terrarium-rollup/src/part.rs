//! What a part holds.

/// The job-days of a cluster and some days, and who loaded what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// The cluster.
    pub cluster: String,
    /// The days that are in it, since 1970 and in order, each with a digest of what it was made from.
    pub days: Vec<(i32, u64)>,
    /// Texts by number; the first is none.
    pub texts: Vec<String>,
    /// Its job-days.
    pub job_days: JobDays,
    /// Libraries: those of `package` 0 are all processes with Python, whatever they loaded.
    pub libraries: Runs,
    /// Python's own modules, the users' own code, and what code makes at run time.
    pub others: Runs,
}

/// Job-days, by column, in order of user; below that, those that are alike follow each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobDays {
    /// Day, since the first day of the part.
    pub day: Vec<u32>,
    /// Number of the user.
    pub user: Vec<u32>,
    /// The job's identity, as a number that is another for each job; 0: outside of jobs.
    pub job: Vec<u64>,
    /// The libraries of the job-day, as a number that is the same for the same set.
    pub sort: Vec<u64>,
    /// Account that the job was charged to: a text.
    pub project: Vec<u32>,
    /// Field of science that the accounting tells: a text.
    pub domain: Vec<u32>,
    /// Partition or queue: a text.
    pub queue: Vec<u32>,
    /// Nodes of the job; 0: not known.
    pub nodes: Vec<u32>,
    /// GPUs of the job, plus 1; 0: not known.
    pub gpus: Vec<u32>,
    /// How long the job ran, seconds plus 1; 0: not known.
    pub seconds: Vec<u32>,
    /// That a job-day like this is seen, in millionths.
    pub probability: Vec<u32>,
    /// Processes recorded,
    pub processes: Vec<u32>,
    /// with Python,
    pub python: Vec<u32>,
    /// of people who opted out,
    pub opted_out: Vec<u32>,
    /// in whose records something is missing,
    pub incomplete: Vec<u32>,
    /// recorded with a probability below 1,
    pub sampled: Vec<u32>,
    /// that do not tell all.
    pub doubtful: Vec<u32>,
    /// Processes that could not be recorded.
    pub lost: Vec<u32>,
    /// 1: accounting knows the job.
    pub accounted: Vec<u32>,
    /// Loads by origin: where those of each job-day end.
    pub load_ends: Vec<u32>,
    /// The origin: a text.
    pub load_origin: Vec<u32>,
    /// Class of the environment: a text.
    pub load_class: Vec<u32>,
    /// Whether the modules were asked for, as [`Asked`] has it in numbers.
    pub load_asked: Vec<u32>,
    /// Modules loaded from there, each counted in each process; re-weighted if those are samples.
    pub load_modules: Vec<u64>,
    /// Time that their own import took, without what they import from elsewhere: µs.
    pub load_us: Vec<u64>,
    /// The part of it in processes that stand for a parallel job: their first rank.
    pub load_parallel_us: Vec<u64>,
}

impl JobDays {
    /// How many.
    pub fn len(&self) -> usize {
        self.user.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
    }

    /// Nodes × seconds, if both are known.
    pub fn node_seconds(&self, at: usize) -> Option<u64> {
        let (nodes, seconds) = (self.nodes[at], self.seconds[at]);
        (nodes > 0 && seconds > 0).then(|| u64::from(nodes) * u64::from(seconds - 1))
    }

    /// Whether the job had GPUs. Schedulers tell of those that there are: a job of which accounting tells no GPU had none. Jobs that
    /// accounting does not know are neither.
    pub(crate) fn has_gpu(&self, at: usize) -> Option<bool> {
        let is_known = self.gpus[at] > 0 || self.nodes[at] > 0 || self.seconds[at] > 0;
        is_known.then(|| self.gpus[at] > 1)
    }

    /// Where the loads of a job-day are.
    pub(crate) fn loads(&self, at: usize) -> std::ops::Range<usize> {
        let start = if at == 0 { 0 } else { self.load_ends[at - 1] };
        start as usize..self.load_ends[at] as usize
    }
}

/// Whether some module of a library was asked for by the program or the user's own code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    /// It came along.
    No,
    /// It was.
    Yes,
    /// Who recorded it does not tell.
    Unknown,
}

impl Asked {
    /// As tables have it.
    pub fn known(self) -> Option<bool> {
        match self {
            Asked::No => Some(false),
            Asked::Yes => Some(true),
            Asked::Unknown => None,
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Asked::No => 0,
            Asked::Yes => 1,
            Asked::Unknown => 2,
        }
    }

    pub(crate) fn of(number: u32) -> Self {
        match number {
            0 => Asked::No,
            1 => Asked::Yes,
            _ => Asked::Unknown,
        }
    }
}

impl From<Option<bool>> for Asked {
    fn from(known: Option<bool>) -> Self {
        match known {
            Some(true) => Asked::Yes,
            Some(false) => Asked::No,
            None => Asked::Unknown,
        }
    }
}

/// What sets are kept apart by: numbers of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Name that import begins with.
    pub package: u32,
    /// What it was installed as.
    pub distribution: u32,
    /// Its version.
    pub version: u32,
    /// Where it lies, by the site's rules.
    pub origin: u32,
    /// Class of the environment.
    pub class: u32,
    /// Whether it was asked for.
    pub asked: Asked,
}

/// Sets of job-days, as runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runs {
    /// One for each set.
    pub keys: Vec<Key>,
    /// Where the runs of each end in `bytes`.
    pub ends: Vec<u32>,
    /// The runs: [`put_run`].
    pub bytes: Vec<u8>,
}

impl Runs {
    /// Adds a set; its members are in order, each once.
    pub fn push(&mut self, key: Key, members: &[u32]) {
        let (mut after, mut at) = (0, 0);
        while at < members.len() {
            let start = members[at];
            let mut end = start + 1;
            at += 1;
            while at < members.len() && members[at] == end {
                end += 1;
                at += 1;
            }
            put_run(&mut self.bytes, start - after, end - start);
            after = end;
        }
        self.keys.push(key);
        self.ends.push(self.bytes.len() as u32);
    }

    /// The runs of a set, each from its first job-day to behind its last.
    pub fn of(&self, set: usize) -> RunsOf<'_> {
        let start = if set == 0 { 0 } else { self.ends[set - 1] };
        RunsOf { bytes: &self.bytes[start as usize..self.ends[set] as usize], at: 0, after: 0 }
    }
}

/// A run: how many are left out since the last one (shifted, the lowest bit says that it is longer than 1), and how many more than 2
/// it has.
fn put_run(bytes: &mut Vec<u8>, gap: u32, length: u32) {
    put(bytes, u64::from(gap) << 1 | u64::from(length > 1));
    if length > 1 {
        put(bytes, u64::from(length - 2));
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Runs of a set, one after the other.
#[derive(Clone, Debug)]
pub struct RunsOf<'a> {
    bytes: &'a [u8],
    at: usize,
    after: u64,
}

impl RunsOf<'_> {
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let (mut number, mut shift) = (u64::from(first & 0x7F), 7);
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 || shift > 56 {
                return Some(number);
            }
        }
    }
}

impl Iterator for RunsOf<'_> {
    type Item = (u64, u64);

    #[inline]
    fn next(&mut self) -> Option<(u64, u64)> {
        let gap = self.number()?;
        let start = self.after.saturating_add(gap >> 1);
        let length = if gap & 1 == 1 { self.number()?.saturating_add(2) } else { 1 };
        self.after = start.saturating_add(length);
        Some((start, self.after))
    }
}
