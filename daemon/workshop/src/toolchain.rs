//! Finding a compiler for `wasm32-unknown-unknown`, which plugins are built with.
//!
//! Two ways are open on the machines we know. Most have rustup, which adds the target to the compiler that builds
//! everything else. Where its server cannot be reached, Debian's own compiler does it: the packages bring the standard
//! library's source, and cargo builds it once. What is there already is taken before anything is installed; what is
//! installed is said before it is; where nothing may be, the error has the lines to type.
//!
//! It is not a choice to make: nobody has to know which way was taken, the plugins are the same.

use crate::shell::{self, Failure, Result, have};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a plugin is built for: no system below it, so that all it can do is what the host gives it.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler, its cargo, the standard library's source, and the linker for wasm.
const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

/// What these packages leave, so that it can be seen whether they are there.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
const DEBIAN_LINKER: &str = "wasm-ld-19";

/// The target is 20 MB, two seconds on a good line. A network that swallows packets keeps nobody longer than this, and
/// whoever has a slow one gets the line to type.
const RUSTUP_LIMIT: Duration = Duration::from_secs(20);
/// How often to look whether rustup is done; short beside the two seconds that it takes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A way to build plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The compiler that builds everything else has the target.
    Own,
    /// Debian's compiler, with a standard library that cargo builds.
    Debian,
}

impl Toolchain {
    /// Finds one, or installs what is missing.
    pub fn find() -> Result<Self> {
        if own_has_target() {
            return Ok(Self::Own);
        }
        if debian_is_there() {
            return Ok(Self::Debian);
        }
        if have("rustup") && add_target() && own_has_target() {
            return Ok(Self::Own);
        }
        if may_install() && install().is_ok() && debian_is_there() {
            return Ok(Self::Debian);
        }
        Err(Failure::new(what_to_type()))
    }

    /// `cargo build` for the target, in release, where nothing of the caller's compiler reaches into it.
    pub fn build(self) -> Command {
        let mut command = match self {
            Self::Own => shell::cargo(),
            Self::Debian => Command::new(DEBIAN_CARGO),
        };
        for variable in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            command.env_remove(variable);
        }
        command.args(["build", "--release", "--target", TARGET]);
        if self == Self::Debian {
            for variable in ["RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"]
            {
                command.env_remove(variable);
            }
            command.arg("-Zbuild-std=std,panic_abort");
            command.env("RUSTC", DEBIAN_RUSTC);
            // A stable compiler builds its own standard library only when told that it may.
            command.env("RUSTC_BOOTSTRAP", "1");
            command.env("RUSTFLAGS", format!("-Clinker={DEBIAN_LINKER}"));
        }
        command
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "this Rust",
            Self::Debian => "Debian's Rust",
        }
    }
}

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn own_has_target() -> bool {
    let sysroot = shell::output(rustc().args(["--print", "sysroot"]));
    // The folder of the target is made before it is filled; `lib` holds what is needed.
    sysroot.is_ok_and(|sysroot| PathBuf::from(sysroot).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn debian_is_there() -> bool {
    [DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_SOURCE].iter().all(|path| Path::new(path).is_file()) && have(DEBIAN_LINKER)
}

/// `rustup target add`, no longer than the limit.
#[expect(clippy::disallowed_methods, reason = "polls a child process, on a thread of its own")]
fn add_target() -> bool {
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]).stdin(Stdio::null());
    eprintln!("plugins: adding the wasm target to this Rust: {}", shell::line(&command));
    let Ok(mut child) = command.spawn() else { return false };
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if begun.elapsed() < RUSTUP_LIMIT => std::thread::sleep(LOOK_EVERY),
            _ => break,
        }
    }
    eprintln!("plugins: no answer in {} s", RUSTUP_LIMIT.as_secs());
    // It may have ended by itself in this moment; then there is nothing to end.
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Only root may, and only where there is such a package.
fn may_install() -> bool {
    let root = shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    root && have("apt-get")
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    // What it says is for those who ask it; ours is one line before, and its errors.
    command.stdout(Stdio::null());
    command
}

fn install() -> Result {
    eprintln!("plugins: installing Debian's compiler for wasm (about 700 MB): {}", PACKAGES.join(", "));
    shell::run(&mut apt(&["update", "--quiet"]))?;
    let words = ["install", "--quiet", "--yes", "--no-install-recommends"];
    shell::run(apt(&words).args(PACKAGES))
}

fn what_to_type() -> String {
    format!(
        "no compiler here builds for {TARGET}. Type this where rustup's server can be reached:\n\n    \
         rustup target add {TARGET}\n\n\
         or this on Debian 12 and later:\n\n    \
         sudo apt-get update\n    \
         sudo apt-get install --no-install-recommends {}\n",
        PACKAGES.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn debians_cargo_uses_debians_compiler() {
        let command = Toolchain::Debian.build();
        let variable = |name: &str| command.get_envs().find(|(key, _)| *key == OsStr::new(name)).and_then(|(_, v)| v);
        assert_eq!(variable("RUSTC"), Some(OsStr::new(DEBIAN_RUSTC)));
        assert_eq!(variable("RUSTFLAGS"), Some(OsStr::new("-Clinker=wasm-ld-19")));
        assert_eq!(
            shell::line(&command),
            "cargo build --release --target wasm32-unknown-unknown -Zbuild-std=std,panic_abort"
        );
    }

    #[test]
    fn nothing_of_the_caller_reaches_a_plugin() {
        let command = Toolchain::Own.build();
        assert!(command.get_envs().any(|(key, value)| key == "RUSTFLAGS" && value.is_none()));
    }
}
