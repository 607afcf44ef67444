//! Signed notes (C2SP signed-note): a text, an empty line, and a line for each key that signed it.
//!
//! Ed25519 alone (RFC 8032, checked strictly): `0x01` signs the text itself, `0x04` is a witness's cosignature with its
//! time (C2SP tlog-cosignature).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature as Ed25519, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// More than a note of ours with all its cosignatures; whatever is longer is not read.
pub const NOTE_MAX: usize = 64 * 1024;
const SIGNATURES_MAX: usize = 64;
const DASH: &str = "\u{2014} ";

/// Why something is no note, no key, or not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("it is no signed note (C2SP signed-note): {0}")]
    Form(&'static str),
    #[error("`{0}` is no public key as notes have them: NAME+HASH+BASE64 (C2SP signed-note, vkey), Ed25519")]
    Key(String),
    #[error("the signature of {0} does not hold: the text or the signature was changed")]
    Forged(String),
    #[error("none of the keys that are trusted has signed it; it is signed by {0}")]
    Stranger(String),
}

/// A note as it was read: nothing in it is to be believed before [`Note::verified`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Ends in a newline.
    pub text: String,
    pub signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    /// Which key of this name.
    pub id: u32,
    pub bytes: Vec<u8>,
}

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// The text: a log, or whoever vouches for what it says.
    Text,
    /// That the text is a checkpoint which follows from all that were seen before, and when: a witness.
    Cosignature,
}

/// A public key and its name. Written `NAME+HASH+BASE64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    signs: Signs,
    key: VerifyingKey,
}

/// A secret key and its name.
pub struct Signer {
    name: String,
    signs: Signs,
    key: SigningKey,
}

impl Signer {
    /// The key that grows out of `seed`, for texts.
    #[must_use]
    pub fn new(name: &str, seed: &[u8; 32]) -> Self {
        Self { name: name.to_owned(), signs: Signs::Text, key: SigningKey::from_bytes(seed) }
    }

    /// The key that grows out of `seed`, for cosignatures.
    #[must_use]
    pub fn witness(name: &str, seed: &[u8; 32]) -> Self {
        Self { signs: Signs::Cosignature, ..Self::new(name, seed) }
    }

    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier { name: self.name.clone(), signs: self.signs, key: self.key.verifying_key() }
    }

    /// Signs a text; for a cosignature at `time`, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, text: &str, time: u64) -> Signature {
        let bytes = match self.signs {
            Signs::Text => self.key.sign(text.as_bytes()).to_bytes().to_vec(),
            Signs::Cosignature => {
                let signed = self.key.sign(cosigned(text, time).as_bytes());
                [&time.to_be_bytes()[..], &signed.to_bytes()].concat()
            }
        };
        Signature { name: self.name.clone(), id: self.verifier().id(), bytes }
    }
}

/// Shows nothing of the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier())
    }
}

impl Verifier {
    /// A key for texts.
    ///
    /// # Errors
    /// If these bytes are no Ed25519 key.
    pub fn new(name: &str, key: &[u8; 32]) -> Result<Self, NoteError> {
        let key = VerifyingKey::from_bytes(key).map_err(|_| NoteError::Key(name.to_owned()))?;
        Ok(Self { name: name.to_owned(), signs: Signs::Text, key })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    pub const fn signs(&self) -> Signs {
        self.signs
    }

    /// The hint by which a signature names its key.
    #[must_use]
    pub fn id(&self) -> u32 {
        let digest = Sha256::new().chain_update(&self.name).chain_update("\n").chain_update(self.encoded()).finalize();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    fn encoded(&self) -> [u8; 33] {
        let mut encoded = [0; 33];
        encoded[0] = self.signs as u8 * 3 + 1;
        encoded[1..].copy_from_slice(self.key.as_bytes());
        encoded
    }

    fn made(&self, signature: &Signature) -> bool {
        signature.name == self.name && signature.id == self.id()
    }

    fn holds(&self, text: &str, signature: &Signature) -> bool {
        let strict = |text: &str, bytes: &[u8]| {
            Ed25519::from_slice(bytes).is_ok_and(|signed| self.key.verify_strict(text.as_bytes(), &signed).is_ok())
        };
        match (self.signs, signature.bytes.split_first_chunk::<8>()) {
            (Signs::Text, _) => strict(text, &signature.bytes),
            (Signs::Cosignature, Some((time, bytes))) => strict(&cosigned(text, u64::from_be_bytes(*time)), bytes),
            (Signs::Cosignature, None) => false,
        }
    }
}

/// What a witness signs.
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(self.encoded()))
    }
}

impl FromStr for Verifier {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let (name, rest) = text.split_once('+')?;
            let (id, encoded) = rest.split_once('+')?;
            let encoded: [u8; 33] = STANDARD.decode(encoded).ok()?.try_into().ok()?;
            let (&algorithm, key) = encoded.split_first()?;
            let signs = match algorithm {
                1 => Signs::Text,
                4 => Signs::Cosignature,
                _ => return None,
            };
            let verifier = Self { signs, ..Self::new(name, key.try_into().ok()?).ok()? };
            (is_name(name) && id == format!("{:08x}", verifier.id())).then_some(verifier)
        };
        read().ok_or_else(|| NoteError::Key(text.to_owned()))
    }
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_MAX {
            return Err(NoteError::Form("it is too long"));
        }
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Form("it holds control characters"));
        }
        let (text, lines) =
            note.rsplit_once("\n\n").ok_or(NoteError::Form("no empty line stands before signatures"))?;
        let signatures = lines
            .strip_suffix('\n')
            .and_then(|lines| lines.split('\n').map(Signature::parse).collect::<Option<Vec<_>>>())
            .filter(|signatures| signatures.len() <= SIGNATURES_MAX)
            .ok_or(NoteError::Form("its signatures do not read as such"))?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// Those of `trusted` who signed it; one at least. Signatures by others say nothing, and are passed over.
    ///
    /// # Errors
    /// If none did, or the signature of one does not hold.
    pub fn verified<'k>(&self, trusted: &'k [Verifier]) -> Result<Vec<&'k Verifier>, NoteError> {
        let mut signed = Vec::new();
        for signature in &self.signatures {
            let Some(key) = trusted.iter().find(|key| key.made(signature)) else { continue };
            if !key.holds(&self.text, signature) {
                return Err(NoteError::Forged(key.to_string()));
            }
            signed.push(key);
        }
        if signed.is_empty() {
            let names = self.signatures.iter().map(|signature| format!("{}+{:08x}", signature.name, signature.id));
            return Err(NoteError::Stranger(names.collect::<Vec<_>>().join(", ")));
        }
        Ok(signed)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Signature {
    /// Reads a line without its newline.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let (id, bytes) = decoded.split_first_chunk()?;
        let whole = is_name(name) && !bytes.is_empty();
        whole.then(|| Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }
}

/// The line, without its newline.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = STANDARD.encode([&self.id.to_be_bytes()[..], &self.bytes].concat());
        write!(f, "{DASH}{} {encoded}", self.name)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The note and the key that golang.org/x/mod/sumdb/note tells of in its documentation.
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_of_go_verifies_under_its_key_and_is_written_alike() {
        let (key, note) = (GO_KEY.parse::<Verifier>().expect("a key"), Note::parse(GO_NOTE).expect("a note"));
        assert_eq!((key.to_string(), note.to_string()), (GO_KEY.to_owned(), GO_NOTE.to_owned()));
        assert_eq!(note.verified(std::slice::from_ref(&key)), Ok(vec![&key]));
    }

    #[test]
    fn who_is_not_trusted_says_nothing_and_who_is_must_be_right() {
        let (ours, other) = (Signer::new("a.org/log", &[1; 32]), Signer::new("a.org/log", &[2; 32]));
        let text = "a\n\nb\n".to_owned();
        let note = Note { signatures: vec![other.sign(&text, 0), ours.sign(&text, 0)], text };
        assert_eq!(Note::parse(&note.to_string()), Ok(note.clone()));
        assert_eq!(note.verified(&[ours.verifier()]).map(|by| by.len()), Ok(1));
        let stranger = Signer::new("a.org/log", &[3; 32]).verifier();
        assert!(matches!(note.verified(&[stranger]), Err(NoteError::Stranger(_))));
        let mut forged = note.clone();
        forged.signatures[0].bytes[9] ^= 1;
        assert!(matches!(forged.verified(&[ours.verifier(), other.verifier()]), Err(NoteError::Forged(_))));
        assert!(forged.verified(&[ours.verifier()]).is_ok(), "a stranger's signature is passed over");
        let other_use = Signer::witness("a.org/log", &[1; 32]).verifier();
        assert!(matches!(note.verified(&[other_use]), Err(NoteError::Stranger(_))), "a key for another use");
    }

    #[test]
    fn a_cosignature_holds_for_its_time_alone() {
        let witness = Signer::witness("w.org/1", &[7; 32]);
        assert_eq!(witness.verifier().to_string().parse::<Verifier>(), Ok(witness.verifier()));
        let text = "log\n1\nroot\n".to_owned();
        let mut note = Note { signatures: vec![witness.sign(&text, 1_679_315_147)], text };
        assert!(note.verified(&[witness.verifier()]).is_ok());
        note.signatures[0].bytes[7] ^= 1;
        assert!(matches!(note.verified(&[witness.verifier()]), Err(NoteError::Forged(_))));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for note in [
            "",
            "\n\n",
            "a\n",
            "a\n\n",
            "a\n\n\u{2014} b\n",
            "a\n\n\u{2014} b AAAA\n",
            "a\n\n\u{2014} b AAAAAAA=",
            "a\r\n\n\u{2014} b AAAAAAA=\n",
            "a\n\n- b AAAAAAA=\n",
        ] {
            assert!(matches!(Note::parse(note), Err(NoteError::Form(_))), "{note:?}");
        }
        for key in ["", "a+b", "a b+00000000+AQ==", &GO_KEY.replace("c74f", "c74e"), &GO_KEY.replace("Peter", "Paul")] {
            assert!(key.parse::<Verifier>().is_err(), "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn one_bit_of_a_note_makes_it_another(at: prop::sample::Index, bit in 0_u8..8) {
            let signer = Signer::new("a.org/log", &[1; 32]);
            let text = "a.org/log\n17\nroot\n".to_owned();
            let note = Note { signatures: vec![signer.sign(&text, 0)], text };
            let mut bytes = note.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let changed = String::from_utf8(bytes).ok().and_then(|text| Note::parse(&text).ok());
            if let Some(changed) = changed {
                prop_assert!(changed == note || changed.verified(&[signer.verifier()]).is_err());
            }
        }
    }
}
