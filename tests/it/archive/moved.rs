//! What was taken to another ledger is there what it was here.

use convoledger::archive::manifest::Of;
use convoledger::event::{ConversationId, Version};
use convoledger::ledger::Act;
use convoledger::service::{Actor, Service, Transferred, Trouble, Wanted};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tempfile::TempDir;

use super::{Files, exported, files, taken};
use crate::rules;
use crate::support::service::{Stand, done, order, started};

/// Whatever was done to a conversation, also words forgotten: the account's conversations read alike in the other ledger,
/// both logs hold, and a second time nothing is new.
#[test]
fn any_history_reads_alike_in_another_ledger() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (here, there) = runtime.block_on(async { (Stand::new().await, Stand::new().await) });
    let config =
        ProptestConfig { cases: 16, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() };
    let acts = prop::collection::vec((0..2_usize, rules::act(), any::<prop::sample::Index>()), 1..60);
    let outcome = TestRunner::new(config).run(&acts, |acts| {
        runtime.block_on(async {
            let email = format!("{}@example.org", convoledger::random::id());
            let actor = here.actor(&email).await;
            let conversations = [started(&here.service, actor).await, started(&here.service, actor).await];
            for (which, act, word) in acts {
                if let Act::Restore(restore) = act {
                    // To a version that there is, most of the time.
                    let to = Version(restore.to.0 % 12 + 1);
                    let restored = here.service.restore(actor, conversations[which], to, None, None).await;
                    restored.map_or_else(|trouble| assert!(matches!(trouble, Trouble::Moment(_)), "{trouble}"), drop);
                    continue;
                }
                let act = with_words(&here.service, actor, act, &word).await;
                here.service.execute(actor, order(conversations[which], [act])).await.expect("an answer");
            }
            forget_one(&here.service, actor, conversations[0]).await;
            let directory = TempDir::new().expect("a directory");
            let (first, second) = (directory.path().join("first.zip"), directory.path().join("second.zip"));
            let wanted = Wanted { of: Of::Account { account: actor.account }, size: None, masked: false };
            exported(&here.service, wanted, &first).await.expect("it is exported");
            let (same, transferred) = taken(&there.service, &email, &first).await;
            prop_assert_eq!(same, actor, "the id is kept");
            prop_assert!(transferred.iter().all(|one| matches!(one, Transferred::Appended(_))), "{:?}", transferred);
            let (_, again) = taken(&there.service, &email, &first).await;
            prop_assert!(again.iter().all(|one| matches!(one, Transferred::AlreadyThere(_))), "{:?}", again);
            exported(&there.service, wanted, &second).await.expect("it is exported");
            prop_assert_eq!(read(&files(&first)), read(&files(&second)));
            there.holds().await;
            Ok(())
        })
    });
    outcome.expect("every history");
}

/// The rules' acts carry no words of their own for tags; here some do.
async fn with_words(service: &Service, actor: Actor, act: Act, word: &prop::sample::Index) -> Act {
    let words = ["Travel", "  travel ", "Zürich", "work"];
    let word = words[word.index(words.len())].to_owned();
    let tags = service.tags(actor, &[word]).await.expect("tags");
    match act {
        Act::Tag { .. } => Act::Tag { tags },
        Act::Untag { .. } => Act::Untag { tokens: tags.into_iter().map(|tag| tag.token).collect() },
        Act::CreateBranch(mut create) => {
            create.name = tags.into_iter().next().expect("a tag");
            Act::CreateBranch(create)
        }
        Act::RenameBranch { branch, .. } => Act::RenameBranch { branch, name: tags.into_iter().next().expect("a tag") },
        act => act,
    }
}

/// One of its messages, if it has any.
async fn forget_one(service: &Service, actor: Actor, conversation: ConversationId) {
    for act in [Act::Undelete, Act::Unarchive] {
        service.execute(actor, order(conversation, [act])).await.expect("an answer");
    }
    let said = crate::support::service::say("to be forgotten");
    let message = done(service, actor, order(conversation, [said])).await.message.expect("a message");
    done(service, actor, order(conversation, [Act::ForgetMessage { message }])).await;
}

/// What people read, but for where and when the ledger recorded it.
fn read(files: &Files) -> Vec<(String, String)> {
    let people = files.iter().filter(|(name, _)| name.starts_with("conversations/"));
    let read = people.map(|(name, content)| {
        let text = String::from_utf8(content.clone()).expect("text");
        if !name.ends_with("/conversation.json") {
            return (name.clone(), text);
        }
        let mut conversation: Value = serde_json::from_str(&text).expect("JSON");
        for message in conversation["messages"].as_array_mut().expect("messages") {
            let message = message.as_object_mut().expect("a message");
            message.remove("position");
            message.remove("recordedAt");
        }
        (name.clone(), format!("{conversation:#}"))
    });
    read.collect()
}
