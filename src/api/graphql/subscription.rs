//! Subscriptions. Those to events go from a cursor on: first what was, then what comes, without a hole.

use async_graphql::{Context, ID, Result, Subscription as Subscribe};
use futures::{Stream, StreamExt as _};

use super::asker::{Asker, problem, shared, trouble};
use super::cursor::Cursor;
use super::event::{Event, EventFilter, mark};
use super::id::Name;
use super::items::LastCursor;
use super::query::ProjectionStatus;
use crate::event::{Position, StreamId};
use crate::service::Watched;

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
    let last = context.data_opt::<LastCursor>().cloned().unwrap_or_default();
    let after = last.seen().map(Cursor).or(after);
    let after = after.map(|cursor| asker.take(&cursor)).transpose()?.map_or(Position(0), |mark| mark.position);
    let events = match seen {
        Some((stream, kinds)) => asker.service.watch(asker.actor, after, Watched { stream, kinds }).boxed(),
        None => futures::stream::pending().boxed(),
    };
    Ok(events.map(move |opened| {
        let opened = opened.map_err(|error| trouble(&error))?;
        last.set(asker.give(&mark(opened.recorded.position)).0);
        Ok(Event(opened))
    }))
}
