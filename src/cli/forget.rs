//! `convoledger forget`

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chrono::TimeDelta;
use clap::Args;
use serde_json::json;

use super::Place;
use super::output::{agreed, say, say_json};
use super::snapshots::span;
use crate::database::Role;
use crate::event::{AccountId, Requester};
use crate::ledger::account::Forgetting;
use crate::service::{Forgotten, Service, Survey};

/// Forgets a person: whatever was said is gone, everywhere, and what happened stays and still verifies.
///
/// The account is closed at once. Its keys are destroyed and with them their epoch, its sealed words deleted, views swept,
/// its tokens and its address removed; a receipt says what. Killed anywhere, it is ended by calling it again, or by `serve`.
#[derive(Debug, Args)]
pub(super) struct Forget {
    /// Whom: an address, or the id of an account
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Wait so long, in hours (h) or days (d), before anything goes; until then it can be cancelled
    #[arg(long, value_name = "SPAN", default_value = "0h", value_parser = grace)]
    grace: TimeDelta,
    /// Take a request back that is not due yet
    #[arg(long, conflicts_with_all = ["dry_run", "grace"])]
    cancel: bool,
    /// Print one JSON document: account, state, and what there is to it (removes, due, receipt)
    #[arg(long)]
    json: bool,
}

fn grace(text: &str) -> Result<TimeDelta, String> {
    span(text).ok_or_else(|| "give hours (h) or days (d), such as 24h or 7d".into())
}

impl Forget {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        place.must_exist()?;
        let house = place.open(Role::Command).await?;
        let done = self.carry_out(&house.service).await;
        house.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }

    async fn carry_out(&self, service: &Service) -> anyhow::Result<()> {
        let actor = service.named(&self.account).await?.context(
            "there is no such account; one that was forgotten already has no address any more, and is named by its id",
        )?;
        let account = actor.account;
        if self.dry_run {
            return self.tell(account, &service.survey(account).await?);
        }
        if self.cancel {
            let cancelled = service.cancel_forgetting(account).await?;
            let told = if cancelled { "is open again" } else { "was not to be forgotten" };
            return self.say(&json!({ "account": account, "state": "open" }), &format!("account {account} {told}"));
        }
        if !self.yes && !agreed(&format!("Forget account {account}? What was said is gone for good."))? {
            bail!("nothing was done; --yes does it without asking");
        }
        let (state, _) = service.request_forgetting(account, Requester::Operator, self.grace).await?;
        if let Forgetting::Requested { due } = state
            && !self.grace.is_zero()
        {
            return self.say(
                &json!({ "account": account, "state": "requested", "due": due }),
                &format!("account {account} is closed, and forgotten at {due} by `serve`; --cancel takes it back"),
            );
        }
        let Forgotten { receipt, file } = service.forget(account).await?;
        let at = file.map_or(String::new(), |file| format!("; the receipt is in {}", file.display()));
        self.say(
            &json!({ "account": account, "state": "forgotten", "receipt": receipt }),
            &format!("account {account} is forgotten{at}"),
        )
    }

    fn tell(&self, account: AccountId, survey: &Survey) -> anyhow::Result<()> {
        if self.json {
            return say_json(&json!({
                "account": account, "state": "dry run", "keys": survey.keys, "words": survey.words, "removes": survey.removes,
            }));
        }
        say(&format!("account {account}: {} keys would be destroyed, and these would go:", survey.keys.len()));
        for removed in &survey.removes {
            say(&format!("{:>10}  {}", removed.count, removed.store));
        }
        Ok(())
    }

    fn say(&self, document: &serde_json::Value, line: &str) -> anyhow::Result<()> {
        if self.json {
            return say_json(document);
        }
        say(line);
        Ok(())
    }
}
