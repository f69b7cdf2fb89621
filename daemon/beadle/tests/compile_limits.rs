//! The compiler process: a plugin that exceeds one of its limits is rejected with a reason,
//! whatever the limit.

use beadle_catalog::compile::{CompileLimits, Compiler};
use beadle_test_support::guest::{guest, heavy_with};
use std::path::Path;
use std::time::Duration;

/// Compiles a file into a folder under limits.
async fn compile(folder: &Path, bytes: &[u8], limits: CompileLimits) -> Result<(), (&'static str, String)> {
    Compiler::new(env!("CARGO_BIN_EXE_beadle").into(), limits).try_compile(folder, bytes).await
}

/// The bytes of all files in a folder.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size_of = |entry: std::fs::DirEntry| {
        let path = entry.path();
        if path.is_dir() { size(&path) } else { entry.metadata().map_or(0, |meta| meta.len()) }
    };
    entries.map(size_of).sum()
}

#[tokio::test]
async fn plugin_within_the_limits_is_compiled() {
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path(), &guest("", "", ""), CompileLimits::default()).await.unwrap();
    assert!(size(folder.path()) > 1000);
}

#[tokio::test]
async fn invalid_file_is_left_to_the_load() {
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path(), b"no wasm", CompileLimits::default()).await.unwrap();
    assert_eq!(size(folder.path()), 0);
}

#[tokio::test]
async fn each_limit_ends_the_compilation() {
    let limits = CompileLimits::default();
    // Several seconds of CPU time.
    let heavy = heavy_with(2400);
    for (limits, reason) in [
        (CompileLimits { duration: Duration::from_millis(300), ..limits }, "longer than"),
        (CompileLimits { cpu_seconds: 1, ..limits }, "was ended"),
        (CompileLimits { memory: 64 << 20, ..limits }, "compiler process was"),
        (CompileLimits { output: 4096, ..limits }, "was ended"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let Err((code, text)) = compile(folder.path(), &heavy, limits).await else { panic!("compiled: {limits:?}") };
        assert!(code == "plugin-compile-limit" && text.contains(reason), "{limits:?}: {code}: {text}");
    }
}
