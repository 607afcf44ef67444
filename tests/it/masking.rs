//! Words that are masked before they are sealed: they are nowhere, and all that is told of them is of what was kept.

use std::fs;
use std::path::{Path, PathBuf};

use convoledger::event::{
    ConversationId, Event, EventId, FileAction, FileChange, MaskingConfigured, MessageId, Part, Personal, Position,
    Private, Role,
};
use convoledger::format::{self, Transcript};
use convoledger::ledger::{Act, AppendMessage, CreateBranch, Start, TakeSnapshot};
use convoledger::mask::{Detector, Masker, unmask};
use convoledger::random;
use convoledger::service::{Actor, Imported, Opened, Service};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use crate::graphql::Served;
use crate::support::service::{Stand, done, order, started};

const EMAIL: &str = "grace@example.org";
const CARD: &str = "4111 1111 1111 1111";
const TOKEN: &str = "clt_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn settled(before_sealing: bool) -> MaskingConfigured {
    MaskingConfigured { before_sealing, names: Private::Known(vec!["Grace Hopper".into()]), ..Default::default() }
}

/// All that an actor's events say, and their facts.
async fn all(service: &Service, actor: Actor) -> String {
    let all: Vec<_> = service.scan(Position(0)).try_concat().await.expect("all opens");
    let told = all
        .iter()
        .filter(|opened| opened.recorded.fact.owner == actor.owner())
        .filter(|opened| !matches!(opened.event, Event::MaskingConfigured(_) | Event::AccountRegistered(_)));
    let words = told.flat_map(|opened| opened.event.words()).map(|words| words.plain.to_vec());
    words.map(|plain| String::from_utf8(plain).expect("JSON") + "\n").collect()
}

#[tokio::test]
async fn nothing_personal_is_kept_of_whoever_settled_that() {
    let stand = Stand::new().await;
    let service = &stand.service;
    let (ann, bob) = (stand.actor("ann@example.org").await, stand.actor("bob@example.org").await);
    service.configure_masking(ann, settled(true)).await.expect("settled").expect("an event");
    assert_eq!(service.configure_masking(ann, settled(true)).await.expect("an answer"), None);
    assert_eq!(service.masking(bob).await.expect("an answer"), MaskingConfigured::default());
    for actor in [ann, bob] {
        speak(service, actor).await;
    }
    let (masked, plain) = (all(service, ann).await, all(service, bob).await);
    for personal in [EMAIL, CARD, TOKEN, "Hopper", "c2lnbmVk"] {
        assert!(plain.contains(personal), "{personal} is everywhere:\n{plain}");
        assert!(!masked.contains(personal), "{personal} is in:\n{masked}");
    }
    for kept in [
        "mail [email]",
        "[name]'s idea",
        "cards/[card].txt",
        "{\\\"to\\\": \\\"[email]\\\"}",
        "[secret]",
        "nothing of it",
    ] {
        assert!(masked.contains(kept), "{kept} is not in:\n{masked}");
    }
    // Words are told as they were kept.
    let size = |at: Vec<Opened>| {
        let messages = at.into_iter().filter_map(|opened| match opened.event {
            Event::MessageAppended(said) => Some((said.bytes, said.parts.known().expect("known"))),
            _ => None,
        });
        messages
            .map(|(bytes, parts)| (bytes, parts.iter().map(Part::size_bytes).sum::<usize>() as u64))
            .collect::<Vec<_>>()
    };
    let everything = service.scan(Position(0)).try_concat().await.expect("all opens");
    assert!(size(everything).iter().all(|(told, held)| told == held));

    // Another server heeds it as well, and what comes later is as it is settled then.
    let other = stand.beside().await;
    let conversation = started(&other, ann).await;
    let say = |text: &str| Act::Append(AppendMessage::text(MessageId(random::id()), Role::User, text));
    done(&other, ann, order(conversation, [say("to heidi@example.org")])).await;
    other.configure_masking(ann, settled(false)).await.expect("settled").expect("an event");
    done(&other, ann, order(conversation, [say("to ivan@example.org")])).await;
    let told = all(&other, ann).await;
    assert!(!told.contains("heidi") && told.contains("ivan@example.org"), "{told}");
    stand.holds().await;
}

/// Says something personal in every field that takes words.
async fn speak(service: &Service, actor: Actor) {
    let conversation = ConversationId(random::id());
    let tags = service.tags(actor, &["Grace Hopper's tag".into(), "Grace Hopper's idea".into()]).await.expect("tags");
    let (tag, name) = (tags[0].clone(), tags[1].clone());
    let message = AppendMessage {
        parts: vec![
            Part::text(format!("mail {EMAIL}")),
            Part::Reasoning { content: format!("card {CARD}"), signature: Some("c2lnbmVk".into()) },
            Part::Reasoning { content: "nothing of it".into(), signature: Some("a2VwdA==".into()) },
            Part::ToolCall { id: None, name: "send".into(), arguments: format!("{{\"to\": \"{EMAIL}\"}}") },
            Part::ToolCallResponse { id: None, response: format!("used {TOKEN}") },
            Part::Opaque { source_type: "note".into(), content: "\"grace hopper\"".into() },
        ],
        verbatim: Some(format!("{{\"raw\": \"{EMAIL}\"}}")),
        ..AppendMessage::text(MessageId(random::id()), Role::Assistant, "")
    };
    let id = message.id;
    let change = FileChange { digest: [1; 32], action: FileAction::Added };
    let acts = [
        Act::Start(Start::default()),
        Act::SetTitle { title: format!("To Grace Hopper, {EMAIL}") },
        Act::Tag { tags: vec![tag] },
        Act::Append(message),
        Act::Rate { message: id, rating: None, comment: Some(format!("ask {EMAIL}")) },
        Act::CreateBranch(CreateBranch { from: id, name }),
        Act::TakeSnapshot(TakeSnapshot {
            id: EventId(random::id()),
            label: Some(format!("before {EMAIL}")),
            files: vec![(format!("cards/{CARD}.txt"), change)],
        }),
    ];
    done(service, actor, order(conversation, acts)).await;
}

#[tokio::test]
async fn an_import_is_masked_and_finds_itself_again() {
    let stand = Stand::new().await;
    let service = &stand.service;
    let ann = stand.actor("ann@example.org").await;
    service.configure_masking(ann, settled(true)).await.expect("settled");
    let directory = tempfile::tempdir().expect("a directory");
    let personal = directory.path().join("personal.jsonl");
    let said =
        [format!("Grace Hopper, {EMAIL}"), format!("pay {CARD}")].map(|text| json!({"role": "user", "content": text}));
    fs::write(&personal, json!({"id": "p-1", "source": "mail", "messages": said}).to_string()).expect("a file");
    let all_taken = fixtures().into_iter().chain([personal]).flat_map(|file| transcripts(&file)).collect::<Vec<_>>();
    for first in [true, false] {
        for transcript in all_taken.clone() {
            let messages = transcript.messages.len() as u64;
            let taken = service.import(ann, transcript).await.expect("an answer");
            let Imported::Taken { appended, .. } = taken else { panic!("{taken:?}") };
            assert_eq!(appended, if first { messages } else { 0 });
        }
    }
    let told = all(service, ann).await;
    assert!(told.contains("[name], [email]") && told.contains("pay [card]"));
    let detector = service.detector(ann).await.expect("a detector");
    for line in told.lines() {
        let words: Value = serde_json::from_str(line).expect("JSON");
        strings(&words, &mut |text| assert_eq!(detector.find(text), [], "in {text}"));
    }
    stand.holds().await;
}

#[test]
fn real_conversations_come_back_from_under_their_masks() {
    let mut masker = Masker::new(Detector::new(Personal::ALL, &["Paris".into()]).expect("a name"));
    let mut texts = Vec::new();
    for file in fixtures() {
        for transcript in transcripts(&file) {
            texts.extend(transcript.title);
            for part in transcript.messages.into_iter().flat_map(|message| message.parts) {
                strings(&serde_json::to_value(part).expect("JSON"), &mut |text| texts.push(text.to_owned()));
            }
        }
    }
    assert!(texts.len() > 100);
    let masked: Vec<_> = texts.iter().map(|text| masker.mask(text)).collect();
    let legend: Vec<_> = masker.legend().cloned().collect();
    for (text, masked) in texts.iter().zip(&masked) {
        assert_eq!(&unmask(masked, &legend), text);
    }
}

#[tokio::test]
async fn it_is_settled_by_the_account_and_told_to_it_alone() {
    let served = Served::start().await;
    let (ann, bob) = (served.caller("ann@example.org").await, served.caller("bob@example.org").await);
    let settle = "mutation ($input: ConfigureMaskingInput!) { configureMasking(input: $input) { __typename \
        ... on MaskingDone { masking { kinds names beforeSealing } clientMutationId } \
        ... on MaskingAlreadyDone { masking { names } } ... on Refused { reason message } } }";
    let viewer = "{ viewer { id masking { kinds names beforeSealing } } }";
    let at_first = ann.get(viewer, json!({})).await["viewer"]["masking"].take();
    assert_eq!((&at_first["names"], &at_first["beforeSealing"]), (&json!([]), &json!(false)));
    assert_eq!(at_first["kinds"].as_array().map(Vec::len), Some(Personal::ALL.len()));
    let input = json!({"kinds": ["NAME", "EMAIL"], "names": ["Grace"], "beforeSealing": true, "clientMutationId": "m"});
    let answer = ann.get(settle, json!({"input": input})).await["configureMasking"].take();
    let masking = json!({"kinds": ["EMAIL", "NAME"], "names": ["Grace"], "beforeSealing": true});
    assert_eq!(answer, json!({"__typename": "MaskingDone", "masking": masking, "clientMutationId": "m"}));
    assert_eq!(ann.get(settle, json!({"input": input})).await["configureMasking"]["__typename"], "MaskingAlreadyDone");
    let refused = ann.get(settle, json!({"input": {"names": [""]}})).await["configureMasking"].take();
    assert_eq!(refused["reason"], "EMPTY");
    let own = ann.get(viewer, json!({})).await["viewer"].take();
    assert_eq!(own["masking"], masking);

    let conversation = ann.conversation(json!({"title": "Grace", "tags": ["Grace"]})).await;
    let said = ann
        .say(json!({"conversationId": conversation, "role": "USER", "text": "Grace: a@b.org, 4111111111111111"}))
        .await;
    assert_eq!(said["message"]["text"], "[name]: [email], 4111111111111111");
    let tagged = "{ conversations(filter: {tags: [\"[name]\"]}) { nodes { title tags } } }";
    let found = ann.get(tagged, json!({})).await["conversations"]["nodes"].take();
    assert_eq!(found, json!([{"title": "[name]", "tags": ["[name]"]}]), "found by what is shown");

    let seen = bob.get(viewer, json!({})).await["viewer"].take();
    assert_eq!((&seen["masking"]["names"], &seen["masking"]["beforeSealing"]), (&json!([]), &json!(false)));
    let node = "query ($id: ID!) { node(id: $id) { ... on Account { masking { names } } } }";
    assert_eq!(bob.get(node, json!({"id": own["id"]})).await["node"], Value::Null);
    assert!(!bob.get("{ events { nodes { words } } }", json!({})).await.to_string().contains("Grace"));
}

/// Real exports, of each format.
fn fixtures() -> Vec<PathBuf> {
    let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    let counted = fs::read(fixtures.join("expected.json")).expect("a file");
    let counted: Value = serde_json::from_slice(&counted).expect("counts by file");
    counted.as_object().expect("files").keys().map(|file| fixtures.join(file)).collect()
}

fn transcripts(file: &Path) -> Vec<Transcript> {
    format::open(file).expect("an export").map(|transcript| transcript.expect("a conversation")).collect()
}

fn strings(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, each)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, each)),
        _ => {}
    }
}
