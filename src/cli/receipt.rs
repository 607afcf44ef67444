//! `convoledger receipt`

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use async_graphql::ID;
use clap::Args;

use super::Place;
use super::output::say_json;
use crate::api::graphql::id::Name;
use crate::database::Role;
use crate::service::{Actor, Part, Service};

/// Prints the signed receipt of a message or a conversation that was forgotten, which `check` checks.
///
/// It says what went and when; since when no key opens it any more, not in old copies of the database either, or by when that
/// will be so; and what stays and why.
#[derive(Debug, Args)]
pub(super) struct Receipt {
    /// What was forgotten, as GraphQL names it: message:… or conversation:…
    #[arg(value_name = "ID", value_parser = part)]
    id: Name,
}

fn part(text: &str) -> Result<Name, String> {
    match Name::parse(&ID::from(text)) {
        Ok(name @ (Name::Message(..) | Name::Conversation(..))) => Ok(name),
        _ => Err("give the id of a message or a conversation, as GraphQL names it".into()),
    }
}

impl Receipt {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        place.must_exist()?;
        let house = place.open(Role::Command).await?;
        let done = self.print(&house.service).await;
        house.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }

    async fn print(&self, service: &Service) -> anyhow::Result<()> {
        let actor = Actor { account: self.id.owner().into() };
        let part = match self.id {
            Name::Conversation(_, conversation) => Part::Conversation(conversation),
            Name::Message(_, message) => {
                let conversation = service.conversation_of(actor, message).await?;
                Part::Message(conversation.context("there is no such message")?, message)
            }
            _ => bail!("that is the id of neither a message nor a conversation"),
        };
        let receipt = service.receipt_of(actor.account, part).await?;
        say_json(&receipt.context("nothing of it was forgotten on its own")?)
    }
}
