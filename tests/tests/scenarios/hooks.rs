//! Hooks of plugins: requests in the schemes of real senders are delivered once; everything else is
//! refused, counted and not stored.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::http::{Connection, Response, request};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::{wait_until, webhook};
use serde_json::Value;

const SECRET: &str = "whsec_of_the_sender";

const HOOKS: &str = r#"
[plugins.caller.secrets]
sender = { file = "hook-secret" }
[[plugins.caller.hooks]]
name = "github"
scheme = "hmac-hex"
secret = "sender"
headers = ["X-GitHub-Event"]
[[plugins.caller.hooks]]
name = "shopify"
scheme = "hmac-base64"
secret = "sender"
id_header = "X-Shopify-Event-Id"
[[plugins.caller.hooks]]
name = "stripe"
scheme = "timestamped"
secret = "sender"
[[plugins.caller.hooks]]
name = "pipedrive"
scheme = "basic"
user = "beadle"
secret = "sender"
max_kib = 1
max_per_minute = 3
"#;

struct World {
    setup: Setup,
    daemon: Daemon,
    simulator: Simulator,
}

impl World {
    async fn new() -> Self {
        let address = SimulatorAddress::reserve();
        let setup = Setup::new(&address.url())
            .plugin("caller", "grant = [\"http\", \"requests\", \"messages\"]\nstage = \"observe\"")
            .toml(UNPACED)
            .clock(&address.clock_url());
        std::fs::write(setup.config().with_file_name("hook-secret"), SECRET).unwrap();
        setup.put_conf("50-hooks", HOOKS);
        let simulator = address.start_virtual(&setup).await;
        let daemon = setup.start().await;
        Self { setup, daemon, simulator }
    }

    /// Calls a hook. `headers` are lines.
    async fn call(&self, path: &str, headers: &[String], body: &[u8]) -> Response {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let mut connection = Connection::tcp(&self.setup.http).await.unwrap();
        connection.exchange(&request("POST", &format!("/hooks/caller/{path}"), &headers, body)).await.unwrap()
    }

    async fn status_of(&self, path: &str, headers: &[String], body: &[u8]) -> u16 {
        self.call(path, headers, body).await.status
    }

    /// A value of the plugin's state.
    async fn state(&self, key: &str) -> Option<String> {
        let rows = self.daemon.get("plugins/caller/state").await;
        let rows = rows["items"].as_array().cloned().unwrap_or_default();
        let row = rows.into_iter().find(|row| text(row, "/key") == key)?;
        Some(text(&row, "/value").to_owned())
    }

    async fn wait_for_state(&self, key: &str, wanted: &str) {
        let goal = format!("`{key}` is {wanted}");
        wait_until(&goal, async || self.state(key).await.filter(|value| value.contains(wanted))).await;
    }

    async fn row(&self, hook: &str) -> Value {
        let row = self.daemon.get("plugins/caller").await;
        let hooks = row["hooks"].as_array().cloned().unwrap_or_default();
        hooks.into_iter().find(|row| text(row, "/path") == format!("/hooks/caller/{hook}")).unwrap_or_default()
    }

    async fn events(&self) -> usize {
        let events = self.daemon.list_all("events").await;
        events.iter().filter(|event| text(event, "/kind") == "webhook").count()
    }
}

/// The signature in hexadecimal.
fn hex(secret: &str, body: &[u8]) -> String {
    webhook::signature(secret, body).trim_start_matches("sha256=").to_owned()
}

fn github(body: &[u8]) -> Vec<String> {
    vec![format!("X-Hub-Signature-256: sha256={}", hex(SECRET, body)), "X-GitHub-Event: push".into()]
}

fn base64_of_hex(hex: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    bytes.chunks(3).fold(String::new(), |mut encoded, chunk| {
        let bits = chunk.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        encoded.extend(
            (0..4).map(|at| if at <= chunk.len() { char::from(DIGITS[bits >> (18 - 6 * at) & 63]) } else { '=' }),
        );
        encoded
    })
}

#[tokio::test]
async fn every_scheme_delivers_a_request_once() {
    let world = World::new().await;
    // GitHub and Meta: raw bytes, chosen headers, the query.
    let body = b"{\"ref\": \"main\\/x\", \"\\u00e4\": 1}";
    assert_eq!(world.status_of("github?topic=push", &github(body), body).await, 200);
    let wanted = "github ?topic=push [content-type: application/json, x-github-event: push] ";
    let wanted = Value::String(format!("{wanted}{}", String::from_utf8_lossy(body))).to_string();
    world.wait_for_state("last hook", &wanted).await;
    // The sender repeats it, also after a crash.
    assert_eq!(world.status_of("github?topic=push", &github(body), body).await, 200);
    let World { setup, daemon, simulator } = world;
    daemon.kill9().await;
    let world = World { daemon: setup.start().await, setup, simulator };
    assert_eq!(world.status_of("github?topic=push", &github(body), body).await, 200);
    world.daemon.wait_until_idle().await;
    assert_eq!(world.state("calls github").await.as_deref(), Some("1"));
    // Without an id: a change that was undone and made again has the same content.
    world.simulator.advance(5 * 60_000).await;
    assert_eq!(world.status_of("github?topic=push", &github(body), body).await, 200);
    world.wait_for_state("calls github", "2").await;

    // Shopify: Base64, and an id by which deliveries differ although their content is the same.
    let shopify = |id: &str| {
        let signature = base64_of_hex(&hex(SECRET, b"[]"));
        vec![format!("X-Shopify-Hmac-SHA256: {signature}"), format!("X-Shopify-Event-Id: {id}")]
    };
    for id in ["a", "b", "a"] {
        assert_eq!(world.status_of("shopify", &shopify(id), b"[]").await, 200);
    }
    world.wait_for_state("calls shopify", "2").await;

    // Stripe: time and body, by the daemon's clock.
    let stripe = |secs: i64, body: &str| {
        vec![format!("Stripe-Signature: t={secs},v1={}", hex(SECRET, format!("{secs}.{body}").as_bytes()))]
    };
    let now_secs = world.simulator.now().await / 1000;
    assert_eq!(world.status_of("stripe", &stripe(now_secs, "{\"id\": 1}"), b"{\"id\": 1}").await, 200);
    // Its repetition has another time.
    assert_eq!(world.status_of("stripe", &stripe(now_secs + 20, "{\"id\": 1}"), b"{\"id\": 1}").await, 200);
    world.wait_for_state("calls stripe", "1").await;
    let late = world.call("stripe", &stripe(now_secs - 400, "{\"id\": 2}"), b"{\"id\": 2}").await;
    assert_eq!(late.status, 403);
    assert!(late.text().starts_with("hook-stale-signature: "), "{}", late.text());

    // Basic authentication.
    let basic = vec!["Authorization: Basic YmVhZGxlOndoc2VjX29mX3RoZV9zZW5kZXI=".to_owned()];
    assert_eq!(world.status_of("pipedrive", &basic, b"{}").await, 200);
    world.wait_for_state("calls pipedrive", "1").await;
    assert_eq!(world.row("pipedrive").await["accepted"], 1);
    let shown = world.setup.cli(&["plugins", "show", "caller"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("/hooks/caller/stripe") && shown.contains("hook-stale-signature"), "{shown}");
    assert!(!shown.contains(SECRET) && !world.daemon.program.output().contains(SECRET));
    world.daemon.stop().await;
}

#[tokio::test]
async fn refused_requests_are_visible_and_not_stored() {
    let world = World::new().await;
    let basic = |password: &str| {
        let encoded = if password == SECRET { "YmVhZGxlOndoc2VjX29mX3RoZV9zZW5kZXI=" } else { "YmVhZGxlOndyb25n" };
        vec![format!("Authorization: Basic {encoded}")]
    };
    let wrong = vec![format!("X-Hub-Signature-256: sha256={}", hex("another secret", b"{}"))];
    let large = vec![b'x'; 2000];
    for (path, headers, body, status, code) in [
        ("github", wrong, &b"{}"[..], 403, "hook-bad-signature"),
        ("github", vec![], b"{}", 403, "hook-no-signature"),
        ("github", vec!["X-Hub-Signature-256: sha1=00".into()], b"{}", 403, "hook-no-signature"),
        ("pipedrive", basic("wrong"), b"{}", 401, "hook-bad-signature"),
        ("pipedrive", basic(SECRET), &large, 413, "hook-too-large"),
        ("nothing", vec![], b"{}", 404, ""),
    ] {
        let answer = world.call(path, &headers, body).await;
        assert_eq!(answer.status, status, "{path} {code}: {}", answer.text());
        assert!(answer.text().starts_with(code), "{path}: {}", answer.text());
    }
    for (number, status) in (1..).zip([200, 200, 200, 429]) {
        assert_eq!(world.status_of("pipedrive", &basic(SECRET), format!("[{number}]").as_bytes()).await, status);
    }
    world.wait_state_and_check().await;
    // The limit is for a minute.
    world.simulator.advance(61_000).await;
    assert_eq!(world.status_of("pipedrive", &basic(SECRET), b"[4]").await, 200);
    world.wait_for_state("calls pipedrive", "4").await;

    // A plugin that was never there, or does not take hooks: the sender keeps the request.
    world.setup.put_conf("60-echo", &HOOKS.replace("plugins.caller", "plugins.nobody"));
    let goal = "the hook exists";
    let deferred = wait_until(goal, async || {
        let mut connection = Connection::tcp(&world.setup.http).await.ok()?;
        let headers = format!("{}\r\n", basic(SECRET)[0]);
        let request = request("POST", "/hooks/nobody/pipedrive", &headers, b"{}");
        connection.exchange(&request).await.ok().filter(|answer| answer.status != 404)
    });
    let deferred = deferred.await;
    assert_eq!((deferred.status, deferred.text().starts_with("hook-no-plugin")), (503, true), "{}", deferred.text());

    // A reload removes a hook, and adds one that needs no restart.
    world.setup.put_conf("50-hooks", &HOOKS.replace("name = \"shopify\"", "name = \"shop\""));
    let is_gone = async || (world.status_of("shopify", &[], b"").await == 404).then_some(());
    wait_until("the hook is gone", is_gone).await;
    assert_eq!(world.status_of("shop", &[], b"").await, 403);
    world.daemon.stop().await;
}

impl World {
    async fn wait_state_and_check(&self) {
        self.wait_for_state("calls pipedrive", "3").await;
        assert_eq!(self.events().await, 3);
        let row = self.row("github").await;
        assert_eq!((row["accepted"].as_u64(), row["refused"].as_u64()), (Some(0), Some(3)), "{row}");
        let status = self.daemon.status().await;
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        for (code, path) in
            [("hook-no-signature", "/hooks/caller/github"), ("hook-rate-limit", "/hooks/caller/pipedrive")]
        {
            let found = problems.iter().find(|problem| text(problem, "/code") == code);
            assert!(found.is_some_and(|problem| text(problem, "/message").contains(path)), "{code}: {status}");
        }
        let metrics = self.daemon.try_get("/metrics").await.unwrap().text();
        for line in ["outcome=\"accepted\"} 3", "outcome=\"rejected\"} 5", "outcome=\"limited\"} 1"] {
            assert!(metrics.contains(&format!("beadle_hook_requests_total{{{line}")), "{line}: {metrics}");
        }
    }
}
