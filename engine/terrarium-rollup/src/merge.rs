//! Days become a month.

use std::collections::BTreeMap;

use crate::Map;
use crate::answer::AskedOf;
use crate::part::{JobDays, Key, Part, Runs};

/// A job-day that is left out.
const OUT: u32 = u32::MAX;

/// Puts parts of one cluster together, of each the days that are said; no day is in two of them.
pub fn merge(of: &[AskedOf<'_>]) -> Part {
    let parts: Vec<&Part> = of.iter().map(|(part, _)| *part).collect();
    let parts = parts.as_slice();
    let mut into = Part { texts: vec![String::new()], ..Part::default() };
    into.cluster = parts.first().map(|part| part.cluster.clone()).unwrap_or_default();
    let is_in = |days: &Option<&[i32]>, day: i32| days.is_none_or(|days| days.contains(&day));
    into.days = of
        .iter()
        .flat_map(|(part, days)| part.days.iter().copied().filter(|day| is_in(days, day.0)))
        .collect();
    into.days.sort_unstable();
    let first = into.days.first().map_or(0, |day| day.0);
    let mut numbers: Map<&str, u32> = Map::default();
    let mut texts: Vec<Vec<u32>> = Vec::new();
    for part in parts {
        let mut of_part = Vec::with_capacity(part.texts.len());
        for text in &part.texts {
            let next = into.texts.len() as u32;
            let number = if text.is_empty() { 0 } else { *numbers.entry(text).or_insert(next) };
            if number == next {
                into.texts.push(text.clone());
            }
            of_part.push(number);
        }
        texts.push(of_part);
    }
    let mut order = order(parts);
    order.retain(|(part, at)| {
        let (part, days) = &of[*part as usize];
        is_in(days, part.days[0].0 + part.job_days.day[*at as usize] as i32)
    });
    let mut places: Vec<Vec<u32>> = parts.iter().map(|part| vec![OUT; part.job_days.len()]).collect();
    for (place, (part, at)) in order.iter().enumerate() {
        places[*part as usize][*at as usize] = place as u32;
    }
    into.job_days = columns(parts, &texts, &order, first);
    into.libraries = runs(parts, &texts, &places, |part| &part.libraries);
    into.others = runs(parts, &texts, &places, |part| &part.others);
    without_unused(&mut into);
    into
}

/// Removes texts that nothing refers to: they came with days that are left out, maybe because somebody wants to be forgotten.
fn without_unused(part: &mut Part) {
    let mut is_used = vec![false; part.texts.len()];
    is_used[0] = true;
    let each = |part: &mut Part, with: &mut dyn FnMut(&mut u32)| {
        let of = &mut part.job_days;
        for column in
            [&mut of.project, &mut of.domain, &mut of.queue, &mut of.load_origin, &mut of.load_class]
        {
            column.iter_mut().for_each(&mut *with);
        }
        for key in part.libraries.keys.iter_mut().chain(&mut part.others.keys) {
            for text in
                [&mut key.package, &mut key.distribution, &mut key.version, &mut key.origin, &mut key.class]
            {
                with(text);
            }
        }
    };
    each(part, &mut |text| is_used[*text as usize] = true);
    if is_used.iter().all(|used| *used) {
        return;
    }
    let mut next = 0;
    let numbers: Vec<u32> = is_used
        .iter()
        .map(|used| {
            next += u32::from(*used);
            next.saturating_sub(1)
        })
        .collect();
    each(part, &mut |text| *text = numbers[*text as usize]);
    let mut at = 0;
    part.texts.retain(|_| {
        at += 1;
        is_used[at - 1]
    });
}

/// By user, queue and project; below that, those that loaded the same follow each other. Those two are compared as texts: numbers of
/// parts differ.
fn order(parts: &[&Part]) -> Vec<(u32, u32)> {
    let mut names: Vec<&str> = parts.iter().flat_map(|part| part.texts.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let ranks: Vec<Vec<u32>> = parts
        .iter()
        .map(|part| {
            let rank = |text: &String| names.binary_search(&text.as_str()).unwrap_or(0) as u32;
            part.texts.iter().map(rank).collect()
        })
        .collect();
    let mut keyed = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let of = &part.job_days;
        for at in 0..of.len() {
            let (queue, project) =
                (ranks[number][of.queue[at] as usize], ranks[number][of.project[at] as usize]);
            keyed.push(((of.user[at], queue, project, of.sort[at], of.job[at]), (number as u32, at as u32)));
        }
    }
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, place)| place).collect()
}

fn columns(parts: &[&Part], texts: &[Vec<u32>], order: &[(u32, u32)], first: i32) -> JobDays {
    let mut to = JobDays::default();
    for (number, at) in order {
        let (part, texts, at) = (&parts[*number as usize], &texts[*number as usize], *at as usize);
        let of = &part.job_days;
        to.day.push((part.days[0].0 + of.day[at] as i32 - first) as u32);
        to.user.push(of.user[at]);
        to.job.push(of.job[at]);
        to.sort.push(of.sort[at]);
        to.project.push(texts[of.project[at] as usize]);
        to.domain.push(texts[of.domain[at] as usize]);
        to.queue.push(texts[of.queue[at] as usize]);
        to.nodes.push(of.nodes[at]);
        to.gpus.push(of.gpus[at]);
        to.seconds.push(of.seconds[at]);
        to.probability.push(of.probability[at]);
        to.processes.push(of.processes[at]);
        to.python.push(of.python[at]);
        to.opted_out.push(of.opted_out[at]);
        to.incomplete.push(of.incomplete[at]);
        to.sampled.push(of.sampled[at]);
        to.doubtful.push(of.doubtful[at]);
        to.lost.push(of.lost[at]);
        to.accounted.push(of.accounted[at]);
        for load in of.loads(at) {
            to.load_origin.push(texts[of.load_origin[load] as usize]);
            to.load_class.push(texts[of.load_class[load] as usize]);
            to.load_asked.push(of.load_asked[load]);
            to.load_modules.push(of.load_modules[load]);
            to.load_us.push(of.load_us[load]);
            to.load_parallel_us.push(of.load_parallel_us[load]);
        }
        to.load_ends.push(to.load_origin.len() as u32);
    }
    to
}

fn runs(parts: &[&Part], texts: &[Vec<u32>], places: &[Vec<u32>], of: impl Fn(&Part) -> &Runs) -> Runs {
    // Where each set is: in which part, and which of its sets.
    let mut sets: BTreeMap<Key, Vec<(u32, u32)>> = BTreeMap::new();
    for (number, part) in parts.iter().enumerate() {
        let text = |text: u32| texts[number][text as usize];
        for (set, key) in of(part).keys.iter().enumerate() {
            let key = Key {
                package: text(key.package),
                distribution: text(key.distribution),
                version: text(key.version),
                origin: text(key.origin),
                class: text(key.class),
                asked: key.asked,
            };
            sets.entry(key).or_default().push((number as u32, set as u32));
        }
    }
    let mut to = Runs::default();
    let mut members: Vec<u32> = Vec::new();
    for (key, of_key) in sets {
        members.clear();
        for (number, set) in of_key {
            let places = &places[number as usize];
            for (start, end) in of(parts[number as usize]).of(set as usize) {
                let end = end.min(places.len() as u64);
                let places = &places[start.min(end) as usize..end as usize];
                members.extend(places.iter().copied().filter(|place| *place != OUT));
            }
        }
        if members.is_empty() {
            continue;
        }
        members.sort_unstable();
        to.push(key, &members);
    }
    to
}
