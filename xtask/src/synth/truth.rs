//! What was made, so that others can check what they count.

use std::collections::HashSet;

use serde::Serialize;
use terrarium_segment::{Extent, Process};

use super::Period;
use super::dice::{DAY_US, civil};

/// Sums of a month, or of all. Processes count for the month in which they began, jobs for that in which they did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sums {
    pub(crate) processes: u64,
    pub(crate) module_rows: u64,
    /// Users with a process.
    pub(crate) users: u64,
    pub(crate) jobs: u64,
    /// Jobs that accounting does not know.
    pub(crate) jobs_without_accounting: u64,
    pub(crate) processes_in_jobs: u64,
    /// Those whose job accounting knows.
    pub(crate) processes_accounted: u64,
    pub(crate) processes_without_python: u64,
    pub(crate) opted_out: u64,
    pub(crate) counted: u64,
    /// Records are missing, or it is cut.
    pub(crate) incomplete: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Month {
    /// `2026-10`.
    pub(crate) month: String,
    #[serde(flatten)]
    pub(crate) sums: Sums,
    #[serde(skip)]
    users: HashSet<usize>,
}

/// `truth.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Truth {
    pub(crate) first_day: String,
    pub(crate) last_day: String,
    pub(crate) segments: u64,
    /// Different ones.
    pub(crate) environments: u64,
    pub(crate) all: Sums,
    pub(crate) months: Vec<Month>,
    /// By day of the period, which month it is in.
    #[serde(skip)]
    of_day: Vec<usize>,
    #[serde(skip)]
    first: i64,
    /// Of the job that is being written.
    #[serde(skip)]
    pub(crate) is_accounted: bool,
}

impl Truth {
    pub(super) fn new(period: &Period) -> Self {
        let mut months: Vec<Month> = Vec::new();
        let mut of_day = Vec::new();
        for day in 0..period.days {
            let (year, month, _) = civil(period.first + day);
            let name = format!("{year:04}-{month:02}");
            if months.last().is_none_or(|last| last.month != name) {
                months.push(Month { month: name, sums: Sums::default(), users: HashSet::new() });
            }
            of_day.push(months.len() - 1);
        }
        Truth {
            first_day: super::dice::date(period.first),
            last_day: super::dice::date(period.first + period.days - 1),
            segments: 0,
            environments: 0,
            all: Sums::default(),
            months,
            of_day,
            first: period.first,
            is_accounted: true,
        }
    }

    fn month(&mut self, us: i64) -> &mut Month {
        let day = us.div_euclid(DAY_US) - self.first;
        let month = self.of_day[day.clamp(0, self.of_day.len() as i64 - 1) as usize];
        &mut self.months[month]
    }

    pub(super) fn process(&mut self, process: &Process, user: usize) {
        let is_accounted = self.is_accounted && process.job.is_some();
        let month = self.month(process.started_us);
        let sums = &mut month.sums;
        sums.processes += 1;
        sums.module_rows += process.loads.len() as u64;
        sums.processes_in_jobs += u64::from(process.job.is_some());
        sums.processes_accounted += u64::from(is_accounted);
        sums.processes_without_python += u64::from(process.python.is_none());
        sums.opted_out += u64::from(process.extent == Extent::OptedOut);
        sums.counted += u64::from(process.extent == Extent::Counted);
        sums.incomplete += u64::from(process.dropped > 0 || process.is_cut);
        month.users.insert(user);
    }

    /// A job that began.
    pub(super) fn job(&mut self, started_us: i64) {
        let is_accounted = self.is_accounted;
        let sums = &mut self.month(started_us).sums;
        sums.jobs += 1;
        sums.jobs_without_accounting += u64::from(!is_accounted);
    }

    /// Adds months up.
    pub(super) fn finish(mut self) -> Self {
        let mut users: HashSet<usize> = HashSet::new();
        for month in &mut self.months {
            month.sums.users = month.users.len() as u64;
            users.extend(&month.users);
            let (sums, all) = (&month.sums, &mut self.all);
            all.processes += sums.processes;
            all.module_rows += sums.module_rows;
            all.jobs += sums.jobs;
            all.jobs_without_accounting += sums.jobs_without_accounting;
            all.processes_in_jobs += sums.processes_in_jobs;
            all.processes_accounted += sums.processes_accounted;
            all.processes_without_python += sums.processes_without_python;
            all.opted_out += sums.opted_out;
            all.counted += sums.counted;
            all.incomplete += sums.incomplete;
        }
        self.all.users = users.len() as u64;
        self
    }
}
