//! Time travel: what was answered once is answered again, as of then, whatever happened since.

use serde_json::{Value, json};

use super::{Caller, Served};

/// Every field that a conversation has, and all that hangs on it.
const EVERYTHING: &str = "
    id title tags favorited status model provider source version position createdAt updatedAt messageCount tokensIn
    tokensOut cacheReads cacheWrites costUsd sizeBytes
    branches { id name preferred abandoned messageCount costUsd ownCostUsd createdAt forkedFrom { id } tip { ...said } }
    branch { id name }
    idea: branch(name: \"idea\") { id }
    messages(first: 100) { totalCount nodes { ...said parent { id hidden } siblings { id rating } branch { id name }
        conversation { id title version messageCount } } }
    recent: messages(last: 2) { pageInfo { hasNextPage hasPreviousPage } nodes { id } }
    snapshots { totalCount nodes { id label trigger version createdAt conversation { version title } } }
    events(first: 100) { totalCount nodes { id kind version words } }";
const SAID: &str =
    "fragment said on Message { id depth role text hidden rating ratingComment costUsd position version }";

impl Caller<'_> {
    async fn change(&self, mutation: &str) {
        let answer = self.get(&format!("mutation {{ done: {mutation} {{ __typename }} }}"), json!({})).await;
        let kind = answer["done"]["__typename"].as_str().expect("a kind");
        assert!(kind.ends_with("Done"), "{mutation}: {answer}");
    }

    async fn whole(&self, id: &str, as_of: Value) -> Value {
        let query =
            format!("query ($id: ID!, $asOf: AsOf) {{ conversation(id: $id, asOf: $asOf) {{ {EVERYTHING} }} }} {SAID}");
        self.get(&query, json!({"id": id, "asOf": as_of})).await["conversation"].take()
    }

    /// What goes over all conversations.
    async fn overview(&self, as_of: Value) -> Value {
        let query = "query ($asOf: AsOfMoment) {
            conversations(asOf: $asOf, orderBy: MOST_EXPENSIVE) { totalCount nodes { id title version costUsd tags } }
            favorites: conversations(asOf: $asOf, filter: {favoritesOnly: true}) { totalCount nodes { id } }
            archived: conversations(asOf: $asOf, filter: {status: [ARCHIVED, DELETED]}) { nodes { id status } }
            search(query: \"bread\", asOf: $asOf) { totalCount nodes { kind abandoned snippet { text }
                message { id text hidden } conversation { id title } } }
            costs(range: {}, groupBy: [MODEL, BRANCH], asOf: $asOf) { rows { model messages costUsd branch { id name } }
                total { messages tokensIn costUsd unknownCosts sizeBytes } } }";
        self.get(query, json!({"asOf": as_of})).await
    }
}

#[tokio::test]
async fn what_was_answered_once_is_answered_again_as_of_then() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "Baking bread", "tags": ["kitchen"], "model": "small"})).await;
    let other = ann.conversation(json!({"title": "Travel"})).await;
    let mut moments = Vec::new();
    let mut said: Vec<Value> = Vec::new();
    for step in 0..24 {
        let text = if step % 3 == 0 { format!("bread {step}") } else { format!("words {step}") };
        let cost = (step % 2 == 0).then(|| format!("0.{step:02}"));
        let mut input = json!({"conversationId": id, "role": if step % 2 == 0 { "ASSISTANT" } else { "USER" },
            "text": text, "model": "small", "costUsd": cost, "usage": {"input": 10 * step, "output": 3}});
        if step % 5 == 4 {
            input["parentId"] = said[step - 3].clone();
        }
        let answer = ann.say(input).await;
        said.push(answer["message"]["id"].clone());
        let (message, conversation) = (said[step].as_str().expect("an id"), id.as_str());
        match step % 12 {
            0 => ann.change(&format!("favoriteConversation(input: {{id: \"{conversation}\"}})")).await,
            1 => ann.change(&format!("setTitle(input: {{id: \"{conversation}\", title: \"Title {step}\"}})")).await,
            2 => ann.change(&format!("tagConversation(input: {{id: \"{conversation}\", tags: [\"t{step}\"]}})")).await,
            3 => ann.change(&format!("hideMessage(input: {{id: \"{message}\"}})")).await,
            4 => {
                let rate = format!("rateMessage(input: {{id: \"{message}\", rating: UP, comment: \"well {step}\"}})");
                ann.change(&rate).await;
            }
            5 => {
                let create = format!(
                    "createBranch(input: {{conversationId: \"{conversation}\", fromMessageId: {}, name: \"idea {step}\"}})",
                    said[2]
                );
                ann.change(&create).await;
            }
            6 => {
                let switch =
                    format!("switchModel(input: {{conversationId: \"{conversation}\", model: \"large {step}\"}})");
                ann.change(&switch).await;
            }
            7 => {
                ann.change(&format!("untagConversation(input: {{id: \"{conversation}\", tags: [\"kitchen\"]}})")).await;
            }
            8 => ann.change(&format!("unfavoriteConversation(input: {{id: \"{conversation}\"}})")).await,
            9 => ann.change(&format!("unhideMessage(input: {{id: {}}})", said[3])).await,
            10 => ann.change(&format!("archiveConversation(input: {{id: \"{other}\"}})")).await,
            _ => ann.change(&format!("unarchiveConversation(input: {{id: \"{other}\"}})")).await,
        }
        let (whole, overview) = (ann.whole(&id, Value::Null).await, ann.overview(Value::Null).await);
        moments.push((whole, overview));
    }
    let head = served.service.log().head().await.expect("a head");
    let kinds = "{ events(first: 100) { nodes { position recordedAt } } }";
    let events = ann.get(kinds, json!({})).await["events"]["nodes"].take();
    let recorded = |position: &Value| {
        let event = events.as_array().expect("events").iter().find(|event| event["position"] == *position);
        event.map_or(Value::Null, |event| event["recordedAt"].clone())
    };
    for (whole, overview) in &moments {
        let (version, position) = (&whole["version"], &whole["position"]);
        assert_eq!(&ann.whole(&id, json!({"version": version})).await, whole);
        assert_eq!(&ann.whole(&id, json!({"position": position})).await, whole);
        assert_eq!(&ann.overview(json!({"position": position})).await["costs"], &overview["costs"]);
        let time = recorded(position);
        if time != Value::Null {
            assert_eq!(&ann.whole(&id, json!({"time": time})).await, whole);
        }
    }
    // What went over all of them was read one act later than the conversation's own last event, at times.
    for at in 1..=head.0 {
        let answer = ann.overview(json!({"position": at})).await;
        assert!(answer["conversations"]["totalCount"].as_i64().is_some_and(|total| total <= 2), "{answer}");
    }
    let overviews: Vec<&Value> = moments.iter().map(|(_, overview)| overview).collect();
    let mut position = 0;
    for overview in overviews {
        let found = loop {
            position += 1;
            assert!(position <= head.0, "some moment answers {overview}");
            if ann.overview(json!({"position": position})).await == *overview {
                break position;
            }
        };
        position = found;
    }
}

#[tokio::test]
async fn a_page_goes_on_as_of_the_moment_that_it_began() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "Long"})).await;
    for nth in 0..9 {
        ann.say(json!({"conversationId": id, "role": "USER", "text": format!("message {nth}")})).await;
    }
    let page = "query ($id: ID!, $asOf: AsOf, $after: Cursor) { conversation(id: $id, asOf: $asOf) {
        messages(first: 4, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes { text hidden } } } }";
    let first = ann.get(page, json!({"id": id, "asOf": {"version": 7}})).await;
    let first = &first["conversation"]["messages"];
    assert_eq!((&first["totalCount"], &first["pageInfo"]["hasNextPage"]), (&json!(5), &json!(true)));
    ann.say(json!({"conversationId": id, "role": "USER", "text": "later"})).await;
    // Without `asOf`: the cursor keeps it.
    let after = &first["pageInfo"]["endCursor"];
    let second = ann.get(page, json!({"id": id, "after": after})).await;
    let second = &second["conversation"]["messages"];
    assert_eq!(
        (&second["totalCount"], &second["nodes"]),
        (&json!(5), &json!([{"text": "message 4", "hidden": false}]))
    );
    let same = ann.get(page, json!({"id": id, "asOf": {"version": 7}, "after": after})).await;
    assert_eq!(&same["conversation"]["messages"], second);
    let other = ann.ask(page, json!({"id": id, "asOf": {"version": 8}, "after": after})).await;
    let message = other["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("another moment"), "{other}");
    // A subscription goes on from the moment: what came later is told.
    let events = "query ($id: ID!, $after: Cursor) { conversation(id: $id) { events(first: 9, after: $after) { nodes {
        version } } } }";
    let told = ann.get(events, json!({"id": id, "after": after})).await;
    assert_eq!(told["conversation"]["events"]["nodes"][0]["version"], 8);
}

#[tokio::test]
async fn a_moment_that_there_is_not_is_told_so() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "Short"})).await;
    let query = "query ($id: ID!, $asOf: AsOf) { conversation(id: $id, asOf: $asOf) { version } }";
    for (as_of, words) in [
        (json!({"version": 9}), "no version 9; its newest is 2"),
        (json!({"version": 0}), "count from 1"),
        (json!({"position": 999}), "has not come to position 999 yet"),
        (json!({"position": -1}), "count from 1"),
        (json!({}), "exactly one field"),
        (json!({"version": 1, "position": 1}), "exactly one field"),
    ] {
        let answer = ann.ask(query, json!({"id": id, "asOf": as_of})).await;
        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{as_of}: {answer}");
        assert_ne!(answer["errors"][0]["extensions"]["code"], "INTERNAL", "{answer}");
    }
    for as_of in [json!({"time": "2001-01-01T00:00:00Z"}), json!({"occurredAt": "2001-01-01T00:00:00Z"})] {
        let answer = ann.get(query, json!({"id": id, "asOf": as_of})).await;
        assert_eq!(answer["conversation"], Value::Null);
    }
    let node =
        "query ($id: ID!, $asOf: AsOf) { node(id: $id, asOf: $asOf) { id ... on Conversation { title version } } }";
    let then = ann.get(node, json!({"id": id, "asOf": {"version": 1}})).await;
    assert_eq!((&then["node"]["title"], &then["node"]["version"]), (&Value::Null, &json!(1)));
    let bob = served.caller("bob@example.org").await;
    let stranger = bob.get(query, json!({"id": id, "asOf": {"version": 9}})).await;
    assert_eq!(stranger["conversation"], Value::Null);
}

#[tokio::test]
async fn an_imported_conversation_travels_on_its_own_time() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "Old", "occurredAt": "2023-01-01T00:00:00Z"})).await;
    for (day, text) in [("02", "one"), ("03", "two"), ("05", "three")] {
        let at = format!("2023-01-{day}T00:00:00Z");
        ann.say(json!({"conversationId": id, "role": "USER", "text": text, "occurredAt": at})).await;
    }
    let query = "query ($id: ID!, $at: DateTime) { conversation(id: $id, asOf: {occurredAt: $at}) { version
        updatedAt messages { nodes { text } } } }";
    let then = async |at: &str| ann.get(query, json!({"id": id, "at": at})).await["conversation"].take();
    assert_eq!(then("2022-12-31T23:59:59Z").await, Value::Null);
    let third = then("2023-01-04T12:00:00Z").await;
    assert_eq!(third["messages"]["nodes"], json!([{"text": "one"}, {"text": "two"}]));
    assert_eq!(third["updatedAt"], "2023-01-03T00:00:00+00:00");
    assert_eq!(then("2023-01-05T00:00:00Z").await["messages"]["nodes"].as_array().map(Vec::len), Some(3));
}
