//! A second verifier, in another language by other libraries, believes what ours believes and refuses what ours refuses.

use convoledger::event::Position;
use convoledger::log::tree::tiles;
use convoledger::proof::bundle::Bundle;
use convoledger::proof::checkpoint::Checkpoint;
use convoledger::proof::merkle::leaf;
use convoledger::proof::note::Verifier;
use convoledger::proof::witness::Request;
use convoledger::random;
use serde_json::json;

use super::{grow, keys};
use crate::log::oracle;
use crate::support::service::Stand;

/// Files with a mistake for each that has none.
const SPOILT: usize = 4;

#[tokio::test]
async fn python_and_we_agree_on_proofs_and_on_spoilt_ones() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    grow(&stand.service, actor, 290).await;
    let kept = stand.service.seal_log().await.expect("a checkpoint");
    let (size, trusted) = (kept.checkpoint.size, keys(&stand.service).await);
    let pool = stand.service.log().pool();
    let mut roots = Vec::new();
    let mut connection = pool.acquire().await.expect("a connection");
    for of in 1..=size {
        roots.push(tiles::root(&mut connection, of).await.expect("a root"));
    }
    drop(connection);

    let mut files = Vec::new();
    for step in 0..30 {
        let at = 1 + step * (size - 1) / 29;
        let position = Position(i64::try_from(at).expect("small"));
        let proof = stand.service.prove_inclusion(position, None).await.expect("an answer").expect("a proof");
        let request = stand.service.prove_checkpoint(&kept, at).await.expect("an answer").expect("a proof");
        for file in [proof.bundle.expect("a checkpoint").to_string(), request.to_string()] {
            for _ in 0..SPOILT {
                files.push(spoilt(&file));
            }
            files.push(file);
        }
    }
    let ours: Vec<bool> = files.iter().map(|file| holds(file, &trusted, &roots)).collect();
    assert!(ours.iter().skip(SPOILT).step_by(SPOILT + 1).all(|holds| *holds), "what nobody spoilt holds");
    let refused = ours.iter().filter(|holds| !**holds).count();
    assert!(refused > files.len() / 2, "{refused} of {} are refused", files.len());

    let log: serde_json::Value = sqlx::query_scalar(oracle::DUMP).fetch_one(pool).await.expect("a dump");
    let roots: Vec<String> = roots.iter().map(hex::encode).collect();
    let given = json!({ "key": trusted[0].to_string(), "log": log, "roots": roots, "files": files });
    let theirs = oracle::run_script("stranger.py", &given).await;
    assert_eq!(theirs.len(), files.len());
    for ((file, ours), theirs) in files.iter().zip(ours).zip(theirs) {
        assert_eq!(if ours { "holds" } else { "refused" }, theirs, "{file}");
    }
}

/// One line more, less or swapped, or one character changed.
fn spoilt(file: &str) -> String {
    let mut lines: Vec<String> = file.split('\n').map(str::to_owned).collect();
    let any = |below: usize| usize::try_from(u32::from_be_bytes(random::bytes())).expect("small") % below;
    let at = any(lines.len());
    match any(4) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => lines.swap(at, any(file.split('\n').count())),
        _ => {
            let line: Vec<char> = lines[at].chars().collect();
            let place = any(line.len().max(1));
            let changed = |(nth, c): (usize, &char)| if nth == place { if *c == 'A' { 'B' } else { 'A' } } else { *c };
            lines[at] = line.iter().enumerate().map(changed).collect();
        }
    }
    lines.join("\n")
}

fn holds(file: &str, trusted: &[Verifier], roots: &[[u8; 32]]) -> bool {
    if file.starts_with("old ") {
        let Ok(request) = Request::parse(file) else { return false };
        let old = request.old.checked_sub(1).and_then(|at| roots.get(usize::try_from(at).ok()?));
        let (Some(root), Some(new)) = (old, Checkpoint::parse(&request.checkpoint.text)) else { return false };
        let old = Checkpoint { origin: new.origin, size: request.old, root: *root };
        request.follows(Some(&old), trusted).is_ok()
    } else {
        let Ok(bundle) = Bundle::parse(file) else { return false };
        bundle.extra.as_ref().is_some_and(|record| bundle.proves(leaf(record), trusted).is_ok())
    }
}
