//! The conversations of an archive, for people: all of one as JSON, and each of its branches as a page to read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::veil::Veil;
use super::{CameTo, ExportError, Making, Stage, Told};
use crate::archive::manifest::Counts;
use crate::archive::page::{self, Around, Head};
use crate::archive::work::Unit;
use crate::event::{
    BranchNumber, Depth, Event, MessageAppended, MessageId, Part, Place, Position, Private, Rating, Version,
};
use crate::service::{Actor, CONVERSATION, Message, Opened};
use crate::view::Slice;
use crate::view::branch::BranchRow;
use crate::view::conversation::{ConversationRow, Filter, Key, Order, Status};

/// Conversations in a unit at most, messages in one read, and how much a unit may hold before it ends.
const CONVERSATIONS: u32 = 50;
const PAGE: usize = 200;
const PAGE_OF_BRANCH: u32 = 100;
const UNIT_BYTES: u64 = 16 << 20;

impl Making<'_> {
    /// Some conversations, behind `after`; `number` is the first one's.
    pub(super) async fn put_conversations(
        &self,
        mut unit: Unit,
        actor: Actor,
        (mut after, mut number): (Option<Key>, u32),
        veil: &mut Veil,
        told: &mut Told<'_>,
    ) -> Result<(Unit, CameTo), ExportError> {
        self.view_is_there(actor, CONVERSATION).await?;
        let filter = Filter { status: vec![Status::Active, Status::Archived, Status::Deleted], ..Filter::default() };
        let slice = Slice { after, ..Slice::first(CONVERSATIONS) };
        let page = self.service.list(actor, &filter, Order::Oldest, &slice, false, self.at()).await?;
        let mut counts = Counts::default();
        let mut rest = page.rows.len();
        for row in page.rows {
            rest -= 1;
            after = Some(row.key(Order::Oldest));
            counts.conversations += 1;
            let one = One { making: self, actor, directory: format!("conversations/{number:06}"), row };
            unit = one.put(unit, veil, told, &mut counts).await?;
            number += 1;
            if unit.bytes() > UNIT_BYTES {
                break;
            }
        }
        let next = if rest > 0 || page.has_next { Stage::Conversations { after, number } } else { Stage::Pack };
        Ok((unit, CameTo { counts, next }))
    }
}

/// A conversation that is being written.
struct One<'a> {
    making: &'a Making<'a>,
    actor: Actor,
    directory: String,
    row: ConversationRow,
}

/// The words that stand outside of messages.
struct Names {
    title: Option<String>,
    tags: Vec<String>,
    branches: HashMap<BranchNumber, String>,
}

impl One<'_> {
    async fn put(
        &self,
        mut unit: Unit,
        veil: &mut Veil,
        told: &mut Told<'_>,
        counts: &mut Counts,
    ) -> Result<Unit, ExportError> {
        let (service, at) = (self.making.service, self.making.at());
        let mut branches = service.branches_of(self.actor, &[self.row.id], at).await?;
        let branches = branches.remove(&self.row.id).unwrap_or_default();
        counts.branches += branches.len() as u64;
        let names = self.names(&branches, veil).await?;
        unit.file(&format!("{}/conversation.json", self.directory))?;
        unit.write(self.head(&branches, &names)?.as_bytes())?;
        let (mut version, mut first) = (Version(0), true);
        let mut appended_to = HashMap::new();
        loop {
            let page = service.log.read_stream(self.actor.owner(), self.row.id.into(), version, PAGE).await?;
            let (whole, within) = (page.len() == PAGE, page.partition_point(|event| event.position <= at));
            let Some(last) = page.last() else { break };
            version = last.version;
            let said = page.iter().take(within).filter(|event| event.fact.kind == "message.appended");
            let ids: Vec<MessageId> = said.map(|event| event.fact.id.into()).collect();
            let messages = self.messages(&ids, veil).await?;
            let mut text = String::new();
            for (message, json) in &messages {
                text.push_str(if first { "\n    " } else { ",\n    " });
                text.push_str(&json.to_string());
                first = false;
                appended_to.insert(message.place, message.branch);
            }
            counts.messages += messages.len() as u64;
            told.add(within as u64);
            unit = super::written(unit, text.into_bytes()).await?;
            if !whole || within < PAGE {
                break;
            }
        }
        unit.write(b"\n  ]\n}\n")?;
        unit.end()?;
        for branch in &branches {
            unit = self.put_branch(unit, branch, &names, &appended_to, veil).await?;
        }
        Ok(unit)
    }

    /// The JSON of the conversation, up to its messages.
    fn head(&self, branches: &[BranchRow], names: &Names) -> Result<String, ExportError> {
        let row = &self.row;
        let place = |place: Option<Place>| place.map(|at| json!({ "segment": at.segment, "depth": at.depth }));
        let branches = branches.iter().map(|branch| {
            json!({
                "number": branch.number, "name": names.branches.get(&branch.number), "preferred": branch.preferred,
                "abandoned": branch.abandoned, "createdAt": branch.created_at, "tip": place(branch.tip),
                "forkedFrom": place(branch.forked_from), "messages": branch.message_count(),
                "file": file(branch.number),
            })
        });
        let head = json!({
            "id": row.id, "title": names.title, "tags": names.tags, "favorited": row.favorited,
            "status": match row.status {
                Status::Active => "active", Status::Archived => "archived", Status::Deleted => "deleted",
            },
            "model": row.model, "provider": row.provider, "source": row.source, "createdAt": row.created_at,
            "updatedAt": row.updated_at, "version": row.version, "preferredBranch": row.preferred,
            "goesOnFrom": row.from.map(|(id, at)| json!({ "conversation": id, "place": place(Some(at)) })),
            "messageCount": row.message_count, "tokensIn": row.tokens_in, "tokensOut": row.tokens_out,
            "costUsd": row.cost_usd, "branches": branches.collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&head).map_err(std::io::Error::from)?;
        let text = text.trim_end().trim_end_matches('}').trim_end();
        Ok(format!("{text},\n  \"messages\": ["))
    }

    /// Messages as they were at the moment of the archive, in the order of `ids`.
    async fn messages(&self, ids: &[MessageId], veil: &mut Veil) -> Result<Vec<(MessageAppended, Value)>, ExportError> {
        let found = self.making.service.messages(self.actor, ids, self.making.at()).await?;
        let comments = self.comments(&found, veil).await?;
        let mut found: HashMap<MessageId, Message> = found.into_iter().map(|message| (message.id(), message)).collect();
        let mut messages = Vec::with_capacity(ids.len());
        for message in ids.iter().filter_map(|id| found.remove(id)) {
            let Some(said) = said(&message, veil) else { continue };
            let comment = message.comment_at.and_then(|at| comments.get(&at));
            let recorded = &message.opened.recorded;
            let parts = said.parts.as_ref().known();
            let json = json!({
                "id": recorded.fact.id, "position": recorded.position, "version": recorded.version,
                "segment": message.place.segment, "depth": message.place.depth,
                "parent": message.parent.map(|at| json!({ "segment": at.segment, "depth": at.depth })),
                "branch": said.branch, "role": said.role, "occurredAt": recorded.fact.occurred_at,
                "recordedAt": recorded.recorded_at, "model": said.model, "provider": said.provider, "usage": said.usage,
                "costUsd": said.cost_usd, "latencyMs": said.latency_ms, "finishReason": said.finish_reason,
                "revises": said.revises, "origin": said.origin, "hidden": message.hidden, "rating": message.rating,
                "comment": comment, "forgotten": message.opened.forgotten, "parts": parts,
            });
            messages.push((said, json));
        }
        Ok(messages)
    }

    async fn put_branch(
        &self,
        mut unit: Unit,
        branch: &BranchRow,
        names: &Names,
        appended_to: &HashMap<Place, BranchNumber>,
        veil: &mut Veil,
    ) -> Result<Unit, ExportError> {
        let above = match (branch.forked_from, self.row.from) {
            (Some(at), _) => {
                let on = appended_to.get(&at).copied().unwrap_or(BranchNumber::MAIN);
                Some(format!("Messages 1 to {} are on the [branch that it forks off]({}).", at.depth, file(on)))
            }
            (None, Some((conversation, at))) => {
                Some(format!("Messages 1 to {} are in conversation {conversation}, from which it goes on.", at.depth))
            }
            (None, None) => None,
        };
        let head = Head {
            title: names.title.clone(),
            conversation: self.row.id.to_string(),
            branch: names.branches.get(&branch.number).cloned().unwrap_or_else(|| branch.number.to_string()),
            tags: names.tags.clone(),
            began: branch.created_at,
            above,
        };
        unit.file(&format!("{}/{}", self.directory, file(branch.number)))?;
        unit.write(head.text().as_bytes())?;
        let began = branch.forked_from.or(self.row.from.map(|(_, at)| at)).map_or(Depth(0), |at| at.depth);
        let mut after = began;
        loop {
            let slice = Slice::first(PAGE_OF_BRANCH).after(after);
            let page =
                self.making.service.page(self.actor, self.row.id, branch.number, &slice, self.making.at()).await?;
            let Some(page) = page else { break };
            let comments = self.comments(&page.rows, veil).await?;
            let mut text = String::new();
            for message in &page.rows {
                after = message.place.depth;
                let Some(said) = said(message, veil) else { continue };
                let around = Around {
                    at: message.opened.recorded.fact.occurred_at,
                    hidden: message.hidden,
                    rating: message.rating.map(|rating| if rating == Rating::Up { "up" } else { "down" }),
                    comment: message.comment_at.and_then(|at| comments.get(&at)).map(String::as_str),
                };
                text.push_str(&page::message(&said, &around));
            }
            unit = super::written(unit, text.into_bytes()).await?;
            if !page.has_next {
                break;
            }
        }
        unit.end()?;
        Ok(unit)
    }

    async fn names(&self, branches: &[BranchRow], veil: &mut Veil) -> Result<Names, ExportError> {
        let row = &self.row;
        let named = branches.iter().filter_map(|branch| branch.name.map(|(at, _)| at));
        let at: HashSet<Position> = row.title_at.into_iter().chain(row.tags.values().copied()).chain(named).collect();
        let at: Vec<Position> = at.into_iter().collect();
        let events = self.making.service.events_at(self.actor, &at).await?;
        let events: HashMap<Position, Arc<Opened>> =
            events.into_iter().map(|opened| (opened.recorded.position, opened)).collect();
        let title = row.title_at.and_then(|at| events.get(&at)).and_then(|opened| opened.event.text());
        let tags = row.tags.iter().filter_map(|(token, at)| match &events.get(at)?.event {
            Event::ConversationTagged(tagged) => {
                let nth = tagged.tokens.iter().position(|known| known == token)?;
                tagged.tags.as_ref().known()?.get(nth).cloned()
            }
            _ => None,
        });
        let mut tags: Vec<String> = tags.collect();
        tags.sort_unstable();
        let named = branches.iter().filter_map(|branch| {
            let (at, _) = branch.name?;
            Some((branch.number, events.get(&at)?.event.text()?))
        });
        Ok(Names {
            title: title.map(|title| veil.text(title)),
            branches: named.collect::<Vec<_>>().into_iter().map(|(number, name)| (number, veil.text(name))).collect(),
            tags: tags.into_iter().map(|tag| veil.text(tag)).collect(),
        })
    }

    async fn comments(&self, messages: &[Message], veil: &mut Veil) -> Result<HashMap<Position, String>, ExportError> {
        let at: Vec<Position> = messages.iter().filter_map(|message| message.comment_at).collect();
        if at.is_empty() {
            return Ok(HashMap::new());
        }
        let events = self.making.service.events_at(self.actor, &at).await?;
        let comments = events.into_iter().filter_map(|opened| {
            let text = opened.event.text()?;
            Some((opened.recorded.position, veil.text(text)))
        });
        Ok(comments.collect())
    }
}

/// What a message says, under the veil.
fn said(message: &Message, veil: &mut Veil) -> Option<MessageAppended> {
    let Event::MessageAppended(said) = &message.opened.event else { return None };
    let mut said = said.clone();
    if veil.is_drawn()
        && let Private::Known(parts) = &said.parts
    {
        let veiled = serde_json::to_value(parts).map(|parts| veil.value(parts));
        let veiled: Result<Vec<Part>, _> = veiled.and_then(serde_json::from_value);
        said.parts = veiled.map_or(Private::Forgotten, Private::Known);
    }
    Some(said)
}

fn file(branch: BranchNumber) -> String {
    format!("branch-{branch}.md")
}
