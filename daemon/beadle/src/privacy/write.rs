//! Writes an export to a file page by page, so that the memory in use does not depend on the size
//! of the person's history.

use crate::api::{PersonData, PersonSection};
use serde_json::Value;
use std::io::{self, Write};

/// Writes an export.
pub trait PersonWriter {
    /// Writes a page; sections come in order, and a section may go on in the next page.
    ///
    /// # Errors
    /// Those of the destination.
    fn write(&mut self, page: &PersonData) -> io::Result<()>;

    /// Ends the document.
    ///
    /// # Errors
    /// Those of the destination.
    fn finish(&mut self) -> io::Result<()>;
}

/// One JSON object with a list for each section.
pub struct JsonWriter<W> {
    to: W,
    /// The section that is being written, and whether it has an item.
    section: Option<(String, bool)>,
    begun: bool,
}

impl<W: Write> JsonWriter<W> {
    /// Writes to this destination.
    pub fn new(to: W) -> Self {
        Self { to, section: None, begun: false }
    }

    fn enter(&mut self, section: &str) -> io::Result<()> {
        if self.section.as_ref().is_some_and(|(name, _)| name == section) {
            return Ok(());
        }
        if self.section.is_some() {
            self.to.write_all(b"\n  ]")?;
        }
        write!(self.to, ",\n  {}: [", Value::from(section))?;
        self.section = Some((section.to_owned(), false));
        Ok(())
    }

    fn item(&mut self, item: &Value) -> io::Result<()> {
        let has_items = self.section.as_mut().is_some_and(|(_, has_items)| std::mem::replace(has_items, true));
        write!(self.to, "{}\n    {item}", if has_items { "," } else { "" })
    }
}

impl<W: Write> PersonWriter for JsonWriter<W> {
    fn write(&mut self, page: &PersonData) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            let at = beadle_model::Timestamp(page.now);
            write!(self.to, "{{\n  \"contact\": \"{}\",\n  \"exported_at\": \"{at}\"", page.contact)?;
        }
        for PersonSection { name, items } in &page.sections {
            self.enter(name)?;
            items.iter().try_for_each(|item| self.item(item))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.section.take().is_some() {
            self.to.write_all(b"\n  ]")?;
        }
        self.to.write_all(b"\n}\n")?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn data(sections: &[(&str, Vec<Value>)]) -> PersonData {
        let section = |(name, items): &(&str, Vec<Value>)| PersonSection { name: (*name).into(), items: items.clone() };
        PersonData {
            now: 1_700_000_000_000,
            contact: "con_5".into(),
            language: Some("pt-BR".into()),
            sections: sections.iter().map(section).collect(),
            next: None,
        }
    }

    #[test]
    fn pages_become_one_object() {
        let mut bytes = Vec::new();
        let mut writer = JsonWriter::new(&mut bytes);
        writer.write(&data(&[("profile", vec![json!({"name": "Ana \"A\""})]), ("received", vec![json!(1)])])).unwrap();
        writer.write(&data(&[("received", vec![json!(2)]), ("sent", vec![])])).unwrap();
        writer.finish().unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["contact"], "con_5");
        assert_eq!(value["profile"][0]["name"], "Ana \"A\"");
        assert_eq!(value["received"], json!([1, 2]));
        assert_eq!(value["sent"], json!([]));
    }
}
