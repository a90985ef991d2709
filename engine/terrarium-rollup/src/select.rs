//! Which job-days a question is about, and sums over them from which any run is counted at once.

use crate::Map;
use crate::build::CERTAIN;
use crate::part::{JobDays, Part};
use crate::set::Set;

/// A project's field of science, from and to a day, both inclusive.
pub type Field = (Option<i32>, Option<i32>, String);

/// What a question is about. What is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Days since 1970, both inclusive.
    pub days: Option<(i32, i32)>,
    /// Cluster.
    pub cluster: Option<String>,
    /// Users, by number.
    pub users: Option<Set>,
    /// Account of the job.
    pub project: Option<String>,
    /// Field of science.
    pub domain: Option<String>,
    /// Partition or queue.
    pub queue: Option<String>,
    /// Jobs with GPUs, or without: accounting knows the job, and of no GPU.
    pub gpu: Option<bool>,
    /// Class of the environment: one, or `own` for all whose names begin with that.
    pub class: Option<String>,
    /// Where the library lies.
    pub origin: Option<String>,
    /// Asked for, or not.
    pub direct: Option<bool>,
    /// Fields of science of projects, where the accounting does not tell.
    pub fields: Map<String, Vec<Field>>,
}

impl Filter {
    /// Whether it is one of the classes asked for.
    pub(crate) fn has_class(&self, class: &str) -> bool {
        self.class.as_deref().is_none_or(|wanted| {
            wanted == class
                || (wanted == "own" && class.strip_prefix("own").is_some_and(|rest| rest.starts_with('-')))
        })
    }

    fn needs_labels(&self) -> bool {
        self.project.is_some() || self.domain.is_some() || self.queue.is_some() || self.gpu.is_some()
    }

    /// Whether columns of labels are needed.
    pub fn wants_labels(&self) -> bool {
        self.needs_labels()
    }

    /// The field of science of a job-day.
    pub(crate) fn field<'a>(&'a self, part: &'a Part, at: usize) -> Option<&'a str> {
        let of = &part.job_days;
        let text = |number: u32| part.texts[number as usize].as_str();
        if of.domain[at] != 0 {
            return Some(text(of.domain[at]));
        }
        let day = part.days[0].0 + of.day[at] as i32;
        let is_then = |field: &&Field| {
            field.0.is_none_or(|since| day >= since) && field.1.is_none_or(|until| day <= until)
        };
        self.fields.get(text(of.project[at]))?.iter().find(is_then).map(|field| field.2.as_str())
    }

    /// The job-days of a part that it is about; `None`: all.
    fn chosen(&self, part: &Part) -> Option<Vec<bool>> {
        let of = &part.job_days;
        let all_days =
            self.days.is_none_or(|(first, last)| part.days.iter().all(|day| (first..=last).contains(&day.0)));
        if all_days && self.users.is_none() && !self.needs_labels() {
            return None;
        }
        let number = |wanted: &Option<String>| {
            wanted.as_ref().map(|wanted| part.texts.iter().position(|text| text == wanted).map(|n| n as u32))
        };
        let (project, queue) = (number(&self.project), number(&self.queue));
        let first = part.days[0].0;
        // Fields hang on project and day: looked up once for each.
        let mut fields: Map<(u32, u32, u32), bool> = Map::default();
        let mut is_chosen = |at: usize| {
            let day = first + of.day[at] as i32;
            self.days.is_none_or(|(first, last)| (first..=last).contains(&day))
                && self.users.as_ref().is_none_or(|users| users.contains(of.user[at]))
                && project.is_none_or(|project| project == Some(of.project[at]))
                && queue.is_none_or(|queue| queue == Some(of.queue[at]))
                && self.gpu.is_none_or(|gpu| of.has_gpu(at) == Some(gpu))
                && self.domain.as_ref().is_none_or(|wanted| {
                    let key = (of.project[at], of.domain[at], of.day[at]);
                    *fields.entry(key).or_insert_with(|| self.field(part, at) == Some(wanted))
                })
        };
        Some((0..of.len()).map(&mut is_chosen).collect())
    }
}

/// The job-days of a part that a question is about, in their order.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// How many of them lie before a job-day; empty: all are chosen.
    rank: Vec<u32>,
    /// Where each lies in the part.
    pub(crate) place: Vec<u32>,
    /// By job-day: which of `users`.
    pub(crate) user_at: Vec<u32>,
    /// Numbers of users, in order.
    pub(crate) users: Vec<u32>,
    /// Sums over the job-days before: jobs that stand for themselves,
    pub(crate) jobs: Vec<u32>,
    /// and their nodes × seconds;
    pub(crate) node_seconds: Vec<u64>,
    /// and those that do not.
    special: Vec<u32>,
    /// The latter, as indices of [`Specials`].
    specials: Vec<u32>,
}

impl Selected {
    /// The job-days of a run that are chosen.
    #[inline]
    pub(crate) fn run(&self, (start, end): (u64, u64)) -> (usize, usize) {
        let most = if self.rank.is_empty() { self.place.len() } else { self.rank.len() - 1 } as u64;
        let (start, end) = (start.min(most) as usize, end.min(most) as usize);
        if self.rank.is_empty() { (start, end) } else { (self.rank[start] as usize, self.rank[end] as usize) }
    }

    /// Those of a range that stand for other job-days, too.
    #[inline]
    pub(crate) fn specials(&self, from: usize, to: usize) -> &[u32] {
        &self.specials[self.special[from] as usize..self.special[to] as usize]
    }
}

/// A job that is in several job-days, or was recorded by chance: it is counted on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Special {
    /// How likely nothing of it would have been recorded.
    missed: f64,
    pub(crate) node_seconds: Option<u64>,
}

impl Special {
    /// How many jobs it stands for.
    pub(crate) fn weight(&self) -> f64 {
        1.0 / (1.0 - self.missed)
    }

    /// The variance of that.
    pub(crate) fn variance(&self) -> f64 {
        let seen = 1.0 - self.missed;
        self.missed / (seen * seen)
    }
}

/// What a question is about, in all parts.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) parts: Vec<Selected>,
    pub(crate) specials: Vec<Special>,
}

/// Jobs that may be met twice: a bit for each by its identity, which is spread evenly. One that is thought to be met twice and is not
/// is counted on its own, which is right as well.
struct Twice {
    seen: Vec<u64>,
    twice: Vec<u64>,
    shift: u32,
}

impl Twice {
    fn new(jobs: usize) -> Self {
        let bits = (jobs.max(64) * 16).next_power_of_two();
        Twice { seen: vec![0; bits / 64], twice: vec![0; bits / 64], shift: 64 - bits.trailing_zeros() }
    }

    fn add(&mut self, job: u64) {
        let bit = job >> self.shift;
        let (word, bit) = ((bit / 64) as usize, 1 << (bit % 64));
        self.twice[word] |= self.seen[word] & bit;
        self.seen[word] |= bit;
    }

    fn has(&self, job: u64) -> bool {
        let bit = job >> self.shift;
        self.twice[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }
}

impl Selection {
    /// Of these parts, what a filter is about; of each, only the days that are said (`None`: all of its).
    pub(crate) fn new(parts: &[(&Part, Option<&[i32]>)], filter: &Filter) -> Self {
        let mut chosen: Vec<Option<Vec<bool>>> = parts.iter().map(|(part, _)| filter.chosen(part)).collect();
        for ((part, days), chosen) in parts.iter().zip(&mut chosen) {
            if let Some(days) = days {
                let of = &part.job_days;
                let first = part.days[0].0;
                let mask = chosen.get_or_insert_with(|| vec![true; of.len()]);
                for (at, is_chosen) in mask.iter_mut().enumerate() {
                    *is_chosen &= days.contains(&(first + of.day[at] as i32));
                }
            }
        }
        let is_in = |chosen: &Option<Vec<bool>>, at: usize| chosen.as_ref().is_none_or(|chosen| chosen[at]);
        let total = parts.iter().map(|(part, _)| part.job_days.len()).sum();
        let mut twice = Twice::new(total);
        for ((part, _), chosen) in parts.iter().zip(&chosen) {
            for (at, job) in part.job_days.job.iter().enumerate() {
                if *job != 0 && is_in(chosen, at) {
                    twice.add(*job);
                }
            }
        }
        let mut selection = Selection::default();
        let mut known: Map<u64, u32> = Map::default();
        for ((part, _), chosen) in parts.iter().zip(&chosen) {
            let one = select(&part.job_days, chosen.as_deref(), &twice, &mut known, &mut selection.specials);
            selection.parts.push(one);
        }
        selection
    }
}

fn select(
    of: &JobDays,
    chosen: Option<&[bool]>,
    twice: &Twice,
    known: &mut Map<u64, u32>,
    specials: &mut Vec<Special>,
) -> Selected {
    let mut to = Selected::default();
    let (mut jobs, mut node_seconds) = (0u32, 0u64);
    if chosen.is_some() {
        to.rank.reserve(of.len() + 1);
    }
    to.jobs.reserve(of.len() + 1);
    to.node_seconds.reserve(of.len() + 1);
    to.special.reserve(of.len() + 1);
    for at in 0..of.len() {
        if let Some(chosen) = chosen {
            to.rank.push(to.place.len() as u32);
            if !chosen[at] {
                continue;
            }
        }
        to.jobs.push(jobs);
        to.node_seconds.push(node_seconds);
        to.special.push(to.specials.len() as u32);
        if to.users.last() != Some(&of.user[at]) {
            to.users.push(of.user[at]);
        }
        to.user_at.push(to.users.len() as u32 - 1);
        to.place.push(at as u32);
        let (job, probability) = (of.job[at], of.probability[at].min(CERTAIN));
        if job == 0 {
            continue;
        }
        if probability < CERTAIN || twice.has(job) {
            let missed = 1.0 - f64::from(probability) / f64::from(CERTAIN);
            let next = specials.len() as u32;
            let index = *known.entry(job).or_insert(next);
            if index == next {
                specials.push(Special { missed, node_seconds: of.node_seconds(at) });
            } else {
                let special = &mut specials[index as usize];
                special.missed *= missed;
                special.node_seconds = special.node_seconds.or(of.node_seconds(at));
            }
            to.specials.push(index);
        } else {
            jobs += 1;
            node_seconds += of.node_seconds(at).unwrap_or(0);
        }
    }
    if chosen.is_some() {
        to.rank.push(to.place.len() as u32);
    }
    to.jobs.push(jobs);
    to.node_seconds.push(node_seconds);
    to.special.push(to.specials.len() as u32);
    to
}

/// How much of what there was is in the figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Processes recorded,
    pub processes: u64,
    /// with Python,
    pub python: u64,
    /// of people who opted out,
    pub opted_out: u64,
    /// in whose records something is missing,
    pub incomplete: u64,
    /// recorded with a probability below 1,
    pub sampled: u64,
    /// imported ones that do not tell all.
    pub doubtful: u64,
    /// Processes that could not be recorded.
    pub lost: u64,
    /// Processes in jobs,
    pub in_jobs: u64,
    /// and those of them whose job accounting knows.
    pub accounted: u64,
}

/// Adds up what is missing; parts need `counts`.
pub fn completeness(parts: &[(&Part, Option<&[i32]>)], filter: &Filter) -> Completeness {
    let mut sum = Completeness::default();
    for ((part, _), selected) in parts.iter().zip(&Selection::new(parts, filter).parts) {
        let of = &part.job_days;
        for at in selected.place.iter().map(|at| *at as usize) {
            let n = |column: &[u32]| u64::from(column.get(at).copied().unwrap_or(0));
            sum.processes += n(&of.processes);
            sum.python += n(&of.python);
            sum.opted_out += n(&of.opted_out);
            sum.incomplete += n(&of.incomplete);
            sum.sampled += n(&of.sampled);
            sum.doubtful += n(&of.doubtful);
            sum.lost += n(&of.lost);
            if of.job[at] != 0 {
                sum.in_jobs += n(&of.processes);
                sum.accounted += n(&of.processes) * n(&of.accounted);
            }
        }
    }
    sum
}
