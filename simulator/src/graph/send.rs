//! `POST /{version}/{phone_number_id}/messages`: what the business sends.
//!
//! The order of judgement is the platform's as far as it shows: token, path, shape, account, rates, template, window. Faults
//! strike a request that could be read, before anything is accepted or right after.

use super::{Reply, authorise};
use crate::deeds::Deed;
use crate::hub::{Hub, World};
use crate::knobs::{SendFault, WindowRule};
use crate::letter::{Update, What};
use crate::line::Line;
use crate::messages::{Chat, Message, State, Step};
use crate::people::{self, PersonNo};
use crate::receipts;
use crate::refusal::Refusal;
use crate::{account, limits, view};
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

use content::Plan;
use recipient::{address, hold_to_rates, recipient};

/// How long the typing dots stay without an answer (whatsapp.md 2.2).
const TYPING_MS: i64 = 25_000;

/// Why a message that was accepted is not delivered after all: the platform's code and words.
type Trouble = (u32, String);

pub(crate) async fn messages(
    Shared(hub): Shared<Arc<Hub>>,
    ConnectInfo(line): ConnectInfo<Line>,
    Path((version, number)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let started = Instant::now();
    let reply = match authorise(&hub, &headers, &version, None) {
        Ok(()) if number != hub.config.phone_number_id => Reply::refused(&hub, &Refusal::no_such(&number)),
        Ok(()) => judge(&hub, &body),
        Err(refusal) => Reply::refused(&hub, &refusal),
    };
    super::finish(&hub, &line, &Method::POST, &uri, &body, started, reply).await
}

fn judge(hub: &Hub, body: &[u8]) -> Reply {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Reply::refused(hub, &Refusal::new(100, "The body is not JSON."));
    };
    if request.get("status").is_some() {
        return match mark_read(hub, &request) {
            Ok((body, about)) => Reply { about, ..Reply::good(body) },
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
        world.knobs.send_fault(&mut world.chance, kind)
    };
    world.counts.faults += u64::from(fault.is_some());
    let reply = match fault {
        Some(SendFault::Timeout | SendFault::DropBefore) => Reply::bare(500),
        Some(SendFault::Bare(status)) => Reply::bare(status),
        Some(SendFault::Error(code)) => {
            let refusal = match code {
                131_000 => Refusal::something_wrong(),
                code => Refusal::new(code, "A fault on demand."),
            };
            Reply { status: refusal.status(), ..Reply::good(refusal.answer(&hub.ids.trace())) }
        }
        _ => match accept(hub, &mut world, &request, kind, &fault) {
            Ok((body, about)) => Reply { about, ..Reply::good(body) },
            Err(refusal) => {
                drop(world);
                Reply::refused(hub, &refusal)
            }
        },
    };
    Reply { fault, ..reply }
}

/// Marks as read, and shows typing where asked to.
fn mark_read(hub: &Hub, request: &Value) -> Result<(Value, Option<u64>), Refusal> {
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
    let found = world.messages.find(id).filter(|seq| world.messages.get(*seq).is_some_and(|m| !m.from_business));
    match found {
        Some(seq) => {
            receipts::marked_read(hub, &mut world, seq);
            let message = world.messages.get(seq).filter(|_| typing);
            if let Some((chat, who)) = message.and_then(|message| Some((message.chat, message.author?))) {
                let until_ms = hub.clock.now_ms() + TYPING_MS;
                let group = view::group_id(&world, chat).map(str::to_owned);
                hub.tell(
                    || json!({"kind": "typing", "person": world.people.id(who), "group": group, "until_ms": until_ms}),
                );
            }
        }
        // Where messages were forgotten it may have been one of them.
        None if world.counts.forgotten > 0 => {}
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
    if !world.knobs.payment_method
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
    hold_to_rates(world, found, now_ms)?;
    let Some(no) = found else {
        // Nobody has this number: accepted, and never delivered. There is nobody to keep it with either.
        let id = hub.ids.message(input, false);
        undeliverable(hub, world, request, &id, input, now_ms);
        return Ok((answer(input, by_number.then(|| people::digits(input)).flatten(), None, &id, plan.status()), None));
    };
    let open = world.people.get(no).is_some_and(|person| person.window_open(now_ms));
    let outside = !plan.first && !open && world.knobs.window != WindowRule::Off;
    if outside && world.knobs.window == WindowRule::Sync {
        return Err(Refusal::window_closed());
    }
    if plan.first && !open {
        account::write_first(world, no, now_ms)?;
    }
    let trouble = match fault {
        Some(SendFault::FailedLater(code)) => Some((*code, "Message failed.".to_owned())),
        _ if outside => Some(known(&Refusal::window_closed())),
        _ if kind == "reaction" && !can_react(world, request, Chat::Person(no)) => {
            Some((131_009, "The message that was reacted to is unknown or too old.".to_owned()))
        }
        _ => match marketing(world, no, &plan) {
            Some(refusal) if world.knobs.marketing == WindowRule::Sync => return Err(refusal),
            Some(refusal) => Some(known(&refusal)),
            None => plan.trouble.clone(),
        },
    };
    called(world, no, by_number, now_ms);
    let held = plan.held;
    let status = plan.status();
    let seq = keep(hub, world, request, kind, Chat::Person(no), plan, trouble);
    send_on(hub, world, request, seq, held, now_ms);
    let (Some(message), Some(person)) = (world.messages.get(seq), world.people.get(no)) else {
        return Err(Refusal::something_wrong());
    };
    let user_id = (!by_number).then(|| person.user_id.clone());
    let wa_id = by_number.then(|| person.number.clone()).flatten();
    Ok((answer(input, wa_id, user_id, &message.id, status), Some(seq)))
}

fn known(refusal: &Refusal) -> Trouble {
    (refusal.code, refusal.details.clone())
}

/// A message to a number makes it known, and an answer to whoever came by an ad opens the free entry point.
fn called(world: &mut World, no: PersonNo, by_number: bool, now_ms: i64) {
    let free_ms = i64::from(world.knobs.entry_point_hours) * 3_600_000;
    let Some(person) = world.people.get_mut(no) else { return };
    if by_number {
        person.was_called_by_number(now_ms);
    }
    if now_ms < person.entry_offered_until_ms {
        person.entry_offered_until_ms = 0;
        person.free_until_ms = now_ms.saturating_add(free_ms);
    }
}

/// Marketing does not go to those who stopped it, not to the United States, and not to those who had enough.
fn marketing(world: &mut World, no: PersonNo, plan: &Plan) -> Option<Refusal> {
    if plan.category != "marketing" || world.knobs.marketing == WindowRule::Off {
        return None;
    }
    let person = world.people.get(no)?;
    if person.marketing_stopped {
        return Some(Refusal::stopped_marketing());
    }
    let american = person.user_id.starts_with("US.");
    (american || world.knobs.marketing_capped(&mut world.chance)).then(Refusal::not_healthy)
}

/// What follows on acceptance: a reaction shows, a pin holds, the states are reached.
fn send_on(hub: &Hub, world: &mut World, request: &Value, seq: u64, held: bool, now_ms: i64) {
    let Some(message) = world.messages.get(seq) else { return };
    let (failed, chat, kind) = (message.error.is_some(), message.chat, message.kind.clone());
    if kind == "reaction" && !failed {
        react(hub, world, request, chat);
    }
    if let (Chat::Group(group), "pin", false) = (chat, kind.as_str(), failed) {
        content::pin(world, group, request);
        view::tell_group(hub, world, group);
    }
    if held && !failed {
        let due_ms = now_ms.saturating_add(world.knobs.template_hold_ms);
        view::tell(hub, world, seq);
        hub.courier.later(now_ms, due_ms, Deed::Release(seq));
    } else {
        receipts::reach(hub, world, seq, if failed { State::Failed } else { State::Sent });
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
    hold_to_rates(world, None, now_ms)?;
    let group = world.groups.get(no).ok_or_else(Refusal::something_wrong)?;
    if group.suspended {
        return Err(Refusal::new(131_207, "This group is suspended."));
    }
    if group.members.is_empty() {
        return Err(Refusal::new(131_020, "The group has one member only, the business."));
    }
    if plan.needs_phone {
        return Err(Refusal::new(131_051, "Authentication templates do not go to groups."));
    }
    let outside = !plan.first && !group.window_open(now_ms) && world.knobs.window != WindowRule::Off;
    if outside && world.knobs.window == WindowRule::Sync {
        return Err(Refusal::window_closed());
    }
    let trouble = match fault {
        Some(SendFault::FailedLater(code)) => Some((*code, "Message failed.".to_owned())),
        _ if outside => Some(known(&Refusal::window_closed())),
        _ => plan.trouble.clone(),
    };
    let status = plan.status();
    let seq = keep(hub, world, request, kind, Chat::Group(no), plan, trouble);
    send_on(hub, world, request, seq, false, now_ms);
    let message = world.messages.get(seq).ok_or_else(Refusal::something_wrong)?;
    let mut answer = answer(id, Some(id.to_owned()), None, &message.id, status);
    if let Some(message) = answer.pointer_mut("/messages/0").and_then(Value::as_object_mut) {
        message.insert("group_id".to_owned(), json!(id));
    }
    Ok((answer, Some(seq)))
}

fn keep(
    hub: &Hub,
    world: &mut World,
    request: &Value,
    kind: &str,
    chat: Chat,
    plan: Plan,
    trouble: Option<Trouble>,
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
        Chat::Group(no) => world
            .groups
            .get(no)
            .map_or_else(Vec::new, |g| g.members.iter().map(|who| (*who, State::Accepted)).collect()),
    };
    let recipients = u32::try_from(audience.len()).unwrap_or(u32::MAX).max(1);
    let pricing = match trouble {
        None => account::price(world, chat, kind, plan.category, recipients, now_ms),
        Some(_) => None,
    };
    let (error, error_details) = trouble.unzip();
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
        states: vec![Step { state: State::Accepted, at_ms: now_ms }],
        audience,
        error,
        error_details,
        reactions: Vec::new(),
    };
    world.counts.reached(State::Accepted);
    let (seq, forgotten) = world.messages.push(message);
    world.counts.forgotten += u64::from(forgotten);
    seq
}

fn target(world: &World, request: &Value, chat: Chat) -> Option<u64> {
    let id = request.get("reaction")?.get("message_id")?.as_str()?;
    world.messages.find(id).filter(|seq| world.messages.get(*seq).is_some_and(|message| message.chat == chat))
}

fn can_react(world: &World, request: &Value, chat: Chat) -> bool {
    world.counts.forgotten > 0 || target(world, request, chat).is_some()
}

fn react(hub: &Hub, world: &mut World, request: &Value, chat: Chat) {
    let Some(seq) = target(world, request, chat) else { return };
    let emoji = request.get("reaction").and_then(|r| r.get("emoji")).and_then(Value::as_str).unwrap_or_default();
    if let Some(message) = world.messages.get_mut(seq) {
        message.react(None, emoji);
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
        hub.deliver(world, Update { json, ..Update::new(lane, What::Status(State::Failed)) });
    }
}

fn answer(input: &str, wa_id: Option<String>, user_id: Option<String>, id: &str, status: Option<&str>) -> Value {
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
