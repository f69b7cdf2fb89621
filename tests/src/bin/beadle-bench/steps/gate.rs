//! What the gate costs for a message without I/O, and the look-up of consent in a large database:
//! by examples of beadle-gate and beadle-store, in processes of their own.

use crate::options::Options;
use crate::report::{Better, Report};
use tokio::process::Command;

/// The gate decides several times about each message, so it must cost little beside the rest.
const AIM_US: f64 = 2.0;

/// The checks and their trace.
pub async fn gate(_: &Options, report: &mut Report) -> Result<(), String> {
    for (name, value, unit) in figures("gate_cost", &[]).await? {
        report.add(format!("the gate, without I/O: {name}"), value, unit, Some((AIM_US, Better::Less)));
    }
    Ok(())
}

/// Runs an example that prints lines `NAME: VALUE UNIT`.
pub async fn figures(example: &str, arguments: &[&str]) -> Result<Vec<(String, f64, &'static str)>, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let example = own.with_file_name("examples").join(example);
    let output = Command::new(&example).args(arguments).output().await;
    let output = output.map_err(|error| format!("{}: {error}", example.display()))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<_> = stdout.lines().filter_map(figure).collect();
    if !output.status.success() || figures.is_empty() {
        return Err(format!("{}: {stdout}{}", example.display(), String::from_utf8_lossy(&output.stderr)));
    }
    Ok(figures)
}

fn figure(line: &str) -> Option<(String, f64, &'static str)> {
    let (name, rest) = line.rsplit_once(": ")?;
    let (value, unit) = rest.split_once(' ')?;
    let unit = ["µs", "%"].into_iter().find(|known| *known == unit)?;
    Some((name.to_owned(), value.parse().ok()?, unit))
}
