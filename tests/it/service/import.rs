//! Real exports, taken in: all that they hold, once.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;

use convoledger::event::{Event, Position, Private, Version};
use convoledger::format::{self, Transcript};
use convoledger::service::{Actor, Imported, Message, Service};
use convoledger::view::Slice;
use convoledger::view::conversation::{ConversationRow, Filter, Order, Status};
use serde_json::Value;

use crate::support::service::Stand;

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"))
}

/// What an independent count says of each file.
fn counted() -> BTreeMap<String, Value> {
    let counted = fs::read(fixtures().join("expected.json")).expect("a file");
    serde_json::from_slice(&counted).expect("counts by file")
}

fn transcripts(file: &str) -> Vec<Transcript> {
    let export = format::open(&fixtures().join(file)).expect("an export");
    export.map(|transcript| transcript.expect("a conversation")).collect()
}

fn all() -> Vec<Transcript> {
    counted().keys().flat_map(|file| transcripts(file)).collect()
}

/// Imports all of `transcripts` and says how many messages were new.
async fn import(service: &Service, actor: Actor, transcripts: Vec<Transcript>) -> u64 {
    let mut new = 0;
    for transcript in transcripts {
        let messages = transcript.messages.len() as u64;
        match service.import(actor, transcript).await.expect("an answer") {
            Imported::Taken { appended, already_there, .. } => {
                assert_eq!(appended + already_there, messages);
                new += appended;
            }
            Imported::Refused(reason) => panic!("{reason}"),
        }
    }
    new
}

async fn conversations(stand: &Stand, actor: Actor) -> Vec<ConversationRow> {
    stand.folded(actor).await;
    let filter = Filter { status: vec![Status::Active, Status::Archived, Status::Deleted], ..Filter::default() };
    let page = stand
        .service
        .list(actor, &filter, Order::default(), &Slice::first(1_000), true, Position::LATEST)
        .await
        .expect("a page");
    assert_eq!(page.total, Some(page.rows.len() as u64));
    page.rows
}

/// All messages of a conversation, found from the roots downwards, and how many stand below each; first those below none.
async fn tree(service: &Service, actor: Actor, conversation: &ConversationRow) -> (Vec<Message>, Vec<usize>) {
    let (mut found, mut below) = (Vec::new(), Vec::new());
    let mut open = VecDeque::from([None]);
    while let Some(parent) = open.pop_front() {
        let mut children =
            service.children(actor, &[(conversation.id, parent)], Position::LATEST).await.expect("children");
        let children = children.remove(&(conversation.id, parent)).expect("an answer");
        below.push(children.len());
        open.extend(children.iter().map(|child| Some(child.place)));
        found.extend(children);
    }
    (found, below)
}

/// Conversations, messages, branch points and leaves, as the view has them.
async fn shape(stand: &Stand, actor: Actor) -> [u64; 4] {
    let mut shape = [0; 4];
    for conversation in conversations(stand, actor).await {
        let (messages, below) = tree(&stand.service, actor, &conversation).await;
        assert_eq!(conversation.message_count, messages.len() as u64);
        let leaves = below.iter().filter(|children| **children == 0).count() as u64;
        let mut branches =
            stand.service.branches_of(actor, &[conversation.id], Position::LATEST).await.expect("branches");
        assert_eq!(branches.remove(&conversation.id).expect("branches").len() as u64, leaves, "a branch a leaf");
        let points = below.iter().filter(|children| **children > 1).count() as u64;
        for (sum, count) in shape.iter_mut().zip([1, conversation.message_count, points, leaves]) {
            *sum += count;
        }
    }
    shape
}

async fn head(stand: &Stand) -> Position {
    stand.service.log().head().await.expect("a head")
}

#[tokio::test]
async fn every_fixture_is_in_the_view_as_an_independent_count_says() {
    let stand = Stand::new().await;
    for (file, counted) in counted() {
        let actor = stand.actor(&format!("{}@example.org", file.replace('/', "."))).await;
        let count = |what: &str| counted[what].as_u64().expect("a count");
        let taken = transcripts(&file);
        assert_eq!(import(&stand.service, actor, taken.clone()).await, count("messages"), "{file}");
        let expected = ["conversations", "messages", "branch_points", "leaves"].map(count);
        assert_eq!(shape(&stand, actor).await, expected, "{file}");

        let before = head(&stand).await;
        assert_eq!(import(&stand.service, actor, taken.clone()).await, 0, "{file} again");
        assert_eq!(import(&stand.beside().await, actor, taken).await, 0, "{file} again, by another server");
        assert_eq!(head(&stand).await, before, "{file}");
    }
    stand.holds().await;
}

/// So what a conversation was at a moment of its own time is a prefix of its stream.
#[tokio::test]
async fn a_stream_lies_in_the_order_of_its_own_time() {
    let stand = Stand::new().await;
    let backwards = |transcript: &Transcript| {
        let at = |id: &str| transcript.messages.iter().find(|message| message.id == id).and_then(|message| message.at);
        transcript
            .messages
            .iter()
            .any(|message| message.parent.as_deref().is_some_and(|parent| message.at < at(parent)))
    };
    let (mut branched, mut behind) = (0, 0);
    for file in counted().keys() {
        // An account a file: some hold the same conversation, exported at another time.
        let actor = stand.actor(&format!("{}@example.org", file.replace('/', "."))).await;
        for transcript in transcripts(file) {
            let (branches, is_behind) = (transcript.counts().branch_points > 0, backwards(&transcript));
            let Imported::Taken { conversation, .. } =
                stand.service.import(actor, transcript).await.expect("an answer")
            else {
                panic!("it is taken")
            };
            let events = stand.service.missed(actor, conversation, Version(0), 10_000).await.expect("its events");
            let sorted = events.is_sorted_by_key(|opened| opened.recorded.fact.occurred_at);
            assert!(sorted || is_behind, "{conversation} of {file}");
            branched += u64::from(branches);
            behind += u64::from(is_behind);
        }
    }
    assert!(branched > 5 && behind < 5, "{branched} have branches, {behind} run backwards at their source");
}

#[tokio::test]
async fn a_later_export_appends_what_is_new() {
    let stand = Stand::new().await;
    let (actor, at_once) = (stand.actor("a@example.org").await, stand.actor("b@example.org").await);
    let mut messages = 0;
    for part in 1..=4 {
        let shorter = all().into_iter().map(|mut transcript| {
            let length = (transcript.messages.len() * part).div_ceil(4);
            transcript.messages.truncate(length);
            transcript.current = transcript.messages.last().map(|message| message.id.clone());
            transcript
        });
        let shorter: Vec<_> = shorter.collect();
        let now: u64 = shorter.iter().map(|transcript| transcript.messages.len() as u64).sum();
        assert_eq!(import(&stand.service, actor, shorter).await, now - messages, "part {part}");
        messages = now;
    }
    assert_eq!(import(&stand.service, at_once, all()).await, messages);
    assert_eq!(shape(&stand, actor).await, shape(&stand, at_once).await);
    stand.holds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_servers_that_import_one_export_at_once_append_it_once() {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let total: u64 = all().iter().map(|transcript| transcript.messages.len() as u64).sum();
    let imports = [stand.service.clone(), stand.beside().await]
        .map(|service| tokio::spawn(async move { import(&service, actor, all()).await }));
    let mut new = 0;
    for import in imports {
        new += import.await.expect("no panic");
    }
    assert_eq!(new, total);
    let alone = stand.actor("b@example.org").await;
    assert_eq!(import(&stand.service, alone, all()).await, total);
    assert_eq!(shape(&stand, actor).await, shape(&stand, alone).await);
    stand.holds().await;
}

#[tokio::test]
async fn the_words_of_a_destroyed_key_are_forgotten_and_the_log_still_verifies() {
    let stand = Stand::new().await;
    let (actor, stranger) = (stand.actor("a@example.org").await, stand.actor("b@example.org").await);
    for actor in [actor, stranger] {
        import(&stand.service, actor, all()).await;
        assert_eq!(forgotten(&stand, actor).await, Some(false));
    }
    assert_eq!(stand.service.vault().destroy(actor.owner().into()).await.expect("an erasure"), 1);
    assert_eq!(forgotten(&stand, actor).await, Some(true));
    assert_eq!(stand.service.email(actor).await.expect("an answer"), Private::Forgotten);
    assert_eq!(forgotten(&stand, stranger).await, Some(false), "others' words stay");
    stand.holds().await;
}

/// Whether all words of the actor are forgotten, or none: messages and titles.
async fn forgotten(stand: &Stand, actor: Actor) -> Option<bool> {
    let mut forgotten = Vec::new();
    for conversation in conversations(stand, actor).await {
        for message in tree(&stand.service, actor, &conversation).await.0 {
            let Event::MessageAppended(said) = &message.opened.event else { panic!("a message") };
            assert_eq!(said.parts.is_forgotten(), message.opened.forgotten);
            forgotten.push(message.opened.forgotten);
        }
        for titled in stand.service.events_at(actor, conversation.title_at.as_slice()).await.expect("events") {
            let Event::ConversationTitled(titled) = &titled.event else { panic!("a title") };
            forgotten.push(titled.title.is_forgotten());
        }
    }
    let first = *forgotten.first()?;
    assert!(forgotten.len() > 200);
    forgotten.iter().all(|one| *one == first).then_some(first)
}
