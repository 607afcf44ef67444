//! Forgetting on the command line beside a server, all of it killed again and again: it ends in one receipt.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

use rand::RngExt as _;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::canary::{CANARY, NAME, all, ask_status, done, number, says, serve, speak, speak_of, until, view_of_words};
use crate::support::program::{Ledger, ask, json, text};

const KILLS: usize = 8;

#[test]
fn killed_with_its_server_again_and_again_it_ends_in_one_receipt_and_is_found_nowhere() {
    let ledger = Ledger::new();
    let email = format!("{CANARY}@example.org");
    let token = text(&ledger.run(&["token", "create", "--account", &email, "--name", NAME]));
    let other = text(&ledger.run(&["token", "create", "--account", "b@c.org"]));
    let views = view_of_words(&ledger);
    let said = ledger.directory.path().join("said");
    let (server, address) = serve(&ledger, &views, &said);
    speak(&address, &token);
    speak_of(&address, &other, "zeppelin");
    done(&address, &token, "exportMyData(input: {})");
    until(|| ask(&address, &token, "{ exports { state } }")["data"]["exports"][0]["state"] == "READY");
    let url = url_of(&ledger);
    until(|| number(&url, "SELECT count(*) FROM said.text WHERE text LIKE '%quetzalcoatlus%'") > 2);
    until(|| number(&url, "SELECT count(*) FROM search.vocabulary WHERE word = 'quetzalcoatlus'") > 0);
    what_is_refused_or_counted_says_no_word(&address, &token);

    let begun = Instant::now();
    let dry = json(&ledger.run(&["forget", &email, "--dry-run", "--json"]));
    let whole = begun.elapsed();
    let account = dry["account"].as_str().expect("an id").to_owned();
    let exports = ledger.data().join("exports").join(&account);
    assert!(exports.exists() && dry["removes"].to_string().contains(r#""count":1,"store":"exports""#), "{dry}");

    // Later than a run that changes nothing takes, something is under way.
    for _ in 0..KILLS {
        let mut forget =
            ledger.command(&["forget", &account, "--yes"]).stdout(Stdio::null()).spawn().expect("it starts");
        sleep(whole.mul_f64(rand::rng().random_range(0.3..1.2)));
        forget.kill().expect("kill -9");
        forget.wait().expect("it ends");
    }
    server.signal(Signal::KILL);
    drop(server);
    // At least the request was made: or it is made now, and killed.
    let receipt = ledger.data().join("receipts").join(format!("{account}.json"));
    let (server, address) = serve(&ledger, &views, &said);
    let url = url_of(&ledger);
    until(|| {
        if !receipt.exists() && number(&url, "SELECT count(*) FROM closed") == 0 {
            ledger.run(&["forget", &account, "--yes"]);
        }
        receipt.exists()
    });
    let kept = read(&receipt);
    assert_eq!(kept["receipt"]["removed"], dry["removes"]);
    assert_eq!(kept["receipt"]["words"], dry["words"]);
    fs::remove_file(&receipt).expect("it is there");
    let again = json(&ledger.run(&["forget", &account, "--yes", "--json"]));
    assert_eq!((&again["receipt"], &read(&receipt)), (&kept, &kept), "the same receipt");

    let key = text(&ledger.run(&["keys", "public"])).trim().to_owned();
    ledger.run(&["check", "--key", &key, receipt.to_str().expect("a path")]);
    ledger.run(&["verify"]);
    ledger.run(&["rebuild", "--compare"]);
    assert_eq!(ask_status(&address, &token), 401);
    assert!(!exports.exists());
    let texts = "{ conversations(first: 1) { nodes { title messages(first: 5) { nodes { text } } } } }";
    let texts = ask(&address, &other, texts).to_string();
    assert!(texts.contains("zeppelin title") && texts.contains("zeppelin 2"), "{texts}");
    until(|| number(&url, "SELECT count(*) FROM said.text WHERE text LIKE '%zeppelin%'") > 0);

    server.signal(Signal::TERM);
    until(|| !ledger.data().join("pg/postmaster.pid").exists());
    let mut files = all(&ledger.data());
    files.push(said);
    assert!(files.len() > 250, "a whole cluster");
    let saying: Vec<_> = files.iter().filter(|file| says(file, CANARY)).collect();
    assert!(saying.is_empty(), "{saying:?}");
    // In the clear, so the write-ahead log of before has it until Postgres uses the file again.
    let saying = |file: &&std::path::PathBuf| !file.to_string_lossy().contains("pg_wal") && says(file, NAME);
    let saying: Vec<_> = files.iter().filter(saying).collect();
    assert!(saying.is_empty(), "{saying:?}");
}

/// Where its Postgres is now.
fn url_of(ledger: &Ledger) -> String {
    json(&ledger.run(&["doctor", "--json"]))["database"]["url"].as_str().expect("a URL").to_owned()
}

/// Refusals, errors, and what is measured.
fn what_is_refused_or_counted_says_no_word(address: &str, token: &str) {
    let known = ask(address, token, "{ conversations(first: 1) { nodes { id messages(first: 1) { nodes { id } } } } }");
    let node = &known["data"]["conversations"]["nodes"][0];
    let (id, message) = (&node["id"], &node["messages"]["nodes"][0]["id"]);
    let taken =
        format!("createBranch(input: {{ conversationId: {id}, fromMessageId: {message}, name: \"{CANARY} idea\" }})");
    let long = CANARY.repeat(10_000);
    let refused = [
        (taken, "Refused"),
        (format!("setTitle(input: {{ id: {id}, title: \"{long}\" }})"), "Refused"),
        (format!("tagConversation(input: {{ id: {id}, tags: [\"{long}\"] }})"), "Refused"),
        (format!("hideMessage(input: {{ id: \"{CANARY}\" }})"), "errors"),
    ];
    for (act, becomes) in refused {
        let told =
            ask(address, token, &format!("mutation {{ {act} {{ __typename ... on Refused {{ reason message }} }} }}"));
        let told = told.to_string();
        assert!(told.contains(becomes) && !told.contains(CANARY), "{}", told.replace(CANARY, "[a canary]"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let counted = runtime.block_on(async {
        let metrics = reqwest::get(format!("{address}/metrics")).await.expect("an answer");
        metrics.text().await.expect("text")
    });
    assert!(counted.len() > 100 && !counted.contains(CANARY) && !counted.contains(NAME));
}

fn read(receipt: &Path) -> Value {
    serde_json::from_slice(&fs::read(receipt).expect("a receipt")).unwrap_or(json!(null))
}
