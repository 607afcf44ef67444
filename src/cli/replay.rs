//! `convoledger replay`

mod story;
mod terminal;

use std::collections::HashMap;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::ensure;
use async_graphql::ID;
use clap::Args;
use futures::StreamExt as _;
use serde_json::json;

use self::story::{Scene, Story};
use super::Place;
use super::output::{complain, heard, say, say_json};
use super::reader::Reader;
use crate::api::graphql::id::Name;
use crate::database::Role;
use crate::event::{AccountId, ConversationId, OwnerId, Position, Private, Reading, Version};
use crate::service::{Actor, Replay, Service, Speed};

/// Events in one read of what comes before the first that is shown.
const PAGE: usize = 500;

/// Plays a conversation as it happened: who said and did what, on which branch, what it has used and cost so far.
///
/// Numbers like #7 are versions of the conversation, which --from and --to take. Words that were forgotten are shown as
/// forgotten. Whoever's conversation it is reads it with a token of theirs; that anybody else does is recorded before it is
/// shown, and told to them.
#[derive(Debug, Args)]
pub(super) struct ReplayCommand {
    /// The conversation, as GraphQL names it: conversation:…
    #[arg(value_name = "CONVERSATION", value_parser = conversation)]
    conversation: (OwnerId, ConversationId),
    /// Begin with this version
    #[arg(long, value_name = "VERSION", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    from: i32,
    /// End with this version
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i32).range(1..))]
    to: Option<i32>,
    /// How many times faster than it happened; no pause takes more than 5 s. 0 makes none
    #[arg(long, value_name = "TIMES", default_value_t = 0.0, value_parser = times)]
    speed: f64,
    /// Go on with what happens next, until interrupted
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    reader: Reader,
    /// Print one JSON document: `conversation`, `events`, `totals`. With --follow, one document a line for each event
    #[arg(long)]
    json: bool,
}

impl ReplayCommand {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        if self.to.is_some_and(|to| to < self.from) {
            complain("--to lies before --from");
            return Ok(ExitCode::from(2));
        }
        place.must_exist()?;
        let house = place.open(Role::Command).await?;
        let played = tokio::select! {
            played = self.play(&house.service) => played,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        house.close().await;
        played.map(|()| ExitCode::SUCCESS)
    }

    async fn play(&self, service: &Service) -> anyhow::Result<()> {
        let (owner, conversation) = self.conversation;
        let actor = Actor { account: owner.into() };
        self.enter(service, actor).await?;
        let (mut story, mut names) = (Story::default(), Names::default());
        let after = self.skip(service, actor, &mut story).await?;
        let replay = Replay { conversation, after, speed: Speed::new(self.speed), follow: self.follow };
        let mut events = pin!(service.replay(actor, replay));
        let mut scenes = Vec::new();
        while let Some(opened) = events.next().await {
            let opened = opened?;
            let version = opened.recorded.version.0;
            if self.to.is_some_and(|to| version > to) {
                break;
            }
            let who = names.of(service, opened.recorded.fact.actor).await?;
            let scene = story.tell(&opened, who);
            if self.json && !self.follow {
                scenes.push(scene);
            } else if !heard(&self.shown(&scene)?) {
                return Ok(());
            }
            if self.to == Some(version) {
                break;
            }
        }
        if self.json && !self.follow {
            let id = Name::Conversation(owner, conversation).id();
            say_json(&json!({ "conversation": *id, "events": scenes, "totals": story.totals }))?;
        } else if !self.json {
            say(&terminal::sum(&story));
        }
        Ok(())
    }

    /// Has it recorded that the conversation is read, unless its owner does.
    async fn enter(&self, service: &Service, owner: Actor) -> anyhow::Result<()> {
        let begun = service.missed(owner, self.conversation.1, Version(0), 1).await?;
        ensure!(!begun.is_empty(), "this ledger has no such conversation");
        let (what, conversation) = (Reading::Conversation, Some(self.conversation.1));
        Ok(self.reader.enter(service, owner, what, conversation).await?)
    }

    /// Takes in what comes before the first version that is shown, and says where that ends.
    async fn skip(&self, service: &Service, actor: Actor, story: &mut Story) -> anyhow::Result<Position> {
        let (mut version, mut position) = (Version(0), Position(0));
        loop {
            let events = service.missed(actor, self.conversation.1, version, PAGE).await?;
            for opened in &events {
                if opened.recorded.version.0 >= self.from {
                    return Ok(position);
                }
                (version, position) = (opened.recorded.version, opened.recorded.position);
                story.tell(opened, String::new());
            }
            if events.len() < PAGE {
                return Ok(position);
            }
        }
    }

    fn shown(&self, scene: &Scene) -> anyhow::Result<String> {
        if self.json { Ok(serde_json::to_string(scene)?) } else { Ok(terminal::scene(scene)) }
    }
}

/// What accounts are called, asked for once each.
#[derive(Default)]
pub(super) struct Names(HashMap<AccountId, String>);

impl Names {
    pub(super) async fn of(&mut self, service: &Service, account: AccountId) -> anyhow::Result<String> {
        if let Some(name) = self.0.get(&account) {
            return Ok(name.clone());
        }
        let name = match service.email(Actor { account }).await? {
            Private::Known(email) => email,
            Private::Forgotten => account.to_string(),
        };
        self.0.insert(account, name.clone());
        Ok(name)
    }
}

fn conversation(text: &str) -> Result<(OwnerId, ConversationId), String> {
    Name::conversation(&ID::from(text)).map_err(|error| error.to_string())
}

fn times(text: &str) -> Result<f64, String> {
    let times = text.parse::<f64>().ok().filter(|times| times.is_finite() && *times >= 0.0);
    times.ok_or_else(|| "it is a number like 2 or 0.5, and 0 makes no pauses".to_owned())
}
