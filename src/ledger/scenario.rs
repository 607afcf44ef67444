//! Given what happened, when this is asked, then that happens: the harness that rules are told in.

#![allow(clippy::needless_pass_by_value)] // a story reads better without ampersands

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Act, AppendMessage, Below, Command, Conversation, Refusal, Start, Tag, decide, evolve};
use crate::event::{
    ConversationDeleted, ConversationStarted, ConversationTagged, Event, MessageId, Private, Role, Token,
};

#[derive(Clone)]
pub struct Given(Conversation);
pub struct When(Result<Vec<Event>, Refusal>);

pub fn given<const N: usize>(history: [Event; N]) -> Given {
    Given(history.iter().fold(Conversation::default(), evolve))
}

impl Given {
    pub fn when(self, act: Act) -> When {
        let happened = decide(&self.0, Command::from(act), noon());
        When(happened.map(|happened| happened.into_iter().map(|happened| happened.event).collect()))
    }

    /// Goes on with what `act` becomes.
    pub fn and(self, act: Act) -> Self {
        let events = self.clone().when(act).events();
        Self(events.iter().fold(self.0, evolve))
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
