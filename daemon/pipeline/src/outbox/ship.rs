//! One thing, sent once: the shipment, the platform's answer, and what follows from it.

use super::judge::{Pause, Verdict, judge, problem};
use super::{Inner, Parcel};
use crate::channel::{Advice, Channel, SendRequest, SendResponse};
use beadle_model::event::Problem;
use beadle_model::{Alias, AliasKind, MessageId, Timestamp};
use beadle_store::step::{Batch, Interest, NewEvent, SendOutcome, SendState, Settlement};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longer than any channel's own time-outs: whoever is still waiting then waits for a bug of ours. Real time.
const AT_MOST: Duration = Duration::from_secs(60);

/// What the gate said holds for so long: half of the margin that it leaves before the end of a window. Only a commit that
/// waited for the disk takes longer, from a plugin's call to its message.
const GATE_HOLDS_MS: i64 = beadle_gate::WINDOW_MARGIN_MS / 2;

/// What is left to be done after an answer.
enum Follows {
    Settle(SendOutcome),
    PutBack { parcel: Parcel, at: Timestamp, counted: bool },
    Wait,
}

impl Inner {
    /// Sends a parcel that has its slot and is `sending` on disk.
    pub(super) fn spawn(self: &Arc<Self>, parcel: Parcel) {
        let inner = Arc::clone(self);
        inner.shipping.fetch_add(1, Ordering::AcqRel);
        let work = inner.clock.work();
        tokio::spawn(async move {
            let _work = work;
            Arc::clone(&inner).ship(parcel).await;
            inner.shipping.fetch_sub(1, Ordering::AcqRel);
            inner.wake.ring();
            inner.landed.notify_one();
        });
    }

    async fn ship(self: Arc<Self>, mut parcel: Parcel) {
        let now = self.clock.now();
        if now.since_ms(parcel.asked_at) > GATE_HOLDS_MS {
            match self.ask_gate(&parcel, now) {
                Ok(asked) => parcel = asked,
                Err(outcome) => return self.settle(vec![self.stopped_at_gate(parcel, outcome, now)]).await,
            }
        }
        let mut answer = self.send(&parcel).await;
        if let SendResponse::AcceptedWith(_, news) = &mut answer {
            let news = std::mem::take(news);
            // A message that is out is out; a question is asked again.
            if let Err(refused) = self.note_news(news).await
                && !parcel.row.body.is_message()
            {
                answer = refused;
            }
        }
        let now = self.clock.now();
        self.health.sent(&answer);
        let message = parcel.row.message;
        let verdict = judge(answer, &parcel.row.body, parcel.row.attempts, now);
        let follows = self.follow(parcel, verdict, now);
        self.wake.ring();
        match follows {
            Follows::Settle(outcome) => self.settle(vec![Settlement { message, outcome, at: now }]).await,
            Follows::PutBack { parcel, at, counted } => self.put_back(parcel, at, counted).await,
            Follows::Wait => {}
        }
    }

    /// What the verdict means for the slot, the line and the channel; says what is left to be written.
    fn follow(&self, mut parcel: Parcel, verdict: Verdict, now: Timestamp) -> Follows {
        let (conversation, message) = (parcel.row.conversation, parcel.row.message);
        let channel = Arc::clone(&parcel.view.channel);
        let mut state = self.state();
        state.waiting.free_slot(&channel);
        if matches!(verdict, Verdict::Over(_) | Verdict::Again { .. }) && state.waiting.succeeded(&channel) {
            self.of_same_app(&channel).iter().for_each(|channel| state.waiting.app_works(channel));
        }
        match verdict {
            Verdict::Over(outcome) => {
                state.waiting.free_line(conversation, message, now);
                state.waiting.forget(message);
                Follows::Settle(outcome)
            }
            Verdict::Again { at, counted, holds: true } => {
                parcel.row.attempts += u32::from(counted);
                Follows::PutBack { parcel, at, counted }
            }
            Verdict::Again { at, counted, holds: false } => {
                state.waiting.free_line(conversation, message, now);
                state.waiting.forget(message);
                state.next_on_disk = Some(state.next_on_disk.map_or(at, |next| next.min(at)));
                Follows::Settle(SendOutcome::Later { due_at: at, counted, maybe_twice: parcel.row.maybe_twice })
            }
            Verdict::Pause(pause) => {
                let pause_ms = state.waiting.pause(&channel, &pause, now);
                drop(state);
                self.tell_pause(&channel, &pause, pause_ms);
                Follows::PutBack { parcel, at: now, counted: false }
            }
            Verdict::PauseApp(pause) => {
                for channel in self.of_same_app(&channel) {
                    let pause_ms = state.waiting.pause_with_app(&channel, &pause, now);
                    self.tell_pause(&channel, &pause, pause_ms);
                }
                Follows::PutBack { parcel, at: now, counted: false }
            }
            Verdict::Doubt(why) => {
                // Others would meet the same silence: one at a time, until one is answered.
                let silence = problem("platform-no-response", "The platform did not answer", why.clone());
                state.waiting.pause(&channel, &Pause::Short(silence), now);
                tracing::warn!(%message, %channel, "Nobody knows whether a message went out; waiting for a receipt: {why}.");
                state.doubts.add(parcel, now, why);
                Follows::Wait
            }
        }
    }

    async fn send(&self, Parcel { row, view, .. }: &Parcel) -> SendResponse {
        let Some(channel) = self.channels.get(&view.channel) else {
            let problem = problem("unknown-channel", "The channel is not configured", view.channel.as_ref());
            return SendResponse::Refused(problem, Advice::Fail);
        };
        let group_itself = || view.group.clone().map(|value| Alias { kind: AliasKind::WaId, value });
        let Some(to) = view.address.clone().or_else(group_itself) else {
            let problem =
                problem("no-recipient", "Nothing is known by which to reach them", view.contact.id.to_string());
            return SendResponse::Refused(problem, Advice::Fail);
        };
        let callback = format!("{}@{}", row.message, self.store.install());
        let shipment =
            SendRequest { message: row.message, to, group: view.group.clone(), body: row.body.clone(), callback };
        match tokio::time::timeout(AT_MOST, channel.send(&shipment)).await {
            Ok(answer) => answer,
            Err(_) => SendResponse::Ambiguous(format!("the channel did not come back within {} s", AT_MOST.as_secs())),
        }
    }

    /// Back to the head of its line: first on disk, so that a crash does not leave it in doubt, then in memory.
    async fn put_back(self: &Arc<Self>, mut parcel: Parcel, at: Timestamp, counted: bool) {
        let now = self.clock.now();
        let (conversation, message) = (parcel.row.conversation, parcel.row.message);
        let outcome = SendOutcome::Later { due_at: at, counted, maybe_twice: parcel.row.maybe_twice };
        self.settle(vec![Settlement { message, outcome, at: now }]).await;
        parcel.row.state = SendState::Queued;
        let mut state = self.state();
        state.waiting.put_first(parcel, at);
        state.waiting.free_line(conversation, message, now);
        drop(state);
        self.wake.ring();
    }

    /// Writes down what became of messages. What the disk does not take the store keeps and writes first when it can.
    pub(super) async fn settle(&self, settlements: Vec<Settlement>) {
        for Settlement { message, outcome, .. } in &settlements {
            match outcome {
                SendOutcome::Failed(problem) => self.tell_end(message, problem, "was refused"),
                SendOutcome::Dead(problem) => {
                    self.tell_end(message, problem, "is a dead letter (`beadle dead-letters list`)")
                }
                SendOutcome::Accepted(_) | SendOutcome::Later { .. } | SendOutcome::Dropped => {}
            }
        }
        let interest = Interest { message_status: Arc::clone(&self.listeners.borrow()), ..Interest::default() };
        if let Err(error) = self.store.settle(settlements, interest).await {
            self.health.disk_trouble(&error);
        }
    }

    fn tell_end(&self, message: &MessageId, problem: &Problem, what: &str) {
        let Problem { code, title, details, .. } = problem;
        let details = details.as_deref().unwrap_or("");
        tracing::warn!(%message, code, "A message {what}: {title}. {details}");
        self.health.message_failed(code);
    }

    /// The channels that share an app with this one, and it itself.
    fn of_same_app(&self, channel: &Arc<str>) -> Vec<Arc<str>> {
        let app = self.channels.get(channel).map(|it| it.app().to_owned()).unwrap_or_default();
        let same = |(name, other): &(&Arc<str>, &Arc<dyn Channel>)| {
            *name == channel || (!app.is_empty() && other.app() == app)
        };
        self.channels.iter().filter(same).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// What the platform told besides becomes events. What the disk does not take is asked for again with the message.
    async fn note_news(&self, events: Vec<NewEvent>) -> Result<(), SendResponse> {
        let batch = Batch { events, ..Batch::default() };
        self.store.append(batch).await.map(drop).map_err(|error| {
            self.health.disk_trouble(&error);
            let problem = problem("store-busy", "What the platform answered could not be kept", error.to_string());
            SendResponse::Refused(problem, Advice::Retry { attempts: 5 })
        })
    }

    fn tell_pause(&self, channel: &Arc<str>, pause: &Pause, pause_ms: i64) {
        match pause {
            Pause::Short(Problem { code, title, .. }) => {
                tracing::warn!(%channel, code, pause_ms, "A channel pauses: {title}.");
            }
            Pause::Stopped(Problem { code, title, details, .. }) => {
                let details = details.as_deref().unwrap_or("");
                tracing::error!(%channel, code, "A channel cannot send until somebody sees to it: {title}. {details} What waits is kept.");
            }
        }
    }
}
