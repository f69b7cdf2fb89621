//! Decides what to do about one plugin, from what is observed and what is known. Pure.
//!
//! Times are given as elapsed durations. It keeps no state, so observing twice is harmless, and a
//! change that was missed is found by the next observation.

use crate::config::LoadConfig;
use crate::folder::Stamp;
use crate::watch::Hint;
use std::collections::BTreeSet;
use std::time::Duration;

/// A file without a hint is complete after it was unchanged for this long, and a missing one is
/// gone. Tools that replace a file in two steps take less.
const SETTLE: Duration = Duration::from_secs(1);
/// The same for a file that is known to be open for writing: a copy over a slow line pauses, and a
/// writer that died with the file open must not block the plugin for ever.
const SETTLE_WHILE_OPEN: Duration = Duration::from_secs(10);

/// A plugin's file as observed.
#[derive(Clone, Copy, Debug)]
pub struct FileState {
    /// Identifies its content.
    pub stamp: Stamp,
    /// For how long the stamp has been the same.
    pub unchanged_for: Duration,
    /// What its writer does, if known.
    pub hint: Option<Hint>,
}

/// The inputs of a load, whatever its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The file.
    pub stamp: Stamp,
    /// The configuration that the plugin is loaded with.
    pub load: LoadConfig,
    /// The capabilities that were granted.
    pub granted: BTreeSet<String>,
}

/// What is known of a plugin.
#[derive(Debug)]
pub struct Known<'a> {
    /// The last attempt; `None` if there was none or it is to be repeated.
    pub attempt: Option<&'a Attempt>,
    /// A load is running.
    pub loading: bool,
    /// For how long its file has been missing.
    pub missing_for: Duration,
    /// Its folder is missing too, and this is left of the grace; zero when that is over.
    pub grace: Option<Duration>,
    /// It was active before a restart and can be loaded from its saved revision.
    pub resumable: bool,
    /// The configuration to load it with.
    pub load: &'a LoadConfig,
    /// The capabilities granted now.
    pub granted: &'a BTreeSet<String>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Observe again after this time.
    CheckAfter(Duration),
    /// Load the file.
    Load,
    /// Load the saved revision: the folder is missing since the start.
    Resume,
    /// Unload the plugin: its file was removed.
    Unload,
}

/// Decides about a plugin. `file` is its file, if there is one.
pub fn decide(file: Option<&FileState>, known: &Known<'_>) -> Action {
    if known.loading {
        // The end of the load triggers the next observation.
        return Action::None;
    }
    match (known.grace, file) {
        // The folder is missing: a file of that name in another folder is not a replacement.
        (Some(left), None) if !left.is_zero() && known.resumable => Action::Resume,
        (Some(left), _) if !left.is_zero() => Action::CheckAfter(left),
        (_, Some(file)) => {
            let is_same = |attempt: &&Attempt| {
                attempt.stamp == file.stamp && attempt.load == *known.load && attempt.granted == *known.granted
            };
            if known.attempt.is_some_and(|attempt| is_same(&attempt)) {
                return Action::None;
            }
            match time_to_settle(file, known.attempt) {
                Duration::ZERO => Action::Load,
                left => Action::CheckAfter(left),
            }
        }
        (Some(_), None) => Action::Unload,
        (None, None) if known.missing_for >= SETTLE => Action::Unload,
        (None, None) => Action::CheckAfter(SETTLE - known.missing_for),
    }
}

/// The time until the file counts as complete.
fn time_to_settle(file: &FileState, attempt: Option<&Attempt>) -> Duration {
    let settle = match file.hint {
        _ if attempt.is_some_and(|attempt| attempt.stamp == file.stamp) => Duration::ZERO,
        Some(Hint::Whole) => Duration::ZERO,
        Some(Hint::Busy) => SETTLE_WHILE_OPEN,
        None => SETTLE,
    };
    settle.saturating_sub(file.unchanged_for)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const MS: Duration = Duration::from_millis(1);

    fn stamp(file: &str) -> Stamp {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        Stamp::of(&path).unwrap()
    }

    #[test]
    fn complete_file_is_loaded_once_until_an_input_changes() {
        let (one, two) = (stamp("Cargo.toml"), stamp("src/plan.rs"));
        let (default, none) = (LoadConfig::default(), BTreeSet::new());
        let (other, some) = (
            LoadConfig { isolation: beadle_sandbox::Isolation::PerEvent, ..LoadConfig::default() },
            BTreeSet::from(["messages".to_owned()]),
        );
        let attempt = Attempt { stamp: one, load: default.clone(), granted: none.clone() };
        let known = |loading, load, granted| Known {
            attempt: Some(&attempt),
            loading,
            missing_for: Duration::ZERO,
            grace: None,
            resumable: false,
            load,
            granted,
        };
        let file = |stamp, ms: u32, hint| FileState { stamp, unchanged_for: ms * MS, hint };
        let (whole, busy) = (Some(Hint::Whole), Some(Hint::Busy));
        for (case, file, known, expected) in [
            ("unchanged", file(one, 0, None), known(false, &default, &none), Action::None),
            ("other settings", file(one, 0, None), known(false, &other, &none), Action::Load),
            ("more capabilities", file(one, 0, busy), known(false, &default, &some), Action::Load),
            ("new", file(two, 0, None), known(false, &default, &none), Action::CheckAfter(1000 * MS)),
            ("settling", file(two, 400, None), known(false, &default, &none), Action::CheckAfter(600 * MS)),
            ("settled", file(two, 1000, None), known(false, &default, &none), Action::Load),
            ("closed", file(two, 0, whole), known(false, &default, &none), Action::Load),
            ("open", file(two, 1000, busy), known(false, &default, &none), Action::CheckAfter(9000 * MS)),
            ("open for too long", file(two, 10_000, busy), known(false, &default, &none), Action::Load),
            ("loading", file(two, 0, whole), known(true, &default, &none), Action::None),
        ] {
            assert_eq!(decide(Some(&file), &known), expected, "{case}");
        }
    }

    #[test]
    fn missing_file_unloads_at_once_and_missing_folder_after_the_grace() {
        let (load, granted) = (LoadConfig::default(), BTreeSet::new());
        let known = |missing_ms: u32, grace: Option<u32>| Known {
            attempt: None,
            loading: false,
            missing_for: missing_ms * MS,
            grace: grace.map(|ms| ms * MS),
            resumable: false,
            load: &load,
            granted: &granted,
        };
        let elsewhere = FileState { stamp: stamp("Cargo.toml"), unchanged_for: 5000 * MS, hint: None };
        for (file, known, expected) in [
            (None, known(0, None), Action::CheckAfter(1000 * MS)),
            (None, known(700, None), Action::CheckAfter(300 * MS)),
            (None, known(1000, None), Action::Unload),
            (None, known(5000, Some(300)), Action::CheckAfter(300 * MS)),
            (None, known(5000, Some(0)), Action::Unload),
            (Some(&elsewhere), known(0, Some(300)), Action::CheckAfter(300 * MS)),
            (Some(&elsewhere), known(0, Some(0)), Action::Load),
        ] {
            assert_eq!(decide(file, &known), expected, "{known:?}");
        }
        // Not loaded yet after a start.
        let resumable = |grace| Known { resumable: true, ..known(5000, grace) };
        assert_eq!(decide(None, &resumable(Some(300))), Action::Resume);
        assert_eq!(decide(None, &resumable(Some(0))), Action::Unload);
        assert_eq!(decide(None, &resumable(None)), Action::Unload);
    }
}
