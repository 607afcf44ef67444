//! The one cipher, and keys sealed by keys.
//!
//! XChaCha20-Poly1305 with random nonces: 192 bits are wide enough for 2^80 of them under one key, and a restored
//! backup cannot rewind chance as it would rewind a counter.
//!
//! It is composed as its draft composes it (draft-irtf-cfrg-xchacha-03, § 2.3): `HChaCha20` makes a key for the nonce, under which
//! ring's ChaCha20-Poly1305 seals, which takes a third of the time of the one in Rust alone.

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::random;

/// 256 secret bits, wiped from memory when dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// A key sealed by another: nonce ‖ ciphertext ‖ tag.
pub(super) type Wrapped = [u8; 72];

const NONCE_LEN: usize = 24;
pub(super) const TAG_LEN: usize = 16;

/// A key did not open what was to be opened: the key is another, or a bit of the whole was changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forged;

/// A fresh key.
pub(super) fn key() -> Key {
    Zeroizing::new(random::bytes())
}

/// Associated data: what it is for, then every field behind its length (32 bits, big-endian), so that no two lists of
/// fields read the same.
pub(super) fn associated(context: &str, fields: &[&[u8]]) -> Vec<u8> {
    let mut data = Vec::with_capacity(context.len() + fields.iter().map(|field| 4 + field.len()).sum::<usize>());
    data.extend_from_slice(context.as_bytes());
    for field in fields {
        let length = u32::try_from(field.len()).expect("ids, numbers and the names of kinds are short");
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(field);
    }
    data
}

/// Seals `buffer` where it lies, and puts the tag behind it. The buffer must have room for the tag: growing it would
/// leave a copy of what was in the clear.
pub(super) fn encrypt(key: &[u8; 32], nonce: &[u8; NONCE_LEN], associated: &[u8], buffer: &mut Vec<u8>) {
    debug_assert!(buffer.capacity() >= buffer.len() + TAG_LEN, "room for the tag");
    let (key, nonce) = for_ring(&key_of_nonce(key, nonce), nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(associated), buffer)
        .expect("nothing held in memory reaches the cipher's 256 GiB");
}

/// Opens `buffer` where it lies, and takes the tag off its end.
pub(super) fn decrypt(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    associated: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), Forged> {
    decrypt_by(&key_of_nonce(key, nonce), nonce, associated, buffer)
}

/// Opens `buffer` by the key of its nonce alone.
pub(super) fn decrypt_by(
    key: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    associated: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), Forged> {
    let (key, nonce) = for_ring(key, nonce);
    let opened = key.open_in_place(nonce, Aad::from(associated), buffer).map_err(|_| Forged)?.len();
    buffer.truncate(opened);
    Ok(())
}

/// The key that `XChaCha20` derives for one nonce: `HChaCha20` over its first 16 bytes (draft-irtf-cfrg-xchacha-03, § 2.2 and
/// 2.3). It opens what was sealed under this nonce, and tells nothing of the key that it comes of.
pub(super) fn key_of_nonce(key: &[u8; 32], nonce: &[u8; NONCE_LEN]) -> Key {
    let mut input = [0; 16];
    input.copy_from_slice(&nonce[..16]);
    Zeroizing::new(hchacha::<R20>(key.into(), (&input).into()).into())
}

/// The key of a nonce as ring takes it, and what is left of the nonce.
fn for_ring(key_of_nonce: &[u8; 32], nonce: &[u8; NONCE_LEN]) -> (LessSafeKey, Nonce) {
    let mut rest = [0; 12];
    rest[4..].copy_from_slice(&nonce[16..]);
    let key = UnboundKey::new(&CHACHA20_POLY1305, key_of_nonce).expect("a key has 32 bytes");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(rest))
}

/// Seals `key` by the key `by`.
pub(super) fn wrap(by: &Key, associated: &[u8], key: &Key) -> Wrapped {
    let nonce = random::bytes();
    let mut sealed = Vec::with_capacity(key.len() + TAG_LEN);
    sealed.extend_from_slice(&key[..]);
    encrypt(by, &nonce, associated, &mut sealed);

    let mut wrapped = [0; 72];
    wrapped[..NONCE_LEN].copy_from_slice(&nonce);
    wrapped[NONCE_LEN..].copy_from_slice(&sealed);
    wrapped
}

/// Opens what [`wrap`] sealed.
pub(super) fn unwrap(by: &Key, associated: &[u8], wrapped: &[u8]) -> Result<Key, Forged> {
    let (nonce, sealed) = wrapped.split_first_chunk().ok_or(Forged)?;
    let mut opened = Zeroizing::new(sealed.to_vec());
    decrypt(by, nonce, associated, &mut opened)?;
    let mut key = Key::default();
    if opened.len() != key.len() {
        return Err(Forged);
    }
    key.copy_from_slice(&opened);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Another implementation seals to the same bytes and opens them.
        #[test]
        fn it_is_xchacha20_poly1305(
            key: [u8; 32], nonce: [u8; NONCE_LEN], said in prop::collection::vec(any::<u8>(), 0..5_000),
            about in prop::collection::vec(any::<u8>(), 0..200), change: prop::sample::Index,
        ) {
            let (mut ours, mut theirs) = (said.clone(), said.clone());
            ours.reserve(TAG_LEN);
            encrypt(&key, &nonce, &about, &mut ours);
            let other = XChaCha20Poly1305::new((&key).into());
            other.encrypt_in_place((&nonce).into(), &about, &mut theirs).expect("it is short");
            prop_assert_eq!(&ours, &theirs);

            let mut opened = theirs.clone();
            prop_assert_eq!(decrypt(&key, &nonce, &about, &mut opened), Ok(()));
            prop_assert_eq!(opened, said);
            let at = change.index(theirs.len());
            theirs[at] ^= 1;
            prop_assert_eq!(decrypt(&key, &nonce, &about, &mut theirs), Err(Forged));
        }
    }

    #[test]
    fn a_wrapped_key_opens_by_its_wrapper_and_for_its_purpose_alone() {
        let (by, secret) = (key(), key());
        let wrapped = wrap(&by, b"purpose", &secret);
        assert_eq!(unwrap(&by, b"purpose", &wrapped), Ok(secret));
        assert_eq!(unwrap(&key(), b"purpose", &wrapped), Err(Forged));
        assert_eq!(unwrap(&by, b"another", &wrapped), Err(Forged));
        for length in 0..wrapped.len() {
            assert_eq!(unwrap(&by, b"purpose", &wrapped[..length]), Err(Forged), "{length} bytes");
        }
    }

    #[test]
    fn fields_of_associated_data_cannot_flow_into_one_another() {
        assert_ne!(associated("c", &[b"ab", b"c"]), associated("c", &[b"a", b"bc"]));
        assert_ne!(associated("c", &[b"ab"]), associated("c", &[b"ab", b""]));
        assert_eq!(associated("c", &[b"ab", b""]), b"c\0\0\0\x02ab\0\0\0\0");
    }
}
