//! The plugin contract and the author's guide must not drift apart: the guide ends with the hash of
//! the contract that it describes.
//!
//! A changed contract invalidates the hash, so its author reads the guide again and updates it. The
//! hash cannot prove that the guide is right, only that it was read.

use super::finding::{File, Finding};
use sha2::{Digest, Sha256};

const CONTRACT: &str = "plugin-api/wit/";
const DOCUMENT: &str = "plugin-api/README.md";

/// Bytes of the SHA-256 that are printed: short enough to read.
const HASH_BYTES: usize = 8;

/// Compares contract and document.
pub fn check(files: &[File]) -> Vec<Finding> {
    let hash = hash(files);
    let mark = format!("<!-- describes wit/ as of {hash} -->");
    let Some(document) = files.iter().find(|file| file.path == DOCUMENT) else {
        return vec![Finding::new(DOCUMENT, 1, format!("the author's guide is missing; it must end with `{mark}`"))];
    };
    if document.text.contains(&mark) {
        return Vec::new();
    }
    let last = document.text.lines().count().max(1);
    let message = format!("plugin-api/wit changed: compare this page with it, then end it with `{mark}`");
    vec![Finding::new(DOCUMENT, last, message)]
}

fn hash(files: &[File]) -> String {
    let mut sha = Sha256::new();
    for file in files.iter().filter(|file| file.path.starts_with(CONTRACT) && file.path.ends_with(".wit")) {
        sha.update(file.path.as_bytes());
        sha.update([0]);
        sha.update(file.text.as_bytes());
        sha.update([0]);
    }
    let mut hex = format!("{:x}", sha.finalize());
    hex.truncate(2 * HASH_BYTES);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn changed_contract_invalidates_the_guide() {
        let wit = |text| file("plugin-api/wit/since-v0.1.0/types.wit", text);
        let mark = format!("<!-- describes wit/ as of {} -->", hash(&[wit("a")]));
        let document = || file(DOCUMENT, &format!("# Plugins\n{mark}\n"));
        assert!(check(&[document(), wit("a")]).is_empty());
        let findings = check(&[document(), wit("b")]);
        assert_eq!((findings.len(), findings[0].line), (1, 2));
        assert_eq!(check(&[wit("a")]).len(), 1);
    }
}
