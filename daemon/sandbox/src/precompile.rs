//! Compiles a file into the compile cache without loading it.
//!
//! The time and memory of a compilation cannot be bounded within a process, so the daemon has it done in a child process
//! with limits (`beadle_catalog`). Loading then finds the code in the cache. No code of the plugin runs here.

use crate::LoadError;
use crate::engine::engine;
use crate::surface;
use std::path::Path;
use wasmtime::component::Component;

/// Checks and compiles a file as loading does, and stores the code in the cache.
///
/// # Errors
/// If the file is not a plugin or does not compile; loading reports the same error.
pub fn precompile(cache_dir: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    let compile = |error: wasmtime::Error| LoadError::Compile { reason: format!("{error:#}") };
    let bytes = surface::component(bytes)?;
    surface::read(&bytes)?;
    let engine = engine(Some(cache_dir)).map_err(compile)?;
    Component::new(&engine, &bytes).map_err(compile)?;
    Ok(())
}
