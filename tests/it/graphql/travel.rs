//! Going back and across, as a client asks for it.

use serde_json::{Value, json};

use super::{Caller, Served};

/// What a mutation answers: its kind, and why it was refused if it was.
async fn outcome(caller: &Caller<'_>, mutation: &str, kind: &str, input: Value) -> (String, Value) {
    let query = format!(
        "mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ __typename ... on Refused {{ reason message }} }} }}"
    );
    let answer = caller.get(&query, json!({"input": input})).await[mutation].take();
    (answer["__typename"].as_str().expect("a kind").to_owned(), answer["reason"].clone())
}

#[tokio::test]
async fn branches_are_compared_given_up_and_gone_back_from() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "t"})).await;
    let said = ann.say(json!({"conversationId": id, "role": "USER", "text": "Which?"})).await;
    let (message, main) = (said["message"]["id"].clone(), said["message"]["branch"]["id"].clone());
    let create = "mutation ($input: CreateBranchInput!) { createBranch(input: $input) { \
                  ... on BranchDone { branch { id } } } }";
    let input = json!({"conversationId": id, "fromMessageId": message, "name": "idea"});
    let idea = ann.get(create, json!({"input": input})).await["createBranch"]["branch"]["id"].take();

    let append = "mutation ($input: AppendMessageInput!) { appendMessage(input: $input) { __typename \
                  ... on MessageDone { message { id } messages { id text branch { id } } } } }";
    let input = json!({"conversationId": id, "branchIds": [main, idea], "role": "ASSISTANT", "text": "This."});
    let both = ann.get(append, json!({"input": input})).await["appendMessage"].take();
    let branches: Vec<_> = (0..2).map(|nth| both["messages"][nth]["branch"]["id"].clone()).collect();
    assert_eq!(branches, [main.clone(), idea.clone()]);
    assert_eq!(both["message"]["id"], both["messages"][1]["id"]);

    let target = |id: &Value| json!({"id": id});
    let choose = json!({"id": idea, "over": [main]});
    assert_eq!(outcome(&ann, "chooseBranch", "ChooseBranchInput", choose).await.0, "BranchDone");
    let given_up = outcome(&ann, "abandonBranch", "TargetInput", target(&idea)).await;
    assert_eq!(given_up.1, "BRANCH_PREFERRED");
    assert_eq!(outcome(&ann, "abandonBranch", "TargetInput", target(&main)).await.0, "BranchDone");
    let input = json!({"conversationId": id, "branchId": main, "role": "USER", "text": "More."});
    assert_eq!(ann.say(input).await["reason"], "BRANCH_ABANDONED");
    assert_eq!(outcome(&ann, "resumeBranch", "TargetInput", target(&main)).await.0, "BranchDone");

    let back = |version: i32| json!({"conversationId": id, "to": {"version": version}});
    assert_eq!(outcome(&ann, "restoreTo", "RestoreToInput", back(3)).await.0, "ConversationDone");
    assert_eq!(outcome(&ann, "restoreTo", "RestoreToInput", back(3)).await.0, "ConversationAlreadyDone");
    assert_eq!(outcome(&ann, "restoreTo", "RestoreToInput", back(99)).await.1, "NO_EARLIER_VERSION");
    let then = json!({"conversationId": id, "to": {"time": "2001-01-01T00:00:00Z"}});
    assert_eq!(outcome(&ann, "restoreTo", "RestoreToInput", then).await.1, "NO_EARLIER_VERSION");
    let newest = ann.get("query ($id: ID!) { conversation(id: $id) { position } }", json!({"id": id})).await;
    let now = json!({"conversationId": id, "to": {"position": newest["conversation"]["position"]}});
    assert_eq!(outcome(&ann, "restoreTo", "RestoreToInput", now).await.1, "NO_EARLIER_VERSION");
    let policy = json!({"conversationId": id, "autoHourly": false, "costLimitUsd": "2.5", "tokenLimit": 1000});
    let configured = outcome(&ann, "configureSnapshots", "ConfigureSnapshotsInput", policy.clone()).await;
    assert_eq!(configured.0, "SnapshotsConfigured");
    let again = outcome(&ann, "configureSnapshots", "ConfigureSnapshotsInput", policy).await;
    assert_eq!(again.0, "SnapshotsConfigured");
    let all = json!({"autoHourly": false});
    assert_eq!(outcome(&ann, "configureSnapshots", "ConfigureSnapshotsInput", all).await.0, "SnapshotsConfigured");
}

#[tokio::test]
async fn messages_go_from_one_conversation_to_another_of_ones_own() {
    let served = Served::start().await;
    let (ann, bob) = (served.caller("ann@example.org").await, served.caller("bob@example.org").await);
    let source = ann.conversation(json!({})).await;
    let mut said = Vec::new();
    for text in ["one", "two", "three"] {
        let message = ann.say(json!({"conversationId": source, "role": "USER", "text": text})).await;
        said.push(message["message"]["id"].clone());
    }
    let run = |conversation: &str, from: &Value, to: &Value| json!({"conversationId": conversation, "fromMessageId": from, "toMessageId": to});
    let target = ann.conversation(json!({})).await;
    let graft =
        async |caller: &Caller<'_>, input: Value| outcome(caller, "graftMessages", "GraftMessagesInput", input).await;
    assert_eq!(graft(&ann, run(&target, &said[0], &said[1])).await.0, "MessageDone");
    assert_eq!(graft(&ann, run(&target, &said[1], &said[0])).await.1, "NO_RUN");
    let theirs = bob.conversation(json!({})).await;
    assert_eq!(graft(&bob, run(&theirs, &said[0], &said[1])).await.1, "NOT_FOUND");

    let further = ann.conversation(json!({"fromMessageId": said[2]})).await;
    let message = ann.say(json!({"conversationId": further, "role": "USER", "text": "four"})).await;
    assert_eq!(message["message"]["depth"], 4);
    let input = json!({"fromMessageId": said[2]});
    assert_eq!(outcome(&bob, "startConversation", "StartConversationInput", input).await.1, "NOT_FOUND");
}

#[tokio::test]
async fn a_conversation_goes_on_from_another_without_a_copy() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let source = ann.conversation(json!({"title": "Source"})).await;
    let mut said = Vec::new();
    for text in ["one", "two", "three", "four"] {
        let input = json!({"conversationId": source, "role": "ASSISTANT", "text": text, "costUsd": "0.5"});
        said.push(ann.say(input).await["message"]["id"].clone());
    }
    let further = ann.conversation(json!({"fromMessageId": said[1]})).await;
    let query =
        "query ($id: ID!, $asOf: AsOf) { conversation(id: $id, asOf: $asOf) { messageCount costUsd from { text }
        branches { name messageCount costUsd ownCostUsd tip { text } forkedFrom { text } }
        messages(last: 3) { totalCount pageInfo { hasPreviousPage } nodes { text depth conversation { title }
            parent { text conversation { title } } siblings { text } } } } }";
    let read = async |as_of: Value| {
        let data = ann.get(query, json!({"id": further, "asOf": as_of})).await;
        data["conversation"].clone()
    };
    let empty = read(Value::Null).await;
    assert_eq!((&empty["messageCount"], &empty["from"]["text"]), (&json!(0), &json!("two")));
    assert_eq!(empty["branches"][0]["tip"]["text"], "two");
    assert_eq!(empty["messages"]["totalCount"], 2);
    let input = json!({"conversationId": further, "role": "USER", "text": "else", "costUsd": "0.25"});
    let own = ann.say(input).await["message"]["id"].clone();
    let edit = "mutation ($input: EditMessageInput!) { editMessage(input: $input) { __typename } }";
    ann.get(edit, json!({"input": {"id": own, "text": "or so"}})).await;

    let whole = read(Value::Null).await;
    let main = json!({"name": "main", "messageCount": 3, "costUsd": "1.25", "ownCostUsd": "0.25",
        "tip": {"text": "else"}, "forkedFrom": null});
    assert_eq!(whole["branches"][0], main);
    assert_eq!(whole["branches"][1]["forkedFrom"]["text"], "two");
    assert_eq!((&whole["messageCount"], &whole["costUsd"]), (&json!(2), &json!("0.25")), "ancestors are charged once");
    let messages = &whole["messages"];
    let texts: Vec<_> = (0..3).map(|nth| messages["nodes"][nth]["text"].clone()).collect();
    assert_eq!(texts, ["one", "two", "else"]);
    let last = &messages["nodes"][2];
    assert_eq!(last["parent"], json!({"text": "two", "conversation": {"title": "Source"}}));
    assert_eq!(last["siblings"], json!([{"text": "else"}, {"text": "or so"}]));
    assert_eq!(messages["nodes"][1]["conversation"]["title"], "Source");
    assert_eq!(read(json!({"version": 1})).await, empty);

    // What is forked from the fork reads through both.
    let third = ann.conversation(json!({"fromMessageId": own})).await;
    let path = "query ($id: ID!) { conversation(id: $id) { branch { costUsd } messages { nodes { text } } } }";
    let data = ann.get(path, json!({"id": third})).await;
    assert_eq!(data["conversation"]["messages"]["nodes"], json!([{"text": "one"}, {"text": "two"}, {"text": "else"}]));
    assert_eq!(data["conversation"]["branch"]["costUsd"], "1.25");
}

#[tokio::test]
async fn a_grafted_message_says_what_its_origin_says_and_costs_nothing() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let (source, target) = (ann.conversation(json!({})).await, ann.conversation(json!({})).await);
    let mut said = Vec::new();
    for text in ["one", "two"] {
        let input =
            json!({"conversationId": source, "role": "ASSISTANT", "model": "m", "text": text, "costUsd": "0.5"});
        said.push(ann.say(input).await["message"]["id"].clone());
    }
    let input = json!({"conversationId": target, "fromMessageId": said[0], "toMessageId": said[1]});
    assert_eq!(outcome(&ann, "graftMessages", "GraftMessagesInput", input).await.0, "MessageDone");
    let query = "query ($id: ID!) { conversation(id: $id) { costUsd messageCount sizeBytes messages { nodes {
        text model costUsd forgotten origin { id conversation { id } } } } }
        costs(range: {}, groupBy: []) { total { messages costUsd unknownCosts sizeBytes } } }";
    let data = ann.get(query, json!({"id": target})).await;
    let node = |text: &str, origin: &Value| {
        json!({"text": text, "model": "m", "costUsd": null, "forgotten": false,
        "origin": {"id": origin, "conversation": {"id": source}}})
    };
    let expected = json!({"costUsd": null, "messageCount": 2, "sizeBytes": 0,
        "messages": {"nodes": [node("one", &said[0]), node("two", &said[1])]}});
    assert_eq!(data["conversation"], expected);
    let total = json!({"messages": 2, "costUsd": "1", "unknownCosts": 0, "sizeBytes": 6});
    assert_eq!(data["costs"]["total"], total, "they were paid for where they were said");
}

#[tokio::test]
async fn a_snapshot_shows_what_was_and_brings_it_back() {
    let served = Served::start().await;
    let (ann, bob) = (served.caller("ann@example.org").await, served.caller("bob@example.org").await);
    let id = ann.conversation(json!({"title": "First", "model": "small"})).await;
    ann.say(json!({"conversationId": id, "role": "USER", "text": "hello"})).await;
    let take = "mutation ($input: TakeSnapshotInput!) { takeSnapshot(input: $input) { __typename ... on SnapshotDone {
        snapshot { id label trigger version files { path digest action } conversation { title version } } } } }";
    let file = json!({"path": "src/main.rs", "digest": "ab".repeat(32), "action": "MODIFIED"});
    let input = json!({"conversationId": id, "label": "before the rename", "files": [file]});
    let taken = ann.get(take, json!({"input": input})).await["takeSnapshot"]["snapshot"].take();
    let expected = json!({"id": taken["id"], "label": "before the rename", "trigger": "MANUAL", "version": 3,
        "files": [file], "conversation": {"title": "First", "version": 3}});
    assert_eq!(taken, expected);
    let wrong = json!({"conversationId": id, "files": [{"path": "a", "digest": "ab", "action": "ADDED"}]});
    let refused = ann.ask(take, json!({"input": wrong})).await;
    assert!(refused["errors"][0]["message"].as_str().is_some_and(|text| text.contains("64 hex digits")), "{refused}");

    let rename = "mutation ($input: SetTitleInput!) { setTitle(input: $input) { __typename } }";
    ann.get(rename, json!({"input": {"id": id, "title": "Second"}})).await;
    let switch = "mutation ($input: SwitchModelInput!) { switchModel(input: $input) { __typename } }";
    ann.get(switch, json!({"input": {"conversationId": id, "model": "large"}})).await;
    let list =
        "query ($id: ID!, $after: Cursor) { conversation(id: $id) { title model snapshots(first: 1, after: $after) {
        totalCount pageInfo { hasNextPage endCursor } nodes { id trigger conversation { title model } } } } }";
    let first = ann.get(list, json!({"id": id})).await["conversation"]["snapshots"].take();
    assert_eq!((&first["totalCount"], &first["pageInfo"]["hasNextPage"]), (&json!(2), &json!(true)));
    let automatic = &first["nodes"][0];
    assert_eq!(
        (&automatic["trigger"], &automatic["conversation"]["model"]),
        (&json!("BEFORE_CHANGE"), &json!("small"))
    );
    let second = ann.get(list, json!({"id": id, "after": first["pageInfo"]["endCursor"]})).await;
    assert_eq!(second["conversation"]["snapshots"]["nodes"][0]["id"], taken["id"]);

    let target = json!({"id": taken["id"]});
    assert_eq!(outcome(&bob, "restoreSnapshot", "TargetInput", target.clone()).await.1, "NOT_FOUND");
    assert_eq!(outcome(&ann, "restoreSnapshot", "TargetInput", target).await.0, "ConversationDone");
    let now = ann.get(list, json!({"id": id})).await["conversation"].take();
    assert_eq!((&now["title"], &now["model"]), (&json!("First"), &json!("small")));
    let node = "query ($id: ID!) { node(id: $id) { id ... on Snapshot { label conversation { title } } } }";
    let found = ann.get(node, json!({"id": taken["id"]})).await["node"].take();
    assert_eq!(found["label"], "before the rename");
    assert_eq!(bob.get(node, json!({"id": taken["id"]})).await["node"], Value::Null);
}

#[tokio::test]
async fn sides_are_compared_as_they_were() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let id = ann.conversation(json!({"title": "One"})).await;
    for text in ["same", "same too"] {
        ann.say(json!({"conversationId": id, "role": "USER", "text": text})).await;
    }
    let query = "query ($left: Side!, $right: Side!) { compare(left: $left, right: $right) { sharedCount
        ancestor { text } left { messageCount } right { messageCount } pairs { nodes { left { text } right { text } } } } }";
    let sides = json!({"left": {"conversation": id, "asOf": {"version": 3}}, "right": {"conversation": id}});
    let compared = ann.get(query, sides).await["compare"].take();
    let expected = json!({"sharedCount": 1, "ancestor": {"text": "same"}, "left": {"messageCount": 0},
        "right": {"messageCount": 1}, "pairs": {"nodes": [{"left": null, "right": {"text": "same too"}}]}});
    assert_eq!(compared, expected);
    let further = ann
        .conversation(json!({"fromMessageId":
        ann.get("query ($id: ID!) { conversation(id: $id) { messages { nodes { id } } } }", json!({"id": id})).await
            ["conversation"]["messages"]["nodes"][0]["id"]}))
        .await;
    ann.say(json!({"conversationId": further, "role": "USER", "text": "other"})).await;
    let sides = json!({"left": {"conversation": id}, "right": {"conversation": further}});
    let across = ann.get(query, sides).await["compare"].take();
    assert_eq!((&across["sharedCount"], &across["ancestor"]["text"]), (&json!(1), &json!("same")));
    let why = "query ($id: ID!, $asOf: AsOf) { why(conversation: $id, field: TITLE, asOf: $asOf) { version } }";
    let rename = "mutation ($input: SetTitleInput!) { setTitle(input: $input) { __typename } }";
    ann.get(rename, json!({"input": {"id": id, "title": "Two"}})).await;
    assert_eq!(ann.get(why, json!({"id": id})).await["why"]["version"], 5);
    assert_eq!(ann.get(why, json!({"id": id, "asOf": {"version": 4}})).await["why"]["version"], 2);
    assert_eq!(ann.get(why, json!({"id": id, "asOf": {"version": 1}})).await["why"], Value::Null);
}
