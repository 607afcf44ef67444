//! `convoledger token`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Place;
use super::output::{say, say_json};
use crate::database::Role;
use crate::service::Service;

/// API tokens: what a program signs in with, sent as `Authorization: Bearer TOKEN`.
#[derive(Debug, Args)]
pub(super) struct TokenCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
}

/// Makes a token and prints it alone, this once: only its hash is kept.
#[derive(Debug, Args)]
struct Create {
    /// Whose it is; the account is registered if it is new
    #[arg(long, value_name = "EMAIL")]
    account: String,
    /// What it is for
    #[arg(long, value_name = "NAME", default_value = "command line")]
    name: String,
    /// Print one JSON document: account, email, name, token
    #[arg(long)]
    json: bool,
}

impl TokenCommand {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let Action::Create(create) = self.action;
        let house = place.open(Role::Command).await?;
        let created = create.run(&house.service).await;
        house.close().await;
        created.map(|()| ExitCode::SUCCESS)
    }
}

impl Create {
    async fn run(self, service: &Service) -> anyhow::Result<()> {
        let actor = service.register(&self.account).await?;
        let token = service.create_token(actor, &self.name).await?;
        if !self.json {
            say(token.reveal());
            return Ok(());
        }
        let (account, email) = (actor.account, self.account.trim());
        say_json(&json!({ "account": account, "email": email, "name": self.name, "token": token.reveal() }))
    }
}
