//! After some of a person's words went, the key that sealed them is given up with its epoch: no copy from before opens them,
//! and all that is left opens as before.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use convoledger::event::{ConversationId, Event, MessageId, Position, StreamId, Version};
use convoledger::ledger::Act;
use convoledger::service::{Actor, Part, Service};
use futures::TryStreamExt as _;
use futures::future::join_all;
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::canary::{
    CANARY, copied, done as asked, dump, number, restored, says, serve, speak_of, until, view_of_words,
};
use super::{racing, said};
use crate::support::program::{Ledger, ask, change_as_superuser, json};
use crate::support::service::{Stand, done, named, order, say, started};

/// The whole of it, as whoever runs a ledger sees it.
#[test]
fn a_message_that_was_forgotten_opens_from_no_copy_of_before_and_the_rest_does() {
    let ledger = Ledger::new();
    let token = String::from_utf8(ledger.run(&["token", "create", "--account", "a@b.org"]).stdout).expect("a token");
    let said = ledger.directory.path().join("said");
    let (server, address) = serve(&ledger, &view_of_words(&ledger), &said);
    let conversation = speak_of(&address, &token, "zeppelin");
    let appended = ask(
        &address,
        &token,
        &format!(
            "mutation {{ appendMessage(input: {{ conversationId: {conversation}, role: USER, text: \"{CANARY}\" }}) \
             {{ ... on MessageDone {{ message {{ id }} }} }} }}"
        ),
    );
    let message = appended["data"]["appendMessage"]["message"]["id"].as_str();
    let message = message.unwrap_or_else(|| panic!("{appended}")).to_owned();
    let url = json(&ledger.run(&["doctor", "--json"]))["database"]["url"].as_str().expect("a URL").to_owned();
    let known =
        |url: &str, word: &str| number(url, &format!("SELECT count(*) FROM search.vocabulary WHERE word = '{word}'"));
    until(|| known(&url, "quetzalcoatlus") > 0);
    let before = dump(&ledger, &url, &["-n", "public", "-n", "vault", "-n", "account", "-n", "fold"]);
    let old_log = dump(&ledger, &url, &["-n", "public", "-n", "account", "-n", "fold"]);
    let receipt_file = ledger.directory.path().join("receipt.json");
    let receipt = || {
        let printed = ledger.run(&["receipt", &message, "--backups-days", "35"]).stdout;
        fs::write(&receipt_file, &printed).expect("written");
        serde_json::from_slice::<Value>(&printed).expect("JSON")["receipt"].clone()
    };
    let nothing = ledger.fail(&["receipt", &message]);
    assert!(nothing.contains("nothing of it was forgotten"), "{nothing}");

    assert!(asked(&address, &token, &format!("forgetMessage(input: {{ id: \"{message}\" }})")));
    let early = receipt();
    assert!(early["keys_destroyed_by"].is_string() && early["keys_destroyed"].is_null(), "{early}");
    ledger.run(&["keys", "retire-epoch", "--backups-days", "35"]);
    let late = receipt();
    assert!(late["keys_destroyed_by"].is_null() && late["keys_destroyed"]["position"].is_u64(), "{late}");
    assert_eq!((late["keys"].as_array().map(Vec::len), &late["words"]["parts"]), (Some(1), &Value::from(1)), "{late}");
    assert!(late["backups"].as_str().is_some_and(|said| said.contains("35 days")), "{late}");
    assert_eq!((&early["forgotten"], &early["words"]), (&late["forgotten"], &late["words"]));
    let shown = ask(&address, &token, &format!("{{ forgetReceipt(id: \"{message}\") }}"));
    assert_eq!(shown["data"]["forgetReceipt"]["receipt"], late);
    the_receipt_is_checked(&ledger, &receipt_file);

    // What is left reads as before, on this server, which had the old key in memory, and in its views.
    let texts =
        ask(&address, &token, "{ conversations(first: 1) { nodes { messages(first: 9) { nodes { text } } } } }");
    assert!(texts.to_string().contains("zeppelin") && !texts.to_string().contains(CANARY), "{texts}");
    ledger.run(&["verify"]);

    let elsewhere = Ledger::new();
    let keys = copied(&ledger.data().join("keys"), &elsewhere);
    let there = restored(&ledger, &url, "before", &[&before]);
    let told = elsewhere.fail(&["rebuild", "--database-url", &there, "--keys", &keys]);
    assert!(told.contains("is missing") && told.contains("retired"), "{told}");
    change_as_superuser(&url, "DROP DATABASE before");

    // As a restore is to be made: the log from whenever, the keys from now.
    let vault = dump(&ledger, &url, &["-n", "vault"]);
    let there = restored(&ledger, &url, "restored", &[&old_log, &vault]);
    for command in ["migrate", "rebuild", "verify"] {
        elsewhere.run(&[command, "--database-url", &there, "--keys", &keys]);
    }
    assert_eq!((known(&there, "zeppelin"), known(&there, CANARY)), (1, 0));
    let sealed = number(&there, "SELECT count(*) FROM words") - number(&there, "SELECT count(*) FROM vault.opening");
    assert!(sealed > 0, "the bytes of what was forgotten are there, and nothing that opens them");
    change_as_superuser(&url, "DROP DATABASE restored");
    drop(server);
    assert!(!says(&said, CANARY), "logs");
}

fn the_receipt_is_checked(ledger: &Ledger, file: &std::path::Path) {
    let key = String::from_utf8(ledger.run(&["keys", "public"]).stdout).expect("text");
    let path = file.to_str().expect("a path");
    let checked = String::from_utf8(ledger.run(&["check", "--key", key.trim(), path]).stdout).expect("text");
    assert!(checked.contains("message") && checked.contains("was forgotten"), "{checked}");
    let mut forged: Value = serde_json::from_slice(&fs::read(file).expect("it is there")).expect("JSON");
    forged["receipt"]["words"]["parts"] = 7.into();
    fs::write(file, forged.to_string()).expect("written");
    let told = ledger.fail(&["check", "--key", key.trim(), path]);
    assert!(told.contains("something else than what was signed"), "{told}");
}

/// A server that holds a key which another one gave up seals anew, under the next, and its caller sees nothing of it.
#[tokio::test]
async fn who_still_holds_the_old_key_says_it_under_the_next() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@b.org").await;
    let other = stand.beside().await;
    let at = started(&other, actor).await;
    let tokens = other.tokens(actor, &["Work".into()]).await.expect("an answer");
    let first = done(&other, actor, named(order(at, [say("goes")]), "twice", "the same")).await;
    done(&other, actor, order(at, [say("stays")])).await;
    let message = first.messages[0];
    done(&stand.service, actor, order(at, [Act::ForgetMessage { message }])).await;
    stand.service.retire_epoch().await.expect("it retires");

    done(&other, actor, order(at, [say("late")])).await;
    let generations = "SELECT DISTINCT generation FROM words WHERE subject_id = owner_id";
    assert_eq!(BTreeSet::from_iter(rows::<(i32,)>(&stand, generations).await), BTreeSet::from([(1,), (2,)]));
    let texts = said(&other, actor).await.1;
    assert!(texts.contains("stays") && texts.contains("late") && !texts.contains("goes"), "{texts:?}");
    // Tags and repeats are compared as ever.
    assert_eq!(other.tokens(actor, &[" work ".into()]).await.expect("an answer"), tokens);
    let again = other.execute(actor, named(order(at, [say("goes")]), "twice", "the same")).await.expect("an answer");
    assert!(
        matches!(&again, convoledger::service::Outcome::AlreadyDone(done) if done.messages == [message]),
        "{again:?}"
    );
    stand.holds().await;
}

/// An export holds what was there when it was made: it goes with the key, and the next one has what is left.
#[tokio::test]
async fn an_export_of_before_is_taken_away_and_the_next_opens_and_is_whole() {
    let (stand, home) = (Stand::new().await, TempDir::new().expect("a directory"));
    let server = racing::server(&stand, home.path()).await;
    let actor = stand.actor("a@b.org").await;
    let at = started(&server, actor).await;
    let message = done(&server, actor, order(at, [say("goes"), say("stays")])).await.messages[0];
    let job = racing::exporting(&server);
    let made = async |nth: usize| {
        server.request_export(actor, false, None).await.expect("a request");
        loop {
            let exports = server.exports(actor).await.expect("an answer");
            if exports.len() == nth && exports[0].made.is_some() {
                return exports[0].id;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let first = made(1).await;
    done(&server, actor, order(at, [Act::ForgetMessage { message }])).await;
    server.retire_epoch().await.expect("it retires");
    assert!(server.fetch_export(actor, first, true).await.expect("an answer").is_none());
    assert!(server.exports(actor).await.expect("an answer")[0].expired);

    let second = made(2).await;
    job.abort();
    let mut fetched = server.fetch_export(actor, second, true).await.expect("an answer").expect("it is there");
    let archive = home.path().join("archive.zip");
    std::io::copy(&mut fetched.content, &mut fs::File::create(&archive).expect("a file")).expect("all of it");
    let keys: Vec<_> = server.checkpoint_keys().await.expect("keys");
    let checked = convoledger::archive::check::check(&archive, Some(&keys), |_| ()).expect("it is whole");
    assert_eq!(checked.manifest.counts.messages, 2);
    let text = fs::read(&archive).expect("it is there");
    assert!(!String::from_utf8_lossy(&text).contains("\"goes\""));
}

/// While two servers take keys away, two others go on: nothing that was said is lost, and no caller hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_goes_on_meanwhile_loses_nothing() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@b.org").await;
    let servers = [stand.beside().await, stand.beside().await, stand.beside().await, stand.beside().await];
    let at = started(&servers[0], actor).await;
    let over = &AtomicUsize::new(0);
    let speakers = servers[..2].iter().enumerate().map(|(who, server)| async move {
        let other = started(server, actor).await;
        let mut messages = Vec::new();
        while over.load(Ordering::SeqCst) < 2 {
            let text = format!("{who} says {}", messages.len());
            messages.push((done(server, actor, order(other, [say(&text)])).await.messages[0], text));
        }
        (other, messages)
    });
    let takers = servers[2..].iter().map(|server| async move {
        for _ in 0..6 {
            let message = done(server, actor, order(at, [say("goes")])).await.messages[0];
            done(server, actor, order(at, [Act::ForgetMessage { message }])).await;
            server.retire_epoch().await.expect("it retires");
        }
        over.fetch_add(1, Ordering::SeqCst);
    });
    let (said, _) = tokio::join!(join_all(speakers), join_all(takers));
    for (conversation, messages) in said {
        let there = texts(&servers[3], actor, conversation).await;
        assert_eq!(there, messages.into_iter().map(|(_, text)| text).collect());
    }
    assert!(texts(&servers[0], actor, at).await.is_empty());
    let generations = rows::<(i32,)>(&stand, "SELECT DISTINCT generation FROM words WHERE subject_id = owner_id").await;
    assert!(generations.len() > 3, "{generations:?}");
    stand.holds().await;
}

/// What was forgotten, and where.
#[derive(Debug, Clone)]
enum Step {
    Say,
    Forget(prop::sample::Index),
    ForgetAll,
    Retire,
    /// Cut short after so many milliseconds.
    Cut(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => Just(Step::Say),
        3 => any::<prop::sample::Index>().prop_map(Step::Forget),
        1 => Just(Step::ForgetAll),
        2 => Just(Step::Retire),
        2 => (0..40_u64).prop_map(Step::Cut),
    ];
    prop::collection::vec(step, 4..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_left_opens_and_of_what_went_no_copy_ever_made_does(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(play(steps));
    }
}

/// Copies of all that was ever in the tables of keys.
#[derive(Default)]
struct Copies {
    /// Of which subject key, in which epoch.
    keys: HashSet<(i32, i32)>,
    /// What opens which part, by which generation.
    openings: HashSet<(i64, i16, i32)>,
    /// Under which generation which part was sealed.
    sealed: HashSet<(i64, i16, i32)>,
}

impl Copies {
    async fn copy(&mut self, stand: &Stand, actor: Actor) {
        let id = actor.account;
        let keys = "SELECT generation, epoch FROM vault.subject_key WHERE wrapped IS NOT NULL AND subject_id =";
        self.keys.extend(rows::<(i32, i32)>(stand, &format!("{keys} '{id}'")).await);
        self.openings
            .extend(rows::<(i64, i16, i32)>(stand, "SELECT position, part, generation FROM vault.opening").await);
        let sealed = "SELECT position, part, generation FROM words WHERE subject_id =";
        self.sealed.extend(rows::<(i64, i16, i32)>(stand, &format!("{sealed} '{id}'")).await);
    }
}

async fn play(steps: Vec<Step>) {
    let stand = Stand::new().await;
    let actor = stand.actor("a@b.org").await;
    let servers = [stand.beside().await, stand.beside().await];
    let at = started(&servers[0], actor).await;
    let (mut said, mut copies, mut went) = (BTreeMap::<MessageId, String>::new(), Copies::default(), Vec::new());
    for (nth, step) in steps.into_iter().enumerate() {
        let server = &servers[nth % 2];
        match step {
            Step::Say => {
                let text = format!("words of {nth}");
                let message = done(server, actor, order(at, [say(&text)])).await.messages[0];
                said.insert(message, text);
            }
            Step::Forget(which) if !said.is_empty() => {
                let message = *said.keys().nth(which.index(said.len())).expect("one of them");
                copies.copy(&stand, actor).await;
                done(server, actor, order(at, [Act::ForgetMessage { message }])).await;
                said.remove(&message);
                went.push(Part::Message(at, message));
            }
            Step::ForgetAll if !said.is_empty() => {
                copies.copy(&stand, actor).await;
                done(server, actor, order(at, [Act::ForgetConversation])).await;
                said.clear();
                went.push(Part::Conversation(at));
            }
            Step::Forget(_) | Step::ForgetAll => {}
            Step::Retire => drop(server.retire_epoch().await.expect("it retires")),
            Step::Cut(ms) => {
                let _ = tokio::time::timeout(Duration::from_millis(ms), server.retire_epoch()).await;
            }
        }
        copies.copy(&stand, actor).await;
        for server in &servers {
            assert_eq!(texts(server, actor, at).await, said.values().cloned().collect::<BTreeSet<_>>());
        }
    }
    let retired = join_all(servers.iter().map(Service::retire_epoch)).await;
    for retired in retired {
        retired.expect("it retires");
    }
    copies.copy(&stand, actor).await;
    assert_eq!(texts(&servers[1], actor, at).await, said.values().cloned().collect::<BTreeSet<_>>());
    stand.holds().await;

    let sealed = "SELECT position, part, generation FROM words WHERE subject_id =";
    let left: HashSet<(i64, i16)> = rows::<(i64, i16, i32)>(&stand, &format!("{sealed} '{}'", actor.account))
        .await
        .into_iter()
        .map(|(position, part, _)| (position, part))
        .collect();
    let retired = "SELECT max(number) FROM vault.epoch WHERE retired_at IS NOT NULL";
    let retired = rows::<(i32,)>(&stand, retired).await[0].0;
    // Whoever has all copies and the key files of now: these generations are open to them.
    let open: HashSet<i32> = copies.keys.iter().filter(|(_, epoch)| *epoch > retired).map(|key| key.0).collect();
    let opens = copies.sealed.iter().chain(&copies.openings).filter(|(.., generation)| open.contains(generation));
    for (position, part, generation) in opens {
        assert!(left.contains(&(*position, *part)), "part {part} of {position} by key {generation}");
    }
    // And the log says so.
    for part in went {
        let receipt = servers[0].receipt_of(actor.account, part).await.expect("an answer").expect("a receipt");
        let receipt = &receipt["receipt"];
        assert!(
            receipt["keys_destroyed"]["position"].as_i64() > receipt["forgotten"]["position"].as_i64(),
            "{receipt}"
        );
    }
    let history = stand.service.log().read_stream(actor.owner(), StreamId(actor.account.0), Version(0), 1_000).await;
    let mut generations = Vec::new();
    for recorded in history.expect("events") {
        if let Event::SubjectKeyCreated(key) = recorded.event().expect("it reads") {
            generations.push(key.generation);
        }
    }
    assert_eq!(generations, (1..).take(generations.len()).collect::<Vec<_>>(), "each was committed to, once");
}

/// What can be read of a conversation.
async fn texts(server: &Service, actor: Actor, at: ConversationId) -> BTreeSet<String> {
    let all: Vec<_> = server.scan(Position(0)).try_concat().await.expect("all opens");
    let there = all
        .into_iter()
        .filter(|opened| (opened.recorded.fact.owner, opened.recorded.fact.stream) == (actor.owner(), StreamId(at.0)));
    there.filter_map(|opened| opened.event.text()).collect()
}

async fn rows<T>(stand: &Stand, sql: &str) -> Vec<T>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    let pool = stand.database.pool(1);
    sqlx::query_as(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&pool).await.expect("rows")
}
