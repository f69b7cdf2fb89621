//! Log output: for the journal with its priorities and without a time (it adds one), otherwise with
//! the time.
//!
//! One record is one line of limited length: text of plugins and people may contain line breaks and
//! must not look like a record of its own, nor reorder or hide what is around it, nor fill the
//! disk. There are no colours, because logs are read by programs as often as by people. Panics are
//! logged like everything else.

use crate::config::{Log, LogFormat};
use beadle_model::text::is_hidden;
use beadle_tasks::TaskKind;
use std::fmt;
use std::sync::OnceLock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Bytes of a record's text and fields; more than any record of ours has. Longer ones are cut.
const MAX_BYTES: usize = 8 * 1024;

/// Starts logging to standard error, panics included. A second call changes nothing.
pub fn start(log: &Log) {
    // The configuration has checked it.
    let level = log.level.parse::<Targets>().unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let journal = match log.format {
        LogFormat::Auto => std::env::var_os("JOURNAL_STREAM").is_some(),
        LogFormat::Text => false,
        LogFormat::Journal => true,
    };
    let lines =
        layer().with_writer(std::io::stderr).with_ansi(false).fmt_fields(Fields).event_format(Lines { journal });
    let (level, handle) = reload::Layer::new(level);
    if tracing_subscriber::registry().with(level).with(lines).try_init().is_ok() {
        let _ = LEVEL.set(handle);
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// What happens next is decided by the supervisor of the task, which logs that too.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let task = beadle_tasks::current().map_or("none", TaskKind::name);
    let thread = std::thread::current();
    let (thread, location) = (thread.name().unwrap_or("unnamed"), panic.location().map(ToString::to_string));
    let error = panic.payload_as_str().unwrap_or("panic without a message");
    tracing::error!(task, thread, location, error, "panic");
}

/// Changes the level from now on. The configuration has checked it.
pub fn set_level(level: &str) {
    if let (Some(handle), Ok(level)) = (LEVEL.get(), level.parse::<Targets>())
        && let Err(error) = handle.reload(level)
    {
        tracing::warn!(%error, "log level not changed");
    }
}

/// Changes the level of this process.
static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// The format of a line.
struct Lines {
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        if self.journal {
            write!(out, "<{}>", priority(level))?;
        } else {
            SystemTime.format_time(&mut out)?;
            write!(out, " {level} ")?;
        }
        write!(out, "{}: ", event.metadata().target())?;
        let mut text = String::new();
        context.field_format().format_fields(Writer::new(&mut text), event)?;
        let end = text.floor_char_boundary(MAX_BYTES);
        for c in text.get(..end).unwrap_or_default().chars() {
            match c {
                '\n' => out.write_str("\\n")?,
                c if c.is_control() || is_hidden(c) => write!(out, "{}", c.escape_default())?,
                c => out.write_char(c)?,
            }
        }
        if end < text.len() {
            write!(out, "… {} more bytes", text.len() - end)?;
        }
        writeln!(out)
    }
}

/// The message and the fields of a record: `message key=value key="text with spaces"`. A value is
/// quoted if it would be ambiguous without quotes, no matter of which type it is.
struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = FieldText::default();
        fields.record(&mut text);
        writer.write_str(&text.message)?;
        let gap = if text.message.is_empty() { text.fields.trim_start() } else { &text.fields };
        writer.write_str(gap)
    }
}

/// The message and the fields, as text.
#[derive(Default)]
struct FieldText {
    message: String,
    fields: String,
}

impl FieldText {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
            return;
        }
        let is_plain = |c: char| !(c.is_whitespace() || c == '"' || c == '=');
        self.fields.push(' ');
        self.fields.push_str(field.name());
        self.fields.push('=');
        if !value.is_empty() && value.chars().all(is_plain) {
            self.fields.push_str(value);
        } else {
            self.fields.push('"');
            self.fields.push_str(&value.replace('\\', "\\\\").replace('"', "\\\""));
            self.fields.push('"');
        }
    }
}

impl Visit for FieldText {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// The syslog priority, see `sd-daemon(3)`.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::io;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(journal: bool, text: &str) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let lines = layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .fmt_fields(Fields)
            .event_format(Lines { journal });
        let registry = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(registry, || {
            let error = "no \"such\" file";
            tracing::warn!(plugin = "echo", event = %"evt_1", %error, reason = error, empty = "", "text: {text}");
        });
        let bytes = memory.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn record_is_one_line() {
        let journal = logged(true, "one\ntwo\u{1b}[2J");
        assert_eq!(
            journal,
            "<4>beadle::run::logging::tests: text: one\\ntwo\\u{1b}[2J plugin=echo event=evt_1 error=\"no \\\"such\\\" file\" reason=\"no \\\"such\\\" file\" empty=\"\"\n"
        );
        let text = logged(false, "one\ntwo\u{1b}[2J");
        assert!(text.starts_with("20") && text.contains("Z WARN beadle::run::logging"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
    #[test]
    fn record_cannot_reorder_or_hide_itself() {
        let text = logged(true, "\u{202e}gnp.\u{200b}\u{2028}exe \u{5d0}👩\u{200d}🌾");
        assert!(text.contains("text: \\u{202e}gnp.\\u{200b}\\u{2028}exe \u{5d0}👩\u{200d}🌾 plugin"), "{text}");
    }

    #[test]
    fn record_has_a_limited_length() {
        let text = logged(true, &"é".repeat(1_000_000));
        assert!(text.len() < MAX_BYTES + 200, "{}", text.len());
        assert!(text.ends_with("more bytes\n") && text.contains("éé"), "{}", text.len());
    }
}
