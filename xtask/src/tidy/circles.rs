//! No import circles between the files of a crate: what imports each other cannot be read one after
//! the other.
//!
//! It reads `use` declarations and the paths in expressions, outside comments and the test module
//! at a file's end. `mod` imports nothing; `pub use` and a call into a child do. What a parent
//! shares with its children therefore lies in a file of its own.

use super::finding::{File, Finding};
use std::collections::{BTreeMap, BTreeSet};

type Module = Vec<String>;

/// Checks the sources of every crate: each folder below a `src` with a `lib.rs` or `main.rs`.
pub fn check(files: &[File]) -> Vec<Finding> {
    let folder = |file: &'_ File| {
        let (folder, name) = file.path.rsplit_once('/')?;
        let is_root = matches!(name, "lib.rs" | "main.rs") && folder.split('/').any(|part| part == "src");
        is_root.then(|| format!("{folder}/"))
    };
    let folders: BTreeSet<String> = files.iter().filter_map(folder).collect();
    folders.iter().flat_map(|src| check_crate(files, src)).collect()
}

/// The import circles between the files under `src`, each reported at its first file.
fn check_crate(files: &[File], src: &str) -> Vec<Finding> {
    let modules: BTreeMap<Module, &File> = files
        .iter()
        .filter(|file| file.extension() == "rs")
        .filter_map(|file| Some((module_of(file.path.strip_prefix(src)?), file)))
        .collect();
    let imports: BTreeMap<&Module, BTreeSet<Module>> =
        modules.iter().map(|(module, file)| (module, imports_of(module, &file.text, &modules))).collect();
    let reaches = |from: &Module| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            for imported in imports.get(&module).into_iter().flatten() {
                if reached.insert(imported.clone()) {
                    next.push(imported.clone());
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = modules.keys().map(|module| (module, reaches(module))).collect();
    let mut findings = Vec::new();
    let mut reported = BTreeSet::new();
    for module in modules.keys().filter(|module| reached.get(module).is_some_and(|reached| reached.contains(*module))) {
        let in_circle = |other: &&Module| {
            let reaches = |from: &Module, to: &Module| reached.get(from).is_some_and(|reached| reached.contains(to));
            reaches(module, other) && reaches(other, module)
        };
        let circle: Vec<&Module> = modules.keys().filter(in_circle).collect();
        if reported.insert(circle.clone()) {
            let paths: Vec<&str> =
                circle.iter().filter_map(|index| modules.get(*index)).map(|module| module.path.as_str()).collect();
            let message = format!("these files import each other in a circle: {}", paths.join(", "));
            findings.push(Finding::new(paths.first().copied().unwrap_or(src), 1, message));
        }
    }
    findings
}

/// `outbox/send.rs` is the module `outbox::send`, `outbox/mod.rs` is `outbox`, `lib.rs` the root.
fn module_of(path: &str) -> Module {
    let mut parts: Module = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    parts.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
    parts
}

fn imports_of(module: &Module, text: &str, modules: &BTreeMap<Module, &File>) -> BTreeSet<Module> {
    let code: String = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut paths = Vec::new();
    for statement in code.split(';') {
        if let Some((_, tree)) = statement.rsplit_once("use ") {
            expand("", &tree.split_whitespace().collect::<String>(), &mut paths);
        }
    }
    // Paths in expressions; what ends with `::` is the beginning of a tree above.
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    paths.extend(words.filter(|word| word.contains("::") && !word.ends_with("::")).map(str::to_owned));
    let found = paths.iter().filter_map(|path| resolve(module, path, modules));
    found.filter(|imported| imported != module).collect()
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((before, rest)) = tree.split_once('{') else {
        return paths.push(format!("{prefix}{tree}"));
    };
    let (prefix, mut depth, mut part) = (format!("{prefix}{before}"), 1, String::new());
    for c in rest.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match (c, depth) {
            (',', 1) => expand(&prefix, &std::mem::take(&mut part), paths),
            (_, 0) => break,
            _ => part.push(c),
        }
    }
    if !part.is_empty() {
        expand(&prefix, &part, paths);
    }
}

/// The file that a path leads to, where it is one of this crate.
fn resolve(module: &Module, path: &str, modules: &BTreeMap<Module, &File>) -> Option<Module> {
    let mut segments = path.split("::").filter(|segment| !segment.is_empty()).peekable();
    let mut at = module.clone();
    match *segments.peek()? {
        "crate" => {
            segments.next();
            at.clear();
        }
        "self" => _ = segments.next(),
        "super" => {
            while segments.next_if_eq(&"super").is_some() {
                at.pop();
            }
        }
        first => {
            let child = [at.as_slice(), &[first.to_owned()]].concat();
            modules.get(&child)?;
        }
    }
    for segment in segments {
        at.push(segment.to_owned());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File { path: format!("x/src/{path}"), text: (*text).into() };
        let files: Vec<File> = files.iter().map(file).collect();
        check_crate(&files, "x/src/").into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn circles_are_found_through_use_trees_super_and_expressions() {
        let circle = |files: &str| vec![format!("these files import each other in a circle: {files}")];
        let two = circle("x/src/a.rs, x/src/b.rs");
        assert_eq!(found(&[("a.rs", "use crate::{b::B, std};"), ("b.rs", "use super::a::A;")]), two);
        assert_eq!(found(&[("a.rs", "fn f() { crate::b::g() }"), ("b.rs", "use crate::a::f;")]), two);
        let through_parent = found(&[("a/mod.rs", "mod b;\nuse b::B;"), ("a/b.rs", "use super::State;")]);
        assert_eq!(
            through_parent,
            circle("x/src/a/b.rs, x/src/a/mod.rs")
                .iter()
                .map(|_| circle("x/src/a/mod.rs, x/src/a/b.rs").remove(0))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn every_crate_is_checked() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [
            file("new/src/lib.rs", ""),
            file("new/src/a.rs", "use crate::b::B;"),
            file("new/src/b.rs", "use crate::a::A;"),
            file("new/tests/a.rs", "use crate::b::B;"),
            file("new/tests/b.rs", "use crate::a::A;"),
        ];
        let [finding] = &check(&files)[..] else { panic!("one circle") };
        assert_eq!(finding.message, "these files import each other in a circle: new/src/a.rs, new/src/b.rs");
    }

    #[test]
    fn circles_are_found_through_calls_into_children() {
        let circle = "these files import each other in a circle: x/src/a/mod.rs, x/src/a/b.rs";
        assert_eq!(found(&[("a/mod.rs", "mod b;\nfn f() { b::g() }"), ("a/b.rs", "use super::State;")]), [circle]);
    }

    #[test]
    fn one_direction_comments_and_tests_are_fine() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use a::A;"),
            ("a.rs", "use crate::b::B; // not crate::lib\n#[cfg(test)]\nmod tests { use crate::a; }"),
            ("b.rs", "//! Used by `crate::a`.\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}"),
        ];
        assert!(found(&files).is_empty());
    }
}
