//! Archives as scripts and people use them: the real binary, killed and called again, on two machines.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::{files, packed};
use crate::support::program::{Ledger, ask, fixture, json, text};

const EMAIL: &str = "ann@example.org";
const TREE: &str = "chatgpt/librechat-chatgpt-tree.json";
const LARGE: &str = "chatgpt/polylogue-native-conversation.json";

/// What GraphQL says of an account, but for where and when this ledger recorded it.
const EVERYTHING: [&str; 4] = [
    "{ conversations(first: 10, orderBy: OLDEST, filter: {status: [ACTIVE, ARCHIVED, DELETED]}) { totalCount nodes { id title \
     tags favorited status model provider createdAt updatedAt version messageCount tokensIn tokensOut costUsd sizeBytes \
     branches { id name messageCount preferred abandoned costUsd tip { id } forkedFrom { id } } \
     snapshots(first: 10) { nodes { label version trigger } } } } }",
    "{ conversations(first: 3, orderBy: OLDEST) { nodes { messages(first: 20) { totalCount nodes { id depth role text parts { \
     __typename } model usage { input output } costUsd hidden rating forgotten parent { id } siblings { id } } } } } }",
    "{ costs(range: {}, groupBy: [MONTH, MODEL, CONVERSATION]) { rows { month model messages tokensIn tokensOut costUsd unknownCosts } } }",
    "{ search(query: \"the\", first: 20) { totalCount nodes { kind snippet { text matched } } } }",
];

#[test]
fn an_export_of_one_machine_is_taken_in_on_another_where_everything_reads_alike() {
    let (here, there) = (Ledger::new(), Ledger::new());
    here.run(&["import", "--account", EMAIL, &fixture(TREE), &fixture(LARGE)]);
    let token = text(&here.run(&["token", "create", "--account", EMAIL]));
    let (server, url) = here.serve();
    let list = ask(&url, &token, "{ conversations(first: 2) { nodes { id messages(last: 2) { nodes { id } } } } }");
    let first = &list["data"]["conversations"]["nodes"][0];
    let (id, message) =
        (first["id"].as_str().expect("an id"), first["messages"]["nodes"][0]["id"].as_str().expect("one"));
    for act in [
        format!("tagConversation(input: {{id: \"{id}\", tags: [\"Travel\", \"two words\"]}}) {{ __typename }}"),
        format!("favoriteConversation(input: {{id: \"{id}\"}}) {{ __typename }}"),
        format!("takeSnapshot(input: {{conversationId: \"{id}\", label: \"before\"}}) {{ __typename }}"),
        format!(
            "createBranch(input: {{conversationId: \"{id}\", fromMessageId: \"{message}\", name: \"another way\"}}) {{ __typename }}"
        ),
        format!("setTitle(input: {{id: \"{id}\", title: \"Another title\"}}) {{ __typename }}"),
        format!("restoreTo(input: {{conversationId: \"{id}\", to: {{version: 4}}}}) {{ __typename }}"),
        format!("hideMessage(input: {{id: \"{message}\"}}) {{ __typename }}"),
        format!("rateMessage(input: {{id: \"{message}\", rating: UP, comment: \"so\"}}) {{ __typename }}"),
    ] {
        let answer = ask(&url, &token, &format!("mutation {{ {act} }}"));
        let done = answer["data"].as_object().and_then(|data| data.values().next().cloned()).unwrap_or_default();
        assert!(done["__typename"].as_str().is_some_and(|name| name.ends_with("Done")), "{act}: {answer}");
    }
    let archive = here.directory.path().join("ann.zip").to_str().expect("a path").to_owned();
    // Beside the server that runs.
    let exported = json(&here.run(&["export", "--account", EMAIL, "--to", &archive, "--json"]));
    assert_eq!((&exported["conversations"], &exported["messages"]), (&json!(2), &json!(20)), "{exported}");
    assert!(here.fail(&["export", "--account", EMAIL, "--to", &archive]).contains("is there already"));
    let key = text(&here.run(&["keys", "public"])).trim().to_owned();
    let checked = json(&there.run(&["check", "--json", "--key", &key, &archive]));
    assert_eq!((&checked["ok"], &checked["files"][0]["kind"]), (&json!(true), &json!("archive")));
    here.run(&["verify"]);

    let imported = json(&there.run(&["import", "--json", "--account", EMAIL, "--key", &key, &archive]));
    assert_eq!(
        imported["total"],
        json!({
            "conversations": 2, "messages": 20, "branch_points": 3, "leaves": 5, "appended": 20, "already_there": 0, "refused": 0,
        })
    );
    let again = json(&there.run(&["import", "--json", "--account", EMAIL, &archive]));
    assert_eq!((&again["total"]["appended"], &again["total"]["already_there"]), (&json!(0), &json!(20)));
    there.run(&["verify"]);
    let theirs = text(&there.run(&["token", "create", "--account", EMAIL]));
    let (_other, other) = there.serve();
    for question in EVERYTHING {
        let [was, is] = [(&url, &token), (&other, &theirs)].map(|(url, token)| ask(url, token, question));
        assert_eq!(was["errors"], Value::Null, "{was}");
        assert_eq!(format!("{was:#}"), format!("{is:#}"));
    }
    drop(server);

    // A damaged one is refused whole, and so is one of a form that is still to come.
    let whole = fs::read(&archive).expect("a file");
    let path = here.directory.path().join("refused.zip").to_str().expect("a path").to_owned();
    let third = Ledger::new();
    let refuses = |told: &str| {
        let refused = json(&third.run_to(1, &["import", "--json", "--account", EMAIL, &path]));
        assert_eq!((&refused["total"]["refused"], &refused["total"]["appended"]), (&json!(1), &json!(0)), "{refused}");
        assert!(refused["files"][0]["refusals"][0]["reason"].to_string().contains(told), "{refused}");
    };
    for (at, told) in [(whole.len() / 2, ""), (0, "and archives of convoledger")] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).expect("a file");
        refuses(told);
        third.run_to(1, &["check", "--key", &key, &path]);
    }
    let mut newer = files(archive.as_ref());
    let mut manifest: Value = serde_json::from_slice(&newer["manifest.json"]).expect("JSON");
    manifest["format"] = json!("convoledger archive, v9");
    newer.insert("manifest.json".into(), manifest.to_string().into());
    packed(&newer, path.as_ref());
    refuses("run a newer one");
}

#[test]
fn an_export_that_is_killed_goes_on_and_ends_in_the_same_bytes() {
    let ledger = Ledger::new();
    let corpus = ledger.directory.path().join("many.jsonl");
    let conversation = |nth: u32| {
        let said = |turn: u32| json!({ "role": if turn.is_multiple_of(2) { "user" } else { "assistant" }, "content": format!("{nth} {turn}") });
        json!({ "id": format!("c{nth}"), "messages": (0..40).map(said).collect::<Vec<_>>() }).to_string()
    };
    fs::write(&corpus, (0..300).map(conversation).collect::<Vec<_>>().join("\n")).expect("a file");
    ledger.run(&["import", "--account", EMAIL, corpus.to_str().expect("a path")]);
    let checkpoint = text(&ledger.run(&["checkpoint"]));
    let size = checkpoint.lines().nth(1).expect("a size");
    let at = |name: &str| ledger.directory.path().join(name).to_str().expect("a path").to_owned();
    let export = |to: &str| ["export", "--account", EMAIL, "--size", size, "--to", to].map(ToOwned::to_owned).to_vec();
    let (whole, killed) = (at("whole.zip"), at("killed.zip"));
    let run = |to: &str| ledger.run(&export(to).iter().map(String::as_str).collect::<Vec<_>>());
    let _server = ledger.serve();
    run(&whole);
    let units = |path: &str| {
        fs::read_dir(format!("{path}.partial")).map_or(0, |files| {
            files.flatten().filter(|file| file.path().extension().is_some_and(|name| name == "unit")).count()
        })
    };
    let mut seen = Vec::new();
    for _ in 0..6 {
        let arguments = export(&killed);
        let mut child =
            ledger.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).spawn().expect("it runs");
        let before = units(&killed);
        while units(&killed) <= before && child.try_wait().expect("a child").is_none() {
            sleep(Duration::from_millis(2));
        }
        child.kill().expect("kill -9");
        child.wait().expect("it ends");
        seen.push(units(&killed));
        if Path::new(&killed).exists() {
            break;
        }
    }
    assert!(seen.is_sorted() && seen.first() < seen.iter().max(), "what was whole stays: {seen:?}");
    // Other options are no way to go on.
    let other = ledger.fail(&["export", "--account", EMAIL, "--masked", "--to", &killed]);
    assert!(other.contains("another export was begun"), "{other}");
    if !Path::new(&killed).exists() {
        run(&killed);
    }
    assert!(fs::read(&whole).expect("a file") == fs::read(&killed).expect("a file"), "the same bytes");
    assert!(!Path::new(&format!("{killed}.partial")).exists());
}
