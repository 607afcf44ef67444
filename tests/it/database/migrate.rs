//! The schema, and who may do what with it.

use convoledger::database::{APP, Database};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};

use crate::support::postgres;

/// Whether `error` says that privileges or the log's triggers refuse.
fn is_refused(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "42501")
}

async fn append_one(pool: &PgPool) {
    let event = "INSERT INTO event (position, recorded_at, occurred_at, owner_id, id, stream_id, command_id, actor_id, \
        version, kind_version, command_nth, kind, body, leaf) SELECT 1, now(), now(), id, id, id, id, id, 1, 1, 0, 'k', \
        '{}', sha256('') FROM gen_random_uuid() AS id";
    pool.execute(event).await.expect("an event");
    let words = "INSERT INTO words SELECT 1, owner_id, owner_id, 1, 0, decode(repeat('00', 24), 'hex'), \
        decode(repeat('00', 17), 'hex') FROM event";
    pool.execute(words).await.expect("words");
}

#[tokio::test]
async fn a_second_migration_finds_nothing_to_do() {
    let database = postgres::empty().await;
    let before = database.migrations().await.expect("a look");
    assert!(before.applied.is_empty() && !before.roles_guard);
    let first = database.migrate().await.expect("migrations");
    assert_eq!(first.applied, before.pending);
    assert!(first.pending.is_empty());
    assert_eq!(database.migrate().await.expect("nothing"), first);
    assert_eq!(database.migrations().await.expect("a look"), first);
}

#[tokio::test]
async fn every_file_of_migrations_is_in_this_program() {
    // The macro that embeds them does not notice a new file: touch src/database/migrate.rs.
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).expect("migrations").count();
    let database = postgres::fresh().await;
    assert_eq!(database.migrations().await.expect("a look").applied.len(), files);
}

#[tokio::test]
async fn many_may_migrate_at_once() {
    let database = postgres::empty().await;
    let migrations = (0..8).map(|_| {
        let database = Database::clone(&database);
        tokio::spawn(async move { database.migrate().await })
    });
    for migrated in futures::future::join_all(migrations).await {
        let migrated = migrated.expect("no panic").expect("migrations");
        assert!(migrated.pending.is_empty());
    }
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused() {
    let database = postgres::fresh().await;
    let mut owner = database.connect_as_owner().await.expect("a connection");
    owner
        .execute("INSERT INTO _sqlx_migrations SELECT 9999, 'later', now(), true, '\\x00', 1")
        .await
        .expect("a migration from the future");
    let refused = database.migrate().await.expect_err("a refusal").to_string();
    assert!(refused.contains("migration 9999"), "{refused}");
}

#[tokio::test]
async fn nobody_changes_the_log() {
    let database = postgres::fresh().await;
    append_one(&database.pool(1)).await;
    let mut owner = database.connect_as_owner().await.expect("a connection");
    let changes = ["UPDATE event SET kind = 'x'", "DELETE FROM event", "TRUNCATE event", "UPDATE words SET part = 1"];
    for change in changes.into_iter().chain(["TRUNCATE words", "DELETE FROM history", "UPDATE ledger SET origin = 'x'"])
    {
        let app = database.pool(1).execute(change).await.expect_err(change);
        assert!(is_refused(&app), "{change} by the application: {app}");
        let owner = owner.execute(change).await.expect_err(change);
        assert!(is_refused(&owner), "{change} by the owner: {owner}");
    }
}

#[tokio::test]
async fn words_go_by_the_eraser_alone() {
    let database = postgres::fresh().await;
    if !database.migrations().await.expect("a look").roles_guard {
        return; // a server that was given by URL: there is but one role
    }
    let pool = database.pool(1);
    append_one(&pool).await;
    let refused = pool.execute("DELETE FROM words").await.expect_err("a refusal");
    assert!(is_refused(&refused), "{refused}");
    let mut owner = database.connect_as_owner().await.expect("a connection");
    owner.execute("SET ROLE convoledger_eraser").await.expect("the eraser");
    assert!(is_refused(&owner.execute("DELETE FROM event").await.expect_err("a refusal")));
    assert_eq!(owner.execute("DELETE FROM words").await.expect("an erasure").rows_affected(), 1);
}

#[tokio::test]
async fn the_application_may_make_projections_and_keep_keys() {
    let database = postgres::fresh().await;
    let pool = database.pool(1);
    for act in [
        "CREATE SCHEMA conversation CREATE TABLE progress (position bigint)",
        "DROP SCHEMA conversation CASCADE",
        "INSERT INTO vault.subject_key SELECT gen_random_uuid(), 1, 1, sha256(''), NULL",
        "DELETE FROM vault.subject_key",
        "SELECT FROM account.token",
    ] {
        pool.execute(act).await.expect(act);
    }
}

#[tokio::test]
async fn the_applications_sessions_are_as_the_lane_demands() {
    let database = postgres::fresh().await;
    if !database.migrations().await.expect("a look").roles_guard {
        return; // a server that was given by URL: its role is not ours to set up
    }
    let pool = database.pool(1);
    for (setting, value) in [
        ("default_transaction_isolation", "read committed"),
        ("synchronous_commit", "on"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("lock_timeout", "5s"),
    ] {
        let show = AssertSqlSafe(format!("SHOW {setting}"));
        let shown: String = sqlx::query_scalar(show).fetch_one(&pool).await.expect("a setting");
        assert_eq!(shown, value, "{setting}");
    }
    let user: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&pool).await.expect("a name");
    assert_eq!(user, APP);
}
