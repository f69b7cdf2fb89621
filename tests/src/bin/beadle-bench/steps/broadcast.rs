//! A broadcast to many people, by a template, to a simulator without rate limits: planned, then
//! sent.

use crate::machine::usage;
use crate::options::Options;
use crate::report::{Better, Report};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::{wait_for_count, wait_until, webhook};
use serde_json::{Value, json};
use std::time::Instant;

/// Recipients.
const PEOPLE: u64 = 100_000;

const CONFIG: &str = r#"
[channels.shop.pace]
messages_per_second = 100000
contact_seconds = 0
contact_burst = 1000
[log]
level = "warn"
[keywords]
brand = "Bench"
[consents]
double_opt_in = []
[consents.wordings.news]
purpose = "marketing:news"
text = { en = "Bench may send me news. STOP ends it." }
[broadcasts]
approval_above = 0
"#;

const DEFINITION: &str = r#"
name = "bench"
purpose = "marketing:news"
audience = "everyone"
[template]
name = "news"
body = ["{first_name|there}"]
"#;

/// Plans and sends a broadcast.
pub async fn broadcast(_: &Options, report: &mut Report) -> Result<(), String> {
    let address = SimulatorAddress::reserve();
    let setup = Setup::new(&address.url()).toml(CONFIG);
    let simulator = address.start(&setup).await;
    let faults = json!({"template_review_ms": 0, "unknown_numbers": "create", "receipts": false});
    simulator.set_faults(faults).await;
    let daemon = setup.start().await;
    prepare(&setup, &simulator, &daemon).await?;

    let begun = Instant::now();
    run(&setup, &["broadcasts", "plan", "bench"]).await?;
    let aim = Some((5.0, Better::Less));
    report.add("broadcast to 100,000 people: planned", begun.elapsed().as_secs_f64(), "s", aim);

    let begun = Instant::now();
    run(&setup, &["broadcasts", "start", "bench"]).await?;
    wait_for_count("the broadcast is sent", PEOPLE, async || {
        let view = daemon.get("broadcasts/bench").await;
        view.pointer("/recipients/sent").and_then(Value::as_u64).unwrap_or_default()
    })
    .await;
    let seconds = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    report.add("… sent", PEOPLE as f64 / seconds, "/s", None);
    report.add("… peak memory", usage(daemon.program.pid()).peak_mib, "MiB", None);
    daemon.stop().await;
    Ok(())
}

/// People who agreed to news, a template, and the draft.
async fn prepare(setup: &Setup, simulator: &Simulator, daemon: &Daemon) -> Result<(), String> {
    let body = json!({"type": "BODY", "text": "Hello {{1}}, news!", "example": {"body_text": [["Ana"]]}});
    let template = json!({"name": "news", "language": "en", "category": "MARKETING", "components": [body]});
    simulator.graph("POST", &format!("{}/message_templates", webhook::BUSINESS_ID), &template).await;
    wait_until("the template is approved", async || {
        daemon.post("templates/sync").await;
        let list = daemon.get("templates?status=approved").await;
        list.pointer("/items/0").map(drop)
    })
    .await;
    let rows: String = (0..PEOPLE).map(|n| format!("316{n:08},Person {n}\n")).collect();
    let write = |name: &str, text: &str| {
        let path = setup.data().join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok::<_, String>(path.to_string_lossy().into_owned())
    };
    let people = write("people.csv", &format!("phone,name\n{rows}"))?;
    let source = ["--consent-source", "paper", "--consent-purpose", "marketing:news", "--consent-wording", "news"];
    run(setup, &[&["contacts", "import", &people][..], &source].concat()).await?;
    let definition = write("bench.toml", DEFINITION)?;
    run(setup, &["broadcasts", "create", &definition, "--by", "bench"]).await
}

async fn run(setup: &Setup, arguments: &[&str]) -> Result<(), String> {
    let output = setup.cli(arguments).await;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
