//! A conversation played in a terminal, by the real binary.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::program::{Ledger, Server, another, ask, fixture, json, text};

/// A ledger with a conversation of three branches, a server on it, a token, and the conversation's id.
fn told() -> (Ledger, Server, String, String, String) {
    let ledger = Ledger::new();
    ledger.run(&["import", "--account", "a@b.org", &fixture("chatgpt/librechat-chatgpt-tree.json")]);
    let token = text(&ledger.run(&["token", "create", "--account", "a@b.org"]));
    let (server, address) = ledger.serve();
    let found = ask(&address, &token, "{ conversations { nodes { id } } }");
    let id = found["data"]["conversations"]["nodes"][0]["id"].as_str().expect("an id").to_owned();
    (ledger, server, address, token, id)
}

/// All texts of an export's messages, whichever branch they are on.
fn texts() -> Vec<String> {
    let file = std::fs::read_to_string(fixture("chatgpt/librechat-chatgpt-tree.json")).expect("a fixture");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let mapping = file[0]["mapping"].as_object().expect("nodes");
    let texts = mapping.values().filter_map(|node| node["message"]["content"]["parts"][0].as_str());
    texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

#[test]
fn all_alternatives_are_seen_and_where_they_fork_off() {
    let (ledger, _server, address, token, id) = told();
    let played = text(&ledger.run(&["replay", &id]));
    let said = |text: &str| text.lines().map(|line| format!("      │ {line}\n")).collect::<Vec<_>>().concat();
    for text in texts() {
        assert!(played.contains(&said(&text)), "{text:?} is not in:\n{played}");
    }
    for told in [
        "a@b.org: began the conversation with text-davinci-002-render-sha, imported from chatgpt\n",
        "titled it “Assist user with summary”",
        "a@b.org: hid #3",
        "user on branch 2, forks off main below #6",
        "assistant on branch 3, forks off branch 2 below #13",
        "put branch 3 in view",
        "\n12 messages, 6 of unknown cost on 3 branches\n",
    ] {
        assert!(played.contains(told), "`{told}` is not in:\n{played}");
    }
    assert!(!played.contains('\x1b'), "colours are for terminals");

    let document = json(&ledger.run(&["replay", &id, "--json", "--speed", "100000"]));
    let events = document["events"].as_array().expect("events");
    assert_eq!((&document["conversation"], events.len()), (&id.as_str().into(), 16));
    let branches: Vec<i64> = events.iter().filter_map(|event| event["branch"]["number"].as_i64()).collect();
    assert_eq!(branches, [1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]);
    assert_eq!((&document["totals"]["messages"], &document["totals"]["cost_usd"]), (&12.into(), &Value::Null));
    let part = json(&ledger.run(&["replay", &id, "--json", "--from", "11", "--to", "12"]));
    assert_eq!(part["events"].as_array().expect("events")[..], events[10..12], "what comes before is known");

    // What is said steers no terminal.
    let say = format!(
        r#"mutation {{ appendMessage(input: {{conversationId: "{id}", role: USER, text: "a\u001b[2Jb\u009bc\r\nd"}}) {{
            __typename }} }}"#
    );
    assert_eq!(ask(&address, &token, &say)["data"]["appendMessage"]["__typename"], "MessageDone");
    let last = text(&ledger.run(&["replay", &id, "--from", "17"]));
    assert!(last.contains("│ a␛[2Jb\u{fffd}c\n      │ d\n"), "{last:?}");
}

#[test]
fn what_comes_is_followed_line_by_line() {
    let (ledger, _server, address, token, id) = told();
    let mut command = ledger.command(&["replay", &id, "--follow", "--json", "--from", "16"]);
    let mut follower = Server(command.stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut lines = BufReader::new(follower.0.stdout.take().expect("its stdout")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str::<Value>(&line).expect("a document")
    };
    assert_eq!(next()["kind"], "branch.preferred");
    let say = format!(
        r#"mutation {{ appendMessage(input: {{conversationId: "{id}", role: ASSISTANT, text: "more", costUsd: "0.5"}}) {{
            __typename }} }}"#
    );
    ask(&address, &token, &say);
    let mut more = next();
    while more["kind"] == "snapshot.taken" {
        assert!(more["what"].as_str().is_some_and(|what| what.starts_with("took a snapshot of #16: ")), "{more}");
        more = next();
    }
    assert_eq!((&more["message"]["text"], &more["branch"]["name"]), (&"more".into(), &"branch 3".into()), "{more}");
    assert_eq!((&more["totals"]["cost_usd"], &more["totals"]["unknown_costs"]), (&"0.5".into(), &6.into()));
    follower.signal(Signal::INT);
    assert!(follower.0.wait().expect("it ends").success());
}

#[test]
fn what_cannot_be_played_is_said() {
    let (ledger, _server, _, _, id) = told();
    for wrong in [&["replay", "message:AAAA"][..], &["replay", &id, "--speed", "-1"], &["replay", &id, "--from", "0"]] {
        ledger.run_to(2, wrong);
    }
    let elsewhere = another(&id);
    assert!(ledger.fail(&["replay", &elsewhere]).contains("no such conversation"));
    assert!(Ledger::new().fail(&["replay", &id]).contains("there is no ledger in"));
}
