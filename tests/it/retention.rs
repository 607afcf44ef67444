//! Words go when their time is over: those and no others, announced, and whatever dies on the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use convoledger::clock::Clock;
use convoledger::event::{
    CommandId, ConversationId, Event, EventId, Lapsed, OwnerId, Position, Requester, RetentionPolicy, StreamId, Version,
};
use convoledger::ledger::Act;
use convoledger::ledger::retention::KEPT;
use convoledger::log::{Append, Expected, NewEvent, Target};
use convoledger::random;
use convoledger::service::{Actor, Service};
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::json;

use crate::support::canary::canary;
use crate::support::program::{Ledger, ask, fixture, json as document, number_as_superuser, text};
use crate::support::service::{Stand, done, order, say, started};

/// A year of words, and titles for ever.
fn a_year() -> RetentionPolicy {
    let kinds = [("conversation.titled".to_owned(), None)].into();
    RetentionPolicy { words: Some(365), kinds, ..KEPT }
}

/// One who settled nothing, and one who keeps everything.
struct Two {
    stand: Stand,
    ann: Actor,
    ben: Actor,
    at: ConversationId,
    began: DateTime<Utc>,
}

impl Two {
    async fn new() -> Self {
        let stand = Stand::new().await;
        let (ann, ben) = (stand.actor("ann@example.org").await, stand.actor("ben@example.org").await);
        stand.service.configure_retention(ben.account, Some(KEPT), Requester::Subject).await.expect("settled");
        let mut at = ConversationId::default();
        for (actor, word) in [(ben, "zeppelin"), (ann, "xylophone")] {
            at = started(&stand.service, actor).await;
            let title = Act::SetTitle { title: format!("About a {word}, kept") };
            let said = (0..3).map(|nth| say(format!("The {word} of number {nth}")));
            let last = done(&stand.service, actor, order(at, [title].into_iter().chain(said))).await;
            let comment = Some(format!("a fine {word}"));
            let rate = Act::Rate { message: last.messages[0], rating: None, comment };
            done(&stand.service, actor, order(at, [rate])).await;
        }
        stand.folded(ann).await;
        Self { stand, ann, ben, at, began: Clock::system().now() }
    }

    /// A server whose clock shows so many days from now.
    async fn after(&self, days: i64) -> Service {
        let clock = Clock::fixed(self.began + TimeDelta::days(days));
        self.stand.beside_at(clock).await.with_retention(a_year())
    }

    async fn number(&self, sql: &str) -> i64 {
        let pool = self.stand.database.pool(1);
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&pool).await.expect("a number")
    }

    async fn words_of(&self, actor: Actor) -> i64 {
        self.number(&format!("SELECT count(*) FROM words WHERE subject_id = '{}'", actor.account)).await
    }

    async fn knows(&self, word: &str) -> bool {
        self.number(&format!("SELECT count(*) FROM search.vocabulary WHERE word = '{word}'")).await > 0
    }

    /// What must be so once Ann's words are gone.
    async fn is_over(&self) {
        self.stand.folded(self.ann).await;
        self.stand.holds().await;
        assert_eq!(self.words_of(self.ann).await, 2, "the address and the title");
        assert!(self.knows("kept").await && self.knows("zeppelin").await, "what stays is found");
        assert_eq!(self.number("SELECT count(*) FROM unswept").await, 0);
        let documents = "SELECT count(*) FROM search.document WHERE kind = 'message' AND owner_id";
        assert_eq!(self.number(&format!("{documents} = '{}'", self.ann.account)).await, 0);
        assert_eq!(self.number(&format!("{documents} = '{}'", self.ben.account)).await, 3);
    }

    /// Everything that retention said of Ann's account.
    async fn told(&self) -> Vec<Event> {
        let stream = StreamId(self.ann.account.0);
        let log = self.stand.service.log();
        let events = log.read_stream(OwnerId(stream.0), stream, Version(0), 1_000).await.expect("events");
        let events = events.into_iter().filter(|event| event.fact.kind.starts_with("retention."));
        events.map(|event| event.event().expect("it reads")).collect()
    }
}

/// Kind, events, parts, bytes.
fn counts(words: &[Lapsed]) -> Vec<(&str, u64, u64, u64)> {
    words.iter().map(|words| (words.kind.as_str(), words.events, words.parts, words.bytes)).collect()
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_tells_what_then_goes() {
    let two = Two::new().await;
    let (before, head) = (two.words_of(two.ann).await, two.stand.holds().await);
    let unchanged = async || (two.words_of(two.ann).await, two.stand.holds().await) == (before, head);

    for early in [0, 357] {
        assert!(two.after(early).await.would_retain(two.ann.account).await.expect("an answer").is_empty(), "{early}");
        assert!(two.after(early).await.retain(two.ann.account).await.expect("an answer").is_empty(), "{early}");
    }
    let would = two.after(360).await.would_retain(two.ann.account).await.expect("an answer");
    let kinds: Vec<_> = counts(&would.announced).iter().map(|(kind, events, ..)| (*kind, *events)).collect();
    assert_eq!(kinds, [("message.appended", 3), ("message.rated", 1)]);
    assert!(unchanged().await, "a dry run, or a time that has not come, changes nothing");

    let announced = two.after(360).await.retain(two.ann.account).await.expect("an answer");
    assert_eq!((&announced.announced, announced.gone.len()), (&would.announced, 0));
    assert_eq!(two.words_of(two.ann).await, before, "nothing goes with the notice");
    assert_eq!(two.after(366).await.retain(two.ann.account).await.expect("an answer").gone, [], "nor before it is due");

    let would = two.after(367).await.would_retain(two.ann.account).await.expect("an answer");
    let gone = two.after(367).await.retain(two.ann.account).await.expect("an answer");
    assert_eq!(counts(&gone.gone), counts(&would.gone));
    assert_eq!(counts(&gone.gone), counts(&announced.announced));
    two.is_over().await;
    assert!(two.after(900).await.retain(two.ann.account).await.expect("an answer").is_empty(), "nothing is left");
    assert!(two.after(900).await.retain(two.ben.account).await.expect("an answer").is_empty(), "he keeps everything");

    // The conversation goes on, and what comes is young.
    done(&two.stand.service, two.ann, order(two.at, [say("a fresh start")])).await;
    assert!(two.after(300).await.retain(two.ann.account).await.expect("an answer").is_empty());
}

#[tokio::test]
async fn dropped_anywhere_and_done_by_several_at_once_all_goes_once() {
    let two = Two::new().await;
    // More than goes in one piece.
    for _ in 0..7 {
        done(&two.stand.service, two.ann, order(two.at, (0..300).map(|nth| say(format!("xylophone {nth}"))))).await;
    }
    two.stand.folded(two.ann).await;
    let announced = two.after(366).await.retain(two.ann.account).await.expect("a notice").announced;
    assert_eq!(announced.iter().map(|words| words.events).sum::<u64>(), 2_104);
    let servers = [two.after(400).await, two.after(400).await];
    for round in 0..20 {
        let cut = servers
            .iter()
            .map(|server| tokio::time::timeout(Duration::from_millis(3 * (round + 1)), server.retain(two.ann.account)));
        join_all(cut).await;
    }
    for ended in join_all(servers.iter().map(|server| server.retain(two.ann.account))).await {
        ended.expect("it ends");
    }
    two.is_over().await;
    let pieces: Vec<_> = two
        .told()
        .await
        .into_iter()
        .filter_map(|event| match event {
            Event::RetentionApplied(applied) => Some(applied.words),
            _ => None,
        })
        .collect();
    assert!(pieces.len() >= 2, "{}", pieces.len());
    let sum = |words: &[Lapsed]| {
        words.iter().map(|words| (words.events, words.bytes)).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    };
    assert_eq!(sum(&pieces.concat()), sum(&announced));
}

#[tokio::test]
async fn an_undo_keeps_it_until_another_policy_is_settled() {
    let two = Two::new().await;
    let (account, before) = (two.ann.account, two.words_of(two.ann).await);
    assert!(!two.stand.service.undo_retention(account, Requester::Subject).await.expect("an answer"));
    let notice = two.after(366).await.retain(account).await.expect("a notice");
    assert!(two.stand.service.undo_retention(account, Requester::Subject).await.expect("an answer"));
    for late in [370, 400, 4_000] {
        assert!(two.after(late).await.retain(account).await.expect("an answer").is_empty(), "{late}");
    }
    assert_eq!(two.words_of(two.ann).await, before);
    // What is said later is announced nevertheless.
    done(&two.stand.service, two.ann, order(two.at, [say("a marimba")])).await;
    let later = two.after(400).await.would_retain(account).await.expect("an answer");
    assert_eq!(counts(&later.announced).iter().map(|(_, events, ..)| *events).sum::<u64>(), 1);

    // A policy of her own makes void what was announced under the server's, and begins anew.
    two.after(400).await.retain(account).await.expect("a notice");
    let own = RetentionPolicy { words: Some(10), undo: 0, ..KEPT };
    assert!(two.stand.service.configure_retention(account, Some(own), Requester::Subject).await.expect("settled"));
    assert_eq!(two.stand.service.kept(account).await.expect("an answer").notice, None);
    let gone = two.after(11).await.retain(account).await.expect("an answer").gone;
    let more = ["conversation.titled", "message.appended", "message.rated"];
    assert_eq!(gone.iter().map(|words| words.kind.as_str()).collect::<Vec<_>>(), more);
    assert!(gone[1].events == 4 && notice.announced[0].events == 3);
    assert_eq!(two.words_of(two.ann).await, 1, "the address");
    two.stand.holds().await;
}

#[tokio::test]
async fn a_hold_wins_until_it_is_released() {
    let two = Two::new().await;
    let (service, account, before) = (&two.stand.service, two.ann.account, two.words_of(two.ann).await);
    two.after(366).await.retain(account).await.expect("a notice");
    service.hold(account, "a case at court").await.expect("held");
    let held = two.after(400).await.retain(account).await.expect("an answer");
    assert!(held.held && held.gone.is_empty());
    assert!(two.after(400).await.would_retain(account).await.expect("an answer").gone.is_empty());
    assert_eq!(two.words_of(two.ann).await, before);
    service.release(account, "settled").await.expect("released");
    assert_eq!(two.after(400).await.retain(account).await.expect("an answer").gone.len(), 2);
    two.is_over().await;
}

#[tokio::test]
async fn words_go_only_as_announced_and_verify_knows_which() {
    let two = Two::new().await;
    let (ann, log) = (two.ann.account, two.stand.service.log());
    let notice = two.after(366).await.retain(ann).await.expect("a notice");
    let (due, last) = (notice.due.expect("a time"), notice.announced[0].through);
    let version = log
        .read_stream(ann.into(), ann.into(), Version(0), 100)
        .await
        .expect("events")
        .last()
        .map(|event| event.version);
    let (version, before) = (version.expect("the notice"), two.words_of(two.ann).await);
    let early = due - TimeDelta::microseconds(1);
    for (announced, at, kind, through) in [
        (version, early, "message.appended", last),
        (version, due, "conversation.titled", last),
        (version, due, "message.appended", last.next()),
        (Version(version.0 - 1), due, "message.appended", last),
    ] {
        let body = json!({
            "announced": announced, "through": through, "words": [{ "kind": kind, "after": 0, "through": through }],
        });
        let said = NewEvent {
            id: EventId(random::id()),
            kind: "retention.applied",
            kind_version: 1,
            occurred_at: at,
            place: None,
            body,
            words: Vec::new(),
            gone: Vec::new(),
        };
        let append = Append {
            owner: ann.into(),
            actor: ann,
            command: CommandId(random::id()),
            command_digest: None,
            correlation: None,
            causation: None,
            targets: vec![Target { stream: ann.into(), expected: Expected::Any, events: vec![said] }],
        };
        let refused = log.append(append).await.expect_err("refused");
        let told = format!("{refused:?}");
        assert!(told.contains("takes no words away"), "{told}");
    }
    assert_eq!(two.words_of(two.ann).await, before);
    two.stand.holds().await;

    two.after(400).await.retain(ann).await.expect("it goes");
    two.is_over().await;
    // What is kept is missed.
    let titled = two
        .number(&format!("SELECT position FROM event WHERE owner_id = '{ann}' AND kind = 'conversation.titled'"))
        .await;
    let mut owner = two.stand.database.connect_as_owner().await.expect("a connection");
    let loss = sqlx::query("DELETE FROM words WHERE position = $1").bind(titled);
    loss.execute(&mut owner).await.expect("an owner may");
    let report = convoledger::log::verify::verify(log.pool(), None, 2, |_, _| ()).await.expect("an answer");
    let wrong = report.wrong.expect("a loss is found");
    assert!(wrong.position == Position(titled) && wrong.what.contains("does not say that they went"), "{wrong}");
}

/// What is found nowhere in the end.
const CANARY: &str = canary!("opteryx");

#[test]
fn on_the_command_line_what_lapsed_is_told_goes_and_is_found_nowhere() {
    let ledger = Ledger::new();
    let token = text(&ledger.run(&["token", "create", "--account", "a@b.org"]));
    let (server, address) = ledger.serve();
    let begun = ask(
        &address,
        &token,
        &format!(
            "mutation {{ startConversation(input: {{ title: \"The {CANARY}\" }}) {{ ... on ConversationDone {{ conversation {{ id }} }} }} }}"
        ),
    );
    let id = begun["data"]["startConversation"]["conversation"]["id"].clone();
    let say = format!(
        "mutation {{ appendMessage(input: {{ conversationId: {id}, role: USER, text: \"An {CANARY}\" }}) {{ __typename }} }}"
    );
    assert_eq!(ask(&address, &token, &say)["data"]["appendMessage"]["__typename"], "MessageDone");
    ledger.run(&["import", "--account", "a@b.org", &fixture("chatgpt/librechat-chatgpt-tree.json")]);
    let url = document(&ledger.run(&["doctor", "--json"]))["database"]["url"].as_str().expect("a URL").to_owned();
    let known =
        || number_as_superuser(&url, &format!("SELECT count(*) FROM search.vocabulary WHERE word = '{CANARY}'"));
    until(|| known() > 0);

    let run = |more: &[&str]| document(&ledger.run(&[&["retention", "run", "--json"], more].concat()));
    assert_eq!(run(&[])["accounts"], json!([]), "everything is kept for ever");
    let server_says = run(&["--dry-run", "--retain", "words=0d"]);
    assert_eq!(server_says["accounts"][0]["announced"].as_array().map(Vec::len), Some(3), "{server_says}");
    let wrong = ledger.run_to(2, &["retention", "set", "a@b.org", "facts=10d"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("would outlive facts"));

    let set = document(&ledger.run(&["retention", "set", "a@b.org", "words=0d,conversation.started=ever", "--json"]));
    assert_eq!((&set["policy"]["words"], &set["policy"]["undo"], &set["own"]), (&0.into(), &7.into(), &true.into()));
    let noticed = run(&["a@b.org"]);
    assert_eq!(noticed["accounts"][0]["gone"], json!([]), "{noticed}");
    let shown = text(&ledger.run(&["retention", "show", "a@b.org"]));
    assert!(
        shown.contains("words=0d,conversation.started=ever,undo=7d (its own)") && shown.contains("announced"),
        "{shown}"
    );
    assert!(text(&ledger.run(&["retention", "undo", "a@b.org"])).contains("stays"));
    assert_eq!(run(&[])["accounts"], json!([]));

    ledger.run(&["retention", "set", "a@b.org", "words=0d,undo=0d"]);
    ledger.run(&["hold", "a@b.org", "--reason", "a case"]);
    assert_eq!(run(&[])["accounts"], json!([]));
    ledger.run(&["release", "a@b.org", "--reason", "settled"]);
    let would = run(&["--dry-run"]);
    let gone = run(&[]);
    assert_eq!(would["accounts"][0]["gone"], gone["accounts"][0]["gone"]);
    let events = |kind: &str| {
        let gone = gone["accounts"][0]["gone"].as_array().expect("kinds");
        gone.iter().find(|gone| gone["kind"] == kind).map(|gone| gone["events"].clone())
    };
    assert_eq!(
        (events("message.appended"), events("conversation.titled")),
        (Some(13.into()), Some(2.into())),
        "{gone}"
    );
    assert_eq!(run(&[])["accounts"], json!([]));
    ledger.run(&["verify"]);
    ledger.run(&["rebuild", "--compare"]);
    assert_eq!(known(), 0);
    let left = number_as_superuser(
        &url,
        "SELECT count(*) FROM words JOIN event USING (position) WHERE kind <> 'account.registered' AND kind NOT LIKE 'account.%'",
    );
    assert_eq!(left, 0);
    let read = ask(
        &address,
        &token,
        "{ conversations(first: 9) { nodes { title messages(last: 1) { nodes { role text } } } } }",
    );
    let nodes = read["data"]["conversations"]["nodes"].as_array().expect("conversations");
    assert!(
        nodes.len() == 2
            && nodes.iter().all(|node| node["title"].is_null() && node["messages"]["nodes"][0]["text"].is_null()),
        "{read}"
    );

    server.signal(Signal::TERM);
    until(|| !ledger.data().join("pg/postmaster.pid").exists());
    let mut saying = Vec::new();
    look(&ledger.data(), &mut saying);
    assert!(saying.is_empty(), "{saying:?}");
}

fn look(directory: &Path, saying: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            look(&path, saying);
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).contains(CANARY) {
            saying.push(path);
        }
    }
}

fn until(so: impl Fn() -> bool) {
    for _ in 0..400 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it did not come to be so");
}
