//! `convoledger verify`

use std::process::ExitCode;
use std::thread;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::Place;
use super::output::{bar, complain, say, say_json};
use crate::log::Hash;
use crate::log::verify::{Report, verify};

/// Pieces of the log that are checked at once, at most.
const WORKERS_MAX: usize = 4;

/// Checks the whole log: that no position or version is missing and every byte is as it was written.
///
/// Prints the size and the RFC 6962 root of the log. Keep them elsewhere: someone who rewrites the log and computes all
/// hashes again is found out by `--size N --root HEX`, and by nothing else. Exits 1 and names the first wrong position
/// when something does not hold.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Compare with a root that was kept: of a log of this many events
    #[arg(long, value_name = "N", requires = "root")]
    size: Option<u64>,
    /// The root that was kept: 64 hex digits
    #[arg(long, value_name = "HEX", requires = "size", value_parser = hash)]
    root: Option<Hash>,
    /// Print one JSON document: `ok`, `size`, `root`, `history`, `origin`, `wrong`, `compared`
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
        let database = place.existing().await?;
        let pool = database.pool(u32::try_from(workers + 1)?);
        let progress = bar(0, "verifying {bar:40} {human_pos}/{human_len} events, {eta}");
        let report = verify(&pool, self.size, workers, |checked, all| {
            progress.set_length(all);
            progress.set_position(checked);
        })
        .await;
        progress.finish_and_clear();
        pool.close().await;
        database.close().await;
        self.tell(&report.context("the log cannot be read")?)
    }

    fn tell(&self, report: &Report) -> anyhow::Result<ExitCode> {
        let compared = self.size.zip(self.root).map(|(size, root)| compare(report, size, root));
        let wrong = report.wrong.as_ref().map(ToString::to_string).or_else(|| compared.clone()?.err());
        let (root, history) = (hex::encode(report.root), report.identity.history);
        if self.json {
            say_json(&json!({
                "ok": wrong.is_none(),
                "size": report.size,
                "root": root,
                "history": history,
                "origin": report.identity.origin,
                "wrong": report.wrong.as_ref().map(|wrong| json!({ "position": wrong.position, "what": wrong.what })),
                "compared": self.size.map(|size| json!({
                    "size": size,
                    "root": report.root_at.map(hex::encode),
                    "agrees": matches!(compared, Some(Ok(()))),
                })),
            }))?;
        }
        if let Some(wrong) = wrong {
            complain(&wrong);
            return Ok(ExitCode::FAILURE);
        }
        if !self.json {
            say(&format!("ok: {} events, root {root} (history {history})", report.size));
            if let Some(size) = self.size {
                say(&format!("the first {size} events are those of the root that was kept"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Why the log is not one that grew from what the kept root is of.
fn compare(report: &Report, size: u64, kept: Hash) -> Result<(), String> {
    match report.root_at {
        Some(root) if root == kept => Ok(()),
        Some(root) => Err(format!(
            "the first {size} events have the root {}, not the one that was kept: the log was rewritten",
            hex::encode(root)
        )),
        None => Err(format!(
            "the log has {} events that hold, and the kept root is of {size}: events are missing at its end",
            report.size
        )),
    }
}

fn hash(text: &str) -> Result<Hash, String> {
    let mut hash = Hash::default();
    hex::decode_to_slice(text, &mut hash).map_err(|_| "a root is 64 hex digits".to_owned())?;
    Ok(hash)
}
