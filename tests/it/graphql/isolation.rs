//! Nobody reaches what is another's, by any field or mutation, and cannot tell whether it is there.

use convoledger::event::Position;
use convoledger::service::Watched;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::Served;

#[tokio::test]
async fn a_stranger_finds_nothing() {
    let served = Served::start().await;
    let (ann, bob) = (served.caller("ann@example.org").await, served.caller("bob@example.org").await);
    let id = ann.conversation(json!({"title": "Private", "tags": ["secret"]})).await;
    let said = ann.say(json!({"conversationId": id, "role": "USER", "text": "mine"})).await;
    let message = said["message"]["id"].as_str().expect("an id").to_owned();
    let branch = said["message"]["branch"]["id"].as_str().expect("an id").to_owned();
    let events = ann.get("{ events { nodes { id cursor } } viewer { id } }", json!({})).await;
    let event = events["events"]["nodes"][2]["id"].as_str().expect("an id").to_owned();
    let cursor = &events["events"]["nodes"][0]["cursor"];

    for id in [&id, &message, &branch, &event] {
        let found = bob.get("query ($id: ID!) { node(id: $id) { id } }", json!({"id": id})).await;
        assert_eq!(found["node"], Value::Null);
        assert_ne!(ann.get("query ($id: ID!) { node(id: $id) { id } }", json!({"id": id})).await["node"], Value::Null);
    }
    let account = "query ($id: ID!) { node(id: $id) { ... on Account { email } } }";
    assert_eq!(bob.get(account, json!({"id": events["viewer"]["id"]})).await["node"], Value::Null);
    let found = bob.get("query ($id: ID!) { conversation(id: $id) { title } }", json!({"id": id})).await;
    assert_eq!(found["conversation"], Value::Null);
    let list = bob.get("{ conversations(filter: {tags: [\"secret\"]}) { totalCount } }", json!({})).await;
    assert_eq!(list["conversations"]["totalCount"], 0);
    let of = "query ($id: ID!, $after: Cursor) { events(filter: {conversation: $id}) { totalCount nodes { kind } } \
              all: events(after: $after) { nodes { streamId } } }";
    let seen = bob.get(of, json!({"id": id, "after": cursor})).await;
    assert_eq!(seen["events"], json!({"totalCount": 0, "nodes": []}));
    assert!(!seen["all"].to_string().contains(&id));

    let counted = "query ($id: ID!, $account: ID!) {
        costs(range: {}, groupBy: [CONVERSATION]) { rows { messages } total { messages sizeBytes } }
        filtered: costs(range: {}, groupBy: [], filter: {tags: [\"secret\"]}) { total { messages } }
        audit { nodes { streamId actor { id } } }
        of: audit(filter: {stream: $id}) { totalCount nodes { kind } }
        by: audit(filter: {stream: $account}) { totalCount nodes { kind } } }";
    let seen = bob.get(counted, json!({"id": id, "account": events["viewer"]["id"]})).await;
    assert_eq!(seen["costs"], json!({"rows": [], "total": {"messages": 0, "sizeBytes": 0}}));
    assert_eq!(seen["filtered"]["total"]["messages"], 0);
    for audit in ["of", "by"] {
        assert_eq!(seen[audit], json!({"totalCount": 0, "nodes": []}));
    }
    let audited = seen["audit"]["nodes"].to_string();
    assert!(!audited.contains(&id) && !audited.contains(events["viewer"]["id"].as_str().expect("an id")));
    let own = ann.get(counted, json!({"id": id, "account": events["viewer"]["id"]})).await;
    assert_eq!((&own["costs"]["total"]["messages"], &own["filtered"]["total"]["messages"]), (&json!(1), &json!(1)));
    assert_ne!((&own["of"]["totalCount"], &own["by"]["totalCount"]), (&json!(0), &json!(0)));
    let of_hers = json!({"after": ann.get("{ audit { pageInfo { startCursor } } }", json!({})).await
        ["audit"]["pageInfo"]["startCursor"]});
    let seen = bob.get("query ($after: Cursor) { audit(after: $after) { nodes { streamId } } }", of_hers).await;
    assert!(!seen["audit"]["nodes"].to_string().contains(&id), "a cursor is a place, not a key");

    let target = json!({"id": id});
    for (mutation, kind, input) in [
        ("setTitle", "SetTitleInput", json!({"id": id, "title": "taken"})),
        ("favoriteConversation", "TargetInput", target.clone()),
        ("archiveConversation", "TargetInput", target.clone()),
        ("deleteConversation", "TargetInput", target),
        ("tagConversation", "TagsInput", json!({"id": id, "tags": ["x"]})),
        ("untagConversation", "TagsInput", json!({"id": id, "tags": ["secret"]})),
        ("switchModel", "SwitchModelInput", json!({"conversationId": id, "model": "m"})),
        ("appendMessage", "AppendMessageInput", json!({"conversationId": id, "role": "USER", "text": "x"})),
        ("editMessage", "EditMessageInput", json!({"id": message, "text": "x"})),
        ("hideMessage", "TargetInput", json!({"id": message})),
        ("rateMessage", "RateMessageInput", json!({"id": message, "rating": "UP"})),
        ("createBranch", "CreateBranchInput", json!({"conversationId": id, "fromMessageId": message, "name": "n"})),
        ("renameBranch", "RenameBranchInput", json!({"id": branch, "name": "n"})),
        ("preferBranch", "TargetInput", json!({"id": branch})),
    ] {
        let query = format!(
            "mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ __typename ... on Refused {{ reason }} }} }}"
        );
        let answer = bob.get(&query, json!({"input": input})).await;
        assert_eq!(answer[mutation], json!({"__typename": "Refused", "reason": "NOT_FOUND"}), "{mutation}");
    }
    let version = "query ($id: ID!) { conversation(id: $id) { version title } }";
    assert_eq!(
        ann.get(version, json!({"id": id})).await["conversation"],
        json!({"version": 4, "title": "Private"}),
        "nothing happened to it"
    );

    let mut watched = Box::pin(served.service.watch(bob.actor, Position(0), Watched::default()));
    let own = [watched.next().await, watched.next().await];
    assert!(own.into_iter().flatten().flatten().all(|opened| opened.recorded.fact.owner == bob.actor.owner()));
    ann.say(json!({"conversationId": id, "role": "USER", "text": "more"})).await;
    let more = tokio::time::timeout(std::time::Duration::from_millis(700), watched.next()).await;
    assert!(more.is_err(), "what others do is not heard");
}

#[tokio::test]
async fn without_a_token_nothing_answers_but_health() {
    let served = Served::start().await;
    let base = served.url.trim_end_matches("/graphql");
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200)] {
        let answer = served.client.get(format!("{base}{path}")).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
    }
    let ask = |token: &'static str| {
        served.client.post(&served.url).bearer_auth(token).json(&json!({"query": "{ viewer { id } }"}))
    };
    for request in [ask("clt_nonsense"), served.client.post(&served.url).json(&json!({"query": "{ viewer { id } }"}))] {
        assert_eq!(request.send().await.expect("an answer").status(), 401);
    }
    let ann = served.caller("ann@example.org").await;
    served.service.revoke_tokens(ann.actor, "test").await.expect("revoked");
    let answer = ann.ask("{ viewer { id } }", json!({})).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "a revoked token opens nothing: {answer}");
}
