//! `convoledger search`

use std::process::ExitCode;

use anyhow::Context as _;
use async_graphql::ID;
use clap::Args;
use serde_json::{Value, json};

use super::Place;
use super::output::{harmless_in_line, say, say_json};
use super::replay::Names;
use crate::api::graphql::id::Name;
use crate::database::Role;
use crate::event::{AccountId, OwnerId};
use crate::service::{FOUND_MAX, Hit, Overseen, Service};
use crate::view::search::{Found, Query};

/// Searches what was said in all accounts, or in one, and shows the newest of it.
///
/// For whoever runs the ledger: to each owner of what is found it is told that it was read and why, before it is shown.
#[derive(Debug, Args)]
pub(super) struct SearchCommand {
    /// What is looked for, as in GraphQL: words, "phrases", prefixes*, -without, OR
    #[arg(value_name = "QUERY")]
    query: String,
    /// Whose: an address, or the id of an account [default: everybody's]
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Why: it is recorded, and told to those whose words are found
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How many are shown
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(FOUND_MAX)))]
    first: u32,
    /// Print one JSON document: {"accounts": COUNT, "hits": [{"account", "conversation", "kind", "occurred_at", "text"}]}
    #[arg(long)]
    json: bool,
}

impl SearchCommand {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        place.must_exist()?;
        let house = place.open(Role::Command).await?;
        let done = self.search(&house.service).await;
        house.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }

    async fn search(&self, service: &Service) -> anyhow::Result<()> {
        let query = Query::parse(&self.query)?;
        let account = match &self.account {
            Some(name) => Some(service.named(name).await?.context("there is no such account")?.account),
            None => None,
        };
        service.fold_up().await?;
        let Overseen { hits, accounts } = service.search_accounts(&query, account, self.first, &self.reason).await?;
        if self.json {
            let hits: Vec<Value> = hits.iter().map(|(whose, hit)| document(*whose, hit)).collect();
            return say_json(&json!({ "accounts": accounts, "hits": hits }));
        }
        let mut names = Names::default();
        for (whose, hit) in &hits {
            let name = harmless_in_line(&names.of(service, *whose).await?);
            let when = hit.opened.recorded.fact.occurred_at.format("%Y-%m-%d %H:%M:%S");
            say(&format!("{when} {name} {} {}", conversation(*whose, hit).as_str(), kind(hit)));
            say(&format!("      │ {}", harmless_in_line(&text(hit))));
        }
        say(&format!("{} found in {accounts} accounts", hits.len()));
        Ok(())
    }
}

fn document(whose: AccountId, hit: &Hit) -> Value {
    json!({
        "account": whose,
        "conversation": conversation(whose, hit).as_str(),
        "kind": kind(hit),
        "occurred_at": hit.opened.recorded.fact.occurred_at,
        "text": text(hit),
    })
}

fn conversation(whose: AccountId, hit: &Hit) -> ID {
    Name::Conversation(OwnerId::from(whose), hit.conversation).id()
}

const fn kind(hit: &Hit) -> &'static str {
    match hit.found {
        Found::Message(_) => "message",
        Found::Title => "title",
        Found::Tag(_) => "tag",
    }
}

/// What is said around what was looked for.
fn text(hit: &Hit) -> String {
    hit.snippet.iter().map(|run| run.text.as_str()).collect()
}
