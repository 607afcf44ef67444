//! The owner settles how long words are kept, sees what is announced and takes it back.

use serde_json::{Value, json};

use super::{Caller, Served};

async fn retention(caller: &Caller<'_>) -> Value {
    let query = "{ viewer { retention { own wordsDays kinds { kind days } undoDays held \
                 notice { dueAt words { kind events bytes } } } } }";
    caller.get(query, json!({})).await["viewer"]["retention"].take()
}

async fn change(caller: &Caller<'_>, mutation: &str, kind: &str, input: Value) -> (String, Value) {
    let query = format!(
        "mutation ($input: {kind}!) {{ it: {mutation}(input: $input) {{ __typename ... on Refused {{ reason }} }} }}"
    );
    let mut answer = caller.get(&query, json!({"input": input})).await["it"].take();
    (answer["__typename"].as_str().expect("a type").to_owned(), answer["reason"].take())
}

#[tokio::test]
async fn the_owner_settles_it_sees_the_notice_and_takes_it_back() {
    let served = Served::start().await;
    let (ann, ben) = (served.caller("ann@example.org").await, served.caller("ben@example.org").await);
    let id = ann.conversation(json!({"title": "t"})).await;
    ann.say(json!({"conversationId": id, "role": "USER", "text": "Hello."})).await;
    let kept = json!({"own": false, "wordsDays": null, "kinds": [], "undoDays": 7, "held": false, "notice": null});
    assert_eq!(retention(&ann).await, kept, "for ever");

    let settle = |input| change(&ann, "configureRetention", "ConfigureRetentionInput", input);
    let policy = || json!({"wordsDays": 0, "kinds": [{"kind": "conversation.titled"}]});
    assert_eq!(settle(policy()).await.0, "RetentionDone");
    assert_eq!(settle(policy()).await.0, "RetentionAlreadyDone");
    assert_eq!(settle(json!({"kinds": [{"kind": "message.hidden", "days": 3}]})).await.1, "NOT_FOUND");
    assert_eq!(settle(json!({"wordsDays": 36_501})).await.1, "TOO_LONG");
    let negative = json!({"input": {"wordsDays": -1}});
    let query = "mutation ($input: ConfigureRetentionInput!) { configureRetention(input: $input) { __typename } }";
    assert!(ann.ask(query, negative).await["errors"][0]["message"].to_string().contains("negative"));

    served.service.retain(ann.actor.account).await.expect("a notice");
    let noticed = retention(&ann).await;
    assert_eq!(noticed["kinds"], json!([{"kind": "conversation.titled", "days": null}]));
    let words = &noticed["notice"]["words"];
    assert_eq!(
        (&words[0]["kind"], &words[0]["events"], words.as_array().map(Vec::len)),
        (&"message.appended".into(), &1.into(), Some(1))
    );
    assert_eq!(retention(&ben).await, kept, "nobody else's");

    let undo = || change(&ann, "undoRetention", "UndoRetentionInput", json!({}));
    assert_eq!(undo().await.0, "RetentionDone");
    assert_eq!(undo().await.0, "RetentionAlreadyDone");
    served.service.retain(ann.actor.account).await.expect("an answer");
    assert_eq!(retention(&ann).await["notice"], Value::Null, "what was undone is not announced again");
    assert_eq!(settle(json!({"default": true})).await.0, "RetentionDone");
    assert_eq!(retention(&ann).await, kept);
}
