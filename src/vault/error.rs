//! What goes wrong with keys, and what to do about it.

use std::path::PathBuf;

use crate::event::SubjectId;

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error("the vault's table failed while {doing}")]
    Database {
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("the key files changed again and again while {doing}; try again")]
    Restless { doing: &'static str },
    #[error("reading the key files was cut short")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error("subject {subject} has no key yet; one is made when its account is registered")]
    NoKey { subject: SubjectId },
    #[error(
        "key {generation} of subject {subject} does not open by {epoch_file}: that file belongs to another ledger, or \
         the row in vault.subject_key was changed; restore whichever is wrong from its backup"
    )]
    Unwrap { subject: SubjectId, generation: u32, epoch_file: PathBuf },
    #[error(
        "key {generation} of subject {subject} opens, but is not the key that its commitment names: the row in \
         vault.subject_key was changed; restore it from its backup"
    )]
    Commitment { subject: SubjectId, generation: u32 },
}

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(
        "{file} is missing, and words are sealed under it: restore the key directory from its backup (it is never made \
         anew over a ledger that was used, for a new key opens nothing); if it is an epoch that was retired, then the \
         schema `vault` of the database is older than that, and a newer backup of it is to be restored"
    )]
    Missing { file: PathBuf },
    #[error(
        "{file} does not open by the root key: the root is of another key directory, or the file was changed; restore \
         both together from one backup, or, if the root is being rotated, give the new and the old one as `new,old`"
    )]
    Sealed { file: PathBuf },
    #[error("{file} does not read as a key file of this version of convoledger; restore it from its backup")]
    Unreadable { file: PathBuf },
    #[error("{file} has mode {mode:03o}, so others than its owner may use it: run `chmod {right} {file}`")]
    Permissions { file: PathBuf, mode: u32, right: &'static str },
    #[error("the given root key is not 64 hex digits (or several such, newest first, with commas between them)")]
    Root,
    #[error(
        "the new root key must be given before the old one, as `new,old`, before it may seal key files: else a start in \
         between would find files that it cannot open"
    )]
    NotFirst,
    #[error("cannot {doing} {file}")]
    File {
        doing: &'static str,
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Says what was being done when the database failed.
pub(super) const fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> VaultError {
    move |source| VaultError::Database { doing, source }
}
