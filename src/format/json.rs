//! JSON as the sources write it: objects of which a reader takes what it knows and keeps the rest to the letter.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Reason;
use crate::event::INTEGER_MAX;

/// An object with its keys in their order and its values unread.
#[derive(Debug, Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads an object; none when `raw` is something else.
    pub fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// Reads the object that a whole conversation is.
    pub fn of_conversation(json: &'a [u8]) -> Result<Self, Reason> {
        // The error's own words may quote the conversation.
        serde_json::from_slice(json).map_err(|error| {
            let what = if error.is_data() { "it is no JSON object" } else { "its JSON is broken" };
            format!("{what} (line {}, column {} of it)", error.line(), error.column())
        })
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `key`, when there is one that is not null. Of several the last counts, as for most readers.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.0.iter().rfind(|(name, _)| name == key)?;
        (raw.get() != "null").then_some(*raw)
    }

    /// Takes `key` out if `read` understands its value; else it stays with what is kept.
    pub fn take<T>(&mut self, key: &str, read: impl FnOnce(&'a RawValue) -> Option<T>) -> Option<T> {
        let Some(raw) = self.get(key) else {
            self.remove(key);
            return None;
        };
        let value = read(raw)?;
        self.remove(key);
        Some(value)
    }

    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    /// Removes `key` if its value says nothing: null, `{}`, `[]` or `""`.
    pub fn remove_empty(&mut self, key: &str) {
        self.take(key, |raw| ["{}", "[]", "\"\""].contains(&compact(raw).as_str()).then_some(()));
    }

    pub fn into_entries(self) -> Vec<(Cow<'a, str>, &'a RawValue)> {
        self.0
    }

    /// What was not taken.
    pub fn into_rest(self) -> Rest {
        let mut rest = Rest::default();
        for (key, raw) in self.0 {
            rest.put(&key, &compact(raw));
        }
        rest
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                #[derive(serde::Deserialize)]
                struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

                let mut entries = Vec::new();
                while let Some((Key(key), raw)) = map.next_entry()? {
                    entries.push((key, raw));
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// JSON that no field carries, gathered into the text of one object.
#[derive(Debug, Default)]
pub struct Rest(String);

impl Rest {
    /// Adds `json`, the text of a value, under `key`.
    pub fn put(&mut self, key: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&quoted(key));
        self.0.push(':');
        self.0.push_str(json);
    }

    /// Adds what is left of an object, if anything is.
    pub fn put_rest(&mut self, key: &str, rest: Self) {
        if let Some(json) = rest.into_json() {
            self.put(key, &json);
        }
    }

    /// The text of the object; none when nothing is in it.
    pub fn into_json(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push('}');
        Some(self.0)
    }
}

/// `raw` without the white space between its tokens: what an export's indentation is cannot matter to anyone.
pub fn compact(raw: &RawValue) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let is_kept = |character: &char| {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        in_string || !matches!(character, ' ' | '\t' | '\r' | '\n')
    };
    raw.get().chars().filter(is_kept).collect()
}

pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The elements of an array.
pub fn array(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// A string. Half a surrogate pair, which JavaScript and Python can write and Unicode cannot hold, becomes U+FFFD.
pub fn text(raw: &RawValue) -> Option<String> {
    struct Lossy(String);

    impl<'de> Deserialize<'de> for Lossy {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Bytes;

            impl Visitor<'_> for Bytes {
                type Value = Lossy;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a string")
                }

                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy, E> {
                    Ok(Lossy(String::from_utf8_lossy(bytes).into_owned()))
                }
            }

            deserializer.deserialize_bytes(Bytes)
        }
    }

    let json = raw.get();
    if !json.starts_with('"') {
        return None;
    }
    serde_json::from_str(json).or_else(|_| serde_json::from_str(json).map(|Lossy(text)| text)).ok()
}

/// Whether some string in `json` is written with half a surrogate pair, so that [`text`] had to change it.
pub fn has_half_a_pair(json: &[u8]) -> bool {
    let unit_at = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut at = 0;
    while let Some(found) = json[at..].iter().position(|&byte| byte == b'\\') {
        at += found;
        at += match (unit_at(at), unit_at(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => return true,
            // A backslash and what it escapes, which may be another one.
            _ => 2.min(json.len() - at),
        };
    }
    false
}

/// A name that may stand in the facts, unsealed: short, of one line, and not blank.
pub fn code(raw: &RawValue) -> Option<String> {
    const CHARACTERS_MAX: usize = 100;
    let is_code = |text: &String| {
        !text.trim().is_empty() && text.chars().count() <= CHARACTERS_MAX && !text.contains(char::is_control)
    };
    text(raw).filter(is_code)
}

/// A string that is not blank.
pub fn filled(raw: &RawValue) -> Option<String> {
    text(raw).filter(|text| !text.trim().is_empty())
}

pub fn boolean(raw: &RawValue) -> Option<bool> {
    serde_json::from_str(raw.get()).ok()
}

/// A count that facts can hold.
pub fn count(raw: &RawValue) -> Option<u64> {
    serde_json::from_str(raw.get()).ok().filter(|&count| count <= INTEGER_MAX)
}

pub fn float(raw: &RawValue) -> Option<f64> {
    serde_json::from_str(raw.get()).ok()
}

/// An amount of money, digit by digit as it is written: binary floats would change it.
pub fn money(raw: &RawValue) -> Option<Decimal> {
    let digits = raw.get();
    let amount = digits.parse().or_else(|_| Decimal::from_scientific(digits)).ok()?;
    (amount >= Decimal::ZERO).then_some(amount)
}

/// A time: seconds since 1970, milliseconds where seconds would be past the year 5000, or ISO 8601, UTC if it says
/// nothing else.
pub fn time(raw: &RawValue) -> Option<DateTime<Utc>> {
    const MILLISECONDS_FROM: f64 = 1e11;
    if let Some(number) = float(raw) {
        let seconds = if number > MILLISECONDS_FROM { number / 1e3 } else { number };
        let whole = seconds.floor();
        // A float of today resolves a quarter of a microsecond: rounding to one gives the digits that were written.
        let nanos = ((seconds - whole) * 1e6).round_ties_even() * 1e3;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "casts of floats saturate, and what is out of range is none"
        )]
        return DateTime::from_timestamp(whole as i64, 0)?
            .checked_add_signed(chrono::Duration::nanoseconds(nanos as i64));
    }
    let text = text(raw)?;
    let naive = || NaiveDateTime::parse_from_str(&text.replacen(' ', "T", 1), "%Y-%m-%dT%H:%M:%S%.f").ok();
    DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc()).ok().or_else(|| naive().map(|time| time.and_utc()))
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;

    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_not_taken_is_kept_to_the_letter() {
        let mut object = Object::of(raw(
            "{\"b\": 1.10, \"gone\": null, \"id\": 7, \"a \\u00e9\" : [ \"x y\" , 12345678901234567890 ]}",
        ))
        .unwrap();
        assert_eq!(object.take("id", text), None);
        assert_eq!(object.take("gone", text), None);
        let rest = object.into_rest().into_json();
        assert_eq!(rest.as_deref(), Some("{\"b\":1.10,\"id\":7,\"a é\":[\"x y\",12345678901234567890]}"));
        assert_eq!(Object::default().into_rest().into_json(), None);
    }

    #[test]
    fn half_a_surrogate_pair_does_not_lose_the_text() {
        assert_eq!(text(raw(r#""a\ud83d\ude00b""#)).as_deref(), Some("a😀b"));
        assert!(text(raw(r#""cut \ud83d""#)).is_some_and(|text| text.starts_with("cut \u{fffd}")));
        assert_eq!(text(raw("[97]")), None);
        for (json, has_half) in [
            (r#""\ud83d\ude00""#, false),
            (r#""\\ud83d""#, false),
            (r#""\ud83d""#, true),
            (r#""\ude00\n""#, true),
            ("\\", false),
        ] {
            assert_eq!(has_half_a_pair(json.as_bytes()), has_half, "{json}");
        }
    }

    #[test]
    fn times_keep_their_microseconds() {
        for (json, expected) in [
            ("1704629915.775304", "2024-01-07T12:18:35.775304Z"),
            ("1744155234.1282604", "2025-04-08T23:33:54.128260Z"),
            ("1686792382", "2023-06-15T01:26:22.000000Z"),
            ("1686792382104", "2023-06-15T01:26:22.104000Z"),
            ("-0.5", "1969-12-31T23:59:59.500000Z"),
            ("\"2023-02-07T22:42:48.048079+00:00\"", "2023-02-07T22:42:48.048079Z"),
            ("\"2024-08-07T12:37:50\"", "2024-08-07T12:37:50.000000Z"),
        ] {
            assert_eq!(time(raw(json)).unwrap().to_rfc3339_opts(SecondsFormat::Micros, true), expected);
        }
        for json in ["1e300", "\"yesterday\"", "null", "{}"] {
            assert_eq!(time(raw(json)), None, "{json}");
        }
    }

    #[test]
    fn money_keeps_its_digits() {
        assert_eq!(money(raw("0.0028")).unwrap().to_string(), "0.0028");
        assert_eq!(money(raw("7.5e-08")).unwrap().to_string(), "0.000000075");
        assert_eq!(money(raw("-1")), None);
    }

    #[test]
    fn only_short_plain_names_may_stand_in_the_facts() {
        assert_eq!(code(raw("\"gpt-4o\"")).as_deref(), Some("gpt-4o"));
        for json in ["\"\"", "\"a\\nb\"", "17"] {
            assert_eq!(code(raw(json)), None, "{json}");
        }
        assert_eq!(code(raw(&quoted(&"x".repeat(101)))), None);
    }
}
