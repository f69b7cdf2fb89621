//! The program itself, without a platform: listeners, answers, exit codes, tasks, files.

// Helpers of tests may panic as tests may; `cfg(test)` tells clippy that they are some.
#![cfg(test)]

use axum::extract::Query;
use axum::{Json, Router, routing};
use beadle_model::ConversationId;
use beadle_store::fault::{damage_conversation, refuse_created_files};
use beadle_tasks::TaskKind;
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::disk::Disk;
use beadle_test_support::http::{Connection, Response, request};
use beadle_test_support::webhook::TextMessage;
use beadle_test_support::{wait_until, webhook};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::sync::watch;

const SENDER: &str = "351912345678";

/// An installation whose platform does not answer.
fn setup() -> Setup {
    Setup::new("http://127.0.0.1:9")
}

async fn exchange(address: &str, request: &[u8]) -> Response {
    let exchange = async { Connection::tcp(address).await?.exchange(request).await };
    exchange.await.unwrap_or_else(|error: std::io::Error| panic!("{address}: {error}"))
}

/// Status and body of a `GET`.
async fn get(address: &str, path: &str) -> (u16, String) {
    let response = exchange(address, &request("GET", path, "", b"")).await;
    (response.status, response.text())
}

/// The status of a webhook with this signature.
async fn post(setup: &Setup, body: &str, signature: &str) -> u16 {
    let header = format!("X-Hub-Signature-256: {signature}\r\n");
    exchange(&setup.http, &request("POST", webhook::PATH, &header, body.as_bytes())).await.status
}

fn signature(body: &str) -> String {
    webhook::signature(webhook::APP_SECRET, body.as_bytes())
}

/// A message that was stored, by its text.
async fn send(setup: &Setup, text: &str) {
    let body = webhook::text_message(SENDER, &format!("wamid.{text}"), 1_790_000_000, text);
    assert_eq!(post(setup, &body, &signature(&body)).await, 200);
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn output_of(setup: &Setup, words: &[&str]) -> String {
    stdout(&setup.cli(words).await)
}

async fn json_of(setup: &Setup, words: &[&str]) -> Value {
    let output = setup.cli(&[words, &["--json"]].concat()).await;
    assert!(output.status.success(), "{words:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Makes a fault strike a task.
async fn inject(daemon: &Daemon, kind: &str, fault: &str) {
    assert_eq!(daemon.post(&format!("tasks/{kind}/fault/{fault}")).await.status, 200, "{kind}");
}

/// What the status shows of a task.
async fn task(daemon: &Daemon, kind: &str) -> Value {
    let tasks = daemon.status().await["tasks"].as_array().cloned().unwrap_or_default();
    tasks.into_iter().find(|task| task["name"] == kind).unwrap_or(Value::Null)
}

#[tokio::test]
async fn webhooks_are_stored_and_shown() {
    let setup = setup();
    let daemon = setup.start().await;
    let handshake = |token: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=77&hub.verify_token={token}");
        format!("{}?{query}", webhook::PATH)
    };
    assert_eq!(get(&setup.http, &handshake(webhook::VERIFY_TOKEN)).await, (200, "77".into()));
    assert_eq!(get(&setup.http, &handshake("another")).await.0, 403);

    let body = webhook::text_message(SENDER, "wamid.1", 1_790_000_000, "hello");
    assert_eq!(post(&setup, &body, &signature("something else")).await, 403);
    assert_eq!(post(&setup, &body, "").await, 403);
    assert_eq!(post(&setup, &body, &signature(&body)).await, 200);
    assert_eq!(post(&setup, &body, &signature(&body)).await, 200);
    let large = " ".repeat(4 << 20);
    assert_eq!(post(&setup, &large, &signature(&large)).await, 413);
    assert_eq!(get(&setup.http, "/webhooks/other").await.0, 404);
    assert_eq!(get(&setup.http, "/api/v1/status").await.0, 404);

    let events = json_of(&setup, &["events", "list"]).await;
    let seen: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|event| event["summary"].as_str().unwrap()).collect();
    assert_eq!(seen, ["hello", "first-message"]);
    let id = events["items"][0]["id"].as_str().unwrap();
    assert_eq!(json_of(&setup, &["events", "show", id]).await["body"]["message"], "wamid.1");
    assert!(output_of(&setup, &["why", "wamid.1"]).await.contains("message from con_1 on shop: hello"));
    assert!(output_of(&setup, &["contacts", "show", "con_1"]).await.contains(&format!("Member {SENDER}")));
    let tail = json_of(&setup, &["events", "tail", "--after", "evt_1", "--count", "1"]).await;
    assert_eq!(tail["summary"], "hello");
    daemon.stop().await;
}

#[tokio::test]
async fn person_with_an_unreadable_row_holds_up_nobody_else_in_a_webhook() {
    let setup = setup();
    let daemon = setup.start().await;
    send(&setup, "first").await;
    let contact = daemon.get("contacts/con_1").await;
    let conversation = contact["conversations"][0]["id"].as_str().unwrap().parse::<ConversationId>().unwrap();
    daemon.stop().await;
    damage_conversation(&setup.data(), conversation).unwrap();
    let daemon = setup.start().await;
    let message = |from: &str, text: &str| TextMessage {
        from: from.into(),
        id: format!("wamid.{text}"),
        at_s: 1_790_000_000,
        text: text.into(),
    };
    let body = webhook::text_messages(&[message(SENDER, "unreadable"), message("351912345679", "readable")]);
    // The platform may repeat it.
    for _ in 0..2 {
        assert_eq!(post(&setup, &body, &signature(&body)).await, 200);
    }
    let events = daemon.list_all("events?kind=message").await;
    assert!(events.iter().any(|event| event["summary"] == "readable"), "{events:?}");
    assert!(!events.iter().any(|event| event["summary"] == "unreadable"), "{events:?}");
    let letters = daemon.list_all("dead-letters").await;
    let kept: Vec<_> = letters.iter().filter(|letter| letter["id"].as_str().unwrap().starts_with("whk_")).collect();
    assert_eq!((kept.len(), &kept[0]["code"]), (1, &json!("store-row-unreadable")), "{letters:?}");
    let retried = daemon.post(&format!("dead-letters/{}/retry", kept[0]["id"].as_str().unwrap())).await;
    assert_eq!(retried.status, 500, "it is kept until its row can be read");
    daemon.stop().await;
}

#[tokio::test]
async fn admin_side_reports_health_to_this_machine_only() {
    let setup = setup();
    let daemon = setup.start().await;
    assert_eq!(get(&setup.admin, "/healthz").await, (200, "ok\n".into()));
    assert_eq!(get(&setup.admin, "/readyz").await, (200, "ready\n".into()));
    let metrics = get(&setup.admin, "/metrics").await.1;
    assert!(metrics.contains("beadle_healthy 1") && metrics.ends_with("# EOF\n"), "{metrics}");
    let (_, status) = get(&setup.admin, "/api/v1/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["phase"], &status["channels"][0]["name"]), (&"running".into(), &"shop".into()));

    let foreign_host = b"GET /api/v1/contacts HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(exchange(&setup.admin, foreign_host).await.status, 403);
    let forged = request("POST", "/api/v1/dead-letters/msg_1/drop", "Origin: http://evil.example\r\n", b"");
    assert_eq!(exchange(&setup.admin, &forged).await.status, 403);
    for (path, status, code) in [
        ("dead-letters/msg_1", 404, "not-found"),
        ("dead-letters/x", 400, "bad-request"),
        ("events?kind=party", 400, "bad-request"),
        ("contacts/con_9", 404, "not-found"),
        ("why/wamid.x%2Fy", 404, "not-found"),
        ("nothing", 404, "not-found"),
    ] {
        let (answered, body) = get(&setup.admin, &format!("/api/v1/{path}")).await;
        assert_eq!(answered, status, "{path}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["error"]["code"], code, "{path}");
    }
    let dropped = setup.cli(&["dead-letters", "drop", "msg_1", "hnd_1.1"]).await;
    assert_eq!(dropped.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&dropped.stderr).matches("error[not-found]").count(), 2, "{dropped:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn start_that_a_full_disk_prevents_says_so() {
    let disk = Disk::new();
    let setup = setup().disk(&disk);
    disk.set_full(true);
    let mut starting = setup.spawn();
    assert_eq!(starting.program.wait().await.code(), Some(1));
    let output = starting.program.output();
    assert!(output.contains("disk-full") && output.contains("the daemon needs some to start"), "{output}");
    assert!(!output.contains("without a restart"), "{output}");
    disk.set_full(false);
    setup.start().await.stop().await;
}

#[tokio::test]
async fn commands_end_with_documented_exit_codes() {
    let setup = setup();
    setup.write();
    let config = setup.config();
    let config = config.to_str().unwrap();
    let code = async |words: &[&str]| setup.cli(words).await.status.code();
    assert_eq!(code(&["status"]).await, Some(3));
    assert_eq!(code(&["stats"]).await, Some(2));
    assert_eq!(code(&["explain", "window-closed"]).await, Some(0));
    assert_eq!(code(&["explain", "window-open"]).await, Some(2));
    assert_eq!(code(&["check", "--config", config]).await, Some(0));

    let daemon = setup.start().await;
    assert_eq!(code(&["status"]).await, Some(0));
    // The socket and the database are one daemon's.
    let again = setup.cli(&["run", "--config", config]).await;
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("listen-failed"), "{again:?}");
    let other = crate::setup();
    other.write();
    let shared = fs::read_to_string(other.config()).unwrap();
    let data = format!("data_dir = {:?}", setup.data());
    fs::write(other.config(), shared.replace("data_dir = \"data\"", &data)).unwrap();
    let locked = other.cli(&["run", "--config", other.config().to_str().unwrap()]).await;
    assert_eq!(locked.status.code(), Some(1), "{locked:?}");
    assert!(String::from_utf8_lossy(&locked.stderr).contains("store-locked"), "{locked:?}");

    daemon.stop().await;
    assert!(!setup.socket().exists());
    fs::write(config, "[daemon]\ndata = 1\n").unwrap();
    assert_eq!(code(&["check", "--config", config]).await, Some(2));
    // A start that can never succeed is not to be tried again and again.
    assert_eq!(code(&["run", "--config", config]).await, Some(2));
}

#[tokio::test]
async fn killed_daemon_keeps_what_it_stored() {
    let setup = setup();
    let daemon = setup.start().await;
    send(&setup, "still here").await;
    daemon.kill9().await;
    assert_eq!(setup.cli(&["status"]).await.status.code(), Some(3));
    let daemon = setup.start().await;
    assert!(output_of(&setup, &["events", "list"]).await.contains("still here"));
    daemon.stop().await;
}

#[tokio::test]
async fn task_that_panics_is_restarted_and_works() {
    let setup = setup();
    let daemon = setup.start().await;
    let all = daemon.status().await["tasks"].as_array().unwrap().clone();
    let names: Vec<_> = all.iter().map(|task| task["name"].as_str().unwrap()).collect();
    let shutting_down = ["store-writer", "dispatch", "outbox"];
    // What only follows a simulator's clock has a test of its own. What creates conversations for
    // channels ends when it has, before a test can reach it (docs/adr/0068-supervised-tasks.md). A
    // kind that nothing starts would be untested.
    let elsewhere = [TaskKind::ClockFollower, TaskKind::ChannelSetup].map(TaskKind::name);
    let untested = TaskKind::ALL.iter().map(|kind| kind.name()).filter(|name| !names.contains(name));
    assert_eq!(untested.filter(|name| !elsewhere.contains(name)).collect::<Vec<_>>(), [""; 0]);
    for kind in names.iter().filter(|kind| !shutting_down.contains(kind)) {
        inject(&daemon, kind, "panic").await;
        // A commit wakes the threads of the store.
        send(&setup, kind).await;
        wait_until(&format!("{kind} is restarted"), async || {
            let task = task(&daemon, kind).await;
            (task["restarts"] == 1 && task["state"] == "running").then_some(())
        })
        .await;
        assert_eq!(task(&daemon, kind).await["panics"], 1, "{kind}");
        let panicked = |line: &&str| line.contains(&format!(": panic task={kind} "));
        assert_eq!(daemon.program.log().lines().filter(panicked).count(), 1, "{kind}");
    }
    assert_eq!(get(&setup.admin, "/healthz").await, (200, "ok\n".into()));
    let metrics = get(&setup.admin, "/metrics").await.1;
    assert!(metrics.contains("beadle_task_restarts_total{task=\"windows\"} 1"), "{metrics}");
    assert!(metrics.contains("beadle_task_healthy{task=\"windows\"} 1"), "{metrics}");
    // What the restarted tasks are for.
    setup.put_conf("windows", "[windows]\nexpiring_before = [\"1h\"]\n");
    daemon.wait_for_config("windows.expiring_before").await;
    daemon.stop().await;
}

#[tokio::test]
async fn clock_follower_that_panics_is_restarted_and_follows() {
    // A simulator's clock: answers when its revision differs from the requested one.
    let (set_time, time) = watch::channel((1_790_000_000_000_i64, 1_u64));
    let answer = move |query: Query<BTreeMap<String, String>>| {
        let (after, mut time) = (query["after"].parse::<u64>().unwrap(), time.clone());
        async move {
            let (now_ms, rev) = *time.wait_for(|time| time.1 != after).await.unwrap();
            Json(json!({"now_ms": now_ms, "rev": rev}))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/clock", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/clock", routing::get(answer))).await });

    let setup = setup().clock(&url);
    let daemon = setup.start().await;
    inject(&daemon, "clock-follower", "panic").await;
    wait_until("the follower is restarted", async || {
        let task = task(&daemon, "clock-follower").await;
        (task["restarts"] == 1 && task["panics"] == 1 && task["state"] == "running").then_some(())
    })
    .await;
    // 2026-09-21T14:14:20Z.
    set_time.send((1_790_000_060_000, 2)).unwrap();
    let follows =
        async || daemon.status().await["now"].as_str().is_some_and(|now| now.starts_with("2026-09-21T14:14:20"));
    wait_until("the clock follows", async || follows().await.then_some(())).await;
    daemon.stop().await;
}

#[tokio::test]
async fn task_that_cannot_be_restarted_shuts_the_daemon_down() {
    for kind in ["store-writer", "dispatch", "outbox"] {
        let setup = setup();
        let mut daemon = setup.start().await;
        send(&setup, "before").await;
        inject(&daemon, kind, "panic").await;
        let body = webhook::text_message(SENDER, "wamid.after", 1_790_000_001, "after");
        // Wakes the writer; whether it is stored does not matter, since the platform sends it
        // again.
        let wake = async { Connection::tcp(&setup.http).await?.exchange(&webhook::signed_request(&body)).await };
        let _ = tokio::time::timeout(Duration::from_secs(10), wake).await;
        assert_eq!(daemon.program.wait().await.code(), Some(1), "{kind}");
        let log = daemon.program.log();
        assert!(log.contains(&format!("task failed, shutting down task={kind}")), "{log}");
        assert!(log.contains("daemon failed code=task-failed"), "{log}");
        let daemon = setup.start().await;
        assert!(output_of(&setup, &["events", "list"]).await.contains("before"), "{kind}");
        daemon.stop().await;
    }
}

#[tokio::test]
async fn retry_of_an_unknown_dead_letter_is_not_found() {
    let setup = setup();
    let daemon = setup.start().await;
    for id in ["hnd_9.9", "msg_9", "whk_9"] {
        let output = setup.cli(&["dead-letters", "retry", id]).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("error[not-found]"), "{id}: {error}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn readiness_names_the_tasks_that_it_does_not_need() {
    let setup = setup();
    let daemon = setup.start().await;
    // Each panic doubles the pause before the restart, until it is long enough to be seen.
    let seen = async || {
        inject(&daemon, "reload", "panic").await;
        let (status, text) = get(&setup.admin, "/readyz").await;
        assert!(status == 200 && text.starts_with("ready\n"), "{status} {text}");
        text.contains("\ntask-restarting: task `reload` failed").then_some(())
    };
    wait_until("the panic is reported", seen).await;
    daemon.stop().await;
}

#[tokio::test]
async fn silent_task_is_reported_everywhere() {
    let setup = setup();
    let daemon = setup.start().await;
    inject(&daemon, "dispatch", "silence").await;
    wait_until("the silence is noticed", async || (get(&setup.admin, "/healthz").await.0 == 503).then_some(())).await;
    let (status, text) = get(&setup.admin, "/healthz").await;
    assert!(status == 503 && text.starts_with("task-stuck: task `dispatch` has made no progress for"), "{text}");
    let (status, text) = get(&setup.admin, "/readyz").await;
    assert!(status == 503 && text.starts_with("not ready\ntask-stuck: "), "{text}");
    let metrics = get(&setup.admin, "/metrics").await.1;
    assert!(metrics.contains("beadle_task_healthy{task=\"dispatch\"} 0"), "{metrics}");
    assert!(output_of(&setup, &["status"]).await.contains("task `dispatch`"));
}

#[test]
fn unit_file_is_valid_and_restrictive() {
    let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/beadle.service")).unwrap();
    for directive in [
        "LimitCORE=0",
        "UMask=0077",
        "MemoryHigh=1536M",
        "OOMPolicy=continue",
        "PrivateMounts=yes",
        "SocketBindDeny=any",
        "SocketBindAllow=tcp:8420",
        "StateDirectoryMode=0700",
    ] {
        assert!(unit.lines().any(|line| line == directive), "{directive}");
    }
    let high = unit.lines().find_map(|line| line.strip_prefix("MemoryHigh=")?.strip_suffix('M')?.parse().ok());
    let compilers = beadle_catalog::compile::CompileLimits::default().memory >> 20;
    assert!(compilers < high.unwrap(), "{compilers} MiB for compilers do not fit into {high:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("beadle.service");
    fs::write(&path, unit.replace("/usr/bin/beadle", "/bin/true")).unwrap();
    let Ok(verified) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    };
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    let rated =
        Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=15"]).arg(&path).output();
    assert!(rated.as_ref().is_ok_and(|rated| rated.status.success()), "{rated:?}");
}

/// Statuses of health, the API and the clock on `[admin] listen`, with these lines in its table.
async fn admin_statuses(lines: &str, token: Option<&str>) -> (u16, u16, u16) {
    let setup = setup().admin_toml(lines);
    let _daemon = setup.start().await;
    let header = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let status = async |path: &str| exchange(&setup.admin, &request("GET", path, &header, b"")).await.status;
    (status("/healthz").await, status("/api/v1/status").await, status("/api/v1/clock").await)
}

#[tokio::test]
async fn admin_address_serves_health_only_unless_it_is_opened() {
    assert_eq!(admin_statuses("", None).await, (200, 401, 401));
    assert_eq!(admin_statuses("open_api = true", None).await, (200, 200, 200));
    let created = output_of(&setup(), &["token"]).await;
    let token = created.split_whitespace().find(|word| word.starts_with("beadle_")).unwrap().to_owned();
    let line = created.lines().find(|line| line.contains("token_sha256")).unwrap().trim().to_owned();
    assert!(!line.contains(&token[7..]), "the hash does not show the token");
    assert_eq!(admin_statuses(&line, None).await, (200, 401, 401));
    assert_eq!(admin_statuses(&line, Some("beadle_0")).await, (200, 401, 401));
    assert_eq!(admin_statuses(&line, Some(&token)).await, (200, 200, 200));
}

#[tokio::test]
async fn admin_address_can_be_switched_off() {
    let mut setup = setup();
    let address = std::mem::replace(&mut setup.admin, "off".into());
    let daemon = setup.start().await;
    assert!(Connection::tcp(&address).await.is_err());
    assert!(setup.cli(&["status"]).await.status.success(), "the socket serves the API");
    daemon.stop().await;
}

#[tokio::test]
async fn requests_without_a_signature_are_refused_before_their_body_arrives() {
    let setup = setup();
    let daemon = setup.start().await;
    for header in ["", "x-hub-signature-256: sha256=00\r\n", "x-hub-signature-256: sha1=0000\r\n"] {
        // The body never comes: an answer shows that nothing waits for it.
        let head = format!("POST {} HTTP/1.1\r\nHost: x\r\n{header}Content-Length: 3000000\r\n\r\n", webhook::PATH);
        let answer = tokio::time::timeout(Duration::from_secs(5), exchange(&setup.http, head.as_bytes())).await;
        assert_eq!(answer.expect("it waits for the body").status, 403, "{header}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn unsigned_requests_cannot_fill_the_log() {
    let setup = setup();
    let daemon = setup.start().await;
    let handshake = format!("{}?hub.mode=subscribe&hub.verify_token=wrong", webhook::PATH);
    for _ in 0..50 {
        assert_eq!(get(&setup.http, &handshake).await.0, 403);
        assert_eq!(post(&setup, "{}", &signature("other")).await, 403);
    }
    let unreadable = format!("\"{}\"", "x".repeat(1 << 20));
    assert_eq!(post(&setup, &unreadable, &signature(&unreadable)).await, 200);
    let log = daemon.program.log();
    assert_eq!(log.matches("handshake rejected").count(), 1, "{log}");
    assert_eq!(log.matches("webhook rejected").count(), 1, "{log}");
    assert!(log.lines().all(|line| line.len() < 1000), "a line is too long");
    daemon.stop().await;
}

/// A sender with the app's secret cannot fill the disk with lines of the log either.
#[tokio::test]
async fn signed_malformed_webhooks_cannot_fill_the_log() {
    let setup = setup();
    let daemon = setup.start().await;
    let (long, now_s) = ("x".repeat(100_000), webhook::unix_time_s());
    let other_number = webhook::text_message("31610000102", "wamid.1", now_s, "hi");
    let kinds = [
        format!("\"{long}\""),
        format!("{{\"object\": \"{long}\", \"entry\": []}}"),
        other_number.replace(webhook::PHONE_NUMBER_ID, &format!("9{long}")),
        other_number.replace("\"id\":\"wamid.1\"", "\"id\":7"),
    ];
    let before = daemon.program.log().len();
    for round in 0..20 {
        for kind in &kinds {
            let body = kind.replace("hi", &format!("hi {round}"));
            assert_eq!(post(&setup, &body, &signature(&body)).await, 200);
        }
    }
    let log = daemon.program.log();
    let lines: Vec<&str> = log[before..].lines().collect();
    assert!((2..=2 * kinds.len()).contains(&lines.len()), "{lines:#?}");
    assert!(lines.iter().all(|line| line.len() < 1000), "{lines:#?}");
    daemon.stop().await;
}

#[tokio::test]
async fn bodies_that_do_not_end_share_a_budget() {
    /// More than the budget of 64 MiB holds.
    const REQUESTS: usize = 40;
    let setup = setup();
    let daemon = setup.start().await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS {
        let header = format!("X-Hub-Signature-256: {}\r\nContent-Length: 3000000\r\n", signature("other"));
        let mut request = format!("POST {} HTTP/1.1\r\nHost: x\r\n{header}\r\n", webhook::PATH).into_bytes();
        request.resize(request.len() + 2_900_000, b'x');
        let address = setup.http.clone();
        waiting.spawn(async move { exchange(&address, &request).await.status });
    }
    // 64 MiB hold twenty-two of them; the others are told to come back before any is given up.
    assert_eq!(waiting.join_next().await.unwrap().unwrap(), 503);
    waiting.shutdown().await;
    drop(waiting);
    send(&setup, "hello").await;
    daemon.stop().await;
}

/// The listeners share no connections: neither keeps the other from answering.
#[tokio::test]
async fn silent_connections_to_the_admin_address_delay_no_webhook() {
    let setup = setup();
    let daemon = setup.start().await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(tokio::net::TcpStream::connect(&setup.admin).await.unwrap());
    }
    let probe = tokio::spawn({
        let admin = setup.admin.clone();
        async move { get(&admin, "/healthz").await.0 }
    });
    send(&setup, "hello").await;
    assert!(!probe.is_finished(), "the admin address accepts no more than 64");
    drop(silent);
    assert_eq!(probe.await.unwrap(), 200);
    daemon.stop().await;
}

#[tokio::test]
async fn webhooks_of_other_products_are_ignored() {
    let setup = setup();
    let daemon = setup.start().await;
    let body = json!({"object": "page", "entry": [{"id": "1", "time": 1, "messaging": [{"message": {"text": "hi"}}]}]});
    let body = body.to_string();
    assert_eq!(post(&setup, &body, &signature(&body)).await, 200);
    assert_eq!(daemon.status_count("dead_letters").await, 0);
    assert!(daemon.list_all("events").await.is_empty());
    let metrics = get(&setup.admin, "/metrics").await.1;
    assert!(metrics.contains("beadle_unrecognized_input_total{kind=\"other-product\"} 1"), "{metrics}");
    daemon.stop().await;
}

#[tokio::test]
async fn data_files_are_private_or_reported() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let setup = setup();
    fs::set_permissions(setup.data(), fs::Permissions::from_mode(0o755)).unwrap();
    let daemon = setup.start().await;
    send(&setup, "hello").await;
    for file in fs::read_dir(setup.data()).unwrap().flatten() {
        assert_eq!(file.metadata().unwrap().mode() & 0o077, 0, "{:?}", file.path());
    }
    assert!(daemon.program.log().contains("data directory is not private"), "{}", daemon.program.log());
    daemon.stop().await;
}

#[test]
fn compiler_process_exits_if_its_input_is_not_a_plugin() {
    let cache = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beadle"));
        command.arg("compile-plugin").arg(cache.path()).stdin(Stdio::piped()).spawn().unwrap()
    };
    let mut child = start();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&3_u64.to_le_bytes()).and_then(|()| input.write_all(b"abc")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    // The daemon died before it had given the whole file.
    let mut child = start();
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// The plugins' files in the data directory.
fn media_files(setup: &Setup) -> usize {
    let folders = fs::read_dir(setup.data().join("media")).into_iter().flatten().flatten();
    folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten()).count()
}

#[tokio::test]
async fn files_of_a_refused_commit_are_deleted() {
    let setup = setup().plugin("gallery", "grant = [\"groups\", \"messages\"]");
    let daemon = setup.start().await;
    let now = webhook::unix_time_s();
    let make = async |n: u32| {
        let body = webhook::text_message(SENDER, &format!("wamid.{n}"), now, "make");
        assert_eq!(post(&setup, &body, &signature(&body)).await, 200);
    };
    make(1).await;
    wait_until("the plugin has made a file", async || (media_files(&setup) == 1).then_some(())).await;
    // Its message waits for the platform, which does not answer.
    daemon.wait_for_status(|status| status["events_open"] == 0).await;
    refuse_created_files(&setup.data()).unwrap();
    make(2).await;
    daemon.wait_for_status(|status| status["dead_letters"] == 1).await;
    assert_eq!(media_files(&setup), 1);
    daemon.stop().await;
}
