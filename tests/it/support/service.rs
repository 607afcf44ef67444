//! The whole of convoledger below its edges, on a database of its own.

use std::sync::Arc;
use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::event::{ConversationId, MessageId, Position, Role};
use convoledger::ledger::{Act, AppendMessage, Start};
use convoledger::log::{Limits, Log};
use convoledger::projection::{BUILT_IN, Closed, Engine, Opener};
use convoledger::random;
use convoledger::service::{Actor, Done, Named, Order, Outcome, Service, Words};
use convoledger::vault::{KeyStore, Vault};
use tempfile::TempDir;

use super::postgres::{TestDatabase, fresh};

/// A database, its keys, and a server on them.
pub struct Stand {
    pub service: Service,
    pub database: TestDatabase,
    keys: TempDir,
}

impl Stand {
    pub async fn new() -> Self {
        let (database, keys) = (fresh().await, TempDir::new().expect("a directory"));
        Self { service: server(&database, &keys, Clock::system()).await, database, keys }
    }

    /// Another server on the same database and keys.
    pub async fn beside(&self) -> Service {
        server(&self.database, &self.keys, Clock::system()).await
    }

    /// The same server, but that it has read nothing yet. It folds nothing either.
    pub fn unread(&self) -> Service {
        let (log, vault) = (self.service.log(), self.service.vault());
        let engine = Engine::start(log.pool().clone(), &[], &log.tail().head(), &closed());
        Service::new(log.pool().clone(), log.clone(), vault.clone(), engine, Clock::system())
    }

    /// Another server, whose clock shows what it is told.
    pub async fn beside_at(&self, clock: Clock) -> Service {
        server(&self.database, &self.keys, clock).await
    }

    /// A registered account.
    pub async fn actor(&self, email: &str) -> Actor {
        self.service.register(email).await.expect("an account")
    }

    /// Waits until the views show all that the log holds.
    pub async fn folded(&self, actor: Actor) {
        let head = self.service.log().head().await.expect("a head");
        for projection in BUILT_IN {
            while self.service.caught_up(actor, &projection.name, Some(head)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Makes the message at `position` one that no view of conversations can fold, and has that view begin anew.
    pub async fn poison(&self, position: Position) {
        let mut owner = self.database.connect_as_owner().await.expect("the owner");
        let break_it =
            format!("UPDATE event SET body = jsonb_set(body, '{{branch}}', '-1') WHERE position = {position}");
        // One by one: together they would hold locks that a fold under way waits for. The last may still meet one that holds
        // some of what it drops and waits for the rest.
        for statement in
            ["ALTER TABLE event DISABLE TRIGGER append_only", &break_it, "DROP SCHEMA conversation CASCADE"]
        {
            let mut ran = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut owner).await;
            while ran.as_ref().err().and_then(sqlx::Error::as_database_error).is_some_and(is_deadlock) {
                ran = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut owner).await;
            }
            ran.expect("broken");
        }
    }

    /// The log verifies: the head that it verifies to.
    pub async fn holds(&self) -> Position {
        let log = self.service.log();
        let report = convoledger::log::verify::verify(log.pool(), None, 2, |_, _| ()).await.expect("an answer");
        assert_eq!(report.wrong, None);
        log.head().await.expect("a head")
    }
}

fn is_deadlock(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().is_some_and(|code| code == "40P01")
}

async fn server(database: &TestDatabase, keys: &TempDir, clock: Clock) -> Service {
    let pool = database.pool(10);
    let log = Log::open(pool.clone(), database.pool(3), Limits::default()).await.expect("the log opens");
    let store = KeyStore::new(keys.path().join("keys"), None).expect("a store");
    let vault = Vault::open(pool.clone(), log.identity().ledger, &store).await.expect("the vault opens");
    let engine = Engine::start(pool.clone(), BUILT_IN, &log.tail().head(), &opener(&log, &vault));
    Service::new(pool, log, vault, engine, clock)
}

/// What opens words for the folds of a server.
pub fn opener(log: &Log, vault: &Vault) -> Arc<dyn Opener> {
    Arc::new(Words::new(log.clone(), vault.clone()))
}

/// What opens nothing: for folds of facts.
pub fn closed() -> Arc<dyn Opener> {
    Arc::new(Closed)
}

pub fn order(conversation: ConversationId, acts: impl IntoIterator<Item = Act>) -> Order {
    let commands = acts.into_iter().map(Into::into).collect();
    Order { conversation, commands, named: None, expected: None }
}

pub fn named(order: Order, id: &str, request: &str) -> Order {
    Order { named: Some(Named { id: id.into(), request: request.into() }), ..order }
}

pub fn say(text: impl Into<String>) -> Act {
    Act::Append(AppendMessage::text(MessageId(random::id()), Role::User, text))
}

pub async fn done(service: &Service, actor: Actor, order: Order) -> Done {
    match service.execute(actor, order).await.expect("an answer") {
        Outcome::Done(done) => done,
        outcome => panic!("done, not {outcome:?}"),
    }
}

/// A conversation that has begun.
pub async fn started(service: &Service, actor: Actor) -> ConversationId {
    let conversation = ConversationId(random::id());
    done(service, actor, order(conversation, [Act::Start(Start::default())])).await;
    conversation
}
