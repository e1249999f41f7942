//! The log: fields and priorities in the journal, lines of text on any other standard error.
//!
//! `journalctl -p warning` finds warnings and errors only if each entry has its own priority. Plain text on standard
//! error has none.

use std::io::{IsTerminal, Write};

use rustix::fs::fstat;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Prefix of the names of our own fields in the journal: `TUNWARDEN_EVENT`.
const FIELD_PREFIX: &str = "TUNWARDEN";

/// The mapping to the names of journald(3). An informational message must not become a notice.
const PRIORITIES: PriorityMappings = PriorityMappings {
    error: Priority::Error,
    warn: Priority::Warning,
    info: Priority::Informational,
    debug: Priority::Debug,
    trace: Priority::Debug,
};

/// Starts the log. Events below `level` are discarded.
pub(super) fn start(level: Level) {
    if is_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        let journal = journal
            .with_field_prefix(Some(FIELD_PREFIX.to_owned()))
            .with_syslog_identifier("tunwarden".to_owned())
            .with_priority_mappings(PRIORITIES);
        tracing_subscriber::registry().with(LevelFilter::from_level(level)).with(journal).init();
        return;
    }
    // The fields are for programs that read the journal. For people the message alone is complete.
    let message_only = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        _ => Ok(()),
    });
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .fmt_fields(message_only)
        .init();
}

/// Prints to standard error. If the journal reads it, the lines have this priority.
pub(super) fn print(priority: Priority, text: &str) {
    let mut stderr = std::io::stderr().lock();
    let journal = is_journal();
    for line in text.lines() {
        // sd-daemon(3): the journal takes the priority of a line from its prefix.
        let prefix = if journal { format!("<{}>", char::from(priority as u8)) } else { String::new() };
        let _ = writeln!(stderr, "{prefix}{line}");
    }
}

/// Whether standard error is connected to the journal. A child process inherits the variable even if its
/// standard error is another file, so both device and inode must be the same (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(stderr) = fstat(std::io::stderr()) else { return false };
    std::env::var("JOURNAL_STREAM")
        .is_ok_and(|stream| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}
