//! The probe: a plugin that does what its settings say, well or badly.
//!
//! Scenarios and the bench put it into a plugin folder under several names, each with settings of its own, and see what
//! becomes of the daemon, of the other plugins and of the people who wrote. A scenario that needs another revision of it
//! writes into [`REVISION`] in the file. It is not installed anywhere.

use beadle_plugin::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

/// What a scenario writes here, up to the first dot, makes another revision: `v2` stands before what is sent back;
/// `v2!trap` traps as well.
static REVISION: &[u8; 48] = b"probe-revision:................................ ";

/// The tag of this revision, and what goes wrong in it.
fn revision() -> (&'static str, &'static str) {
    // Not known when it is compiled: the file is changed later.
    let bytes: &'static [u8] = std::hint::black_box(REVISION);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let said = text.trim_start_matches("probe-revision:").split('.').next().unwrap_or_default();
    said.split_once('!').unwrap_or((said, ""))
}

/// What to do, and with which messages.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Probe {
    /// Only texts that begin with this are dealt with; others pass.
    prefix: String,
    /// What is sent back before the text, where anything is: `"{reply}{text}"`.
    reply: Option<String>,
    /// Whether a text that was dealt with is claimed.
    claim: bool,
    /// How many messages were dealt with is counted in the state, and stands before the text in the reply.
    count: bool,
    /// What goes wrong, after the reply was asked for.
    wrong: Wrong,
    /// It goes wrong only for texts that end in a number which this divides; 0 is all.
    every: u64,
    /// It goes wrong only up to this try; 0 is all.
    tries: u32,
    /// It goes well when a person asks for it again.
    late_is_well: bool,
    /// What it does first: so many thousand turns of a loop.
    turns_k: u64,
}

/// What can go wrong.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Wrong {
    /// Nothing.
    Nothing,
    /// It says that it may go better next time.
    Retry,
    /// It says that it never will.
    GiveUp,
    /// A trap.
    Trap,
    /// An endless loop.
    Spin,
    /// More memory, and more.
    Memory,
    /// A stack without end.
    Stack,
    /// Host calls without end.
    Flood,
    /// A million small allocations by the host.
    Crumbs,
    /// Lines of log without end.
    Chatter,
    /// Effects without end.
    Effects,
    /// State without end, a large value each.
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
            Wrong::Retry => return Err(Failure::Retry("the probe fails, as it was told".into())),
            Wrong::GiveUp => return Err(Failure::GiveUp("the probe gives up, as it was told".into())),
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
        // A mebibyte at a time, and touched, so that it is really there.
        hoard.push(vec![1; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

fn flood() {
    loop {
        std::hint::black_box(clock::now());
    }
}

/// Calls itself until the stack ends; the result is used, so that no compiler makes a loop of it.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deep(level: u64) -> u64 {
    let here = std::hint::black_box([level; 64]);
    deep(level + 1).wrapping_add(here.iter().sum::<u64>())
}

plugin!(Probe: Settings, OnMessage);
