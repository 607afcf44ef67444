//! What a stranger needs to check a log that he does not trust: Merkle proofs, signed notes and checkpoints. It reads no
//! database, no file and no network, so that whoever checks needs nothing but what he was handed.
//!
//! | | of | as |
//! |---|---|---|
//! | [`merkle`] | trees, inclusion and consistency proofs | RFC 6962 § 2.1, RFC 9162 § 2.1 |
//! | [`note`] | text signed by keys with names | C2SP signed-note |
//! | [`checkpoint`] | the size and root of a log, as a note | C2SP tlog-checkpoint |
//! | [`tile`] | what of the tree is stored and served | C2SP tlog-tiles |
//! | [`bundle`] | a proof of one event with its checkpoint, in a file | C2SP tlog-proof |
//! | [`receipt`] | what was forgotten, with the proof that the log says so | |
//! | [`witness`] | a checkpoint that follows from an earlier one; cosignatures | C2SP tlog-witness, tlog-cosignature |

pub mod bundle;
pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod receipt;
pub mod tile;
pub mod witness;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// SHA-256, of leaves and nodes alike.
pub type Hash = [u8; 32];

/// A hash as all these formats write it.
#[must_use]
pub fn base64(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

/// Reads what [`base64`] wrote, and nothing else.
#[must_use]
pub fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// A whole number without a sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    (number.to_string() == text).then_some(number)
}
