//! What became of an event in each of its plugins, in words, for `beadle why`.
//!
//! The store keeps which subscribers are done, how the event ended and what failed. It does not
//! keep the stages, nor which subscribers a claim, a stop or a reserved word passed by: that
//! follows from the order of the chain. Stages are those of the present configuration.

use super::data::Names;
use beadle_model::text::counted;
use beadle_model::{Ending, EventBody, PluginNo};
use beadle_pipeline::Stage;
use beadle_store::views::{EventDetails, HandlingRow};
use std::collections::HashMap;

/// An event in its plugins.
pub struct Outcomes<'a> {
    pub event: &'a EventDetails,
    pub names: &'a Names,
    /// Those of the plugins that take part now.
    pub stages: &'a HashMap<PluginNo, Stage>,
}

impl Outcomes<'_> {
    /// What became of the event in this subscriber.
    pub fn of(&self, plugin: PluginNo) -> String {
        let handling = self.event.handlings.iter().find(|handling| handling.id.plugin == plugin);
        let is_done = self.event.done.contains(&plugin);
        match handling.and_then(|handling| Some((handling, failure(handling)?))) {
            Some((HandlingRow { state: "dead", .. }, failure)) => format!("did not handle it, dead letter: {failure}"),
            Some((HandlingRow { state: "passed-over", .. }, failure)) => format!("was passed over: {failure}"),
            Some((HandlingRow { state: "waiting", .. }, failure)) => format!("the event waits for it: {failure}"),
            Some((_, failure)) if is_done => format!("{}; before: {failure}", self.of_done(plugin)),
            Some((_, failure)) => format!("has not handled it yet: {failure}"),
            None if is_done => self.of_done(plugin),
            None => "has not handled it yet".into(),
        }
    }

    /// What a subscriber did that is done with it.
    fn of_done(&self, plugin: PluginNo) -> String {
        let stage = self.stages.get(&plugin);
        if !self.event.row.kind.is_staged() || stage == Some(&Stage::Observe) {
            return "handled it".into();
        }
        let (by, own, verb) = match self.event.row.ending {
            Some(Ending::Host) if stage == Some(&Stage::Answer) => {
                return "was not called: Beadle answered the reserved word".into();
            }
            Some(Ending::Host | Ending::Passed) | None => return "passed it".into(),
            Some(Ending::Claimed(by)) => (by, "claimed it", "claimed"),
            Some(Ending::Asked(by)) => (by, "claimed it with a question", "claimed"),
            Some(Ending::Stopped(by)) => (by, "stopped it", "stopped"),
        };
        let is_later = self.position(plugin) > self.position(by);
        match stage {
            _ if by == plugin => own.into(),
            _ if !is_later => "passed it".into(),
            // Without its stage: it may have been an observer.
            None => "handled it or was not called".into(),
            Some(_) => format!("was not called: `{}` had {verb} the event", self.names.name(by)),
        }
    }

    /// Its position in the chain: guards, the plugin that the event is addressed to, the others.
    fn position(&self, plugin: PluginNo) -> (u8, Option<usize>) {
        let is_addressed =
            matches!(&self.event.body, EventBody::Message { addressed: Some(addressed), .. } if *addressed == plugin);
        let rank = match self.stages.get(&plugin) {
            Some(Stage::Guard) => 0,
            _ if is_addressed => 1,
            _ => 2,
        };
        (rank, self.event.subscribers.iter().position(|subscriber| *subscriber == plugin))
    }
}

/// How often a handling failed, why, and when it is attempted again; `None` if it did not fail.
fn failure(handling: &HandlingRow) -> Option<String> {
    let code = handling.code.as_deref()?;
    let error = handling.error.as_deref().unwrap_or("no reason was stored");
    let attempts = match handling.attempts {
        0 => String::new(),
        count => format!("{}, ", counted(count.into(), "failed attempt", "failed attempts")),
    };
    let next = handling.next_at.map(|at| format!(", next attempt at {}", at.utc())).unwrap_or_default();
    Some(format!("{attempts}{error} ({code}){next}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::{EventId, EventKind, HandlingId, Timestamp};
    use beadle_store::views::{EventRow, EventState};

    const GUARD: PluginNo = PluginNo(1);
    const FIRST: PluginNo = PluginNo(2);
    const SECOND: PluginNo = PluginNo(3);
    const OBSERVER: PluginNo = PluginNo(4);
    const ALL: [PluginNo; 4] = [GUARD, FIRST, SECOND, OBSERVER];

    fn message(addressed: Option<PluginNo>) -> EventBody {
        let content = serde_json::json!({"kind": "text", "value": "hi"});
        let body = serde_json::json!({"event": "message", "message": "msg_1", "content": content,
            "addressed": addressed.map(|plugin| plugin.0)});
        serde_json::from_value(body).unwrap()
    }

    fn details(body: EventBody, ending: Option<Ending>, handlings: Vec<HandlingRow>) -> EventDetails {
        let row = EventRow {
            id: EventId(1),
            kind: body.kind(),
            conversation: None,
            contact: None,
            happened_at: Timestamp(0),
            received_at: Timestamp(0),
            state: EventState::Finished,
            ending,
        };
        EventDetails {
            row,
            body,
            subscribers: ALL.to_vec(),
            done: ALL.to_vec(),
            handlings,
            sends: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn outcomes(event: &EventDetails) -> [String; 4] {
        let names = [(GUARD, "guard"), (FIRST, "first"), (SECOND, "second"), (OBSERVER, "observer")];
        let names = Names::new(names.map(|(no, name)| (no, name.to_owned())));
        let stages =
            [(GUARD, Stage::Guard), (FIRST, Stage::Answer), (SECOND, Stage::Answer), (OBSERVER, Stage::Observe)].into();
        let outcomes = Outcomes { event, names: &names, stages: &stages };
        ALL.map(|plugin| outcomes.of(plugin))
    }

    #[test]
    fn uncalled_plugin_is_not_listed_as_handler() {
        let claimed = "was not called: `first` had claimed the event";
        let word = "was not called: Beadle answered the reserved word";
        let stopped = "was not called: `guard` had stopped the event";
        for (addressed, ending, expected) in [
            (None, Ending::Passed, ["passed it", "passed it", "passed it", "handled it"]),
            (None, Ending::Claimed(FIRST), ["passed it", "claimed it", claimed, "handled it"]),
            (None, Ending::Claimed(SECOND), ["passed it", "passed it", "claimed it", "handled it"]),
            (
                Some(SECOND),
                Ending::Asked(SECOND),
                [
                    "passed it",
                    "was not called: `second` had claimed the event",
                    "claimed it with a question",
                    "handled it",
                ],
            ),
            (Some(SECOND), Ending::Claimed(FIRST), ["passed it", "claimed it", "passed it", "handled it"]),
            (None, Ending::Stopped(GUARD), ["stopped it", stopped, stopped, "handled it"]),
            (None, Ending::Host, ["passed it", word, word, "handled it"]),
        ] {
            let found = outcomes(&details(message(addressed), Some(ending), Vec::new()));
            assert_eq!(found, expected, "{addressed:?} {ending:?}");
        }
    }

    #[test]
    fn failures_say_what_follows() {
        let row = |plugin, state, attempts, code: Option<&str>, next_at| HandlingRow {
            id: HandlingId { event: EventId(1), plugin },
            state,
            attempts,
            code: code.map(str::to_owned),
            error: code.map(|_| "unreachable".into()),
            next_at,
        };
        let rows = vec![
            row(GUARD, "dead", 3, Some("trap"), None),
            row(FIRST, "done", 1, Some("trap"), None),
            row(SECOND, "passed-over", 0, Some("plugin-resting"), None),
            // A subscriber without a bit.
            row(OBSERVER, "done", 1, None, None),
        ];
        let found = outcomes(&details(message(None), Some(Ending::Passed), rows));
        let expected = [
            "did not handle it, dead letter: 3 failed attempts, unreachable (trap)",
            "passed it; before: 1 failed attempt, unreachable (trap)",
            "was passed over: unreachable (plugin-resting)",
            "handled it",
        ];
        assert_eq!(found, expected);

        let rows = vec![
            row(GUARD, "failing", 1, Some("trap"), Some(Timestamp(1_790_000_000_000))),
            row(FIRST, "waiting", 0, Some("plugin-suspended"), None),
        ];
        let mut open = details(message(None), None, rows);
        open.done.clear();
        let [guard, first, second, _] = outcomes(&open);
        assert!(
            guard.starts_with(
                "has not handled it yet: 1 failed attempt, unreachable (trap), next attempt at 2026-09-21"
            ),
            "{guard}"
        );
        assert_eq!(first, "the event waits for it: unreachable (plugin-suspended)");
        assert_eq!(second, "has not handled it yet");
    }

    #[test]
    fn events_of_one_plugin_are_handled() {
        let mut timer = details(message(None), Some(Ending::Passed), Vec::new());
        timer.row.kind = EventKind::Timer;
        let [_, first, ..] = outcomes(&timer);
        assert_eq!(first, "handled it");
    }
}
