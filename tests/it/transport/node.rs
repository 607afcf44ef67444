//! Foreign clients, which know the protocols better than we do. They are node programs, in `tests/node`.

use std::path::Path;

use tokio::process::Command;

use super::toy::{TOKEN, Toy};

#[tokio::test]
async fn graphql_http_audits_us_without_a_failed_must_or_should() {
    let toy = Toy::start().await;
    let report = run("audit.mjs", &toy.url(), TOKEN).await;
    assert!(report.contains("MUST: 13 audits, 0 failed"), "{report}");
    assert!(report.contains("SHOULD: 23 audits, 0 failed"), "{report}");
}

#[tokio::test]
async fn graphql_ws_agrees_with_our_socket() {
    let toy = Toy::start().await;
    run("socket.mjs", &toy.url(), TOKEN).await;
}

#[tokio::test]
async fn graphql_sse_agrees_with_our_streams() {
    let toy = Toy::start().await;
    run("sse.mjs", &toy.url(), TOKEN).await;
}

/// Runs a script of `tests/node` against a server, and gives back what it printed.
pub async fn run(script: &str, url: &str, token: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    assert!(folder.join("node_modules").exists(), "the node clients are not installed: run `npm ci` in tests/node");
    let node = Command::new("node").arg(script).env("URL", url).env("TOKEN", token).current_dir(folder).output().await;
    let output = node.expect("node starts: install Node.js 20 or later");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    println!("{said}");
    assert!(output.status.success(), "{script} says:\n{said}");
    said
}
