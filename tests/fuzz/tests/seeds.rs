//! Every known input of every fuzz target: the seeds, and the empty one. What fuzzing has found is
//! kept as a seed.

use beadle_fuzz_functions::TARGETS;
use std::path::Path;

#[test]
fn every_target_takes_its_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for (name, target) in TARGETS {
        target(b"");
        let Ok(entries) = std::fs::read_dir(seeds.join(name)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            println!("{}", path.display());
            target(&std::fs::read(&path).unwrap());
        }
    }
    let folders = std::fs::read_dir(&seeds).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for folder in folders {
        assert!(TARGETS.iter().any(|(name, _)| *name == folder), "no target takes the seeds of {folder}");
    }
}

#[test]
fn seeds_of_views_can_be_displayed() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/display");
    for path in std::fs::read_dir(seeds).unwrap().map(|entry| entry.unwrap().path()) {
        let seed = std::fs::read(&path).unwrap();
        assert!(beadle_fuzz_functions::can_display(&seed), "{} shows nothing", path.display());
    }
}
