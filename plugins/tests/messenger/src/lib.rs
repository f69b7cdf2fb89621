//! Sends templates on command, at once or later, and says what may be sent. Scenarios read its
//! answers and its log. Not installed anywhere.
//!
//! `template NAME LANGUAGE VALUES…`, `topic TOPIC NAME LANGUAGE VALUES…`, `for PURPOSE TEXT`,
//! `once KEY TEXT`, `twice KEY TEXT`, `allowed`, and each of them after `in MINUTES`.

use beadle_plugin::prelude::*;
use beadle_plugin::{Template, messages};
use std::time::Duration;

#[derive(Default)]
struct Messenger;

impl Messenger {
    /// Carries out a command. None: it is not one.
    fn obey(&self, to: &str, command: &str) -> Option<Result<String, Refusal>> {
        let mut parts = command.splitn(3, ' ');
        if let (Some(verb), Some(argument), Some(text)) = (parts.next(), parts.next(), parts.next()) {
            let once = || messages::send(messages::to(to).once(argument), text);
            match verb {
                "for" => return Some(messages::send(messages::to(to).purpose(argument), text)),
                "once" => return Some(once()),
                "twice" => return Some(once().and_then(|_| once())),
                _ => {}
            }
        }
        let mut words = command.split_whitespace();
        let template = match words.next()? {
            "allowed" => return Some(self.allowed(to)),
            "template" => Template::new(words.next()?, words.next().unwrap_or_default()),
            "topic" => {
                let topic = words.next()?;
                Template::new(words.next()?, words.next().unwrap_or_default()).topic(topic)
            }
            _ => return None,
        };
        // `-` stands for the language of the recipient.
        let template =
            if template.language == "-" { Template { language: String::new(), ..template } } else { template };
        Some(messages::send(to, words.fold(template, Template::text)))
    }

    fn allowed(&self, to: &str) -> Result<String, Refusal> {
        let allowed = messages::allowed_for(to)?;
        let template = |candidate: &messages::Candidate| {
            format!(
                "{} {} {} ({})",
                candidate.name,
                candidate.language,
                candidate.category,
                candidate.parameters.join(", ")
            )
        };
        let templates: Vec<String> = allowed.templates.iter().map(template).collect();
        Ok(format!("anything: {}; {}", allowed.any_until.is_some(), templates.join("; ")))
    }
}

impl OnMessage for Messenger {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        if let Some((minutes, command)) = text.strip_prefix("in ").and_then(|rest| rest.split_once(' ')) {
            let minutes: u64 = minutes.parse().map_err(|_| Failure::GiveUp("not a number of minutes".to_owned()))?;
            let at = clock::after(Duration::from_secs(minutes * 60));
            timers::set(&event.sender, "command", at, command.as_bytes())?;
            return Ok(Disposition::Claimed);
        }
        match self.obey(&event.sender.id, text) {
            None => return Ok(Disposition::Pass),
            Some(Ok(answer)) if text == "allowed" => _ = event.reply(answer)?,
            Some(Ok(_)) => {}
            Some(Err(refusal)) => _ = event.reply(format!("{}: {}", refusal.code, refusal.message))?,
        }
        Ok(Disposition::Claimed)
    }
}

impl OnTimer for Messenger {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        let Scope::Contact(to) = &event.scope else { return Ok(Disposition::Pass) };
        match self.obey(to, &String::from_utf8_lossy(&event.payload)) {
            Some(Ok(answer)) => log::info(format!("sent {answer}")),
            Some(Err(refusal)) => log::info(format!("refused {}: {}", refusal.code, refusal.message)),
            None => {}
        }
        Ok(Disposition::Claimed)
    }
}

impl OnMessageStatus for Messenger {
    fn on_message_status(&self, event: MessageStatusEvent) -> Result<Disposition, Failure> {
        let problem = event.problem.map(|problem| problem.code).unwrap_or_default();
        log::info(format!("status {} {problem}", event.status));
        Ok(Disposition::Pass)
    }
}

plugin!(Messenger: OnMessage, OnTimer, OnMessageStatus);
