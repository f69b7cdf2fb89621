//! A value that must not be printed.

use std::fmt;

/// A token or key. Its `Debug` is stars, it has no `Display`, and it is not serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// White space around it is not part of it: files that hold a secret tend to end in a newline.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The value, for the one who needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
