//! Views made anew: on this machine and on another one, whole and with a person forgotten, they say what they said.

use std::fs;
use std::process::{Command, Stdio};

use convoledger::database::Embedded;
use convoledger::projection::BUILT_IN;
use serde_json::Value;

use crate::support::program::{Ledger, ask, change_as_superuser, fixture, json, rows_as_superuser};

/// Everything that a view has a say in.
const QUESTIONS: &[&str] = &[
    "{ conversations(first: 20, orderBy: LARGEST) { totalCount pageInfo { hasNextPage endCursor } nodes { id title tags \
     favorited status model provider source version position createdAt updatedAt messageCount tokensIn tokensOut \
     cacheReads cacheWrites costUsd sizeBytes branches { id name createdAt messageCount costUsd ownCostUsd preferred \
     forkedFrom { id } tip { id } } } } }",
    "{ conversations(first: 20) { nodes { messages(last: 40) { nodes { id depth role text forgotten rating \
     model costUsd parent { id } siblings { id } branch { id } } } } } }",
    "{ conversations(filter: { favoritesOnly: true, tags: [\"kept\"] }) { totalCount nodes { id } } }",
];

#[test]
fn all_views_dropped_and_made_anew_answer_byte_for_byte_as_before() {
    let (ledger, token) = filled();
    let (server, address) = ledger.serve();
    let before = answers(&address, &token);
    let url = url(&ledger);
    for view in BUILT_IN {
        change_as_superuser(&url, &format!("DROP SCHEMA {} CASCADE", view.name));
    }
    drop(server);
    for arguments in [&["rebuild"][..], &["rebuild", "--offline"]] {
        ledger.run(arguments);
        let (server, address) = ledger.serve();
        assert!(answers(&address, &token) == before, "{arguments:?}");
        drop(server);
    }
}

#[test]
fn a_dump_of_the_log_and_the_keys_give_the_same_views_elsewhere() {
    let (ledger, token) = filled();
    let (_server, address) = ledger.serve();
    let (before, here) = (answers(&address, &token), url(&ledger));
    let rows = public_rows(&here);

    // As the README says what to back up: what `migrations/` makes, and the keys.
    let there = here.replacen("///convoledger?", "///elsewhere?", 1);
    assert_ne!(there, here);
    change_as_superuser(&here, "CREATE DATABASE elsewhere");
    let mut dump = program(&ledger, "pg_dump");
    dump.args(["-n", "public", "-n", "vault", "-n", "account", "-n", "fold", "--no-unlogged-table-data"]).arg(&here);
    let mut dump = dump.stdout(Stdio::piped()).spawn().expect("pg_dump runs");
    let mut restore = program(&ledger, "psql");
    restore
        .args(["-q", "-v", "ON_ERROR_STOP=0", "-o", "/dev/null"])
        .arg(&there)
        .stdin(dump.stdout.take().expect("a pipe"));
    assert!(restore.stderr(Stdio::null()).status().expect("psql runs").success());
    assert!(dump.wait().expect("it ends").success());

    let elsewhere = Ledger::new();
    let keys = elsewhere.directory.path().join("keys");
    fs::create_dir(&keys).expect("a directory");
    for key in fs::read_dir(ledger.data().join("keys")).expect("keys").flatten() {
        fs::copy(key.path(), keys.join(key.file_name())).expect("copied");
    }
    let keys = keys.to_str().expect("a path");
    let whole = |command| [command, "--database-url", &there, "--keys", keys];
    elsewhere.run(&whole("migrate"));
    elsewhere.run(&whole("rebuild"));
    assert_eq!(json(&elsewhere.run(&[&whole("verify")[..], &["--json"]].concat()))["ok"], true);
    assert_eq!(public_rows(&there), rows);
    let (_server, address) = elsewhere.serve_with(&whole("serve")[1..]);
    assert!(answers(&address, &token) == before);
}

#[test]
fn with_a_person_forgotten_views_of_facts_are_the_same_and_those_of_words_hold_none() {
    let (ledger, _token) = filled();
    let (server, _address) = ledger.serve();
    let url = url(&ledger);
    let rows = public_rows(&url);
    change_as_superuser(&url, "UPDATE vault.subject_key SET wrapped = NULL");
    for _ in 0..2 {
        // The first one finds opened views that still hold what was said, and replaces them.
        ledger.command(&["rebuild"]).output().expect("it runs");
    }
    ledger.run(&["rebuild", "--compare"]);
    assert_eq!(public_rows(&url), rows);
    assert_eq!(json(&ledger.run(&["verify", "--json"]))["ok"], true);
    drop(server);
}

/// A ledger with branches, tags, ratings and money in it, and the token of its one account.
fn filled() -> (Ledger, String) {
    let ledger = Ledger::new();
    let token = String::from_utf8(ledger.run(&["token", "create", "--account", "a@b.org"]).stdout).expect("a token");
    let tree = fixture("chatgpt/librechat-chatgpt-tree.json");
    let mut files: Vec<_> =
        fs::read_dir(fixture("corpus")).expect("fixtures").flatten().map(|file| file.path()).collect();
    files.sort();
    let mut import = vec!["import", "--account", "a@b.org", &tree];
    import.extend(files.iter().map(|file| file.to_str().expect("a path")));
    ledger.run(&import);
    let (_server, address) = ledger.serve();
    let listed =
        ask(&address, &token, "{ conversations(first: 3) { nodes { id messages(first: 3) { nodes { id } } } } }");
    for conversation in listed["data"]["conversations"]["nodes"].as_array().expect("conversations") {
        let id = &conversation["id"];
        let mut acts = vec![
            format!("favoriteConversation(input: {{ id: {id} }})"),
            format!("tagConversation(input: {{ id: {id}, tags: [\"kept\", \"other\"] }})"),
            format!(
                "appendMessage(input: {{ conversationId: {id}, role: ASSISTANT, text: \"what it cost\", model: \"m-1\", \
                 provider: \"p\", costUsd: \"0.0125\", latencyMs: 40, usage: {{ input: 1000, output: 250 }} }})"
            ),
        ];
        for message in conversation["messages"]["nodes"].as_array().expect("messages") {
            acts.push(format!("rateMessage(input: {{ id: {}, rating: DOWN, comment: \"no\" }})", message["id"]));
            acts.push(format!("hideMessage(input: {{ id: {} }})", message["id"]));
        }
        for act in acts {
            let told = ask(&address, &token, &format!("mutation {{ it: {act} {{ __typename }} }}"));
            let told = told["data"]["it"]["__typename"].as_str().unwrap_or_default().to_owned();
            assert!(told.ends_with("Done"), "{act}: {told}");
        }
    }
    (ledger, token)
}

/// What is answered once the views are known to have come as far as the log.
fn answers(address: &str, token: &str) -> Vec<String> {
    let head = &ask(address, token, "{ projections { head } }")["data"]["projections"][0]["head"];
    ask(address, token, &format!("{{ conversations(first: 1, atLeast: {head}) {{ totalCount }} }}"));
    let answer = |question: &&str| {
        let answer: Value = ask(address, token, question);
        assert!(answer.get("errors").is_none(), "{question}: {answer}");
        answer.to_string()
    };
    QUESTIONS.iter().map(answer).collect()
}

fn url(ledger: &Ledger) -> String {
    let doctor = json(&ledger.run(&["doctor", "--json"]));
    doctor["database"]["url"].as_str().expect("a URL").to_owned()
}

/// All rows of all views that are folded from facts alone.
fn public_rows(url: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for view in BUILT_IN.iter().filter(|view| !view.opened) {
        let tables = format!(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = '{}' AND tablename <> 'progress' ORDER BY 1",
            view.name
        );
        for table in rows_as_superuser(url, &tables) {
            let all = format!("SELECT '{table} ' || t::text FROM {}.{table} AS t ORDER BY 1", view.name);
            rows.extend(rows_as_superuser(url, &all));
        }
    }
    assert!(rows.len() > 10, "{rows:?}");
    rows
}

/// A program that comes with Postgres, beside the server's binaries or on the path.
fn program(ledger: &Ledger, name: &str) -> Command {
    let beside = Embedded::binaries(&ledger.data()).expect("a Postgres").directory.join(name);
    Command::new(if beside.exists() { beside } else { name.into() })
}
