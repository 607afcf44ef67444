//! `convoledger hold` and `convoledger release`

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::Place;
use super::output::{say, say_json};
use crate::database::Role;

/// Holds on to all of an account's, by law or for a dispute: it cannot be forgotten until it is released.
#[derive(Debug, Args)]
pub(super) struct Hold {
    #[command(flatten)]
    held: Held,
}

/// Lets go of an account that was held; a request that waited for it is then carried out.
#[derive(Debug, Args)]
pub(super) struct Release {
    #[command(flatten)]
    held: Held,
}

#[derive(Debug, Args)]
struct Held {
    /// Whose: an address, or the id of an account
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Why: it is recorded, sealed under the ledger's own key
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print one JSON document: account, held
    #[arg(long)]
    json: bool,
}

impl Hold {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        self.held.become_so(true, place).await
    }
}

impl Release {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        self.held.become_so(false, place).await
    }
}

impl Held {
    async fn become_so(self, held: bool, place: &Place) -> anyhow::Result<ExitCode> {
        place.must_exist()?;
        let house = place.open(Role::Command).await?;
        let done = async {
            let account = house.service.named(&self.account).await?.context("there is no such account")?.account;
            if held {
                house.service.hold(account, &self.reason).await?;
            } else {
                house.service.release(account, &self.reason).await?;
            }
            anyhow::Ok(account)
        };
        let account = done.await;
        house.close().await;
        let account = account?;
        if self.json {
            say_json(&json!({ "account": account, "held": held }))?;
        } else {
            say(&format!("account {account} is {}", if held { "held" } else { "not held any more" }));
        }
        Ok(ExitCode::SUCCESS)
    }
}
