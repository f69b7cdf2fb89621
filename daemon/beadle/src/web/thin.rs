//! Text of others in log lines, cut in length. [`beadle_clock::Thinned`] limits the number of
//! lines.

/// Longest text of others in a log line, in characters.
const LONGEST: usize = 200;

/// `text`, cut between characters with an ellipsis if it is longer than `longest` of them.
pub fn cut_at(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}

/// Text of others for a log line.
pub fn cut(text: &str) -> String {
    cut_at(text, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(300)), format!("{}…", "é".repeat(200)));
        assert_eq!(cut("short"), "short");
    }
}
