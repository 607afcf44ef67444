//! A conversation's events, told one after the other: each with what it meant at the time.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::api::graphql::id::Name;
use crate::event::part::text_of;
use crate::event::{
    BranchNumber, BranchRestored, Event, MessageAppended, MessageId, OwnerId, Part, Place, Private, Rating, Role,
    Segment, Token, Trigger, Usage, Version,
};
use crate::service::{Opened, Totals};

/// What is known once all that was told so far has happened.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub totals: Totals,
    pub branches: HashMap<BranchNumber, String>,
    messages: HashMap<MessageId, Version>,
    said: HashMap<Place, (Version, BranchNumber)>,
    segments: HashMap<Segment, Version>,
    tags: HashMap<Token, String>,
    /// Names of branches by the version that gave them: what a restore refers to.
    names: HashMap<Version, String>,
}

/// One event as it is told. Names that scripts rely on.
#[derive(Debug, Serialize)]
pub(super) struct Scene {
    pub version: i32,
    pub position: i64,
    pub occurred_at: DateTime<Utc>,
    pub kind: String,
    /// Who did it.
    pub by: String,
    /// What was done, in words on one line; of a message, who speaks and where.
    pub what: String,
    pub branch: Option<BranchTold>,
    pub message: Option<MessageTold>,
    /// Whether its words are gone.
    pub forgotten: bool,
    /// All that was said so far, itself included.
    pub totals: Totals,
}

#[derive(Debug, Serialize)]
pub(super) struct BranchTold {
    pub number: i32,
    pub name: String,
    /// The version of the message below which this event lets it fork off.
    pub forks_below: Option<i32>,
}

#[derive(Debug, Serialize)]
pub(super) struct MessageTold {
    pub id: String,
    pub role: Role,
    /// All that it says, a blank line between its parts.
    pub text: Option<String>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub usage: Option<Usage>,
    #[serde(with = "rust_decimal::serde::str_option")]
    pub cost_usd: Option<Decimal>,
    pub latency_ms: Option<u64>,
}

impl Story {
    /// Tells what happens next.
    pub(super) fn tell(&mut self, opened: &Opened, by: String) -> Scene {
        let (recorded, version) = (&opened.recorded, opened.recorded.version);
        let (mut branch, mut message) = (None, None);
        let what = match &opened.event {
            Event::MessageAppended(said) => {
                let (what, where_to) = self.said(version, said);
                (branch, message) = (Some(where_to), Some(told(recorded.fact.owner, said)));
                what
            }
            Event::BranchCreated(created) => {
                self.call(version, created.branch, &created.name);
                branch = Some(self.branch(created.branch, Some(created.at)));
                format!("began {} at {}", self.name(created.branch), self.at(created.message))
            }
            Event::BranchRenamed(renamed) => {
                let before = self.name(renamed.branch);
                self.call(version, renamed.branch, &renamed.name);
                branch = Some(self.branch(renamed.branch, None));
                format!("renamed {before} to {}", self.name(renamed.branch))
            }
            Event::BranchPreferred(preferred) => {
                branch = Some(self.branch(preferred.branch, None));
                format!("put {} in view", self.name(preferred.branch))
            }
            Event::BranchAbandoned(abandoned) => {
                branch = Some(self.branch(abandoned.branch, None));
                format!("gave {} up", self.name(abandoned.branch))
            }
            Event::BranchResumed(resumed) => {
                branch = Some(self.branch(resumed.branch, None));
                format!("took {} up again", self.name(resumed.branch))
            }
            Event::BranchChosen(chosen) => {
                branch = Some(self.branch(chosen.branch, None));
                let over: Vec<String> = chosen.over.iter().map(|other| self.name(*other)).collect();
                format!("chose {} over {}", self.name(chosen.branch), over.join(", "))
            }
            event => self.done(event),
        };
        Scene {
            version: version.0,
            position: recorded.position.0,
            occurred_at: recorded.fact.occurred_at,
            kind: recorded.fact.kind.clone(),
            by,
            what,
            branch,
            message,
            forgotten: opened.forgotten,
            totals: self.totals.clone(),
        }
    }

    fn said(&mut self, version: Version, said: &MessageAppended) -> (String, BranchTold) {
        self.totals.add(said);
        self.messages.insert(said.id, version);
        let begins = !self.segments.contains_key(&said.place.segment);
        self.segments.entry(said.place.segment).or_insert(version);
        self.branches.entry(said.branch).or_insert_with(|| called(said.branch, &Private::Forgotten));
        let branch = self.branch(said.branch, said.fork);
        let (role, name) = (said.role.name(), self.name(said.branch));
        let what = match said.fork.map(|fork| self.said.get(&fork)) {
            Some(Some((below, other))) if *other == said.branch => {
                format!("{role} on {name}, forks off below #{below}")
            }
            Some(Some((below, other))) => format!("{role} on {name}, forks off {} below #{below}", self.name(*other)),
            None if begins && self.messages.len() > 1 => format!("{role} on {name}, a beginning of its own"),
            _ => format!("{role} on {name}"),
        };
        let what = if said.origin.is_some() { format!("{what}, from another conversation") } else { what };
        self.said.insert(said.place, (version, said.branch));
        (what, branch)
    }

    /// What was done to the conversation or to a message.
    fn done(&mut self, event: &Event) -> String {
        match event {
            Event::ConversationStarted(started) => {
                let model = started.model.as_ref().map(|model| format!(" with {model}"));
                let source = started.source.as_ref().map(|source| format!(", imported from {source}"));
                let from = started.from.map(|_| ", going on with another one").unwrap_or_default();
                format!("began the conversation{}{}{from}", model.unwrap_or_default(), source.unwrap_or_default())
            }
            Event::ConversationTitled(titled) => format!("titled it {}", quoted(titled.title.as_ref())),
            Event::ConversationFavorited(_) => "made it a favourite".to_owned(),
            Event::ConversationUnfavorited(_) => "made it a favourite no longer".to_owned(),
            Event::ConversationTagged(tagged) => {
                let words = tagged.tags.clone().known().unwrap_or_default();
                let words = words.into_iter().map(Some).chain(std::iter::repeat(None));
                for (token, word) in tagged.tokens.iter().zip(words) {
                    self.tags.insert(*token, word.unwrap_or_else(|| FORGOTTEN.to_owned()));
                }
                format!("tagged it {}", self.tags(&tagged.tokens))
            }
            Event::ConversationUntagged(untagged) => format!("took its tag {} off", self.tags(&untagged.tokens)),
            Event::ConversationArchived(_) => "archived it".to_owned(),
            Event::ConversationUnarchived(_) => "took it out of the archive".to_owned(),
            Event::ConversationDeleted(_) => "deleted it".to_owned(),
            Event::ConversationUndeleted(_) => "undeleted it".to_owned(),
            Event::ModelSwitched(switched) => {
                let provider = switched.provider.as_ref().map(|provider| format!(" of {provider}"));
                format!("switched to {}{}", switched.model, provider.unwrap_or_default())
            }
            Event::MessageHidden(hidden) => format!("hid {}", self.at(hidden.message)),
            Event::MessageUnhidden(unhidden) => format!("showed {} again", self.at(unhidden.message)),
            Event::MessageRated(rated) => {
                let at = self.at(rated.message);
                let comment = match &rated.comment {
                    Private::Known(None) => String::new(),
                    comment => format!(": {}", quoted(comment.clone().map(Option::unwrap_or_default).as_ref())),
                };
                match rated.rating {
                    Some(Rating::Up) => format!("rated {at} up{comment}"),
                    Some(Rating::Down) => format!("rated {at} down{comment}"),
                    None => format!("took the rating of {at} back{comment}"),
                }
            }
            Event::ConversationRestored(restored) => {
                for BranchRestored { branch, name, .. } in &restored.branches {
                    let name = self.names.get(name).cloned();
                    self.branches.insert(*branch, name.unwrap_or_else(|| called(*branch, &Private::Forgotten)));
                }
                format!("brought it back to #{}", restored.to)
            }
            Event::SnapshotTaken(taken) => {
                let label = match &taken.label {
                    Private::Known(None) => by_itself(taken.trigger).to_owned(),
                    label => quoted(label.clone().map(Option::unwrap_or_default).as_ref()),
                };
                format!("took a snapshot of #{}: {label}", taken.version)
            }
            Event::SnapshotThinned(thinned) => match thinned.snapshots.len() {
                1 => "let a snapshot go".to_owned(),
                count => format!("let {count} snapshots go"),
            },
            Event::SnapshotConfigured(_) => "settled when snapshots are taken".to_owned(),
            event => event.kind().to_owned(),
        }
    }

    fn call(&mut self, version: Version, branch: BranchNumber, name: &Private<String>) {
        let name = called(branch, name);
        self.names.insert(version, name.clone());
        self.branches.insert(branch, name);
    }

    fn branch(&self, number: BranchNumber, fork: Option<Place>) -> BranchTold {
        let forks_below = fork.and_then(|fork| self.said.get(&fork)).map(|(version, _)| version.0);
        BranchTold { number: number.0, name: self.name(number), forks_below }
    }

    fn name(&self, number: BranchNumber) -> String {
        self.branches.get(&number).cloned().unwrap_or_else(|| called(number, &Private::Forgotten))
    }

    /// A message, by the version that appended it.
    fn at(&self, message: MessageId) -> String {
        self.messages.get(&message).map_or_else(|| message.to_string(), |version| format!("#{version}"))
    }

    fn tags(&self, tokens: &[Token]) -> String {
        let words = tokens.iter().map(|token| self.tags.get(token).map_or(FORGOTTEN, String::as_str));
        words.collect::<Vec<_>>().join(", ")
    }
}

pub(super) const FORGOTTEN: &str = "(forgotten)";

/// `main`, a name that was given, or else the number.
fn called(number: BranchNumber, name: &Private<String>) -> String {
    match name {
        Private::Known(name) => name.clone(),
        Private::Forgotten if number == BranchNumber::MAIN => "main".to_owned(),
        Private::Forgotten => format!("branch {number}"),
    }
}

fn quoted(words: Private<&String>) -> String {
    words.known().map_or_else(|| FORGOTTEN.to_owned(), |words| format!("“{words}”"))
}

/// Why a snapshot was taken that nobody labelled.
const fn by_itself(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::AutoHourly => "an hour had gone by",
        Trigger::BeforeChange => "before a change",
        Trigger::Manual => "by hand",
        Trigger::CostLimit => "before the cost limit",
        Trigger::TokenLimit => "before the token limit",
    }
}

fn told(owner: OwnerId, said: &MessageAppended) -> MessageTold {
    MessageTold {
        id: Name::Message(owner, said.id).id().0,
        role: said.role,
        text: said.parts.as_ref().known().map(|parts| spelled(parts)),
        model: said.model.clone(),
        provider: said.provider.clone(),
        usage: said.usage,
        cost_usd: said.cost_usd.map(|cost| cost.normalize()),
        latency_ms: said.latency_ms,
    }
}

/// All parts of a message in words: what is text as it is, what is none by what it is called.
fn spelled(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Text { .. } => text_of(std::slice::from_ref(part)).unwrap_or_default(),
        Part::Reasoning { content, .. } => format!("(thinks) {content}"),
        Part::ToolCall { name, arguments, .. } => format!("(calls {name}) {arguments}"),
        Part::ToolCallResponse { response, .. } => format!("(answers) {response}"),
        Part::File { name: Some(name), .. } => format!("(file {name})"),
        Part::File { file_id, .. } => format!("(file {file_id})"),
        Part::Uri { uri, .. } => format!("({uri})"),
        Part::Blob { mime_type, .. } => format!("({})", mime_type.as_deref().unwrap_or("bytes")),
        Part::Opaque { source_type, .. } => format!("({source_type})"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join("\n\n")
}
