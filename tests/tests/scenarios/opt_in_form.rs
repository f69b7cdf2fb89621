//! The web form by which people opt in, and the links to it: asked by template, agreed in the chat;
//! and what the form refuses, limits and does not reveal.

use crate::{UNPACED, text};
use beadle_test_support::daemon::{Daemon, Setup, free_address};
use beadle_test_support::simulator::{Simulator, SimulatorAddress};
use beadle_test_support::webhook;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// 2026-03-27T12:00:00Z.
const NOON: i64 = 1_774_612_800_000;
/// The simulator's Ana and Bram.
const PEOPLE: [&str; 2] = ["Ana", "Bram"];

struct World {
    setup: Setup,
    simulator: Simulator,
    daemon: Daemon,
    client: reqwest::Client,
}

/// A page of the form in a browser.
struct Form {
    cookie: String,
    fields: Vec<(String, String)>,
}

/// An answer to a form.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    location: String,
    body: String,
}

fn encoded(fields: &[(String, String)]) -> String {
    let url = reqwest::Url::parse_with_params("http://localhost", fields).unwrap();
    url.query().unwrap_or_default().to_owned()
}

/// The value of a hidden field.
fn hidden(html: &str, name: &str) -> String {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_default();
    rest.split('"').next().unwrap_or_default().to_owned()
}

impl Form {
    fn with(&self, name: &str, value: &str) -> Self {
        let other = self.fields.iter().filter(|(known, _)| known != name).cloned();
        let fields = other.chain([(name.to_owned(), value.to_owned())]).collect();
        Self { cookie: self.cookie.clone(), fields }
    }

    fn number(&self, number: &str) -> Self {
        self.with("number", number)
    }

    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl World {
    async fn new(form: &str, http: &str) -> Self {
        let address = SimulatorAddress::reserve();
        let setup = Setup::new(&address.url()).toml(UNPACED).clock(&address.clock_url()).http_toml(http);
        let own = format!("http://{}", setup.http);
        let setup = setup.toml(&format!(
            r#"
[keywords]
brand = "De Buurt"
[consents.wordings.news]
purpose = "marketing:news"
version = 2
word = "NEWS"
template = "confirm_news"
text = {{ en = "De Buurt may send me news. STOP ends it.", nl = "De Buurt mag mij nieuws sturen. STOP beëindigt dit." }}
[consents.wordings.events]
purpose = "marketing:events"
template = "confirm_news"
text = {{ en = "De Buurt may send me dates of events." }}
[consents.wordings.internal]
purpose = "survey"
text = {{ en = "De Buurt may ask me for feedback." }}
[consents.form]
wordings = ["news", "events"]
url = "{own}"
{form}
"#
        ));
        let simulator = address.start_virtual(&setup).await;
        simulator.control("POST", "clock", &json!({ "set_ms": NOON })).await;
        simulator.set_faults(json!({ "template_review_ms": 0 })).await;
        let daemon = setup.start().await;
        let buttons = json!({"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Yes"}, {"type": "QUICK_REPLY", "text": "No"}]});
        let body = |text: &str| json!({"type": "BODY", "text": text});
        for (name, language, category, components) in [
            ("confirm_news", "en", "UTILITY", json!([body("Do you agree to messages from De Buurt?"), buttons])),
            ("confirm_news", "nl", "UTILITY", json!([body("Ga je akkoord met berichten van De Buurt?"), buttons])),
            ("promo", "en", "MARKETING", json!([body("This week in De Buurt")])),
        ] {
            let template = json!({"name": name, "language": language, "category": category, "components": components});
            simulator.graph("POST", &format!("{}/message_templates", webhook::BUSINESS_ID), &template).await;
        }
        simulator.advance(1000).await;
        let answer = daemon.post("templates/sync").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { setup, simulator, daemon, client }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.setup.http)
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, reqwest::header::HeaderMap, String) {
        let request = headers
            .iter()
            .fold(self.client.get(self.url(path)), |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
    }

    /// Opens the form.
    async fn open(&self, path: &str) -> Form {
        let (status, headers, html) = self.get(path, &[]).await;
        assert_eq!(status, 200, "{html}");
        let cookie = headers.get("set-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut fields: Vec<_> =
            ["token", "language", "version"].map(|name| (name.to_owned(), hidden(&html, name))).into();
        fields.push(("agree".into(), "yes".into()));
        Form { cookie: cookie.split(';').next().unwrap_or_default().to_owned(), fields }
    }

    async fn send_with(&self, path: &str, form: &Form, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.post(self.url(path)).body(encoded(&form.fields));
        request = request.header("content-type", "application/x-www-form-urlencoded");
        if !form.cookie.is_empty() {
            request = request.header("cookie", &form.cookie);
        }
        request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        let location = response.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Answer {
            status: response.status().as_u16(),
            location: location.to_owned(),
            body: response.text().await.unwrap(),
        }
    }

    /// Sends the form from its own page.
    async fn send(&self, form: &Form) -> Answer {
        self.send_with("/opt-in/news", form, &[("origin", &self.url(""))]).await
    }

    async fn number_of(&self, person: &str) -> String {
        let people = self.simulator.control("GET", "people", &Value::Null).await;
        let people = people.get("people").and_then(Value::as_array).cloned().unwrap_or_default();
        let found = people.iter().find(|one| text(one, "/name") == person);
        format!(
            "+{}",
            found.map(|person| text(person, "/number").trim_start_matches('+').to_owned()).unwrap_or_default()
        )
    }

    /// The templates that a person received, with their languages.
    async fn received(&self, person: &str) -> Vec<String> {
        self.simulator.advance(0).await;
        self.daemon.wait_until_idle().await;
        let messages = self.simulator.messages(Some(person)).await;
        messages
            .iter()
            .map(|message| format!("{} {}", text(message, "/body/name"), text(message, "/body/language/code")))
            .collect()
    }

    async fn cli(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = self.setup.cli(arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    async fn state(&self, contact: &str, purpose: &str) -> String {
        let view = self.daemon.get(&format!("contacts/{contact}/consents")).await;
        let rows = view.get("purposes").and_then(Value::as_array).cloned().unwrap_or_default();
        rows.iter()
            .find(|row| text(row, "/purpose") == purpose)
            .map_or("missing".into(), |row| text(row, "/state").to_owned())
    }

    /// The counter of forms with this outcome.
    async fn counted(&self, outcome: &str) -> u64 {
        let metrics = self.daemon.try_get("/metrics").await.unwrap().text();
        let line = format!("beadle_opt_in_forms_total{{outcome=\"{outcome}\"}} ");
        metrics
            .lines()
            .find_map(|metric| metric.strip_prefix(&line)?.parse().ok())
            .unwrap_or_else(|| panic!("{metrics}"))
    }
}

#[tokio::test]
async fn person_agrees_in_the_chat_to_what_the_form_showed() {
    let world = World::new("", "").await;
    let (_, _, html) = world.get("/opt-in/news", &[("accept-language", "nl-BE, en;q=0.5")]).await;
    for part in ["<html lang=\"nl\">", "De Buurt mag mij nieuws sturen. STOP beëindigt dit.", "STOP NEWS", "?lang=en"]
    {
        assert!(html.contains(part), "{part} is missing in {html}");
    }
    assert!(!html.contains("checked"), "{html}");
    let form = world.open("/opt-in/news?lang=nl").await;
    let number = world.number_of("Ana").await;
    let answer = world.send(&form.number(&number)).await;
    assert_eq!((answer.status, answer.location.as_str()), (303, "/opt-in/news?done=1&lang=nl"), "{}", answer.body);
    let (_, _, done) = world.get(&answer.location, &[]).await;
    assert!(done.contains("Kijk in WhatsApp"), "{done}");

    assert_eq!(world.received("Ana").await, ["confirm_news nl"]);
    assert_eq!(world.state("con_1", "marketing:news").await, "requested");
    let explain = ["gate", "explain", "con_1", "--template", "promo", "--purpose", "marketing:news"];
    let (_, explained, _) = world.cli(&explain).await;
    // Nothing but the question reaches a person whom only a form has named.
    assert!(explained.contains("quarantined"), "{explained}");
    let list = world.daemon.get("consents").await;
    let entry = list.pointer("/items/0").cloned().unwrap_or_default();
    assert_eq!((text(&entry, "/source"), text(&entry, "/wording")), ("web", "news v2 (nl)"));
    assert_eq!(text(&entry, "/text"), "De Buurt mag mij nieuws sturen. STOP beëindigt dit.");
    let evidence = text(&entry, "/evidence");
    let id = form.field("token").split_once('.').map(|(_, mac)| mac.get(..16).unwrap_or_default()).unwrap_or_default();
    assert_eq!(evidence, format!("form {id}, shown at 2026-03-27 12:00:01 UTC"));
    assert!(!entry.to_string().contains("127.0.0.1") && !entry.to_string().contains(&number), "{entry}");

    let id = entry.get("id").and_then(Value::as_i64).unwrap_or_default();
    world.simulator.tap("Ana", &format!("beadle:consent:{id}:yes")).await;
    world.simulator.advance(0).await;
    world.daemon.wait_until_idle().await;
    assert_eq!(world.state("con_1", "marketing:news").await, "granted");
    let (_, explained, _) = world.cli(&explain).await;
    assert!(!explained.contains("quarantined") && !explained.contains("not-opted-in"), "{explained}");
    assert!(world.cli(&["consents", "verify"]).await.1.contains("all intact"));
    assert_eq!(world.counted("asked").await, 1);
    assert!(!world.daemon.program.output().contains(number.trim_start_matches('+')), "a number is in the log");
    world.daemon.stop().await;
}

#[tokio::test]
async fn forms_of_other_pages_and_wrong_forms_ask_nobody() {
    let world = World::new("", "").await;
    let number = world.number_of("Ana").await;
    let form = world.open("/opt-in/news").await.number(&number);
    let own = world.url("");
    let own = own.as_str();
    let other_form = world.open("/opt-in/events").await.number(&number);
    let without_cookie = Form { cookie: String::new(), fields: form.fields.clone() };
    let other_cookie =
        Form { cookie: form.cookie.replace('=', "=0").chars().take(form.cookie.len()).collect(), ..form.with("", "") };
    let flipped = if form.field("token").ends_with('0') { "1" } else { "0" };
    let token = form.field("token");
    let forged = format!("{}{flipped}", token.get(..token.len() - 1).unwrap_or_default());
    let here = [("origin", own)];
    // Time passes between them, so that none is limited.
    for (sent, headers, status, outcome) in [
        (&without_cookie, &here[..], 403, "forged"),
        (&other_cookie, &here[..], 403, "forged"),
        (&form.with("token", &forged), &here[..], 403, "forged"),
        (&form.with("token", ""), &here[..], 403, "forged"),
        (&form.with("language", "nl"), &here[..], 403, "forged"),
        (&Form { fields: other_form.fields, cookie: other_form.cookie }, &here[..], 403, "forged"),
        (&form, &[][..], 403, "cross-site"),
        (&form, &[("origin", "https://evil.example")][..], 403, "cross-site"),
        (&form, &[("origin", "null")][..], 403, "cross-site"),
    ] {
        let before = world.counted(outcome).await;
        let answer = world.send_with("/opt-in/news", sent, headers).await;
        assert_eq!(answer.status, status, "{headers:?} {}", answer.body);
        assert_eq!(world.counted(outcome).await, before + 1, "{headers:?}");
        world.simulator.advance(3 * MINUTE_MS).await;
    }
    let mut count = 0;
    for (sent, status) in [
        (&form.with("agree", ""), 422),
        (&form.number("06 12345678"), 422),
        (&form.number("31612345678"), 422),
        (&form.number("+999 12345678"), 422),
        (&form.number("+31 6 123456789012345"), 422),
        (&form.number(""), 422),
        (&form.number(&"1".repeat(5000)), 413),
    ] {
        count += 1;
        world.simulator.advance(3 * MINUTE_MS).await;
        let answer = world.send(sent).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(world.counted("invalid").await, count);
    }
    let back = world.send(&form.number("\"><script>")).await;
    assert!(back.body.contains("value=\"&quot;&gt;&lt;script&gt;\"") && back.body.contains("role=\"alert\""));
    world.simulator.advance(3 * MINUTE_MS).await;
    let cross = world.send_with("/opt-in/news", &form, &[("origin", own), ("sec-fetch-site", "cross-site")]).await;
    assert_eq!(cross.status, 403);
    world.simulator.advance(HOUR_MS).await;
    assert_eq!(world.send(&form).await.status, 403);
    assert_eq!(world.counted("expired").await, 1);
    for path in ["/opt-in/internal", "/opt-in/olds", "/opt-in/", "/opt-in", "/opt-in/news/more", "/opt-in/%00"] {
        assert_eq!(world.get(path, &[]).await.0, 404, "{path}");
    }
    assert_eq!(world.received("Ana").await, Vec::<String>::new());
    assert_eq!(world.daemon.list_all("contacts").await.len(), 0);
    assert_eq!(world.counted("asked").await, 0);
    world.daemon.stop().await;
}

#[tokio::test]
async fn answer_is_the_same_for_every_number() {
    let world = World::new("", "").await;
    world.simulator.say("Bram", "STOP").await;
    world.simulator.advance(0).await;
    world.daemon.wait_until_idle().await;
    let [ana, bram] = [world.number_of(PEOPLE[0]).await, world.number_of(PEOPLE[1]).await];
    let form = world.open("/opt-in/news").await;
    let before = world.received("Bram").await.len();
    let mut answers = Vec::new();
    // New, asked before, opted out, not on WhatsApp.
    for number in [&ana, &ana, &ana.replace('+', "00"), &bram, "+31 6 00000000"] {
        let sent_at = Instant::now();
        answers.push(world.send(&form.number(number)).await);
        assert!(sent_at.elapsed() >= Duration::from_millis(500), "{number}");
    }
    assert_eq!(answers[0].status, 303, "{}", answers[0].body);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(world.received("Ana").await, ["confirm_news en"], "asked once");
    assert_eq!(world.received("Bram").await.len(), before);
    let counts = [world.counted("asked").await, world.counted("repeated").await, world.counted("excluded").await];
    assert_eq!(counts, [2, 2, 1]);
    // Another wording the next hour is a question on the same day; after the question has expired
    // there is another one.
    world.simulator.advance(HOUR_MS).await;
    let events = world.open("/opt-in/events").await.number(&ana);
    let origin = world.url("");
    let answer = world.send_with("/opt-in/events", &events, &[("origin", &origin)]).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!(world.received("Ana").await.len(), 1);
    world.simulator.advance(49 * HOUR_MS).await;
    let form = world.open("/opt-in/news").await;
    assert_eq!(world.send(&form.number(&ana)).await, answers[0]);
    assert_eq!(world.received("Ana").await.len(), 2);
    // Who has agreed is not asked either.
    let entry = world.daemon.get("consents").await.pointer("/items/0/id").and_then(Value::as_i64).unwrap_or_default();
    world.simulator.tap("Ana", &format!("beadle:consent:{entry}:yes")).await;
    world.simulator.advance(49 * HOUR_MS).await;
    let count = world.received("Ana").await.len();
    let form = world.open("/opt-in/news").await;
    assert_eq!(world.send(&form.number(&ana)).await, answers[0]);
    assert_eq!((world.received("Ana").await.len(), world.counted("agreed").await), (count, 1));
    world.daemon.stop().await;
}

#[tokio::test]
async fn floods_are_limited_by_client_minute_and_day() {
    let world = World::new("max_per_minute = 3\nmax_per_day = 5", "behind_proxy = true").await;
    let origin = world.url("");
    let form = world.open("/opt-in/news").await;
    let send = async |number: u32, client: &str| {
        let form = form.number(&format!("+3161234{number:04}"));
        world.send_with("/opt-in/news", &form, &[("origin", &origin), ("x-forwarded-for", client)]).await
    };
    for n in 0..3 {
        assert_eq!(send(n, &format!("198.51.100.{n}")).await.status, 303);
    }
    let busy = send(3, "198.51.100.3").await;
    assert_eq!(busy.status, 429);
    assert!(busy.body.contains("too many requests"), "{}", busy.body);
    world.simulator.advance(MINUTE_MS).await;
    for (n, status) in [(4, 303), (5, 303), (6, 429)] {
        assert_eq!(send(n, &format!("198.51.100.{n}")).await.status, status, "five in a day");
    }
    // One client, whatever it writes before the proxy's own entry.
    let mut statuses = Vec::new();
    for n in 0..12 {
        statuses.push(
            world
                .send_with(
                    "/opt-in/news",
                    &form.number("1"),
                    &[("origin", &origin), ("x-forwarded-for", &format!("10.0.0.{n}, 203.0.113.9"))],
                )
                .await
                .status,
        );
    }
    assert_eq!(statuses, [422, 422, 422, 422, 422, 422, 422, 422, 422, 422, 429, 429]);
    assert_eq!(world.counted("asked").await, 5);
    world.simulator.advance(24 * HOUR_MS).await;
    let form = world.open("/opt-in/news").await;
    assert_eq!(world.send(&form.number("+31612345670")).await.status, 303);
    world.daemon.stop().await;
}

#[tokio::test]
async fn form_of_the_operators_own_site_is_taken_from_its_origin() {
    let world = World::new("origins = [\"https://shop.example\"]", "").await;
    let number = world.number_of("Ana").await;
    let fields = [("number", number.as_str()), ("agree", "yes"), ("language", "en"), ("version", "2")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let form = Form { cookie: String::new(), fields };
    let site = [("origin", "https://shop.example"), ("sec-fetch-site", "cross-site")];
    let old = world.send_with("/opt-in/news", &form.with("version", "1"), &site).await;
    assert_eq!(old.status, 403, "the site shows an old text");
    let other = world.send_with("/opt-in/news", &form, &[("origin", "https://shop.example.evil.example")]).await;
    assert_eq!(other.status, 403);
    assert_eq!(world.send_with("/opt-in/news", &form, &site).await.status, 303);
    assert_eq!(world.received("Ana").await, ["confirm_news en"]);
    let list = world.daemon.get("consents").await;
    assert_eq!(text(&list, "/items/0/evidence"), "form on https://shop.example");
    world.daemon.stop().await;
}

#[tokio::test]
async fn pages_are_protected_and_the_form_is_off_by_default() {
    let world = World::new("", "").await;
    let (_, headers, _) = world.get("/opt-in/news", &[]).await;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let policy = header("content-security-policy");
    for part in ["default-src 'none'", "style-src 'sha256-", "form-action 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    let cookie = header("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!([header("cache-control"), header("x-content-type-options")], ["no-store", "nosniff"]);
    world.daemon.stop().await;

    let setup = Setup::new("http://127.0.0.1:9");
    let daemon = setup.start().await;
    for method in [reqwest::Method::GET, reqwest::Method::POST] {
        let request = world.client.request(method, format!("http://{}/opt-in/news", setup.http));
        assert_eq!(request.send().await.unwrap().status().as_u16(), 404);
    }
    assert!(!daemon.try_get("/metrics").await.unwrap().text().contains("outcome="));
    daemon.stop().await;
}

#[tokio::test]
async fn links_lead_to_the_chat_and_to_the_form() {
    let world = World::new("", "").await;
    let (done, shown, error) = world.cli(&["consents", "link", "news"]).await;
    let form = world.url("/opt-in/news");
    assert!(done && shown == format!("chat  https://wa.me/15550783881?text=NEWS\nform  {form}\n"), "{shown} {error}");
    for name in ["news.svg", "news.png"] {
        let path = world.setup.data().join(name);
        let (done, _, error) = world.cli(&["consents", "link", "news", "--qr", &path.to_string_lossy()]).await;
        assert!(done && error.contains("https://wa.me/15550783881?text=NEWS"), "{error}");
        assert!(std::fs::metadata(&path).unwrap().len() > 500, "{name}");
    }
    let (done, shown, _) = world.cli(&["consents", "link", "events", "--json"]).await;
    assert!(done && shown.contains("/opt-in/events") && !shown.contains("wa.me"), "{shown}");
    for (arguments, part) in [
        (&["olds"][..], "no wording `olds`"),
        (&["internal"], "neither a word nor a web form"),
        (&["internal", "--form"], "the web form does not offer `internal`"),
        (&["news", "--channel", "shopp"], "no channel `shopp`"),
        (&["news", "--qr", "news.gif"], "must end with .svg or .png"),
    ] {
        let (done, _, error) = world.cli(&[&["consents", "link"], arguments].concat()).await;
        assert!(!done && error.contains(part), "{error}");
    }
    // The word opts in: the person's own message needs no confirmation.
    world.simulator.say("Ana", "NEWS").await;
    world.simulator.advance(0).await;
    world.daemon.wait_until_idle().await;
    assert_eq!(world.state("con_1", "marketing:news").await, "granted");
    world.daemon.stop().await;
}

#[tokio::test]
async fn number_of_a_channel_is_configured_where_whatsapp_cannot_be_asked() {
    let wording = "[keywords]\nbrand = \"De Buurt\"\n[consents.wordings.news]\npurpose = \"marketing\"\nword = \"GROOT NIEUWS\"\ntext = { en = \"News of De Buurt.\" }";
    let graph = format!("http://{}", free_address());
    let setup = Setup::new(&graph).toml(wording);
    let daemon = setup.start().await;
    let output = setup.cli(&["consents", "link", "news"]).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && error.contains("number-unknown") && error.contains("set `phone_number`"),
        "{error}"
    );
    daemon.stop().await;
    setup.put_conf("number", "[channels.shop]\nphone_number = \"+31 6 1234 5678\"");
    let daemon = setup.start().await;
    let output = setup.cli(&["consents", "link", "news"]).await;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(shown, "chat  https://wa.me/31612345678?text=GROOT%20NIEUWS\n");
    daemon.stop().await;
}
