//! The rules against a naive model that copies whole branches: random histories, command by command.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use convoledger::event::{
    BranchNumber, ConversationId, Event, EventId, MessageId, Part, PartKind, Rating, Role, SnapshotPolicy, Token,
    Version,
};
use convoledger::ledger::{
    Act, AppendMessage, Below, Circumstances, Command, Conversation, CreateBranch, EditMessage, Graft, Grafted,
    Happened, Refusal, Restore, Start, Tag, TakeSnapshot, decide, evolve,
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
    abandoned: Vec<bool>,
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

    fn open(&self, branch: BranchNumber) -> Result<usize, Refusal> {
        let index = self.branch(branch)?;
        if self.abandoned[index] { Err(Refusal::BranchAbandoned { branch }) } else { Ok(index) }
    }

    /// The branch that ends where `path` does: the preferred one first; a new one when none does.
    fn continuing(&self, path: &[MessageId]) -> usize {
        if self.branches.get(self.preferred).is_some_and(|branch| branch == path) {
            return self.preferred;
        }
        let goes_on = |index: &usize| self.branches[*index] == path && !self.abandoned[*index];
        (0..self.branches.len()).find(goes_on).unwrap_or(self.branches.len())
    }

    fn below(&self, below: Below) -> Result<(usize, Vec<MessageId>), Refusal> {
        Ok(match below {
            Below::Preferred => (self.preferred, self.branches[self.preferred].clone()),
            Below::Branch(branch) => {
                let branch = self.open(branch)?;
                (branch, self.branches[branch].clone())
            }
            Below::Message(above) => {
                let path = self.path(above)?;
                (self.continuing(&path), path)
            }
            Below::Root => (self.continuing(&[]), Vec::new()),
        })
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
            self.abandoned.push(false);
        } else {
            self.branches[branch] = path;
        }
        Ok(())
    }

    fn free(&self, name: &Tag, except: Option<usize>) -> Result<(), Refusal> {
        let taken = (0..self.names.len()).any(|index| self.names[index] == Some(name.token) && Some(index) != except);
        if taken || name.word == "main" { Err(Refusal::BranchNameTaken) } else { Ok(()) }
    }

    fn restore(&mut self, then: &Self) {
        for index in 0..self.branches.len() {
            if index < then.branches.len() {
                self.branches[index].clone_from(&then.branches[index]);
                self.names[index] = then.names[index];
                self.abandoned[index] = then.abandoned[index];
            } else {
                self.abandoned[index] = true;
                self.names[index] = self.names[index].filter(|name| !then.names.contains(&Some(*name)));
            }
        }
        self.hidden.retain(|message| !then.paths.contains_key(message));
        self.hidden.extend(&then.hidden);
        self.ratings.retain(|message, _| !then.paths.contains_key(message));
        self.ratings.extend(&then.ratings);
        self.tags.clone_from(&then.tags);
        self.model.clone_from(&then.model);
        (self.favorited, self.archived, self.preferred) = (then.favorited, then.archived, then.preferred);
    }

    /// What becomes of it by `act`, when `past` is what it was after every act so far.
    fn carry_out(&mut self, act: Act, past: &[(Conversation, Self)]) -> Result<(), Refusal> {
        match &act {
            Act::Start(_) if self.started => return Err(Refusal::AlreadyStarted),
            Act::Start(_) => {}
            _ if !self.started => return Err(Refusal::NotStarted),
            Act::Delete | Act::Undelete | Act::ForgetMessage { .. } | Act::ForgetConversation => {}
            _ if self.deleted => return Err(Refusal::Deleted),
            Act::Append(_) | Act::Edit(_) | Act::CreateBranch(_) | Act::Graft(_) if self.archived => {
                return Err(Refusal::Archived);
            }
            _ => {}
        }
        match act {
            Act::Start(start) => {
                self.started = true;
                self.model = start.model;
                self.branches = vec![Vec::new()];
                self.names = vec![None];
                self.abandoned = vec![false];
            }
            Act::ForgetMessage { message } => drop(self.path(message)?),
            Act::ForgetConversation
            | Act::SetTitle { .. }
            | Act::TakeSnapshot(_)
            | Act::ThinSnapshots { .. }
            | Act::ConfigureSnapshots(_) => {}
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
                let (branch, path) = self.below(append.below)?;
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
                self.abandoned.push(false);
            }
            Act::RenameBranch { branch, name } => {
                let branch = self.branch(branch)?;
                if self.names[branch] != Some(name.token) {
                    self.free(&name, Some(branch))?;
                    self.names[branch] = Some(name.token);
                }
            }
            Act::PreferBranch { branch } => self.preferred = self.open(branch)?,
            Act::AbandonBranch { branch } => {
                let index = self.branch(branch)?;
                if index == self.preferred {
                    return Err(Refusal::BranchPreferred { branch });
                }
                self.abandoned[index] = true;
            }
            Act::ResumeBranch { branch } => {
                let index = self.branch(branch)?;
                self.abandoned[index] = false;
            }
            Act::ChooseBranch { branch, over } => {
                self.preferred = self.open(branch)?;
                let over: BTreeSet<_> = over.into_iter().filter(|other| *other != branch).collect();
                if over.is_empty() {
                    return Err(Refusal::Empty { what: "what the branch was chosen over" });
                }
                for other in over {
                    self.branch(other)?;
                }
            }
            Act::Graft(graft) => {
                let (branch, mut path) = self.below(graft.onto)?;
                for grafted in graft.run {
                    self.said(branch, path.clone(), grafted.id)?;
                    path.push(grafted.id);
                }
            }
            Act::Restore(restore) => {
                let (to, version) = (restore.to, past.last().map(|(state, _)| state.version).unwrap_or_default());
                if to < Version(1) || to >= version {
                    return Err(Refusal::NoEarlierVersion { to, version });
                }
                let then = past.iter().find(|(state, _)| state.version == to).expect("it was that once");
                self.restore(&then.1);
            }
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
            tags: state.tags.keys().copied().collect(),
            model: state.model.clone(),
            preferred: usize::try_from(state.preferred.0 - 1).unwrap_or_default(),
            branches: state.branches.iter().map(|branch| state.tree.path(branch.tip)).collect(),
            names: state.branches.iter().map(|branch| branch.name).collect(),
            abandoned: state.branches.iter().map(|branch| branch.abandoned).collect(),
            paths: messages.iter().filter_map(path).collect(),
            hidden: messages
                .iter()
                .filter(|m| place(m).is_some_and(|at| state.hidden.contains(&at)))
                .copied()
                .collect(),
            ratings: messages
                .iter()
                .filter_map(|message| Some((*message, state.ratings.get(&place(message)?)?.rating?)))
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

/// Any act. One that goes back names a moment by a small number: [`back`] makes it a version.
pub fn act() -> impl Strategy<Value = Act> {
    let branch = || (1..5).prop_map(BranchNumber);
    let policy = (prop::option::of(any::<bool>()), prop::option::of(any::<bool>()));
    prop_oneof![
        60 => plain(),
        4 => (0..200).prop_map(|moment| Act::Restore(Restore { to: Version(moment), then: Arc::default() })),
        3 => branch().prop_map(|branch| Act::AbandonBranch { branch }),
        2 => branch().prop_map(|branch| Act::ResumeBranch { branch }),
        2 => (branch(), prop::collection::vec(branch(), 0..3))
            .prop_map(|(branch, over)| Act::ChooseBranch { branch, over }),
        3 => (below(), prop::collection::vec(grafted(), 1..4)).prop_map(|(onto, run)| Act::Graft(Graft { onto, run })),
        2 => (1..9_u128).prop_map(|id| {
            let id = EventId(Uuid::from_u128(id));
            Act::TakeSnapshot(TakeSnapshot { id, label: Some("here".into()), files: Vec::new() })
        }),
        1 => prop::collection::vec(1..9_u128, 1..3).prop_map(|ids| {
            let snapshots = ids.into_iter().map(|id| EventId(Uuid::from_u128(id))).collect();
            Act::ThinSnapshots { snapshots }
        }),
        1 => policy.prop_map(|(auto_hourly, before_change)| {
            Act::ConfigureSnapshots(SnapshotPolicy { auto_hourly, before_change, ..SnapshotPolicy::default() })
        }),
    ]
}

fn grafted() -> impl Strategy<Value = Grafted> {
    message().prop_map(|id| Grafted {
        id,
        conversation: ConversationId(Uuid::from_u128(1)),
        message: id,
        role: Role::Assistant,
        shape: vec![PartKind::Text],
        language: None,
        model: Some("m".into()),
        provider: None,
        finish_reason: None,
    })
}

/// `act`, going back to one of the moments in `past` if it goes back at all.
pub fn back<'p>(act: Act, past: impl ExactSizeIterator<Item = &'p Conversation>) -> Act {
    let Act::Restore(Restore { to, .. }) = act else { return act };
    let moments = past.len().max(1);
    let then = past.into_iter().nth(usize::try_from(to.0).expect("from 0") % moments);
    let then = Arc::new(then.cloned().unwrap_or_default());
    Act::Restore(Restore { to: then.version, then })
}

/// An act of everyday.
pub fn plain() -> impl Strategy<Value = Act> {
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

/// A moment at which nothing happens by itself.
pub fn calm() -> Circumstances {
    Circumstances { now: now(), automatic: None }
}

/// What happened as it comes back from the log: through its wire form, words gone.
pub fn reread(happened: &Happened) -> Happened {
    let Happened { occurred_at, event } = happened;
    let read = Event::read(event.kind(), event.version(), id_of(event), event.place(), &event.facts());
    Happened { occurred_at: *occurred_at, event: read.expect("what is written can be read") }
}

/// The id that an event names itself; none for most.
pub fn id_of(event: &Event) -> EventId {
    match event {
        Event::MessageAppended(appended) => appended.id.into(),
        Event::SnapshotTaken(taken) => taken.id,
        _ => EventId::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn histories_equal_those_of_a_model_that_copies_whole_branches(acts in prop::collection::vec(act(), 1..80)) {
        let messages: Vec<MessageId> = (1..24).map(|name| MessageId(Uuid::from_u128(name))).collect();
        let (mut state, mut model) = (Conversation::default(), Model::default());
        let mut acts = acts;
        acts.insert(0, Act::Start(Start::default()));
        let mut past = Vec::new();
        for act in acts {
            let before = model.clone();
            let act = back(act, past.iter().map(|(state, _)| state));
            let expected = model.carry_out(act.clone(), &past);
            let decided = decide(&state, Command::from(act), &calm());
            match (decided, expected) {
                (Ok(happened), Ok(())) => {
                    for happened in &happened {
                        let (known, reread) = (evolve(state.clone(), happened), reread(happened));
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
            if past.last().is_none_or(|(last, _): &(Conversation, Model)| last.version < state.version) {
                past.push((state.clone(), model.clone()));
            }
        }
    }

    #[test]
    fn undeleting_gives_back_exactly_what_was_there(acts in prop::collection::vec(plain(), 1..60)) {
        let take = |state: Conversation, act: Act| match decide(&state, Command::from(act), &calm()) {
            Ok(happened) => happened.iter().fold(state, evolve),
            Err(_) => state,
        };
        let state = acts.into_iter().fold(take(Conversation::default(), Act::Start(Start::default())), take);
        let state = take(state, Act::Undelete);
        let mut back = take(take(state.clone(), Act::Delete), Act::Undelete);
        prop_assert!(back.version > state.version);
        back.version = state.version;
        back.snapshots.went_on = state.snapshots.went_on;
        prop_assert_eq!(back, state);
    }
}
