//! A story on a terminal: a line for each event, and what was said below it.

use std::fmt::Write as _;

use console::Style;

use super::story::{FORGOTTEN, MessageTold, Scene, Story};
use crate::cli::output::{harmless, harmless_in_line};
use crate::service::Totals;

/// One event: what happened on one line, and what was said on those below.
pub(super) fn scene(scene: &Scene) -> String {
    let quiet = Style::new().dim();
    let branch = scene.branch.as_ref().map_or_else(Style::new, |branch| colour(branch.number));
    let when = scene.occurred_at.format("%Y-%m-%d %H:%M:%S");
    let (by, what) = (harmless_in_line(&scene.by), harmless_in_line(&scene.what));
    let mut told =
        format!("{} {by}: {}", quiet.apply_to(format!("#{:<4} {when}", scene.version)), branch.apply_to(what));
    let Some(message) = &scene.message else { return told };
    for fact in facts(message) {
        told += &quiet.apply_to(format!(", {fact}")).to_string();
    }
    told += &quiet.apply_to(format!(" [so far {}]", totals(&scene.totals))).to_string();
    let said = match &message.text {
        Some(text) => harmless(text),
        None => FORGOTTEN.to_owned(),
    };
    for line in said.lines() {
        let _ = write!(told, "\n      {} {line}", branch.apply_to("│"));
    }
    told
}

/// The last line.
pub(super) fn sum(story: &Story) -> String {
    let branches = story.branches.len();
    let on = if branches == 1 { "1 branch".to_owned() } else { format!("{branches} branches") };
    format!("{} on {on}", totals(&story.totals))
}

fn facts(message: &MessageTold) -> Vec<String> {
    let usage = message.usage.unwrap_or_default();
    let model = message.model.as_deref().map(harmless_in_line);
    let tokens = message.usage.map(|_| tokens(usage.input, usage.output));
    let cost = message.cost_usd.map(|cost| format!("${cost}"));
    #[allow(clippy::cast_precision_loss)] // a figure for people
    let latency = message.latency_ms.map(|ms| format!("{:.1} s", ms as f64 / 1_000.0));
    [model, tokens, cost, latency].into_iter().flatten().collect()
}

fn totals(totals: &Totals) -> String {
    let messages = if totals.messages == 1 { "1 message".to_owned() } else { format!("{} messages", totals.messages) };
    let known = totals.tokens_in.or(totals.tokens_out);
    let tokens = known.map(|_| tokens(totals.tokens_in, totals.tokens_out));
    let cost = totals.cost_usd.map(|cost| format!("${}", cost.normalize()));
    let unknown = (totals.unknown_costs > 0).then(|| format!("{} of unknown cost", totals.unknown_costs));
    [Some(messages), tokens, cost, unknown].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn tokens(input: Option<u64>, output: Option<u64>) -> String {
    let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    format!("{} + {} tokens", count(input), count(output))
}

/// Neighbouring branches differ.
fn colour(branch: i32) -> Style {
    let style = Style::new();
    match branch % 6 {
        1 => style.cyan(),
        2 => style.magenta(),
        3 => style.yellow(),
        4 => style.green(),
        5 => style.blue(),
        _ => style.red(),
    }
}
