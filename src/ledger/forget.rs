//! The rules for forgetting one message, or all that was said in one conversation. What happened stays.

use super::{Conversation, Refusal};
use crate::event::{ConversationForgotten, Event, MessageForgotten, MessageId};

/// Takes the words of a message away, and what was thought of it. Nothing happens when they are gone and none came since.
pub(super) fn message(state: &Conversation, message: MessageId) -> Result<Vec<Event>, Refusal> {
    if !state.started {
        return Err(Refusal::NotStarted);
    }
    let at = state.message(message)?;
    let rated = state.ratings.get(&at).map_or(0, |rated| rated.by.0);
    let gone = state.forgotten_messages.get(&at).is_some_and(|since| since.0 > rated);
    Ok(if gone { Vec::new() } else { vec![MessageForgotten { message, at }.into()] })
}

/// Takes all words of a conversation away. Nothing happens when it said nothing since.
pub(super) fn conversation(state: &Conversation) -> Result<Vec<Event>, Refusal> {
    if !state.started {
        return Err(Refusal::NotStarted);
    }
    Ok(if state.forgotten == state.version { Vec::new() } else { vec![ConversationForgotten {}.into()] })
}
