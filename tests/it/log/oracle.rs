//! A second computation of every digest and of the tree, in another language by other libraries, says the same.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use convoledger::event::{AccountId, Depth, EventId, OwnerId, Place, Segment, Version};
use convoledger::log::verify::verify;
use convoledger::log::{Append, Expected, Log};
use convoledger::random;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use uuid::Uuid;

use super::{appended, named, open, stream, target, to};
use crate::support::postgres::fresh;

/// The tree is pymerkle's; BLAKE3 and Ed25519 are in no standard library.
const REQUIREMENTS: [&str; 3] = ["pymerkle==7.0.0", "blake3==1.0.11", "cryptography==48.0.0"];

/// All that is hashed, as one JSON object.
pub const DUMP: &str = "SELECT json_build_object(
    'origin', (SELECT origin FROM ledger), 'history', (SELECT id FROM history),
    'events', (SELECT json_agg(e ORDER BY position) FROM event AS e),
    'words', (SELECT json_agg(w ORDER BY position, part) FROM words AS w))";

#[tokio::test]
async fn python_computes_the_root_that_verify_prints_at_every_size() {
    let database = fresh().await;
    let log = open(&database).await;
    every_kind_of_row(&log).await;
    let dump: Value = sqlx::query_scalar(DUMP).fetch_one(log.pool()).await.expect("a dump");

    let roots = run_script("oracle.py", &dump).await;
    assert_eq!(roots.len(), 40);
    for (size, root) in (1..).zip(&roots) {
        let report = verify(log.pool(), Some(size), 1, |_, _| ()).await.expect("an answer");
        assert_eq!(report.wrong, None);
        assert_eq!(report.root_at.map(hex::encode).as_ref(), Some(root), "size {size}");
    }
}

/// Forty events, with each column filled and empty.
async fn every_kind_of_row(log: &Log) {
    let bodies = [
        json!({}),
        json!({ "z": 1, "a": -9_007_199_254_740_991_i64, "B": 9_007_199_254_740_991_i64, "aa": null, "": [] }),
        json!({ "text": "\u{0001}\u{001f}\u{007f}\u{0080}\"\\/\n\r\t\u{8}\u{c} é 漢 🜁 \u{2028}" }),
        json!({ "deep": { "b": [true, false, { "y": 0, "x": [[], {}] }] } }),
    ];
    for number in 0..10_i32 {
        let mut targets = [target(stream(1), Expected::Any, 2), target(stream(2), Expected::Any, 2)];
        for (event, body) in targets.iter_mut().flat_map(|target| &mut target.events).zip(&bodies) {
            event.body = body.clone();
            event.occurred_at += chrono::TimeDelta::microseconds(i64::from(number) * 123_457);
            event.place = (number > 4).then_some(Place { segment: Segment(number), depth: Depth(number * 70_000) });
        }
        // A place is taken by one message.
        for target in &mut targets {
            target.events[1].place = None;
        }
        targets[0].events[0].words.clear();
        targets[1].events[0].words.truncate(1);
        let append = if number % 2 == 0 { to(targets) } else { named(number.unsigned_abs().into(), 7, targets) };
        let owner = OwnerId(Uuid::from_u128(u128::from(number.unsigned_abs() % 3)));
        let (correlation, causation) = ((number > 2).then(random::id), (number > 6).then(|| EventId(random::id())));
        appended(log, Append { owner, actor: AccountId(random::id()), correlation, causation, ..append }).await;
    }
    let newest = log.read_stream(OwnerId(Uuid::from_u128(0)), stream(1), Version(0), 100).await.expect("a page");
    assert_eq!(newest.len(), 8);
}

/// What a script among `tests/python` prints about `given`, line by line.
pub async fn run_script(name: &str, given: &Value) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name);
    let mut python = Command::new(python().await);
    let mut child = python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the oracle starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(given.to_string().as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "{name} failed; what it says stands above");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// A Python with what the oracle needs, installed the first time.
async fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
    let python = home.join("bin/python");
    let ready = home.join(REQUIREMENTS.join("+"));
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home)).await;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(REQUIREMENTS)).await;
        std::fs::write(&ready, "").expect("a mark");
    }
    python
}

async fn run(command: &mut Command) {
    let output = command.output().await;
    let said = match &output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "the second computation needs Python 3.11 or newer with venv, and {REQUIREMENTS:?} from PyPI; \
         {command:?} says:\n{said}"
    );
}
