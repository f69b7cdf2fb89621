//! Errors and warnings of the configuration: collected, not returned one by one, so that an
//! operator sees all of them at once.
//!
//! Each has a code with a page in `beadle explain`, a place in a file, and what to write instead.
//! They are shown with an excerpt of the file in which the place is underlined. A secret that is
//! written in a file is masked before anything of that file is shown.

use super::inputs::Inputs;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use beadle_model::{Blame, Coded};
use std::ops::Range;
use std::path::PathBuf;

/// The codes of all configuration errors, and of the warnings that no other part has.
#[cfg(test)]
pub const CODES: &[&str] = &[
    "admin-open",
    "config-app-unused",
    "config-no-brand",
    "config-no-channel",
    "config-unchecked",
    "schedule-holidays-timed",
    "segment-topic",
    "config-duplicate",
    "config-missing",
    "config-secret",
    "config-segment",
    "config-syntax",
    "config-type",
    "config-unknown",
    "config-unreadable",
    "config-unused",
    "config-value",
    "form-behind-proxy",
];

/// A byte range in one of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the file among those read.
    pub file: usize,
    /// Start and end, in bytes.
    pub range: Range<usize>,
}

impl Span {
    /// `FILE:LINE` of its start.
    pub fn line(&self, sources: &[Source]) -> Option<String> {
        let source = sources.get(self.file)?;
        let number = source.text.bytes().take(self.range.start).filter(|byte| *byte == b'\n').count() + 1;
        Some(format!("{}:{number}", source.path.display()))
    }
}

/// One error or warning.
#[derive(Debug)]
pub struct Diagnostic {
    is_warning: bool,
    code: &'static str,
    span: Option<Span>,
    message: String,
    label: String,
    related: Option<(Span, String)>,
    help: Option<String>,
}

impl Diagnostic {
    /// An error at a place. The message is one line without a full stop.
    pub fn new(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { span: Some(span), ..Self::without_place(code, message) }
    }

    /// An error about a whole file or folder.
    pub fn without_place(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            is_warning: false,
            code,
            span: None,
            message: message.into(),
            label: String::new(),
            related: None,
            help: None,
        }
    }

    /// A warning: the configuration can be used nevertheless. `None`: it is about no place in
    /// particular.
    pub fn warning(code: &'static str, span: Option<Span>, message: impl Into<String>) -> Self {
        Self { is_warning: true, span, ..Self::without_place(code, message) }
    }

    /// The code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Text next to the underlined place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// A second place, with its own text.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }

    /// What to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The error on one line, for a log.
    pub fn line(&self, sources: &[Source]) -> String {
        let place = self.span.as_ref().and_then(|span| span.line(sources));
        let place = place.map_or_else(String::new, |place| format!("{place}: "));
        let details = [Some(&self.label).filter(|label| !label.is_empty()), self.help.as_ref()];
        details.into_iter().flatten().fold(format!("{place}{}", self.message), |line, detail| line + "; " + detail)
    }

    /// The diagnostic with an excerpt of the file.
    pub fn render(&self, sources: &[Source], color: bool) -> String {
        let masked: Vec<(String, String)> =
            sources.iter().map(|source| (source.path.display().to_string(), mask_secrets(&source.text))).collect();
        let snippet = |span: &Span, kind: AnnotationKind, label: &str| {
            let (path, text) = masked.get(span.file)?;
            // A span of a file that ends in it, and not beyond.
            let range = span.range.start.min(text.len())..span.range.end.min(text.len());
            let label = (!label.is_empty()).then(|| label.to_owned());
            Some((path.as_str(), text.as_str(), kind.span(range).label(label)))
        };
        let primary = self.span.as_ref().and_then(|span| snippet(span, AnnotationKind::Primary, &self.label));
        let related = self.related.as_ref().and_then(|(span, label)| snippet(span, AnnotationKind::Context, label));
        let level = if self.is_warning { Level::WARNING } else { Level::ERROR };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()).id(self.code));
        match (primary, related) {
            (Some((path, text, primary)), Some((other, _, related))) if path == other => {
                group = group.element(Snippet::source(text).path(path).annotation(primary).annotation(related));
            }
            (primary, related) => {
                for (path, text, annotation) in [primary, related].into_iter().flatten() {
                    group = group.element(Snippet::source(text).path(path).annotation(annotation));
                }
            }
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        format!("{}\n", renderer.render(&[group]))
    }
}

/// A file that was read.
#[derive(Debug)]
pub struct Source {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// The errors found so far.
#[derive(Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds an error.
    pub fn add(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Adds all errors of another.
    pub fn append(&mut self, mut other: Self) {
        self.found.append(&mut other.found);
    }

    /// The number of errors.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there are no errors.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Removes all errors of one code.
    pub fn remove(&mut self, code: &str) {
        self.found.retain(|diagnostic| diagnostic.code != code);
    }

    /// All errors, in the order of the files.
    pub fn into_error(mut self, sources: Vec<Source>, inputs: Inputs) -> Invalid {
        self.found.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| (span.file, span.range.start)));
        Invalid { diagnostics: self.found, sources, inputs }
    }
}

/// A configuration that cannot be used, with all its errors.
#[derive(Debug)]
pub struct Invalid {
    diagnostics: Vec<Diagnostic>,
    sources: Vec<Source>,
    /// Everything that was read, as it was then.
    pub inputs: Inputs,
}

impl Invalid {
    /// The number of errors.
    pub fn count(&self) -> usize {
        self.diagnostics.len()
    }

    /// Each error as its code and one line.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.diagnostics.iter().map(|diagnostic| (diagnostic.code, diagnostic.line(&self.sources)))
    }

    /// All errors with excerpts of the files.
    pub fn render(&self, color: bool) -> String {
        self.diagnostics.iter().map(|diagnostic| diagnostic.render(&self.sources, color)).collect::<Vec<_>>().join("\n")
    }
}

impl Invalid {
    /// The rendering for a place that shows the code itself: without `error[CODE]: ` at the
    /// beginning.
    pub fn message(&self) -> String {
        let text = self.render(false);
        let prefix = format!("error[{}]: ", self.code());
        text.strip_prefix(&prefix).map(str::to_owned).unwrap_or(text)
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
        self.diagnostics.first().map_or("config-value", |diagnostic| diagnostic.code)
    }

    fn blame(&self) -> Blame {
        Blame::Operator
    }
}

/// The keys whose values are secrets.
pub const SECRET_KEYS: [&str; 6] =
    ["access_token", "app_secret", "verify_token", "client_secret", "refresh_token", "proxy_password"];

/// The table of a plugin's secrets, whose keys are free.
const SECRETS: &str = "secrets";

/// Keys in a table below it that are no secrets.
const NO_SECRETS: [&str; 5] = ["token_url", "client_id", "client_auth", "scope", "networks"];

/// The text with secrets replaced by `*`. It works on text instead of parsed values, because the
/// file may not be valid TOML. All byte offsets stay the same.
fn mask_secrets(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let (mut is_of_secrets, mut is_below) = (false, false);
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            is_of_secrets = line.contains(SECRETS);
            is_below = line.split_once(SECRETS).is_some_and(|(_, rest)| rest.trim_start().starts_with('.'));
        }
        let start = secret_start(line).or_else(|| named_secret_start(line, is_of_secrets, is_below));
        let (clear, secret) = line.split_at(start.unwrap_or(line.len()));
        mask_user_info(clear, &mut masked);
        mask(secret, &mut masked);
    }
    masked
}

fn mask(secret: &str, masked: &mut String) {
    for c in secret.chars() {
        if c.is_whitespace() {
            masked.push(c);
        } else {
            masked.extend(std::iter::repeat_n('*', c.len_utf8()));
        }
    }
}

/// A URL with a user name and password is refused, and would be shown with the error.
fn mask_user_info(line: &str, masked: &mut String) {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|c: char| matches!(c, '/' | '"' | '\'') || c.is_whitespace()).unwrap_or(after.len());
        let (authority, more) = after.split_at(end);
        masked.push_str(before);
        masked.push_str("://");
        let (user_info, host) = authority.split_at(authority.rfind('@').unwrap_or(0));
        mask(user_info, masked);
        masked.push_str(host);
        rest = more;
    }
    masked.push_str(rest);
}

/// Where a literal secret begins in a line: after `key =`, unless a table follows.
fn secret_start(line: &str) -> Option<usize> {
    let starts = SECRET_KEYS.iter().filter_map(|key| {
        let key_end = line.find(key)? + key.len();
        let rest = line.get(key_end..)?.trim_start_matches(['"', '\'']).trim_start();
        let value = rest.strip_prefix('=')?.trim_start();
        (!value.starts_with('{') && !value.is_empty()).then(|| line.len() - value.len())
    });
    starts.min()
}

/// Where a literal value begins in a line of a table of secrets, or after `secrets`.
fn named_secret_start(line: &str, is_of_secrets: bool, is_below: bool) -> Option<usize> {
    let key_start = if is_of_secrets { 0 } else { line.find(SECRETS)? + SECRETS.len() };
    let (key, value) = line.get(key_start..)?.split_once('=')?;
    let value = value.trim_start();
    let is_named = is_below && NO_SECRETS.contains(&key.trim().trim_matches(['"', '\'']));
    // `secrets = { hubspot = "…" }` begins with a table, too.
    let is_reference = value.starts_with('{') && is_of_secrets;
    (!is_named && !is_reference && !value.is_empty()).then(|| line.len() - value.len())
}

#[cfg(test)]
mod tests {
    use super::mask_secrets;

    #[test]
    fn literal_secrets_are_masked() {
        for (text, masked) in [
            ("access_token = \"EAAG\" # x\n", "access_token = ****** * *\n"),
            ("main = { app_secret='é', kind = 1 }", "main = { app_secret=***** **** * * *"),
            ("\"verify_token\" = \"unclosed\n", "\"verify_token\" = *********\n"),
            ("app_secret = { file = \"x\" }\n", "app_secret = { file = \"x\" }\n"),
            ("access_token =\n", "access_token =\n"),
            ("name = \"shop\"\n", "name = \"shop\"\n"),
            ("[plugins.crm.secrets]\nhub = \"pat\"\n[x]\nhub = 1", "[plugins.crm.secrets]\nhub = *****\n[x]\nhub = 1"),
            ("[a.secrets.b]\nclient_id = \"i\"\nkey = 's'", "[a.secrets.b]\nclient_id = \"i\"\nkey = ***"),
            ("[a.secrets]\nb = { file = \"x\" }", "[a.secrets]\nb = { file = \"x\" }"),
            ("secrets.hub = \"pat\"", "secrets.hub = *****"),
            ("[a.secrets]\nscope = \"pat\"", "[a.secrets]\nscope = *****"),
            ("[a.secrets.b]\nscope = \"all\"", "[a.secrets.b]\nscope = \"all\""),
            ("[a.secrets.b]\ntoken_url = \"https://u:p@w@h/x\"", "[a.secrets.b]\ntoken_url = \"https://*****@h/x\""),
            ("proxy = \"http://me:é@h:1\" # http://h/a@b", "proxy = \"http://*****@h:1\" # http://h/a@b"),
            ("secrets = { hub = \"pat\" }", "secrets = * *** * ***** *"),
        ] {
            assert_eq!(mask_secrets(text), masked);
            assert_eq!(mask_secrets(text).len(), text.len());
        }
    }
}
