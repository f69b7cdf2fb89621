//! Plugins in JavaScript and Python (`tests/components`): time until a new revision is active,
//! start, memory.

use super::{reload, servers};
use crate::machine;
use crate::marks::Marks;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::report::Report;
use beadle_test_support::program;
use std::sync::Arc;
use std::time::Instant;

/// Timed reloads of each; one takes seconds.
const RELOADS: usize = 5;

/// Runs the step.
pub async fn components(_: &Options, report: &mut Report) -> Result<(), String> {
    let receiver = Receiver::start(Arc::new(Marks::new(0)), None)?;
    for (language, name) in [("Rust", "echo"), ("JavaScript", "echo-js"), ("Python", "echo-py")] {
        let path = program::plugin(name);
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let setup = servers::unlimited(&receiver);
        setup.put_bytes("probe", &bytes);
        let daemon = setup.start().await;
        reload::time(report, &setup, &daemon, language, RELOADS, None, |tag| tagged(&bytes, tag)).await;
        daemon.stop().await;
        let began = Instant::now();
        let daemon = setup.start().await;
        report.add(format!("start with one in {language}, cached"), began.elapsed().as_secs_f64() * 1000.0, "ms", None);
        report.add(format!("memory with one in {language}"), machine::usage(daemon.program.pid()).rss_mib, "MiB", None);
        daemon.stop().await;
    }
    Ok(())
}

/// Another revision: the same with a custom section at its end, which has no meaning (WebAssembly
/// core 5.5.3).
fn tagged(bytes: &[u8], tag: &str) -> Vec<u8> {
    let name = tag.as_bytes();
    // Lengths below 128 are one byte of LEB128.
    let length = u8::try_from(name.len()).unwrap_or(0);
    [bytes, &[0, length + 1, length], name].concat()
}
