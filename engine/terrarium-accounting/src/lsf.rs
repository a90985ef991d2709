//! LSF's `lsb.acct`.
//!
//! The order of the fields is that of the reference of LSF 10.1, lsb.acct(5); up to `maxRMem`, the last that
//! is used, records of 6.0 to 10.108 have the same. `numExHosts` counts names: one a slot, or with
//! `SHORT_EVENTFILE` one a host with the slots before it (`16*n1`).

use std::borrow::Cow;
use std::io::{self, BufRead};

use terrarium_segment::{BatchJob, job_id};

use crate::hosts::places;
use crate::lines::{Lines, TOO_LONG};
use crate::options::{Options, epoch_text};
use crate::text::{digits, known, short, whole};
use crate::{Found, Sink, broken};

/// Reads `lsb.acct`: a `JOB_FINISH` a job. Times are since 1970, so no option counts.
pub fn lsb_acct(input: &mut dyn BufRead, _options: &Options, sink: Sink<'_>) -> io::Result<()> {
    let mut lines = Lines::new(input);
    while let Some(line) = lines.next()? {
        let Some(text) = &line.text else {
            broken(sink, line.offset, TOO_LONG)?;
            continue;
        };
        if text.trim().is_empty() {
            continue;
        }
        let mut fields = Fields { rest: text };
        match fields.next() {
            Ok(kind) if kind == "JOB_FINISH" => match job(&mut fields) {
                Ok(job) => sink(Found::Job { cluster: None, job: Box::new(job) })?,
                Err(why) => broken(sink, line.offset, why)?,
            },
            Ok(kind) if text.trim_start().starts_with('"') && is_kind(&kind) => {
                sink(Found::Passed(if kind.contains("ADRSV") { "reservations" } else { "other events" }))?;
            }
            Ok(kind) => {
                broken(sink, line.offset, format!("'{}' is no event of LSF", short(&kind)))?;
            }
            Err(why) => broken(sink, line.offset, why)?,
        }
    }
    Ok(())
}

fn is_kind(kind: &str) -> bool {
    kind.len() > 2
        && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// What is left of a record.
struct Fields<'a> {
    rest: &'a str,
}

impl<'a> Fields<'a> {
    /// The next field; a quote in a quoted one stands there twice.
    fn next(&mut self) -> Result<Cow<'a, str>, String> {
        let text = self.rest.trim_start_matches([' ', '\t']);
        if text.is_empty() {
            return Err("the record ends too early".to_owned());
        }
        let Some(inner) = text.strip_prefix('"') else {
            let (field, rest) = text.split_at(text.find([' ', '\t']).unwrap_or(text.len()));
            self.rest = rest;
            return Ok(Cow::Borrowed(field));
        };
        let mut from = 0;
        loop {
            let end = from + inner[from..].find('"').ok_or("a quoted field has no end")?;
            if inner[end + 1..].starts_with('"') {
                from = end + 2;
                continue;
            }
            self.rest = &inner[end + 1..];
            let field = &inner[..end];
            let is_plain = from == 0;
            return Ok(if is_plain { Cow::Borrowed(field) } else { Cow::Owned(field.replace("\"\"", "\"")) });
        }
    }

    fn skip(&mut self, fields: u64) -> Result<(), String> {
        for _ in 0..fields {
            self.next()?;
        }
        Ok(())
    }

    /// A number that must be one, or the record has another form.
    fn number(&mut self, name: &str) -> Result<i64, String> {
        let field = self.next()?;
        let is_plain = field.strip_prefix('-').unwrap_or(&field).bytes().all(|byte| byte.is_ascii_digit());
        let number = if is_plain { field.parse().ok() } else { None };
        number.ok_or_else(|| format!("{name} is '{}' and no number", short(&field)))
    }

    /// How many fields a list has.
    fn length(&mut self, name: &str) -> Result<u64, String> {
        let number = self.number(name)?;
        u64::try_from(number).map_err(|_| format!("{name} is {number}"))
    }

    /// Seconds, -1 if not known.
    fn seconds(&mut self) -> Result<Option<f64>, String> {
        Ok(self.next()?.parse().ok().filter(|seconds| (0.0..1e15).contains(seconds)))
    }
}

fn job(fields: &mut Fields<'_>) -> Result<BatchJob, String> {
    fields.skip(1)?; // version
    let ended_us = epoch_text(&fields.next()?);
    let id = fields.next()?;
    if id.is_empty() || digits(&id).is_none() {
        return Err(format!("jobId is '{}' and no number", short(&id)));
    }
    fields.skip(2)?; // userId options
    let slots = fields.number("numProcessors")?;
    let submitted_us = epoch_text(&fields.next()?);
    fields.skip(2)?; // beginTime termTime
    let started_us = epoch_text(&fields.next()?);
    let user = known(&fields.next()?).map(str::to_owned);
    let queue = known(&fields.next()?).map(str::to_owned);
    fields.skip(9)?; // resReq dependCond preExecCmd fromHost cwd inFile outFile errFile jobFile
    let asked = fields.length("numAskedHosts")?;
    fields.skip(asked)?;
    let hosts = fields.length("numExHosts")?;
    let mut names = Vec::new();
    for _ in 0..hosts {
        names.push(fields.next()?);
    }
    let places = places(names.iter().map(|name| match name.split_once('*') {
        Some((slots, host)) if !slots.is_empty() && digits(slots).is_some() => {
            (host, digits(slots).unwrap_or(1))
        }
        _ => (&**name, 1),
    }));
    drop(names);
    let status = fields.number("jStatus")?;
    fields.skip(3)?; // hostFactor jobName command
    let (in_user, in_system) = (fields.seconds()?, fields.seconds()?);
    fields.skip(17)?; // ru_maxrss … ru_exutime
    fields.skip(1)?; // mailUser
    let project = known(&fields.next()?).map(str::to_owned);
    let wait = fields.number("exitStatus")?;
    fields.skip(3)?; // maxNumProcessors loginShell timeEvent
    let index = fields.number("idx")?;
    let peak_kib = u64::try_from(fields.number("maxRMem")?).ok().filter(|kib| *kib > 0);

    let state = match status {
        done if done & 64 != 0 => "DONE".to_owned(),
        exit if exit & 32 != 0 => "EXIT".to_owned(),
        other => other.to_string(),
    };
    let signal = Some(wait & 0x7f).filter(|signal| wait >= 0 && *signal != 0);
    let exit_status = if wait < 0 || signal.is_some() { None } else { i32::try_from(wait >> 8).ok() };
    let asked_for = u32::try_from(slots).ok().filter(|slots| *slots > 0 && started_us.is_some());
    let cpu = in_user.zip(in_system).map(|(user, system)| user + system).or(in_user).or(in_system);
    let array = (index > 0).then(|| id.to_string());
    let name = if index > 0 { format!("{id}[{index}]") } else { id.to_string() };
    Ok(BatchJob {
        system: "lsf".to_owned(),
        id: job_id("lsf", &name),
        array,
        array_task: (index > 0).then(|| index.to_string()),
        user,
        project,
        queue,
        submitted_us,
        started_us,
        ended_us,
        state: Some(state),
        exit_status,
        signal: signal.and_then(|signal| i32::try_from(signal).ok()),
        nodes: Some(places.nodes).filter(|nodes| *nodes > 0),
        cores: Some(places.slots).filter(|slots| *slots > 0).or(asked_for),
        cpu_seconds: cpu.filter(|cpu| whole(*cpu).is_some()),
        memory_peak_bytes: peak_kib.and_then(|kib| kib.checked_mul(1024)),
        hosts: places.hosts,
        ..BatchJob::default()
    })
}
