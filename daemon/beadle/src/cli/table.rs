//! Tables, times and durations as text for people.
//!
//! On a terminal, columns are cut so that each row fits on one line. In a pipe or file nothing is
//! cut, because a program may read it. Every cell is reduced to one line of visible characters, so
//! that no message can move the cursor, reorder a line or hide what it says.

use beadle_model::text::{is_hidden, one_line};
use serde::Serialize;
use std::io::IsTerminal as _;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Rows with a heading.
pub struct Table {
    rows: Vec<Vec<String>>,
    flexible: &'static [&'static str],
}

/// Spaces between columns.
const GAP: usize = 2;
/// No column is cut below this width; on a narrower terminal, rows wrap.
const MIN_WIDTH: usize = 12;
/// Without a terminal, one long cell must not pad every row: longer cells are not aligned.
const MAX_PADDING: usize = 60;

impl Table {
    /// An empty table with these columns. The last one may be cut.
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|name| (*name).to_owned()).collect()], flexible: &[] }
    }

    /// The columns that may be cut besides the last one: those that hold text of any length. Ids
    /// and times are never cut.
    #[must_use]
    pub fn flexible(mut self, names: &'static [&'static str]) -> Self {
        self.flexible = names;
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// The table as text. `width`: columns of the terminal, if the output is one.
    pub fn print(&self, width: Option<usize>) -> String {
        let mut widths = self.widths();
        match width {
            Some(width) => self.shrink(&mut widths, width),
            None => {
                for width in &mut widths {
                    *width = (*width).min(MAX_PADDING);
                }
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, wide) in row.iter().zip(&widths) {
                let cell = if width.is_some() { cut(cell, *wide) } else { cell.clone() };
                line.push_str(&cell);
                line.push_str(&" ".repeat((wide + GAP).saturating_sub(cell.width()).max(1)));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Narrows the widest flexible columns until each row fits, or none can be narrowed further.
    fn shrink(&self, widths: &mut [usize], width: usize) {
        let gaps = widths.len().saturating_sub(1) * GAP;
        let last = widths.len().saturating_sub(1);
        let heading = self.rows.first().map_or(&[][..], Vec::as_slice);
        let is_flexible = |(column, name): (usize, &String)| column == last || self.flexible.contains(&name.as_str());
        let flexible: Vec<bool> = heading.iter().enumerate().map(is_flexible).collect();
        loop {
            let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
            let candidates =
                widths.iter_mut().zip(&flexible).filter(|(width, flexible)| **flexible && **width > MIN_WIDTH);
            match candidates.map(|(width, _)| width).max() {
                Some(widest) if excess > 0 => *widest -= 1,
                _ => return,
            }
        }
    }

    /// The widest cell of each column.
    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.width()).max();
        (0..columns).map(|column| widest(column).unwrap_or(0)).collect()
    }
}

/// The width of the terminal, if stdout is one.
pub fn terminal_width() -> Option<usize> {
    let size = std::io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    size.map(|(width, _)| width.0.into())
}

/// The text, or its beginning and `…`, in at most `width` columns.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    let mut used = 1;
    let fits = |c: &char| {
        // The selector of emoji presentation has no width of its own, and may widen the character
        // before it.
        used += if *c == '\u{fe0f}' { 1 } else { c.width().unwrap_or(1) };
        used <= width
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

/// The value as indented JSON. Characters that are invisible or reorder a line are escaped, so that
/// the text reads as it is and still parses to the same value.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escaped(&serde_json::to_string_pretty(value)?))
}

/// The same on one line, with its line break.
pub fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escaped(&serde_json::to_string(value)?) + "\n")
}

fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // The only raw control character is the line break.
        if is_hidden(c) || (c.is_control() && c != '\n') {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    text
}

/// A point in time, relative within a day, else as UTC date and minute.
pub fn when(at_ms: i64, now_ms: i64) -> String {
    let ago_ms = now_ms.saturating_sub(at_ms);
    if ago_ms.saturating_abs() < 24 * 60 * 60 * 1000 {
        let duration = duration(ago_ms.abs());
        return if ago_ms < 0 { format!("in {duration}") } else { format!("{duration} ago") };
    }
    let text = beadle_model::Timestamp(at_ms).utc();
    format!("{} UTC", text.get(..16).unwrap_or(&text))
}

/// A duration in its two largest units.
pub fn duration(ms: i64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_what_would_reorder_or_hide_it() {
        let value = serde_json::json!({"\u{202e}a": "b\u{2028}\u{85}\u{e0041}\n", "name": "שלום 👩\u{200d}🌾"});
        let text = json(&value).unwrap();
        assert!(!text.chars().any(|c| is_hidden(c) || (c.is_control() && c != '\n')), "{text}");
        assert!(text.contains("\\u202ea") && text.contains("\\u2028") && text.contains("👩\u{200d}🌾"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        let line = json_line(&value).unwrap();
        assert!(!line.trim_end().chars().any(|c| is_hidden(c) || c.is_control()), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }

    #[test]
    fn columns_align_for_wide_characters() {
        let mut table = Table::new(&["NAME", "TEXT"]);
        table.row(["Ana".into(), "two\nlines and \u{1b}[2Jmore than fits".into()]);
        table.row(["李雷👋".into(), "short".into()]);
        assert_eq!(table.print(None), "NAME    TEXT\nAna     two lines and  [2Jmore than fits\n李雷👋  short\n");
        assert_eq!(table.print(Some(26)), "NAME    TEXT\nAna     two lines and  [2…\n李雷👋  short\n");
    }

    #[test]
    fn long_cell_in_any_column_fits_the_terminal() {
        let mut table = Table::new(&["EVENT", "CONTACT", "SUMMARY"]).flexible(&["CONTACT"]);
        table.row(["evt_1".into(), "🏺".repeat(2000), "x".repeat(300)]);
        table.row(["evt_2".into(), "Ann (con_1)".into(), "hi".into()]);
        let text = table.print(Some(80));
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        assert!(text.contains("Ann (con_1)"), "{text}");
        let piped = table.print(None);
        assert!(piped.contains(&"🏺".repeat(2000)), "nothing is cut in a pipe");
        assert!(piped.lines().last().is_some_and(|line| line.width() < 100), "and no other row is padded to it");
    }

    #[test]
    fn cut_text_is_never_wider_than_allowed() {
        for text in ["❤\u{fe0f}", "👩\u{200d}🌾", "🇳🇱", "e\u{301}", "\u{7}", "李", "1\u{fe0f}\u{20e3}"] {
            for width in 1..20 {
                let short = cut(&text.repeat(30), width);
                assert!(short.width() <= width && short.ends_with('…'), "{short:?} in {width}");
            }
        }
    }

    #[test]
    fn times_are_relative_within_a_day() {
        let now = 1_795_293_360_123;
        for (ago, text) in [
            (0, "0 s ago"),
            (59_000, "59 s ago"),
            (3_599_000, "59 min ago"),
            (7_500_000, "2 h 5 min ago"),
            (-90_000, "in 1 min"),
            (86_400_000, "2026-11-20 20:36 UTC"),
        ] {
            assert_eq!(when(now - ago, now), text);
        }
        assert_eq!(duration(200_000_000), "2 d 7 h");
    }
}
