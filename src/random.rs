//! The one place that draws randomness.

use rand::Rng as _;
use uuid::Uuid;

/// A fresh time-ordered id (UUID v7, RFC 9562).
#[must_use]
#[allow(clippy::disallowed_methods)] // this is the one drawer
pub fn id() -> Uuid {
    Uuid::now_v7()
}

/// `N` bytes from the operating system's seeded generator, fit for keys, nonces and tokens.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
