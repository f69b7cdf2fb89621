//! What the operators' documents cite exists: tests in `docs/security.md`, metrics in the alert
//! rules.
//!
//! A promise whose test was renamed or removed is a promise without evidence, and an alert on a
//! metric that does not exist never fires.

use super::finding::{File, Finding};

const SECURITY: &str = "docs/security.md";
/// Files that name metrics.
const ALERTS: &[&str] = &["config/alerts.yml", "docs/operators/monitoring.md"];
/// Lists every metric.
const METRICS: &str = "daemon/beadle/tests/web/metrics.snap";

/// Checks both.
pub fn check(files: &[File]) -> Vec<Finding> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let mut findings = Vec::new();
    if let Some(page) = find(SECURITY) {
        findings.extend(tests(page, &find));
    }
    if let Some(metrics) = find(METRICS) {
        findings
            .extend(ALERTS.iter().filter_map(|path| find(path)).flat_map(|file| unknown_metrics(file, &metrics.text)));
    }
    findings
}

/// Every "`FILE.rs` `TEST`" names a test of that file.
fn tests<'a>(page: &File, find: &impl Fn(&str) -> Option<&'a File>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in page.text.lines().enumerate() {
        let words: Vec<&str> = line.split('`').collect();
        for pair in words.windows(3) {
            let [path, " ", test] = pair else { continue };
            let exists = find(path).is_some_and(|file| file.text.contains(&format!("fn {test}(")));
            if path.ends_with(".rs") && !exists {
                findings.push(Finding::new(&page.path, index + 1, format!("`{path}` has no test `{test}`")));
            }
        }
    }
    findings
}

/// Metrics of a file that a scrape does not show.
fn unknown_metrics(file: &File, metrics: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("beadle_") || word.starts_with("process_")) {
            if !metrics.lines().any(|line| line.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '{']))) {
                findings.push(Finding::new(&file.path, index + 1, format!("no metric is named `{word}`")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        check(&files.iter().map(file).collect::<Vec<_>>()).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn promise_without_its_test_is_found() {
        let code = ("a.rs", "#[test]\nfn it_holds() {}\n");
        assert!(messages(&[code, (SECURITY, "| It holds | `a.rs` `it_holds` |\n")]).is_empty());
        assert_eq!(
            messages(&[code, (SECURITY, "| It holds | `a.rs` `it_held` |\n")]),
            ["`a.rs` has no test `it_held`"]
        );
    }

    #[test]
    fn alert_on_an_unknown_metric_is_found() {
        let metrics = (METRICS, "# HELP beadle_a A\nbeadle_a_total{x=\"y\"} 1\nbeadle_b 2\n");
        assert!(messages(&[metrics, (ALERTS[0], "rate(beadle_a_total[5m]) > 0 or beadle_b == 0\n")]).is_empty());
        assert_eq!(messages(&[metrics, (ALERTS[0], "beadle_a > 0\n")]), ["no metric is named `beadle_a`"]);
    }
}
