//! Subjects' keys in a database: made once, opened by whoever has the key files, forgotten for good.

use std::collections::HashSet;
use std::fs;

use convoledger::event::{EventId, LedgerId, OwnerId, Private, SubjectId};
use convoledger::vault::{About, KeyStore, Keyring, KeyringError, Root, Vault, VaultError};
use futures::future::{join_all, try_join_all};
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
