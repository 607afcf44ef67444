//! Facts and money go when their time is over: a conversation at rest expires, and all that can be checked stays so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use convoledger::archive::check::{Wrong, check};
use convoledger::archive::manifest::Of;
use convoledger::archive::work::{Cover, Work};
use convoledger::clock::Clock;
use convoledger::event::{
    Class, ConversationExpired, ConversationId, EventId, MessageId, OwnerId, Position, Requester, Resting,
    RetentionPolicy, Role, StreamId, Usage, Version,
};
use convoledger::ledger::retention::KEPT;
use convoledger::ledger::{Act, AppendMessage, Below, Graft, Grafted, Refusal, Start};
use convoledger::log::verify::verify;
use convoledger::projection::{BUILT_IN, Closed, Rebuild};
use convoledger::random;
use convoledger::service::{Actor, Outcome, Reason, Run, Service, Wanted};
use convoledger::view::usage::Span;
use futures::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rust_decimal::Decimal;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::history::{History, asked};
use crate::support::fold;
use crate::support::postgres::fresh;
use crate::support::service::{Stand, done, order, say, started};

/// What is found nowhere in the end.
const MODEL: &str = "quetzalcoatl-7";

fn policy() -> RetentionPolicy {
    RetentionPolicy { words: Some(10), facts: Some(20), money: Some(40), undo: 5, ..KEPT }
}

struct House {
    stand: Stand,
    ann: Actor,
    began: DateTime<Utc>,
}

impl House {
    async fn new() -> Self {
        let stand = Stand::new().await;
        let ann = stand.actor("ann@example.org").await;
        Self { stand, ann, began: Clock::system().now() }
    }

    async fn talk(&self, messages: usize) -> (ConversationId, Vec<MessageId>) {
        let at = started(&self.stand.service, self.ann).await;
        let said = (0..messages).map(|nth| {
            let message = AppendMessage::text(MessageId(random::id()), Role::Assistant, format!("number {nth}"));
            Act::Append(AppendMessage {
                model: Some(MODEL.into()),
                usage: Some(Usage { input: Some(10), output: Some(3), ..Usage::default() }),
                cost_usd: Some(Decimal::new(25, 2)),
                ..message
            })
        });
        let title = Act::SetTitle { title: "Of feathers".into() };
        let done = done(&self.stand.service, self.ann, order(at, [title].into_iter().chain(said))).await;
        (at, done.messages)
    }

    /// A server whose clock shows so many days from now.
    async fn after(&self, days: i64) -> Service {
        self.stand.beside_at(Clock::fixed(self.began + TimeDelta::days(days))).await.with_retention(policy())
    }

    /// Announces and carries out what is over after so many days, and says what conversations it let go.
    async fn pass(&self, days: i64) -> Vec<Resting> {
        self.after(days - 5).await.retain(self.ann.account).await.expect("a notice");
        self.after(days).await.retain(self.ann.account).await.expect("it goes").expired
    }

    async fn number(&self, sql: &str) -> i64 {
        let pool = self.stand.database.pool(1);
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&pool).await.expect("a number")
    }

    async fn naming_the_model(&self) -> i64 {
        self.number(&format!("SELECT count(*) FROM event WHERE body::text LIKE '%{MODEL}%'")).await
    }

    async fn there(&self, conversation: ConversationId) -> bool {
        self.stand.folded(self.ann).await;
        let rows = self.stand.service.conversations(self.ann, &[conversation], Position::LATEST).await.expect("rows");
        !rows.is_empty()
    }

    async fn cost(&self) -> Option<Decimal> {
        self.stand.folded(self.ann).await;
        let always = Span { from: None, to: None, zone: Tz::UTC };
        let costs = self.stand.service.costs(self.ann, always, &[], None, Position::LATEST).await.expect("costs");
        costs.expect("few rows").total.cost_usd
    }

    /// Live rows are those of a rebuild, and the log holds.
    async fn is_sound(&self) {
        self.stand.folded(self.ann).await;
        self.stand.holds().await;
        let pool = self.stand.database.pool(4);
        for projection in BUILT_IN.iter().filter(|projection| !projection.opened) {
            let (opener, stop) = (&Closed, CancellationToken::new());
            let rebuild = Rebuild { projection, pool: &pool, opener, throttle: None, strands: 2, stop };
            let compared = rebuild.compare(|_, _| ()).await.expect("compared");
            assert_eq!(compared.differences, Some(Vec::new()), "{}", projection.name);
        }
    }
}

fn counts(gone: &[Resting]) -> Vec<(Class, u64, u64)> {
    gone.iter().map(|one| (one.class, one.conversations, one.events)).collect()
}

#[tokio::test]
async fn a_conversation_expires_and_money_stays_longer() {
    let house = House::new().await;
    let (one, said) = house.talk(3).await;
    let (two, _) = house.talk(2).await;
    house.stand.folded(house.ann).await;
    let then = house.stand.service.log().head().await.expect("a head");
    let was = async |id| house.stand.service.conversations(house.ann, &[id], then).await.expect("an answer").len();
    assert_eq!((was(one).await, was(two).await), (1, 1));
    let before = house.cost().await;
    assert_eq!(before, Some(Decimal::new(125, 2)));
    let early = house.after(14).await.would_retain(house.ann.account).await.expect("an answer");
    assert_eq!(early.resting, [], "not before its time");
    let would = house.after(16).await.would_retain(house.ann.account).await.expect("an answer");
    assert_eq!(counts(&would.resting), [(Class::Facts, 2, 9)]);
    assert_eq!(counts(&house.pass(21).await), [(Class::Facts, 2, 9)]);
    house.is_sound().await;
    assert_eq!((was(one).await, was(two).await), (0, 0), "nor was it ever, by what is kept in memory");
    for gone in [one, two] {
        assert!(!house.there(gone).await);
        let refused = house.stand.service.execute(house.ann, order(gone, [Act::Favorite])).await.expect("an answer");
        assert!(matches!(refused, Outcome::Refused(Reason::Rule(Refusal::Expired))), "{refused:?}");
        let again = order(gone, [Act::Start(Start::default())]);
        let refused = house.stand.service.execute(house.ann, again).await.expect("an answer");
        assert!(matches!(refused, Outcome::Refused(Reason::Rule(Refusal::Expired))), "{refused:?}");
    }
    assert_eq!(house.cost().await, before, "what was spent stays known");
    assert_eq!(house.naming_the_model().await, 5);
    let words = "SELECT count(*) FROM words JOIN event USING (position) WHERE kind NOT LIKE 'account.%'";
    assert_eq!(house.number(words).await, 0);
    let titled = "SELECT count(*) FROM event WHERE kind = 'conversation.titled' AND body <> '{}'";
    assert_eq!(house.number(titled).await, 0);
    let messages = house.stand.service.messages(house.ann, &said, Position::LATEST).await.expect("an answer");
    assert!(messages.is_empty());
    let conversation = house.stand.service.conversation_of(house.ann, said[0]).await.expect("an answer");
    assert_eq!(conversation, None);
    let proof = house.stand.service.prove_inclusion(Position(4), None).await.expect("an answer").expect("a proof");
    let index = u64::try_from(proof.position.0 - 1).expect("a place");
    let root = convoledger::proof::merkle::root_by(&proof.path, proof.leaf, index, proof.size);
    assert_eq!(root, Some(proof.root), "a leaf is proved whatever became of its event");

    let early = house.after(34).await.would_retain(house.ann.account).await.expect("an answer");
    assert_eq!(early.resting, [], "not before its time");
    assert_eq!(counts(&house.pass(41).await), [(Class::Money, 2, 9)]);
    assert_eq!(house.naming_the_model().await, 0);
    assert_eq!(house.cost().await, None);
    house.is_sound().await;
    assert!(house.after(900).await.retain(house.ann.account).await.expect("an answer").is_empty(), "nothing is left");
}

#[tokio::test]
async fn facts_and_money_of_one_age_go_at_once() {
    let house = House::new().await;
    house.talk(3).await;
    house.stand.folded(house.ann).await;
    assert_eq!(counts(&house.pass(50).await), [(Class::Facts, 1, 5), (Class::Money, 1, 5)]);
    assert_eq!((house.naming_the_model().await, house.cost().await), (0, None));
    house.is_sound().await;
}

#[tokio::test]
async fn what_something_depends_on_stays_and_so_does_what_is_held_or_undone_or_talked_about() {
    let house = House::new().await;
    let (service, ann) = (&house.stand.service, house.ann);
    let (source, said) = house.talk(2).await;
    let (quoted, quotes) = house.talk(2).await;
    let from = service.ancestor(ann, said[1]).await.expect("an answer");
    let child = ConversationId(random::id());
    done(service, ann, order(child, [Act::Start(Start { from, ..Start::default() }), say("on it goes")])).await;
    let run = Run { from: quotes[0], to: quotes[1] };
    let grafted = service.graft(ann, child, Below::Preferred, run, None, None).await.expect("an answer");
    assert!(matches!(grafted, Outcome::Done(_)), "{grafted:?}");

    house.after(16).await.retain(ann.account).await.expect("a notice");
    assert!(service.undo_retention(ann.account, Requester::Subject).await.expect("an answer"));
    assert_eq!(house.after(30).await.retain(ann.account).await.expect("an answer").expired, []);
    assert!(house.there(child).await, "what was spared stays");
    let own = RetentionPolicy { undo: 0, money: None, ..policy() };
    service.configure_retention(ann.account, Some(own), Requester::Subject).await.expect("settled");
    service.hold(ann.account, "a case").await.expect("held");
    assert!(house.after(30).await.retain(ann.account).await.expect("an answer").is_empty());
    service.release(ann.account, "settled").await.expect("released");

    // The one that depends on the others goes first, and then they may.
    let gone = house.after(30).await.retain(ann.account).await.expect("it goes");
    assert_eq!(gone.expired.iter().map(|one| one.conversations).sum::<u64>(), 3, "{gone:?}");
    let order_of = |id: ConversationId| {
        format!("SELECT position FROM event WHERE kind = 'conversation.expired' AND stream_id = '{id}'")
    };
    let child = house.number(&order_of(child)).await;
    assert!(child < house.number(&order_of(source)).await && child < house.number(&order_of(quoted)).await);
    house.is_sound().await;
}

/// Who read a conversation before it expired may still mean to lean on it.
#[tokio::test]
async fn nothing_that_was_decided_before_leans_on_what_expired_meanwhile() {
    let house = House::new().await;
    let (service, ann) = (&house.stand.service, house.ann);
    let (source, said) = house.talk(2).await;
    let from = service.ancestor(ann, said[1]).await.expect("an answer");
    let repeated = Grafted {
        id: MessageId(random::id()),
        conversation: source,
        message: said[0],
        role: Role::Assistant,
        shape: Vec::new(),
        language: None,
        model: None,
        provider: None,
        finish_reason: None,
    };
    house.pass(21).await;
    assert!(!house.there(source).await);

    let child = started(service, ann).await;
    let graft = Act::Graft(Graft { onto: Below::Preferred, run: vec![repeated] });
    let start = Act::Start(Start { from, ..Start::default() });
    for late in [order(child, [graft]), order(ConversationId(random::id()), [start])] {
        let outcome = service.execute(ann, late).await.expect("an answer");
        assert!(matches!(outcome, Outcome::Refused(Reason::SourceExpired)), "{outcome:?}");
    }
    done(service, ann, order(child, [say("what leans on nothing is said")])).await;
    house.is_sound().await;
}

#[tokio::test]
async fn dropped_anywhere_and_done_by_several_at_once_each_expires_once() {
    let house = House::new().await;
    for _ in 0..45 {
        house.talk(1).await;
    }
    house.stand.folded(house.ann).await;
    house.after(16).await.retain(house.ann.account).await.expect("a notice");
    let servers = [house.after(22).await, house.after(22).await];
    for round in 0..20 {
        let cut = servers.iter().map(|server| {
            tokio::time::timeout(Duration::from_millis(4 * (round + 1)), server.retain(house.ann.account))
        });
        join_all(cut).await;
    }
    for ended in join_all(servers.iter().map(|server| server.retain(house.ann.account))).await {
        ended.expect("it ends");
    }
    let expired = "SELECT count(*) FROM event WHERE kind = 'conversation.expired'";
    assert_eq!(house.number(expired).await, 45);
    assert_eq!(house.number("SELECT count(*) FROM unswept").await, 0);
    house.is_sound().await;
}

#[tokio::test]
async fn the_log_lets_nothing_else_shrink_and_verify_names_what_was_changed_after() {
    let house = House::new().await;
    let (one, _) = house.talk(2).await;
    house.pass(21).await;
    house.is_sound().await;
    let mut owner = house.stand.database.connect_as_owner().await.expect("a connection");
    for refused in [
        "UPDATE event SET body = '{}'",
        "UPDATE event SET body = '{}', reduced = (SELECT max(position) FROM event)",
        "UPDATE event SET reduced = NULL WHERE reduced IS NOT NULL",
        "UPDATE event SET kind = 'x' WHERE reduced IS NOT NULL",
        "UPDATE event SET body = body || '{\"cost_usd\": \"9\"}' WHERE kind = 'message.appended'",
        "DELETE FROM event",
    ] {
        let error = sqlx::query(refused).execute(&mut owner).await.expect_err(refused).to_string();
        assert!(error.contains("append-only"), "{error}");
    }
    let pool = house.stand.database.pool(2);
    let log = house.stand.service.log();
    let stream = StreamId(one.0);
    let events = log.read_stream(OwnerId::from(house.ann.account), stream, Version(0), 100).await.expect("events");
    let (message, expiry) = (events[2].position.0, events.last().expect("the expiry").position);
    sqlx::query("ALTER TABLE event DISABLE TRIGGER ALL").execute(&mut owner).await.expect("an owner may");
    for (tamper, back, at) in [
        ("body = jsonb_set(body, '{cost_usd}', '\"9\"')", "body = jsonb_set(body, '{cost_usd}', '\"0.25\"')", expiry),
        ("kind_version = 2", "kind_version = 1", expiry),
        ("reduced = 1", &format!("reduced = {expiry}"), Position(message)),
    ] {
        let update = |set: &str| format!("UPDATE event SET {set} WHERE position = {message}");
        sqlx::query(sqlx::AssertSqlSafe(update(tamper))).execute(&mut owner).await.expect("an owner may");
        let wrong = verify(&pool, None, 2, |_, _| ()).await.expect("an answer").wrong.expect(tamper);
        assert_eq!(wrong.position, at, "{wrong}");
        sqlx::query(sqlx::AssertSqlSafe(update(back))).execute(&mut owner).await.expect("an owner may");
        assert_eq!(verify(&pool, None, 2, |_, _| ()).await.expect("an answer").wrong, None);
    }
}

#[tokio::test]
async fn an_archive_of_what_expired_is_checked_and_a_changed_one_is_found() {
    let house = House::new().await;
    house.talk(2).await;
    house.pass(21).await;
    let (kept, _) = house.talk(1).await;
    house.stand.folded(house.ann).await;
    let directory = TempDir::new().expect("a directory");
    let to: PathBuf = directory.path().join("ann.zip");
    let work = Work::in_directory(directory.path().join("work"), Cover::Clear).expect("a directory");
    let wanted = Wanted { of: Of::Account { account: house.ann.account }, size: None, masked: false };
    let exported = house.stand.service.export(wanted, &work, to.clone(), |_, _| ()).await.expect("exported");
    assert_eq!((exported.conversations, exported.messages), (1, 1));
    let keys = house.stand.service.checkpoint_keys().await.expect("keys");
    let mut events = 0;
    check(&to, Some(&keys), |_| events += 1).map_err(|wrong: Wrong| wrong.to_string()).expect("it holds");
    assert_eq!(events, exported.events);

    // Another ledger takes what is left in.
    let there = Stand::new().await;
    let actor = there.actor("ann@example.org").await;
    let mut transfer =
        there.service.transfer(actor, house.ann.account).await.expect("an answer").expect("not forgotten");
    let mut commands = Vec::new();
    let mut archive = convoledger::archive::open::Archive::open(&to).expect("it opens");
    archive
        .commands(|command| {
            commands.push(command);
            Ok::<_, convoledger::archive::open::Unreadable>(())
        })
        .expect("it reads");
    let mut expiries = convoledger::archive::expiry::Expiries::new(true);
    for line in commands.iter().flatten() {
        expiries.take(line).expect("as it was left");
    }
    for changed in commands.iter().flatten().filter(|line| line.expired.is_some()) {
        let mut expiries = convoledger::archive::expiry::Expiries::new(true);
        let wrong = commands.iter().flatten().any(|line| {
            let mut line = line.clone();
            if line.position == changed.position {
                line.facts = serde_json::json!({ "branch": 7 });
            }
            expiries.take(&line).is_err()
        });
        assert!(wrong, "{}", changed.position);
    }
    transfer.take(commands).await.expect("taken");
    transfer.finish().await.expect("taken");
    there.folded(actor).await;
    let rows = there.service.conversations(actor, &[kept], Position::LATEST).await.expect("rows");
    assert_eq!(rows.len(), 1);
    assert_eq!(there.service.log().read_ids(actor.owner(), &[EventId(kept.0)]).await.expect("an answer").len(), 0);
    there.holds().await;
}

/// Conversations of which the facts go, and of some of them the money later, when so much of the log was folded.
#[derive(Debug, Clone)]
struct Going {
    which: prop::sample::Index,
    folded: prop::sample::Index,
    keeps: Option<Class>,
}

fn going() -> impl Strategy<Value = Going> {
    let keeps = prop_oneof![Just(None), Just(Some(Class::Money))];
    (any::<prop::sample::Index>(), any::<prop::sample::Index>(), keeps).prop_map(|(which, folded, keeps)| Going {
        which,
        folded,
        keeps,
    })
}

/// What the lane does when a conversation expires, on rows that were written by hand.
async fn expire(owner: &mut PgConnection, (whose, which): (OwnerId, ConversationId), keeps: Option<Class>) -> Position {
    const SAY: &str = "
        INSERT INTO event (position, recorded_at, occurred_at, owner_id, id, stream_id, command_id, actor_id, version,
            kind_version, command_nth, kind, body, leaf)
        SELECT (SELECT max(position) FROM event) + 1, clock_timestamp(), clock_timestamp(), $1, gen_random_uuid(), $2,
            gen_random_uuid(), $1, max(version) + 1, 1, 0, 'conversation.expired', $3, decode(repeat('00', 32), 'hex')
        FROM event WHERE owner_id = $1 AND stream_id = $2
        RETURNING position";
    const REDUCE: &str = "
        UPDATE event SET reduced = $3, body = left_of(kind, body, $4)
        WHERE owner_id = $1 AND stream_id = $2 AND position < $3";
    let said = serde_json::to_value(ConversationExpired { keeps, events: 0, left: String::new() }).expect("JSON");
    let keeps = said["keeps"].as_str().map(str::to_owned);
    let say = sqlx::query_scalar(SAY).bind(whose.0).bind(which.0).bind(said).fetch_one(&mut *owner);
    let position: i64 = say.await.expect("it is said");
    let reduce = sqlx::query(REDUCE).bind(whose.0).bind(which.0).bind(position).bind(keeps).execute(owner);
    reduce.await.expect("what is left");
    Position(position)
}

#[test]
fn wherever_a_fold_stands_when_conversations_expire_it_comes_to_the_rows_of_a_rebuild() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(fresh());
    let pool = runtime.block_on(async { database.pool(4) });
    let views: Vec<_> = BUILT_IN.iter().filter(|projection| !projection.opened).collect();
    let histories = (
        prop::collection::vec(asked(), 1..80),
        prop::collection::vec(going(), 1..5),
        prop::collection::vec(1..25_i64, 1..8),
    );
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&histories, |(asked, going, cuts)| {
        runtime.block_on(async {
            let mut owner = database.connect_as_owner().await.expect("the owner");
            let history = History::of(asked);
            let (before, mut head) = history.write(&pool).await;
            let conversations: Vec<_> = history.states.keys().copied().collect();
            let (mut stands, mut gone) = (before, BTreeMap::new());
            for projection in &views {
                fold::anew(projection, &pool, before).await;
            }
            for Going { which, folded, keeps } in &going {
                let left = usize::try_from(head.0 - stands.0).expect("a count");
                let to = Position(stands.0 + i64::try_from(folded.index(left + 1)).expect("a count"));
                for projection in &views {
                    fold::on(projection, &pool, stands, to, &cuts).await;
                }
                stands = to;
                let which = *which.get(&conversations);
                // What was left of it goes later, and after that nothing is left.
                let keeps = match gone.get(&which) {
                    None => *keeps,
                    Some(Some(_)) => None,
                    Some(None) => continue,
                };
                head = expire(&mut owner, which, keeps).await;
                gone.insert(which, keeps);
            }
            for projection in &views {
                fold::on(projection, &pool, stands, head, &cuts).await;
                let live = fold::rows(projection, &pool).await;
                let rebuilt = fold::folded(projection, &pool, before, head, &[i64::MAX]).await;
                prop_assert_eq!(live, rebuilt, "{}", projection.name);
            }
            owner.close().await.expect("a farewell");
            Ok(())
        })
    });
    outcome.expect("every history");
}
