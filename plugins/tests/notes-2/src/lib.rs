//! Notes, second revision: keeps a record where the first kept a number, and brings over what that one kept. A scenario
//! writes into [`REVISION`] in the file what goes wrong in it. It is not installed anywhere.

use beadle_plugin::migration::{Migration, Next, Page};
use beadle_plugin::prelude::*;
use serde::{Deserialize, Serialize};

/// What a scenario writes here, up to the first dot: `v2` is well; `v2!boom` traps at a text with "boom" in it, `v2!fail`
/// gives up at the last page of its migration, `v2!trap` traps there, `v2!spin` never ends, `v2!grow` keeps
/// more than it may in the end, `v2!slow` takes its time for each page.
static REVISION: &[u8; 48] = b"probe-revision:................................ ";

fn wrong() -> &'static str {
    // Not known when it is compiled: the file is changed later.
    let bytes: &'static [u8] = std::hint::black_box(REVISION);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.split('.').next().and_then(|said| said.split_once('!')).map_or("", |(_, wrong)| wrong)
}

/// What is kept of a conversation.
#[derive(Serialize, Deserialize)]
struct Tally {
    count: u64,
}

#[derive(Default)]
struct Notes;

impl OnMessage for Notes {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        if wrong() == "boom" && text.contains("boom") {
            std::process::abort();
        }
        let count = state::get::<Tally>(&event.conversation, "tally")?.map_or(0, |tally| tally.count) + 1;
        state::set(&event.conversation, "tally", &Tally { count })?;
        event.reply(format!("v2 {count} {text}"))?;
        Ok(Disposition::Claimed)
    }
}

impl Migration for Notes {
    const VERSION: u32 = 1;

    fn migrate(&self, page: Page) -> Result<Next, Failure> {
        match wrong() {
            "fail" if page.last => return Err(Failure::GiveUp("it was told to fail".into())),
            "trap" if page.last => std::process::abort(),
            "grow" => {
                let value = "x".repeat(250 << 10);
                (0..5).try_for_each(|n| state::set(Scope::Plugin, &format!("large {n}"), &value))?;
            }
            "spin" => turn(u64::MAX),
            // Some ten milliseconds, well below the hundred that a page may take.
            "slow" => turn(40_000_000),
            _ => {}
        }
        for entry in page.entries.into_iter().filter(|entry| entry.key == "count") {
            state::set(entry.scope.clone(), "tally", &Tally { count: entry.value()? })?;
            state::delete(entry.scope, "count")?;
        }
        Ok(Next::More)
    }
}

fn turn(turns: u64) {
    (0..turns).for_each(|turn| _ = std::hint::black_box(turn));
}

plugin!(Notes: Migration, OnMessage);

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_plugin::testing::Host;

    #[test]
    fn what_the_first_revision_counted_is_counted_on() {
        let host = Host::new();
        let ana = host.person("Ana");
        let asked = host.text(&ana, "hello");
        state::set(&asked.conversation, "count", &4_u64).unwrap();
        host.migrate(&Notes, 0).unwrap();
        assert_eq!(state::get::<u64>(&asked.conversation, "count"), Ok(None));
        Notes.on_message(asked).unwrap();
        assert_eq!(host.sent(), ["v2 5 hello"]);
    }
}
