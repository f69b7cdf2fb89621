//! Purposes, decisions and the view, by tables and by random ledgers.

use super::*;
use proptest::prelude::*;

fn entry(id: i64, purpose: &str, act: ConsentAct, at: i64) -> ConsentEntry {
    by(actor::PERSON, id, purpose, act, at)
}

fn by(actor: &str, id: i64, purpose: &str, act: ConsentAct, at: i64) -> ConsentEntry {
    let consent = NewConsent::in_chat(purpose.parse().unwrap(), act, Timestamp(at));
    let consent = NewConsent { contact: ContactId(1), actor: actor.to_owned(), ..consent };
    ConsentEntry { id, recorded_at: Timestamp(at), consent }
}

#[test]
fn purposes_have_one_spelling() {
    for text in ["service", "marketing", "marketing:news", "marketing:spring-2_1", "group", "survey"] {
        assert_eq!(text.parse::<Purpose>().unwrap().to_string(), text);
    }
    for text in ["", "Marketing", "marketing:", "marketing:New", "marketing:a b", "news", "marketing:x:y"] {
        assert!(text.parse::<Purpose>().is_err(), "{text}");
    }
    let error = "news".parse::<Purpose>().unwrap_err().to_string();
    assert!(error.contains("`news`") && error.contains("`marketing:TOPIC`"), "{error}");
}

#[test]
fn latest_relevant_entry_decides() {
    use ConsentAct::{Granted as G, Requested as R, Withdrawn as W};
    // Entries in the order of time; a purpose; its state.
    type Acts<'a> = &'a [(&'a str, ConsentAct)];
    let table: [(Acts<'_>, &str, ConsentState); 17] = [
        (&[], "service", ConsentState::Missing),
        (&[("service", G)], "service", ConsentState::Granted),
        (&[("service", G)], "marketing", ConsentState::Missing),
        (&[("service", G), ("service", W)], "service", ConsentState::Withdrawn),
        (&[("marketing", G)], "marketing:news", ConsentState::Granted),
        (&[("marketing:news", G)], "marketing", ConsentState::Missing),
        (&[("marketing:news", G)], "marketing:shoes", ConsentState::Missing),
        (&[("marketing", G), ("marketing:news", W)], "marketing:news", ConsentState::Withdrawn),
        (&[("marketing", G), ("marketing:news", W)], "marketing:shoes", ConsentState::Granted),
        (&[("marketing:news", G), ("marketing", W)], "marketing:news", ConsentState::Withdrawn),
        // STOP withdraws everything; START grants only what it names.
        (&[("marketing", G), ("group", G), ("service", W)], "group", ConsentState::Withdrawn),
        (&[("marketing", G), ("service", W), ("service", G)], "marketing", ConsentState::Withdrawn),
        (&[("service", W), ("marketing", G)], "marketing", ConsentState::Granted),
        // Questions.
        (&[("marketing", R)], "marketing", ConsentState::Requested),
        (&[("marketing", W), ("marketing", R)], "marketing", ConsentState::Requested),
        (&[("marketing", G), ("marketing", R)], "marketing", ConsentState::Granted),
        (&[("marketing", R), ("marketing", W)], "marketing", ConsentState::Withdrawn),
    ];
    for (acts, purpose, state) in table {
        let entries: Vec<_> =
            (1..).zip(acts).map(|(number, (purpose, act))| entry(number, purpose, *act, number)).collect();
        let decision = Consents::of(&entries).decide(&purpose.parse().unwrap());
        assert_eq!(decision.state, state, "{acts:?} {purpose}");
        assert_eq!(decision.by.is_some(), state != ConsentState::Missing, "{acts:?} {purpose}");
    }
}

#[test]
fn wider_purposes_reach_what_was_decided_since() {
    use ConsentAct::{Granted as G, Withdrawn as W};
    let [marketing, service, news]: [Purpose; 3] =
        ["marketing", "service", "marketing:news"].map(|p| p.parse().unwrap());
    let mark = |at: i64| ConsentMark { at: Timestamp(at), entry: at };
    let consents = Consents::of(&[entry(1, "marketing", W, 1), entry(2, "marketing:news", G, 2)]);
    for wider in [&marketing, &service, &news] {
        assert_eq!(consents.ended_by(wider), Some(mark(2)), "{wider}");
    }
    assert_eq!(consents.ended_by(&"survey".parse().unwrap()), None);
    assert_eq!(consents.withdrawal_within(&marketing), Some((&marketing, mark(1))));
    assert_eq!(consents.withdrawal_within(&news), None);
    let consents = Consents::of(&[entry(1, "marketing", G, 1), entry(2, "marketing:news", W, 2)]);
    assert_eq!(consents.withdrawal_within(&marketing), Some((&news, mark(2))));
    assert!(consents.would_grant(&marketing, Timestamp(3)));
    assert!(!consents.would_grant(&marketing, Timestamp(1)), "the withdrawal is later");
    assert!(!consents.would_grant(&"marketing:shoes".parse().unwrap(), Timestamp(3)), "granted by marketing");
}

#[test]
fn late_record_of_an_earlier_grant_does_not_undo_a_withdrawal() {
    let entries = [entry(1, "marketing", ConsentAct::Withdrawn, 20), entry(2, "marketing", ConsentAct::Granted, 10)];
    assert_eq!(Consents::of(&entries).decide(&Purpose::Marketing).state, ConsentState::Withdrawn);
    // Within one tick of the platform's clock, the order of the ledger decides.
    let entries = [entry(1, "service", ConsentAct::Withdrawn, 20), entry(2, "service", ConsentAct::Granted, 20)];
    assert_eq!(Consents::of(&entries).decide(&Purpose::Service).state, ConsentState::Granted);
}

#[test]
fn only_the_platform_ends_its_own_preference() {
    let mut entries = vec![by(actor::PLATFORM, 1, "marketing", ConsentAct::Withdrawn, 1)];
    entries.push(entry(2, "marketing", ConsentAct::Granted, 2));
    let consents = Consents::of(&entries);
    assert_eq!(consents.decide(&Purpose::Marketing).state, ConsentState::Granted);
    assert_eq!(consents.platform_stop().map(|mark| mark.entry), Some(1));
    entries.push(by(actor::PLATFORM, 3, "marketing", ConsentAct::Granted, 3));
    assert_eq!(Consents::of(&entries).platform_stop(), None);
}

const PURPOSES: [&str; 6] = ["service", "marketing", "marketing:news", "marketing:shoes", "group", "survey"];

/// The definition: go through the ledger in the order of time and keep the state of every purpose.
fn by_replay(entries: &[ConsentEntry], purpose: &str) -> ConsentState {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|entry| (entry.consent.at, entry.id));
    let mut state = ConsentState::Missing;
    for entry in sorted {
        let about = entry.consent.purpose.to_string();
        let same = about == purpose || (about == "marketing" && purpose.starts_with("marketing:"));
        state = match entry.consent.act {
            ConsentAct::Granted if same => ConsentState::Granted,
            ConsentAct::Withdrawn if same || about == "service" => ConsentState::Withdrawn,
            ConsentAct::Requested if same && state != ConsentState::Granted => ConsentState::Requested,
            _ => state,
        };
    }
    state
}

proptest! {
    #[test]
    fn view_decides_as_a_replay_of_the_ledger(
        acts in proptest::collection::vec((0..6usize, 0..3u8, 0..12i64), 0..20),
        order in any::<u64>(),
    ) {
        let entries: Vec<ConsentEntry> = (1..).zip(acts).map(|(id, (purpose, act, at))| {
            let act = [ConsentAct::Granted, ConsentAct::Withdrawn, ConsentAct::Requested][usize::from(act)];
            entry(id, PURPOSES[purpose], act, at)
        }).collect();
        let mut shuffled = entries.clone();
        shuffled.sort_by_key(|entry| order.wrapping_mul(entry.id as u64 * 0x9e37_79b9 + 1).rotate_left(17));
        let consents = Consents::of(&shuffled);
        prop_assert_eq!(&consents, &Consents::of(&entries), "the order of entries does not matter");
        for purpose in PURPOSES {
            let decided = consents.decide(&purpose.parse().unwrap()).state;
            prop_assert_eq!(decided, by_replay(&entries, purpose), "{}", purpose);
        }
        let json = serde_json::to_string(&consents).unwrap();
        prop_assert_eq!(serde_json::from_str::<Consents>(&json).unwrap(), consents);
    }
}
