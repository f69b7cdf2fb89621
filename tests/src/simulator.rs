//! The simulator as scenarios use it: a local WhatsApp with people who write, and faults on demand.

use crate::daemon::{Setup, free_address};
use crate::http::{Connection, request};
use crate::program::{self, Program};
use crate::{meta, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::process::Command;

/// A running simulator.
pub struct Simulator {
    /// The process.
    pub program: Program,
    address: String,
}

/// Where a simulator will listen: the daemon's configuration needs it before the simulator runs, and the simulator the
/// daemon's address.
pub struct Place(String);

impl Place {
    /// A free one.
    #[expect(clippy::new_without_default, reason = "it takes a port of the machine: that is not a default")]
    pub fn new() -> Self {
        Self(free_address())
    }

    /// Base of the Graph API.
    pub fn url(&self) -> String {
        format!("http://{}", self.0)
    }

    /// What the daemon follows with `--clock`.
    pub fn clock_url(&self) -> String {
        format!("http://{}/control/clock", self.0)
    }

    /// A simulator on the machine's time.
    pub async fn start(self, setup: &Setup) -> Simulator {
        Simulator::start(self, setup, &[]).await
    }

    /// A simulator on a time of its own, which stands still until it is turned.
    pub async fn start_virtual(self, setup: &Setup) -> Simulator {
        Simulator::start(self, setup, &["--clock", "virtual"]).await
    }
}

impl Simulator {
    async fn start(place: Place, setup: &Setup, more: &[&str]) -> Self {
        let mut command = Command::new(program::built("beadle-simulator"));
        command.args(["--listen", &place.0, "--callback", &setup.callback()]);
        command.args(["--app-secret", meta::APP_SECRET, "--verify-token", meta::VERIFY_TOKEN]);
        command.args(["--access-token", meta::ACCESS_TOKEN, "--phone-number-id", meta::PHONE_NUMBER_ID]);
        command.args(["--business-account-id", meta::BUSINESS_ID]).args(more);
        let mut program = Program::start(&mut command);
        program.line(|line| line.starts_with("listening ").then_some(())).await;
        let simulator = Self { program, address: place.0 };
        // A platform repeats for days; a scenario has a minute.
        simulator.faults(json!({ "retry_first_ms": 50, "retry_most_ms": 400 })).await;
        simulator
    }

    /// The one that `program` started, by the address of its page.
    pub fn at(program: Program, page: &str) -> Self {
        Self { program, address: page.trim_start_matches("http://").trim_end_matches('/').into() }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let exchange = async {
            let mut connection = Connection::tcp(&self.address).await?;
            connection.exchange(&request(method, path, "", &body)).await
        };
        let answer = exchange.await.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.program.said()));
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks its control API anything.
    pub async fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/control/{path}"), body).await
    }

    /// A file of a person's, to say `message` with; its id.
    pub async fn file(&self, mime_type: &str, bytes: &[u8]) -> String {
        let exchange = async {
            let mut connection = Connection::tcp(&self.address).await?;
            let head = format!(
                "POST /control/media HTTP/1.1\r\nHost: localhost\r\nContent-Type: {mime_type}\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            );
            connection.exchange(&[head.as_bytes(), bytes].concat()).await
        };
        let answer = exchange.await.unwrap_or_else(|error| panic!("a file: {error}\n{}", self.program.said()));
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let id = told.get("id").and_then(Value::as_str).map(String::from);
        id.unwrap_or_else(|| panic!("a file: {} {}", answer.status, answer.text()))
    }

    /// They say a message of any type, as the platform writes it.
    pub async fn say_any(&self, from: &str, message: Value) -> Value {
        let from = self.id(from).await;
        self.ask("POST", "/control/say", &json!({ "from": from, "message": message })).await
    }

    /// The simulator's id of who has this name.
    pub async fn id_of(&self, name: &str) -> String {
        self.id(name).await
    }

    /// Somebody new with this number.
    pub async fn person(&self, name: &str, number: &str) {
        self.ask("POST", "/control/people", &json!({ "name": name, "number": number })).await;
    }

    /// The simulator's id of who has this name.
    async fn id(&self, name: &str) -> String {
        let answer = self.ask("GET", "/control/people", &Value::Null).await;
        let people = answer.get("people").and_then(Value::as_array).cloned().unwrap_or_default();
        let person = people.iter().find(|person| person.get("name").and_then(Value::as_str) == Some(name));
        let id = person.and_then(|person| person.get("id")).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("nobody is called {name}")).to_owned()
    }

    async fn speak(&self, name: &str, what: &str, value: &str) -> Value {
        let from = self.id(name).await;
        self.ask("POST", "/control/say", &json!({ "from": from, what: value })).await
    }

    /// They write a text; what the platform makes of it.
    pub async fn say(&self, from: &str, text: &str) -> Value {
        self.speak(from, "text", text).await
    }

    /// They tap a button or choose a row, by its id.
    pub async fn tap(&self, from: &str, id: &str) -> Value {
        self.speak(from, "tap", id).await
    }

    /// So many people say `{text} {n}`, n from 0, in turn; so many a second, 0 is as fast as it goes.
    pub async fn flood(&self, people: u64, count: u64, rate: f64, text: &str) {
        let flood = json!({ "people": people, "count": count, "rate": rate, "text": text });
        self.ask("POST", "/control/flood", &flood).await;
    }

    /// Sets these faults and settings.
    pub async fn faults(&self, faults: Value) {
        self.ask("POST", "/control/faults", &faults).await;
    }

    /// Moves its civil time on, from due moment to due moment.
    pub async fn advance(&self, ms: i64) {
        self.ask("POST", "/control/clock", &json!({ "advance_ms": ms })).await;
    }

    /// Its civil time.
    pub async fn now(&self) -> i64 {
        let face = self.control("GET", "clock", &Value::Null).await;
        face.get("now_ms").and_then(Value::as_i64).unwrap_or_default()
    }

    /// Waits until no webhook is on its way or waits to be repeated.
    pub async fn delivered(&self) {
        self.idle("/control/idle?wait_ms=5000&drained=true", &["open", "waiting"]).await;
    }

    /// Waits until no webhook is on its way; some may wait for civil time.
    pub async fn delivered_now(&self) {
        self.idle("/control/idle?wait_ms=5000", &["open"]).await;
    }

    async fn idle(&self, path: &str, zero: &[&str]) {
        until("the simulator has delivered everything", async || {
            let load = self.ask("GET", path, &Value::Null).await;
            zero.iter().all(|name| load.get(*name).and_then(Value::as_u64) == Some(0)).then_some(())
        })
        .await;
    }

    /// What the business sent, in order; of one person, or of all.
    pub async fn messages(&self, person: Option<&str>) -> Vec<Value> {
        let mut messages = Vec::new();
        let whose = match person {
            Some(name) => format!("&person={}", self.id(name).await),
            None => String::new(),
        };
        loop {
            let after = messages.last().and_then(|message: &Value| message.get("seq")).and_then(Value::as_u64);
            let path = format!("/control/messages?after={}{whose}", after.unwrap_or(0));
            let mut answer = self.ask("GET", &path, &Value::Null).await;
            match answer.get_mut("messages").map(Value::take) {
                Some(Value::Array(more)) if !more.is_empty() => messages.extend(more),
                _ => return messages,
            }
        }
    }

    /// The texts (and the bodies of buttons and lists) that somebody got, in order.
    pub async fn texts(&self, person: &str) -> Vec<String> {
        self.messages(Some(person)).await.iter().filter_map(text_of).collect()
    }

    /// Waits until somebody got these texts and no others.
    pub async fn got(&self, person: &str, wanted: &[&str]) {
        let what = format!("{person} got {wanted:?}");
        until(&what, async || (self.texts(person).await == wanted).then_some(())).await;
    }

    /// How often each text was sent to anybody.
    pub async fn sent(&self) -> BTreeMap<String, usize> {
        let mut sent = BTreeMap::new();
        for text in self.messages(None).await.iter().filter_map(text_of) {
            *sent.entry(text).or_default() += 1;
        }
        sent
    }

    /// Waits until people said so many messages in all, and each was delivered; some may wait for civil time.
    pub async fn said(&self, count: u64) {
        until(&format!("{count} messages were said"), async || {
            let answer = self.ask("GET", "/control/messages?limit=0", &Value::Null).await;
            let said = answer.pointer("/counts/said").and_then(Value::as_u64).unwrap_or(0);
            (said >= count).then_some(())
        })
        .await;
        self.delivered_now().await;
    }
}

/// What a message says, if it says anything.
pub fn text_of(message: &Value) -> Option<String> {
    let body = message.get("body")?;
    let text = body.get("body")?;
    // An interactive message has its text one level deeper.
    text.as_str().or_else(|| text.get("text").and_then(Value::as_str)).map(String::from)
}
