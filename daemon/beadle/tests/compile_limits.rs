//! The compiler process: a plugin that exceeds one of its limits is rejected with a reason,
//! whatever the limit.

use beadle_catalog::compile::{CompileLimits, Compiler};
use beadle_test_support::guest::{guest, heavy_with};
use std::path::{Path, PathBuf};
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

/// The running compilers that compile into a folder below this one.
fn compilers(folder: &Path) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let compiles = |process: &PathBuf| {
        let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0);
        arguments.any(|argument| argument.starts_with(folder.as_os_str().as_encoded_bytes()))
    };
    processes.filter(compiles).collect()
}

/// A plugin that takes a while, made larger by a section that means nothing.
fn large() -> Vec<u8> {
    const PADDING: u32 = 2 << 20;
    let mut bytes = heavy_with(300);
    // Section 0 of this size in LEB128, whose name is `p`.
    bytes.push(0);
    bytes.extend([
        0x80 | (PADDING & 0x7f) as u8,
        0x80 | (PADDING >> 7 & 0x7f) as u8,
        0x80 | (PADDING >> 14 & 0x7f) as u8,
    ]);
    bytes.extend([(PADDING >> 21) as u8, 1, b'p']);
    bytes.resize(bytes.len() + PADDING as usize - 2, 0);
    bytes
}

#[tokio::test]
async fn large_files_are_compiled_one_at_a_time_by_processes_that_end_first() {
    let folder = tempfile::tempdir().unwrap();
    let compiler = Compiler::new(env!("CARGO_BIN_EXE_beadle").into(), CompileLimits::default());
    let bytes = large();
    let compile = async |name: &str| {
        let into = folder.path().join(name);
        std::fs::create_dir(&into).unwrap();
        compiler.try_compile(&into, &bytes).await.unwrap();
        assert!(size(&into) > 1000, "{name}");
    };
    let (mut most, mut scores) = (0, Vec::new());
    let watch = async {
        loop {
            let running = compilers(folder.path());
            most = most.max(running.len());
            scores.extend(
                running.iter().filter_map(|process| std::fs::read_to_string(process.join("oom_score_adj")).ok()),
            );
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = watch => {}
        _ = async { tokio::join!(compile("one"), compile("two"), compile("three")) } => {}
    }
    assert_eq!(most, 1, "at a time");
    assert!(scores.iter().any(|score| score.trim() == "1000"), "{scores:?}");
}
