//! Messages of NERSC's Customs: one JSON object for each process that ended by itself, alone on its line or behind a log's head.

use std::io;

use serde_json::{Map, Value};
use sha2::Digest;

use crate::gather::{Gathering, Place};
use crate::join::Run;
use crate::lines::{Line, Lines};
use crate::times;
use crate::walk::Document;
use crate::xalt::json::job;

/// Where the packages stand; sites name it differently.
const PACKAGES: [&str; 5] = ["imports", "packages", "modules", "libraries", "python_packages"];
const TIMES: [&str; 6] = ["timestamp", "@timestamp", "time", "datetime", "date", "when"];

/// Takes all messages of a document.
pub(crate) fn read(name: &str, document: Document<'_>, into: &mut Gathering) -> io::Result<()> {
    let mut whole;
    let reader: &mut dyn io::BufRead = match document {
        Document::Whole(bytes) => {
            whole = bytes;
            &mut whole
        }
        Document::Stream(reader) => reader,
    };
    let mut lines = Lines::new(reader, 0);
    while let Some((at, line)) = lines.next()? {
        if into.is_done(at) {
            continue;
        }
        let place = Place { file: name, offset: at };
        match line {
            Line::TooLong => into.broken(place, "a line is longer than 64 MiB"),
            Line::Text(line) if line.iter().all(u8::is_ascii_whitespace) => {}
            Line::Text(line) => match take(line, into) {
                Ok(()) => into.counts.was("messages"),
                Err(why) => into.broken(place, &why),
            },
        }
        into.pause(lines.offset())?;
    }
    Ok(())
}

fn take(line: &[u8], into: &mut Gathering) -> Result<(), String> {
    let at = memchr::memchr2(b'{', b'[', line).ok_or("no JSON")?;
    let head = String::from_utf8_lossy(&line[..at]).into_owned();
    let value: Value = serde_json::from_slice(&line[at..]).map_err(|error| format!("no JSON: {error}"))?;
    let Value::Object(message) = value else {
        return Err("a list of names tells neither who loaded them nor when".to_owned());
    };
    // Elasticsearch puts the message one level deeper.
    let message = match message.get("_source") {
        Some(Value::Object(inner)) => inner.clone(),
        _ => message,
    };
    let packages = PACKAGES.iter().find_map(|name| message.get(*name)).ok_or("it names no packages")?;
    let packages = names(packages);
    let text = |names: &[&str]| names.iter().find_map(|name| text(&message, name));
    let time = TIMES.iter().find_map(|name| message.get(*name)).and_then(|value| match value {
        Value::Number(number) => number.as_f64().and_then(times::epoch),
        Value::String(text) => times::any(text),
        _ => None,
    });
    let started_us = time.or_else(|| times::in_head(&head)).unwrap_or(0);
    // Nothing in a message names the process: the same message is the same process.
    let mut digest = sha2::Sha256::new();
    digest.update(started_us.to_le_bytes());
    digest.update(line);
    let key = digest.finalize().iter().take(16).fold(0u128, |key, byte| key << 8 | u128::from(*byte));
    let system = into.scheduler.clone().unwrap_or_else(|| "slurm".to_owned());
    let executable = text(&["executable"]).unwrap_or_default();
    let main = text(&["main"]).unwrap_or_default();
    let run = Run {
        cluster: text(&["system", "cluster"]).unwrap_or_default(),
        user: text(&["username", "user"]).unwrap_or_default(),
        host: text(&["hostname", "host"]).unwrap_or_default(),
        started_us,
        // It is written when the interpreter ends.
        ended_us: (started_us != 0).then_some(started_us),
        probability: terrarium_segment::CERTAIN,
        python: Some(text(&["python_version"]).unwrap_or_default()),
        called: executable.clone(),
        program: executable,
        main: if main.is_empty() { String::new() } else { "script".to_owned() },
        script: main,
        job: text(&["job_id", "jobid"]).map(|id| job(&system, &id)),
        project: text(&["repo", "account", "project"]),
        queue: text(&["subsystem", "partition", "queue"]),
        qos: text(&["qos"]),
        nodes: text(&["num_nodes"]).and_then(|n| n.parse().ok()).filter(|n| *n > 0),
        ..Run::default()
    };
    into.joiner.run(key, run);
    into.counts.add("packages", packages.len() as u64);
    for (name, version) in packages {
        into.joiner.module(key, &name, "", &version);
    }
    Ok(())
}

fn text(message: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match message.get(name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty() && !matches!(text.as_str(), "unknown" | "None" | "null"))
}

/// Names and versions, in each form that they may have.
pub(crate) fn names(value: &Value) -> Vec<(String, String)> {
    let plain = |value: &Value| match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let mut all = match value {
        Value::String(text) => {
            text.split([',', ';', ' ', '\n']).map(|word| split(word.trim())).collect::<Vec<_>>()
        }
        Value::Array(list) => list
            .iter()
            .map(|item| match item {
                Value::Object(item) => {
                    let name =
                        item.get("name").or_else(|| item.get("package")).map(plain).unwrap_or_default();
                    (name, item.get("version").map(plain).unwrap_or_default())
                }
                Value::Array(pair) => {
                    (pair.first().map(plain).unwrap_or_default(), pair.get(1).map(plain).unwrap_or_default())
                }
                item => split(&plain(item)),
            })
            .collect(),
        Value::Object(map) => {
            map.iter().map(|(name, version)| (name.trim().to_owned(), plain(version))).collect()
        }
        _ => Vec::new(),
    };
    all.retain(|(name, _)| !name.is_empty());
    all
}

/// `numpy==1.26.4`, `numpy:1.26.4`, `numpy`.
fn split(word: &str) -> (String, String) {
    let parts = word.split_once("==").or_else(|| word.split_once(':')).or_else(|| word.split_once('='));
    match parts {
        Some((name, version)) => (name.trim().to_owned(), version.trim().to_owned()),
        None => (word.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Gathering, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let mut gathering = Gathering::open(directory.path(), "x", 1 << 20, None).unwrap();
        read("messages", Document::Whole(text.as_bytes()), &mut gathering).unwrap();
        (gathering, directory)
    }

    #[test]
    fn messages_behind_any_head() {
        let plain = r#"{"username":"ada","system":"cori","subsystem":"haswell","job_id":"4711","repo":"m1","qos":"debug","num_nodes":"2","main":"/u/ada/a.py","executable":"/usr/common/python","imports":["numpy",{"name":"scipy","version":"1.6"}],"timestamp":"2021-03-01T12:00:00Z"}"#;
        let log = format!("<14>1 2021-03-01T12:00:00Z nid001 customs - - - {plain}");
        let other = r#"{"username":"bob","packages":{"yaml":"5.4"},"time":1614600000}"#;
        let (gathering, _directory) = read_text(&format!("{plain}\n{plain}\n\n{log}\n{other}\n"));
        // The same message twice is one.
        assert_eq!(gathering.joiner.entries.len(), 3);
        let entry = &gathering.joiner.entries[0];
        let run = entry.run.as_ref().unwrap();
        assert_eq!((run.user.as_str(), run.cluster.as_str(), run.nodes), ("ada", "cori", Some(2)));
        assert_eq!(run.started_us, 1_614_600_000_000_000);
        let (modules, _) = entry.distinct();
        let texts: Vec<_> = modules.iter().map(|m| gathering.joiner.modules.texts(*m)).collect();
        assert_eq!(texts, [["numpy", "", ""], ["scipy", "", "1.6"]]);
        assert_eq!(gathering.joiner.entries[2].run.as_ref().unwrap().started_us, 1_614_600_000_000_000);
    }

    #[test]
    fn what_says_too_little_is_refused() {
        let (gathering, _directory) = read_text("[\"numpy\"]\n{\"username\":\"ada\"}\nnothing\n{\"a\":\n");
        assert_eq!((gathering.joiner.entries.len(), gathering.refused.count()), (0, 4));
        assert_eq!(names(&Value::String("numpy==1.2, yaml".into())).len(), 2);
    }
}
