//! The pages of `beadle explain` have one form and are all registered. The unit tests of the daemon
//! compare them with the codes of every crate; this finds what needs no compiler.

use super::finding::{File, Finding};

const FOLDER: &str = "daemon/beadle/src/explain/";
const REGISTER: &str = "daemon/beadle/src/explain.rs";
const HEADINGS: &[&str] = &["Responsible", "What happens next", "What to do"];
const RESPONSIBLE: &[&str] = &["Operator.", "Plugin author.", "WhatsApp.", "Another server.", "Beadle."];

/// Checks every page.
pub fn check(files: &[File]) -> Vec<Finding> {
    let register = files.iter().find(|file| file.path == REGISTER).map_or("", |file| &file.text);
    let pages = files.iter().filter(|file| file.path.starts_with(FOLDER) && file.extension() == "md");
    pages.flat_map(|page| problems(page, register).map(|message| Finding::new(&page.path, 1, message))).collect()
}

fn problems(page: &File, register: &str) -> impl Iterator<Item = String> {
    let code = page.path.trim_start_matches(FOLDER).trim_end_matches(".md");
    let headings: Vec<&str> = page.text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let responsible = page.text.split("## Responsible\n\n").nth(1).and_then(|rest| rest.lines().next());
    let problems = [
        (!page.text.starts_with(&format!("# {code}\n\n")), format!("must begin with `# {code}`")),
        (headings != HEADINGS, format!("the headings must be {}", HEADINGS.join(", "))),
        (
            !responsible.is_some_and(|name| RESPONSIBLE.contains(&name)),
            format!("under \"Responsible\" must be one of: {}", RESPONSIBLE.join(" ")),
        ),
        (!register.contains(&format!("\"{code}\"")), format!("`{REGISTER}` does not list it")),
    ];
    problems.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, message)| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(page: &str, register: &str) -> usize {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        check(&[file("daemon/beadle/src/explain/a-code.md", page), file(REGISTER, register)]).len()
    }

    #[test]
    fn form_of_a_page_is_checked() {
        let page = "# a-code\n\nIt broke.\n\n## Responsible\n\nBeadle.\n\n## What happens next\n\nNothing.\n\n## What to do\n\nWait.\n";
        assert_eq!(messages(page, "\"a-code\""), 0);
        assert_eq!(messages(page, ""), 1);
        assert_eq!(messages(&page.replace("Beadle.", "You."), "\"a-code\""), 1);
        assert_eq!(messages(&page.replace("What to do", "Remedy"), "\"a-code\""), 1);
    }
}
