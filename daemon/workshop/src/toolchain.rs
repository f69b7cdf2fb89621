//! Finds a compiler for `wasm32-unknown-unknown`, the target of plugins.
//!
//! There are two ways. With rustup, we add the target to the compiler in use. If rustup's server
//! cannot be reached, we use Debian's compiler: its packages contain the source of the standard
//! library, and cargo builds that once. A compiler that is already installed is preferred. We say
//! what we install before we install it. If we may not install anything, the error contains the
//! commands to type.
//!
//! Both ways build the same plugins, so the author does not choose between them.

use crate::shell::{self, Failure, Result, have};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The target of plugins. It has no operating system, so a plugin can do only what the host
/// provides.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler and cargo, the source of the standard library, and the linker for WebAssembly.
const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

/// Files of these packages, by which we see whether the packages are installed.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
const DEBIAN_LINKER: &str = "wasm-ld-19";

/// How long `rustup target add` may take. The target is 20 MB, about two seconds on a good
/// connection. If the network drops packets or is slow, the author gets the command to type instead
/// of a longer wait.
const RUSTUP_LIMIT: Duration = Duration::from_secs(20);
/// How often we check whether rustup has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A compiler that can build plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The compiler in use has the target.
    Own,
    /// Debian's compiler; cargo builds the standard library.
    Debian,
}

impl Toolchain {
    /// Finds a compiler, or installs what is missing.
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

    /// A `cargo build --release` for the target, without the compiler settings of the caller's
    /// environment.
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
            // `-Zbuild-std` needs this variable with a stable compiler.
            command.env("RUSTC_BOOTSTRAP", "1");
            command.env("RUSTFLAGS", format!("-Clinker={DEBIAN_LINKER}"));
        }
        command
    }

    /// The compiler's name, for messages.
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
    // rustup creates the target's folder before it fills it, so we look for `lib` in it.
    sysroot.is_ok_and(|sysroot| PathBuf::from(sysroot).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn debian_is_there() -> bool {
    [DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_SOURCE].iter().all(|path| Path::new(path).is_file()) && have(DEBIAN_LINKER)
}

/// Runs `rustup target add`, for at most [`RUSTUP_LIMIT`]. Returns whether it succeeded.
#[expect(clippy::disallowed_methods, reason = "polls a child process, on a thread of its own")]
fn add_target() -> bool {
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]).stdin(Stdio::null());
    eprintln!("plugins: adding the WebAssembly target to this Rust: {}", shell::line(&command));
    let Ok(mut child) = command.spawn() else { return false };
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if begun.elapsed() < RUSTUP_LIMIT => std::thread::sleep(LOOK_EVERY),
            _ => break,
        }
    }
    eprintln!("plugins: rustup did not end within {} s", RUSTUP_LIMIT.as_secs());
    // Both fail only if the process has already ended.
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// True if we run as root and apt-get exists.
fn may_install() -> bool {
    let root = shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    root && have("apt-get")
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    // We print one line before it runs; its errors are shown.
    command.stdout(Stdio::null());
    command
}

fn install() -> Result {
    eprintln!("plugins: installing Debian's compiler for WebAssembly (about 700 MB): {}", PACKAGES.join(", "));
    shell::run(&mut apt(&["update", "--quiet"]))?;
    let words = ["install", "--quiet", "--yes", "--no-install-recommends"];
    shell::run(apt(&words).args(PACKAGES))
}

fn what_to_type() -> String {
    format!(
        "no compiler on this machine builds for {TARGET}. If rustup's server can be reached, type:\n\n    \
         rustup target add {TARGET}\n\n\
         On Debian 12 or later, you can type instead:\n\n    \
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
    fn debian_builds_use_debians_compiler_and_linker() {
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
    fn callers_rustflags_are_removed() {
        let command = Toolchain::Own.build();
        assert!(command.get_envs().any(|(key, value)| key == "RUSTFLAGS" && value.is_none()));
    }
}
