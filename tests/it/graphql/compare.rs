//! Two branches side by side.

use serde_json::{Value, json};

use super::Served;

const COMPARE: &str = "query ($left: Side!, $right: Side!, $first: Int, $after: Cursor) { \
    compare(left: $left, right: $right) { sharedCount ancestor { text } \
    left { ...sums } right { ...sums } \
    pairs(first: $first, after: $after) { totalCount pageInfo { hasNextPage endCursor } \
    nodes { left { text } right { text } diff { kind text } } } } } \
    fragment sums on ComparedSide { branch { name } messageCount tokensIn tokensOut costUsd unknownCosts latencyMs models }";

#[tokio::test]
async fn branches_are_aligned_from_where_they_part() {
    let served = Served::start().await;
    let (ann, bob) = (served.caller("ann@example.org").await, served.caller("bob@example.org").await);
    let id = ann.conversation(json!({})).await;
    let say = async |input: Value| {
        let mut input = input;
        input["conversationId"] = json!(id);
        ann.say(input).await["message"].take()
    };
    for nth in 0..5 {
        say(json!({"role": "USER", "text": format!("shared {nth}")})).await;
    }
    let asked = say(json!({"role": "USER", "text": "Where to?"})).await;
    let usage = json!({"input": 10, "output": 2});
    say(json!({"role": "ASSISTANT", "text": "To the lake.", "model": "m-1", "costUsd": "0.5", "latencyMs": 700,
               "usage": usage}))
    .await;
    say(json!({"role": "USER", "text": "Thanks!"})).await;
    let other =
        say(json!({"role": "ASSISTANT", "text": "To the hill.", "model": "m-2", "parentId": asked["id"]})).await;
    let sides = json!({"left": {"conversation": id}, "right": {"branch": other["branch"]["id"]}, "first": 1});
    let compared = ann.get(COMPARE, sides.clone()).await["compare"].take();
    assert_eq!((&compared["sharedCount"], &compared["ancestor"]["text"]), (&json!(6), &json!("Where to?")));
    assert_eq!(
        compared["left"],
        json!({"branch": {"name": "main"}, "messageCount": 2, "tokensIn": 10, "tokensOut": 2, "costUsd": "0.5",
               "unknownCosts": 0, "latencyMs": 700, "models": ["m-1"]})
    );
    assert_eq!(
        compared["right"],
        json!({"branch": {"name": "2"}, "messageCount": 1, "tokensIn": null, "tokensOut": null, "costUsd": null,
               "unknownCosts": 1, "latencyMs": null, "models": ["m-2"]})
    );
    let pairs = &compared["pairs"];
    assert_eq!((&pairs["totalCount"], &pairs["pageInfo"]["hasNextPage"]), (&json!(2), &json!(true)));
    let run = |kind: &str, text: &str| json!({"kind": kind, "text": text});
    assert_eq!(
        pairs["nodes"][0]["diff"],
        json!([run("EQUAL", "To the "), run("DELETED", "lake"), run("INSERTED", "hill"), run("EQUAL", ".")])
    );
    let mut rest = sides.clone();
    rest["after"] = pairs["pageInfo"]["endCursor"].clone();
    let rest = ann.get(COMPARE, rest).await["compare"]["pairs"].take();
    assert_eq!(rest["nodes"], json!([{"left": {"text": "Thanks!"}, "right": null, "diff": null}]));
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);

    let same = ann.get(COMPARE, json!({"left": {"conversation": id}, "right": {"conversation": id}})).await;
    assert_eq!((&same["compare"]["sharedCount"], &same["compare"]["pairs"]["totalCount"]), (&json!(8), &json!(0)));
    let elsewhere = ann.conversation(json!({})).await;
    let apart = ann.get(COMPARE, json!({"left": {"conversation": id}, "right": {"conversation": elsewhere}})).await;
    assert_eq!((&apart["compare"]["sharedCount"], &apart["compare"]["ancestor"]), (&json!(0), &Value::Null));

    let stranger = bob.ask(COMPARE, sides).await;
    assert!(stranger["errors"][0]["message"].as_str().is_some_and(|said| said == "there is no such branch"));
    let neither = ann.ask(COMPARE, json!({"left": {}, "right": {"conversation": id}})).await;
    assert_eq!(neither["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}
