//! Random histories of several conversations, decided by the rules and written into the log as plain rows.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use convoledger::event::{
    ConversationId, Event, EventId, MessageId, OwnerId, Position, Role, Sealed, SubjectId, Usage, Version,
};
use convoledger::ledger::{
    Act, AppendMessage, Below, Command, Conversation, CreateBranch, EditMessage, Graft, Grafted, Start, TakeSnapshot,
    decide, evolve,
};
use proptest::prelude::*;
use rust_decimal::Decimal;
use sqlx::{Connection as _, PgPool};
use uuid::Uuid;

use crate::rules;
use crate::support::postgres::TestDatabase;

/// An act, on one of a few conversations of one of two owners.
#[derive(Debug, Clone)]
pub struct Asked {
    owner: u8,
    conversation: u8,
    act: Act,
    minute: i64,
    facts: Facts,
}

/// What a message says beside its words.
#[derive(Debug, Clone)]
struct Facts {
    role: Role,
    model: Option<String>,
    provider: Option<String>,
    usage: Option<Usage>,
    cost_usd: Option<Decimal>,
    latency_ms: Option<u64>,
}

impl Asked {
    /// The same with another act.
    pub fn map(self, other: impl FnOnce(Act) -> Act) -> Self {
        Self { act: other(self.act), ..self }
    }
}

pub fn asked() -> impl Strategy<Value = Asked> {
    let usage = prop::option::of((0..1_000_u64, prop::option::of(0..50_u64)).prop_map(|(input, cache)| Usage {
        input: Some(input),
        output: cache,
        cache_read: cache,
        cache_write_5m: cache,
        cache_write_1h: Some(1),
        reasoning: None,
    }));
    let cost = prop::option::of((0..100_000_i64, 0..9_u32).prop_map(|(units, scale)| Decimal::new(units, scale)));
    let named = |name: &'static str| prop::option::of((0..2_u8).prop_map(move |nth| format!("{name}{nth}")));
    let role = prop_oneof![Just(Role::User), Just(Role::Assistant)];
    let facts = (role, named("m"), named("p"), usage, cost, prop::option::of(0..9_000_u64)).prop_map(
        |(role, model, provider, usage, cost_usd, latency_ms)| Facts {
            role,
            model,
            provider,
            usage,
            cost_usd,
            latency_ms,
        },
    );
    // Most within a few hours, some within months, in which clocks are put forward and back.
    let minute = prop_oneof![3 => 0..500_i64, 1 => 0..400_000_i64];
    (0..2_u8, 0..3_u8, rules::act(), minute, facts).prop_map(|(owner, conversation, act, minute, facts)| Asked {
        owner,
        conversation,
        act,
        minute,
        facts,
    })
}

/// An event that the log is to hold.
#[derive(Debug, Clone)]
pub struct Told {
    pub owner: OwnerId,
    pub conversation: ConversationId,
    pub version: Version,
    pub id: EventId,
    pub occurred_at: DateTime<Utc>,
    pub event: Event,
}

#[derive(Debug, Default)]
pub struct History {
    pub told: Vec<Told>,
    pub states: BTreeMap<(OwnerId, ConversationId), Conversation>,
    /// What each was after every event.
    past: BTreeMap<(OwnerId, ConversationId), Vec<Conversation>>,
}

impl History {
    /// What becomes of `asked`. Each history has owners of its own, so that many can lie in one log.
    pub fn of(asked: Vec<Asked>) -> Self {
        let salt = convoledger::random::id();
        let mut history = Self::default();
        for Asked { owner, conversation, act, minute, facts } in asked {
            let owner = OwnerId(Uuid::new_v5(&salt, &[owner]));
            let conversation = ConversationId(Uuid::new_v5(&owner.0, &[conversation]));
            if !history.states.contains_key(&(owner, conversation)) {
                let start = Start { model: Some("m".into()), source: Some("test".into()), ..Start::default() };
                history.carry_out(owner, conversation, Act::Start(start), minute);
            }
            let act = match named(act, conversation) {
                Act::Append(message) => {
                    let Facts { role, model, provider, usage, cost_usd, latency_ms } = facts;
                    Act::Append(AppendMessage { role, model, provider, usage, cost_usd, latency_ms, ..message })
                }
                act => act,
            };
            history.carry_out(owner, conversation, act, minute);
        }
        history
    }

    /// Appends what `act` becomes, if it is not refused.
    pub fn carry_out(&mut self, owner: OwnerId, conversation: ConversationId, act: Act, minute: i64) {
        let state = self.states.entry((owner, conversation)).or_default();
        let occurred_at = Some(rules::now() - TimeDelta::minutes(minute));
        let past = self.past.entry((owner, conversation)).or_default();
        let act = rules::back(act, past.iter());
        let happened = decide(state, Command { occurred_at, act }, &rules::calm()).unwrap_or_default();
        // The log refuses an id that is taken, also by something of another kind.
        let taken = |event: &Event| {
            let id = rules::id_of(event);
            id != EventId::default() && self.told.iter().any(|told| told.owner == owner && told.id == id)
        };
        if happened.iter().any(|happened| taken(&happened.event)) {
            return;
        }
        for happened in happened {
            let named = rules::id_of(&happened.event);
            let id = if named == EventId::default() { EventId(convoledger::random::id()) } else { named };
            *state = evolve(std::mem::take(state), &happened);
            past.push(state.clone());
            let (version, occurred_at, event) = (state.version, happened.occurred_at, happened.event);
            self.told.push(Told { owner, conversation, version, id, occurred_at, event });
        }
    }

    /// Writes it behind what the log holds, and says where it stands: the position before it, and its last.
    pub async fn write(&self, pool: &PgPool) -> (Position, Position) {
        let before = head(pool).await;
        write(pool, before, &self.told).await;
        (before, Position(before.0 + i64::try_from(self.told.len()).expect("a count")))
    }

    /// Its events and where each stands, if it was written behind `before`.
    pub fn placed(&self, before: Position) -> impl Iterator<Item = (Position, &Told)> {
        (before.0 + 1..).map(Position).zip(&self.told)
    }
}

/// A conversation of `messages` messages.
pub fn chat(messages: u32) -> History {
    use convoledger::event::{MessageId, Role};
    use convoledger::ledger::{Act, AppendMessage, Start};
    let (owner, conversation) = (OwnerId(convoledger::random::id()), ConversationId(convoledger::random::id()));
    let mut history = History::default();
    history.carry_out(owner, conversation, Act::Start(Start::default()), 0);
    for _ in 0..messages {
        let message = AppendMessage::text(MessageId(convoledger::random::id()), Role::User, "hello");
        history.carry_out(owner, conversation, Act::Append(message), 0);
    }
    history
}

pub async fn head(pool: &PgPool) -> Position {
    let head = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM event").fetch_one(pool).await;
    Position(head.expect("the log answers"))
}

/// Writes events as rows, their words as if sealed.
pub async fn write(pool: &PgPool, before: Position, told: &[Told]) {
    const INSERT: &str = "
        INSERT INTO event (position, recorded_at, occurred_at, owner_id, id, stream_id, command_id, actor_id, version,
            segment, depth, kind_version, command_nth, kind, body, words_digest, leaf)
        SELECT $1 + nth, clock_timestamp(), occurred_at, owner_id, id, stream_id, id, owner_id, version, segment, depth, 1,
            0, kind, body, digest, decode(repeat('00', 32), 'hex')
        FROM unnest($2::timestamptz[], $3::uuid[], $4::uuid[], $5::uuid[], $6::int[], $7::int[], $8::int[], $9::text[],
            $10::jsonb[], $11::bytea[]) WITH ORDINALITY
            AS e (occurred_at, owner_id, id, stream_id, version, segment, depth, kind, body, digest, nth)";
    const WORDS: &str = "
        INSERT INTO words (position, owner_id, subject_id, generation, part, nonce, ciphertext)
        SELECT position, owner_id, owner_id, 1, part, decode(repeat('00', 24), 'hex'), ciphertext
        FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::bytea[]) AS w (position, owner_id, part, ciphertext)";
    let column = |digest: Vec<u8>| Some(digest).filter(|digest| !digest.is_empty());
    let digest = |told: &Told| {
        told.event.words().iter().flat_map(|words| [[words.part; 1].to_vec(), vec![0; 32]].concat()).collect()
    };
    sqlx::query(INSERT)
        .bind(before.0)
        .bind(told.iter().map(|told| told.occurred_at).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.owner.0).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.id.0).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.conversation.0).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.version.0).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.event.place().map(|place| place.segment.0)).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.event.place().map(|place| place.depth.0)).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.event.kind()).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.event.facts()).collect::<Vec<_>>())
        .bind(told.iter().map(|told| column(digest(told))).collect::<Vec<_>>())
        .execute(pool)
        .await
        .expect("the events are written");
    let mut words = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (position, told) in (before.0 + 1..).zip(told) {
        for said in told.event.words() {
            words.0.push(position);
            words.1.push(told.owner.0);
            words.2.push(i16::from(said.part));
            words.3.push(sealed(told, said.part).ciphertext);
        }
    }
    let words = sqlx::query(WORDS).bind(words.0).bind(words.1).bind(words.2).bind(words.3);
    words.execute(pool).await.expect("the words are written");
}

/// Records what stands behind `before` over many days, some of it by other actors than the owner.
pub async fn spread(database: &TestDatabase, before: Position) {
    const SPREAD: &str = "
        UPDATE event SET recorded_at = '2025-01-01'::timestamptz + position * interval '5 hours',
            actor_id = CASE position % 3 WHEN 0 THEN stream_id ELSE owner_id END
        WHERE position > $1";
    let mut owner = database.connect_as_owner().await.expect("the owner");
    sqlx::raw_sql("ALTER TABLE event DISABLE TRIGGER append_only").execute(&mut owner).await.expect("it is off");
    sqlx::query(SPREAD).bind(before.0).execute(&mut owner).await.expect("it is changed");
    owner.close().await.expect("a farewell");
}

/// What stands for the sealed words of an event: its id and the part.
pub fn sealed(told: &Told, part: u8) -> Sealed {
    let ciphertext = [told.id.0.as_bytes().as_slice(), &[part]].concat();
    Sealed { part, subject: SubjectId(told.owner.0), generation: 1, nonce: [0; 24], ciphertext }
}

/// The rules' acts name messages by small numbers; here each conversation has messages of its own.
fn named(act: Act, conversation: ConversationId) -> Act {
    let name = |id: MessageId| MessageId(Uuid::new_v5(&conversation.0, id.0.as_bytes()));
    match act {
        Act::Append(message) => {
            let below =
                if let Below::Message(above) = message.below { Below::Message(name(above)) } else { message.below };
            Act::Append(AppendMessage { id: name(message.id), below, ..message })
        }
        Act::Edit(edit) => Act::Edit(EditMessage { id: name(edit.id), message: name(edit.message), ..edit }),
        Act::Hide { message } => Act::Hide { message: name(message) },
        Act::Unhide { message } => Act::Unhide { message: name(message) },
        Act::Rate { message, rating, .. } => {
            // Some come with a comment.
            let comment = (message.0.as_u128() % 2 == 0).then(|| "so".to_owned());
            Act::Rate { message: name(message), rating, comment }
        }
        Act::CreateBranch(create) => Act::CreateBranch(CreateBranch { from: name(create.from), ..create }),
        Act::Graft(graft) => {
            let onto = if let Below::Message(above) = graft.onto { Below::Message(name(above)) } else { graft.onto };
            let grafted = |grafted: Grafted| Grafted { id: name(grafted.id), ..grafted };
            Act::Graft(Graft { onto, run: graft.run.into_iter().map(grafted).collect() })
        }
        Act::TakeSnapshot(take) => {
            Act::TakeSnapshot(TakeSnapshot { id: EventId(name(MessageId(take.id.0)).0), ..take })
        }
        Act::ThinSnapshots { snapshots } => {
            let name = |id: EventId| EventId(name(MessageId(id.0)).0);
            Act::ThinSnapshots { snapshots: snapshots.into_iter().map(name).collect() }
        }
        act => act,
    }
}
