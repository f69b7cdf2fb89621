//! Greets new members, shows the rules, and asks them to agree.
//!
//! Greeting, rules and button are one message, because every message costs money. A member is
//! greeted once. A returning member is welcomed back, and asked only for what they have not agreed
//! to. Nothing is sent outside the window: what could not be sent waits for the next message of
//! that person. Reminders are timers.
//!
//! It claims taps on its button and the commands RULES and ABOUT. It passes every other message,
//! even one on which it sent a greeting, so that another plugin can answer a first question.

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

/// The timer of the next reminder, or of the time-out after the last one.
const TIMER: &str = "rules";
/// The prefix of the button's id. The version of the rules follows.
const AGREE: &str = "welcome-rules:";
/// The maximum of a text with buttons. A longer one is sent as a message of its own before them.
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
        let known = Progress::load(&event.member)?;
        let rejoined = event.rejoined || known.as_ref().is_some_and(|known| known.left);
        let mut progress = match known {
            // Delivered before, and greeted then.
            Some(known) if !rejoined && known.step != Step::Waiting => return Ok(Disposition::Pass),
            known => known.unwrap_or_default(),
        };
        progress.left = false;
        progress.rejoined = rejoined;
        progress.step = Step::Waiting;
        if event.reason == "first-message" {
            progress.joined_with = Some(event.info.happened_at);
        }
        let greeted = self.greet(&event.member, &mut progress)?;
        progress.save(&event.member)?;
        Ok(if greeted { Disposition::Claimed } else { Disposition::Pass })
    }
}

impl OnMemberLeft for Welcome {
    fn on_member_left(&self, event: MemberLeftEvent) -> Result<Disposition, Failure> {
        if let Some(mut progress) = Progress::load(&event.member)? {
            progress.left = true;
            progress.reminder_pending = false;
            progress.save(&event.member)?;
            timers::cancel(&event.member, TIMER)?;
        }
        // No goodbye: they want no more messages.
        Ok(Disposition::Pass)
    }
}

impl OnMessage for Welcome {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let contact = &event.sender;
        if let Some(version) = event.choice().and_then(|choice| choice.id.strip_prefix(AGREE)) {
            // Not a button of this plugin after all.
            let Ok(version) = version.parse() else { return Ok(Disposition::Pass) };
            return self.agreed(contact, version);
        }
        let known = Progress::load(contact)?;
        let command = if event.is_word(RULES) {
            Some(Command::Rules)
        } else if event.is_word(ABOUT) {
            Some(Command::About)
        } else {
            None
        };
        let Some(mut progress) = known else {
            // A member from before this plugin was installed: not greeted, but commands are
            // answered.
            return command.map_or(Ok(Disposition::Pass), |command| self.answer(contact, Progress::default(), command));
        };
        let before = progress;
        let joined_with_this = progress.joined_with.take() == Some(event.info.happened_at);
        let claimed = match (progress.step, command) {
            // The greeting answers both commands.
            (Step::Waiting, command) if !progress.left => self.greet(contact, &mut progress)? && command.is_some(),
            // Written before the greeting that was just sent, which answers both commands.
            (_, Some(_)) if joined_with_this => true,
            (_, Some(command)) => return self.answer(contact, progress, command),
            (_, None) => {
                self.send_pending(contact, &mut progress)?;
                false
            }
        };
        // Most messages change nothing here and must not cost a write.
        if progress != before {
            progress.save(contact)?;
        }
        Ok(if claimed { Disposition::Claimed } else { Disposition::Pass })
    }
}

impl OnTimer for Welcome {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        let (Some(conversation), Scope::Contact(_)) = (&event.conversation, &event.scope) else {
            return Ok(Disposition::Pass);
        };
        let Some(contact) = contacts::get(&conversation.contact)? else { return Ok(Disposition::Pass) };
        let Some(mut progress) = Progress::load(&contact)? else { return Ok(Disposition::Pass) };
        if progress.left || !progress.step.is_open() {
            return Ok(Disposition::Pass);
        }
        if progress.step.reminders() >= self.reminders {
            progress.step = Step::TimedOut;
        } else if !self.remind(&contact, &mut progress)? {
            progress.reminder_pending = true;
        }
        progress.save(&contact)?;
        Ok(Disposition::Claimed)
    }
}

/// What a member can ask for.
#[derive(Clone, Copy)]
enum Command {
    Rules,
    About,
}

impl Welcome {
    /// Greets, with rules and button if an agreement is needed. False if the window is closed: the
    /// greeting waits.
    fn greet(&self, contact: &Contact, progress: &mut Progress) -> Result<bool, Failure> {
        let speech = self.speech(contact);
        let greeting = speech.greeting(progress.rejoined);
        if self.needs_agreement(progress) {
            return self.ask(contact, &speech, greeting, progress, Step::RulesSent);
        }
        let sent = send(Text::new(greeting))?;
        if sent {
            progress.step = if progress.agreed == 0 { Step::Greeted } else { Step::Acknowledged };
        }
        Ok(sent)
    }

    /// Handles a tap on the button.
    fn agreed(&self, contact: &Contact, version: u32) -> Result<Disposition, Failure> {
        let mut progress = Progress::load(contact)?.unwrap_or_default();
        // A second tap on the same button changes nothing and gets no message.
        if version > progress.agreed {
            progress.agreed = version;
            let speech = self.speech(contact);
            if self.needs_agreement(&progress) {
                // The button belonged to rules that have changed since.
                self.ask(contact, &speech, speech.rules_changed(), &mut progress, Step::RulesSent)?;
            } else {
                progress.step = Step::Acknowledged;
                progress.reminder_pending = false;
                timers::cancel(contact, TIMER)?;
                send(Text::new(speech.thanks()))?;
            }
            progress.save(contact)?;
        }
        Ok(Disposition::Claimed)
    }

    /// Answers a command.
    fn answer(&self, contact: &Contact, mut progress: Progress, command: Command) -> Result<Disposition, Failure> {
        let speech = self.speech(contact);
        match command {
            Command::About => {
                send(Text::new(speech.about()))?;
            }
            Command::Rules if self.needs_agreement(&progress) => {
                let step = if progress.step.is_open() { progress.step } else { Step::RulesSent };
                self.ask(contact, &speech, String::new(), &mut progress, step)?;
            }
            Command::Rules => {
                send(Text::new(speech.rules()))?;
            }
        }
        // Progress of someone who has not joined is not saved: no greeting waits for them.
        if progress.step != Step::Waiting {
            progress.save(contact)?;
        }
        Ok(Disposition::Claimed)
    }

    /// Sends what waited for a message of this person: a reminder, or changed rules.
    fn send_pending(&self, contact: &Contact, progress: &mut Progress) -> Result<(), Failure> {
        if progress.left || !self.needs_agreement(progress) {
            return Ok(());
        }
        if progress.asked < self.rules_version && progress.asked.max(progress.agreed) > 0 {
            let speech = self.speech(contact);
            self.ask(contact, &speech, speech.rules_changed(), progress, Step::RulesSent)?;
        } else if progress.step == Step::Greeted {
            // There were no rules when they joined.
            let speech = self.speech(contact);
            self.ask(contact, &speech, String::new(), progress, Step::RulesSent)?;
        } else if progress.reminder_pending {
            self.remind(contact, progress)?;
        }
        Ok(())
    }

    fn remind(&self, contact: &Contact, progress: &mut Progress) -> Result<bool, Failure> {
        let speech = self.speech(contact);
        let step = Step::Reminded(progress.step.reminders() + 1);
        self.ask(contact, &speech, speech.reminder(), progress, step)
    }

    /// Sends an introduction, the rules and the button, and sets the timer for the next step. False
    /// if the window is closed; then nothing has changed.
    fn ask(
        &self,
        contact: &Contact,
        speech: &Speech<'_>,
        introduction: String,
        progress: &mut Progress,
        step: Step,
    ) -> Result<bool, Failure> {
        let mut body = text::paragraphs([introduction, speech.rules()]);
        if body.chars().count() > BUTTONS_BODY_CHARACTERS {
            if !send(Text::new(body))? {
                return Ok(false);
            }
            body = speech.prompt();
        }
        let button = format!("{AGREE}{}", self.rules_version);
        if !send(Buttons::new(body).button(button, speech.agree()).footer(speech.footer()))? {
            return Ok(false);
        }
        progress.step = step;
        progress.asked = self.rules_version;
        progress.reminder_pending = false;
        let wait = if step.reminders() < self.reminders { self.remind_after } else { self.time_out_after };
        timers::set(contact, TIMER, clock::after(wait.duration()), &[])?;
        Ok(true)
    }

    fn needs_agreement(&self, progress: &Progress) -> bool {
        self.has_rules() && progress.agreed < self.rules_version
    }
}

/// Sends a message. False if none can be sent now: the window is closed, or they opted out.
fn send(message: impl beadle_plugin::Message) -> Result<bool, Failure> {
    match replies::send(message) {
        Ok(_) => Ok(true),
        Err(refusal) if matches!(refusal.code.as_str(), "window-closed" | "opted-out") => Ok(false),
        Err(refusal) => Err(refusal.into()),
    }
}
