//! Runs other programs.
//!
//! An error names the command as a person would type it, so that it can be run again by hand.
//! [`run`] sends the program's output to the terminal; [`output`] returns it.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// An error for a person to read: what failed, and what to do about it.
#[derive(Debug)]
pub struct Failure(String);

impl std::error::Error for Failure {}

/// The result type of this crate.
pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The cargo that runs this program, otherwise the one on the `PATH`.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a program to its end. Returns an error if it does not start or does not succeed.
pub fn run(command: &mut Command) -> Result {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("`{}` ended with {status}", line(command)))),
        Err(error) => Err(Failure::new(format!("`{}` did not start: {error}", line(command)))),
    }
}

/// Runs a program and returns its trimmed standard output. Errors are those of [`run`].
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::new(format!("`{}` did not start: {error}", line(command))))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{}` ended with {}", line(command), output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a program of this name is on the `PATH`.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The command line as a person would type it.
pub fn line(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(name).chain(command.get_args()).map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_the_command_line() {
        let failure = run(Command::new("false").args(["--seed", "a b"])).unwrap_err();
        assert_eq!(failure.to_string(), "`false --seed 'a b'` ended with exit status: 1");
        assert!(run(&mut Command::new("no-such-program")).unwrap_err().to_string().contains("did not start"));
    }

    #[test]
    fn have_finds_programs_on_the_path() {
        assert!(have("sh"));
        assert!(!have("no-such-program"));
    }
}
