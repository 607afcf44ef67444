//! Words before they are sealed: one byte that says how, then the words as they are or compressed.
//!
//! A byte that this program does not know is an error, so a later one may add a way without touching what was sealed.

use std::cell::RefCell;

use zeroize::Zeroizing;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use super::cipher::TAG_LEN;

/// The longest words that one part holds, in bytes: what fits the column `words.ciphertext` (16 MiB) uncompressed, with
/// the byte before and the tag behind it.
pub const PLAIN_MAX: usize = 16 * 1024 * 1024 - 1 - TAG_LEN;

const AS_IT_IS: u8 = 0;
const ZSTD: u8 = 1;
/// A kilobyte gets hardly longer than at the default 3 (2.08 against 2.09 times shorter), and a fifth faster.
const ZSTD_LEVEL: i32 = 1;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    #[error("they are encoded in way {0}, which this version of convoledger does not know; run a newer one")]
    Unknown(u8),
    #[error("their zstd frame is broken, says no length, or says more than {PLAIN_MAX} bytes")]
    Zstd,
    #[error("they are empty, without even the byte that says how they are encoded")]
    Empty,
}

// A zstd context takes longer to make than a message to compress. One stays with each thread, and with it traces of
// the last words, until the next ones overwrite them.
thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(ZSTD_LEVEL).ok());
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

/// `plain` in the shorter of both ways, in a buffer with room for the cipher's tag.
pub(super) fn encode(plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(1 + plain.len() + TAG_LEN);
    encoded.resize(1 + plain.len(), 0);
    // What would not be allowed to unfold again is not folded.
    let folded = if plain.len() <= PLAIN_MAX { compress(plain, &mut encoded[1..]) } else { None };
    if let Some(length) = folded {
        encoded[0] = ZSTD;
        encoded.truncate(1 + length);
    } else {
        encoded[0] = AS_IT_IS;
        encoded[1..].copy_from_slice(plain);
    }
    encoded
}

/// What [`encode`] was given.
pub(super) fn decode(mut encoded: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Undecodable> {
    let (&way, rest) = encoded.split_first().ok_or(Undecodable::Empty)?;
    match way {
        AS_IT_IS => {
            encoded.remove(0);
            Ok(encoded)
        }
        ZSTD => decompress(rest).ok_or(Undecodable::Zstd),
        unknown => Err(Undecodable::Unknown(unknown)),
    }
}

/// Compresses into `target` and says how long it became; nothing if it would not be shorter.
fn compress(plain: &[u8], target: &mut [u8]) -> Option<usize> {
    let shorter = plain.len().checked_sub(1)?;
    COMPRESSOR.with_borrow_mut(|zstd| zstd.as_mut()?.compress_to_buffer(plain, &mut target[..shorter]).ok())
}

/// The frame says how long its content is before anything is unfolded, and may not unfold to more: no bombs.
fn decompress(frame: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let length = usize::try_from(get_frame_content_size(frame).ok()??).ok().filter(|&length| length <= PLAIN_MAX)?;
    let mut plain = Zeroizing::new(vec![0; length]);
    let written =
        DECOMPRESSOR.with_borrow_mut(|zstd| zstd.as_mut()?.decompress_to_buffer(frame, plain.as_mut_slice()).ok())?;
    (written == length).then_some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Undecodable> {
        decode(Zeroizing::new(bytes.to_vec())).map(|plain| plain.to_vec())
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_and_never_grows_by_more_than_its_first_byte(
            plain in prop_oneof![any::<Vec<u8>>(), "[a-c ]{0,2000}".prop_map(String::into_bytes)],
        ) {
            let encoded = encode(&plain);
            prop_assert!(encoded.len() <= plain.len() + 1);
            prop_assert_eq!(decoded(&encoded), Ok(plain));
        }

        #[test]
        fn any_bytes_decode_or_are_refused_without_a_panic(bytes: Vec<u8>, way in 0..3u8) {
            let _ = decoded(&[&[way][..], &bytes].concat());
        }
    }

    #[test]
    fn repeated_words_are_compressed_and_short_ones_are_left_alone() {
        assert_eq!(encode(b"ok"), b"\0ok");
        assert_eq!(encode(b""), b"\0");
        let long = encode(&[b'a'; 4096]);
        assert!(long[0] == ZSTD && long.len() < 64, "{} bytes", long.len());
    }

    #[test]
    fn a_bomb_is_refused_by_the_length_it_says() {
        let bomb = zstd::bulk::compress(&vec![0; PLAIN_MAX + 1], 3).unwrap();
        assert_eq!(decoded(&[&[ZSTD][..], &bomb].concat()), Err(Undecodable::Zstd));
        // Nor does it help to say none.
        let silent = zstd::stream::encode_all(&[0; 100][..], 3).unwrap();
        assert!(matches!(get_frame_content_size(&silent), Ok(None)));
        assert_eq!(decoded(&[&[ZSTD][..], &silent].concat()), Err(Undecodable::Zstd));
    }

    #[test]
    fn words_at_and_over_the_bound_still_come_back() {
        for length in [PLAIN_MAX, PLAIN_MAX + 1] {
            let plain = vec![7; length];
            assert!(decoded(&encode(&plain)).unwrap() == plain, "{length} bytes");
        }
    }

    #[test]
    fn an_unknown_way_is_named() {
        assert_eq!(decoded(&[9, 1, 2]), Err(Undecodable::Unknown(9)));
        assert_eq!(decoded(&[]), Err(Undecodable::Empty));
    }
}
