//! `convoledger keys`

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::Place;
use super::output::{say, say_json};
use crate::config;
use crate::database::Role;
use crate::vault::{Keyring, Retired, Root, SigningKeys};

/// The keys that open what people said. They lie outside the database; back them up with the log, and apart from it.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    RotateRoot(RotateRoot),
    RetireEpoch(RetireEpoch),
    RotateSigning(RotateSigning),
    Public(Public),
}

/// Switches to a new key for signing checkpoints. Servers may go on running.
///
/// From now on checkpoints are signed by the new key and the one before. Hand the new public key to those who check and
/// to witnesses; once they have it, run this again with --finish. What was signed stays known.
#[derive(Debug, Args)]
struct RotateSigning {
    /// End the switch: the newest key alone signs from now on
    #[arg(long)]
    finish: bool,
    /// Print one JSON document: `keys`, the public keys, the newest first
    #[arg(long)]
    json: bool,
}

/// Prints the public keys that sign or signed checkpoints (C2SP signed-note), a line each, the newest first.
#[derive(Debug, Args)]
struct Public {
    /// Print one JSON document: `keys`
    #[arg(long)]
    json: bool,
}

/// Seals all key files anew, under a new root key. Servers may go on running.
///
/// Where the root is a file, a new one is made. Where CONVOLEDGER_ROOT_KEY holds it: set that to `NEW,OLD` (NEW is 64
/// hex digits, as `openssl rand -hex 32` prints), restart the servers, run this, then set it to NEW alone.
#[derive(Debug, Args)]
struct RotateRoot {
    /// Print one JSON document: keys, root ("file" or "environment"), next
    #[arg(long)]
    json: bool,
}

/// Wraps the keys of all people anew and destroys the key that wrapped them until now, as `serve` does every week.
///
/// From then on no copy of the table vault.subject_key from before opens anything, wherever it lies: so a backup of that
/// schema, and of the key directory, is to be made again. Servers may go on running.
#[derive(Debug, Args)]
struct RetireEpoch {
    /// Print one JSON document: epochs (those destroyed), current, rewrapped
    #[arg(long)]
    json: bool,
}

impl Keys {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::RotateRoot(rotate) => rotate.run(place),
            Action::RetireEpoch(retire) => retire.run(place).await,
            Action::RotateSigning(rotate) => {
                let origin = place.checkpoint_origin().await?;
                print(&place.signing()?.rotate(&origin, rotate.finish)?, rotate.json)
            }
            Action::Public(public) => print(&place.own_keys().await?, public.json),
        }
    }
}

impl RetireEpoch {
    async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        place.must_exist()?;
        let house = place.open(Role::Command).await?;
        let retired = house.service.retire_epoch().await;
        house.close().await;
        let Retired { epochs, current, rewrapped } = retired?;
        if self.json {
            say_json(&json!({ "epochs": epochs, "current": current, "rewrapped": rewrapped }))?;
        } else {
            let epochs: Vec<String> = epochs.iter().map(ToString::to_string).collect();
            say(&format!(
                "epoch {} is destroyed, and {rewrapped} keys are wrapped by epoch {current}; back up the key directory \
                 and the schema `vault` again: older copies open nothing",
                epochs.join(", ")
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(keys: &SigningKeys, json: bool) -> anyhow::Result<ExitCode> {
    let keys: Vec<String> = keys.known.iter().map(ToString::to_string).collect();
    if json {
        say_json(&json!({ "keys": keys }))?;
    } else {
        say(&keys.join("\n"));
    }
    Ok(ExitCode::SUCCESS)
}

impl RotateRoot {
    fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let store = place.keys()?;
        let (root, at, next) = match config::root_key() {
            None => (Root::random(), "file", "back the key directory up again; the old root opens nothing any more"),
            Some(given) => {
                let Some((new, _old)) = given.split_once(',') else {
                    bail!(
                        "the root key is given by CONVOLEDGER_ROOT_KEY: set that to `NEW,OLD` first (NEW is 64 hex \
                         digits, as `openssl rand -hex 32` prints), restart the servers, then run this again"
                    );
                };
                let Some(new) = Root::read(new.trim()) else { bail!("the first key in CONVOLEDGER_ROOT_KEY is none") };
                (new, "environment", "set CONVOLEDGER_ROOT_KEY to its first key alone, and restart the servers")
            }
        };
        Keyring::rotate_root(&store, &root)?;
        let directory = place.keys_directory()?;
        if self.json {
            say_json(&json!({ "keys": directory, "root": at, "next": next }))?;
        } else {
            say(&format!("the keys in {} are sealed by the new root; {next}", directory.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
