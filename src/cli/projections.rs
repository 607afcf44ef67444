//! `convoledger projections`

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Place;
use super::output::{say, say_json};
use crate::projection::{State, Status, status};

/// Tells how far each view of the log has come.
///
/// Exits 1 when one has failed.
#[derive(Debug, Args)]
pub(super) struct Projections {
    /// Print one JSON document: {"projections": [...]}
    #[arg(long)]
    json: bool,
}

impl Projections {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let database = place.existing().await?;
        let pool = database.pool(1);
        let all = status(&place.projections()?, &pool).await;
        pool.close().await;
        database.close().await;
        let all = all?;
        if self.json {
            say_json(&json!({ "projections": all.iter().map(to_json).collect::<Vec<_>>() }))?;
        } else {
            say(&table(&all));
        }
        let failed = all.iter().any(|status| status.state == State::Failed);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

pub(super) const fn name(state: State) -> &'static str {
    match state {
        State::Live => "live",
        State::CatchingUp => "catching up",
        State::Failed => "failed",
        State::Outdated => "outdated",
    }
}

fn table(all: &[Status]) -> String {
    let mut table =
        format!("{:<16} {:<12} {:>12} {:>12} {:>10}", "PROJECTION", "STATE", "POSITION", "BEHIND", "LAG ms");
    for status in all {
        let Status { name: projection, state, position, lag_events, lag_ms, .. } = status;
        let state = name(*state);
        let _ = write!(table, "\n{projection:<16} {state:<12} {:>12} {lag_events:>12} {lag_ms:>10}", position.0);
        if let Some(error) = &status.error {
            let _ = write!(table, "\n  {error}");
        }
    }
    table
}

fn to_json(status: &Status) -> Value {
    json!({
        "name": status.name,
        "state": name(status.state),
        "position": status.position,
        "head": status.head,
        "lag_events": status.lag_events,
        "lag_ms": status.lag_ms,
        "error": status.error,
        "fingerprint": hex::encode(status.fingerprint),
    })
}
