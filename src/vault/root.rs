//! The root key, and where it and what it seals are to be found.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::KeyringError;
use super::cipher::{self, Key};

/// Where the key files lie, and what opens them.
#[derive(Debug, Clone)]
pub struct KeyStore {
    pub(super) dir: PathBuf,
    /// The roots given from the environment, the newest first; none when the root is a file.
    pub(super) given: Vec<Root>,
}

impl KeyStore {
    /// Key files in `dir`, under the root that lies there, or under `root` where one is given: 64 hex digits, or
    /// several such roots, the newest first, with commas between them, while the root is rotated.
    ///
    /// # Errors
    /// If `root` is no such text.
    pub fn new(dir: impl Into<PathBuf>, root: Option<&str>) -> Result<Self, KeyringError> {
        let given = root.map(|roots| roots.split(',').map(|root| Root::read(root.trim())).collect::<Option<_>>());
        let given = given.map(|given| given.ok_or(KeyringError::Root)).transpose()?.unwrap_or_default();
        Ok(Self { dir: dir.into(), given })
    }
}

/// The key that seals all key files.
#[derive(Clone, PartialEq, Eq)]
pub struct Root(pub(super) Key);

impl Root {
    /// A fresh one.
    #[must_use]
    pub fn random() -> Self {
        Self(cipher::key())
    }

    /// Reads 64 hex digits.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut key = Key::default();
        hex::decode_to_slice(text, &mut key[..]).ok()?;
        Some(Self(key))
    }

    /// 64 hex digits.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(&self.0[..]))
    }
}

/// Shows nothing of it.
impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Root(…)")
    }
}
