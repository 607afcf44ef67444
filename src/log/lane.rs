//! One call of the lane (`migrations/0004_append.sql`): commands as the arrays it takes, and the answers out of its row.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgHasArrayType, PgTypeInfo};
use sqlx::{PgConnection, Postgres, Row as _};
use uuid::Uuid;

use super::append::{Answer, Append, Appended, Expected, NewEvent};
use super::{Fact, digest};
use crate::event::{Position, StreamId, Version};

/// Commands on their way. Hashing is done when one is made, in its caller's task.
#[derive(Default)]
pub(super) struct Call {
    command_owner: Vec<Uuid>,
    command_id: Vec<Uuid>,
    command_digest: Vec<Option<[u8; 16]>>,
    command_events: Vec<i32>,
    target_command: Vec<i32>,
    target_stream: Vec<Uuid>,
    target_expected: Vec<i32>,
    events: Vec<EventRow>,
    words: Vec<WordsRow>,
}

/// `new_event` in SQL, field by field.
#[derive(sqlx::Encode)]
struct EventRow {
    /// Its target, from 1.
    target: i32,
    /// Which event of its target, from 1.
    offset: i32,
    /// Which event of its command, from 0.
    nth: i16,
    id: Uuid,
    actor: Uuid,
    correlation: Option<Uuid>,
    causation: Option<Uuid>,
    occurred_at: DateTime<Utc>,
    segment: Option<i32>,
    depth: Option<i32>,
    kind: &'static str,
    kind_version: i16,
    body: String,
    words_digest: Option<Vec<u8>>,
    digest: [u8; 32],
}

/// `new_words` in SQL, field by field.
#[derive(sqlx::Encode)]
struct WordsRow {
    /// Its command, from 1.
    command: i32,
    /// Its event, from 1.
    event: i32,
    part: i16,
    subject: Uuid,
    generation: i32,
    nonce: [u8; 24],
    ciphertext: Vec<u8>,
}

impl sqlx::Type<Postgres> for EventRow {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("new_event")
    }
}

impl PgHasArrayType for EventRow {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("new_event")
    }
}

impl sqlx::Type<Postgres> for WordsRow {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("new_words")
    }
}

impl PgHasArrayType for WordsRow {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("new_words")
    }
}

impl Call {
    /// A call with one command.
    pub(super) fn of(append: Append) -> Self {
        let mut call = Self {
            command_owner: vec![append.owner.0],
            command_id: vec![append.command.0],
            command_digest: vec![append.command_digest],
            command_events: vec![count(append.events())],
            events: Vec::with_capacity(append.events()),
            ..Self::default()
        };
        for target in append.targets {
            call.target_command.push(1);
            call.target_stream.push(target.stream.0);
            call.target_expected.push(match target.expected {
                Expected::Any => -1,
                Expected::Exists => -2,
                Expected::None => 0,
                Expected::Exact(version) => version.0,
            });
            for (offset, event) in (1..).zip(target.events) {
                let nth = i16::try_from(call.events.len()).unwrap_or(i16::MAX);
                let NewEvent { id, kind, kind_version, occurred_at, place, body, words, gone } = event;
                let fact = Fact {
                    owner: append.owner,
                    stream: target.stream,
                    id,
                    command: append.command,
                    command_nth: nth,
                    command_digest: append.command_digest.filter(|_| nth == 0),
                    actor: append.actor,
                    correlation: append.correlation,
                    causation: append.causation,
                    occurred_at,
                    kind: kind.to_owned(),
                    kind_version,
                    place,
                    words_digest: digest::words_column(&words, &gone),
                    body,
                };
                call.events.push(EventRow {
                    target: count(call.target_stream.len()),
                    offset,
                    nth,
                    id: id.0,
                    actor: append.actor.0,
                    correlation: append.correlation,
                    causation: append.causation.map(|id| id.0),
                    occurred_at,
                    segment: place.map(|at| at.segment.0),
                    depth: place.map(|at| at.depth.0),
                    kind,
                    kind_version,
                    digest: digest::event(&fact),
                    body: digest::canonical(&fact.body),
                    words_digest: Some(fact.words_digest).filter(|digest| !digest.is_empty()),
                });
                call.words.extend(words.into_iter().map(|sealed| WordsRow {
                    command: 1,
                    event: count(call.events.len()),
                    part: sealed.part.into(),
                    subject: sealed.subject.0,
                    generation: i32::try_from(sealed.generation).unwrap_or(i32::MAX),
                    nonce: sealed.nonce,
                    ciphertext: sealed.ciphertext,
                }));
            }
        }
        call
    }

    pub(super) fn commands(&self) -> usize {
        self.command_id.len()
    }

    /// Puts the commands of `other` behind its own.
    pub(super) fn join(&mut self, other: Self) {
        let (commands, targets, events) =
            (count(self.command_id.len()), count(self.target_stream.len()), count(self.events.len()));
        self.command_owner.extend(other.command_owner);
        self.command_id.extend(other.command_id);
        self.command_digest.extend(other.command_digest);
        self.command_events.extend(other.command_events);
        self.target_command.extend(other.target_command.into_iter().map(|command| command + commands));
        self.target_stream.extend(other.target_stream);
        self.target_expected.extend(other.target_expected);
        self.events.extend(other.events.into_iter().map(|event| EventRow { target: event.target + targets, ..event }));
        self.words.extend(other.words.into_iter().map(|words| WordsRow {
            command: words.command + commands,
            event: words.event + events,
            ..words
        }));
    }

    /// Each of its commands alone, in order.
    pub(super) fn split(self) -> Vec<Self> {
        let mut targets = self.target_command.into_iter().zip(self.target_stream).zip(self.target_expected).peekable();
        let (mut events, mut words) = (self.events.into_iter(), self.words.into_iter().peekable());
        let (mut targets_before, mut events_before) = (0, 0);
        let commands = self.command_owner.into_iter().zip(self.command_id).zip(self.command_digest);
        let commands = (1..).zip(commands).zip(self.command_events);
        let alone = commands.map(|((nth, ((owner, id), digest)), size)| {
            let mut call = Self {
                command_owner: vec![owner],
                command_id: vec![id],
                command_digest: vec![digest],
                command_events: vec![size],
                ..Self::default()
            };
            while let Some(((_, stream), expected)) = targets.next_if(|((command, _), _)| *command == nth) {
                call.target_command.push(1);
                call.target_stream.push(stream);
                call.target_expected.push(expected);
            }
            let own = events.by_ref().take(usize::try_from(size).unwrap_or_default());
            call.events.extend(own.map(|event| EventRow { target: event.target - targets_before, ..event }));
            while let Some(part) = words.next_if(|words| words.command == nth) {
                call.words.push(WordsRow { command: 1, event: part.event - events_before, ..part });
            }
            targets_before += count(call.target_stream.len());
            events_before += size;
            call
        });
        alone.collect()
    }

    /// Calls the lane. One answer a command, in order. With `look`, commands without a name are looked for too, because
    /// the call failed and may have failed on a repeat; and if it was `tried` before and not answered, what it put there
    /// then is its own, while what another call put there under the same name is still a repeat.
    pub(super) async fn make(
        &self,
        look: bool,
        tried: bool,
        connection: &mut PgConnection,
    ) -> Result<Vec<Answer>, sqlx::Error> {
        let row = sqlx::query(include_str!("sql/append.sql"))
            .bind(look || tried || self.command_digest.iter().any(Option::is_some))
            .bind(&self.command_owner)
            .bind(&self.command_id)
            .bind(&self.command_digest)
            .bind(&self.command_events)
            .bind(&self.target_command)
            .bind(&self.target_stream)
            .bind(&self.target_expected)
            .bind(&self.events)
            .bind(&self.words)
            .fetch_one(&mut *connection)
            .await?;
        let (head, verdicts, versions): (i64, Vec<i32>, Vec<i32>) = (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?);
        let recorded_at: DateTime<Utc> = row.try_get(1)?;
        let mut last = Position(head);
        let mut answers = Vec::with_capacity(verdicts.len());
        let mut targets = (0..versions.len()).peekable();
        for (command, verdict) in (1..).zip(verdicts) {
            let mut own = Vec::new();
            while let Some(target) = targets.next_if(|target| self.target_command[*target] == command) {
                own.push(target);
            }
            let answer = match verdict {
                0 => {
                    let first = last.next();
                    last = Position(last.0 + i64::from(self.command_events[answers.len()]));
                    let before = own.iter().map(|&target| Version(versions[target])).collect();
                    Answer::Appended(Appended { first, last, recorded_at, before })
                }
                1 | 2 => match self.seen(answers.len(), &own, verdict == 1, connection).await? {
                    (Answer::Repeated(done), id) if tried && self.begins_with(answers.len(), id) => {
                        Answer::Appended(done)
                    }
                    (answer, _) => answer,
                },
                4 => Answer::Closed,
                _ => {
                    let late = own.iter().find(|&&target| !met(self.target_expected[target], versions[target]));
                    let &late = late.ok_or_else(old_function)?;
                    let stream = StreamId(self.target_stream[late]);
                    Answer::Conflict { stream, version: Version(versions[late]) }
                }
            };
            answers.push(answer);
        }
        if answers.len() == self.commands() { Ok(answers) } else { Err(old_function()) }
    }

    /// Whether the first event of a command has this id.
    fn begins_with(&self, command: usize, id: Uuid) -> bool {
        let before: i32 = self.command_events[..command].iter().sum();
        usize::try_from(before).is_ok_and(|first| self.events.get(first).is_some_and(|event| event.id == id))
    }

    /// The answer to a command whose id is in the log: its first one, or that the id is another's. With it comes the id
    /// of the event that the log has there.
    async fn seen(
        &self,
        command: usize,
        targets: &[usize],
        same: bool,
        connection: &mut PgConnection,
    ) -> Result<(Answer, Uuid), sqlx::Error> {
        let streams: Vec<Uuid> = targets.iter().map(|&target| self.target_stream[target]).collect();
        let events = self.command_events[command];
        let row = sqlx::query(include_str!("sql/command_seen.sql"))
            .bind(self.command_owner[command])
            .bind(self.command_id[command])
            .bind(streams)
            .bind(events)
            .fetch_one(connection)
            .await?;
        let (first, id) = (Position(row.try_get(0)?), row.try_get(3)?);
        if !same {
            return Ok((Answer::Reused { first }, id));
        }
        let last = Position(first.0 + i64::from(events) - 1);
        let before = row.try_get::<Vec<i32>, _>(2)?.into_iter().map(Version).collect();
        Ok((Answer::Repeated(Appended { first, last, recorded_at: row.try_get(1)?, before }), id))
    }
}

/// Whether a stream of this version is as the lane's number says it must be.
const fn met(expected: i32, version: i32) -> bool {
    match expected {
        -1 => true,
        -2 => version > 0,
        exactly => exactly == version,
    }
}

fn old_function() -> sqlx::Error {
    sqlx::Error::Protocol("the function `append` did not answer every command; run `convoledger migrate`".into())
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
