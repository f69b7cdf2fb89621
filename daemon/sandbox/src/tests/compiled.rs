//! Compiled code comes from the cache only as it was sealed; whatever happened to the files, the
//! plugin behaves the same.

use super::*;
use beadle_model::Coded as _;
use std::path::PathBuf;

/// A sandbox with a cache of compiled code, and a guest whose reply tells it from others.
struct Cached {
    folder: tempfile::TempDir,
    key: u8,
}

impl Cached {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), key: 7 }
    }

    fn sandbox(&self) -> Sandbox {
        let store = self.folder.path().join("store");
        let _ = std::fs::remove_dir_all(&store);
        let store = Store::open(StoreConfig::new(store, Clock::manual(NOW).0)).unwrap();
        let cache_dir = Some(self.folder.path().join("cache"));
        let config = SandboxConfig { guest_threads: 2, cache_dir, ..SandboxConfig::default() };
        Sandbox::new(config, store.reader(), Arc::new(|| MessageId(1)), [self.key; 32]).unwrap()
    }

    /// The files of compiled code.
    fn files(&self) -> BTreeSet<PathBuf> {
        let compilers = self.folder.path().join("cache/code/modules").read_dir().into_iter().flatten().flatten();
        let files = compilers.flat_map(|compiler| compiler.path().read_dir().into_iter().flatten().flatten());
        // The others are wasmtime's statistics.
        files.map(|file| file.path()).filter(|path| path.extension().is_none()).collect()
    }
}

/// A guest that gives up with this reason.
fn giving_up(reason: &str) -> Vec<u8> {
    let items = format!(r#"(data (i32.const 4096) "{reason}")"#);
    let handle = format!(
        "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const 1))
         (i32.store (i32.const 2056) (i32.const 4096)) (i32.store (i32.const 2060) (i32.const {}))
         (i32.const 2048)",
        reason.len()
    );
    Guest { items: &items, handle: &handle, ..Guest::default() }.bytes()
}

/// Compiles a guest into the cache, as the catalog's child process does.
fn compile(sandbox: &Sandbox, bytes: &[u8]) {
    let cache = sandbox.code_cache().unwrap();
    let staging = cache.stage();
    crate::compile_into(staging.folder(), bytes).unwrap();
    cache.seal(&crate::revision(bytes), &staging).unwrap();
}

/// The reason with which a loaded guest gives up.
async fn reason(sandbox: &Sandbox, bytes: &[u8]) -> String {
    let plugin = sandbox.load(spec(bytes.to_vec())).await.unwrap();
    plugin.handle(call(1)).await.outcome.unwrap_err().to_string()
}

#[tokio::test]
async fn sealed_code_is_loaded_from_the_cache() {
    let cached = Cached::new();
    let (sandbox, bytes) = (cached.sandbox(), giving_up("first"));
    compile(&sandbox, &bytes);
    let compiled = cached.files();
    assert_eq!(compiled.len(), 1);
    let written = |path: &PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = compiled.iter().map(written).collect();
    assert!(reason(&sandbox, &bytes).await.contains("first"));
    assert_eq!(cached.files(), compiled);
    // Nothing compiled it again.
    assert_eq!(compiled.iter().map(written).collect::<Vec<_>>(), before);
    assert!(sandbox.code_cache().unwrap().holds(&crate::revision(&bytes)));
    let staging = sandbox.code_cache().unwrap().stage();
    assert_eq!(crate::compile_into(staging.folder(), b"no wasm").unwrap_err().code(), "not-wasm");
}

#[tokio::test]
async fn flipped_bits_and_cut_files_are_compiled_again() {
    let cached = Cached::new();
    let (sandbox, bytes) = (cached.sandbox(), giving_up("first"));
    // A linear congruential generator spreads the bits over the file, the same in every run.
    let mut random = 20_261_129_u64;
    for round in 0..24 {
        compile(&sandbox, &bytes);
        let file = cached.files().into_iter().next().unwrap();
        let mut code = std::fs::read(&file).unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bit = usize::try_from(random >> 33).unwrap() % (code.len() * 8);
        if round % 8 == 7 {
            code.truncate(bit / 8);
        } else {
            code[bit / 8] ^= 1 << (bit % 8);
        }
        std::fs::write(&file, code).unwrap();
        let ended = reason(&sandbox, &bytes).await;
        assert!(ended.contains("gave up (first)"), "bit {bit}: {ended}");
        assert_eq!(sandbox.code_cache().unwrap().discarded(), round + 1);
    }
}

#[tokio::test]
async fn valid_code_of_another_plugin_is_refused() {
    let cached = Cached::new();
    let (sandbox, first, second) = (cached.sandbox(), giving_up("first"), giving_up("other"));
    compile(&sandbox, &first);
    let own = cached.files().into_iter().next().unwrap();
    compile(&sandbox, &second);
    let other = cached.files().into_iter().find(|file| *file != own).unwrap();
    std::fs::copy(&other, &own).unwrap();
    assert!(reason(&sandbox, &first).await.contains("first"));
    assert_eq!(sandbox.code_cache().unwrap().discarded(), 1);
    // Planted before anything was compiled.
    let planted = Cached::new();
    std::fs::create_dir_all(planted.folder.path().join("cache/code")).unwrap();
    let fresh = planted.sandbox();
    let to = planted
        .folder
        .path()
        .join("cache/code")
        .join(own.strip_prefix(cached.folder.path().join("cache/code")).unwrap());
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(&other, &to).unwrap();
    assert!(reason(&fresh, &first).await.contains("first"));
}

#[tokio::test]
async fn lost_key_compiles_everything_again() {
    let mut cached = Cached::new();
    let bytes = giving_up("first");
    compile(&cached.sandbox(), &bytes);
    cached.key = 8;
    let sandbox = cached.sandbox();
    assert!(!sandbox.code_cache().unwrap().holds(&crate::revision(&bytes)));
    assert_eq!(cached.files().len(), 0);
    compile(&sandbox, &bytes);
    assert!(reason(&sandbox, &bytes).await.contains("first"));
}
