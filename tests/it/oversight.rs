//! What whoever runs the ledger reads of others is told to them, and to nobody else.

use chrono::TimeDelta;
use convoledger::event::{AccountId, Event, Reading, Requester};
use convoledger::ledger::Refusal;
use convoledger::service::{ChangeError, Opened};
use serde_json::{Value, json};

use crate::support::program::{Ledger, another, ask, fixture, json as document, text};
use crate::support::service::{Stand, done, order, say, started};

const READS: &str = "{ reads { totalCount nodes { position at by what reason conversation { id } } } }";

#[test]
fn a_conversation_is_read_by_its_owner_or_with_a_word_to_the_owner() {
    let ledger = Ledger::new();
    let token = text(&ledger.run(&["token", "create", "--account", "a@b.org"]));
    let other = text(&ledger.run(&["token", "create", "--account", "b@c.org"]));
    ledger.run(&["import", "--account", "a@b.org", &fixture("chatgpt/librechat-chatgpt-tree.json")]);
    let (_server, address) = ledger.serve();
    let reads = |token: &str| ask(&address, token, READS)["data"]["reads"].take();
    let found = ask(&address, &token, "{ conversations { nodes { id } } }");
    let id = found["data"]["conversations"]["nodes"][0]["id"].as_str().expect("an id").to_owned();

    ledger.run(&["replay", &id, "--token", token.trim()]);
    assert_eq!(reads(&token)["totalCount"], 0, "whose it is reads it unseen");
    for (arguments, reason) in [
        (&["replay", &id][..], Value::Null),
        (&["replay", &id, "--reason", "a complaint"], "a complaint".into()),
        (&["replay", &id, "--token", other.trim(), "--reason", "curious"], "curious".into()),
        (&["replay", &id, "--from", "3", "--json", "--reason", "again"], "again".into()),
    ] {
        ledger.run(arguments);
        let newest = &reads(&token)["nodes"][0];
        assert_eq!((&newest["reason"], &newest["what"]), (&reason, &"CONVERSATION".into()), "{arguments:?}");
        assert_eq!((&newest["by"], &newest["conversation"]["id"]), (&"OPERATOR".into(), &id.as_str().into()));
    }
    // Where nothing is shown, nothing is told.
    let elsewhere = another(&id);
    assert!(ledger.fail(&["replay", &elsewhere, "--reason", "a guess"]).contains("no such conversation"));
    for refused in [&["--token", "clt_nonsense"][..], &["--reason", " "]] {
        let output = ledger.run_to(1, &[&["replay", &id], refused].concat());
        assert!(text(&output).is_empty(), "{output:?}");
    }
    assert_eq!((&reads(&token)["totalCount"], &reads(&other)["totalCount"]), (&4.into(), &0.into()));
    assert_eq!(reads(&token)["nodes"][2]["reason"], "a complaint");

    // It is an event like any other: in the owner's stream, and in nobody else's.
    let events = "{ events(filter: {kinds: [\"account.read\"]}) { nodes { kind body words forgotten } } }";
    let told = ask(&address, &token, events)["data"]["events"]["nodes"].take();
    assert_eq!(told.as_array().map(Vec::len), Some(4));
    assert_eq!(told[1]["words"], json!({"0": "a complaint"}));
    assert_eq!(ask(&address, &other, events)["data"]["events"]["nodes"], json!([]));
    ledger.run(&["verify"]);
}

#[test]
fn a_search_across_accounts_is_told_to_those_who_are_shown() {
    let ledger = Ledger::new();
    let tokens = ["a@b.org", "b@c.org", "c@d.org"].map(|account| {
        let token = text(&ledger.run(&["token", "create", "--account", account]));
        (account, token.trim().to_owned())
    });
    let (server, address) = ledger.serve();
    for (account, token) in &tokens {
        let word = if *account == "c@d.org" { "unrelated" } else { "ichthyosaur" };
        let start =
            format!("mutation {{ startConversation(input: {{ title: \"{word} of {account}\" }}) {{ __typename }} }}");
        assert_eq!(ask(&address, token, &start)["data"]["startConversation"]["__typename"], "ConversationDone");
    }
    drop(server);
    ledger.run_to(2, &["search", "ichthyosaur"]);
    assert!(ledger.fail(&["search", "ichthyosaur", "--reason", ""]).contains("the reason is empty"));
    let found = document(&ledger.run(&["search", "ichthyosaur", "--reason", "case 12", "--json"]));
    let texts: Vec<_> = found["hits"].as_array().expect("hits").iter().map(|hit| hit["text"].as_str()).collect();
    assert_eq!(texts, [Some("ichthyosaur of b@c.org"), Some("ichthyosaur of a@b.org")], "the newest first: {found}");
    assert!(found["accounts"].as_i64() >= Some(3), "{found}");
    let newest = text(&ledger.run(&["search", "ichthyosaur", "--reason", "case 13", "--first", "1"]));
    assert!(newest.contains("b@c.org") && !newest.contains("of a@b.org"), "{newest}");
    let one = ["search", "ichthyosaur", "--account", "a@b.org", "--reason", "case 14"];
    assert!(text(&ledger.run(&one)).contains("ichthyosaur of a@b.org"));
    assert!(text(&ledger.run(&["search", "diplodocus", "--reason", "case 15"])).starts_with("0 found"));

    let (_server, address) = ledger.serve();
    let reasons = tokens.map(|(_, token)| {
        let reads = ask(&address, &token, READS)["data"]["reads"]["nodes"].take();
        let reads = reads.as_array().expect("a list").clone();
        assert!(reads.iter().all(|read| read["what"] == "SEARCH" && read["conversation"] == Value::Null));
        reads.iter().map(|read| read["reason"].as_str().expect("a reason").to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(reasons, [vec!["case 14", "case 12"], vec!["case 13", "case 12"], vec![]]);
}

#[tokio::test]
async fn a_closed_account_is_not_read_and_the_reason_outlives_its_words() {
    let stand = Stand::new().await;
    let (ann, bob) = (stand.actor("ann@example.org").await, stand.actor("bob@example.org").await);
    let service = &stand.service;
    let conversation = started(service, ann).await;
    done(service, ann, order(conversation, [say("mine")])).await;
    let read = |reason| service.record_read(ann.account, Reading::Conversation, Some(conversation), reason);
    for reason in [Some("first"), None, Some("third")] {
        read(reason).await.expect("recorded");
    }
    let nobody = service.record_read(AccountId::default(), Reading::Export, None, Some("a guess")).await;
    assert!(matches!(nobody, Err(ChangeError::Refused(Refusal::NoAccount))), "{nobody:?}");

    // Page by page, the newest first.
    let first = service.reads(ann, None, 2, true).await.expect("a page");
    assert_eq!((reasons(&first.rows), first.has_next, first.total), (vec![Some("third"), None], true, Some(3)));
    let last = first.rows.last().map(|opened| opened.recorded.position);
    let second = service.reads(ann, last, 2, false).await.expect("a page");
    assert_eq!((reasons(&second.rows), second.has_next), (vec![Some("first")], false));
    assert_eq!(service.reads(bob, None, 2, true).await.expect("a page").total, Some(0));

    service.request_forgetting(ann.account, Requester::Operator, TimeDelta::zero()).await.expect("closed");
    let late = read(Some("a last look")).await;
    assert!(matches!(late, Err(ChangeError::Refused(Refusal::Closed))), "{late:?}");
    service.forget(ann.account).await.expect("forgotten");
    let page = service.reads(ann, None, 9, true).await.expect("a page");
    assert_eq!(reasons(&page.rows), [Some("third"), None, Some("first")]);
    stand.holds().await;
}

fn reasons(rows: &[Opened]) -> Vec<Option<&str>> {
    rows.iter().map(reason).collect()
}

fn reason(opened: &Opened) -> Option<&str> {
    match &opened.event {
        Event::AccountRead(read) => read.reason.as_ref().known().expect("it is there").as_deref(),
        event => panic!("no {}", event.kind()),
    }
}
