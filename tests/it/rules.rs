//! The rules against a naive model that copies whole branches: random histories, command by command.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use convoledger::event::{BranchNumber, Event, EventId, MessageId, Part, Rating, Role, Token};
use convoledger::ledger::{
    Act, AppendMessage, Below, Command, Conversation, CreateBranch, EditMessage, Refusal, Start, Tag, decide, evolve,
};
use proptest::prelude::*;
use uuid::Uuid;

/// A conversation as someone would keep it who copies the whole path for every branch and every message.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    started: bool,
    favorited: bool,
    archived: bool,
    deleted: bool,
    tags: BTreeSet<Token>,
    model: Option<String>,
    preferred: usize,
    branches: Vec<Vec<MessageId>>,
    names: Vec<Option<Token>>,
    /// Every message with the whole path that leads to it, itself included.
    paths: BTreeMap<MessageId, Vec<MessageId>>,
    hidden: BTreeSet<MessageId>,
    ratings: BTreeMap<MessageId, Rating>,
}

impl Model {
    fn path(&self, message: MessageId) -> Result<Vec<MessageId>, Refusal> {
        self.paths.get(&message).cloned().ok_or(Refusal::NoSuchMessage { message })
    }

    fn branch(&self, branch: BranchNumber) -> Result<usize, Refusal> {
        usize::try_from(branch.0 - 1)
            .ok()
            .filter(|index| *index < self.branches.len())
            .ok_or(Refusal::NoSuchBranch { branch })
    }

    /// The branch that ends where `path` does: the preferred one first; a new one when none does.
    fn continuing(&self, path: &[MessageId]) -> usize {
        if self.branches.get(self.preferred).is_some_and(|branch| branch == path) {
            return self.preferred;
        }
        self.branches.iter().position(|branch| branch == path).unwrap_or(self.branches.len())
    }

    fn said(&mut self, branch: usize, mut path: Vec<MessageId>, id: MessageId) -> Result<(), Refusal> {
        if self.paths.contains_key(&id) {
            return Err(Refusal::MessageExists { message: id });
        }
        path.push(id);
        self.paths.insert(id, path.clone());
        if branch == self.branches.len() {
            self.branches.push(path);
            self.names.push(None);
        } else {
            self.branches[branch] = path;
        }
        Ok(())
    }

    fn free(&self, name: &Tag, except: Option<usize>) -> Result<(), Refusal> {
        let taken = (0..self.names.len()).any(|index| self.names[index] == Some(name.token) && Some(index) != except);
        if taken || name.word == "main" { Err(Refusal::BranchNameTaken) } else { Ok(()) }
    }

    fn carry_out(&mut self, act: Act) -> Result<(), Refusal> {
        match &act {
            Act::Start(_) if self.started => return Err(Refusal::AlreadyStarted),
            Act::Start(_) => {}
            _ if !self.started => return Err(Refusal::NotStarted),
            Act::Delete | Act::Undelete => {}
            _ if self.deleted => return Err(Refusal::Deleted),
            Act::Append(_) | Act::Edit(_) | Act::CreateBranch(_) if self.archived => return Err(Refusal::Archived),
            _ => {}
        }
        match act {
            Act::Start(start) => {
                self.started = true;
                self.model = start.model;
                self.branches = vec![Vec::new()];
                self.names = vec![None];
            }
            Act::SetTitle { .. } => {}
            Act::Favorite => self.favorited = true,
            Act::Unfavorite => self.favorited = false,
            Act::Tag { tags } => self.tags.extend(tags.iter().map(|tag| tag.token)),
            Act::Untag { tokens } => self.tags.retain(|tag| !tokens.contains(tag)),
            Act::Archive => self.archived = true,
            Act::Unarchive => self.archived = false,
            Act::Delete => self.deleted = true,
            Act::Undelete => self.deleted = false,
            Act::SwitchModel { model, .. } => self.model = Some(model),
            Act::Append(append) => {
                let (branch, path) = match append.below {
                    Below::Preferred => (self.preferred, self.branches[self.preferred].clone()),
                    Below::Branch(branch) => {
                        let branch = self.branch(branch)?;
                        (branch, self.branches[branch].clone())
                    }
                    Below::Message(above) => {
                        let path = self.path(above)?;
                        (self.continuing(&path), path)
                    }
                    Below::Root => (self.continuing(&[]), Vec::new()),
                };
                self.said(branch, path, append.id)?;
            }
            Act::Edit(edit) => {
                let mut path = self.path(edit.message)?;
                path.pop();
                self.said(self.branches.len(), path, edit.id)?;
            }
            Act::Hide { message } => {
                self.path(message)?;
                self.hidden.insert(message);
            }
            Act::Unhide { message } => {
                self.path(message)?;
                self.hidden.remove(&message);
            }
            Act::Rate { message, rating, .. } => {
                self.path(message)?;
                match rating {
                    Some(rating) => self.ratings.insert(message, rating),
                    None => self.ratings.remove(&message),
                };
            }
            Act::CreateBranch(create) => {
                let path = self.path(create.from)?;
                self.free(&create.name, None)?;
                self.branches.push(path);
                self.names.push(Some(create.name.token));
            }
            Act::RenameBranch { branch, name } => {
                let branch = self.branch(branch)?;
                if self.names[branch] != Some(name.token) {
                    self.free(&name, Some(branch))?;
                    self.names[branch] = Some(name.token);
                }
            }
            Act::PreferBranch { branch } => self.preferred = self.branch(branch)?,
        }
        Ok(())
    }

    /// The real state, told in the model's words.
    fn of(state: &Conversation, messages: &[MessageId]) -> Self {
        let place = |message: &MessageId| state.tree.place(*message);
        let path = |message: &MessageId| place(message).map(|at| (*message, state.tree.path(Some(at))));
        Self {
            started: state.started,
            favorited: state.favorited,
            archived: state.archived,
            deleted: state.deleted,
            tags: state.tags.clone(),
            model: state.model.clone(),
            preferred: usize::try_from(state.preferred.0 - 1).unwrap_or_default(),
            branches: state.branches.iter().map(|branch| state.tree.path(branch.tip)).collect(),
            names: state.branches.iter().map(|branch| branch.name).collect(),
            paths: messages.iter().filter_map(path).collect(),
            hidden: messages
                .iter()
                .filter(|m| place(m).is_some_and(|at| state.hidden.contains(&at)))
                .copied()
                .collect(),
            ratings: messages
                .iter()
                .filter_map(|message| Some((*message, *state.ratings.get(&place(message)?)?)))
                .collect(),
        }
    }
}

/// Few names, so that commands meet each other.
fn message() -> impl Strategy<Value = MessageId> {
    (1..24_u128).prop_map(|name| MessageId(Uuid::from_u128(name)))
}

fn tag() -> impl Strategy<Value = Tag> {
    prop_oneof![Just("main"), Just("one"), Just("two"), Just("three")].prop_map(|word| {
        let mut token = [0; 16];
        token[..word.len()].copy_from_slice(word.as_bytes());
        Tag { token: Token(token), word: word.to_owned() }
    })
}

fn below() -> impl Strategy<Value = Below> {
    prop_oneof![
        4 => Just(Below::Preferred),
        2 => (1..5).prop_map(|number| Below::Branch(BranchNumber(number))),
        5 => message().prop_map(Below::Message),
        1 => Just(Below::Root),
    ]
}

pub fn act() -> impl Strategy<Value = Act> {
    let append = (message(), below(), "[a-z]{1,6}");
    let rating = prop_oneof![Just(Some(Rating::Up)), Just(Some(Rating::Down)), Just(None)];
    prop_oneof![
        3 => Just(Act::Start(Start { model: Some("m".into()), ..Start::default() })),
        20 => append.prop_map(|(id, below, text)| Act::Append(AppendMessage::text(id, Role::User, text).below(below))),
        5 => (message(), message()).prop_map(|(id, message)| {
            Act::Edit(EditMessage { id, message, parts: vec![Part::text("again")] })
        }),
        2 => message().prop_map(|message| Act::Hide { message }),
        2 => message().prop_map(|message| Act::Unhide { message }),
        2 => (message(), rating).prop_map(|(message, rating)| Act::Rate { message, rating, comment: None }),
        3 => (message(), tag()).prop_map(|(from, name)| Act::CreateBranch(CreateBranch { from, name })),
        2 => (1..5, tag()).prop_map(|(number, name)| Act::RenameBranch { branch: BranchNumber(number), name }),
        2 => (1..5).prop_map(|number| Act::PreferBranch { branch: BranchNumber(number) }),
        2 => prop::collection::vec(tag(), 1..3).prop_map(|tags| Act::Tag { tags }),
        1 => tag().prop_map(|tag| Act::Untag { tokens: vec![tag.token] }),
        1 => prop_oneof![
            Just(Act::Favorite), Just(Act::Unfavorite), Just(Act::Archive), Just(Act::Unarchive), Just(Act::Delete),
            Just(Act::Undelete), Just(Act::SetTitle { title: "t".into() }),
            Just(Act::SwitchModel { model: "other".into(), provider: None }),
        ],
        1 => Just(Act::Undelete),
        1 => Just(Act::Unarchive),
    ]
}

pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).expect("a time in range")
}

/// An event as it comes back from the log: through its wire form, words gone.
fn reread(event: &Event) -> Event {
    let id = if let Event::MessageAppended(appended) = event { appended.id.into() } else { EventId::default() };
    Event::read(event.kind(), event.version(), id, event.place(), event.facts()).expect("what is written can be read")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn histories_equal_those_of_a_model_that_copies_whole_branches(acts in prop::collection::vec(act(), 1..80)) {
        let messages: Vec<MessageId> = (1..24).map(|name| MessageId(Uuid::from_u128(name))).collect();
        let (mut state, mut model) = (Conversation::default(), Model::default());
        let mut acts = acts;
        acts.insert(0, Act::Start(Start::default()));
        for act in acts {
            let before = model.clone();
            let expected = model.carry_out(act.clone());
            let decided = decide(&state, Command::from(act), now());
            match (decided, expected) {
                (Ok(happened), Ok(())) => {
                    for happened in &happened {
                        let (known, reread) = (evolve(state.clone(), &happened.event), reread(&happened.event));
                        state = evolve(state, &reread);
                        prop_assert_eq!(&known, &state, "facts alone fold to the same state");
                    }
                    prop_assert!(!happened.is_empty() || model == before, "what changes something is recorded");
                }
                (Err(refusal), Err(reason)) => {
                    model = before;
                    prop_assert_eq!(refusal, reason);
                }
                (decided, expected) => prop_assert!(false, "decided {:?}, expected {:?}", decided, expected),
            }
            prop_assert_eq!(Model::of(&state, &messages), model.clone());
        }
    }

    #[test]
    fn undeleting_gives_back_exactly_what_was_there(acts in prop::collection::vec(act(), 1..60)) {
        let take = |state: Conversation, act: Act| match decide(&state, Command::from(act), now()) {
            Ok(happened) => happened.iter().fold(state, |state, happened| evolve(state, &happened.event)),
            Err(_) => state,
        };
        let state = acts.into_iter().fold(take(Conversation::default(), Act::Start(Start::default())), take);
        let state = take(state, Act::Undelete);
        let mut back = take(take(state.clone(), Act::Delete), Act::Undelete);
        prop_assert!(back.version > state.version);
        back.version = state.version;
        prop_assert_eq!(back, state);
    }
}
