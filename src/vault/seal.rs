//! Sealing the words of one person.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::cipher::{self, Key};
use super::encoding::{self, Undecodable};
use super::opening::Opening;
use crate::event::{EventId, LedgerId, OwnerId, Sealed, SubjectId, Token};
use crate::random;

/// What a part of words belongs to. All of it is bound into the seal: words that were moved to another ledger, owner,
/// event, kind or part do not open. Nothing that the lane assigns is in it, for it is unknown when words are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About<'a> {
    pub ledger: LedgerId,
    pub owner: OwnerId,
    pub event: EventId,
    pub kind: &'a str,
    pub kind_version: u16,
    pub part: u8,
}

/// Why sealed words do not open. That they were forgotten is not among the reasons: then there is no key to try.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error(
        "part {part} of event {event} does not open under key {generation} of subject {subject}: its bytes were changed, \
         or belong elsewhere; `convoledger verify` says which"
    )]
    Forged { event: EventId, part: u8, subject: SubjectId, generation: u32 },
    #[error("part {part} of event {event} opens, but its words do not read")]
    Undecodable {
        event: EventId,
        part: u8,
        #[source]
        source: Undecodable,
    },
}

/// One of a subject's keys, ready for use. What it seals, compares, digests and covers files with is under keys derived from
/// it, so that no use of one tells about another. Wiped from memory when the last holder lets go of it.
#[derive(ZeroizeOnDrop)]
pub struct SubjectKey {
    #[zeroize(skip)]
    subject: SubjectId,
    #[zeroize(skip)]
    generation: u32,
    words: [u8; 32],
    tokens: [u8; 32],
    digests: [u8; 32],
    files: [u8; 32],
    openings: [u8; 32],
}

impl SubjectKey {
    pub(super) fn new(subject: SubjectId, generation: u32, key: &Key) -> Self {
        Self {
            subject,
            generation,
            words: blake3::derive_key("convoledger subject words key v1", &key[..]),
            tokens: blake3::derive_key("convoledger subject token key v1", &key[..]),
            digests: blake3::derive_key("convoledger subject digest key v1", &key[..]),
            files: blake3::derive_key("convoledger subject file key v1", &key[..]),
            openings: blake3::derive_key("convoledger subject opening key v1", &key[..]),
        }
    }

    /// The same, but that it goes on comparing and digesting by the keys of the generation before it.
    pub(super) fn going_on(mut self, tokens: &Key, digests: &Key) -> Self {
        (self.tokens, self.digests) = (**tokens, **digests);
        self
    }

    /// The keys of tokens and of digests, which the next generation goes on with.
    pub(super) fn goes_on(&self) -> [Key; 2] {
        [Key::new(self.tokens), Key::new(self.digests)]
    }

    #[must_use]
    pub const fn subject(&self) -> SubjectId {
        self.subject
    }

    /// Which of the subject's keys this is; 1 is the first.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Seals one part of words: compressed where that is shorter, under a fresh nonce.
    ///
    /// Words longer than [`super::PLAIN_MAX`] seal and open too, but the log has no room for them.
    #[must_use]
    pub fn seal(&self, about: &About<'_>, plain: &[u8]) -> Sealed {
        self.seal_with(random::bytes(), about, plain)
    }

    /// Opens what [`SubjectKey::seal`] made of the same `about`.
    ///
    /// # Errors
    /// If a bit of it differs from what was sealed, the key is another, or what was sealed does not read as words.
    pub fn open(&self, about: &About<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if (sealed.subject, sealed.generation) != (self.subject, self.generation) {
            return Err(about.forged(sealed));
        }
        self.opening(&sealed.nonce).open(about, sealed)
    }

    /// What opens the part alone that was sealed under this nonce.
    #[must_use]
    pub fn opening(&self, nonce: &[u8; 24]) -> Opening {
        Opening(*cipher::key_of_nonce(&self.words, nonce))
    }

    /// What covers the opening of a part that an older key sealed under this nonce, which no other part has.
    pub(super) fn pad(&self, nonce: &[u8; 24]) -> [u8; 32] {
        *blake3::keyed_hash(&self.openings, nonce).as_bytes()
    }

    /// The key of files that are sealed whole: exports that wait to be fetched.
    pub(super) const fn files(&self) -> &[u8; 32] {
        &self.files
    }

    /// The token of a word, by which facts may be compared: equal for words that [`normalise`] alike, under this key.
    #[must_use]
    pub fn token(&self, word: &str) -> Token {
        Token(short(&self.tokens, normalise(word).as_bytes()))
    }

    /// A digest of `bytes` that says nothing without this key: of a command, to tell a repeat from a reuse of its id.
    #[must_use]
    pub fn digest(&self, bytes: &[u8]) -> [u8; 16] {
        short(&self.digests, bytes)
    }

    fn seal_with(&self, nonce: [u8; 24], about: &About<'_>, plain: &[u8]) -> Sealed {
        let mut ciphertext = encoding::encode(plain);
        cipher::encrypt(&self.words, &nonce, &self.associated(about), &mut ciphertext);
        Sealed { part: about.part, subject: self.subject, generation: self.generation, nonce, ciphertext }
    }

    fn associated(&self, about: &About<'_>) -> Vec<u8> {
        associated(about, self.subject, self.generation)
    }
}

impl About<'_> {
    pub(super) const fn forged(&self, sealed: &Sealed) -> OpenError {
        let &Self { event, part, .. } = self;
        OpenError::Forged { event, part, subject: sealed.subject, generation: sealed.generation }
    }
}

pub(super) fn associated(about: &About<'_>, subject: SubjectId, generation: u32) -> Vec<u8> {
    cipher::associated(
        "convoledger words v1",
        &[
            about.ledger.0.as_bytes(),
            about.owner.0.as_bytes(),
            subject.0.as_bytes(),
            &generation.to_be_bytes(),
            about.event.0.as_bytes(),
            about.kind.as_bytes(),
            &about.kind_version.to_be_bytes(),
            &[about.part],
        ],
    )
}

/// Says whose key it is, never the key.
impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectKey({}, generation {})", self.subject, self.generation)
    }
}

/// A word as tokens see it: in Unicode's composed form (NFC), in lower case, without white space around it and with
/// one space for every run within. Normalising twice changes nothing more.
#[must_use]
pub fn normalise(word: &str) -> String {
    // Composed again at the end, because the lower case of a composed letter may be a decomposed one.
    let lower = word.nfc().collect::<String>().to_lowercase();
    lower.split_whitespace().collect::<Vec<_>>().join(" ").nfc().collect()
}

/// Keyed BLAKE3, cut to 16 bytes.
fn short(key: &[u8; 32], bytes: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::keyed_hash(key, bytes).as_bytes()[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const ABOUT: About<'static> = About {
        ledger: LedgerId(Uuid::from_u128(1)),
        owner: OwnerId(Uuid::from_u128(2)),
        event: EventId(Uuid::from_u128(3)),
        kind: "message.appended",
        kind_version: 1,
        part: 0,
    };

    fn key_of(subject: u128, generation: u32, byte: u8) -> SubjectKey {
        SubjectKey::new(SubjectId(Uuid::from_u128(subject)), generation, &Key::new([byte; 32]))
    }

    fn key() -> SubjectKey {
        key_of(4, 1, 7)
    }

    fn refused(key: &SubjectKey, about: &About<'_>, sealed: &Sealed) -> bool {
        matches!(key.open(about, sealed), Err(OpenError::Forged { .. }))
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(plain in prop_oneof![any::<Vec<u8>>(), ".{0,3000}".prop_map(String::into_bytes)]) {
            let sealed = key().seal(&ABOUT, &plain);
            prop_assert_eq!(key().open(&ABOUT, &sealed).unwrap().to_vec(), plain);
        }

        #[test]
        fn what_opens_one_part_opens_no_other(plain: Vec<u8>, other: Vec<u8>) {
            let [sealed, second] = [&plain, &other].map(|plain| key().seal(&ABOUT, plain));
            let opening = key().opening(&sealed.nonce);
            prop_assert_eq!(opening.open(&ABOUT, &sealed).unwrap().to_vec(), plain);
            prop_assert!(opening.open(&ABOUT, &second).is_err());
            let elsewhere = About { part: 1, ..ABOUT };
            prop_assert!(opening.open(&elsewhere, &sealed).is_err());
        }

        #[test]
        fn one_changed_bit_of_ciphertext_or_nonce_fails(plain: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
            let sealed = key().seal(&ABOUT, &plain);
            let mut changed = sealed.clone();
            changed.ciphertext[at.index(sealed.ciphertext.len())] ^= 1 << bit;
            prop_assert!(refused(&key(), &ABOUT, &changed));

            let mut changed = sealed;
            changed.nonce[at.index(24)] ^= 1 << bit;
            prop_assert!(refused(&key(), &ABOUT, &changed));
        }

        #[test]
        fn one_changed_bit_of_an_id_or_number_fails(bit in 0..128u32) {
            let sealed = key().seal(&ABOUT, b"words");
            let other = |id: Uuid| Uuid::from_u128(id.as_u128() ^ (1 << bit));
            assert!(refused(&key(), &About { ledger: LedgerId(other(ABOUT.ledger.0)), ..ABOUT }, &sealed));
            assert!(refused(&key(), &About { owner: OwnerId(other(ABOUT.owner.0)), ..ABOUT }, &sealed));
            assert!(refused(&key(), &About { event: EventId(other(ABOUT.event.0)), ..ABOUT }, &sealed));
            assert!(refused(&key(), &About { kind_version: ABOUT.kind_version ^ (1 << (bit % 16)), ..ABOUT }, &sealed));

            // A part that was moved together with the row that says so, and one that was not.
            let about = About { part: ABOUT.part ^ (1 << (bit % 8)), ..ABOUT };
            assert!(refused(&key(), &about, &sealed));
            assert!(refused(&key(), &about, &Sealed { part: about.part, ..sealed.clone() }));

            // The same secret under another subject or generation is another key.
            let subject = other(key().subject().0);
            let moved = Sealed { subject: SubjectId(subject), ..sealed.clone() };
            assert!(refused(&key(), &ABOUT, &moved));
            assert!(refused(&key_of(subject.as_u128(), 1, 7), &ABOUT, &moved));
            let generation = 1 ^ (1 << (bit % 32));
            let moved = Sealed { generation, ..sealed };
            assert!(refused(&key(), &ABOUT, &moved));
            assert!(refused(&key_of(4, generation, 7), &ABOUT, &moved));
        }

        #[test]
        fn normalising_twice_changes_nothing_more(word: String) {
            let once = normalise(&word);
            prop_assert_eq!(normalise(&once), once);
        }
    }

    #[test]
    fn another_kind_another_secret_and_swapped_ciphertexts_fail() {
        let sealed = key().seal(&ABOUT, b"words");
        assert!(refused(&key(), &About { kind: "message.appendee", ..ABOUT }, &sealed));
        assert!(refused(&key_of(4, 1, 8), &ABOUT, &sealed));

        let first = key().seal(&ABOUT, b"yes");
        let second = key().seal(&About { event: EventId(Uuid::from_u128(9)), ..ABOUT }, b"no!");
        assert!(refused(&key(), &ABOUT, &second));
        assert!(refused(&key(), &ABOUT, &Sealed { ciphertext: second.ciphertext, ..first }));
    }

    #[test]
    fn equal_words_seal_differently_each_time() {
        let [one, two] = [(); 2].map(|()| key().seal(&ABOUT, b"the same"));
        assert!(one.nonce != two.nonce && one.ciphertext != two.ciphertext);
    }

    #[test]
    fn tokens_see_through_case_space_and_composition_but_not_through_keys() {
        assert_eq!(normalise("  Caf\u{65}\u{301} \t\n AU  Lait "), "caf\u{e9} au lait");
        assert_eq!(key().token("Café"), key().token(" cafe\u{301} "));
        assert_ne!(key().token("cafe"), key().token("café"));
        assert_ne!(key().token("café"), key_of(4, 1, 8).token("café"));
        assert_ne!(key().token("x").0, key().digest(b"x"), "each use has a key of its own");
    }

    /// The format is final: bytes that were sealed once must open for ever. Only words that lie uncompressed are also
    /// sealed again, for another zstd may compress otherwise.
    #[test]
    fn the_format_is_pinned() {
        let key = key();
        let nonce = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let short = key.seal_with(nonce, &ABOUT, br#"[{"type":"text","content":"hi"}]"#);
        assert_eq!(hex::encode(&short.ciphertext), SHORT);
        assert_eq!(*key.open(&ABOUT, &short).unwrap(), br#"[{"type":"text","content":"hi"}]"#);

        let long = Sealed { ciphertext: hex::decode(LONG).unwrap(), ..short };
        assert_eq!(*key.open(&ABOUT, &long).unwrap(), "to be or not to be, ".repeat(20).into_bytes());

        assert_eq!(key.token("Work").to_string(), TOKEN);
        assert_eq!(hex::encode(key.digest(b"a command")), DIGEST);
    }

    // Computed apart from this program, with PyCryptodome, blake3 and zstandard for Python.
    const SHORT: &str =
        "3df9e7f6378d2f25495229708ebbe7b806c0d175d211270e6c830cbd9b42c94cd11164ab1938936fa8c6347adebd5de40f";
    const LONG: &str = "3c8a29fbbe94cf40be680b749facb3f84fc2dd689c0b2d14388d359f871cfe996ccb442d5491f44b00e9a14a5faed2d9e8\
                        96a91241";
    const TOKEN: &str = "4dfec9593573cf82294976de8ecc4492";
    const DIGEST: &str = "4a4d43d496ca1bc897bcfb0bbc62afc2";
}
