//! Events that a projection leaves out, because somebody said so (`projection.skipped`).

use std::collections::BTreeSet;

use sqlx::PgPool;

use super::Projection;
use crate::event::Position;

/// The positions that one projection leaves out.
#[derive(Debug, Clone, Default)]
pub(super) struct Skips(BTreeSet<i64>);

/// The positions that the projection of this name leaves out.
pub async fn left_out(projection: &str, pool: &PgPool) -> Result<BTreeSet<Position>, sqlx::Error> {
    let positions: Vec<i64> =
        sqlx::query_scalar(include_str!("sql/skips.sql")).bind(projection).fetch_all(pool).await?;
    Ok(positions.into_iter().map(Position).collect())
}

impl Skips {
    pub(super) async fn of(projection: &Projection, pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self(left_out(&projection.name, pool).await?.into_iter().map(|position| position.0).collect()))
    }

    /// How far a fold after `after` may go at once, at most to `last`, and whether what lies there is left out: then it
    /// is the one event.
    pub(super) fn cut(&self, after: Position, last: Position) -> (Position, bool) {
        match self.0.range(after.next().0..=last.0).next() {
            Some(&skipped) if skipped == after.next().0 => (Position(skipped), true),
            Some(&skipped) => (Position(skipped - 1), false),
            None => (last, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_before_what_is_left_out_which_is_alone() {
        let skips = Skips([3, 4, 9].into());
        let (mut at, mut cuts) = (Position(0), Vec::new());
        while at < Position(12) {
            let (to, skipped) = skips.cut(at, Position(12));
            cuts.push((to.0, skipped));
            at = to;
        }
        assert_eq!(cuts, [(2, false), (3, true), (4, true), (8, false), (9, true), (12, false)]);
    }
}
