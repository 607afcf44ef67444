//! Costs and the audit, as clients ask for them.

use serde_json::{Value, json};

use super::{Caller, Served};

#[tokio::test]
async fn costs_tell_at_once_what_was_just_said() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "Dear", "tags": ["work"]})).await;
    let other = ann.conversation(json!({"title": "Free"})).await;
    let said = |at: &str, model: &str, cost: Value| {
        json!({"conversationId": id, "role": "ASSISTANT", "text": "four", "model": model, "costUsd": cost, "occurredAt": at,
               "usage": {"input": 1000, "output": 200, "cacheRead": 50}, "latencyMs": 30})
    };
    ann.say(said("2025-03-29T22:50:00Z", "small", json!("0.25"))).await;
    ann.say(said("2025-03-29T23:10:00Z", "large", json!("0.5"))).await;
    ann.say(said("2025-03-29T23:20:00Z", "large", Value::Null)).await;
    ann.say(json!({"conversationId": other, "role": "USER", "text": "five!", "occurredAt": "2025-03-30T10:00:00Z"}))
        .await;

    let query = "query ($range: TimeRange!, $filter: ConversationFilter) {
        costs(range: $range, groupBy: [MODEL, DAY], filter: $filter) {
            position
            rows { day model messages costUsd unknownCosts week }
            total { messages tokensIn tokensOut cacheReads cacheWrites5m latencyMs timedMessages costUsd unknownCosts
                    complexity sizeBytes }
        } }";
    let row = |model: Value, day: &str, messages: i64, cost: Value, unknown: i64| json!({"day": day, "model": model, "messages": messages, "costUsd": cost, "unknownCosts": unknown, "week": null});
    let data = ann.get(query, json!({"range": {"zone": "Europe/Berlin"}})).await;
    let rows = [
        row(Value::Null, "2025-03-30", 1, Value::Null, 0),
        row(json!("large"), "2025-03-30", 2, json!("0.5"), 1),
        row(json!("small"), "2025-03-29", 1, json!("0.25"), 0),
    ];
    assert_eq!(data["costs"]["rows"], json!(rows));
    let total = json!({"messages": 4, "tokensIn": 3000, "tokensOut": 600, "cacheReads": 150, "cacheWrites5m": 0,
        "latencyMs": 90, "timedMessages": 3, "costUsd": "0.75", "unknownCosts": 1, "complexity": "6.015", "sizeBytes": 17});
    assert_eq!(data["costs"]["total"], total);
    let head = served.service.log().head().await.expect("a head");
    assert_eq!(data["costs"]["position"], head.0);

    let range = json!({"from": "2025-03-29T23:10:00Z", "to": "2025-03-29T23:20:00Z"});
    let data = ann.get(query, json!({"range": range, "filter": {"tags": ["work"]}})).await;
    assert_eq!(data["costs"]["rows"], json!([row(json!("large"), "2025-03-29", 1, json!("0.5"), 0)]));
    for filter in [json!({"tags": ["never used"]}), json!({"model": ["none"]})] {
        let data = ann.get(query, json!({"range": {}, "filter": filter})).await;
        assert_eq!((&data["costs"]["rows"], &data["costs"]["total"]["messages"]), (&json!([]), &json!(0)));
    }
    let of = "{ costs(range: {}, groupBy: [BRANCH]) {
        rows { messages conversation { title } branch { name preferred } } } }";
    let rows = ann.get(of, json!({})).await["costs"]["rows"].take();
    let expected = |title: &str, messages: i64| json!({"messages": messages, "conversation": {"title": title}, "branch": {"name": "main", "preferred": true}});
    let mut rows = rows.as_array().expect("rows").clone();
    rows.sort_by_key(|row| row["messages"].as_i64());
    assert_eq!(rows, [expected("Free", 1), expected("Dear", 3)]);
    let none =
        ann.get("{ costs(range: {to: \"2001-01-01T00:00:00Z\"}, groupBy: []) { rows { messages } } }", json!({}));
    assert_eq!(none.await["costs"]["rows"], json!([{"messages": 0}]));
}

#[tokio::test]
async fn a_range_that_makes_no_sense_is_refused_in_words() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let query = "query ($range: TimeRange!) { costs(range: $range, groupBy: [DAY]) { total { messages } } }";
    for (range, words) in [
        (json!({"zone": "Europe/Berln"}), "`Europe/Berln` is no time zone"),
        (json!({"zone": "UTC+3"}), "`UTC+3` is no time zone"),
        (json!({"from": "2025-01-02T00:00:00Z", "to": "2025-01-01T00:00:00Z"}), "the range ends before it begins"),
        (json!({"from": "-9999-01-01T00:00:00Z"}), "no such time"),
    ] {
        let error = refused(&ann, query, json!({"range": range})).await;
        assert!(error["message"].as_str().is_some_and(|message| message.contains(words)), "{error}");
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{error}");
    }
    let dear = "{ costs(range: {}, groupBy: [CONVERSATION]) { rows { conversation { messages(first: 100) { nodes { text } } } } } }";
    refused(&ann, dear, json!({})).await;
}

#[tokio::test]
async fn the_audit_goes_back_page_by_page() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "One", "tags": ["work"]})).await;
    for _ in 0..3 {
        ann.say(json!({"conversationId": id, "role": "USER", "text": "again"})).await;
    }
    let query = "query ($filter: AuditFilter, $first: Int, $after: Cursor) {
        audit(filter: $filter, first: $first, after: $after) {
            totalCount pageInfo { hasNextPage hasPreviousPage endCursor }
            nodes { kind count streamId actor { id } day firstPosition lastPosition firstAt lastAt } } }";
    let whole = ann.get(query, json!({})).await["audit"].take();
    let events = ann.get("{ events { nodes { kind position streamId recordedAt actor { id } } } }", json!({})).await;
    let events = events["events"]["nodes"].as_array().expect("events");
    let last = events.last().expect("events");
    let newest = &whole["nodes"][0];
    assert_eq!((&newest["kind"], &newest["count"]), (&json!("message.appended"), &json!(3)));
    assert_eq!((&newest["streamId"], &newest["actor"]), (&json!(id), &last["actor"]));
    assert_eq!((&newest["lastPosition"], &newest["lastAt"]), (&last["position"], &last["recordedAt"]));
    let first = &events[events.len() - 3];
    assert_eq!((&newest["firstPosition"], &newest["firstAt"]), (&first["position"], &first["recordedAt"]));
    let counted: i64 = whole["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["count"].as_i64()).sum();
    assert_eq!(counted, i64::try_from(events.len()).expect("a count"));

    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = ann.get(query, json!({"first": 1, "after": after})).await["audit"].take();
        assert_eq!(page["totalCount"], whole["totalCount"]);
        seen.extend(page["nodes"].as_array().expect("nodes").clone());
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(json!(seen), whole["nodes"]);
    let kinds = json!({"kinds": ["conversation.started"], "stream": id});
    let started = ann.get(query, json!({"filter": kinds})).await["audit"].take();
    assert_eq!((&started["totalCount"], &started["nodes"][0]["count"]), (&json!(1), &json!(1)));
    let ahead = json!({"from": "2999-01-01"});
    assert_eq!(ann.get(query, json!({"filter": ahead})).await["audit"]["totalCount"], 0);
    let own = json!({"stream": last["actor"]["id"]});
    let account = ann.get(query, json!({"filter": own})).await["audit"].take();
    assert!(account["nodes"].to_string().contains("account.registered"), "{account}");

    let foreign = "{ conversations(first: 1) { edges { cursor } } }";
    let cursor = ann.get(foreign, json!({})).await["conversations"]["edges"][0]["cursor"].take();
    let error = refused(&ann, query, json!({"after": cursor})).await;
    assert!(error["message"].as_str().is_some_and(|message| message.contains("another connection")), "{error}");
}

/// The one error of an answer.
async fn refused(caller: &Caller<'_>, query: &str, variables: Value) -> Value {
    let mut answer = caller.ask(query, variables).await;
    assert!(answer["errors"][0].is_object(), "{answer}");
    answer["errors"][0].take()
}
