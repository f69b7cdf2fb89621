//! Segments over many people: the time to count a segment that needs the contact alone, and one
//! that needs every table; the time for a page of members; the look-up of a person's consent.

use super::gate::figures;
use super::servers;
use crate::machine;
use crate::marks::Marks;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::report::Report;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::process::Command;

const PEOPLE: [u64; 2] = [100_000, 1_000_000];
/// The first contact and conversation of people.py.
const FIRST_CONTACT: u64 = 1001;

const SEGMENTS: &str = r#"
[contacts.attributes]
points = "number"
[segments.tagged]
where = '"vip" in tags'
[segments.everything]
where = '''
country == "NL" && "shop" in channels && attributes.points >= 10 && consent["marketing:news"] &&
joined < now - duration("30d") && last_inbound > now - duration("20d") && !list("staff")
'''
"#;

/// Runs the step.
pub async fn segments(_: &Options, report: &mut Report) -> Result<(), String> {
    let receiver = Receiver::start(Arc::new(Marks::new(0)), None)?;
    for people in PEOPLE {
        let setup = servers::unlimited(&receiver).toml(SEGMENTS);
        setup.start().await.stop().await;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/beadle-bench/steps/people.py");
        let mut python = Command::new("python3");
        python.arg(script).arg(setup.data().join("beadle.db")).arg(people.to_string());
        let output = python.output().await.map_err(|error| format!("python3: {error}"))?;
        if !output.status.success() {
            return Err(format!("people.py: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let daemon = setup.start().await;
        let created = setup.cli(&["lists", "create", "staff"]).await;
        if !created.status.success() {
            return Err(format!("no list: {}", String::from_utf8_lossy(&created.stderr)));
        }
        for (segment, what) in [("tagged", "by tag"), ("everything", "by seven facts of four tables")] {
            let began = Instant::now();
            let counted = daemon.get(&format!("segments/{segment}/count")).await;
            let seconds = began.elapsed().as_secs_f64();
            let members = counted.get("members").and_then(Value::as_u64).unwrap_or_default();
            let note = format!("{members} members");
            report.note(format!("segment over {people} people, {what}"), seconds, "s", None, note);
            let began = Instant::now();
            daemon.get(&format!("segments/{segment}/members?limit=100")).await;
            let ms = began.elapsed().as_secs_f64() * 1000.0;
            report.add(format!("100 members of {people} people, {what}"), ms, "ms", None);
        }
        report.add(
            format!("memory after segments over {people} people"),
            machine::usage(daemon.program.pid()).rss_mib,
            "MiB",
            None,
        );
        daemon.stop().await;
        let (folder, first, count) = (setup.data(), FIRST_CONTACT.to_string(), people.to_string());
        for (name, value, unit) in figures("consent_lookup", &[&folder.to_string_lossy(), &first, &count]).await? {
            report.add(format!("consent of one of {people} people, {name}"), value, unit, None);
        }
    }
    Ok(())
}
