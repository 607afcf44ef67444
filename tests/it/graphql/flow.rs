//! What a client does in an afternoon.

use serde_json::{Value, json};

use super::{Caller, Served};
use crate::support::sse::Events;

#[tokio::test]
async fn a_conversation_is_started_told_branched_and_read() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "Zürich", "tags": ["Travel", "europe"], "model": "m-1"})).await;
    let first = ann.say(json!({"conversationId": id, "role": "USER", "text": "Where to?"})).await;
    let question = first["message"]["id"].clone();
    ann.say(json!({
        "conversationId": id, "role": "ASSISTANT", "text": "The lake.", "costUsd": "0.0125", "model": "m-1",
        "usage": {"input": 10, "output": 4}, "latencyMs": 900, "finishReason": "stop",
    }))
    .await;
    let again =
        ann.say(json!({"conversationId": id, "role": "ASSISTANT", "text": "The hill.", "parentId": question})).await;
    assert_eq!(again["message"]["branch"]["name"], "2", "a second answer is a branch of its own");

    let query = "query ($id: ID!) { conversation(id: $id) { title tags status model messageCount tokensIn tokensOut \
                 costUsd sizeBytes version branches { name messageCount preferred costUsd tip { text } forkedFrom { text } } \
                 messages { totalCount pageInfo { hasNextPage hasPreviousPage } \
                 nodes { text role costUsd usage { input cacheRead } siblings { text } parent { text } } } } }";
    let read = ann.get(query, json!({"id": id})).await["conversation"].take();
    assert_eq!(read["title"], "Zürich");
    assert_eq!(read["tags"], json!(["Travel", "europe"]));
    assert_eq!(read["messageCount"], 3);
    assert_eq!((&read["tokensIn"], &read["tokensOut"]), (&json!(10), &json!(4)));
    assert_eq!(read["costUsd"], "0.0125", "the unknown cost of the other messages is not zero, it is left out");
    assert_eq!(
        read["branches"],
        json!([
            {"name": "main", "messageCount": 2, "preferred": true, "costUsd": "0.0125", "tip": {"text": "The lake."},
             "forkedFrom": null},
            {"name": "2", "messageCount": 2, "preferred": false, "costUsd": null, "tip": {"text": "The hill."},
             "forkedFrom": {"text": "Where to?"}},
        ])
    );
    let nodes = &read["messages"]["nodes"];
    assert_eq!(nodes[1]["siblings"], json!([{"text": "The lake."}, {"text": "The hill."}]));
    assert_eq!(nodes[1]["usage"], json!({"input": 10, "cacheRead": null}));
    assert_eq!(nodes[1]["parent"]["text"], "Where to?");
    assert_eq!(read["messages"]["totalCount"], 2);
}

#[tokio::test]
async fn repeats_are_answers_and_stale_callers_learn_what_they_missed() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({})).await;
    let input = json!({"conversationId": id, "role": "USER", "text": "once", "clientMutationId": "k1"});
    let first = ann.say(input.clone()).await;
    assert_eq!(first["__typename"], "MessageDone");
    let again = ann.say(input).await;
    assert_eq!(again["__typename"], "MessageAlreadyDone");
    assert_eq!((&again["position"], &again["message"]["id"]), (&first["position"], &first["message"]["id"]));
    let other = json!({"conversationId": id, "role": "USER", "text": "twice", "clientMutationId": "k1"});
    assert_eq!(ann.say(other).await["reason"], "NAME_REUSED");

    let stale = ann.say(json!({"conversationId": id, "role": "USER", "text": "late", "expectedVersion": 1})).await;
    assert_eq!(stale["__typename"], "Stale");
    assert_eq!(stale["version"], 2);
    assert_eq!(stale["missed"], json!([{"kind": "message.appended", "version": 2}]));
}

#[tokio::test]
async fn lists_are_filtered_then_ordered_then_cut() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    for nth in 0..7 {
        let tags = if nth % 2 == 0 { json!(["even"]) } else { json!([]) };
        let at = format!("2025-01-0{}T00:00:00Z", nth + 1);
        ann.conversation(json!({"title": format!("c{nth}"), "tags": tags, "occurredAt": at})).await;
    }
    let query = "query ($filter: ConversationFilter, $first: Int, $last: Int, $after: Cursor, $before: Cursor) { \
                 conversations(filter: $filter, first: $first, last: $last, after: $after, before: $before) { totalCount \
                 nodes { title } pageInfo { hasNextPage endCursor startCursor } } }";
    let page = async |variables: Value| ann.get(query, variables).await["conversations"].take();
    let titles = |page: &Value| -> Vec<String> {
        let nodes = page["nodes"].as_array().expect("nodes").iter();
        nodes.map(|node| node["title"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let first = page(json!({"filter": {"tags": [" EVEN "]}, "first": 3})).await;
    assert_eq!((titles(&first), &first["totalCount"]), (vec!["c6".into(), "c4".into(), "c2".into()], &json!(4)));
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let rest = page(json!({"filter": {"tags": ["even"]}, "first": 3, "after": first["pageInfo"]["endCursor"]})).await;
    assert_eq!(titles(&rest), ["c0"]);
    let back = page(json!({"filter": {"tags": ["even"]}, "last": 2, "before": rest["pageInfo"]["startCursor"]})).await;
    assert_eq!(titles(&back), ["c4", "c2"]);
    let between = page(json!({"filter": {"from": "2025-01-02T00:00:00Z", "to": "2025-01-04T00:00:00Z"}})).await;
    assert_eq!(titles(&between), ["c2", "c1"]);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_so() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({})).await;
    refused(&ann, "{ conversations(first: 500) { totalCount } }", "a page holds 0 to 100").await;
    refused(&ann, "{ conversations(after: \"bm9uc2Vuc2U\") { totalCount } }", "no cursor that this ledger gave out")
        .await;
    refused(&ann, "{ node(id: \"conversation:zzz\") { id } }", "is no id").await;
    let nothing =
        format!("mutation {{ appendMessage(input: {{conversationId: \"{id}\", role: USER}}) {{ __typename }} }}");
    refused(&ann, &nothing, "the message says nothing").await;
}

async fn refused(caller: &Caller<'_>, query: &str, says: &str) {
    let answer = caller.ask(query, json!({})).await;
    let error = &answer["errors"][0];
    assert!(error["message"].as_str().is_some_and(|message| message.contains(says)), "{answer}");
    assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT");
}

#[tokio::test]
async fn every_switch_turns_on_and_off() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "t"})).await;
    let said = ann.say(json!({"conversationId": id, "role": "USER", "text": "x"})).await;
    let message = said["message"]["id"].clone();
    let act = async |mutation: &str, input: Value, select: &str, kind: &str| {
        let query = format!(
            "mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ __typename {select} ... on Refused {{ reason message }} }} }}"
        );
        ann.get(&query, json!({"input": input})).await[mutation].take()
    };
    let of = "... on ConversationDone { conversation { status favorited tags title model } }";
    for (mutation, field, value) in [
        ("favoriteConversation", "favorited", json!(true)),
        ("unfavoriteConversation", "favorited", json!(false)),
        ("archiveConversation", "status", json!("ARCHIVED")),
        ("unarchiveConversation", "status", json!("ACTIVE")),
        ("deleteConversation", "status", json!("DELETED")),
        ("undeleteConversation", "status", json!("ACTIVE")),
    ] {
        let done = act(mutation, json!({"id": id}), of, "TargetInput").await;
        assert_eq!(done["conversation"][field], value, "{mutation}: {done}");
        let again = act(mutation, json!({"id": id}), of, "TargetInput").await;
        assert_eq!(again["__typename"], "ConversationAlreadyDone", "{mutation}");
    }
    let tagged = act("tagConversation", json!({"id": id, "tags": ["One", "two"]}), of, "TagsInput").await;
    assert_eq!(tagged["conversation"]["tags"], json!(["One", "two"]));
    let untagged = act("untagConversation", json!({"id": id, "tags": ["one"]}), of, "TagsInput").await;
    assert_eq!(untagged["conversation"]["tags"], json!(["two"]));
    let titled = act("setTitle", json!({"id": id, "title": "u"}), of, "SetTitleInput").await;
    assert_eq!(titled["conversation"]["title"], "u");
    let switched = act("switchModel", json!({"conversationId": id, "model": "m"}), of, "SwitchModelInput").await;
    assert_eq!(switched["conversation"]["model"], "m");
    let of = "... on MessageDone { message { hidden rating ratingComment } }";
    let hidden = act("hideMessage", json!({"id": message}), of, "TargetInput").await;
    assert_eq!(hidden["message"]["hidden"], true);
    let shown = act("unhideMessage", json!({"id": message}), of, "TargetInput").await;
    assert_eq!(shown["message"]["hidden"], false);
    let rated =
        act("rateMessage", json!({"id": message, "rating": "DOWN", "comment": "no"}), of, "RateMessageInput").await;
    assert_eq!(rated["message"], json!({"hidden": false, "rating": "DOWN", "ratingComment": "no"}));
    let of = "... on MessageDone { message { id text siblings { text } branch { name } } }";
    let edited = act("editMessage", json!({"id": message, "text": "y"}), of, "EditMessageInput").await;
    assert_eq!(edited["message"]["siblings"], json!([{"text": "x"}, {"text": "y"}]));
    let of = "... on BranchDone { branch { id name preferred tip { text } } }";
    let branch = json!({"conversationId": id, "fromMessageId": message, "name": "idea"});
    let created = act("createBranch", branch, of, "CreateBranchInput").await;
    assert_eq!(created["branch"]["name"], "idea");
    let branch = created["branch"]["id"].clone();
    let renamed = act("renameBranch", json!({"id": branch, "name": "plan"}), of, "RenameBranchInput").await;
    assert_eq!(renamed["branch"]["name"], "plan");
    let preferred = act("preferBranch", json!({"id": branch}), of, "TargetInput").await;
    assert_eq!(preferred["branch"]["preferred"], true);
    let events = ann.get("{ events { totalCount nodes { kind words } } }", json!({})).await;
    let kinds: Vec<&str> =
        events["events"]["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["kind"].as_str()).collect();
    assert_eq!(kinds.len(), 23, "{kinds:?}");
    let switched = kinds.iter().position(|kind| *kind == "model.switched").expect("it was");
    assert_eq!(kinds[switched - 1], "snapshot.taken");
    assert_eq!(&kinds[..2], ["subject_key.created", "account.registered"]);
}

#[tokio::test]
async fn projections_are_watched_over_a_stream_and_counted() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let fields = "name state position head lagEvents lagMs rate error";
    let listed = ann.get(&format!("{{ projections {{ {fields} }} }}"), json!({})).await["projections"].take();
    let request = served.client.post(&served.url).bearer_auth(&ann.token).header("accept", "text/event-stream");
    let query = json!({"query": format!("subscription {{ projections {{ {fields} }} }}")});
    let mut events = Events::of(request.json(&query).send().await.expect("a stream"));
    let mut names = Vec::new();
    while names.len() < listed.as_array().expect("a list").len() {
        let event = events.next().await.expect("an event");
        assert_eq!(event.id, None, "there is nothing to resume");
        let answer: Value = serde_json::from_str(&event.data).expect("JSON");
        let status = &answer["data"]["projections"];
        assert!(status["rate"].is_f64() && status["position"].is_i64(), "{answer}");
        names.push(status["name"].clone());
    }
    assert!(listed.as_array().expect("a list").iter().all(|status| names.contains(&status["name"])), "{names:?}");
    let metrics = served.client.get(served.url.replace("/graphql", "/metrics")).send().await.expect("metrics");
    assert!(metrics.text().await.expect("text").contains("projection_rate{projection=\"conversation\"}"));
}
