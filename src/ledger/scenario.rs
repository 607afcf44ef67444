//! Given what happened, when this is asked, then that happens: the harness that rules are told in.

#![allow(clippy::needless_pass_by_value)] // a story reads better without ampersands

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Act, AppendMessage, Automatic, Below, Circumstances, Command, Conversation, Happened, Refusal, Start, Tag, decide,
    decide_all, evolve,
};
use crate::event::{
    ConversationDeleted, ConversationStarted, ConversationTagged, Event, EventId, MessageId, Private, Role,
    SnapshotPolicy, Token,
};

#[derive(Clone)]
pub struct Given(Conversation);
pub struct When(Result<Vec<Event>, Refusal>);

/// The id of a snapshot that is taken by itself.
pub const AUTOMATIC: EventId = EventId(Uuid::from_u128(1_000));

/// What happened, all of it at noon.
pub fn given<const N: usize>(history: [Event; N]) -> Given {
    Given(history.map(at_noon).iter().fold(Conversation::default(), evolve))
}

fn at_noon(event: Event) -> Happened {
    Happened { occurred_at: noon(), event }
}

/// So many minutes after noon, when snapshots may be taken by themselves.
fn later(minutes: i64) -> Circumstances {
    let automatic = Some(Automatic { policy: SnapshotPolicy::default(), id: AUTOMATIC });
    Circumstances { now: noon() + TimeDelta::minutes(minutes), automatic }
}

impl Given {
    /// `act` at noon, with nothing that happens by itself.
    pub fn when(self, act: Act) -> When {
        self.amid(act, &Circumstances { now: noon(), automatic: None })
    }

    pub fn when_at(self, minutes: i64, act: Act) -> When {
        self.amid(act, &later(minutes))
    }

    fn amid(self, act: Act, circumstances: &Circumstances) -> When {
        let happened = decide(&self.0, Command::from(act), circumstances);
        When(happened.map(|happened| happened.into_iter().map(|happened| happened.event).collect()))
    }

    /// All of `acts` in one order.
    pub fn when_all_at<const N: usize>(self, minutes: i64, acts: [Act; N]) -> Vec<Event> {
        let mut state = self.0;
        let commands = acts.map(Command::from).to_vec();
        let happened = decide_all(&mut state, commands, &later(minutes)).expect("the order is taken");
        happened.into_iter().map(|happened| happened.event).collect()
    }

    /// Goes on with what `act` becomes.
    pub fn and(self, act: Act) -> Self {
        let events = self.clone().when(act).events();
        Self(events.into_iter().map(at_noon).fold(self.0, |state, happened| evolve(state, &happened)))
    }

    pub fn and_at(self, minutes: i64, act: Act) -> Self {
        let occurred_at = later(minutes).now;
        let events = self.clone().when_at(minutes, act).events();
        let happened = events.into_iter().map(|event| Happened { occurred_at, event });
        Self(happened.fold(self.0, |state, happened| evolve(state, &happened)))
    }

    pub fn state(self) -> Conversation {
        self.0
    }
}

impl When {
    #[track_caller]
    pub fn then<const N: usize>(self, events: [Event; N]) {
        assert_eq!(self.0, Ok(events.to_vec()));
    }

    #[track_caller]
    pub fn refused(self, refusal: Refusal) {
        assert_eq!(self.0, Err(refusal));
    }

    #[track_caller]
    pub fn events(self) -> Vec<Event> {
        self.0.expect("the command is taken")
    }
}

pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).expect("a time in range")
}

pub fn id(name: u8) -> MessageId {
    MessageId(Uuid::from_u128(u128::from(name)))
}

pub fn started() -> Event {
    ConversationStarted { model: None, provider: None, source: None, from: None, origin: Private::Known(None) }.into()
}

pub fn deleted() -> Event {
    ConversationDeleted {}.into()
}

pub fn start() -> Act {
    Act::Start(Start::default())
}

pub fn say(name: u8) -> Act {
    Act::Append(AppendMessage::text(id(name), Role::User, format!("message {name}")))
}

pub fn say_below(parent: u8, name: u8) -> Act {
    Act::Append(AppendMessage::text(id(name), Role::User, format!("message {name}")).below(Below::Message(id(parent))))
}

/// A tag whose token is made of its first letters: what the vault does with a key.
pub fn tag(word: &str) -> Tag {
    let mut token = [0; 16];
    token.iter_mut().zip(word.bytes()).for_each(|(to, from)| *to = from);
    Tag { token: Token(token), word: word.to_owned() }
}

pub fn tagged_with<const N: usize>(words: [&str; N]) -> Event {
    let tags = words.map(tag);
    let tokens = tags.iter().map(|tag| tag.token).collect();
    ConversationTagged { tokens, tags: Private::Known(tags.iter().map(|tag| tag.word.clone()).collect()) }.into()
}
