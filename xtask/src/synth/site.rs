//! The site: fields of science, projects, users, and what each user does again and again.

use super::Period;
use super::catalogue::TASTES;
use super::dice::{Dice, mix2, unit};

/// A field of science: its share, a short name, and what it has a taste for.
type Field = (&'static str, f64, &'static str, &'static [(&'static str, f64)]);

pub(super) const FIELDS: [Field; 18] = [
    ("Materials Science", 14.0, "mat", &[("mat", 1.0), ("chem", 0.5), ("sim", 0.8), ("ml", 0.25)]),
    ("Climate and Atmosphere", 12.0, "cli", &[("climate", 1.0), ("geo", 0.5), ("data", 0.5), ("ml", 0.15)]),
    ("Computer Science", 11.0, "csc", &[("ml", 1.0), ("nlp", 0.8), ("sys", 1.0), ("data", 0.6)]),
    ("High Energy Physics", 10.0, "hep", &[("hep", 1.0), ("sim", 0.6), ("data", 0.3), ("ml", 0.2)]),
    ("Chemistry", 9.0, "chm", &[("chem", 1.0), ("sim", 0.6), ("mat", 0.4), ("ml", 0.2)]),
    ("Biology", 8.0, "bio", &[("bio", 1.0), ("data", 0.7), ("ml", 0.25), ("chem", 0.2)]),
    ("Astrophysics", 7.0, "ast", &[("astro", 1.0), ("sim", 0.7), ("ml", 0.15)]),
    ("Engineering", 6.0, "eng", &[("eng", 1.0), ("sim", 0.8), ("ml", 0.2)]),
    ("Fusion and Plasma", 5.0, "fus", &[("sim", 1.0), ("eng", 0.4), ("ml", 0.2)]),
    ("Medicine", 4.0, "med", &[("med", 1.0), ("ml", 0.6), ("bio", 0.4), ("data", 0.4)]),
    ("Geosciences", 3.5, "geo", &[("geo", 1.0), ("climate", 0.4), ("sim", 0.5), ("data", 0.4)]),
    ("Nuclear Physics", 3.0, "nuc", &[("hep", 0.5), ("sim", 0.9), ("data", 0.2)]),
    ("Quantum Information", 2.5, "qis", &[("quantum", 1.0), ("sim", 0.5), ("ml", 0.2)]),
    ("Neuroscience", 2.0, "neu", &[("med", 0.8), ("data", 0.6), ("ml", 0.4), ("bio", 0.3)]),
    ("Energy Systems", 1.3, "ene", &[("eng", 0.7), ("fin", 0.5), ("data", 0.8)]),
    ("Mathematics", 0.8, "mth", &[("sim", 0.9), ("quantum", 0.2), ("ml", 0.3)]),
    ("Social Sciences", 0.6, "soc", &[("data", 1.0), ("nlp", 0.6), ("fin", 0.4)]),
    ("Economics", 0.3, "eco", &[("fin", 1.0), ("data", 1.0), ("nlp", 0.2)]),
];

/// Queues of the scheduler: name, most nodes, longest time in seconds.
pub(super) const QUEUES: [(&str, u32, i64); 7] = [
    ("debug", 4, 1800),
    ("cpu", 64, 86_400),
    ("long", 16, 86_400),
    ("large", 512, 43_200),
    ("gpu", 32, 86_400),
    ("gpu-large", 256, 43_200),
    ("interactive", 2, 14_400),
];

/// What an environment is by the site's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Base,
    Overlay,
    Clone,
    OwnVenv,
    OwnConda,
    OwnPython,
    System,
    /// An own conda in an image of a container.
    Container,
}

impl Class {
    /// With their shares of workflows.
    const SHARES: [(Class, f64); 8] = [
        (Class::Base, 38.0),
        (Class::Overlay, 9.0),
        (Class::Clone, 7.0),
        (Class::OwnVenv, 15.0),
        (Class::OwnConda, 17.0),
        (Class::OwnPython, 3.0),
        (Class::System, 6.0),
        (Class::Container, 5.0),
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Class::Base => "base",
            Class::Overlay => "overlay",
            Class::Clone => "clone",
            Class::OwnVenv => "own-venv",
            Class::OwnConda | Class::Container => "own-conda",
            Class::OwnPython => "own-python",
            Class::System => "system",
        }
    }
}

/// What runs on GPUs, or should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gpu {
    /// It is in no GPU queue.
    Outside,
    Used,
    /// A Torch that was built without CUDA.
    CpuOnly,
    /// Nothing of it knows GPUs.
    Unknown,
}

/// How its processes are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    /// One, and workers forked from it.
    Forks,
    /// One, and workers that load all of it again.
    Spawns,
    Ranks,
    /// Script after script.
    Farm,
}

pub(super) struct Project {
    pub(super) name: String,
    pub(super) field: usize,
}

pub(super) struct User {
    pub(super) name: String,
    pub(super) opted_out: bool,
    /// First and last day of the period.
    pub(super) days: (i64, i64),
    /// How much of the work goes on at weekends.
    weekend: f64,
    seed: u64,
    /// Numbers of workflows.
    pub(super) workflows: std::ops::Range<usize>,
}

pub(super) struct Workflow {
    pub(super) user: usize,
    pub(super) project: usize,
    pub(super) seed: u64,
    pub(super) class: Class,
    pub(super) gpu: Gpu,
    pub(super) shape: Shape,
    pub(super) queue: usize,
    /// On login nodes or in Jupyter, in no job.
    pub(super) is_outside: bool,
    pub(super) is_array: bool,
    pub(super) nodes: u32,
    /// Median of its processes that load all, and of its time in seconds.
    pub(super) processes: f64,
    pub(super) seconds: f64,
    weight: f64,
    /// Of the base environments, and whether its version stays.
    pub(super) stream: usize,
    pub(super) is_pinned: bool,
    /// Own packages change after so many days, beginning so many before the period.
    pub(super) every: i64,
    pub(super) phase: i64,
    pub(super) breadth: f64,
}

pub(super) struct Site {
    pub(super) projects: Vec<Project>,
    pub(super) users: Vec<User>,
    pub(super) workflows: Vec<Workflow>,
}

impl Site {
    pub(super) fn new(seed: u64, users: usize, days: i64) -> Self {
        let mut dice = Dice::new(mix2(seed, 1));
        let mut site = Site { projects: Vec::new(), users: Vec::new(), workflows: Vec::new() };
        let shares: Vec<f64> = FIELDS.iter().map(|field| field.1).collect();
        let count = (users * 9 / 50).max(FIELDS.len());
        for i in 0..count {
            // Each field has one at least.
            let field = if i < FIELDS.len() { i } else { dice.by(&shares) };
            site.projects.push(Project { name: format!("{}{:03}", FIELDS[field].2, i + 1), field });
        }
        for i in 0..users {
            site.user(&mut dice, i, days);
        }
        site
    }

    fn user(&mut self, dice: &mut Dice, number: usize, days: i64) {
        let joins = if dice.chance(0.65) { 0 } else { dice.below(days as usize) as i64 };
        let leaves =
            if dice.chance(0.75) { days - 1 } else { joins + dice.below((days - joins) as usize) as i64 };
        // Few people run very much; those come and go less.
        let rank = dice.below(self.users.len() + 1).max(dice.skewed(number + 1)) + 1;
        let activity = dice.spread(1.0, 1.5) / (rank as f64).sqrt();
        let main = self.any_project(dice);
        let mut projects = vec![main];
        while projects.len() < 3 && dice.chance(0.25) {
            projects.push(self.any_project(dice));
        }
        let first = self.workflows.len();
        let count = 1 + dice.skewed(7).min(5);
        for i in 0..count {
            let project = if dice.chance(0.75) { main } else { projects[dice.below(projects.len())] };
            let weight = activity / (i + 1) as f64;
            let workflow = self.workflow(dice, number, project, weight);
            self.workflows.push(workflow);
        }
        self.users.push(User {
            name: format!("u{number:05}"),
            opted_out: activity < 3.0 && dice.chance(0.003),
            days: (joins, leaves),
            weekend: dice.between(0.05, 0.8),
            seed: dice.next(),
            workflows: first..self.workflows.len(),
        });
    }

    /// Large ones more often.
    fn any_project(&self, dice: &mut Dice) -> usize {
        let all = self.projects.len();
        if dice.chance(0.3) { dice.below(all) } else { dice.skewed(all + 1).min(all - 1) }
    }

    fn workflow(&self, dice: &mut Dice, user: usize, project: usize, weight: f64) -> Workflow {
        let weights = tastes(self.projects[project].field);
        let of = |name: &str| TASTES.iter().position(|taste| *taste == name).map_or(0.0, |i| weights[i]);
        let is_gpu = dice.chance(0.08 + 0.5 * of("ml"));
        let gpu = match dice.one() {
            _ if !is_gpu => Gpu::Outside,
            x if x < 0.72 => Gpu::Used,
            x if x < 0.84 => Gpu::CpuOnly,
            _ => Gpu::Unknown,
        };
        let shares = if is_gpu { [30.0, 10.0, 20.0, 25.0, 15.0] } else { [35.0, 20.0, 8.0, 20.0, 17.0] };
        let shapes = [Shape::Single, Shape::Forks, Shape::Spawns, Shape::Ranks, Shape::Farm];
        let shape = shapes[dice.by(&shares)];
        let mut nodes = 1;
        if shape == Shape::Ranks || dice.chance(0.1) {
            while nodes < 512 && dice.chance(0.58) {
                nodes *= 2;
            }
        }
        let queue = match (is_gpu, nodes) {
            (_, 1..=2) if dice.chance(0.06) => 6,
            (_, 1..=4) if dice.chance(0.08) => 0,
            (true, 1..=32) => 4,
            (true, _) => 5,
            (false, 65..) => 3,
            (false, 1..=16) if dice.chance(0.15) => 2,
            (false, _) => 1,
        };
        let middle = match shape {
            Shape::Single => 1.0,
            Shape::Forks => 1.3,
            Shape::Spawns => 4.0,
            Shape::Ranks => f64::from(nodes) * 2.0 + 2.0,
            Shape::Farm => 2.0,
        };
        Workflow {
            user,
            project,
            seed: dice.next(),
            class: Class::SHARES[dice.by(&Class::SHARES.map(|(_, share)| share))].0,
            gpu,
            shape,
            queue,
            is_outside: dice.chance(0.12),
            is_array: shape != Shape::Ranks && dice.chance(0.12),
            nodes: nodes.min(QUEUES[queue].1),
            processes: middle * dice.spread(1.0, 0.4),
            seconds: dice.spread(2400.0, 1.3),
            weight,
            stream: dice.by(&[50.0, 25.0, 15.0, 10.0]),
            is_pinned: dice.chance(0.2),
            every: dice.between(40.0, 240.0) as i64,
            phase: dice.below(200) as i64,
            breadth: dice.spread(0.5, 0.5),
        }
    }

    /// How much a workflow runs on a day of the period.
    pub(super) fn weight(&self, number: usize, day: i64, period: &Period) -> f64 {
        let workflow = &self.workflows[number];
        let user = &self.users[workflow.user];
        if day < user.days.0 || day > user.days.1 {
            return 0.0;
        }
        let weekend = if period.is_weekend(day) { user.weekend } else { 1.0 };
        // People work on something for some weeks, and then on something else.
        let season = unit(mix2(workflow.seed, ((day + workflow.phase) / 21) as u64));
        let season = if season < 0.45 { 1.6 } else { 0.15 };
        let week = 0.3 + unit(mix2(user.seed, (day / 7) as u64));
        workflow.weight * weekend * season * week
    }
}

/// Weights of a field, by taste.
pub(super) fn tastes(field: usize) -> [f64; TASTES.len()] {
    let given = FIELDS[field].3;
    TASTES.map(|taste| match given.iter().find(|(name, _)| *name == taste) {
        Some((_, weight)) => *weight,
        None if taste == "any" => 1.0,
        None => 0.04,
    })
}
