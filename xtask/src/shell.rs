//! Runs other programs at the root of the repository, with beadle-workshop's functions.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;

pub use beadle_workshop::shell::{Failure, Result, have, line, output, run};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// The target folder: `CARGO_TARGET_DIR`, else `target` at the root.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs this program, without what it told this program about its own package: build
/// scripts of dependencies would see a change, so that half of the workspace would be compiled
/// again after every cargo that was called directly.
pub fn cargo() -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let of_package = |name: &OsString| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_package(name)) {
        cargo.env_remove(name);
    }
    cargo
}

/// A seed that is different in each run. At most nine digits, because a person may repeat it and
/// libFuzzer reads 32 bits; not 0, which is a random one for libFuzzer.
pub fn random_seed() -> u64 {
    // The state of a map's hasher is the only source of random numbers in the standard library.
    RandomState::new().build_hasher().finish() % 999_999_999 + 1
}

/// A command that runs at the root of the repository.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}
