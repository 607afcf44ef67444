//! Checkpoints and proofs, for those who check.

use async_graphql::{Context, Object, Result};
use chrono::{DateTime, Utc};

use super::asker::{Asker, bad_input, trouble};
use super::scalar::BigInt;
use crate::event::Position;
use crate::log::tree::checkpoints::Kept;
use crate::proof::base64;
use crate::service;

/// How large the log is and what its root is, signed (C2SP tlog-checkpoint). Keep one elsewhere: whatever is rewritten
/// later is found out by it.
pub struct Checkpoint(Kept);

#[Object]
impl Checkpoint {
    /// Which log: one history of one ledger.
    async fn origin(&self) -> &str {
        &self.0.checkpoint.origin
    }

    /// How many events.
    async fn size(&self) -> BigInt {
        big(self.0.checkpoint.size)
    }

    /// RFC 6962 root over them, SHA-256, in base64.
    async fn root(&self) -> String {
        base64(&self.0.checkpoint.root)
    }

    /// The signed note itself, with the cosignatures of witnesses.
    async fn note(&self) -> &str {
        &self.0.note
    }

    async fn signed_at(&self) -> DateTime<Utc> {
        self.0.signed_at
    }

    /// The public keys that sign or signed checkpoints of this log (C2SP signed-note), the newest first. Who checks takes
    /// them from elsewhere, once.
    async fn keys(&self, context: &Context<'_>) -> Result<Vec<String>> {
        let keys = Asker::of(context).service.checkpoint_keys().await.map_err(|error| trouble(&error))?;
        Ok(keys.iter().map(ToString::to_string).collect())
    }
}

/// That an event is in the log, or that the log begins with what it was: the hashes that lead to `root` (RFC 6962
/// § 2.1.1, § 2.1.2), in base64.
pub enum Proof {
    Inclusion(service::Inclusion),
    Consistency(service::Consistency),
}

#[Object]
impl Proof {
    async fn hashes(&self) -> Vec<String> {
        let (Self::Inclusion(service::Inclusion { path, .. }) | Self::Consistency(service::Consistency { path, .. })) =
            self;
        path.iter().map(base64).collect()
    }

    /// How many events the tree has that it leads to.
    async fn size(&self) -> BigInt {
        let (Self::Inclusion(service::Inclusion { size, .. }) | Self::Consistency(service::Consistency { size, .. })) =
            self;
        big(*size)
    }

    /// The root of that tree.
    async fn root(&self) -> String {
        let (Self::Inclusion(service::Inclusion { root, .. }) | Self::Consistency(service::Consistency { root, .. })) =
            self;
        base64(root)
    }

    /// Of an inclusion proof: the event's leaf hash.
    async fn leaf(&self) -> Option<String> {
        match self {
            Self::Inclusion(proof) => Some(base64(&proof.leaf)),
            Self::Consistency(_) => None,
        }
    }

    /// Of an inclusion proof, where a checkpoint of this size was signed: the proof as a `.tlog-proof` file (C2SP
    /// tlog-proof), which `convoledger check` and foreign tools check offline.
    async fn file(&self) -> Option<String> {
        match self {
            Self::Inclusion(proof) => proof.bundle.as_ref().map(ToString::to_string),
            Self::Consistency(_) => None,
        }
    }
}

/// The newest checkpoint; one that holds the first `at_least` events.
pub async fn checkpoint(asker: &Asker<'_>, at_least: Option<BigInt>) -> Result<Checkpoint> {
    let at_least = at_least.map_or(Ok(0), size)?;
    let head = asker.service.log().head().await.map_err(|error| trouble(&error.into()))?;
    if big(at_least).0 > head.0 {
        return Err(bad_input(format!("the log has {head} events, not {at_least}")));
    }
    let kept = asker.service.checkpoint(at_least).await.map_err(|error| trouble(&error))?;
    Ok(Checkpoint(kept))
}

/// That one of the asker's events is in the log.
pub async fn inclusion(asker: &Asker<'_>, position: BigInt, of: Option<BigInt>) -> Result<Proof> {
    let of = of.map(size).transpose()?;
    let proof =
        asker.service.prove_own(asker.actor, Position(position.0), of).await.map_err(|error| trouble(&error))?;
    proof
        .map(Proof::Inclusion)
        .ok_or_else(|| bad_input(format!("you have no event {} in a log of this size", position.0)))
}

/// That the log of `to` events begins with the first `from`.
pub async fn consistency(asker: &Asker<'_>, from: BigInt, to: BigInt) -> Result<Proof> {
    let proof = asker.service.prove_consistency(size(from)?, size(to)?).await.map_err(|error| trouble(&error))?;
    proof.map(Proof::Consistency).ok_or_else(|| bad_input(format!("the log has no {} events after {}", to.0, from.0)))
}

fn size(number: BigInt) -> Result<u64> {
    u64::try_from(number.0).map_err(|_| bad_input(format!("{} is no size of a log", number.0)))
}

fn big(number: u64) -> BigInt {
    BigInt(i64::try_from(number).unwrap_or(i64::MAX))
}
