//! Tables of looks, and random lives of a window against what a person would say of them.

use super::*;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// The end of the window in the tables.
const END: Timestamp = Timestamp(WINDOW_MS);

fn leads(list_ms: &[i64]) -> Leads {
    Leads::new(list_ms.to_vec())
}

fn told(lead_ms: i64) -> Option<Told> {
    Some(Told { until: END, lead_ms })
}

#[test]
fn what_is_told_when() {
    let usual = leads(&[2 * HOUR, 30 * MINUTE]);
    let expiring = |lead_ms| Some(Tell::Expiring { lead_ms });
    let before = |ms: i64| END.plus_ms(-ms);
    for (now, was_told, tell, next) in [
        // In its time, to the millisecond.
        (before(2 * HOUR + 1), None, None, before(2 * HOUR)),
        (before(2 * HOUR), None, expiring(2 * HOUR), before(30 * MINUTE)),
        (before(2 * HOUR), told(2 * HOUR), None, before(30 * MINUTE)),
        (before(30 * MINUTE), told(2 * HOUR), expiring(30 * MINUTE), END),
        (before(1), told(30 * MINUTE), None, END),
        (END, told(30 * MINUTE), Some(Tell::Closed), END),
        // Nobody was there: the shortest says it all, and what is over is only that.
        (before(HOUR), None, expiring(2 * HOUR), before(30 * MINUTE)),
        (before(MINUTE), None, expiring(30 * MINUTE), END),
        (before(MINUTE), told(2 * HOUR), expiring(30 * MINUTE), END),
        (END.plus_ms(HOUR), None, Some(Tell::Closed), END),
        // The clock was set back: nothing comes again.
        (before(3 * HOUR), told(2 * HOUR), None, before(30 * MINUTE)),
        (before(HOUR), told(30 * MINUTE), None, END),
    ] {
        let Look { tell: said, next: then } = usual.look(END, was_told, now);
        assert_eq!(said, tell, "{now} {was_told:?}");
        if said != Some(Tell::Closed) {
            assert_eq!(then, next, "{now} {was_told:?}");
        }
    }
}

#[test]
fn a_renewed_window_is_another_one() {
    let usual = leads(&[2 * HOUR]);
    let renewed = renewed(END, Timestamp(HOUR));
    assert_eq!(renewed, END.plus_ms(HOUR));
    let look = usual.look(renewed, told(2 * HOUR), END.plus_ms(-2 * HOUR));
    assert_eq!(look, Look { tell: None, next: renewed.plus_ms(-2 * HOUR) });
    assert_eq!(super::renewed(END, Timestamp(-HOUR)), END, "an older message never shortens it");
}

#[test]
fn other_lead_times_begin_with_what_is_still_to_come() {
    let other = leads(&[6 * HOUR, HOUR]);
    let now = END.plus_ms(-3 * HOUR);
    assert_eq!(other.next(END, None, now), END.plus_ms(-HOUR), "six hours before is over");
    assert_eq!(other.next(END, told(30 * MINUTE), now), END);
    assert_eq!(leads(&[]).next(END, None, now), END);
    assert_eq!(leads(&[]).first(END), END);
    assert_eq!(other.first(END), END.plus_ms(-6 * HOUR));
}

#[test]
fn lead_times_are_put_in_order() {
    assert_eq!(leads(&[HOUR, 2 * HOUR, HOUR, 0, -1, WINDOW_MS]).as_ms(), [2 * HOUR, HOUR]);
    assert_eq!(Leads::new((1..100).collect()).as_ms().len(), MOST_LEADS);
}

/// What was told, each with the end that it spoke of.
type Heard = Vec<(Tell, Timestamp)>;

/// Lives through messages and looks as the store and its loop do, with looks as late as they come.
fn live(leads: &Leads, messages: &[i64], late: &[i64], end: i64) -> Heard {
    let mut heard = Heard::new();
    let mut watched: Option<(Timestamp, Option<Told>)> = None;
    let mut until = Timestamp(i64::MIN);
    let (mut messages, mut late) = (messages.iter().copied().peekable(), late.iter().copied().cycle());
    loop {
        let look_at = watched.map(|(due, _)| due.0.saturating_add(late.next().unwrap_or(0)));
        match (messages.peek().copied(), look_at) {
            (Some(at), look_at) if look_at.is_none_or(|look_at| at < look_at) => {
                messages.next();
                if let (Some(_), true) = (watched, until <= Timestamp(at)) {
                    // It came after the end that nobody has looked at yet.
                    heard.push((Tell::Closed, until));
                    watched = None;
                }
                until = renewed(until, Timestamp(at));
                watched = watched.or(Some((leads.first(until), None)));
            }
            (_, Some(look_at)) if look_at <= end => {
                let Some((_, told)) = watched else { continue };
                let Look { tell, next } = leads.look(until, told, Timestamp(look_at));
                heard.extend(tell.map(|tell| (tell, until)));
                watched = match tell {
                    Some(Tell::Closed) => None,
                    Some(Tell::Expiring { lead_ms }) => Some((next, Some(Told { until, lead_ms }))),
                    None => Some((next, told)),
                };
            }
            _ => return heard,
        }
    }
}

proptest! {
    /// Whatever comes when: each window is told closed once and in order, and of each lead time once at most.
    #[test]
    fn each_window_closes_once(
        mut messages in prop::collection::vec(0..20 * WINDOW_MS, 1..40),
        late in prop::collection::vec(prop_oneof![Just(0), 0..HOUR, 0..3 * WINDOW_MS], 1..8),
        list_ms in prop::collection::vec(1..WINDOW_MS, 0..5),
    ) {
        messages.sort_unstable();
        let leads = Leads::new(list_ms);
        let heard = live(&leads, &messages, &late, i64::MAX / 2);
        // A window is a run of messages, none of which came after the end of the one before.
        let mut ends = Vec::new();
        for at in messages {
            match ends.last_mut() {
                Some(end) if at < *end => *end = at + WINDOW_MS,
                _ => ends.push(at + WINDOW_MS),
            }
        }
        let closed: Vec<i64> =
            heard.iter().filter(|(tell, _)| *tell == Tell::Closed).map(|(_, until)| until.0).collect();
        prop_assert_eq!(&closed, &ends);
        for (n, (tell, until)) in heard.iter().enumerate() {
            let before = heard.iter().take(n);
            prop_assert!(!before.clone().any(|it| it == &(*tell, *until)), "{tell:?} twice");
            let shorter = before.filter(|(_, same)| same == until).all(|(earlier, _)| match (earlier, tell) {
                (Tell::Expiring { lead_ms: was }, Tell::Expiring { lead_ms }) => lead_ms < was,
                (earlier, _) => *earlier != Tell::Closed,
            });
            prop_assert!(shorter, "{tell:?} after a shorter one, or after the end");
        }
    }

    /// Where every look is in time, each lead time of a window that was not renewed in it is told, once and then.
    #[test]
    fn in_time_every_lead_time_is_told(gaps in prop::collection::vec(1..3 * WINDOW_MS, 1..30)) {
        let list = leads(&[2 * HOUR, 30 * MINUTE]);
        let messages: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
        let heard = live(&list, &messages, &[0], i64::MAX / 2);
        let mut wanted = Vec::new();
        for (n, at) in messages.iter().enumerate() {
            let (end, next) = (at + WINDOW_MS, messages.get(n + 1).copied().unwrap_or(i64::MAX));
            for lead_ms in list.as_ms() {
                if end - lead_ms <= next {
                    wanted.push((Tell::Expiring { lead_ms: *lead_ms }, Timestamp(end)));
                }
            }
            if end <= next {
                wanted.push((Tell::Closed, Timestamp(end)));
            }
        }
        // A message and a moment that fall together are in either order.
        let certain = |(tell, end): &(Tell, Timestamp)| match tell {
            Tell::Expiring { lead_ms } => !messages.contains(&(end.0 - lead_ms)),
            Tell::Closed => true,
        };
        let (heard, wanted): (Vec<_>, Vec<_>) =
            (heard.into_iter().filter(certain).collect(), wanted.into_iter().filter(certain).collect());
        prop_assert_eq!(heard, wanted);
    }
}
