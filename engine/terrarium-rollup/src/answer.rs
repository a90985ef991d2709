//! Questions, and how they are answered.

use crate::Map;
use crate::days::Days;
use crate::part::{Key, Part, Runs};
use crate::select::{Filter, Selected, Selection, Special};
use crate::set::Set;
use crate::union::Union;

/// What answers are kept apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Name that import begins with.
    Package,
    /// What it was installed as.
    Distribution,
    /// Version.
    Version,
    /// Where it lies.
    Origin,
    /// Class of the environment.
    Class,
    /// Whether the environment is another than base and the system's.
    Own,
    /// Asked for, or come along.
    Direct,
    /// Cluster.
    Cluster,
    /// Day, since 1970.
    Day,
    /// Monday of the week, days since 1970.
    Week,
    /// First day of the month, days since 1970.
    Month,
    /// Number of the user.
    User,
    /// Account.
    Project,
    /// Field of science.
    Domain,
    /// Partition or queue.
    Queue,
    /// Whether the job had GPUs.
    Gpu,
    /// Nodes of the job.
    Nodes,
    /// How long the job ran: the least minutes of its class, of [`DURATIONS`].
    Minutes,
    /// Whether it was in a job.
    InJob,
}

/// From how many minutes on a job is of a class.
pub const DURATIONS: [i64; 7] = [0, 1, 10, 60, 240, 720, 1440];

const NAMES: [(Dimension, &str); 19] = [
    (Dimension::Package, "package"),
    (Dimension::Distribution, "distribution"),
    (Dimension::Version, "version"),
    (Dimension::Origin, "origin"),
    (Dimension::Class, "environment_class"),
    (Dimension::Own, "is_own"),
    (Dimension::Direct, "direct"),
    (Dimension::Cluster, "cluster"),
    (Dimension::Day, "day"),
    (Dimension::Week, "week"),
    (Dimension::Month, "month"),
    (Dimension::User, "user_no"),
    (Dimension::Project, "project"),
    (Dimension::Domain, "domain"),
    (Dimension::Queue, "queue"),
    (Dimension::Gpu, "gpu"),
    (Dimension::Nodes, "nodes"),
    (Dimension::Minutes, "minutes"),
    (Dimension::InJob, "in_job"),
];

impl Dimension {
    /// Of a name, as SQL has it.
    pub fn of(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(dimension, _)| *dimension)
    }

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(dimension, _)| *dimension == self).map_or("", |(_, name)| name)
    }

    /// All names, for messages.
    pub fn names() -> Vec<&'static str> {
        NAMES.iter().map(|(_, name)| *name).collect()
    }

    /// Whether it is one of the library, not of the job-day.
    pub(crate) fn is_of_library(self) -> bool {
        self <= Dimension::Direct
    }

    /// Whether it needs columns of labels.
    pub fn wants_labels(self) -> bool {
        matches!(self, Dimension::Project | Dimension::Domain | Dimension::Queue | Dimension::Gpu)
    }
}

/// A value of a dimension; none: not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Not known.
    None,
    /// A number, or days since 1970.
    Number(i64),
    /// Yes or no.
    Bool(bool),
    /// Text.
    Text(String),
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What is kept apart; nothing: one answer.
    pub dimensions: Vec<Dimension>,
    /// Of these libraries only.
    pub packages: Option<Vec<String>>,
    /// Python's own modules and own code, too; parts need `others`.
    pub with_others: bool,
}

impl Question {
    /// Whether it is about libraries, or about all processes with Python, whatever they loaded.
    fn is_of_libraries(&self) -> bool {
        let is_of_library =
            |d: &Dimension| d.is_of_library() && !matches!(d, Dimension::Class | Dimension::Own);
        self.packages.is_some() || self.dimensions.iter().any(is_of_library)
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Group {
    /// In the order of the dimensions.
    pub values: Vec<Value>,
    /// Numbers of users.
    pub users: Set,
    /// Jobs that were seen,
    pub jobs_seen: u64,
    /// and those that they stand for, if they are samples and all of their processes were drawn.
    pub jobs: f64,
    /// Variance of that; 0 if all were recorded.
    pub jobs_variance: f64,
    /// Node-hours of those that were seen and whose nodes and time are known,
    pub node_hours_seen: f64,
    /// and of those that they stand for,
    pub node_hours: f64,
    /// and the variance.
    pub node_hours_variance: f64,
    /// Job-days seen, jobless ones included.
    pub job_days: u64,
}

/// All answers to a question.
pub type Answer = Vec<Group>;

#[derive(Clone, Debug, Default)]
struct Sum {
    users: Set,
    jobs: u64,
    node_seconds: u64,
    specials: Set,
    job_days: u64,
}

impl Sum {
    #[inline]
    fn run(&mut self, of: &Selected, from: usize, to: usize) {
        for user in &of.users[of.user_at[from] as usize..=of.user_at[to - 1] as usize] {
            self.users.insert(*user);
        }
        self.jobs += u64::from(of.jobs[to] - of.jobs[from]);
        self.node_seconds += of.node_seconds[to] - of.node_seconds[from];
        self.job_days += (to - from) as u64;
        for special in of.specials(from, to) {
            self.specials.insert(*special);
        }
    }

    fn add(&mut self, other: &Sum) {
        self.users.extend(&other.users);
        self.specials.extend(&other.specials);
        self.jobs += other.jobs;
        self.node_seconds += other.node_seconds;
        self.job_days += other.job_days;
    }

    fn group(self, values: Vec<Value>, specials: &[Special]) -> Group {
        let (mut jobs, mut seconds) = (self.jobs as f64, self.node_seconds as f64);
        let (mut jobs_variance, mut seconds_variance) = (0.0, 0.0);
        let (mut jobs_seen, mut seconds_seen) = (self.jobs, seconds);
        for special in self.specials.iter().map(|index| &specials[index as usize]) {
            let (weight, variance) = (special.weight(), special.variance());
            let of = special.node_seconds.unwrap_or(0) as f64;
            jobs_seen += 1;
            seconds_seen += of;
            jobs += weight;
            seconds += weight * of;
            jobs_variance += variance;
            seconds_variance += variance * of * of;
        }
        Group {
            values,
            users: self.users,
            jobs_seen,
            node_hours_seen: seconds_seen / 3600.0,
            jobs,
            jobs_variance,
            node_hours: seconds / 3600.0,
            node_hours_variance: seconds_variance / (3600.0 * 3600.0),
            job_days: self.job_days,
        }
    }
}

/// A part, and of which of its days it is asked (`None`: of all).
pub type AskedOf<'a> = (&'a Part, Option<&'a [i32]>);

/// Answers a question from these parts, which have no day in common.
pub fn answer(parts: &[AskedOf<'_>], filter: &Filter, question: &Question) -> Answer {
    let selection = Selection::new(parts, filter);
    let work: Vec<(&Part, &Selected)> = parts.iter().map(|(part, _)| *part).zip(&selection.parts).collect();
    let sums = in_threads(&work, |(part, selected)| of_part(part, selected, filter, question));
    let mut all: Map<Vec<Value>, Sum> = Map::default();
    for (values, sum) in sums.into_iter().flatten() {
        match all.entry(values) {
            hashbrown::hash_map::Entry::Occupied(mut known) => known.get_mut().add(&sum),
            hashbrown::hash_map::Entry::Vacant(new) => {
                new.insert(sum);
            }
        }
    }
    let mut groups: Vec<Group> =
        all.into_iter().map(|(values, sum)| sum.group(values, &selection.specials)).collect();
    groups.sort_unstable_by(|a, b| a.values.cmp(&b.values));
    groups
}

/// Does work on all cores: results in the order of the work.
pub fn in_threads<T: Sync, R: Send>(work: &[T], of: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(work.len());
    if threads <= 1 {
        return work.iter().map(of).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let run = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                match work.get(at) {
                    Some(item) => done.push((at, of(item))),
                    None => return done,
                }
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let joined = |thread: std::thread::ScopedJoinHandle<'_, Vec<(usize, R)>>| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().flat_map(joined).collect()
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

fn of_part(part: &Part, selected: &Selected, filter: &Filter, question: &Question) -> Vec<(Vec<Value>, Sum)> {
    if filter.cluster.as_ref().is_some_and(|cluster| *cluster != part.cluster) {
        return Vec::new();
    }
    let text = |number: u32| part.texts[number as usize].as_str();
    let of_libraries = question.is_of_libraries();
    let packages: Option<Vec<u32>> = question.packages.as_ref().map(|wanted| {
        let number = |name: &String| part.texts.iter().position(|text| text == name).map(|n| n as u32);
        wanted.iter().filter_map(number).collect()
    });
    let classes: Vec<bool> = part.texts.iter().map(|class| filter.has_class(class)).collect();
    let is_wanted = |key: &Key| {
        classes[key.class as usize]
            && (key.package != 0) == of_libraries
            && (!of_libraries
                || packages.as_ref().is_none_or(|packages| packages.contains(&key.package))
                    && filter.origin.as_deref().is_none_or(|origin| text(key.origin) == origin)
                    && filter.direct.is_none_or(|direct| key.asked.known() == Some(direct)))
    };
    let days = Days { part, selected, filter, dimensions: &question.dimensions };
    let (of_day, day_values) = days.numbers();
    let is_own = |key: &Key| !matches!(text(key.class), "base" | "system");
    let mut rows: Map<[u32; 7], usize> = Map::default();
    let mut members: Vec<(&Key, Vec<(&Runs, usize)>)> = Vec::new();
    let sets = [Some(&part.libraries), question.with_others.then_some(&part.others)];
    for runs in sets.into_iter().flatten() {
        for (set, key) in runs.keys.iter().enumerate().filter(|(_, key)| is_wanted(key)) {
            let next = members.len();
            let row = *rows.entry(kept_apart(key, is_own(key), &question.dimensions)).or_insert(next);
            if row == next {
                members.push((key, Vec::new()));
            }
            members[row].1.push((runs, set));
        }
    }
    let mut sums = Sums::default();
    let mut union = Union::new(part.job_days.len());
    for (row, (_, sets)) in members.iter().enumerate() {
        let mut last = None;
        for run in union.of(sets) {
            let (mut from, to) = selected.run(*run);
            while from < to {
                // As far as job-days are of one kind.
                let value = of_day.get(from).copied().unwrap_or(0);
                let end = match of_day.get(from..to) {
                    None => to,
                    Some(rest) => rest.iter().position(|other| *other != value).map_or(to, |n| from + n),
                };
                let at = match last {
                    Some((known, at)) if known == value => at,
                    _ => sums.place(row as u32, value),
                };
                last = Some((value, at));
                sums.all[at].1.run(selected, from, end);
                from = end;
            }
        }
    }
    let name = |((row, value), sum): ((u32, u32), Sum)| {
        let key = members[row as usize].0;
        let mut of_day = day_values.get(value as usize).into_iter().flatten();
        let values = question.dimensions.iter().map(|dimension| match dimension {
            Dimension::Package => named(text(key.package)),
            Dimension::Distribution => named(text(key.distribution)),
            Dimension::Version => named(text(key.version)),
            Dimension::Origin => named(text(key.origin)),
            Dimension::Class => named(text(key.class)),
            Dimension::Direct => key.asked.known().map_or(Value::None, Value::Bool),
            Dimension::Own => Value::Bool(is_own(key)),
            _ => of_day.next().cloned().unwrap_or(Value::None),
        });
        (values.collect(), sum)
    };
    sums.all.into_iter().map(name).collect()
}

/// Sums by what is kept apart of the library, and below that by what is kept apart of the job-day.
#[derive(Default)]
struct Sums {
    places: Map<(u32, u32), usize>,
    all: Vec<((u32, u32), Sum)>,
}

impl Sums {
    fn place(&mut self, row: u32, value: u32) -> usize {
        let next = self.all.len();
        let place = *self.places.entry((row, value)).or_insert(next);
        if place == next {
            self.all.push(((row, value), Sum::default()));
        }
        place
    }
}

pub(crate) fn named(text: &str) -> Value {
    if text.is_empty() { Value::None } else { Value::Text(text.to_owned()) }
}

fn kept_apart(key: &Key, is_own: bool, dimensions: &[Dimension]) -> [u32; 7] {
    let kept = |dimension: Dimension, value: u32| if dimensions.contains(&dimension) { value } else { 0 };
    [
        kept(Dimension::Package, key.package),
        kept(Dimension::Distribution, key.distribution),
        kept(Dimension::Version, key.version),
        kept(Dimension::Origin, key.origin),
        kept(Dimension::Class, key.class),
        kept(Dimension::Direct, key.asked.number()),
        kept(Dimension::Own, u32::from(is_own)),
    ]
}
