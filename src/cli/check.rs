//! `convoledger check`

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::output::{bar, complain, harmless_in_line, say, say_json};
use crate::archive::check::{self, Checked};
use crate::archive::manifest::{Manifest, Of};
use crate::archive::open::is_zip;
use crate::log::digest::Leaf;
use crate::log::tree::checkpoint_origin;
use crate::proof::bundle::Bundle;
use crate::proof::checkpoint::Checkpoint;
use crate::proof::merkle;
use crate::proof::note::Verifier;
use crate::proof::receipt::{self, Receipt};
use crate::proof::witness::{Request, follows};

/// Checks checkpoints and proofs offline: without a database, a server or a network.
///
/// Takes signed checkpoints, .tlog-proof files, checkpoints with the proof that they follow (`checkpoint --since`), receipts
/// of forgetting, and archives (`export`).
/// What is given together must agree: two checkpoints of one log and one size with different roots are a fork. Exits 1
/// when something does not hold.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// A public key that is trusted to sign checkpoints, as `convoledger keys public` prints it; may be repeated
    #[arg(long = "key", value_name = "KEY", required = true)]
    trusted: Vec<Verifier>,
    /// What is to be checked
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print one JSON document: `ok`, `files`
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut seen = Seen::default();
        let checked: Vec<_> = self.files.iter().map(|file| (file.as_path(), self.check(file, &mut seen))).collect();
        let mut ok = true;
        let mut found = Vec::new();
        for (file, result) in checked.into_iter().chain(seen.links()) {
            let name = harmless_in_line(&file.display().to_string());
            match result {
                Ok(holds) if self.json => found.push(holds.json(&name)),
                Ok(holds) => say(&format!("{name}: {}", holds.text())),
                Err(error) => {
                    ok = false;
                    let wrong = harmless_in_line(&format!("{error:#}"));
                    if self.json {
                        found.push(json!({ "file": name, "ok": false, "wrong": wrong }));
                    }
                    complain(&format!("{name}: {wrong}"));
                }
            }
        }
        if self.json {
            say_json(&json!({ "ok": ok, "files": found }))?;
        }
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn check<'f>(&self, file: &'f Path, seen: &mut Seen<'f>) -> anyhow::Result<Holds> {
        if is_zip(file).context("it cannot be read")? {
            let Checked { manifest, checkpoint } = archive(file, &self.trusted)?;
            seen.agree(checkpoint)?;
            return Ok(Holds::Archive(Box::new(manifest)));
        }
        let text = fs::read_to_string(file).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => anyhow!(
                "it is neither an archive nor text, as everything else is that is checked; if it was an archive, its \
                 beginning is damaged: fetch it again"
            ),
            _ => anyhow::Error::from(error).context("it cannot be read"),
        })?;
        if text.starts_with('{') {
            let Receipt { says, checkpoints } = receipt::check(&text, &self.trusted)?;
            checkpoints.into_iter().try_for_each(|checkpoint| seen.agree(checkpoint))?;
            return Ok(Holds::Receipt { receipt: says });
        }
        let (checkpoint, holds) = if text.starts_with("c2sp.org/tlog-proof@") {
            let bundle = Bundle::parse(&text)?;
            let (checkpoint, leaf) = event(&bundle, &self.trusted)?;
            (checkpoint.clone(), Holds::Event { leaf: Box::new(leaf), checkpoint })
        } else if text.starts_with("old ") {
            let request = Request::parse(&text)?;
            let (checkpoint, _) = Checkpoint::open(&request.checkpoint.to_string(), &self.trusted)?;
            seen.requests.push((file, request, checkpoint.clone()));
            (checkpoint.clone(), Holds::Checkpoint(checkpoint))
        } else {
            let (checkpoint, _) = Checkpoint::open(&text, &self.trusted)?;
            (checkpoint.clone(), Holds::Checkpoint(checkpoint))
        };
        seen.agree(checkpoint)?;
        Ok(holds)
    }
}

fn archive(file: &Path, trusted: &[Verifier]) -> anyhow::Result<Checked> {
    let shown = bar(0, "checking event {pos} {spinner}");
    let checked = check::check(file, Some(trusted), |position| shown.set_position(position.0.unsigned_abs()));
    shown.finish_and_clear();
    Ok(checked?)
}

/// The event that a proof is of, and the checkpoint by which it is proven.
fn event(bundle: &Bundle, trusted: &[Verifier]) -> anyhow::Result<(Checkpoint, Leaf)> {
    let record = bundle.extra.as_ref().context("it holds no leaf record, so it does not say what it proves")?;
    let checkpoint = bundle.proves(merkle::leaf(record), trusted)?;
    let leaf = Leaf::parse(record).context("its leaf record does not read as one")?;
    ensure!(
        u64::try_from(leaf.position.0).is_ok_and(|position| position == bundle.index + 1),
        "its leaf record is of position {}, and it stands at {}",
        leaf.position,
        bundle.index + 1
    );
    // An event of an earlier history stays part of the later ones: the ledger must be the same.
    let origin = checkpoint_origin(&leaf.origin, leaf.history);
    let ledger = checkpoint.origin.rsplit_once('/').map_or("", |(ledger, _)| ledger);
    ensure!(
        origin == checkpoint.origin || leaf.origin == ledger,
        "its leaf record is of `{origin}`, and the checkpoint of `{}`",
        checkpoint.origin
    );
    Ok((checkpoint, leaf))
}

/// What was found to hold.
enum Holds {
    Checkpoint(Checkpoint),
    Event { leaf: Box<Leaf>, checkpoint: Checkpoint },
    Follows { old: u64, checkpoint: Checkpoint },
    Receipt { receipt: Value },
    Archive(Box<Manifest>),
}

impl Holds {
    fn text(&self) -> String {
        match self {
            Self::Checkpoint(Checkpoint { origin, size, root }) => {
                format!("a checkpoint of {origin}: {size} events, root {}", hex::encode(root))
            }
            Self::Event { leaf, checkpoint } => format!(
                "event {} of the log of {} events: version {} of stream {}, owner {}, recorded {}, digest {}",
                leaf.position,
                checkpoint.size,
                leaf.version,
                leaf.stream,
                leaf.owner,
                leaf.recorded_at.to_rfc3339(),
                hex::encode(leaf.event)
            ),
            Self::Follows { old, checkpoint } => {
                format!("the log of {} events begins with the first {old}", checkpoint.size)
            }
            Self::Receipt { receipt } => {
                let said = |name: &str| receipt[name].as_str();
                let what = match (said("message"), said("conversation"), said("account").unwrap_or_default()) {
                    (Some(message), _, account) => format!("message {message} of account {account}"),
                    (None, Some(conversation), account) => format!("conversation {conversation} of account {account}"),
                    (None, None, account) => format!("account {account}"),
                };
                format!(
                    "{what} of {} was forgotten, as event {} says{}",
                    said("ledger").unwrap_or_default(),
                    receipt["forgotten"]["position"],
                    match &receipt["log"] {
                        Value::Null => ", which is not proven here: `prove` shows that it is in the log",
                        log if log["before"].is_null() => ", which is in the log",
                        _ => ", which is in the log, and nothing of the log before it was rewritten",
                    }
                )
            }
            Self::Archive(manifest) => {
                let of = match manifest.of {
                    Of::Account { account } => format!("all of account {account}"),
                    Of::Range { from, to } => format!("events {from} to {to} without words"),
                };
                let events = manifest.counts.events;
                format!(
                    "{of} in the log of {} ({} events): {events} events, whole and unchanged",
                    manifest.origin, manifest.size
                )
            }
        }
    }

    fn json(&self, file: &str) -> Value {
        match self {
            Self::Checkpoint(Checkpoint { origin, size, root }) => json!({
                "file": file, "ok": true, "kind": "checkpoint", "origin": origin, "size": size, "root": hex::encode(root),
            }),
            Self::Event { leaf, checkpoint } => json!({
                "file": file, "ok": true, "kind": "event", "origin": checkpoint.origin, "size": checkpoint.size,
                "root": hex::encode(checkpoint.root), "position": leaf.position, "owner": leaf.owner,
                "stream": leaf.stream, "version": leaf.version, "recordedAt": leaf.recorded_at,
                "digest": hex::encode(leaf.event),
            }),
            Self::Follows { old, checkpoint } => json!({
                "file": file, "ok": true, "kind": "consistency", "from": old, "size": checkpoint.size,
            }),
            Self::Receipt { receipt } => {
                let mut said = json!({ "file": file, "ok": true, "kind": "receipt" });
                for name in ["account", "conversation", "message", "ledger", "forgotten"] {
                    if !receipt[name].is_null() {
                        said[name] = receipt[name].clone();
                    }
                }
                said
            }
            Self::Archive(manifest) => json!({
                "file": file, "ok": true, "kind": "archive", "origin": manifest.origin, "size": manifest.size,
                "of": manifest.of, "counts": manifest.counts,
            }),
        }
    }
}

/// All checkpoints that were given, which must not contradict one another.
#[derive(Default)]
struct Seen<'f> {
    checkpoints: Vec<Checkpoint>,
    requests: Vec<(&'f Path, Request, Checkpoint)>,
}

impl<'f> Seen<'f> {
    fn agree(&mut self, checkpoint: Checkpoint) -> anyhow::Result<()> {
        let same = |other: &&Checkpoint| (&other.origin, other.size) == (&checkpoint.origin, checkpoint.size);
        if let Some(other) = self.checkpoints.iter().find(same)
            && other.root != checkpoint.root
        {
            bail!(
                "it says that the first {} events have the root {}, and another file says {}, signed alike: the log was \
                 forked",
                checkpoint.size,
                hex::encode(checkpoint.root),
                hex::encode(other.root)
            );
        }
        self.checkpoints.push(checkpoint);
        Ok(())
    }

    /// The proofs that a checkpoint follows, where the earlier one was given too.
    fn links(&self) -> Vec<(&'f Path, anyhow::Result<Holds>)> {
        let mut links = Vec::new();
        for (file, request, new) in &self.requests {
            let earlier = |old: &&Checkpoint| (&old.origin, old.size) == (&new.origin, request.old);
            for old in self.checkpoints.iter().filter(earlier) {
                let holds = Holds::Follows { old: old.size, checkpoint: new.clone() };
                links.push((*file, follows(new, old, &request.proof).map(|()| holds).map_err(Into::into)));
            }
        }
        links
    }
}
