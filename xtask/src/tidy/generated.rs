//! Generated pages are up to date (see `docs.rs`), and the README shows the example plugin as it
//! is.

use super::finding::{File, Finding};
use crate::docs::Page;

/// A page, and the source file that it shows.
const EXAMPLE: (&str, &str) = ("README.md", "plugins/echo/src/lib.rs");

/// Compares each page with its file.
pub fn check(files: &[File], pages: &[Page]) -> Vec<Finding> {
    let is_current = |page: &Page| files.iter().any(|file| file.path == page.path && file.text == page.text);
    let message = "out of date: run `cargo xtask docs`";
    let outdated = pages.iter().filter(|page| !is_current(page)).map(|page| Finding::new(page.path, 1, message));
    outdated.chain(example_difference(files)).collect()
}

/// The source in the page differs from the file, if both are there.
fn example_difference(files: &[File]) -> Option<Finding> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let (page, source) = (text(EXAMPLE.0)?, text(EXAMPLE.1)?);
    (!page.contains(source)).then(|| Finding::new(EXAMPLE.0, 1, format!("must show `{}` as it is", EXAMPLE.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outdated_page_is_found() {
        let page = || Page { path: "docs/reference/cli.md", text: "new".into() };
        let file = |text: &str| File { path: "docs/reference/cli.md".into(), text: text.into() };
        assert!(check(&[file("new")], &[page()]).is_empty());
        assert_eq!(check(&[file("old")], &[page()]).len(), 1);
        assert_eq!(check(&[], &[page()]).len(), 1);
    }

    #[test]
    fn readme_shows_the_plugin_as_it_is() {
        let files = |text: &str| {
            [("README.md", text), ("plugins/echo/src/lib.rs", "fn a() {}\n")]
                .map(|(path, text)| File { path: path.into(), text: text.into() })
        };
        assert!(check(&files("```rust\nfn a() {}\n```\n"), &[]).is_empty());
        assert_eq!(check(&files("```rust\nfn b() {}\n```\n"), &[]).len(), 1);
    }
}
