//! Replaying: a conversation as it happened, at its own pace or as fast as it is read, and then as it goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

use super::{Actor, Opened, Service, Trouble, Watched};
use crate::database::within;
use crate::event::{ConversationId, Position};
use crate::view::event::EventFilter;

/// The longest pause between two events, however long it was.
pub const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Events in one read.
const PAGE: u32 = 200;
/// How long a read may take; then its connection counts as cut.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// How many times faster than it happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed(f64);

impl Speed {
    /// None unless it is positive and finite.
    pub fn new(times: f64) -> Option<Self> {
        (times.is_finite() && times > 0.0).then_some(Self(times))
    }

    /// How long what happened at `later` is waited for after what happened at `earlier`. An import may run backwards.
    fn pause(self, earlier: DateTime<Utc>, later: DateTime<Utc>) -> Duration {
        let gap = (later - earlier).to_std().unwrap_or_default().as_secs_f64();
        Duration::from_secs_f64((gap / self.0).min(PAUSE_MAX.as_secs_f64()))
    }
}

/// What is replayed, and how.
#[derive(Debug, Clone, Copy)]
pub struct Replay {
    pub conversation: ConversationId,
    /// Only what came after this.
    pub after: Position,
    /// As fast as it is read when there is none.
    pub speed: Option<Speed>,
    /// Whether it goes on with what comes, once all that was is told.
    pub follow: bool,
}

impl Service {
    /// The events of a conversation in order, without a hole or a repeat. It ends behind the last one, or never when it
    /// follows; and after an error.
    pub fn replay(
        &self,
        actor: Actor,
        replay: Replay,
    ) -> impl Stream<Item = Result<Arc<Opened>, Trouble>> + Send + use<> {
        let service = self.clone();
        let playing = Playing { service, actor, replay, ready: VecDeque::new(), shown: None, then: Then::Read };
        stream::unfold(playing, |mut playing| async move {
            let next = playing.next().await?;
            Some((next, playing))
        })
    }
}

struct Playing {
    service: Service,
    actor: Actor,
    /// `after` moves with what is read.
    replay: Replay,
    /// Read and opened, the next one first.
    ready: VecDeque<Arc<Opened>>,
    /// When what was shown last happened, and when it was shown.
    shown: Option<(DateTime<Utc>, Instant)>,
    then: Then,
}

/// What is done once nothing is ready.
enum Then {
    Read,
    /// All up to this position was read.
    GoOn(Position),
    Live(BoxStream<'static, Result<Arc<Opened>, Trouble>>),
    End,
}

impl Playing {
    async fn next(&mut self) -> Option<Result<Arc<Opened>, Trouble>> {
        loop {
            if let Some(opened) = self.ready.pop_front() {
                self.pause(opened.recorded.fact.occurred_at).await;
                return Some(Ok(opened));
            }
            match &mut self.then {
                Then::Read => {
                    if let Err(trouble) = self.read().await {
                        self.then = Then::End;
                        return Some(Err(trouble));
                    }
                }
                Then::GoOn(position) if self.replay.follow => {
                    let watched = Watched { stream: Some(self.replay.conversation.into()), kinds: Vec::new() };
                    self.then = Then::Live(self.service.watch(self.actor, *position, watched).boxed());
                }
                Then::Live(live) => return live.next().await,
                Then::GoOn(_) | Then::End => return None,
            }
        }
    }

    async fn read(&mut self) -> Result<(), Trouble> {
        // The head is read first: what comes while the page is read is not missed, only seen later.
        let head = within(READ_WITHIN, self.service.log.head()).await?;
        let filter = EventFilter { stream: Some(self.replay.conversation.into()), kinds: Vec::new(), last: None };
        let events = self.service.events(self.actor, &filter, self.replay.after, PAGE);
        let events = within(READ_WITHIN, events).await?;
        if let Some(last) = events.last() {
            self.replay.after = last.recorded.position;
        }
        if events.len() < PAGE as usize {
            self.then = Then::GoOn(self.replay.after.max(head));
        }
        self.ready = events.into();
        Ok(())
    }

    /// Waits until what happened at `at` is due. Time that the reader took counts.
    async fn pause(&mut self, at: DateTime<Utc>) {
        if let Some((speed, (earlier, shown))) = self.replay.speed.zip(self.shown) {
            sleep_until(shown + speed.pause(earlier, at)).await;
        }
        self.shown = Some((at, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_speed_is_positive_and_finite() {
        for none in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Speed::new(none), None);
        }
    }

    #[test]
    fn twice_as_fast_is_half_the_pause() {
        let (noon, speed) = (DateTime::UNIX_EPOCH, Speed::new(2.0).expect("a speed"));
        assert_eq!(speed.pause(noon, noon + TimeDelta::seconds(3)), Duration::from_millis(1_500));
        assert_eq!(speed.pause(noon, noon + TimeDelta::days(3)), PAUSE_MAX);
        assert_eq!(speed.pause(noon, noon - TimeDelta::days(3)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_the_longest(from in any::<i32>(), to in any::<i32>(), times in f64::MIN_POSITIVE..) {
            let at = |second: i32| DateTime::from_timestamp(second.into(), 0).expect("a time in range");
            prop_assert!(Speed::new(times).expect("a speed").pause(at(from), at(to)) <= PAUSE_MAX);
        }
    }
}
