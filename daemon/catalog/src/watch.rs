//! Reports changes in folders: one `notify` watcher for all folders of plugins, documents and
//! configuration.
//!
//! It only wakes its users, who then look at the folders themselves and also poll them at
//! `poll_interval`; a lost event delays a change but never loses it. An event carries a [`Hint`]
//! whether the file's writer is done, which on Linux comes from inotify's close-after-write. A
//! folder that is missing, replaced, or reached through symbolic links that are switched to another
//! target is followed. If the system refuses watches (inotify limits), [`Watcher::problem`] says so
//! and polling is what remains.
//!
//! It watches folders, not their subfolders, and keeps no list of their files.

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Notify;

/// What a file's writer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The file was created or is being written.
    Busy,
    /// The file was closed by its writer, renamed to this name, or reached through a link that was
    /// switched.
    Whole,
}

/// Hints kept for a user who does not fetch them. Beyond this only the fact that something changed
/// is kept.
const MAX_PENDING: usize = 4096;
/// Links followed on the way to a folder, as in Linux's `MAXSYMLINKS`.
const MAX_LINKS: usize = 40;

/// The watcher that all [`Watch`]es share. Cheap to clone.
#[derive(Clone, Default)]
pub struct Watcher(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The event handler must not lock it: a call into `notify` waits for the handler's thread.
    backend: Mutex<Backend>,
    users: Mutex<HashMap<u64, User>>,
    /// Watched folders that were deleted or moved away.
    stale: Mutex<HashSet<PathBuf>>,
}

#[derive(Default)]
struct Backend {
    notify: Option<RecommendedWatcher>,
    /// The watched folders and which one each was: device and inode.
    watched: HashMap<PathBuf, (u64, u64)>,
    wanted: HashMap<u64, HashSet<PathBuf>>,
    problems: BTreeMap<u64, String>,
    next_user: u64,
}

/// One user's folders and what happened there.
#[derive(Default)]
struct User {
    /// By the canonical path of the watched folder.
    points: HashMap<PathBuf, Vec<Point>>,
    pending: Vec<(PathBuf, Hint)>,
    changed: bool,
    wake: Arc<Notify>,
}

/// Why a folder is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Point {
    /// The user asked for it, under this path.
    Folder(PathBuf),
    /// It has this entry on the way to the user's folder: a symbolic link, or a name that is
    /// missing.
    Entry(OsString),
}

/// A user's view: the folders that it set, and their changes.
pub struct Watch {
    shared: Arc<Shared>,
    user: u64,
    wake: Arc<Notify>,
}

impl Watcher {
    /// A new user, who watches nothing yet.
    pub fn watch(&self) -> Watch {
        let mut backend = self.0.backend.lock();
        backend.next_user += 1;
        let (user, wake) = (backend.next_user, Arc::<Notify>::default());
        self.0.users.lock().insert(user, User { wake: Arc::clone(&wake), ..User::default() });
        Watch { shared: Arc::clone(&self.0), user, wake }
    }

    /// Why some folders cannot be watched and are only polled, and what helps.
    pub fn problem(&self) -> Option<String> {
        self.0.backend.lock().problems.values().next().cloned()
    }
}

impl Watch {
    /// Watches these folders, as they are now; the previous ones are no longer watched. Call it
    /// again before each look, so that folders that were created or replaced are found.
    pub fn set(&mut self, folders: &[PathBuf]) {
        let mut points: HashMap<PathBuf, Vec<Point>> = HashMap::new();
        for folder in folders {
            for (watched, point) in points_of(folder) {
                let known = points.entry(watched).or_default();
                if !known.contains(&point) {
                    known.push(point);
                }
            }
        }
        let wanted = points.keys().cloned().collect();
        if let Some(user) = self.shared.users.lock().get_mut(&self.user) {
            user.points = points;
        }
        self.shared.backend.lock().set(&self.shared, self.user, wanted);
    }

    /// Waits for a change in one of the folders. Returns the files concerned in order; none if a
    /// folder appeared or disappeared, or if events were lost. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Vec<(PathBuf, Hint)> {
        loop {
            if let Some(user) = self.shared.users.lock().get_mut(&self.user)
                && std::mem::take(&mut user.changed)
            {
                return std::mem::take(&mut user.pending);
            }
            self.wake.notified().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.users.lock().remove(&self.user);
        self.shared.backend.lock().set(&self.shared, self.user, HashSet::new());
    }
}

impl Backend {
    /// Changes what one user wants and brings the system's watches in line with it.
    fn set(&mut self, shared: &Arc<Shared>, user: u64, wanted: HashSet<PathBuf>) {
        for stale in shared.stale.lock().drain() {
            self.unwatch(&stale);
        }
        if wanted.is_empty() {
            self.wanted.remove(&user);
        } else {
            self.wanted.insert(user, wanted.clone());
        }
        let unwanted = |folder: &&PathBuf| !self.wanted.values().any(|wanted| wanted.contains(*folder));
        for folder in self.watched.keys().filter(unwanted).cloned().collect::<Vec<_>>() {
            self.unwatch(&folder);
        }
        let problem = wanted.iter().filter_map(|folder| self.watch(shared, folder).err()).last();
        match problem {
            None if self.problems.remove(&user).is_some() && self.problems.is_empty() => {
                tracing::info!("all folders watched again");
            }
            None => {}
            Some(error) => {
                let reason = describe(&error);
                if self.problems.values().all(|known| *known != reason) {
                    tracing::warn!(code = CODE, reason, "folders not watched, polling instead");
                }
                self.problems.insert(user, reason);
            }
        }
    }

    /// Watches a folder, unless this very folder is watched already.
    fn watch(&mut self, shared: &Arc<Shared>, folder: &Path) -> notify::Result<()> {
        // A folder that disappeared meanwhile is noticed by polling.
        let Ok(meta) = std::fs::metadata(folder) else { return Ok(()) };
        let identity = (meta.dev(), meta.ino());
        if self.watched.get(folder) == Some(&identity) {
            return Ok(());
        }
        self.unwatch(folder);
        let watched = self.notify(shared)?.watch(folder, RecursiveMode::NonRecursive);
        match watched {
            Ok(()) => _ = self.watched.insert(folder.to_owned(), identity),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn unwatch(&mut self, folder: &Path) {
        if self.watched.remove(folder).is_some()
            && let Some(notify) = &mut self.notify
        {
            // It fails if the folder was deleted, which ended the watch.
            let _ = notify.unwatch(folder);
        }
    }

    /// The system's watcher, started when it is needed and again after it could not be.
    fn notify(&mut self, shared: &Arc<Shared>) -> notify::Result<&mut RecommendedWatcher> {
        if self.notify.is_none() {
            // The handler must not keep its own watcher alive.
            let shared = Arc::downgrade(shared);
            self.notify = Some(notify::recommended_watcher(move |event| {
                if let Some(shared) = shared.upgrade() {
                    dispatch(&shared, &event);
                }
            })?);
        }
        self.notify.as_mut().ok_or_else(|| notify::Error::generic("no watcher"))
    }
}

/// The code of [`Watcher::problem`].
pub const CODE: &str = "watch-unavailable";

/// Passes an event to the users whose folders it concerns.
fn dispatch(shared: &Shared, event: &notify::Result<notify::Event>) {
    let mut users = shared.users.lock();
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        // Events were lost.
        _ => return users.values_mut().for_each(User::wake),
    };
    let hint = match event.kind {
        // Opening and reading change nothing; our own looks would wake us for ever.
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Hint::Whole),
        EventKind::Access(_) => return,
        EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(Hint::Whole),
        EventKind::Modify(ModifyKind::Name(_)) => None,
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => Some(Hint::Busy),
        _ => None,
    };
    // A rename within a folder has both names; only the new one exists.
    let Some(path) = event.paths.last() else { return };
    let moves = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    if moves && users.values().any(|user| user.points.contains_key(path)) {
        shared.stale.lock().insert(path.clone());
    }
    for user in users.values_mut() {
        user.note(path, hint);
    }
}

impl User {
    fn note(&mut self, path: &Path, hint: Option<Hint>) {
        let mut concerned = self.points.contains_key(path);
        let mut hints = Vec::new();
        if let (Some(points), Some(name)) = (path.parent().and_then(|parent| self.points.get(parent)), path.file_name())
        {
            for point in points {
                match point {
                    Point::Entry(entry) => concerned |= entry == name,
                    Point::Folder(folder) => {
                        concerned = true;
                        hints.extend(hint.map(|hint| (folder.join(name), hint)));
                        if hint == Some(Hint::Whole) {
                            hints.extend(switched(folder, path).into_iter().map(|path| (path, Hint::Whole)));
                        }
                    }
                }
            }
        }
        if concerned {
            if self.pending.len() + hints.len() > MAX_PENDING {
                self.pending.clear();
                hints.clear();
            }
            self.pending.extend(hints);
            self.wake();
        }
    }

    fn wake(&mut self) {
        self.changed = true;
        self.wake.notify_one();
    }
}

/// If `path` is a link to a folder, the other links in its folder: those through it lead to other
/// files now, and were switched at once. Kubernetes updates the files of a ConfigMap in this way
/// (`..data`).
fn switched(folder: &Path, path: &Path) -> Vec<PathBuf> {
    let is_link = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    if !is_link(path) || !path.is_dir() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    links.map(|entry| entry.path()).collect()
}

/// The folders to watch for a user's folder, by canonical path: the folder itself, those with a
/// symbolic link on the way to it, and the last one that exists if it is missing.
fn points_of(folder: &Path) -> Vec<(PathBuf, Point)> {
    let mut points = Vec::new();
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut rest: Vec<OsString> = absolute.components().rev().map(|part| part.as_os_str().to_owned()).collect();
    let mut reached = PathBuf::new();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == "." {
            continue;
        }
        let next = reached.join(&name);
        let Ok(meta) = std::fs::symlink_metadata(&next) else {
            points.push((reached, Point::Entry(name)));
            return points;
        };
        if !meta.is_symlink() {
            reached = if name == ".." { reached.parent().unwrap_or(&reached).to_owned() } else { next };
            continue;
        }
        points.push((reached.clone(), Point::Entry(name)));
        links += 1;
        let Ok(target) = std::fs::read_link(&next) else { return points };
        if links > MAX_LINKS {
            return points;
        }
        if target.is_absolute() {
            reached = PathBuf::new();
        }
        rest.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
    }
    points.push((reached, Point::Folder(folder.to_owned())));
    points
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => true,
        ErrorKind::Io(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        _ => false,
    }
}

/// What a refused watch means and what helps.
fn describe(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the system's limit of inotify watches is reached; raise the sysctl fs.inotify.max_user_watches".into()
        }
        // `inotify_init` fails with EMFILE for two limits.
        ErrorKind::Io(error) if error.raw_os_error() == Some(TOO_MANY_OPEN_FILES) => {
            "the limit of inotify instances or of open files is reached; raise the sysctl fs.inotify.max_user_instances, or LimitNOFILE of the service".into()
        }
        _ => format!("the system cannot watch folders: {error}"),
    }
}

/// `EMFILE`, the same on Linux, macOS and the BSDs.
const TOO_MANY_OPEN_FILES: i32 = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    fn watch(folder: &Path) -> Watch {
        let mut watch = Watcher::default().watch();
        watch.set(&[folder.to_owned()]);
        watch
    }

    async fn next(watch: &mut Watch) -> Vec<(PathBuf, Hint)> {
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect("no event")
    }

    /// Waits until this hint is reported for this file.
    async fn hinted(watch: &mut Watch, path: &Path, hint: Hint) {
        while !next(watch).await.contains(&(path.to_owned(), hint)) {}
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("plugins");
        std::fs::create_dir(&folder).unwrap();
        (dir, folder)
    }

    #[tokio::test]
    async fn file_is_whole_once_closed_or_renamed_in() {
        let (_dir, plugins) = folder();
        let mut watch = watch(&plugins);
        let path = plugins.join("echo.wasm");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        hinted(&mut watch, &path, Hint::Busy).await;
        drop(file);
        hinted(&mut watch, &path, Hint::Whole).await;
        let temporary = plugins.join(".echo");
        std::fs::write(&temporary, "whole").unwrap();
        std::fs::rename(&temporary, &path).unwrap();
        hinted(&mut watch, &path, Hint::Whole).await;
    }

    #[tokio::test]
    async fn deleted_and_created_folder_is_noticed() {
        let (dir, plugins) = folder();
        let mut watch = watch(&plugins);
        std::fs::remove_dir(&plugins).unwrap();
        next(&mut watch).await;
        watch.set(std::slice::from_ref(&plugins));
        std::fs::create_dir(&plugins).unwrap();
        next(&mut watch).await;
        watch.set(std::slice::from_ref(&plugins));
        let path = plugins.join("echo.wasm");
        std::fs::write(&path, "").unwrap();
        hinted(&mut watch, &path, Hint::Whole).await;
        // Replaced by another folder.
        std::fs::create_dir(dir.path().join("new")).unwrap();
        std::fs::rename(&plugins, dir.path().join("old")).unwrap();
        std::fs::rename(dir.path().join("new"), &plugins).unwrap();
        next(&mut watch).await;
        watch.set(std::slice::from_ref(&plugins));
        std::fs::write(&path, "").unwrap();
        hinted(&mut watch, &path, Hint::Whole).await;
    }

    #[tokio::test]
    async fn folder_deep_below_a_missing_one_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("mnt/usb/plugins");
        let mut watch = watch(&plugins);
        for folder in ["mnt", "mnt/usb", "mnt/usb/plugins"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
            next(&mut watch).await;
            watch.set(std::slice::from_ref(&plugins));
        }
        let path = plugins.join("echo.wasm");
        std::fs::write(&path, "").unwrap();
        hinted(&mut watch, &path, Hint::Whole).await;
    }

    #[tokio::test]
    async fn files_behind_a_switched_link_are_whole() {
        let (_dir, folder) = folder();
        for (version, text) in [("..1", "one"), ("..2", "two")] {
            std::fs::create_dir(folder.join(version)).unwrap();
            std::fs::write(folder.join(version).join("beadle.toml"), text).unwrap();
        }
        symlink("..1", folder.join("..data")).unwrap();
        symlink("..data/beadle.toml", folder.join("beadle.toml")).unwrap();
        let mut watch = watch(&folder);
        symlink("..2", folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        hinted(&mut watch, &folder.join("beadle.toml"), Hint::Whole).await;
    }

    #[tokio::test]
    async fn switched_link_to_the_folder_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        for release in ["1", "2"] {
            std::fs::create_dir_all(dir.path().join(release).join("plugins")).unwrap();
        }
        symlink("1", dir.path().join("current")).unwrap();
        let plugins = dir.path().join("current/plugins");
        let mut watch = watch(&plugins);
        symlink("2", dir.path().join("next")).unwrap();
        std::fs::rename(dir.path().join("next"), dir.path().join("current")).unwrap();
        next(&mut watch).await;
        watch.set(std::slice::from_ref(&plugins));
        std::fs::write(dir.path().join("2/plugins/echo.wasm"), "").unwrap();
        hinted(&mut watch, &plugins.join("echo.wasm"), Hint::Whole).await;
    }

    #[tokio::test]
    async fn users_of_one_folder_each_get_its_events() {
        let (dir, plugins) = folder();
        let watcher = Watcher::default();
        let (mut one, mut two) = (watcher.watch(), watcher.watch());
        one.set(std::slice::from_ref(&plugins));
        // Another spelling of the same folder.
        let spelled = dir.path().join("plugins/../plugins");
        two.set(std::slice::from_ref(&spelled));
        std::fs::write(plugins.join("echo.wasm"), "").unwrap();
        hinted(&mut one, &plugins.join("echo.wasm"), Hint::Whole).await;
        hinted(&mut two, &spelled.join("echo.wasm"), Hint::Whole).await;
        drop(one);
        std::fs::write(plugins.join("echo.wasm"), "").unwrap();
        hinted(&mut two, &spelled.join("echo.wasm"), Hint::Whole).await;
        assert_eq!(watcher.problem(), None);
    }

    #[tokio::test]
    async fn reading_is_not_a_change() {
        let (_dir, plugins) = folder();
        let path = plugins.join("echo.wasm");
        std::fs::write(&path, "").unwrap();
        let mut watch = watch(&plugins);
        std::fs::read(&path).unwrap();
        std::fs::read_dir(&plugins).unwrap().count();
        std::fs::write(&path, "").unwrap();
        let first = next(&mut watch).await;
        assert!(!first.is_empty() && first.iter().all(|(changed, _)| *changed == path), "{first:?}");
    }

    #[test]
    fn refused_watches_name_the_limit() {
        let instances = notify::Error::io(io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES));
        assert!(describe(&instances).contains("max_user_instances"));
        assert!(describe(&notify::Error::new(ErrorKind::MaxFilesWatch)).contains("max_user_watches"));
    }
}
