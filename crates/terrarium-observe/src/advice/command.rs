//! Which runs are of the same command: the program, its script, and the shape of its arguments.
//!
//! Launchers in front (`env A=1`, `nice`, `timeout 1h`) say nothing of what the job needs and are taken away, but for the number
//! of ranks of an MPI launcher. Of an interpreter only the kind counts (`python`), not the environment or the version, so that a
//! renewed environment keeps its history; of a script the full path, because `train.py` elsewhere is another program.
//! Of the arguments the *shape* counts: options and words as they are, numbers and paths as "some number", "some path".
//! A script among the arguments (`torchrun train.py`) is a program, and counts as such.
//! Numbers do change what a job needs, so that runs with equal arguments are preferred once there are enough of them
//! ([`select`]).

use serde::Serialize;

/// What makes two commands the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Fingerprint {
    /// The program: the kind of interpreter, a name, or a full path.
    pub program: String,
    /// Its script or module, if it is an interpreter.
    pub script: Option<String>,
    /// Ranks that an MPI launcher was told to start.
    pub ranks: Option<String>,
    /// Arguments as written.
    pub arguments: Vec<String>,
    /// Arguments with numbers as `#` and paths as `*` (with their suffix).
    pub shape: Vec<String>,
}

impl Fingerprint {
    /// The same program and script, with arguments of the same shape.
    pub fn alike(&self, other: &Fingerprint) -> bool {
        (&self.program, &self.script, &self.ranks, &self.shape)
            == (&other.program, &other.script, &other.ranks, &other.shape)
    }
}

/// How the runs match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matched {
    /// Equal arguments.
    Exact,
    /// The same program, script and options; numbers and paths may differ.
    Shape,
}

/// Which of `others` count as runs of `wanted`, by index: those with equal arguments if `enough` says so of them, else all
/// that are alike.
pub fn select(
    wanted: &Fingerprint,
    others: &[Fingerprint],
    enough: impl Fn(&[usize]) -> bool,
) -> (Matched, Vec<usize>) {
    let which = |test: &dyn Fn(&Fingerprint) -> bool| -> Vec<usize> {
        others.iter().enumerate().filter(|(_, o)| test(o)).map(|(i, _)| i).collect()
    };
    let exact = which(&|o| o == wanted);
    let alike = which(&|o| o.alike(wanted));
    if alike.len() == exact.len() || enough(&exact) {
        (Matched::Exact, exact)
    } else {
        (Matched::Shape, alike)
    }
}

/// The fingerprint of a command that was started in `directory`.
pub fn fingerprint(command: &[String], directory: &str) -> Fingerprint {
    let mut words: &[String] = command;
    let mut ranks = None;
    while let Some((rest, found)) = without_launcher(words) {
        words = rest;
        ranks = ranks.or(found);
    }
    let Some((program, mut rest)) = words.split_first() else {
        return Fingerprint {
            program: String::new(),
            script: None,
            ranks,
            arguments: Vec::new(),
            shape: Vec::new(),
        };
    };
    let kind = interpreter(program);
    let mut script = None;
    if let Some(kind) = kind {
        (script, rest) = script_of(kind, rest, directory);
    }
    let program = match kind {
        Some(kind) => kind.to_owned(),
        None if program.contains('/') => absolute(program, directory),
        None => program.clone(),
    };
    Fingerprint { program, script, ranks, arguments: rest.to_vec(), shape: shape(rest, directory) }
}

/// The name of a program without its directory.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The kind of interpreter: `python` for `/opt/venv/bin/python3.12`.
pub fn interpreter(program: &str) -> Option<&'static str> {
    let name = base(program);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == 't');
    Some(match bare {
        "python" | "pypy" | "ipython" => "python",
        "Rscrip" => "Rscript",
        _ => match name {
            "bash" | "sh" | "dash" | "zsh" => "sh",
            "julia" => "julia",
            "perl" => "perl",
            "ruby" => "ruby",
            "node" => "node",
            _ => return None,
        },
    })
}

/// Options of a launcher that take a word of their own.
fn takes_value(launcher: &str, option: &str) -> bool {
    let options: &[&str] = match launcher {
        "env" => &["-u", "--unset", "-C", "--chdir"],
        "nice" => &["-n", "--adjustment"],
        "timeout" => &["-s", "--signal", "-k", "--kill-after"],
        "stdbuf" => &["-i", "-o", "-e"],
        "time" => &["-f", "-o", "--format", "--output"],
        "ionice" => &["-c", "-n", "--class", "--classdata"],
        "taskset" => &["-c", "--cpu-list"],
        "numactl" => &["-m", "-N", "-C", "-i", "-p"],
        "mpirun" | "mpiexec" | "srun" => &[
            "-n",
            "-np",
            "--np",
            "-c",
            "-N",
            "-host",
            "-H",
            "--host",
            "-hostfile",
            "--hostfile",
            "-machinefile",
            "-f",
            "-ppn",
            "--ntasks",
            "--map-by",
            "--bind-to",
            "--rank-by",
            "-x",
            "-p",
            "-t",
            "-A",
            "-w",
            "-J",
            "--mpi",
            "-wdir",
            "--wdir",
            "-env",
            "-genvlist",
        ],
        _ => &[],
    };
    options.contains(&option)
}

/// Options of a launcher that take two words.
fn takes_two(launcher: &str, option: &str) -> bool {
    matches!(launcher, "mpirun" | "mpiexec")
        && matches!(option, "--mca" | "-mca" | "--prtemca" | "-genv" | "-env")
}

/// The command behind one launcher, and the ranks that it was told to start.
fn without_launcher(words: &[String]) -> Option<(&[String], Option<String>)> {
    let (first, rest) = words.split_first()?;
    let launcher = base(first);
    let launcher = match launcher.split_once('.') {
        // As Debian calls them: mpirun.openmpi.
        Some((name @ ("mpirun" | "mpiexec"), _)) => name,
        _ => launcher,
    };
    let positional = match launcher {
        "env" | "nice" | "nohup" | "time" | "stdbuf" | "ionice" | "setsid" | "numactl" | "mpirun"
        | "mpiexec" | "srun" => 0,
        "timeout" => 1,
        // The mask is a word of its own, but for -c, whose list is one.
        "taskset" => usize::from(!rest.iter().take(2).any(|w| w == "-c" || w == "--cpu-list")),
        _ => return None,
    };
    let (mut at, mut ranks) = (0, None);
    while let Some(word) = rest.get(at) {
        if word == "--" {
            at += 1;
            break;
        }
        if launcher == "env" && word.contains('=') && !word.starts_with('-') {
            at += 1;
            continue;
        }
        if !word.starts_with('-') {
            break;
        }
        if matches!(launcher, "mpirun" | "mpiexec" | "srun") {
            if matches!(word.as_str(), "-n" | "-np" | "--np" | "--ntasks") {
                ranks = rest.get(at + 1).cloned();
            } else if let Some(n) = word.strip_prefix("--ntasks=") {
                ranks = Some(n.to_owned());
            }
        }
        at += match () {
            () if takes_two(launcher, word) => 3,
            () if takes_value(launcher, word) => 2,
            () => 1,
        };
    }
    let behind = rest.get(at + positional..)?;
    // `env` alone, or `time` with nothing behind, is the program itself.
    (!behind.is_empty()).then_some((behind, ranks))
}

/// The script of an interpreter, and what is left of its arguments.
fn script_of<'a>(kind: &str, rest: &'a [String], directory: &str) -> (Option<String>, &'a [String]) {
    let mut at = 0;
    while let Some(word) = rest.get(at) {
        let value = || rest.get(at + 1).map_or("", String::as_str);
        let behind = rest.get(at + 2..).unwrap_or(&[]);
        // Bundled switches end in the one that takes a word: python -uc, bash -lc.
        let bundle = word.starts_with('-') && !word.starts_with("--");
        match kind {
            "python" if bundle && word.ends_with('m') => return (Some(format!("-m {}", value())), behind),
            _ if bundle && word.ends_with('c') && matches!(kind, "python" | "sh") => {
                return (Some(format!("-c {}", value())), behind);
            }
            _ if bundle && word.ends_with('e') && matches!(kind, "perl" | "ruby" | "julia" | "node") => {
                return (Some(format!("-e {}", value())), behind);
            }
            "python" if matches!(word.as_str(), "-W" | "-X" | "--check-hash-based-pycs") => at += 2,
            "sh" if matches!(word.as_str(), "-o" | "-O" | "--rcfile" | "--init-file") => at += 2,
            _ if word == "-" || !word.starts_with('-') => {
                let name = if word == "-" { word.clone() } else { absolute(word, directory) };
                return (Some(name), &rest[at + 1..]);
            }
            _ => at += 1,
        }
    }
    (None, &[])
}

/// A path without `.`, `..` and double slashes, as far as that can be told without looking.
fn absolute(path: &str, directory: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn shape(arguments: &[String], directory: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in arguments {
        let general = match word.split_once('=') {
            // Behind `torchrun`, `conda run`, `apptainer exec` stands the program.
            _ if is_script(word) => absolute(word, directory),
            Some((name, value)) if name.starts_with('-') || is_name(name) => {
                format!("{name}={}", general(value))
            }
            _ => general(word),
        };
        // `*.csv` in a shell: one path or many.
        if general.starts_with('*') && out.last() == Some(&general) {
            continue;
        }
        out.push(general);
    }
    out
}

/// A program that is an argument of another: no file of data, of which one is like the next.
fn is_script(word: &str) -> bool {
    !word.starts_with('-')
        && !word.contains('=')
        && base(word).rsplit_once('.').is_some_and(|(stem, suffix)| {
            !stem.is_empty() && ["py", "sh", "R", "r", "jl", "pl", "rb", "ipynb"].contains(&suffix)
        })
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// A word with what varies from run to run taken out.
fn general(word: &str) -> String {
    if is_number(word) {
        return "#".to_owned();
    }
    let suffix = base(word).rsplit_once('.');
    match suffix {
        Some((stem, suffix))
            if !stem.is_empty()
                && (1..=8).contains(&suffix.len())
                && suffix.chars().all(|c| c.is_ascii_alphanumeric())
                && suffix.starts_with(|c: char| c.is_ascii_alphabetic())
                && !word.starts_with('-') =>
        {
            format!("*.{suffix}")
        }
        _ if word.contains('/') && !word.starts_with('-') => "*".to_owned(),
        _ => word.to_owned(),
    }
}

/// A number, a size, a time, a date, a range or a list of them: made of digits and what stands between them, with at most
/// a unit.
fn is_number(word: &str) -> bool {
    let digits = word.trim_start_matches(['-', '+']);
    let bare = digits.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    let unit = digits.len() - bare.len();
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && unit <= 3
        && bare.chars().all(|c| c.is_ascii_digit() || ".,:-+_xeE".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(line: &str) -> Fingerprint {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        fingerprint(&words, "/home/a")
    }

    #[track_caller]
    fn alike(a: &str, b: &str, want: bool) {
        assert_eq!(of(a).alike(&of(b)), want, "{a} | {b}: {:?} {:?}", of(a), of(b));
    }

    #[test]
    fn the_environment_and_launchers_do_not_matter() {
        for other in [
            "/opt/env/bin/python3.12 train.py",
            "python ./train.py",
            "python3 -u /home/a/train.py",
            "python3 -X dev -W ignore train.py",
            "env A=1 B=2 python3 train.py",
            "/usr/bin/env -u X python3 train.py",
            "nice -n 5 timeout -k 5 1h python3 train.py",
            "taskset -c 0-3 python3 train.py",
            "taskset 0xf python3 train.py",
            "numactl -m 0 -N 0 -- python3.13t train.py",
        ] {
            alike("python3 train.py", other, true);
        }
    }

    #[test]
    fn other_programs_are_others() {
        for (a, b) in [
            ("python3 train.py", "python3 test.py"),
            ("python3 train.py", "python3 /home/b/train.py"),
            ("python3 train.py", "bash train.py"),
            ("python3 -m pytest", "python3 -m pip"),
            ("python3 -c pass", "python3 -c import"),
            ("python3 x.py train", "python3 x.py test"),
            ("python3 x.py --fast", "python3 x.py"),
            ("python3 x.py --model resnet50", "python3 x.py --model resnet152"),
            ("mpirun -n 4 python3 x.py", "mpirun -n 8 python3 x.py"),
            ("./a.out", "/opt/a.out"),
            ("torchrun --nproc 2 train.py", "torchrun --nproc 2 test.py"),
            ("conda run -n a python train.py", "conda run -n a python test.py"),
        ] {
            alike(a, b, false);
        }
    }

    #[test]
    fn numbers_and_paths_are_generalised() {
        for (a, b) in [
            ("python3 x.py --seed 1 --lr 1e-3", "python3 x.py --seed 22 --lr 0.1"),
            ("python3 x.py --seed=1", "python3 x.py --seed=99"),
            ("python3 x.py --mem 4G --when 2026-01-02", "python3 x.py --mem 16G --when 2025-12-31"),
            ("python3 x.py data/a.csv", "python3 x.py /scratch/b.csv"),
            ("python3 x.py a.csv b.csv c.csv", "python3 x.py d.csv"),
            ("python3 x.py lr=0.1 data=in/x.h5", "python3 x.py lr=3 data=y.h5"),
            ("mpirun -np 4 --mca btl self python3 x.py", "mpirun.openmpi -n 4 python x.py"),
        ] {
            alike(a, b, true);
            assert_ne!(of(a).arguments, vec!["x".to_owned()]);
        }
        alike("python3 x.py a.csv", "python3 x.py a.json", false);
    }

    #[test]
    fn the_parts_of_a_command() {
        let found = of("mpirun -n 4 python3 -m torch.distributed.run --nproc 2 x.py");
        assert_eq!(found.program, "python");
        assert_eq!(found.script.as_deref(), Some("-m torch.distributed.run"));
        assert_eq!(found.ranks.as_deref(), Some("4"));
        assert_eq!(found.shape, ["--nproc", "#", "/home/a/x.py"]);
        let found = of("bash -lc job");
        assert_eq!((found.program.as_str(), found.script.as_deref()), ("sh", Some("-c job")));
        assert_eq!(of("bash script.sh 3").script.as_deref(), Some("/home/a/script.sh"));
        assert_eq!(of("env").program, "env");
        assert_eq!(of("bin/sim 5").program, "/home/a/bin/sim");
        assert_eq!(fingerprint(&[], "/").program, "");
    }

    #[test]
    fn equal_arguments_are_preferred_once_there_are_enough() {
        let wanted = of("python3 x.py 1");
        let others: Vec<_> = ["python3 x.py 1", "python3 x.py 2", "python3 y.py 1", "python3 x.py 1"]
            .iter()
            .map(|line| of(line))
            .collect();
        assert_eq!(select(&wanted, &others, |exact| exact.len() >= 3), (Matched::Shape, vec![0, 1, 3]));
        assert_eq!(select(&wanted, &others, |exact| exact.len() >= 2), (Matched::Exact, vec![0, 3]));
    }

    proptest! {
        #[test]
        fn no_command_panics(words in prop::collection::vec("\\PC{0,12}", 0..8), directory in "\\PC{0,12}") {
            let _ = fingerprint(&words, &directory);
        }

        #[test]
        fn launcher_words_do_not_panic(words in prop::collection::vec(
            prop::sample::select(vec!["env", "mpirun", "-n", "--", "timeout", "taskset", "-c", "python3", "-m", "x=1", "--mca"]), 0..9)) {
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            let _ = fingerprint(&words, "/");
        }

        #[test]
        fn a_command_is_like_itself(words in prop::collection::vec("[a-z0-9./=-]{1,8}", 1..6)) {
            let one = fingerprint(&words, "/w");
            prop_assert!(one.alike(&one));
        }
    }
}
