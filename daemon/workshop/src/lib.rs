//! The workshop: where a plugin's author works. It makes a new plugin's folder, finds a compiler for wasm, builds, and
//! sees when a source was saved.
//!
//! Both `beadle plugins new|build` and `cargo xtask` work here, so that an author outside this repository has the same way
//! from source to file as we have. It runs other programs (cargo, rustup, apt-get) and writes where it was told; nothing of
//! it is needed, or runs, while a daemon serves people.
//!
//! It is not: the place where a plugin is judged (`sandbox`) or taken into service (`catalog`).

pub mod artefact;
pub mod fresh;
pub mod project;
pub mod shell;
pub mod toolchain;

pub use artefact::{Built, place};
pub use project::Project;
pub use shell::Failure;
pub use toolchain::{TARGET, Toolchain};
