//! `/metrics` in the Prometheus text format.
//!
//! A scrape takes one snapshot of what the pipeline counts and writes it down; nothing is counted for the sake of being
//! scraped. Names, units and help texts are a surface: a golden file in the tests holds them. Labels are names of
//! plugins and codes of errors, whose number is bounded where they are counted; never a person, a number or a text.

use beadle_pipeline::health::Figures;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;

/// Everything that a scrape shows.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What the pipeline counted.
    pub figures: Figures,
    /// Webhooks by what they were answered: `taken`, `put-off`, `refused`.
    pub webhooks: BTreeMap<String, u64>,
    /// What came in and is kept without being understood: `other-message`, `unrouted`, `unknown-number`, `unreadable`.
    pub not_understood: BTreeMap<String, u64>,
    /// Webhooks that were not understood and gave way to newer ones.
    pub letters_dropped: u64,
    /// Plugins by state.
    pub plugins: BTreeMap<String, u64>,
    /// Events that are kept for plugins which cannot be asked, by plugin.
    pub kept: BTreeMap<String, u64>,
    /// Changes of plugins' revisions by how they ended: `activated`, `refused`, `rolled-back`.
    pub reloads: BTreeMap<String, u64>,
    /// Moments of schedules by what became of them: `fired`, `caught-up`, `skipped`, `missed`.
    pub firings: BTreeMap<String, u64>,
    /// Events on their way through plugins, events that are put off, and lanes with something in them.
    pub on_their_way: [usize; 3],
    /// Events that are not finished, waiting messages, messages on their way, dead letters.
    pub waiting: [(&'static str, u64); 4],
    /// Whether everything makes progress.
    pub healthy: bool,
    /// Resident memory in bytes, where the system tells.
    pub memory_bytes: Option<u64>,
}

/// The text of a scrape.
pub fn text(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Snapshot {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = &self.figures;
        for (name, help, value) in [
            ("beadle_events", "Events that were new", figures.events),
            ("beadle_duplicates", "Events that had come before and changed nothing", figures.duplicates),
            ("beadle_stranger_receipts", "Receipts for messages that are not ours", figures.unmatched_receipts),
            ("beadle_refused_batches", "Batches that the inbox did not take; the platform keeps them", figures.refused),
            ("beadle_calls", "Calls into plugins", figures.calls),
            ("beadle_call_cpu_microseconds", "CPU that plugins took", figures.cpu_us),
            ("beadle_sends_accepted", "Sends that the platform took", figures.accepted),
            ("beadle_sends_refused", "Sends that the platform refused", figures.sends_refused),
            ("beadle_sends_unsent", "Sends that never left: no connection", figures.not_sent),
            ("beadle_sends_doubted", "Sends without an answer: nobody knows", figures.ambiguous),
            ("beadle_messages_held", "Messages in doubt that were put before a person", figures.held),
            ("beadle_messages_resent", "Messages in doubt that were sent again, perhaps twice", figures.resent),
            (
                "beadle_letters_dropped",
                "Webhooks that were not understood and gave way to newer ones",
                self.letters_dropped,
            ),
        ] {
            ConstCounter::new(value).encode(to.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        for (name, help, label, values) in [
            ("beadle_webhooks", "Webhooks by what they were answered", "answer", &self.webhooks),
            ("beadle_not_understood", "What is kept whole without being understood", "what", &self.not_understood),
            ("beadle_reloads", "Changes of plugins by how they ended", "outcome", &self.reloads),
            ("beadle_firings", "Moments of schedules by what became of them", "outcome", &self.firings),
            ("beadle_failed_tries", "Failed tries of handlings", "plugin", &figures.failed_by_plugin),
            ("beadle_dead_handlings", "Handlings that were given up", "plugin", &figures.dead_by_plugin),
            (
                "beadle_failed_messages",
                "Messages that failed or were given up",
                "code",
                &figures.failed_messages_by_code,
            ),
        ] {
            let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value_of, value) in values {
                ConstCounter::new(*value).encode(family.encode_family(&[(label, value_of.as_str())])?)?;
            }
        }
        let mut plugins = to.encode_descriptor("beadle_plugins", "Plugins by state", None, MetricType::Gauge)?;
        for (state, count) in &self.plugins {
            gauge(*count).encode(plugins.encode_family(&[("state", state.as_str())])?)?;
        }
        let (name, help) = ("beadle_kept_events", "Events that are kept until their plugin can be asked");
        let mut kept = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (plugin, count) in &self.kept {
            gauge(*count).encode(kept.encode_family(&[("plugin", plugin.as_str())])?)?;
        }
        let mut waiting = to.encode_descriptor("beadle_waiting", "What is not finished", None, MetricType::Gauge)?;
        for (what, count) in self.waiting.iter().filter(|(what, _)| !what.is_empty()) {
            gauge(*count).encode(waiting.encode_family(&[("what", *what)])?)?;
        }
        let [events, put_off, lanes] = self.on_their_way;
        let mut gauges = vec![
            ("beadle_events_on_their_way", "Events that plugins are working on", events as u64),
            (
                "beadle_events_put_off",
                "Events that wait for their conversation's or their plugin's turn",
                put_off as u64,
            ),
            ("beadle_lanes_busy", "Lanes that have something in them", lanes as u64),
            ("beadle_healthy", "1 where everything makes progress, else 0", u64::from(self.healthy)),
        ];
        gauges.extend(self.memory_bytes.map(|bytes| ("process_resident_memory_bytes", "Resident memory", bytes)));
        for (name, help, value) in gauges {
            gauge(value).encode(to.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Resident memory of this process, from `/proc`.
pub fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_are_a_surface() {
        let one = |name: &str| BTreeMap::from([(name.to_owned(), 1)]);
        let snapshot = Snapshot {
            figures: Figures {
                events: 12,
                failed_by_plugin: one("echo"),
                dead_by_plugin: one("echo"),
                failed_messages_by_code: one("131047"),
                ..Figures::default()
            },
            webhooks: one("taken"),
            not_understood: one("unrouted"),
            letters_dropped: 0,
            plugins: one("active"),
            kept: one("crm"),
            reloads: one("activated"),
            firings: one("fired"),
            on_their_way: [2, 5, 1],
            waiting: [("events", 3), ("queued", 2), ("sending", 1), ("dead", 4)],
            healthy: true,
            memory_bytes: Some(41_943_040),
        };
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!("metrics", text(snapshot).unwrap()));
        assert!(memory_bytes().unwrap() > 1_000_000);
    }
}
