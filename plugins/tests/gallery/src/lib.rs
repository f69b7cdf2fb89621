//! Uses WhatsApp's features beyond text. It sends a received picture back with its size, creates a
//! group, approves join requests, answers in the group, writes the next day by Direct Send, and
//! reports merged contacts. For scenarios. Not installed anywhere.

use beadle_plugin::prelude::*;
use std::time::Duration;

/// More than any picture of a scenario.
const MAX_BYTES: usize = 1 << 20;

/// When the window of the current message has closed.
const AFTER_THE_WINDOW: Duration = Duration::from_secs(25 * 3600);

#[derive(Default)]
struct Gallery;

impl OnMessage for Gallery {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        if let Some(file) = event.media() {
            let bytes = match media::read_all(&file.id, MAX_BYTES) {
                Err(refusal) if refusal.code == "media-pending" => return Err(Failure::Retry(refusal.message)),
                bytes => bytes?,
            };
            event.reply(MediaMessage::image(file.id.as_str()).caption(format!("{} bytes", bytes.len())))?;
            return Ok(Disposition::Claimed);
        }
        match event.text() {
            Some("location") => event.reply(LocationMessage::new(52.37, 4.9).named("Dam", "Amsterdam"))?,
            Some("link") => event.reply(CtaUrl::new("Read on", "Open", "https://example.com"))?,
            Some("make") => {
                let made = media::create("text/plain", Some("a.txt"), b"made here")?;
                event.reply(MediaMessage::document(made, "a.txt"))?
            }
            Some("tomorrow") => {
                timers::set(&event.sender, "tomorrow", clock::after(AFTER_THE_WINDOW), b"")?;
                return Ok(Disposition::Claimed);
            }
            Some("group") => groups::create(&event.conversation.channel, "Potters", None, true)?,
            Some(text) if event.conversation.is_group => event.reply(format!("in the group: {text}"))?,
            _ => return Ok(Disposition::Pass),
        };
        Ok(Disposition::Claimed)
    }
}

impl OnTimer for Gallery {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        if let Scope::Contact(contact) = &event.scope {
            messages::send_direct(contact, &Direct::utility("Your order has left.").named("order_left"))?;
        }
        Ok(Disposition::Pass)
    }
}

impl OnJoinRequest for Gallery {
    fn on_join_request(&self, event: JoinRequestEvent) -> Result<Disposition, Failure> {
        if !event.revoked && event.conversation.is_group {
            groups::answer(&event.conversation.id, &[event.request], true)?;
        }
        Ok(Disposition::Claimed)
    }
}

impl OnContactChanged for Gallery {
    fn on_contact_changed(&self, event: ContactChangedEvent) -> Result<Disposition, Failure> {
        if let Some(merge) = &event.merge {
            messages::send(&event.contact.id, format!("{} is {} now", merge.removed, event.contact.id))?;
        }
        Ok(Disposition::Pass)
    }
}

impl OnGroupChanged for Gallery {
    fn on_group_changed(&self, event: GroupChangedEvent) -> Result<Disposition, Failure> {
        log::info(format!("group {}", event.change));
        Ok(Disposition::Pass)
    }
}

plugin!(Gallery: OnMessage, OnTimer, OnJoinRequest, OnContactChanged, OnGroupChanged);
