//! A start that survives its plugins: one that kills the daemon while it is loaded or while it
//! runs, and one that takes too long.
//!
//! A crash marker is a file that exists while a plugin is being loaded. A marker found at the start
//! means that the previous process died during that load. The plugin is then a suspect and is
//! loaded last and alone; if the daemon dies during its load again, it is isolated. In service a
//! marker says whether a fresh instance runs its first call: a plugin whose marker says so at three
//! deaths within an hour is suspended. Dispatch begins when all plugins are loaded or after
//! `startup_timeout`.
//!
//! A marker that cannot be written disables the protection for that plugin and nothing else.
//! Markers are not synced: they report the death of a process, which keeps what was written.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Loads at a time. Compilation uses all cores already; the second keeps a long load from delaying
/// all others.
const MAX_CONCURRENT_LOADS: usize = 2;

/// The content of a crash marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loading {
    /// The content hash of the revision being loaded.
    pub revision: String,
    /// No other plugin was being loaded.
    pub alone: bool,
}

/// The folder of crash markers.
#[derive(Clone, Debug)]
pub(crate) struct CrashMarkers(PathBuf);

/// Removes its file when dropped.
#[derive(Debug)]
pub(crate) struct CrashMarker(PathBuf);

impl Drop for CrashMarker {
    fn drop(&mut self) {
        // A marker that stays makes the next start careful.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl CrashMarkers {
    /// Uses this folder, which is created when needed.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Marks a plugin as being loaded until the marker is dropped.
    pub fn set(&self, name: &str, loading: &Loading) -> CrashMarker {
        let path = self.0.join(format!("{name}.json"));
        let text = serde_json::to_vec(loading).unwrap_or_default();
        if let Err(error) = std::fs::create_dir_all(&self.0).and_then(|()| std::fs::write(&path, text)) {
            tracing::debug!(plugin = name, %error, "crash marker not written");
        }
        CrashMarker(path)
    }

    /// Returns and removes what was being loaded when the previous process died, by plugin name. An
    /// unreadable marker was being written, before anything was loaded.
    pub fn take(&self) -> BTreeMap<String, Loading> {
        let mut found = BTreeMap::new();
        for path in std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            let loading = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            found.extend(loading.map(|loading| (name, loading)));
            drop(CrashMarker(path));
        }
        found
    }
}

/// The folder of the markers of plugins in service: one file for each load, named
/// `PLUGIN.REVISION.NUMBER`.
#[derive(Clone, Debug)]
pub(crate) struct ServiceMarkers(PathBuf);

/// The content of a marker in service: no first call runs, or some do.
const IDLE: &[u8] = b"0";
const RUNNING: &[u8] = b"1";

/// The marker of one loaded revision. Removes its file when dropped.
struct ServiceMarker {
    file: File,
    path: PathBuf,
}

impl Drop for ServiceMarker {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl ServiceMarkers {
    /// Uses this folder, which is created when needed.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The report of first calls of a plugin's revision, which keeps a marker. Writing it takes a
    /// microsecond.
    pub fn report(&self, name: &str, revision: &str) -> Option<Arc<dyn Fn(bool) + Send + Sync>> {
        // A revision may be loaded again while it runs.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = self.0.join(format!("{name}.{revision}.{}", NEXT.fetch_add(1, Relaxed)));
        let create = || -> std::io::Result<File> {
            std::fs::create_dir_all(&self.0)?;
            let file = File::create(&path)?;
            file.write_all_at(IDLE, 0)?;
            Ok(file)
        };
        match create() {
            Ok(file) => {
                let marker = ServiceMarker { file, path };
                Some(Arc::new(move |running| {
                    let _ = marker.file.write_all_at(if running { RUNNING } else { IDLE }, 0);
                }))
            }
            Err(error) => {
                tracing::debug!(plugin = name, %error, "crash marker not written");
                None
            }
        }
    }

    /// Returns the revisions whose first call was running when the previous process died, by plugin
    /// name, and removes all markers.
    pub fn take(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for path in std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some((plugin, revision)) = name.rsplit_once('.').and_then(|(name, _)| name.rsplit_once('.'))
                && std::fs::read(&path).is_ok_and(|content| content == RUNNING)
            {
                found.insert(plugin.to_owned(), revision.to_owned());
            }
        }
        self.clear();
        found
    }

    /// Removes all markers. The process ends in order: what runs now is not to blame.
    pub fn clear(&self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How far the start is, and which plugins are loaded with care.
pub(crate) struct Startup {
    began: Instant,
    finished: bool,
    suspects: BTreeSet<String>,
}

impl Startup {
    /// Begins now.
    pub fn new() -> Self {
        Self { began: Instant::now(), finished: false, suspects: BTreeSet::new() }
    }

    /// The previous process died while this plugin and others were being loaded.
    pub fn suspect(&mut self, name: String) {
        self.suspects.insert(name);
    }

    /// The plugin was loaded, or rejected, without harm.
    pub fn clear(&mut self, name: &str) {
        self.suspects.remove(name);
    }

    /// Whether the plugin is loaded last and alone.
    pub fn is_suspect(&self, name: &str) -> bool {
        self.suspects.contains(name)
    }

    /// Whether one more load may begin while this many run.
    pub fn may_load(&self, running: usize) -> bool {
        if self.suspects.is_empty() { running < MAX_CONCURRENT_LOADS } else { running == 0 }
    }

    /// Dispatch has begun.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Ends the start if all loads ended or the timeout passed. Returns true once.
    pub fn finish(&mut self, all_loaded: bool, timeout: Duration, now: Instant) -> bool {
        let is_due = all_loaded || self.time_left(timeout, now) == Some(Duration::ZERO);
        let finishes = !self.finished && is_due;
        self.finished |= finishes;
        finishes
    }

    /// The time until the timeout; `None` once the start is finished.
    pub fn time_left(&self, timeout: Duration, now: Instant) -> Option<Duration> {
        (!self.finished).then(|| timeout.saturating_sub(now.saturating_duration_since(self.began)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marker_exists_while_a_plugin_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let markers = CrashMarkers::new(dir.path().join("loading"));
        assert!(markers.take().is_empty());
        let loading = Loading { revision: "a1".into(), alone: true };
        drop(markers.set("echo", &loading));
        assert!(markers.take().is_empty());
        // A process that dies drops nothing.
        std::mem::forget(markers.set("echo", &loading));
        std::fs::write(dir.path().join("loading/half.json"), "{").unwrap();
        assert_eq!(markers.take(), BTreeMap::from([("echo".to_owned(), loading)]));
        assert!(markers.take().is_empty());
    }

    #[test]
    fn marker_in_service_tells_which_first_calls_were_running() {
        let dir = tempfile::tempdir().unwrap();
        let markers = ServiceMarkers::new(dir.path().join("first-calls"));
        assert!(markers.take().is_empty());
        let died = |name: &str, running: &[bool]| {
            let report = markers.report(name, "a1").unwrap();
            running.iter().for_each(|running| report(*running));
            // A process that dies drops nothing.
            std::mem::forget(report);
        };
        died("echo", &[]);
        died("crm.sync", &[true, false, true]);
        died("polls", &[true, false]);
        assert_eq!(markers.take(), BTreeMap::from([("crm.sync".to_owned(), "a1".to_owned())]));
        assert!(markers.take().is_empty());
        died("echo", &[true]);
        markers.clear();
        assert!(markers.take().is_empty());
        // Unloaded while the daemon runs.
        drop(markers.report("echo", "a1"));
        assert_eq!(std::fs::read_dir(dir.path().join("first-calls")).unwrap().count(), 0);
    }

    #[test]
    fn suspects_are_loaded_alone() {
        let mut startup = Startup::new();
        assert!(startup.may_load(MAX_CONCURRENT_LOADS - 1) && !startup.may_load(MAX_CONCURRENT_LOADS));
        startup.suspect("echo".into());
        assert!(startup.is_suspect("echo") && startup.may_load(0) && !startup.may_load(1));
        startup.clear("echo");
        assert!(!startup.is_suspect("echo") && startup.may_load(1));
    }

    #[test]
    fn start_ends_once_with_the_last_load_or_the_timeout() {
        let (mut startup, timeout) = (Startup::new(), Duration::from_secs(30));
        let now = startup.began;
        assert!(!startup.finish(false, timeout, now + Duration::from_secs(29)));
        assert_eq!(startup.time_left(timeout, now + Duration::from_secs(29)), Some(Duration::from_secs(1)));
        assert!(startup.finish(false, timeout, now + timeout));
        assert!(!startup.finish(true, timeout, now + timeout) && startup.is_finished());
        assert_eq!(startup.time_left(timeout, now), None);
        assert!(Startup::new().finish(true, timeout, Instant::now()));
    }
}
