//! What every rule works on, a text file of the repository, and what it reports.

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Relative to the root.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Finding {
    /// A breach at a line.
    pub fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, message: message.into() }
    }
}

/// A text file of the repository.
pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl File {
    /// What follows the last dot of its name.
    pub fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }
}
