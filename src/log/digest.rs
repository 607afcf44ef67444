//! What is hashed, byte by byte. Final: every digest in the log and every proof outside it depends on this layout.
//!
//! A field is its length as four bytes, big-endian, and then its bytes, so that no two records have one encoding.
//!
//! * **words digest**: BLAKE3 over part, subject, generation, nonce and ciphertext;
//! * **event digest**: BLAKE3 over all that is known before the lane gives out position, version and time;
//! * **left digest**: BLAKE3 over the event digests of a conversation that expired, of what is left of each;
//! * **leaf**: SHA-256 (RFC 6962 § 2.1, `0x00` before the record) over the format's version byte, origin, history,
//!   position, owner, stream, version, time of recording and the event digest. The lane computes it in SQL; here it is
//!   computed again to check the lane and the disk.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::Fact;
use crate::event::{
    Class, HistoryId, INTEGER_MAX, MessageAppended, OwnerId, Payload as _, Position, Sealed, StreamId, Version,
};
use crate::proof::merkle;

pub use crate::proof::Hash;

static WORDS: LazyLock<blake3::Hasher> =
    LazyLock::new(|| blake3::Hasher::new_derive_key("convoledger words digest v1"));
static EVENT: LazyLock<blake3::Hasher> =
    LazyLock::new(|| blake3::Hasher::new_derive_key("convoledger event digest v1"));

static LEFT: LazyLock<blake3::Hasher> = LazyLock::new(|| blake3::Hasher::new_derive_key("convoledger left digest v1"));

/// What a message says of money.
const MONEY: [&str; 8] = ["branch", "role", "bytes", "model", "provider", "usage", "cost_usd", "latency_ms"];

/// The version byte of the leaf record.
const LEAF_FORMAT: u8 = 1;

/// The digest of one sealed part.
#[must_use]
pub fn words(sealed: &Sealed) -> Hash {
    let mut hasher = WORDS.clone();
    field(&mut hasher, &[sealed.part]);
    field(&mut hasher, sealed.subject.0.as_bytes());
    field(&mut hasher, &sealed.generation.to_be_bytes());
    field(&mut hasher, &sealed.nonce);
    field(&mut hasher, &sealed.ciphertext);
    hasher.finalize().into()
}

/// Stands for the digest of a part that was gone before its event was recorded: nothing has it.
pub const GONE: Hash = [0; 32];

/// The column `words_digest`: for each part its number and its digest, by number; of those that are gone, [`GONE`].
#[must_use]
pub fn words_column(sealed: &[Sealed], gone: &[u8]) -> Vec<u8> {
    let there = sealed.iter().map(|sealed| (sealed.part, words(sealed)));
    let mut parts: Vec<(u8, Hash)> = there.chain(gone.iter().map(|part| (*part, GONE))).collect();
    parts.sort_by_key(|(part, _)| *part);
    parts.into_iter().flat_map(|(part, digest)| std::iter::once(part).chain(digest)).collect()
}

/// The parts that the column `words_digest` speaks of.
pub fn words_parts(column: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    column.chunks_exact(33).map(|entry| (entry[0], &entry[1..]))
}

/// The digest of an event.
#[must_use]
pub fn event(fact: &Fact) -> Hash {
    let mut hasher = EVENT.clone();
    field(&mut hasher, fact.owner.0.as_bytes());
    field(&mut hasher, fact.stream.0.as_bytes());
    field(&mut hasher, fact.id.0.as_bytes());
    field(&mut hasher, fact.command.0.as_bytes());
    field(&mut hasher, &fact.command_nth.to_be_bytes());
    field(&mut hasher, fact.command_digest.as_ref().map_or(&[], |digest| digest.as_slice()));
    field(&mut hasher, fact.actor.0.as_bytes());
    field(&mut hasher, fact.correlation.as_ref().map_or(&[], |id| id.as_bytes().as_slice()));
    field(&mut hasher, fact.causation.as_ref().map_or(&[], |id| id.0.as_bytes().as_slice()));
    field(&mut hasher, &fact.occurred_at.timestamp_micros().to_be_bytes());
    let mut place = [0; 8];
    if let Some(at) = fact.place {
        place[..4].copy_from_slice(&at.segment.0.to_be_bytes());
        place[4..].copy_from_slice(&at.depth.0.to_be_bytes());
    }
    field(&mut hasher, if fact.place.is_some() { &place } else { &[] });
    field(&mut hasher, fact.kind.as_bytes());
    field(&mut hasher, &fact.kind_version.to_be_bytes());
    field(&mut hasher, canonical(&fact.body).as_bytes());
    field(&mut hasher, &fact.words_digest);
    hasher.finalize().into()
}

/// The digest of what is left of a conversation that expired: over the event digests of its events, as they are left.
#[must_use]
pub fn left(events: &[Hash]) -> Hash {
    let mut hasher = LEFT.clone();
    for event in events {
        field(&mut hasher, event);
    }
    hasher.finalize().into()
}

/// What is left of a body: nothing, or, of what a message used and cost, that. The database takes the rest away by the same
/// rule (`left_of`).
#[must_use]
pub fn left_of(kind: &str, body: &Value, keeps: Option<Class>) -> Value {
    let whole = body
        .as_object()
        .filter(|body| keeps == Some(Class::Money) && kind == MessageAppended::KIND && !body.contains_key("origin"));
    let left = whole.into_iter().flatten().filter(|(key, _)| MONEY.contains(&key.as_str()));
    Value::Object(left.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The leaf of an event: what the tree is made of.
#[must_use]
pub fn leaf(
    origin: &str,
    history: HistoryId,
    position: Position,
    stream: (OwnerId, StreamId, Version),
    recorded_at: DateTime<Utc>,
    event: &Hash,
) -> Hash {
    merkle::leaf(&record(origin, history, position, stream, recorded_at, event))
}

/// The leaf record, which the leaf hash is taken over.
#[must_use]
pub fn record(
    origin: &str,
    history: HistoryId,
    position: Position,
    (owner, stream, version): (OwnerId, StreamId, Version),
    recorded_at: DateTime<Utc>,
    event: &Hash,
) -> Vec<u8> {
    let mut record = Vec::with_capacity(200);
    record.push(LEAF_FORMAT);
    for field in [
        origin.as_bytes(),
        history.0.as_bytes(),
        &position.0.to_be_bytes(),
        owner.0.as_bytes(),
        stream.0.as_bytes(),
        &version.0.to_be_bytes(),
        &recorded_at.timestamp_micros().to_be_bytes(),
        event,
    ] {
        record.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        record.extend(field);
    }
    record
}

/// What a leaf record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub origin: String,
    pub history: HistoryId,
    pub position: Position,
    pub owner: OwnerId,
    pub stream: StreamId,
    pub version: Version,
    pub recorded_at: DateTime<Utc>,
    /// The event digest.
    pub event: Hash,
}

impl Leaf {
    /// Reads what [`record`] wrote, and nothing else.
    #[must_use]
    pub fn parse(record: &[u8]) -> Option<Self> {
        let (&format, mut rest) = record.split_first()?;
        let mut field = || {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let (field, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            rest = behind;
            Some(field)
        };
        let leaf = Self {
            origin: std::str::from_utf8(field()?).ok()?.to_owned(),
            history: HistoryId(Uuid::from_slice(field()?).ok()?),
            position: Position(i64::from_be_bytes(field()?.try_into().ok()?)),
            owner: OwnerId(Uuid::from_slice(field()?).ok()?),
            stream: StreamId(Uuid::from_slice(field()?).ok()?),
            version: Version(i32::from_be_bytes(field()?.try_into().ok()?)),
            recorded_at: DateTime::from_timestamp_micros(i64::from_be_bytes(field()?.try_into().ok()?))?,
            event: field()?.try_into().ok()?,
        };
        (format == LEAF_FORMAT && rest.is_empty()).then_some(leaf)
    }
}

/// `body` in its RFC 8785 form. For the values that [`admissible`] lets in this is `serde_json`'s own compact form:
/// its maps are ordered by key, its strings escape what the RFC escapes and nothing else, and there are no fractions.
#[must_use]
pub fn canonical(body: &Value) -> String {
    body.to_string()
}

/// Whether `body` may be facts: an object that holds only objects, lists, strings, booleans, null and whole numbers
/// within ±(2^53 − 1), under keys of plain ASCII, so that its RFC 8785 form survives `jsonb`.
#[must_use]
pub fn admissible(body: &Value) -> bool {
    match body {
        Value::Null | Value::Bool(_) => true,
        // Postgres keeps no NUL in jsonb.
        Value::String(text) => !text.contains('\0'),
        Value::Number(number) => {
            number.as_u64().is_some_and(|n| n <= INTEGER_MAX)
                || number.as_i64().is_some_and(|n| n.unsigned_abs() <= INTEGER_MAX)
        }
        Value::Array(values) => values.iter().all(admissible),
        Value::Object(map) => map.iter().all(|(key, value)| key.is_ascii() && !key.contains('\0') && admissible(value)),
    }
}

fn field(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn facts() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1_i64 << 53) + 1..1 << 53).prop_map(Value::from),
            any::<String>().prop_map(|text| Value::from(text.replace('\0', ""))),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{0,8}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_that_of_rfc_8785(body in facts()) {
            prop_assert!(admissible(&body));
            prop_assert_eq!(canonical(&body), serde_json_canonicalizer::to_string(&body).expect("it is plain JSON"));
        }
    }

    #[test]
    fn a_leaf_record_reads_as_what_it_was_written_of() {
        let (history, owner, stream) = (HistoryId(Uuid::from_u128(1)), OwnerId(Uuid::from_u128(2)), Uuid::from_u128(3));
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time");
        let (place, event) = ((owner, StreamId(stream), Version(5)), [6; 32]);
        let record = record("convoledger/é", history, Position(4), place, at, &event);
        let leaf = Leaf::parse(&record).expect("it reads");
        let origin = "convoledger/é".to_owned();
        let (owner, stream, version) = place;
        assert_eq!(
            leaf,
            Leaf { origin, history, position: Position(4), owner, stream, version, recorded_at: at, event }
        );
        for length in 0..record.len() {
            assert_eq!(Leaf::parse(&record[..length]), None, "{length} bytes");
        }
        assert_eq!(Leaf::parse(&[&record[..], &[0]].concat()), None);
    }

    #[test]
    fn what_has_more_than_one_form_is_no_fact() {
        for body in [json!(1.5), json!(1e3), json!(1_u64 << 53), json!(-(1_i64 << 53)), json!({"é": 1}), json!("\0")] {
            assert!(!admissible(&body), "{body}");
        }
    }
}
