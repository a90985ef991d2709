//! `terrarium run`: whether what the job's processes load is recorded, and what came of it.

use std::ffi::OsString;
use std::time::Duration;

use terrarium_core::report::{RunReport, Tracking as Report, TrackingState};
use terrarium_jail::host::Host;
use terrarium_jail::spec::Track;
use terrarium_jail::track::Tracked;

use super::collect;
use crate::cli::RunArgs;
use crate::hook::{self, Wish};
use crate::loaded::Loaded;
use crate::recorder::in_time_of;
use crate::spool;

/// Once in many runs, the records of earlier ones are taken in at the end of one, for so long at most.
const TAKING_IN: Duration = Duration::from_secs(20);

const PRELOAD: &str = "LD_PRELOAD";

/// Of this run, or of the one around it.
const RUN: &str = "TERRARIUM_RUN";

/// What was decided before the job starts.
pub(super) enum Tracking {
    On { track: Track, is_own_spool: bool },
    OptedOut { how: String },
    Off { why: String },
}

impl Tracking {
    /// Looks for the hook, a spool, and the user's wish.
    pub(super) fn of(args: &RunArgs, uid: u32) -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        match hook::wish(args.no_track, &variable) {
            Wish::OptedOut(how) => return Tracking::OptedOut { how },
            Wish::NotKnown(why) => {
                return Tracking::Off { why: format!("whether the user wants it is not known: {why}") };
            }
            Wish::Tracked => {}
        }
        let found = hook::find(&variable).and_then(|library| Ok((library, spool::find(&variable, uid)?)));
        match found {
            Ok((library, spool)) => {
                let preload = hook::with(variable(PRELOAD).as_deref(), &library);
                let track = Track { library, preload, spool: spool.path };
                Tracking::On { track, is_own_spool: spool.is_own }
            }
            Err(why) => Tracking::Off { why },
        }
    }

    /// For the jail, which sets the variables.
    pub(super) fn track(&self) -> Option<Track> {
        match self {
            Tracking::On { track, .. } => Some(track.clone()),
            _ => None,
        }
    }

    /// What a run around this one has set is not for this one; and who has opted out gets no hook.
    pub(super) fn clean(&self, env: &mut Vec<(OsString, OsString)>) {
        env.retain(|(name, _)| name != RUN);
        if !matches!(self, Tracking::OptedOut { .. }) {
            return;
        }
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let library = hook::find(&variable).ok();
        let taken = env.iter().position(|(name, _)| name == PRELOAD).map(|at| env.remove(at));
        let rest = taken.and_then(|(name, value)| Some((name, hook::without(&value, library.as_deref())?)));
        env.extend(rest);
        // Also where the site has it loaded in another way.
        env.retain(|(name, _)| name != hook::SWITCH);
        env.push((hook::SWITCH.into(), "off".into()));
    }

    /// What there is to say when nothing of the job is left.
    pub(super) fn report(&self, tracked: &Tracked) -> Report {
        match (self, tracked) {
            (Tracking::OptedOut { how }, _) => Report::without(TrackingState::OptedOut, how.clone()),
            (Tracking::Off { why }, _) | (_, Tracked::Not { why }) => {
                Report::without(TrackingState::Off, why.clone())
            }
            (Tracking::On { .. }, Tracked::To(directory)) => Loaded::read(directory).report(directory),
            (Tracking::On { .. }, Tracked::NotHere) => {
                Report::without(TrackingState::Off, "nothing was started".to_owned())
            }
        }
    }

    /// Leaves the report with the records.
    pub(super) fn leave(&self, tracked: &Tracked, report: &RunReport) {
        if let Tracked::To(directory) = tracked
            && let Ok(text) = serde_json::to_vec(report)
        {
            directory.leave(&text);
        }
    }

    /// Lets go of the run's directory, and keeps a user's own spool small.
    pub(super) fn end(&self, host: &Host, tracked: Tracked, report: Option<&Report>) {
        // It goes if it holds nothing.
        drop(tracked);
        if let Tracking::On { track, is_own_spool: true } = self {
            // What would go is taken in first; a home that hangs, or rules that are wrong, are no reason to wait or to fail.
            let keep = || {
                let take_in = || collect::own().map(drop).map_err(|error| error.to_string());
                let _ = in_time_of(TAKING_IN, &take_in);
            };
            spool::trim(host, &track.spool, report.map_or(0, |report| report.processes), &keep);
        }
    }
}
