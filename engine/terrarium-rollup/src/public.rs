//! Answers for everybody's eyes: how many people, and nothing from which a few of them can be told.
//!
//! A cell is a set of people: those who used a library, under one filter or none, in a month, quarter or year. A cell is told only
//! if it has at least `least` people, and if every larger cell that contains it — without the filter, in the quarter or year around,
//! or both — has either nobody or at least `least` people more: whoever subtracts one told number from another gets the number of
//! nobody, or of a crowd. Of the values of what is kept apart, those that are not told are together nobody or a crowd, too; else the
//! smallest of those told is not told either.
//!
//! What is told is not the number itself but the next lower multiple of `least`: any two numbers, whatever they are of, are the same
//! or differ by at least that many.

use crate::Map;
use crate::answer::{AskedOf, Dimension, Question, Value, answer};
use crate::select::Filter;
use crate::set::Set;

/// What is asked for everybody's eyes.
#[derive(Clone, Debug)]
pub struct PublicQuestion {
    /// What is kept apart; of several, the last one splits cells of the others.
    pub dimensions: Vec<Dimension>,
    /// Of these libraries only.
    pub packages: Option<Vec<String>>,
    /// The time that it is about, days since 1970, both inclusive; and longer ones around it.
    pub periods: Vec<(i32, i32)>,
    /// No cell and no difference of fewer people.
    pub least: usize,
}

type Cells = Map<Vec<Value>, Set>;

/// What a cell is of, who is in it, and whether it is told.
type Cell<'a> = (&'a Vec<Value>, &'a Set, bool);

/// Answers; `filter` may have one condition at most (that is not checked here).
pub fn public(parts: &[AskedOf<'_>], filter: &Filter, question: &PublicQuestion) -> Vec<(Vec<Value>, usize)> {
    let by = filter.dimension();
    // Without the filter, but kept apart by what it filters: its value is one among the others.
    let open = Filter {
        cluster: None,
        project: None,
        domain: None,
        queue: None,
        gpu: None,
        class: None,
        origin: None,
        direct: None,
        ..filter.clone()
    };
    let mut dimensions = question.dimensions.clone();
    let is_new = by.is_some_and(|by| !dimensions.contains(&by));
    dimensions.extend(by.filter(|_| is_new));
    let cells = |dimensions: &[Dimension], days: (i32, i32)| -> Cells {
        let filter = Filter { days: Some(days), ..open.clone() };
        let of = Question {
            dimensions: dimensions.to_vec(),
            packages: question.packages.clone(),
            with_others: false,
        };
        answer(parts, &filter, &of).into_iter().map(|group| (group.values, group.users)).collect()
    };
    // A cell lies in those of any part of its dimensions.
    let n = dimensions.len();
    let parts_of: Vec<Vec<usize>> =
        (1..1usize << n).map(|bits| (0..n).filter(|at| bits >> at & 1 == 1).collect()).collect();
    let all: Vec<Vec<Cells>> = parts_of
        .iter()
        .map(|part| {
            let part: Vec<Dimension> = part.iter().map(|at| dimensions[*at]).collect();
            question.periods.iter().map(|days| cells(&part, *days)).collect()
        })
        .collect();
    let Some(of_period) = all.last().and_then(|level| level.first()) else { return Vec::new() };
    let is_told = |values: &[Value], set: &Set| {
        set.len() >= question.least
            && parts_of.iter().zip(&all).all(|(part, periods)| {
                let of_part: Vec<Value> = part.iter().map(|at| values[*at].clone()).collect();
                periods.iter().all(|cells| {
                    let larger = cells.get(&of_part);
                    let more =
                        larger.map_or(0, |larger| larger.iter().filter(|user| !set.contains(*user)).count());
                    more == 0 || more >= question.least
                })
            })
    };
    // Cells that only the last dimension tells apart.
    let mut groups: Map<Vec<Value>, Vec<Cell<'_>>> = Map::default();
    for (values, set) in of_period {
        let told = is_told(values, set);
        groups.entry(values[..values.len() - 1].to_vec()).or_default().push((values, set, told));
    }
    let wanted = filter.value();
    let mut told = Vec::new();
    for (_, mut cells) in groups {
        if dimensions.len() > 1 {
            cells.sort_by(|a, b| (a.1.len(), a.0).cmp(&(b.1.len(), b.0)));
            hide(&mut cells, question.least);
        }
        let is_wanted = |values: &[Value]| {
            by.is_none()
                || dimensions.iter().zip(values).any(|(d, v)| Some(*d) == by && Some(v) == wanted.as_ref())
        };
        for (values, set, is_told) in cells {
            if is_told && is_wanted(values) {
                let shown = if is_new { &values[..values.len() - 1] } else { values };
                told.push((shown.to_vec(), set.len() / question.least * question.least));
            }
        }
    }
    told.sort();
    told
}

/// Hides more, the smallest first, until those that are hidden are nobody or a crowd.
fn hide(cells: &mut [Cell<'_>], least: usize) {
    loop {
        let mut hidden = Set::default();
        cells.iter().filter(|cell| !cell.2).for_each(|cell| hidden.extend(cell.1));
        if hidden.is_empty() || hidden.len() >= least {
            return;
        }
        match cells.iter_mut().find(|cell| cell.2) {
            Some(cell) => cell.2 = false,
            None => return,
        }
    }
}

impl Filter {
    /// The one condition that a public question may have.
    fn dimension(&self) -> Option<Dimension> {
        let all = [
            (self.cluster.is_some(), Dimension::Cluster),
            (self.domain.is_some(), Dimension::Domain),
            (self.queue.is_some(), Dimension::Queue),
            (self.gpu.is_some(), Dimension::Gpu),
            (self.class.is_some(), Dimension::Class),
            (self.origin.is_some(), Dimension::Origin),
            (self.direct.is_some(), Dimension::Direct),
        ];
        all.into_iter().find(|(is_set, _)| *is_set).map(|(_, dimension)| dimension)
    }

    /// Its value.
    fn value(&self) -> Option<Value> {
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        text(&self.cluster)
            .or_else(|| text(&self.domain))
            .or_else(|| text(&self.queue))
            .or_else(|| self.gpu.map(Value::Bool))
            .or_else(|| text(&self.class))
            .or_else(|| text(&self.origin))
            .or_else(|| self.direct.map(Value::Bool))
    }
}
