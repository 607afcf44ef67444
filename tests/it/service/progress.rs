//! Who watches the projections sees all of them at once, then what changes, whatever it is; and costs the database nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use convoledger::projection::{BUILT_IN, State};
use convoledger::service::Progress;
use futures::{Stream, StreamExt as _};
use tokio::time::{sleep, timeout};

use crate::support::service::{Stand, done, order, say, started};

#[tokio::test(flavor = "multi_thread")]
async fn each_is_shown_at_once_and_then_when_it_changes() {
    let stand = Stand::new().await;
    let (service, actor) = (&stand.service, stand.actor("a@example.org").await);
    let mut watch = service.watch_projections().map(|progress| progress.expect("the database answers")).boxed();
    let mut first = BTreeSet::new();
    while first.len() < BUILT_IN.len() {
        first.insert(next(&mut watch).await.status.name);
    }
    assert!(BUILT_IN.iter().all(|projection| first.contains(&*projection.name)), "{first:?}");

    let conversation = started(service, actor).await;
    for number in 0..50 {
        done(service, actor, order(conversation, [say(format!("{number}"))])).await;
    }
    let head = service.log().head().await.expect("a head");
    let all_folded = |now: &Progress| now.status.name == "conversation" && now.status.position == head;
    let folded = until(&mut watch, all_folded).await;
    assert!(folded.rate > 0.0 && folded.status.lag_events == 0, "{folded:?}");
    until(&mut watch, |now| all_folded(now) && now.rate == 0.0).await;
    let mut quiet = Box::pin(watch.filter(|now| std::future::ready(now.status.name == "conversation")));
    assert!(timeout(Duration::from_millis(1_500), quiet.next()).await.is_err(), "what does not change is not shown");

    let broken = done(service, actor, order(conversation, [say("one")])).await.position;
    stand.poison(broken).await;
    let failed = until(&mut quiet, |now| now.status.state == State::Failed).await;
    assert!(failed.status.error.is_some() && failed.status.position < broken, "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_appends_waits_a_moment_for_a_view_that_is_behind() {
    let stand = Stand::new().await;
    let (service, actor) = (&stand.service, stand.actor("a@example.org").await);
    let conversation = started(service, actor).await;
    stand.folded(actor).await;
    let pool = stand.database.pool(1);
    let mut held = pool.begin().await.expect("begun");
    let hold = sqlx::query("UPDATE usage.progress SET position = position").execute(&mut *held).await;
    assert_eq!(hold.expect("held").rows_affected(), 1);
    done(service, actor, order(conversation, [say("one")])).await;
    // By now it is so far behind that each is held back for as long as any ever is.
    sleep(Duration::from_millis(700)).await;
    let began = Instant::now();
    for number in 0..25 {
        done(service, actor, order(conversation, [say(format!("{number}"))])).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    held.rollback().await.expect("let go");
    stand.folded(actor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_watch_ask_no_more_of_the_database_than_one() {
    let stand = Stand::new().await;
    stand.folded(stand.actor("a@example.org").await).await;
    let mut watching = Vec::new();
    for _ in 0..50 {
        let mut watch = stand.service.watch_projections().boxed();
        watching.push(tokio::spawn(async move { while watch.next().await.is_some() {} }));
    }
    let before = reads(&stand).await;
    sleep(Duration::from_secs(4)).await;
    let reads = reads(&stand).await - before;
    // The engine's own patrol and the watcher look twice a second each, and counts arrive late.
    assert!((1..50).contains(&reads), "the view's progress was read {reads} times in four seconds");
    watching.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn reads(stand: &Stand) -> i64 {
    let sql = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables \
               WHERE schemaname = 'conversation' AND relname = 'progress'";
    sqlx::query_scalar(sql).fetch_one(stand.service.log().pool()).await.expect("statistics")
}

async fn next(watch: &mut (impl Stream<Item = Progress> + Unpin)) -> Progress {
    timeout(Duration::from_secs(20), watch.next()).await.expect("in time").expect("it goes on")
}

async fn until(watch: &mut (impl Stream<Item = Progress> + Unpin), wanted: impl Fn(&Progress) -> bool) -> Progress {
    loop {
        let progress = next(watch).await;
        if wanted(&progress) {
            return progress;
        }
    }
}
