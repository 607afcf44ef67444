//! `convoledger snapshots`

use std::process::ExitCode;

use anyhow::bail;
use chrono::TimeDelta;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Place;
use super::output::{say, say_json};
use crate::database::Role;
use crate::ledger::thinning::Thinning;
use crate::service::{Outcome, Thinned};

/// Keeps the labels of old snapshots few.
#[derive(Debug, Args)]
pub(super) struct Snapshots {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Thin(Thin),
}

/// Lets go of the labels of snapshots that are kept no longer, as `serve` does every hour.
///
/// The log keeps every version, so nothing is lost but a label; that it went is recorded.
#[derive(Debug, Args)]
struct Thin {
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    keep: Keep,
    /// Print one JSON document: {"conversations": [{"owner", "conversation", "kept", "gone"}], "gone": COUNT}
    #[arg(long)]
    json: bool,
}

/// How long snapshots are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "How long snapshots keep their labels")]
pub(super) struct Keep {
    /// All of them for this long, then the last of each hour, of each day and of each week: `24h,7d,30d`, or `ever`
    #[arg(long = "keep-snapshots", value_name = "ALL,HOURLY,DAILY", env = "CONVOLEDGER_SNAPSHOTS", default_value = "24h,7d,30d", value_parser = spans)]
    spans: Spans,
    /// Thin out those that were taken by hand as well
    #[arg(long)]
    thin_manual: bool,
}

/// None: all are kept for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spans(Option<[TimeDelta; 3]>);

impl Keep {
    /// None when all are kept.
    pub(super) fn thinning(&self) -> Option<Thinning> {
        let Spans(spans) = self.spans;
        spans.map(|[all, hourly, daily]| Thinning { all, hourly, daily, manual: !self.thin_manual })
    }
}

fn spans(text: &str) -> Result<Spans, String> {
    if text == "ever" {
        return Ok(Spans(None));
    }
    let spans: Option<Vec<TimeDelta>> = text.split(',').map(|span| self::span(span.trim())).collect();
    match spans.as_deref() {
        Some(&[all, hourly, daily]) if all <= hourly && hourly <= daily => Ok(Spans(Some([all, hourly, daily]))),
        Some(&[_, _, _]) => Err("each span must be as long as the one before it, or longer".into()),
        _ => Err("give three spans of hours (h) or days (d), such as 24h,7d,30d, or `ever`".into()),
    }
}

pub(super) fn span(text: &str) -> Option<TimeDelta> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u32 = count.parse().ok()?;
    match unit {
        "h" => TimeDelta::try_hours(count.into()),
        "d" => TimeDelta::try_days(count.into()),
        _ => None,
    }
}

impl Snapshots {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let Action::Thin(thin) = self.action;
        thin.run(place).await
    }
}

impl Thin {
    async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let Some(thinning) = self.keep.thinning() else { bail!("all snapshots are kept for ever: nothing to thin") };
        let house = place.open(Role::Command).await?;
        let service = &house.service;
        service.fold_up().await?;
        let (mut told, mut gone, mut after) = (Vec::new(), 0, Default::default());
        while let Some((touched, last)) = service.thinnable(&thinning, after).await? {
            for thinned in touched {
                gone += thinned.gone.len();
                if self.json {
                    told.push(to_json(&thinned));
                } else {
                    say(&line(&thinned));
                }
                if !self.dry_run
                    && let Outcome::Refused(reason) = service.thin(thinned).await?
                {
                    bail!("{reason}");
                }
            }
            after = last;
        }
        house.close().await;
        if self.json {
            say_json(&json!({ "conversations": told, "gone": gone, "dry_run": self.dry_run }))?;
        } else {
            let would = if self.dry_run { "would go" } else { "went" };
            say(&format!("{gone} labels {would}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(Thinned { owner, conversation, kept, gone }: &Thinned) -> String {
    format!("account {owner}, conversation {conversation}: {} go, {kept} stay", gone.len())
}

fn to_json(Thinned { owner, conversation, kept, gone }: &Thinned) -> Value {
    let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
    json!({ "owner": owner.to_string(), "conversation": conversation.to_string(), "kept": kept, "gone": gone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_or_told_what_is_wrong() {
        let read = |text| spans(text).map(|Spans(spans)| spans.map(|spans| spans.map(|span| span.num_hours())));
        assert_eq!(read("24h,7d,30d"), Ok(Some([24, 168, 720])));
        assert_eq!(read("0h, 1h, 1d"), Ok(Some([0, 1, 24])));
        assert_eq!(read("ever"), Ok(None));
        for wrong in ["", "24h", "24h,7d", "7d,24h,30d", "1w,2w,3w", "h,d,d", "-1h,1d,2d", "1ä,2d,3d"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
