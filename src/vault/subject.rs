//! The table `vault.subject_key`: each subject's keys, wrapped by epoch keys.

use sqlx::PgPool;
use uuid::Uuid;

use super::cipher::{self, Key, Wrapped};
use super::error::failed;
use super::{CreatedKey, HadKey, Keyring, SubjectKey, VaultError};
use crate::event::{LedgerId, Private, SubjectId};

/// A row of the table.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    subject_id: Uuid,
    generation: i32,
    epoch: i32,
    commitment: Vec<u8>,
    /// Null once the key was destroyed.
    wrapped: Option<Vec<u8>>,
    /// What goes on from the generation before: the keys of tokens and of digests, sealed by this one.
    kept: Option<Vec<u8>>,
}

impl Row {
    /// Which key this is.
    pub(super) const fn id(&self) -> (SubjectId, u32) {
        (SubjectId(self.subject_id), self.generation.cast_unsigned())
    }

    /// The epoch that wraps it, or did last.
    pub(super) const fn epoch(&self) -> u32 {
        self.epoch.cast_unsigned()
    }

    /// The key itself, or that it was destroyed.
    pub(super) fn open(&self, ledger: LedgerId, keyring: &Keyring) -> Result<Private<SubjectKey>, VaultError> {
        let (subject, generation) = self.id();
        let Some(wrapped) = &self.wrapped else { return Ok(Private::Forgotten) };
        let key = self.unwrap(wrapped, ledger, keyring)?;
        let opened = SubjectKey::new(subject, generation, &key);
        let Some(kept) = &self.kept else { return Ok(Private::Known(opened)) };
        let [tokens, digests] =
            going_on(ledger, subject, generation, &key, kept).ok_or(VaultError::Commitment { subject, generation })?;
        Ok(Private::Known(opened.going_on(&tokens, &digests)))
    }

    /// Whether the key was not destroyed.
    pub(super) const fn is_whole(&self) -> bool {
        self.wrapped.is_some()
    }

    /// As `subject_key.created` tells of it.
    pub(super) fn created(&self) -> CreatedKey {
        CreatedKey { generation: self.id().1, commitment: hex::encode(&self.commitment) }
    }

    fn unwrap(&self, wrapped: &[u8], ledger: LedgerId, keyring: &Keyring) -> Result<Key, VaultError> {
        let (subject, generation) = self.id();
        let epoch = self.epoch.cast_unsigned();
        let key = cipher::unwrap(keyring.epoch(epoch)?, &associated(ledger, subject, generation, epoch), wrapped)
            .map_err(|_| VaultError::Unwrap { subject, generation, epoch_file: keyring.epoch_file(epoch) })?;
        if self.commitment != commitment(&key) {
            return Err(VaultError::Commitment { subject, generation });
        }
        Ok(key)
    }
}

/// Makes the subject's first key, unless it has one. Whoever loses a race is told of the winner's. None when the newest
/// epoch of `keyring` was closed meanwhile.
pub(super) async fn create(
    pool: &PgPool,
    ledger: LedgerId,
    keyring: &Keyring,
    subject: SubjectId,
) -> Result<Option<CreatedKey>, sqlx::Error> {
    let (epoch, wrapped, commitment, _) = fresh(ledger, keyring, subject, 1);
    let made: Option<(i32, Vec<u8>)> = sqlx::query_as(include_str!("sql/create.sql"))
        .bind(subject.0)
        .bind(epoch.cast_signed())
        .bind(&commitment[..])
        .bind(&wrapped[..])
        .fetch_optional(pool)
        .await?;
    // Not one statement with the insert: its snapshot would be from before the winner's commit, and see no row.
    let made = match made {
        Some(made) => Some(made),
        None => newest(pool, subject).await?.map(|row| (row.generation, row.commitment)),
    };
    Ok(made.map(|(generation, commitment)| CreatedKey {
        generation: generation.cast_unsigned(),
        commitment: hex::encode(commitment),
    }))
}

/// The row of the subject's newest key.
pub(super) async fn newest(pool: &PgPool, subject: SubjectId) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as(include_str!("sql/newest.sql")).bind(subject.0).fetch_optional(pool).await
}

/// The rows of these keys, as far as they are there.
pub(super) async fn named(pool: &PgPool, ids: &[(SubjectId, u32)]) -> Result<Vec<Row>, sqlx::Error> {
    let (subjects, generations): (Vec<Uuid>, Vec<i32>) =
        ids.iter().map(|&(subject, generation)| (subject.0, generation.cast_signed())).unzip();
    sqlx::query_as(include_str!("sql/named.sql")).bind(subjects).bind(generations).fetch_all(pool).await
}

/// Makes the key behind `key`, the subject's newest. False when the epoch was closed or somebody else made one meanwhile, none
/// when the subject is being forgotten.
pub(super) async fn make_next(
    pool: &PgPool,
    ledger: LedgerId,
    keyring: &Keyring,
    key: &SubjectKey,
) -> Result<Option<bool>, sqlx::Error> {
    let (subject, generation) = (key.subject(), key.generation() + 1);
    let (epoch, wrapped, commitment, next) = fresh(ledger, keyring, subject, generation);
    let kept = goes_on(ledger, subject, generation, &next, key);
    sqlx::query_scalar(include_str!("sql/begin_renewal.sql"))
        .bind(subject.0)
        .bind(generation.cast_signed())
        .bind(epoch.cast_signed())
        .bind(&commitment[..])
        .bind(&wrapped[..])
        .bind(kept)
        .fetch_one(pool)
        .await
}

/// The rows of all keys that the subject ever had, the first one first.
pub(super) async fn all(pool: &PgPool, subject: SubjectId) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(include_str!("sql/had.sql")).bind(subject.0).fetch_all(pool).await
}

/// All keys that a subject ever had.
pub(super) async fn had(pool: &PgPool, subject: SubjectId) -> Result<Vec<HadKey>, sqlx::Error> {
    let rows = all(pool, subject).await?;
    let had = |row: Row| HadKey {
        generation: row.id().1,
        epoch: row.epoch(),
        destroyed: row.wrapped.is_none(),
        commitment: hex::encode(row.commitment),
    };
    Ok(rows.into_iter().map(had).collect())
}

/// Destroys all keys of the subject; says how many there were.
pub(super) async fn destroy(pool: &PgPool, subject: SubjectId) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(include_str!("sql/destroy.sql")).bind(subject.0).execute(pool).await?.rows_affected())
}

/// The epochs that the table names, each with whether a key is still wrapped by it.
pub(super) async fn epochs(pool: &PgPool) -> Result<Vec<(u32, bool)>, sqlx::Error> {
    let rows: Vec<(i32, bool)> = sqlx::query_as(include_str!("sql/epochs.sql")).fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(epoch, needed)| (epoch.cast_unsigned(), needed)).collect())
}

/// Some of the keys that epochs up to `through` still wrap.
pub(super) async fn wrapped_in(pool: &PgPool, through: u32, most: i64) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(include_str!("sql/wrapped_in.sql")).bind(through.cast_signed()).bind(most).fetch_all(pool).await
}

/// Wraps keys by the newest epoch of `keyring` instead of their own. How many were: fewer than given when others were here,
/// none when that epoch was closed meanwhile.
pub(super) async fn rewrap(
    pool: &PgPool,
    ledger: LedgerId,
    keyring: &Keyring,
    rows: &[Row],
) -> Result<u64, VaultError> {
    let (epoch, by) = keyring.newest();
    let (mut subjects, mut generations, mut were, mut wrapped) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let Some(was) = &row.wrapped else { continue };
        let (subject, generation) = row.id();
        let anew =
            cipher::wrap(by, &associated(ledger, subject, generation, epoch), &row.unwrap(was, ledger, keyring)?);
        subjects.push(row.subject_id);
        generations.push(row.generation);
        were.push(was.clone());
        wrapped.push(anew.to_vec());
    }
    let put = sqlx::query(include_str!("sql/rewrap.sql"))
        .bind(epoch.cast_signed())
        .bind(subjects)
        .bind(generations)
        .bind(were)
        .bind(wrapped);
    Ok(put.execute(pool).await.map_err(failed("wrapping keys anew"))?.rows_affected())
}

/// A fresh key for the subject: the epoch that wraps it, its wrapped form, its commitment, and itself.
fn fresh(ledger: LedgerId, keyring: &Keyring, subject: SubjectId, generation: u32) -> (u32, Wrapped, [u8; 32], Key) {
    let key = cipher::key();
    let (epoch, by) = keyring.newest();
    (epoch, cipher::wrap(by, &associated(ledger, subject, generation, epoch), &key), commitment(&key), key)
}

/// The keys of `from` that its successor `key` goes on with, sealed by a key derived from that.
fn goes_on(ledger: LedgerId, subject: SubjectId, generation: u32, key: &Key, from: &SubjectKey) -> Vec<u8> {
    let (by, kept) = (keeper(key), from.goes_on());
    (0..)
        .zip(&kept)
        .flat_map(|(nth, key)| cipher::wrap(&by, &about_kept(ledger, subject, generation, nth), key))
        .collect()
}

/// What [`goes_on`] sealed; none when it does not open.
fn going_on(ledger: LedgerId, subject: SubjectId, generation: u32, key: &Key, kept: &[u8]) -> Option<[Key; 2]> {
    let by = keeper(key);
    let open = |nth: u8, kept| cipher::unwrap(&by, &about_kept(ledger, subject, generation, nth), kept).ok();
    let (tokens, digests) = kept.split_at_checked(size_of::<Wrapped>())?;
    Some([open(0, tokens)?, open(1, digests)?])
}

fn keeper(key: &Key) -> Key {
    Key::new(blake3::derive_key("convoledger subject kept key v1", &key[..]))
}

fn about_kept(ledger: LedgerId, subject: SubjectId, generation: u32, nth: u8) -> Vec<u8> {
    cipher::associated(
        "convoledger subject kept v1",
        &[ledger.0.as_bytes(), subject.0.as_bytes(), &generation.to_be_bytes(), &[nth]],
    )
}

/// Binds the ledger to this very key, for the cipher alone does not: a ciphertext can be made that opens under two.
fn commitment(key: &Key) -> [u8; 32] {
    blake3::derive_key("convoledger subject key commitment v1", &key[..])
}

fn associated(ledger: LedgerId, subject: SubjectId, generation: u32, epoch: u32) -> Vec<u8> {
    cipher::associated(
        "convoledger subject key v1",
        &[ledger.0.as_bytes(), subject.0.as_bytes(), &generation.to_be_bytes(), &epoch.to_be_bytes()],
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;
    use crate::vault::KeyStore;

    const LEDGER: LedgerId = LedgerId(Uuid::from_u128(1));
    const SUBJECT: SubjectId = SubjectId(Uuid::from_u128(4));

    /// The formats are final. Files and row were computed apart from this program (`PyCryptodome` and `blake3` for Python):
    /// the root is 32 bytes of 1, epoch 5's key of 2, the lookup key of 3, the subject's key of 7.
    const FILES: [(&str, &str); 2] = [
        (
            "epoch-5",
            "v1 000102030405060708090a0b0c0d0e0f10111213141516177ad2d9879f93d58ae144684a163074b2f7b49eccfa4982d0220ef9b3\
             ed7e1161cb75073efdabd4c245ef705f00b19bc5\n",
        ),
        (
            "lookup",
            "v1 000102030405060708090a0b0c0d0e0f10111213141516177bd3d8869e92d48be045694b173175b3f6b59fcdfb4883d1230ff8b2\
             ec7f1060a421e091040b7d5edf6a9b70c435705e\n",
        ),
    ];
    const WRAPPED: &str = "000102030405060708090a0b0c0d0e0f101112131415161774bd05078a6953a4d14110cdd5ec894b060c5d5f7c870627\
                           d4a35b08247772c3b006dceb6ce2f9ba84135a756bb4a55d";
    const COMMITMENT: &str = "870085dd8d7dd11687b91e45c4b235dc63c2446f2ecf46eefd94012c0e1330a2";

    fn keyring() -> Keyring {
        let dir = TempDir::new().unwrap();
        for (name, text) in FILES {
            fs::write(dir.path().join(name), text).unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Keyring::open(&KeyStore::new(dir.path(), Some(&"01".repeat(32))).unwrap(), false).unwrap()
    }

    fn row() -> Row {
        Row {
            subject_id: SUBJECT.0,
            generation: 1,
            epoch: 5,
            commitment: hex::decode(COMMITMENT).unwrap(),
            wrapped: Some(hex::decode(WRAPPED).unwrap()),
            kept: None,
        }
    }

    #[test]
    fn the_formats_of_key_files_and_wrapped_keys_are_pinned() {
        let keyring = keyring();
        let key = row().open(LEDGER, &keyring).unwrap().known().unwrap();
        assert_eq!((key.subject(), key.generation()), (SUBJECT, 1));
        assert_eq!(key.digest(b"a command"), SubjectKey::new(SUBJECT, 1, &Key::new([7; 32])).digest(b"a command"));
        assert_eq!(keyring.newest(), (5, &Key::new([2; 32])));
        assert_eq!(keyring.derive("a use"), blake3::derive_key("a use", &[3; 32]));
    }

    #[test]
    fn a_key_opens_where_it_was_wrapped_and_nowhere_else() {
        let keyring = keyring();
        let unwrap = |row: &Row, ledger| match row.open(ledger, &keyring) {
            Err(VaultError::Unwrap { .. }) => true,
            Err(error) => panic!("{error}"),
            Ok(_) => false,
        };
        assert!(!unwrap(&row(), LEDGER));
        assert!(unwrap(&row(), LedgerId(Uuid::from_u128(2))));
        assert!(unwrap(&Row { subject_id: Uuid::from_u128(5), ..row() }, LEDGER));
        assert!(unwrap(&Row { generation: 2, ..row() }, LEDGER));
        let missing = Row { epoch: 4, ..row() }.open(LEDGER, &keyring).unwrap_err();
        assert!(missing.to_string().contains("epoch-4 is missing"), "{missing}");
    }

    #[test]
    fn a_destroyed_key_is_forgotten_and_another_than_committed_to_is_not() {
        let keyring = keyring();
        assert!(Row { wrapped: None, ..row() }.open(LEDGER, &keyring).unwrap().is_forgotten());
        let another = Row { commitment: vec![0; 32], ..row() }.open(LEDGER, &keyring);
        assert!(matches!(another, Err(VaultError::Commitment { subject: SUBJECT, generation: 1 })));
    }

    #[test]
    fn a_fresh_key_opens_by_its_own_commitment() {
        let keyring = keyring();
        let (epoch, wrapped, commitment, _) = fresh(LEDGER, &keyring, SUBJECT, 1);
        let row = Row {
            epoch: epoch.cast_signed(),
            commitment: commitment.to_vec(),
            wrapped: Some(wrapped.to_vec()),
            ..row()
        };
        assert!(!row.open(LEDGER, &keyring).unwrap().is_forgotten());
    }

    #[test]
    fn the_next_key_seals_otherwise_and_compares_alike() {
        let keyring = keyring();
        let first = row().open(LEDGER, &keyring).unwrap().known().unwrap();
        let (epoch, wrapped, commitment, key) = fresh(LEDGER, &keyring, SUBJECT, 2);
        let next = Row {
            generation: 2,
            epoch: epoch.cast_signed(),
            commitment: commitment.to_vec(),
            wrapped: Some(wrapped.to_vec()),
            kept: Some(goes_on(LEDGER, SUBJECT, 2, &key, &first)),
            ..row()
        };
        let second = next.open(LEDGER, &keyring).unwrap().known().unwrap();
        assert_eq!((second.token("work"), second.digest(b"act")), (first.token("work"), first.digest(b"act")));
        assert_ne!(second.opening(&[0; 24]), first.opening(&[0; 24]));
        let mut changed = next.kept.clone().unwrap();
        changed[100] ^= 1;
        let changed = Row { kept: Some(changed), ..next };
        assert!(matches!(changed.open(LEDGER, &keyring), Err(VaultError::Commitment { .. })));
    }
}
