//! Rules about one file at a time, line by line.
//!
//! Comments are distinguished from code by their first characters only, and tests by their path or
//! by the `#[cfg(test)]` that ends a file. That is enough for these rules; what needs more is
//! clippy's.

use super::finding::{File, Finding};

/// An exception to a rule, on the line or on the one before; a reason follows.
const MARK: &str = "// tidy: ";

/// A text and the only folder of the daemon whose code may contain it.
const KNOWN_ONLY_TO: &[(&str, &str)] = &[
    ("graph.facebook", "daemon/whatsapp/"),
    ("messaging_product", "daemon/whatsapp/"),
    ("biz_opaque_callback_data", "daemon/whatsapp/"),
    ("phone_number_id\\\"", "daemon/whatsapp/"),
];

/// Ways to wait for time instead of for a condition, in the languages of the tests.
/// `std::thread::sleep` is clippy's.
const SLEEPS: &[&str] = &["time::sleep(", "setTimeout(", "waitForTimeout(", "time.sleep("];

/// What writes a line of the log.
const LOG_CALLS: &[&str] = &["trace!(", "debug!(", "info!(", "warn!(", "error!(", "event!("];

/// What tests are written in.
const TEST_LANGUAGES: &[&str] = &["rs", "js", "mjs", "py"];

/// Texts that name one machine. In two halves, so that this file does not contain them.
const MACHINES: &[(&str, &str)] = &[("/wo", "rk/"), ("/ho", "me/"), ("/ro", "ot/"), ("/Use", "rs/")];

/// Checks one file.
pub fn check(file: &File) -> Vec<Finding> {
    let mut findings = machines(file);
    if file.extension() == "rs" {
        findings.extend(module_comment(file));
        findings.extend(platform_json(file));
        findings.extend(log_fields(file));
    }
    if is_test_file(&file.path) && TEST_LANGUAGES.contains(&file.extension()) {
        findings.extend(sleeps(file));
    }
    findings
}

fn module_comment(file: &File) -> Option<Finding> {
    let first = file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    let message = "a module must begin with `//!`: responsibility, invariants, what it does not do";
    (!first.is_some_and(|line| line.starts_with("//!"))).then(|| Finding::new(&file.path, 1, message))
}

fn machines(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in numbered(&file.text) {
        for (head, tail) in MACHINES {
            let path = format!("{head}{tail}");
            if line.match_indices(&path).any(|(at, _)| begins_path(line, at)) {
                let message = format!("`{path}` is a folder of one machine: make the path relative to the repository");
                findings.push(Finding::new(&file.path, number, message));
            }
        }
        if file.path.ends_with("package-lock.json") && line.trim_start().starts_with("\"resolved\": \"http") {
            let message =
                "the lock file names a registry: create it with `npm install --omit-lockfile-registry-resolved`";
            findings.push(Finding::new(&file.path, number, message));
        }
    }
    findings
}

/// Whether a path starts there, rather than the rest of a longer one (`https://host/home/…`).
fn begins_path(line: &str, at: usize) -> bool {
    line.get(..at)
        .and_then(|before| before.chars().next_back())
        .is_none_or(|c| !c.is_alphanumeric() && !"._-/~}$>".contains(c))
}

/// The platform's JSON is known to one crate. That other crates do not use wasmtime or SQL follows
/// from their manifests.
fn platform_json(file: &File) -> Vec<Finding> {
    if !file.path.starts_with("daemon/") || is_test_file(&file.path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut before = "";
    for (number, line) in numbered(&file.text).take_while(|(_, line)| line.trim() != "#[cfg(test)]") {
        let is_comment = line.trim_start().starts_with("//");
        for (text, home) in KNOWN_ONLY_TO {
            if !is_comment && line.contains(text) && !file.path.starts_with(home) && !is_excepted(line, before) {
                let text = text.trim_end_matches("\\\"");
                let message = format!("`{text}` belongs to the platform's JSON, which only beadle-whatsapp knows");
                findings.push(Finding::new(&file.path, number, message));
            }
        }
        before = line;
    }
    findings
}

/// `message` is the text of a log line, so a field of that name would run into it.
fn log_fields(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    // How deep the parentheses of a call of `tracing` are open.
    let mut depth = 0;
    for (number, line) in numbered(&file.text).take_while(|(_, line)| line.trim() != "#[cfg(test)]") {
        let begins = LOG_CALLS.iter().filter_map(|call| line.find(call).map(|at| at + call.len())).min();
        let rest = match begins {
            Some(at) if depth == 0 => {
                depth = 1;
                line.get(at..).unwrap_or_default()
            }
            _ if depth > 0 => line,
            _ => continue,
        };
        let fields = rest.split('"').next().unwrap_or_default();
        let is_message = |field: &str| {
            let name = field.split('=').next().unwrap_or_default().trim().trim_start_matches(['%', '?']);
            name == "message" || name.ends_with(".message")
        };
        if fields.split(',').any(is_message) {
            let message =
                "a log field must not be called `message`, which is the line's text: call it `id` or `reason`";
            findings.push(Finding::new(&file.path, number, message));
        }
        let opened = rest.matches('(').count();
        depth = (depth + opened).saturating_sub(rest.matches(')').count());
    }
    findings
}

fn sleeps(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut before = "";
    for (number, line) in numbered(&file.text) {
        if SLEEPS.iter().any(|call| line.contains(call)) && !is_excepted(line, before) {
            findings.push(Finding::new(&file.path, number, "a test must wait for a condition, not for time to pass"));
        }
        before = line;
    }
    findings
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Whether one of the lines carries the mark, and something that can be a reason after it.
fn is_excepted(line: &str, before: &str) -> bool {
    [line, before].iter().any(|line| line.split_once(MARK).is_some_and(|(_, reason)| reason.len() >= 10))
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&File { path: path.into(), text: text.into() }).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn module_without_a_comment_is_found() {
        assert_eq!(lines("xtask/src/a.rs", "fn a() {}\n"), [1]);
        assert!(lines("xtask/src/a.rs", "#![no_std]\n//! Why.\nfn a() {}\n").is_empty());
    }

    #[test]
    fn platform_json_is_found_outside_its_crate() {
        let text = "//! messaging_product is fine here.\nlet a = \"messaging_product\";\n#[cfg(test)]\nmod tests { \"messaging_product\" }\n";
        assert_eq!(lines("daemon/beadle/src/a.rs", text), [2]);
        assert!(lines("daemon/whatsapp/src/a.rs", text).is_empty());
        let marked = "//! Why.\n// tidy: the default belongs to the configuration\nlet a = \"graph.facebook.com\";\n";
        assert!(lines("daemon/beadle/src/a.rs", marked).is_empty());
    }

    #[test]
    fn log_field_that_runs_into_the_text_is_found() {
        let text = "//! Why.\ntracing::warn!(%message, code, \"text\");\ninfo!(\n    code = f(1),\n    message = %id,\n    \"text\"\n);\n";
        assert_eq!(lines("daemon/a/src/a.rs", text), [2, 5]);
        let text = "//! Why.\nwarn!(id = %message, \"a, message\");\nlet (message, a) = b;\nwarn!(reason = message.text(), \"t\");\n";
        assert!(lines("daemon/a/src/a.rs", text).is_empty());
    }

    #[test]
    fn sleeps_in_tests_are_found() {
        let line = ["tokio::time", "::sleep(x).await;"].concat();
        assert_eq!(lines("tests/src/a.rs", &format!("//! Why.\n{line}\n")), [2]);
        assert_eq!(lines("daemon/a/src/a/tests.rs", &format!("//! Why.\n{line}\n")), [2]);
        assert!(lines("daemon/a/src/a.rs", &format!("//! Why.\n{line}\n")).is_empty());
        assert_eq!(lines("tests/pages/a.mjs", "setTimeout(f, 5)\n"), [1]);
        assert!(lines("tests/pages/a.mjs", "// tidy: between two looks\nsetTimeout(f, 5)\n").is_empty());
    }

    #[test]
    fn path_of_one_machine_is_found() {
        let home = ["/ho", "me/anna/x"].concat();
        assert_eq!(lines("README.md", &format!("see {home}\n")), [1]);
        assert!(lines("README.md", &format!("see https://example.org{home}\n")).is_empty());
    }
}
