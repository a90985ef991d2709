//! The columns of sacct, and a job of one of its rows.

use terrarium_segment::{BatchJob, job_id};

use crate::hosts;
use crate::options::{Options, epoch_us};
use crate::text::{self, Each, clock_us, count, digits, known, owned, short, slurm_memory};

/// What to do against columns that a text broke.
pub(crate) const ADVICE: &str = "ask sacct for --parsable2 --delimiter=$'\\x1f'";

const MIB: u64 = 1 << 20;

/// More columns than any sacct has.
const MOST_COLUMNS: usize = 1000;

/// A column that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Account,
    AllocCpus,
    AllocNodes,
    AllocTres,
    Cluster,
    Elapsed,
    ElapsedRaw,
    End,
    ExitCode,
    JobId,
    JobIdRaw,
    MaxRss,
    NCpus,
    NNodes,
    NodeList,
    Partition,
    Qos,
    ReqMem,
    Restarts,
    Sluid,
    Start,
    State,
    Submit,
    Timelimit,
    TimelimitRaw,
    TotalCpu,
    User,
}

/// Columns by their names in lower case.
const USED: &[(&str, Column)] = &[
    ("account", Column::Account),
    ("alloccpus", Column::AllocCpus),
    ("allocnodes", Column::AllocNodes),
    ("alloctres", Column::AllocTres),
    ("cluster", Column::Cluster),
    ("elapsed", Column::Elapsed),
    ("elapsedraw", Column::ElapsedRaw),
    ("end", Column::End),
    ("exitcode", Column::ExitCode),
    ("jobid", Column::JobId),
    ("jobidraw", Column::JobIdRaw),
    ("maxrss", Column::MaxRss),
    ("ncpus", Column::NCpus),
    ("nnodes", Column::NNodes),
    ("nodelist", Column::NodeList),
    ("partition", Column::Partition),
    ("qos", Column::Qos),
    ("reqmem", Column::ReqMem),
    ("restarts", Column::Restarts),
    ("sluid", Column::Sluid),
    ("start", Column::Start),
    ("state", Column::State),
    ("submit", Column::Submit),
    ("timelimit", Column::Timelimit),
    ("timelimitraw", Column::TimelimitRaw),
    ("totalcpu", Column::TotalCpu),
    ("user", Column::User),
];

/// Columns that hold what a user or an administrator wrote, or constraints, in which `|` means or.
const FREE: &str = " jobname comment admincomment systemcomment workdir submitline extra stderr stdin stdout \
    stderrexp stdinexp stdoutexp container constraints licenses wckey ";

/// The other columns, from 22.05 to 26.05.
const OTHER: &str = " associd avecpu avecpufreq avediskread avediskwrite avepages averss avevmsize \
    blockid consumedenergy consumedenergyraw cputime cputimeraw dbindex derivedexitcode eligible \
    failednode flags gid group layout maxdiskread maxdiskreadnode maxdiskreadtask maxdiskwrite \
    maxdiskwritenode maxdiskwritetask maxpages maxpagesnode maxpagestask maxrssnode maxrsstask maxvmsize \
    maxvmsizenode maxvmsizetask mcslabel mincpu mincpunode mincputask ntasks planned plannedcpu \
    plannedcpuraw priority qosraw qosreq reason reqcpufreq reqcpufreqgov reqcpufreqmax reqcpufreqmin \
    reqcpus reqnodes reqtres reservation reservationid reserved resvcpu resvcpuraw segmentsize suspended \
    systemcpu tresusageinave tresusageinmax tresusageinmaxnode tresusageinmaxtask tresusageinmin \
    tresusageinminnode tresusageinmintask tresusageintot tresusageoutave tresusageoutmax \
    tresusageoutmaxnode tresusageoutmaxtask tresusageoutmin tresusageoutminnode tresusageoutmintask \
    tresusageouttot uid usercpu wckeyid ";

fn is_in(words: &str, name: &str) -> bool {
    words.split_ascii_whitespace().any(|word| word == name)
}

/// What the first line says of the others.
pub(crate) struct Header {
    delimiter: String,
    /// How many columns.
    width: usize,
    /// Where the used ones are.
    at: [Option<usize>; USED.len()],
    /// The column that alone can hold the delimiter.
    free: Option<usize>,
    /// Rows end with the delimiter (`--parsable`).
    is_closed: bool,
}

impl Header {
    /// Reads a header line; `None` if this is none.
    pub(crate) fn read(line: &str) -> Option<Result<Header, String>> {
        let first_end = line.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(line.len());
        let (first, rest) = line.split_at(first_end);
        let first = first.to_ascii_lowercase();
        let is_known = USED.iter().any(|(name, _)| *name == first) || is_in(FREE, &first);
        if !is_known && !is_in(OTHER, &first) {
            return None;
        }
        let end = rest.find(|letter: char| letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let delimiter = if end == 0 { "|" } else { &rest[..end] };
        if delimiter.trim_matches(' ').is_empty() {
            return Some(Err(format!("columns with blanks between them cannot be told apart: {ADVICE}")));
        }
        Some(Header::columns(line, delimiter))
    }

    fn columns(line: &str, delimiter: &str) -> Result<Header, String> {
        let is_closed = line.ends_with(delimiter);
        let line = line.strip_suffix(delimiter).unwrap_or(line);
        let mut at = [None; USED.len()];
        let (mut width, mut frees, mut free) = (0, 0, None);
        for name in line.split(delimiter) {
            if width == MOST_COLUMNS {
                return Err("this header has more columns than sacct".to_owned());
            }
            let name = name.trim().to_ascii_lowercase();
            match USED.iter().find(|(used, _)| *used == name) {
                Some((_, column)) => {
                    at[*column as usize].get_or_insert(width);
                }
                // One that is not known may hold anything.
                None if !is_in(OTHER, &name) => {
                    frees += 1;
                    free = Some(width);
                }
                None => {}
            }
            width += 1;
        }
        if at[Column::JobId as usize].is_none() && at[Column::JobIdRaw as usize].is_none() {
            return Err("neither JobIDRaw nor JobID is among the columns: ask sacct for them".to_owned());
        }
        let free = free.filter(|_| frees == 1);
        Ok(Header { delimiter: delimiter.to_owned(), width, at, free, is_closed })
    }

    /// The cells of a row.
    pub(crate) fn cells<'a>(&self, line: &'a str) -> Result<Row<'a, '_>, String> {
        let line = if self.is_closed { line.strip_suffix(&*self.delimiter).unwrap_or(line) } else { line };
        let found = line.matches(&*self.delimiter).count() + 1;
        let cells = if found == self.width {
            Some(line.split(&*self.delimiter).collect())
        } else if found > self.width {
            self.free.and_then(|free| self.mended(line, free))
        } else {
            None
        };
        cells.map(|cells| Row { header: self, cells }).ok_or_else(|| {
            format!("{found} columns instead of {}, a text may hold the delimiter: {ADVICE}", self.width)
        })
    }

    /// Gives what is too much to the one column that can hold the delimiter.
    fn mended<'a>(&self, line: &'a str, free: usize) -> Option<Vec<&'a str>> {
        let mut left = line.splitn(free + 1, &*self.delimiter);
        let mut cells: Vec<&str> = left.by_ref().take(free).collect();
        let after = self.width - free - 1;
        let mut right: Vec<&str> = left.next()?.rsplitn(after + 1, &*self.delimiter).collect();
        right.reverse();
        cells.append(&mut right);
        (cells.len() == self.width).then_some(cells)
    }

    /// Whether a broken line is one of a step, as far as can be seen.
    pub(crate) fn is_broken_step(&self, line: &str) -> bool {
        let at = self.at[Column::JobId as usize].or(self.at[Column::JobIdRaw as usize]);
        let cell = at.and_then(|at| line.split(&*self.delimiter).nth(at)).unwrap_or_default();
        cell.starts_with(|letter: char| letter.is_ascii_digit()) && cell.contains('.')
    }
}

/// A row, cell by cell.
pub(crate) struct Row<'a, 'h> {
    header: &'h Header,
    cells: Vec<&'a str>,
}

impl<'a> Row<'a, '_> {
    /// A cell; empty if sacct was not asked for it.
    pub(crate) fn get(&self, column: Column) -> &'a str {
        self.header.at[column as usize].and_then(|at| self.cells.get(at)).map_or("", |cell| cell.trim())
    }

    /// The names that a job has: the one that sacct shows, and the raw one. Either may be empty.
    pub(crate) fn names(&self) -> (&'a str, &'a str) {
        (self.get(Column::JobId), self.get(Column::JobIdRaw))
    }

    /// Whether this is a step.
    pub(crate) fn is_step(&self) -> bool {
        let (shown, raw) = self.names();
        shown.contains('.') || raw.contains('.')
    }

    /// CPU time used, microseconds.
    pub(crate) fn cpu_us(&self) -> Option<u64> {
        clock_us(self.get(Column::TotalCpu), 1_000_000)
    }

    /// Peak memory, bytes; sacct writes 0 where nobody looked.
    pub(crate) fn peak(&self) -> Option<u64> {
        slurm_memory(self.get(Column::MaxRss), 1).map(|(bytes, _)| bytes).filter(|bytes| *bytes > 0)
    }

    fn time(&self, column: Column, options: &Options) -> Result<Option<i64>, String> {
        let Some(text) = known(self.get(column)) else {
            return Ok(None);
        };
        if let Some(seconds) = digits(text) {
            return Ok(i64::try_from(seconds).ok().and_then(epoch_us));
        }
        let us = options.zone.iso_us(text).map(Some);
        us.ok_or_else(|| {
            let text = short(text);
            format!(
                "'{text}' is no time of sacct: run it with SLURM_TIME_FORMAT=%s, or without that variable"
            )
        })
    }

    /// The job of a row that is no step.
    pub(crate) fn job(&self, options: &Options) -> Result<BatchJob, String> {
        let (shown, raw) = self.names();
        let name = if raw.is_empty() { shown } else { raw };
        if !name.starts_with(|letter: char| letter.is_ascii_digit()) {
            return Err(format!("'{}' is no job id", short(name)));
        }
        let mut job = BatchJob {
            system: "slurm".to_owned(),
            id: job_id("slurm", name),
            sluid: owned(self.get(Column::Sluid)),
            restarts: self.get(Column::Restarts).parse().unwrap_or(0),
            user: owned(self.get(Column::User)),
            project: owned(self.get(Column::Account)),
            queue: owned(self.get(Column::Partition)),
            qos: owned(self.get(Column::Qos)),
            submitted_us: self.time(Column::Submit, options)?,
            started_us: self.time(Column::Start, options)?,
            ended_us: self.time(Column::End, options)?,
            state: state(self.get(Column::State)),
            hosts: known(self.get(Column::NodeList)).map(hosts::expand).unwrap_or_default(),
            memory_peak_bytes: self.peak(),
            ..BatchJob::default()
        };
        if let Some((array, task)) = shown.split_once('_') {
            (job.array, job.array_task) = (Some(array.to_owned()), Some(task.to_owned()));
        } else if let Some((leader, offset)) = shown.split_once('+') {
            (job.het, job.het_offset) = (Some(leader.to_owned()), offset.parse().ok());
        }
        let is_over = is_over(job.state.as_deref());
        if is_over != Some(false) {
            (job.exit_status, job.signal) = exit(self.get(Column::ExitCode));
        }
        let limit_us = clock_us(self.get(Column::TimelimitRaw), 60_000_000)
            .or_else(|| clock_us(self.get(Column::Timelimit), 60_000_000));
        job.time_limit_s = limit_us.map(|us| us / 1_000_000).filter(|limit| *limit > 0);
        let elapsed_us = clock_us(self.get(Column::ElapsedRaw), 1_000_000)
            .or_else(|| clock_us(self.get(Column::Elapsed), 1_000_000));
        fill_end(&mut job, elapsed_us);
        self.allocated(&mut job);
        Ok(job)
    }

    fn allocated(&self, job: &mut BatchJob) {
        tres(self.get(Column::AllocTres), job);
        if job.state.as_deref() == Some("PENDING") {
            // What stands there was asked for, not allocated.
            return;
        }
        let first = |one, other| count(self.get(one)).or_else(|| count(self.get(other)));
        job.nodes = job.nodes.or_else(|| first(Column::AllocNodes, Column::NNodes));
        job.cores = job.cores.or_else(|| first(Column::AllocCpus, Column::NCpus));
        job.memory_bytes = job.memory_bytes.or_else(|| {
            let (bytes, each) = slurm_memory(self.get(Column::ReqMem), MIB)?;
            let times = match each {
                Each::Job => 1,
                Each::Node => job.nodes?,
                Each::Cpu => job.cores?,
            };
            bytes.checked_mul(u64::from(times)).filter(|bytes| *bytes > 0)
        });
    }
}

/// The word of `CANCELLED by 1000`.
pub(crate) fn state(text: &str) -> Option<String> {
    known(text)?.split_whitespace().next().map(str::to_owned)
}

/// Whether a job in this state has ended.
pub(crate) fn is_over(state: Option<&str>) -> Option<bool> {
    let going = [
        "PENDING",
        "RUNNING",
        "SUSPENDED",
        "CONFIGURING",
        "COMPLETING",
        "RESIZING",
        "SIGNALING",
        "STAGE_OUT",
        "STOPPED",
    ];
    state.map(|state| !going.contains(&state))
}

/// `3:0`: exit status and signal. One that a signal ended has no status.
fn exit(text: &str) -> (Option<i32>, Option<i32>) {
    let Some((status, signal)) = text.split_once(':') else {
        return (None, None);
    };
    let number =
        |text: &str| digits(text).filter(|_| !text.is_empty()).and_then(|number| i32::try_from(number).ok());
    match (number(status), number(signal)) {
        (Some(0), Some(signal)) if signal != 0 => (None, Some(signal)),
        (status, signal) => (status, signal.filter(|signal| *signal != 0)),
    }
}

/// An end that is missing follows from how long the job ran, unless it still does.
pub(crate) fn fill_end(job: &mut BatchJob, elapsed_us: Option<u64>) {
    if job.ended_us.is_none() && is_over(job.state.as_deref()) == Some(true) {
        let elapsed_us = elapsed_us.and_then(|us| i64::try_from(us).ok());
        job.ended_us = job.started_us.zip(elapsed_us).and_then(|(start, elapsed)| start.checked_add(elapsed));
    }
}

/// GPUs are counted with and without their type: the sum of the types is what counts only if there is no
/// other.
#[derive(Default)]
pub(crate) struct Gpus {
    all: Option<u32>,
    typed: Option<u32>,
}

impl Gpus {
    /// Takes a trackable resource's name after `gres/`, and its count.
    pub(crate) fn add(&mut self, name: &str, count: u32) {
        if name == "gpu" {
            self.all = Some(count);
        } else if name.starts_with("gpu:") {
            self.typed = Some(self.typed.unwrap_or(0).saturating_add(count));
        }
    }

    /// How many.
    pub(crate) fn count(&self) -> Option<u32> {
        self.all.or(self.typed)
    }
}

/// Takes `billing=1,cpu=1,mem=256M,node=1,gres/gpu=2,gres/gpu:a100=2`.
fn tres(text: &str, job: &mut BatchJob) {
    let mut gpus = Gpus::default();
    for (name, value) in text.split(',').filter_map(|item| item.trim().split_once('=')) {
        match name {
            "cpu" => job.cores = text::count(value),
            "node" => job.nodes = text::count(value),
            "mem" => job.memory_bytes = slurm_memory(value, MIB).map(|(bytes, _)| bytes),
            _ => {
                if let (Some(name), Ok(number)) = (name.strip_prefix("gres/"), value.parse()) {
                    gpus.add(name, number);
                }
            }
        }
    }
    job.gpus = gpus.count();
}
