//! The keys that checkpoints are signed with, and the memory of what was signed last: two files beside the other keys.
//!
//! - `signing`: a line for each key, the newest first. `v1 ` and, in hex, the seed as it is sealed by the root: this key
//!   signs. While keys are switched there are two, and both sign. `retired ` and, in hex, a public key: it signed once,
//!   and what it signed stays known.
//! - `signed`: origin, size and root of the last checkpoint, as its three lines. It lies outside the database because it
//!   is held against the database: one that was restored or cut short cannot take it back.
//!
//! The files are read each time they are needed, so that a switch of keys needs no restart, and servers that share a key
//! directory share one memory.

use zeroize::Zeroizing;

use super::KeyringError;
use super::cipher::{self, Key};
use super::files::KeyDir;
use super::keyring::roots;
use super::root::{KeyStore, Root};
use crate::proof::checkpoint::Checkpoint;
use crate::proof::note::{Signer, Verifier};

const SIGNING: &str = "signing";
const SIGNED: &str = "signed";
const SEALED: &str = "v1 ";
const RETIRED: &str = "retired ";

/// Where the signing keys lie. It waits for files, so it is not for the tasks of a runtime.
#[derive(Debug, Clone)]
pub struct Signing {
    store: KeyStore,
}

/// The keys of one log.
#[derive(Debug)]
pub struct SigningKeys {
    /// Those that sign, the newest first.
    pub signers: Vec<Signer>,
    /// All that ever signed, the newest first.
    pub known: Vec<Verifier>,
}

/// What the file `signing` says.
struct Keys {
    seeds: Vec<Key>,
    retired: Vec<[u8; 32]>,
}

impl Signing {
    pub const fn new(store: KeyStore) -> Self {
        Self { store }
    }

    /// The keys under the name that a log has. The first one is made when there is none, unless something `was_signed`:
    /// then it was lost.
    ///
    /// # Errors
    /// If the file was lost, does not open or may be read by others.
    pub fn keys(&self, name: &str, was_signed: bool) -> Result<SigningKeys, KeyringError> {
        let dir = KeyDir::lock(&self.store.dir, false)?;
        let roots = roots(&dir, &self.store)?;
        let keys = match read(&dir, &roots)? {
            Some(keys) => keys,
            None if was_signed || dir.read(SIGNED)?.is_some() => {
                return Err(KeyringError::Missing { file: dir.file(SIGNING) });
            }
            None => {
                let keys = Keys { seeds: vec![cipher::key()], retired: Vec::new() };
                dir.write(SIGNING, &keys.text(&roots[0]))?;
                keys
            }
        };
        keys.named(name, &dir)
    }

    /// Begins a switch to a new key, which signs first from now on; the one before signs beside it. Or, with `finish`,
    /// ends it: the newest alone signs, and the others are retired.
    ///
    /// # Errors
    /// If the files do not open, or cannot be written: then the keys are as they were.
    pub fn rotate(&self, name: &str, finish: bool) -> Result<SigningKeys, KeyringError> {
        let dir = KeyDir::lock(&self.store.dir, false)?;
        let roots = roots(&dir, &self.store)?;
        let missing = || KeyringError::Missing { file: dir.file(SIGNING) };
        let mut keys = read(&dir, &roots)?.ok_or_else(missing)?;
        // Two at most sign.
        let stay = 1;
        for seed in keys.seeds.drain(stay.min(keys.seeds.len())..) {
            keys.retired.insert(0, Signer::new(name, &seed).verifier().key());
        }
        if !finish {
            keys.seeds.insert(0, cipher::key());
        }
        dir.write(SIGNING, &keys.text(&roots[0]))?;
        keys.named(name, &dir)
    }

    /// The last checkpoint that was signed.
    ///
    /// # Errors
    /// If the file does not read as one, or may be read by others.
    pub fn last(&self) -> Result<Option<Checkpoint>, KeyringError> {
        last(&KeyDir::lock(&self.store.dir, false)?)
    }

    /// Remembers that `to` is about to be signed, if `from` is still what was signed last; if not, says so. Whatever
    /// happens afterwards, what is not consistent with `to` will not be signed.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn remember(&self, from: Option<&Checkpoint>, to: &Checkpoint) -> Result<bool, KeyringError> {
        let dir = KeyDir::lock(&self.store.dir, false)?;
        let unmoved = last(&dir)?.as_ref() == from;
        if unmoved {
            dir.write(SIGNED, &to.text())?;
        }
        Ok(unmoved)
    }
}

fn last(dir: &KeyDir) -> Result<Option<Checkpoint>, KeyringError> {
    let Some(text) = dir.read(SIGNED)? else { return Ok(None) };
    Checkpoint::parse(&text).map(Some).ok_or_else(|| KeyringError::Unreadable { file: dir.file(SIGNED) })
}

/// The text of the file `signing` under another root; none where there is no such file.
pub(super) fn resealed(
    dir: &KeyDir,
    roots: &[Root],
    new: &Root,
) -> Result<Option<(String, Zeroizing<String>)>, KeyringError> {
    Ok(read(dir, roots)?.map(|keys| (SIGNING.to_owned(), keys.text(new))))
}

fn read(dir: &KeyDir, roots: &[Root]) -> Result<Option<Keys>, KeyringError> {
    let Some(text) = dir.read(SIGNING)? else { return Ok(None) };
    let unreadable = || KeyringError::Unreadable { file: dir.file(SIGNING) };
    let mut keys = Keys { seeds: Vec::new(), retired: Vec::new() };
    for line in text.lines() {
        if let Some(sealed) = line.strip_prefix(SEALED) {
            let sealed = hex::decode(sealed).map_err(|_| unreadable())?;
            let mut opened = roots.iter().filter_map(|root| cipher::unwrap(&root.0, &associated(), &sealed).ok());
            keys.seeds.push(opened.next().ok_or_else(|| KeyringError::Sealed { file: dir.file(SIGNING) })?);
        } else {
            let mut retired = [0; 32];
            let digits = line.strip_prefix(RETIRED).ok_or_else(unreadable)?;
            hex::decode_to_slice(digits, &mut retired).map_err(|_| unreadable())?;
            keys.retired.push(retired);
        }
    }
    if keys.seeds.is_empty() { Err(unreadable()) } else { Ok(Some(keys)) }
}

impl Keys {
    fn text(&self, root: &Root) -> Zeroizing<String> {
        use std::fmt::Write as _;
        let mut text = Zeroizing::new(String::new());
        for seed in &self.seeds {
            let sealed = cipher::wrap(&root.0, &associated(), seed);
            let _ = writeln!(text, "{SEALED}{}", hex::encode(sealed)); // a string takes all
        }
        for key in &self.retired {
            let _ = writeln!(text, "{RETIRED}{}", hex::encode(key));
        }
        text
    }

    fn named(self, name: &str, dir: &KeyDir) -> Result<SigningKeys, KeyringError> {
        let signers: Vec<Signer> = self.seeds.iter().map(|seed| Signer::new(name, seed)).collect();
        let mut known: Vec<Verifier> = signers.iter().map(Signer::verifier).collect();
        for key in &self.retired {
            let retired = Verifier::new(name, key);
            known.push(retired.map_err(|_| KeyringError::Unreadable { file: dir.file(SIGNING) })?);
        }
        Ok(SigningKeys { signers, known })
    }
}

/// Bound into each sealed seed: what it is for.
fn associated() -> Vec<u8> {
    cipher::associated("convoledger signing key v1", &[])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::super::Keyring;
    use super::*;

    fn stand() -> (TempDir, Signing, KeyStore) {
        let dir = TempDir::new().unwrap();
        let store = KeyStore::new(dir.path().join("keys"), None).unwrap();
        Keyring::open(&store, true).unwrap();
        (dir, Signing::new(store.clone()), store)
    }

    fn names(keys: &SigningKeys) -> (Vec<String>, Vec<String>) {
        let signing = keys.signers.iter().map(|signer| signer.verifier().to_string()).collect();
        (signing, keys.known.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_key_is_made_once_survives_a_new_root_and_is_never_made_over_what_it_signed() {
        let (dir, signing, store) = stand();
        let first = names(&signing.keys("log", false).unwrap());
        assert_eq!(first.0, first.1);
        Keyring::rotate_root(&store, &Root::random()).unwrap();
        assert_eq!(names(&signing.keys("log", true).unwrap()), first);
        let text = fs::read_to_string(dir.path().join("keys/signing")).unwrap();
        assert!(text.starts_with("v1 ") && text.len() == 3 + 144 + 1, "only sealed bytes: {text}");

        fs::remove_file(dir.path().join("keys/signing")).unwrap();
        assert!(matches!(signing.keys("log", true), Err(KeyringError::Missing { .. })));
        signing.remember(None, &Checkpoint { origin: "log".into(), size: 1, root: [1; 32] }).unwrap();
        assert!(matches!(signing.keys("log", false), Err(KeyringError::Missing { .. })));
    }

    #[test]
    fn while_keys_are_switched_both_sign_and_all_stay_known() {
        let (_dir, signing, _) = stand();
        let (first, _) = names(&signing.keys("log", false).unwrap());
        let (both, known) = names(&signing.rotate("log", false).unwrap());
        assert_eq!((both.len(), &both[1], &known), (2, &first[0], &both));
        let (last, known) = names(&signing.rotate("log", true).unwrap());
        assert_eq!((last.as_slice(), known.as_slice()), (&both[..1], &both[..]));
        let (again, known) = names(&signing.rotate("log", false).unwrap());
        assert_eq!((again.len(), &again[1], known.len()), (2, &last[0], 3));
        assert_eq!(names(&signing.keys("log", true).unwrap()), (again, known));
    }

    #[test]
    fn of_many_who_remember_at_once_one_does() {
        let (_dir, signing, _) = stand();
        assert_eq!(signing.last().unwrap(), None);
        let checkpoint = |size| Checkpoint { origin: "log".into(), size, root: [7; 32] };
        let done: Vec<u64> = std::thread::scope(|scope| {
            let all = (1..=8).map(|size| {
                (
                    size,
                    scope.spawn({
                        let signing = signing.clone();
                        move || signing.remember(None, &checkpoint(size)).unwrap()
                    }),
                )
            });
            let all: Vec<_> = all.collect();
            all.into_iter().filter_map(|(size, one)| one.join().unwrap().then_some(size)).collect()
        });
        assert_eq!(done.len(), 1);
        assert_eq!(signing.last().unwrap(), Some(checkpoint(done[0])));
        assert!(!signing.remember(None, &checkpoint(9)).unwrap());
        assert!(signing.remember(Some(&checkpoint(done[0])), &checkpoint(9)).unwrap());
    }
}
