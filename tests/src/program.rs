//! A program under test: started, listened to, stopped in polite and in impolite ways.
//!
//! What it prints is kept, so that a scenario can wait for a line instead of for time, and so that a failure can show
//! what the program said. Nothing outlives the scenario: dropping it kills the process.

use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long anything may take that takes milliseconds: long enough for a busy machine, short enough for a person.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How many of its last lines a failure shows.
const LINES_SHOWN: usize = 60;

/// A running program.
pub struct Program {
    name: String,
    child: Child,
    lines: watch::Receiver<Vec<String>>,
}

/// Where our programs were built: beside the program that runs now, which is in `target/PROFILE` or its `deps`.
fn built_beside() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().unwrap_or(Path::new("."));
    if folder.ends_with("deps") { folder.parent().unwrap_or(folder).to_path_buf() } else { folder.to_path_buf() }
}

/// One of our programs.
pub fn built(name: &str) -> PathBuf {
    let path = built_beside().join(name);
    assert!(path.is_file(), "{} is not built: run `cargo xtask test programs` first", path.display());
    path
}

/// A built plugin: of `plugins/`, of those for tests alone, or of another language's tools.
pub fn plugin(name: &str) -> PathBuf {
    // Plugins are built once, for whatever profile the programs have.
    let target = built_beside().parent().map(Path::to_path_buf).unwrap_or_default();
    let found =
        ["plugins", "test-plugins", "components"].map(|folder| target.join(folder).join(format!("{name}.wasm")));
    let path = found.into_iter().find(|path| path.is_file());
    path.unwrap_or_else(|| panic!("the plugin {name} is not built: run `cargo xtask test plugins` first"))
}

/// Another revision of the probe: `tag` stands before what it sends back; `v2!trap` traps as well.
pub fn probe(tag: &str) -> Vec<u8> {
    revised("probe", tag)
}

/// Another revision of a plugin: `tag` is written over what `REVISION` says in its source.
pub fn revised(name: &str, tag: &str) -> Vec<u8> {
    const MARK: &[u8] = b"probe-revision:";
    let path = plugin(name);
    let mut bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let at = bytes.windows(MARK.len()).position(|here| here == MARK);
    let tagged = at.and_then(|at| bytes.get_mut(at + MARK.len()..)?.get_mut(..tag.len()));
    match tagged {
        Some(place) => place.copy_from_slice(tag.as_bytes()),
        None => panic!("{} has no place for its revision: build it anew", path.display()),
    }
    bytes
}

/// What the daemon calls these bytes, whole.
pub fn revision_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(keep(stdout, sender.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep(stderr, sender));
        }
        Self { name, child, lines }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("{} has ended: {}", self.name, self.said()))
    }

    /// The first line it printed, or will print, of which `wanted` makes something.
    pub async fn line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.line_within(PATIENCE, wanted).await
    }

    /// The same, for what takes longer or shorter.
    pub async fn line_within<T>(&mut self, patience: Duration, wanted: impl Fn(&str) -> Option<T>) -> T {
        let mut found = None;
        let mut lines = self.lines.clone();
        let look = lines.wait_for(|lines| {
            found = lines.iter().find_map(|line| wanted(line));
            found.is_some()
        });
        let _ = timeout(patience, look).await;
        found.unwrap_or_else(|| panic!("{} did not say what was waited for:\n{}", self.name, self.said()))
    }

    /// The last that it said, on standard output and error.
    pub fn said(&self) -> String {
        let lines = self.lines.borrow();
        lines.get(lines.len().saturating_sub(LINES_SHOWN)..).unwrap_or_default().join("\n")
    }

    /// SIGKILL: it has no say in it.
    pub async fn kill9(&mut self) {
        let _ = self.child.start_kill();
        self.ended().await;
    }

    /// SIGTERM: please stop. Use [`Program::ended`] to wait.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// SIGHUP: please read the configuration again.
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

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => panic!("{}: {error}", self.name),
            Err(_) => panic!("{} does not end:\n{}", self.name, self.said()),
        }
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("── {} said:\n{}", self.name, self.said());
        }
    }
}

/// Keeps every line; ends with the program.
async fn keep(stream: impl AsyncRead + Unpin, lines: watch::Sender<Vec<String>>) {
    let mut stream = BufReader::new(stream).lines();
    while let Ok(Some(line)) = stream.next_line().await {
        lines.send_modify(|lines| lines.push(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_waited_for_and_the_end_too() {
        let mut shell =
            Program::start(Command::new("sh").args(["-c", "echo one; echo 'port 42' >&2; exec cat /dev/zero"]));
        assert_eq!(shell.line(|line| line.strip_prefix("port ").map(String::from)).await, "42");
        assert!(shell.runs());
        shell.terminate();
        assert!(!shell.ended().await.success());
        assert!(!shell.runs());
    }
}
