//! What was loaded from which kind of place, and how long that took.

use std::collections::BTreeMap;

use crate::Map;
use crate::answer::{AskedOf, Dimension, Value, in_threads};
use crate::days::Days;
use crate::part::{Asked, Part};
use crate::select::{Filter, Selected, Selection};
use crate::set::Set;

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
    let classes: Vec<bool> = part.texts.iter().map(|class| filter.has_class(class)).collect();
    let (of_day, values) = Days { part, selected, filter, dimensions }.numbers();
    let mut places: Map<(u32, u32), usize> = Map::default();
    let mut sums: Vec<Loads> = Vec::new();
    for (i, at) in selected.place.iter().map(|at| *at as usize).enumerate() {
        let value = of_day.get(i).copied().unwrap_or(0);
        for load in of.loads(at) {
            let origin = of.load_origin[load];
            let is_wanted = classes[of.load_class[load] as usize]
                && filter.direct.is_none_or(|direct| Asked::of(of.load_asked[load]).known() == Some(direct));
            if !is_wanted {
                continue;
            }
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
            let hours = |us: u64| us as f64 / 3.6e9;
            let (all, parallel) = (of.load_us[load], of.load_parallel_us[load].min(of.load_us[load]));
            sum.users.insert(of.user[at]);
            sum.modules += of.load_modules[load] as f64;
            sum.process_hours += hours(all);
            sum.node_hours += hours(all - parallel) + hours(parallel) * f64::from(of.nodes[at].max(1));
        }
    }
    let wanted = |loads: &Loads| filter.origin.as_ref().is_none_or(|origin| loads.origin == *origin);
    sums.into_iter().filter(wanted).collect()
}
