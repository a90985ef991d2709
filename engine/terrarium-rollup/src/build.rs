//! The part of one day, from its processes and what they loaded.

use crate::Map;
use crate::part::{Asked, JobDays, Key, Part};

/// Millionths of certainty.
pub(crate) const CERTAIN: u32 = 1_000_000;

/// What accounting knows of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// Its identity: scheduler, number, and which of its runs.
    pub identity: u64,
    /// Account.
    pub project: Option<String>,
    /// Field of science, if the accounting has it.
    pub domain: Option<String>,
    /// Partition or queue.
    pub queue: Option<String>,
    /// Nodes.
    pub nodes: Option<u32>,
    /// GPUs.
    pub gpus: Option<u32>,
    /// Seconds that it ran.
    pub seconds: Option<u32>,
    /// Accounting knows it.
    pub is_accounted: bool,
}

/// A process, as far as it counts here.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessFacts {
    /// It has Python in it.
    pub is_python: bool,
    /// Class of its environment: a text of the builder.
    pub class: u32,
    /// Its user opted out.
    pub is_opted_out: bool,
    /// Something is missing in its record.
    pub is_incomplete: bool,
    /// Its source does not tell all.
    pub is_doubtful: bool,
    /// That it was recorded, in millionths.
    pub probability: u32,
}

/// A library as it is told apart: texts of the builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Package {
    /// Name that import begins with.
    pub package: u32,
    /// What it was installed as.
    pub distribution: u32,
    /// Version.
    pub version: u32,
    /// Origin.
    pub origin: u32,
    /// It is a library, not Python's own, nor the user's.
    pub is_library: bool,
}

#[derive(Default)]
struct JobDay {
    user: u32,
    job: JobFacts,
    sort: u64,
    missed: f64,
    counts: [u32; 7],
    loads: Vec<Load>,
}

/// Modules of an origin in a class of environments, asked for or not: how many, and how long they took, µs.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Load {
    origin: u32,
    class: u32,
    asked: Asked,
    modules: f64,
    us: f64,
    parallel_us: f64,
}

#[derive(Clone, Copy)]
struct Process {
    job_day: u32,
    class: u32,
    /// How many processes it stands for.
    weight: f64,
}

/// Puts the part of a day together.
pub struct Builder {
    part: Part,
    numbers: Map<String, u32>,
    job_days: Vec<JobDay>,
    known: Map<(u32, u64), u32>,
    processes: Vec<Process>,
    packages: Vec<Package>,
    package_numbers: Map<Package, u32>,
    /// By package: which process, and whether it was asked for.
    loads: Vec<Vec<(u32, Asked)>>,
    /// Job-days with Python, by class.
    all: Map<u32, Vec<u32>>,
}

impl Builder {
    /// A day of a cluster, made from what `digest` stands for.
    pub fn new(cluster: &str, day: i32, digest: u64) -> Self {
        let part = Part {
            cluster: cluster.to_owned(),
            days: vec![(day, digest)],
            texts: vec![String::new()],
            ..Part::default()
        };
        Builder {
            part,
            numbers: Map::default(),
            job_days: Vec::new(),
            known: Map::default(),
            processes: Vec::new(),
            packages: Vec::new(),
            package_numbers: Map::default(),
            loads: Vec::new(),
            all: Map::default(),
        }
    }

    /// The number of a text; an empty one is none.
    pub fn text(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        // What parts texts when they are written.
        let clean = text.replace('\0', "\u{FFFD}");
        let text = clean.as_str();
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.part.texts.len() as u32;
        self.part.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// The job-day of a user's job, or of what the user did outside of jobs.
    pub fn job_day(&mut self, user: u32, job: Option<JobFacts>) -> u32 {
        let job = job.unwrap_or_default();
        let key = (user, job.identity);
        if let Some(number) = self.known.get(&key) {
            return *number;
        }
        let number = self.job_days.len() as u32;
        self.known.insert(key, number);
        self.job_days.push(JobDay { user, job, missed: 1.0, ..JobDay::default() });
        number
    }

    /// A process of a job-day.
    pub fn process(&mut self, job_day: u32, facts: ProcessFacts) -> u32 {
        let of = &mut self.job_days[job_day as usize];
        let is_sampled = facts.probability < CERTAIN;
        let flags =
            [true, facts.is_python, facts.is_opted_out, facts.is_incomplete, is_sampled, facts.is_doubtful];
        for (count, flag) in of.counts.iter_mut().zip(flags) {
            *count += u32::from(flag);
        }
        if facts.is_python {
            of.missed *= 1.0 - f64::from(facts.probability.min(CERTAIN)) / f64::from(CERTAIN);
            self.all.entry(facts.class).or_default().push(job_day);
        }
        let weight = f64::from(CERTAIN) / f64::from(facts.probability.clamp(1, CERTAIN));
        self.processes.push(Process { job_day, class: facts.class, weight });
        self.processes.len() as u32 - 1
    }

    /// Processes of a job-day that could not be recorded.
    pub fn lost(&mut self, job_day: u32, processes: u32) {
        let lost = &mut self.job_days[job_day as usize].counts[6];
        *lost = lost.saturating_add(processes);
    }

    /// The number of a library.
    pub fn package(&mut self, package: Package) -> u32 {
        let next = self.packages.len() as u32;
        let number = *self.package_numbers.entry(package).or_insert(next);
        if number == next {
            self.packages.push(package);
            self.loads.push(Vec::new());
        }
        number
    }

    /// That a process loaded a module of a library.
    pub fn load(&mut self, process: u32, package: u32, asked: Asked) {
        let loads = &mut self.loads[package as usize];
        match loads.last_mut() {
            Some((last, so_far)) if *last == process => *so_far = either(*so_far, asked),
            _ => loads.push((process, asked)),
        }
    }

    /// A module of an origin (a text) that a process loaded, and the time that took, µs; in a process that stands for a parallel job
    /// it counts for that.
    pub fn from_origin(&mut self, process: u32, origin: u32, asked: Asked, us: u32, is_parallel: bool) {
        let Process { job_day, class, weight } = self.processes[process as usize];
        let loads = &mut self.job_days[job_day as usize].loads;
        let is_same = |load: &&mut Load| load.origin == origin && load.class == class && load.asked == asked;
        let us = f64::from(us) * weight;
        let parallel_us = if is_parallel { us } else { 0.0 };
        match loads.iter_mut().find(is_same) {
            Some(load) => {
                load.modules += weight;
                load.us += us;
                load.parallel_us += parallel_us;
            }
            None => loads.push(Load { origin, class, asked, modules: weight, us, parallel_us }),
        }
    }

    /// All that was not recorded process by process: a user who loaded a library, outside of jobs.
    pub fn sums(&mut self, user: u32, class: u32, package: Option<u32>, asked: Asked) {
        let job_day = self.job_day(user, None);
        self.all.entry(class).or_default().push(job_day);
        if let Some(package) = package {
            // A process of its own for each: nothing else is known of them.
            self.processes.push(Process { job_day, class, weight: 1.0 });
            let process = self.processes.len() as u32 - 1;
            self.loads[package as usize].push((process, asked));
        }
    }

    /// The part.
    pub fn finish(mut self) -> Part {
        let mut sets: Vec<(Key, bool, Vec<u32>)> = Vec::new();
        let packages = std::mem::take(&mut self.packages);
        for (package, mut loads) in packages.into_iter().zip(std::mem::take(&mut self.loads)) {
            loads.sort_unstable_by_key(|load| load.0);
            loads.dedup_by(|next, kept| {
                let is_same = next.0 == kept.0;
                if is_same {
                    kept.1 = either(kept.1, next.1);
                }
                is_same
            });
            let mut by_kind: Map<(u32, Asked), Vec<u32>> = Map::default();
            for (process, asked) in loads {
                let Process { job_day, class, .. } = self.processes[process as usize];
                by_kind.entry((class, asked)).or_default().push(job_day);
            }
            for ((class, asked), mut members) in by_kind {
                members.sort_unstable();
                members.dedup();
                let Package { package, distribution, version, origin, is_library } = package;
                let key = Key { package, distribution, version, origin, class, asked };
                if is_library {
                    let mark = self.mark(key);
                    for member in &members {
                        let sort = &mut self.job_days[*member as usize].sort;
                        *sort = sort.wrapping_add(mark);
                    }
                }
                sets.push((key, is_library, members));
            }
        }
        for (class, mut members) in std::mem::take(&mut self.all) {
            members.sort_unstable();
            members.dedup();
            let key =
                Key { package: 0, distribution: 0, version: 0, origin: 0, class, asked: Asked::Unknown };
            sets.push((key, true, members));
        }
        let order = self.order();
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, from)| places[*from as usize] = place as u32);
        self.columns(&order);
        sets.sort_unstable_by_key(|(key, ..)| *key);
        for (key, is_library, mut members) in sets {
            members.iter_mut().for_each(|member| *member = places[*member as usize]);
            members.sort_unstable();
            let runs = if is_library { &mut self.part.libraries } else { &mut self.part.others };
            runs.push(key, &members);
        }
        self.part
    }

    /// The same for the same library on any day.
    fn mark(&self, key: Key) -> u64 {
        let texts = [key.package, key.distribution, key.version, key.origin, key.class];
        let mut mark = mix(u64::from(key.asked.number()) + 1);
        for text in texts {
            mark = mix(mark ^ fingerprint(self.part.texts[text as usize].as_bytes()));
        }
        mark
    }

    /// Job-days in the order in which they are kept.
    fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.job_days.len() as u32).collect();
        let text = |number: &Option<String>| number.clone().unwrap_or_default();
        order.sort_by_cached_key(|number| {
            let of = &self.job_days[*number as usize];
            (of.user, text(&of.job.queue), text(&of.job.project), of.sort, of.job.identity)
        });
        order
    }

    fn columns(&mut self, order: &[u32]) {
        let mut to = JobDays::default();
        let of = std::mem::take(&mut self.job_days);
        for number in order {
            let one = &of[*number as usize];
            let job = &one.job;
            to.day.push(0);
            to.user.push(one.user);
            to.job.push(job.identity);
            to.sort.push(one.sort);
            for (column, text) in
                [(&mut to.project, &job.project), (&mut to.domain, &job.domain), (&mut to.queue, &job.queue)]
            {
                column.push(text.as_deref().map_or(0, |text| self.text(text)));
            }
            to.nodes.push(job.nodes.unwrap_or(0));
            to.gpus.push(job.gpus.map_or(0, |n| n.saturating_add(1)));
            to.seconds.push(job.seconds.map_or(0, |n| n.saturating_add(1)));
            let seen = if one.counts[1] == 0 { 1.0 } else { 1.0 - one.missed };
            to.probability.push(((seen * f64::from(CERTAIN)).round() as u32).max(1));
            let [processes, python, opted_out, incomplete, sampled, doubtful, lost] = one.counts;
            to.processes.push(processes);
            to.python.push(python);
            to.opted_out.push(opted_out);
            to.incomplete.push(incomplete);
            to.sampled.push(sampled);
            to.doubtful.push(doubtful);
            to.lost.push(lost);
            to.accounted.push(u32::from(job.is_accounted));
            let mut loads = one.loads.clone();
            loads.sort_unstable_by_key(|load| (load.origin, load.class, load.asked));
            for load in loads {
                to.load_origin.push(load.origin);
                to.load_class.push(load.class);
                to.load_asked.push(load.asked.number());
                to.load_modules.push(load.modules.round() as u64);
                to.load_us.push(load.us.round() as u64);
                to.load_parallel_us.push(load.parallel_us.round() as u64);
            }
            to.load_ends.push(to.load_origin.len() as u32);
        }
        self.part.job_days = to;
    }
}

/// Of two modules of a library: one that was asked for is enough.
fn either(a: Asked, b: Asked) -> Asked {
    match (a, b) {
        (Asked::Yes, _) | (_, Asked::Yes) => Asked::Yes,
        (Asked::No, _) | (_, Asked::No) => Asked::No,
        _ => Asked::Unknown,
    }
}

/// FNV-1a, finished well: always the same number, on any machine.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    mix(hash)
}

fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}
