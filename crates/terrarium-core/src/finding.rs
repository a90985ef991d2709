//! Something noticed that the user should know, with what to do about it.

use serde::{Deserialize, Serialize};

/// One thing noticed.
///
/// `code` is stable and meant for programs; `message` says what is so, `hint` what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name, such as `mem-per-process`.
    pub code: String,
    /// What is so, a lowercase fragment.
    pub message: String,
    /// What to do about it, if anything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

impl Finding {
    /// A finding without a hint.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Finding { code: code.to_owned(), message: message.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
