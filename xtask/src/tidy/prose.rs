//! Prose in Markdown wraps at 100 columns, so that differences show sentences and not paragraphs.
//!
//! Tables, blocks of code and generated pages are not prose. A line that begins with something that cannot be broken, such
//! as a link, may be longer.

use super::finding::{File, Finding};

/// Characters of a line.
const WIDTH: usize = 100;

/// Pages made from other files, and texts that others wrote.
const EXCEPT: &[&str] =
    &["docs/reference/cli.md", "docs/reference/configuration.md", "daemon/whatsapp/tests/fixtures/meta/README.md"];

/// Checks every page.
pub fn check(files: &[File]) -> Vec<Finding> {
    let pages = files.iter().filter(|file| file.extension() == "md" && !EXCEPT.contains(&file.path.as_str()));
    pages.flat_map(|file| long_lines(&file.text).map(|line| Finding::new(&file.path, line, message()))).collect()
}

fn message() -> String {
    format!("prose wraps at {WIDTH} columns")
}

/// The lines of prose that are too long although they could be broken, from 1.
fn long_lines(text: &str) -> impl Iterator<Item = usize> {
    let (mut in_fence, mut before_is_code) = (false, true);
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_fence ^= is_fence;
        let is_code = in_fence || is_fence || before_is_code && (line.is_empty() || line.starts_with("    "));
        before_is_code = is_code || line.is_empty();
        let is_table = line.trim_start().starts_with('|');
        (!is_code && !is_table && is_too_long(line)).then_some(index + 1)
    })
}

/// Whether there is a space at which the line could have been broken, outside `code`.
fn is_too_long(line: &str) -> bool {
    // A picture with its description is one link.
    if line.chars().count() <= WIDTH || line.starts_with("![") {
        return false;
    }
    let text = line.trim_start_matches([' ', '-', '>', '*']);
    let mut in_code = false;
    text.chars().take(WIDTH).any(|c| {
        in_code ^= c == '`';
        c == ' ' && !in_code
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        long_lines(text).collect()
    }

    #[test]
    fn long_prose_is_found() {
        let long = "word ".repeat(21);
        assert_eq!(found(&format!("short\n{long}\n")), [2]);
        assert_eq!(found(&format!("- {long}\n")), [1]);
    }

    #[test]
    fn tables_code_and_unbreakable_lines_may_be_long() {
        let (long, link) = ("word ".repeat(21), format!("[x](https://example.org/{})", "a".repeat(100)));
        for text in [
            format!("| {long} |\n"),
            format!("```\n{long}\n```\n"),
            format!("a\n\n    {long}\n"),
            format!("- {link}\n"),
        ] {
            assert!(found(&text).is_empty(), "{text}");
        }
    }
}
