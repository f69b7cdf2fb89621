//! Secrets: named in the configuration, kept elsewhere.
//!
//! `{ credential = "name" }` is a systemd credential, `{ file = "…" }` a file, `{ env = "…" }` an environment variable.
//! A secret in the file itself is a mistake: files are copied, committed and pasted into questions.

use super::mistake::Mistake;
use super::read::Section;
use super::tree::{Entry, Value};
use beadle_whatsapp::Secret;
use std::io::Read as _;
use std::path::Path;

/// No token is longer; a file that is more is not one.
const LONGEST_BYTES: u64 = 64 * 1024;

impl Section<'_> {
    /// A secret that has to be there.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let Some(Entry { node, .. }) = self.ask(key) else {
            self.missing(key, &format!("{{ credential = \"{key}\" }}"));
            return None;
        };
        let instead = format!("write `{key} = {{ credential = \"…\" }}`, `{{ file = \"…\" }}` or `{{ env = \"…\" }}`");
        let Value::Table(table) = &node.value else {
            let mistake = Mistake::new("config-secret", node.place.clone(), format!("`{key}` stands in the file"));
            self.reading.mistake(mistake.label("a secret belongs elsewhere").help(instead));
            return None;
        };
        let mut entries = table.0.iter();
        let (Some((kind, entry)), None) = (entries.next(), entries.next()) else {
            let mistake = Mistake::new("config-secret", node.place.clone(), format!("`{key}` needs one source"));
            self.reading.mistake(mistake.label("one key in here").help(instead));
            return None;
        };
        let (place, Value::String(name)) = (&entry.node.place, &entry.node.value) else {
            self.wrong_type(&entry.node, kind, "a string", &format!("{kind} = \"…\""));
            return None;
        };
        let found = match kind.as_str() {
            "credential" => self.credential(name),
            "file" => read(&self.reading.base.join(name)),
            "env" => match (self.reading.surroundings.variable)(name) {
                Some(text) => kept(&text),
                None => Err(format!("the environment variable {name} is not set")),
            },
            other => {
                let mistake = Mistake::new("config-secret", entry.key.clone(), format!("there is no source `{other}`"));
                self.reading.mistake(mistake.label("`credential`, `file` or `env`").help(instead));
                return None;
            }
        };
        let noted = |why: String| {
            let mistake = Mistake::new("config-secret", place.clone(), format!("`{key}` cannot be read"));
            self.reading.mistake(mistake.label(why));
        };
        found.map_err(noted).ok()
    }

    fn credential(&self, name: &str) -> Result<Secret, String> {
        // A credential is a file name; a path could reach out of the folder.
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err("the name that LoadCredential= has in the unit".into());
        }
        let Some(folder) = (self.reading.surroundings.variable)("CREDENTIALS_DIRECTORY") else {
            if !self.reading.surroundings.without_systemd {
                return Err("$CREDENTIALS_DIRECTORY is not set: only systemd hands credentials over".into());
            }
            let note = format!("the credential `{name}` was not looked up: only systemd hands credentials over");
            self.reading.notes.borrow_mut().push(note);
            return Ok(Secret::new(""));
        };
        read(&Path::new(&folder).join(name))
    }
}

fn read(path: &Path) -> Result<Secret, String> {
    let failed = |why: std::io::Error| format!("{}: {why}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LONGEST_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST_BYTES {
        return Err(format!("{} has more than {LONGEST_BYTES} bytes", path.display()));
    }
    kept(&text)
}

fn kept(text: &str) -> Result<Secret, String> {
    Some(Secret::new(text)).filter(|secret| !secret.is_empty()).ok_or_else(|| "it is empty".into())
}
