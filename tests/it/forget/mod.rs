//! A person is forgotten: everywhere, whatever dies on the way, and nobody else with it.

mod canary;
mod fire;
mod racing;
mod receipt;
mod renewal;
mod stores;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use chrono::TimeDelta;
use convoledger::event::{ConversationId, Event, OwnerId, Position, Requester, StreamId, Version};
use convoledger::ledger::account::Forgetting;
use convoledger::ledger::{Act, Refusal};
use convoledger::projection::{Folded, Projection, Rebuild, SEARCH};
use convoledger::service::{Actor, ForgetError, Outcome, Reason, Receipts, Service, Step};
use futures::TryStreamExt as _;
use futures::future::join_all;
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support::service::{Stand, done, opener, order, say, started};

/// Two people who said something, one of whom goes.
struct Two {
    stand: Stand,
    goes: Actor,
    stays: Actor,
    theirs: ConversationId,
}

impl Two {
    async fn new() -> Self {
        let stand = Stand::new().await;
        let goes = stand.actor("goes@example.org").await;
        let stays = stand.actor("stays@example.org").await;
        for (actor, word) in [(goes, "xylophone"), (stays, "zeppelin")] {
            let conversation = started(&stand.service, actor).await;
            let title = Act::SetTitle { title: format!("About a {word}") };
            let acts = [title].into_iter().chain((0..3).map(|nth| say(format!("The {word} of number {nth}"))));
            done(&stand.service, actor, order(conversation, acts)).await;
        }
        let theirs = started(&stand.service, stays).await;
        done(&stand.service, stays, order(theirs, [say("kept for good")])).await;
        stand.service.create_token(goes, "a secret name").await.expect("a token");
        stand.folded(stays).await;
        Self { stand, goes, stays, theirs }
    }

    async fn request(&self) {
        let service = &self.stand.service;
        let asked = service.request_forgetting(self.goes.account, Requester::Subject, TimeDelta::zero()).await;
        assert!(!asked.expect("a request").1, "for the first time");
    }

    /// What must be so once it is over, seen from `service`.
    async fn is_over(&self, service: &Service) {
        self.stand.folded(self.stays).await;
        self.stand.holds().await;
        assert_eq!(service.forgetting(self.goes.account).await.expect("an answer"), Forgetting::Done);
        let said = said(service, self.goes).await;
        assert!(said.0 > 0 && said.1.is_empty(), "{said:?}");
        let (_, stays) = self::said(service, self.stays).await;
        assert!(stays.contains("kept for good") && stays.contains("The zeppelin of number 2"), "{stays:?}");
        for (table, there) in [("document", "owner_id"), ("spoken", "owner_id")] {
            let text = format!("SELECT count(*) FROM search.{table} WHERE {there} = '{}'", self.goes.account);
            assert_eq!(self.number(&text).await, 0, "{text}");
        }
        let known = |word| format!("SELECT count(*) FROM search.vocabulary WHERE word = '{word}'");
        assert_eq!(self.number(&known("xylophone")).await, 0);
        assert_eq!(self.number(&known("zeppelin")).await, 1);
        let gone = format!("SELECT count(*) FROM words WHERE subject_id = '{}'", self.goes.account);
        assert_eq!(self.number(&gone).await, 0);
        assert!(matches!(
            service.execute(self.goes, order(self.theirs, [say("again")])).await.expect("an answer"),
            Outcome::Refused(Reason::Forgotten)
        ));
        assert_eq!(service.find_account("goes@example.org").await.expect("an answer"), None);
    }

    async fn number(&self, sql: &str) -> i64 {
        let pool = self.stand.database.pool(1);
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&pool).await.expect("a number")
    }
}

/// How many of an actor's events had words, and those that can be read.
async fn said(service: &Service, actor: Actor) -> (usize, BTreeSet<String>) {
    let all: Vec<_> = service.scan(Position(0)).try_concat().await.expect("all opens");
    let theirs: Vec<_> = all
        .into_iter()
        .filter(|opened| opened.recorded.fact.owner == actor.owner() && !opened.recorded.fact.words_digest.is_empty())
        .collect();
    let read = theirs.iter().filter_map(|opened| opened.event.text()).collect();
    (theirs.len(), read)
}

/// What a receipt says that does not depend on when.
fn essence(receipt: &Value) -> Value {
    let receipt = &receipt["receipt"];
    serde_json::json!([
        receipt["words"]["parts"],
        receipt["removed"],
        receipt["stays"],
        receipt["epochs_retired_through"]
    ])
}

#[tokio::test]
async fn killed_before_any_step_the_next_server_ends_it_in_the_same_receipt() {
    let mut first = None;
    let directory = tempfile::tempdir().expect("a directory");
    for cut in 0..=Step::ALL.len() {
        let two = Two::new().await;
        two.request().await;
        for step in &Step::ALL[..cut] {
            two.stand.service.forget_by(two.goes.account, *step).await.expect("a step");
        }
        let heir = two.stand.beside().await.with_receipts(Receipts::kept_in(directory.path().to_owned()));
        let ended = async {
            while !heir.log().being_forgotten().await.expect("an answer").is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = heir.keep_forgetting() => unreachable!("it goes on as long as it is polled"),
            () = ended => {}
        }
        two.is_over(&heir).await;
        let kept = fs::read(directory.path().join(format!("{}.json", two.goes.account))).expect("a receipt");
        let kept: Value = serde_json::from_slice(&kept).expect("JSON");
        let again = two.stand.service.forget(two.goes.account).await.expect("it is over");
        assert_eq!(again.receipt, kept, "cut before step {cut}");
        let essence = essence(&kept);
        assert_eq!(*first.get_or_insert(essence.clone()), essence, "cut before step {cut}");
    }
}

#[tokio::test]
async fn dropped_anywhere_and_done_by_several_at_once_it_ends_in_one_receipt() {
    let two = Two::new().await;
    two.request().await;
    let servers = [two.stand.beside().await, two.stand.beside().await];
    for round in 0..20 {
        let cut = servers.iter().map(|server| {
            tokio::time::timeout(Duration::from_millis(3 * (round + 1)), server.forget(two.goes.account))
        });
        join_all(cut).await;
    }
    let last = join_all(servers.iter().map(|server| server.forget(two.goes.account))).await;
    let last: Vec<_> = last.into_iter().map(|ended| ended.expect("it ends").receipt).collect();
    assert_eq!(last[0], last[1]);
    two.is_over(&servers[0]).await;
    let stream = StreamId(two.goes.account.0);
    let history = servers[0].log().read_stream(OwnerId(stream.0), stream, Version(0), 100).await.expect("events");
    let ends = history.iter().filter(|event| event.fact.kind == "account.forgotten").count();
    assert_eq!(ends, 1);
}

#[tokio::test]
async fn it_ends_the_same_while_views_are_made_anew_and_everybody_goes_on() {
    let two = Two::new().await;
    let service = &two.stand.service;
    let log = service.log().clone();
    let opener = opener(&log, service.vault());
    let pool = two.stand.database.pool(4);
    let (goes, stays) = (two.goes, two.stays);
    let more = started(service, goes).await;
    let going_on = async {
        let mut refused = 0;
        for nth in 0..60 {
            let both = tokio::join!(
                service.execute(goes, order(more, [say(format!("one more xylophone {nth}"))])),
                service.execute(stays, order(two.theirs, [say(format!("one more zeppelin {nth}"))])),
            );
            assert!(matches!(both.1.expect("an answer"), Outcome::Done(_)), "nobody else is kept from going on");
            refused += usize::from(matches!(both.0.expect("an answer"), Outcome::Refused(Reason::Forgotten)));
        }
        refused
    };
    let anew = async {
        for nth in 0..6 {
            let (strands, stop) = (1 + nth % 3, CancellationToken::new());
            let rebuild = Rebuild { projection: &SEARCH, pool: &pool, opener: &*opener, throttle: None, strands, stop };
            // What is swept or dropped under its hands may end it.
            let _ = rebuild.replace(|_, _| ()).await;
        }
    };
    let forgetting = async {
        sleep(Duration::from_millis(60)).await;
        two.request().await;
        service.forget(goes.account).await.expect("it ends")
    };
    let (refused, (), forgotten) = tokio::join!(going_on, anew, forgetting);
    assert!(refused > 0, "some came too late");
    two.is_over(service).await;
    let forgotten = &forgotten.receipt["receipt"];
    let parts = two
        .number(&format!(
            "SELECT sum(octet_length(words_digest) / 33)::bigint FROM event WHERE owner_id = '{}'",
            goes.account
        ))
        .await;
    assert_eq!(forgotten["words"]["parts"], parts);

    // And what is made anew now is what is there.
    let stop = CancellationToken::new();
    let rebuild = Rebuild { projection: &SEARCH, pool: &pool, opener: &*opener, throttle: None, strands: 2, stop };
    let rebuilt = rebuild.replace(|_, _| ()).await.expect("rows");
    assert_eq!(rebuilt.differences, Some(Vec::new()));
    rebuild.drop_old().await.expect("the former rows go");
    two.is_over(service).await;
}

#[tokio::test]
async fn what_was_opened_before_words_went_is_not_folded_after() {
    let two = Two::new().await;
    let (service, pool) = (&two.stand.service, two.stand.database.pool(4));
    let opener = opener(service.log(), service.vault());
    let late = Projection::of_words(
        "late",
        "CREATE TABLE text (position bigint PRIMARY KEY, text text);",
        "",
        "INSERT INTO text SELECT position, text FROM unnest($3::bigint[], $4::smallint[], $5::text[]) \
         AS said (position, part, text) WHERE position > $1 AND position <= $2",
    );
    let head = service.log().head().await.expect("a head");
    let open = || late.range(&*opener, Position(0), head);
    let before = open().await.expect("words");
    two.request().await;
    service.forget(two.goes.account).await.expect("it ends");
    late.create(&pool).await.expect("tables");
    assert_eq!(late.fold(&pool, &before).await.expect("an answer"), Folded::Gone);
    assert_eq!(late.fold(&pool, &open().await.expect("words")).await.expect("an answer"), Folded::Done);
    assert_eq!(two.number("SELECT count(*) FROM late.text WHERE text LIKE '%xylophone%'").await, 0);
    assert!(two.number("SELECT count(*) FROM late.text").await > 3);
}

#[tokio::test]
async fn with_the_request_the_account_is_closed_and_a_cancelled_one_opens_again() {
    let two = Two::new().await;
    let (service, goes) = (&two.stand.service, two.goes);
    let token = service.create_token(goes, "mine").await.expect("a token");
    let other = two.stand.beside().await;
    let grace =
        service.request_forgetting(goes.account, Requester::Subject, TimeDelta::days(3)).await.expect("a request");
    assert!(matches!(grace, (Forgetting::Requested { .. }, false)));
    for server in [service, &other] {
        assert_eq!(server.authenticate(token.reveal()).await.expect("an answer"), None);
        let late = server.execute(goes, order(two.theirs, [say("late")])).await.expect("an answer");
        assert!(matches!(late, Outcome::Refused(_)), "{late:?}");
    }
    assert!(matches!(service.forget(goes.account).await, Err(ForgetError::Refused(Refusal::NotDue))));
    assert!(service.cancel_forgetting(goes.account).await.expect("an answer"));
    assert_eq!(service.authenticate(token.reveal()).await.expect("an answer"), Some(goes));
    let conversation = started(&other, goes).await;
    done(&other, goes, order(conversation, [say("still here")])).await;
    assert!(said(service, goes).await.1.contains("still here"));
}

#[tokio::test]
async fn a_hold_wins_until_it_is_released() {
    let two = Two::new().await;
    let (service, account) = (&two.stand.service, two.goes.account);
    assert!(service.hold(account, "a case at court").await.expect("held"));
    assert!(!service.hold(account, "again").await.expect("held"));
    let asked = service.request_forgetting(account, Requester::Operator, TimeDelta::zero()).await;
    assert!(matches!(asked, Err(ForgetError::Refused(Refusal::Held))));
    service.release(account, "settled").await.expect("released");
    two.request().await;
    service.hold(account, "another case").await.expect("held");
    assert!(matches!(service.forget(account).await, Err(ForgetError::Refused(Refusal::Held))));
    service.release(account, "settled as well").await.expect("released");
    service.forget(account).await.expect("it ends");

    // Reasons are the ledger's own words, and stay.
    let all: Vec<_> = service.scan(Position(0)).try_concat().await.expect("all opens");
    let reasons: Vec<_> = all
        .iter()
        .filter_map(|opened| match &opened.event {
            Event::AccountHeld(held) => held.reason.clone().known(),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["a case at court", "another case"]);
    two.is_over(service).await;
}

#[tokio::test]
async fn words_go_only_where_the_log_says_so() {
    let two = Two::new().await;
    let pool = two.stand.database.pool(1);
    let refused = |sql: String| {
        let pool = pool.clone();
        async move { sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.expect_err("refused").to_string() }
    };
    assert!(refused("DELETE FROM words".into()).await.contains("permission denied"));
    assert!(refused("SELECT erase_words(1, 0)".into()).await.contains("takes no words away"));
}

#[tokio::test]
async fn one_message_and_one_conversation_are_forgotten_and_the_others_are_not() {
    let two = Two::new().await;
    let (service, actor) = (&two.stand.service, two.stays);
    let at = started(service, actor).await;
    let message = done(service, actor, order(at, [say("an ichthyosaur"), say("a plesiosaur")])).await.messages[0];
    let rated = Act::Rate { message, rating: None, comment: Some("no mosasaur".into()) };
    done(service, actor, order(at, [rated])).await;
    two.stand.folded(actor).await;
    let known = |word| format!("SELECT count(*) FROM search.vocabulary WHERE word = '{word}'");
    assert_eq!(two.number(&known("ichthyosaur")).await, 1);

    service.hold(actor.account, "a case").await.expect("held");
    let held = service.execute(actor, order(at, [Act::ForgetMessage { message }])).await.expect("an answer");
    assert!(matches!(held, Outcome::Refused(Reason::Rule(Refusal::Held))), "{held:?}");
    service.release(actor.account, "settled").await.expect("released");

    let forget = || order(at, [Act::ForgetMessage { message }]);
    done(service, actor, forget()).await;
    assert!(matches!(service.execute(actor, forget()).await.expect("an answer"), Outcome::AlreadyDone(_)));
    let texts = said(service, actor).await.1;
    assert!(!texts.contains("an ichthyosaur") && texts.contains("a plesiosaur"), "{texts:?}");
    two.stand.folded(actor).await;
    let words = format!("SELECT count(*) FROM words WHERE owner_id = '{}'", actor.account);
    assert_eq!((two.number(&known("ichthyosaur")).await, two.number(&known("plesiosaur")).await), (0, 1));

    done(service, actor, order(at, [Act::ForgetConversation])).await;
    let after = two.number(&words).await;
    two.stand.folded(actor).await;
    two.stand.holds().await;
    let texts = said(service, actor).await.1;
    assert!(!texts.contains("a plesiosaur") && texts.contains("kept for good"), "{texts:?}");
    assert_eq!(two.number(&known("plesiosaur")).await, 0);
    assert_eq!(two.number("SELECT count(*) FROM unswept").await, 0);
    // It goes on, and what comes is kept.
    done(service, actor, order(at, [say("a fresh start")])).await;
    assert_eq!(two.number(&words).await, after + 1);
    assert!(said(service, actor).await.1.contains("a fresh start"));
}
