//! The plugin author's commands: `beadle plugins new`, `build` and `test`. None needs a running
//! daemon.
//!
//! Projects, compilers and builds are in the `workshop` crate; this module adds the sandbox
//! (`test`) and, with `--watch`, the report whether a running daemon activated the result
//! (`build_loop`).

mod build_loop;
pub mod event;
mod report;
mod test;

use crate::cli::{Build, New};
use crate::exit::Exit;
use beadle_workshop::{Failure, Project, Toolchain, new_plugin};
use std::path::Path;

pub use build_loop::BuildLoop;
pub use test::test;

fn failed(error: &Failure) -> Exit {
    eprintln!("error: {error}");
    Exit::Failed
}

/// `beadle plugins new`
pub fn new(args: &New) -> Exit {
    let crate::cli::Lang::Rust = args.lang;
    match new_plugin::create(&args.into, &args.name) {
        Ok(folder) => {
            let (folder, name) = (folder.strip_prefix(".").unwrap_or(&folder).display(), &args.name);
            println!(
                "Created the plugin {name} in {folder}. Next:\n\n  \
                 cd {folder}\n  \
                 cargo test                    run its tests\n  \
                 beadle plugins build          build {name}.wasm\n  \
                 beadle plugins test *.wasm    run it in the sandbox on sample events\n  \
                 beadle demo --watch .         chat with it; every saved change takes effect at once"
            );
            Exit::Ok
        }
        Err(error) => failed(&error),
    }
}

/// `beadle plugins build`
pub async fn build(args: &Build, socket: &Path) -> Exit {
    let made = Project::find(&args.folder).and_then(|project| Ok((project, Toolchain::find()?)));
    let (project, toolchain) = match made {
        Ok(made) => made,
        Err(error) => return failed(&error),
    };
    let into = args.into.clone().unwrap_or_else(|| project.folder.clone());
    if !args.watch {
        return match project.build(toolchain, &into) {
            Ok(built) => {
                println!("{built}");
                Exit::Ok
            }
            Err(error) => failed(&error),
        };
    }
    println!("Building {} after every change; press Ctrl-C to stop.", project.name);
    BuildLoop::new(vec![project], toolchain, into, socket.to_owned()).run().await;
    Exit::Ok
}
