//! Masked exports: personal data stands behind placeholders everywhere, which their legend undoes.

use std::fs;

use convoledger::archive::line::State;
use convoledger::archive::manifest::Of;
use convoledger::ledger::Act;
use convoledger::service::Wanted;
use serde_json::Value;

use super::{Told, exported, files, taken};
use crate::support::program::{Ledger, fixture, json, text};
use crate::support::service::{Stand, done, order, say, started};

const PERSONAL: [&str; 3] = ["grace@hopper.org", "4111 1111 1111 1111", "+49 30 901820"];

#[tokio::test]
async fn placeholders_stand_for_personal_data_in_every_file_and_the_legend_undoes_them() {
    let told = Told::new().await;
    let conversation = started(&told.stand.service, told.actor).await;
    let acts = [
        Act::SetTitle { title: format!("Write to {}", PERSONAL[0]) },
        say(format!("Mail {} or call {}", PERSONAL[0], PERSONAL[2])),
        say(format!("Pay with {}, {} says", PERSONAL[1], PERSONAL[0])),
    ];
    done(&told.stand.service, told.actor, order(conversation, acts)).await;
    let (of, path) = (Of::Account { account: told.actor.account }, told.path("masked.zip"));
    exported(&told.stand.service, Wanted { of, size: None, masked: true }, &path).await.expect("it is exported");
    let checked = told.check(&path).await.expect("it holds");
    assert!(!checked.manifest.counts.words.contains_key(&State::Opened), "nothing opens what was sealed");
    let files = files(&path);
    for (name, content) in files.iter().filter(|(name, _)| *name != "account.json") {
        let content = String::from_utf8_lossy(content);
        assert!(PERSONAL.iter().all(|personal| !content.contains(personal)), "{name}");
    }
    let pages: String = files
        .iter()
        .filter(|(name, _)| name.starts_with("conversations/"))
        .map(|(_, content)| String::from_utf8_lossy(content).into_owned())
        .collect();
    assert!(pages.contains("Pay with [card-1], [email-"), "one placeholder for one text");
    let legend: Value =
        serde_json::from_slice(&fs::read(told.path("masked.legend.json")).expect("a legend")).expect("JSON");
    for personal in PERSONAL {
        assert!(legend.as_array().expect("entries").iter().any(|entry| entry["original"] == personal), "{personal}");
    }
    // It is taken in like any other: the placeholders are its words.
    let there = Stand::new().await;
    taken(&there.service, "ann@example.org", &path).await;
    there.holds().await;
}

#[test]
fn facts_for_statistics_hold_no_word_no_id_and_no_digest() {
    let ledger = Ledger::new();
    ledger.run(&["import", "--account", "ann@example.org", &fixture("chatgpt/librechat-chatgpt-tree.json")]);
    let at = |name: &str| ledger.directory.path().join(name).to_str().expect("a path").to_owned();
    let export = |name: &str| json(&ledger.run(&["export", "--anonymised", "--json", "--to", &at(name)]));
    let (first, second) = (export("first.jsonl"), export("second.jsonl"));
    assert_eq!(first["events"], second["events"]);
    let read = |name: &str| fs::read_to_string(at(name)).expect("a file");
    assert_eq!(read("first.jsonl"), read("second.jsonl"), "pseudonyms are stable");
    let account = text(&ledger.run(&["forget", "ann@example.org", "--dry-run"]));
    let account = account.split(' ').nth(1).expect("an id").trim_end_matches(':').to_owned();
    let facts = read("first.jsonl");
    assert!(!facts.contains(&account) && !facts.contains("ann@example.org"));
    for line in facts.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let allowed = ["account", "stream", "version", "id", "kind", "kindVersion", "hour", "place", "facts"];
        assert!(event.as_object().expect("an object").keys().all(|key| allowed.contains(&key.as_str())), "{line}");
        assert!(event["hour"].as_str().is_some_and(|hour| hour.ends_with(":00:00Z")), "{line}");
    }
    assert!(facts.contains("message.appended") && facts.contains("\"role\":\"assistant\""));
}
