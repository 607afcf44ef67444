//! Views whose folder changed: made anew beside the rows that are live, which go on being read and folded meanwhile.

use std::sync::Arc;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::status::{is_missing, standing_in};
use super::{Opener, Projection, Rebuild, RebuildError};

/// Makes the outdated ones of `projections` anew, one after the other, and puts them in place. What is stopped midway goes
/// on with the next call.
///
/// To be called once in a process's life: where servers of two versions run side by side, each would otherwise make the
/// other's rows anew for ever.
pub(super) async fn renew(
    pool: PgPool,
    projections: Vec<Projection>,
    opener: Arc<dyn Opener>,
    stop: CancellationToken,
) {
    for projection in &projections {
        match standing_in(&projection.name, &pool).await {
            Ok(standing) if standing.fingerprint != projection.fingerprint() => {}
            Err(error) if !is_missing(&error) => {
                tracing::warn!(projection = %projection.name, %error, "whether the view is outdated cannot be told");
                continue;
            }
            _ => continue,
        }
        tracing::info!(projection = %projection.name, "the view is outdated and is made anew beside the live one");
        let rebuild =
            Rebuild { projection, pool: &pool, opener: &*opener, throttle: None, strands: 1, stop: stop.clone() };
        match rebuild.replace(|_, _| {}).await {
            Ok(rebuilt) => {
                let position = rebuilt.position.0;
                tracing::info!(projection = %projection.name, position, "the view was made anew and is in place");
            }
            Err(RebuildError::Stopped { .. }) => return,
            Err(error) => tracing::error!(
                projection = %projection.name, error = chain(&error), "the view stays outdated: it cannot be made anew"
            ),
        }
    }
}

/// An error and what it comes of.
fn chain(error: &RebuildError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}
