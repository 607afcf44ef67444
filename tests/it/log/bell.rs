//! Processes that share a log wake each other.

use std::time::Duration;

use convoledger::log::Expected;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tokio::time::{Instant, sleep, timeout};

use super::{appended, open, stream, target, to};
use crate::support::postgres::fresh;

#[tokio::test(flavor = "multi_thread")]
async fn who_appends_is_heard_by_others_before_they_look() {
    let database = fresh().await;
    let (here, there) = (open(&database).await, open(&database).await);
    listening(&database.pool(1), 2).await;
    let mut head = there.tail().head();
    let mut slowest = Duration::ZERO;
    // The first rings end the patrol that was under way.
    for round in 0..12 {
        let done = appended(&here, to([target(stream(round), Expected::None, 1)])).await;
        let told = Instant::now();
        while *head.borrow_and_update() < done.last {
            timeout(Duration::from_secs(5), head.changed()).await.expect("it hears").expect("the tail runs");
        }
        slowest = slowest.max(told.elapsed());
        sleep(Duration::from_millis(30)).await;
    }
    assert!(slowest < Duration::from_millis(400), "only the patrol, every 500 ms, found it: {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_cut_and_turned_away_listens_again() {
    let database = fresh().await;
    let log = open(&database).await;
    let mut owner = database.connect_as_owner().await.expect("the owner");
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut owner).await.expect("a name");
    let limit = async |owner: &mut PgConnection, sessions: i32| {
        let limit = format!("ALTER DATABASE {name} CONNECTION LIMIT {sessions}");
        sqlx::raw_sql(AssertSqlSafe(limit)).execute(owner).await.expect("the owner may");
    };
    listening(&database.pool(1), 1).await;
    limit(&mut owner, 0).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let cut: i64 = sqlx::query_scalar(cut).fetch_one(&mut owner).await.expect("the owner may");
    assert!(cut > 0, "nobody was cut");
    sleep(Duration::from_millis(1_500)).await;
    limit(&mut owner, -1).await;
    listening(&database.pool(1), 1).await;
    appended(&log, to([target(stream(1), Expected::None, 1)])).await;
}

/// Waits until so many sessions listen.
async fn listening(pool: &PgPool, wanted: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    let all = async {
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.expect("the server answers") < wanted {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), all).await.expect("each has a session of its own that listens");
}
