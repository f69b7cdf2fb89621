//! Nudges somebody before their 24-hour window closes, where something is unanswered: they wrote and nobody answered, or they
//! were asked and have not replied. Nothing else is a reason to write.
//!
//! It watches (`stage = "observe"`): how each message ended tells what is open. It acts when Beadle says that a window is
//! about to close, before the quiet hours where the window would close in them, and when a schedule of the operator's sends it
//! round. Each decision has a name, which stands in the log, in a counter, and beside the conversation.

mod language;
mod open;
mod settings;
#[cfg(test)]
mod tests;

use beadle_plugin::prelude::*;
use beadle_plugin::settings::Span;
use beadle_plugin::{Conversation, TimestampMs, fill};
use language::LANGUAGES;
use open::Open;
use serde::Deserialize;
use settings::Reminder;

plugin!(Reminder: Settings, OnMessage, OnMemberJoined, OnEcho, OnWindowExpiring, OnTimer, OnWindowClosed, OnSchedule);

/// The timer before the quiet hours.
const EVENING: &str = "evening";
/// Conversations that one firing of a schedule moves on: an event has room for 100 effects.
const IN_A_ROUND: usize = 90;
/// … of so many that are looked at at once.
const SCANNED: u32 = 500;
/// So long before the quiet hours begin: time to read it.
const BEFORE_QUIET_MS: i64 = 10 * MINUTE_MS;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

impl OnMessage for Reminder {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let how = event.info.ending.as_ref().map(|ending| ending.how.clone());
        let how = how.ok_or_else(|| Failure::GiveUp("set stage = \"observe\" for this plugin".to_owned()))?;
        self.noted(&event.conversation, &event.sender, &how, event.info.happened_at)
    }
}

impl OnMemberJoined for Reminder {
    fn on_member_joined(&self, event: MemberJoinedEvent) -> Result<Disposition, Failure> {
        // Who was greeted with a question is asked; that nobody greeted is nothing unanswered.
        let asked = event.info.ending.as_ref().is_some_and(|ending| ending.how == "asked");
        if !asked {
            return Ok(Disposition::Pass);
        }
        self.noted(&event.conversation, &event.member, "asked", event.info.happened_at)
    }
}

impl OnEcho for Reminder {
    fn on_echo(&self, event: EchoEvent) -> Result<Disposition, Failure> {
        // A colleague has seen to it.
        let mut open = Open::of(&event.conversation)?;
        if open.unanswered_at.take().is_some() {
            open.keep(&event.conversation)?;
        }
        Ok(Disposition::Pass)
    }
}

impl OnWindowExpiring for Reminder {
    fn on_window_expiring(&self, event: WindowExpiringEvent) -> Result<Disposition, Failure> {
        self.consider(&event.conversation, &event.contact, event.closes_at)
    }
}

impl OnTimer for Reminder {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        let Some(conversation) = event.conversation else { return Ok(Disposition::Pass) };
        let (Some(who), Some(closes_at)) = (contacts::get(&conversation.contact)?, conversation.window_closes_at)
        else {
            return Ok(Disposition::Pass);
        };
        if event.key == open::ROUND {
            if closes_at <= clock::now() {
                return Ok(Disposition::Pass);
            }
            return self.consider(&conversation, &who, closes_at);
        }
        // They may have written since: then it closes at another time, perhaps by day.
        match self.evening(&who, closes_at)? {
            Some(evening) if evening <= clock::now() => self.consider(&conversation, &who, closes_at),
            Some(evening) => {
                timers::set(&conversation, EVENING, evening, b"")?;
                Ok(Disposition::Pass)
            }
            None => Ok(Disposition::Pass),
        }
    }
}

/// What a schedule's `payload` may say.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Payload {
    /// Only windows that close within so long.
    closing_within: Span,
}

impl Default for Payload {
    fn default() -> Self {
        // From an evening's round until the next morning.
        Self { closing_within: Span::hours(14) }
    }
}

impl OnSchedule for Reminder {
    fn on_schedule(&self, event: ScheduleEvent) -> Result<Disposition, Failure> {
        let payload: Payload = serde_json::from_str(&event.payload)
            .map_err(|error| Failure::GiveUp(format!("payload of schedule {}: {error}", event.schedule)))?;
        let until = clock::after(payload.closing_within.duration());
        let (mut after, mut count) = (None, 0);
        // As many as one event has effects for; who is left is nudged when their window is about to close.
        while count < IN_A_ROUND {
            let page = state::scan(Scope::Plugin, open::WAITING, after.as_deref(), SCANNED)?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            let closing = |entry: &&state::Entry| entry.value().is_ok_and(|closes_at: TimestampMs| closes_at <= until);
            for entry in page.iter().filter(closing).take(IN_A_ROUND - count) {
                let conversation = entry.key.trim_start_matches(open::WAITING).to_owned();
                timers::move_to(Scope::Conversation(conversation), open::ROUND, clock::now())?;
                count += 1;
            }
        }
        log::info(format!("{}: {count} conversations are looked at", event.schedule));
        Ok(Disposition::Pass)
    }
}

impl OnWindowClosed for Reminder {
    fn on_window_closed(&self, event: WindowClosedEvent) -> Result<Disposition, Failure> {
        let mut open = Open::of(&event.conversation)?;
        if let Some(at) = open.unanswered_at {
            let (who, conversation) = (&event.contact.id, &event.conversation.id);
            log::warn(format!("{who} wrote at {at} and nobody answered; {conversation} has closed"));
            state::add(Scope::Plugin, "count/closed-unanswered", 1)?;
        }
        if open.unanswered_at.take().is_some() | open.asked_at.take().is_some() {
            open.keep(&event.conversation)?;
        }
        Ok(Disposition::Pass)
    }
}

impl Reminder {
    /// What is open in a conversation after something in it ended so.
    fn noted(
        &self,
        conversation: &Conversation,
        who: &Contact,
        how: &str,
        happened_at: TimestampMs,
    ) -> Result<Disposition, Failure> {
        let before = Open::of(conversation)?;
        let mut open = before.clone();
        open.after(how, happened_at, clock::now());
        // Most messages change nothing here, and must not cost a write. While it is open each moves the window.
        if open != before || open.is_open() {
            open.keep(conversation)?;
        }
        if let (true, Some(closes_at)) = (open.is_open(), conversation.window_closes_at)
            && conversation.group.is_none()
            && let Some(evening) = self.evening(who, closes_at)?
            && evening > clock::now()
        {
            timers::set(conversation, EVENING, evening, b"")?;
        }
        Ok(Disposition::Pass)
    }

    /// Nudges, or not; and writes down which, and why.
    fn consider(
        &self,
        conversation: &Conversation,
        who: &Contact,
        closes_at: TimestampMs,
    ) -> Result<Disposition, Failure> {
        let (mut open, now) = (Open::of(conversation)?, clock::now());
        let mut nudges: Vec<TimestampMs> = state::get(who, "nudges")?.unwrap_or_default();
        nudges.retain(|at| now - at < 7 * DAY_MS);
        let reason = if conversation.group.is_some() {
            "group"
        } else if !open.is_open() {
            "nothing-open"
        } else if open.nudged_at.is_some_and(|at| closes_at - DAY_MS < at) {
            // The window is still the one of the last nudge, or of before: nobody wrote since.
            "nudged-before"
        } else if nudges.len() >= self.per_week as usize {
            "often-enough"
        } else if self.since_quiet(who, now)?.is_some() {
            "quiet-hours"
        } else {
            match replies::send(self.words(who, open.unanswered_at.is_some())) {
                Ok(_) => "nudged",
                Err(refusal) if matches!(refusal.code.as_str(), "window-closed" | "opted-out") => "refused",
                Err(refusal) => return Err(refusal.into()),
            }
        };
        if reason == "nudged" {
            nudges.push(now);
            state::set(who, "nudges", &nudges)?;
            open.nudged_at = Some(now);
        }
        open.decision = Some((now, reason.to_owned()));
        open.keep(conversation)?;
        state::add(Scope::Plugin, &format!("count/{reason}"), 1)?;
        log::info(format!("{} ({}): {reason}", conversation.id, who.id));
        Ok(if reason == "nudged" { Disposition::Claimed } else { Disposition::Pass })
    }

    /// When to act on a window whose end falls into the quiet hours: shortly before they begin. None where it ends by day.
    fn evening(&self, who: &Contact, closes_at: TimestampMs) -> Result<Option<TimestampMs>, Refusal> {
        let lead = i64::try_from(self.before.duration().as_millis()).unwrap_or(DAY_MS);
        let acts_at = closes_at - lead;
        Ok(self.since_quiet(who, acts_at)?.map(|since| acts_at - since - BEFORE_QUIET_MS))
    }

    /// For how long it has been quiet for them at a moment; none where it is not.
    fn since_quiet(&self, who: &Contact, at: TimestampMs) -> Result<Option<i64>, Refusal> {
        let theirs = who.timezone.as_deref().map(|zone| clock::wall(zone, at));
        let wall = match theirs {
            Some(Ok(wall)) => wall,
            _ => clock::wall(&self.timezone, at)?,
        };
        let of_day = |hour: u32| i64::from(hour) * HOUR_MS;
        let since = (wall - of_day(self.quiet_from)).rem_euclid(DAY_MS);
        let lasts = (of_day(self.quiet_until) - of_day(self.quiet_from)).rem_euclid(DAY_MS);
        Ok((since < lasts).then_some(since))
    }

    /// The words for this person, in their language where it is spoken here.
    fn words(&self, who: &Contact, unanswered: bool) -> String {
        let theirs = who.language_code();
        let spoken = |code: &str| self.texts.contains_key(code) || LANGUAGES.iter().any(|known| known.code == code);
        let code = if spoken(theirs) { theirs } else { &self.language };
        let own = self
            .texts
            .get(code)
            .and_then(|words| if unanswered { words.unanswered.as_deref() } else { words.asked.as_deref() });
        let known = LANGUAGES.iter().find(|known| known.code == code).or(LANGUAGES.first());
        let known = known.map_or("", |known| if unanswered { known.unanswered } else { known.asked });
        let name = who.first_name();
        fill(own.unwrap_or(known), |what| match what {
            "name" => Some(name.into()),
            // With a space before it, where there is a name.
            " name" => Some(if name.is_empty() { "".into() } else { format!(" {name}").into() }),
            _ => None,
        })
    }
}
