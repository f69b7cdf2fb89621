//! What is to be done about one plugin, from what is seen of it and what is known of it. Pure.
//!
//! Time is given in: elapsed, not civil. Nothing here remembers anything, so that looking twice does no harm and a change
//! that was missed is found by the next look.

use crate::config::LoadConfig;
use crate::folder::Stamp;
use crate::watch::Hint;
use std::collections::BTreeSet;
use std::time::Duration;

/// A file of which nobody says that it is being written is whole when it did not change for so long; one that is gone for
/// so long is gone. Tools that replace a file in two steps take less.
const SETTLE: Duration = Duration::from_secs(1);
/// One that somebody holds open to write, when it did not change for so long: a copy over a slow line pauses, and a writer
/// that died with the file open does not hold up its plugin for ever.
const SETTLE_OPEN: Duration = Duration::from_secs(10);

/// A file as it is seen.
#[derive(Clone, Copy, Debug)]
pub struct Here {
    /// As it is now.
    pub stamp: Stamp,
    /// For how long it has been so.
    pub unchanged_for: Duration,
    /// What its writer does, where that is known.
    pub hint: Option<Hint>,
}

/// What a plugin's file was judged with, whatever came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The file.
    pub stamp: Stamp,
    /// What it was loaded with.
    pub load: LoadConfig,
    /// The capabilities that it had.
    pub granted: BTreeSet<String>,
}

/// What is known of it.
#[derive(Debug)]
pub struct Known<'a> {
    /// With what it was judged last; none where it never was, or is to be judged again.
    pub judged: Option<&'a Judged>,
    /// It is being judged now.
    pub busy: bool,
    /// For how long its file is gone.
    pub gone_for: Duration,
    /// Its folder is gone too, and this is left of the time for which its plugins stay; zero when it is over.
    pub grace: Option<Duration>,
    /// What it is to be loaded with.
    pub load: &'a LoadConfig,
    /// What it is granted.
    pub granted: &'a BTreeSet<String>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// All is as it should be.
    Nothing,
    /// Look again within this.
    LookWithin(Duration),
    /// Try to bring it into service as it is now.
    Judge,
    /// It is gone.
    Unload,
}

/// What to do about a plugin. `here`: its file, where there is one.
pub fn decide(here: Option<&Here>, known: &Known<'_>) -> Do {
    if known.busy {
        // The end of that is a reason to look again.
        return Do::Nothing;
    }
    match (known.grace, here) {
        // Its folder is gone: what another folder has under its name is not what was meant.
        (Some(left), _) if !left.is_zero() => Do::LookWithin(left),
        (_, Some(here)) => {
            let same = |judged: &&Judged| {
                judged.stamp == here.stamp && judged.load == *known.load && judged.granted == *known.granted
            };
            if known.judged.as_ref().is_some_and(same) {
                return Do::Nothing;
            }
            match settled(here, known.judged) {
                Duration::ZERO => Do::Judge,
                left => Do::LookWithin(left),
            }
        }
        (Some(_), None) => Do::Unload,
        (None, None) if known.gone_for >= SETTLE => Do::Unload,
        (None, None) => Do::LookWithin(SETTLE - known.gone_for),
    }
}

/// How long until it may be taken as whole.
fn settled(here: &Here, judged: Option<&Judged>) -> Duration {
    let patience = match here.hint {
        _ if judged.is_some_and(|judged| judged.stamp == here.stamp) => Duration::ZERO,
        Some(Hint::Whole) => Duration::ZERO,
        Some(Hint::Busy) => SETTLE_OPEN,
        None => SETTLE,
    };
    patience.saturating_sub(here.unchanged_for)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const MS: Duration = Duration::from_millis(1);

    fn stamp(of: &str) -> Stamp {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(of);
        Stamp::of(&path).unwrap()
    }

    #[test]
    fn a_file_is_judged_once_it_is_whole_and_again_when_anything_changed() {
        let (one, two) = (stamp("Cargo.toml"), stamp("src/plan.rs"));
        let (usual, none) = (LoadConfig::default(), BTreeSet::new());
        let (tight, some) = (
            LoadConfig { isolation: beadle_sandbox::Isolation::PerEvent, ..LoadConfig::default() },
            BTreeSet::from(["messages".to_owned()]),
        );
        let judged = Judged { stamp: one, load: usual.clone(), granted: none.clone() };
        let known = |busy, load, granted| Known {
            judged: Some(&judged),
            busy,
            gone_for: Duration::ZERO,
            grace: None,
            load,
            granted,
        };
        let here = |stamp, ms: u32, hint| Here { stamp, unchanged_for: ms * MS, hint };
        for (what, here, known, wanted) in [
            ("nothing new", here(one, 0, None), known(false, &usual, &none), Do::Nothing),
            ("other settings", here(one, 0, None), known(false, &tight, &none), Do::Judge),
            ("more capabilities", here(one, 0, Some(Hint::Busy)), known(false, &usual, &some), Do::Judge),
            ("new, nobody says more", here(two, 0, None), known(false, &usual, &none), Do::LookWithin(1000 * MS)),
            ("new, for a while", here(two, 400, None), known(false, &usual, &none), Do::LookWithin(600 * MS)),
            ("new, for long", here(two, 1000, None), known(false, &usual, &none), Do::Judge),
            ("new, closed", here(two, 0, Some(Hint::Whole)), known(false, &usual, &none), Do::Judge),
            ("open", here(two, 1000, Some(Hint::Busy)), known(false, &usual, &none), Do::LookWithin(9000 * MS)),
            ("open for ever", here(two, 10_000, Some(Hint::Busy)), known(false, &usual, &none), Do::Judge),
            ("being judged", here(two, 0, Some(Hint::Whole)), known(true, &usual, &none), Do::Nothing),
        ] {
            assert_eq!(decide(Some(&here), &known), wanted, "{what}");
        }
    }

    #[test]
    fn what_is_gone_is_unloaded_after_a_moment_and_a_folder_s_plugins_after_a_grace() {
        let (load, granted) = (LoadConfig::default(), BTreeSet::new());
        let known = |gone_ms: u32, grace: Option<u32>| Known {
            judged: None,
            busy: false,
            gone_for: gone_ms * MS,
            grace: grace.map(|ms| ms * MS),
            load: &load,
            granted: &granted,
        };
        let elsewhere = Here { stamp: stamp("Cargo.toml"), unchanged_for: 5000 * MS, hint: None };
        for (here, known, wanted) in [
            (None, known(0, None), Do::LookWithin(1000 * MS)),
            (None, known(700, None), Do::LookWithin(300 * MS)),
            (None, known(1000, None), Do::Unload),
            (None, known(5000, Some(300)), Do::LookWithin(300 * MS)),
            (None, known(5000, Some(0)), Do::Unload),
            (Some(&elsewhere), known(0, Some(300)), Do::LookWithin(300 * MS)),
            (Some(&elsewhere), known(0, Some(0)), Do::Judge),
        ] {
            assert_eq!(decide(here, &known), wanted, "{known:?}");
        }
    }
}
