//! Text of a guest as people may see it.

use crate::limits;

/// The text without characters that control a terminal, reorder the line or are invisible. Line
/// breaks and tabs stay.
pub fn printable(line: String) -> String {
    let is_harmful = |c: char| (c.is_control() && c != '\n' && c != '\t') || beadle_model::text::is_hidden(c);
    if line.contains(is_harmful) { line.replace(is_harmful, "\u{fffd}") } else { line }
}

/// A guest's text on one line, truncated.
pub fn one_line(text: String) -> String {
    printable(shortened(text)).replace('\n', " ")
}

/// A text of at most [`limits::REASON_BYTES`], and a mark if it was longer.
pub fn shortened(mut text: String) -> String {
    if text.len() > limits::REASON_BYTES {
        text.truncate(text.floor_char_boundary(limits::REASON_BYTES));
        text.push('…');
    }
    text
}
