//! Checkpoints and proofs on a real Postgres: what is signed, what is refused, and what a stranger can tell.

mod bucket;
mod foreign;
mod hostile;
mod oracle;
mod program;
mod sealer;
mod served;

use convoledger::api;
use convoledger::event::ConversationId;
use convoledger::log::tree::checkpoints::Kept;
use convoledger::proof::checkpoint::Checkpoint;
use convoledger::proof::note::Verifier;
use convoledger::service::{Actor, Service};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::postgres::TestDatabase;
use crate::support::service::{Stand, done, order, say, started};

/// Where a server answers from now on.
async fn serve(stand: &Stand) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(api::serve(stand.service.clone(), listener, CancellationToken::new()));
    url
}

/// Lets the log grow by `messages` events, in one conversation.
async fn grow(service: &Service, actor: Actor, messages: usize) -> ConversationId {
    let conversation = started(service, actor).await;
    for chunk in (0..messages).collect::<Vec<_>>().chunks(50) {
        let acts = chunk.iter().map(|nth| say(format!("message {nth}")));
        done(service, actor, order(conversation, acts)).await;
    }
    conversation
}

/// The keys that a stranger was given.
async fn keys(service: &Service) -> Vec<Verifier> {
    service.checkpoint_keys().await.expect("keys")
}

/// What a kept checkpoint says, to one who has the keys.
fn opened(kept: &Kept, keys: &[Verifier]) -> Checkpoint {
    let (checkpoint, _) = Checkpoint::open(&kept.note, keys).expect("it is signed");
    assert_eq!(checkpoint, kept.checkpoint);
    checkpoint
}

/// A superuser who disabled the log's triggers.
async fn owner(database: &TestDatabase) -> PgConnection {
    let mut owner = database.connect_as_owner().await.expect("a connection");
    for table in ["event", "words", "tile", "checkpoint", "cosignature", "history"] {
        tamper(&mut owner, &format!("ALTER TABLE {table} DISABLE TRIGGER ALL")).await;
    }
    owner
}

async fn tamper(owner: &mut PgConnection, statement: &str) {
    let done = owner.execute(AssertSqlSafe(statement.to_owned())).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}
