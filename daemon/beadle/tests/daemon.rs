//! The program itself, without a platform and without plugins: listeners, answers, exit codes, tasks.

// Helpers of tests may panic as tests may; `cfg(test)` tells clippy that they are some.
#![cfg(test)]

use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

/// How long anything may take that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

const SECRET: &str = "the app's secret";

struct Daemon {
    folder: tempfile::TempDir,
    http: String,
    admin: String,
    child: Option<Child>,
}

impl Daemon {
    fn new() -> Self {
        let address = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (http, admin) = (address(), address());
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("plugins")).unwrap();
        fs::write(folder.path().join("secret"), SECRET).unwrap();
        let config = format!(
            r#"[daemon]
data_dir = "data"
plugin_dirs = ["plugins"]
[http]
listen = "{http}"
[admin]
listen = "{admin}"
open_api = true
socket = "beadle.sock"
[apps.main]
kind = "whatsapp-cloud"
graph_url = "http://127.0.0.1:9"
access_token = {{ file = "secret" }}
app_secret = {{ file = "secret" }}
verify_token = {{ file = "secret" }}
[channels.shop]
app = "main"
phone_number_id = "1"
"#
        );
        fs::write(folder.path().join("beadle.toml"), config).unwrap();
        Self { folder, http, admin, child: None }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beadle"));
        command.args(words).env("BEADLE_SOCKET", self.folder.path().join("beadle.sock"));
        command
    }

    fn cli(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Starts it and waits until it reports that it is ready. Its log is in `log`.
    fn start(&mut self) {
        let notify = self.folder.path().join("notify");
        let notices = UnixDatagram::bind(&notify).unwrap();
        notices.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut run = self.command(&["run", "--config"]);
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        self.child = Some(run.arg(self.folder.path()).env("NOTIFY_SOCKET", &notify).stderr(log).spawn().unwrap());
        let mut notice = [0; 4096];
        loop {
            let length = notices.recv(&mut notice).expect("the daemon does not become ready");
            if String::from_utf8_lossy(&notice[..length]).contains("READY=1") {
                break;
            }
        }
        fs::remove_file(notify).unwrap();
    }

    async fn post(&self, body: &str, signature: &str) -> u16 {
        let url = format!("http://{}/webhooks/main", self.http);
        let post = client().post(url).header("x-hub-signature-256", signature).body(body.to_owned());
        post.send().await.unwrap().status().as_u16()
    }

    async fn get(&self, address: &str) -> (u16, String) {
        let answer = client().get(format!("http://{address}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.cli(&[words, &["--json"]].concat());
        assert!(output.status.success(), "{words:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Has a task panic.
    async fn kill_task(&self, kind: &str) {
        let socket = self.folder.path().join("beadle.sock");
        let client = client_builder().unix_socket(socket).build().unwrap();
        let url = format!("http://localhost/api/v1/tasks/{kind}/fault/panic");
        assert_eq!(client.post(url).send().await.unwrap().status(), 200, "{kind}");
    }

    /// What `status` shows of a task.
    fn task(&self, kind: &str) -> Value {
        let tasks = self.json(&["status"])["tasks"].as_array().unwrap().clone();
        tasks.into_iter().find(|task| task["name"] == kind).unwrap_or(Value::Null)
    }

    /// Waits until a task was restarted and runs.
    async fn restarted(&self, kind: &str) {
        let restarted = async {
            loop {
                let task = self.task(kind);
                if task["restarts"] == 1 && task["state"] == "running" {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await; // tidy: polls a condition
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, restarted).await;
        in_time.unwrap_or_else(|_| panic!("{kind} was not restarted: {}", self.task(kind)));
        assert_eq!(self.task(kind)["panics"], 1, "{kind}");
    }

    fn end(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn client() -> reqwest::Client {
    client_builder().no_proxy().build().unwrap()
}

/// A builder after the process has a provider of cryptography, which reqwest needs even without TLS.
fn client_builder() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(PATIENCE)
}

fn signed(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

fn message(id: &str, text: &str) -> String {
    let value = serde_json::json!({
        "messaging_product": "whatsapp", // tidy: what a platform posts, written without our types
        "metadata": {"display_phone_number": "1", "phone_number_id": "1"},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": "351912345678"}],
        "messages": [{"from": "351912345678", "id": id, "timestamp": "1790000000", "type": "text", "text": {"body": text}}],
    });
    let changes = serde_json::json!([{"field": "messages", "value": value}]);
    serde_json::json!({"object": "whatsapp_business_account", "entry": [{"id": "2", "changes": changes}]}).to_string()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn webhooks_are_stored_and_shown() {
    let mut daemon = Daemon::new();
    daemon.start();

    let handshake = |token: &str| {
        format!("{}/webhooks/main?hub.mode=subscribe&hub.challenge=77&hub.verify_token={token}", daemon.http)
    };
    assert_eq!(daemon.get(&handshake("the%20app%27s%20secret")).await, (200, "77".into()));
    assert_eq!(daemon.get(&handshake("another")).await.0, 403);

    let body = message("wamid.1", "hello");
    assert_eq!(daemon.post(&body, &signed("something else")).await, 403);
    assert_eq!(daemon.post(&body, "").await, 403);
    assert_eq!(daemon.post(&body, &signed(&body)).await, 200);
    assert_eq!(daemon.post(&body, &signed(&body)).await, 200);
    let large = " ".repeat(4 << 20);
    assert_eq!(daemon.post(&large, &signed(&large)).await, 413);
    assert_eq!(daemon.get(&format!("{}/webhooks/other", daemon.http)).await.0, 404);
    assert_eq!(daemon.get(&format!("{}/api/v1/status", daemon.http)).await.0, 404);

    let events = daemon.json(&["events", "list"]);
    let seen: Vec<_> = events["items"].as_array().unwrap().iter().map(|it| it["summary"].as_str().unwrap()).collect();
    assert_eq!(seen, ["hello", "joined: first-message"]);
    let id = events["items"][0]["id"].as_str().unwrap();
    assert_eq!(daemon.json(&["events", "show", id])["body"]["message"], "wamid.1");
    assert!(stdout(&daemon.cli(&["why", "wamid.1"])).contains("message from con_1 on shop: hello"));
    assert!(stdout(&daemon.cli(&["contacts", "show", "con_1"])).contains("Ana"));
    let tail = daemon.json(&["events", "tail", "--after", "evt_1", "--count", "1"]);
    assert_eq!(tail["summary"], "hello");
    assert_eq!(daemon.end(), Some(0));
}

#[tokio::test]
async fn admin_side_reports_health_to_this_machine_only() {
    let mut daemon = Daemon::new();
    daemon.start();
    let admin = daemon.admin.clone();
    assert_eq!(daemon.get(&format!("{admin}/healthz")).await, (200, "ok\n".into()));
    assert_eq!(daemon.get(&format!("{admin}/readyz")).await, (200, "ready\n".into()));
    let metrics = daemon.get(&format!("{admin}/metrics")).await.1;
    assert!(metrics.contains("beadle_healthy 1") && metrics.ends_with("# EOF\n"), "{metrics}");
    let ask = |path: &str| format!("http://{admin}/api/v1/{path}");
    let status: Value = client().get(ask("status")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&status["phase"], &status["channels"][0]["name"]), (&"running".into(), &"shop".into()));

    let stranger = client().get(ask("contacts")).header("host", "evil.example").send().await.unwrap();
    assert_eq!(stranger.status(), 403);
    let forged =
        client().post(ask("dead-letters/msg_1/drop")).header("origin", "http://evil.example").send().await.unwrap();
    assert_eq!(forged.status(), 403);
    for (path, status, code) in [
        ("dead-letters/msg_1", 404, "not-found"),
        ("dead-letters/x", 400, "bad-request"),
        ("events?kind=party", 400, "bad-request"),
        ("contacts/con_9", 404, "not-found"),
        ("why/wamid.x%2Fy", 404, "not-found"),
        ("nothing", 404, "not-found"),
    ] {
        let answer = client().get(ask(path)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], code, "{path}");
    }
    let dropped = daemon.cli(&["dead-letters", "drop", "msg_1", "hnd_1.1"]);
    assert_eq!(dropped.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&dropped.stderr).matches("error[not-found]").count(), 2, "{dropped:?}");
}

#[test]
fn commands_end_with_documented_exit_codes() {
    let mut daemon = Daemon::new();
    let code = |output: &Output| output.status.code();
    assert_eq!(code(&daemon.cli(&["status"])), Some(3));
    assert_eq!(code(&daemon.cli(&["stats"])), Some(2));
    assert_eq!(code(&daemon.cli(&["explain", "window-closed"])), Some(0));
    assert_eq!(code(&daemon.cli(&["explain", "window-open"])), Some(1));
    let config = daemon.folder.path().join("beadle.toml");
    let check = |daemon: &Daemon| daemon.cli(&["check", "--config", config.to_str().unwrap()]);
    assert_eq!(code(&check(&daemon)), Some(0));

    daemon.start();
    assert_eq!(code(&daemon.cli(&["status"])), Some(0));
    // The socket and the database are one daemon's.
    let again = daemon.cli(&["run", "--config", daemon.folder.path().to_str().unwrap()]);
    assert_eq!(code(&again), Some(1), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("listen-failed"), "{again:?}");
    let other = Daemon::new();
    let shared = fs::read_to_string(other.folder.path().join("beadle.toml")).unwrap();
    let data = format!("data_dir = {:?}", daemon.folder.path().join("data"));
    fs::write(other.folder.path().join("beadle.toml"), shared.replace("data_dir = \"data\"", &data)).unwrap();
    let locked = other.cli(&["run", "--config", other.folder.path().to_str().unwrap()]);
    assert_eq!(code(&locked), Some(1), "{locked:?}");
    assert!(String::from_utf8_lossy(&locked.stderr).contains("store-locked"), "{locked:?}");

    assert_eq!(daemon.end(), Some(0));
    assert!(!Path::new(&daemon.folder.path().join("beadle.sock")).exists());
    fs::write(&config, "[daemon]\ndata = 1\n").unwrap();
    assert_eq!(code(&check(&daemon)), Some(1));
    // A start that can never succeed is not to be tried again and again.
    assert_eq!(code(&daemon.cli(&["run", "--config", config.to_str().unwrap()])), Some(2));
}

#[test]
fn a_killed_daemon_keeps_what_it_stored() {
    let mut daemon = Daemon::new();
    daemon.start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = message("wamid.9", "still here");
    assert_eq!(runtime.block_on(daemon.post(&body, &signed(&body))), 200);
    let mut child = daemon.child.take().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(daemon.cli(&["status"]).status.code(), Some(3));
    daemon.start();
    assert!(stdout(&daemon.cli(&["events", "list"])).contains("still here"));
}

/// A message that was stored, by its text.
async fn send(daemon: &Daemon, text: &str) {
    let body = message(&format!("wamid.{text}"), text);
    assert_eq!(daemon.post(&body, &signed(&body)).await, 200);
}

#[tokio::test]
async fn a_task_that_panics_is_restarted_and_works() {
    let mut daemon = Daemon::new();
    daemon.start();
    let all = daemon.json(&["status"])["tasks"].as_array().unwrap().clone();
    let names: Vec<_> = all.iter().map(|task| task["name"].as_str().unwrap()).collect();
    let shutting_down = ["store-writer", "dispatch", "outbox"];
    for kind in names.iter().filter(|kind| !shutting_down.contains(kind)) {
        daemon.kill_task(kind).await;
        // A commit wakes the threads of the store.
        send(&daemon, kind).await;
        daemon.restarted(kind).await;
        let panicked = |line: &&str| line.contains("panic") && line.contains(&format!("task=\"{kind}\""));
        assert_eq!(daemon.log().lines().filter(panicked).count(), 1, "{kind}");
    }
    let healthy = daemon.get(&format!("{}/healthz", daemon.admin)).await;
    assert_eq!(healthy, (200, "ok\n".into()));
    let metrics = daemon.get(&format!("{}/metrics", daemon.admin)).await.1;
    assert!(metrics.contains("beadle_task_restarts_total{task=\"windows\"} 1"), "{metrics}");
    assert!(metrics.contains("beadle_task_healthy{task=\"windows\"} 1"), "{metrics}");
    // What the restarted tasks are for.
    let config = daemon.folder.path().join("beadle.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[windows]\nexpiring_before = [\"1h\"]\n")).unwrap();
    let reloaded = async {
        while !daemon.log().contains("configuration reloaded") {
            tokio::time::sleep(Duration::from_millis(20)).await; // tidy: polls a condition
        }
    };
    tokio::time::timeout(PATIENCE, reloaded).await.expect("the configuration is not reloaded");
    assert_eq!(daemon.end(), Some(0));
}

#[tokio::test]
async fn a_task_that_cannot_be_restarted_shuts_the_daemon_down() {
    for kind in ["store-writer", "dispatch", "outbox"] {
        let mut daemon = Daemon::new();
        daemon.start();
        send(&daemon, "before").await;
        daemon.kill_task(kind).await;
        let body = message("wamid.after", "after");
        // Wakes the writer; whether it is stored does not matter, since the platform sends it again.
        let url = format!("http://{}/webhooks/main", daemon.http);
        let _ = client().post(url).header("x-hub-signature-256", signed(&body)).body(body).send().await;
        let code = daemon.child.take().unwrap().wait().unwrap().code();
        assert_eq!(code, Some(1), "{kind}");
        let log = daemon.log();
        assert!(log.contains(&format!("task failed, shutting down task={kind}")), "{log}");
        assert!(log.contains("daemon failed code=\"task-failed\""), "{log}");
        daemon.start();
        assert!(stdout(&daemon.cli(&["events", "list"])).contains("before"), "{kind}");
    }
}

#[tokio::test]
async fn a_silent_task_is_reported_everywhere() {
    let mut daemon = Daemon::new();
    daemon.start();
    let socket = daemon.folder.path().join("beadle.sock");
    let client = client_builder().unix_socket(socket).build().unwrap();
    let url = "http://localhost/api/v1/tasks/dispatch/fault/silence";
    assert_eq!(client.post(url).send().await.unwrap().status(), 200);
    let stuck = async {
        while daemon.get(&format!("{}/healthz", daemon.admin)).await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(200)).await; // tidy: polls a condition
        }
    };
    tokio::time::timeout(PATIENCE, stuck).await.expect("the silence is not noticed");
    let (status, text) = daemon.get(&format!("{}/healthz", daemon.admin)).await;
    assert!(status == 503 && text.starts_with("task-stuck: task `dispatch` has made no progress for"), "{text}");
    let (status, text) = daemon.get(&format!("{}/readyz", daemon.admin)).await;
    assert!(status == 503 && text.starts_with("not ready\ntask-stuck: "), "{text}");
    let metrics = daemon.get(&format!("{}/metrics", daemon.admin)).await.1;
    assert!(metrics.contains("beadle_task_healthy{task=\"dispatch\"} 0"), "{metrics}");
    assert!(stdout(&daemon.cli(&["status"])).contains("task `dispatch`"));
}

#[test]
fn the_unit_file_is_valid_and_restrictive() {
    let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/beadle.service")).unwrap();
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

/// The API of `[admin] listen` with the given lines in place of `open_api = true`.
async fn admin_status(lines: &str, token: Option<&str>) -> (u16, u16, u16) {
    let mut daemon = Daemon::new();
    let config = daemon.folder.path().join("beadle.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("open_api = true", lines)).unwrap();
    daemon.start();
    let get = |path: &str| {
        let request = client().get(format!("http://{}{path}", daemon.admin));
        let request = token.iter().fold(request, |request, token| request.bearer_auth(token));
        async { request.send().await.unwrap().status().as_u16() }
    };
    (get("/healthz").await, get("/api/v1/status").await, get("/api/v1/clock").await)
}

#[tokio::test]
async fn the_admin_address_serves_health_only_unless_it_is_opened() {
    assert_eq!(admin_status("", None).await, (200, 401, 401));
    assert_eq!(admin_status("open_api = true", None).await, (200, 200, 200));
    let created = stdout(&Daemon::new().cli(&["token"]));
    let token = created.split_whitespace().find(|word| word.starts_with("beadle_")).unwrap().to_owned();
    let line = created.lines().find(|line| line.contains("token_sha256")).unwrap().trim().to_owned();
    assert!(!line.contains(&token[7..]), "the hash does not show the token");
    assert_eq!(admin_status(&line, None).await, (200, 401, 401));
    assert_eq!(admin_status(&line, Some("beadle_0")).await, (200, 401, 401));
    assert_eq!(admin_status(&line, Some(&token)).await, (200, 200, 200));
}

#[tokio::test]
async fn the_admin_address_can_be_switched_off() {
    let mut daemon = Daemon::new();
    let config = daemon.folder.path().join("beadle.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&daemon.admin, "off")).unwrap();
    daemon.start();
    assert!(client().get(format!("http://{}/healthz", daemon.admin)).send().await.is_err());
    assert!(daemon.cli(&["status"]).status.success(), "the socket serves the API");
}

#[tokio::test]
async fn requests_without_a_signature_are_refused_before_their_body_arrives() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut daemon = Daemon::new();
    daemon.start();
    for header in ["", "x-hub-signature-256: sha256=00\r\n", "x-hub-signature-256: sha1=0000\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(&daemon.http).await.unwrap();
        let head = format!("POST /webhooks/main HTTP/1.1\r\nhost: x\r\n{header}content-length: 3000000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await;
        read.expect("it waits for the body").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 403", "{header}");
    }
}

#[tokio::test]
async fn unsigned_requests_cannot_fill_the_log() {
    let mut daemon = Daemon::new();
    daemon.start();
    let handshake = format!("{}/webhooks/main?hub.mode=subscribe&hub.verify_token=wrong", daemon.http);
    for _ in 0..50 {
        assert_eq!(daemon.get(&handshake).await.0, 403);
        assert_eq!(daemon.post("{}", &signed("other")).await, 403);
    }
    let senseless = format!("\"{}\"", "x".repeat(1 << 20));
    assert_eq!(daemon.post(&senseless, &signed(&senseless)).await, 200);
    let log = daemon.log();
    assert_eq!(log.matches("handshake rejected").count(), 1, "{log}");
    assert_eq!(log.matches("webhook rejected").count(), 1, "{log}");
    assert!(log.lines().all(|line| line.len() < 1000), "a line is too long");
}

#[tokio::test]
async fn webhooks_of_other_products_are_ignored() {
    let mut daemon = Daemon::new();
    daemon.start();
    let body = r#"{"object":"page","entry":[{"id":"1","time":1,"messaging":[{"message":{"text":"hi"}}]}]}"#;
    assert_eq!(daemon.post(body, &signed(body)).await, 200);
    assert_eq!(daemon.json(&["status"])["dead_letters"], 0);
    assert!(daemon.json(&["events", "list"])["items"].as_array().unwrap().is_empty());
    let metrics = daemon.get(&format!("{}/metrics", daemon.admin)).await.1;
    assert!(metrics.contains("beadle_unrecognized_input_total{kind=\"other-product\"} 1"), "{metrics}");
}

#[tokio::test]
async fn data_files_are_private_or_reported() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let mut daemon = Daemon::new();
    let data = daemon.folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    daemon.start();
    send(&daemon, "hello").await;
    for file in fs::read_dir(&data).unwrap().flatten() {
        assert_eq!(file.metadata().unwrap().mode() & 0o077, 0, "{:?}", file.path());
    }
    assert!(daemon.log().contains("data directory is not private"), "{}", daemon.log());
}

#[test]
fn compiler_process_exits_if_its_input_is_not_a_plugin() {
    let cache = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beadle"));
        command.arg("compile-plugin").arg(cache.path()).stdin(std::process::Stdio::piped()).spawn().unwrap()
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
