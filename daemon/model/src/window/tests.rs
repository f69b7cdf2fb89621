//! Tables of window checks, and random window histories against their definition.

use super::*;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// The end of the window in the tables.
const END: Timestamp = Timestamp(WINDOW_MS);

fn lead_times(list_ms: &[i64]) -> LeadTimes {
    LeadTimes::new(list_ms.to_vec())
}

fn noticed(lead_ms: i64) -> Option<LastNotice> {
    Some(LastNotice { until: END, lead_ms })
}

#[test]
fn check_gives_each_notice_once_at_its_time() {
    let usual = lead_times(&[2 * HOUR, 30 * MINUTE]);
    let expiring = |lead_ms| Some(WindowNotice::Expiring { lead_ms });
    let before = |ms: i64| END.plus_ms(-ms);
    for (now, last, notice, next_check) in [
        // On time, to the millisecond.
        (before(2 * HOUR + 1), None, None, before(2 * HOUR)),
        (before(2 * HOUR), None, expiring(2 * HOUR), before(30 * MINUTE)),
        (before(2 * HOUR), noticed(2 * HOUR), None, before(30 * MINUTE)),
        (before(30 * MINUTE), noticed(2 * HOUR), expiring(30 * MINUTE), END),
        (before(1), noticed(30 * MINUTE), None, END),
        (END, noticed(30 * MINUTE), Some(WindowNotice::Closed), END),
        // Late: only the shortest lead time that has passed, or only the end.
        (before(HOUR), None, expiring(2 * HOUR), before(30 * MINUTE)),
        (before(MINUTE), None, expiring(30 * MINUTE), END),
        (before(MINUTE), noticed(2 * HOUR), expiring(30 * MINUTE), END),
        (END.plus_ms(HOUR), None, Some(WindowNotice::Closed), END),
        // The clock was set back: no notice is repeated.
        (before(3 * HOUR), noticed(2 * HOUR), None, before(30 * MINUTE)),
        (before(HOUR), noticed(30 * MINUTE), None, END),
    ] {
        let check = usual.check(END, last, now);
        assert_eq!(check.notice, notice, "{now} {last:?}");
        if notice != Some(WindowNotice::Closed) {
            assert_eq!(check.next_check, next_check, "{now} {last:?}");
        }
    }
}

#[test]
fn renewed_window_gets_all_notices_again() {
    let usual = lead_times(&[2 * HOUR]);
    let renewed = renewed(END, Timestamp(HOUR));
    assert_eq!(renewed, END.plus_ms(HOUR));
    let check = usual.check(renewed, noticed(2 * HOUR), END.plus_ms(-2 * HOUR));
    assert_eq!(check, WindowCheck { notice: None, next_check: renewed.plus_ms(-2 * HOUR) });
    assert_eq!(super::renewed(END, Timestamp(-HOUR)), END, "an older message never shortens the window");
}

#[test]
fn changed_lead_times_skip_those_that_have_passed() {
    let other = lead_times(&[6 * HOUR, HOUR]);
    let now = END.plus_ms(-3 * HOUR);
    assert_eq!(other.next_check(END, None, now), END.plus_ms(-HOUR), "six hours before the end has passed");
    assert_eq!(other.next_check(END, noticed(30 * MINUTE), now), END);
    assert_eq!(lead_times(&[]).next_check(END, None, now), END);
    assert_eq!(lead_times(&[]).first_check(END), END);
    assert_eq!(other.first_check(END), END.plus_ms(-6 * HOUR));
}

#[test]
fn lead_times_are_sorted_and_bounded() {
    assert_eq!(lead_times(&[HOUR, 2 * HOUR, HOUR, 0, -1, WINDOW_MS]).as_ms(), [2 * HOUR, HOUR]);
    assert_eq!(LeadTimes::new((1..100).collect()).as_ms().len(), MAX_LEAD_TIMES);
}

/// The notices that were sent, each with the end of its window.
type Notices = Vec<(WindowNotice, Timestamp)>;

/// Processes messages and checks as the store and its loop do. `late`: delays of the checks,
/// repeated.
fn simulate(lead_times: &LeadTimes, messages: &[i64], late: &[i64], end: i64) -> Notices {
    let mut notices = Notices::new();
    let mut pending: Option<(Timestamp, Option<LastNotice>)> = None;
    let mut until = Timestamp(i64::MIN);
    let (mut messages, mut late) = (messages.iter().copied().peekable(), late.iter().copied().cycle());
    loop {
        let check_at = pending.map(|(due, _)| due.0.saturating_add(late.next().unwrap_or(0)));
        match (messages.peek().copied(), check_at) {
            (Some(at), check_at) if check_at.is_none_or(|check_at| at < check_at) => {
                messages.next();
                if let (Some(_), true) = (pending, until <= Timestamp(at)) {
                    // The message came after the end, before the check that would have found it.
                    notices.push((WindowNotice::Closed, until));
                    pending = None;
                }
                until = renewed(until, Timestamp(at));
                pending = pending.or(Some((lead_times.first_check(until), None)));
            }
            (_, Some(check_at)) if check_at <= end => {
                let Some((_, last)) = pending else { continue };
                let WindowCheck { notice, next_check } = lead_times.check(until, last, Timestamp(check_at));
                notices.extend(notice.map(|notice| (notice, until)));
                pending = match notice {
                    Some(WindowNotice::Closed) => None,
                    Some(WindowNotice::Expiring { lead_ms }) => Some((next_check, Some(LastNotice { until, lead_ms }))),
                    None => Some((next_check, last)),
                };
            }
            _ => return notices,
        }
    }
}

proptest! {
    /// Each window closes once and in order, and gives at most one notice per lead time.
    #[test]
    fn each_window_closes_once(
        mut messages in prop::collection::vec(0..20 * WINDOW_MS, 1..40),
        late in prop::collection::vec(prop_oneof![Just(0), 0..HOUR, 0..3 * WINDOW_MS], 1..8),
        list_ms in prop::collection::vec(1..WINDOW_MS, 0..5),
    ) {
        messages.sort_unstable();
        let notices = simulate(&LeadTimes::new(list_ms), &messages, &late, i64::MAX / 2);
        // A window is a run of messages, none of which came after the end of the one before.
        let mut ends = Vec::new();
        for at in messages {
            match ends.last_mut() {
                Some(end) if at < *end => *end = at + WINDOW_MS,
                _ => ends.push(at + WINDOW_MS),
            }
        }
        let closed: Vec<i64> =
            notices.iter().filter(|(notice, _)| *notice == WindowNotice::Closed).map(|(_, until)| until.0).collect();
        prop_assert_eq!(&closed, &ends);
        for (n, (notice, until)) in notices.iter().enumerate() {
            let before = notices.iter().take(n);
            prop_assert!(!before.clone().any(|earlier| earlier == &(*notice, *until)), "{notice:?} twice");
            let shorter = before.filter(|(_, same)| same == until).all(|(earlier, _)| match (earlier, notice) {
                (WindowNotice::Expiring { lead_ms: longer }, WindowNotice::Expiring { lead_ms }) => lead_ms < longer,
                (earlier, _) => *earlier != WindowNotice::Closed,
            });
            prop_assert!(shorter, "{notice:?} after a shorter one, or after the end");
        }
    }

    /// When every check is on time, each lead time of a window that was not renewed meanwhile
    /// causes a notice, at its time.
    #[test]
    fn timely_checks_give_every_lead_time(gaps in prop::collection::vec(1..3 * WINDOW_MS, 1..30)) {
        let list = lead_times(&[2 * HOUR, 30 * MINUTE]);
        let messages: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
        let notices = simulate(&list, &messages, &[0], i64::MAX / 2);
        let mut expected = Vec::new();
        for (n, at) in messages.iter().enumerate() {
            let (end, next) = (at + WINDOW_MS, messages.get(n + 1).copied().unwrap_or(i64::MAX));
            for lead_ms in list.as_ms() {
                if end - lead_ms <= next {
                    expected.push((WindowNotice::Expiring { lead_ms: *lead_ms }, Timestamp(end)));
                }
            }
            if end <= next {
                expected.push((WindowNotice::Closed, Timestamp(end)));
            }
        }
        // A message and a check at the same millisecond may come in either order.
        let certain = |(notice, end): &(WindowNotice, Timestamp)| match notice {
            WindowNotice::Expiring { lead_ms } => !messages.contains(&(end.0 - lead_ms)),
            WindowNotice::Closed => true,
        };
        let (notices, expected): (Vec<_>, Vec<_>) =
            (notices.into_iter().filter(certain).collect(), expected.into_iter().filter(certain).collect());
        prop_assert_eq!(notices, expected);
    }
}
