//! Folding by hand: from where to where, in which ranges, and what rows come of it.

use convoledger::event::Position;
use convoledger::projection::{Folded, Projection, Range};
use sqlx::{AssertSqlSafe, PgPool};

/// The rows that come of folding (`before`, `last`] anew, cut into ranges of these lengths, again and again.
pub async fn folded(
    projection: &Projection,
    pool: &PgPool,
    before: Position,
    last: Position,
    cuts: &[i64],
) -> Vec<String> {
    anew(projection, pool, before).await;
    on(projection, pool, before, last, cuts).await;
    rows(projection, pool).await
}

/// Makes the tables anew, as if all up to `before` were folded: what lies there is another history.
pub async fn anew(projection: &Projection, pool: &PgPool, before: Position) {
    let name = &projection.name;
    let drop = format!("DROP SCHEMA IF EXISTS {name} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(pool).await.expect("dropped");
    projection.create(pool).await.expect("created");
    let skip = format!("UPDATE {name}.progress SET position = $1");
    sqlx::query(AssertSqlSafe(skip)).bind(before.0).execute(pool).await.expect("passed over");
}

/// Folds (`from`, `to`] on.
pub async fn on(projection: &Projection, pool: &PgPool, from: Position, to: Position, cuts: &[i64]) {
    let mut position = from;
    for cut in cuts.iter().cycle() {
        if position == to {
            break;
        }
        let last = Position(to.0.min(position.0.saturating_add(*cut)));
        assert_eq!(projection.fold(pool, &Range::of_facts(position, last)).await.expect("it folds"), Folded::Done);
        position = last;
    }
}

/// All rows, each as the JSON of its table and columns.
pub async fn rows(projection: &Projection, pool: &PgPool) -> Vec<String> {
    let name = &projection.name;
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 AND tablename <> 'progress' ORDER BY 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).bind(name).fetch_all(pool).await.expect("tables");
    let mut rows = Vec::new();
    for table in tables {
        let dump = format!("SELECT '{table} ' || to_jsonb(t)::text FROM {name}.{table} AS t ORDER BY 1");
        rows.extend(sqlx::query_scalar::<_, String>(AssertSqlSafe(dump)).fetch_all(pool).await.expect("rows"));
    }
    rows
}
