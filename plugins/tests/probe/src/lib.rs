//! Behaves well or badly, as its settings say.
//!
//! Scenarios and the benchmark install it under several names with different settings, and check
//! the daemon, the other plugins and the answers to people. A scenario that needs another revision
//! patches [`REVISION`] in the file. Not installed anywhere.

use beadle_plugin::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

/// A scenario patches this text, up to the first dot: `v2` is written before each reply; `v2!trap`
/// traps too.
static REVISION: &[u8; 48] = b"probe-revision:................................ ";

/// The tag of this revision, and its fault.
fn revision() -> (&'static str, &'static str) {
    // Not constant for the compiler, because the file is patched later.
    let bytes: &'static [u8] = std::hint::black_box(REVISION);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let patched = text.trim_start_matches("probe-revision:").split('.').next().unwrap_or_default();
    patched.split_once('!').unwrap_or((patched, ""))
}

/// The behaviour, and the messages to which it applies.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Probe {
    /// Texts with another prefix are passed.
    prefix: String,
    /// Replies with `"{reply}{text}"`, if set.
    reply: Option<String>,
    /// Claims the events.
    claim: bool,
    /// Counts messages in the state, and writes the count before the text of the reply.
    count: bool,
    /// The fault, after the reply.
    wrong: Wrong,
    /// Fails only for texts that end in a multiple of this; 0: for all.
    every: u64,
    /// Fails only up to this attempt; 0: in all.
    tries: u32,
    /// Does not fail when a person retries the event.
    late_is_well: bool,
    /// Thousands of turns of a loop to run first.
    turns_k: u64,
}

/// A fault.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Wrong {
    /// None.
    Nothing,
    /// Returns `retry`.
    Retry,
    /// Returns `give-up`.
    GiveUp,
    /// A trap.
    Trap,
    /// An endless loop.
    Spin,
    /// Unbounded memory.
    Memory,
    /// Unbounded recursion.
    Stack,
    /// Unbounded host calls.
    Flood,
    /// A million small allocations by the host.
    Crumbs,
    /// Unbounded log.
    Chatter,
    /// Unbounded effects.
    Effects,
    /// Unbounded state in large values.
    Hoarder,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            reply: None,
            claim: true,
            count: false,
            wrong: Wrong::Nothing,
            every: 0,
            tries: 0,
            late_is_well: false,
            turns_k: 0,
        }
    }
}

impl OnMessage for Probe {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text().filter(|text| text.starts_with(&self.prefix)) else {
            return Ok(Disposition::Pass);
        };
        (0..self.turns_k * 1000).for_each(|turn| _ = std::hint::black_box(turn));
        let mut before = String::new();
        if self.count {
            let count = state::get::<u64>(&event.conversation, "count")?.unwrap_or(0) + 1;
            state::set(&event.conversation, "count", &count)?;
            before = format!("{count} ");
        }
        if let Some(reply) = &self.reply {
            let (tag, _) = revision();
            event.reply(format!("{tag}{reply}{before}{text}"))?;
        }
        if revision().1 == "trap" {
            std::process::abort();
        }
        if self.goes_wrong(&event, text) {
            self.go_wrong()?;
        }
        Ok(if self.claim { Disposition::Claimed } else { Disposition::Pass })
    }
}

impl Probe {
    fn goes_wrong(&self, event: &MessageEvent, text: &str) -> bool {
        let digits = text.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let number: u64 = digits.parse().unwrap_or(0);
        let this_text = self.every == 0 || number.is_multiple_of(self.every);
        let this_try = self.tries == 0 || event.info.attempt <= self.tries;
        this_text && this_try && !(self.late_is_well && event.info.late)
    }

    fn go_wrong(&self) -> Result<(), Failure> {
        match self.wrong {
            Wrong::Nothing => {}
            Wrong::Retry => return Err(Failure::Retry("the probe fails, as configured".into())),
            Wrong::GiveUp => return Err(Failure::GiveUp("the probe gives up, as configured".into())),
            Wrong::Trap => std::process::abort(),
            Wrong::Spin => spin(),
            Wrong::Memory => hoard(),
            Wrong::Stack => {
                std::hint::black_box(deep(1));
            }
            Wrong::Flood => flood(),
            Wrong::Crumbs => (0..1_000_000).for_each(|_| _ = std::hint::black_box(random::bytes(1))),
            Wrong::Chatter => (0..1_000_000).for_each(|_| log::error("and another thing")),
            Wrong::Effects => (0..1_000_000).try_for_each(|n| state::add(Scope::Plugin, &n.to_string(), n))?,
            Wrong::Hoarder => {
                let value = "x".repeat(200 << 10);
                (0..1_000_000).try_for_each(|n| state::set(Scope::Plugin, &n.to_string(), &value))?;
            }
        }
        Ok(())
    }
}

fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn hoard() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        // 1 MiB at a time, written to, so that it is really allocated.
        hoard.push(vec![1; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

fn flood() {
    loop {
        std::hint::black_box(clock::now());
    }
}

/// Recursion without end. The result is used, so that the compiler does not turn it into a loop.
#[expect(unconditional_recursion, reason = "this is its purpose")]
fn deep(level: u64) -> u64 {
    let here = std::hint::black_box([level; 64]);
    deep(level + 1).wrapping_add(here.iter().sum::<u64>())
}

plugin!(Probe: Settings, OnMessage);
