//! What a plugin's author types: `beadle plugins new`, `build` and `test`. No daemon is needed for any of it.
//!
//! The folder, the compiler and the build are the workshop's; here they meet the sandbox (`trial`), and the daemon where
//! one runs (`bench` says whether what was built is in service).

mod bench;
mod event;
mod shown;
mod trial;

use crate::cli::{Build, New};
use crate::exit::Exit;
use beadle_workshop::{Failure, Project, Toolchain, new_plugin};
use std::path::Path;

pub use bench::Bench;
pub use trial::test;

/// Says why and ends.
fn failed(why: &Failure) -> Exit {
    eprintln!("{why}");
    Exit::Failed
}

/// `beadle plugins new`
pub fn new(args: &New) -> Exit {
    let crate::cli::Lang::Rust = args.lang;
    match new_plugin::create(&args.into, &args.name) {
        Ok(folder) => {
            let (folder, name) = (folder.strip_prefix(".").unwrap_or(&folder).display(), &args.name);
            println!(
                "{folder} is a plugin that greets. It has the SDK with it, and a test.\n\n  \
                 cd {folder}\n  \
                 cargo test                          without Beadle\n  \
                 beadle plugins build                makes {name}.wasm\n  \
                 beadle plugins test {name}.wasm  what it does with an event, in the sandbox\n  \
                 beadle demo --watch .               talk to it; save, and the next message shows it"
            );
            Exit::Ok
        }
        Err(why) => failed(&why),
    }
}

/// `beadle plugins build`
pub async fn build(args: &Build, socket: &Path) -> Exit {
    let made = Project::find(&args.folder).and_then(|project| Ok((project, Toolchain::find()?)));
    let (project, toolchain) = match made {
        Ok(made) => made,
        Err(why) => return failed(&why),
    };
    let into = args.into.clone().unwrap_or_else(|| project.folder.clone());
    if !args.watch {
        return match project.build(toolchain, &into) {
            Ok(built) => {
                println!("{built}");
                Exit::Ok
            }
            Err(why) => failed(&why),
        };
    }
    println!("{} is built whenever you save; Ctrl-C ends it.", project.name);
    Bench::new(vec![project], toolchain, into, socket.to_owned()).work().await;
    Exit::Ok
}
