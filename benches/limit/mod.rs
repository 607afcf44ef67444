//! The limit: the least that someone would do by hand in Postgres. One table, one index beside its key, and the message
//! as JSON in the clear.

use chrono::{DateTime, Utc};
use convoledger::clock::Clock;
use convoledger::random;
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::types::Json;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

#[derive(Serialize)]
struct Data<'a> {
    id: Uuid,
    role: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct Meta {
    actor: Uuid,
    command: Uuid,
    occurred_at: DateTime<Utc>,
}

pub struct Limit {
    pub pool: PgPool,
    clients: Vec<Mutex<PgConnection>>,
    actor: Uuid,
    clock: Clock,
}

impl Limit {
    /// The table in an empty database, and a connection for each of `clients`.
    pub async fn create(options: PgConnectOptions, clients: usize) -> anyhow::Result<Self> {
        let pool = PgPoolOptions::new().max_connections(8).connect_lazy_with(options.clone());
        sqlx::raw_sql(include_str!("sql/create.sql")).execute(&pool).await?;
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(Mutex::new(PgConnection::connect_with(&options).await?));
        }
        Ok(Self { pool, clients: connections, actor: random::id(), clock: Clock::system() })
    }

    pub async fn client(&self, nth: usize) -> MutexGuard<'_, PgConnection> {
        self.clients[nth].lock().await
    }

    /// One row, one commit; the statement is prepared and the connection at hand.
    pub async fn insert(&self, client: &mut PgConnection, at: Place, text: &str) -> anyhow::Result<u32> {
        sqlx::query(include_str!("sql/insert.sql"))
            .bind(at.stream)
            .bind(at.version)
            .bind("message.appended")
            .bind(Json(Self::data(text)))
            .bind(Json(self.meta()))
            .execute(client)
            .await?;
        Ok(1)
    }

    /// Many rows of one stream in one statement, from arrays.
    pub async fn insert_many(&self, client: &mut PgConnection, at: Place, texts: &[String]) -> anyhow::Result<u32> {
        let count = i32::try_from(texts.len())?;
        let versions: Vec<i32> = (at.version..at.version + count).collect();
        let data: Vec<_> = texts.iter().map(|text| Json(Self::data(text))).collect();
        let meta: Vec<_> = texts.iter().map(|_| Json(self.meta())).collect();
        sqlx::query(include_str!("sql/insert_many.sql"))
            .bind(vec![at.stream; texts.len()])
            .bind(versions)
            .bind(vec!["message.appended"; texts.len()])
            .bind(data)
            .bind(meta)
            .execute(client)
            .await?;
        Ok(u32::try_from(count)?)
    }

    fn data(text: &str) -> Data<'_> {
        Data { id: random::id(), role: "user", text }
    }

    fn meta(&self) -> Meta {
        Meta { actor: self.actor, command: random::id(), occurred_at: self.clock.now() }
    }
}

/// Where a row goes.
#[derive(Clone, Copy)]
pub struct Place {
    pub stream: Uuid,
    pub version: i32,
}

impl Place {
    pub fn first() -> Self {
        Self { stream: random::id(), version: 1 }
    }

    /// This place, and then on by `count`.
    pub fn step(&mut self, count: usize) -> Self {
        let at = *self;
        self.version += i32::try_from(count).unwrap_or(i32::MAX);
        at
    }
}
