//! What the Python of a kernel says about itself, and whether a kernel can start in a jail: tried, not guessed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::KernelError;
use super::options::CONNECTION_FILE;
use super::place;

/// Asks for ipykernel's own kernel spec, so that ours starts it in the same way. The directory where this is run is
/// no place to import from.
const ASK: &str = "\
import json, sys
sys.path[:] = [p for p in sys.path if p]
said = {'executable': sys.executable, 'prefix': sys.prefix, 'version': '%d.%d' % sys.version_info[:2]}
try:
    import ipykernel, ipykernel.kernelspec
    said['ipykernel'] = ipykernel.__version__
    said['file'] = ipykernel.__file__
    said['spec'] = ipykernel.kernelspec.get_kernel_dict()
except Exception as error:
    said['missing'] = getattr(error, 'name', None) == 'ipykernel'
    said['error'] = '%s: %s' % (type(error).__name__, error)
print('\\n' + json.dumps(said))
";

/// Run in the jail in place of a kernel.
const TRY: &str = "\
import sys
sys.path[:] = [p for p in sys.path if p]
import ipykernel.kernelapp
open(sys.argv[1]).close()
# Made in the home when it is not there: where that is not possible, no kernel starts.
ipykernel.kernelapp.IPKernelApp().init_profile_dir()
";

#[derive(Deserialize)]
struct Said {
    executable: Option<String>,
    prefix: String,
    version: String,
    ipykernel: Option<String>,
    file: Option<PathBuf>,
    spec: Option<Value>,
    #[serde(default)]
    missing: bool,
    error: Option<String>,
}

/// A Python that can run kernels.
pub(super) struct Python {
    /// To start it by; absolute.
    pub(super) path: String,
    pub(super) prefix: PathBuf,
    pub(super) version: String,
    pub(super) ipykernel: String,
    /// Where that was found.
    pub(super) file: PathBuf,
    /// What follows the interpreter on a kernel's command line.
    pub(super) arguments: Vec<String>,
    pub(super) metadata: Map<String, Value>,
    pub(super) protocol: Option<Value>,
}

/// Asks a Python; `None` is the python3 in PATH.
pub(super) fn ask(path: Option<&Path>) -> Result<Python, KernelError> {
    // A name without a slash is looked up in PATH, as a shell does; a path is taken as it is written: a link into an
    // environment must stay one.
    let named = path.filter(|p| p.as_os_str().as_encoded_bytes().contains(&b'/'));
    let program = match named {
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        None => path.map_or_else(|| "python3".into(), Path::to_owned),
    };
    let fail = |why: String| KernelError::Python { python: program.clone(), why };
    let answer = Command::new(&program)
        .args(["-c", ASK])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fail(error.to_string()))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let said: Option<Said> = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let Some(said) = said.filter(|_| answer.status.success()) else {
        let said = last_line(&answer.stderr);
        return Err(fail(format!("it does not answer as Python does ({}; it said: {said})", answer.status)));
    };
    let path = match named {
        Some(_) => program.to_str().map(str::to_owned),
        // What a launcher in PATH (pyenv) starts depends on where and for whom it is started.
        None => said.executable.clone(),
    };
    let path = path.ok_or_else(|| fail("its path is not UTF-8".to_owned()))?;
    if let Some(error) = said.error {
        let python = path.clone();
        return Err(if said.missing {
            KernelError::NoIpykernel { python }
        } else {
            KernelError::Ipykernel { python, why: error }
        });
    }
    let spec = said.spec.unwrap_or_default();
    let words = spec["argv"].as_array().into_iter().flatten().skip(1);
    let arguments: Vec<String> = words.filter_map(|w| w.as_str().map(str::to_owned)).collect();
    if !arguments.iter().any(|w| w == CONNECTION_FILE) {
        return Err(fail("its ipykernel has a kernel spec of a form that is not known".to_owned()));
    }
    Ok(Python {
        path,
        prefix: said.prefix.into(),
        version: said.version,
        ipykernel: said.ipykernel.unwrap_or_default(),
        file: said.file.unwrap_or_default(),
        arguments,
        metadata: spec["metadata"].as_object().cloned().unwrap_or_default(),
        protocol: spec.get("kernel_protocol_version").cloned(),
    })
}

fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim_end().lines().last().unwrap_or("nothing").to_owned()
}

/// Starts the Python with these options and imports a kernel's code in it; returns what terrarium noted.
pub(super) fn try_in_jail(terrarium: &Path, options: &[String], python: &str) -> Result<String, KernelError> {
    let file =
        Connection::make().map_err(|source| KernelError::Write { path: std::env::temp_dir(), source })?;
    let mut words = Vec::new();
    let mut rest = options.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            // That of a kernel is not to be overwritten by that of a trial.
            "--report" => drop(rest.next()),
            "--summary" => words
                .extend(["--summary".to_owned(), rest.next().map(|_| "none".to_owned()).unwrap_or_default()]),
            _ => words.push(word.replace(CONNECTION_FILE, &file.0.to_string_lossy())),
        }
    }
    let answer = Command::new(terrarium)
        .arg("run")
        .args(&words)
        .args(["--", python, "-c", TRY])
        .arg(&file.0)
        // Nobody's use of a library.
        .env(crate::hook::SWITCH, "off")
        // A kernel starts anywhere; whether its directory is hidden is seen then.
        .current_dir(shown_directory(options).unwrap_or(Path::new("/")))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| KernelError::Trial { why: error.to_string() })?;
    let said = String::from_utf8_lossy(&answer.stderr).trim_end().to_owned();
    if answer.status.success() { Ok(said) } else { Err(KernelError::Trial { why: said }) }
}

/// A directory that `--only` shows, if that is given.
fn shown_directory(options: &[String]) -> Option<&Path> {
    let named = options.windows(2).filter(|pair| pair[0] == "--only").map(|pair| pair[1].as_str());
    named.map(|path| Path::new(path.strip_suffix(":ro").unwrap_or(path))).find(|path| path.is_dir())
}

/// A file where Jupyter would put a connection file; removed when dropped.
struct Connection(PathBuf);

impl Connection {
    fn make() -> std::io::Result<Connection> {
        let directory = place::runtime().filter(|d| d.is_dir()).unwrap_or_else(std::env::temp_dir);
        let path = directory.join(format!("terrarium-trial-{}.json", std::process::id()));
        fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Connection(path))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
