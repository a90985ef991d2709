//! The variables by which numerical libraries learn how many threads to start.
//!
//! Each was found in the library itself or in its documentation; which ones have an
//! effect was measured (docs/reference/threads.md).

use std::str::FromStr;

use thiserror::Error;

/// What `--threads` asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThreadRequest {
    /// As many as the job has CPUs.
    #[default]
    Auto,
    /// This many in each process: 1 suits process pools.
    Count(usize),
    /// Touch nothing.
    Off,
}

/// `--threads` could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a thread count; write auto, off, or a number from 1 to 8192")]
pub struct BadThreads(String);

impl FromStr for ThreadRequest {
    type Err = BadThreads;

    fn from_str(s: &str) -> Result<Self, BadThreads> {
        match s.trim() {
            "auto" => Ok(ThreadRequest::Auto),
            "off" => Ok(ThreadRequest::Off),
            n => match n.parse::<usize>() {
                Ok(n) if (1..=8192).contains(&n) => Ok(ThreadRequest::Count(n)),
                _ => Err(BadThreads(s.to_owned())),
            },
        }
    }
}

/// Threads inside one process.
pub const PER_PROCESS: &[&str] = &[
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",
    "PJRT_NPROC",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "BLOSC_NTHREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "JULIA_NUM_THREADS",
    "GOMAXPROCS",
    "RCPP_PARALLEL_NUM_THREADS",
    "R_DATATABLE_NUM_THREADS",
];

/// What a program believes the machine has: it sizes process pools by this, so it is
/// always the job's CPUs, also under `--threads 1`.
pub const CPU_COUNT: &[&str] = &["PYTHON_CPU_COUNT", "LOKY_MAX_CPU_COUNT"];

/// The variables to set for a job with `cpus` CPUs; `is_set` says what the user set already.
pub fn variables(
    request: ThreadRequest,
    cpus: usize,
    is_set: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    let threads = match request {
        ThreadRequest::Off => return Vec::new(),
        ThreadRequest::Auto => cpus,
        ThreadRequest::Count(n) => n,
    };
    let mut out: Vec<(&'static str, String)> =
        PER_PROCESS.iter().map(|v| (*v, threads.to_string())).collect();
    out.extend(CPU_COUNT.iter().map(|v| (*v, cpus.to_string())));
    if threads == 1 {
        // A switch, not a count: Hugging Face tokenizers start a pool of their own otherwise.
        out.push(("TOKENIZERS_PARALLELISM", "false".to_owned()));
    }
    out.retain(|(name, _)| !is_set(name));
    // The user's OMP_NUM_THREADS is what OpenBLAS, MKL and NumExpr fall back to: ours must not hide it.
    if is_set("OMP_NUM_THREADS") {
        const FOLLOW_OMP: &[&str] = &[
            "OPENBLAS_NUM_THREADS",
            "GOTO_NUM_THREADS",
            "MKL_NUM_THREADS",
            "BLIS_NUM_THREADS",
            "NUMEXPR_NUM_THREADS",
        ];
        out.retain(|(name, _)| !FOLLOW_OMP.contains(name));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_see_the_cpus_and_libraries_the_threads() {
        let vars = variables(ThreadRequest::Count(1), 4, |_| false);
        let get = |n: &str| vars.iter().find(|(k, _)| *k == n).map(|(_, v)| v.as_str());
        assert_eq!(get("OPENBLAS_NUM_THREADS"), Some("1"));
        assert_eq!(get("PYTHON_CPU_COUNT"), Some("4"));
        assert_eq!(get("TOKENIZERS_PARALLELISM"), Some("false"));
    }

    #[test]
    fn what_the_user_set_stays() {
        let vars = variables(ThreadRequest::Auto, 8, |n| n == "OMP_NUM_THREADS");
        assert!(vars.iter().all(|(k, _)| *k != "OMP_NUM_THREADS" && *k != "OPENBLAS_NUM_THREADS"));
        assert!(vars.iter().any(|(k, v)| *k == "NUMBA_NUM_THREADS" && v == "8"));
        assert!(variables(ThreadRequest::Off, 8, |_| false).is_empty());
    }

    #[test]
    fn bad_counts() {
        for bad in ["0", "-1", "many", "", "99999"] {
            assert!(bad.parse::<ThreadRequest>().is_err(), "{bad}");
        }
        assert_eq!("auto".parse(), Ok(ThreadRequest::Auto));
    }
}
