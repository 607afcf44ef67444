//! Subscriptions. Those to events go from a cursor on: first what was, then what comes, without a hole.

use std::sync::Arc;

use async_graphql::{Context, ID, Result, Subscription as Subscribe};
use futures::{Stream, StreamExt as _};

use super::asker::{Asker, bad_input, problem, shared, trouble};
use super::cursor::Cursor;
use super::event::{Event, EventFilter, mark};
use super::id::Name;
use super::items::LastCursor;
use super::query::ProjectionStatus;
use crate::event::{Position, StreamId};
use crate::service::{Opened, Replay, Speed, Trouble, Watched};

pub struct Subscription;

#[Subscribe]
impl Subscription {
    /// The asker's events after a cursor; without one, from the first.
    async fn events<'c>(
        &self,
        context: &Context<'c>,
        after: Option<Cursor>,
        filter: Option<EventFilter>,
    ) -> Result<impl Stream<Item = Result<Event>> + 'c> {
        let filter = filter.unwrap_or_default().resolve(&Asker::of(context))?;
        watch(context, after, filter)
    }

    /// The events of one conversation after a cursor; without one, from the first.
    async fn conversation<'c>(
        &self,
        context: &Context<'c>,
        id: ID,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + 'c> {
        let (owner, conversation) = Name::conversation(&id).map_err(problem)?;
        let seen = Asker::of(context).may_see(owner).then(|| (Some(StreamId::from(conversation)), Vec::new()));
        watch(context, after, seen)
    }

    /// A conversation as it happened, from a cursor on (without one, from its first event), and then as it goes on. `speed`
    /// is how many times faster than it happened, though no pause takes more than five seconds; without it, as fast as it
    /// is read.
    async fn replay<'c>(
        &self,
        context: &Context<'c>,
        id: ID,
        after: Option<Cursor>,
        speed: Option<f64>,
    ) -> Result<impl Stream<Item = Result<Event>> + 'c> {
        let asker = Asker::of(context);
        let (owner, conversation) = Name::conversation(&id).map_err(problem)?;
        let no_speed = || bad_input("`speed` is how many times faster than it happened: a positive, finite number");
        let speed = speed.map(|times| Speed::new(times).ok_or_else(no_speed)).transpose()?;
        let (after, last) = begin(context, after)?;
        let replay = Replay { conversation, after, speed, follow: true };
        let seen = asker.may_see(owner).then(|| asker.service.replay(asker.actor, replay));
        Ok(show(context, seen, last))
    }

    /// How far each view of the log has come: every one at once, then each when it has changed, twice a second at most.
    async fn projections<'c>(&self, context: &Context<'c>) -> impl Stream<Item = Result<ProjectionStatus>> + 'c {
        let progress = Asker::of(context).service.watch_projections();
        progress.map(|progress| progress.map(ProjectionStatus::from).map_err(shared))
    }
}

/// What the asker may not see is as if it were not there: a stream in which nothing happens.
fn watch<'c>(
    context: &Context<'c>,
    after: Option<Cursor>,
    seen: Option<(Option<StreamId>, Vec<String>)>,
) -> Result<impl Stream<Item = Result<Event>> + 'c> {
    let asker = Asker::of(context);
    let (after, last) = begin(context, after)?;
    let seen = seen.map(|(stream, kinds)| asker.service.watch(asker.actor, after, Watched { stream, kinds }));
    Ok(show(context, seen, last))
}

/// Where a subscription begins: behind what its client saw before it was cut, or else where it asks for.
fn begin(context: &Context<'_>, after: Option<Cursor>) -> Result<(Position, LastCursor)> {
    let last = context.data_opt::<LastCursor>().cloned().unwrap_or_default();
    let after = last.seen().map(Cursor).or(after);
    let after = after.map(|cursor| Asker::of(context).take(&cursor)).transpose()?;
    Ok((after.map_or(Position(0), |mark| mark.position), last))
}

/// The events as they are shown, each with where to resume behind it.
fn show<'c, Seen: Stream<Item = Result<Arc<Opened>, Trouble>> + Send + 'static>(
    context: &Context<'c>,
    seen: Option<Seen>,
    last: LastCursor,
) -> impl Stream<Item = Result<Event>> + use<'c, Seen> {
    let asker = Asker::of(context);
    let events = seen.map_or_else(|| futures::stream::pending().boxed(), |seen| seen.boxed());
    events.map(move |opened| {
        let opened = opened.map_err(|error| trouble(&error))?;
        last.set(asker.give(&mark(opened.recorded.position)).0);
        Ok(Event(opened))
    })
}
