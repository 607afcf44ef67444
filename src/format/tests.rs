//! Whole files: the fixtures against an independent count, what they come in, and what can be wrong with them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::*;
use crate::event::{Modality, Part, Role};

/// What an independent count says of a file.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Tally {
    conversations: u64,
    unreadable: u64,
    messages: u64,
    branch_points: u64,
    leaves: u64,
    roles: BTreeMap<String, u64>,
    first: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
}

fn tally(export: Export) -> Tally {
    let mut tally = Tally::default();
    for item in export {
        let Ok(transcript) = item else {
            tally.unreadable += 1;
            continue;
        };
        let counts = transcript.counts();
        tally.conversations += 1;
        tally.messages += counts.messages;
        tally.branch_points += counts.branch_points;
        tally.leaves += counts.leaves;
        for message in &transcript.messages {
            let role = serde_json::to_value(message.role).unwrap().as_str().unwrap().to_owned();
            *tally.roles.entry(role).or_default() += 1;
            tally.first = [tally.first, message.at].into_iter().flatten().min();
            tally.last = tally.last.max(message.at);
        }
    }
    tally
}

fn expected(folder: &Path) -> BTreeMap<String, Tally> {
    let all: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
    all.into_iter().filter_map(|(file, tally)| Some((file, serde_json::from_value(tally).ok()?))).collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn transcripts(path: &Path) -> Vec<Transcript> {
    open(path).unwrap().collect::<Result<_, _>>().unwrap()
}

fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn zip_of(folder: &TempDir, members: &[(&str, &[u8])]) -> PathBuf {
    let path = folder.path().join("export.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated))
            .unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    path
}

const ONE: &str = r#"{"id":"one","mapping":{"a":{"parent":null,"message":{"author":{"role":"user"},"content":{"content_type":"text","parts":["hi"]}}}},"current_node":"a"}"#;

fn one(id: &str) -> String {
    ONE.replace("\"one\"", &format!("\"{id}\""))
}

#[test]
fn every_fixture_is_counted_as_an_independent_count_does() {
    for (file, expected) in expected(&fixtures()) {
        assert_eq!(tally(open(&fixtures().join(&file)).unwrap()), expected, "{file}");
    }
}

/// The whole of the data that lies beside the checkout where this was developed; much of it may not be copied here.
#[test]
fn all_the_data_beside_the_checkout_is_counted_as_an_independent_count_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !folder.is_dir() {
        println!("skipped: there is no {}", folder.display());
        return;
    }
    let is_read = |file: &String| file.starts_with("fixtures/chatgpt/") || file.starts_with("corpus/");
    for (file, expected) in expected(&folder).into_iter().filter(|(file, _)| is_read(file)) {
        assert_eq!(tally(open(&folder.join(&file)).unwrap()), expected, "{file}");
    }
}

#[test]
fn an_export_in_shards_is_read_in_their_order_and_other_files_are_named() {
    let folder = TempDir::new().unwrap();
    let list = |id: &str| format!("[{}]", one(id)).into_bytes();
    let (first, second, tenth) = (list("first"), list("second"), list("tenth"));
    let path = zip_of(
        &folder,
        &[
            ("export/conversations-010.json", &tenth),
            ("export/conversations-001.json", &second),
            ("export/chat.html", b"<html>"),
            ("export/shared_conversations.json", b"[]"),
            ("export/conversations-000.json", &first),
        ],
    );
    let export = open(&path).unwrap();
    assert_eq!(export.aside(), ["export/chat.html", "export/shared_conversations.json"]);
    let progress = export.progress();
    assert_eq!(progress.read(), 0);
    let ids: Vec<String> = export.map(|transcript| transcript.unwrap().id).collect();
    assert_eq!(ids, ["first", "second", "tenth"]);
    assert_eq!(progress.read(), progress.total());
}

#[test]
fn a_damaged_shard_does_not_fail_the_others() {
    let folder = TempDir::new().unwrap();
    let good = format!("[{}]", one("good")).into_bytes();
    let members: [(&str, &[u8]); 3] = [
        ("conversations-000.json", b"\x00 no JSON"),
        ("conversations-001.json", b"[{\"mapping\": {}, \"id\": \"x\"}, {\"mapping"),
        ("conversations-002.json", &good),
    ];
    let items: Vec<_> = open(&zip_of(&folder, &members)).unwrap().collect();
    assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 2);
    let refused: Vec<String> = items.into_iter().filter_map(|item| Some(item.err()?.to_string())).collect();
    assert!(refused[0].starts_with("export.zip/conversations-000.json, as a whole: "), "{refused:?}");
    assert!(
        refused[1].starts_with("export.zip/conversations-001.json, conversation 2: at byte 38 the file ends"),
        "{refused:?}"
    );
}

#[test]
fn a_flipped_byte_in_an_archive_is_found() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("export.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("conversations.json", stored).unwrap();
    zip.write_all(format!("[{ONE}]").as_bytes()).unwrap();
    zip.finish().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|bytes| bytes == b"\"hi\"").unwrap();
    bytes[at + 1] = b'H';
    fs::write(&path, bytes).unwrap();
    let refused = open(&path).unwrap().find_map(Result::err).unwrap();
    assert!(refused.reason.contains("checksum"), "{refused}");
}

#[test]
fn zstd_is_read_and_a_truncated_file_says_so() {
    let folder = TempDir::new().unwrap();
    let source = fs::read(fixtures().join("corpus/linear.jsonl")).unwrap();
    let packed = zstd::encode_all(source.as_slice(), 3).unwrap();
    let whole = file(&folder, "anything.bin", &packed);
    let bare = fixtures().join("corpus/linear.jsonl");
    assert_eq!(transcripts(&whole), transcripts(&bare));

    // Several frames, of which the last is cut.
    let cut = file(&folder, "cut.zst", &packed.repeat(9)[..packed.len() * 7 / 2]);
    let items: Vec<_> = open(&cut).unwrap().collect();
    let (refused, read) = items.split_last().unwrap();
    assert!(read.iter().all(Result::is_ok));
    let reason = &refused.as_ref().unwrap_err().reason;
    assert!(reason.contains(&format!("before ({}) was read", read.len())), "{reason}");
}

#[test]
fn a_broken_conversation_is_refused_alone_and_its_words_are_not_told() {
    let folder = TempDir::new().unwrap();
    let list = format!(
        r#"[{}, {{"id":"secret title"}}, {{"id": secret}}, "secret", {{"mapping":{{}},"title":"secret"}}, {}]"#,
        one("a"),
        one("b")
    );
    let items: Vec<_> = open(&file(&folder, "export.json", list)).unwrap().collect();
    let ids: Vec<&str> = items.iter().filter_map(|item| Some(item.as_ref().ok()?.id.as_str())).collect();
    assert_eq!(ids, ["a", "b"]);
    let refused: Vec<Refused> = items.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert!(refused.iter().all(|refused| !refused.to_string().contains("secret")), "{refused:?}");
}

#[test]
fn a_broken_line_of_the_corpus_is_refused_alone() {
    let folder = TempDir::new().unwrap();
    let lines =
        "{broken\n{\"id\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"x\u{2028}y\"}]}\n\n{\"id\":\"b\"}\n[]\n";
    let items: Vec<_> = open(&file(&folder, "lines", lines)).unwrap().collect();
    assert_eq!(items[1].as_ref().unwrap().messages[0].parts, [Part::text("x\u{2028}y")]);
    let refused: Vec<u64> = items.iter().filter_map(|item| Some(item.as_ref().err()?.index)).collect();
    assert_eq!(refused, [1, 4, 5]);
}

#[test]
fn what_is_not_understood_is_told_with_what_is() {
    let folder = TempDir::new().unwrap();
    let error = |path: &Path| open(path).err().unwrap().to_string();
    let unknown = error(&file(&folder, "x.json", r#"[{"uuid":"a","chat_messages":[]}]"#));
    assert!(unknown.contains("no format that is understood") && unknown.contains("ChatGPT"), "{unknown}");
    assert!(error(&file(&folder, "empty", " \n")).contains("is empty"));
    assert!(error(folder.path()).contains("is a directory"));
    assert!(error(&folder.path().join("gone")).contains("cannot be read"));
    assert!(error(&zip_of(&folder, &[("a.txt", b"x"), ("b.json", b"{}")])).contains("without conversations"));
    assert!(error(&file(&folder, "y.zip", b"PK\x03\x04 and no more")).contains("no archive"));
}

#[test]
fn an_empty_export_has_no_conversation() {
    let folder = TempDir::new().unwrap();
    assert_eq!(open(&file(&folder, "conversations.json", "[]")).unwrap().count(), 0);
}

#[test]
fn one_conversation_alone_and_several_in_a_row_are_read() {
    let folder = TempDir::new().unwrap();
    assert_eq!(transcripts(&file(&folder, "one.json", one("a")))[0].id, "a");
    let row = format!("{}\n{}\n", one("a"), one("b"));
    assert_eq!(transcripts(&file(&folder, "row.jsonl", row)).len(), 2);
}

#[test]
fn a_second_reading_is_the_same_as_the_first() {
    for (name, _) in expected(&fixtures()) {
        let path = fixtures().join(&name);
        assert_eq!(transcripts(&path), transcripts(&path), "{name}");
    }
}

#[test]
fn the_parts_of_an_export_survive() {
    let all = transcripts(&fixtures().join("chatgpt/polylogue-native-conversation.json"));
    let [transcript] = all.as_slice() else { panic!("one conversation") };
    let message = |id: &str| transcript.messages.iter().find(|message| message.id == id).unwrap();
    assert_eq!(transcript.current.as_deref(), Some("answer-active"));
    assert_eq!(transcript.model.as_deref(), Some("gpt-5-6-pro"));
    assert!(
        matches!(&message("context").parts[..], [Part::Opaque { source_type, .. }] if source_type == "user_editable_context")
    );
    assert_eq!(transcript.notes.len(), 1);

    let user = &message("user").parts;
    assert!(
        matches!(&user[1], Part::File { modality: Modality::Image, file_id, .. } if file_id == "file-service://fixture-input-image")
    );
    assert!(matches!(&user[2], Part::File { modality: Modality::Text, name: Some(name), .. } if name == "input.txt"));
    assert!(message("user").verbatim.as_ref().is_some_and(|json| {
        json.contains(r#"{"content_type":"image_asset_pointer","size_bytes":128,"width":8,"height":8}"#)
    }));

    assert!(matches!(&message("thought-active").parts[..], [Part::Reasoning { .. }]));
    let call =
        Part::ToolCall { id: None, name: "browser.search".into(), arguments: r#"{"query":"fixture evidence"}"#.into() };
    assert_eq!(message("tool-call").parts, [call]);
    let answer = Part::ToolCallResponse { id: None, response: "Privacy-safe tool result.".into() };
    assert_eq!(message("tool-result").parts, [answer]);
    assert_eq!(message("answer-active").model.as_deref(), Some("gpt-5-6-pro"));
    assert_eq!(message("answer-active").parent.as_deref(), Some("recap-active"));
    assert!(message("answer-active").usage.is_none());
}

#[test]
fn hidden_messages_files_and_times_of_an_export_survive() {
    let export = transcripts(&fixtures().join("chatgpt/librechat-chatgpt-export.json"));
    let system = &export[0].messages[0];
    assert!(system.hidden && system.role == Role::System && system.at.is_none());
    assert!(export[0].messages.iter().filter(|message| message.role == Role::Tool).all(|message| message.hidden));
    let call =
        export[0].messages.iter().find(|message| message.parts[0].kind() == crate::event::PartKind::ToolCall).unwrap();
    assert!(matches!(&call.parts[0], Part::ToolCall { name, .. } if name == "browser"));
    assert_eq!(export[0].created_at.unwrap().timestamp_micros(), 1_704_629_915_775_304);
    assert!(export[0].kept.as_ref().is_some_and(|json| json.contains("\"safe_urls\":[\"https://")));

    let hardening = transcripts(&fixtures().join("chatgpt/extractor-hardening.json"));
    assert_eq!(hardening[2].id, "duplicateSediment");
    let attached = &hardening[2].messages[0].parts;
    assert_eq!(attached.len(), 2, "the attachment and the pointer to it are one");
    assert!(
        matches!(&attached[1], Part::File { name: Some(name), modality: Modality::Document, .. } if name == "example.zip")
    );
}

#[test]
fn calls_usage_and_money_of_the_corpus_survive() {
    let lines = transcripts(&fixtures().join("corpus/linear.jsonl"));
    let all: Vec<&SourceMessage> = lines.iter().flat_map(|transcript| &transcript.messages).collect();
    let calls: Vec<(&String, &Part)> = all
        .iter()
        .flat_map(|message| message.parts.iter())
        .filter_map(|part| if let Part::ToolCall { id: Some(id), .. } = part { Some((id, part)) } else { None })
        .collect();
    let answers = all.iter().flat_map(|message| message.parts.iter());
    let answered =
        answers.filter_map(|part| if let Part::ToolCallResponse { id, .. } = part { id.as_ref() } else { None });
    assert!(answered.clone().count() == 7 && answered.clone().all(|id| calls.iter().any(|(call, _)| *call == id)));
    assert!(all.iter().any(|message| message.cost_usd.is_some_and(|cost| cost.scale() > 0)));
    assert!(
        all.iter().any(|message| message.usage.is_some_and(|usage| usage.input.is_none() && usage.output.is_some()))
    );
    assert!(all.iter().all(|message| !message.parts.is_empty()));
    assert_eq!(lines[0].current.as_deref(), Some("1"));
    assert!(lines[0].kept.as_ref().is_some_and(|json| json.contains("\"source\":\"arena-hard\"")));

    let trees = transcripts(&fixtures().join("corpus/trees.jsonl"));
    assert!(trees.iter().all(|tree| tree.source == "corpus-tree" && tree.current.is_none()));
    assert_eq!(trees.iter().flat_map(|tree| &tree.notes).count(), 1, "one parent is not there");
}
