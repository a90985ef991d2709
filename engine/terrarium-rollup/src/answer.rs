//! Questions, and how they are answered.

use std::collections::BTreeMap;

use crate::Map;
use crate::part::{Key, Part, Runs};
use crate::select::{Filter, Selected, Selection, Special};
use crate::set::Set;

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

const NAMES: [(Dimension, &str); 18] = [
    (Dimension::Package, "package"),
    (Dimension::Distribution, "distribution"),
    (Dimension::Version, "version"),
    (Dimension::Origin, "origin"),
    (Dimension::Class, "environment_class"),
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
    fn is_of_library(self) -> bool {
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
        let is_of_library = |d: &Dimension| d.is_of_library() && *d != Dimension::Class;
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
    /// Jobs, re-weighted if they are samples.
    pub jobs: f64,
    /// Variance of that; 0 if all were recorded.
    pub jobs_variance: f64,
    /// Node-hours of those jobs whose nodes and time are known,
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
        for special in self.specials.iter().map(|index| &specials[index as usize]) {
            let (weight, variance) = (special.weight(), special.variance());
            let of = special.node_seconds.unwrap_or(0) as f64;
            jobs += weight;
            seconds += weight * of;
            jobs_variance += variance;
            seconds_variance += variance * of * of;
        }
        Group {
            values,
            users: self.users,
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
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
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
    let mut rows: Map<[u32; 6], usize> = Map::default();
    let mut members: Vec<(&Key, Vec<(&Runs, usize)>)> = Vec::new();
    let sets = [Some(&part.libraries), question.with_others.then_some(&part.others)];
    for runs in sets.into_iter().flatten() {
        for (set, key) in runs.keys.iter().enumerate().filter(|(_, key)| is_wanted(key)) {
            let next = members.len();
            let row = *rows.entry(kept_apart(key, &question.dimensions)).or_insert(next);
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

/// Unites sets: a job-day that is in several of a row counts once.
struct Union {
    bits: Vec<u64>,
    runs: Vec<(u64, u64)>,
}

impl Union {
    /// Below so many runs it is quicker to sort them.
    const FEW: usize = 64;

    fn new(job_days: usize) -> Self {
        Union { bits: vec![0; job_days.div_ceil(64)], runs: Vec::new() }
    }

    /// The runs of all these sets together.
    fn of(&mut self, sets: &[(&Runs, usize)]) -> &[(u64, u64)] {
        self.runs.clear();
        self.runs.extend(sets.iter().flat_map(|(runs, set)| runs.of(*set)));
        if sets.len() > 1 {
            if self.runs.len() <= Self::FEW { self.sort() } else { self.mark() }
        }
        &self.runs
    }

    fn sort(&mut self) {
        self.runs.sort_unstable();
        self.runs.dedup_by(|next, kept| {
            let is_near = next.0 <= kept.1;
            if is_near {
                kept.1 = kept.1.max(next.1);
            }
            is_near
        });
    }

    fn mark(&mut self) {
        let most = self.bits.len() as u64 * 64;
        for (start, end) in self.runs.drain(..) {
            let (start, end) = (start.min(most), end.min(most));
            if start >= end {
                continue;
            }
            let (first, last) = ((start / 64) as usize, ((end - 1) / 64) as usize);
            let (low, high) = (!0u64 << (start % 64), !0u64 >> (63 - (end - 1) % 64));
            if first == last {
                self.bits[first] |= low & high;
            } else {
                self.bits[first] |= low;
                self.bits[first + 1..last].fill(!0);
                self.bits[last] |= high;
            }
        }
        // Back to runs, and all bits are 0 again.
        let mut open: Option<u64> = None;
        for (word, bits) in self.bits.iter_mut().enumerate() {
            let mut left = std::mem::take(bits);
            let base = word as u64 * 64;
            if left == 0 || (left == !0 && open.is_some()) {
                if left == 0
                    && let Some(start) = open.take()
                {
                    self.runs.push((start, base));
                }
                continue;
            }
            let mut at = 0;
            while at < 64 {
                match open {
                    None if left == 0 => break,
                    None => {
                        let skip = left.trailing_zeros();
                        at += skip;
                        left >>= skip;
                        open = Some(base + u64::from(at));
                    }
                    Some(start) => {
                        let ones = left.trailing_ones().min(64 - at);
                        at += ones;
                        if at == 64 {
                            break;
                        }
                        left >>= ones;
                        self.runs.push((start, base + u64::from(at)));
                        open = None;
                    }
                }
            }
        }
        if let Some(start) = open {
            self.runs.push((start, most));
        }
    }
}

fn named(text: &str) -> Value {
    if text.is_empty() { Value::None } else { Value::Text(text.to_owned()) }
}

fn kept_apart(key: &Key, dimensions: &[Dimension]) -> [u32; 6] {
    let kept = |dimension: Dimension, value: u32| if dimensions.contains(&dimension) { value } else { 0 };
    [
        kept(Dimension::Package, key.package),
        kept(Dimension::Distribution, key.distribution),
        kept(Dimension::Version, key.version),
        kept(Dimension::Origin, key.origin),
        kept(Dimension::Class, key.class),
        kept(Dimension::Direct, key.asked.number()),
    ]
}

/// What job-days are kept apart by.
struct Days<'a> {
    part: &'a Part,
    selected: &'a Selected,
    filter: &'a Filter,
    dimensions: &'a [Dimension],
}

impl Days<'_> {
    /// A number for each job-day that is chosen, and what the numbers mean; none if nothing is kept apart.
    fn numbers(&self) -> (Vec<u32>, Vec<Vec<Value>>) {
        let wanted: Vec<Dimension> = self.dimensions.iter().copied().filter(|d| !d.is_of_library()).collect();
        if wanted.is_empty() {
            return Default::default();
        }
        let mut known: Map<Vec<i64>, u32> = Map::default();
        let (mut numbers, mut values) = (Vec::new(), Vec::new());
        let mut last: (Vec<i64>, u32) = (Vec::new(), u32::MAX);
        for at in self.selected.place.iter().map(|at| *at as usize) {
            let raw: Vec<i64> = wanted.iter().map(|dimension| self.raw(*dimension, at)).collect();
            if raw != last.0 || last.1 == u32::MAX {
                let next = values.len() as u32;
                let number = *known.entry(raw.clone()).or_insert(next);
                if number == next {
                    values.push(wanted.iter().map(|dimension| self.value(*dimension, at)).collect());
                }
                last = (raw, number);
            }
            numbers.push(last.1);
        }
        (numbers, values)
    }

    /// The same for the same value.
    fn raw(&self, dimension: Dimension, at: usize) -> i64 {
        let of = &self.part.job_days;
        match dimension {
            // Hangs on project and month at most, and seldom on the day.
            Dimension::Domain => match self.filter.field(self.part, at) {
                Some(field) => crate::build::fingerprint(field.as_bytes()) as i64,
                None => 0,
            },
            Dimension::Project => i64::from(of.project[at]),
            Dimension::Queue => i64::from(of.queue[at]),
            _ => match self.value(dimension, at) {
                Value::Number(number) => number,
                Value::Bool(yes) => i64::from(yes),
                _ => -1,
            },
        }
    }

    fn value(&self, dimension: Dimension, at: usize) -> Value {
        let of = &self.part.job_days;
        let text = |number: u32| named(&self.part.texts[number as usize]);
        let day = self.part.days[0].0 + of.day[at] as i32;
        match dimension {
            Dimension::Cluster => named(&self.part.cluster),
            Dimension::Day => Value::Number(i64::from(day)),
            // 1970 began on a Thursday.
            Dimension::Week => Value::Number(i64::from(day - (day + 3).rem_euclid(7))),
            Dimension::Month => Value::Number(i64::from(first_of_month(day))),
            Dimension::User => Value::Number(i64::from(of.user[at])),
            Dimension::Project => text(of.project[at]),
            Dimension::Domain => {
                self.filter.field(self.part, at).map_or(Value::None, |field| Value::Text(field.to_owned()))
            }
            Dimension::Queue => text(of.queue[at]),
            Dimension::Gpu => of.has_gpu(at).map_or(Value::None, Value::Bool),
            Dimension::Nodes if of.nodes[at] > 0 => Value::Number(i64::from(of.nodes[at])),
            Dimension::Minutes if of.seconds[at] > 0 => {
                let minutes = i64::from(of.seconds[at] - 1) / 60;
                Value::Number(DURATIONS.into_iter().rev().find(|least| minutes >= *least).unwrap_or(0))
            }
            Dimension::InJob => Value::Bool(of.job[at] != 0),
            _ => Value::None,
        }
    }
}

/// The first day of a day's month, both since 1970. (Howard Hinnant's days_from_civil, "chrono-Compatible Low-Level Date Algorithms".)
fn first_of_month(day: i32) -> i32 {
    let z = i64::from(day) + 719_468;
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    day - (day_of_year - (153 * month + 2) / 5) as i32
}

/// What was loaded from a kind of place.
#[derive(Clone, Debug)]
pub struct Loads {
    /// In the order of the dimensions.
    pub values: Vec<Value>,
    /// The kind of place.
    pub origin: String,
    /// Whose processes loaded something from there.
    pub users: Set,
    /// Modules, each counted in each process; re-weighted if they are samples.
    pub modules: f64,
    /// Hours of processes that importing them took, at least.
    pub process_hours: f64,
    /// Hours of nodes: a parallel job waits on all of its nodes for its first rank.
    pub node_hours: f64,
}

/// Adds up loads by origin; parts need `loads`. Dimensions of libraries cannot be kept apart here.
pub fn loads(parts: &[AskedOf<'_>], filter: &Filter, dimensions: &[Dimension]) -> Vec<Loads> {
    let selection = Selection::new(parts, filter);
    let work: Vec<(&Part, &Selected)> = parts.iter().map(|(part, _)| *part).zip(&selection.parts).collect();
    let sums = in_threads(&work, |(part, selected)| loads_of_part(part, selected, filter, dimensions));
    let mut all: BTreeMap<(Vec<Value>, String), Loads> = BTreeMap::new();
    for one in sums.into_iter().flatten() {
        let key = (one.values.clone(), one.origin.clone());
        match all.get_mut(&key) {
            None => {
                all.insert(key, one);
            }
            Some(known) => {
                known.users.extend(&one.users);
                known.modules += one.modules;
                known.process_hours += one.process_hours;
                known.node_hours += one.node_hours;
            }
        }
    }
    all.into_values().collect()
}

fn loads_of_part(part: &Part, selected: &Selected, filter: &Filter, dimensions: &[Dimension]) -> Vec<Loads> {
    if filter.cluster.as_ref().is_some_and(|cluster| *cluster != part.cluster) {
        return Vec::new();
    }
    let of = &part.job_days;
    let (of_day, values) = Days { part, selected, filter, dimensions }.numbers();
    let mut places: Map<(u32, u32), usize> = Map::default();
    let mut sums: Vec<Loads> = Vec::new();
    for (i, at) in selected.place.iter().map(|at| *at as usize).enumerate() {
        let value = of_day.get(i).copied().unwrap_or(0);
        let weight = f64::from(crate::build::CERTAIN) / f64::from(of.probability[at].max(1));
        for load in of.loads(at) {
            let origin = of.load_origin[load];
            let place = *places.entry((value, origin)).or_insert_with(|| {
                sums.push(Loads {
                    values: values.get(value as usize).cloned().unwrap_or_default(),
                    origin: part.texts[origin as usize].clone(),
                    users: Set::default(),
                    modules: 0.0,
                    process_hours: 0.0,
                    node_hours: 0.0,
                });
                sums.len() - 1
            });
            let sum = &mut sums[place];
            let hours = |us: u64| us as f64 / 3.6e9 * weight;
            let (all, parallel) = (of.load_us[load], of.load_parallel_us[load].min(of.load_us[load]));
            sum.users.insert(of.user[at]);
            sum.modules += f64::from(of.load_modules[load]) * weight;
            sum.process_hours += hours(all);
            sum.node_hours += hours(all - parallel) + hours(parallel) * f64::from(of.nodes[at].max(1));
        }
    }
    let wanted = |loads: &Loads| filter.origin.as_ref().is_none_or(|origin| loads.origin == *origin);
    sums.into_iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::part::Asked;

    proptest! {
        #[test]
        fn a_union_has_what_any_of_them_has(
            sets in prop::collection::vec(prop::collection::btree_set(0u32..300, 0..200), 1..5),
            blocks in prop::collection::vec((0u32..300, 1u32..200), 1..3),
        ) {
            let mut sets = sets;
            sets.extend(blocks.into_iter().map(|(from, length)| (from..(from + length).min(300)).collect()));
            let key = Key { package: 1, distribution: 0, version: 0, origin: 0, class: 0, asked: Asked::Yes };
            let mut runs = Runs::default();
            for set in &sets {
                runs.push(key, &set.iter().copied().collect::<Vec<_>>());
            }
            let all: std::collections::BTreeSet<u64> = sets.iter().flatten().map(|at| u64::from(*at)).collect();
            let members: Vec<(&Runs, usize)> = (0..sets.len()).map(|set| (&runs, set)).collect();
            let mut union = Union::new(300);
            for _ in 0..2 {
                let found: Vec<u64> = union.of(&members).iter().flat_map(|(from, to)| *from..*to).collect();
                prop_assert_eq!(found, all.iter().copied().collect::<Vec<_>>());
            }
            union.runs = members.iter().flat_map(|(runs, set)| runs.of(*set)).collect();
            union.mark();
            let found: Vec<u64> = union.runs.iter().flat_map(|(from, to)| *from..*to).collect();
            prop_assert_eq!(found, all.iter().copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn months_begin_on_their_first_day() {
        // 1970-01-01, 1970-01-31, 1970-02-01, 2024-02-29, 2026-11-28
        let days = [(0, 0), (30, 0), (31, 31), (19_782, 19_754), (20_785, 20_758)];
        for (day, first) in days {
            assert_eq!(first_of_month(day), first, "{day}");
        }
    }
}
