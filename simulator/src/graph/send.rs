//! `POST /{version}/{phone_number_id}/messages`: messages of the business.
//!
//! Checks are in the platform's order, as far as it is known: token, path, form, account, rates,
//! template, window. Faults affect requests that could be parsed, before or after the message is
//! accepted.

use super::call::{Reply, authorise, finish, parse_body};
use crate::action::ScheduledAction;
use crate::connection::ConnectionHandle;
use crate::envelope::{Update, UpdateKind};
use crate::faults::{SendFault, WindowRule};
use crate::hub::{Hub, World};
use crate::messages::{Chat, Message, MessageState, Step};
use crate::people::{self, PersonNo};
use crate::refusal::Refusal;
use crate::{account, limits, receipts, view};
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State as Shared};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

mod content;
mod direct;
mod recipient;

use content::{LaterFailure, Plan};
use recipient::{address, enforce_rates, recipient};

/// How long a typing indicator is shown unless the business replies.
const TYPING_MS: i64 = 25_000;

pub(crate) async fn messages(
    Shared(hub): Shared<Arc<Hub>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    Path((version, number)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let started = Instant::now();
    let reply = match authorise(&hub, &headers, &version, None) {
        Ok(()) if number != hub.config.phone_number_id => {
            Reply::refused(&hub, &Refusal::unknown_object(&Method::POST, &number))
        }
        Ok(()) => handle(&hub, &headers, &body),
        Err(refusal) => Reply::refused(&hub, &refusal),
    };
    finish(&hub, &connection, &Method::POST, &uri, &body, started, reply).await
}

fn handle(hub: &Hub, headers: &HeaderMap, body: &[u8]) -> Reply {
    let mut request = match parse_body(headers, body) {
        Ok(request) => request,
        Err(refusal) => return Reply::refused(hub, &refusal),
    };
    // The platform accepts a number without quotes.
    if let Some(to) = request.get_mut("to").filter(|to| to.is_u64()) {
        *to = Value::String(to.to_string());
    }
    if request.get("status").is_some() {
        return match mark_read(hub, &request) {
            Ok((body, about)) => Reply { about, ..Reply::ok(body) },
            Err(refusal) => Reply::refused(hub, &refusal),
        };
    }
    let kind = match limits::check(&request) {
        Ok(kind) => kind,
        Err(refusal) => return Reply::refused(hub, &refusal),
    };
    let mut world = hub.world();
    let fault = {
        let world = &mut *world;
        world.faults.send_fault(&mut world.rng, kind)
    };
    world.counts.faults += u64::from(fault.is_some());
    let reply = match fault {
        Some(SendFault::Timeout | SendFault::DropBefore) => Reply::without_body(500),
        Some(SendFault::Bare(status)) => Reply::without_body(status),
        Some(SendFault::Error(code)) => {
            let refusal = match code {
                131_000 => Refusal::unknown_error(),
                code => Refusal::new(code, "Injected fault."),
            };
            Reply { status: refusal.status(), ..Reply::ok(refusal.body(&hub.ids.trace())) }
        }
        _ => match accept(hub, &mut world, &request, kind, &fault) {
            Ok((body, about)) => Reply { about, ..Reply::ok(body) },
            Err(refusal) => {
                drop(world);
                Reply::refused(hub, &refusal)
            }
        },
    };
    Reply { fault, ..reply }
}

/// Marks a message as read, and shows a typing indicator if requested.
fn mark_read(hub: &Hub, request: &Value) -> Result<(Value, Option<u64>), Refusal> {
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    if text("messaging_product") != Some("whatsapp") || text("status") != Some("read") {
        return Err(Refusal::new(100, "messaging_product must be 'whatsapp' and status must be 'read'."));
    }
    let id = text("message_id").ok_or_else(|| Refusal::missing("message_id"))?;
    let typing = match request.get("typing_indicator") {
        None => false,
        Some(indicator) if indicator.get("type").and_then(Value::as_str) == Some("text") => true,
        Some(_) => return Err(Refusal::invalid("typing_indicator['type'] must be 'text'.")),
    };
    let mut world = hub.world();
    let found = world.messages.find(id).filter(|seq| world.messages.get(*seq).is_some_and(|m| !m.from_business));
    match found {
        Some(seq) => {
            receipts::mark_read(hub, &mut world, seq);
            let message = world.messages.get(seq).filter(|_| typing);
            if let Some((chat, author)) = message.and_then(|message| Some((message.chat, message.author?))) {
                let until_ms = hub.clock.now_ms() + TYPING_MS;
                let group = view::group_id(&world, chat).map(str::to_owned);
                hub.publish(
                    || json!({"kind": "typing", "person": world.people.id(author), "group": group, "until_ms": until_ms}),
                );
            }
        }
        // It may be a message that was dropped.
        None if world.counts.evicted > 0 => {}
        None => return Err(Refusal::invalid(format!("There is no message '{id}'."))),
    }
    world.counts.marked_read += 1;
    world.counts.typing += u64::from(typing);
    Ok((json!({"success": true}), found))
}

fn accept(
    hub: &Hub,
    world: &mut World,
    request: &Value,
    kind: &str,
    fault: &Option<SendFault>,
) -> Result<(Value, Option<u64>), Refusal> {
    let now_ms = hub.clock.now_ms();
    world.account.may_send(now_ms)?;
    let plan = content::plan(world, request, kind, now_ms)?;
    if !world.faults.payment_method
        && plan.category == "service"
        && account::free_tier_is_used_up(&world.account, now_ms)
    {
        return Err(Refusal::new(131_042, "The free tier is used up and the account has no payment method."));
    }
    if request.get("recipient_type").and_then(Value::as_str) == Some("group") {
        return to_group(hub, world, request, kind, plan, fault);
    }
    let (input, by_number) = address(request)?;
    if people::digits(input).is_some_and(|number| number == hub.config.display_number) {
        return Err(Refusal::new(131_021, "Recipient phone number cannot be the sender's."));
    }
    let found = recipient(world, input, by_number)?;
    if !by_number && plan.needs_phone {
        return Err(Refusal::new(131_062, "Authentication templates go to phone numbers only."));
    }
    enforce_rates(world, found, now_ms)?;
    let Some(no) = found else {
        // The number does not exist: the message is accepted and not delivered. It belongs to no
        // chat, so it is not stored.
        let id = hub.ids.message(input, false);
        fail_undeliverable(hub, world, request, &id, input, now_ms);
        return Ok((
            response_body(input, by_number.then(|| people::digits(input)).flatten(), None, &id, plan.status()),
            None,
        ));
    };
    let open = world.people.get(no).is_some_and(|person| person.window_open(now_ms));
    let outside = !plan.first && !open && world.faults.window != WindowRule::Off;
    if outside && world.faults.window == WindowRule::Sync {
        return Err(Refusal::window_closed());
    }
    if plan.first && !open {
        account::write_first(&mut world.account, &world.faults, no, now_ms)?;
    }
    let failure = match fault {
        Some(SendFault::FailedLater(code)) => Some((*code, "Message failed.".to_owned())),
        _ if outside => Some(later(&Refusal::window_closed())),
        _ if kind == "reaction" && !can_react(world, request, Chat::Person(no)) => {
            Some((131_009, "The message that was reacted to is unknown or too old.".to_owned()))
        }
        _ => match marketing_refusal(world, no, &plan) {
            Some(refusal) if world.faults.marketing == WindowRule::Sync => return Err(refusal),
            Some(refusal) => Some(later(&refusal)),
            None => plan.failure.clone(),
        },
    };
    after_accept(world, no, by_number, now_ms);
    let held = plan.held;
    let status = plan.status();
    let seq = store(hub, world, request, kind, Chat::Person(no), plan, failure);
    process(hub, world, request, seq, held, now_ms);
    let (Some(message), Some(person)) = (world.messages.get(seq), world.people.get(no)) else {
        return Err(Refusal::unknown_error());
    };
    let user_id = (!by_number).then(|| person.user_id.clone());
    let wa_id = by_number.then(|| person.number.clone()).flatten();
    Ok((response_body(input, wa_id, user_id, &message.id, status), Some(seq)))
}

fn later(refusal: &Refusal) -> LaterFailure {
    (refusal.code, refusal.details.clone())
}

/// A message to a number reveals it, and a reply to a person who came from an ad opens the free
/// entry point.
fn after_accept(world: &mut World, no: PersonNo, by_number: bool, now_ms: i64) {
    let free_ms = i64::from(world.faults.entry_point_hours) * 3_600_000;
    let Some(person) = world.people.get_mut(no) else { return };
    if by_number {
        person.reveal_number(now_ms);
    }
    if now_ms < person.entry_offered_until_ms {
        person.entry_offered_until_ms = 0;
        person.free_until_ms = now_ms.saturating_add(free_ms);
    }
}

/// Refuses marketing messages to people who opted out, to US numbers, and under the fault
/// `marketing_capped`.
fn marketing_refusal(world: &mut World, no: PersonNo, plan: &Plan) -> Option<Refusal> {
    if plan.category != "marketing" || world.faults.marketing == WindowRule::Off {
        return None;
    }
    let person = world.people.get(no)?;
    if person.marketing_stopped {
        return Some(Refusal::stopped_marketing());
    }
    let american = person.user_id.starts_with("US.");
    (american || world.faults.marketing_capped(&mut world.rng)).then(Refusal::not_healthy)
}

/// Applies the effects of an accepted message: reactions, pins and message states.
fn process(hub: &Hub, world: &mut World, request: &Value, seq: u64, held: bool, now_ms: i64) {
    let Some(message) = world.messages.get(seq) else { return };
    let (failed, chat, kind) = (message.error.is_some(), message.chat, message.kind.clone());
    if kind == "reaction" && !failed {
        react(hub, world, request, chat);
    }
    if let (Chat::Group(group), "pin", false) = (chat, kind.as_str(), failed) {
        content::pin(world, group, request);
        view::publish_group(hub, world, group);
    }
    if held && !failed {
        let due_ms = now_ms.saturating_add(world.faults.template_hold_ms);
        view::publish_message(hub, world, seq);
        hub.webhook_sender.schedule(now_ms, due_ms, ScheduledAction::Release(seq));
    } else {
        receipts::reach(hub, world, seq, if failed { MessageState::Failed } else { MessageState::Sent });
    }
}

fn to_group(
    hub: &Hub,
    world: &mut World,
    request: &Value,
    kind: &str,
    plan: Plan,
    fault: &Option<SendFault>,
) -> Result<(Value, Option<u64>), Refusal> {
    let now_ms = hub.clock.now_ms();
    let id = request.get("to").and_then(Value::as_str).ok_or_else(|| Refusal::missing("to"))?;
    let no = world.groups.find(id).ok_or_else(|| Refusal::new(131_041, "This group does not exist."))?;
    enforce_rates(world, None, now_ms)?;
    let group = world.groups.get(no).ok_or_else(Refusal::unknown_error)?;
    if group.suspended {
        return Err(Refusal::new(131_207, "This group is suspended."));
    }
    if group.members.is_empty() {
        return Err(Refusal::new(131_020, "The group has only one member, the business."));
    }
    if plan.needs_phone {
        return Err(Refusal::new(131_051, "Authentication templates do not go to groups."));
    }
    let outside = !plan.first && !group.window_open(now_ms) && world.faults.window != WindowRule::Off;
    if outside && world.faults.window == WindowRule::Sync {
        return Err(Refusal::window_closed());
    }
    let failure = match fault {
        Some(SendFault::FailedLater(code)) => Some((*code, "Message failed.".to_owned())),
        _ if outside => Some(later(&Refusal::window_closed())),
        _ => plan.failure.clone(),
    };
    let status = plan.status();
    let seq = store(hub, world, request, kind, Chat::Group(no), plan, failure);
    process(hub, world, request, seq, false, now_ms);
    let message = world.messages.get(seq).ok_or_else(Refusal::unknown_error)?;
    let mut response = response_body(id, Some(id.to_owned()), None, &message.id, status);
    if let Some(message) = response.pointer_mut("/messages/0").and_then(Value::as_object_mut) {
        message.insert("group_id".to_owned(), json!(id));
    }
    Ok((response, Some(seq)))
}

/// Stores an accepted message; returns its sequence number.
fn store(
    hub: &Hub,
    world: &mut World,
    request: &Value,
    kind: &str,
    chat: Chat,
    plan: Plan,
    failure: Option<LaterFailure>,
) -> u64 {
    let now_ms = hub.clock.now_ms();
    let address = match chat {
        Chat::Person(no) => world.people.get(no).map_or("", |person| person.address()),
        Chat::Group(no) => world.groups.get(no).map_or("", |group| group.id.as_str()),
    };
    let id = hub.ids.message(address, false);
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let audience = match chat {
        Chat::Person(_) => Vec::new(),
        Chat::Group(no) => world.groups.get(no).map_or_else(Vec::new, |group| {
            group.members.iter().map(|person| (*person, MessageState::Accepted)).collect()
        }),
    };
    let recipients = u32::try_from(audience.len()).unwrap_or(u32::MAX).max(1);
    let terms = world.chat_terms(chat, now_ms);
    let pricing = match failure {
        None => account::price(&mut world.account, terms, kind, plan.category, recipients, now_ms),
        Some(_) => None,
    };
    let (error, error_details) = failure.unzip();
    let message = Message {
        seq: 0,
        id,
        from_business: true,
        chat,
        author: None,
        before: None,
        kind: kind.to_owned(),
        at_ms: now_ms,
        body: request.get(kind).and_then(|body| to_raw_value(body).ok()).unwrap_or_else(|| RawValue::NULL.to_owned()),
        rendered: plan.rendered,
        context: request.get("context").and_then(|context| text(context, "message_id")),
        callback_data: text(request, "biz_opaque_callback_data"),
        pricing,
        template_id: plan.template_id,
        states: vec![Step { state: MessageState::Accepted, at_ms: now_ms }],
        audience,
        error,
        error_details,
        reactions: Vec::new(),
    };
    world.counts.reached(MessageState::Accepted);
    let (seq, evicted) = world.messages.push(message);
    world.counts.evicted += u64::from(evicted);
    seq
}

fn target(world: &World, request: &Value, chat: Chat) -> Option<u64> {
    let id = request.get("reaction")?.get("message_id")?.as_str()?;
    world.messages.find(id).filter(|seq| world.messages.get(*seq).is_some_and(|message| message.chat == chat))
}

fn can_react(world: &World, request: &Value, chat: Chat) -> bool {
    world.counts.evicted > 0 || target(world, request, chat).is_some()
}

fn react(hub: &Hub, world: &mut World, request: &Value, chat: Chat) {
    let Some(seq) = target(world, request, chat) else { return };
    let emoji = request.get("reaction").and_then(|r| r.get("emoji")).and_then(Value::as_str).unwrap_or_default();
    if let Some(message) = world.messages.get_mut(seq) {
        message.react(None, emoji);
        view::publish_message(hub, world, seq);
    }
}

/// Sends the failed status of a message to a number that does not exist.
fn fail_undeliverable(hub: &Hub, world: &mut World, request: &Value, id: &str, input: &str, now_ms: i64) {
    world.counts.reached(MessageState::Accepted);
    world.counts.reached(MessageState::Failed);
    let mut status = json!({
        "id": id, "status": "failed", "timestamp": now_ms.div_euclid(1000).to_string(),
        "recipient_id": people::digits(input),
        "errors": [Refusal::undeliverable().in_status()],
    });
    if let (Some(data), Some(status)) = (request.get("biz_opaque_callback_data"), status.as_object_mut()) {
        status.insert("biz_opaque_callback_data".to_owned(), data.clone());
    }
    if world.faults.receipts {
        let lane = crate::hub::random_lane(world);
        let json = crate::wire::to_json(&status).into();
        hub.deliver(world, Update { json, ..Update::new(lane, UpdateKind::Status(MessageState::Failed)) });
    }
}

fn response_body(input: &str, wa_id: Option<String>, user_id: Option<String>, id: &str, status: Option<&str>) -> Value {
    let mut contact = json!({"input": input});
    if let Some(contact) = contact.as_object_mut() {
        contact.extend(wa_id.map(|wa_id| ("wa_id".to_owned(), json!(wa_id))));
        contact.extend(user_id.map(|user_id| ("user_id".to_owned(), json!(user_id))));
    }
    let mut message = json!({"id": id});
    if let (Some(status), Some(message)) = (status, message.as_object_mut()) {
        message.insert("message_status".to_owned(), json!(status));
    }
    json!({"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]})
}
