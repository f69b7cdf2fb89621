//! Both ends of the daemon: how fast webhooks are parsed, and the limits of the simulator itself.

use crate::load::CONNECTIONS;
use crate::options::Options;
use crate::report::Report;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use beadle_test_support::http::{Connection, request};
use beadle_test_support::program::{Program, built};
use beadle_test_support::simulator::Simulator;
use beadle_test_support::webhook;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::watch;

/// Signature, parse, normalise and key of webhooks with one message and with a thousand, on one
/// core, without storing: an example of beadle-whatsapp.
pub async fn webhooks(_: &Options, report: &mut Report) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let example = own.with_file_name("examples").join("parse_rate");
    let output = Command::new(&example).output().await.map_err(|error| format!("{}: {error}", example.display()))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let rates: Vec<[f64; 3]> = stdout.lines().filter_map(rate_line).collect();
    if !output.status.success() || rates.is_empty() {
        return Err(format!("{}: {stdout}{}", example.display(), String::from_utf8_lossy(&output.stderr)));
    }
    for [messages, webhooks, events] in rates {
        report.add(format!("webhooks of {messages} parsed, one core"), webhooks, "/s", None);
        report.add(format!("… and their events, {messages} each"), events, "/s", None);
    }
    Ok(())
}

/// `1 messages, 402 bytes: 90000 webhooks/s, 90000 events/s, …`: the first, the third and the
/// fourth number.
fn rate_line(line: &str) -> Option<[f64; 3]> {
    let numbers = line.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    match numbers.collect::<Vec<_>>().as_slice() {
        [messages, _, webhooks, events, ..] => Some([*messages, *webhooks, *events]),
        _ => None,
    }
}

/// The first number of people of the simulator's floods (simulator/README.md).
const FIRST_OF_FLOOD: u64 = 15_550_000_000;

/// People who write and are written to: more than connections.
const PEOPLE: u64 = 1000;

/// Messages in each part per second of the step's length; about what it handles in one.
const EACH_SECOND: usize = 4000;

/// The limit of each part.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The simulator alone, with a callback that only answers 200: messages of people, and sends with
/// and without receipts.
pub async fn simulator(options: &Options, report: &mut Report) -> Result<(), String> {
    let count = EACH_SECOND * usize::try_from(options.seconds).unwrap_or(1);
    let (callback, receiver) = callback().await?;
    let (simulator, address) = start(&callback).await;

    let begun = Instant::now();
    let per_person = count / usize::try_from(PEOPLE).unwrap_or(1);
    let flood = json!({"people": PEOPLE, "count": count, "rate": 0, "text": "hello"});
    simulator.control("POST", "flood", &flood).await;
    wait_until(&receiver, count).await?;
    let note = format!("{PEOPLE} people, {per_person} messages each");
    report.note("simulator: webhooks delivered", rate(count, begun), "/s", None, note);

    for (receipts, webhooks) in [(false, 0), (true, 2)] {
        simulator.set_faults(json!({ "receipts": receipts })).await;
        let (before, begun) = (*receiver.borrow(), Instant::now());
        send(&address, count).await?;
        let name = if receipts { "with two receipts each" } else { "without receipts" };
        report.add(format!("simulator: messages accepted, {name}"), rate(count, begun), "/s", None);
        wait_until(&receiver, before + webhooks * count).await?;
        if receipts {
            report.add("simulator: messages accepted, receipts delivered", rate(count, begun), "/s", None);
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn rate(count: usize, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

async fn start(callback: &str) -> (Simulator, String) {
    let mut command = Command::new(built("beadle-simulator"));
    command.args(["--listen", "127.0.0.1:0", "--callback", callback, "--no-people", "--max-log-entries", "0"]);
    command.args(["--app-secret", webhook::APP_SECRET, "--verify-token", webhook::VERIFY_TOKEN]);
    command.args(["--access-token", webhook::ACCESS_TOKEN, "--phone-number-id", webhook::PHONE_NUMBER_ID]);
    let mut program = Program::start(&mut command);
    let page = program.line(|line| line.strip_prefix("listening ").map(String::from)).await;
    let address = page.trim_start_matches("http://").trim_end_matches('/').to_owned();
    (Simulator::at(program, &page), address)
}

/// Sends texts over as many connections as the other steps use, each when the previous one is
/// answered.
async fn send(address: &str, count: usize) -> Result<(), String> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (next, address) = (Arc::clone(&next), address.to_owned());
        senders.spawn(async move {
            let mut connection = Connection::tcp(&address).await.map_err(|error| error.to_string())?;
            let path = format!("/v26.0/{}/messages", webhook::PHONE_NUMBER_ID);
            let header =
                format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", webhook::ACCESS_TOKEN);
            loop {
                let n = next.fetch_add(1, Relaxed);
                if n >= count {
                    return Ok(());
                }
                let to = (FIRST_OF_FLOOD + n as u64 % PEOPLE).to_string();
                let body =
                    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "hello"}});
                let request = request("POST", &path, &header, body.to_string().as_bytes());
                let answer = connection.exchange(&request).await.map_err(|error| error.to_string())?;
                if answer.status != 200 {
                    return Err(format!("the simulator refused a message: {} {}", answer.status, answer.text()));
                }
            }
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// Number of received webhooks.
type ReceivedCount = Arc<watch::Sender<usize>>;

/// A callback that answers the handshake, and 200 to every webhook.
async fn callback() -> Result<(String, watch::Receiver<usize>), String> {
    let greet = |Query(query): Query<HashMap<String, String>>| async move {
        query.get("hub.challenge").cloned().unwrap_or_default()
    };
    let take = |State(receiver): State<ReceivedCount>| async move { receiver.send_modify(|count| *count += 1) };
    let (sender, receiver) = watch::channel(0);
    let router = Router::new().route(webhook::PATH, get(greet).post(take)).with_state(Arc::new(sender));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((format!("http://{address}{}", webhook::PATH), receiver))
}

async fn wait_until(receiver: &watch::Receiver<usize>, wanted: usize) -> Result<(), String> {
    let mut receiver = receiver.clone();
    let all = tokio::time::timeout(TIMEOUT, receiver.wait_for(|count| *count >= wanted)).await;
    let all = all.map(|all| all.map(drop));
    match all {
        Ok(Ok(())) => Ok(()),
        _ => Err(format!("only {} of {wanted} webhooks arrived", *receiver.borrow())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_the_example_is_parsed() {
        let line = "1000 messages, 211345 bytes:      412 webhooks/s,   412000 events/s, 2.43 µs an event";
        assert_eq!(rate_line(line), Some([1000.0, 412.0, 412_000.0]));
        assert_eq!(rate_line("nothing"), None);
    }
}
