//! Compiles a plugin in a child process with limits, before the daemon loads it.
//!
//! A small file can make the compiler run for days or use all memory, and a thread cannot be stopped. So the daemon starts
//! its own program again, which compiles the file into the compile cache and exits ([`child`]); the load then finds the
//! code there. A child that exceeds its limits is killed, and the revision is rejected. The child ends when the daemon
//! does: it watches its standard input.
//!
//! An error in the file itself is not reported from here; the load finds the same one.

use crate::step::StepError;
use beadle_sandbox::precompile;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// The argument with which the program becomes a child that compiles; the cache's folder follows.
pub const CHILD: &str = "compile-plugin";
/// The code of a revision whose compilation exceeds the limits.
pub(crate) const COMPILE_LIMIT: &str = "plugin-compile-limit";

/// The largest plugins (Python, 18 MiB) take ten seconds on a slow machine.
const MAX_DURATION: Duration = Duration::from_secs(90);
/// CPU time, of all threads together.
const MAX_CPU_SECONDS: u64 = 120;
/// Address space. The largest plugins take 1 GiB; a small server has no more memory than this.
const MAX_MEMORY: u64 = 3 << 30;

/// Compiles a file in a child process. If none can be started, the daemon compiles the file itself.
pub(crate) async fn compile(cache_dir: &Path, bytes: &[u8]) -> Result<(), StepError> {
    let child = Command::new(program())
        .arg(CHILD)
        .arg(cache_dir)
        // No secrets, and no more threads than the limit of memory allows.
        .env_clear()
        .env("RAYON_NUM_THREADS", "4")
        .env("MALLOC_ARENA_MAX", "4")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(%error, "compiler process not started, compiling without limits");
            return Ok(());
        }
    };
    match tokio::time::timeout(MAX_DURATION, feed(&mut child, bytes)).await {
        // An exit code means that the file was compiled, or is invalid.
        Ok(Ok(status)) if status.code().is_some() => Ok(()),
        Ok(Ok(status)) => Err(limit(&format!("the compiler process was ended: {status}"))),
        Ok(Err(error)) => Err(StepError::transient("compile", "plugin-unreadable", error.to_string())),
        Err(_) => Err(limit(&format!("it took longer than {} s", MAX_DURATION.as_secs()))),
    }
}

fn limit(reason: &str) -> StepError {
    let reason = format!("its compilation exceeded the limits: {reason}");
    StepError::permanent("compile", COMPILE_LIMIT, reason)
}

/// This program, also after its file was replaced by an upgrade.
fn program() -> PathBuf {
    let running = Path::new("/proc/self/exe");
    if running.exists() { running.to_owned() } else { std::env::current_exe().unwrap_or_default() }
}

/// Gives the child its file and waits for it. Its input stays open meanwhile.
async fn feed(child: &mut Child, bytes: &[u8]) -> io::Result<std::process::ExitStatus> {
    let mut input = child.stdin.take().ok_or_else(|| io::Error::other("the child has no input"))?;
    let length = (bytes.len() as u64).to_le_bytes();
    let written = async {
        input.write_all(&length).await?;
        input.write_all(bytes).await?;
        input.flush().await
    };
    // A child that was killed cannot be written to; its status says why.
    let _ = written.await;
    let status = child.wait().await;
    drop(input);
    status
}

/// The child's side: compiles the file on its standard input into the cache, if the program was started for it.
pub fn child() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(CHILD)) {
        return None;
    }
    let cache_dir = PathBuf::from(arguments.next()?);
    let compiled = limit_resources().and_then(|()| read_input()).map(|bytes| precompile(&cache_dir, &bytes).is_ok());
    Some(match compiled {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    })
}

fn limit_resources() -> io::Result<()> {
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Cpu, limit(MAX_CPU_SECONDS))?;
    setrlimit(Resource::As, limit(MAX_MEMORY))?;
    setrlimit(Resource::Core, limit(0))?;
    Ok(())
}

/// Reads the file, and then ends the process as soon as the daemon does.
fn read_input() -> io::Result<Vec<u8>> {
    let mut input = io::stdin();
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let mut bytes = Vec::new();
    input.by_ref().take(u64::from_le_bytes(length)).read_to_end(&mut bytes)?;
    std::thread::spawn(move || {
        // Nothing more comes: this returns when the daemon closes its end, or dies.
        let _ = input.read(&mut [0]);
        std::process::exit(1);
    });
    Ok(bytes)
}
