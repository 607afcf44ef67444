//! How soon views follow the log, and who waits for whom.

use std::time::{Duration, Instant};

use convoledger::event::Position;
use convoledger::projection::{Engine, Projection};
use tokio::sync::watch;

use crate::history::{chat, head};
use crate::projection::{SEEN, count, seen};
use crate::support::postgres::fresh;
use crate::support::service::closed;

#[tokio::test]
async fn a_few_events_become_more_before_they_are_folded_unless_somebody_waits() {
    let database = fresh().await;
    let pool = database.pool(10);
    let (grown, head_seen) = watch::channel(chat(1).write(&pool).await.1);
    let engine = Engine::start(pool.clone(), &[SEEN], &head_seen, &closed());
    engine.wait("seen", *head_seen.borrow(), Duration::from_secs(5)).await.expect("folded");
    let mut progress = engine.progress("seen").expect("it runs");
    let folds = tokio::spawn(async move {
        let mut folds = 0_u128;
        while progress.changed().await.is_ok() {
            folds += 1;
        }
        folds
    });
    let began = Instant::now();
    for _ in 0..100 {
        grown.send_replace(chat(1).write(&pool).await.1);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    engine.fold_until_caught_up().await.expect("folded");
    let lasted = began.elapsed();
    assert_eq!(count(&pool, "seen.seen").await, head(&pool).await.0);
    engine.stop().await;
    let folds = folds.await.expect("no panic");
    assert!(folds <= lasted.as_millis() / 10 + 2, "{folds} folds in {lasted:?}");
}

#[tokio::test]
async fn who_appends_is_held_back_while_a_view_is_behind_that_goes_on() {
    const SLOW: Projection =
        seen("slow", "INSERT INTO seen SELECT position FROM event, pg_sleep(1) WHERE position > $1 AND position <= $2");
    const BROKEN: Projection = seen("broken", "INSERT INTO seen SELECT 1 / ($2 - $2)");
    let database = fresh().await;
    let pool = database.pool(10);
    let (grown, head_seen) = watch::channel(Position(0));
    for (view, waited_for) in [(SLOW, true), (BROKEN, false)] {
        let name = view.name.to_string();
        let engine = Engine::start(pool.clone(), &[view], &head_seen, &closed());
        assert_eq!(engine.held_back(), Duration::ZERO);
        let last = chat(1).write(&pool).await.1;
        grown.send_replace(last);
        let mut longest = Duration::ZERO;
        let watching = async {
            for _ in 0..200 {
                longest = longest.max(engine.held_back());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if waited_for {
            let caught_up = engine.wait(&name, last, Duration::from_secs(10));
            let (caught_up, ()) = tokio::join!(caught_up, watching);
            caught_up.expect("folded");
            assert!(longest > Duration::from_millis(1) && longest <= Duration::from_millis(20), "{longest:?}");
            let none = async {
                while !engine.held_back().is_zero() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(5), none).await.expect("nobody is held back any more");
        } else {
            watching.await;
            assert!(engine.status().await.expect("told")[0].error.is_some());
            assert_eq!(engine.held_back(), Duration::ZERO);
        }
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_view_is_folded_by_one_session_while_it_goes_on_and_holds_none_while_it_rests() {
    const SESSIONS: Projection = seen("sessions", "INSERT INTO seen SELECT pg_backend_pid()");
    let database = fresh().await;
    let (pool, other) = (database.pool(4), database.pool(4));
    let (grown, head_seen) = watch::channel(Position(0));
    let engine = Engine::start(pool.clone(), &[SESSIONS], &head_seen, &closed());
    let folded = async |many: usize| {
        for _ in 0..many {
            let last = chat(1).write(&other).await.1;
            grown.send_replace(last);
            engine.wait("sessions", last, Duration::from_secs(10)).await.expect("folded");
        }
    };
    let sessions = async || count(&other, "(SELECT DISTINCT position FROM sessions.seen) AS session").await;
    folded(20).await;
    assert_eq!(sessions().await, 1);
    // One that breaks is not folded by again.
    let kill = "SELECT pg_terminate_backend(position::int) FROM sessions.seen LIMIT 1";
    sqlx::query(kill).execute(&other).await.expect("killed");
    folded(20).await;
    assert_eq!(sessions().await, 2);
    let at_rest = async {
        while usize::try_from(pool.size()).expect("few") > pool.num_idle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), at_rest).await.expect("it gives its session back");
    engine.stop().await;
}
