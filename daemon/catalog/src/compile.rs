//! Compiles a plugin in a child process with limits, before the daemon loads it.
//!
//! A small file can make the compiler run for days or use all memory, and a thread cannot be
//! stopped. So the daemon starts its own program again, which compiles the file into an empty
//! folder and exits ([`child`]). The daemon seals the result and adds it to its cache of compiled
//! code, where the load finds it. A child that exceeds its limits is killed, and the revision is
//! rejected. The child ends when the daemon does: it watches its standard input.
//!
//! All children together may use the memory of [`CompileLimits`]: two small files are compiled at a
//! time, or one large one. If the machine runs out of memory nevertheless, the kernel ends a child
//! and not the daemon.
//!
//! An error in the file itself is not reported from here; the load finds the same one.

use crate::step::{StepError, blocking};
use beadle_sandbox::{CodeCache, LoadError, compile_into};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// The argument with which the program becomes a child that compiles; the folder and the limits
/// follow.
pub const CHILD: &str = "compile-plugin";
/// The code of a revision whose compilation exceeds the limits.
pub(crate) const COMPILE_LIMIT: &str = "plugin-compile-limit";

/// The child's exit codes besides 0. It compiled nothing, because the file is invalid …
const INVALID: u8 = 1;
/// … because it was refused memory …
const LIMIT: u8 = 3;
/// … or because it could not limit itself.
const UNABLE: u8 = 4;

/// The limits of one compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Elapsed time.
    pub duration: Duration,
    /// CPU time in seconds, of all threads together.
    pub cpu_seconds: u64,
    /// Address space in bytes, of all compilations at a time. A small file gets half of it.
    pub memory: u64,
    /// The largest file that is written, in bytes.
    pub output: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            // The largest plugins (Python, 18 MiB) take ten seconds on a slow machine.
            duration: Duration::from_secs(90),
            cpu_seconds: 120,
            // They take 1 GiB. Less than `MemoryHigh` of config/beadle.service, which the daemon is
            // part of.
            memory: 1408 << 20,
            // Their code has 100 MiB before it is compressed.
            output: 256 << 20,
        }
    }
}

/// The largest file that is compiled at the same time as another one, in bytes. Most plugins are
/// smaller, and take less than 256 MiB.
const SMALL_FILE: usize = 1 << 20;
/// The shares of memory: two for a large file, one for a small one.
const SHARES: u32 = 2;

/// Compiles plugins. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Compiler {
    program: PathBuf,
    limits: CompileLimits,
    shares: Arc<Semaphore>,
}

impl Default for Compiler {
    /// This program, also after its file was replaced by an upgrade.
    fn default() -> Self {
        let running = Path::new("/proc/self/exe");
        let program = if running.exists() { running.to_owned() } else { std::env::current_exe().unwrap_or_default() };
        Self::new(program, CompileLimits::default())
    }
}

impl Compiler {
    /// With a program that calls [`child`] first.
    pub fn new(program: PathBuf, limits: CompileLimits) -> Self {
        Self { program, limits, shares: Arc::new(Semaphore::new(SHARES as usize)) }
    }

    /// Compiles a file, unless the cache holds its code already. If no process can be started, the
    /// daemon compiles the file itself.
    pub(crate) async fn compile(&self, cache: &Arc<CodeCache>, revision: &str, bytes: &[u8]) -> Result<(), StepError> {
        let (held, known) = (Arc::clone(cache), revision.to_owned());
        if blocking(move || Ok(held.holds(&known))).await? {
            return Ok(());
        }
        let staging = cache.stage();
        self.compile_into(staging.folder(), bytes).await?;
        let (cache, revision) = (Arc::clone(cache), revision.to_owned());
        let sealed = move || {
            if let Err(error) = cache.seal(&revision, &staging) {
                tracing::debug!(revision, %error, "compiled code not kept");
            }
            Ok(())
        };
        blocking(sealed).await
    }

    /// Compiles a file into an empty folder. An invalid file leaves it empty.
    ///
    /// # Errors
    /// The code of the limit that was exceeded, and what happened.
    pub async fn try_compile(&self, folder: &Path, bytes: &[u8]) -> Result<(), (&'static str, String)> {
        self.compile_into(folder, bytes).await.map_err(|error| (error.code, error.reason))
    }

    async fn compile_into(&self, folder: &Path, bytes: &[u8]) -> Result<(), StepError> {
        let CompileLimits { duration, cpu_seconds, memory, output } = self.limits;
        let shares = if bytes.len() <= SMALL_FILE { 1 } else { SHARES };
        let memory = memory / u64::from(SHARES) * u64::from(shares);
        // The semaphore is never closed. Waiting is no part of the time limit.
        let _share = self.shares.acquire_many(shares).await.ok();
        let child = Command::new(&self.program)
            .arg(CHILD)
            .arg(folder)
            .args([cpu_seconds, memory, output].map(|limit| limit.to_string()))
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
        match tokio::time::timeout(duration, feed(&mut child, bytes)).await {
            Ok(Ok(status)) => check_exit(status, memory),
            Ok(Err(error)) => Err(StepError::transient("compile", "plugin-unreadable", error.to_string())),
            Err(_) => Err(limit(&format!("it took longer than {} s", duration.as_secs()))),
        }
    }
}

/// Whether the child with this limit of memory compiled the file, by its exit status.
fn check_exit(status: ExitStatus, memory: u64) -> Result<(), StepError> {
    let end = match status.code().map(u8::try_from) {
        Some(Ok(UNABLE)) => return Err(shortage(&format!("the compiler process could not begin: {status}"))),
        Some(Ok(LIMIT)) => "the compiler process was refused memory".to_owned(),
        // It was compiled, or is invalid.
        Some(Ok(0 | INVALID)) => return Ok(()),
        // A panic, for instance because it was refused a thread, or a signal.
        _ => format!("the compiler process was ended: {status}"),
    };
    // With less than the limit, as after `ulimit -v`, it is not the plugin that is too large.
    let most = getrlimit(Resource::As).maximum;
    Err(if most.is_some_and(|most| most < memory) { shortage(&end) } else { limit(&end) })
}

fn limit(reason: &str) -> StepError {
    let reason = format!("its compilation exceeded the limits: {reason}");
    StepError::permanent("compile", COMPILE_LIMIT, reason)
}

fn shortage(reason: &str) -> StepError {
    LoadError::HostResources { reason: reason.to_owned() }.into()
}

/// Gives the child its file and waits for it. Its input stays open meanwhile.
async fn feed(child: &mut Child, bytes: &[u8]) -> io::Result<ExitStatus> {
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

/// The child's side: compiles the file on its standard input into a folder, if the program was
/// started for it.
pub fn child() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(CHILD)) {
        return None;
    }
    let folder = PathBuf::from(arguments.next()?);
    // Where there is no /proc, the kernel chooses as it likes.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let mut limit = |default| arguments.next().as_deref().and_then(number).unwrap_or(default);
    let CompileLimits { cpu_seconds, memory, output, .. } = CompileLimits::default();
    if limit_resources(limit(cpu_seconds), limit(memory), limit(output)).is_err() {
        return Some(ExitCode::from(UNABLE));
    }
    let code = match read_input().map(|bytes| compile_into(&folder, &bytes)) {
        Ok(Ok(())) => 0,
        Ok(Err(LoadError::HostResources { .. })) => LIMIT,
        Ok(Err(_)) => INVALID,
        // The daemon is gone, and no one reads the code.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => INVALID,
        // There is no memory for the file.
        Err(_) => LIMIT,
    };
    Some(ExitCode::from(code))
}

fn number(text: &OsStr) -> Option<u64> {
    OsString::from(text).into_string().ok()?.parse().ok()
}

fn limit_resources(cpu_seconds: u64, memory: u64, output: u64) -> io::Result<()> {
    for (resource, most) in
        [(Resource::Cpu, cpu_seconds), (Resource::As, memory), (Resource::Fsize, output), (Resource::Core, 0)]
    {
        // A limit that the service has already cannot be raised.
        let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
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
