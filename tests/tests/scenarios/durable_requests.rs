//! Durable requests of plugins: sent once the handling is committed, one after another where they
//! have a key, repeated while that may help and does no harm, and answered once each, whatever is
//! killed in between.

use crate::{UNPACED, text};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use beadle_test_support::daemon::{Daemon, Setup};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::{wait_for_count, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};

/// A request that the service received.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Received {
    path: String,
    key: String,
    body: String,
}

/// A service on this machine.
#[derive(Clone)]
struct Service {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    /// Held back requests to `/slow` end with one permit each.
    slow: Arc<Semaphore>,
}

impl Service {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = Self { url, received: Arc::default(), slow: Arc::new(Semaphore::new(0)) };
        let router = Router::new().fallback(answer).with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        service
    }

    async fn bodies(&self) -> Vec<String> {
        self.received.lock().await.iter().map(|received| received.body.clone()).collect()
    }

    async fn wait_for(&self, bodies: &[&str]) {
        let goal = format!("{bodies:?} arrived");
        wait_until(&goal, async || (self.bodies().await == bodies).then_some(())).await;
    }
}

/// `/fails/N` fails N times for each body, `/later/SECONDS` asks once for a pause.
async fn answer(State(service): State<Service>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned()).unwrap_or_default();
    let path = uri.path().to_owned();
    let before = {
        let mut received = service.received.lock().await;
        let before = received.iter().filter(|other| other.body == body).count();
        received.push(Received { path: path.clone(), key, body: body.clone() });
        before
    };
    let (kind, number) = path.trim_start_matches('/').split_once('/').unwrap_or((path.as_str(), "0"));
    match kind {
        "fails" if before < number.parse().unwrap() => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "later" if before == 0 => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, number.to_owned())]).into_response()
        }
        "/slow" => {
            service.slow.acquire().await.unwrap().forget();
            "done".into_response()
        }
        _ => "done".into_response(),
    }
}

struct World {
    setup: Setup,
    simulator: Simulator,
    daemon: Daemon,
    service: Service,
}

const RULES: &str = "[[plugins.caller.egress]]\nurl = \"URL\"\nmethods = [\"GET\", \"POST\", \"PUT\"]\n\
    networks = [\"loopback\"]\n";

impl World {
    /// Virtual time. `rules` stand in `conf.d/50-caller.toml`, with `URL` for that of the service.
    async fn new(rules: &str) -> Self {
        let (address, service) = (SimulatorAddress::reserve(), Service::start().await);
        let setup =
            Setup::new(&address.url()).plugin_as("caller", "caller", "").toml(UNPACED).clock(&address.clock_url());
        let world_rules = Self::rules(rules, &service);
        setup.put_conf("50-caller", &world_rules);
        let simulator = address.start_virtual(&setup).await;
        let daemon = setup.start().await;
        Self { setup, simulator, daemon, service }
    }

    fn rules(rules: &str, service: &Service) -> String {
        let grant = "[plugins.caller]\ngrant = [\"http\", \"requests\", \"messages\"]\n";
        format!("{grant}{}", rules.replace("URL", &service.url))
    }

    /// Ana has the plugin make a request, and it says that it did.
    async fn later(&self, what: &str) {
        let before = self.asked().await;
        self.simulator.say("Ana", &format!("later {}", what.replace("URL", &self.service.url))).await;
        wait_for_count("the plugin has asked", before + 1, async || self.asked().await).await;
    }

    async fn asked(&self) -> u64 {
        self.simulator.texts("Ana").await.iter().filter(|text| *text == "asked").count() as u64
    }

    /// What the plugin has told about outcomes, in the order in which it did.
    async fn outcomes(&self) -> Vec<String> {
        let texts = self.simulator.texts("Ana").await;
        texts.into_iter().filter(|text| text != "asked").collect()
    }

    async fn wait_for_outcomes(&self, outcomes: &[&str]) {
        let goal = format!("{outcomes:?} are known");
        wait_until(&goal, async || (self.outcomes().await == outcomes).then_some(())).await;
    }

    async fn run(&self, words: &[&str]) -> String {
        let output = self.setup.cli(words).await;
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn killed(self) -> Self {
        let Self { setup, simulator, daemon, service } = self;
        daemon.kill9().await;
        Self { daemon: setup.start().await, setup, simulator, service }
    }
}

#[tokio::test]
async fn failures_are_repeated_and_a_key_keeps_the_order() {
    let world = World::new(&format!("{RULES}honours_idempotency_key = true\n")).await;
    world.later("k POST URL/fails/2 first").await;
    world.service.wait_for(&["first"]).await;
    world.later("k POST URL/ok second").await;
    world.later("- POST URL/ok free").await;
    world.wait_for_outcomes(&["- free: 200 done after 1"]).await;
    let listed = world.run(&["requests", "list"]).await;
    for part in ["req_1", "req_2", "caller", "queued", "behind", "POST", "/fails/2"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let shown = world.run(&["requests", "show", "req_1"]).await;
    assert!(shown.contains("503") && shown.contains("status-503") && shown.contains('k'), "{shown}");
    world.simulator.advance(1000).await;
    world.service.wait_for(&["first", "free", "first"]).await;
    world.simulator.advance(2000).await;
    world
        .wait_for_outcomes(&["- free: 200 done after 1", "k first: 200 done after 3", "k second: 200 done after 1"])
        .await;
    let received = world.service.received.lock().await.clone();
    let keys = |body: &str| -> BTreeSet<String> {
        received.iter().filter(|one| one.body == body).map(|one| one.key.clone()).collect()
    };
    assert_eq!((keys("first").len(), keys("second").len()), (1, 1), "the same key in every attempt");
    assert_ne!(keys("first"), keys("second"));
    assert!(world.run(&["requests", "list"]).await.contains("No requests"));
    // A failure that repeating does not mend, and a mistake of the plugin.
    world.later("- GET URL/ok").await;
    world.simulator.say("Ana", "later - GET https://other.example.org/").await;
    let refused = wait_until("it is refused", async || {
        world.outcomes().await.into_iter().find(|text| text.contains("egress-host-not-allowed"))
    });
    assert!(refused.await.contains("[[plugins.caller.egress]]"));
    world.daemon.stop().await;
}

#[tokio::test]
async fn pause_that_the_server_asks_for_is_kept_exactly() {
    let world = World::new(RULES).await;
    world.later("- POST URL/later/120 limited").await;
    world.service.wait_for(&["limited"]).await;
    let is_paused = async || {
        let shown = world.run(&["requests", "show", "req_1"]).await;
        (shown.contains("429") && shown.contains("queued")).then_some(())
    };
    wait_until("the answer is stored", is_paused).await;
    // The whole host waits, also what is asked of it now.
    world.later("- PUT URL/ok other").await;
    world.simulator.advance(119_000).await;
    assert_eq!(world.service.bodies().await, ["limited"]);
    world.simulator.say("Ana", &format!("GET {}/ok", world.service.url)).await;
    let refused = wait_until("a request at once is refused", async || world.outcomes().await.pop());
    assert!(refused.await.contains("TooMany egress-rate-limit"));
    world.simulator.advance(1000).await;
    wait_for_count("both are sent", 3, async || world.service.bodies().await.len() as u64).await;
    wait_for_count("both are answered", 3, async || world.outcomes().await.len() as u64).await;
    let outcomes: BTreeSet<String> = world.outcomes().await.into_iter().collect();
    assert!(outcomes.contains("- limited: 200 done after 2") && outcomes.contains("- other: 200 done after 1"));
    world.daemon.stop().await;
}

#[tokio::test]
async fn rate_of_a_host_is_kept() {
    let world = World::new(&format!("{RULES}rate = {{ requests = 2, per = \"10s\" }}\n")).await;
    for number in 0..4 {
        world.later(&format!("- POST URL/ok {number}")).await;
    }
    wait_for_count("the first is sent", 1, async || world.service.bodies().await.len() as u64).await;
    world.simulator.advance(9000).await;
    assert!(world.service.bodies().await.len() <= 2);
    for _ in 0..3 {
        world.simulator.advance(10_000).await;
    }
    wait_for_count("all are sent", 4, async || world.service.bodies().await.len() as u64).await;
    wait_for_count("all are answered", 4, async || world.outcomes().await.len() as u64).await;
    world.daemon.stop().await;
}

#[tokio::test]
async fn kill_repeats_what_does_no_harm_and_leaves_the_rest_to_the_operator() {
    let world = World::new(RULES).await;
    world.later("- PUT URL/slow put").await;
    world.later("- POST URL/slow post").await;
    wait_for_count("both are in progress", 2, async || world.service.bodies().await.len() as u64).await;
    let world = world.killed().await;
    wait_for_count("the one is repeated", 3, async || world.service.bodies().await.len() as u64).await;
    assert_eq!(world.service.bodies().await.last().unwrap(), "put");
    world.service.slow.add_permits(10);
    let outcomes = ["- post: request-outcome-unknown true after 1", "- put: 200 done after 2"];
    wait_for_count("the plugin knows", 2, async || world.outcomes().await.len() as u64).await;
    assert_eq!(world.outcomes().await.into_iter().collect::<BTreeSet<_>>(), outcomes.map(str::to_owned).into());
    let letters = world.daemon.list_all("dead-letters").await;
    let letter: Vec<&str> = ["/id", "/plugin", "/code"].iter().map(|part| text(&letters[0], part)).collect();
    assert_eq!((letters.len(), letter), (1, vec!["req_2", "caller", "request-outcome-unknown"]));
    let first_key = world.service.received.lock().await.iter().find(|one| one.body == "post").unwrap().key.clone();
    assert!(world.run(&["dead-letters", "retry", "req_2"]).await.contains("sent again"));
    wait_until("it is answered", async || {
        world.outcomes().await.into_iter().find(|text| text == "- post: 200 done after 1")
    })
    .await;
    // The operator asked for another execution.
    let last = world.service.received.lock().await.last().unwrap().clone();
    assert!(last.body == "post" && last.key != first_key, "{last:?}");
    assert_eq!(world.daemon.status_count("dead_letters").await, 0);
    world.daemon.stop().await;
}

#[tokio::test]
async fn request_that_expires_or_is_no_longer_allowed_is_given_up() {
    let world = World::new(&format!("{RULES}honours_idempotency_key = true\n")).await;
    world.later("a/60000 POST URL/fails/99 one").await;
    world.later("a/30000 POST URL/ok behind").await;
    world.service.wait_for(&["one"]).await;
    for _ in 0..12 {
        world.simulator.advance(10_000).await;
    }
    let outcomes = async || {
        let texts = world.outcomes().await;
        (texts.len() == 2).then_some(texts)
    };
    let texts = wait_until("both are given up", outcomes).await;
    assert!(
        texts[0].starts_with("a one: request-expired true after") && texts[1].starts_with("a behind: request-expired")
    );
    assert_eq!(world.daemon.list_all("dead-letters").await.len(), 2);
    assert!(!world.service.bodies().await.contains(&"behind".to_owned()));
    world.run(&["dead-letters", "drop", "req_1", "req_2"]).await;

    world.later("- POST URL/later/60 two").await;
    wait_until("it was sent", async || world.service.bodies().await.contains(&"two".to_owned()).then_some(())).await;
    world.setup.put_conf("50-caller", &World::rules("", &world.service));
    world.daemon.wait_for_status(|status| !crate::has_problems(status)).await;
    wait_until("the rules are gone", async || {
        let shown = world.run(&["plugins", "show", "caller"]).await;
        (!shown.contains(&world.service.url)).then_some(())
    })
    .await;
    world.simulator.advance(60_000).await;
    wait_until("it is given up", async || {
        world.outcomes().await.into_iter().find(|text| text.starts_with("- two: egress-host-not-allowed"))
    })
    .await;
    assert!(world.run(&["requests", "list", "--given-up"]).await.contains("given-up"));
    world.daemon.stop().await;
}

#[tokio::test]
async fn each_is_answered_once_whatever_is_killed() {
    const REQUESTS: usize = 60;
    let mut world = World::new(&format!("{RULES}honours_idempotency_key = true\n")).await;
    for number in 0..REQUESTS {
        world
            .simulator
            .say("Ana", &format!("later k{} POST {}/fails/1 n{number}", number % 7, world.service.url))
            .await;
        if number % 20 == 10 {
            world = world.killed().await;
        }
    }
    // By the plugin's state, which is committed with the handling: a text that was being sent
    // during a kill is held back.
    let outcomes = async |world: &World| -> BTreeMap<String, String> {
        let rows = world.daemon.list_all("plugins/caller/state?prefix=outcome").await;
        rows.iter().map(|row| (text(row, "/key").to_owned(), text(row, "/value").to_owned())).collect()
    };
    for round in 0..200 {
        world.simulator.advance(2000).await;
        if round % 20 == 10 && round < 100 {
            world = world.killed().await;
        }
        if outcomes(&world).await.len() >= REQUESTS {
            break;
        }
    }
    wait_until("all are answered", async || (outcomes(&world).await.len() >= REQUESTS).then_some(())).await;
    let answered = outcomes(&world).await;
    let is_once = |(what, count): (&String, &String)| what.ends_with(": 200 done") && count == "1";
    assert_eq!((answered.len(), answered.iter().all(is_once)), (REQUESTS, true), "{answered:?}");
    let received = world.service.received.lock().await.clone();
    let keys: BTreeSet<(&str, &str)> = received.iter().map(|one| (one.body.as_str(), one.key.as_str())).collect();
    assert_eq!(keys.len(), REQUESTS, "one key for each");
    // Of each key, one is sent after the other, with all its attempts.
    for key in 0..7 {
        let of_key = |body: &&str| body[1..].parse::<usize>().unwrap() % 7 == key;
        let mut bodies: Vec<&str> = received.iter().map(|one| one.body.as_str()).filter(of_key).collect();
        bodies.dedup();
        let different: BTreeSet<&str> = bodies.iter().copied().collect();
        assert_eq!(bodies.len(), different.len(), "{bodies:?}");
    }
    assert_eq!(world.daemon.status_count("dead_letters").await, 0);
    world.daemon.stop().await;
}
