//! References resolve inside the repository: links between pages, `docs/…` in comments, `ADR 0014`,
//! and paths in prose.
//!
//! A reader has the repository and nothing else, so a reference to a document outside it is an
//! error. Links to the web are not followed.

use super::finding::{File, Finding};
use std::collections::BTreeMap;

/// Documents that older comments referred to and that are not part of the repository. In two
/// halves, so that this file does not contain them.
const OUTSIDE: &[(&str, &str)] = &[
    ("DESIGN ", "section"),
    ("DESIGN", ".md"),
    ("STYLE", ".md"),
    ("fact ", "sheet"),
    ("product", ".md"),
    ("building", ".md"),
    ("wasmtime", ".md"),
    ("examples", ".md"),
];

/// Top-level folders: text in backticks that begins with one of them is a path.
const FOLDERS: &[&str] =
    &["daemon/", "plugin-api/", "plugins/", "simulator/", "tests/", "xtask/", "config/", "docs/", ".ci/"];

const ADR_FOLDER: &str = "docs/adr/";
const ADR_INDEX: &str = "docs/adr/README.md";

/// Headings of a decision record, in order.
const ADR_HEADINGS: [&str; 4] = ["Context", "Decision", "Alternatives", "Consequences"];

/// Files whose text is data: fixtures, snapshots and lock files.
const DATA: &[&str] = &["json", "snap", "lock", "db", "svg"];

/// The examples in these tests are references that do not resolve.
const OWN_TESTS: &str = "xtask/src/tidy/";

/// Checks all files. `exists` says whether a path relative to the root is there.
pub fn check(files: &[File], exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let pages: BTreeMap<&str, Vec<String>> = files
        .iter()
        .filter(|file| file.extension() == "md")
        .map(|file| (file.path.as_str(), anchors(&file.text)))
        .collect();
    let known = Known { pages, exists };
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !DATA.contains(&file.extension()) && !file.path.starts_with(OWN_TESTS)) {
        findings.extend(outside(file));
        findings.extend(known.mentions(file));
        if file.extension() == "md" {
            findings.extend(known.links(file));
            findings.extend(known.paths(file));
        }
    }
    findings.extend(records(files));
    findings
}

/// What a reference can point to.
struct Known<'a> {
    /// Markdown files and their anchors.
    pages: BTreeMap<&'a str, Vec<String>>,
    exists: &'a dyn Fn(&str) -> bool,
}

impl Known<'_> {
    /// Why `path#anchor` does not resolve, if it does not.
    fn unresolved(&self, target: &str) -> Option<String> {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        if !(self.exists)(path.trim_end_matches('/')) {
            return Some(format!("`{path}` does not exist"));
        }
        let anchors = self.pages.get(path).filter(|_| !anchor.is_empty())?;
        (!anchors.iter().any(|known| known == anchor)).then(|| format!("`{path}` has no heading `#{anchor}`"))
    }

    /// `docs/page.md#anchor` and `ADR 0014`, anywhere.
    fn mentions(&self, file: &File) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, line) in file.text.lines().enumerate() {
            for (at, _) in line.match_indices("docs/") {
                let is_word = |c: char| c.is_alphanumeric() || "._-/".contains(c);
                if line.get(..at).and_then(|before| before.chars().next_back()).is_some_and(is_word) {
                    continue;
                }
                let rest = line.get(at..).unwrap_or_default();
                let end = rest.find(|c: char| !is_word(c) && c != '#').unwrap_or(rest.len());
                let target = rest.get(..end).unwrap_or_default().trim_end_matches('.');
                // A path with a placeholder (`docs/adr/NNNN-title.md`, `docs/…`) is no reference.
                let is_placeholder =
                    target.contains("NNNN") || rest.get(end..).is_some_and(|rest| rest.starts_with('…'));
                if !is_placeholder && let Some(problem) = self.unresolved(target) {
                    findings.push(Finding::new(&file.path, number + 1, problem));
                }
            }
            for number_text in line.match_indices("ADR ").filter_map(|(at, _)| line.get(at + 4..at + 8)) {
                let is_number = number_text.bytes().all(|byte| byte.is_ascii_digit());
                let prefix = format!("{ADR_FOLDER}{number_text}-");
                if is_number && !self.pages.keys().any(|page| page.starts_with(&prefix)) {
                    findings.push(Finding::new(&file.path, number + 1, format!("there is no ADR {number_text}")));
                }
            }
        }
        findings
    }

    /// `[text](target)` in a page.
    fn links(&self, file: &File) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, line) in prose(&file.text) {
            for (at, _) in line.match_indices("](") {
                let target = line.get(at + 2..).and_then(|rest| rest.split_once(')')).map_or("", |(target, _)| target);
                let is_external = target.contains("://") || target.starts_with("mailto:");
                if target.is_empty() || is_external {
                    continue;
                }
                if let Some(problem) = self.unresolved(&joined(&file.path, target)) {
                    findings.push(Finding::new(&file.path, number, problem));
                }
            }
        }
        findings
    }

    /// Paths in backticks in a page.
    fn paths(&self, file: &File) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, line) in prose(&file.text) {
            for path in line.split('`').skip(1).step_by(2) {
                let is_path = FOLDERS.iter().any(|folder| path.starts_with(folder));
                let is_pattern =
                    path.contains(['*', '{', '<', ' ', '…']) || path.contains("NAME") || path.contains("NNNN");
                if is_path
                    && !is_pattern
                    && let Some(problem) = self.unresolved(path)
                {
                    findings.push(Finding::new(&file.path, number, problem));
                }
            }
        }
        findings
    }
}

/// References to documents that a cloner does not have.
fn outside(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for (head, tail) in OUTSIDE {
            let text = format!("{head}{tail}");
            let is_whole = |at: usize| {
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                before.is_none_or(|c| !c.is_alphanumeric() && !"/-_".contains(c))
            };
            if line.match_indices(&text).any(|(at, _)| is_whole(at)) {
                let message = format!("`{text}` is not in the repository: refer to docs/, an ADR or a public page");
                findings.push(Finding::new(&file.path, number + 1, message));
            }
        }
        // The page of that name is in docs/ and has headings, not numbers.
        if line.match_indices("whatsapp.md ").any(|(at, _)| {
            line.get(at + 12..)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) || rest.starts_with("section"))
        }) {
            let message = "the sections have names: `docs/whatsapp.md#windows`";
            findings.push(Finding::new(&file.path, number + 1, message));
        }
    }
    findings
}

/// Each record is in the index under its title, and has the usual headings.
fn records(files: &[File]) -> Vec<Finding> {
    let Some(index) = files.iter().find(|file| file.path == ADR_INDEX) else { return Vec::new() };
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(ADR_FOLDER) && file.path != ADR_INDEX) {
        let name = file.path.trim_start_matches(ADR_FOLDER);
        let number = name.get(..4).unwrap_or_default();
        let title = file.text.lines().next().and_then(|line| line.strip_prefix(&format!("# ADR {number}: ")));
        let Some(title) = title else {
            findings.push(Finding::new(&file.path, 1, format!("must begin with `# ADR {number}: TITLE`")));
            continue;
        };
        let row = index.text.lines().find(|line| line.starts_with(&format!("| [{number}]({name}) |")));
        if !row.is_some_and(|row| row.contains(&format!("**{title}.**"))) {
            findings.push(Finding::new(ADR_INDEX, 1, format!("needs a row for `{name}` with the title `{title}`")));
        }
        let status = file.text.lines().find_map(|line| line.strip_prefix("- Status: "));
        if !status.is_some_and(|status| row.is_some_and(|row| row.ends_with(&format!("| {status} |")))) {
            findings.push(Finding::new(&file.path, 3, "`- Status: …` must be there and agree with the index"));
        }
        let headings: Vec<&str> = file.text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        if headings != ADR_HEADINGS {
            findings.push(Finding::new(&file.path, 1, format!("the headings must be {}", ADR_HEADINGS.join(", "))));
        }
    }
    findings
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter_map(|(_, line)| line.strip_prefix('#'));
    headings.map(|heading| slug(heading.trim_start_matches('#').trim())).collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The lines of a page outside its blocks of code, from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((index + 1, line))
    })
}

/// A link's target relative to the root.
fn joined(page: &str, target: &str) -> String {
    let (target, anchor) = target.split_once('#').map_or((target, None), |(target, anchor)| (target, Some(anchor)));
    let mut parts: Vec<&str> = page.split('/').collect();
    if !target.is_empty() {
        parts.pop();
    }
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    anchor.map_or(path.clone(), |anchor| format!("{path}#{anchor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> =
            files.iter().map(|(path, text)| File { path: (*path).into(), text: (*text).into() }).collect();
        let exists = |path: &str| {
            let folder = format!("{path}/");
            files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
        };
        check(&files, &exists).into_iter().map(|finding| finding.message).collect()
    }

    const DESIGN: (&str, &str) = ("docs/design.md", "# Design\n\n## Path of an event\n");

    #[test]
    fn comment_refers_to_a_page_and_a_heading_that_exist() {
        let comment = |text| ("daemon/a/src/a.rs", text);
        assert!(messages(&[DESIGN, comment("//! See docs/design.md#path-of-an-event.\n")]).is_empty());
        assert!(messages(&[DESIGN, comment("//! See (docs/design.md).\n")]).is_empty());
        assert_eq!(
            messages(&[DESIGN, comment("//! See docs/design.md#order.\n")]),
            ["`docs/design.md` has no heading `#order`"]
        );
        assert_eq!(messages(&[comment("//! See docs/plan.md.\n")]), ["`docs/plan.md` does not exist"]);
        assert!(messages(&[comment("//! https://example.org/docs/plan.md\n")]).is_empty());
    }

    #[test]
    fn links_and_paths_in_a_page_resolve() {
        let page = |text| ("docs/guide/page.md", text);
        let links = "[a](../design.md#path-of-an-event) [b](#top) [c](https://example.org)\n# Top\n";
        assert!(messages(&[DESIGN, page(links)]).is_empty());
        assert_eq!(messages(&[DESIGN, page("[a](design.md)\n")]), ["`docs/guide/design.md` does not exist"]);
        assert_eq!(messages(&[page("see `daemon/gone.rs` and `daemon/*.rs`\n")]), ["`daemon/gone.rs` does not exist"]);
        assert!(messages(&[page("```\n[a](gone.md) `daemon/gone.rs`\n```\n")]).is_empty());
    }

    #[test]
    fn document_outside_the_repository_is_found() {
        let old = ["DESIGN ", "section 3"].concat();
        assert_eq!(messages(&[("a.rs", &old)]).len(), 1);
        let numbered = ["whatsapp.md ", "5.1"].concat();
        assert_eq!(messages(&[("a.rs", &numbered)]), ["the sections have names: `docs/whatsapp.md#windows`"]);
    }

    #[test]
    fn decisions_are_numbered_listed_and_complete() {
        let index = "| [0001](0001-a.md) | **One.** Why. | accepted |\n";
        let record =
            "# ADR 0001: One\n\n- Status: accepted\n\n## Context\n## Decision\n## Alternatives\n## Consequences\n";
        let files = |index, record| [("docs/adr/README.md", index), ("docs/adr/0001-a.md", record)];
        assert!(messages(&files(index, record)).is_empty());
        assert_eq!(messages(&files("", record)).len(), 2);
        assert_eq!(messages(&files(index, "# ADR 0001: One\n\n- Status: accepted\n")).len(), 1);
        assert_eq!(messages(&[("a.rs", "// ADR 0007\n")]), ["there is no ADR 0007"]);
    }
}
