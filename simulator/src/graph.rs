//! The Graph API as far as messages go: `POST /{version}/{phone_number_id}/messages`.
//!
//! The order of judgement is the platform's as far as it shows: token, path, shape, rates, window. Faults strike a
//! request that could be read, before anything is accepted or right after.

use crate::hub::{Hub, World};
use crate::knobs::{SendFault, Strangers, WindowRule};
use crate::line::Line;
use crate::messages::{Message, Pricing, Reactions, State};
use crate::people::{self, NewPerson, PersonNo};
use crate::receipts::{self, FREE_SERVICE_MESSAGES};
use crate::refusal::Refusal;
use crate::{limits, log, view};
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the typing dots stay without an answer (whatsapp.md 2.2).
const TYPING_MS: i64 = 25_000;

/// The longest that a request which is never answered is kept; any client has given up by then.
const NEVER: Duration = Duration::from_secs(3600);

/// What is to be answered, and what goes wrong with the answer.
struct Outcome {
    status: u16,
    body: Option<Value>,
    fault: Option<SendFault>,
}

impl Outcome {
    fn refused(hub: &Hub, refusal: &Refusal) -> Self {
        *hub.world().counts.refused.entry(refusal.code).or_default() += 1;
        Self { status: refusal.status(), body: Some(refusal.answer(&hub.ids.trace())), fault: None }
    }
}

pub(crate) async fn messages(
    Shared(hub): Shared<Arc<Hub>>,
    ConnectInfo(line): ConnectInfo<Line>,
    Path((version, number)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let started = Instant::now();
    let outcome = match authorised(&hub, &headers, &version, &number) {
        Ok(()) => judge(&hub, &body),
        Err(refusal) => Outcome::refused(&hub, &refusal),
    };
    let text = outcome.body.map_or_else(String::new, |body| body.to_string());
    if let Some(SendFault::Slow(ms)) = outcome.fault {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let answered = match outcome.fault {
        Some(SendFault::Timeout | SendFault::TimeoutAfter | SendFault::DropBefore | SendFault::DropAfter) => None,
        _ => Some(outcome.status),
    };
    hub.log.add(|| log::Entry {
        seq: 0,
        at_ms: hub.clock.now_ms(),
        direction: "in",
        method: "POST",
        path: uri.path().to_owned(),
        status: answered,
        request: log::shown(&body),
        response: if answered.is_some() { log::shown(text.as_bytes()) } else { String::new() },
        note: outcome.fault.as_ref().map(|fault| format!("fault: {fault:?}")),
        took_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
    });
    match outcome.fault {
        Some(SendFault::Timeout | SendFault::TimeoutAfter) => tokio::time::sleep(NEVER).await,
        Some(SendFault::DropBefore | SendFault::DropAfter) => line.cut(),
        _ => {}
    }
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Any other path of the Graph API.
pub(crate) async fn elsewhere(Shared(hub): Shared<Arc<Hub>>, uri: Uri) -> Response {
    let refusal = Refusal::new(100, format!("Unsupported request: this local WhatsApp does not have {}.", uri.path()));
    (StatusCode::BAD_REQUEST, axum::Json(refusal.answer(&hub.ids.trace()))).into_response()
}

fn authorised(hub: &Hub, headers: &HeaderMap, version: &str, number: &str) -> Result<(), Refusal> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token.and_then(|token| token.strip_prefix("Bearer ")) != Some(hub.config.access_token.as_str()) {
        return Err(Refusal::new(190, "Error validating access token: it is not the one of this account."));
    }
    let is_version = version
        .strip_prefix('v')
        .and_then(|v| v.split_once('.'))
        .is_some_and(|(major, minor)| major.parse::<u16>().is_ok() && minor.parse::<u16>().is_ok());
    if !is_version {
        return Err(Refusal::new(100, format!("Unknown path components: /{version}.")));
    }
    if number != hub.config.phone_number_id {
        return Err(Refusal::new(
            33,
            format!(
                "Object with ID '{number}' does not exist, cannot be loaded due to missing permissions, or does not support this operation."
            ),
        ));
    }
    Ok(())
}

fn judge(hub: &Hub, body: &[u8]) -> Outcome {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Outcome::refused(hub, &Refusal::new(100, "The body is not JSON."));
    };
    if request.get("status").is_some() {
        return match mark_read(hub, &request) {
            Ok(body) => Outcome { status: 200, body: Some(body), fault: None },
            Err(refusal) => Outcome::refused(hub, &refusal),
        };
    }
    let kind = match limits::check(&request) {
        Ok(kind) => kind,
        Err(refusal) => return Outcome::refused(hub, &refusal),
    };
    let mut world = hub.world();
    let fault = {
        let world = &mut *world;
        world.knobs.send_fault(&mut world.chance, kind)
    };
    world.counts.faults += u64::from(fault.is_some());
    match fault {
        Some(SendFault::Timeout | SendFault::DropBefore) => Outcome { status: 500, body: None, fault },
        Some(SendFault::Bare(status)) => Outcome { status, body: None, fault },
        Some(SendFault::Error(code)) => {
            let refusal = match code {
                131_000 => Refusal::something_wrong(),
                code => Refusal::new(code, "A fault on demand."),
            };
            Outcome { status: refusal.status(), body: Some(refusal.answer(&hub.ids.trace())), fault }
        }
        _ => match accept(hub, &mut world, &request, kind, &fault) {
            Ok(body) => Outcome { status: 200, body: Some(body), fault },
            Err(refusal) => {
                drop(world);
                Outcome { fault, ..Outcome::refused(hub, &refusal) }
            }
        },
    }
}

/// Marks as read, and shows typing where asked to.
fn mark_read(hub: &Hub, request: &Value) -> Result<Value, Refusal> {
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    if text("messaging_product") != Some("whatsapp") || text("status") != Some("read") {
        return Err(Refusal::new(100, "messaging_product is 'whatsapp' and status is 'read'."));
    }
    let id = text("message_id").ok_or_else(|| Refusal::missing("message_id"))?;
    let typing = match request.get("typing_indicator") {
        None => false,
        Some(indicator) if indicator.get("type").and_then(Value::as_str) == Some("text") => true,
        Some(_) => return Err(Refusal::invalid("typing_indicator['type'] is 'text'.")),
    };
    let mut world = hub.world();
    match world.messages.find(id).filter(|seq| world.messages.get(*seq).is_some_and(|m| !m.from_business)) {
        Some(seq) => {
            receipts::marked_read(hub, &mut world, seq);
            let person = world.messages.get(seq).and_then(|message| world.people.get(message.person));
            if let (true, Some(person)) = (typing, person) {
                let until_ms = hub.clock.now_ms() + TYPING_MS;
                hub.tell(|| json!({"kind": "typing", "person": person.id, "until_ms": until_ms}));
            }
        }
        // Where messages were forgotten it may have been one of them.
        None if world.counts.forgotten > 0 => {}
        None => return Err(Refusal::invalid(format!("There is no message '{id}'."))),
    }
    world.counts.marked_read += 1;
    world.counts.typing += u64::from(typing);
    Ok(json!({"success": true}))
}

fn accept(
    hub: &Hub,
    world: &mut World,
    request: &Value,
    kind: &str,
    fault: &Option<SendFault>,
) -> Result<Value, Refusal> {
    let now_ms = hub.clock.now_ms();
    let (input, by_number) = address(request)?;
    let found = recipient(world, input, by_number)?;
    hold_to_rates(world, found, now_ms)?;
    let template = request.get("template").filter(|_| kind == "template");
    if let Some(name) = template.and_then(|template| template.get("name")).and_then(Value::as_str)
        && !world.knobs.templates.is_empty()
        && !world.knobs.templates.iter().any(|known| known == name)
    {
        return Err(Refusal::new(132_001, format!("Template name ({name}) does not exist in this account.")));
    }
    let Some(no) = found else {
        // Nobody has this number: accepted, and never delivered. There is nobody to keep it with either.
        let id = hub.ids.message(input, false);
        undeliverable(hub, world, request, &id, input, now_ms);
        return Ok(answer(input, by_number.then(|| people::digits(input)).flatten(), None, &id, template.is_some()));
    };
    let outside = template.is_none()
        && world.knobs.window != WindowRule::Off
        && !world.people.get(no).is_some_and(|person| person.window_open(now_ms));
    if outside && world.knobs.window == WindowRule::Sync {
        return Err(Refusal::window_closed());
    }
    let error = match fault {
        Some(SendFault::FailedLater(code)) => Some(*code),
        _ if outside => Some(131_047),
        _ if kind == "reaction" && !can_react(world, request, no) => Some(131_009),
        _ => None,
    };
    let seq = keep(hub, world, request, kind, no, error);
    if kind == "reaction" && error.is_none() {
        react(hub, world, request, no);
    }
    receipts::reach(hub, world, seq, if error.is_some() { State::Failed } else { State::Sent });
    let (Some(message), Some(person)) = (world.messages.get(seq), world.people.get(no)) else {
        return Err(Refusal::something_wrong());
    };
    let user_id = (!by_number).then(|| person.user_id.clone());
    Ok(answer(input, by_number.then(|| person.wa_id.clone()).flatten(), user_id, &message.id, template.is_some()))
}

/// `to`, or else `recipient`.
fn address(request: &Value) -> Result<(&str, bool), Refusal> {
    match (request.get("to"), request.get("recipient")) {
        (Some(Value::String(to)), _) => Ok((to, true)),
        (None, Some(Value::String(user_id))) => Ok((user_id, false)),
        (None, None) => Err(Refusal::missing("to")),
        _ => Err(Refusal::invalid("The recipient is not a string.")),
    }
}

fn recipient(world: &mut World, input: &str, by_number: bool) -> Result<Option<PersonNo>, Refusal> {
    if !by_number {
        let known = world.people.find(input).filter(|no| world.people.get(*no).is_some_and(|p| p.user_id == input));
        return known.map(Some).ok_or_else(|| Refusal::invalid("The recipient is not a user id of this business."));
    }
    let number = people::digits(input).ok_or_else(|| Refusal::invalid("Param to is not a valid phone number."))?;
    let found = world
        .people
        .find(&number)
        .filter(|no| world.people.get(*no).is_some_and(|p| p.wa_id.as_ref() == Some(&number)));
    if found.is_some() || world.knobs.strangers == Strangers::Undeliverable {
        return Ok(found);
    }
    let new = NewPerson { name: number.clone(), number: Some(number), crowd: true, ..NewPerson::default() };
    let no = world.people.add(new).map_err(|_| Refusal::undeliverable())?;
    if let Some(person) = world.people.get_mut(no) {
        person.window_until_ms = Some(i64::MAX);
    }
    Ok(Some(no))
}

/// The platform's rates, where they are switched on: whatsapp.md 4.
fn hold_to_rates(world: &mut World, person: Option<PersonNo>, now_ms: i64) -> Result<(), Refusal> {
    let per_second = i64::from(world.knobs.throughput_per_second);
    let now_us = now_ms.saturating_mul(1_000);
    if per_second > 0 {
        let step_us = 1_000_000 / per_second;
        // A full second's worth may come at once.
        if world.throughput_free_us - now_us > 1_000_000 - step_us {
            return Err(Refusal::new(130_429, "Cloud API message throughput has been reached."));
        }
    }
    let pair_rate = world.knobs.pair_rate;
    if let Some(person) = person.and_then(|no| world.people.get_mut(no)).filter(|_| pair_rate) {
        const STEP_MS: i64 = 6_000;
        const BURST: i64 = 45;
        if person.pair_free_ms - now_ms > STEP_MS * (BURST - 1) {
            return Err(Refusal::new(
                131_056,
                "Message failed to send because there were too many messages sent from this phone number to the same phone number in a short period of time.",
            ));
        }
        person.pair_free_ms = person.pair_free_ms.max(now_ms) + STEP_MS;
    }
    if per_second > 0 {
        world.throughput_free_us = world.throughput_free_us.max(now_us) + 1_000_000 / per_second;
    }
    Ok(())
}

fn keep(hub: &Hub, world: &mut World, request: &Value, kind: &str, no: PersonNo, error: Option<u32>) -> u64 {
    let now_ms = hub.clock.now_ms();
    let id = hub.ids.message(world.people.get(no).map_or("", |person| person.address()), false);
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let message = Message {
        seq: 0,
        id,
        from_business: true,
        person: no,
        before: None,
        kind: kind.to_owned(),
        at_ms: now_ms,
        body: request.get(kind).and_then(|body| to_raw_value(body).ok()).unwrap_or_else(|| RawValue::NULL.to_owned()),
        context: request.get("context").and_then(|context| text(context, "message_id")),
        callback_data: text(request, "biz_opaque_callback_data"),
        pricing: if error.is_none() { pricing(world, kind, now_ms) } else { None },
        states: vec![crate::messages::Step { state: State::Accepted, at_ms: now_ms }],
        error,
        reactions: Reactions::default(),
    };
    world.counts.reached(State::Accepted);
    let (seq, forgotten) = world.messages.push(message);
    world.counts.forgotten += u64::from(forgotten);
    seq
}

fn pricing(world: &mut World, kind: &str, now_ms: i64) -> Option<Pricing> {
    match kind {
        "reaction" => None,
        "template" => Some(Pricing { category: "utility", free: false }),
        _ => {
            let month = receipts::month(now_ms);
            if world.free_tier.0 != month {
                world.free_tier = (month, 0);
            }
            world.free_tier.1 = world.free_tier.1.saturating_add(1);
            Some(Pricing { category: "service", free: world.free_tier.1 <= FREE_SERVICE_MESSAGES })
        }
    }
}

fn target(world: &World, request: &Value, no: PersonNo) -> Option<u64> {
    let id = request.get("reaction")?.get("message_id")?.as_str()?;
    world.messages.find(id).filter(|seq| world.messages.get(*seq).is_some_and(|message| message.person == no))
}

fn can_react(world: &World, request: &Value, no: PersonNo) -> bool {
    world.counts.forgotten > 0 || target(world, request, no).is_some()
}

fn react(hub: &Hub, world: &mut World, request: &Value, no: PersonNo) {
    let Some(seq) = target(world, request, no) else { return };
    let emoji = request.get("reaction").and_then(|r| r.get("emoji")).and_then(Value::as_str).unwrap_or_default();
    if let Some(message) = world.messages.get_mut(seq) {
        message.reactions.business = (!emoji.is_empty()).then(|| emoji.to_owned());
        view::tell(hub, world, seq);
    }
}

fn undeliverable(hub: &Hub, world: &mut World, request: &Value, id: &str, input: &str, now_ms: i64) {
    world.counts.reached(State::Accepted);
    world.counts.reached(State::Failed);
    let mut status = json!({
        "id": id, "status": "failed", "timestamp": now_ms.div_euclid(1000).to_string(),
        "recipient_id": people::digits(input),
        "errors": [Refusal::undeliverable().in_status()],
    });
    if let (Some(data), Some(status)) = (request.get("biz_opaque_callback_data"), status.as_object_mut()) {
        status.insert("biz_opaque_callback_data".to_owned(), data.clone());
    }
    if world.knobs.receipts {
        let lane = crate::hub::random_lane(world);
        let json = crate::wire::to_json(&status).into();
        let what = crate::letter::What::Status(State::Failed);
        hub.deliver(world, crate::letter::Update { lane, what, json, contact: None, delivers: None });
    }
}

fn answer(input: &str, wa_id: Option<String>, user_id: Option<String>, id: &str, template: bool) -> Value {
    let mut contact = json!({"input": input});
    if let Some(contact) = contact.as_object_mut() {
        contact.extend(wa_id.map(|wa_id| ("wa_id".to_owned(), json!(wa_id))));
        contact.extend(user_id.map(|user_id| ("user_id".to_owned(), json!(user_id))));
    }
    let mut message = json!({"id": id});
    if let (true, Some(message)) = (template, message.as_object_mut()) {
        message.insert("message_status".to_owned(), json!("accepted"));
    }
    json!({"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]})
}
