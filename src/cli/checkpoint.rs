//! `convoledger checkpoint`

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::Place;
use super::output::{say, say_json};
use crate::database::Role;
use crate::event::Position;
use crate::service::Service;

/// Signs a checkpoint of all that the log holds, and prints it: keep it elsewhere, and `verify --against` it later.
#[derive(Debug, Args)]
pub(super) struct Checkpoint {
    /// Print it with the proof that it follows from the first N events, as `convoledger witness` and public witnesses
    /// take it (C2SP tlog-witness)
    #[arg(long, value_name = "N")]
    since: Option<u64>,
    /// Go on as another history: for a ledger that was restored to an earlier day on purpose, and is not signed for any
    /// more. To all who hold checkpoints it is another log from here
    #[arg(long, conflicts_with = "since")]
    new_history: bool,
    /// Print one JSON document: `origin`, `size`, `root`, `note`, `keys`
    #[arg(long, conflicts_with = "since")]
    json: bool,
}

/// Proves that an event is in the log: prints a .tlog-proof file (C2SP tlog-proof), which `convoledger check` and foreign
/// tools check offline. It names the event's owner, conversation and time, and none of its words.
#[derive(Debug, Args)]
pub(super) struct Prove {
    /// The event's position
    #[arg(value_name = "POSITION")]
    position: i64,
    /// Write it to this file
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Checkpoint {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        place.must_exist()?;
        let house = place.open(Role::Command).await?;
        let done = self.print(&house.service).await;
        house.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }

    async fn print(&self, service: &Service) -> anyhow::Result<()> {
        let kept = if self.new_history { service.begin_history().await? } else { service.seal_log().await? };
        if let Some(since) = self.since {
            let request = service.prove_checkpoint(&kept, since).await?;
            let request = request.with_context(|| format!("the log has no {since} events"))?;
            say(request.to_string().trim_end());
        } else if self.json {
            let keys = service.checkpoint_keys().await?;
            say_json(&json!({
                "origin": kept.checkpoint.origin,
                "size": kept.checkpoint.size,
                "root": hex::encode(kept.checkpoint.root),
                "note": kept.note,
                "keys": keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }))?;
        } else {
            say(kept.note.trim_end());
        }
        Ok(())
    }
}

impl Prove {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        place.must_exist()?;
        let house = place.open(Role::Command).await?;
        let proof = house.service.prove_inclusion(Position(self.position), None).await;
        house.close().await;
        let proof = proof?.and_then(|proof| proof.bundle);
        let proof = proof.with_context(|| format!("the log has no event {}", self.position))?.to_string();
        match &self.to {
            Some(to) => fs::write(to, proof).with_context(|| format!("{} cannot be written", to.display()))?,
            None => say(proof.trim_end()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
