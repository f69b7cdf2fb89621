//! `/metrics` in the OpenMetrics text format.
//!
//! A scrape takes one snapshot of what the daemon counts anyway and encodes it. Names follow the
//! Prometheus conventions and are a public interface: a golden file holds them, from which
//! `docs/reference/metrics.md` is generated. Label values are names of plugins, channels and tasks,
//! states and error codes, whose number is bounded where they are counted; never a person, a phone
//! number or a text.

use beadle_pipeline::health::Figures;
use beadle_store::views::BacklogCounts;
use beadle_tasks::TaskReport;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The size of a page of the database.
const PAGE_BYTES: u64 = 4096;

/// Everything that a scrape shows.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counters of the pipeline.
    pub figures: Figures,
    /// Webhooks by result.
    pub webhooks: BTreeMap<String, u64>,
    /// Time from a webhook's head to its answer.
    pub webhook_duration: Histogram,
    /// Forms for consent by outcome; empty if the form is off.
    pub opt_in_forms: BTreeMap<String, u64>,
    /// Requests to hooks by outcome; empty if there are no hooks.
    pub hook_requests: BTreeMap<String, u64>,
    /// Requests of plugins by outcome.
    pub plugin_requests: BTreeMap<String, u64>,
    /// Durable requests that wait or are being sent, by plugin.
    pub durable_requests: BTreeMap<String, u64>,
    /// Access tokens by state; empty if there are none.
    pub access_tokens: BTreeMap<String, u64>,
    /// Input that was stored without being understood, by kind.
    pub unrecognized: BTreeMap<String, u64>,
    /// Plugins by state.
    pub plugins: BTreeMap<String, u64>,
    /// Events that wait for unavailable plugins, by plugin.
    pub backlog: BTreeMap<String, u64>,
    /// Changes of active revisions by result.
    pub reloads: BTreeMap<String, u64>,
    /// Compiled code that did not match its seal.
    pub discarded_code: u64,
    /// Schedule firings by result.
    pub firings: BTreeMap<String, u64>,
    /// Channels by state.
    pub channels: BTreeMap<String, u64>,
    /// Channels that WhatsApp does not let write first.
    pub held_channels: u64,
    /// Templates by status.
    pub templates: BTreeMap<String, u64>,
    /// Events in flight, events deferred, and busy lanes.
    pub in_flight: [usize; 3],
    /// Unfinished rows in the database.
    pub counts: BacklogCounts,
    /// Messages that WhatsApp charged or reported as free, by category.
    pub charged: BTreeMap<String, u64>,
    /// The currency of the rates, and this month's estimate in millionths of its unit.
    pub costs: (String, u64),
    /// Messages of this month whose rate is not known.
    pub unpriced: u64,
    /// Used shares of budgets in percent, by name.
    pub budgets: BTreeMap<String, u64>,
    /// Broadcasts that are kept, by state.
    pub broadcasts: BTreeMap<String, u64>,
    /// Their recipients, by state.
    pub recipients: BTreeMap<String, u64>,
    /// The database.
    pub store: Option<beadle_store::StoreHealth>,
    /// The daemon's tasks.
    pub tasks: Vec<TaskReport>,
    /// Whether `/healthz` answers 200.
    pub healthy: bool,
    /// The host's time minus WhatsApp's, once it was measured.
    pub clock_difference_ms: Option<i64>,
    /// When the process started, in milliseconds since 1970.
    pub started_at: i64,
    /// Resident memory, where the system reports it.
    pub memory_bytes: Option<u64>,
}

/// A latency histogram with fixed buckets from a millisecond to ten seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS.len()],
    sum_us: AtomicU64,
}

/// Upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, f64::INFINITY];

impl Histogram {
    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let bucket = BOUNDS.iter().position(|bound| duration.as_secs_f64() <= *bound);
        if let Some(count) = bucket.and_then(|bucket| self.counts.get(bucket)) {
            count.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The same counts, for a snapshot.
    pub fn read(&self) -> Self {
        let read = Self::default();
        for (to, from) in read.counts.iter().zip(&self.counts) {
            to.store(from.load(Relaxed), Relaxed);
        }
        read.sum_us.store(self.sum_us.load(Relaxed), Relaxed);
        read
    }

    fn buckets(&self) -> Vec<(f64, u64)> {
        BOUNDS.iter().zip(&self.counts).map(|(bound, count)| (*bound, count.load(Relaxed))).collect()
    }
}

/// One metric with its samples.
struct Family<'a> {
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    samples: Samples<'a>,
}

enum Samples<'a> {
    Counter(Vec<(&'a str, u64)>),
    Seconds(f64),
    Gauge(Vec<(&'a str, u64)>),
    GaugeSeconds(Vec<(&'a str, f64)>),
    GaugeFraction(Vec<(&'a str, f64)>),
    Histogram(&'a Histogram),
}

impl Samples<'_> {
    fn kind(&self) -> MetricType {
        match self {
            Samples::Counter(_) | Samples::Seconds(_) => MetricType::Counter,
            Samples::Gauge(_) | Samples::GaugeSeconds(_) | Samples::GaugeFraction(_) => MetricType::Gauge,
            Samples::Histogram(_) => MetricType::Histogram,
        }
    }
}

fn family<'a>(name: &'static str, help: &'static str, label: Option<&'static str>, samples: Samples<'a>) -> Family<'a> {
    Family { name, help, label, samples }
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Family<'static> {
    family(name, help, None, Samples::Counter(vec![("", value)]))
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Family<'static> {
    family(name, help, None, Samples::Gauge(vec![("", value)]))
}

fn pairs(map: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    map.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

fn counters<'a>(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    samples: Vec<(&'a str, u64)>,
) -> Family<'a> {
    family(name, help, Some(label), Samples::Counter(samples))
}

fn gauges<'a>(name: &'static str, help: &'static str, label: &'static str, samples: Vec<(&'a str, u64)>) -> Family<'a> {
    family(name, help, Some(label), Samples::Gauge(samples))
}

impl Snapshot {
    fn families(&self) -> Vec<Family<'_>> {
        let mut families = self.input();
        families.extend(self.plugins());
        families.extend(self.output());
        families.extend(self.costs());
        families.extend(self.store());
        families.extend(self.daemon());
        families
    }

    fn input(&self) -> Vec<Family<'_>> {
        let figures = &self.figures;
        vec![
            counters("beadle_webhooks", "Webhooks by result", "result", pairs(&self.webhooks)),
            family(
                "beadle_webhook_duration_seconds",
                "Time from the header of a webhook to the response",
                None,
                Samples::Histogram(&self.webhook_duration),
            ),
            counters(
                "beadle_opt_in_forms",
                "Forms for consent that were sent, by outcome",
                "outcome",
                pairs(&self.opt_in_forms),
            ),
            counters(
                "beadle_hook_requests",
                "Requests to hooks of plugins, by outcome",
                "outcome",
                pairs(&self.hook_requests),
            ),
            counter("beadle_events", "New events stored", figures.events),
            counter("beadle_duplicate_events", "Events that WhatsApp delivered more than once", figures.duplicates),
            counter(
                "beadle_unmatched_receipts",
                "Receipts for messages that Beadle did not send",
                figures.unmatched_receipts,
            ),
            counter(
                "beadle_inbox_refusals",
                "Webhooks that could not be stored; WhatsApp delivers them again",
                figures.refused,
            ),
            counters(
                "beadle_unrecognized_input",
                "Parts of webhooks that are unknown or malformed, by kind; all but `other-product` are stored",
                "kind",
                pairs(&self.unrecognized),
            ),
            counter(
                "beadle_rejected_webhooks_dropped",
                "Rejected webhooks deleted because newer ones exceeded the limit",
                self.store.as_ref().map_or(0, |store| store.rejected_dropped),
            ),
            counters("beadle_schedule_firings", "Schedule firings by result", "result", pairs(&self.firings)),
            gauge("beadle_open_events", "Events that are not finished", self.counts.events_open),
            gauge(
                "beadle_events_in_flight",
                "Events that are being handled",
                self.in_flight.first().copied().unwrap_or(0) as u64,
            ),
            gauge(
                "beadle_events_deferred",
                "Events that wait on disk because memory is at its limit",
                self.in_flight.get(1).copied().unwrap_or(0) as u64,
            ),
            gauge(
                "beadle_busy_lanes",
                "Conversations and other lanes with work",
                self.in_flight.get(2).copied().unwrap_or(0) as u64,
            ),
        ]
    }

    fn plugins(&self) -> Vec<Family<'_>> {
        let figures = &self.figures;
        vec![
            gauges("beadle_plugins", "Plugins by state", "state", pairs(&self.plugins)),
            gauges(
                "beadle_plugin_backlog_events",
                "Events that wait until their plugin is available",
                "plugin",
                pairs(&self.backlog),
            ),
            counters(
                "beadle_plugin_requests",
                "Requests of plugins to hosts outside, by class of status or error code",
                "outcome",
                pairs(&self.plugin_requests),
            ),
            gauges(
                "beadle_durable_requests",
                "Durable requests of plugins that wait or are being sent",
                "plugin",
                pairs(&self.durable_requests),
            ),
            gauges("beadle_access_tokens", "OAuth 2 access tokens by state", "state", pairs(&self.access_tokens)),
            counter("beadle_plugin_calls", "Calls into plugins", figures.calls),
            family(
                "beadle_plugin_cpu_seconds",
                "CPU time used by plugins",
                None,
                Samples::Seconds(Duration::from_micros(figures.cpu_us).as_secs_f64()),
            ),
            counters("beadle_plugin_reloads", "New plugin revisions by result", "result", pairs(&self.reloads)),
            counter(
                "beadle_compiled_code_discarded",
                "Compiled code that did not match its seal and was compiled again",
                self.discarded_code,
            ),
            counters(
                "beadle_handling_failures",
                "Failed attempts to handle an event",
                "plugin",
                pairs(&figures.failed_by_plugin),
            ),
            counters(
                "beadle_dead_handlings",
                "Handlings that became dead letters",
                "plugin",
                pairs(&figures.dead_by_plugin),
            ),
        ]
    }

    fn output(&self) -> Vec<Family<'_>> {
        let figures = &self.figures;
        let sends = vec![
            ("accepted", figures.accepted),
            ("ambiguous", figures.ambiguous),
            ("held-for-quality", figures.held_for_quality),
            ("refused", figures.sends_refused),
            ("unsent", figures.not_sent),
        ];
        vec![
            counters("beadle_sends", "Attempts to send a message by result", "result", sends),
            counters(
                "beadle_ambiguous_messages",
                "Messages with an unknown outcome, by decision",
                "decision",
                vec![("held", figures.held), ("resent", figures.resent)],
            ),
            counters(
                "beadle_message_failures",
                "Messages that failed or became dead letters",
                "code",
                pairs(&figures.failed_messages_by_code),
            ),
            counters(
                "beadle_refused_messages",
                "Messages that a plugin asked for and the gate refused",
                "code",
                pairs(&figures.refused_messages_by_code),
            ),
            gauges(
                "beadle_outbox_messages",
                "Unsent messages by state",
                "state",
                vec![("queued", self.counts.queued), ("sending", self.counts.sending)],
            ),
            gauges("beadle_broadcasts", "Broadcasts by state", "state", pairs(&self.broadcasts)),
            gauges(
                "beadle_broadcast_recipients",
                "Recipients of broadcasts by state",
                "state",
                pairs(&self.recipients),
            ),
            gauge("beadle_dead_letters", "Dead letters that are neither retried nor dropped", self.counts.dead),
            gauge(
                "beadle_contact_requests",
                "Open requests of people: HUMAN, and confirmed MYDATA and FORGETME",
                self.counts.requests,
            ),
            gauge("beadle_open_erasures", "Erasures of people that are not complete", self.counts.erasures),
            gauges("beadle_channels", "Channels by state", "state", pairs(&self.channels)),
            gauge(
                "beadle_held_channels",
                "Channels that WhatsApp does not let write first (131048)",
                self.held_channels,
            ),
            gauges("beadle_templates", "Message templates by status", "status", pairs(&self.templates)),
        ]
    }

    fn costs(&self) -> Vec<Family<'_>> {
        let (currency, micros) = &self.costs;
        let estimate = if currency.is_empty() { vec![] } else { vec![(currency.as_str(), *micros as f64 / 1e6)] };
        let used = self.budgets.iter().map(|(name, percent)| (name.as_str(), *percent as f64 / 100.0)).collect();
        vec![
            counters(
                "beadle_priced_messages",
                "Delivered messages of which WhatsApp reported the price, free ones too",
                "category",
                pairs(&self.charged),
            ),
            family(
                "beadle_month_cost_estimate",
                "Estimated costs of this month (UTC), in units of the currency",
                Some("currency"),
                Samples::GaugeFraction(estimate),
            ),
            gauge(
                "beadle_costs_unpriced_messages",
                "Charged messages of this month whose rate is not known",
                self.unpriced,
            ),
            family(
                "beadle_budget_used_ratio",
                "Used share of the budget in its current period",
                Some("budget"),
                Samples::GaugeFraction(used),
            ),
        ]
    }

    fn store(&self) -> Vec<Family<'_>> {
        let Some(store) = &self.store else { return Vec::new() };
        vec![
            gauge("beadle_store_writable", "1 if the database accepts writes", u64::from(store.writable)),
            gauge("beadle_store_queue_steps", "Writes that wait for the database", store.queue_depth as u64),
            gauge(
                "beadle_store_deferred_settlements",
                "Results of sends that are kept in memory until they can be written",
                store.deferred_settlements,
            ),
            gauge("beadle_store_wal_bytes", "Size of the write-ahead log", store.wal_pages * PAGE_BYTES),
            counter("beadle_store_commits", "Transactions committed", store.commits),
            counter("beadle_store_rollbacks", "Transactions rolled back", store.rollbacks),
            counter("beadle_store_checkpoints", "Checkpoints of the write-ahead log", store.checkpoints),
        ]
    }

    fn daemon(&self) -> Vec<Family<'_>> {
        let tasks = |value: fn(&TaskReport) -> u64| -> Vec<(&str, u64)> {
            self.tasks.iter().map(|task| (task.kind.name(), value(task))).collect()
        };
        let silence = self.tasks.iter().map(|task| (task.kind.name(), task.silence.as_secs_f64())).collect();
        let mut families = vec![
            gauge("beadle_healthy", "1 if `/healthz` answers 200", u64::from(self.healthy)),
            gauges(
                "beadle_task_healthy",
                "1 if the task works, 0 if it failed or is stuck",
                "task",
                tasks(|task| u64::from(task.healthy)),
            ),
            family(
                "beadle_task_silence_seconds",
                "Time since the task last showed progress",
                Some("task"),
                Samples::GaugeSeconds(silence),
            ),
            counters("beadle_task_panics", "Panics of the task", "task", tasks(|task| task.panics)),
            counters(
                "beadle_task_restarts",
                "Restarts of the task after a panic or an error",
                "task",
                tasks(|task| task.restarts),
            ),
            gauges(
                "beadle_build_info",
                "Always 1; the label is the version",
                "version",
                vec![(env!("CARGO_PKG_VERSION"), 1)],
            ),
            family(
                "process_start_time_seconds",
                "Start time of the process since the Unix epoch",
                None,
                Samples::GaugeSeconds(vec![("", self.started_at as f64 / 1000.0)]),
            ),
        ];
        families.extend(self.clock_difference_ms.map(|ms| {
            family(
                "beadle_clock_difference_seconds",
                "Time of the host minus time of WhatsApp; absent until it was measured",
                None,
                Samples::GaugeSeconds(vec![("", ms as f64 / 1000.0)]),
            )
        }));
        families.extend(
            self.memory_bytes.map(|bytes| gauge("process_resident_memory_bytes", "Resident memory size", bytes)),
        );
        families
    }
}

impl Family<'_> {
    fn encode(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut encoder = to.encode_descriptor(self.name, self.help, None, self.samples.kind())?;
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        match (&self.samples, self.label) {
            (Samples::Counter(samples), Some(label)) => samples.iter().try_for_each(|(label_value, value)| {
                ConstCounter::new(*value).encode(encoder.encode_family(&[(label, *label_value)])?)
            }),
            (Samples::Gauge(samples), Some(label)) => samples.iter().try_for_each(|(label_value, value)| {
                ConstGauge::new(whole(*value)).encode(encoder.encode_family(&[(label, *label_value)])?)
            }),
            (Samples::GaugeSeconds(samples) | Samples::GaugeFraction(samples), Some(label)) => {
                samples.iter().try_for_each(|(label_value, value)| {
                    ConstGauge::new(*value).encode(encoder.encode_family(&[(label, *label_value)])?)
                })
            }
            (Samples::Counter(samples), None) => {
                ConstCounter::new(samples.iter().map(|(_, value)| *value).sum::<u64>()).encode(encoder)
            }
            (Samples::Gauge(samples), None) => {
                ConstGauge::new(whole(samples.iter().map(|(_, value)| *value).sum())).encode(encoder)
            }
            (Samples::GaugeSeconds(samples) | Samples::GaugeFraction(samples), None) => {
                ConstGauge::new(samples.iter().map(|(_, value)| *value).sum::<f64>()).encode(encoder)
            }
            (Samples::Seconds(value), _) => ConstCounter::new(*value).encode(encoder),
            (Samples::Histogram(histogram), _) => {
                let buckets = histogram.buckets();
                let count = buckets.iter().map(|(_, count)| count).sum();
                let sum = Duration::from_micros(histogram.sum_us.load(Relaxed)).as_secs_f64();
                encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            }
        }
    }
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
        self.families().iter().try_for_each(|family| family.encode(&mut to))
    }
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
    use beadle_tasks::TaskKind;
    use std::path::Path;

    fn snapshot() -> Snapshot {
        let one = |name: &str| BTreeMap::from([(name.to_owned(), 1)]);
        let webhook_duration = Histogram::default();
        for ms in [1, 3, 20_000] {
            webhook_duration.observe(Duration::from_millis(ms));
        }
        let (kind, silence) = (TaskKind::Dispatch, Duration::from_millis(1500));
        Snapshot {
            figures: Figures {
                events: 12,
                cpu_us: 2_500_000,
                failed_by_plugin: one("echo"),
                dead_by_plugin: one("echo"),
                failed_messages_by_code: one("131047"),
                refused_messages_by_code: one("not-opted-in"),
                ..Figures::default()
            },
            webhooks: one("accepted"),
            webhook_duration,
            opt_in_forms: one("asked"),
            hook_requests: one("accepted"),
            plugin_requests: one("2xx"),
            durable_requests: one("crm"),
            access_tokens: one("valid"),
            unrecognized: one("message"),
            plugins: one("active"),
            backlog: one("crm"),
            reloads: one("activated"),
            discarded_code: 1,
            firings: one("fired"),
            channels: one("open"),
            held_channels: 1,
            templates: one("approved"),
            in_flight: [2, 5, 1],
            charged: [("marketing".to_owned(), 12)].into(),
            costs: ("EUR".into(), 1_234_500),
            unpriced: 2,
            budgets: [("news".to_owned(), 81)].into(),
            broadcasts: one("sending"),
            recipients: one("delivered"),
            counts: BacklogCounts { events_open: 3, queued: 2, sending: 1, dead: 4, ..BacklogCounts::default() },
            store: Some(store()),
            tasks: vec![TaskReport { kind, healthy: true, panics: 1, restarts: 2, silence }],
            healthy: true,
            clock_difference_ms: Some(-1500),
            started_at: 1_790_000_000_500,
            memory_bytes: Some(41_943_040),
        }
    }

    fn store() -> beadle_store::StoreHealth {
        beadle_store::StoreHealth {
            writable: true,
            trouble: None,
            queue_depth: 1,
            queue_size: 10,
            commits: 2,
            steps: 3,
            rollbacks: 4,
            last_commit_ms: 5,
            deferred_settlements: 6,
            feed_waiting: 7,
            checkpoints: 8,
            wal_pages: 9,
            is_log_long: false,
            rejected_dropped: 10,
        }
    }

    #[test]
    fn names_and_units_are_a_public_interface() {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!("metrics", text(snapshot()).unwrap()));
        assert!(memory_bytes().unwrap() > 1_000_000);
    }

    #[test]
    fn names_follow_the_conventions() {
        for family in snapshot().families() {
            assert!(family.name.starts_with("beadle_") || family.name.starts_with("process_"), "{}", family.name);
            // The encoder appends `_total` to counters.
            assert!(!family.name.ends_with("_total"), "{}", family.name);
            let seconds =
                matches!(family.samples, Samples::Seconds(_) | Samples::GaugeSeconds(_) | Samples::Histogram(_));
            assert_eq!(family.name.ends_with("_seconds"), seconds, "{}", family.name);
            assert!(!family.help.ends_with('.'), "{}", family.name);
        }
    }
}
