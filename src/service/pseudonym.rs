//! Facts for statistics: what happened, without words, under pseudonyms.
//!
//! A pseudonym is a keyed BLAKE3 of an id, under a key that only this ledger has: the same in every export, so that they can be
//! put side by side, and telling nothing without the key. Whoever has the key and the log can say whose a pseudonym is; and
//! rare facts can point at somebody all the same. In the terms of the GDPR this is pseudonymisation (Art. 4(5)), not
//! anonymisation.

use chrono::{DurationRound as _, SecondsFormat, TimeDelta};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Service, Trouble};
use crate::event::Position;

/// Events in one read.
const PAGE: usize = 1_000;
/// The shortest text of hex digits that may be a key's, a digest's or a token's.
const DIGEST: usize = 32;

impl Service {
    /// The events after `after` up to `to` as anybody may see them, and how far the log was read.
    pub async fn anonymised(&self, after: Position, to: Position) -> Result<(Vec<Value>, Position), Trouble> {
        let page = self.log.read_range(after, PAGE).await?;
        let last = page.last().map_or(to, |event| event.position);
        let pseudonyms = Pseudonyms { key: self.vault.derive("convoledger pseudonym v1") };
        let itself = self.itself().0;
        let within = page.into_iter().filter(|event| event.position <= to && event.fact.owner.0 != itself);
        let anonymous = within.map(|event| {
            let fact = event.fact;
            let hour = fact.occurred_at.duration_trunc(TimeDelta::hours(1)).unwrap_or(fact.occurred_at);
            json!({
                "account": pseudonyms.of(fact.owner.0), "stream": pseudonyms.of(fact.stream.0),
                "version": event.version, "id": pseudonyms.of(fact.id.0), "kind": fact.kind,
                "kindVersion": fact.kind_version, "hour": hour.to_rfc3339_opts(SecondsFormat::Secs, true),
                "place": fact.place, "facts": pseudonyms.within(fact.body),
            })
        });
        Ok((anonymous.collect(), last.min(to)))
    }
}

struct Pseudonyms {
    key: [u8; 32],
}

impl Pseudonyms {
    fn of(&self, id: Uuid) -> String {
        hex::encode(&blake3::keyed_hash(&self.key, id.as_bytes()).as_bytes()[..16])
    }

    /// Facts with pseudonyms for ids; what may be a digest or a token of words is left out.
    fn within(&self, facts: Value) -> Value {
        match facts {
            Value::String(text) => match text.parse::<Uuid>() {
                Ok(id) if text.len() > DIGEST => self.of(id).into(),
                _ if is_digest(&text) => Value::Null,
                _ => text.into(),
            },
            Value::Array(items) => items.into_iter().map(|item| self.within(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .filter(|(name, _)| !is_digest(name))
                .map(|(name, field)| (name, self.within(field)))
                .collect(),
            facts => facts,
        }
    }
}

fn is_digest(text: &str) -> bool {
    text.len() >= DIGEST && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_pseudonyms_and_tokens_go() {
        let pseudonyms = Pseudonyms { key: [7; 32] };
        let (id, token) = ("01930000-0000-7000-8000-000000000001", "74686265650000000000000000000000");
        let facts = json!({ "message": id, "tokens": [token], "tags": { token: 3 }, "model": "m-1", "bytes": 7 });
        let anonymous = pseudonyms.within(facts);
        let pseudonym = pseudonyms.of(id.parse().expect("an id"));
        assert_eq!(
            anonymous,
            json!({ "message": pseudonym, "tokens": [null], "tags": {}, "model": "m-1", "bytes": 7 })
        );
        assert_ne!(Pseudonyms { key: [8; 32] }.of(id.parse().expect("an id")), pseudonym);
    }
}
