//! vCards of the versions 3 (RFC 2426) and 4 (RFC 6350): reading fields and changing them.
//!
//! What is not changed stays as it is, with its group, parameters and spelling: other programs keep
//! their own properties in the same cards.

use crate::phone;
use crate::value::Value;

/// A line of a card: `item1.TEL;TYPE=cell:+31…`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// `item1.`, or nothing.
    group: String,
    /// In upper case.
    name: String,
    /// With its leading semicolon.
    parameters: String,
    /// As written.
    value: String,
}

/// A card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    lines: Vec<Line>,
}

/// Bytes of a folded line.
const FOLD_BYTES: usize = 75;

impl Card {
    /// Reads one card; `None` if the text is none.
    pub fn read(text: &str) -> Option<Self> {
        let mut unfolded: Vec<String> = Vec::new();
        for line in text.lines() {
            let continued = line.strip_prefix([' ', '\t']);
            match (continued, unfolded.last_mut()) {
                (Some(rest), Some(last)) => last.push_str(rest),
                _ => unfolded.push(line.to_owned()),
            }
        }
        let lines: Vec<Line> = unfolded.iter().filter_map(|line| Line::read(line)).collect();
        let is_card = |line: Option<&Line>, name: &str| {
            line.is_some_and(|line| line.name == name && line.value.trim().eq_ignore_ascii_case("vcard"))
        };
        (is_card(lines.first(), "BEGIN") && is_card(lines.last(), "END")).then_some(Self { lines })
    }

    /// A new card of version 3, which every server and phone reads.
    pub fn new(uid: &str) -> Self {
        let line = |name: &str, value: &str| Line {
            group: String::new(),
            name: name.to_owned(),
            parameters: String::new(),
            value: value.to_owned(),
        };
        Self { lines: vec![line("BEGIN", "VCARD"), line("VERSION", "3.0"), line("UID", uid), line("END", "VCARD")] }
    }

    /// As text, with folded lines.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Line { group, name, parameters, value } in &self.lines {
            let mut length = 0;
            for c in format!("{group}{name}{parameters}:{value}").chars() {
                if length + c.len_utf8() > FOLD_BYTES {
                    text.push_str("\r\n ");
                    length = 1;
                }
                text.push(c);
                length += c.len_utf8();
            }
            text.push_str("\r\n");
        }
        text
    }

    /// A field: a property, or `N.given`, `N.family`, or `CATEGORIES` as a list.
    pub fn get(&self, field: &str) -> Option<Value> {
        match field {
            "N.family" => Value::text(self.name_part(0)),
            "N.given" => Value::text(self.name_part(1)),
            "CATEGORIES" => {
                let lines = self.lines.iter().filter(|line| line.name == "CATEGORIES");
                Value::list(lines.flat_map(|line| split(&line.value, ',')).map(|part| unescape(&part)))
            }
            "TEL" => Value::text(self.phones().into_iter().next().unwrap_or_default()),
            other => {
                let line = self.lines.iter().find(|line| line.name.eq_ignore_ascii_case(other))?;
                Value::text(unescape(&line.value))
            }
        }
    }

    /// All values of a property.
    pub fn all(&self, name: &str) -> Vec<String> {
        let lines = self.lines.iter().filter(|line| line.name == name);
        lines.map(|line| unescape(&line.value)).filter(|value| !value.trim().is_empty()).collect()
    }

    /// All phone numbers, without `tel:`.
    pub fn phones(&self) -> Vec<String> {
        let number = |value: String| value.strip_prefix("tel:").map(str::to_owned).unwrap_or(value);
        self.all("TEL").into_iter().map(number).collect()
    }

    /// Sets or clears a field.
    pub fn set(&mut self, field: &str, value: Option<&Value>) {
        let text = value.map(Value::to_string).unwrap_or_default();
        match field {
            "N.family" | "N.given" => self.set_name_part(usize::from(field == "N.given"), &text),
            "CATEGORIES" => {
                let elements = value.map(Value::elements).unwrap_or_default();
                let escaped: Vec<String> = elements.iter().map(|element| escape(element)).collect();
                self.set_raw("CATEGORIES", &escaped.join(","));
            }
            "TEL" => self.set_phone(&text),
            "FN" => {
                // Phones show N; it follows as long as it says the same.
                let before = self.full_name();
                let (first, rest) = crate::member::split_name(&text);
                if before == self.get("FN").map(|name| name.to_string()).unwrap_or_default() && !text.is_empty() {
                    self.set_name_part(1, first);
                    self.set_name_part(0, rest);
                }
                self.set_raw("FN", &escape(&text));
            }
            other => self.set_raw(&other.to_uppercase(), &escape(&text)),
        }
    }

    /// FN is mandatory in both versions, and N in version 3.
    pub fn complete(&mut self, fallback: &str) {
        if self.get("FN").is_none() {
            let name = self.full_name();
            self.set_raw("FN", &escape(if name.is_empty() { fallback } else { &name }));
        }
        if !self.lines.iter().any(|line| line.name == "N") {
            self.push("N", String::new(), ";;;;".to_owned());
        }
    }

    /// Given and family name.
    fn full_name(&self) -> String {
        format!("{} {}", self.name_part(1), self.name_part(0)).trim().to_owned()
    }

    fn name_part(&self, index: usize) -> String {
        let line = self.lines.iter().find(|line| line.name == "N");
        let parts = line.map(|line| split(&line.value, ';')).unwrap_or_default();
        parts.get(index).map(|part| unescape(part)).unwrap_or_default()
    }

    /// FN follows as long as it says the same as N.
    fn set_name_part(&mut self, index: usize, text: &str) {
        let follows = self.get("FN").map(|name| name.to_string()).unwrap_or_default() == self.full_name();
        let line = self.lines.iter().find(|line| line.name == "N");
        let mut parts = line.map(|line| split(&line.value, ';')).unwrap_or_default();
        parts.resize(parts.len().max(5), String::new());
        if let Some(part) = parts.get_mut(index) {
            *part = escape(text);
        }
        self.set_raw("N", &parts.join(";"));
        let name = self.full_name();
        if follows && !name.is_empty() {
            self.set_raw("FN", &escape(&name));
        }
    }

    /// The mobile number is replaced, or added in front; other numbers stay.
    fn set_phone(&mut self, text: &str) {
        let wanted = phone::digits(text, None);
        let has_number = |line: &&mut Line| {
            line.name == "TEL" && wanted.is_some() && phone::digits(&unescape(&line.value), None) == wanted
        };
        if self.lines.iter_mut().any(|line| has_number(&line)) {
            return;
        }
        let is_mobile = |line: &Line| line.name == "TEL" && line.parameters.to_lowercase().contains("cell");
        let is_uri = |line: &Line| line.parameters.to_lowercase().contains("value=uri");
        if text.is_empty() {
            if let Some(index) = self.lines.iter().position(is_mobile) {
                self.lines.remove(index);
            }
            return;
        }
        match self.lines.iter_mut().find(|line| is_mobile(line)) {
            Some(line) => line.value = if is_uri(line) { format!("tel:{text}") } else { text.to_owned() },
            None => {
                let is_version_4 = self.get("VERSION").is_some_and(|version| version.to_string() == "4.0");
                let (parameters, value) = if is_version_4 {
                    (";VALUE=uri;TYPE=cell", format!("tel:{text}"))
                } else {
                    (";TYPE=CELL", text.to_owned())
                };
                self.insert_before("TEL", parameters.to_owned(), value);
            }
        }
    }

    /// Sets the first line of a property, or removes all.
    fn set_raw(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.lines.retain(|line| line.name != name);
            return;
        }
        match self.lines.iter().position(|line| line.name == name) {
            Some(index) => {
                // Several CATEGORIES are one list.
                let mut position = 0;
                self.lines.retain(|line| {
                    position += 1;
                    line.name != "CATEGORIES" || name != "CATEGORIES" || position == index + 1
                });
                if let Some(line) = self.lines.get_mut(index) {
                    value.clone_into(&mut line.value);
                }
            }
            None => self.push(name, String::new(), value.to_owned()),
        }
    }

    fn push(&mut self, name: &str, parameters: String, value: String) {
        let line = Line { group: String::new(), name: name.to_owned(), parameters, value };
        self.lines.insert(self.lines.len().saturating_sub(1), line);
    }

    fn insert_before(&mut self, name: &str, parameters: String, value: String) {
        match self.lines.iter().position(|line| line.name == name) {
            Some(index) => {
                let line = Line { group: String::new(), name: name.to_owned(), parameters, value };
                self.lines.insert(index, line);
            }
            None => self.push(name, parameters, value),
        }
    }
}

impl Line {
    fn read(text: &str) -> Option<Self> {
        let mut in_quotes = false;
        let colon = text.char_indices().find(|(_, c)| {
            in_quotes ^= *c == '"';
            *c == ':' && !in_quotes
        });
        let (head, value) = text.split_at_checked(colon?.0)?;
        let (full_name, parameters) = head.split_at_checked(head.find(';').unwrap_or(head.len()))?;
        let (group, name) = full_name.split_at_checked(full_name.rfind('.').map_or(0, |dot| dot + 1))?;
        Some(Self {
            group: group.to_owned(),
            name: name.trim().to_uppercase(),
            parameters: parameters.to_owned(),
            value: value.strip_prefix(':')?.to_owned(),
        })
    }
}

/// Splits at a separator that is not escaped.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_escaped = false;
    for c in text.chars() {
        if c == separator && !is_escaped {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    parts
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => {}
            '\\' | ',' | ';' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => plain.push('\n'),
                Some(escaped) => plain.push(escaped),
                None => plain.push('\\'),
            },
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CARD: &str = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nFN:Ana de Vries\r\nN:de Vries;Ana;;;\r\n\
        item1.TEL;TYPE=work:+31 20 123 4567\r\nTEL;TYPE=\"CELL:x\",VOICE:+31 6 1234\r\n  5678\r\n\
        CATEGORIES:a\\,b,c\r\nNOTE:one\\ntwo\\; three\r\nX-ABLABEL;X=\"a:b\":keep; me\r\nEND:VCARD\r\n";

    #[test]
    fn fields_of_a_card_are_read() {
        let card = Card::read(CARD).unwrap();
        for (field, expected) in [
            ("FN", Value::text("Ana de Vries")),
            ("N.given", Value::text("Ana")),
            ("N.family", Value::text("de Vries")),
            ("CATEGORIES", Value::list(["a,b", "c"])),
            ("NOTE", Value::text("one\ntwo; three")),
            ("X-ABLABEL", Value::text("keep; me")),
            ("ORG", None),
        ] {
            assert_eq!(card.get(field), expected, "{field}");
        }
        assert_eq!(card.phones(), ["+31 20 123 4567", "+31 6 1234 5678"]);
        assert_eq!(Card::read("BEGIN:VCARD\r\nFN:x"), None);
        assert_eq!(Card::read("<html>"), None);
    }

    #[test]
    fn only_the_changed_lines_change() {
        let mut card = Card::read(CARD).unwrap();
        card.set("NOTE", Value::text("new").as_ref());
        card.set("CATEGORIES", None);
        let text = card.to_text();
        assert!(text.contains("\r\nNOTE:new\r\n") && !text.contains("CATEGORIES"), "{text}");
        for kept in [
            "item1.TEL;TYPE=work:+31 20 123 4567",
            "TEL;TYPE=\"CELL:x\",VOICE:+31 6 1234 5678",
            "X-ABLABEL;X=\"a:b\":keep; me",
        ] {
            assert!(text.contains(kept), "{text}");
        }
    }

    #[test]
    fn both_forms_of_the_name_follow_each_other() {
        let mut card = Card::read(CARD).unwrap();
        card.set("FN", Value::text("Anna Bakker").as_ref());
        assert_eq!((card.get("N.given"), card.get("N.family")), (Value::text("Anna"), Value::text("Bakker")));
        card.set("N.family", Value::text("Smit").as_ref());
        assert_eq!(card.get("FN"), Value::text("Anna Smit"));
        let mut other = Card::read(&CARD.replace("FN:Ana de Vries", "FN:Dr. Ana")).unwrap();
        other.set("N.given", Value::text("Anna").as_ref());
        assert_eq!(other.get("FN"), Value::text("Dr. Ana"));
    }

    #[test]
    fn a_number_is_added_without_touching_others() {
        let mut card = Card::read(CARD).unwrap();
        card.set("TEL", Value::text("+31612345678").as_ref());
        assert_eq!(card, Card::read(CARD).unwrap());
        card.set("TEL", Value::text("+31687654321").as_ref());
        assert_eq!(card.phones(), ["+31 20 123 4567", "+31687654321"]);
        let mut new = Card::new("u");
        new.set("TEL", Value::text("+31612345678").as_ref());
        new.complete("+31612345678");
        assert_eq!(
            new.to_text(),
            "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:u\r\nTEL;TYPE=CELL:+31612345678\r\nFN:+31612345678\r\nN:;;;;\r\nEND:VCARD\r\n"
        );
        let mut version_4 = Card::read("BEGIN:VCARD\nVERSION:4.0\nFN:Ana\nEND:VCARD\n").unwrap();
        version_4.set("TEL", Value::text("+31612345678").as_ref());
        assert!(version_4.to_text().contains("TEL;VALUE=uri;TYPE=cell:tel:+31612345678\r\n"));
        assert_eq!(version_4.phones(), ["+31612345678"]);
    }

    proptest! {
        #[test]
        fn values_survive_text(name in "[a-zé ;,:\\\\\n]{1,120}", tags in proptest::collection::vec("[a-z,;\\\\]{1,9}", 0..4)) {
            let mut card = Card::new("u");
            card.set("NOTE", Value::text(name.clone()).as_ref());
            card.set("CATEGORIES", Value::list(tags.clone()).as_ref());
            let again = Card::read(&card.to_text()).unwrap();
            prop_assert_eq!(&again, &card);
            prop_assert_eq!(again.get("NOTE"), Value::text(name));
            prop_assert_eq!(again.get("CATEGORIES"), Value::list(tags));
        }

        #[test]
        fn any_text_is_read_without_failing(text in "(BEGIN:VCARD\n)?[ -~\n\t]{0,200}(\nEND:VCARD)?") {
            if let Some(card) = Card::read(&text) {
                let _ = (card.to_text(), card.phones(), card.get("CATEGORIES"));
            }
        }
    }
}
