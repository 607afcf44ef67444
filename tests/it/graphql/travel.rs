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

    let back = |version: i32| json!({"conversationId": id, "version": version});
    assert_eq!(outcome(&ann, "restoreTo", "RestoreToInput", back(3)).await.0, "ConversationDone");
    assert_eq!(outcome(&ann, "restoreTo", "RestoreToInput", back(3)).await.0, "ConversationAlreadyDone");
    assert_eq!(outcome(&ann, "restoreTo", "RestoreToInput", back(99)).await.1, "NO_EARLIER_VERSION");
    let policy = json!({"conversationId": id, "autoHourly": false, "costLimitUsd": "2.5", "tokenLimit": 1000});
    let configured = outcome(&ann, "configureSnapshots", "ConfigureSnapshotsInput", policy.clone()).await;
    assert_eq!(configured.0, "ConversationDone");
    let again = outcome(&ann, "configureSnapshots", "ConfigureSnapshotsInput", policy).await;
    assert_eq!(again.0, "ConversationAlreadyDone");
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
