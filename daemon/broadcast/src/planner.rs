//! Planning: who gets a broadcast, in which language and with which values, and what that would
//! cost.
//!
//! People are read in pages and written in chunks, so that the writer serves live traffic between
//! two of them. Until the last chunk is written the broadcast counts as not planned, so that a
//! crash in the middle starts nothing.

use crate::context::Context;
use crate::error::BroadcastError;
use crate::plan::{Plan, PlanCost, Sample};
use crate::templates::Templates;
use beadle_gate::broadcast::BroadcastMessage;
use beadle_gate::{Draft, Facts, GateVerdict, TemplateFacts, templates};
use beadle_gatekeeper::Gatekeeper;
use beadle_model::broadcast::BroadcastDefinition;
use beadle_model::effect::PriceKey;
use beadle_model::{Audience, BroadcastId, ContactId, ConversationView, Day, Outgoing, TemplateDefinition, Timestamp};
use beadle_segments::{Members, SegmentError};
use beadle_store::{BroadcastRow, PlannedRecipient, Reader, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The people in one transaction: a few milliseconds of the writer's time.
const CHUNK: usize = 500;
/// The number of samples for each language.
const SAMPLES: usize = 5;
/// The maximum number of languages with samples.
const SAMPLED_LANGUAGES: usize = 20;

/// The input of planning.
struct Planner {
    row: BroadcastRow,
    definition: BroadcastDefinition,
    message: BroadcastMessage,
    earlier: Option<BroadcastId>,
    /// The contacts of an audience that lists them, in the order of their ids.
    listed: Vec<ContactId>,
    gatekeeper: Gatekeeper,
    templates: Templates,
    /// The members of an audience that is a segment or list.
    members: Option<Members>,
    now: Timestamp,
}

/// Some of the people, and the last of them if there are more.
struct Page {
    recipients: Vec<PlannedRecipient>,
    tally: Tally,
    next: Option<ContactId>,
}

/// The sums over pages.
#[derive(Default)]
struct Tally {
    plan: Plan,
    costs: BTreeMap<PriceKey, u64>,
}

impl Planner {
    fn page(&self, reader: &Reader, after: ContactId) -> Result<Page, StoreError> {
        let (people, next) = match (&self.definition.audience, &self.members) {
            (_, Some(members)) => {
                let page = members.page(Some(after).filter(|after| after.0 > 0), CHUNK)?;
                (page.members, page.next)
            }
            (Audience::Contacts(_), _) => {
                let start = self.listed.partition_point(|contact| *contact <= after);
                let people: Vec<ContactId> = self.listed.iter().skip(start).take(CHUNK).copied().collect();
                let next = people.last().copied().filter(|_| start + people.len() < self.listed.len());
                (people, next)
            }
            (audience, _) => {
                let people = reader.audience(audience, self.earlier, (after, self.now), CHUNK)?;
                let next = people.last().copied().filter(|_| people.len() == CHUNK);
                (people, next)
            }
        };
        let mut tally = Tally::default();
        let mut planned = Vec::with_capacity(people.len());
        for (contact, view) in reader.conversations_on(&self.row.channel, &people)? {
            tally.plan.audience += 1;
            planned.push(self.recipient(contact, view.as_ref(), &mut tally)?);
        }
        Ok(Page { recipients: planned, tally, next })
    }

    fn recipient(
        &self,
        contact: ContactId,
        view: Option<&ConversationView>,
        tally: &mut Tally,
    ) -> Result<PlannedRecipient, StoreError> {
        let conversation = view.map(|view| view.id);
        let mut refused = |code: &str| {
            *tally.plan.excluded.entry(code.to_owned()).or_default() += 1;
            let refused = Some(code.to_owned());
            Ok(PlannedRecipient { contact, conversation, refused, language: None, parameters: Vec::new() })
        };
        let Some(view) = view else { return refused("no-recipient") };
        let parameters = self.message.values(&view.contact);
        let language = self.templates.language(&self.message, view);
        let frozen = (language.as_str(), parameters.as_slice());
        let prepared = self.templates.prepare(&self.message, view, frozen, self.now);
        let (body, facts) = match prepared {
            Ok(prepared) => prepared,
            Err(code) => return refused(code),
        };
        let definition = match &facts {
            TemplateFacts::Defined(definition) => Some(definition.clone()),
            _ => None,
        };
        let broadcast = &self.definition;
        let draft = Draft { purpose: Some(&broadcast.purpose), expires: broadcast.expires, ..Draft::new(&body) };
        let (verdict, price) = self.gatekeeper.plan(&draft, facts, view, self.now)?;
        match verdict {
            GateVerdict::Send => {}
            GateVerdict::Later { check, .. } => *tally.plan.deferred.entry(check.name().to_owned()).or_default() += 1,
            GateVerdict::TemplateNeeded(_) => return refused("window-closed"),
            GateVerdict::Refused(refusal) => return refused(&refusal.code),
        }
        let service = || PriceKey { country: String::new(), category: "service".into() };
        *tally.costs.entry(price.unwrap_or_else(service)).or_default() += 1;
        tally.plan.recipients += 1;
        tally.plan.open_windows += u64::from(Facts::new(view, self.now).has_open_window());
        let language = Some(language).filter(|language| !language.is_empty());
        if let Some(language) = &language {
            *tally.plan.languages.entry(language.clone()).or_default() += 1;
        }
        let kind = kind_of(&body, language.as_deref());
        if tally.wants_sample(&kind) {
            tally.plan.samples.push(Sample { kind, contact, lines: lines_of(&body, definition.as_deref()) });
        }
        Ok(PlannedRecipient { contact, conversation, refused: None, language, parameters })
    }
}

impl Tally {
    fn add(&mut self, other: Tally) {
        let plan = &mut self.plan;
        plan.audience += other.plan.audience;
        plan.recipients += other.plan.recipients;
        plan.open_windows += other.plan.open_windows;
        for (into, from) in [
            (&mut plan.excluded, other.plan.excluded),
            (&mut plan.deferred, other.plan.deferred),
            (&mut plan.languages, other.plan.languages),
        ] {
            from.into_iter().for_each(|(key, count)| *into.entry(key).or_default() += count);
        }
        other.costs.into_iter().for_each(|(key, count)| *self.costs.entry(key).or_default() += count);
        for sample in other.plan.samples {
            if self.wants_sample(&sample.kind) {
                self.plan.samples.push(sample);
            }
        }
    }

    /// Whether there are too few samples of a kind.
    fn wants_sample(&self, kind: &str) -> bool {
        let samples = &self.plan.samples;
        let of_kind = samples.iter().filter(|sample| sample.kind == kind).count();
        of_kind < SAMPLES && (of_kind > 0 || samples.len() < SAMPLED_LANGUAGES * SAMPLES)
    }
}

/// `template in nl`, `text`, …
fn kind_of(body: &Outgoing, language: Option<&str>) -> String {
    let kind = match body {
        Outgoing::Template(_) => "template",
        Outgoing::Text { .. } | Outgoing::Media { .. } => "text",
        _ => "message",
    };
    let language = language.map(|language| format!(" in {language}")).unwrap_or_default();
    format!("{kind}{language}")
}

/// The message as a recipient would read it.
fn lines_of(body: &Outgoing, definition: Option<&TemplateDefinition>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    match (body, definition) {
        (Outgoing::Template(message), Some(definition)) => {
            let preview = templates::preview(definition, message);
            let parts = preview.header.into_iter().chain([preview.body]).chain(preview.footer);
            parts.for_each(|part| lines.extend(part.lines().map(str::to_owned)));
            lines.extend(preview.buttons.into_iter().map(|button| format!("[{button}]")));
        }
        (Outgoing::Template(message), None) => {
            lines.push(format!("template {} in {}", message.name, message.language));
        }
        (Outgoing::Text { body, .. }, _) => lines.extend(body.lines().map(str::to_owned)),
        (Outgoing::Media { media, caption, .. }, _) => {
            lines.push(format!("[{}]", media.name()));
            lines.extend(caption.iter().flat_map(|caption| caption.lines()).map(str::to_owned));
        }
        _ => {}
    }
    lines
}

/// Plans a draft, or plans a planned or paused broadcast again: recipients whose message was handed
/// over keep their row.
///
/// # Errors
/// If it is being sent or has ended, or its template does not fit.
pub(crate) async fn plan(context: &Context, id: BroadcastId) -> Result<Plan, BroadcastError> {
    let _one_at_a_time = context.planning.lock().await;
    let planned = plan_now(context, id).await;
    context.planned.lock().remove(&id);
    planned
}

async fn plan_now(context: &Context, id: BroadcastId) -> Result<Plan, BroadcastError> {
    let (row, definition, message) = context.load(id).await?;
    context.check_expiry(&row, &definition)?;
    let earlier = match &definition.audience {
        Audience::Broadcast(follow_up) => Some(context.find(&follow_up.of).await?.id),
        _ => None,
    };
    let (gatekeeper, channel, now) = (context.gatekeeper.clone(), row.channel.clone(), context.clock.now());
    let segments = context.segments.clone();
    let planner = context.store.read(move |reader| {
        let members = match &definition.audience {
            Audience::Segment(name) => match segments.members(name, now) {
                Ok(members) => Some(members),
                Err(SegmentError::Store(error)) => return Err(error),
                Err(unknown) => return Ok(Err(BroadcastError::Invalid(unknown.to_string()))),
            },
            _ => None,
        };
        let templates = Templates::read(reader, &gatekeeper, &channel, &message)?;
        let listed = match &definition.audience {
            Audience::Contacts(contacts) => reader.current_contacts(contacts)?,
            _ => Vec::new(),
        };
        Ok(Ok(Planner { row, definition, message, earlier, listed, gatekeeper, templates, members, now }))
    });
    let planner = Arc::new(planner.await??);
    check_template(&planner)?;
    if !context.store.begin_planning(id).await? {
        let row = context.row(id).await?;
        return Err(BroadcastError::State { name: row.name, state: row.state, verb: "planned" });
    }
    let mut after = ContactId(0);
    while let Some(last) = context.store.unplan_broadcast(id, after).await? {
        after = last;
    }
    let mut total = Tally::default();
    let mut page = Some(read_page(context, &planner, ContactId(0)).await?);
    while let Some(Page { recipients, tally, next }) = page.take() {
        total.add(tally);
        context.planned.lock().insert(id, total.plan.audience);
        // The next page is read while this one is written.
        let write = context.store.plan_recipients(id, recipients);
        match next {
            Some(next) => {
                let (written, following) = tokio::join!(write, read_page(context, &planner, next));
                written?;
                page = Some(following?);
            }
            None => write.await?,
        }
    }
    let plan = priced(total, &planner);
    let json = serde_json::to_string(&plan).map_err(|error| BroadcastError::Invalid(error.to_string()))?;
    context.store.finish_planning(id, json).await?;
    Ok(plan)
}

async fn read_page(context: &Context, planner: &Arc<Planner>, after: ContactId) -> Result<Page, StoreError> {
    let planner = Arc::clone(planner);
    context.store.read(move |reader| planner.page(reader, after)).await
}

/// Refuses a template that would be refused for every recipient.
fn check_template(planner: &Planner) -> Result<(), BroadcastError> {
    let Planner { templates, message, definition, .. } = planner;
    if let Some(message) = templates.category_mismatch(&definition.purpose) {
        return Err(BroadcastError::Template { message });
    }
    let (Some(name), Some(known)) = (message.template_name(), &templates.known) else { return Ok(()) };
    if known.is_empty() {
        return Err(templates::unknown(name, message.template_language().unwrap_or_default(), &[]).into());
    }
    let Some(usable) = known.iter().find(|definition| definition.is_approved()) else {
        return known.iter().try_for_each(templates::check_status).map_err(BroadcastError::from);
    };
    let values = message.values(&beadle_model::Contact::unknown());
    if let Some(Outgoing::Template(filled)) = message.template(&usable.language, &values) {
        templates::check_parameters(&filled, usable)?;
    }
    Ok(())
}

fn priced(total: Tally, planner: &Planner) -> Plan {
    let rates = planner.gatekeeper.rates();
    let day = Day::of(planner.now);
    let cost = |(key, recipients): (PriceKey, u64)| {
        let rate = match key.category.as_str() {
            "service" => Some(0),
            category => rates.rate(&key.country, category, day).map(|rate| rate.0),
        };
        let PriceKey { country, category } = key;
        PlanCost { country, category, recipients, amount: rate.map(|rate| rate.saturating_mul(recipients)) }
    };
    let mut samples = total.plan.samples;
    samples.sort_by(|one, other| one.kind.cmp(&other.kind));
    let used = |language: &String| total.plan.languages.contains_key(language);
    Plan {
        templates: planner.templates.fingerprints().into_iter().filter(|(language, _)| used(language)).collect(),
        quality: planner.templates.quality().into_iter().filter(|(language, _)| used(language)).collect(),
        costs: total.costs.into_iter().map(cost).collect(),
        currency: rates.currency,
        samples,
        ..total.plan
    }
}
