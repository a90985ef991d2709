//! Which GPUs a job may see.

use std::str::FromStr;

use thiserror::Error;

/// What `--gpus` asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpuRequest {
    /// No GPU at all.
    None,
    /// These, counted within what is visible already (a batch system's allocation).
    Indices(Vec<usize>),
}

/// Why a GPU list could not be read or met.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum GpuError {
    /// Not a list.
    #[error("`{text}` is not a GPU list; write none, or indices such as 0,1")]
    Unreadable {
        /// What was given.
        text: String,
    },
    /// One index twice.
    #[error("GPU {index} is named twice")]
    Twice {
        /// The index.
        index: usize,
    },
    /// An index that is not visible here.
    #[error("GPU {index} is not there; {visible} visible here")]
    Missing {
        /// The index.
        index: usize,
        /// How many there are, in words.
        visible: String,
    },
}

impl FromStr for GpuRequest {
    type Err = GpuError;

    fn from_str(s: &str) -> Result<Self, GpuError> {
        let text = s.trim();
        if text == "none" {
            return Ok(GpuRequest::None);
        }
        let mut indices = Vec::new();
        for part in text.split(',') {
            let index: usize =
                part.trim().parse().map_err(|_| GpuError::Unreadable { text: text.to_owned() })?;
            if indices.contains(&index) {
                return Err(GpuError::Twice { index });
            }
            indices.push(index);
        }
        Ok(GpuRequest::Indices(indices))
    }
}

impl GpuRequest {
    /// The names to put in `CUDA_VISIBLE_DEVICES`, out of those `visible` now.
    ///
    /// Indices count within `visible`, so that `--gpus 0` inside an allocation of GPUs
    /// 2 and 3 is GPU 2: a job can narrow what its batch system gave, never widen it.
    pub fn choose(&self, visible: &[String]) -> Result<Vec<String>, GpuError> {
        match self {
            GpuRequest::None => Ok(Vec::new()),
            GpuRequest::Indices(indices) => indices
                .iter()
                .map(|&index| {
                    visible.get(index).cloned().ok_or_else(|| GpuError::Missing {
                        index,
                        visible: match visible.len() {
                            0 => "no GPU is".to_owned(),
                            1 => "1 GPU (index 0) is".to_owned(),
                            n => format!("{n} GPUs (0 to {}) are", n - 1),
                        },
                    })
                })
                .collect(),
        }
    }
}

/// The variables that tell the GPU runtimes which devices to use: CUDA, ROCm (three layers), Level Zero.
pub const VISIBILITY_VARIABLES: &[&str] = &[
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrows_within_what_is_visible() {
        let visible = ["2".to_owned(), "3".to_owned()];
        let choose = |s: &str| s.parse::<GpuRequest>().unwrap().choose(&visible);
        assert_eq!(choose("none"), Ok(vec![]));
        assert_eq!(choose("1"), Ok(vec!["3".to_owned()]));
        assert_eq!(choose("1,0"), Ok(vec!["3".to_owned(), "2".to_owned()]));
        let error = choose("2").unwrap_err().to_string();
        assert_eq!(error, "GPU 2 is not there; 2 GPUs (0 to 1) are visible here");
        for bad in ["", "x", "0,,1", "0,0", "-1"] {
            assert!(bad.parse::<GpuRequest>().is_err(), "{bad}");
        }
    }
}
