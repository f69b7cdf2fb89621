//! The simulator process and its control API: people who write, faults, and virtual time.

use crate::daemon::{Setup, free_address};
use crate::http::{Connection, request};
use crate::program::{self, Program};
use crate::{wait_for_count, wait_until, webhook};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::process::Command;

/// A running simulator.
pub struct Simulator {
    /// The process.
    pub program: Program,
    address: String,
}

/// A reserved address of a simulator that is not running yet: the daemon's configuration needs it,
/// and the simulator needs the daemon's address.
pub struct SimulatorAddress(String);

impl SimulatorAddress {
    /// Reserves a free address.
    pub fn reserve() -> Self {
        Self(free_address())
    }

    /// The base URL of the Graph API.
    pub fn url(&self) -> String {
        format!("http://{}", self.0)
    }

    /// The URL for `beadle run --clock`.
    pub fn clock_url(&self) -> String {
        format!("http://{}/control/clock", self.0)
    }

    /// Starts a simulator with the machine's clock.
    pub async fn start(self, setup: &Setup) -> Simulator {
        Simulator::start(self, setup, &[]).await
    }

    /// Starts a simulator with a virtual clock, which stands still until it is advanced.
    pub async fn start_virtual(self, setup: &Setup) -> Simulator {
        Simulator::start(self, setup, &["--clock", "virtual"]).await
    }

    /// The same with a clock that stands at this Unix time in milliseconds.
    pub async fn start_at(self, setup: &Setup, now_ms: i64) -> Simulator {
        Simulator::start(self, setup, &["--clock", &format!("virtual:{now_ms}")]).await
    }
}

impl Simulator {
    async fn start(address: SimulatorAddress, setup: &Setup, more: &[&str]) -> Self {
        let mut command = Command::new(program::built("beadle-simulator"));
        command.args(["--listen", &address.0, "--callback", &setup.callback()]);
        command.args(["--app-secret", webhook::APP_SECRET, "--verify-token", webhook::VERIFY_TOKEN]);
        command.args(["--access-token", webhook::ACCESS_TOKEN, "--phone-number-id", webhook::PHONE_NUMBER_ID]);
        command.args(["--business-account-id", webhook::BUSINESS_ID]).args(more);
        let mut program = Program::start(&mut command);
        program.line(|line| line.starts_with("listening ").then_some(())).await;
        let simulator = Self { program, address: address.0 };
        // The platform retries for days; a scenario has a minute.
        simulator.set_faults(json!({ "retry_initial_ms": 50, "retry_max_ms": 400 })).await;
        simulator
    }

    /// A simulator that `program` started, by the URL of its page.
    pub fn at(program: Program, page: &str) -> Self {
        Self { program, address: page.trim_start_matches("http://").trim_end_matches('/').into() }
    }

    async fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let exchange = async {
            let mut connection = Connection::tcp(&self.address).await?;
            connection.exchange(&request(method, path, "", &body)).await
        };
        let answer =
            exchange.await.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.program.output()));
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Any request to the control API.
    pub async fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        self.request(method, &format!("/control/{path}"), body).await
    }

    /// A request to the Graph API with the business's token, by its path after the version.
    pub async fn graph(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let exchange = async {
            let mut connection = Connection::tcp(&self.address).await?;
            let head = format!(
                "{method} /v26.0/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                webhook::ACCESS_TOKEN,
                body.len()
            );
            connection.exchange(&[head.as_bytes(), body.as_bytes()].concat()).await
        };
        let answer = exchange.await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// Uploads a person's file for [`Self::say_message`], and returns its id.
    pub async fn upload(&self, mime_type: &str, bytes: &[u8]) -> String {
        let exchange = async {
            let mut connection = Connection::tcp(&self.address).await?;
            let head = format!(
                "POST /control/media HTTP/1.1\r\nHost: localhost\r\nContent-Type: {mime_type}\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            );
            connection.exchange(&[head.as_bytes(), bytes].concat()).await
        };
        let answer = exchange.await.unwrap_or_else(|error| panic!("upload: {error}\n{}", self.program.output()));
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let id = body.get("id").and_then(Value::as_str).map(String::from);
        id.unwrap_or_else(|| panic!("upload: {} {}", answer.status, answer.text()))
    }

    /// A person sends a message of any type, in the platform's JSON.
    pub async fn say_message(&self, from: &str, message: Value) -> Value {
        let from = self.id_of(from).await;
        self.request("POST", "/control/say", &json!({ "from": from, "message": message })).await
    }

    /// Adds a person.
    pub async fn add_person(&self, name: &str, number: &str) {
        self.request("POST", "/control/people", &json!({ "name": name, "number": number })).await;
    }

    /// The simulator's id of the person with this name.
    pub async fn id_of(&self, name: &str) -> String {
        let answer = self.request("GET", "/control/people", &Value::Null).await;
        let people = answer.get("people").and_then(Value::as_array).cloned().unwrap_or_default();
        let person = people.iter().find(|person| person.get("name").and_then(Value::as_str) == Some(name));
        let id = person.and_then(|person| person.get("id")).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("no person is called {name}")).to_owned()
    }

    async fn say_as(&self, name: &str, key: &str, value: &str) -> Value {
        let from = self.id_of(name).await;
        self.request("POST", "/control/say", &json!({ "from": from, key: value })).await
    }

    /// A person writes a text. Returns the simulator's response.
    pub async fn say(&self, from: &str, text: &str) -> Value {
        self.say_as(from, "text", text).await
    }

    /// A person taps a button or chooses a row, by its id.
    pub async fn tap(&self, from: &str, id: &str) -> Value {
        self.say_as(from, "tap", id).await
    }

    /// `people` people write `count` messages `{text} {n}` in turn, n from 0, at `rate` per second
    /// (0: as fast as possible).
    pub async fn flood(&self, people: u64, count: u64, rate: f64, text: &str) {
        let flood = json!({ "people": people, "count": count, "rate": rate, "text": text });
        self.request("POST", "/control/flood", &flood).await;
    }

    /// Sets fault injection and other settings.
    pub async fn set_faults(&self, faults: Value) {
        self.request("POST", "/control/faults", &faults).await;
    }

    /// Advances its clock, from one due moment to the next.
    pub async fn advance(&self, ms: i64) {
        self.request("POST", "/control/clock", &json!({ "advance_ms": ms })).await;
    }

    /// The time of its clock, in milliseconds.
    pub async fn now(&self) -> i64 {
        let clock = self.control("GET", "clock", &Value::Null).await;
        clock.get("now_ms").and_then(Value::as_i64).unwrap_or_default()
    }

    /// Waits until no webhook is in flight or waits for a retry.
    pub async fn wait_until_delivered(&self) {
        self.wait_for_zero("/control/idle?wait_ms=5000&drained=true", &["in_flight", "waiting"]).await;
    }

    /// Waits until no webhook is in flight. Some may wait for a moment of civil time.
    pub async fn wait_until_idle(&self) {
        self.wait_for_zero("/control/idle?wait_ms=5000", &["in_flight"]).await;
    }

    async fn wait_for_zero(&self, path: &str, zero: &[&str]) {
        wait_until("the simulator has delivered everything", async || {
            let load = self.request("GET", path, &Value::Null).await;
            zero.iter().all(|name| load.get(*name).and_then(Value::as_u64) == Some(0)).then_some(())
        })
        .await;
    }

    /// What the business sent, in order: to one person, or to all.
    pub async fn messages(&self, person: Option<&str>) -> Vec<Value> {
        let mut messages = Vec::new();
        let filter = match person {
            Some(name) => format!("&person={}", self.id_of(name).await),
            None => String::new(),
        };
        loop {
            let after = messages.last().and_then(|message: &Value| message.get("seq")).and_then(Value::as_u64);
            let path = format!("/control/messages?after={}{filter}", after.unwrap_or(0));
            let mut answer = self.request("GET", &path, &Value::Null).await;
            match answer.get_mut("messages").map(Value::take) {
                Some(Value::Array(more)) if !more.is_empty() => messages.extend(more),
                _ => return messages,
            }
        }
    }

    /// The texts that a person received, in order, bodies of buttons and lists included.
    pub async fn texts(&self, person: &str) -> Vec<String> {
        self.messages(Some(person)).await.iter().filter_map(text_of).collect()
    }

    /// Waits until a person has received exactly these texts.
    pub async fn expect_texts(&self, person: &str, expected: &[&str]) {
        let goal = format!("{person} has received {expected:?}");
        wait_until(&goal, async || (self.texts(person).await == expected).then_some(())).await;
    }

    /// How often each text was sent, to anyone.
    pub async fn sent_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for text in self.messages(None).await.iter().filter_map(text_of) {
            *counts.entry(text).or_default() += 1;
        }
        counts
    }

    /// Waits until people have written `count` messages in total and each was delivered.
    pub async fn wait_for_written(&self, count: u64) {
        wait_for_count(&format!("{count} messages were written"), count, async || {
            let answer = self.request("GET", "/control/messages?limit=0", &Value::Null).await;
            answer.pointer("/counts/inbound").and_then(Value::as_u64).unwrap_or(0)
        })
        .await;
        self.wait_until_idle().await;
    }
}

/// The text of a message, if it has one.
pub fn text_of(message: &Value) -> Option<String> {
    let body = message.get("body")?;
    let text = body.get("body")?;
    // An interactive message has its text one level deeper.
    text.as_str().or_else(|| text.get("text").and_then(Value::as_str)).map(String::from)
}
