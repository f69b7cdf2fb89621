//! The three-way merge of one field: the member's value and the contact's, compared with the hashes
//! of the last time at which both were synchronised. Pure.
//!
//! A change of one side is never lost: it goes to the other side, or loses against a change of the
//! other side by the field's rule, or waits with both values for the operator.

use crate::link::Base;
use crate::settings::{Direction, OnConflict};
use crate::value::{Value, hash, hash_text};

/// What is merged. Values are in the CRM's form.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// What was synchronised before; `None` at the first time.
    pub base: Option<&'a Base>,
    /// The member's value.
    pub member: Option<&'a Value>,
    /// The contact's value.
    pub crm: Option<&'a Value>,
    /// Whether the contact was changed after the member.
    pub is_crm_newer: bool,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Neither side changes; the values as they are become the base.
    Keep,
    /// These values are written, each to its side; `None` leaves a side as it is. The inner `None`
    /// clears the field.
    Write {
        /// To the member.
        member: Option<Option<Value>>,
        /// To the contact.
        crm: Option<Option<Value>>,
    },
    /// Both sides stay as they are until the operator decides, and so does the base.
    Conflict,
}

impl Decision {
    fn to_crm(value: Option<&Value>) -> Self {
        Self::Write { member: None, crm: Some(value.cloned()) }
    }

    fn to_member(value: Option<&Value>) -> Self {
        Self::Write { member: Some(value.cloned()), crm: None }
    }
}

/// Merges a field.
pub fn merge(sides: Sides<'_>, direction: Direction, rule: OnConflict) -> Decision {
    if matches!(sides.member, Some(Value::List(_))) || matches!(sides.crm, Some(Value::List(_))) {
        return merge_lists(sides, direction, rule == OnConflict::Append);
    }
    let Sides { base, member, crm, is_crm_newer } = sides;
    if hash(member) == hash(crm) {
        return Decision::Keep;
    }
    let (member_changed, crm_changed) = match base {
        Some(base) => (hash(member) != base.member, hash(crm) != base.crm),
        // The first time, an empty side has nothing to say.
        None => (member.is_some(), crm.is_some()),
    };
    match (member_changed, crm_changed, direction) {
        (false, false, _) => Decision::Keep,
        (true, _, Direction::ToCrm) | (true, false, Direction::Both) => Decision::to_crm(member),
        (_, true, Direction::FromCrm) | (false, true, Direction::Both) => Decision::to_member(crm),
        (false, true, Direction::ToCrm) | (true, false, Direction::FromCrm) => Decision::Keep,
        (true, true, Direction::Both) => match rule {
            OnConflict::Crm => Decision::to_member(crm),
            OnConflict::Wa => Decision::to_crm(member),
            OnConflict::Newest if is_crm_newer => Decision::to_member(crm),
            OnConflict::Newest => Decision::to_crm(member),
            OnConflict::FillEmpty => match (member, crm) {
                (None, Some(_)) => Decision::to_member(crm),
                (Some(_), None) => Decision::to_crm(member),
                _ => Decision::Keep,
            },
            OnConflict::Append => append(member, crm),
            OnConflict::Manual => Decision::Conflict,
        },
    }
}

/// Both texts, that of the CRM first; one only if it contains the other.
fn append(member: Option<&Value>, crm: Option<&Value>) -> Decision {
    let text = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
    let (ours, theirs) = (text(member), text(crm));
    if theirs.contains(&ours) {
        return Decision::to_member(crm);
    }
    if ours.contains(&theirs) {
        return Decision::to_crm(member);
    }
    let both = Value::text(format!("{theirs}; {ours}"));
    Decision::Write { member: Some(both.clone()), crm: Some(both) }
}

/// Additions and removals of both sides. They cannot contradict each other: only what was there can
/// be removed, only what was not can be added.
fn merge_lists(sides: Sides<'_>, direction: Direction, is_append: bool) -> Decision {
    let elements = |value: Option<&Value>| value.map(Value::elements).unwrap_or_default();
    let (member, crm) = (elements(sides.member), elements(sides.crm));
    let known = sides.base.map(|base| base.elements.as_slice()).unwrap_or_default();
    let was_there = |element: &String| known.contains(&hash_text(element));
    // What one side becomes after the changes of the other.
    let applied = |to: &[String], from: &[String]| {
        let removed = |element: &String| was_there(element) && !from.contains(element) && !is_append;
        let kept = to.iter().filter(|element| !removed(element));
        let added = from.iter().filter(|element| !to.contains(element) && (is_append || !was_there(element)));
        Value::list(kept.chain(added).cloned())
    };
    let changed = |new: Option<Value>, old: &[String]| (new != Value::list(old.to_vec())).then_some(new);
    let to_crm = (direction != Direction::FromCrm).then(|| changed(applied(&crm, &member), &crm)).flatten();
    let to_member = (direction != Direction::ToCrm).then(|| changed(applied(&member, &crm), &member)).flatten();
    if to_crm.is_none() && to_member.is_none() {
        return Decision::Keep;
    }
    Decision::Write { member: to_member, crm: to_crm }
}

/// The base after both sides have these values.
pub fn base_of(key: u32, member: Option<&Value>, crm: Option<&Value>, direction: Direction) -> Base {
    // The side whose changes count: elements that only the other side has are not ours to remove.
    let (first, second) = if direction == Direction::FromCrm { (crm, member) } else { (member, crm) };
    let is_list = matches!(member, Some(Value::List(_))) || matches!(crm, Some(Value::List(_)));
    let mut elements = Vec::new();
    if is_list {
        let of_second = second.map(Value::elements).unwrap_or_default();
        let of_first = first.map(Value::elements).unwrap_or_default();
        let is_known = |element: &&String| direction != Direction::Both || of_second.contains(element);
        elements = of_first.iter().filter(is_known).map(|element| hash_text(element)).collect();
    }
    Base { key, member: hash(member), crm: hash(crm), elements }
}

/// The consent that holds if both sides say something: a withdrawal is never undone by the CRM, and
/// never lost. `withdrawn` is the CRM's value for it.
pub fn merge_consent(sides: Sides<'_>, direction: Direction, withdrawn: Option<&Value>) -> Decision {
    let is_withdrawn = |value: Option<&Value>| value.is_some() && hash(value) == hash(withdrawn);
    let Sides { base, member, crm, .. } = sides;
    if hash(member) == hash(crm) {
        return Decision::Keep;
    }
    if is_withdrawn(member) {
        return if direction == Direction::FromCrm { Decision::Keep } else { Decision::to_crm(member) };
    }
    if is_withdrawn(crm) {
        // The member agreed again after the CRM had learned of the withdrawal.
        let agreed_again = base.is_some_and(|base| hash(crm) == base.crm && hash(member) != base.member);
        return match direction {
            Direction::ToCrm => Decision::to_crm(member),
            _ if agreed_again => Decision::to_crm(member),
            _ => Decision::to_member(crm),
        };
    }
    match merge(sides, direction, OnConflict::Wa) {
        // An emptied field of a CRM is no statement of the person.
        Decision::Write { member: Some(None), .. } => Decision::Keep,
        decision => decision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Option<Value> {
        Value::text(text)
    }

    fn merged(base: Option<(&str, &str)>, member: &str, crm: &str, direction: Direction, rule: OnConflict) -> Decision {
        let base = base.map(|(member, crm)| base_of(1, text(member).as_ref(), text(crm).as_ref(), direction));
        let (member, crm) = (text(member), text(crm));
        let sides = Sides { base: base.as_ref(), member: member.as_ref(), crm: crm.as_ref(), is_crm_newer: false };
        merge(sides, direction, rule)
    }

    #[test]
    fn a_change_of_one_side_goes_to_the_other() {
        use Decision::Keep;
        let same = Some(("a", "a"));
        for (base, member, crm, direction, expected) in [
            (same, "a", "a", Direction::Both, Keep),
            (same, "b", "a", Direction::Both, Decision::to_crm(text("b").as_ref())),
            (same, "a", "b", Direction::Both, Decision::to_member(text("b").as_ref())),
            (same, "", "a", Direction::Both, Decision::to_crm(None)),
            (same, "a", "", Direction::Both, Decision::to_member(None)),
            (same, "b", "b", Direction::Both, Keep),
            (same, "a", "b", Direction::ToCrm, Keep),
            (same, "b", "c", Direction::ToCrm, Decision::to_crm(text("b").as_ref())),
            (same, "b", "a", Direction::FromCrm, Keep),
            (same, "b", "c", Direction::FromCrm, Decision::to_member(text("c").as_ref())),
            (Some(("a", "A.")), "a", "A.", Direction::Both, Keep),
            (None, "a", "", Direction::Both, Decision::to_crm(text("a").as_ref())),
            (None, "", "a", Direction::Both, Decision::to_member(text("a").as_ref())),
        ] {
            assert_eq!(
                merged(base, member, crm, direction, OnConflict::Manual),
                expected,
                "{member} {crm} {direction:?}"
            );
        }
    }

    #[test]
    fn two_changes_follow_the_rule() {
        let both = text("c; b");
        let b = text("b");
        let c = text("c");
        for (rule, expected) in [
            (OnConflict::Crm, Decision::to_member(c.as_ref())),
            (OnConflict::Wa, Decision::to_crm(b.as_ref())),
            (OnConflict::Newest, Decision::to_crm(b.as_ref())),
            (OnConflict::FillEmpty, Decision::Keep),
            (OnConflict::Append, Decision::Write { member: Some(both.clone()), crm: Some(both) }),
            (OnConflict::Manual, Decision::Conflict),
        ] {
            assert_eq!(merged(Some(("a", "a")), "b", "c", Direction::Both, rule), expected, "{rule:?}");
            assert_eq!(merged(None, "b", "c", Direction::Both, rule), expected, "{rule:?}");
        }
        assert_eq!(
            merged(Some(("a", "a")), "", "c", Direction::Both, OnConflict::FillEmpty),
            Decision::to_member(c.as_ref())
        );
    }

    #[test]
    fn a_withdrawal_wins_and_the_crm_cannot_undo_it() {
        let (yes, no) = (text("granted"), text("withdrawn"));
        let to = |base: Option<(&str, &str)>, member: &str, crm: &str| {
            let base = base.map(|(member, crm)| base_of(1, text(member).as_ref(), text(crm).as_ref(), Direction::Both));
            let (member, crm) = (text(member), text(crm));
            let sides = Sides { base: base.as_ref(), member: member.as_ref(), crm: crm.as_ref(), is_crm_newer: true };
            merge_consent(sides, Direction::Both, no.as_ref())
        };
        let both_yes = Some(("granted", "granted"));
        let both_no = Some(("withdrawn", "withdrawn"));
        assert_eq!(to(both_yes, "withdrawn", "granted"), Decision::to_crm(no.as_ref()));
        assert_eq!(to(both_yes, "granted", "withdrawn"), Decision::to_member(no.as_ref()));
        assert_eq!(to(both_no, "withdrawn", "granted"), Decision::to_crm(no.as_ref()));
        assert_eq!(to(both_no, "granted", "withdrawn"), Decision::to_crm(yes.as_ref()));
        assert_eq!(to(both_yes, "granted", ""), Decision::Keep);
        assert_eq!(to(None, "", "granted"), Decision::to_member(yes.as_ref()));
        assert_eq!(to(None, "granted", "withdrawn"), Decision::to_member(no.as_ref()));
    }

    fn letters() -> impl Strategy<Value = Option<Value>> {
        prop_oneof![Just(None), "[ab]".prop_map(Value::text), "[a-d]{1,2}".prop_map(Value::text)]
    }

    fn lists() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[a-e]", 0..5)
    }

    fn rules() -> impl Strategy<Value = OnConflict> {
        use OnConflict::*;
        proptest::sample::select(vec![Crm, Wa, Newest, FillEmpty, Append, Manual])
    }

    fn apply(decision: Decision, member: &mut Option<Value>, crm: &mut Option<Value>) {
        if let Decision::Write { member: new_member, crm: new_crm } = decision {
            *member = new_member.unwrap_or(member.take());
            *crm = new_crm.unwrap_or(crm.take());
        }
    }

    proptest! {
        #[test]
        fn merging_again_changes_nothing(
            before in (letters(), letters()), now in (letters(), letters()), rule in rules(), is_crm_newer in any::<bool>(),
        ) {
            let base = base_of(1, before.0.as_ref(), before.1.as_ref(), Direction::Both);
            let (mut member, mut crm) = now;
            let sides = Sides { base: Some(&base), member: member.as_ref(), crm: crm.as_ref(), is_crm_newer };
            let first = merge(sides, Direction::Both, rule);
            if first == Decision::Conflict {
                prop_assert_eq!(rule, OnConflict::Manual);
                return Ok(());
            }
            apply(first, &mut member, &mut crm);
            let base = base_of(1, member.as_ref(), crm.as_ref(), Direction::Both);
            let sides = Sides { base: Some(&base), member: member.as_ref(), crm: crm.as_ref(), is_crm_newer };
            prop_assert_eq!(merge(sides, Direction::Both, rule), Decision::Keep);
        }

        #[test]
        fn a_change_of_one_side_alone_is_never_lost(
            before in letters(), now in letters(), rule in rules(), is_member in any::<bool>(),
        ) {
            let base = base_of(1, before.as_ref(), before.as_ref(), Direction::Both);
            let (mut member, mut crm) = if is_member { (now.clone(), before) } else { (before, now.clone()) };
            let sides = Sides { base: Some(&base), member: member.as_ref(), crm: crm.as_ref(), is_crm_newer: !is_member };
            apply(merge(sides, Direction::Both, rule), &mut member, &mut crm);
            prop_assert_eq!(&member, &now);
            prop_assert_eq!(&crm, &now);
        }

        #[test]
        fn changes_of_lists_are_all_kept(before in lists(), ours in lists(), theirs in lists()) {
            let list = |elements: &Vec<String>| Value::list(elements.clone());
            let base = base_of(1, list(&before).as_ref(), list(&before).as_ref(), Direction::Both);
            let (mut member, mut crm) = (list(&ours), list(&theirs));
            let sides = Sides { base: Some(&base), member: member.as_ref(), crm: crm.as_ref(), is_crm_newer: false };
            apply(merge(sides, Direction::Both, OnConflict::Manual), &mut member, &mut crm);
            if !before.is_empty() || !ours.is_empty() || !theirs.is_empty() {
                prop_assert_eq!(&member, &crm);
            }
            let merged = member.map(|value| value.elements()).unwrap_or_default();
            for element in ours.iter().chain(&theirs) {
                let is_kept_by_both = ours.contains(element) && theirs.contains(element);
                prop_assert_eq!(merged.contains(element), is_kept_by_both || !before.contains(element));
            }
        }
    }
}
