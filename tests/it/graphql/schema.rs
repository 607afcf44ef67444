//! The schema is a promise: it is printed, committed and compared. And foreign clients, which know the protocols better
//! than we do, agree with it.

use std::fs;
use std::path::Path;

use convoledger::api::graphql::schema;
use serde_json::json;

use super::Served;
use crate::transport::node;

#[test]
fn the_schema_is_the_one_that_is_committed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/graphql/schema.graphql");
    let printed = schema::printed();
    if !path.exists() {
        fs::write(&path, &printed).expect("the folder takes a file");
        panic!("{} was missing: it is written now; read it, and commit it if it is right", path.display());
    }
    let committed = fs::read_to_string(&path).expect("the schema is text");
    assert!(printed == committed, "the schema changed: delete {} and run this test to write it anew", path.display());
}

#[tokio::test]
async fn foreign_clients_agree_with_the_real_schema() {
    let served = Served::start().await;
    let ann = served.caller("ann@example.org").await;
    let conversation = ann.conversation(json!({"title": "Clients"})).await;
    ann.say(json!({"conversationId": conversation, "role": "USER", "text": "hello"})).await;
    let report = node::run("audit.mjs", &served.url, &ann.token).await;
    assert!(report.contains("MUST: 13 audits, 0 failed"), "{report}");
    node::run("socket.mjs", &served.url, &ann.token).await;
    node::run("sse.mjs", &served.url, &ann.token).await;
}
