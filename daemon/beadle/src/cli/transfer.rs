//! Contacts as CSV and vCard files.
//!
//! CSV has a heading row with the columns `phone` (required), `name`, `language`, `timezone`,
//! `tags`, `role`, `consent_source`, `consent_purpose`, `consent_wording`, `consent_at`,
//! `consent_evidence`, and `attribute.NAME`. From a vCard (RFC 6350, and versions 2.1 and 3.0) the
//! name, the first number, the categories as tags, and the same columns as `X-BEADLE-…` are read.

use crate::api::{ExportRow, ImportProblem, ImportRow};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What prefixes the column of an attribute.
const ATTRIBUTE: &str = "attribute.";
/// What prefixes a property of our own in a vCard.
const OWN: &str = "X-BEADLE-";

/// A file that was read.
#[derive(Debug, Default)]
pub struct ReadFile {
    /// Its contacts.
    pub rows: Vec<ImportRow>,
    /// Lines that cannot be read.
    pub problems: Vec<ImportProblem>,
}

impl ReadFile {
    fn problem(&mut self, line: u64, message: String) {
        self.problems.push(ImportProblem { line, message });
    }
}

/// Reads a file by its extension.
pub fn read(path: &Path) -> Result<ReadFile, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{}: must be UTF-8", path.display()))?;
    let text = text.trim_start_matches('\u{feff}');
    match extension(path).as_str() {
        "csv" => read_csv(text).map_err(|error| format!("{}: {error}", path.display())),
        "vcf" => Ok(read_vcards(text)),
        _ => Err(format!("{}: must be a .csv or .vcf file", path.display())),
    }
}

/// The contacts as the contents of this file.
pub fn write(rows: &[ExportRow], path: Option<&Path>) -> Result<String, String> {
    match path.map(extension).as_deref() {
        None | Some("csv") => write_csv(rows).map_err(|error| error.to_string()),
        Some("vcf") => Ok(rows.iter().map(vcard).collect()),
        Some(_) => Err("the file must end with .csv or .vcf".into()),
    }
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Sets a column of a row. Returns false if there is no such column.
fn set(row: &mut ImportRow, column: &str, value: &str) -> bool {
    let value = value.trim();
    let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
    if let Some(name) = column.strip_prefix(ATTRIBUTE) {
        if !value.is_empty() {
            row.attributes.insert(name.to_owned(), value.to_owned());
        }
        return true;
    }
    match column {
        "phone" => value.clone_into(&mut row.phone),
        "name" => row.name = text(),
        "language" => row.language = text(),
        "timezone" => row.timezone = text(),
        "role" => row.role = text(),
        "tags" => {
            let tags = value.split([',', ';']).map(str::trim).filter(|tag| !tag.is_empty());
            row.tags.extend(tags.map(str::to_owned));
        }
        "consent_source" => row.consent_source = text(),
        "consent_purpose" => row.consent_purpose = text(),
        "consent_wording" => row.consent_wording = text(),
        "consent_at" => row.consent_at = text(),
        "consent_evidence" => row.consent_evidence = text(),
        // What an export writes and an import does not need.
        "id" | "consents" => {}
        _ => return false,
    }
    true
}

fn read_csv(text: &str) -> Result<ReadFile, String> {
    // Spreadsheets of some countries write semicolons.
    let first = text.lines().next().unwrap_or_default();
    let delimiter = if first.matches(';').count() > first.matches(',').count() { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let columns = reader.headers().map_err(|error| error.to_string())?.clone();
    let columns: Vec<String> = columns.iter().map(|name| name.trim().to_owned()).collect();
    if !columns.iter().any(|name| name == "phone") {
        return Err("line 1: there is no column `phone`; the first line must name the columns".into());
    }
    if let Some(unknown) = columns.iter().find(|name| !set(&mut ImportRow::default(), name, "")) {
        return Err(format!("line 1: unknown column `{unknown}`; an attribute is `attribute.NAME`"));
    }
    let mut read = ReadFile::default();
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                if record.len() != columns.len() {
                    read.problem(line, format!("{} columns, but the first line has {}", record.len(), columns.len()));
                    continue;
                }
                let mut row = ImportRow { line, ..ImportRow::default() };
                for (column, value) in columns.iter().zip(record.iter()) {
                    set(&mut row, column, restored(value));
                }
                read.rows.push(row);
            }
            Err(error) => read.problem(error.position().map_or(0, csv::Position::line), error.to_string()),
        }
    }
    Ok(read)
}

fn write_csv(rows: &[ExportRow]) -> Result<String, csv::Error> {
    let attributes: BTreeSet<&String> = rows.iter().flat_map(|row| row.attributes.keys()).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fixed = ["id", "phone", "name", "language", "timezone", "role", "tags", "consents"].map(str::to_owned);
    let own = attributes.iter().map(|name| format!("{ATTRIBUTE}{name}"));
    writer.write_record(fixed.into_iter().chain(own))?;
    for row in rows {
        let text = |value: &Option<String>| safe(value.as_deref().unwrap_or_default());
        let consents: Vec<String> = row.consents.iter().map(|(purpose, state)| format!("{purpose} {state}")).collect();
        let fixed = [
            row.id.clone(),
            row.phone.clone().unwrap_or_default(),
            text(&row.name),
            text(&row.language),
            text(&row.timezone),
            row.role.clone(),
            safe(&row.tags.join(", ")),
            consents.join(", "),
        ];
        let own = attributes.iter().map(|name| safe(row.attributes.get(*name).map_or("", String::as_str)));
        writer.write_record(fixed.into_iter().chain(own))?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 5] = ['=', '+', '-', '@', '\t'];

/// A text that a spreadsheet does not take for a formula: people choose their names themselves.
fn safe(text: &str) -> String {
    if text.starts_with(FORMULA) { format!("'{text}") } else { text.to_owned() }
}

/// The text that [`safe`] was given.
fn restored(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(text)
}

/// The lines of a vCard, with those that continue the one before it (RFC 6350, section 3.2; in
/// version 2.1 also by a `=` at the end of the line), and their numbers.
fn unfolded(text: &str) -> Vec<(u64, String)> {
    let mut lines: Vec<(u64, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (_, Some((_, last))) if is_open => last.push_str(line),
            (Some(rest), Some((_, last))) => last.push_str(rest),
            _ => lines.push((number, line.to_owned())),
        }
        let last = lines.last_mut().map(|(_, last)| last);
        is_open = last.is_some_and(|last| is_quoted_printable(last) && last.ends_with('=') && last.pop().is_some());
    }
    lines
}

fn is_quoted_printable(line: &str) -> bool {
    let property = line.split_once(':').map_or(line, |(property, _)| property);
    property.to_ascii_uppercase().contains("QUOTED-PRINTABLE")
}

/// Decodes `=C3=A9` (RFC 2045, section 6.7). What is no such code stays.
fn unquoted(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('=') {
        bytes.extend_from_slice(before.as_bytes());
        let code = after.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or(b'='));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn read_vcards(text: &str) -> ReadFile {
    let mut read = ReadFile::default();
    let mut card: Option<ImportRow> = None;
    for (number, line) in unfolded(text).into_iter().filter(|(_, line)| !line.is_empty()) {
        let Some((property, value)) = line.split_once(':') else {
            read.problem(number, "not a property of a vCard: there is no `:`".into());
            continue;
        };
        let decoded = is_quoted_printable(property).then(|| unquoted(value));
        let value = decoded.as_deref().unwrap_or(value).trim_end();
        let name = property.split(';').next().unwrap_or_default();
        // `item1.TEL`
        let name = name.rsplit('.').next().unwrap_or(name).to_ascii_uppercase();
        match (name.as_str(), &mut card) {
            ("BEGIN", None) => card = Some(ImportRow { line: number, ..ImportRow::default() }),
            ("END", Some(_)) => read.rows.extend(card.take()),
            ("BEGIN", Some(_)) | ("END", None) => read.problem(number, format!("unexpected `{line}`")),
            ("FN", Some(row)) => row.name = Some(unescaped(value)).filter(|name| !name.is_empty()),
            ("TEL", Some(row)) if row.phone.is_empty() => {
                value.trim_start_matches("tel:").trim().clone_into(&mut row.phone);
            }
            ("CATEGORIES", Some(row)) => {
                set(row, "tags", &unescaped(value));
            }
            ("LANG", Some(row)) => row.language = Some(value.trim().to_owned()),
            ("TZ", Some(row)) if value.contains('/') => row.timezone = Some(value.trim().to_owned()),
            (own, Some(row)) if own.starts_with(OWN) => {
                let column = own.trim_start_matches(OWN).to_ascii_lowercase().replace('-', "_");
                let value = unescaped(value);
                let known = match (column.as_str(), value.split_once('=')) {
                    ("attribute", Some((name, value))) => set(row, &format!("{ATTRIBUTE}{name}"), value),
                    (column, _) => set(row, column, &value),
                };
                if !known {
                    read.problem(number, format!("unknown property `{own}`"));
                }
            }
            (_, Some(_)) => {}
            (_, None) => read.problem(number, "outside of a vCard".into()),
        }
    }
    if let Some(row) = card {
        read.problem(row.line, "this vCard has no end".into());
    }
    read
}

/// A line break becomes a space.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.trim().chars();
    while let Some(char) = chars.next() {
        match (char, if char == '\\' { chars.next() } else { None }) {
            ('\\', Some('n' | 'N')) => text.push(' '),
            ('\\', Some(escaped)) => text.push(escaped),
            (char, _) => text.push(char),
        }
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace(';', "\\;").replace(['\r', '\n'], " ")
}

fn vcard(row: &ExportRow) -> String {
    let name = row.name.as_deref().or(row.phone.as_deref()).unwrap_or(&row.id);
    let mut lines = vec!["BEGIN:VCARD".to_owned(), "VERSION:4.0".into(), format!("FN:{}", escaped(name))];
    lines.push(format!("UID:{}", row.id));
    lines.extend(row.phone.iter().map(|phone| format!("TEL;VALUE=uri:tel:{phone}")));
    lines.extend(row.language.iter().map(|language| format!("LANG:{language}")));
    lines.extend(row.timezone.iter().map(|zone| format!("TZ:{zone}")));
    if !row.tags.is_empty() {
        let tags: Vec<String> = row.tags.iter().map(|tag| escaped(tag)).collect();
        lines.push(format!("CATEGORIES:{}", tags.join(",")));
    }
    lines.push(format!("{OWN}ROLE:{}", row.role));
    let attributes: &BTreeMap<String, String> = &row.attributes;
    lines.extend(attributes.iter().map(|(name, value)| format!("{OWN}ATTRIBUTE:{name}={}", escaped(value))));
    lines.push("END:VCARD\r\n".into());
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_read_with_line_numbers() {
        let text = "phone,name,tags,attribute.size,consent_source\n\
                    +31612345678,\"Ana, of course\",\"vip, new\",M,paper\n\
                    +31612345679,Bob\n\
                    +31612345670,,,,\n";
        let read = read_csv(text).unwrap();
        assert_eq!(read.rows.len(), 2);
        let ana = &read.rows[0];
        assert_eq!((ana.line, ana.name.as_deref(), ana.tags.len()), (2, Some("Ana, of course"), 2));
        assert_eq!((ana.attributes["size"].as_str(), ana.consent_source.as_deref()), ("M", Some("paper")));
        assert_eq!((read.rows[1].line, &read.rows[1].name, read.rows[1].attributes.len()), (4, &None, 0));
        assert_eq!(read.problems.len(), 1);
        assert!(read.problems[0].line == 3 && read.problems[0].message.contains("2 columns"), "{:?}", read.problems);
        assert!(read_csv("name\nAna\n").unwrap_err().contains("`phone`"));
        assert!(read_csv("phone,colour\n1,red\n").unwrap_err().contains("`colour`"));
        let semicolons = read_csv("phone;name\n+31612345678;Ana\n").unwrap();
        assert_eq!(semicolons.rows[0].name.as_deref(), Some("Ana"));
    }

    #[test]
    fn vcards_are_read_and_written() {
        let row = ExportRow {
            id: "con_7".into(),
            phone: Some("+31612345678".into()),
            name: Some("Ana; the first, of many".into()),
            language: Some("pt".into()),
            timezone: None,
            role: "helper".into(),
            tags: vec!["vip".into(), "new".into()],
            attributes: [("size".to_owned(), "M".to_owned())].into(),
            consents: BTreeMap::new(),
        };
        let text = write(&[row], Some(Path::new("x.vcf"))).unwrap();
        let read = read_vcards(&text);
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        let found = &read.rows[0];
        assert_eq!((found.phone.as_str(), found.name.as_deref()), ("+31612345678", Some("Ana; the first, of many")));
        assert_eq!((found.role.as_deref(), found.attributes["size"].as_str()), (Some("helper"), "M"));
        assert_eq!(found.tags, ["vip", "new"]);
        let apple = "BEGIN:VCARD\nVERSION:3.0\nFN:Bo\n b\nitem1.TEL;type=CELL:+31 6 1234 5678\nEND:VCARD\n";
        assert_eq!(read_vcards(apple).rows[0].name.as_deref(), Some("Bob"));
        let folded = "BEGIN:VCARD\nFN:Ana \n de Vries\\, a\\\\nd\nTEL:+31612345678\nEND:VCARD\n";
        assert_eq!(read_vcards(folded).rows[0].name.as_deref(), Some("Ana de Vries, a\\nd"));
        let old =
            "BEGIN:VCARD\nVERSION:2.1\nFN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Ren=C3=A9e =\n=\nSm=XX\nEND:VCARD\n";
        assert_eq!(read_vcards(old).rows[0].name.as_deref(), Some("Renée Sm=XX"));
        let broken = read_vcards("BEGIN:VCARD\nnonsense\nFN:Bob\n");
        assert_eq!(broken.problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn formulas_in_names_are_defused() {
        assert_eq!((safe("=SUM(A1)"), safe("Ana")), ("'=SUM(A1)".into(), "Ana".into()));
        for text in ["=SUM(A1)", "Ana", "'t Hof", "+31", "''=x"] {
            assert_eq!(restored(&safe(text)), text);
        }
    }
}
