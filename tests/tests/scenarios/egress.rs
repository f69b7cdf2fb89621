//! Requests of plugins: what the operator allowed is answered, everything else is refused with the
//! lines that would allow it; secrets go out and never come back; a slow server delays nobody else.

use crate::{UNPACED, text};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::wait_until;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{Mutex, Semaphore};

/// With what a URL, Base64, percent-encoding and JSON write in another way.
const SECRET: &str = "s3cr3t-/+\"of~the operator&";

/// A service on this machine.
#[derive(Clone)]
struct Service {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// Heads and bodies of all requests.
    received: Mutex<Vec<(String, HeaderMap, String)>>,
    /// Held back requests to `/slow` end with one permit each.
    slow: Semaphore,
    /// Access tokens that were issued.
    tokens: AtomicU64,
}

impl Service {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { received: Mutex::default(), slow: Semaphore::new(0), tokens: AtomicU64::new(0) };
        let service = Self { url, shared: Arc::new(shared) };
        let router = Router::new().fallback(answer).with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        service
    }

    async fn received(&self) -> Vec<(String, HeaderMap, String)> {
        self.shared.received.lock().await.clone()
    }

    /// Waits until this many requests were received.
    async fn wait_for(&self, count: usize) {
        let goal = format!("{count} requests arrived");
        wait_until(&goal, async || (self.received().await.len() >= count).then_some(())).await;
    }
}

async fn answer(State(service): State<Service>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    let line = format!("{method} {uri}");
    service.shared.received.lock().await.push((line.clone(), headers.clone(), body.clone()));
    match uri.path() {
        "/hello" => "hello".into_response(),
        "/slow" => {
            service.shared.slow.acquire().await.unwrap().forget();
            "slow".into_response()
        }
        "/large" => vec![b'x'; 3 << 20].into_response(),
        "/echo" => echo(&line, &headers, &body),
        "/token" => {
            let number = service.shared.tokens.fetch_add(1, Relaxed) + 1;
            let token = serde_json::json!({
                "access_token": format!("access-token-{number}"), "token_type": "Bearer", "expires_in": 3600,
                "refresh_token": format!("refresh-token-{number}"),
            });
            token.to_string().into_response()
        }
        "/api" => {
            let token = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let wanted = format!("Bearer access-token-{}", service.shared.tokens.load(Relaxed));
            if token == wanted { "api".into_response() } else { StatusCode::UNAUTHORIZED.into_response() }
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Gives back everything that it received, in header and body, in several encodings.
fn echo(line: &str, headers: &HeaderMap, body: &str) -> Response {
    let key = headers.get("x-key").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut all = format!("{line} {headers:?} {body} {key} ");
    let json = Value::String(key.clone()).to_string();
    let percent = key.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    });
    let _ = write!(all, "{json} {percent} {} {}", hex(&key), base64(&key));
    let mut answer = all.into_response();
    answer.headers_mut().insert("x-key-echoed", key.parse().unwrap());
    answer.headers_mut().insert("x-key-base64", base64(&key).parse().unwrap());
    *answer.status_mut() = StatusCode::IM_A_TEAPOT;
    answer
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes().chunks(3).fold(String::new(), |mut encoded, chunk| {
        let bits = chunk.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        let digits =
            (0..4).map(|at| if at <= chunk.len() { char::from(DIGITS[bits >> (18 - 6 * at) & 63]) } else { '=' });
        encoded.extend(digits);
        encoded
    })
}

struct World {
    setup: Setup,
    simulator: Simulator,
    daemon: Daemon,
    service: Service,
}

/// The table of the plugin, without its rules.
const CALLER: &str = "[plugins.caller]\ngrant = [\"http\", \"requests\", \"messages\"]\n";

impl World {
    /// `rules` are further lines of `conf.d/50-caller.toml`, in which `URL` stands for the
    /// service's.
    async fn new(rules: &str) -> Self {
        let (address, service) = (SimulatorAddress::reserve(), Service::start().await);
        let setup =
            Setup::new(&address.url()).plugin_as("caller", "caller", "").plugin("echo", "order = 10").toml(UNPACED);
        std::fs::write(setup.config().with_file_name("crm-secret"), SECRET).unwrap();
        std::fs::write(setup.config().with_file_name("refresh-token"), "refresh-token-0").unwrap();
        let world_rules = format!("{CALLER}{}", rules.replace("URL", &service.url));
        setup.put_conf("50-caller", &world_rules);
        let daemon = setup.start().await;
        let simulator = address.start(&setup).await;
        Self { setup, simulator, daemon, service }
    }

    fn put_rules(&self, rules: &str) {
        self.setup.put_conf("50-caller", &format!("{CALLER}{}", rules.replace("URL", &self.service.url)));
    }

    /// What the plugin answers.
    async fn ask(&self, person: &str, command: &str) -> String {
        let before = self.simulator.texts(person).await.len();
        self.simulator.say(person, &command.replace("URL", &self.service.url)).await;
        let goal = format!("{command} is answered");
        wait_until(&goal, async || self.simulator.texts(person).await.get(before).cloned()).await
    }

    async fn run(&self, words: &[&str]) -> String {
        let output = self.setup.cli(words).await;
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn problem(&self, code: &str) -> String {
        let goal = format!("the status lists {code}");
        let found = wait_until(&goal, async || {
            let status = self.daemon.status().await;
            let problems = status["problems"].as_array().cloned().unwrap_or_default();
            problems.into_iter().find(|problem| text(problem, "/code") == code)
        });
        text(&found.await, "/message").to_owned()
    }
}

const LOOPBACK: &str = "[[plugins.caller.egress]]\nurl = \"URL\"\nnetworks = [\"loopback\"]\n";

#[tokio::test]
async fn allowed_request_is_answered_and_others_are_refused_with_the_lines_to_add() {
    let world = World::new(LOOPBACK).await;
    assert_eq!(world.ask("Ana", "GET URL/hello").await, "200 hello");
    // A status is an answer, not an error.
    assert_eq!(world.ask("Ana", "GET URL/nothing").await, "404 ");
    for (command, parts) in [
        (
            "GET https://crm.example.org/v3/people",
            ["NotAllowed egress-host-not-allowed", "url = \"https://crm.example.org\"", "[[plugins.caller.egress]]"],
        ),
        (
            "POST URL/hello text",
            ["NotAllowed egress-method-not-allowed", "methods = [\"GET\", \"HEAD\", \"POST\"]", "URL"],
        ),
        ("GET http://127.0.0.1:1/hello", ["egress-port-not-allowed", "url = \"http://127.0.0.1:1", "methods"]),
        ("GET http://169.254.169.254/latest", ["egress-host-not-allowed", "169.254.169.254", "methods"]),
        ("GET ftp://crm.example.org/", ["InvalidRequest egress-scheme-unknown", "`ftp`", "HTTP"]),
        ("GET URL/large", ["TooLarge egress-response-too-large", "1048576", "body"]),
        ("GET/300 URL/slow", ["TimedOut egress-timeout", "300 ms", "response"]),
    ] {
        let reply = world.ask("Ana", command).await;
        for part in parts {
            assert!(reply.contains(&part.replace("URL", &world.service.url)), "{command}: {part}: {reply}");
        }
    }
    // The operator sees it too: in the log, the status, and the view of the plugin. Without the
    // path.
    let logged = world.daemon.program.output();
    let line = logged.lines().find(|line| line.contains("egress-host-not-allowed") && line.contains("crm.example.org"));
    assert!(line.is_some_and(|line| line.contains("WARN") && line.contains("[[plugins.caller.egress]]")), "{logged}");
    assert!(!logged.contains("/v3/people"), "{logged}");
    world.ask("Ana", "GET https://crm.example.org/v3/people").await;
    let message = world.problem("egress-host-not-allowed").await;
    assert!(message.contains("url = \"https://crm.example.org\"") && !message.contains("people"), "{message}");
    let shown = world.run(&["plugins", "show", "caller"]).await;
    for part in
        [&world.service.url, "GET, HEAD", "loopback", "1 2xx", "1 4xx", "1 egress-timeout", "last refused request"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let metrics = world.daemon.try_get("/metrics").await.unwrap().text();
    assert!(metrics.contains("beadle_plugin_requests_total{outcome=\"egress-host-not-allowed\"} 3"), "{metrics}");
    // The network of an allowed host is checked, too.
    world.put_rules("[[plugins.caller.egress]]\nurl = \"URL\"\n");
    let reply = wait_until("the network is refused", async || {
        Some(world.ask("Ana", "GET URL/hello").await).filter(|reply| reply.contains("egress-network-not-allowed"))
    });
    assert!(reply.await.contains("networks = [\"loopback\"]"));
    world.daemon.stop().await;
}

#[tokio::test]
async fn reload_adds_and_removes_a_rule() {
    let world = World::new("").await;
    assert!(world.ask("Ana", "GET URL/hello").await.contains("egress-host-not-allowed"));
    world.put_rules(LOOPBACK);
    let is = |wanted: &'static str| {
        let world = &world;
        async move || Some(world.ask("Ana", "GET URL/hello").await).filter(|reply| reply.contains(wanted))
    };
    wait_until("the rule is in effect", is("200 hello")).await;
    let status = world.daemon.wait_for_status(|status| !crate::has_problems(status)).await;
    // The plugin was not loaded again: it has no new revision on probation.
    assert_eq!(text(&status, "/plugins/0/name"), "caller");
    assert_eq!(text(&status, "/plugins/0/state"), "active");
    // An entry that cannot be used changes nothing.
    world.put_rules("[[plugins.caller.egress]]\nurl = \"URL\"\nnetworks = [\"loopbakc\"]\n");
    assert!(world.problem("config-value").await.contains("50-caller.toml:5"));
    assert_eq!(world.ask("Ana", "GET URL/hello").await, "200 hello");
    world.put_rules("");
    wait_until("the rule is gone", is("egress-host-not-allowed")).await;
    // Settings of the client need a restart.
    world.setup.put_conf("60-egress", "[egress]\nper_plugin = 2");
    assert!(world.problem("restart-required").await.contains("egress.per_plugin"));
    world.daemon.stop().await;
}

#[tokio::test]
async fn plugin_cannot_read_a_secret_back() {
    let rules = "[[plugins.caller.egress]]\nurl = \"URL\"\nnetworks = [\"loopback\"]\nmethods = [\"GET\"]\n\
        header = { name = \"X-Key\", secret = \"crm\" }\nquery = { name = \"key\", secret = \"crm\" }\n\
        basic_auth = { user = \"beadle\", secret = \"crm\" }\n\
        [plugins.caller.secrets]\ncrm = { file = \"crm-secret\" }\n";
    let world = World::new(rules).await;
    assert_eq!(world.ask("Ana", "has crm").await, "crm: true");
    assert_eq!(world.ask("Ana", "has other").await, "other: false");
    let mut surfaces = world.ask("Ana", "leak URL/echo?q=1").await;
    // The service got it, in all three places.
    let (line, headers, _) = world.service.received().await.remove(0);
    assert_eq!(headers.get("x-key").and_then(|value| value.to_str().ok()), Some(SECRET));
    let basic = base64(&format!("beadle:{SECRET}"));
    assert_eq!(headers.get("authorization").and_then(|value| value.to_str().ok()), Some(&*format!("Basic {basic}")));
    assert!(line.contains("key=s3cr3t-"), "{line}");
    // The plugin got the answer, without it.
    assert!(surfaces.contains("***") && surfaces.contains("x-key-echoed"), "{surfaces}");
    // It fails with everything that it knows as the reason, too.
    world.simulator.say("Bram", &format!("fail {}/echo", world.service.url)).await;
    wait_until("there is a dead letter", async || world.daemon.list_all("dead-letters").await.pop()).await;
    for path in ["status", "plugins/caller", "plugins/caller/state", "dead-letters", "events", "outbox", "config"] {
        surfaces.push_str(&world.daemon.get(path).await.to_string());
    }
    assert!(surfaces.contains("leaked"), "the plugin has stored what it got");
    for event in world.daemon.list_all("events").await {
        surfaces.push_str(&world.run(&["why", text(&event, "/id")]).await);
        surfaces.push_str(&world.run(&["events", "show", text(&event, "/id")]).await);
    }
    surfaces.push_str(&world.run(&["plugins", "show", "caller"]).await);
    surfaces.push_str(&world.run(&["contacts", "export", "con_1"]).await);
    surfaces.push_str(&world.daemon.try_get("/metrics").await.unwrap().text());
    surfaces.push_str(&world.daemon.program.output());
    let data = world.setup.data();
    world.daemon.stop().await;
    for file in ["beadle.db", "beadle.db-wal"] {
        surfaces.push_str(&String::from_utf8_lossy(&std::fs::read(data.join(file)).unwrap_or_default()));
    }
    let json = Value::String(SECRET.to_owned()).to_string();
    let forms = [SECRET, json.trim_matches('"'), &base64(SECRET), &hex(SECRET), &basic, "s3cr3t-", "s3cr3t%2D"];
    for form in forms {
        assert!(!surfaces.contains(form), "`{form}` is visible");
    }
}

#[tokio::test]
async fn rotated_refresh_token_survives_a_crash_and_is_replaced_by_the_operator() {
    let rules = "[[plugins.caller.egress]]\nurl = \"URL/api\"\nnetworks = [\"loopback\"]\n\
        header = { name = \"Authorization\", value = \"Bearer {secret}\", secret = \"crm\" }\n\
        [plugins.caller.secrets.crm]\ntoken_url = \"URL/token\"\nnetworks = [\"loopback\"]\nclient_id = \"beadle\"\n\
        refresh_token = { file = \"refresh-token\" }\nclient_auth = \"body\"\n";
    let world = World::new(rules).await;
    assert_eq!(world.ask("Ana", "GET URL/api").await, "200 api");
    assert_eq!(world.ask("Ana", "GET URL/api").await, "200 api");
    let tokens = async |world: &World| {
        let received = world.service.received().await;
        let asked = received.into_iter().filter(|(line, ..)| line == "POST /token");
        asked.map(|(_, _, body)| body.split('&').nth(1).unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tokens(&world).await, ["refresh_token=refresh-token-0"]);
    let shown = world.run(&["plugins", "show", "caller"]).await;
    assert!(shown.contains("access-token") && shown.contains("expires 2") && !shown.contains("token-1"), "{shown}");
    let World { setup, simulator, daemon, service } = world;
    daemon.kill9().await;
    let world = World { daemon: setup.start().await, setup, simulator, service };
    assert_eq!(world.ask("Ana", "GET URL/api").await, "200 api");
    assert_eq!(tokens(&world).await[1..], ["refresh_token=refresh-token-1"]);
    // The operator logs in again: the stored token is no longer used.
    std::fs::write(world.setup.config().with_file_name("refresh-token"), "refresh-token-new").unwrap();
    world.put_rules(&format!("{rules}scope = \"contacts\"\n"));
    let goal = "the new refresh token is used";
    wait_until(goal, async || {
        world.ask("Ana", "GET URL/api").await;
        tokens(&world).await.contains(&"refresh_token=refresh-token-new".to_owned()).then_some(())
    })
    .await;
    world.daemon.stop().await;
}

#[tokio::test]
async fn slow_server_delays_no_other_conversation() {
    let patient = "[egress]\nresponse_timeout = \"5m\"\ntimeout = \"10m\"\n";
    let world = World::new(&format!("limits = {{ wall_ms = 600000 }}\n{LOOPBACK}{patient}")).await;
    let people: Vec<String> = (0..8).map(|number| format!("Slow{number}")).collect();
    for (number, name) in people.iter().enumerate() {
        world.simulator.add_person(name, &format!("3161000000{number}")).await;
        world.simulator.say(name, &format!("GET {}/slow", world.service.url)).await;
    }
    // Four are sent at a time; the others wait for them. All hold a conversation, none holds a
    // permit.
    world.service.wait_for(4).await;
    for round in 0..20 {
        for (command, reply) in [("GET URL/hello", None), ("has crm", Some("crm: false")), ("hi", Some("hi"))] {
            let command = if command == "hi" { format!("hi {round}") } else { command.to_owned() };
            let answer = world.ask("Ana", &command).await;
            match reply {
                Some("hi") => assert_eq!(answer, command),
                Some(reply) => assert_eq!(answer, reply),
                // More calls must not wait; the plugin is told at once.
                None => assert!(answer.contains("TooMany http-too-many-waiting"), "{answer}"),
            }
        }
    }
    // The slow server has not answered for the whole time.
    assert!(world.simulator.texts("Slow0").await.is_empty());
    world.service.shared.slow.add_permits(people.len());
    for name in &people {
        world.simulator.expect_texts(name, &["200 slow"]).await;
    }
    assert_eq!(world.ask("Ana", "GET URL/hello").await, "200 hello");
    world.daemon.stop().await;
}

/// Libraries of other languages use `wasi:http`.
#[tokio::test]
async fn requests_of_wasi_http_pass_the_same_policy() {
    let (address, service) = (SimulatorAddress::reserve(), Service::start().await);
    let rules = format!(
        "[[plugins.fetcher.egress]]\nurl = \"{0}/hello\"\nnetworks = [\"loopback\"]\n\
         [[plugins.fetcher.egress]]\nurl = \"{0}/echo\"\nnetworks = [\"loopback\"]\n\
         header = {{ name = \"X-Key\", secret = \"crm\" }}\n[plugins.fetcher.secrets]\ncrm = {{ file = \"crm-secret\" }}",
        service.url
    );
    let setup = Setup::new(&address.url()).plugin("fetcher", "").toml(UNPACED).toml(&rules);
    std::fs::write(setup.config().with_file_name("crm-secret"), SECRET).unwrap();
    let daemon = setup.start().await;
    let simulator = address.start(&setup).await;
    let world = World { setup, simulator, daemon, service };
    assert_eq!(world.ask("Ana", "FETCH URL/hello").await, "200 hello");
    let denied = world.ask("Ana", "FETCH URL/other").await;
    assert!(denied.contains("InternalError") && denied.contains("egress-path-not-allowed"), "{denied}");
    let denied = world.ask("Ana", "FETCH https://crm.example.org/people").await;
    assert!(denied.contains("[[plugins.fetcher.egress]]"), "{denied}");
    let echoed = world.ask("Ana", "FETCH URL/echo").await;
    assert!(echoed.starts_with("418 ") && echoed.contains("***") && !echoed.contains("s3cr3t"), "{echoed}");
    assert_eq!(world.ask("Ana", "FETCH URL/hello").await, "200 hello");
    world.problem("egress-host-not-allowed").await;
    world.daemon.stop().await;
}
