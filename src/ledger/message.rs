//! The rules for messages: where each goes, and what may be thought of it.

use rust_decimal::Decimal;

use super::{Bound, Branch, Conversation, Node, Refusal, language};
use crate::event::{
    BranchNumber, Event, MessageAppended, MessageHidden, MessageId, MessageRated, MessageUnhidden, Part, Place,
    Private, Rating, Role, Usage, Version,
};

/// A message as its sayer gives it.
#[derive(Debug, Clone)]
pub struct AppendMessage {
    pub id: MessageId,
    pub below: Below,
    pub role: Role,
    pub parts: Vec<Part>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub usage: Option<Usage>,
    pub cost_usd: Option<Decimal>,
    pub latency_ms: Option<u64>,
    pub finish_reason: Option<String>,
    pub verbatim: Option<String>,
}

/// What a message is said below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// The tip of the preferred branch.
    Preferred,
    /// The tip of this branch.
    Branch(BranchNumber),
    /// This message: a branch whose tip it is goes on, else a new, unnamed one begins.
    Message(MessageId),
    /// Nothing, or what the conversation goes on below: it is a root.
    Root,
}

/// Another wording of a message that was said.
#[derive(Debug, Clone)]
pub struct EditMessage {
    pub id: MessageId,
    /// The message that is revised. It stays as it is; the new wording is its sibling, on a new branch.
    pub message: MessageId,
    pub parts: Vec<Part>,
}

impl AppendMessage {
    /// A message that is all text.
    pub fn text(id: MessageId, role: Role, text: impl Into<String>) -> Self {
        Self {
            id,
            below: Below::Preferred,
            role,
            parts: vec![Part::text(text)],
            model: None,
            provider: None,
            usage: None,
            cost_usd: None,
            latency_ms: None,
            finish_reason: None,
            verbatim: None,
        }
    }

    #[must_use]
    pub const fn below(mut self, below: Below) -> Self {
        self.below = below;
        self
    }
}

/// How a message is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rated {
    pub rating: Option<Rating>,
    /// The version of the event that judged it, which holds the comment if there is one.
    pub by: Version,
}

pub(super) fn append(state: &Conversation, message: AppendMessage) -> Result<Vec<Event>, Refusal> {
    state.growing()?;
    let (parent, branch) = below(state, message.below)?;
    said(state, message, parent, branch, None)
}

/// The message that something is said below, and the branch that goes on there.
pub(super) fn below(state: &Conversation, below: Below) -> Result<(Option<Place>, BranchNumber), Refusal> {
    let parent = match below {
        Below::Preferred => return Ok((state.open_tip(state.preferred)?, state.preferred)),
        Below::Branch(branch) => return Ok((state.open_tip(branch)?, branch)),
        Below::Message(above) => Some(state.message(above)?),
        Below::Root => None,
    };
    Ok((parent, state.branch_at(parent).unwrap_or_else(|| state.next_branch())))
}

pub(super) fn edit(state: &Conversation, edit: EditMessage) -> Result<Vec<Event>, Refusal> {
    state.growing()?;
    let revised = state.message(edit.message)?;
    let role = state.tree.node(revised).map_or(Role::User, |node| node.role);
    let message = AppendMessage { parts: edit.parts, ..AppendMessage::text(edit.id, role, "") };
    said(state, message, state.tree.parent(revised), state.next_branch(), Some(edit.message))
}

fn said(
    state: &Conversation,
    message: AppendMessage,
    parent: Option<Place>,
    branch: BranchNumber,
    revises: Option<MessageId>,
) -> Result<Vec<Event>, Refusal> {
    let bytes = bounded(&message)?;
    if state.tree.place(message.id).is_some() {
        return Err(Refusal::MessageExists { message: message.id });
    }
    let (place, fork) = state.tree.below(parent);
    Ok(vec![
        MessageAppended {
            id: message.id,
            place,
            fork,
            branch,
            role: message.role,
            bytes,
            shape: message.parts.iter().map(Part::kind).collect(),
            language: language::of(&message.parts),
            revises,
            model: message.model,
            provider: message.provider,
            usage: message.usage.filter(|usage| !usage.is_unknown()),
            cost_usd: message.cost_usd,
            latency_ms: message.latency_ms,
            finish_reason: message.finish_reason,
            origin: None,
            parts: Private::Known(message.parts),
            verbatim: Private::Known(message.verbatim),
        }
        .into(),
    ])
}

/// How many bytes a message says, if it keeps all bounds. A message of no parts is one: some turns only call a tool.
fn bounded(message: &AppendMessage) -> Result<u64, Refusal> {
    Bound::PARTS.count(message.parts.len())?;
    let bytes = message.parts.iter().map(Part::size_bytes).sum();
    Bound::MESSAGE.count(bytes)?;
    Bound::MESSAGE.count(message.verbatim.as_ref().map_or(0, String::len))?;
    for (bound, text) in [
        (Bound::MODEL, &message.model),
        (Bound::PROVIDER, &message.provider),
        (Bound::FINISH_REASON, &message.finish_reason),
    ] {
        text.as_deref().map_or(Ok(()), |text| bound.filled(text))?;
    }
    let counts = message.usage.iter().flat_map(Usage::counts).filter_map(|(_, count)| count).chain(message.latency_ms);
    for count in counts {
        Bound::COUNT.count(usize::try_from(count).unwrap_or(usize::MAX))?;
    }
    if message.cost_usd.is_some_and(|cost| cost.is_sign_negative() && !cost.is_zero()) {
        return Err(Refusal::Negative { what: "the cost" });
    }
    Ok(bytes as u64)
}

pub(super) fn hide(state: &Conversation, message: MessageId) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    let at = state.message(message)?;
    Ok(if state.hidden.contains(&at) { Vec::new() } else { vec![MessageHidden { message, at }.into()] })
}

pub(super) fn unhide(state: &Conversation, message: MessageId) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    let at = state.message(message)?;
    Ok(if state.hidden.contains(&at) { vec![MessageUnhidden { message, at }.into()] } else { Vec::new() })
}

pub(super) fn rate(
    state: &Conversation,
    message: MessageId,
    rating: Option<Rating>,
    comment: Option<String>,
) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    let at = state.message(message)?;
    comment.as_deref().map_or(Ok(()), |comment| Bound::COMMENT.filled(comment))?;
    if comment.is_none() && state.ratings.get(&at).and_then(|rated| rated.rating) == rating {
        return Ok(Vec::new());
    }
    Ok(vec![MessageRated { message, at, rating, comment: Private::Known(comment) }.into()])
}

pub(super) fn appended(state: &mut Conversation, appended: &MessageAppended) {
    state.tree.insert(Node { message: appended.id, role: appended.role }, appended.place, appended.fork);
    let tip = Some(appended.place);
    if let Some(branch) = state.branches.get_mut(appended.branch.index()) {
        branch.tip = tip;
    } else {
        let forked_from = state.tree.parent(appended.place);
        state.branches.push(Branch { tip, forked_from, ..Branch::default() });
    }
    state.totals.add(appended.cost_usd, appended.usage.as_ref());
}

pub(super) fn rated(state: &mut Conversation, rated: &MessageRated) {
    state.ratings.insert(rated.at, Rated { rating: rated.rating, by: state.version });
}

impl Conversation {
    pub(super) fn message(&self, message: MessageId) -> Result<Place, Refusal> {
        self.tree.place(message).ok_or(Refusal::NoSuchMessage { message })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::*;
    use super::super::{Act, Tree};
    use super::*;
    use crate::event::{ConversationArchived, Event};

    fn places(tree: &Tree, names: &[u8]) -> Vec<(i32, i32)> {
        names.iter().map(|name| tree.place(id(*name)).map_or((0, 0), |at| (at.segment.0, at.depth.0))).collect()
    }

    #[test]
    fn an_archived_conversation_takes_no_message() {
        given([started(), ConversationArchived {}.into()]).when(say(1)).refused(Refusal::Archived);
    }

    #[test]
    fn messages_follow_one_another_in_one_segment() {
        let state = given([started()]).and(say(1)).and(say(2)).and(say(3)).state();
        assert_eq!(places(&state.tree, &[1, 2, 3]), [(1, 1), (1, 2), (1, 3)]);
        assert_eq!(state.branches.len(), 1);
    }

    #[test]
    fn a_second_answer_is_a_sibling_on_a_branch_of_its_own() {
        let state = given([started()]).and(say(1)).and(say(2)).and(say_below(1, 3)).and(say_below(3, 4)).state();
        assert_eq!(places(&state.tree, &[1, 2, 3, 4]), [(1, 1), (1, 2), (2, 2), (2, 3)]);
        assert_eq!(state.branches.len(), 2);
        assert_eq!(state.tree.path(state.branches[1].tip), [id(1), id(3), id(4)]);
        assert_eq!(state.tree.path(state.branches[0].tip), [id(1), id(2)]);
    }

    #[test]
    fn an_edit_leaves_what_it_revises_and_what_followed() {
        let edit = Act::Edit(EditMessage { id: id(9), message: id(1), parts: vec![Part::text("better")] });
        let state = given([started()]).and(say(1)).and(say(2)).and(edit).state();
        assert_eq!(places(&state.tree, &[1, 2, 9]), [(1, 1), (1, 2), (2, 1)]);
        assert_eq!(state.tree.path(state.branches[0].tip), [id(1), id(2)]);
        assert_eq!(state.tree.path(state.branches[1].tip), [id(9)]);
    }

    #[test]
    fn an_unknown_parent_a_used_id_and_a_negative_cost_are_refused() {
        let one = given([started()]).and(say(1));
        one.clone().when(say_below(7, 2)).refused(Refusal::NoSuchMessage { message: id(7) });
        one.clone().when(say(1)).refused(Refusal::MessageExists { message: id(1) });
        let cost_usd = Some(Decimal::new(-1, 2));
        let message = AppendMessage { cost_usd, ..AppendMessage::text(id(2), Role::User, "x") };
        one.when(Act::Append(message)).refused(Refusal::Negative { what: "the cost" });
    }

    #[test]
    fn facts_carry_no_words() {
        let happened = given([started()]).when(say(1)).events();
        let Event::MessageAppended(appended) = &happened[0] else { panic!("a message was appended") };
        assert!(!happened[0].facts().to_string().contains("message 1"));
        assert_eq!(appended.bytes, "message 1".len() as u64);
    }
}
