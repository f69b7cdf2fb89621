//! Tables and times for people.
//!
//! Columns are as wide as their widest cell. On a terminal the last column is cut to what fits, so that a row stays a
//! row; into a pipe or a file everything goes whole, since a program reads it.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Rows under a heading.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|name| (*name).to_owned()).collect()] }
    }

    /// One more row. What people wrote may hold anything; it is made one line here.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// The text, with the last column cut at `width` columns of the terminal where there is one.
    pub fn print(&self, width: Option<usize>) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            let mut used = 0;
            for (number, (cell, wide)) in row.iter().zip(&widths).enumerate() {
                let last = number + 1 == columns;
                let cell = match width {
                    Some(width) if last => cut(cell, width.saturating_sub(used).max(LEAST)),
                    _ => cell.clone(),
                };
                line.push_str(&cell);
                line.push_str(&" ".repeat((wide + GAP).saturating_sub(cell.width())));
                used += wide + GAP;
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Between columns.
const GAP: usize = 2;
/// A last column narrower than this says nothing; the terminal may wrap it then.
const LEAST: usize = 16;

/// Without line breaks and other control characters, so that nobody's message can move the cursor.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The beginning of a text, in so many columns at most.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

/// A moment as people say it: how long ago within a day, else the date and the minute (UTC).
pub fn when(at_ms: i64, now_ms: i64) -> String {
    let away_ms = now_ms.saturating_sub(at_ms);
    if away_ms.abs() < 24 * 60 * 60 * 1000 {
        let length = length(away_ms.abs());
        return if away_ms < 0 { format!("in {length}") } else { format!("{length} ago") };
    }
    let moment = beadle_model::Timestamp(at_ms).to_string().replace('T', " ");
    moment.get(..16).unwrap_or(&moment).to_owned()
}

/// A length of time in its two largest units.
pub fn length(ms: i64) -> String {
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
    fn columns_are_aligned_whatever_is_in_them() {
        let mut table = Table::new(&["NAME", "SAYS"]);
        table.row(["Ana".into(), "two\nlines and \u{1b}[2Jmore than fits".into()]);
        table.row(["李雷👋".into(), "short".into()]);
        assert_eq!(table.print(None), "NAME    SAYS\nAna     two lines and  [2Jmore than fits\n李雷👋  short\n");
        assert_eq!(table.print(Some(26)), "NAME    SAYS\nAna     two lines and  [2…\n李雷👋  short\n");
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let now = 1_795_293_360_123;
        for (away, said) in [
            (0, "0 s ago"),
            (59_000, "59 s ago"),
            (3_599_000, "59 min ago"),
            (7_500_000, "2 h 5 min ago"),
            (-90_000, "in 1 min"),
            (86_400_000, "2026-11-20 20:36"),
        ] {
            assert_eq!(when(now - away, now), said);
        }
        assert_eq!(length(200_000_000), "2 d 7 h");
    }
}
