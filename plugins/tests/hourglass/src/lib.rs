//! The hourglass: tells people what time brings, for the scenarios that turn it.
//!
//! `in 90 bread` is answered after 90 minutes with `bread` and the moment, in milliseconds since 1970, at which the plugin
//! was asked. It is not installed anywhere.

use beadle_plugin::prelude::*;
use std::time::Duration;

#[derive(Default)]
struct Hourglass;

impl OnMessage for Hourglass {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let asked = event.text().and_then(|text| text.strip_prefix("in ")).and_then(|rest| rest.split_once(' '));
        let Some((Ok(minutes), what)) = asked.map(|(minutes, what)| (minutes.parse::<u64>(), what)) else {
            return Ok(Disposition::Pass);
        };
        timers::set(&event.conversation, what, clock::after(Duration::from_secs(60 * minutes)), what.as_bytes())?;
        Ok(Disposition::Claimed)
    }
}

impl OnTimer for Hourglass {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        replies::send(format!("{} {}", String::from_utf8_lossy(&event.payload), clock::now()))?;
        Ok(Disposition::Claimed)
    }
}

plugin!(Hourglass: OnMessage, OnTimer);
