//! Prose in Markdown and comments in Rust wrap at 100 columns, so that differences show sentences
//! and not paragraphs.
//!
//! Tables, blocks of code and generated pages are not prose. A line that begins with something that
//! cannot be broken, such as a link, may be longer, and so may a comment with a URL. A comment
//! after code is part of its line, which rustfmt wraps.

use super::finding::{File, Finding};

/// Characters of a line.
const WIDTH: usize = 100;

/// Pages made from other files, and texts that others wrote.
const EXCEPT: &[&str] =
    &["docs/reference/cli.md", "docs/reference/configuration.md", "daemon/whatsapp/tests/fixtures/meta/README.md"];

/// Checks every page and every source file.
pub fn check(files: &[File]) -> Vec<Finding> {
    let find = |file: &File| {
        let (noun, lines): (_, Vec<usize>) = match file.extension() {
            "md" if !EXCEPT.contains(&file.path.as_str()) => ("prose wraps", long_lines(&file.text).collect()),
            "rs" => ("comments wrap", long_comments(&file.text).collect()),
            _ => return Vec::new(),
        };
        let finding = |line| Finding::new(&file.path, line, format!("{noun} at {WIDTH} columns"));
        lines.into_iter().map(finding).collect()
    };
    files.iter().flat_map(find).collect()
}

/// The comments that are too long although they could be broken, from 1.
fn long_comments(text: &str) -> impl Iterator<Item = usize> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let comment = line.trim_start();
        let is_table = comment.trim_start_matches(['/', '!', ' ']).starts_with('|');
        let may_be_long = !comment.starts_with("//") || comment.contains("://") || is_table;
        (!may_be_long && is_too_long(line)).then_some(index + 1)
    })
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
    let text = line.trim_start_matches([' ', '-', '>', '*', '/', '!']);
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
    fn long_comments_are_found() {
        let (long, url) = ("word ".repeat(21), format!("https://example.org/{}", "a".repeat(100)));
        let found = |text: &str| long_comments(text).collect::<Vec<_>>();
        assert_eq!(found(&format!("//! short\n    /// {long}\n    // {long}\n")), [2, 3]);
        for line in [
            format!("let a = 1; // {long}"),
            format!("/// See {url}"),
            format!("//! | {long} |"),
            format!("// `{long}`"),
        ] {
            assert!(found(&line).is_empty(), "{line}");
        }
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
