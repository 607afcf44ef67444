//! A person forgets themselves.

use serde_json::{Value, json};

use super::{Caller, Served};

async fn forget_me(caller: &Caller<'_>, account: &Value) -> Value {
    let query = "mutation ($account: ID!) { it: forgetMe(input: {accountId: $account, clientMutationId: \"mine\"}) { __typename \
                 ... on ForgetDone { clientMutationId forget { accountId state dueAt receipt } } \
                 ... on ForgetAlreadyDone { forget { state receipt } } ... on Refused { reason message } } }";
    caller.get(query, json!({ "account": account })).await["it"].take()
}

async fn account_of(caller: &Caller<'_>) -> Value {
    caller.get("{ viewer { id } }", json!({})).await["viewer"]["id"].take()
}

async fn status(served: &Served, token: &str) -> u16 {
    let asked = served.client.post(&served.url).bearer_auth(token).json(&json!({ "query": "{ __typename }" }));
    asked.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn the_own_account_is_forgotten_and_no_other() {
    let served = Served::start().await;
    let (goes, stays) = (served.caller("goes@example.org").await, served.caller("stays@example.org").await);
    for caller in [&goes, &stays] {
        caller.conversation(json!({ "title": "A zeppelin" })).await;
    }
    let (own, others) = (account_of(&goes).await, account_of(&stays).await);
    for wrong in [others, json!("nobody's")] {
        let refused = forget_me(&goes, &wrong).await;
        assert_eq!(refused["reason"], "NOT_FOUND", "{refused}");
    }
    assert_eq!(status(&served, &stays.token).await, 200);

    served.service.hold(goes.actor.account, "a case").await.expect("held");
    let refused = forget_me(&goes, &own).await;
    assert_eq!(refused["reason"], "HELD", "{refused}");
    assert_eq!(status(&served, &goes.token).await, 200);
    served.service.release(goes.actor.account, "settled").await.expect("released");

    let done = forget_me(&goes, &own).await;
    assert_eq!((&done["__typename"], &done["clientMutationId"]), (&json!("ForgetDone"), &json!("mine")), "{done}");
    let forget = &done["forget"];
    assert_eq!((&forget["accountId"], &forget["state"]), (&own, &json!("FORGOTTEN")), "{forget}");
    assert!(forget["receipt"]["receipt"]["words"]["parts"].as_u64() > Some(0), "{forget}");
    assert!(forget["receipt"]["note"].as_str().is_some_and(|note| note.contains("receipt of forgetting")), "{forget}");

    // A repeat finds no door: who is forgotten has no token any more.
    assert_eq!(status(&served, &goes.token).await, 401);
    let again = served.service.forget(goes.actor.account).await.expect("it is over");
    assert_eq!(again.receipt, forget["receipt"]);
    let left = stays.get("{ conversations(first: 9) { nodes { title } } }", json!({})).await;
    assert_eq!(left["conversations"]["nodes"], json!([{ "title": "A zeppelin" }]));
}

#[tokio::test]
async fn two_requests_at_once_are_one() {
    let served = Served::start().await;
    let goes = served.caller("goes@example.org").await;
    goes.conversation(json!({ "title": "A zeppelin" })).await;
    let own = account_of(&goes).await;
    let query = "mutation ($account: ID!) { it: forgetMe(input: {accountId: $account}) { __typename \
                 ... on ForgetDone { forget { receipt } } ... on ForgetAlreadyDone { forget { receipt } } } }";
    let ask = || async {
        let request = served.client.post(&served.url).bearer_auth(&goes.token);
        let answer = request.json(&json!({ "query": query, "variables": { "account": own } })).send().await;
        let answer = answer.expect("an answer");
        // Who comes after the request finds the account closed.
        if answer.status() == 401 { None } else { Some(answer.json::<Value>().await.expect("JSON")) }
    };
    let told = tokio::join!(ask(), ask(), ask());
    let told: Vec<_> = [told.0, told.1, told.2].into_iter().flatten().collect();
    let first = told.iter().filter(|told| told["data"]["it"]["__typename"] == "ForgetDone").count();
    assert_eq!(first, 1, "{told:?}");
    let mut receipts = told.iter().map(|told| told["data"]["it"]["forget"]["receipt"].clone());
    let one = receipts.next().expect("one at least");
    assert!(!one.is_null() && receipts.all(|receipt| receipt == one), "{told:?}");
}
