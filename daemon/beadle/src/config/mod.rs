//! The configuration: from TOML files to one typed, validated value, or to all errors at once.
//!
//! `files` reads the files, `tree` merges them, `read` has typed readers, `sections`, `schedules`,
//! `segments`, `costs`, `egress` and `hooks` define the keys, `settings` is the result. The rest of
//! the daemon sees only checked values: no text to parse, no secrets to fetch. Nothing is opened or
//! started here, so a configuration can be checked on another machine.

mod costs;
mod diagnostic;
mod difference;
mod egress;
mod environment;
mod files;
mod hooks;
mod inputs;
mod literal;
mod people;
mod read;
mod schedules;
mod secret;
mod sections;
mod segments;
mod settings;
mod tree;
pub mod units;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub use diagnostic::CODES;
pub use diagnostic::{Diagnostic, Invalid, Source, Span};
pub use difference::{Change, Flat, changes, in_effect};
pub use environment::Environment;
pub use hooks::{HookScheme, HookSettings};
pub use inputs::Inputs;
pub use read::{NAME_FORM, is_name};
pub use settings::*;

use std::collections::BTreeMap;
#[cfg(test)]
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A valid configuration and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The path that was loaded.
    pub path: PathBuf,
    /// The files, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// The keys and values as written.
    pub flat: Flat,
    /// What is valid but probably not intended.
    pub warnings: Vec<Diagnostic>,
    /// The text of the files.
    pub sources: Vec<Source>,
    /// Where each key is.
    pub places: BTreeMap<String, Span>,
    /// Everything that was read, as it was then.
    pub inputs: Inputs,
    /// Every key that exists, with `*` for names: the example file must explain each.
    #[cfg(test)]
    pub known: BTreeSet<String>,
}

impl Loaded {
    /// Where each key is, as `FILE:LINE`.
    pub fn lines(&self) -> BTreeMap<String, String> {
        let line = |(key, span): (&String, &Span)| Some((key.clone(), span.line(&self.sources)?));
        self.places.iter().filter_map(line).collect()
    }
}

/// Reads a file with the `conf.d` next to it, or a folder with `beadle.toml` and `conf.d`.
pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, Invalid> {
    let mut diagnostics = diagnostic::Diagnostics::default();
    let mut files = files::read(path, environment.unsettled, &mut diagnostics);
    let mut tree = tree::Table::default();
    for (number, source) in files.sources.iter().enumerate() {
        let one = tree::parse(number, &source.text, &mut diagnostics);
        tree::merge(&mut tree, one, "", &mut diagnostics);
    }
    let is_complete = diagnostics.is_empty();
    let context = read::Context {
        diagnostics: diagnostics.into(),
        warnings: Vec::new().into(),
        known: Default::default(),
        inputs: files.inputs.into(),
        more_sources: Default::default(),
        sources: &files.sources,
        base: &files.base,
        environment,
    };
    let config = sections::config(&context, &tree);
    let (flat, places) = (difference::flat(&tree), tree::places(&tree));
    // From here on the files are not borrowed.
    #[cfg(test)]
    let known = context.known.into_inner();
    let read::Context { diagnostics, warnings, inputs, more_sources, .. } = context;
    let (mut diagnostics, inputs) = (diagnostics.into_inner(), inputs.into_inner());
    // A key may be missing only because its file could not be parsed.
    if !is_complete {
        diagnostics.remove("config-missing");
    }
    if !diagnostics.is_empty() {
        files.sources.extend(more_sources.into_inner());
        return Err(diagnostics.into_error(files.sources, inputs));
    }
    let paths = files.sources.iter().map(|source| source.path.clone()).collect();
    files.sources.extend(more_sources.into_inner());
    Ok(Loaded {
        config,
        path: path.to_owned(),
        files: paths,
        flat,
        warnings: warnings.into_inner(),
        sources: files.sources,
        places,
        inputs,
        #[cfg(test)]
        known,
    })
}
