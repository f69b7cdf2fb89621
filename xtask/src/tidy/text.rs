//! Rules about one file at a time.

use super::lines::{self, Line};
use super::{File, Finding};

/// A file that is longer is two files (DESIGN section 4).
const LONGEST_FILE: usize = 400;

/// What has lines of code; documents, data and lock files may be as long as they are.
const CODE: &[&str] = &["rs", "js", "mjs", "ts", "py", "css", "html", "wit", "sh"];

/// A file that says this in its first lines is a table or generated, and may be longer. A reason follows.
const LONG_MARK: &str = "tidy: long";

/// How far down the mark may stand: below the essay at the latest.
const LONG_MARK_WITHIN: usize = 30;

/// An exception to a rule, on the line or on the one before; a reason follows.
const MARK: &str = "// tidy: ";

/// Words that do not belong into a crate that is a function of its arguments.
const IMPURE: &[&str] = &[
    "SystemTime",
    "Instant",
    "std::time",
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "async ",
    ".await",
    "tokio",
    "beadle_clock",
    "getrandom",
];

/// A word and the only folder of the daemon that may say it in code.
const KNOWN_ONLY_TO: &[(&str, &str, &str)] = &[
    ("wasmtime", "daemon/sandbox/", "only the sandbox knows wasmtime: put it behind a type of beadle-sandbox"),
    ("rusqlite", "daemon/store/", "only the store knows SQL: put it behind a step of beadle-store"),
    ("graph.facebook", "daemon/whatsapp/", "only beadle-whatsapp knows the Cloud API"),
    ("messaging_product", "daemon/whatsapp/", "only beadle-whatsapp knows the Cloud API's JSON"),
    ("biz_opaque_callback_data", "daemon/whatsapp/", "only beadle-whatsapp knows the Cloud API's JSON"),
    ("phone_number_id\\\"", "daemon/whatsapp/", "only beadle-whatsapp knows the Cloud API's JSON"),
];

/// Ways to wait for time instead of for the thing.
const SLEEPS: &[&str] =
    &["thread::sleep", "time::sleep", " sleep(Duration", "setTimeout(", "waitForTimeout(", "time.sleep("];

/// Texts that name one machine or one mirror. In two halves, so that this file does not name them.
const MACHINES: &[(&str, &str)] = &[("/wo", "rk/"), ("/ho", "me/"), ("/ro", "ot/"), ("/Use", "rs/")];

/// Checks one file.
pub fn check(file: &File) -> Vec<Finding> {
    let extension = file.path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mut findings = Vec::new();
    if CODE.contains(&extension) {
        findings.extend(length(file));
    }
    findings.extend(machines(file));
    if extension == "rs" {
        let lines = lines::of(&file.text);
        findings.extend(essay(file));
        findings.extend(attributes(file, &lines));
        findings.extend(words(file, &lines));
    } else if is_test_file(&file.path) && CODE.contains(&extension) {
        let lines: Vec<Line<'_>> = file
            .text
            .lines()
            .enumerate()
            .map(|(index, text)| Line { number: index + 1, code: text.into(), text, test: true })
            .collect();
        findings.extend(sleeps(file, &lines));
    }
    findings
}

fn length(file: &File) -> Option<Finding> {
    let count = file.text.lines().count();
    let marked = file.text.lines().take(LONG_MARK_WITHIN).any(|line| has_reason(line, LONG_MARK));
    (count > LONGEST_FILE && !marked).then(|| {
        let says = format!(
            "{count} lines, {LONGEST_FILE} at most: make it two files by what they are for \
             (a table or generated code says `{LONG_MARK}, REASON` at the top)"
        );
        Finding::new(&file.path, LONGEST_FILE + 1, says)
    })
}

/// The mark stands in the line and something that can be a reason after it.
fn has_reason(line: &str, mark: &str) -> bool {
    line.split_once(mark).is_some_and(|(_, reason)| reason.trim_start_matches([',', ':', ' ']).len() >= 10)
}

fn essay(file: &File) -> Option<Finding> {
    let first = file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    let has_essay = first.is_some_and(|line| line.starts_with("//!"));
    (!has_essay).then(|| {
        let says = "a module begins with `//!`: what it is for, why it is so, what it is not";
        Finding::new(&file.path, 1, says)
    })
}

fn machines(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for (head, tail) in MACHINES {
            let path = format!("{head}{tail}");
            if line.match_indices(&path).any(|(at, _)| begins_path(line, at)) {
                let says = format!("`{path}` is a folder of one machine: say it relative to the repository");
                findings.push(Finding::new(&file.path, index + 1, says));
            }
        }
        if file.path.ends_with("package-lock.json") && line.trim_start().starts_with("\"resolved\": \"http") {
            let says = "the lock file names a registry: make it with `npm install --omit-lockfile-registry-resolved`";
            findings.push(Finding::new(&file.path, index + 1, says));
        }
    }
    findings
}

/// Nothing before it that makes it the tail of a longer path (`https://host/home/…`, `a/work/b`).
fn begins_path(line: &str, at: usize) -> bool {
    line.get(..at)
        .and_then(|before| before.chars().next_back())
        .is_none_or(|c| !c.is_alphanumeric() && !"._-/~}$>".contains(c))
}

/// Lint exceptions are `expect`, which ends by itself when it is no longer needed, and say why.
fn attributes(file: &File, lines: &[Line<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.code.trim_start();
        let allow = code.starts_with("#[allow(") || code.starts_with("#![allow(");
        let expect = code.starts_with("#[expect(") || code.starts_with("#![expect(");
        if !allow && !expect {
            continue;
        }
        let mut attribute = String::new();
        for line in lines.iter().skip(index) {
            attribute.push_str(line.code.trim());
            if line.code.trim_end().ends_with(")]") {
                break;
            }
        }
        if !attribute.contains("reason = \"") {
            findings.push(Finding::new(&file.path, line.number, "an exception says why: add `reason = \"…\"`"));
        } else if allow && !excepted(lines, index) {
            let says = "use `#[expect(…)]`, which tells when it is not needed any more (or say why not: `// tidy: …`)";
            findings.push(Finding::new(&file.path, line.number, says));
        }
    }
    findings
}

fn words(file: &File, lines: &[Line<'_>]) -> Vec<Finding> {
    let mut findings = sleeps(file, lines);
    let pure = ["daemon/gate/src/", "daemon/model/src/"].iter().any(|folder| file.path.starts_with(folder));
    let in_daemon = file.path.starts_with("daemon/");
    for (index, line) in lines.iter().enumerate() {
        if pure
            && !line.test
            && let Some(word) = IMPURE.iter().find(|word| line.code.contains(**word))
        {
            let says = format!(
                "`{}` in a crate that does no I/O and knows no clock and no async: take what it gives as an argument",
                word.trim()
            );
            findings.push(Finding::new(&file.path, line.number, says));
        }
        for (word, home, says) in KNOWN_ONLY_TO {
            if in_daemon
                && !line.test
                && !file.path.starts_with(home)
                && line.code.contains(word)
                && !excepted(lines, index)
            {
                findings.push(Finding::new(
                    &file.path,
                    line.number,
                    format!("`{}`: {says}", word.trim_end_matches("\\\"")),
                ));
            }
        }
    }
    findings
}

fn sleeps(file: &File, lines: &[Line<'_>]) -> Vec<Finding> {
    let all_test = is_test_file(&file.path);
    lines
        .iter()
        .enumerate()
        .filter(|(index, line)| {
            (line.test || all_test) && SLEEPS.iter().any(|word| line.code.contains(word)) && !excepted(lines, *index)
        })
        .map(|(_, line)| Finding::new(&file.path, line.number, "a test waits for the thing, not for time to pass"))
        .collect()
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/")
}

fn excepted(lines: &[Line<'_>], index: usize) -> bool {
    [Some(index), index.checked_sub(1)]
        .into_iter()
        .flatten()
        .filter_map(|at| lines.get(at))
        .any(|l| has_reason(l.text, MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str, text: &str) -> Vec<String> {
        check(&File { path: path.into(), text: text.into() })
            .into_iter()
            .map(|finding| format!("{}: {}", finding.line, finding.says.split(':').next().unwrap()))
            .collect()
    }

    #[test]
    fn a_file_has_an_essay_and_400_lines() {
        assert_eq!(says("xtask/src/a.rs", "fn a() {}\n"), ["1: a module begins with `//!`"]);
        assert_eq!(says("xtask/src/a.rs", &format!("//! Why.\n{}", "\n".repeat(400))), ["401: 401 lines, 400 at most"]);
        let table = format!("//! Why.\n// tidy: long, a table of codes\n{}", "\n".repeat(400));
        assert!(says("xtask/src/a.rs", &table).is_empty());
        let no_reason = format!("//! Why.\n// tidy: long\n{}", "\n".repeat(400));
        assert_eq!(says("xtask/src/a.rs", &no_reason).len(), 1);
    }

    #[test]
    fn pure_crates_stay_pure_outside_tests() {
        let text = "//! Never async, no tokio.\nuse std::time::Instant;\n#[cfg(test)]\nmod t {\n use std::fs;\n}\n";
        assert_eq!(says("daemon/gate/src/a.rs", text).len(), 1);
        assert!(says("daemon/clock/src/a.rs", text).is_empty());
    }

    #[test]
    fn each_foreign_thing_has_one_home() {
        let text = "//! Not wasmtime.\nuse wasmtime::Store;\n";
        assert_eq!(says("daemon/beadle/src/a.rs", text), ["2: `wasmtime`"]);
        assert!(says("daemon/sandbox/src/a.rs", text).is_empty());
        let marked = "//! Why.\n// tidy: the filter of log lines needs the name\nlet a = \"wasmtime\";\n";
        assert!(says("daemon/beadle/src/a.rs", marked).is_empty());
    }

    #[test]
    fn exceptions_are_expected_and_have_a_reason() {
        assert_eq!(says("a.rs", "//! W.\n#[expect(dead_code)]\n"), ["2: an exception says why"]);
        assert_eq!(says("a.rs", "//! W.\n#[allow(dead_code, reason = \"so\")]\n").len(), 1);
        assert!(says("a.rs", "//! W.\n#[expect(\n    dead_code,\n    reason = \"so\"\n)]\n").is_empty());
    }

    #[test]
    fn tests_do_not_sleep() {
        let line = ["std::thread", "::sleep(x);"].concat();
        assert_eq!(says("tests/src/a.rs", &format!("//! W.\n{line}\n")).len(), 1);
        assert_eq!(says("daemon/a/src/a.rs", &format!("//! W.\n#[cfg(test)]\nmod t {{\n{line}\n}}\n")).len(), 1);
        assert!(says("daemon/a/src/a.rs", &format!("//! W.\n{line}\n")).is_empty());
        assert_eq!(says("tests/pages/a.mjs", "setTimeout(f, 5)\n").len(), 1); // tidy: the rule's own example
    }

    #[test]
    fn no_machine_is_named() {
        let home = ["/ho", "me/anna/x"].concat();
        assert_eq!(says("README.md", &format!("see {home}\n")).len(), 1);
        assert!(says("README.md", &format!("see https://example.org{home}\n")).is_empty());
    }
}
