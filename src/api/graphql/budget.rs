//! What one viewer may ask for in a minute, over all of its requests and sockets, by the schema's own reckoning: the
//! limits of one document say nothing about how many of them come.

use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::{ServerError, ValidationResult, async_trait};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::answer;
use super::gate::Viewer;

/// Complexity in a minute: of three hundred documents as large as they may be, or of an append in the millisecond.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(6_000_000).expect("not zero");
/// Complexity at once, after a while of asking little.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not zero");
/// Viewers remembered before those who ask no more are forgotten.
const VIEWERS_MAX: usize = 10_000;

/// Counts what each `V` asks for.
pub struct Budget<V: Viewer> {
    spent: Arc<DefaultKeyedRateLimiter<V>>,
}

impl<V: Viewer> Budget<V> {
    pub fn new() -> Self {
        Self::of(Quota::per_minute(PER_MINUTE).allow_burst(AT_ONCE))
    }

    fn of(quota: Quota) -> Self {
        Self { spent: Arc::new(DefaultKeyedRateLimiter::keyed(quota)) }
    }
}

impl<V: Viewer> ExtensionFactory for Budget<V> {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Till { spent: Arc::clone(&self.spent), viewer: PhantomData::<V> })
    }
}

/// Charges one document, once it is known what it costs and before any of it is done.
struct Till<V: Viewer> {
    spent: Arc<DefaultKeyedRateLimiter<V>>,
    viewer: PhantomData<V>,
}

#[async_trait::async_trait]
impl<V: Viewer> Extension for Till<V> {
    async fn validation(
        &self,
        context: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let valid = next.run(context).await?;
        let cost = u32::try_from(valid.complexity).ok().and_then(NonZeroU32::new);
        if let Some((viewer, cost)) = context.data_opt::<V>().zip(cost) {
            if self.spent.len() > VIEWERS_MAX {
                self.spent.retain_recent();
            }
            match self.spent.check_key_n(viewer, cost) {
                Ok(Ok(())) => {}
                Ok(Err(not_until)) => return Err(vec![over(not_until.wait_time_from(DefaultClock::default().now()))]),
                // Dearer than all that may be spent at once: the limit of one document is lower than that.
                Err(_) => return Err(vec![over(Duration::from_mins(1))]),
            }
        }
        Ok(valid)
    }
}

fn over(wait: Duration) -> ServerError {
    answer::rate_limited("this account asks for more than it may in a minute; ask for less, or more slowly", wait)
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Request, Schema, Value};

    use super::*;
    use crate::api::graphql::answer::code;

    struct Query;

    #[Object]
    impl Query {
        #[graphql(complexity = 10)]
        async fn dear(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn each_viewer_has_a_budget_of_its_own() {
        let ten = |count: u32| NonZeroU32::new(10 * count).expect("not zero");
        let budget = Budget::<u8>::of(Quota::per_minute(ten(1)).allow_burst(ten(2)));
        let schema = Schema::build(Query, EmptyMutation, EmptySubscription).extension(budget).finish();
        let ask = async |viewer: u8, query: &str| schema.execute(Request::new(query).data(viewer)).await.into_result();
        for _ in 0..2 {
            assert!(ask(1, "{ dear }").await.is_ok());
        }
        let refused = ask(1, "{ dear }").await.expect_err("the budget is spent").remove(0);
        let extensions = refused.extensions.expect("a code");
        assert_eq!(extensions.get("code"), Some(&Value::from(code::RATE_LIMITED)));
        assert_eq!(extensions.get("retryAfter"), Some(&Value::from(60)));
        assert!(ask(2, "{ dear }").await.is_ok(), "another's budget is not touched");
        assert!(ask(2, "{ a: dear b: dear c: dear }").await.is_err(), "more than there ever is at once");
    }
}
