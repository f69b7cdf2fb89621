//! Whatever happens between the moment when a plugin asks for a message and the moment when it
//! leaves, and in whatever order: nothing forbidden leaves. What is forbidden is derived here from
//! the list of what happened, not from the views by which the gate decides.

use super::*;
use beadle_model::consent::rules::PlannedConsent;
use beadle_model::event::Pricing;
use beadle_model::keyword::{Keyword, Language};
use beadle_model::profile::ProfileEdit;
use beadle_model::{Role, TemplateDefinition};
use beadle_store::AskedBy;
use beadle_store::ContactEdit;
use proptest::prelude::*;
use std::collections::BTreeSet;

const PEOPLE: i64 = 3;
const PER_DAY: usize = 2;
const MESSAGING_LIMIT: usize = 2;
const MINUTE_MS: i64 = 60_000;
/// By how much the platform's clock and this one may differ.
const CLOCKS_MS: i64 = 5000;

/// What a message is, and what its sender states.
#[derive(Clone, Debug)]
struct Wanted {
    /// The template's name; a text if there is none.
    template: Option<&'static str>,
    purpose: Option<Purpose>,
    key: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Op {
    Wait(i64),
    Write(i64),
    Say(i64, Keyword),
    Consent(i64, Purpose, ConsentAct),
    /// The preference for marketing that the person sets in WhatsApp.
    Preference(i64, bool),
    Ban(i64, bool),
    Erase(i64),
    TemplateStatus(&'static str, &'static str),
    TemplateCategory(&'static str),
    Stop(StopSwitch),
    /// The platform holds templates of the number (131048).
    Hold,
    Ask(i64, Wanted),
    /// The message that waits longest, or the one after it and so on, is about to leave. The
    /// platform's answer is a code, or none if it takes the message.
    Leave(usize, Option<&'static str>),
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![
        Just(Purpose::Service),
        Just(Purpose::Marketing),
        Just(Purpose::MarketingTopic("cats".into())),
        Just(Purpose::Group),
        Just(Purpose::Survey),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let person = || 1..=PEOPLE;
    let name = || prop_oneof![Just("news"), Just("order")];
    let wanted = (
        prop::option::of(name()),
        prop::option::of(purpose()),
        prop::option::weighted(0.3, prop_oneof![Just("one"), Just("two")]),
    )
        .prop_map(|(template, purpose, key)| Wanted { template, purpose, key });
    let act =
        prop_oneof![3 => Just(ConsentAct::Granted), 1 => Just(ConsentAct::Withdrawn), 1 => Just(ConsentAct::Requested)];
    let keyword = prop_oneof![
        Just(Keyword::Stop),
        Just(Keyword::Start),
        Just(Keyword::Start),
        Just(Keyword::Leave),
        Just(Keyword::Join),
        Just(Keyword::StopMarketing),
    ];
    let refusal = prop::option::weighted(0.2, prop_oneof![Just("131049"), Just("131050"), Just("131026")]);
    prop_oneof![
        3 => prop_oneof![1..MINUTE_MS, MINUTE_MS..HOUR_MS, HOUR_MS..30 * HOUR_MS].prop_map(Op::Wait),
        3 => person().prop_map(Op::Write),
        2 => (person(), keyword).prop_map(|(person, word)| Op::Say(person, word)),
        5 => (person(), purpose(), act).prop_map(|(person, purpose, act)| Op::Consent(person, purpose, act)),
        1 => (person(), prop::bool::weighted(0.4)).prop_map(|(person, stops)| Op::Preference(person, stops)),
        1 => (person(), prop::bool::weighted(0.3)).prop_map(|(person, is_banned)| Op::Ban(person, is_banned)),
        1 => prop::bool::weighted(0.1).prop_map(|erases| if erases { Op::Erase(1) } else { Op::Wait(1) }),
        1 => (name(), prop_oneof![Just("approved"), Just("approved"), Just("paused")])
            .prop_map(|(name, status)| Op::TemplateStatus(name, status)),
        1 => prop_oneof![Just("utility"), Just("marketing")].prop_map(Op::TemplateCategory),
        1 => prop_oneof![
            3 => Just(StopSwitch::Open),
            1 => Just(StopSwitch::Marketing),
            1 => Just(StopSwitch::All),
        ].prop_map(Op::Stop),
        1 => prop::bool::weighted(0.2).prop_map(|holds| if holds { Op::Hold } else { Op::Wait(1) }),
        10 => (person(), wanted).prop_map(|(person, wanted)| Op::Ask(person, wanted)),
        12 => (0..3usize, refusal).prop_map(|(at, refusal)| Op::Leave(at, refusal)),
    ]
}

/// What happened to a person, as far as it forbids something.
#[derive(Clone, Debug, Default)]
struct Person {
    window_until: i64,
    has_stopped: bool,
    /// Messages that were asked for before are not sent.
    left_at: Option<i64>,
    /// The last word about each purpose, `true` for a grant.
    consents: BTreeMap<Purpose, bool>,
    has_stopped_marketing: bool,
    marketing_refused_until: i64,
    last_message_at: i64,
    /// When WhatsApp last could not deliver.
    undelivered_at: i64,
    is_banned: bool,
    is_erased: bool,
    /// When marketing was sent to them.
    marketing: Vec<i64>,
}

impl Person {
    /// A grant of marketing covers its topics, and a withdrawal ends them; one of service ends all.
    fn decide(&mut self, purpose: &Purpose, is_granted: bool) {
        match purpose {
            Purpose::Service if is_granted => {}
            Purpose::Service => self.consents.clear(),
            Purpose::Marketing => {
                self.consents.retain(|known, _| !known.is_marketing());
                self.consents.insert(Purpose::Marketing, is_granted);
            }
            _ => _ = self.consents.insert(purpose.clone(), is_granted),
        }
        if *purpose == Purpose::Service {
            self.has_stopped = !is_granted;
        }
    }

    fn has_agreed(&self, purpose: &Purpose) -> bool {
        let general = purpose.is_marketing().then(|| self.consents.get(&Purpose::Marketing)).flatten();
        *purpose == Purpose::Service || self.consents.get(purpose).or(general).is_some_and(|is_granted| *is_granted)
    }
}

/// A message that waits in the outbox.
struct Waiting {
    message: MessageId,
    person: i64,
    asked_at: i64,
    body: Outgoing,
    options: SendOptions,
    template: Option<&'static str>,
}

struct World {
    env: TestEnv,
    clock: beadle_clock::ManualClock,
    now: Timestamp,
    events: i64,
    plugin: PluginNo,
    policy: Policy,
    people: BTreeMap<i64, Person>,
    waiting: Vec<Waiting>,
    /// Of each template: category and status.
    templates: BTreeMap<&'static str, (&'static str, &'static str)>,
    held_until: i64,
    /// Keys of messages that were sent.
    keys: BTreeSet<String>,
    /// When and to whom something was sent outside a window.
    outside: Vec<(i64, i64)>,
    sent: usize,
}

impl World {
    async fn new() -> Self {
        let quiet_hours =
            Some(QuietHours { from: TimeOfDay { hour: 22, minute: 0 }, to: TimeOfDay { hour: 6, minute: 0 } });
        let caps = MarketingCaps { per_day: Some(u32::try_from(PER_DAY).unwrap()), ..MarketingCaps::default() };
        let policy = Policy { quiet_hours, caps, ..Policy::default() };
        let (env, clock) = TestEnv::with_clock(policy.clone()).await;
        env.store.set_messaging_limit("102".into(), MESSAGING_LIMIT as u64).await.unwrap();
        let plugin = env.store.plugin_no("news").await.unwrap();
        let templates = [("news", ("marketing", "approved")), ("order", ("utility", "approved"))].into();
        let mut world = Self {
            env,
            clock,
            now: NOW,
            events: 0,
            plugin,
            policy,
            people: BTreeMap::new(),
            waiting: Vec::new(),
            templates,
            held_until: 0,
            keys: BTreeSet::new(),
            outside: Vec::new(),
            sent: 0,
        };
        for person in 1..=PEOPLE {
            world.people.insert(person, Person::default());
            world.write(person, None, EventBody::Unrouted { kind: "test".into(), json: json!(null) }).await;
        }
        world
    }

    /// Something that a person does: it opens the window unless it is a change of a preference.
    async fn write(&mut self, person: i64, word: Option<Keyword>, body: EventBody) {
        let mut hash = [0; 16];
        self.events += 1;
        hash[..8].copy_from_slice(&self.events.to_le_bytes());
        let keyword = word.map(|word| {
            let answer = Outgoing::Text { body: "noted".into(), preview_url: false, quote: None };
            KeywordMatch::new(word, None, vec![(Language::En, answer)])
        });
        let opens_window = !matches!(body, EventBody::ContactChanged { .. });
        let sender = Sender {
            channel: "shop".into(),
            aliases: vec![Alias { kind: AliasKind::WaId, value: format!("1416555123{person}") }],
            name: None,
            group: None,
            language: None,
        };
        let event = NewEvent {
            key: EventKey { at: self.now, hash },
            placement: Placement::Sender(sender),
            happened_at: self.now,
            opens_window,
            keyword,
            body,
        };
        self.env.store.append(Batch { events: vec![event], ..Batch::default() }).await.unwrap();
        if opens_window && let Some(person) = self.people.get_mut(&person) {
            person.window_until = self.now.plus_ms(DAY_MS).0;
            person.last_message_at = self.now.0;
        }
    }

    async fn put_templates(&self) {
        let templates = self
            .templates
            .iter()
            .map(|(name, (category, status))| TemplateDefinition {
                status: (*status).into(),
                changed_at: self.now,
                ..definition(name, "en", category)
            })
            .collect();
        self.env.store.replace_templates("102".into(), templates, self.now).await.unwrap();
    }

    async fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        self.wait(1);
        match op {
            Op::Wait(ms) => self.wait(*ms),
            Op::Erase(person) if !self.people[person].is_erased => {
                let id = ContactId(*person);
                self.env.store.begin_erasure(id, AskedBy::Operator, self.now).await.unwrap();
                self.people.get_mut(person).unwrap().is_erased = true;
            }
            Op::Write(person) | Op::Say(person, _) | Op::Preference(person, _) | Op::Ban(person, _)
                if self.people[person].is_erased => {}
            Op::Consent(person, ..) | Op::Ask(person, _) | Op::Erase(person) if self.people[person].is_erased => {}
            Op::Erase(_) => {}
            Op::Write(person) => {
                self.write(*person, None, EventBody::Unrouted { kind: "test".into(), json: json!(null) }).await;
            }
            Op::Say(person, word) => {
                self.write(*person, Some(*word), EventBody::Unrouted { kind: "test".into(), json: json!(null) }).await;
                let at = self.now.0;
                let person = self.people.get_mut(person).unwrap();
                match word {
                    Keyword::Stop => {
                        person.decide(&Purpose::Service, false);
                        person.left_at = Some(at);
                    }
                    Keyword::Start => {
                        person.decide(&Purpose::Service, true);
                        person.decide(&Purpose::Group, true);
                    }
                    Keyword::Leave => person.left_at = Some(at),
                    Keyword::Join => person.decide(&Purpose::Group, true),
                    Keyword::StopMarketing => person.decide(&Purpose::Marketing, false),
                    _ => {}
                }
            }
            Op::Consent(person, purpose, act) => {
                let consent =
                    NewConsent { contact: ContactId(*person), ..NewConsent::in_chat(purpose.clone(), *act, self.now) };
                let planned = PlannedConsent { consent, question: None };
                self.env.store.record_consent(planned, Interest::default()).await.unwrap();
                let person = self.people.get_mut(person).unwrap();
                match act {
                    ConsentAct::Requested => {}
                    act => person.decide(purpose, *act == ConsentAct::Granted),
                }
            }
            Op::Preference(person, stops) => {
                let change = if *stops { "marketing-stopped" } else { "marketing-resumed" };
                let body = EventBody::ContactChanged { change: change.into(), merged: None, extra: json!(null) };
                self.write(*person, None, body).await;
                let person = self.people.get_mut(person).unwrap();
                person.has_stopped_marketing = *stops;
                person.decide(&Purpose::Marketing, !stops);
            }
            Op::Ban(person, is_banned) => {
                let role = Some(if *is_banned { Role::Banned } else { Role::Member });
                let edit =
                    ContactEdit { profile: ProfileEdit { role, ..ProfileEdit::default() }, ..ContactEdit::default() };
                self.env.store.edit_contact(ContactId(*person), edit).await.unwrap();
                self.people.get_mut(person).unwrap().is_banned = *is_banned;
            }
            Op::TemplateStatus(name, status) => {
                self.templates.get_mut(name).unwrap().1 = status;
                self.put_templates().await;
            }
            Op::TemplateCategory(category) => {
                self.templates.get_mut("order").unwrap().0 = category;
                self.put_templates().await;
            }
            Op::Stop(stop) => {
                self.policy.stop = *stop;
                self.env.gatekeeper.configure(self.policy.clone());
            }
            Op::Hold => {
                let problem =
                    Problem { code: "131048".into(), title: "limited".into(), details: None, by: "platform".into() };
                self.held_until = self.env.gatekeeper.hold_outreach("shop", &problem, self.now).0.until.0;
            }
            Op::Ask(person, wanted) => self.ask(*person, wanted).await,
            Op::Leave(at, answer) => self.leave(*at, *answer).await?,
        }
        Ok(())
    }

    fn wait(&mut self, ms: i64) {
        self.clock.advance_ms(ms);
        self.now = self.now.plus_ms(ms);
    }

    async fn ask(&mut self, person: i64, wanted: &Wanted) {
        let view = self.env.store.reader().conversation(ConversationId(person)).unwrap().unwrap();
        let body = match wanted.template {
            Some(name) => template(name, "en"),
            None => Outgoing::Text { body: "hello".into(), preview_url: false, quote: None },
        };
        let options = SendOptions { purpose: wanted.purpose.clone(), key: wanted.key.map(str::to_owned) };
        let decision = self.env.gatekeeper.ask(&Draft::with(&body, &options), self.plugin, &view, self.now).unwrap();
        if !matches!(decision.verdict, GateVerdict::Send | GateVerdict::Later { .. }) {
            return;
        }
        let message = self.env.store.reserve_message();
        let send = NewSend {
            message,
            conversation: view.id,
            body: body.clone(),
            reply: false,
            options: options.clone(),
            state: SendState::Queued,
            due_at: NewSend::AT_ONCE,
            gate: None,
            outreach: decision.outreach,
        };
        let event = EventId(1);
        let progress = Progress {
            event,
            subscriber_list: 1,
            done: 1,
            done_overflow: vec![],
            all: 1,
            overflow_count: 0,
            ending: None,
        };
        let commit = Commit {
            sends: vec![send],
            ..Commit::empty(self.env.store.fence(), self.plugin, StateNo(self.plugin.0), self.now, progress)
        };
        self.env.store.commit(commit).await.unwrap();
        let asked_at = self.now.0;
        self.waiting.push(Waiting { message, person, asked_at, body, options, template: wanted.template });
    }

    async fn leave(&mut self, at: usize, answer: Option<&'static str>) -> Result<(), TestCaseError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = &self.waiting[at % self.waiting.len()];
        let message = waiting.message;
        let state = self.env.store.reader().message_details(message).unwrap().map(|details| details.row.state);
        // A withdrawal or an erasure drops what is queued.
        if state != Some(SendState::Queued) {
            self.waiting.retain(|other| other.message != message);
            return Ok(());
        }
        let view = self.env.store.reader().conversation(ConversationId(waiting.person)).unwrap().unwrap();
        let draft = Draft { message: Some(message), ..Draft::with(&waiting.body, &waiting.options) };
        let decision = self.env.gatekeeper.ask(&draft, self.plugin, &view, self.now).unwrap();
        let waiting = self.waiting.iter().position(|other| other.message == message).unwrap();
        let priced = self.waiting[waiting].template;
        let outcome = match decision.verdict {
            GateVerdict::Later { .. } => return Ok(()),
            GateVerdict::Send => {
                let waiting = self.waiting.remove(waiting);
                self.check(&waiting)?;
                self.env.store.claim_sends(vec![message]).await.unwrap();
                match answer {
                    None => {
                        self.count(&waiting);
                        SendOutcome::Accepted(Some(format!("wamid.{}", message.0)))
                    }
                    Some(code) => {
                        self.learn(&waiting, code);
                        SendOutcome::Failed(problem(code, "platform"))
                    }
                }
            }
            GateVerdict::Refused(refusal) | GateVerdict::TemplateNeeded(refusal) => {
                self.waiting.remove(waiting);
                SendOutcome::Failed(problem(&refusal.code, "host"))
            }
        };
        let category = match &outcome {
            SendOutcome::Accepted(_) => priced.and_then(|name| Some(self.templates.get(name)?.0)),
            _ => None,
        };
        let settled = vec![Settlement { message, outcome, at: self.now, gate: None }];
        self.env.store.settle(settled, Interest::default()).await.unwrap();
        if let Some(category) = category {
            self.receipt(message, category).await;
        }
        Ok(())
    }

    /// The platform reports a template as sent, and its price.
    async fn receipt(&self, message: MessageId, category: &str) {
        let pricing = Pricing { category: category.into(), kind: None, model: None, billable: None, subtype: None };
        let receipt = Receipt {
            message: ReceiptFor::Ours(message, format!("wamid.{}", message.0)),
            status: "sent".into(),
            at: self.now,
            problem: None,
            further_problems: vec![],
            pricing: Some(pricing),
            participant: vec![],
            recipient: vec![],
            extra: json!(null),
            free_entry_until: None,
        };
        self.env.store.append(Batch { receipts: vec![receipt], ..Batch::default() }).await.unwrap();
    }

    /// Whether rules about marketing apply: the platform's category, or what the sender states.
    fn is_marketing(&self, waiting: &Waiting) -> bool {
        waiting.template.is_some_and(|name| self.templates[name].0 == "marketing")
            || waiting.options.purpose.as_ref().is_some_and(Purpose::is_marketing)
    }

    /// Nothing of what happened forbids it.
    fn check(&self, waiting: &Waiting) -> Result<(), TestCaseError> {
        let person = &self.people[&waiting.person];
        let now = self.now.0;
        let is_marketing = self.is_marketing(waiting);
        prop_assert!(!person.is_erased && !person.is_banned && !person.has_stopped);
        prop_assert!(person.left_at.is_none_or(|left| waiting.asked_at > left), "left after it was asked for");
        let purpose = match (&waiting.options.purpose, is_marketing) {
            (Some(purpose), true) if purpose.is_marketing() => purpose.clone(),
            (_, true) => Purpose::Marketing,
            (purpose, false) => purpose.clone().unwrap_or(Purpose::Service),
        };
        prop_assert!(person.has_agreed(&purpose), "no consent to {purpose}: {person:?}");
        if is_marketing {
            prop_assert!(!person.has_stopped_marketing);
            let recent = person.marketing.iter().filter(|at| now - **at < DAY_MS).count();
            prop_assert!(recent < PER_DAY, "{recent} marketing messages in a day");
            let hour = now / HOUR_MS % 24;
            prop_assert!((6..22).contains(&hour), "{hour} o'clock");
        }
        match waiting.template {
            Some(name) => {
                let (category, status) = self.templates[name];
                prop_assert_eq!(status, "approved");
                prop_assert!(category != "marketing" || person.marketing_refused_until <= now, "131049");
                prop_assert!(self.held_until <= now, "131048");
                prop_assert!(person.undelivered_at - person.last_message_at <= CLOCKS_MS, "131026");
            }
            None => prop_assert!(person.window_until > now, "the window is closed"),
        }
        match self.policy.stop {
            StopSwitch::Open => {}
            StopSwitch::Marketing => prop_assert!(!is_marketing),
            StopSwitch::All => prop_assert!(false, "sending is stopped"),
        }
        if let Some(key) = &waiting.options.key {
            prop_assert!(!self.keys.contains(key), "{key} was sent before");
        }
        if person.window_until <= now {
            let recent = self.outside.iter().filter(|(at, _)| now - at < DAY_MS);
            let mut people: BTreeSet<i64> = recent.map(|(_, person)| *person).collect();
            people.insert(waiting.person);
            prop_assert!(people.len() <= MESSAGING_LIMIT, "people in 24 hours: {people:?}");
        }
        Ok(())
    }

    /// The platform took it.
    fn count(&mut self, waiting: &Waiting) {
        self.sent += 1;
        let is_marketing = self.is_marketing(waiting);
        let now = self.now.0;
        self.keys.extend(waiting.options.key.clone());
        let person = self.people.get_mut(&waiting.person).unwrap();
        if is_marketing {
            person.marketing.push(now);
        }
        if person.window_until <= now {
            self.outside.push((now, waiting.person));
        }
    }

    /// What its refusal says about the person.
    fn learn(&mut self, waiting: &Waiting, code: &str) {
        let (now, until) = (self.now.0, self.now.plus_ms(DAY_MS).0);
        let is_template = waiting.template.is_some_and(|name| self.templates[name].0 == "marketing");
        let person = self.people.get_mut(&waiting.person).unwrap();
        match code {
            "131026" => person.undelivered_at = now,
            "131049" if is_template => person.marketing_refused_until = until,
            "131050" => {
                person.has_stopped_marketing = true;
                person.decide(&Purpose::Marketing, false);
            }
            _ => {}
        }
    }
}

fn problem(code: &str, by: &str) -> Problem {
    Problem { code: code.into(), title: "refused".into(), details: None, by: by.into() }
}

#[test]
fn nothing_forbidden_leaves_in_any_order_of_events() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Each takes a database of its own. `PROPTEST_CASES=2000` takes minutes.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { 64 };
    let config = ProptestConfig { cases, ..ProptestConfig::default() };
    let sent = std::cell::Cell::new(0);
    let result = proptest::test_runner::TestRunner::new(config).run(&prop::collection::vec(op(), 20..120), |ops| {
        runtime.block_on(async {
            let mut world = World::new().await;
            for op in &ops {
                world.apply(op).await?;
            }
            sent.set(sent.get() + world.sent);
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // It would pass if nothing ever left.
    assert!(sent.get() > 100, "only {} messages were sent", sent.get());
}
