//! A checker that shares no line with ours, written after the documentation on other people's libraries: both must agree.

use std::path::Path;
use std::process::{Command, Output};

use convoledger::event::{Requester, RetentionPolicy};
use convoledger::ledger::Act;
use convoledger::ledger::retention::KEPT;

use super::Told;
use crate::support::program::{Ledger, fixture, text};
use crate::support::service::{done, order, say, started};

fn checked(archive: &Path, key: &str) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    assert!(folder.join("node_modules").exists(), "its libraries are not installed: run `npm ci` in tests/node");
    let mut node = Command::new("node");
    let node = node.arg("archive.mjs").env("ARCHIVE", archive).env("KEY", key).current_dir(folder);
    node.output().expect("node starts: install Node.js 20 or later")
}

#[test]
fn a_checker_of_other_hands_finds_real_conversations_whole() {
    let ledger = Ledger::new();
    let fixtures = ["librechat-chatgpt-tree", "polylogue-native-conversation", "librechat-chatgpt-citations"];
    for name in fixtures {
        ledger.run(&["import", "--account", "ann@example.org", &fixture(&format!("chatgpt/{name}.json"))]);
    }
    let path = ledger.directory.path().join("ann.zip");
    ledger.run(&["export", "--account", "ann@example.org", "--to", path.to_str().expect("a path")]);
    let key = text(&ledger.run(&["keys", "public"]));
    let output = checked(&path, &key);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text(&output).contains("events hold"), "{}", text(&output));
}

#[tokio::test]
async fn it_finds_what_was_forgotten_whole_too_and_a_stranger_s_key_wanting() {
    let told = Told::new().await;
    let conversation = started(&told.stand.service, told.actor).await;
    let said = done(&told.stand.service, told.actor, order(conversation, [say("gone"), say("ü 🦀 \u{2028}")])).await;
    let forget = Act::ForgetMessage { message: said.messages[0] };
    done(&told.stand.service, told.actor, order(conversation, [forget])).await;
    let path = told.export("ann.zip").await;
    let [own, other] = [told.keys().await, Told::new().await.keys().await].map(|keys| keys[0].to_string());
    let output = checked(&path, &own);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!checked(&path, &other).status.success());

    // And what is left of conversations that expired.
    let policy = RetentionPolicy { words: Some(0), facts: Some(0), undo: 0, ..KEPT };
    let service = &told.stand.service;
    service.configure_retention(told.actor.account, Some(policy), Requester::Subject).await.expect("settled");
    let gone = service.retain(told.actor.account).await.expect("it goes").expired;
    assert_eq!(gone.iter().map(|gone| gone.conversations).collect::<Vec<_>>(), [4]);
    let output = checked(&told.export("later.zip").await, &own);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
