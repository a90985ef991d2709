//! Jobs and sessions: when they run, where, and of what processes they are.

use terrarium_segment::{CERTAIN, End, Extent, Job, Process};

use super::World;
use super::accounting::{Accounted, Accounting};
use super::dice::{DAY_US, Dice, mix};
use super::environments::made;
use super::loads::{Modules, Prepared, prepare};
use super::segments::Segments;
use super::site::{QUEUES, Shape, Workflow};
use crate::Result;

const SECOND: i64 = 1_000_000;

/// Part of the processes that is no Python.
const NO_PYTHON: f64 = 0.14;

/// When so many processes that load little are asked for, a job has no other.
const MUCH: f64 = 30.0;

const TOOLS: [&str; 6] =
    ["/usr/bin/bash", "/usr/bin/srun", "/usr/bin/grep", "/usr/bin/sed", "/usr/bin/git", "/usr/bin/env"];

const EXCEPTIONS: [&str; 8] = [
    "KeyboardInterrupt",
    "RuntimeError",
    "ValueError",
    "FileNotFoundError",
    "ModuleNotFoundError",
    "KeyError",
    "torch.OutOfMemoryError",
    "MemoryError",
];

/// Runs workflows.
pub(super) struct Runner<'a> {
    world: &'a World,
    pub(super) segments: Segments<'a>,
    pub(super) accounting: Accounting,
    modules: Modules,
    /// By workflow, with the day on which its environment was made.
    prepared: Vec<Option<(i64, Box<Prepared>)>>,
    used: Vec<i64>,
    dice: Dice,
    next_job: u64,
    next_record: u64,
    /// One that is written again and again: its lists keep their room.
    process: Process,
}

/// What the processes of a job have in common.
struct Running<'a> {
    workflow: &'a Workflow,
    prepared: &'a Prepared,
    job: Option<Job>,
    start_us: i64,
    end_us: i64,
    hosts: Vec<String>,
    leader: u64,
}

impl<'a> Runner<'a> {
    pub(super) fn new(world: &'a World, segments: Segments<'a>, accounting: Accounting, seed: u64) -> Self {
        Runner {
            world,
            segments,
            accounting,
            modules: Modules::default(),
            prepared: world.site.workflows.iter().map(|_| None).collect(),
            used: vec![0; world.site.workflows.len()],
            dice: Dice::new(seed),
            next_job: 4_000_000,
            next_record: 1,
            process: blank(),
        }
    }

    /// Forgets what was not used for some time.
    pub(super) fn forget(&mut self, day: i64) {
        for (prepared, used) in self.prepared.iter_mut().zip(&self.used) {
            if *used + 20 < day {
                *prepared = None;
            }
        }
    }

    /// A workflow runs on a day: one job, an array of jobs, or a session. A small one is of few processes; `little` is how many
    /// processes there are that load little for each that loads all.
    pub(super) fn run(&mut self, number: usize, day: i64, most: usize, little: f64) -> Result {
        let workflow = &self.world.site.workflows[number];
        let made = made(workflow, day);
        self.used[number] = day;
        let prepared = match self.prepared[number].take() {
            Some((of, prepared)) if of == made => prepared,
            _ => Box::new(prepare(self.world, workflow, made, &mut self.modules)),
        };
        let hour = if self.dice.chance(0.55) {
            13.5 + 3.2 * self.dice.normal()
        } else {
            self.dice.between(0.0, 24.0)
        };
        let start_us = (self.world.period.first + day) * DAY_US
            + (hour.clamp(0.0, 23.95) * 3600.0 * 1e6) as i64 / SECOND * SECOND;
        let array =
            (workflow.is_array && !workflow.is_outside && most > 4).then(|| self.next_job.to_string());
        let tasks = if array.is_some() { 2 + self.dice.skewed(12) } else { 1 };
        for task in 0..tasks {
            let array = array.as_ref().map(|array| (array.clone(), task.to_string()));
            self.one(workflow, &prepared, start_us + task as i64 * SECOND, array, most / tasks, little)?;
        }
        self.prepared[number] = Some((made, prepared));
        Ok(())
    }

    fn one(
        &mut self,
        workflow: &Workflow,
        prepared: &Prepared,
        start_us: i64,
        array: Option<(String, String)>,
        most: usize,
        little: f64,
    ) -> Result {
        let (_, _, longest) = QUEUES[workflow.queue];
        let seconds = (self.dice.spread(workflow.seconds, 0.7) as i64).clamp(20, longest);
        let last_us = (self.world.period.first + self.world.period.days) * DAY_US - SECOND;
        let end_us = (start_us + seconds * SECOND).min(last_us).max(start_us + SECOND);
        let job = (!workflow.is_outside).then(|| {
            self.next_job += 1;
            let (array, array_task) = array.unzip();
            let step = if workflow.shape == Shape::Ranks { "0" } else { "batch" };
            let id = (self.next_job - 1).to_string();
            Job { system: "slurm".to_owned(), id, array, array_task, step: Some(step.to_owned()) }
        });
        let first = self.dice.below(if workflow.queue == 4 || workflow.queue == 5 { 400 } else { 3000 });
        let (hosts, list) = hosts(workflow, first);
        self.segments.truth.is_accounted = job.is_some() && !self.dice.chance(0.01);
        let leader = mix(self.next_record);
        let running = Running { workflow, prepared, job, start_us, end_us, hosts, leader };
        let state = self.processes(&running, most, little)?;
        let Some(job) = &running.job else { return Ok(()) };
        self.segments.truth.job(start_us);
        if !self.segments.truth.is_accounted {
            return Ok(());
        }
        let waited = self.dice.spread(900.0, 1.6).min(500_000.0) as i64;
        let accounted = Accounted {
            job,
            user: &self.world.site.users[workflow.user].name,
            project: &self.world.site.projects[workflow.project].name,
            queue: workflow.queue,
            submitted_us: start_us - waited * SECOND,
            started_us: start_us,
            ended_us: end_us,
            state,
            nodes: workflow.nodes,
            hosts: list,
            peak_bytes: self.dice.spread(2e9, 1.2) as u64,
        };
        self.accounting.job(&accounted, &mut self.dice)
    }

    /// The processes of a job; how it ended.
    fn processes(&mut self, running: &Running<'_>, most: usize, little: f64) -> Result<&'static str> {
        let is_small = most <= 4;
        let (full, small) = if is_small {
            (usize::from(self.dice.chance(0.15)), 1 + self.dice.below(2))
        } else if little > MUCH {
            // Where little is made in all, one large job takes the mean further than small processes can bring it back.
            (0, 1 + self.dice.below(most))
        } else {
            let full = self.dice.spread(running.workflow.processes, 0.5) as usize;
            let full = full.clamp(1, most / 4 + 1);
            let small = full as f64 * little * self.dice.between(0.2, 1.8) + self.dice.one();
            (full, (small as usize).min(most * 2))
        };
        let others = (full + small) as f64 * NO_PYTHON / (1.0 - NO_PYTHON) * self.dice.between(0.4, 1.6);
        let others = (others + self.dice.one()) as usize;
        let state = match self.dice.one() {
            x if x < 0.85 => "COMPLETED",
            x if x < 0.92 => "FAILED",
            x if x < 0.96 => "CANCELLED by 1000",
            x if x < 0.99 => "TIMEOUT",
            _ => "OUT_OF_MEMORY",
        };
        for i in 0..full {
            self.full(running, i, full, state)?;
        }
        for _ in 0..small {
            self.small(running)?;
        }
        for _ in 0..others {
            self.common(running, None);
            let process = &mut self.process;
            (process.python, process.main) = (None, String::new());
            TOOLS[self.dice.below(TOOLS.len())].clone_into(&mut process.program);
            if self.dice.chance(0.1) {
                (process.end, process.status) = (End::Exec, None);
            }
            let objects = &running.prepared.few_objects[..1];
            self.segments.process(&mut self.process, None, objects, &self.modules, running.workflow.user)?;
        }
        Ok(state)
    }

    /// What holds for any process; from when it runs, or some time in the job.
    fn common(&mut self, running: &Running<'_>, begins_us: Option<i64>) {
        let dice = &mut self.dice;
        let user = &self.world.site.users[running.workflow.user];
        let process = &mut self.process;
        self.next_record += 1;
        process.record = mix(self.next_record);
        process.forked_from = None;
        process.pid = 2000 + dice.below(4_000_000) as u32;
        process.parent = Some(process.pid.saturating_sub(1 + dice.below(50) as u32));
        user.name.clone_into(&mut process.user);
        running.hosts[dice.below(running.hosts.len())].clone_into(&mut process.host);
        let long = running.end_us - running.start_us;
        process.started_us =
            begins_us.unwrap_or(running.start_us + (dice.one() * (long - 1000) as f64) as i64);
        let most = (running.end_us - process.started_us).max(1000);
        process.lasted_us = (dice.spread(2.5e6, 1.5) as i64).clamp(1000, most) as u64;
        (process.end, process.status) = (End::Exited, Some(0));
        process.extent = if user.opted_out { Extent::OptedOut } else { Extent::Full };
        if process.python.is_none() {
            process.python = Some(String::new());
        }
        if let Some(python) = &mut process.python {
            running.prepared.installation.python.clone_into(python);
        }
        process.script = None;
        running.prepared.installation.program.clone_into(&mut process.program);
        process.job.clone_from(&running.job);
        (process.rank, process.ranks) = (None, None);
        process.peak_bytes = Some(dice.spread(6e7, 0.6) as u64);
        (process.import_events, process.not_loaded, process.dropped) = (0, 0, 0);
        (process.is_cut, process.exception) = (false, None);
    }

    /// One that loads all.
    fn full(&mut self, running: &Running<'_>, number: usize, of: usize, state: &str) -> Result {
        let workflow = running.workflow;
        let delay = self.dice.between(1.0, 20.0).min((running.end_us - running.start_us) as f64 / 4e6);
        self.common(running, Some(running.start_us + (delay * 1e6) as i64));
        let process = &mut self.process;
        process.lasted_us = (running.end_us - process.started_us).max(1000) as u64;
        process.peak_bytes = Some(self.dice.spread(1.2e9, 1.0) as u64);
        let is_kernel = workflow.is_outside && workflow.seed.is_multiple_of(3);
        process.main.clear();
        process.main += match workflow.shape {
            Shape::Spawns if number > 0 => "spawned",
            _ if is_kernel || workflow.seed.is_multiple_of(9) => "module",
            _ if workflow.seed.is_multiple_of(23) => "command",
            _ if workflow.seed.is_multiple_of(29) => "standard-input",
            _ if workflow.seed.is_multiple_of(61) => "embedded",
            _ => "script",
        };
        process.script = match process.main.as_str() {
            "module" if is_kernel => Some("ipykernel_launcher".to_owned()),
            "module" | "script" => Some(script(workflow.seed)),
            _ => None,
        };
        if number == 0 {
            process.record = running.leader;
        }
        if workflow.shape == Shape::Ranks {
            (process.rank, process.ranks) = (Some(number as u64), Some(of as u64));
            let host = &running.hosts[number * running.hosts.len() / of];
            host.clone_into(&mut process.host);
            if number > 0 && of > 8 && self.dice.chance(0.1) {
                process.extent = Extent::Counted;
            }
        }
        match state {
            "FAILED" => {
                process.status = Some(1);
                process.exception = Some(EXCEPTIONS[self.dice.skewed(EXCEPTIONS.len())].to_owned());
            }
            "COMPLETED" => {}
            _ => (process.end, process.status) = (End::Gone, None),
        }
        self.write(running, None)
    }

    /// A worker, a small script or a tool.
    fn small(&mut self, running: &Running<'_>) -> Result {
        let shares = match running.workflow.shape {
            Shape::Forks => [70.0, 20.0, 8.0, 0.6],
            Shape::Farm => [8.0, 76.0, 14.0, 0.6],
            _ => [45.0, 37.0, 16.0, 1.0],
        };
        let which = self.dice.by(&shares);
        self.common(running, None);
        let process = &mut self.process;
        process.main.clear();
        process.main += ["script", "script", "command", "module"][which];
        process.script = match which {
            0 => Some(script(running.workflow.seed)),
            1 => Some(script(running.workflow.seed / 7)),
            3 if running.prepared.has_pip => Some("pip".to_owned()),
            _ => None,
        };
        match (which, self.dice.one()) {
            (0, x) => {
                process.forked_from = Some(running.leader);
                process.end = if x < 0.8 { End::ExitedAtOnce } else { End::Exited };
            }
            (_, x) if x < 0.015 => (process.end, process.status) = (End::Gone, None),
            (_, x) if x < 0.025 => (process.end, process.status) = (End::Finished, None),
            (_, x) if x < 0.03 => (process.end, process.status) = (End::Exec, None),
            (_, x) if x < 0.032 => (process.end, process.status) = (End::Other, None),
            (_, x) if x < 0.07 => {
                process.status = Some(1);
                process.exception = Some(EXCEPTIONS[self.dice.skewed(EXCEPTIONS.len())].to_owned());
            }
            _ => {}
        }
        self.write(running, Some(which))
    }

    fn write(&mut self, running: &Running<'_>, which: Option<usize>) -> Result {
        let prepared = running.prepared;
        let (mut rows, mut objects) = match which {
            None => (prepared.full.as_slice(), prepared.objects.as_slice()),
            // Workers map what they were forked with.
            Some(0) => (prepared.small[0].as_slice(), prepared.objects.as_slice()),
            Some(which) => (prepared.small[which].as_slice(), prepared.few_objects.as_slice()),
        };
        let process = &mut self.process;
        let user = running.workflow.user;
        if process.extent != Extent::Full {
            return self.segments.process(process, None, &[], &self.modules, user);
        }
        if self.dice.chance(0.003) {
            process.is_cut = self.dice.chance(0.4);
            process.dropped = if process.is_cut { 0 } else { 1 + self.dice.skewed(300) as u32 };
            // Who imports stands in front of what is imported: the part in front is whole in itself.
            rows = &rows[..rows.len() * (40 + self.dice.below(60)) / 100];
            objects = &objects[..objects.len().min(3)];
        }
        process.not_loaded = (rows.len() / 25) as u32 + self.dice.below(3) as u32;
        process.import_events = rows.len() as u32 + process.not_loaded;
        // A file system is slow for all modules at once.
        let factor = self.dice.spread(256.0, 0.45) as u32 + 1;
        self.segments.process(process, Some((prepared, rows, factor)), objects, &self.modules, user)
    }
}

fn script(seed: u64) -> String {
    const NAMES: [&str; 12] = [
        "run",
        "train",
        "main",
        "analyze",
        "plot",
        "preprocess",
        "simulate",
        "postproc",
        "submit",
        "fit",
        "convert",
        "eval",
    ];
    let n = mix(seed) as usize;
    if n.is_multiple_of(3) {
        format!("{}.py", NAMES[n % 12])
    } else {
        format!("{}_{}.py", NAMES[n % 12], n / 12 % 40)
    }
}

/// Nodes, and as Slurm writes them.
fn hosts(workflow: &Workflow, first: usize) -> (Vec<String>, String) {
    if workflow.is_outside {
        return (vec![format!("login{:02}", workflow.seed % 12 + 1)], String::new());
    }
    let name = if workflow.queue == 4 || workflow.queue == 5 { "gpu" } else { "nid" };
    let last = first + workflow.nodes as usize - 1;
    let list =
        if last == first { format!("{name}{first:05}") } else { format!("{name}[{first:05}-{last:05}]") };
    ((first..=last).map(|n| format!("{name}{n:05}")).collect(), list)
}

fn blank() -> Process {
    Process {
        record: 0,
        forked_from: None,
        pid: 0,
        parent: None,
        user: String::new(),
        host: String::new(),
        started_us: 0,
        lasted_us: 0,
        end: End::Exited,
        status: None,
        extent: Extent::Full,
        python: None,
        environment: None,
        main: String::new(),
        script: None,
        program: String::new(),
        job: None,
        run: None,
        rank: None,
        ranks: None,
        peak_bytes: None,
        import_events: 0,
        not_loaded: 0,
        dropped: 0,
        is_cut: false,
        exception: None,
        objects: Vec::new(),
        probability: CERTAIN,
        doubts: Vec::new(),
        content: 0,
        loads: Vec::new(),
    }
}
