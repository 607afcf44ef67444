//! The GraphQL surface, over HTTP, against the real schema and a real Postgres.

mod as_of;
mod compare;
mod flow;
mod forget;
mod isolation;
mod replay;
mod retention;
mod schema;
mod search;
mod travel;
mod usage;
mod why;

use std::time::Duration;

use convoledger::api;
use convoledger::clock::Clock;
use convoledger::log::{Limits, Log};
use convoledger::projection::{BUILT_IN, Engine};
use convoledger::service::{Actor, Service};
use convoledger::vault::{KeyStore, Vault};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::postgres::{TestDatabase, fresh};
use crate::support::service::opener;

/// A server with a ledger of its own.
pub struct Served {
    pub service: Service,
    url: String,
    client: reqwest::Client,
    _keys: TempDir,
    _database: TestDatabase,
}

/// Someone who calls it.
pub struct Caller<'s> {
    served: &'s Served,
    pub actor: Actor,
    pub token: String,
}

impl Served {
    pub async fn start() -> Self {
        let (database, keys) = (fresh().await, TempDir::new().expect("a directory"));
        let pool = database.pool(8);
        let log = Log::open(pool.clone(), database.pool(4), Limits::default()).await.expect("a log");
        let store = KeyStore::new(keys.path(), None).expect("a key store");
        let vault = Vault::open(pool.clone(), log.identity().ledger, &store).await.expect("a vault");
        let engine = Engine::start(database.pool(8), BUILT_IN, &log.tail().head(), &opener(&log, &vault));
        let service = Service::new(pool, log, vault, engine, Clock::system());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/graphql", listener.local_addr().expect("an address"));
        tokio::spawn(api::serve(service.clone(), listener, CancellationToken::new()));
        Self { service, url, client: reqwest::Client::new(), _keys: keys, _database: database }
    }

    pub async fn caller(&self, email: &str) -> Caller<'_> {
        let actor = self.service.register(email).await.expect("an account");
        let token = self.service.create_token(actor, "test").await.expect("a token").reveal().to_owned();
        Caller { served: self, actor, token }
    }
}

impl Caller<'_> {
    /// The whole answer.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let request = self.served.client.post(&self.served.url).bearer_auth(&self.token);
        let answered = request.json(&json!({"query": query, "variables": variables})).send().await.expect("an answer");
        answered.json().await.expect("JSON")
    }

    /// The data of an answer without errors, however much was asked for before.
    pub async fn get(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.ask(query, variables.clone()).await;
        while answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED" {
            let seconds = answer["errors"][0]["extensions"]["retryAfter"].as_u64().expect("when to come again");
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            answer = self.ask(query, variables.clone()).await;
        }
        assert_eq!(answer["errors"], Value::Null, "{answer}");
        answer["data"].take()
    }

    /// A conversation of its own; its id.
    pub async fn conversation(&self, input: Value) -> String {
        let query = "mutation ($input: StartConversationInput!) { startConversation(input: $input) { \
                     ... on ConversationDone { conversation { id } } } }";
        let data = self.get(query, json!({"input": input})).await;
        data["startConversation"]["conversation"]["id"].as_str().expect("an id").to_owned()
    }

    /// A message appended; what was answered.
    pub async fn say(&self, input: Value) -> Value {
        let query = "mutation ($input: AppendMessageInput!) { appendMessage(input: $input) { __typename \
                     ... on MessageDone { position message { id text depth version branch { id name } } } \
                     ... on MessageAlreadyDone { position message { id text } } \
                     ... on Stale { version cursor missed { kind version } } \
                     ... on Refused { reason message } } }";
        self.get(query, json!({"input": input})).await["appendMessage"].take()
    }
}
