//! Reads the file that defines a broadcast: TOML.
//!
//! `audience = { contacts_file = "PATH" }` names a file with one contact id per line; `#` begins a
//! comment. The path is relative to the folder of the definition.

use beadle_model::broadcast::BroadcastDefinition;
use serde::Deserialize as _;
use std::path::Path;
use toml::{Table, Value};

/// The key of a file with contacts.
const CONTACTS_FILE: &str = "contacts_file";

/// Reads a definition. An error names the file and the line.
pub fn read(path: &Path) -> Result<BroadcastDefinition, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let located = |error: toml::de::Error| format!("{}: {}", path.display(), error.to_string().trim_end());
    let table: Table = toml::from_str(&text).map_err(located)?;
    let listed = table.get("audience").and_then(|audience| audience.get(CONTACTS_FILE));
    let Some(listed) = listed else { return toml::from_str(&text).map_err(located) };
    let listed = listed.as_str().ok_or_else(|| format!("{}: `{CONTACTS_FILE}` must be a path", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let contacts = contacts(&folder.join(listed))?;
    let mut table = table;
    let audience = Table::from_iter([("contacts".to_owned(), Value::Array(contacts))]);
    table.insert("audience".into(), Value::Table(audience));
    BroadcastDefinition::deserialize(Value::Table(table)).map_err(located)
}

fn contacts(path: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut contacts = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let id = line.split('#').next().unwrap_or_default().trim();
        if id.is_empty() {
            continue;
        }
        if let Err(error) = id.parse::<beadle_model::ContactId>() {
            return Err(format!("{}:{number}: {error}", path.display()));
        }
        contacts.push(Value::String(id.to_owned()));
    }
    Ok(contacts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::{Audience, ContactId};

    #[test]
    fn definition_is_read_with_its_list_and_errors_name_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("news.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path)
        };
        let head = "name = \"news\"\npurpose = \"marketing:news\"\ntext = \"Hi {name|there}\"\n";
        let everyone = read(&format!("{head}audience = \"everyone\"\n")).unwrap();
        assert_eq!((everyone.audience, everyone.channel.as_str()), (Audience::Everyone, ""));
        std::fs::write(folder.path().join("list.txt"), "con_1 # Ana\n\n# none\ncon_22\n").unwrap();
        let listed = read(&format!("{head}audience = {{ contacts_file = \"list.txt\" }}\n")).unwrap();
        assert_eq!(listed.audience, Audience::Contacts(vec![ContactId(1), ContactId(22)]));
        std::fs::write(folder.path().join("list.txt"), "con_1\n31612345678\n").unwrap();
        for (text, expected) in [
            (format!("{head}audience = {{ contacts_file = \"list.txt\" }}\n"), "list.txt:2:"),
            (format!("{head}audience = {{ contacts_file = \"none.txt\" }}\n"), "none.txt"),
            (format!("{head}audience = \"nobody\"\n"), "line 4"),
            (format!("{head}audiense = \"everyone\"\n"), "line 4"),
            ("name = \"news\"\npurpose = \"ads\"\naudience = \"everyone\"\n".into(), "`ads` is not a purpose"),
            ("name = ".into(), "line 1"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
