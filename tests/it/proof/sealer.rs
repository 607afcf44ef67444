//! What the sealer signs follows from all that it signed before, whoever runs it and whatever was done to the log.

use std::collections::BTreeMap;

use convoledger::clock::Clock;
use convoledger::event::Position;
use convoledger::log::tree::checkpoints::Kept;
use convoledger::log::tree::tiles;
use convoledger::log::verify::{verify, verify_since};
use convoledger::proof::checkpoint::Checkpoint;
use convoledger::proof::merkle::{inclusion, is_consistent, root_by};
use convoledger::proof::tile::{Tile, width};
use convoledger::random;
use convoledger::service::SealError;
use tokio::sync::watch;

use super::{grow, keys, opened, owner, tamper};
use crate::support::service::Stand;

#[tokio::test]
async fn roots_and_proofs_are_those_of_the_log_at_every_size() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    grow(&stand.service, actor, 1_100).await;
    let kept = stand.service.seal_log().await.expect("a checkpoint");
    let size = kept.checkpoint.size;
    assert!(size > 1_024 && size == u64::try_from(stand.holds().await.0).expect("a size"));
    let pool = stand.service.log().pool();
    let mut connection = pool.acquire().await.expect("a connection");
    let events = stand.service.log().read_range(Position(0), 5_000).await.expect("events");
    let leaves: Vec<_> = events.iter().map(|event| event.leaf).collect();
    let mut sizes = vec![1, 2, 255, 256, 257, 511, 512, 513, 1_000, 1_024, 1_025, size];
    sizes.dedup();
    for &of in &sizes {
        let report = verify(pool, Some(of), 2, |_, _| ()).await.expect("an answer");
        let root = tiles::root(&mut connection, of).await.expect("a root");
        assert_eq!(report.root_at, Some(root), "size {of}");
        for index in [0, of / 3, of / 2, of - 1] {
            let path = tiles::inclusion(&mut connection, index, of).await.expect("an answer").expect("a path");
            assert_eq!(path.len(), inclusion(index, of).expect("it is there").len());
            let leaf = leaves[usize::try_from(index).expect("small")];
            assert_eq!(root_by(&path, leaf, index, of), Some(root), "{index} of {of}");
        }
        for &old in sizes.iter().filter(|old| **old <= of) {
            let old_root = tiles::root(&mut connection, old).await.expect("a root");
            let path = tiles::consistency(&mut connection, old, of).await.expect("an answer").expect("a path");
            assert!(is_consistent(&path, (old, old_root), (of, root)), "{old} to {of}");
        }
        assert_eq!(tiles::inclusion(&mut connection, of, of).await.expect("an answer"), None);
    }
    for (level, index) in [(0, 0), (0, size / 256), (1, 0)] {
        let tile = Tile { level, index, width: width(level, index, size) };
        let hashes = stand.service.tile(tile).await.expect("an answer").expect("a tile");
        assert_eq!(hashes.len() as u64, tile.width);
        let wider = Tile { width: tile.width + 1, ..tile };
        assert!(tile.width == 256 || stand.service.tile(wider).await.expect("an answer").is_none());
    }
    let since = verify_since(pool, Position(700), Some(512), 2, |_, _| ()).await.expect("an answer");
    assert_eq!((since.wrong, since.root, since.size), (None, kept.checkpoint.root, size));
    assert_eq!(since.root_at, Some(tiles::root(&mut connection, 512).await.expect("a root")));
}

#[tokio::test]
async fn of_servers_that_seal_at_once_one_signs_and_all_agree() {
    let stand = Stand::new().await;
    let (actor, beside) = (stand.actor("ann@example.org").await, stand.beside().await);
    for _ in 0..4 {
        grow(&stand.service, actor, 20).await;
        let both = tokio::join!(stand.service.seal_log(), beside.seal_log());
        let (one, other) = (both.0.expect("a checkpoint"), both.1.expect("a checkpoint"));
        assert_eq!(one, other);
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM checkpoint")
        .fetch_one(stand.service.log().pool())
        .await
        .expect("a number");
    assert_eq!(count, 4);
}

#[tokio::test]
async fn a_server_signs_by_itself_when_the_log_has_grown() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    let (signed, mut seen) = watch::channel(None::<Kept>);
    let sealing = tokio::spawn({
        let service = stand.service.clone();
        async move { service.keep_sealed(signed).await }
    });
    for _ in 0..2 {
        grow(&stand.service, actor, 3).await;
        let head = stand.service.log().head().await.expect("a head");
        let grown = |kept: &Option<Kept>| {
            kept.as_ref().is_some_and(|kept| i64::try_from(kept.checkpoint.size).is_ok_and(|size| size >= head.0))
        };
        seen.wait_for(grown).await.expect("a checkpoint");
    }
    sealing.abort();
}

/// Sealers are cut off at any moment, while the log grows; all that any of them ever signed is one log.
#[tokio::test]
async fn sealers_that_are_cut_off_anywhere_never_contradict_themselves() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    let servers = [stand.service.clone(), stand.beside().await];
    let began = Clock::instant();
    stand.service.seal_log().await.expect("a checkpoint");
    let takes = began.elapsed();
    for round in 0..40_usize {
        grow(&stand.service, actor, 30).await;
        let cut = takes * (u32::from_be_bytes(random::bytes()) % 200) / 100;
        let server = &servers[round % 2];
        let _ = tokio::time::timeout(cut, server.seal_log()).await; // what it was at is dropped where it stands
    }
    let last = stand.service.seal_log().await.expect("a checkpoint");
    let keys = keys(&stand.service).await;
    let notes: Vec<String> = sqlx::query_scalar("SELECT note FROM checkpoint ORDER BY size")
        .fetch_all(stand.service.log().pool())
        .await
        .expect("notes");
    assert!(notes.len() > 3, "some came through: {}", notes.len());
    let mut roots = BTreeMap::new();
    for note in &notes {
        let (checkpoint, _) = Checkpoint::open(note, &keys).expect("signed");
        assert!(roots.insert(checkpoint.size, checkpoint.root).is_none());
        let proof = stand.service.prove_consistency(checkpoint.size, last.checkpoint.size).await.expect("an answer");
        let proof = proof.expect("a proof");
        let (old, new) = ((checkpoint.size, checkpoint.root), (last.checkpoint.size, last.checkpoint.root));
        assert!(is_consistent(&proof.path, old, new), "{}", checkpoint.size);
    }
}

#[tokio::test]
async fn a_log_that_was_cut_short_is_not_signed_for() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    grow(&stand.service, actor, 300).await;
    let kept = stand.service.seal_log().await.expect("a checkpoint");
    let mut owner = owner(&stand.database).await;
    // As a backup of yesterday has it: neither the events nor their seals.
    for table in ["words", "event"] {
        tamper(&mut owner, &format!("DELETE FROM {table} WHERE position > 280")).await;
    }
    tamper(&mut owner, "DELETE FROM checkpoint").await;
    let refused = stand.service.seal_log().await.expect_err("a refusal");
    assert!(matches!(refused, SealError::Shrunk { has: 280, .. }), "{refused}");
    // What is appended over it makes it as long again, and another.
    let beside = stand.beside().await;
    grow(&beside, actor, 60).await;
    let refused = beside.seal_log().await.expect_err("a refusal");
    assert!(matches!(refused, SealError::Rewritten { size } if size == kept.checkpoint.size), "{refused}");

    // Somebody says that it was meant to be: it is another log from here, and holds.
    let begun = beside.begin_history().await.expect("a checkpoint");
    assert_ne!(begun.checkpoint.origin, kept.checkpoint.origin);
    let stale = beside.seal_log().await.expect_err("a refusal");
    assert!(matches!(stale, SealError::OtherHistory { .. }), "{stale}");
    let anew = stand.beside().await;
    grow(&anew, actor, 5).await;
    let next = anew.seal_log().await.expect("a checkpoint");
    assert_eq!((&next.checkpoint.origin, next.checkpoint.size), (&begun.checkpoint.origin, begun.checkpoint.size + 6));
    stand.holds().await;
}

#[tokio::test]
async fn a_past_that_was_rewritten_is_not_signed_for() {
    for (change, tiles) in [(100, false), (100, true), (290, false)] {
        let stand = Stand::new().await;
        let actor = stand.actor("ann@example.org").await;
        grow(&stand.service, actor, 300).await;
        stand.service.seal_log().await.expect("a checkpoint");
        let mut owner = owner(&stand.database).await;
        tamper(&mut owner, &format!("UPDATE event SET leaf = sha256(leaf) WHERE position = {change}")).await;
        if tiles {
            // Its owner may make the tree anew as well.
            tamper(&mut owner, "DELETE FROM tile").await;
        }
        grow(&stand.service, actor, 5).await;
        let refused = stand.service.seal_log().await.expect_err("a refusal");
        let expected = match (change, tiles) {
            (100, false) => matches!(refused, SealError::Differs { first: 1, last: 256 }),
            _ => matches!(refused, SealError::Rewritten { .. }),
        };
        assert!(expected, "{change} {tiles}: {refused}");
    }
}

#[tokio::test]
async fn another_history_is_not_signed_for_until_somebody_says_so() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    grow(&stand.service, actor, 3).await;
    let kept = stand.service.seal_log().await.expect("a checkpoint");
    let before = opened(&kept, &keys(&stand.service).await);
    let mut owner = owner(&stand.database).await;
    tamper(&mut owner, &format!("INSERT INTO history (since) VALUES ({})", before.size)).await;
    let beside = stand.beside().await;
    grow(&beside, actor, 3).await;
    let refused = beside.seal_log().await.expect_err("a refusal");
    assert!(matches!(refused, SealError::OtherHistory { .. }), "{refused}");
}

#[tokio::test]
async fn a_switch_of_keys_is_seen_by_servers_that_run() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    grow(&stand.service, actor, 3).await;
    stand.service.seal_log().await.expect("a checkpoint");
    let old = keys(&stand.service).await;
    let origin = stand.service.checkpoint_origin();
    let signing = stand.service.vault().signing();
    let new = signing.rotate(&origin, false).expect("a switch").known;
    grow(&stand.service, actor, 3).await;
    let during = stand.service.seal_log().await.expect("a checkpoint");
    opened(&during, &old);
    opened(&during, &new[..1]);
    signing.rotate(&origin, true).expect("the end of it");
    grow(&stand.service, actor, 3).await;
    let after = stand.service.seal_log().await.expect("a checkpoint");
    opened(&after, &new[..1]);
    assert!(Checkpoint::open(&after.note, &old).is_err(), "the old key signs no more");
    assert_eq!(keys(&stand.service).await, new, "and is still known");
}
