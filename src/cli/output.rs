//! What commands say, and where.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogStyle {
    Text,
    Json,
}

/// Logs go to stderr, from `level` on unless `RUST_LOG` says otherwise. Of slow statements, which sqlx warns of, only who
/// asks is told: a large append may well take a second. What ureq traces nobody is told: whole requests, with what they
/// are signed by.
pub(super) fn log(level: &str, style: LogStyle) {
    let filter = EnvFilter::new(config::log_filter().unwrap_or_else(|| format!("{level},sqlx::query=error")));
    let told = filter_fn(|told| *told.level() != Level::TRACE || !told.target().starts_with("ureq"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match style {
        LogStyle::Text => log.with_ansi(io::stderr().is_terminal()).finish().with(told).init(),
        LogStyle::Json => log.json().finish().with(told).init(),
    }
}

/// One line or more of the answer. Whoever closed stdout does not want to hear it.
pub(super) fn say(text: &str) {
    let _ = heard(text);
}

/// Says `text`, and whether anybody hears it.
pub(super) fn heard(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_ok()
}

/// What somebody wrote, made harmless for a terminal: it must neither steer the terminal nor turn the order of what is
/// read. Lines stay lines.
pub(super) fn harmless(text: &str) -> String {
    text.replace("\r\n", "\n").chars().map(|c| if c == '\n' || c == '\t' { c } else { shown(c) }).collect()
}

/// The same for a name that stands within a line.
pub(super) fn harmless_in_line(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// A control character as the picture of it.
const fn shown(c: char) -> char {
    match c {
        '\0'..='\x1f' => match char::from_u32(0x2400 + c as u32) {
            Some(picture) => picture,
            None => char::REPLACEMENT_CHARACTER,
        },
        '\x7f' => '\u{2421}',
        // C1 controls, and what embeds, overrides or isolates a direction.
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// The whole answer as one JSON document.
pub(super) fn say_json(answer: &impl Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(answer)?);
    Ok(())
}

/// Asks whoever sits at a terminal, and takes nothing but `y` or `yes` for it. Nobody sits there: no.
pub(super) fn agreed(question: &str) -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_escape_is_shown_and_not_obeyed() {
        assert_eq!(harmless("a\x1b[2Jb\r\n\tc\rd\u{9b}e"), "a␛[2Jb\n\tc␍d\u{fffd}e");
        assert_eq!(harmless_in_line("a\nb\u{202e}c"), "a␊b\u{fffd}c");
    }

    proptest! {
        #[test]
        fn nothing_steers_the_terminal(text in any::<String>()) {
            prop_assert!(harmless(&text).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            prop_assert!(!harmless_in_line(&text).contains(char::is_control));
        }
    }
}
