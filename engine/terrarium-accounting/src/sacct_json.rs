//! What `sacct --json` writes, from 22.05 (openapi dbv0.0.38) to 26.05 (data_parser v0.0.45).

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::json_job::JobBuilder;
use crate::lines::{LONGEST, Lines, TOO_LONG};
use crate::options::Options;
use crate::stream::{Held, Meter};
use crate::{Found, Sink, broken};

/// Reads the output of `sacct --json`, a bare array of its jobs, or one of either a line.
///
/// The document is never in memory as a whole. A job that does not fit is [`Found::Broken`] and named by its
/// place among the jobs; what is no JSON at all ends the document there, or of lines that line. All times are
/// since 1970, so no option counts.
pub fn sacct_json(input: &mut dyn Read, _options: &Options, sink: Sink<'_>) -> io::Result<()> {
    let mut input = BufReader::with_capacity(64 << 10, input);
    let mut start = Vec::new();
    let most = LONGEST as u64;
    while without_mark(&start).trim_ascii().is_empty() && start.len() < LONGEST {
        if input.by_ref().take(most).read_until(b'\n', &mut start)? == 0 {
            return Ok(());
        }
    }
    let first = without_mark(&start);
    let is_whole = serde_json::from_slice::<IgnoredAny>(first).is_ok();
    let skipped = start.len() - first.len();
    let mut state = State { sink, meter: Rc::default(), before: 0, begun: 0, index: 0, stopped: None };
    if is_whole {
        let rest = Cursor::new(&start).chain(input);
        return by_lines(BufReader::new(rest), &mut state);
    }
    let rest = Cursor::new(first).chain(input);
    state.before = skipped as u64;
    as_stream(rest, &mut state)
}

/// Without a byte order mark.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn by_lines(input: impl BufRead, state: &mut State<'_>) -> io::Result<()> {
    let mut lines = Lines::new(input);
    while let Some(line) = lines.next()? {
        let Some(text) = line.text else {
            broken(state.sink, line.offset, TOO_LONG)?;
            continue;
        };
        if text.trim().is_empty() {
            continue;
        }
        state.before = line.offset;
        let mut json = serde_json::Deserializer::from_str(&text);
        let read = Document { state }.deserialize(&mut json).and_then(|()| json.end());
        if let Some(error) = state.stopped.take() {
            return Err(error);
        }
        if let Err(error) = read {
            broken(state.sink, line.offset, format!("job {}: {error}", state.index))?;
            state.index += 1;
        }
    }
    Ok(())
}

fn as_stream(input: impl Read, state: &mut State<'_>) -> io::Result<()> {
    let meter = Rc::clone(&state.meter);
    let mut json = serde_json::Deserializer::from_reader(Held::new(input, Rc::clone(&meter)));
    loop {
        let read = Document { state }.deserialize(&mut json);
        if let Some(error) = state.stopped.take() {
            return Err(error);
        }
        if let Err(error) = read {
            let why = match meter.why() {
                Some(why) => why.to_owned(),
                None if error.is_io() => return Err(error.into()),
                None => error.to_string(),
            };
            return broken(state.sink, state.before + meter.read(), format!("job {}: {why}", state.index));
        }
        if json.end().is_ok() {
            return Ok(());
        }
    }
}

/// What the visitors share.
struct State<'s> {
    sink: Sink<'s>,
    meter: Rc<Meter>,
    /// What was read before what the meter counts.
    before: u64,
    /// Where the job begins.
    begun: u64,
    /// Jobs so far.
    index: u64,
    /// Why the sink wants no more.
    stopped: Option<io::Error>,
}

impl State<'_> {
    fn hand_on<E: Error>(&mut self, found: Found) -> Result<(), E> {
        (self.sink)(found).map_err(|error| {
            self.stopped = Some(error);
            E::custom("stopped")
        })
    }

    /// A job begins; its bracket was read.
    fn begin(&mut self) -> JobBuilder {
        self.begun = self.before + self.meter.read().saturating_sub(1);
        JobBuilder::default()
    }

    fn job<E: Error>(&mut self, job: JobBuilder) -> Result<(), E> {
        let found = match job.finish() {
            Ok((cluster, job)) => Found::Job { cluster, job: Box::new(job) },
            Err(why) => Found::Broken { offset: self.begun, why: format!("job {}: {why}", self.index) },
        };
        self.index += 1;
        self.hand_on(found)
    }

    fn no_job<E: Error>(&mut self, what: &str) -> Result<(), E> {
        let why = format!("job {}: {what} is no job", self.index);
        self.index += 1;
        self.hand_on(Found::Broken { offset: self.before + self.meter.read(), why })
    }

    /// Reads a value that is kept.
    fn value<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<Value, A::Error> {
        self.meter.begin();
        let value = map.next_value();
        self.meter.end();
        value
    }
}

/// Takes a key of a job.
fn member<'de, A: MapAccess<'de>>(
    state: &mut State<'_>,
    job: &mut JobBuilder,
    key: &str,
    map: &mut A,
) -> Result<(), A::Error> {
    if key == "steps" {
        return map.next_value_seed(Steps { state, job });
    }
    if JobBuilder::wants(key) {
        let value = state.value(map)?;
        job.set(key, &value);
        return Ok(());
    }
    map.next_value::<IgnoredAny>().map(drop)
}

/// Visits of what is neither object nor array.
macro_rules! scalars {
    ($what:expr) => {
        fn visit_unit<E: Error>(self) -> Result<(), E> {
            $what(self, "null")
        }
        fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
            $what(self, "a truth value")
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
            $what(self, "a number")
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
            $what(self, "a number")
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
            $what(self, "a number")
        }
        fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
            $what(self, "a text")
        }
    };
}

/// Makes a visitor of any value its own seed.
macro_rules! seed {
    ($name:ident) => {
        impl<'de> DeserializeSeed<'de> for $name<'_, '_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
                json.deserialize_any(self)
            }
        }
    };
}

/// The whole, an array of jobs, or a job.
struct Document<'b, 's> {
    state: &'b mut State<'s>,
}

seed!(Document);

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("jobs of sacct")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Element { state: self.state })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut job = self.state.begin();
        let mut has_jobs = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "jobs" {
                has_jobs = true;
                map.next_value_seed(Jobs { state: self.state })?;
            } else {
                member(self.state, &mut job, &key, &mut map)?;
            }
        }
        if has_jobs { Ok(()) } else { self.state.job(job) }
    }

    scalars!(|this: Self, what| this.state.no_job(what));
}

/// The array of jobs.
struct Jobs<'b, 's> {
    state: &'b mut State<'s>,
}

seed!(Jobs);

impl<'de> Visitor<'de> for Jobs<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Element { state: self.state })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.state.no_job("an object in the place of the array")
    }

    scalars!(|this: Self, what| if what == "null" { Ok(()) } else { this.state.no_job(what) });
}

/// A job.
struct Element<'b, 's> {
    state: &'b mut State<'s>,
}

seed!(Element);

impl<'de> Visitor<'de> for Element<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a job")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut job = self.state.begin();
        while let Some(key) = map.next_key::<String>()? {
            member(self.state, &mut job, &key, &mut map)?;
        }
        self.state.job(job)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.state.no_job("an array")
    }

    scalars!(|this: Self, what| this.state.no_job(what));
}

/// The steps of a job, one after another.
struct Steps<'b, 's> {
    state: &'b mut State<'s>,
    job: &'b mut JobBuilder,
}

seed!(Steps);

impl<'de> Visitor<'de> for Steps<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("steps")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Steps { state, job } = self;
        while seq.next_element_seed(Steps { state, job })?.is_some() {}
        Ok(())
    }

    /// One of them.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if JobBuilder::wants_of_step(&key) {
                let value = self.state.value(&mut map)?;
                self.job.step(&key, &value);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    scalars!(|_: Self, _: &str| Ok(()));
}
