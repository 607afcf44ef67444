//! A command on its way into the log, and what the lane answers.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{Fact, digest};
use crate::event::{AccountId, CommandId, EventId, OwnerId, Place, Position, Sealed, StreamId, Version};

/// A command: events for one stream or several, appended all together or not at all.
#[derive(Debug, Clone)]
pub struct Append {
    pub owner: OwnerId,
    pub actor: AccountId,
    pub command: CommandId,
    /// Keyed digest of the command, when its caller named it: a repeat must say the same.
    pub command_digest: Option<[u8; 16]>,
    pub correlation: Option<Uuid>,
    pub causation: Option<EventId>,
    pub targets: Vec<Target>,
}

/// What goes to one stream.
#[derive(Debug, Clone)]
pub struct Target {
    pub stream: StreamId,
    pub expected: Expected,
    pub events: Vec<NewEvent>,
}

/// What a stream must be for an append to go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Any,
    /// It has no event yet.
    None,
    /// It has one at least.
    Exists,
    /// Its newest event is of this version: what was decided on a state is appended to that state.
    Exact(Version),
}

#[derive(Debug, Clone)]
pub struct NewEvent {
    pub id: EventId,
    pub kind: &'static str,
    pub kind_version: i16,
    pub occurred_at: DateTime<Utc>,
    pub place: Option<Place>,
    pub body: Value,
    pub words: Vec<Sealed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Appended(Appended),
    /// The same command went in before: its first answer. Its events follow one another from `first`; how many there
    /// were is for the reader to see, `last` supposes as many as this time.
    Repeated(Appended),
    /// Another command went in under this id.
    Reused {
        first: Position,
    },
    /// A stream was not as expected; `version` is what it is.
    Conflict {
        stream: StreamId,
        version: Version,
    },
    /// An event's id is taken by another event of this owner.
    IdTaken,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first event; the others follow in order.
    pub first: Position,
    pub last: Position,
    pub recorded_at: DateTime<Utc>,
    /// The version of each target's stream before.
    pub before: Vec<Version>,
}

/// An append that was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    #[error("more is waiting to be written than this server holds in memory; try again in {retry_after_s} s")]
    Full { retry_after_s: u64 },
    #[error("the server is stopping and takes nothing more; try again in a moment")]
    Closed,
    #[error(
        "the database did not answer for {waited_s} s ({reason}), and whether the command was written is unknown; \
         repeat it under the same id"
    )]
    Unknown { waited_s: u64, reason: String },
    #[error("the command has {given} {what}, and one takes at most {max}; split it")]
    TooLarge { what: &'static str, given: usize, max: usize },
    #[error(
        "the facts of `{kind}` hold what has no canonical JSON form; this is a defect of convoledger, please report it"
    )]
    Inadmissible { kind: &'static str },
    #[error("the database refused the append: {0}")]
    Refused(String),
}

impl Answer {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Appended(_) => "appended",
            Self::Repeated(_) => "repeated",
            Self::Reused { .. } => "reused",
            Self::Conflict { .. } => "conflict",
            Self::IdTaken => "id_taken",
        }
    }
}

impl Append {
    pub(super) fn events(&self) -> usize {
        self.targets.iter().map(|target| target.events.len()).sum()
    }

    /// What it weighs in the queue, in bytes: words and a round figure for facts.
    pub(super) fn weight(&self) -> usize {
        const FACTS: usize = 400;
        let words = |event: &NewEvent| event.words.iter().map(|sealed| sealed.ciphertext.len()).sum::<usize>() + FACTS;
        self.targets.iter().flat_map(|target| &target.events).map(words).sum()
    }

    pub(super) fn admissible(&self) -> Result<(), AppendError> {
        let events = || self.targets.iter().flat_map(|target| &target.events);
        if events().count() == 0 || self.targets.iter().any(|target| target.events.is_empty()) {
            return Err(AppendError::TooLarge { what: "streams without events", given: 1, max: 0 });
        }
        match events().find(|event| !digest::admissible(&event.body)) {
            Some(event) => Err(AppendError::Inadmissible { kind: event.kind }),
            None => Ok(()),
        }
    }
}

/// The arrays of one call of the lane, filled command by command. Hashing is done here, in the caller's task.
#[derive(Default)]
pub(super) struct Columns {
    command_owner: Vec<Uuid>,
    command_id: Vec<Uuid>,
    command_digest: Vec<Option<Vec<u8>>>,
    command_events: Vec<i32>,
    target_command: Vec<i32>,
    target_stream: Vec<Uuid>,
    target_expected: Vec<i32>,
    event_target: Vec<i32>,
    event_offset: Vec<i32>,
    event_nth: Vec<i16>,
    event_id: Vec<Uuid>,
    event_actor: Vec<Uuid>,
    event_correlation: Vec<Option<Uuid>>,
    event_causation: Vec<Option<Uuid>>,
    event_occurred_at: Vec<DateTime<Utc>>,
    event_segment: Vec<Option<i32>>,
    event_depth: Vec<Option<i32>>,
    event_kind: Vec<&'static str>,
    event_kind_version: Vec<i16>,
    event_body: Vec<String>,
    event_words_digest: Vec<Option<Vec<u8>>>,
    event_digest: Vec<Vec<u8>>,
    words_event: Vec<i32>,
    words_part: Vec<i16>,
    words_subject: Vec<Uuid>,
    words_generation: Vec<i32>,
    words_nonce: Vec<Vec<u8>>,
    words_ciphertext: Vec<Vec<u8>>,
}

impl Columns {
    pub(super) fn of(append: Append) -> Self {
        let mut columns = Self::default();
        columns.command_owner.push(append.owner.0);
        columns.command_id.push(append.command.0);
        columns.command_digest.push(append.command_digest.map(|digest| digest.to_vec()));
        columns.command_events.push(count(append.events()));
        let mut nth = 0;
        for target in append.targets {
            columns.target_command.push(1);
            columns.target_stream.push(target.stream.0);
            columns.target_expected.push(match target.expected {
                Expected::Any => -1,
                Expected::Exists => -2,
                Expected::None => 0,
                Expected::Exact(version) => version.0,
            });
            for (offset, event) in target.events.into_iter().enumerate() {
                let fact = Fact {
                    owner: append.owner,
                    stream: target.stream,
                    id: event.id,
                    command: append.command,
                    command_nth: nth,
                    command_digest: append.command_digest.filter(|_| nth == 0),
                    actor: append.actor,
                    correlation: append.correlation,
                    causation: append.causation,
                    occurred_at: event.occurred_at,
                    kind: event.kind.to_owned(),
                    kind_version: event.kind_version,
                    place: event.place,
                    words_digest: digest::words_column(&event.words),
                    body: event.body,
                };
                columns.push(&fact, event.kind, count(offset + 1), event.words);
                nth += 1;
            }
        }
        columns
    }

    fn push(&mut self, fact: &Fact, kind: &'static str, offset: i32, words: Vec<Sealed>) {
        self.event_target.push(count(self.target_stream.len()));
        self.event_offset.push(offset);
        self.event_nth.push(fact.command_nth);
        self.event_id.push(fact.id.0);
        self.event_actor.push(fact.actor.0);
        self.event_correlation.push(fact.correlation);
        self.event_causation.push(fact.causation.map(|id| id.0));
        self.event_occurred_at.push(fact.occurred_at);
        self.event_segment.push(fact.place.map(|at| at.segment.0));
        self.event_depth.push(fact.place.map(|at| at.depth.0));
        self.event_kind.push(kind);
        self.event_kind_version.push(fact.kind_version);
        self.event_digest.push(digest::event(fact).to_vec());
        self.event_body.push(digest::canonical(&fact.body));
        self.event_words_digest.push((!fact.words_digest.is_empty()).then(|| fact.words_digest.clone()));
        for sealed in words {
            self.words_event.push(count(self.event_id.len()));
            self.words_part.push(sealed.part.into());
            self.words_subject.push(sealed.subject.0);
            self.words_generation.push(i32::try_from(sealed.generation).unwrap_or(i32::MAX));
            self.words_nonce.push(sealed.nonce.to_vec());
            self.words_ciphertext.push(sealed.ciphertext);
        }
    }

    /// The commands of all, one after the other.
    pub(super) fn merged<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut merged = Self::default();
        all.for_each(|columns| merged.extend(columns));
        merged
    }

    fn extend(&mut self, other: &Self) {
        fn shifted(numbers: &[i32], by: i32) -> impl Iterator<Item = i32> {
            numbers.iter().map(move |number| number + by)
        }
        let (commands, targets, events) =
            (count(self.command_id.len()), count(self.target_stream.len()), count(self.event_id.len()));
        self.command_owner.extend_from_slice(&other.command_owner);
        self.command_id.extend_from_slice(&other.command_id);
        self.command_digest.extend_from_slice(&other.command_digest);
        self.command_events.extend_from_slice(&other.command_events);
        self.target_command.extend(shifted(&other.target_command, commands));
        self.target_stream.extend_from_slice(&other.target_stream);
        self.target_expected.extend_from_slice(&other.target_expected);
        self.event_target.extend(shifted(&other.event_target, targets));
        self.event_offset.extend_from_slice(&other.event_offset);
        self.event_nth.extend_from_slice(&other.event_nth);
        self.event_id.extend_from_slice(&other.event_id);
        self.event_actor.extend_from_slice(&other.event_actor);
        self.event_correlation.extend_from_slice(&other.event_correlation);
        self.event_causation.extend_from_slice(&other.event_causation);
        self.event_occurred_at.extend_from_slice(&other.event_occurred_at);
        self.event_segment.extend_from_slice(&other.event_segment);
        self.event_depth.extend_from_slice(&other.event_depth);
        self.event_kind.extend_from_slice(&other.event_kind);
        self.event_kind_version.extend_from_slice(&other.event_kind_version);
        self.event_body.extend_from_slice(&other.event_body);
        self.event_words_digest.extend_from_slice(&other.event_words_digest);
        self.event_digest.extend_from_slice(&other.event_digest);
        self.words_event.extend(shifted(&other.words_event, events));
        self.words_part.extend_from_slice(&other.words_part);
        self.words_subject.extend_from_slice(&other.words_subject);
        self.words_generation.extend_from_slice(&other.words_generation);
        self.words_nonce.extend_from_slice(&other.words_nonce);
        self.words_ciphertext.extend_from_slice(&other.words_ciphertext);
    }

    /// Calls the lane. One answer a command, in order.
    pub(super) async fn call(&self, connection: &mut PgConnection) -> Result<Vec<Answer>, sqlx::Error> {
        let rows = sqlx::query(include_str!("sql/append.sql"))
            .bind(&self.command_owner)
            .bind(&self.command_id)
            .bind(&self.command_digest)
            .bind(&self.command_events)
            .bind(&self.target_command)
            .bind(&self.target_stream)
            .bind(&self.target_expected)
            .bind(&self.event_target)
            .bind(&self.event_offset)
            .bind(&self.event_nth)
            .bind(&self.event_id)
            .bind(&self.event_actor)
            .bind(&self.event_correlation)
            .bind(&self.event_causation)
            .bind(&self.event_occurred_at)
            .bind(&self.event_segment)
            .bind(&self.event_depth)
            .bind(&self.event_kind)
            .bind(&self.event_kind_version)
            .bind(&self.event_body)
            .bind(&self.event_words_digest)
            .bind(&self.event_digest)
            .bind(&self.words_event)
            .bind(&self.words_part)
            .bind(&self.words_subject)
            .bind(&self.words_generation)
            .bind(&self.words_nonce)
            .bind(&self.words_ciphertext)
            .fetch_all(connection)
            .await?;
        let mut answers: Vec<Option<Answer>> = vec![None; self.command_id.len()];
        for (target, row) in rows.iter().enumerate() {
            let command = usize::try_from(row.try_get::<i32, _>(0)? - 1).unwrap_or_default();
            let verdict = row.try_get::<i32, _>(1)?;
            // A repeat may name another stream than the first time, and has no version of that.
            let version = Version(row.try_get::<Option<i32>, _>(4)?.unwrap_or_default());
            let answer = &mut answers[command];
            match (verdict, answer) {
                (0 | 1, Some(Answer::Appended(done) | Answer::Repeated(done))) => done.before.push(version),
                (0 | 1, answer) => {
                    let first = Position(row.try_get(2)?);
                    let last = Position(first.0 + i64::from(self.command_events[command]) - 1);
                    let done = Appended { first, last, recorded_at: row.try_get(3)?, before: vec![version] };
                    *answer = Some(if verdict == 0 { Answer::Appended(done) } else { Answer::Repeated(done) });
                }
                (2, answer) => *answer = Some(Answer::Reused { first: Position(row.try_get(2)?) }),
                (_, answer) => {
                    let expected = self.target_expected[target];
                    let met = expected == -1 || expected == version.0 || expected == -2 && version.0 > 0;
                    if !met {
                        let stream = StreamId(self.target_stream[target]);
                        // The first of several is told.
                        answer.get_or_insert(Answer::Conflict { stream, version });
                    }
                }
            }
        }
        answers.into_iter().collect::<Option<_>>().ok_or_else(|| {
            sqlx::Error::Protocol(
                "the function `append` did not answer every command; run `convoledger migrate`".into(),
            )
        })
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
