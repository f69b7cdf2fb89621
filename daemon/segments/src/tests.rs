//! Expressions over facts, errors with their places, agreement with a small reference, and
//! members over a store.

use crate::compile::Problems;
use crate::evaluate::{EvaluationContext, Evaluator};
use crate::expression::Definitions;
use crate::syntax::parse;
use crate::{MAX_EXPRESSION_BYTES, Part, SegmentError, SegmentSource, Segments, Vocabulary, compile};
use beadle_clock::Clock;
use beadle_model::consent::{ConsentAct, ConsentEntry, ConsentSource, Consents, NewConsent};
use beadle_model::profile::{AttributeType, AttributeTypes, AttributeValue};
use beadle_model::{Coded as _, Contact, ContactId, ConversationId, Profile, Purpose, Role, Timestamp};
use beadle_store::step::Interest;
use beadle_store::{ContactEdit, ConversationFacts, ImportedContact, ListId, PersonFacts, Store, StoreConfig};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// 2026-11-29T17:00:00Z
const NOW: Timestamp = Timestamp(1_795_971_600_000);
const DAY: i64 = 24 * 60 * 60 * 1000;

fn attributes() -> AttributeTypes {
    let choices = |choices: &[&str]| choices.iter().map(|choice| (*choice).to_owned()).collect();
    [
        ("city", AttributeType::Text),
        ("points", AttributeType::Number),
        ("newcomer", AttributeType::Boolean),
        ("birthday", AttributeType::Date),
        ("size", AttributeType::Choice(choices(&["S", "M", "L"]))),
        ("likes", AttributeType::Choices(choices(&["shoes", "bags"]))),
    ]
    .map(|(name, declared)| (name.to_owned(), declared))
    .into()
}

fn parse_duration(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "d" => DAY,
        "h" => DAY / 24,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

fn check_timezone(name: &str) -> Result<(), String> {
    if name.starts_with("Europe/") { Ok(()) } else { Err("must be a time zone".into()) }
}

fn compiled(segments: &[(&str, &str)]) -> Result<(Definitions, Problems), Problems> {
    let attributes = attributes();
    let vocabulary = Vocabulary {
        attributes: &attributes,
        channels: ["shop", "club"].into(),
        purposes: [Purpose::MarketingTopic("news".into())].into(),
        timezone: "Europe/Amsterdam",
        parse_duration,
        check_timezone,
    };
    let source = |(name, expression): &(&str, &str)| SegmentSource {
        name: (*name).to_owned(),
        description: None,
        expression: (*expression).to_owned(),
    };
    compile(&segments.iter().map(source).collect::<Vec<_>>(), &vocabulary)
}

fn context() -> EvaluationContext {
    EvaluationContext {
        now: NOW,
        today: crate::compile::day("2026-11-29").unwrap(),
        lists: [("vips".to_owned(), ListId(1)), ("staff".to_owned(), ListId(2))].into(),
        groups: [("Chess".to_owned(), vec![ConversationId(7)])].into(),
    }
}

/// Ana: a member for 40 days, on the shop's channel with an open window.
fn ana() -> PersonFacts {
    let consent = |id: i64, purpose: &str, act| ConsentEntry {
        id,
        recorded_at: NOW,
        consent: NewConsent {
            contact: ContactId(1),
            purpose: purpose.parse().unwrap(),
            act,
            source: ConsentSource::Web,
            wording: None,
            at: Timestamp(NOW.0 - DAY + id),
            expires_at: None,
            evidence: None,
            actor: "operator".into(),
        },
    };
    let entries = [consent(1, "marketing:news", ConsentAct::Granted), consent(2, "survey", ConsentAct::Withdrawn)];
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    let values = [
        ("city", AttributeValue::Text("Utrecht".into())),
        ("points", AttributeValue::Number(12.into())),
        ("newcomer", AttributeValue::Boolean(false)),
        ("birthday", AttributeValue::Text("1990-05-17".into())),
        ("size", AttributeValue::Text("M".into())),
        ("likes", AttributeValue::Choices(texts(&["bags"]))),
    ];
    let profile = Profile {
        role: Role::Helper,
        tags: texts(&["vip", "caf\u{e9}"]),
        attributes: values.map(|(name, value)| (name.to_owned(), value)).into(),
        consents: Consents::of(&entries),
        ..Profile::default()
    };
    let contact = Contact {
        id: ContactId(1),
        name: Some("Ana".into()),
        language: Some("pt-BR".into()),
        timezone: Some("Europe/Lisbon".into()),
        created_at: Timestamp(NOW.0 - 50 * DAY),
        member_since: Some(Timestamp(NOW.0 - 40 * DAY)),
        profile: Some(Arc::new(profile)),
        ..Contact::unknown()
    };
    let conversation = |channel: &str, hours_ago: i64| ConversationFacts {
        channel: channel.into(),
        last_inbound_at: Some(Timestamp(NOW.0 - hours_ago * DAY / 24)),
        window_until: Some(Timestamp(NOW.0 + (24 - hours_ago) * DAY / 24)),
    };
    PersonFacts {
        contact,
        country: Some("PT".into()),
        conversations: vec![conversation("club", 100), conversation("shop", 2)],
        groups: vec![ConversationId(7)],
        lists: vec![ListId(1)],
    }
}

/// A person without any facts.
fn nobody() -> PersonFacts {
    PersonFacts::of(Contact { id: ContactId(2), created_at: NOW, ..Contact::unknown() })
}

fn holds(expression: &str, person: &PersonFacts) -> bool {
    let (definitions, _) = compiled(&[("it", expression), ("vip", "'vip' in tags")])
        .unwrap_or_else(|errors| panic!("{expression}: {errors:?}"));
    let segment = definitions.get("it").unwrap();
    Evaluator { definitions: &definitions, context: &context() }.holds(&segment.test, person)
}

#[test]
fn expressions_over_facts() {
    // The expected results for Ana, and for a person without any facts.
    let table = [
        ("true", true, true),
        ("\"vip\" in tags", true, false),
        ("'caf\u{e9}' in tags", true, false),
        ("!('vip' in tags)", false, true),
        ("role == \"helper\"", true, false),
        ("role in ['admin', 'owner']", false, false),
        ("role != 'banned'", true, true),
        ("member", true, false),
        ("member == false", false, true),
        ("joined < now - duration(\"30d\")", true, false),
        ("joined + duration('30d') < now", true, false),
        ("joined > now - duration('30d')", false, false),
        ("!(joined > now - duration('30d'))", true, true),
        ("now - duration('39d') < joined", false, false),
        ("joined != null && created < joined", true, false),
        ("joined == null", false, true),
        ("joined >= timestamp('2026-10-20T17:00:00Z')", true, false),
        ("joined >= timestamp('2026-10-20')", true, false),
        // Midnight in Amsterdam is two hours before that in UTC.
        ("timestamp('2026-06-01') == timestamp('2026-05-31T22:00:00Z')", true, true),
        ("created > now - duration('1h')", false, true),
        ("last_inbound > now - duration('3h')", true, false),
        ("last_inbound < now - duration('30d')", false, false),
        ("last_inbound == null || last_inbound < now - duration('1h')", true, true),
        ("window_open", true, false),
        ("'shop' in open_windows", true, false),
        ("'club' in open_windows", false, false),
        ("'club' in channels && !('club' in open_windows)", true, false),
        ("language == 'pt'", false, false),
        ("language.startsWith('pt')", true, false),
        ("language != 'pt-BR'", false, true),
        ("zone.startsWith('Europe/') && zone == 'Europe/Lisbon'", true, false),
        ("country in ['PT', 'ES']", true, false),
        ("country == null", false, true),
        ("name != null", true, false),
        ("name.contains('n') && name.endsWith('a')", true, false),
        ("opted_out || quarantined || marketing_stopped", false, false),
        ("consent.marketing", false, false),
        ("consent[\"marketing:news\"]", true, false),
        ("consent_state.survey == 'withdrawn'", true, false),
        ("consent_state.survey in ['missing', 'requested']", false, true),
        ("consent_state['marketing:news'] != 'granted'", false, true),
        ("attributes.city == 'Utrecht'", true, false),
        ("attributes[\"city\"] != 'Utrecht'", false, true),
        ("attributes.city.startsWith('Ut')", true, false),
        ("attributes.points >= 12", true, false),
        ("attributes.points > 12", false, false),
        ("attributes.points in [11, 12]", true, false),
        ("-1 < attributes.points && attributes.points < 12.5", true, false),
        ("attributes.points == null", false, true),
        ("has(attributes.points)", true, false),
        ("attributes.newcomer", false, false),
        // Known to be false, or not known.
        ("attributes.newcomer == false", true, false),
        ("false == attributes.newcomer", true, false),
        ("!attributes.newcomer", true, true),
        ("attributes.newcomer != null", true, false),
        ("attributes.birthday < date('2000-01-01')", true, false),
        ("attributes.birthday == date('1990-05-17')", true, false),
        ("attributes.birthday <= today - duration('6570d')", true, false),
        ("attributes.birthday > today", false, false),
        ("attributes.size == 'M'", true, false),
        ("attributes.size in ['S', 'M']", true, false),
        ("'bags' in attributes.likes", true, false),
        ("'shoes' in attributes.likes", false, false),
        ("has(attributes.likes)", true, false),
        ("'Chess' in groups", true, false),
        ("list('vips') && !list('staff')", true, false),
        ("segment('vip')", true, false),
        ("!segment(\"vip\") == true", false, true),
        ("member == window_open", true, true),
        ("(member || opted_out) && ('vip' in tags || 'x' in tags)", true, false),
        ("  member // a comment\n && true", true, false),
    ];
    for (expression, for_ana, for_nobody) in table {
        assert_eq!(holds(expression, &ana()), for_ana, "Ana: {expression}");
        assert_eq!(holds(expression, &nobody()), for_nobody, "nobody: {expression}");
    }
}

#[test]
fn value_of_another_type_counts_as_missing() {
    // Its declaration was changed after it was set.
    let mut person = ana();
    let mut profile = person.contact.profile().clone();
    profile.attributes.insert("points".into(), AttributeValue::Text("many".into()));
    profile.attributes.insert("size".into(), AttributeValue::Number(3.into()));
    person.contact.profile = Some(Arc::new(profile));
    assert!(!holds("attributes.points > 0 || attributes.points <= 0", &person));
    assert!(holds("attributes.size != 'M'", &person));
}

/// An expression, the part that is underlined, and message, label and help in one line.
const ERRORS: &[(&str, &str, &str)] = &[
    ("tag == 'vip'", "tag", "unknown name `tag`; does not exist; did you mean `tags`?"),
    ("jioned > now", "jioned", "unknown name `jioned`; does not exist; did you mean `joined`?"),
    (
        "attributes.pionts > 1",
        "attributes.pionts",
        "attribute `pionts` is not declared; unknown attribute; did you mean `points`?",
    ),
    (
        "attributes.zzz > 1",
        "attributes.zzz",
        "attribute `zzz` is not declared; unknown attribute; declare it in `[contacts.attributes]`",
    ),
    (
        "has(attributes.zzz)",
        "has(attributes.zzz)",
        "attribute `zzz` is not declared; unknown attribute; declare it in `[contacts.attributes]`",
    ),
    ("attributes.size == 'XL'", "'XL'", "unknown choice of `size`: `XL`; does not exist; did you mean `L`?"),
    (
        "'hats' in attributes.likes",
        "'hats'",
        "unknown choice of `likes`: `hats`; does not exist; must be one of `shoes`, `bags`",
    ),
    (
        "attributes.points == 'many'",
        "attributes.points == 'many'",
        "`attributes.points` is a number and `'many'` is a text; they cannot be compared; different types; write the number without quotes",
    ),
    (
        "attributes.birthday < '2000-01-01'",
        "attributes.birthday < '2000-01-01'",
        "`attributes.birthday` is a date and `'2000-01-01'` is a text; they cannot be compared; different types; write `date(\"2000-01-01\")`",
    ),
    (
        "joined < duration('30d')",
        "joined < duration('30d')",
        "`joined` is a time and `duration('30d')` is a duration; they cannot be compared; different types; write `now - duration('30d')`",
    ),
    (
        "joined > date('2026-01-01')",
        "joined > date('2026-01-01')",
        "`joined` is a time and `date('2026-01-01')` is a date; they cannot be compared; different types; write `timestamp(\"…\")` instead of `date(\"…\")`, and `now` instead of `today`",
    ),
    (
        "tags == 'vip'",
        "tags == 'vip'",
        "`tags` is a set of texts and `'vip'` is a text; they cannot be compared; different types; write `\"vip\" in tags`",
    ),
    ("tags.contains('vip')", "tags.contains('vip')", "`tags` is a set of texts; write `'vip' in tags`"),
    (
        "joined",
        "joined",
        "`joined` is a time, not true or false; must be true or false; compare it, such as `< now - duration(\"30d\")`, or with `!= null`",
    ),
    (
        "member && 'vip'",
        "'vip'",
        "`'vip'` is a text, not true or false; must be true or false; compare it with `==`, `!=`, `<` or `in`",
    ),
    (
        "role == 'boss'",
        "'boss'",
        "unknown role `boss`; does not exist; must be one of `banned`, `member`, `helper`, `moderator`, `admin`, `owner`",
    ),
    ("role in ['admin', 'onwer']", "'onwer'", "unknown role `onwer`; does not exist; did you mean `owner`?"),
    ("role in []", "[]", "the list of values is empty; must contain a value"),
    ("role < 'admin'", "role < 'admin'", "texts have no order; compare them with `==`, `!=` or `in`"),
    ("country == 'UK'", "'UK'", "no person can have `UK` here; the code of the United Kingdom is \"GB\""),
    ("country == 'nl'", "'nl'", "no person can have `nl` here; must be a code of ISO 3166 in capitals, such as \"NL\""),
    (
        "language == 'Dutch language'",
        "'Dutch language'",
        "no person can have `Dutch language` here; must be a language tag such as \"nl\" or \"pt-BR\"",
    ),
    ("zone == 'Amsterdam'", "'Amsterdam'", "no person can have `Amsterdam` here; must be a time zone"),
    ("'sohp' in channels", "'sohp'", "unknown channel `sohp`; does not exist; did you mean `shop`?"),
    (
        "consent.marketting",
        "consent.marketting",
        "`marketting` is not a purpose; the purposes are `service`, `marketing`, `marketing:TOPIC`, `group` and `survey`; unknown purpose",
    ),
    (
        "consent_state.group == 'yes'",
        "'yes'",
        "unknown state of consent `yes`; does not exist; must be one of `granted`, `withdrawn`, `requested`, `missing`",
    ),
    (
        "consent",
        "consent",
        "`consent` needs a name: `consent.marketing` or `consent[\"marketing:TOPIC\"]`; a name must follow",
    ),
    ("segment('vpi')", "'vpi'", "unknown segment `vpi`; does not exist; did you mean `vip`?"),
    (
        "joined < now - duration('30 days')",
        "'30 days'",
        "`30 days` is not a duration; a number with a unit (s, m, h or d), such as \"30d\"",
    ),
    (
        "joined < timestamp('yesterday')",
        "'yesterday'",
        "`yesterday` is not a time; such as \"2026-11-29T18:00:00Z\" or \"2026-11-29\"",
    ),
    ("attributes.birthday == date('2026-02-30')", "'2026-02-30'", "`2026-02-30` is not a date; such as \"2026-11-29\""),
    (
        "attributes.birthday < today - duration('5h')",
        "today - duration('5h')",
        "dates are counted in days; write a duration of whole days, such as `duration(\"30d\")`",
    ),
    (
        "attributes.points + 1 > 2",
        "attributes.points + 1",
        "`+` and `-` need a time and a duration; `attributes.points` is a number and `1` is a number; such as `now - duration(\"30d\")`",
    ),
    ("created == null", "created", "`created` is never missing; cannot be compared with `null`"),
    (
        "tags.exists(t, t == 'vip')",
        "exists",
        "`all`, `exists`, `map` and `filter` are not supported; test single values: `\"…\" in tags`",
    ),
    (
        "size(tags) > 1",
        "size(tags)",
        "unknown function `size`; does not exist; must be one of `date`, `duration`, `endsWith`, `has`, `list`, `segment`, `startsWith`, `contains`, `timestamp`",
    ),
    ("duration(30) == now", "30", "`duration` needs a text in quotes; such as `duration(\"30d\")`"),
    (
        "member ? true : false",
        "member ? true : false",
        "this operator is not supported; not part of a segment's language; the operators are `&&`, `||`, `!`, `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, and `+` and `-` with durations",
    ),
    (
        "'a,b' in tags",
        "'a,b'",
        "`a,b` is not a tag: a tag has 1 to 64 characters without commas and line breaks; no person can have it",
    ),
    ("name.size == 1", "name.size", "`name` has no parts; `.size` does not exist"),
    ("member and opted_out", "and", "`and` is not expected here; write `&&`"),
    ("role = 'admin'", "=", "`=` is not expected here; write `==`"),
    ("not member", "member", "`member` is not expected here; invalid syntax"),
    ("member &&", "&", "the expression ends too early; something must follow"),
    ("(member", "r", "the expression ends too early; something must follow"),
    ("  ", "", "the expression is empty; such as `\"vip\" in tags`"),
    ("name == 'Ana", "'", "a text without a closing quote; begins here"),
    ("'caf\u{e9}' in tags && tgas", "tgas", "unknown name `tgas`; does not exist; did you mean `tags`?"),
    ("has(name)", "name", "`has` needs an attribute: `has(attributes.NAME)`; invalid syntax"),
    ("if", "if", "`if` is a reserved word; invalid syntax"),
];

#[test]
fn errors_have_a_place_and_a_reason() {
    let mut wrong = Vec::new();
    for (expression, place, text) in ERRORS.iter().copied() {
        let errors = compiled(&[("it", expression), ("vip", "true")]).map(|_| ()).unwrap_err();
        let (_, error) = errors.first().unwrap();
        let found = &expression[error.span.clone()];
        let parts = [Some(&error.message), Some(&error.label).filter(|label| !label.is_empty()), error.help.as_ref()];
        let message = parts.into_iter().flatten().cloned().collect::<Vec<_>>().join("; ");
        if (found, message.as_str()) != (place, text) {
            wrong.push(format!("{expression}\n  {found}: {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_errors_of_an_expression_are_found() {
    let errors = compiled(&[("it", "tga && role == 'x' || joined > 1"), ("other", "foo")]).map(|_| ()).unwrap_err();
    let names: Vec<&str> = errors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["it", "it", "it", "other"]);
}

#[test]
fn topic_without_a_wording_is_a_warning() {
    let (_, warnings) = compiled(&[("it", "consent['marketing:nwes'] && consent['marketing:news']")]).unwrap();
    let [(name, warning)] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!(name, "it");
    assert!(warning.message.contains("`marketing:nwes`"), "{warning:?}");
}

#[test]
fn circles_and_oversized_segments_are_errors() {
    let text = |segments: &[(&str, &str)]| {
        let errors = compiled(segments).map(|_| ()).unwrap_err();
        errors.into_iter().map(|(name, error)| format!("{name}: {}", error.message)).collect::<Vec<_>>()
    };
    assert_eq!(text(&[("a", "segment('a')")]), ["a: segment `a` names itself"]);
    assert_eq!(
        text(&[("a", "segment('b')"), ("b", "member || segment('a')")]),
        ["a: segment `a` names itself through `b`", "b: segment `b` names itself through `a`"]
    );
    // Each doubles the one before.
    let names: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let expressions: Vec<String> = (0..20)
        .map(|number| match number {
            0 => "member".to_owned(),
            _ => format!("segment('s{0}') || segment('s{0}')", number - 1),
        })
        .collect();
    let doubling: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(expressions.iter().map(String::as_str)).collect();
    assert!(text(&doubling).iter().all(|error| error.contains("parts together with the segments")));
    let long = ["true"; 600].join("||");
    assert!(text(&[("a", &long)])[0].contains("500 parts"));
    let longer = format!("{}true", " ".repeat(MAX_EXPRESSION_BYTES));
    assert!(text(&[("a", &longer)])[0].contains("4000 bytes"));
}

#[test]
fn hostile_expressions_end_soon() {
    let started = std::time::Instant::now();
    for unit in [
        "(",
        "[",
        "{",
        "a||",
        "!",
        "-",
        "a?",
        "a.",
        "a[",
        "f(",
        "a in ",
        "'",
        "\\",
        "1+",
        "a<",
        "has(",
        "x.exists(y,",
        "\u{1d4b3}",
        "//",
    ] {
        for count in [40, 90, MAX_EXPRESSION_BYTES / unit.len()] {
            let text = unit.repeat(count);
            let closed = format!("{text}a{}", ")".repeat(count.min(40)));
            for text in [text, closed] {
                let _ = compiled(&[("it", &text)]).map(drop);
            }
        }
    }
    // Some milliseconds each; the limit is for a slow and busy machine.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn explanation_shows_parts_and_values() {
    fn lines(part: &Part, depth: usize, text: &mut Vec<String>) {
        let values: Vec<String> = part.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push(format!("{}{} {} [{}]", "  ".repeat(depth), part.holds, part.text, values.join("; ")));
        part.parts.iter().for_each(|part| lines(part, depth + 1, text));
    }
    let expression = "segment('vip') && joined <\n now - duration('30d') && !('x' in tags || opted_out) \
        && attributes.points > 20 && role != 'admin' && list('staff') && consent.survey && 'Chess' in groups";
    let (definitions, _) = compiled(&[("it", expression), ("vip", "'vip' in tags")]).unwrap();
    let context = context();
    let evaluator = Evaluator { definitions: &definitions, context: &context };
    let mut text = Vec::new();
    lines(&evaluator.explain(definitions.get("it").unwrap(), &ana()), 0, &mut text);
    assert_eq!(
        text,
        [
            "false all of []",
            "  true segment('vip') []",
            "    true 'vip' in tags [tags=caf\u{e9}, vip]",
            "  true joined < now - duration('30d') [joined=2026-10-20 17:00:00 UTC (40.0 days ago); now=2026-11-29 17:00:00 UTC]",
            "  true not []",
            "    false any of []",
            "      false 'x' in tags [tags=caf\u{e9}, vip]",
            "      false opted_out [opted_out=no]",
            "  false attributes.points > 20 [attributes.points=12]",
            "  true role != 'admin' [role=helper]",
            "  false list('staff') [list staff=not on the list]",
            "  false consent.survey [consent for survey=withdrawn since 2026-11-28 17:00:00 UTC]",
            "  true 'Chess' in groups [group Chess=in the group]",
        ]
    );
}

/// A random tree over tags, as an expression and as a function.
#[derive(Clone, Debug)]
enum Tree {
    Tag(u8),
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

impl Tree {
    fn text(&self) -> String {
        let joined = |parts: &[Tree], operator: &str| {
            let parts: Vec<String> = parts.iter().map(Tree::text).collect();
            format!("({})", parts.join(operator))
        };
        match self {
            Tree::Tag(number) => format!("\"t{number}\" in tags"),
            Tree::Not(part) => format!("!({})", part.text()),
            Tree::All(parts) => joined(parts, " && "),
            Tree::Any(parts) => joined(parts, " || "),
        }
    }

    fn holds(&self, tags: u8) -> bool {
        match self {
            Tree::Tag(number) => tags & (1 << number) != 0,
            Tree::Not(part) => !part.holds(tags),
            Tree::All(parts) => parts.iter().all(|part| part.holds(tags)),
            Tree::Any(parts) => parts.iter().any(|part| part.holds(tags)),
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    (0u8..8).prop_map(Tree::Tag).prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| Tree::Not(Box::new(part))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tree::All),
            prop::collection::vec(inner, 1..4).prop_map(Tree::Any),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn evaluation_agrees_with_a_reference(tree in tree()) {
        let (definitions, _) = compiled(&[("it", &tree.text())]).unwrap();
        let segment = definitions.get("it").unwrap();
        let context = context();
        let evaluator = Evaluator { definitions: &definitions, context: &context };
        for tags in 0..=255u8 {
            let mut person = nobody();
            let names = (0..8).filter(|number| tags & (1 << number) != 0).map(|number| format!("t{number}"));
            person.contact.profile = Some(Arc::new(Profile { tags: names.collect(), ..Profile::default() }));
            prop_assert_eq!(evaluator.holds(&segment.test, &person), tree.holds(tags));
            prop_assert_eq!(evaluator.explain(segment, &person).holds, tree.holds(tags));
        }
    }

    #[test]
    fn arbitrary_text_is_compiled_or_refused_within_its_bounds(text in "\\PC{0,60}") {
        if let Err(errors) = compiled(&[("it", &text)]) {
            for (_, error) in errors {
                prop_assert!(text.get(error.span.clone()).is_some(), "{:?}", error);
            }
        }
    }

    #[test]
    fn arbitrary_tokens_are_compiled_and_evaluated_without_a_panic(tokens in prop::collection::vec(0usize..TOKENS.len(), 0..25)) {
        let text = tokens.iter().map(|token| TOKENS[*token]).collect::<Vec<_>>().join(" ");
        match compiled(&[("it", &text), ("vip", "'vip' in tags")]) {
            Ok((definitions, _)) => {
                let context = context();
                let evaluator = Evaluator { definitions: &definitions, context: &context };
                let segment = definitions.get("it").unwrap();
                for person in [ana(), nobody()] {
                    prop_assert_eq!(evaluator.holds(&segment.test, &person), evaluator.explain(segment, &person).holds);
                }
            }
            Err(errors) => {
                for (_, error) in errors {
                    prop_assert!(text.get(error.span.clone()).is_some(), "{}: {:?}", text, error);
                }
            }
        }
    }
}

const TOKENS: [&str; 48] = [
    "tags",
    "role",
    "joined",
    "now",
    "today",
    "member",
    "window_open",
    "attributes",
    ".",
    "points",
    "city",
    "newcomer",
    "birthday",
    "consent",
    "consent_state",
    "marketing",
    "[",
    "]",
    "'marketing:news'",
    "'vip'",
    "'x'",
    "1",
    "-",
    "+",
    "duration('30d')",
    "date('2026-01-01')",
    "timestamp('2026-01-01')",
    "(",
    ")",
    "&&",
    "||",
    "!",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    ",",
    "null",
    "true",
    "false",
    "segment('vip')",
    "list('vips')",
    "has(attributes.city)",
    "name.startsWith('A')",
    "'Chess' in groups",
];

fn edit_with_tags(tags: &[&str]) -> ContactEdit {
    let mut edit = ContactEdit::default();
    edit.profile.add_tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    edit
}

/// A store with 30 people; every third has the tag `vip`.
async fn store(folder: &std::path::Path) -> Store {
    let (clock, _) = Clock::manual(NOW);
    let store = Store::open(StoreConfig { ballast_bytes: 0, readers: 2, ..StoreConfig::new(folder, clock) }).unwrap();
    let person = |number: i64| ImportedContact {
        phone: format!("3161234{number:04}"),
        name: Some(format!("Person {number}")),
        edit: edit_with_tags(if number % 3 == 0 { &["vip"] } else { &[] }),
        consents: vec![],
    };
    store.import_contacts("shop", (1..=30).map(person).collect(), Interest::default()).await.unwrap();
    store
}

#[tokio::test]
async fn members_are_paged_counted_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let (definitions, _) = compiled(&[
        ("vips", "'vip' in tags"),
        ("dutch", "country == 'NL' && 'shop' in channels && last_inbound == null"),
        ("listed", "list('friends')"),
        ("both", "segment('vips') && segment('listed')"),
        ("chess", "'Chess' in groups"),
    ])
    .unwrap();
    let segments = Segments::new(store.reader(), definitions);
    let all = |name: &str, limit: usize, people: usize| {
        let members = segments.members(name, NOW).unwrap();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = members.page_among(after, limit, people).unwrap();
            assert!(page.members.len() <= limit);
            found.extend(page.members.iter().map(|id| id.0));
            after = page.next;
            if after.is_none() {
                break found;
            }
        }
    };
    let vips: Vec<i64> = (1..=10).map(|number| number * 3).collect();
    for (limit, people) in [(1, 1), (3, 7), (100, 4), (10, 1000), (1, 1000)] {
        assert_eq!(all("vips", limit, people), vips, "{limit} {people}");
    }
    assert_eq!(all("dutch", 100, 100).len(), 30);
    let counted = segments.members("vips", NOW).unwrap().count().unwrap();
    assert_eq!((counted.members, counted.people), (10, 30));

    // A list that does not exist is an error, wherever it is named.
    let code = |name: &str| segments.members(name, NOW).err().map(|error| (error.code(), error.to_string()));
    assert_eq!(code("nope").unwrap().0, "segment-unknown");
    assert_eq!(code("list:friends").unwrap(), ("list-unknown", "unknown list `friends`".into()));
    let expected = "unknown list `friends` in segment `listed`";
    assert_eq!(code("both").unwrap(), ("list-unknown", expected.into()));
    assert_eq!(code("chess").unwrap().0, "group-unknown");
    assert!(matches!(segments.members("chess", NOW), Err(SegmentError::UnknownGroup { .. })));

    store.create_list("friends", None).await.unwrap();
    store.edit_list("friends", [3, 4, 5, 6].map(ContactId).to_vec(), vec![]).await.unwrap();
    assert_eq!(all("list:friends", 2, 100), [3, 4, 5, 6]);
    assert_eq!(all("both", 2, 100), [3, 6]);
    // A merged contact is the one that it was merged into.
    store.merge_contacts(ContactId(1), ContactId(4), false).await.unwrap();
    assert_eq!(all("list:friends", 2, 100), [1, 3, 5, 6]);
    let friends = segments.members("list:friends", NOW).unwrap();
    assert_eq!(friends.contains(ContactId(4)).unwrap(), Some(true));
    assert_eq!(friends.contains(ContactId(2)).unwrap(), Some(false));
    assert_eq!(friends.contains(ContactId(99)).unwrap(), None);
    let explained = segments.members("both", NOW).unwrap().explain(ContactId(4)).unwrap().unwrap();
    assert_eq!((explained.contact, explained.is_member), (ContactId(1), false));
    assert_eq!(explained.reason.parts.iter().map(|part| part.holds).collect::<Vec<_>>(), [false, true]);
    assert!(friends.explain(ContactId(99)).unwrap().is_none());

    // Members keep the definitions that they were made with.
    let before = segments.members("vips", NOW).unwrap();
    segments.configure(compiled(&[("vips", "false")]).unwrap().0);
    assert_eq!(before.count().unwrap().members, 10);
    assert_eq!(segments.members("vips", NOW).unwrap().count().unwrap().members, 0);
    store.close();
}

#[test]
fn named_parts_of_a_segment_are_listed() {
    let (definitions, _) = compiled(&[("it", "segment('vip') || !list('a') || list('b')"), ("vip", "true")]).unwrap();
    let segment = definitions.get("it").unwrap();
    assert_eq!(segment.named_lists().into_iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(segment.named_segments().into_iter().collect::<Vec<_>>(), ["vip"]);
    assert_eq!(definitions.segments().count(), 2);
    assert!(parse("member").is_ok());
}
