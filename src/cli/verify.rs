//! `convoledger verify`

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::Place;
use super::output::{bar, complain, say, say_json};
use crate::event::Position;
use crate::log::Hash;
use crate::log::verify::{Report, verify_since};
use crate::proof::checkpoint::Checkpoint;
use crate::proof::note::Verifier;

/// Pieces of the log that are checked at once, at most.
const WORKERS_MAX: usize = 4;

/// Checks the whole log: that no position or version is missing and every byte is as it was written.
///
/// Prints the size and the RFC 6962 root of the log. Keep them elsewhere: someone who rewrites the log and computes all
/// hashes again is found out by `--against CHECKPOINT` or `--size N --root HEX`, and by nothing else. Exits 1 and names the first wrong position
/// when something does not hold.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Compare with a root that was kept: of a log of this many events
    #[arg(long, value_name = "N", requires = "root")]
    size: Option<u64>,
    /// The root that was kept: 64 hex digits
    #[arg(long, value_name = "HEX", requires = "size", value_parser = hash)]
    root: Option<Hash>,
    /// Compare with a checkpoint that was kept: a signed note
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    against: Option<PathBuf>,
    /// A public key that is trusted to have signed it, as `keys public` prints it; without one, this ledger's own keys
    #[arg(long = "key", value_name = "KEY", requires = "against")]
    trusted: Vec<Verifier>,
    /// Check only what came after event N; what was before counts by its hashes alone
    #[arg(long, value_name = "N", default_value_t = 0)]
    since: i64,
    /// Print one JSON document: `ok`, `size`, `root`, `history`, `origin`, `wrong`, `compared`
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let kept = self.kept(place).await?;
        let workers = thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
        let database = place.existing().await?;
        let pool = database.pool(u32::try_from(workers + 1)?);
        let progress = bar(0, "verifying {bar:40} {human_pos}/{human_len} events, {eta}");
        let at = kept.as_ref().map(|kept| kept.size);
        let report = verify_since(&pool, Position(self.since), at, workers, |checked, all| {
            progress.set_length(all);
            progress.set_position(checked);
        })
        .await;
        progress.finish_and_clear();
        pool.close().await;
        database.close().await;
        self.tell(&report.context("the log cannot be read")?, kept.as_ref())
    }

    /// What the log is compared with.
    async fn kept(&self, place: &Place) -> anyhow::Result<Option<Kept>> {
        let Some(file) = &self.against else {
            return Ok(self.size.zip(self.root).map(|(size, root)| Kept { origin: None, size, root }));
        };
        let note = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let keys = if self.trusted.is_empty() { place.own_keys().await?.known } else { self.trusted.clone() };
        let opened = Checkpoint::open(&note, &keys);
        let (checkpoint, _) = opened.with_context(|| format!("{} is not to be believed", file.display()))?;
        Ok(Some(Kept { origin: Some(checkpoint.origin), size: checkpoint.size, root: checkpoint.root }))
    }

    fn tell(&self, report: &Report, kept: Option<&Kept>) -> anyhow::Result<ExitCode> {
        let compared = kept.map(|kept| compare(report, kept));
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
                "compared": kept.map(|kept| json!({
                    "size": kept.size,
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
            if let Some(kept) = kept {
                say(&format!("the first {} events are those of the root that was kept", kept.size));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The size and root that somebody kept.
struct Kept {
    /// Of which log, where a checkpoint says so.
    origin: Option<String>,
    size: u64,
    root: Hash,
}

/// Why the log is not one that grew from what was kept.
fn compare(report: &Report, kept: &Kept) -> Result<(), String> {
    let (size, origin) = (kept.size, report.identity.checkpoint_origin());
    if let Some(other) = kept.origin.as_ref().filter(|other| **other != origin) {
        return Err(format!("the checkpoint is of `{other}`, and this log is `{origin}`"));
    }
    match report.root_at {
        Some(root) if root == kept.root => Ok(()),
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
