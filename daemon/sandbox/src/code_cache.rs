//! The cache of compiled code, under seal.
//!
//! wasmtime keeps compiled code in files and runs what it finds there. A bit that flips in such a
//! file kills the daemon or computes something else, and a file that someone else wrote is someone
//! else's code. So no file is used that this daemon did not seal: a child process compiles into an
//! empty folder of its own ([`CodeCache::stage`]), and when it has succeeded, the result is moved
//! to the other code and an HMAC over engine, revision, path and contents is kept
//! ([`CodeCache::seal`]). Before each load, code that does not match its seal is deleted, and code
//! without a seal too ([`CodeCache::holds`]); the plugin is then compiled again. See
//! docs/adr/0078-sealed-compile-cache.md.
//!
//! The key derives from the host key. Without it (a new database) everything is compiled again,
//! once.
//!
//! Layout: `code/` belongs to wasmtime, `seals/REVISION.json`, and `staging/` while compiling.

use crate::handles::derive_key;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{Hash as _, Hasher};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wasmtime::Engine;

/// Levels of folders in wasmtime's cache: `modules/COMPILER/HASH`.
const LEVELS: usize = 3;

/// The cache of compiled code.
pub struct CodeCache {
    folder: PathBuf,
    key: [u8; 32],
    /// The version and settings of the compiler. Code of another one is never used.
    engine: String,
    seals: Mutex<BTreeMap<String, Seal>>,
    discarded: AtomicU64,
    stagings: AtomicU64,
}

/// The seal of a revision's code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    engine: String,
    /// The HMAC of each file in hexadecimal, by path relative to `code/`.
    files: BTreeMap<PathBuf, String>,
}

/// An empty folder to compile into. Deleted when dropped.
pub struct Staging(PathBuf);

impl Staging {
    /// The folder, in which nothing exists yet.
    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays is deleted at the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl CodeCache {
    /// The folder for wasmtime in a cache's folder.
    pub(crate) fn code_in(folder: &Path) -> PathBuf {
        folder.join("code")
    }

    /// Removes files that have the name of one of the cache's folders, so that the folder can be
    /// created. Everything in the cache can be compiled again.
    pub(crate) fn remove_misplaced_files(folder: &Path) {
        for path in [folder.to_owned(), Self::code_in(folder), folder.join("seals"), folder.join("staging")] {
            if path.is_dir() || fs::symlink_metadata(&path).is_err() {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => {
                    tracing::warn!(path = %path.display(), "misplaced file in the compile cache removed")
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "misplaced file in the compile cache not removed")
                }
            }
        }
    }

    /// Opens the cache in this folder and reads its seals.
    pub(crate) fn open(folder: PathBuf, host_key: &[u8; 32], engine: &Engine) -> io::Result<Self> {
        let cache = Self {
            key: derive_key(host_key, &[b"compile cache"]),
            engine: identify(engine),
            seals: Mutex::default(),
            discarded: AtomicU64::new(0),
            stagings: AtomicU64::new(0),
            folder,
        };
        let _ = fs::remove_dir_all(cache.folder.join("staging"));
        fs::create_dir_all(cache.seals_folder())?;
        let mut seals = BTreeMap::new();
        for path in fs::read_dir(cache.seals_folder())?.flatten().map(|entry| entry.path()) {
            let revision = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            let seal = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Seal>(&text).ok());
            // wasmtime deletes old code when the cache is large.
            let is_useful = |seal: &Seal| {
                seal.engine == cache.engine
                    && !seal.files.is_empty()
                    && seal.files.keys().all(|file| is_inside(file) && cache.code().join(file).is_file())
            };
            match seal.filter(is_useful) {
                Some(seal) => _ = seals.insert(revision, seal),
                None => _ = fs::remove_file(&path),
            }
        }
        cache.delete_unsealed(&seals);
        *cache.seals.lock() = seals;
        Ok(cache)
    }

    fn code(&self) -> PathBuf {
        Self::code_in(&self.folder)
    }

    fn seals_folder(&self) -> PathBuf {
        self.folder.join("seals")
    }

    fn seal_file(&self, revision: &str) -> PathBuf {
        self.seals_folder().join(format!("{revision}.json"))
    }

    /// Whether the code of this revision is there as it was sealed. Afterwards the cache has no
    /// code that is not sealed, and none of this revision that was changed.
    pub fn holds(&self, revision: &str) -> bool {
        let mut seals = self.seals.lock();
        let changed =
            seals.get(revision).and_then(|seal| seal.files.keys().find(|file| !self.matches(revision, seal, file)));
        if let Some(file) = changed.cloned() {
            let is_missing = !self.code().join(&file).exists();
            if !is_missing {
                self.discarded.fetch_add(1, Relaxed);
                let file = file.display();
                tracing::warn!(revision, %file, "compiled code does not match its seal, compiling it again");
            }
            // Its files have no seal from here on.
            seals.remove(revision);
            let _ = fs::remove_file(self.seal_file(revision));
        }
        self.delete_unsealed(&seals);
        seals.contains_key(revision)
    }

    /// An empty folder to compile a plugin into.
    pub fn stage(&self) -> Staging {
        let number = self.stagings.fetch_add(1, Relaxed);
        Staging(self.folder.join("staging").join(number.to_string()))
    }

    /// Seals the code of this revision that was compiled into an empty folder, and moves it into
    /// the cache.
    ///
    /// # Errors
    /// If it cannot be written. Then the cache does not hold it.
    pub fn seal(&self, revision: &str, staging: &Staging) -> io::Result<()> {
        let mut seals = self.seals.lock();
        let mut seal = Seal { engine: self.engine.clone(), files: BTreeMap::new() };
        for file in code_files(staging.folder()) {
            let (from, to) = (staging.folder().join(&file), self.code().join(&file));
            let mac = self.mac(revision, &file, &fs::read(&from)?);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::rename(&from, &to)?;
            seal.files.insert(file, mac);
        }
        if seal.files.is_empty() {
            return Err(io::Error::other("the compiler process wrote no code"));
        }
        let temporary = self.seals_folder().join(format!(".{revision}"));
        fs::write(&temporary, serde_json::to_vec(&seal)?)?;
        fs::rename(&temporary, self.seal_file(revision))?;
        seals.insert(revision.to_owned(), seal);
        Ok(())
    }

    /// How often code was discarded because it did not match its seal, since the start.
    pub fn discarded(&self) -> u64 {
        self.discarded.load(Relaxed)
    }

    fn matches(&self, revision: &str, seal: &Seal, file: &Path) -> bool {
        let contents = fs::read(self.code().join(file));
        contents.is_ok_and(|contents| seal.files.get(file) == Some(&self.mac(revision, file, &contents)))
    }

    fn mac(&self, revision: &str, file: &Path, contents: &[u8]) -> String {
        let (engine, file) = (self.engine.as_bytes(), file.as_os_str().as_encoded_bytes());
        // The first three contain no zero byte.
        let parts = [engine, &[0], revision.as_bytes(), &[0], file, &[0], contents];
        beadle_model::text::hex(derive_key(&self.key, &parts))
    }

    fn delete_unsealed(&self, seals: &BTreeMap<String, Seal>) {
        let sealed: BTreeSet<&Path> = seals.values().flat_map(|seal| seal.files.keys()).map(PathBuf::as_path).collect();
        for file in code_files(&self.code()).into_iter().filter(|file| !sealed.contains(file.as_path())) {
            let _ = fs::remove_file(self.code().join(file));
        }
    }
}

/// Files of code under a cache's folder, relative to it. Those with a suffix are wasmtime's own:
/// counts of uses, and files that are being written.
fn code_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(at) = pending.pop() {
        for entry in fs::read_dir(folder.join(&at)).into_iter().flatten().flatten() {
            let path = at.join(entry.file_name());
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && path.components().count() < LEVELS {
                pending.push(path);
            } else if !is_folder && path.components().count() == LEVELS && path.extension().is_none() {
                found.push(path);
            }
        }
    }
    found
}

/// Whether a path of a seal, which could be forged, stays in the cache.
fn is_inside(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// A name for the compiler, its settings and this machine's instructions.
fn identify(engine: &Engine) -> String {
    let mut hasher = HashWithSha256(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    beadle_model::text::hex(hasher.0.finalize())
}

/// The hash of the standard library may differ from one version of Rust to the next.
struct HashWithSha256(Sha256);

impl Hasher for HashWithSha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::engine;

    const REVISION: &str = "a1";
    const OTHER: &str = "b2";

    struct Fixture {
        folder: tempfile::TempDir,
        key: [u8; 32],
    }

    impl Fixture {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), key: [7; 32] }
        }

        fn cache(&self) -> CodeCache {
            CodeCache::open(self.folder.path().to_owned(), &self.key, &engine(None).unwrap()).unwrap()
        }

        fn file(&self, name: &str) -> PathBuf {
            self.folder.path().join("code/modules/wasmtime").join(name)
        }
    }

    /// Compiles code with these contents into a file of this name.
    fn compiled(cache: &CodeCache, revision: &str, name: &str, contents: &[u8]) {
        let staging = cache.stage();
        let folder = staging.folder().join("modules/wasmtime");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), contents).unwrap();
        fs::write(folder.join(format!("{name}.stats")), "uses").unwrap();
        cache.seal(revision, &staging).unwrap();
    }

    #[test]
    fn sealed_code_is_held_across_a_restart() {
        let fixture = Fixture::new();
        let cache = fixture.cache();
        assert!(!cache.holds(REVISION));
        compiled(&cache, REVISION, "one", b"code");
        assert!(cache.holds(REVISION) && !cache.holds(OTHER));
        drop(cache);
        let cache = fixture.cache();
        assert!(cache.holds(REVISION) && fixture.file("one").exists());
        assert_eq!(cache.discarded(), 0);
        assert!(!fixture.folder.path().join("staging/0").exists());
    }

    #[test]
    fn every_changed_bit_and_length_is_noticed() {
        let fixture = Fixture::new();
        let cache = fixture.cache();
        let code = b"some machine code";
        let flipped = (0..code.len() * 8).map(|bit| {
            let mut changed = code.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            changed
        });
        let lengths = [&b""[..], b"some machine cod", b"some machine code\0"];
        let changes: Vec<Vec<u8>> = flipped.chain(lengths.map(<[u8]>::to_vec)).collect();
        for (count, changed) in changes.iter().enumerate() {
            compiled(&cache, REVISION, "one", code);
            assert!(cache.holds(REVISION));
            fs::write(fixture.file("one"), changed).unwrap();
            assert!(!cache.holds(REVISION) && !fixture.file("one").exists(), "{changed:?}");
            assert_eq!(cache.discarded(), count as u64 + 1);
        }
    }

    #[test]
    fn code_of_another_revision_does_not_pass() {
        let fixture = Fixture::new();
        let cache = fixture.cache();
        compiled(&cache, REVISION, "one", b"code");
        compiled(&cache, OTHER, "two", b"other code");
        fs::copy(fixture.file("two"), fixture.file("one")).unwrap();
        assert!(!cache.holds(REVISION) && cache.holds(OTHER));
        // With the other one's seal under its name.
        compiled(&cache, REVISION, "one", b"code");
        drop(cache);
        let seals = fixture.folder.path().join("seals");
        fs::copy(seals.join("b2.json"), seals.join("a1.json")).unwrap();
        let cache = fixture.cache();
        assert!(!cache.holds(REVISION));
    }

    #[test]
    fn code_without_a_seal_is_deleted() {
        let fixture = Fixture::new();
        let cache = fixture.cache();
        compiled(&cache, REVISION, "one", b"code");
        for name in ["planted", "planted.stats", "planted.wip-atomic-write-mod"] {
            fs::write(fixture.file(name), "code").unwrap();
        }
        assert!(!cache.holds(OTHER));
        assert!(!fixture.file("planted").exists() && fixture.file("one").exists());
        fs::write(fixture.file("planted"), "code").unwrap();
        drop(cache);
        let cache = fixture.cache();
        assert!(!fixture.file("planted").exists() && cache.holds(REVISION));
    }

    #[test]
    fn another_key_engine_or_damaged_seal_holds_nothing() {
        let mut fixture = Fixture::new();
        compiled(&fixture.cache(), REVISION, "one", b"code");
        let seal = fixture.folder.path().join("seals/a1.json");
        let text = fs::read_to_string(&seal).unwrap();
        let engine_name = identify(&engine(None).unwrap());
        let damaged = [
            ("{", "not JSON".to_owned()),
            ("engine", text.replace(&engine_name, "other")),
            ("outside", text.replace("modules/wasmtime/one", "../../one")),
            ("no files", format!(r#"{{"engine":"{engine_name}","files":{{}}}}"#)),
        ];
        for (damage, text) in damaged {
            compiled(&fixture.cache(), REVISION, "one", b"code");
            fs::write(&seal, text).unwrap();
            assert!(!fixture.cache().holds(REVISION) && !fixture.file("one").exists(), "{damage}");
        }
        compiled(&fixture.cache(), REVISION, "one", b"code");
        fixture.key = [8; 32];
        assert!(!fixture.cache().holds(REVISION));
    }
}
