//! A program under test: starting it, reading its output, stopping and killing it.
//!
//! Its output is kept, so that a test can wait for a line, and so that a failure can show the last
//! lines. Dropping a [`Program`] kills the process.

use crate::TIMEOUT;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long the output of a program is read after its end.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(5);

/// Lines of output that a failure shows.
const LINES_SHOWN: usize = 60;

/// A running program.
pub struct Program {
    name: String,
    child: Child,
    lines: watch::Receiver<Vec<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// The folder of this build's programs: that of the running program, which is `target/PROFILE` or
/// its `deps`.
fn build_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().unwrap_or(Path::new("."));
    if folder.ends_with("deps") { folder.parent().unwrap_or(folder).to_path_buf() } else { folder.to_path_buf() }
}

/// The path of a program of the workspace. Panics if it is not built.
pub fn built(name: &str) -> PathBuf {
    let path = build_folder().join(name);
    assert!(path.is_file(), "{} is not built: run `cargo xtask test build` first", path.display());
    path
}

/// The target folder.
pub fn target_dir() -> PathBuf {
    build_folder().parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The path of a built plugin: of `plugins/`, `plugins/tests/` or `tests/components`. Panics if it
/// is not built.
pub fn plugin(name: &str) -> PathBuf {
    // Plugins are built once, for every profile.
    let target = target_dir();
    let found =
        ["plugins", "test-plugins", "components"].map(|folder| target.join(folder).join(format!("{name}.wasm")));
    let path = found.into_iter().find(|path| path.is_file());
    path.unwrap_or_else(|| panic!("the plugin {name} is not built: run `cargo xtask test plugins` first"))
}

/// Another revision of the plugin `probe`: `tag` precedes its replies; `v2!trap` also traps.
pub fn probe(tag: &str) -> Vec<u8> {
    revised("probe", tag)
}

/// Another revision of a plugin: `tag` overwrites the value of `REVISION` in its binary.
pub fn revised(name: &str, tag: &str) -> Vec<u8> {
    const MARK: &[u8] = b"probe-revision:";
    let path = plugin(name);
    let mut bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let at = bytes.windows(MARK.len()).position(|here| here == MARK);
    let tagged = at.and_then(|at| bytes.get_mut(at + MARK.len()..)?.get_mut(..tag.len()));
    match tagged {
        Some(place) => place.copy_from_slice(tag.as_bytes()),
        None => panic!("{} has no revision marker: build it again", path.display()),
    }
    bytes
}

/// The daemon's name of the revision with these bytes: their SHA-256 in hex.
pub fn revision_of(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

impl Program {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let program = Path::new(command.as_std().get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let spawned =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        let (sender, lines) = watch::channel(Vec::new());
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|stdout| tokio::spawn(collect(stdout, sender.clone()))));
        readers.extend(child.stderr.take().map(|stderr| tokio::spawn(collect(stderr, sender))));
        Self { name, child, lines, readers }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("{} has exited: {}", self.name, self.output()))
    }

    /// Waits for the first line of output for which `wanted` returns a value.
    pub async fn line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.line_within(TIMEOUT, wanted).await
    }

    /// The same, with another time limit.
    pub async fn line_within<T>(&mut self, limit: Duration, wanted: impl Fn(&str) -> Option<T>) -> T {
        let mut found = None;
        let mut lines = self.lines.clone();
        let look = lines.wait_for(|lines| {
            found = lines.iter().find_map(|line| wanted(line));
            found.is_some()
        });
        let _ = timeout(limit, look).await;
        found.unwrap_or_else(|| panic!("{} did not print the expected line:\n{}", self.name, self.output()))
    }

    /// Everything that it printed.
    pub fn log(&self) -> String {
        self.lines.borrow().join("\n")
    }

    /// The last lines of standard output and standard error.
    pub fn output(&self) -> String {
        let lines = self.lines.borrow();
        lines.get(lines.len().saturating_sub(LINES_SHOWN)..).unwrap_or_default().join("\n")
    }

    /// Kills it with SIGKILL and waits for its end.
    pub async fn kill9(&mut self) {
        let _ = self.child.start_kill();
        self.wait().await;
    }

    /// Sends SIGTERM. Use [`Program::wait`] to wait for its end.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Sends SIGHUP, which reloads the daemon's configuration.
    pub fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Waits until it exits, and until its last lines are read.
    pub async fn wait(&mut self) -> ExitStatus {
        let status = self.exited().await;
        for reader in self.readers.drain(..) {
            // A process that it started may keep the pipe open.
            let _ = timeout(LAST_LINES_WITHIN, reader).await;
        }
        status
    }

    async fn exited(&mut self) -> ExitStatus {
        match timeout(TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => panic!("{}: {error}", self.name),
            Err(_) => panic!("{} does not exit:\n{}", self.name, self.output()),
        }
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("── output of {}:\n{}", self.name, self.output());
        }
    }
}

/// Collects every line until the program ends.
async fn collect(stream: impl AsyncRead + Unpin, lines: watch::Sender<Vec<String>>) {
    let mut stream = BufReader::new(stream).lines();
    while let Ok(Some(line)) = stream.next_line().await {
        lines.send_modify(|lines| lines.push(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_a_line_and_for_the_end() {
        let mut shell =
            Program::start(Command::new("sh").args(["-c", "echo one; echo 'port 42' >&2; exec cat /dev/zero"]));
        assert_eq!(shell.line(|line| line.strip_prefix("port ").map(String::from)).await, "42");
        assert!(shell.is_running());
        shell.terminate();
        assert!(!shell.wait().await.success());
        assert!(!shell.is_running());
    }
}
