//! Mistakes in the configuration: gathered, not thrown, so that an operator meets all of them at once.
//!
//! Each has a code that `beadle explain` knows, a place in a file, and what to write instead. They are shown with the
//! faulty text underlined. A secret that stands in a file is blotted out before anything of that file is shown.

use ariadne::{CharSet, Config, IndexType, Label, Report, ReportKind};
use beadle_model::{Blame, Coded};
use std::ops::Range;
use std::path::PathBuf;

/// Every code that a mistake can have; each has a page.
#[cfg(test)]
pub const CODES: &[&str] = &[
    "config-duplicate",
    "config-missing",
    "config-unused",
    "config-secret",
    "config-syntax",
    "config-type",
    "config-unknown",
    "config-unreadable",
    "config-value",
];

/// A stretch of one of the files, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which file, by its number among those read.
    pub file: usize,
    /// From where to where.
    pub span: Range<usize>,
}

/// One mistake.
#[derive(Debug)]
pub struct Mistake {
    code: &'static str,
    place: Option<Place>,
    message: String,
    label: String,
    also: Option<(Place, String)>,
    help: Option<String>,
}

impl Mistake {
    /// At a place, in one line without a full stop.
    pub fn new(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), ..Self::nowhere(code, message) }
    }

    /// Of a file or folder as a whole.
    pub fn nowhere(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, place: None, message: message.into(), label: String::new(), also: None, help: None }
    }

    /// What to say beside the underlined text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// A second place that has to do with it.
    #[must_use]
    pub fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also = Some((place, label.into()));
        self
    }

    /// What to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// In one line, for a log: place, what is wrong, and what is said beside it.
    fn line(&self, sources: &[Source]) -> String {
        let place = self.place.as_ref().and_then(|place| Some((sources.get(place.file)?, place.span.start)));
        let place = place.map_or_else(String::new, |(source, start)| {
            let number = source.text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
            format!("{}:{number}: ", source.path.display())
        });
        let beside = [Some(&self.label).filter(|label| !label.is_empty()), self.help.as_ref()];
        beside.into_iter().flatten().fold(format!("{place}{}", self.message), |line, said| line + "; " + said)
    }

    fn report(&self, sources: &[Source], color: bool) -> String {
        let Some(place) = &self.place else {
            let help = self.help.as_ref().map(|help| format!("\n  Help: {help}")).unwrap_or_default();
            return format!("[{}] Error: {}{help}\n", self.code, self.message);
        };
        let id = |place: &Place| {
            let name = sources.get(place.file).map(|source| source.path.display().to_string());
            (name.unwrap_or_default(), place.span.clone())
        };
        let config = Config::new().with_color(color).with_index_type(IndexType::Byte).with_char_set(CharSet::Unicode);
        let mut report = Report::build(ReportKind::Error, id(place))
            .with_config(config)
            .with_code(self.code)
            .with_message(&self.message)
            .with_label(Label::new(id(place)).with_message(&self.label));
        if let Some((place, label)) = &self.also {
            report = report.with_label(Label::new(id(place)).with_message(label));
        }
        if let Some(help) = &self.help {
            report = report.with_help(help);
        }
        let texts = sources.iter().map(|source| (source.path.display().to_string(), blotted(&source.text)));
        let mut shown = Vec::new();
        // Writing into memory does not fail; should it, the message alone is still worth showing.
        if report.finish().write(ariadne::sources(texts), &mut shown).is_err() {
            return format!("[{}] Error: {}\n", self.code, self.message);
        }
        let shown = String::from_utf8_lossy(&shown);
        shown.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// A file that was read.
#[derive(Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub struct Mistakes {
    found: Vec<Mistake>,
}

impl Mistakes {
    /// One more.
    pub fn add(&mut self, mistake: Mistake) {
        self.found.push(mistake);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Leaves those of one code out: of a file that could not be read whole, nobody can say what is missing in it.
    pub fn forget(&mut self, code: &str) {
        self.found.retain(|mistake| mistake.code != code);
    }

    /// The error that they are together, in the order in which they stand in the files.
    pub fn into_error(mut self, sources: Vec<Source>) -> Invalid {
        self.found.sort_by_key(|mistake| mistake.place.as_ref().map(|place| (place.file, place.span.start)));
        Invalid { mistakes: self.found, sources }
    }
}

/// The configuration cannot be used.
#[derive(Debug)]
pub struct Invalid {
    mistakes: Vec<Mistake>,
    sources: Vec<Source>,
}

impl Invalid {
    /// How many mistakes there are.
    pub fn count(&self) -> usize {
        self.mistakes.len()
    }

    /// Each in a line of its own, with its code.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.mistakes.iter().map(|mistake| (mistake.code, mistake.line(&self.sources)))
    }

    /// All of them, with the faulty text underlined.
    pub fn render(&self, color: bool) -> String {
        self.mistakes.iter().map(|mistake| mistake.report(&self.sources, color)).collect::<Vec<_>>().join("\n")
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Invalid {}

impl Coded for Invalid {
    fn code(&self) -> &'static str {
        self.mistakes.first().map_or("config-value", |mistake| mistake.code)
    }

    fn blame(&self) -> Blame {
        Blame::Operator
    }
}

/// The keys whose values are secrets.
pub const SECRET_KEYS: [&str; 3] = ["access_token", "app_secret", "verify_token"];

/// The text with everything blotted out that somebody wrote in quotes behind a secret's key. By text and not by tree,
/// because it has to work where the file is no TOML. Keeps every byte's place.
fn blotted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match secret_from(line) {
            Some(start) => {
                let (clear, secret) = line.split_at(start);
                shown.push_str(clear);
                for c in secret.chars() {
                    let blot = if c.is_whitespace() { c.to_string() } else { "*".repeat(c.len_utf8()) };
                    shown.push_str(&blot);
                }
            }
            None => shown.push_str(line),
        }
    }
    shown
}

/// Where in a line a written-out secret begins: at the first thing behind `key =` that does not open a table.
fn secret_from(line: &str) -> Option<usize> {
    let starts = SECRET_KEYS.iter().filter_map(|key| {
        let behind_key = line.find(key)? + key.len();
        let behind = line.get(behind_key..)?.trim_start_matches(['"', '\'']).trim_start();
        let value = behind.strip_prefix('=')?.trim_start();
        (!value.starts_with('{') && !value.is_empty()).then(|| line.len() - value.len())
    });
    starts.min()
}

#[cfg(test)]
mod tests {
    use super::blotted;

    #[test]
    fn written_out_secrets_are_blotted() {
        for (said, shown) in [
            ("access_token = \"EAAG\" # x\n", "access_token = ****** * *\n"),
            ("main = { app_secret='é', kind = 1 }", "main = { app_secret=***** **** * * *"),
            ("\"verify_token\" = \"unclosed\n", "\"verify_token\" = *********\n"),
            ("app_secret = { file = \"x\" }\n", "app_secret = { file = \"x\" }\n"),
            ("access_token =\n", "access_token =\n"),
            ("name = \"shop\"\n", "name = \"shop\"\n"),
        ] {
            assert_eq!(blotted(said), shown);
            assert_eq!(blotted(said).len(), said.len());
        }
    }
}
