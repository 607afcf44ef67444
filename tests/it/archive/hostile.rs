//! Whoever runs the ledger holds its signing key, and lies: a stranger with nothing but the archive and the public key finds
//! it out.

use std::fs;
use std::path::PathBuf;

use convoledger::archive::check::{Wrong, check};
use convoledger::archive::line::Line;
use convoledger::archive::manifest::{Manifest, Of, signed_text};
use convoledger::archive::name;
use convoledger::event::Position;
use convoledger::log::digest;
use convoledger::proof::note::Verifier;
use convoledger::service::Wanted;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sha2::{Digest as _, Sha256};

use super::{Files, Told, exported, files, packed};

const EVENTS: &str = "events/000001.jsonl";

impl Told {
    /// The archive with its events changed, counted, hashed and signed anew by the ledger's own key.
    async fn forged(&self, of: &Files, change: impl FnOnce(&mut Vec<Line>)) -> PathBuf {
        let mut lines = lines(of);
        change(&mut lines);
        let mut files = of.clone();
        let text: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).expect("JSON") + "\n").collect();
        files.insert(EVENTS.to_owned(), text.concat().into_bytes());
        let mut manifest: Manifest = serde_json::from_slice(&files[name::MANIFEST]).expect("a manifest");
        let whole = manifest.counts.clone();
        (manifest.counts.events, manifest.counts.kinds, manifest.counts.words) = Default::default();
        for line in &lines {
            manifest.counts.count(line);
        }
        (manifest.counts.streams, manifest.counts.messages) = (whole.streams, whole.messages);
        self.signed(files, manifest).await
    }

    async fn signed(&self, mut files: Files, mut manifest: Manifest) -> PathBuf {
        let listed = |name: &&String| ![name::MANIFEST, name::SIGNATURE, name::SUMS].contains(&name.as_str());
        let sums = files.keys().filter(listed).map(|name| format!("{}  {name}\n", sha256(&files[name])));
        let sums = sums.collect::<String>().into_bytes();
        manifest.sums = sha256(&sums);
        let manifest = serde_json::to_vec(&manifest).expect("JSON");
        let note = self.stand.service.sign(signed_text(&sha256(&manifest))).await.expect("a signature");
        files.insert(name::SUMS.to_owned(), sums);
        files.insert(name::SIGNATURE.to_owned(), note.to_string().into_bytes());
        files.insert(name::MANIFEST.to_owned(), manifest);
        let path = self.path("forged.zip");
        packed(&files, &path);
        path
    }
}

fn lines(of: &Files) -> Vec<Line> {
    let text = std::str::from_utf8(&of[EVENTS]).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[tokio::test]
async fn a_ledger_that_signs_lies_is_found_out() {
    let told = Told::new().await;
    let honest = told.export("honest.zip").await;
    told.check(&honest).await.expect("it holds");
    let of = files(&honest);
    let said = lines(&of).iter().position(|line| line.kind == "message.appended").expect("a message");
    let found = |path: PathBuf| {
        let told = &told;
        async move { told.check(&path).await.expect_err("a lie").to_string() }
    };
    told.check(&told.forged(&of, |_| ()).await).await.expect("nothing was changed");

    let words = |lines: &mut Vec<Line>| lines[said].words[0].said = Some("never said".into());
    assert!(found(told.forged(&of, words).await).await.contains("the words of event"));
    let sealed = |lines: &mut Vec<Line>| {
        let sealed = lines[said].words[0].sealed.as_mut().expect("it is open");
        let last = sealed.ciphertext.len() - 1;
        sealed.ciphertext[last] ^= 1;
    };
    assert!(found(told.forged(&of, sealed).await).await.contains("the words of event"));
    let digested = |lines: &mut Vec<Line>| lines[said].words[0].digest[0] ^= 1;
    assert!(found(told.forged(&of, digested).await).await.contains("its leaf differs"));
    let facts = |lines: &mut Vec<Line>| lines[said].facts["role"] = "assistant".into();
    assert!(found(told.forged(&of, facts).await).await.contains("its leaf differs"));
    let time = |lines: &mut Vec<Line>| lines[said].recorded_at += chrono::TimeDelta::microseconds(1);
    assert!(found(told.forged(&of, time).await).await.contains("its leaf differs"));
    // With a leaf that fits: then it is in no log that was signed for.
    let manifest: Manifest = serde_json::from_slice(&of[name::MANIFEST]).expect("a manifest");
    let leaf = |lines: &mut Vec<Line>| {
        let line = &mut lines[said];
        line.recorded_at += chrono::TimeDelta::microseconds(1);
        let event = digest::event(&line.fact().expect("its facts"));
        let stream = (line.owner, line.stream, line.version);
        line.leaf = digest::leaf(&manifest.origin, line.history, line.position, stream, line.recorded_at, &event);
    };
    assert!(found(told.forged(&of, leaf).await).await.contains("is not in the log"));

    let removed = |lines: &mut Vec<Line>| drop(lines.remove(said));
    assert!(found(told.forged(&of, removed).await).await.contains("an event was left out"));
    let cut = |lines: &mut Vec<Line>| drop(lines.pop());
    assert!(found(told.forged(&of, cut).await).await.contains("an event was left out"));
    let twice = |lines: &mut Vec<Line>| lines.insert(said, lines[said].clone());
    assert!(found(told.forged(&of, twice).await).await.contains("does not follow"));
    let swapped = |lines: &mut Vec<Line>| lines.swap(said, said + 1);
    assert!(found(told.forged(&of, swapped).await).await.contains("was left out"));

    // An event of another ledger, which its own checkpoint proves.
    let other = Told::new().await;
    let foreign = lines(&files(&other.export("other.zip").await)).swap_remove(said);
    let mixed =
        |lines: &mut Vec<Line>| lines[said] = Line { owner: lines[said].owner, stream: lines[said].stream, ..foreign };
    assert!(found(told.forged(&of, mixed).await).await.contains("its leaf differs"));

    // A log cut short: its checkpoint is of another size than the proofs.
    let mut short = of.clone();
    let manifest: Manifest = serde_json::from_slice(&of[name::MANIFEST]).expect("a manifest");
    let checkpoint = String::from_utf8(of[name::CHECKPOINT].clone()).expect("text");
    let size = manifest.size;
    let text =
        checkpoint.split_once("\n\n").expect("a note").0.replace(&format!("\n{size}\n"), &format!("\n{}\n", size - 1));
    let note = told.stand.service.sign(format!("{text}\n")).await.expect("a signature");
    short.insert(name::CHECKPOINT.to_owned(), note.to_string().into_bytes());
    let shorter = Manifest { size: size - 1, ..manifest.clone() };
    assert!(found(told.signed(short.clone(), shorter).await).await.contains("is not in the log"));
    assert!(found(told.signed(short, manifest).await).await.contains("its checkpoint is of"));

    // Another key than the ledger's.
    let stranger: Vec<Verifier> = other.keys().await;
    assert!(matches!(check(&honest, Some(&stranger), |_| ()), Err(Wrong::Note(name::SIGNATURE, _))));
}

#[test]
fn any_byte_changed_on_the_way_is_found() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (told, keys, path) = runtime.block_on(async {
        let told = Told::new().await;
        let (keys, path) = (told.keys().await, told.export("honest.zip").await);
        (told, keys, path)
    });
    let whole = files(&path);
    let changed = told.path("changed.zip");
    let names: Vec<&String> = whole.keys().collect();
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(
        &(any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255_u8),
        |(name, at, bits)| {
            let mut files = whole.clone();
            let content = files.get_mut(names[name.index(names.len())]).expect("a file");
            let at = at.index(content.len());
            content[at] ^= bits;
            packed(&files, &changed);
            prop_assert!(check(&changed, Some(&keys), |_| ()).is_err(), "{} at {at}", names[name.index(names.len())]);
            Ok(())
        },
    );
    outcome.expect("every change");
    // A file more, a file less, and an archive cut off.
    let mut more = whole.clone();
    more.insert("conversations/000009/branch-1.md".into(), b"never said".to_vec());
    packed(&more, &changed);
    assert!(matches!(check(&changed, Some(&keys), |_| ()), Err(Wrong::Extra(_))));
    let mut less = whole;
    less.remove("conversations/000001/branch-1.md");
    packed(&less, &changed);
    assert!(matches!(check(&changed, Some(&keys), |_| ()), Err(Wrong::Missing(_))));
    let bytes = fs::read(&path).expect("a file");
    fs::write(&changed, &bytes[..bytes.len() / 2]).expect("a file");
    assert!(check(&changed, Some(&keys), |_| ()).is_err());
}

#[tokio::test]
async fn an_auditor_gets_every_event_of_a_stretch_and_no_words() {
    let told = Told::new().await;
    let of = Of::Range { from: Position(3), to: Position(20) };
    let path = told.path("stretch.zip");
    exported(&told.stand.service, Wanted { of, size: None, masked: false }, &path).await.expect("it is exported");
    told.check(&path).await.expect("it holds");
    let of = files(&path);
    let positions: Vec<i64> = lines(&of).iter().map(|line| line.position.0).collect();
    assert_eq!(positions, (3..=20).collect::<Vec<_>>());
    let all = of.values().flat_map(|content| String::from_utf8_lossy(content).into_owned().into_bytes());
    let all = String::from_utf8(all.collect()).expect("text");
    for word in ["About 0", "Travel", "bob's own", "three", "ann@example.org"] {
        assert!(!all.contains(word), "{word}");
    }
    // One less, amid it and at its end.
    for at in [7, 17] {
        let forged = told.forged(&of, |lines| drop(lines.remove(at))).await;
        told.check(&forged).await.expect_err("a lie");
    }
    let none = Of::Range { from: Position(3), to: Position(20_000) };
    let refused =
        exported(&told.stand.service, Wanted { of: none, size: None, masked: false }, &told.path("x.zip")).await;
    assert!(refused.expect_err("a range that is not there").to_string().contains("a range lies between"));
}
