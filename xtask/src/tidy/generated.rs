//! Generated pages are up to date: see `docs.rs`.

use super::{File, Finding};
use crate::docs::Page;

/// Compares each page with its file.
pub fn check(files: &[File], pages: &[Page]) -> Vec<Finding> {
    let is_current = |page: &Page| files.iter().any(|file| file.path == page.path && file.text == page.text);
    let message = "out of date: run `cargo xtask docs`";
    pages.iter().filter(|page| !is_current(page)).map(|page| Finding::new(page.path, 1, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outdated_page_is_found() {
        let page = || Page { path: "docs/reference/cli.md", text: "new".into() };
        let file = |text: &str| File { path: "docs/reference/cli.md".into(), text: text.into() };
        assert!(check(&[file("new")], &[page()]).is_empty());
        assert_eq!(check(&[file("old")], &[page()]).len(), 1);
        assert_eq!(check(&[], &[page()]).len(), 1);
    }
}
