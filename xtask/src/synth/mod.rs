//! `cargo xtask synth`: a year of a large site, made up, so that queries can be measured on it.
//!
//! Users have workflows; a workflow has an environment that changes from time to time, and loads the same libraries each time that
//! it runs. All of it is a function of the seed and the flags.

mod accounting;
mod catalogue;
mod dice;
mod environments;
mod jobs;
mod loads;
mod segments;
mod site;
#[cfg(test)]
mod tests;
mod truth;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use crate::Result;
use accounting::Accounting;
use catalogue::Catalogue;
use dice::{Dice, mix2};
use jobs::Runner;
use segments::Segments;
use site::Site;
use truth::Truth;

/// Of 365 days at fraction 1.
const PROCESSES: f64 = 10_000_000.0;

/// The mean, of all processes.
const ROWS_EACH: f64 = 50.0;

/// For each process that loads all there are about so many that load little; what is made steers to [`ROWS_EACH`] from there.
const LITTLE: f64 = 7.0;

/// Flags of `cargo xtask synth`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SynthArgs {
    /// Where to: segments/, sacct.txt, domains.csv and truth.json; segments/ must be empty or not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Part of a large site's work; at 1, 365 days have 10 million processes and 500 million module rows
    #[arg(long, value_name = "N", default_value_t = 0.01)]
    fraction: f64,
    /// Days, up to --until
    #[arg(long, value_name = "N", default_value_t = 365)]
    days: u32,
    /// Another seed, another site
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Last day
    #[arg(long, value_name = "DAY", default_value = "2026-10-31")]
    until: String,
    /// Users; below a fraction of 0.01 fewer in proportion, but 20: each runs something. Also fewer if there are fewer days
    #[arg(long, value_name = "N", default_value_t = 5000)]
    users: usize,
}

/// The days for which something is made.
pub(crate) struct Period {
    /// Days since 1970.
    first: i64,
    days: i64,
}

impl Period {
    /// Whether a day of the period is a Saturday or Sunday.
    fn is_weekend(&self, day: i64) -> bool {
        // 1970 began on a Thursday.
        (self.first + day + 3).rem_euclid(7) >= 5
    }
}

/// What does not change while processes are made.
struct World {
    catalogue: Catalogue,
    site: Site,
    period: Period,
}

/// Makes all of it.
pub(crate) fn run(args: &SynthArgs) -> Result {
    let began = Instant::now();
    let truth = make(args, |day, days, rows| {
        if day % 30 == 0 || day == days {
            let rate = rows as f64 / began.elapsed().as_secs_f64().max(0.001) / 1e6;
            eprintln!("day {day} of {days}: {rows} module rows, {rate:.2} million a second");
        }
    })?;
    let all = &truth.all;
    eprintln!(
        "{}: {} processes, {} module rows, {} users, {} jobs, {} segments",
        args.out.display(),
        all.processes,
        all.module_rows,
        all.users,
        all.jobs,
        truth.segments
    );
    Ok(())
}

fn make(args: &SynthArgs, mut progress: impl FnMut(i64, i64, u64)) -> Result<Truth> {
    if !(args.fraction > 0.0 && args.fraction <= 100.0)
        || args.days == 0
        || args.days > 3660
        || args.users == 0
    {
        return Err(
            "--fraction is more than 0 and at most 100, --days 1 to 3660, --users 1 or more".to_owned()
        );
    }
    let last =
        dice::day_of(&args.until).ok_or_else(|| format!("--until {}: no day as 2026-10-31", args.until))?;
    let days = i64::from(args.days);
    let total = PROCESSES * args.fraction * days as f64 / 365.0;
    // Each user's own job takes some processes, which must not be all that there is.
    let most_users = (args.users as f64 * (args.fraction * 100.0).min(1.0)).min(total / 20.0).max(20.0);
    let users = args.users.min(most_users as usize);
    let world = World {
        catalogue: Catalogue::read()?,
        site: Site::new(args.seed, users, days),
        period: Period { first: last - days + 1, days },
    };
    let segments = Segments::new(&world, args.out.join("segments"))?;
    let accounting = Accounting::new(&args.out.join("sacct.txt"))?;
    accounting::domains(&args.out.join("domains.csv"), &world.site)?;
    let mut runner = Runner::new(&world, segments, accounting, mix2(args.seed, 2));
    year(&world, &mut runner, args.seed, total, &mut progress)?;
    let Runner { mut segments, accounting, .. } = runner;
    segments.finish()?;
    accounting.finish()?;
    let truth = segments.truth.finish();
    let path = args.out.join("truth.json");
    let text = serde_json::to_string_pretty(&truth).map_err(|e| e.to_string())?;
    fs::write(&path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(truth)
}

/// How much is done on each day: less at weekends and holidays, more from month to month.
fn shares(period: &Period, dice: &mut Dice) -> Vec<f64> {
    let shares: Vec<f64> = (0..period.days)
        .map(|day| {
            let (_, month, of_month) = dice::civil(period.first + day);
            let is_holiday = (month == 12 && of_month >= 23) || (month == 1 && of_month <= 2);
            let rest = if is_holiday { 0.5 } else { 1.0 };
            let week = if period.is_weekend(day) { 0.5 } else { 1.0 };
            let growth = 1.0 + 0.3 * day as f64 / 365.0;
            rest * week * growth * dice.spread(1.0, 0.07)
        })
        .collect();
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

fn year(
    world: &World,
    runner: &mut Runner<'_>,
    seed: u64,
    total: f64,
    progress: &mut impl FnMut(i64, i64, u64),
) -> Result {
    let (site, period) = (&world.site, &world.period);
    let mut dice = Dice::new(mix2(seed, 3));
    let shares = shares(period, &mut dice);
    // Each user runs something, on some day.
    let mut own: Vec<Vec<usize>> = vec![Vec::new(); period.days as usize];
    for user in &site.users {
        let day = user.days.0 + dice.below((user.days.1 - user.days.0 + 1) as usize) as i64;
        own[day as usize].push(user.workflows.start);
    }
    // How far the number of rows may be from its mean: what a day or so brings.
    let slack = (total * ROWS_EACH * 0.002).clamp(500.0, 1e6);
    let most = ((total / 1000.0) as usize).clamp(5, 1024);
    let mut target = 0.0;
    for day in 0..period.days {
        runner.segments.begin(day)?;
        if day % 10 == 0 {
            runner.forget(day);
        }
        let mut sum = 0.0;
        let weights = (0..site.workflows.len()).map(|i| {
            sum += site.weight(i, day, period);
            sum
        });
        let sums: Vec<f64> = weights.collect();
        target += total * shares[day as usize];
        for workflow in &own[day as usize] {
            runner.run(*workflow, day, 4, LITTLE)?;
        }
        while (runner.segments.processes as f64) < target {
            let at = dice.one() * sum;
            let workflow = sums.partition_point(|sum| *sum <= at).min(sums.len() - 1);
            let ahead = runner.segments.rows as f64 - ROWS_EACH * runner.segments.processes as f64;
            let little = LITTLE * (ahead / slack).clamp(-3.0, 2.0).exp();
            runner.run(workflow, day, most, little)?;
        }
        progress(day + 1, period.days, runner.segments.rows);
    }
    Ok(())
}
