//! A pooled connection never comes back inside a transaction.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use convoledger::database::Database;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor as _, PgPool};
use tokio::time::{sleep, timeout};

use crate::support::postgres;
use crate::support::proxy::{Proxy, Weather};

/// When this fails, sqlx has closed its hole, and `pool_options` in `src/database/mod.rs` may lose its hook. A busy
/// machine may answer a `BEGIN` before it is cancelled, so there is more than one try.
#[tokio::test]
async fn without_our_hook_a_cancelled_begin_loses_an_acknowledged_write() {
    for _ in 0..8 {
        let database = postgres::fresh().await;
        let options = database.pool(1).connect_options().as_ref().clone();
        let bare = PgPoolOptions::new().max_connections(1).connect_with(options).await.expect("a pool");
        if count_lost(&bare, &database.pool(1)).await > 0 {
            return;
        }
    }
    panic!("sqlx no longer leaves a session inside a transaction");
}

#[tokio::test]
async fn with_our_hook_it_loses_nothing() {
    let database = postgres::fresh().await;
    assert_eq!(count_lost(&database.pool(1), &database.pool(1)).await, 0);
}

#[tokio::test]
async fn a_connection_of_an_aborted_transaction_is_not_handed_out() {
    let database = postgres::fresh().await;
    let pool = database.pool(1);
    for _ in 0..3 {
        let mut borrowed = pool.acquire().await.expect("a connection");
        borrowed.execute("BEGIN").await.expect("a transaction");
        assert!(borrowed.execute("SELECT 1 / 0").await.is_err());
        drop(borrowed);
        let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&pool).await.expect("a healthy session");
        assert_eq!(one, 1);
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent_loses_its_place_in_the_pool() {
    let database = postgres::fresh().await;
    let proxy = Proxy::before(database.owner_options()).await;
    let pool = Database::new(proxy.options(), proxy.options()).await.expect("a database").pool(1);
    let ask = || sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&pool);

    let mut borrowed = pool.acquire().await.expect("a connection");
    proxy.turn(Weather::Silent);
    let asked = timeout(Duration::from_millis(100), borrowed.execute("SELECT 1")).await;
    assert!(asked.is_err(), "it is silent");
    drop(borrowed);
    proxy.turn(Weather::Clear); // for others: the answer that was under way is lost
    assert_eq!(ask().await.expect("another session in its place"), 1);

    sleep(Duration::from_millis(50)).await; // time to go back to the pool
    proxy.turn(Weather::Silent);
    let clears = async {
        sleep(Duration::from_millis(100)).await;
        proxy.turn(Weather::Clear);
    };
    let (answer, ()) = tokio::join!(ask(), clears);
    assert_eq!(answer.expect("another session in its place"), 1);
}

/// Cancels a `begin()`, then writes on the same pool, again and again; counts the writes that were acknowledged and
/// that `witness` cannot see.
async fn count_lost(pool: &PgPool, witness: &PgPool) -> i64 {
    const ROUNDS: i32 = 12;
    witness.execute("CREATE SCHEMA s").await.expect("a schema");
    witness.execute("CREATE TABLE s.t (round integer)").await.expect("a table");
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            // The one poll sends `BEGIN`; there is no time for an answer.
            let mut connection = pool.acquire().await.expect("a connection");
            poll(1, connection.begin()).await;
        } else {
            // Anywhere between asking the pool and having begun.
            poll(round, pool.begin()).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        sqlx::query("INSERT INTO s.t VALUES ($1)").bind(round).execute(pool).await.expect("an acknowledged write");
    }
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM s.t").fetch_one(witness).await.expect("a count");
    i64::from(ROUNDS) - seen
}

/// Polls `future` that often, if it lasts so long, and drops it.
async fn poll(times: i32, future: impl Future) {
    let mut future = pin!(future);
    for nth in 0..times {
        if nth > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
    }
}
