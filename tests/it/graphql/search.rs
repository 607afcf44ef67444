//! Search over HTTP: pages, filters, what is left out, and how much can be found.

use serde_json::{Value, json};

use super::{Caller, Served};

const SEARCH: &str = "query ($query: String!, $filter: ConversationFilter, $orderBy: SearchOrder, $first: Int, \
    $after: Cursor, $hidden: Boolean, $mode: SearchMode) { search(query: $query, filter: $filter, orderBy: $orderBy, \
    first: $first, after: $after, includeHidden: $hidden, mode: $mode) { totalCount \
    indexed { position head complete } pageInfo { hasNextPage hasPreviousPage endCursor } \
    nodes { kind widened abandoned score snippet { text matched } message { id text branch { name } } \
    conversation { id title } } } }";

impl Caller<'_> {
    async fn search(&self, variables: Value) -> Value {
        self.get(SEARCH, variables).await["search"].take()
    }

    /// The texts of what is found.
    async fn finds(&self, variables: Value) -> Vec<String> {
        let found = self.search(variables).await;
        found["nodes"].as_array().expect("nodes").iter().map(text).collect()
    }

    async fn act(&self, mutation: &str, kind: &str, input: Value) {
        let query = format!("mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ __typename }} }}");
        let answer = self.get(&query, json!({"input": input})).await;
        let done = answer[mutation]["__typename"].as_str().expect("a name");
        assert!(done.ends_with("Done"), "{answer}");
    }
}

fn text(hit: &Value) -> String {
    hit["snippet"].as_array().expect("runs").iter().map(|run| run["text"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn what_was_said_is_found_at_once_page_by_page() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "Breakfast"})).await;
    for nth in 1..=7 {
        let cost = format!("0.0{nth}");
        let said =
            json!({"conversationId": id, "role": "USER", "text": format!("bread number {nth}"), "costUsd": cost});
        ann.say(said).await;
    }
    let found = ann.search(json!({"query": "bread"})).await;
    assert_eq!(found["totalCount"], 7);
    assert_eq!(found["indexed"]["complete"], true);
    assert_eq!(found["nodes"][0]["snippet"][0], json!({"text": "bread", "matched": true}));
    assert_eq!(found["nodes"][0]["message"]["branch"]["name"], "main");
    assert_eq!(found["nodes"][0]["conversation"]["title"], "Breakfast");

    for (order, first) in [("NEWEST", "7"), ("OLDEST", "1"), ("MOST_EXPENSIVE", "7"), ("RELEVANCE", "7")] {
        let (mut all, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = ann.search(json!({"query": "bread", "orderBy": order, "first": 3, "after": after})).await;
            all.extend(page["nodes"].as_array().expect("nodes").iter().map(text));
            // What is said meanwhile is not in this list.
            ann.say(json!({"conversationId": id, "role": "USER", "text": "more bread"})).await;
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(all[0], format!("bread number {first}"), "{order}");
        assert_eq!(all.iter().filter(|text| text.starts_with("bread number")).count(), 7, "{order}: {all:?}");
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        ann.act("deleteConversation", "TargetInput", json!({"id": id})).await;
        assert_eq!(ann.search(json!({"query": "bread"})).await["totalCount"], 0);
        ann.act("undeleteConversation", "TargetInput", json!({"id": id})).await;
        // Each order looks at a conversation of its own making.
        let more = ann.search(json!({"query": "\"more bread\"", "first": 100})).await;
        for hit in more["nodes"].as_array().expect("nodes") {
            ann.act("hideMessage", "TargetInput", json!({"id": hit["message"]["id"]})).await;
        }
        assert_eq!(ann.search(json!({"query": "bread"})).await["totalCount"], 7, "hidden ones do not count");
        assert!(ann.search(json!({"query": "bread", "hidden": true})).await["totalCount"].as_i64() > Some(7));
    }
}

#[tokio::test]
async fn filters_apply_and_conversations_are_filtered_by_what_they_say() {
    let served = Served::start().await;
    let (ann, bob) = (served.caller("ann@example.org").await, served.caller("bob@example.org").await);
    let first = ann.conversation(json!({"title": "One", "tags": ["kitchen"], "model": "m1"})).await;
    let second = ann.conversation(json!({"title": "Two", "model": "m2"})).await;
    for (id, text) in [(&first, "soup of the day"), (&second, "soup of the month")] {
        ann.say(json!({"conversationId": id, "role": "USER", "text": text})).await;
    }
    ann.act("favoriteConversation", "TargetInput", json!({"id": second})).await;
    let finds = async |filter: Value| ann.finds(json!({"query": "soup", "filter": filter, "orderBy": "OLDEST"})).await;
    assert_eq!(finds(json!({})).await.len(), 2);
    assert_eq!(finds(json!({"model": ["m1"]})).await, ["soup of the day"]);
    assert_eq!(finds(json!({"favoritesOnly": true})).await, ["soup of the month"]);
    assert_eq!(finds(json!({"tags": ["kitchen"]})).await, ["soup of the day"]);
    assert_eq!(finds(json!({"tags": ["attic"]})).await.len(), 0);
    assert_eq!(finds(json!({"query": "month"})).await, ["soup of the month"]);
    assert_eq!(finds(json!({"status": ["ARCHIVED"]})).await.len(), 0);

    let list = "query ($filter: ConversationFilter) { conversations(filter: $filter) { totalCount nodes { title } } }";
    let listed = async |query: &str| ann.get(list, json!({"filter": {"query": query}})).await["conversations"].take();
    assert_eq!(listed("day").await["nodes"], json!([{"title": "One"}]));
    assert_eq!(listed("two").await["nodes"], json!([{"title": "Two"}]));
    assert_eq!(listed("soup").await["totalCount"], 2);
    assert_eq!(listed("stew").await["totalCount"], 0);

    // Nobody finds what others said, whatever the query, nor is told of it.
    bob.conversation(json!({"title": "Mine"})).await;
    for query in ["soup", "so*", "suop", "kitchen", "\"of the\"", "one OR two"] {
        let found = bob.search(json!({"query": query, "hidden": true})).await;
        assert_eq!((&found["totalCount"], &found["nodes"]), (&json!(0), &json!([])), "{query}");
        let none = bob.get(list, json!({"filter": {"query": query}})).await;
        assert_eq!(none["conversations"]["totalCount"], 0, "{query}");
    }
}

#[tokio::test]
async fn a_message_that_was_left_behind_is_found_and_told() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({})).await;
    let said = ann.say(json!({"conversationId": id, "role": "USER", "text": "the first wording"})).await;
    let edit = json!({"id": said["message"]["id"], "text": "the second wording"});
    ann.act("editMessage", "EditMessageInput", edit).await;
    let found = ann.search(json!({"query": "wording", "orderBy": "OLDEST"})).await;
    let abandoned = |nth: usize| found["nodes"][nth]["abandoned"].as_bool().expect("told");
    assert!(abandoned(0) != abandoned(1), "{found}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    ann.conversation(json!({"title": "One"})).await;
    for asked in [
        json!({"query": "one", "mode": "SEMANTIC"}),
        json!({"query": "one", "mode": "HYBRID"}),
        json!({"query": "-one"}),
        json!({"query": "a ".repeat(100)}),
        json!({"query": "one", "first": 101}),
    ] {
        let answer = ann.ask(SEARCH, asked.clone()).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{asked}: {answer}");
    }
    for query in ["'", "\\", "a'b", "!", "&|", ":*", "*", "\"", "(", "a:b", "", "\u{0}", "<->", "'a':*B"] {
        let answer = ann.ask(SEARCH, json!({"query": query})).await;
        assert_eq!(answer["errors"], Value::Null, "{query:?}: {answer}");
    }
    let other = ann.get("{ conversations { pageInfo { endCursor } } }", json!({})).await;
    let after = &other["conversations"]["pageInfo"]["endCursor"];
    let answer = ann.ask(SEARCH, json!({"query": "one", "after": after})).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
}

#[tokio::test]
async fn an_index_that_a_crash_emptied_says_so_and_fills_again() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "One"})).await;
    ann.say(json!({"conversationId": id, "role": "USER", "text": "still there"})).await;
    assert_eq!(ann.search(json!({"query": "still"})).await["totalCount"], 1);
    // As Postgres leaves unlogged tables after a crash.
    let emptied = "TRUNCATE search.document, search.vocabulary, search.spoken, search.progress";
    sqlx::query(emptied).execute(served.service.log().pool()).await.expect("emptied");
    loop {
        let found = ann.search(json!({"query": "still"})).await;
        if found["totalCount"] == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
