//! The commands of operators and plugins to a broadcast.

use crate::context::Context;
use crate::error::BroadcastError;
use crate::plan::Plan;
use crate::templates::{Templates, changed_template};
use beadle_gate::broadcast::BroadcastMessage;
use beadle_gate::{Draft, GateVerdict};
use beadle_model::broadcast::{BroadcastCommand, BroadcastDefinition};
use beadle_model::effect::SendOptions;
use beadle_model::{Audience, BroadcastId, BroadcastState, ContactId, MessageId, Outgoing, PluginNo, Purpose, Refusal};
use beadle_store::step::{NewSend, SendState};
use beadle_store::{BroadcastRow, StoreError};

/// The maximum number of contacts in a list; a larger audience needs a tag or a segment.
const MAX_LISTED: usize = 200_000;
/// The maximum number of contacts who get a test.
const MAX_TESTED: usize = 10;

/// Creates a draft. `author`: under whose number it is sent; `by`: who created it.
///
/// # Errors
/// If the definition is not valid, or the author has a broadcast with this name.
pub(crate) async fn create(
    context: &Context,
    author: PluginNo,
    by: &str,
    mut definition: BroadcastDefinition,
) -> Result<BroadcastId, BroadcastError> {
    check_definition(context, &mut definition)?;
    if let Audience::Broadcast(follow_up) = &mut definition.audience {
        // A later broadcast of another author may have the same name.
        follow_up.of = context.find(&follow_up.of).await?.id.to_string();
    }
    let name = definition.name.clone();
    let created = context.store.create_broadcast(author, by.to_owned(), definition).await?;
    created.ok_or(BroadcastError::Exists(name))
}

/// Checks a definition, and sets the channel if there is only one.
///
/// # Errors
/// If the definition is not valid.
fn check_definition(context: &Context, definition: &mut BroadcastDefinition) -> Result<(), BroadcastError> {
    let invalid = |message: String| Err(BroadcastError::Invalid(message));
    definition.check().map_err(BroadcastError::Invalid)?;
    match (definition.channel.as_str(), context.channels.as_slice()) {
        ("", [only]) => definition.channel.clone_from(only),
        ("", _) => {
            return invalid(format!(
                "`channel` must be set, because there are several: {}",
                context.channels.join(", ")
            ));
        }
        (name, known) if known.iter().any(|channel| channel == name) => {}
        (name, known) => {
            return invalid(format!("unknown channel `{name}`; the channels are {}", known.join(", ")));
        }
    }
    if let Audience::Contacts(contacts) = &definition.audience
        && !(1..=MAX_LISTED).contains(&contacts.len())
    {
        return invalid(format!("`audience.contacts` must contain 1 to {MAX_LISTED} contacts"));
    }
    if definition.expires.is_some_and(|expires| expires <= context.clock.now()) {
        return invalid("`expires` must be in the future".into());
    }
    let message = BroadcastMessage::new(definition, None).map_err(BroadcastError::Invalid)?;
    message.check_limits()?;
    Ok(())
}

/// Sends the message to some people now, in any state of the broadcast; it counts for no recipient.
/// The gate is asked as for every message.
///
/// # Errors
/// If the gate refuses or defers one of the messages.
pub(crate) async fn test(
    context: &Context,
    id: BroadcastId,
    contacts: Vec<ContactId>,
) -> Result<Vec<MessageId>, BroadcastError> {
    if contacts.is_empty() || contacts.len() > MAX_TESTED {
        return Err(BroadcastError::Invalid(format!("a test must have 1 to {MAX_TESTED} contacts")));
    }
    let (row, definition, message) = context.load(id).await?;
    let gatekeeper = context.gatekeeper.clone();
    let now = context.clock.now();
    let store = context.store.clone();
    let channel = row.channel.clone();
    let (author, purpose) = (row.plugin, definition.purpose.clone());
    let decided = context.store.read(move |reader| {
        let templates = Templates::read(reader, &gatekeeper, &channel, &message)?;
        let mut sends = Vec::new();
        for (contact, view) in reader.conversations_on(&channel, &contacts)? {
            let Some(view) = view else {
                return Ok(Err(Refusal::new("no-recipient", format!("{contact} has no conversation on `{channel}`."))));
            };
            let values = message.values(&view.contact);
            let language = templates.language(&message, &view);
            let prepared = templates.prepare(&message, &view, (&language, &values), now);
            let body = match prepared {
                Ok((body, _)) => body,
                Err(code) => {
                    return Ok(Err(Refusal::new(code, format!("The gate refuses the message to {contact}: {code}."))));
                }
            };
            let draft = Draft { purpose: Some(&purpose), ..Draft::new(&body) };
            let decision = gatekeeper.ask(&draft, author, &view, now)?;
            match decision.verdict {
                GateVerdict::Send => {}
                GateVerdict::Later { until, check } => {
                    let text =
                        format!("The gate defers the message to {contact} until {}: {}.", until.utc(), check.name());
                    return Ok(Err(Refusal::new(check.name(), text)));
                }
                GateVerdict::Refused(refusal) | GateVerdict::TemplateNeeded(refusal) => return Ok(Err(refusal)),
            }
            sends.push(new_send(store.reserve_message(), view.id, body, &purpose, &decision));
        }
        Ok(Ok(sends))
    });
    let sends = decided.await??;
    let mut messages = Vec::new();
    for send in sends {
        messages.push(send.message);
        let row = context.store.queue_test(row.plugin, send).await?;
        context.outbox.enqueue(vec![row]);
    }
    Ok(messages)
}

/// Records the approval of a second person.
///
/// # Errors
/// If it is not planned, or this person created it.
pub(crate) async fn approve(context: &Context, id: BroadcastId, by: &str) -> Result<BroadcastRow, BroadcastError> {
    let row = context.row(id).await?;
    if row.created_by.trim().eq_ignore_ascii_case(by.trim()) {
        return Err(BroadcastError::SamePerson { name: row.name, by: by.to_owned() });
    }
    if row.planned_at.is_none() {
        return Err(BroadcastError::NotPlanned(row.name));
    }
    // Only the plan that this person could see.
    match context.store.approve_broadcast(id, row.planned_at, by.trim().to_owned()).await? {
        true => Ok(row),
        false => Err(BroadcastError::State { name: row.name, state: row.state, verb: "approved" }),
    }
}

/// Starts to send a planned broadcast.
///
/// # Errors
/// If it is not planned, needs approval, has no recipients, or a template changed since planning.
pub(crate) async fn start(context: &Context, id: BroadcastId) -> Result<BroadcastRow, BroadcastError> {
    let row = context.row(id).await?;
    if row.state == BroadcastState::Draft {
        return Err(BroadcastError::NotPlanned(row.name));
    }
    if row.state.after(BroadcastCommand::Start).is_none() {
        return Err(BroadcastError::State { name: row.name, state: row.state, verb: "started" });
    }
    check(context, &row).await?;
    move_to_sending(context, row, BroadcastCommand::Start, "started").await
}

/// Resumes a paused broadcast. With `failed`, messages that failed are sent again, also of a
/// finished broadcast. Returns the number of these.
///
/// # Errors
/// As [`Broadcasts::start`].
pub(crate) async fn resume(context: &Context, id: BroadcastId, failed: bool) -> Result<u64, BroadcastError> {
    let row = context.row(id).await?;
    if row.state == BroadcastState::Finished && !failed {
        return Err(BroadcastError::State { name: row.name, state: row.state, verb: "resumed without `--failed`" });
    }
    if row.state.after(BroadcastCommand::Resume).is_none() {
        return Err(BroadcastError::State { name: row.name, state: row.state, verb: "resumed" });
    }
    check(context, &row).await?;
    let (mut retried, mut after) = (0, failed.then_some(ContactId(0)));
    while let Some(start) = after {
        let (count, last) = context.store.retry_failed_recipients(id, start).await?;
        retried += count;
        after = last;
    }
    move_to_sending(context, row, BroadcastCommand::Resume, "resumed").await?;
    Ok(retried)
}

/// Checks that a broadcast is planned, has recipients and approval, and has not expired, and that
/// its template is unchanged.
async fn check(context: &Context, row: &BroadcastRow) -> Result<(), BroadcastError> {
    let id = row.id;
    let name = || row.name.clone();
    let plan = context.store.read(move |reader| reader.broadcast_plan(id)).await?;
    let plan = plan.and_then(|json| Plan::read(&json));
    let Some(plan) = plan.filter(|_| row.planned_at.is_some()) else {
        return Err(BroadcastError::NotPlanned(name()));
    };
    if plan.recipients == 0 {
        return Err(BroadcastError::Empty(name()));
    }
    let limit = context.settings.read().approval_above;
    if limit > 0 && plan.recipients > limit && row.approved.is_none() {
        return Err(BroadcastError::NeedsApproval { name: name(), recipients: plan.recipients, limit });
    }
    let (_, definition, message) = context.load(id).await?;
    context.check_expiry(row, &definition)?;
    template_problem(context, row, &plan, &message).await?.map_or(Ok(()), Err)
}

async fn move_to_sending(
    context: &Context,
    row: BroadcastRow,
    command: BroadcastCommand,
    verb: &'static str,
) -> Result<BroadcastRow, BroadcastError> {
    let Some(to) = row.state.after(command) else {
        return Err(BroadcastError::State { name: row.name, state: row.state, verb });
    };
    let moved = context.store.move_broadcast(row.id, (row.state, to), None).await?;
    if !moved {
        let current = context.row(row.id).await?;
        if current.planned_at.is_none() {
            // Another command began to plan it.
            return Err(BroadcastError::NotPlanned(current.name));
        }
        return Err(BroadcastError::State { name: current.name, state: current.state, verb });
    }
    context.waits.lock().remove(&row.id);
    context.wake.ring();
    Ok(row)
}

/// Hands over no more messages, and takes back those that were not tried.
///
/// # Errors
/// If it is not being sent.
pub(crate) async fn pause(context: &Context, id: BroadcastId) -> Result<BroadcastRow, BroadcastError> {
    end(context, id, BroadcastCommand::Pause, "paused").await
}

/// Ends a broadcast, which cannot be resumed, and takes back messages that were not tried.
///
/// # Errors
/// If it has ended.
pub(crate) async fn stop(context: &Context, id: BroadcastId) -> Result<BroadcastRow, BroadcastError> {
    end(context, id, BroadcastCommand::Stop, "stopped").await
}

async fn end(
    context: &Context,
    id: BroadcastId,
    command: BroadcastCommand,
    verb: &'static str,
) -> Result<BroadcastRow, BroadcastError> {
    // A rule may pause it at the same time.
    for _ in 0..3 {
        let row = context.row(id).await?;
        let Some(to) = row.state.after(command) else {
            return Err(BroadcastError::State { name: row.name, state: row.state, verb });
        };
        if context.store.move_broadcast(id, (row.state, to), None).await? {
            context.wake.ring();
            return Ok(row);
        }
    }
    let row = context.row(id).await?;
    Err(BroadcastError::State { name: row.name, state: row.state, verb })
}

/// Why the template differs from the plan; `None` if it does not.
pub(crate) async fn template_problem(
    context: &Context,
    row: &BroadcastRow,
    plan: &Plan,
    message: &BroadcastMessage,
) -> Result<Option<BroadcastError>, StoreError> {
    let (gatekeeper, channel) = (context.gatekeeper.clone(), row.channel.clone());
    let (message, plan, name) = (message.clone(), plan.clone(), row.name.clone());
    let found = context.store.read(move |reader| {
        Ok(changed_template(&Templates::read(reader, &gatekeeper, &channel, &message)?, &plan, &name))
    });
    found.await
}

/// The row of the outbox for a message that the gate passed.
pub(crate) fn new_send(
    message: MessageId,
    conversation: beadle_model::ConversationId,
    body: Outgoing,
    purpose: &Purpose,
    decision: &beadle_gatekeeper::Decision,
) -> NewSend {
    NewSend {
        message,
        conversation,
        body,
        reply: false,
        options: SendOptions { purpose: Some(purpose.clone()), key: None },
        state: SendState::Queued,
        due_at: NewSend::AT_ONCE,
        gate: serde_json::to_string(&decision.trace).ok(),
        outreach: decision.outreach.clone(),
    }
}
