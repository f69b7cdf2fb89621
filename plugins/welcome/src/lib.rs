//! Greets whoever joins, shows the rules, and asks for a yes.
//!
//! One message says it all, greeting, rules and button, since every message costs money. A member is greeted once; who
//! comes back is welcomed back and asked only for what they have not agreed to. Nothing is sent outside the window:
//! what could not be said waits for the next message of that person. The reminder is a timer.
//!
//! It claims what is its own: the tap on its button, RULES and ABOUT. Every other message it passes on, also where it
//! greeted on it, so that a first question gets its answer from whoever has one.

mod language;
mod progress;
mod settings;
#[cfg(test)]
mod tests;
mod text;

use beadle_plugin::prelude::*;
use progress::{Progress, Step};
use settings::Welcome;
use text::Speech;

plugin!(Welcome: Settings, OnMemberJoined, OnMemberLeft, OnMessage, OnTimer);

/// The timer of the reminder, and of giving up after the last one.
const TIMER: &str = "rules";
/// What the button's id begins with; the version of the rules that it agrees to follows.
const AGREE: &str = "welcome-rules:";
/// What a body with buttons holds; a longer one goes ahead as a text of its own.
const BUTTONS_BODY_CHARACTERS: usize = 1024;

const RULES: &[&str] = &["rules", "regels", "huisregels", "regeln", "regras", "reeglid"];
const ABOUT: &[&str] = &[
    "about",
    "about us",
    "over",
    "over ons",
    "über",
    "über uns",
    "ueber uns",
    "sobre",
    "sobre nós",
    "sobre nos",
    "meist",
];

impl OnMemberJoined for Welcome {
    fn on_member_joined(&self, event: MemberJoinedEvent) -> Result<Disposition, Failure> {
        let known = Progress::of(&event.member)?;
        let again = event.again || known.as_ref().is_some_and(|known| known.left);
        let mut progress = match known {
            // Told twice, or the greeting is still waiting for a window.
            Some(known) if !again && known.step != Step::Waiting => return Ok(Disposition::Pass),
            known => known.unwrap_or_default(),
        };
        progress.left = false;
        progress.again = again;
        progress.step = Step::Waiting;
        if event.reason == "first-message" {
            progress.joined_with = Some(event.info.happened_at);
        }
        let greeted = self.greet(&event.member, &mut progress)?;
        progress.keep(&event.member)?;
        Ok(if greeted { Disposition::Claimed } else { Disposition::Pass })
    }
}

impl OnMemberLeft for Welcome {
    fn on_member_left(&self, event: MemberLeftEvent) -> Result<Disposition, Failure> {
        if let Some(mut progress) = Progress::of(&event.member)? {
            progress.left = true;
            progress.reminder_waits = false;
            progress.keep(&event.member)?;
            timers::cancel(&event.member, TIMER)?;
        }
        // There is no goodbye: who left wants no more messages.
        Ok(Disposition::Pass)
    }
}

impl OnMessage for Welcome {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let who = &event.sender;
        if let Some(version) = event.choice().and_then(|choice| choice.id.strip_prefix(AGREE)) {
            // An id that is not ours after all is somebody else's to answer.
            let Ok(version) = version.parse() else { return Ok(Disposition::Pass) };
            return self.agreed(who, version);
        }
        let known = Progress::of(who)?;
        let asked = if event.is_word(RULES) {
            Some(Asked::Rules)
        } else if event.is_word(ABOUT) {
            Some(Asked::About)
        } else {
            None
        };
        let Some(mut progress) = known else {
            // They were here before this plugin: no greeting after months, but an answer to who asks.
            return asked.map_or(Ok(Disposition::Pass), |asked| self.tell(who, Progress::default(), asked));
        };
        let before = progress;
        let joined_with_this = progress.joined_with.take() == Some(event.info.happened_at);
        let claimed = match (progress.step, asked) {
            // The greeting says both.
            (Step::Waiting, asked) if !progress.left => self.greet(who, &mut progress)? && asked.is_some(),
            // They wrote this before they could read the greeting that just said both.
            (_, Some(_)) if joined_with_this => true,
            (_, Some(asked)) => return self.tell(who, progress, asked),
            (_, None) => {
                self.catch_up(who, &mut progress)?;
                false
            }
        };
        // Most messages change nothing here, and must not cost a write.
        if progress != before {
            progress.keep(who)?;
        }
        Ok(if claimed { Disposition::Claimed } else { Disposition::Pass })
    }
}

impl OnTimer for Welcome {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        let (Some(conversation), Scope::Contact(_)) = (&event.conversation, &event.scope) else {
            return Ok(Disposition::Pass);
        };
        let Some(who) = contacts::get(&conversation.contact)? else { return Ok(Disposition::Pass) };
        let Some(mut progress) = Progress::of(&who)? else { return Ok(Disposition::Pass) };
        if progress.left || !progress.step.is_open() {
            return Ok(Disposition::Pass);
        }
        if progress.step.reminders() >= self.reminders {
            progress.step = Step::TimedOut;
        } else if !self.remind(&who, &mut progress)? {
            progress.reminder_waits = true;
        }
        progress.keep(&who)?;
        Ok(Disposition::Claimed)
    }
}

/// What a command asks for.
#[derive(Clone, Copy)]
enum Asked {
    Rules,
    About,
}

impl Welcome {
    /// Greets, with the rules and the button where they are wanted. False where the window is not open: it waits.
    fn greet(&self, who: &Contact, progress: &mut Progress) -> Result<bool, Failure> {
        let speech = self.speech(who);
        let greeting = speech.greeting(progress.again);
        if self.wants_yes(progress) {
            return self.ask(who, &speech, greeting, progress, Step::RulesSent);
        }
        let sent = send(Text::new(greeting))?;
        if sent {
            progress.step = if progress.agreed == 0 { Step::Greeted } else { Step::Acknowledged };
        }
        Ok(sent)
    }

    /// The button was tapped.
    fn agreed(&self, who: &Contact, version: u32) -> Result<Disposition, Failure> {
        let mut progress = Progress::of(who)?.unwrap_or_default();
        // A second tap on the same button changes nothing and is not worth a message.
        if version > progress.agreed {
            progress.agreed = version;
            let speech = self.speech(who);
            if self.wants_yes(&progress) {
                // The button stood under rules that have changed since.
                self.ask(who, &speech, speech.changed(), &mut progress, Step::RulesSent)?;
            } else {
                progress.step = Step::Acknowledged;
                progress.reminder_waits = false;
                timers::cancel(who, TIMER)?;
                send(Text::new(speech.thanks()))?;
            }
            progress.keep(who)?;
        }
        Ok(Disposition::Claimed)
    }

    /// Answers RULES or ABOUT.
    fn tell(&self, who: &Contact, mut progress: Progress, asked: Asked) -> Result<Disposition, Failure> {
        let speech = self.speech(who);
        match asked {
            Asked::About => {
                send(Text::new(speech.about()))?;
            }
            Asked::Rules if self.wants_yes(&progress) => {
                let step = if progress.step.is_open() { progress.step } else { Step::RulesSent };
                self.ask(who, &speech, String::new(), &mut progress, step)?;
            }
            Asked::Rules => {
                send(Text::new(speech.rules()))?;
            }
        }
        // Who has not joined here is not kept: they are nobody that a greeting waits for.
        if progress.step != Step::Waiting {
            progress.keep(who)?;
        }
        Ok(Disposition::Claimed)
    }

    /// Says what waited for this person to write: a reminder, or rules that changed.
    fn catch_up(&self, who: &Contact, progress: &mut Progress) -> Result<(), Failure> {
        if progress.left || !self.wants_yes(progress) {
            return Ok(());
        }
        if progress.asked < self.rules_version && progress.asked.max(progress.agreed) > 0 {
            let speech = self.speech(who);
            self.ask(who, &speech, speech.changed(), progress, Step::RulesSent)?;
        } else if progress.step == Step::Greeted {
            // There were no rules when they came.
            let speech = self.speech(who);
            self.ask(who, &speech, String::new(), progress, Step::RulesSent)?;
        } else if progress.reminder_waits {
            self.remind(who, progress)?;
        }
        Ok(())
    }

    fn remind(&self, who: &Contact, progress: &mut Progress) -> Result<bool, Failure> {
        let speech = self.speech(who);
        let step = Step::Reminded(progress.step.reminders() + 1);
        self.ask(who, &speech, speech.reminder(), progress, step)
    }

    /// Sends these words, the rules and the button, and sets the timer for what comes next. False where the window is
    /// not open; then nothing has changed.
    fn ask(
        &self,
        who: &Contact,
        speech: &Speech<'_>,
        words: String,
        progress: &mut Progress,
        step: Step,
    ) -> Result<bool, Failure> {
        let mut body = text::paragraphs([words, speech.rules()]);
        if body.chars().count() > BUTTONS_BODY_CHARACTERS {
            if !send(Text::new(body))? {
                return Ok(false);
            }
            body = speech.please();
        }
        let button = format!("{AGREE}{}", self.rules_version);
        if !send(Buttons::new(body).button(button, speech.agree()).footer(speech.footer()))? {
            return Ok(false);
        }
        progress.step = step;
        progress.asked = self.rules_version;
        progress.reminder_waits = false;
        let wait = if step.reminders() < self.reminders { self.remind_after } else { self.time_out_after };
        timers::set(who, TIMER, clock::after(wait.duration()), &[])?;
        Ok(true)
    }

    fn wants_yes(&self, progress: &Progress) -> bool {
        self.has_rules() && progress.agreed < self.rules_version
    }
}

/// Sends, or says that nothing may be sent now: there is no window, or they want no messages.
fn send(message: impl beadle_plugin::Message) -> Result<bool, Failure> {
    match replies::send(message) {
        Ok(_) => Ok(true),
        Err(refusal) if matches!(refusal.code.as_str(), "window-closed" | "opted-out") => Ok(false),
        Err(refusal) => Err(refusal.into()),
    }
}
