//! Running other programs, with the command line at hand when one fails.
//!
//! What is done here is a list of commands that a person could type, so an error says which one it was and how to run it
//! again. Output goes straight to the terminal: there is nothing here to buffer or to parse.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What went wrong, for a person, with what to do about it.
#[derive(Debug)]
pub struct Failure(String);

impl std::error::Error for Failure {}

/// What everything here gives back.
pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// With these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The cargo that runs us, else the one on the `PATH`.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs to the end; an error where it could not start or did not succeed.
pub fn run(command: &mut Command) -> Result {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("`{}` ended with {status}", line(command)))),
        Err(error) => Err(Failure::new(format!("`{}` did not start: {error}", line(command)))),
    }
}

/// What it printed, trimmed; an error as in [`run`].
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

/// The command as a person would type it.
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
    fn an_error_says_what_to_type() {
        let failure = run(Command::new("false").args(["--seed", "a b"])).unwrap_err();
        assert_eq!(failure.to_string(), "`false --seed 'a b'` ended with exit status: 1");
        assert!(run(&mut Command::new("no-such-program")).unwrap_err().to_string().contains("did not start"));
    }

    #[test]
    fn what_is_on_the_path_is_found() {
        assert!(have("sh"));
        assert!(!have("no-such-program"));
    }
}
