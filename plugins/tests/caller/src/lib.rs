//! Sends requests as people ask, tries to read secrets back, and repeats what its hooks got.
//!
//! Scenarios install it to check the capability `http`, secrets and hooks in the real daemon. Not
//! installed anywhere.

use beadle_plugin::http::RequestError;
use beadle_plugin::prelude::*;
use std::time::Duration;

#[derive(Default)]
struct Caller;

/// Longest part of a body in a reply.
const SHOWN_CHARS: usize = 900;

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// An error as a reply shows it.
fn described(error: RequestError) -> String {
    let instead = error.instead.map(|toml| format!(" | {toml}")).unwrap_or_default();
    format!("{:?} {}: {}{instead}", error.cause, error.code, error.message)
}

/// `GET URL`, `POST URL BODY`, `GET/1000 URL` with a time limit in milliseconds.
fn call(command: &str, url: &str, body: &str) -> String {
    let (method, limit) = command.split_once('/').unwrap_or((command, ""));
    let mut request = http::request(method, url).body(body);
    if let Ok(ms) = limit.parse() {
        request = request.timeout(Duration::from_millis(ms));
    }
    match request.send() {
        Ok(response) => format!("{} {}", response.status, response.text()),
        Err(error) => described(error),
    }
}

/// Requests the URL and puts everything that comes back wherever a plugin can put something.
fn leak(url: &str, event: &MessageEvent) -> Result<String, Failure> {
    let response = match http::get(url).header("X-Asks", "everything").send() {
        Ok(response) => response,
        Err(error) => return Ok(described(error)),
    };
    let all = format!("{} {:?} {}", response.url, response.headers, response.text());
    log::error(&all);
    state::set(Scope::Plugin, "leaked", &all)?;
    state::set(&event.sender, "leaked", &all)?;
    Ok(all)
}

impl OnMessage for Caller {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (url, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let reply = match command {
            "has" => format!("{rest}: {}", http::has_secret(rest)),
            "leak" => leak(url, &event)?,
            "fail" => return Err(Failure::GiveUp(leak(url, &event)?)),
            "retry" => {
                let response = http::get(url).send()?;
                format!("{} {}", response.status, response.text())
            }
            // `later KEY METHOD URL BODY`, `backfill KEY …`, `until MS KEY …`
            "later" | "backfill" => later(command == "backfill", rest, &event)?,
            method if method.starts_with(|c: char| c.is_ascii_uppercase()) && url.contains("://") => {
                call(method, url, body)
            }
            _ => return Ok(Disposition::Pass),
        };
        event.reply(shown(&reply))?;
        Ok(Disposition::Claimed)
    }
}

/// Makes a durable request: `KEY METHOD URL BODY`, where the key may be `-` for none and may end
/// with `/MS`, the time until it expires.
fn later(is_backfill: bool, rest: &str, event: &MessageEvent) -> Result<String, Failure> {
    let mut words = rest.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (key, method, url, body) = (word(), word(), word(), word());
    let (key, lifetime_ms) = key.split_once('/').unwrap_or((key, ""));
    let mut request = requests::request(method, url).about(&event.sender.id).body(body);
    request = request.context(format!("{} {key} {body}", event.conversation.id));
    if key != "-" {
        request = request.key(key);
    }
    if is_backfill {
        request = request.backfill();
    }
    if let Ok(ms) = lifetime_ms.parse::<i64>() {
        request = request.expires_at(clock::now() + ms);
    }
    Ok(match request.send() {
        Ok(()) => "asked".to_owned(),
        Err(refusal) => format!("{}: {} | {:?}", refusal.code, refusal.message, refusal.instead),
    })
}

impl OnResponse for Caller {
    fn on_response(&self, event: ResponseEvent) -> Result<Disposition, Failure> {
        let (conversation, what) = event.context.split_once(' ').unwrap_or(("", ""));
        let outcome = match &event.outcome {
            Ok(response) => format!("{} {}", response.status, response.text()),
            Err(given_up) => format!("{} {}", given_up.code, given_up.may_be_sent),
        };
        state::add(Scope::Plugin, &format!("outcome {what}: {outcome}"), 1)?;
        messages::send(messages::to(conversation), shown(&format!("{what}: {outcome} after {}", event.attempts)))?;
        Ok(Disposition::Claimed)
    }
}

impl OnWebhook for Caller {
    fn on_webhook(&self, event: WebhookEvent) -> Result<Disposition, Failure> {
        let body = String::from_utf8_lossy(&event.body);
        let headers = event.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>();
        state::add(Scope::Plugin, &format!("calls {}", event.hook), 1)?;
        let last = format!("{} ?{} [{}] {body}", event.hook, event.query, headers.join(", "));
        state::set(Scope::Plugin, "last hook", &last)?;
        Ok(Disposition::Pass)
    }
}

plugin!(Caller: OnMessage, OnWebhook, OnResponse);
