//! Exports that a server makes for whoever asks: by GraphQL, fetched over HTTP in pieces, and gone with their account.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::program::{Ledger, ask, fixture, json, text};

const TREE: &str = "chatgpt/librechat-chatgpt-tree.json";
const EMAIL: &str = "ann@example.org";
const EXPORTS: &str = "{ exports { id state masked path sizeBytes sha256 expiresAt position } }";

fn get(url: &str, token: &str, range: Option<&str>) -> (StatusCode, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut asked = reqwest::Client::new().get(url).bearer_auth(token.trim());
        if let Some(range) = range {
            asked = asked.header("Range", range);
        }
        let answer = asked.send().await.expect("an answer");
        (answer.status(), answer.bytes().await.expect("a body").to_vec())
    })
}

/// The newest export once it is there.
fn ready(url: &str, token: &str) -> Value {
    let begun = Instant::now();
    loop {
        let export = ask(url, token, EXPORTS)["data"]["exports"][0].take();
        if export["state"] == "READY" {
            return export;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{export}");
        sleep(Duration::from_millis(50));
    }
}

fn within(directory: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        found.extend(if path.is_dir() { within(path) } else { vec![path] });
    }
    found
}

#[test]
fn whoever_asks_gets_all_of_it_and_nobody_else_does() {
    let ledger = Ledger::new();
    ledger.run(&["import", "--account", EMAIL, &fixture(TREE)]);
    let token = text(&ledger.run(&["token", "create", "--account", EMAIL]));
    let stranger = text(&ledger.run(&["token", "create", "--account", "bob@example.org"]));
    let (server, url) = ledger.serve();
    let mutation = "mutation { exportMyData(input: {masked: false, clientMutationId: \"once\"}) { __typename \
                    ... on ExportDone { export { id state } } ... on ExportAlreadyDone { export { id } } ... on Refused { message } } }";
    let asked = ask(&url, &token, mutation);
    assert_eq!(asked["data"]["exportMyData"]["__typename"], "ExportDone", "{asked}");
    let export = ready(&url, &token);
    assert_eq!(export["id"], asked["data"]["exportMyData"]["export"]["id"]);
    let at = format!("{url}{}", export["path"].as_str().expect("a path"));
    // The same command is the same export, also when it is made; under the name of another it is refused.
    let again = ask(&url, &token, mutation);
    assert_eq!(again["data"]["exportMyData"]["__typename"], "ExportAlreadyDone", "{again}");
    assert_eq!(again["data"]["exportMyData"]["export"]["id"], export["id"]);
    let other = ask(&url, &token, &mutation.replace("false", "true"));
    assert!(other.to_string().contains("another command was carried out under this clientMutationId"), "{other}");

    let (status, whole) = get(&at, &token, None);
    assert_eq!((status, json!(whole.len())), (StatusCode::OK, export["sizeBytes"].clone()));
    let path = ledger.directory.path().join("fetched.zip");
    fs::write(&path, &whole).expect("a file");
    let key = text(&ledger.run(&["keys", "public"])).trim().to_owned();
    let checked = json(&ledger.run(&["check", "--json", "--key", &key, path.to_str().expect("a path")]));
    assert_eq!(checked["ok"], true, "{checked}");

    // Broken off, and gone on with.
    let (status, first) = get(&at, &token, Some("bytes=0-99"));
    assert_eq!((status, &*first), (StatusCode::PARTIAL_CONTENT, &whole[..100]));
    let (status, rest) = get(&at, &token, Some("bytes=100-"));
    assert_eq!((status, &*rest), (StatusCode::PARTIAL_CONTENT, &whole[100..]));
    assert_eq!(get(&at, &token, Some("bytes=99999999-")).0, StatusCode::RANGE_NOT_SATISFIABLE);

    assert_eq!(get(&at, "", None).0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&at, &stranger, None).0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&url, &stranger, EXPORTS)["data"]["exports"], json!([]));
    let fetched = ask(&url, &token, "{ events(first: 100) { nodes { kind } } }").to_string();
    assert_eq!(fetched.matches("export.fetched").count(), 2, "{fetched}");

    // On the disk it is sealed.
    let exports = ledger.data().join("exports");
    let kept = within(exports.clone());
    assert!(kept.iter().any(|file| file.extension().is_some_and(|name| name == "sealed")), "{kept:?}");
    for file in kept {
        let bytes = fs::read(file).expect("a file");
        assert!(!bytes.windows(4).any(|four| four == b"PK\x03\x04"), "an archive in the clear");
    }

    // A server that died goes on with what was asked.
    ask(&url, &token, &mutation.replace("false", "true").replace("once", "masked"));
    drop(server);
    let (_server, url) = ledger.serve();
    let masked = ready(&url, &token);
    assert_eq!(masked["masked"], true, "{masked}");
    let at = format!("{url}{}", masked["path"].as_str().expect("a path"));
    assert_eq!(get(&at, &token, None).0, StatusCode::OK);
    assert_eq!(get(&format!("{at}/legend"), &token, None).0, StatusCode::OK);
    assert_eq!(get(&format!("{at}/legend"), &stranger, None).0, StatusCode::NOT_FOUND);

    ledger.run(&["forget", EMAIL, "--yes"]);
    assert_eq!(get(&at, &token, None).0, StatusCode::UNAUTHORIZED);
    assert_eq!(within(exports), Vec::<PathBuf>::new());
    ledger.run(&["verify"]);
}
