//! The schema, put together.

use std::sync::Arc;

use async_graphql::dataloader::DataLoader;
use async_graphql::{MergedObject, Schema, SchemaBuilder};
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::cursor::Cursors;
use super::export::ExportMutation;
use super::forget::ForgetMutation;
use super::gate::{Denied, Gate};
use super::limits;
use super::loader::Loader;
use super::masking::MaskingMutation;
use super::mutation::Mutation;
use super::query::Query;
use super::retention::RetentionMutation;
use super::subscription::Subscription;
use crate::service::{Actor, Service};

pub type Ledger = Schema<Query, Mutations, Subscription>;

/// All that changes anything.
#[derive(MergedObject)]
#[graphql(name = "Mutation")]
pub struct Mutations(Mutation, ForgetMutation, MaskingMutation, RetentionMutation, ExportMutation);

/// The schema in the words that clients read: printed, committed and compared by a test.
pub fn printed() -> String {
    builder().finish().sdl()
}

/// The one way in: `service` behind its schema, its limits and its tokens.
pub fn gate(service: Service, shutdown: CancellationToken) -> Arc<Gate<Ledger, Actor>> {
    let cursors = Cursors::new(service.vault().derive("convoledger cursor v1"), service.log().identity().history);
    let schema = builder().extension(Budget::<Actor>::new()).data(service.clone()).data(cursors).finish();
    let keeper = service.clone();
    let authenticate = move |token: String| {
        let service = keeper.clone();
        async move {
            match service.authenticate(&token).await {
                Ok(Some(actor)) => Ok(actor),
                Ok(None) => Err(Denied::Unknown),
                Err(error) => {
                    tracing::warn!(%error, "whose token it is cannot be told");
                    Err(Denied::Unavailable { retry_after: std::time::Duration::from_secs(1) })
                }
            }
        }
    };
    Arc::new(Gate::new(schema, authenticate, shutdown).furnish(move |actor, request| {
        request.data(DataLoader::new(Loader { service: service.clone(), actor: *actor }, tokio::spawn))
    }))
}

fn builder() -> SchemaBuilder<Query, Mutations, Subscription> {
    limits::apply(Schema::build(
        Query,
        Mutations(Mutation, ForgetMutation, MaskingMutation, RetentionMutation, ExportMutation),
        Subscription,
    ))
}
