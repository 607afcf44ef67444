//! What a subscription shows, item by item, whichever transport carries it.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Value;
use futures::stream::{BoxStream, Stream};
use futures::{StreamExt as _, stream};

use super::answer::Answer;

/// One step of a subscription.
pub(super) enum Item {
    /// An item, and where to resume after it, if its subscription can be resumed. The answer says so too, as
    /// `extensions.cursor`.
    Shown { answer: Answer, cursor: Option<String> },
    /// One that could not be shown, which is the last: to go on would be a hole that nobody sees, and the client can
    /// resume before it.
    Failed(Answer),
}

/// The items that `answers` hold. `last` is what their subscription tells its place by.
pub(super) fn items(
    answers: impl Stream<Item = Answer> + Send + 'static,
    last: LastCursor,
) -> BoxStream<'static, Item> {
    let state = Some((answers.boxed(), Counted::new()));
    let items = stream::unfold(state, move |state| {
        let last = last.clone();
        async move {
            let (mut answers, counted) = state?;
            let item = Item::of(answers.next().await?, last.get());
            let goes_on = matches!(item, Item::Shown { .. });
            Some((item, goes_on.then_some((answers, counted))))
        }
    });
    items.boxed()
}

impl Item {
    fn of(mut answer: Answer, cursor: Option<String>) -> Self {
        if answer.data.as_ref().is_none_or(|data| *data == Value::Null) {
            return Self::Failed(answer);
        }
        if let Some(cursor) = &cursor {
            answer.extensions.insert("cursor".to_owned(), Value::from(cursor.as_str()));
        }
        Self::Shown { answer, cursor }
    }
}

/// The cursor of the item that a subscription yields: where to resume after it.
///
/// A subscription's stream takes it from its context (the gate puts it there) and sets it with each item, in its last
/// step, so that it and the item leave together.
#[derive(Clone, Default)]
pub struct LastCursor {
    seen: Option<String>,
    last: Arc<Mutex<Option<String>>>,
}

impl LastCursor {
    pub(super) fn behind(seen: Option<String>) -> Self {
        Self { seen, last: Arc::default() }
    }

    /// The cursor of the last item that the client saw before it was cut: the subscription resumes there, wherever its
    /// arguments say to begin.
    pub fn seen(&self) -> Option<String> {
        self.seen.clone()
    }

    pub fn set(&self, cursor: String) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
    }

    fn get(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running subscription, as the metrics count it.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("graphql_subscriptions").increment(1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("graphql_subscriptions").decrement(1);
    }
}
