//! `cargo xtask tidy`: invariants of the repository that text and manifests can show.
//!
//! The compiler and clippy (`clippy.toml`) check what they can; this checks the rest: layering,
//! references, the contract's document, and a few rules about text. It knows no Rust syntax: a rule
//! that needs a parser does not belong here. Every finding says where, what, and what to do. An
//! exception stands on the line or the one before, with a reason: `// tidy: REASON`.

mod circles;
mod contract;
mod evidence;
mod explain;
mod finding;
mod generated;
mod layering;
mod prose;
mod references;
mod text;

use crate::docs;
use crate::shell::{self, Failure, Result};
use finding::{File, Finding};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are built, downloaded or kept by git.
const SKIPPED: &[&str] = &["target", "node_modules", ".git", "__pycache__"];

/// Checks everything and prints what was found.
pub fn run() -> Result {
    let root = shell::root();
    let files = files(&root)?;
    let mut findings: Vec<Finding> = files.iter().flat_map(text::check).collect();
    findings.extend(layering::check(&files));
    findings.extend(circles::check(&files));
    findings.extend(contract::check(&files));
    findings.extend(generated::check(&files, &docs::pages(&root)?));
    findings.extend(prose::check(&files));
    findings.extend(evidence::check(&files));
    findings.extend(explain::check(&files));
    findings.extend(references::check(&files, &|path| root.join(path).exists()));
    findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    for finding in &findings {
        eprintln!("{}:{}: {}", finding.file, finding.line, finding.message);
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err(Failure::new("1 finding")),
        n => Err(Failure::new(format!("{n} findings"))),
    }
}

/// Every text file of the repository, in path order.
fn files(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in children(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) || name.starts_with("target-") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                // What is not UTF-8 is a picture or a program.
                let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error| Failure::new(format!("cannot read {}: {error}", folder.display()));
    fs::read_dir(folder).map_err(unreadable)?.map(|entry| entry.map(|e| e.path()).map_err(unreadable)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_and_downloaded_files_are_skipped() {
        let files = files(&shell::root()).unwrap();
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy.rs"));
        assert!(!files.iter().any(|file| file.path.starts_with("target/") || file.path.starts_with(".git/")));
    }
}
