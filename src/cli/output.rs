//! What commands say, and where.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::config;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogStyle {
    Text,
    Json,
}

/// Logs go to stderr, from `level` on unless `RUST_LOG` says otherwise. Of slow statements, which sqlx warns of, only who
/// asks is told: a large append may well take a second.
pub(super) fn log(level: &str, style: LogStyle) {
    let filter = EnvFilter::new(config::log_filter().unwrap_or_else(|| format!("{level},sqlx::query=error")));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match style {
        LogStyle::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogStyle::Json => log.json().init(),
    }
}

/// One line or more of the answer. Whoever closed stdout does not want to hear it.
pub(super) fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// The whole answer as one JSON document.
pub(super) fn say_json(answer: &impl Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(answer)?);
    Ok(())
}

/// What went wrong.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "error: {text}"); // there is nowhere else to say it
}

/// A bar on stderr, if that is a terminal.
pub(super) fn bar(total: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
