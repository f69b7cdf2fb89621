//! Facts from the store and the settings, and what the gate makes of them.

use super::*;
use beadle_clock::{Clock, ManualClock};
use beadle_gate::StopSwitch;
use beadle_model::consent::{ConsentAct, ConsentEntry, NewConsent};
use beadle_model::effect::{PriceKey, SendOptions};
use beadle_model::{
    Alias, AliasKind, Consents, Contact, ContactId, ConversationId, EventBody, EventId, MessageId, Profile, Purpose,
    StateNo,
};
use beadle_store::step::*;
use beadle_store::{Store, StoreConfig};
use serde_json::json;

const NOW: Timestamp = Timestamp(1_795_293_360_000);

struct TestEnv {
    store: Store,
    gatekeeper: Gatekeeper,
    _dir: tempfile::TempDir,
}

/// The profile of a person who agreed to marketing.
fn agreed() -> Profile {
    let consent = NewConsent::in_chat(Purpose::Marketing, ConsentAct::Granted, NOW);
    let entry = ConsentEntry { id: 1, recorded_at: NOW, consent };
    Profile { consents: Consents::of([&entry]), ..Profile::default() }
}

fn conversation(language: Option<&str>) -> ConversationView {
    ConversationView {
        id: ConversationId(1),
        channel: "shop".into(),
        contact: Contact {
            id: ContactId(1),
            language: language.map(str::to_owned),
            profile: Some(Arc::new(agreed())),
            ..Contact::unknown()
        },
        group: None,
        address: Some(Alias { kind: AliasKind::WaId, value: "14165551234".into() }),
        window_until: None,
        free_entry_until: None,
    }
}

fn definition(name: &str, language: &str, category: &str) -> TemplateDefinition {
    TemplateDefinition {
        platform_id: "1".into(),
        name: name.into(),
        language: language.into(),
        category: category.into(),
        status: "approved".into(),
        quality: None,
        reason: None,
        is_named: false,
        components: json!([{"type": "BODY", "text": "Hello {{1}}"}]),
        changed_at: NOW,
    }
}

impl TestEnv {
    async fn new(policy: Policy) -> Self {
        Self::with_clock(policy).await.0
    }

    async fn with_clock(policy: Policy) -> (Self, ManualClock) {
        let dir = tempfile::tempdir().unwrap();
        let (clock, manual) = Clock::manual(NOW);
        let store = Store::open(StoreConfig::new(dir.path(), clock)).unwrap();
        store.set_channel_accounts(vec![("shop".into(), "102".into())]).await.unwrap();
        let templates = vec![
            definition("news", "en", "marketing"),
            definition("news", "nl", "marketing"),
            definition("order", "en", "utility"),
        ];
        store.replace_templates("102".into(), templates, NOW).await.unwrap();
        let gatekeeper = Gatekeeper::new(store.reader(), policy);
        (Self { store, gatekeeper, _dir: dir }, manual)
    }

    fn verdict(&self, to: &ConversationView, body: &Outgoing, at: Timestamp) -> GateVerdict {
        let draft = Draft::new(body);
        self.gatekeeper.ask(&draft, PluginNo::HOST, to, at).unwrap().verdict
    }
}

fn template(name: &str, language: &str) -> Outgoing {
    let parameter = beadle_model::outgoing::Parameter {
        name: None,
        value: beadle_model::outgoing::ParameterValue::Text("Ana".into()),
    };
    Outgoing::Template(Box::new(Template { body: vec![parameter], ..Template::new(name, language) }))
}

fn language_of(body: &Outgoing) -> &str {
    match body {
        Outgoing::Template(template) => &template.language,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn language_is_the_recipients_or_the_operators() {
    let policy = Policy { template_language: Some("en".into()), ..Policy::default() };
    let env = TestEnv::new(policy).await;
    for (asked, theirs, chosen) in
        [("", Some("nl-BE"), "nl"), ("", Some("et"), "en"), ("", None, "en"), ("nl_NL", None, "nl"), ("et", None, "en")]
    {
        let mut body = template("news", asked);
        env.gatekeeper.choose_language(&mut body, &conversation(theirs)).unwrap();
        assert_eq!(language_of(&body), chosen, "{asked} {theirs:?}");
    }
}

#[tokio::test]
async fn candidates_are_what_the_gate_lets_pass() {
    let env = TestEnv::new(Policy::default()).await;
    let names = |to: &ConversationView| -> Vec<String> {
        let candidates = env.gatekeeper.candidates(PluginNo::HOST, to, NOW).unwrap();
        candidates
            .into_iter()
            .map(|candidate| format!("{}/{}/{}", candidate.name, candidate.language, candidate.parameters.join(",")))
            .collect()
    };
    let mut to = conversation(Some("nl"));
    assert_eq!(names(&to), ["news/nl/1", "order/en/1"]);
    to.contact.marketing_stopped_since = Some(NOW);
    assert_eq!(names(&to), ["order/en/1"]);
    to.contact.opted_out_since = Some(NOW);
    assert_eq!(names(&to), Vec::<String>::new());
    let refused = env.gatekeeper.allowed(PluginNo::HOST, &to, NOW).unwrap().unwrap_err();
    assert_eq!(refused.code, "opted-out");
    to.contact.opted_out_since = None;
    to.window_until = Some(NOW.plus_ms(HOUR_MS));
    let allowed = env.gatekeeper.allowed(PluginNo::HOST, &to, NOW).unwrap().unwrap();
    assert_eq!(allowed.any_until, Some(NOW.plus_ms(HOUR_MS - beadle_gate::WINDOW_MARGIN_MS)));
}

#[tokio::test]
async fn outreach_hold_doubles_with_each_refusal() {
    let env = TestEnv::new(Policy::default()).await;
    let problem = Problem { code: "131048".into(), title: "limited".into(), details: None, by: "platform".into() };
    let mut to = conversation(None);
    to.window_until = Some(NOW.plus_ms(100 * DAY_MS));
    let text = Outgoing::Text { body: "hello".into(), preview_url: false, quote: None };
    let mut now = NOW;
    for hours in [1, 2, 4, 8, 16, 24, 24] {
        let (hold, is_new) = env.gatekeeper.hold_outreach("shop", &problem, now);
        assert_eq!((hold.until.since_ms(now), is_new), (hours * HOUR_MS, true));
        assert!(!env.gatekeeper.hold_outreach("shop", &problem, now.plus_ms(1)).1);
        env.store.keep_outreach_hold("shop".into(), hold.clone()).await.unwrap();
        let restarted = Gatekeeper::new(env.store.reader(), Policy::default());
        restarted.restore_holds().unwrap();
        assert_eq!(restarted.holds(now), [("shop".to_owned(), hold.clone())]);
        let until = hold.until;
        assert_eq!(
            env.verdict(&to, &template("order", "en"), now),
            GateVerdict::Later { until, check: beadle_gate::Check::StopSwitch }
        );
        assert_eq!(env.verdict(&to, &text, now), GateVerdict::Send, "an answer");
        assert_eq!(env.gatekeeper.holds(now).len(), 1);
        now = hold.until;
    }
    assert_eq!(env.verdict(&to, &template("order", "en"), now), GateVerdict::Send);
    assert!(env.gatekeeper.holds(now).is_empty());
    let (later, _) = env.gatekeeper.hold_outreach("shop", &problem, now.plus_ms(DAY_MS));
    assert_eq!(later.until.since_ms(now.plus_ms(DAY_MS)), HOUR_MS, "after a day it begins again with an hour");
    // The clock was ahead when the hold began.
    assert_eq!(env.verdict(&to, &template("order", "en"), NOW.plus_ms(-400 * DAY_MS)), GateVerdict::Send);
    assert!(env.gatekeeper.holds(NOW.plus_ms(-400 * DAY_MS)).is_empty());
    assert!(env.gatekeeper.hold_outreach("shop", &problem, NOW.plus_ms(-400 * DAY_MS)).1);
}

#[tokio::test]
async fn settings_take_effect_at_once() {
    let env = TestEnv::new(Policy::default()).await;
    let to = conversation(None);
    let (news, order) = (template("news", "en"), template("order", "en"));
    assert_eq!(env.verdict(&to, &news, NOW), GateVerdict::Send);
    env.gatekeeper.configure(Policy { stop: StopSwitch::Marketing, ..Policy::default() });
    assert!(matches!(env.verdict(&to, &news, NOW), GateVerdict::Later { .. }));
    assert_eq!(env.verdict(&to, &order, NOW), GateVerdict::Send);
    // At 20:36 UTC.
    let hour = |hour| TimeOfDay { hour, minute: 0 };
    let quiet_hours = Some(QuietHours { from: hour(20), to: hour(7) });
    env.gatekeeper.configure(Policy { quiet_hours, ..Policy::default() });
    assert!(matches!(env.verdict(&to, &news, NOW), GateVerdict::Later { check: beadle_gate::Check::QuietHours, .. }));
    assert_eq!(env.verdict(&to, &order, NOW), GateVerdict::Send);
    env.gatekeeper.configure(Policy { quiet_hours, quiet_for: QuietFor::Outreach, ..Policy::default() });
    assert!(matches!(env.verdict(&to, &order, NOW), GateVerdict::Later { .. }));
}

#[tokio::test]
async fn messaging_limit_defers_the_next_person() {
    let env = TestEnv::new(Policy::default()).await;
    env.store.set_messaging_limit("102".into(), 1).await.unwrap();
    let order = template("order", "en");
    let draft = |message| Draft { message, ..Draft::new(&order) };
    let to = |contact| {
        let mut to = conversation(None);
        to.contact.id = ContactId(contact);
        to
    };
    let ask =
        |contact, message, at| env.gatekeeper.ask(&draft(message), PluginNo::HOST, &to(contact), at).unwrap().verdict;
    assert_eq!(ask(1, None, NOW), GateVerdict::Send, "asking counts nothing");
    assert_eq!(ask(1, Some(beadle_model::MessageId(1)), NOW), GateVerdict::Send);
    assert_eq!(ask(1, None, NOW), GateVerdict::Send, "the same person");
    assert!(matches!(ask(2, None, NOW), GateVerdict::Later { check: beadle_gate::Check::MessagingLimit, .. }));
    assert_eq!(ask(2, None, NOW.plus_ms(DAY_MS + 1)), GateVerdict::Send);
    env.store.set_messaging_limit("102".into(), 0).await.unwrap();
    assert_eq!(ask(2, None, NOW), GateVerdict::Send);
}

/// Rates of this country and category, in hundredths.
fn rates(rates: &[(&str, &str, u64)]) -> beadle_gate::costs::Rates {
    use beadle_gate::costs::{Money, RateList, Rates};
    let key = |country: &str, category: &str| beadle_model::effect::PriceKey {
        country: country.into(),
        category: category.into(),
    };
    let rates = rates.iter().map(|(country, category, rate)| (key(country, category), Money(rate * 10_000)));
    let list = RateList { source: "test".into(), rates: rates.collect() };
    let lists = [(beadle_model::Day(0), list)].into();
    Rates { currency: "EUR".into(), free_service_messages: None, lists }
}

fn budget(name: &str, hundredths: u64) -> beadle_gate::costs::Budget {
    use beadle_gate::costs::{Budget, Money, Period, WhenUsedUp};
    Budget {
        name: name.into(),
        plugin: None,
        channel: None,
        category: None,
        period: Period::Month,
        amount: Money(hundredths * 10_000),
        when_used_up: WhenUsedUp::Refuse,
    }
}

#[tokio::test]
async fn text_for_marketing_follows_the_rules_about_marketing() {
    let caps = MarketingCaps { per_day: Some(1), ..MarketingCaps::default() };
    let env = TestEnv::new(Policy { caps, ..Policy::default() }).await;
    let text = Outgoing::Text { body: "x".into(), preview_url: false, quote: None };
    let mut to = conversation(None);
    to.window_until = Some(NOW.plus_ms(HOUR_MS));
    let purpose = Purpose::MarketingTopic("cats".into());
    let ask = |purpose: Option<&Purpose>, to: &ConversationView| {
        env.gatekeeper.ask(&Draft { purpose, ..Draft::new(&text) }, PluginNo(1), to, NOW).unwrap()
    };
    let decision = ask(Some(&purpose), &to);
    assert_eq!(decision.verdict, GateVerdict::Send);
    let outreach = decision.outreach.unwrap();
    assert_eq!((outreach.is_marketing, outreach.is_free_form, outreach.price), (true, true, None));
    assert_eq!(outreach.topic.as_deref(), Some("cats"));
    assert_eq!(ask(None, &to).outreach, None);
    assert_eq!(ask(Some(&Purpose::Service), &to).outreach, None);
    env.gatekeeper.configure(Policy { stop: StopSwitch::Marketing, ..Policy::default() });
    assert_eq!(code_of(&ask(Some(&purpose), &to).verdict), "stop-switch");
    assert_eq!(ask(None, &to).verdict, GateVerdict::Send);
    env.gatekeeper.configure(Policy::default());
    to.contact.profile = None;
    assert_eq!(code_of(&ask(Some(&purpose), &to).verdict), "not-opted-in");
}

fn code_of(verdict: &GateVerdict) -> &str {
    match verdict {
        GateVerdict::Refused(refusal) => &refusal.code,
        GateVerdict::Later { check, .. } => check.name(),
        _ => "",
    }
}

/// Who asks, for which message, about which template: what the gate says.
fn ask_to_send(env: &TestEnv, by: i64, message: Option<i64>, name: &str, to: &ConversationView) -> String {
    let body = template(name, "en");
    let draft = Draft { message: message.map(MessageId), ..Draft::new(&body) };
    code_of(&env.gatekeeper.ask(&draft, PluginNo(by), to, NOW).unwrap().verdict).to_owned()
}

#[tokio::test]
async fn budget_refuses_or_defers_what_would_exceed_it() {
    use beadle_gate::costs::{Period, WhenUsedUp};
    let to = conversation(None);
    let rates = rates(&[("CA", "marketing", 10), ("CA", "utility", 4)]);
    let defer = |budget| beadle_gate::costs::Budget { when_used_up: WhenUsedUp::Defer, ..budget };
    for (budgets, name, expected) in [
        (vec![], "news", ""),
        (vec![budget("all", 10)], "news", ""),
        (vec![budget("all", 9)], "news", "over-budget"),
        (vec![defer(budget("all", 9))], "news", "budget"),
        (vec![budget("all", 9)], "order", ""),
        (vec![beadle_gate::costs::Budget { category: Some("utility".into()), ..budget("it", 1) }], "news", ""),
        (vec![beadle_gate::costs::Budget { channel: Some("club".into()), ..budget("it", 1) }], "news", ""),
        (vec![beadle_gate::costs::Budget { plugin: Some("other".into()), ..budget("it", 1) }], "news", ""),
        (
            vec![budget("one", 100), beadle_gate::costs::Budget { period: Period::Day, ..budget("two", 1) }],
            "news",
            "over-budget",
        ),
    ] {
        let env = TestEnv::new(Policy { rates: rates.clone(), budgets, ..Policy::default() }).await;
        assert_eq!(ask_to_send(&env, 1, None, name, &to), expected, "{name}");
    }
    let policy = |budgets| Policy { rates: rates.clone(), budgets, ..Policy::default() };
    let env = TestEnv::new(policy(vec![budget("all", 1)])).await;
    // Replies are never stopped, nor is what costs nothing.
    let open = ConversationView { window_until: Some(NOW.plus_ms(HOUR_MS)), ..to.clone() };
    let text = Outgoing::Text { body: "hello".into(), preview_url: false, quote: None };
    assert_eq!(env.verdict(&open, &text, NOW), GateVerdict::Send);
    let free = ConversationView { free_entry_until: Some(NOW.plus_ms(1)), ..to.clone() };
    assert_eq!(ask_to_send(&env, 1, None, "news", &free), "");
    // A rate that is not known is not guessed.
    let german = Alias { kind: AliasKind::WaId, value: "4915112345678".into() };
    let german = ConversationView { address: Some(german), ..to.clone() };
    let env = TestEnv::new(policy(vec![budget("all", 1_000_000)])).await;
    let order = template("order", "en");
    let GateVerdict::Refused(refusal) = env.verdict(&german, &order, NOW) else { panic!() };
    assert_eq!(
        (&*refusal.code, &*refusal.message),
        ("over-budget", "Budget `all` applies, but the file of rates has no rate for utility messages to DE.")
    );
}

/// Queues messages to a person, as a plugin would.
async fn queue(env: &TestEnv, price: &PriceKey, count: usize) -> Vec<MessageId> {
    let sender = Sender {
        channel: "shop".into(),
        aliases: vec![Alias { kind: AliasKind::WaId, value: "14165551234".into() }],
        name: None,
        group: None,
        language: None,
    };
    let event = NewEvent {
        key: EventKey { at: NOW, hash: [1; 16] },
        placement: Placement::Sender(sender),
        happened_at: NOW,
        opens_window: false,
        keyword: None,
        body: EventBody::Unrouted { kind: "test".into(), json: json!(null) },
    };
    env.store.append(Batch { events: vec![event], ..Batch::default() }).await.unwrap();
    let plugin = env.store.plugin_no("news").await.unwrap();
    let outreach = Some(Outreach { price: Some(price.clone()), ..Outreach::default() });
    let ids: Vec<MessageId> = (0..count).map(|_| env.store.reserve_message()).collect();
    let send = |message: &MessageId| NewSend {
        message: *message,
        conversation: ConversationId(1),
        body: template("news", "en"),
        reply: false,
        options: SendOptions::default(),
        state: SendState::Queued,
        due_at: NewSend::AT_ONCE,
        gate: None,
        outreach: outreach.clone(),
    };
    let event = EventId(1);
    let progress =
        Progress { event, subscriber_list: 1, done: 1, done_overflow: vec![], all: 1, overflow_count: 0, ending: None };
    let commit = Commit {
        sends: ids.iter().map(send).collect(),
        ..Commit::empty(env.store.fence(), plugin, StateNo(plugin.0), NOW, progress)
    };
    env.store.commit(commit).await.unwrap();
    ids
}

#[tokio::test]
async fn concurrent_sends_do_not_exceed_a_budget() {
    let price = PriceKey { country: "CA".into(), category: "marketing".into() };
    let policy =
        Policy { rates: rates(&[("CA", "marketing", 10)]), budgets: vec![budget("all", 35)], ..Policy::default() };
    let env = TestEnv::new(policy).await;
    let to = conversation(None);
    assert_eq!(ask_to_send(&env, 1, None, "news", &to), "");
    let ids = queue(&env, &price, 5).await;
    assert_eq!(ask_to_send(&env, 1, None, "news", &to), "over-budget", "what is queued counts");
    // Those that are about to leave are not held up by what waits behind them.
    let leave = |id: MessageId| ask_to_send(&env, 1, Some(id.0), "news", &to);
    let codes: Vec<String> = ids.iter().map(|id| leave(*id)).collect();
    assert_eq!(codes, ["", "", "", "over-budget", "over-budget"]);
    assert_eq!(leave(ids[1]), "", "asked again, it counts once");
    // Whether the store knows them as sent or not, they count once.
    env.store.claim_sends(ids[..2].to_vec()).await.unwrap();
    assert_eq!(leave(ids[3]), "over-budget");
    assert_eq!(leave(ids[0]), "", "it is on its way");
    let settled = |message, outcome| vec![Settlement { message, outcome, at: NOW, gate: None }];
    let failed = Problem { code: "131000".into(), title: "x".into(), details: None, by: "platform".into() };
    env.store.settle(settled(ids[0], SendOutcome::Failed(failed)), Interest::default()).await.unwrap();
    assert_eq!(leave(ids[3]), "", "what failed costs nothing");
    assert_eq!(leave(ids[4]), "over-budget");

    let uses = env.gatekeeper.budgets(NOW).unwrap();
    assert_eq!((uses[0].used().to_string(), uses[0].percent()), ("0.40".into(), 114), "with what is queued");
    assert_eq!(env.gatekeeper.budgets(NOW.plus_ms(40 * DAY_MS)).unwrap()[0].percent(), 0, "next month");
}

#[tokio::test]
async fn message_that_leaves_counts_once_when_a_plugin_asks() {
    let price = PriceKey { country: "CA".into(), category: "marketing".into() };
    let policy =
        Policy { rates: rates(&[("CA", "marketing", 10)]), budgets: vec![budget("all", 35)], ..Policy::default() };
    let env = TestEnv::new(policy).await;
    let to = conversation(None);
    for id in queue(&env, &price, 2).await {
        assert_eq!(ask_to_send(&env, 1, Some(id.0), "news", &to), "");
    }
    assert_eq!(ask_to_send(&env, 1, None, "news", &to), "");
}

mod order_of_events;
