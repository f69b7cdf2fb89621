//! Nudges people before their 24-hour window closes if something is unanswered: a message of
//! theirs, or a question to them. There is no other reason to nudge.
//!
//! It observes (`stage = "observe"`): the endings of events show what is open. It decides when a
//! window is about to close, before quiet hours if the window would close in them, and when a
//! schedule starts a round. Each decision has a name, which is logged, counted, and kept with the
//! conversation.

mod language;
mod open;
mod settings;
#[cfg(test)]
mod tests;

use beadle_plugin::prelude::*;
use beadle_plugin::settings::Span;
use beadle_plugin::text::fill;
use beadle_plugin::{Conversation, TimestampMs};
use language::LANGUAGES;
use open::Open;
use serde::Deserialize;
use settings::Reminder;

plugin!(Reminder: Settings, OnMessage, OnMemberJoined, OnEcho, OnWindowExpiring, OnTimer, OnWindowClosed, OnSchedule);

/// The timer before quiet hours.
const EVENING: &str = "evening";
/// Conversations per round: an event may have 100 effects.
const PER_ROUND: usize = 90;
/// State entries read at once.
const SCAN_LIMIT: u32 = 500;
/// The time between a nudge and the start of quiet hours: time to read it.
const BEFORE_QUIET_MS: i64 = 10 * MINUTE_MS;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

impl OnMessage for Reminder {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let outcome = event.info.ending.as_ref().map(|ending| ending.outcome.clone());
        let outcome = outcome.ok_or_else(|| Failure::GiveUp("set stage = \"observe\" for this plugin".to_owned()))?;
        self.record(&event.conversation, &event.sender, &outcome, event.info.happened_at)
    }
}

impl OnMemberJoined for Reminder {
    fn on_member_joined(&self, event: MemberJoinedEvent) -> Result<Disposition, Failure> {
        // A greeting with a question leaves a question open. A missing greeting leaves nothing
        // open.
        let asked = event.info.ending.as_ref().is_some_and(|ending| ending.outcome == "asked");
        if !asked {
            return Ok(Disposition::Pass);
        }
        self.record(&event.conversation, &event.member, "asked", event.info.happened_at)
    }
}

impl OnEcho for Reminder {
    fn on_echo(&self, event: EchoEvent) -> Result<Disposition, Failure> {
        // A colleague answered.
        let mut open = Open::load(&event.conversation)?;
        if open.unanswered_at.take().is_some() {
            open.save(&event.conversation)?;
        }
        Ok(Disposition::Pass)
    }
}

impl OnWindowExpiring for Reminder {
    fn on_window_expiring(&self, event: WindowExpiringEvent) -> Result<Disposition, Failure> {
        self.decide(&event.conversation, &event.contact, event.closes_at)
    }
}

impl OnTimer for Reminder {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        let Some(conversation) = event.conversation else { return Ok(Disposition::Pass) };
        let (Some(contact), Some(closes_at)) = (contacts::get(&conversation.contact)?, conversation.window_closes_at)
        else {
            return Ok(Disposition::Pass);
        };
        if event.key == open::ROUND {
            if closes_at <= clock::now() {
                return Ok(Disposition::Pass);
            }
            return self.decide(&conversation, &contact, closes_at);
        }
        // A later message moves the end of the window, perhaps out of quiet hours.
        match self.evening(&contact, closes_at)? {
            Some(evening) if evening <= clock::now() => self.decide(&conversation, &contact, closes_at),
            Some(evening) => {
                timers::set(&conversation, EVENING, evening, b"")?;
                Ok(Disposition::Pass)
            }
            None => Ok(Disposition::Pass),
        }
    }
}

/// The `payload` of a schedule.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Payload {
    /// Only windows that close within this time.
    closing_within: Span,
}

impl Default for Payload {
    fn default() -> Self {
        // From a round in the evening until the next morning.
        Self { closing_within: Span::hours(14) }
    }
}

impl OnSchedule for Reminder {
    fn on_schedule(&self, event: ScheduleEvent) -> Result<Disposition, Failure> {
        let payload: Payload = serde_json::from_str(&event.payload)
            .map_err(|error| Failure::GiveUp(format!("payload of schedule {}: {error}", event.schedule)))?;
        let until = clock::after(payload.closing_within.duration());
        let (mut after, mut count) = (None, 0);
        // As many as one event allows. The others are nudged when their window is about to close.
        while count < PER_ROUND {
            let page = state::scan(Scope::Plugin, open::WAITING, after.as_deref(), SCAN_LIMIT)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            let closing = |entry: &&state::Entry| entry.value().is_ok_and(|closes_at: TimestampMs| closes_at <= until);
            for entry in page.iter().filter(closing).take(PER_ROUND - count) {
                let conversation = entry.key.trim_start_matches(open::WAITING).to_owned();
                timers::move_to(Scope::Conversation(conversation), open::ROUND, clock::now())?;
                count += 1;
            }
        }
        log::info(format!("{}: checking {count} conversations", event.schedule));
        Ok(Disposition::Pass)
    }
}

impl OnWindowClosed for Reminder {
    fn on_window_closed(&self, event: WindowClosedEvent) -> Result<Disposition, Failure> {
        let mut open = Open::load(&event.conversation)?;
        if let Some(at) = open.unanswered_at {
            let (contact, conversation) = (&event.contact.id, &event.conversation.id);
            log::warn(format!("{conversation} closed without an answer: {contact} wrote at {at}"));
            state::add(Scope::Plugin, "count/closed-unanswered", 1)?;
        }
        if open.unanswered_at.take().is_some() | open.asked_at.take().is_some() {
            open.save(&event.conversation)?;
        }
        Ok(Disposition::Pass)
    }
}

impl Reminder {
    /// Records the outcome of an event, and sets the timer before quiet hours.
    fn record(
        &self,
        conversation: &Conversation,
        contact: &Contact,
        outcome: &str,
        happened_at: TimestampMs,
    ) -> Result<Disposition, Failure> {
        let before = Open::load(conversation)?;
        let mut open = before.clone();
        open.update(outcome, happened_at, clock::now());
        // Most messages change nothing here and must not cost a write. While something is open,
        // every message moves the end of the window.
        if open != before || open.is_open() {
            open.save(conversation)?;
        }
        if let (true, Some(closes_at)) = (open.is_open(), conversation.window_closes_at)
            && !conversation.is_group
            && let Some(evening) = self.evening(contact, closes_at)?
            && evening > clock::now()
        {
            timers::set(conversation, EVENING, evening, b"")?;
        }
        Ok(Disposition::Pass)
    }

    /// Decides whether to nudge, and records the decision.
    fn decide(
        &self,
        conversation: &Conversation,
        contact: &Contact,
        closes_at: TimestampMs,
    ) -> Result<Disposition, Failure> {
        let (mut open, now) = (Open::load(conversation)?, clock::now());
        let mut nudges: Vec<TimestampMs> = state::get(contact, "nudges")?.unwrap_or_default();
        nudges.retain(|at| now - at < 7 * DAY_MS);
        let decision = if conversation.is_group {
            "group"
        } else if !open.is_open() {
            "nothing-open"
        } else if open.nudged_at.is_some_and(|at| closes_at - DAY_MS < at) {
            // They have not written since the last nudge.
            "already-nudged"
        } else if nudges.len() >= self.per_week as usize {
            "weekly-limit"
        } else if self.quiet_for(contact, now)?.is_some() {
            "quiet-hours"
        } else {
            match replies::send(self.text(contact, open.unanswered_at.is_some())) {
                Ok(_) => "nudged",
                Err(refusal) if matches!(refusal.code.as_str(), "window-closed" | "opted-out") => "refused",
                Err(refusal) => return Err(refusal.into()),
            }
        };
        if decision == "nudged" {
            nudges.push(now);
            state::set(contact, "nudges", &nudges)?;
            open.nudged_at = Some(now);
        }
        open.decision = Some((now, decision.to_owned()));
        open.save(conversation)?;
        state::add(Scope::Plugin, &format!("count/{decision}"), 1)?;
        log::info(format!("{} ({}): {decision}", conversation.id, contact.id));
        Ok(if decision == "nudged" { Disposition::Claimed } else { Disposition::Pass })
    }

    /// When to decide about a window whose lead time starts in quiet hours: shortly before they
    /// start. None if it does not.
    fn evening(&self, contact: &Contact, closes_at: TimestampMs) -> Result<Option<TimestampMs>, Refusal> {
        let lead = i64::try_from(self.before.duration().as_millis()).unwrap_or(DAY_MS);
        let acts_at = closes_at - lead;
        Ok(self.quiet_for(contact, acts_at)?.map(|quiet_for| acts_at - quiet_for - BEFORE_QUIET_MS))
    }

    /// For how long it has been quiet hours for a person at a time. None if it is not.
    fn quiet_for(&self, contact: &Contact, at: TimestampMs) -> Result<Option<i64>, Refusal> {
        let own = contact.timezone.as_deref().map(|zone| clock::wall(zone, at));
        let wall = match own {
            Some(Ok(wall)) => wall,
            _ => clock::wall(&self.timezone, at)?,
        };
        let time_of_day = |hour: u32| i64::from(hour) * HOUR_MS;
        let since = (wall - time_of_day(self.quiet_from)).rem_euclid(DAY_MS);
        let length = (time_of_day(self.quiet_until) - time_of_day(self.quiet_from)).rem_euclid(DAY_MS);
        Ok((since < length).then_some(since))
    }

    /// The nudge for a person, in their language or the default one.
    fn text(&self, contact: &Contact, unanswered: bool) -> String {
        let texts = LANGUAGES.select(contact, &self.language, &self.texts);
        let text = match unanswered {
            true => texts.text(|own| own.unanswered.as_deref(), |built_in| built_in.unanswered),
            false => texts.text(|own| own.asked.as_deref(), |built_in| built_in.asked),
        };
        fill(text, |key| (key == "name").then(|| contact.first_name().into()))
    }
}
