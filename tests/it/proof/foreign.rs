//! What a server shows of its tree, read by tools that know nothing of it: `tlog_tiles` and `signed_note`, which are ports of
//! what guards Go's checksum database, and a witness that was written with them after C2SP tlog-witness alone.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use convoledger::event::Position;
use convoledger::proof::note::Verifier;
use convoledger::service::publish::Witness;
use ed25519_dalek::{Signer as _, SigningKey};
use signed_note::{Note, StandardVerifier, VerifierList, key_id};
use tlog_tiles::{
    Checkpoint, Error, Hash, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
    tree_hash,
};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::{grow, keys, serve};
use crate::support::service::Stand;

/// Reads tiles where tlog-tiles says that they are.
struct Reader {
    url: String,
    /// A bit that is flipped in whatever it reads.
    spoilt: u8,
}

impl TileReader for Reader {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        // The tool's own paths name the height as well, which in tlog-tiles is always 8.
        let read = async |tile: &Tile| {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let answer = reqwest::get(format!("{}/{path}", self.url)).await.expect("an answer");
            assert_eq!(answer.status(), 200, "{path}");
            let mut bytes = answer.bytes().await.expect("bytes").to_vec();
            bytes[0] ^= self.spoilt;
            bytes
        };
        Ok(tiles.iter().map(|tile| Handle::current().block_on(read(tile))).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// What a note says that one of these keys signed.
fn opened(note: &str, keys: &[String]) -> Checkpoint {
    let note = Note::from_bytes(note.as_bytes()).expect("a note");
    let known = keys.iter().map(|key| Box::new(StandardVerifier::new(key).expect("a key")) as _).collect();
    assert_eq!(note.verify(&VerifierList::new(known)).expect("it is signed").0.len(), 1);
    Checkpoint::from_bytes(note.text()).expect("a checkpoint")
}

fn written(keys: &[Verifier]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn foreign_tools_read_the_log_and_find_its_proofs_good() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    let url = serve(&stand).await;
    let mut leaves = Vec::new();
    let mut checkpoints = Vec::new();
    for messages in [3, 300, 260] {
        grow(&stand.service, actor, messages).await;
        stand.service.seal_log().await.expect("a checkpoint");
        let note = reqwest::get(format!("{url}/checkpoint")).await.expect("an answer").text().await.expect("text");
        checkpoints.push(opened(&note, &written(&keys(&stand.service).await)));
    }
    let size = checkpoints[2].size();
    for position in (1..=size).step_by(37).chain([size]) {
        let position = Position(i64::try_from(position).expect("a position"));
        let proven = stand.service.prove_inclusion(position, Some(size)).await.expect("an answer").expect("a proof");
        leaves.push((position.0.unsigned_abs() - 1, Hash(proven.leaf), proven.path));
    }
    let checked = tokio::task::spawn_blocking(move || {
        let newest = &checkpoints[2];
        let root = *newest.hash();
        let honest = Reader { url, spoilt: 0 };
        let reader = TileHashReader::new(size, root, &honest);
        for (nth, leaf, ours) in leaves {
            let theirs = prove_record(size, nth, &reader).expect("a proof");
            assert_eq!(theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(), ours, "of record {nth}");
            check_record(&theirs, size, root, nth, leaf).expect("it holds");
        }
        for older in &checkpoints[..2] {
            assert_eq!(tree_hash(older.size(), &reader).expect("a root"), *older.hash());
            let grown = prove_tree(size, older.size(), &reader).expect("a proof");
            check_tree(&grown, size, root, older.size(), *older.hash()).expect("it follows");
        }
        let spoilt = Reader { spoilt: 1, ..honest };
        assert!(prove_record(size, 0, &TileHashReader::new(size, root, &spoilt)).is_err(), "what is read is checked");
    });
    checked.await.expect("all holds");
}

/// Follows a log as C2SP tlog-witness says, and nothing of what it knows was written here.
struct Follower {
    log: Vec<String>,
    name: &'static str,
    key: SigningKey,
    seen: Mutex<Option<Checkpoint>>,
}

impl Follower {
    /// The key of its cosignatures, as C2SP signed-note writes keys.
    fn key(&self) -> (u32, String) {
        let key = [&[4], &self.key.verifying_key().to_bytes()[..]].concat();
        let id = key_id(self.name, &key);
        (id, format!("{}+{id:08x}+{}", self.name, STANDARD.encode(key)))
    }

    fn add(&self, request: &str) -> Result<String, (StatusCode, String)> {
        let (head, note) = request.split_once("\n\n").expect("an empty line ends the proof");
        let mut lines = head.lines();
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).expect("what it remembers");
        let old: u64 = old.parse().expect("a size");
        let proof = lines.map(|line| Hash::parse_hash(line).expect("a hash")).collect();
        let checkpoint = opened(note, &self.log);
        let mut seen = self.seen.lock().expect("a lock");
        let remembered = seen.as_ref().map_or(0, Checkpoint::size);
        if old != remembered {
            return Err((StatusCode::CONFLICT, format!("{remembered}\n")));
        }
        if let Some(seen) = &*seen {
            check_tree(&proof, checkpoint.size(), *checkpoint.hash(), seen.size(), *seen.hash())
                .map_err(|_| (StatusCode::UNPROCESSABLE_ENTITY, String::new()))?;
        }
        let time = 1_700_000_000_u64;
        let text = String::from_utf8(checkpoint.to_bytes()).expect("text");
        let signed = self.key.sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
        let bytes = [&self.key().0.to_be_bytes()[..], &time.to_be_bytes(), &signed.to_bytes()].concat();
        *seen = Some(checkpoint);
        Ok(format!("— {} {}\n", self.name, STANDARD.encode(bytes)))
    }
}

async fn add(State(follower): State<Arc<Follower>>, request: String) -> (StatusCode, String) {
    follower.add(&request).map_or_else(|refused| refused, |line| (StatusCode::OK, line))
}

#[tokio::test]
async fn a_witness_of_others_cosigns_as_the_log_grows() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    grow(&stand.service, actor, 5).await;
    let first = stand.service.seal_log().await.expect("a checkpoint");
    let log = written(&keys(&stand.service).await);
    // It has seen the first checkpoint already, from elsewhere, and says so.
    let seen = Mutex::new(Some(opened(&first.note, &log)));
    let follower = Arc::new(Follower { log, name: "witness.example/w2", key: SigningKey::from_bytes(&[9; 32]), seen });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let app = Router::new().route("/add-checkpoint", post(add)).with_state(Arc::clone(&follower));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let witness: Witness = format!("{url}#{}", follower.key().1).parse().expect("a witness");

    for messages in [1, 70, 300] {
        grow(&stand.service, actor, messages).await;
        let kept = stand.service.seal_log().await.expect("a checkpoint");
        stand.service.ask(&witness, &kept).await.expect("a cosignature");
        assert_eq!(follower.seen.lock().expect("a lock").as_ref().map(Checkpoint::size), Some(kept.checkpoint.size));
        let newest = stand.service.newest_checkpoint().await.expect("an answer").expect("a checkpoint");
        assert!(newest.note.contains(&format!("\n— {} ", follower.name)), "{}", newest.note);
    }
}
