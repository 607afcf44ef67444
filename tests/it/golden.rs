//! The wire form of every event, for ever. A file under `tests/golden/events` is never changed: an event that must
//! change gets another version, another file, and an upcast.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use convoledger::event::{
    AccountForgetCancelled, AccountForgetRequested, AccountForgetStarted, AccountForgotten, AccountHeld, AccountRead,
    AccountRegistered, AccountReleased, Ancestor, BranchAbandoned, BranchChosen, BranchCreated, BranchNumber,
    BranchPreferred, BranchRenamed, BranchRestored, BranchResumed, Class, ConversationArchived, ConversationDeleted,
    ConversationExpired, ConversationFavorited, ConversationForgotten, ConversationId, ConversationRestored,
    ConversationStarted, ConversationTagged, ConversationTitled, ConversationUnarchived, ConversationUndeleted,
    ConversationUnfavorited, ConversationUntagged, DeadKey, Depth, Elsewhere, Event, EventId, ExportExpired,
    ExportFetched, ExportMade, ExportRequested, FileAction, FileChange, KINDS, Lapsed, MaskingConfigured,
    MessageAppended, MessageForgotten, MessageHidden, MessageId, MessageRated, MessageRestored, MessageUnhidden,
    Modality, ModelSwitched, Origin, Part, PartKind, Personal, Place, Position, Private, ProjectionSkipped, Rating,
    Reading, Removed, Requester, Resting, RetentionAnnounced, RetentionApplied, RetentionConfigured, RetentionPolicy,
    RetentionUndone, Role, SAYING, Segment, SnapshotConfigured, SnapshotPolicy, SnapshotTaken, SnapshotThinned,
    SubjectId, SubjectKeyCreated, SubjectKeyDestroyed, Token, Trigger, Usage, Version, WordsGone,
};
use serde_json::{Value, json};
use uuid::Uuid;

const MESSAGE: MessageId = MessageId(Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001));
const AT: Place = Place { segment: Segment(2), depth: Depth(5) };
const TOKEN: Token = Token([7; 16]);

fn known(text: &str) -> Private<String> {
    Private::Known(text.to_owned())
}

/// One event of every kind, with every field filled.
fn examples() -> Vec<Event> {
    vec![
        ConversationStarted {
            model: Some("claude-opus-4".into()),
            provider: Some("anthropic".into()),
            source: Some("chatgpt".into()),
            from: None,
            origin: Private::Known(Some(Origin { id: "c-1".into(), kept: Some("{\"gizmo_id\":\"g\"}".into()) })),
        }
        .into(),
        ConversationTitled { title: known("A title") }.into(),
        ConversationFavorited {}.into(),
        ConversationUnfavorited {}.into(),
        ConversationTagged { tokens: vec![TOKEN], tags: Private::Known(vec!["Work".into()]) }.into(),
        ConversationUntagged { tokens: vec![TOKEN] }.into(),
        ConversationArchived {}.into(),
        ConversationUnarchived {}.into(),
        ConversationDeleted {}.into(),
        ConversationUndeleted {}.into(),
        restored(),
        message(),
        MessageHidden { message: MESSAGE, at: AT }.into(),
        MessageUnhidden { message: MESSAGE, at: AT }.into(),
        MessageRated {
            message: MESSAGE,
            at: AT,
            rating: Some(Rating::Down),
            comment: Private::Known(Some("Wrong".into())),
        }
        .into(),
        ModelSwitched { model: "gpt-5".into(), provider: Some("openai".into()) }.into(),
        BranchCreated { branch: BranchNumber(3), message: MESSAGE, at: AT, token: TOKEN, name: known("idea") }.into(),
        BranchRenamed { branch: BranchNumber(3), token: TOKEN, name: known("better idea") }.into(),
        BranchPreferred { branch: BranchNumber(3) }.into(),
        BranchAbandoned { branch: BranchNumber(3) }.into(),
        BranchResumed { branch: BranchNumber(3) }.into(),
        BranchChosen { branch: BranchNumber(3), over: vec![BranchNumber(1), BranchNumber(2)] }.into(),
        SnapshotTaken {
            id: MESSAGE.into(),
            version: Version(12),
            trigger: Trigger::Manual,
            files: vec![FileChange { digest: [0xab; 32], action: FileAction::Renamed }],
            label: Private::Known(Some("before the rewrite".into())),
            paths: Private::Known(vec!["notes/today.md".into()]),
        }
        .into(),
        SnapshotThinned { snapshots: vec![MESSAGE.into()] }.into(),
        SnapshotConfigured {
            policy: SnapshotPolicy {
                auto_hourly: Some(false),
                before_change: Some(true),
                cost_limit_usd: Some("2.50".parse().expect("a decimal")),
                token_limit: Some(100_000),
            },
        }
        .into(),
        MaskingConfigured {
            kinds: [Personal::Name, Personal::Secret].into(),
            before_sealing: true,
            names: Private::Known(vec!["Ada".into()]),
        }
        .into(),
        AccountRegistered { email: known("ada@example.org") }.into(),
        AccountForgetRequested { due: "2026-11-24T12:00:00Z".parse().expect("a time"), by: Requester::Subject }.into(),
        AccountForgetCancelled {}.into(),
        AccountForgetStarted {
            keys: vec![DeadKey { generation: 1, commitment: "ab".repeat(32) }],
            words: WordsGone { events: 3, parts: 4, positions: "cd".repeat(32) },
            removes: vec![Removed { store: "search".into(), count: 3 }],
        }
        .into(),
        AccountForgotten { epoch: 2, started: Position(9), backups_days: None }.into(),
        AccountHeld { reason: known("case 12") }.into(),
        AccountReleased { reason: known("settled") }.into(),
        AccountRead {
            what: Reading::Conversation,
            conversation: Some(ConversationId(Uuid::from_u128(3))),
            reason: Private::Known(Some("a complaint".into())),
        }
        .into(),
        ExportRequested { id: MESSAGE.into(), masked: true }.into(),
        ExportMade {
            export: MESSAGE.into(),
            size: 120,
            bytes: 4_096,
            sha256: "ab".repeat(32),
            expires: "2026-12-01T12:00:00Z".parse().expect("a time"),
        }
        .into(),
        ExportFetched { export: MESSAGE.into() }.into(),
        ExportExpired { export: MESSAGE.into() }.into(),
        MessageForgotten { message: MESSAGE, at: AT }.into(),
        ConversationForgotten {}.into(),
        ConversationExpired { keeps: Some(Class::Money), events: 12, left: "ab".repeat(32) }.into(),
        SubjectKeyCreated { subject: SubjectId(Uuid::from_u128(2)), generation: 1, commitment: "ab".repeat(32) }.into(),
        SubjectKeyDestroyed {
            subject: SubjectId(Uuid::from_u128(2)),
            generation: 1,
            epoch: 3,
            through: Position(8),
            backups_days: Some(35),
        }
        .into(),
        ProjectionSkipped { projection: "usage".into(), position: Position(7), reason: known("broken") }.into(),
        RetentionConfigured { policy: Some(lifetimes()) }.into(),
        RetentionAnnounced {
            due: DateTime::UNIX_EPOCH,
            policy: lifetimes(),
            words: vec![lapsed()],
            conversations: vec![],
        }
        .into(),
        RetentionUndone { announced: Version(4), by: Requester::Subject }.into(),
        RetentionApplied {
            announced: Version(4),
            through: Position(9),
            words: vec![lapsed()],
            conversations: 0,
            more: false,
        }
        .into(),
    ]
}

fn lifetimes() -> RetentionPolicy {
    let kinds = [("conversation.titled".into(), None), ("message.appended".into(), Some(30))].into();
    RetentionPolicy { words: Some(365), kinds, facts: Some(3_650), money: Some(4_000), undo: 7 }
}

fn lapsed() -> Lapsed {
    Lapsed {
        kind: "message.appended".into(),
        after: Position(2),
        through: Position(9),
        events: 3,
        parts: 4,
        bytes: 512,
        first: DateTime::UNIX_EPOCH,
        last: DateTime::UNIX_EPOCH,
    }
}

fn message() -> Event {
    let text = |text: &str| Some(text.to_owned());
    let parts = vec![
        Part::text("See the picture."),
        Part::Reasoning { content: "Hm.".into(), signature: text("c2ln") },
        Part::ToolCall { id: text("t1"), name: "look".into(), arguments: "{\"at\": 1.0".into() },
        Part::ToolCallResponse { id: text("t1"), response: "seen".into() },
        Part::Blob { modality: Modality::Image, mime_type: text("image/png"), content: "iVBORw==".into() },
        Part::File { modality: Modality::Document, mime_type: None, file_id: "file-1".into(), name: text("a.pdf") },
        Part::Uri { modality: Modality::Audio, mime_type: None, uri: "https://example.org/a.ogg".into() },
        Part::Opaque { source_type: "canvas".into(), content: "{\"x\":1}".into() },
    ];
    MessageAppended {
        id: MESSAGE,
        place: AT,
        fork: Some(Place { segment: Segment(1), depth: Depth(4) }),
        branch: BranchNumber(3),
        role: Role::Assistant,
        bytes: parts.iter().map(Part::size_bytes).sum::<usize>() as u64,
        shape: parts.iter().map(Part::kind).collect(),
        language: None,
        revises: Some(MessageId(Uuid::from_u128(9))),
        model: text("claude-opus-4"),
        provider: text("anthropic"),
        usage: Some(Usage {
            input: Some(1_200),
            output: Some(345),
            cache_read: Some(1_000),
            cache_write_5m: Some(100),
            cache_write_1h: Some(50),
            reasoning: Some(45),
        }),
        cost_usd: Some("0.012500".parse().expect("a decimal")),
        latency_ms: Some(2_345),
        finish_reason: text("end_turn"),
        origin: None,
        parts: Private::Known(parts),
        verbatim: Private::Known(text("{\"input_tokens\":200}")),
    }
    .into()
}

fn restored() -> Event {
    ConversationRestored {
        to: Version(7),
        title: Some(Version(0)),
        tags: Some(BTreeMap::from([(TOKEN, Version(4))])),
        favorited: Some(true),
        archived: Some(false),
        model: Some(Some("gpt-5".into())),
        provider: Some(None),
        preferred: Some(BranchNumber(1)),
        branches: vec![
            BranchRestored { branch: BranchNumber(1), tip: None, name: Version(0), token: None, abandoned: false },
            BranchRestored {
                branch: BranchNumber(2),
                tip: Some(AT),
                name: Version(6),
                token: Some(TOKEN),
                abandoned: true,
            },
        ],
        messages: vec![
            MessageRestored { at: AT, hidden: true, rating: Some(Rating::Up), comment: Version(5) },
            MessageRestored { at: AT, hidden: false, rating: None, comment: Version(0) },
        ],
    }
    .into()
}

/// What some kinds can be as well, with fields that exclude those of their example: by the name of the file.
fn others() -> Vec<(&'static str, Event)> {
    let conversation = ConversationId(Uuid::from_u128(3));
    let Event::MessageAppended(message) = message() else { panic!("a message is a message") };
    let grafted = MessageAppended {
        bytes: 0,
        shape: vec![PartKind::Text],
        language: Some("eng".into()),
        revises: None,
        usage: None,
        cost_usd: None,
        latency_ms: None,
        origin: Some(Elsewhere { conversation, message: MESSAGE }),
        parts: Private::Known(Vec::new()),
        verbatim: Private::Known(None),
        ..message
    };
    let from = Some(Ancestor { conversation, message: MESSAGE, at: AT });
    let begun = ConversationStarted { model: None, provider: None, source: None, from, origin: Private::Known(None) };
    let automatic = SnapshotTaken {
        id: MESSAGE.into(),
        version: Version(12),
        trigger: Trigger::BeforeChange,
        files: Vec::new(),
        label: Private::Known(None),
        paths: Private::Known(Vec::new()),
    };
    let resting = Resting {
        class: Class::Facts,
        after: Position(0),
        through: Position(9),
        conversations: 2,
        events: 7,
        first: DateTime::UNIX_EPOCH,
        last: DateTime::UNIX_EPOCH,
    };
    let money = Resting { class: Class::Money, conversations: 1, events: 3, ..resting.clone() };
    let conversations = vec![resting, money];
    let due = DateTime::UNIX_EPOCH;
    let resting = RetentionAnnounced { due, policy: lifetimes(), words: Vec::new(), conversations };
    let (announced, through) = (Version(4), Position(9));
    let applied = RetentionApplied { announced, through, words: Vec::new(), conversations: 2, more: true };
    let read = AccountRead { what: Reading::Search, conversation: None, reason: Private::Known(None) };
    vec![
        ("message.appended.v1.grafted", grafted.into()),
        ("conversation.started.v1.from", begun.into()),
        ("snapshot.taken.v1.automatic", automatic.into()),
        ("account.read.v1.unreasoned", read.into()),
        ("retention.configured.v1.default", RetentionConfigured { policy: None }.into()),
        ("conversation.expired.v1.whole", ConversationExpired { keeps: None, events: 2, left: "cd".repeat(32) }.into()),
        ("retention.announced.v1.resting", resting.into()),
        ("retention.applied.v1.more", applied.into()),
        ("conversation.restored.v1.little", ConversationRestored { to: Version(7), ..Default::default() }.into()),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events")
}

fn wire(event: &Event) -> Value {
    let words: BTreeMap<String, Value> = event
        .words()
        .iter()
        .map(|words| (words.part.to_string(), serde_json::from_slice(&words.plain).expect("words are JSON")))
        .collect();
    let place = event.place().map(|at| json!({"segment": at.segment, "depth": at.depth}));
    json!({"kind": event.kind(), "version": event.version(), "place": place, "facts": event.facts(), "words": words})
}

#[test]
fn every_event_is_written_as_its_golden_file_says() {
    let examples = examples();
    assert_eq!(examples.iter().map(|event| (event.kind(), event.version())).collect::<Vec<_>>(), KINDS);
    let named = examples.into_iter().map(|event| (format!("{}.v{}", event.kind(), event.version()), event));
    for (name, event) in named.chain(others().into_iter().map(|(name, event)| (name.to_owned(), event))) {
        let path = folder().join(format!("{name}.json"));
        let written = serde_json::to_string_pretty(&wire(&event)).expect("plain JSON") + "\n";
        if !path.exists() {
            fs::write(&path, &written).expect("the folder takes a new file");
            panic!("{} was missing: it is written now; read it, and commit it if it is right", path.display());
        }
        let golden = fs::read_to_string(&path).expect("golden files are text");
        assert_eq!(written, golden, "{} may not change: give the event another version", path.display());
    }
}

#[test]
fn whatever_says_something_in_a_conversation_can_have_a_lifetime() {
    let says = |event: &Event| !event.words().is_empty();
    // The address and the reasons to hold an account, names that are masked, and reasons to skip an event of a view.
    let elsewhere =
        |event: &Event| ["account.", "masking.", "projection."].iter().any(|kind| event.kind().starts_with(kind));
    let mut saying: Vec<_> =
        examples().iter().filter(|event| says(event) && !elsewhere(event)).map(Event::kind).collect();
    let mut known = SAYING.to_vec();
    saying.sort_unstable();
    known.sort_unstable();
    assert_eq!(saying, known);
}

#[test]
fn every_golden_file_still_reads() {
    let mut examples = examples();
    examples.extend(others().into_iter().map(|(_, event)| event));
    let mut read = 0;
    for entry in fs::read_dir(folder()).expect("the folder is there").flatten() {
        let golden: Value =
            serde_json::from_slice(&fs::read(entry.path()).expect("a file")).expect("golden files are JSON");
        let kind = golden["kind"].as_str().expect("a kind");
        let version = golden["version"].as_u64().and_then(|version| u16::try_from(version).ok()).expect("a version");
        let place = serde_json::from_value(golden["place"].clone()).expect("a place or null");
        let id = EventId::from(MESSAGE);
        let mut event = Event::read(kind, version, id, place, &golden["facts"]).expect("it reads");
        for (part, words) in golden["words"].as_object().expect("words by part") {
            let plain = serde_json::to_vec(words).expect("plain JSON");
            event.open(part.parse().expect("a number"), Private::Known(&plain)).expect("its words read");
        }
        assert!(examples.contains(&event), "{} reads as {event:?}", entry.path().display());
        read += 1;
    }
    assert!(read >= KINDS.len());
}
