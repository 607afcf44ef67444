//! Subjects' keys in a database: made once, opened by whoever has the key files, forgotten for good.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use convoledger::event::{EventId, LedgerId, OwnerId, Private, SubjectId};
use convoledger::vault::{About, KeyStore, Keyring, KeyringError, Root, Vault, VaultError};
use futures::future::{join_all, try_join_all};
use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support;

const LEDGER: LedgerId = LedgerId(Uuid::from_u128(1));
const SUBJECT: SubjectId = SubjectId(Uuid::from_u128(2));
const OTHER: SubjectId = SubjectId(Uuid::from_u128(3));
const ABOUT: About<'static> = About {
    ledger: LEDGER,
    owner: OwnerId(Uuid::from_u128(2)),
    event: EventId(Uuid::from_u128(4)),
    kind: "message.appended",
    kind_version: 1,
    part: 0,
};

fn store(dir: &TempDir) -> KeyStore {
    KeyStore::new(dir.path().join("keys"), None).unwrap()
}

/// A server on this database and these key files.
async fn server(pool: &PgPool, dir: &TempDir) -> Vault {
    Vault::open(pool.clone(), LEDGER, &store(dir)).await.unwrap()
}

/// Why no server can be opened.
async fn refused(pool: &PgPool, store: &KeyStore) -> String {
    Vault::open(pool.clone(), LEDGER, store).await.err().expect("a refusal").to_string()
}

async fn sql(pool: &PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.unwrap();
}

#[tokio::test]
async fn twenty_racers_on_first_starts_are_told_of_one_key() {
    let (database, dir) = (support::postgres::fresh().await, TempDir::new().unwrap());
    let pool = database.pool(10);
    let servers = join_all((0..4).map(|_| server(&pool, &dir))).await;
    let created = try_join_all((0..20).map(|racer| servers[racer % 4].create(SUBJECT))).await.unwrap();
    let different: HashSet<&str> = created.iter().map(|key| key.commitment.as_str()).collect();
    assert_eq!(different.len(), 1);
    assert!(created.iter().all(|key| key.generation == 1));

    let sealing = servers[0].current(SUBJECT).await.unwrap().known().unwrap();
    let sealed = sealing.seal(&ABOUT, b"hello");
    for server in &servers {
        let opening = server.key(SUBJECT, 1).await.unwrap().known().unwrap();
        assert_eq!(*opening.open(&ABOUT, &sealed).unwrap(), b"hello");
    }
}

#[tokio::test]
async fn a_destroyed_key_is_forgotten_and_not_made_again() {
    let (database, dir) = (support::postgres::fresh().await, TempDir::new().unwrap());
    let pool = database.pool(10);
    let (one, two) = (server(&pool, &dir).await, server(&pool, &dir).await);
    let created = one.create(SUBJECT).await.unwrap();
    one.create(OTHER).await.unwrap();
    for vault in [&one, &two] {
        assert!(!vault.current(SUBJECT).await.unwrap().is_forgotten());
    }

    assert_eq!(one.destroy(SUBJECT).await.unwrap(), 1);
    assert_eq!(one.destroy(SUBJECT).await.unwrap(), 0);
    assert!(one.current(SUBJECT).await.unwrap().is_forgotten());
    assert!(one.key(SUBJECT, 1).await.unwrap().is_forgotten());
    assert!(!one.key(OTHER, 1).await.unwrap().is_forgotten());
    assert_eq!(one.create(SUBJECT).await.unwrap(), created);
    assert!(one.current(SUBJECT).await.unwrap().is_forgotten());

    // Another server is told, or lets go by itself after a minute.
    two.forget_cached(SUBJECT).await;
    assert!(two.current(SUBJECT).await.unwrap().is_forgotten());
    server(&pool, &dir).await;
}

#[tokio::test]
async fn a_page_of_keys_answers_for_every_one() {
    let (database, dir) = (support::postgres::fresh().await, TempDir::new().unwrap());
    let pool = database.pool(10);
    let vault = server(&pool, &dir).await;
    for subject in [SUBJECT, OTHER] {
        vault.create(subject).await.unwrap();
    }
    vault.current(OTHER).await.unwrap();
    let page = [(SUBJECT, 1), (OTHER, 1), (SUBJECT, 1), (SUBJECT, 2), (OTHER, u32::MAX), (SubjectId(Uuid::nil()), 1)];
    for _ in 0..2 {
        let keys = vault.keys(&page).await.unwrap();
        assert_eq!(keys.len(), 5);
        for (id, key) in keys {
            match key {
                Private::Known(key) => assert!(id.1 == 1 && (key.subject(), key.generation()) == id),
                Private::Forgotten => assert!(id.1 != 1 || id.0 == SubjectId(Uuid::nil())),
            }
        }
    }
    assert!(vault.keys(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_an_error_and_never_forgotten() {
    let (database, dir) = (support::postgres::fresh().await, TempDir::new().unwrap());
    let pool = database.pool(10);
    let vault = server(&pool, &dir).await;
    assert!(matches!(vault.current(SUBJECT).await, Err(VaultError::NoKey { subject: SUBJECT })));
    vault.create(SUBJECT).await.unwrap();
    vault.create(OTHER).await.unwrap();

    let another_ledger = Vault::open(pool.clone(), LedgerId(Uuid::from_u128(9)), &store(&dir)).await.unwrap();
    assert!(matches!(another_ledger.current(SUBJECT).await, Err(VaultError::Unwrap { subject: SUBJECT, .. })));

    sql(&pool, "UPDATE vault.subject_key SET commitment = sha256(commitment) WHERE subject_id = '00000000-0000-0000-0000-000000000002'").await;
    let error = vault.key(SUBJECT, 1).await.unwrap_err();
    assert!(matches!(error, VaultError::Commitment { subject: SUBJECT, generation: 1 }), "{error}");

    sql(&pool, "UPDATE vault.subject_key AS mine SET wrapped = theirs.wrapped FROM vault.subject_key AS theirs WHERE mine.subject_id <> theirs.subject_id").await;
    assert!(matches!(vault.current(SUBJECT).await, Err(VaultError::Unwrap { subject: SUBJECT, .. })));

    pool.close().await;
    assert!(matches!(vault.key(SUBJECT, 1).await, Err(VaultError::Database { .. })));
    assert!(matches!(vault.current(SUBJECT).await, Err(VaultError::Database { .. })));
}

#[tokio::test]
async fn lost_and_foreign_key_files_are_named_and_never_replaced() {
    let (database, dir) = (support::postgres::fresh().await, TempDir::new().unwrap());
    let pool = database.pool(10);
    server(&pool, &dir).await.create(SUBJECT).await.unwrap();
    let keys = dir.path().join("keys");

    for name in ["epoch-1", "lookup", "root"] {
        fs::rename(keys.join(name), dir.path().join(name)).unwrap();
        let text = refused(&pool, &store(&dir)).await;
        assert!(text.contains(&format!("{name} is missing")) && text.contains("restore"), "{text}");
        assert!(!keys.join(name).exists());
        fs::rename(dir.path().join(name), keys.join(name)).unwrap();
    }

    // A later epoch's file is no replacement for the one that a key needs.
    let needs_two = "UPDATE vault.subject_key SET epoch = 2";
    sql(&pool, needs_two).await;
    assert!(refused(&pool, &store(&dir)).await.contains("epoch-2 is missing"));
    sql(&pool, "UPDATE vault.subject_key SET epoch = 1").await;

    let wrong = KeyStore::new(&keys, Some(&Root::random().text())).unwrap();
    assert!(refused(&pool, &wrong).await.contains("does not open by the root key"));

    let empty = TempDir::new().unwrap();
    assert!(refused(&pool, &store(&empty)).await.contains("is missing"));
    assert!(!empty.path().join("keys").exists());
    server(&pool, &dir).await;
}

#[tokio::test]
async fn a_rotated_root_opens_the_same_keys_and_touches_no_row() {
    let (database, dir) = (support::postgres::fresh().await, TempDir::new().unwrap());
    let pool = database.pool(10);
    let before = server(&pool, &dir).await;
    before.create(SUBJECT).await.unwrap();
    let sealed = before.current(SUBJECT).await.unwrap().known().unwrap().seal(&ABOUT, b"hello");
    let rows = "SELECT string_agg(key::text, ',') FROM vault.subject_key AS key";
    let rows_before: String = sqlx::query_scalar(rows).fetch_one(&pool).await.unwrap();

    Keyring::rotate_root(&store(&dir), &Root::random()).unwrap();
    let after = server(&pool, &dir).await;
    let key = after.current(SUBJECT).await.unwrap().known().unwrap();
    assert_eq!(*key.open(&ABOUT, &sealed).unwrap(), b"hello");
    assert_eq!(after.derive("a use"), before.derive("a use"));
    assert_eq!(sqlx::query_scalar::<_, String>(rows).fetch_one(&pool).await.unwrap(), rows_before);
    assert!(matches!(
        Keyring::rotate_root(&KeyStore::new(dir.path().join("none"), None).unwrap(), &Root::random()),
        Err(KeyringError::Missing { .. })
    ));
}

#[tokio::test]
async fn an_epoch_is_retired_while_other_servers_make_and_use_keys() {
    let (database, dir) = (support::postgres::fresh().await, TempDir::new().unwrap());
    let pool = database.pool(10);
    let (one, two) = (server(&pool, &dir).await, server(&pool, &dir).await);
    one.create(SUBJECT).await.unwrap();
    let sealed = one.current(SUBJECT).await.unwrap().known().unwrap().seal(&ABOUT, b"hello");
    for epoch in 1..=3 {
        let (retired, created) =
            tokio::join!(one.retire(), try_join_all((0..8).map(|n| two.create(subject(epoch, n)))));
        created.unwrap();
        let retired = retired.unwrap();
        assert_eq!((retired.epochs, retired.current), (vec![epoch], epoch + 1));
        assert!(!dir.path().join(format!("keys/epoch-{epoch}")).exists());
        // One that knows of the new epoch and one that does not, one that knew nothing, and one that made it.
        two.forget_cached(SUBJECT).await;
        for server in [&one, &two, &server(&pool, &dir).await] {
            let key = server.key(SUBJECT, 1).await.unwrap().known().unwrap();
            assert_eq!(*key.open(&ABOUT, &sealed).unwrap(), b"hello");
            for n in 0..8 {
                assert!(!server.current(subject(epoch, n)).await.unwrap().is_forgotten());
            }
        }
    }
    assert_eq!(one.due_epoch(3600.0).await.unwrap(), None);
    assert_eq!(one.due_epoch(-1.0).await.unwrap(), Some(4));
}

#[tokio::test]
async fn retiring_cut_short_anywhere_and_by_several_loses_no_key_and_brings_none_back() {
    let (database, dir) = (support::postgres::fresh().await, TempDir::new().unwrap());
    let pool = database.pool(20);
    let servers = join_all((0..3).map(|_| server(&pool, &dir))).await;
    for n in 0..40 {
        servers[0].create(subject(0, n)).await.unwrap();
    }
    servers[1].destroy(subject(0, 0)).await.unwrap();
    for round in 1..=24 {
        let runs = servers.iter().enumerate().map(|(nth, server)| {
            let within = Duration::from_micros(u64::from(round) * 700 * (nth as u64 + 1) % 20_000);
            tokio::time::timeout(within, server.retire())
        });
        let made = servers[(round % 3) as usize].create(subject(round, 0));
        let (_, made) = tokio::join!(join_all(runs), made);
        made.unwrap();
    }
    let left = servers[0].due_epoch(3600.0).await.unwrap();
    if let Some(left) = left {
        servers[0].retire_through(left).await.unwrap();
    }
    let last = servers[0].retire().await.unwrap();
    let files = fs::read_dir(dir.path().join("keys")).unwrap().flatten().map(|file| file.file_name());
    let epochs: Vec<_> = files.filter(|name| name.to_string_lossy().starts_with("epoch-")).collect();
    assert_eq!(epochs, [format!("epoch-{}", last.current).as_str()]);
    let after = server(&pool, &dir).await;
    for n in 1..40 {
        assert!(!after.key(subject(0, n), 1).await.unwrap().is_forgotten());
    }
    for round in 1..=24 {
        assert!(!after.key(subject(round, 0), 1).await.unwrap().is_forgotten());
    }
    assert!(after.key(subject(0, 0), 1).await.unwrap().is_forgotten());
}

#[tokio::test]
async fn a_copy_of_the_table_from_before_an_epoch_was_retired_opens_nothing() {
    let (database, dir) = (support::postgres::fresh().await, TempDir::new().unwrap());
    let pool = database.pool(10);
    let vault = server(&pool, &dir).await;
    for subject in [SUBJECT, OTHER] {
        vault.create(subject).await.unwrap();
    }
    let copy: Value =
        sqlx::query_scalar("SELECT json_agg(key) FROM vault.subject_key AS key").fetch_one(&pool).await.unwrap();
    vault.destroy(SUBJECT).await.unwrap();
    vault.retire().await.unwrap();
    sql(&pool, "DELETE FROM vault.subject_key").await;
    let restore =
        "INSERT INTO vault.subject_key SELECT * FROM json_populate_recordset(NULL::vault.subject_key, $1::json)";
    sqlx::query(restore).bind(copy).execute(&pool).await.unwrap();
    vault.forget_cached(OTHER).await;
    for subject in [SUBJECT, OTHER] {
        let error = vault.key(subject, 1).await.unwrap_err().to_string();
        assert!(error.contains("epoch-1 is missing") && error.contains("retired"), "{error}");
    }
}

fn subject(epoch: u32, n: u32) -> SubjectId {
    SubjectId(Uuid::from_u64_pair(u64::from(epoch) + 10, n.into()))
}
