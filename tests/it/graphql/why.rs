//! The event behind a value on screen.

use serde_json::{Value, json};

use super::{Caller, Served};

const WHY: &str = "query ($c: ID!, $field: WhyField!, $message: ID, $branch: ID, $tag: String) { \
                   why(conversation: $c, field: $field, message: $message, branch: $branch, tag: $tag) { \
                   version kind words } }";

async fn why(caller: &Caller<'_>, variables: Value) -> Value {
    caller.get(WHY, variables).await["why"].take()
}

#[tokio::test]
async fn every_value_names_the_event_that_set_it() {
    let served = Served::start().await;
    let (ann, bob) = (served.caller("ann@example.org").await, served.caller("bob@example.org").await);
    let id = ann.conversation(json!({"title": "first", "tags": ["a", "b"], "model": "m"})).await;
    let said = ann.say(json!({"conversationId": id, "role": "USER", "text": "x"})).await;
    let (message, branch) = (&said["message"]["id"], &said["message"]["branch"]["id"]);
    for mutation in [
        format!("setTitle(input: {{id: \"{id}\", title: \"second\"}})"),
        format!("untagConversation(input: {{id: \"{id}\", tags: [\"A\"]}})"),
        format!("rateMessage(input: {{id: {message}, rating: UP, comment: \"yes\"}})"),
        format!("archiveConversation(input: {{id: \"{id}\"}})"),
    ] {
        ann.get(&format!("mutation {{ {mutation} {{ __typename }} }}"), json!({})).await;
    }
    let mut version = 0;
    for (variables, kind) in [
        (json!({"field": "TAG", "tag": "b"}), "conversation.tagged"),
        (json!({"field": "BRANCH_TIP", "branch": branch}), "message.appended"),
        (json!({"field": "HIDDEN", "message": message}), "message.appended"),
        (json!({"field": "TITLE"}), "conversation.titled"),
        (json!({"field": "TAG", "tag": "a"}), "conversation.untagged"),
        (json!({"field": "RATING", "message": message}), "message.rated"),
        (json!({"field": "STATUS"}), "conversation.archived"),
        (json!({"field": "UPDATED"}), "conversation.archived"),
    ] {
        let mut variables = variables;
        variables["c"] = json!(id);
        let event = why(&ann, variables.clone()).await;
        assert_eq!(event["kind"], kind, "{variables}");
        assert!(event["version"].as_i64() >= Some(version), "{event} for {variables}");
        version = event["version"].as_i64().expect("a version");
        assert_eq!(why(&bob, variables).await, Value::Null, "a stranger finds nothing");
    }
    for field in ["MODEL", "FAVORITED", "PREFERRED_BRANCH"] {
        assert_eq!(why(&ann, json!({"c": id, "field": field})).await["kind"], "conversation.started", "{field}");
    }
    assert_eq!(why(&ann, json!({"c": id, "field": "TITLE"})).await["words"], json!({"0": "second"}));
    assert_eq!(why(&ann, json!({"c": id, "field": "PROVIDER"})).await, Value::Null, "nothing ever set it");
    let lacking = ann.ask(WHY, json!({"c": id, "field": "RATING"})).await;
    assert_eq!(lacking["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}
