//! Secrets: named in the configuration, stored elsewhere.
//!
//! `{ credential = "name" }` is a systemd credential, `{ file = "…" }` a file, `{ env = "…" }` an
//! environment variable. A secret in the configuration itself is an error, because such files are
//! copied, committed and pasted into questions.

use super::diagnostic::{Diagnostic, Span};
use super::read::Section;
use super::tree::{Entry, Node, Value};
use beadle_whatsapp::Secret;
use std::io::Read as _;
use std::path::Path;

/// Far above any token; a larger file is not a secret.
const MAX_BYTES: u64 = 64 * 1024;

impl Section<'_> {
    /// A required secret.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let Some(Entry { node, .. }) = self.get(key) else {
            self.missing(key, &format!("{{ credential = \"{}\" }}", credential_name(key)));
            return None;
        };
        self.secret_at(key, node)
    }

    /// An optional secret.
    pub fn optional_secret(&mut self, key: &'static str) -> Option<Secret> {
        self.has(key).then(|| self.secret(key)).flatten()
    }

    /// The secret that a value names.
    pub fn secret_at(&self, key: &str, node: &Node) -> Option<Secret> {
        let help = format!("write `{key} = {{ credential = \"…\" }}`, `{{ file = \"…\" }}` or `{{ env = \"…\" }}`");
        let Value::Table(table) = &node.value else {
            let message = format!("`{key}` must not be written in the configuration");
            let diagnostic = Diagnostic::new("config-secret", node.span.clone(), message);
            self.context.report(diagnostic.label("name where the secret is stored instead").help(help));
            return None;
        };
        let mut entries = table.0.iter();
        let (Some((kind, entry)), None) = (entries.next(), entries.next()) else {
            let message = format!("`{key}` must name exactly one source");
            self.context.report(Diagnostic::new("config-secret", node.span.clone(), message).help(help));
            return None;
        };
        let (span, Value::String(name)) = (&entry.node.span, &entry.node.value) else {
            self.wrong_type(&entry.node, kind, "a string", &format!("{kind} = \"…\""));
            return None;
        };
        let secret = match kind.as_str() {
            "credential" => self.credential(name, span),
            "file" => self.read_secret(&self.context.base.join(name)),
            "env" => match (self.context.environment.variable)(name) {
                Some(text) => not_empty(&text),
                None => Err(format!("environment variable {name} is not set")),
            },
            other => {
                let message = format!("unknown source `{other}`");
                let diagnostic = Diagnostic::new("config-secret", entry.key.clone(), message);
                self.context.report(diagnostic.label("must be `credential`, `file` or `env`").help(help));
                return None;
            }
        };
        let report = |reason: String| {
            let diagnostic = Diagnostic::new("config-secret", span.clone(), format!("cannot read `{key}`"));
            self.context.report(diagnostic.label(reason));
        };
        secret.map_err(report).ok()
    }

    fn credential(&self, name: &str, span: &Span) -> Result<Secret, String> {
        // A credential is a file name; a path could leave the folder.
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err("must be the name in `LoadCredential=NAME:PATH` of the unit".into());
        }
        let Some(folder) = (self.context.environment.variable)("CREDENTIALS_DIRECTORY") else {
            if !self.context.environment.without_systemd {
                return Err("$CREDENTIALS_DIRECTORY is not set: credentials exist only under systemd".into());
            }
            let note = format!("credential `{name}` was not checked: credentials exist only under systemd");
            self.context.warn("config-unchecked", Some(span.clone()), note);
            return Ok(Secret::new(""));
        };
        self.read_secret(&Path::new(&folder).join(name))
    }

    fn read_secret(&self, path: &Path) -> Result<Secret, String> {
        self.context.note_input(path);
        read(path)
    }
}

/// The credential for a key in config/beadle.toml, in the unit and in docs/operators/install.md.
fn credential_name(key: &str) -> &str {
    match key {
        "access_token" => "wa-token",
        "app_secret" => "wa-app-secret",
        "verify_token" => "wa-verify",
        other => other,
    }
}

fn read(path: &Path) -> Result<Secret, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("{} has more than {MAX_BYTES} bytes", path.display()));
    }
    not_empty(&text)
}

fn not_empty(text: &str) -> Result<Secret, String> {
    Some(Secret::new(text)).filter(|secret| !secret.is_empty()).ok_or_else(|| "the secret is empty".into())
}
