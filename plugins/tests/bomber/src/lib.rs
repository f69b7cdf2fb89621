//! Floods the host with what it may request, as its settings say: what is bounded per call, per
//! plugin and per second.
//!
//! Faults that a single call shows are in `probe`. Not installed anywhere.

use beadle_plugin::prelude::*;
use beadle_plugin::{Interactive, Location, TemplateHeader};
use schemars::JsonSchema;
use serde::Deserialize;

/// The flood.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Bomber {
    bomb: Bomb,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Bomb {
    /// Timers that are due at once and set as many again.
    Timers,
    /// Files, until the quota refuses them.
    Files,
    /// JSON nested as deep as a parser reads.
    DeepJson,
    /// Ids, names and keys of half a mebibyte.
    LongTexts,
    /// Numbers that JSON cannot express.
    Numbers,
    /// State that is overwritten with large values, within every limit.
    State,
    /// Messages, as many as are allowed.
    Messages,
}

impl Default for Bomber {
    fn default() -> Self {
        Self { bomb: Bomb::Timers }
    }
}

impl OnMessage for Bomber {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        match self.bomb {
            Bomb::Timers => set_timers(&Scope::from(&event.conversation))?,
            Bomb::Files => {
                let bytes = vec![7; 4 << 20];
                (0..20).try_for_each(|_| media::create("image/png", Some("flood.png"), &bytes).map(drop))?;
            }
            Bomb::DeepJson => (0..1000).for_each(|_| {
                let json = format!("{{\"type\":{}1{}}}", "[".repeat(126), "]".repeat(126));
                let _ = replies::send(Interactive { json, quote: None });
            }),
            Bomb::LongTexts => {
                let long = "x".repeat(1 << 19);
                let _ = replies::send(Text::new("a").quoting(long.clone()));
                let _ = replies::react(&format!("pm_{long}"), &long);
                let _ = state::set(Scope::Plugin, &long, &1);
                let _ = timers::set(Scope::Contact(long.clone()), "a", 0, b"");
                let _ = media::create(&long, Some(&long), b"a");
                let _ = contacts::get(&long);
                return Err(Failure::GiveUp(long));
            }
            Bomb::Numbers => {
                let at = Location { latitude: f64::NAN, longitude: f64::INFINITY, name: None, address: None };
                let mut template = Template::new("greeting", "en");
                template.header = Some(TemplateHeader::Location(at));
                let refused = replies::send(template).err().map(|refusal| refusal.code);
                return Err(Failure::GiveUp(format!("refused: {}", refused.unwrap_or_default())));
            }
            Bomb::State => {
                let value = "x".repeat(70 << 10);
                (0..99).try_for_each(|n| state::set(&event.conversation, &n.to_string(), &value))?;
            }
            Bomb::Messages => (0..90).try_for_each(|n| event.reply(format!("flood {n}")).map(drop))?,
        }
        Ok(Disposition::Pass)
    }
}

impl OnTimer for Bomber {
    fn on_timer(&self, event: TimerEvent) -> Result<Disposition, Failure> {
        set_timers(&event.scope)?;
        Ok(Disposition::Pass)
    }
}

/// A hundred timers that are due at once, half of them new.
fn set_timers(scope: &Scope) -> Result<(), Refusal> {
    let first = random::number() % 1_000_000;
    (0..50).try_for_each(|n| timers::set(scope.clone(), &n.to_string(), 0, &[7; 4096]))?;
    (0..49).try_for_each(|n| timers::set(scope.clone(), &(first + n).to_string(), 0, &[7; 4096]))
}

plugin!(Bomber: Settings, OnMessage, OnTimer);
