//! Whoever runs the log holds its key and may show whatever he likes. A stranger with the public key and what he was
//! shown before finds him out.
#![allow(clippy::unused_async)] // handlers are async, also those that wait for nothing

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::get;
use convoledger::event::Position;
use convoledger::log::digest::{self, Leaf};
use convoledger::proof::Hash;
use convoledger::proof::bundle::Bundle;
use convoledger::proof::checkpoint::Checkpoint;
use convoledger::proof::merkle::{Tree, leaf};
use convoledger::proof::note::{Note, Signer};
use convoledger::proof::tile::{Tile, fold};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{grow, keys};
use crate::support::service::Stand;

/// A server that signs and serves any log that it is told to.
#[derive(Clone)]
struct Hostile {
    leaves: Arc<Mutex<Vec<Hash>>>,
    signer: Arc<Signer>,
    url: String,
}

impl Hostile {
    async fn start(size: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let signer = Arc::new(Signer::new("log.example", &[9; 32]));
        let hostile = Self { leaves: Arc::new(Mutex::new(log(size))), signer, url };
        let app = Router::new().route("/checkpoint", get(Self::checkpoint)).route("/tile/{*path}", get(Self::tile));
        let app = app.with_state(hostile.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        hostile
    }

    fn show(&self, leaves: Vec<Hash>) {
        *self.leaves.lock().expect("a lock") = leaves;
    }

    fn note(&self) -> String {
        let mut tree = Tree::default();
        self.leaves.lock().expect("a lock").iter().for_each(|leaf| tree.push(*leaf));
        let text = Checkpoint { origin: "log.example".into(), size: tree.size(), root: tree.root() }.text();
        Note { signatures: vec![self.signer.sign(&text, 0)], text }.to_string()
    }

    async fn checkpoint(State(hostile): State<Self>) -> String {
        hostile.note()
    }

    async fn tile(State(hostile): State<Self>, UrlPath(path): UrlPath<String>) -> Result<Vec<u8>, StatusCode> {
        let tile = Tile::parse(&format!("tile/{path}")).ok_or(StatusCode::NOT_FOUND)?;
        let mut level = hostile.leaves.lock().expect("a lock").clone();
        for _ in 0..tile.level {
            level = level.chunks_exact(256).map(fold).collect();
        }
        let from = usize::try_from(tile.index * 256).expect("small");
        let to = from + usize::try_from(tile.width).expect("small");
        level.get(from..to).map(<[Hash]>::concat).ok_or(StatusCode::NOT_FOUND)
    }
}

fn log(size: u64) -> Vec<Hash> {
    (0..size).map(|nth| leaf(&nth.to_be_bytes())).collect()
}

/// Somebody elsewhere, who has the public key and remembers what he saw.
struct Stranger {
    directory: TempDir,
    key: String,
}

impl Stranger {
    fn new(hostile: &Hostile) -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), key: hostile.signer.verifier().to_string() }
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convoledger"));
        command.args(arguments).args(["--key", &self.key]);
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs")
    }

    /// Looks at a server or a file, and says what is wrong with it, if anything.
    async fn looks(&self, source: &str) -> Result<(), String> {
        let state = self.state();
        let output = self.run(&["witness", "--state", state.to_str().expect("a path"), source]).await;
        match output.status.code() {
            Some(0) => Ok(()),
            Some(1) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            code => panic!("{code:?}: {output:?}"),
        }
    }

    /// The checkpoint that he remembers, in a file.
    fn remembers(&self) -> PathBuf {
        let memory: serde_json::Value =
            serde_json::from_slice(&fs::read(self.state()).expect("a memory")).expect("JSON");
        let path = self.directory.path().join("checkpoint");
        fs::write(&path, memory["checkpoint"].as_str().expect("a note")).expect("a file");
        path
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_finds_out_whatever_is_not_growth() {
    let hostile = Hostile::start(700).await;
    let stranger = Stranger::new(&hostile);
    stranger.looks(&hostile.url).await.expect("the first look is believed");
    stranger.looks(&hostile.url).await.expect("nothing new");
    hostile.show(log(1_300));
    stranger.looks(&hostile.url).await.expect("it only grew");

    let changed = |at: usize| {
        let mut leaves = log(1_400);
        leaves[at][0] ^= 1;
        leaves
    };
    let mut removed = log(1_401);
    removed.remove(650);
    let mut swapped = log(1_400);
    swapped.swap(1_298, 1_299);
    for (leaves, said) in [
        (changed(0), "forked or rewritten"),
        (changed(1_299), "forked or rewritten"),
        (removed, "forked or rewritten"),
        (swapped, "forked or rewritten"),
        (changed(3)[..1_300].to_vec(), "forked or rewritten"),
        (log(1_299), "cut short"),
    ] {
        hostile.show(leaves);
        let found = stranger.looks(&hostile.url).await.expect_err("it is found out");
        assert!(found.contains(said), "{found}");
    }
    hostile.show(log(1_400));
    stranger.looks(&hostile.url).await.expect("what he remembers was not touched by lies");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_shown_to_two_witnesses_is_found_when_they_compare() {
    let hostile = Hostile::start(500).await;
    let (one, other) = (Stranger::new(&hostile), Stranger::new(&hostile));
    one.looks(&hostile.url).await.expect("believed");
    other.looks(&hostile.url).await.expect("believed");
    hostile.show(log(600));
    one.looks(&hostile.url).await.expect("it follows");
    let mut fork = log(600);
    fork[550] = leaf(b"another");
    hostile.show(fork);
    other.looks(&hostile.url).await.expect("it follows too: one alone cannot tell");

    let (left, right) = (one.remembers(), other.remembers());
    let path = |path: &Path| path.to_str().expect("a path").to_owned();
    let compared = one.run(&["check", &path(&left), &path(&right)]).await;
    assert_eq!(compared.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&compared.stderr).contains("the log was forked"), "{compared:?}");
    let found = one.looks(&path(&right)).await.expect_err("it is found out");
    assert!(found.contains("forked"), "{found}");
}

/// Two ledgers, and what a stranger was given of the first one.
#[tokio::test]
async fn a_proof_holds_for_its_event_in_its_log_alone() {
    let (ours, theirs) = (Stand::new().await, Stand::new().await);
    let mut bundles = Vec::new();
    for stand in [&ours, &theirs] {
        let actor = stand.actor("ann@example.org").await;
        grow(&stand.service, actor, 40).await;
        stand.service.seal_log().await.expect("a checkpoint");
        for position in [20, 21] {
            let proof = stand.service.prove_own(actor, Position(position), None).await.expect("an answer");
            bundles.push(proof.expect("a proof").bundle.expect("a checkpoint"));
        }
        let stranger = stand.actor("bob@example.org").await;
        assert!(stand.service.prove_own(stranger, Position(20), None).await.expect("an answer").is_none());
        let none = stand.service.prove_own(actor, Position(i64::MAX), None).await.expect("an answer");
        assert!(none.is_none());
    }
    let trusted = keys(&ours.service).await;
    let record = |bundle: &Bundle| bundle.extra.clone().expect("a record");
    let proven = |bundle: &Bundle| bundle.proves(leaf(&record(bundle)), &trusted).is_ok();
    assert_eq!(bundles.iter().map(proven).collect::<Vec<_>>(), [true, true, false, false], "the other ledger's key");

    // The record says which event it is, and the event is what was recorded.
    let events = ours.service.log().read_range(Position(19), 1).await.expect("an event");
    let said = Leaf::parse(&record(&bundles[0])).expect("a record");
    assert_eq!((said.position, said.event), (Position(20), digest::event(&events[0].fact)));
    let mut altered = events[0].fact.clone();
    altered.body["role"] = "assistant".into();
    assert_ne!(digest::event(&altered), said.event, "facts that were changed in an export");

    // One event in the place of another; an event of the other ledger under our checkpoint; a reordered pair.
    let with = |bundle: &Bundle, other: &Bundle| Bundle { extra: other.extra.clone(), ..bundle.clone() };
    for (bundle, other) in [(0, 1), (1, 0), (0, 2), (0, 3)] {
        assert!(!proven(&with(&bundles[bundle], &bundles[other])), "{bundle} as {other}");
    }
    for index in 0..bundles[0].checkpoint.text.len() as u64 {
        assert_eq!(proven(&Bundle { index, ..bundles[0].clone() }), index == 19, "at {index}");
    }
    // Any byte of the record.
    for at in 0..record(&bundles[0]).len() {
        let mut changed = bundles[0].clone();
        if let Some(extra) = &mut changed.extra {
            extra[at] ^= 1;
        }
        assert!(!proven(&changed), "byte {at}");
    }
}
