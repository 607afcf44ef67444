//! Proofs in a file (C2SP tlog-proof): where an event stands in the tree of a checkpoint, with the checkpoint. Their
//! name ends in `.tlog-proof`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::Checkpoint;
use super::merkle::root_by;
use super::note::{Note, NoteError, Verifier};
use super::{Hash, base64, decimal, hash};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// No path in a tree of 2^64 leaves is longer.
const PATH_MAX: usize = 64;

/// What such a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The leaf record, which the leaf hash is taken over. It is bound by the proof alone.
    pub extra: Option<Vec<u8>>,
    /// From 0: one less than the position.
    pub index: u64,
    pub path: Vec<Hash>,
    pub checkpoint: Note,
}

/// Why a file does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("it does not read as a proof (C2SP tlog-proof)")]
    Form,
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    #[error("what it should prove is not event {index} of the log whose checkpoint it holds")]
    Elsewhere { index: u64 },
}

impl Bundle {
    /// Reads such a file.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(file: &str) -> Result<Self, Unproven> {
        let (proof, checkpoint) = file.split_once("\n\n").ok_or(Unproven::Form)?;
        let checkpoint = Note::parse(checkpoint)?;
        let read = || {
            let mut lines = proof.split('\n').peekable();
            lines.next().filter(|line| *line == HEADER)?;
            let extra = match lines.next_if(|line| line.starts_with("extra ")) {
                Some(line) => Some(STANDARD.decode(line.strip_prefix("extra ")?).ok()?),
                None => None,
            };
            let index = decimal(lines.next()?.strip_prefix("index ")?)?;
            let path = lines.map(hash).collect::<Option<Vec<_>>>().filter(|path| path.len() <= PATH_MAX)?;
            Some((extra, index, path))
        };
        let (extra, index, path) = read().ok_or(Unproven::Form)?;
        Ok(Self { extra, index, path, checkpoint })
    }

    /// The checkpoint, if one of `trusted` signed it and `leaf` is in its tree where this says.
    ///
    /// # Errors
    /// If not.
    pub fn proves(&self, leaf: Hash, trusted: &[Verifier]) -> Result<Checkpoint, Unproven> {
        self.checkpoint.verified(trusted)?;
        let checkpoint = Checkpoint::parse(&self.checkpoint.text).ok_or(Unproven::Form)?;
        match root_by(&self.path, leaf, self.index, checkpoint.size) {
            Some(root) if root == checkpoint.root => Ok(checkpoint),
            _ => Err(Unproven::Elsewhere { index: self.index }),
        }
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proof::merkle::{leaf, parent};
    use crate::proof::note::Signer;

    fn bundle(extra: bool) -> (Bundle, Signer) {
        let (record, beside, signer) = (b"record", leaf(b"other"), Signer::new("a.org/log", &[1; 32]));
        let root = parent(&leaf(record), &beside);
        let text = Checkpoint { origin: "a.org/log".into(), size: 2, root }.text();
        let checkpoint = Note { signatures: vec![signer.sign(&text, 0)], text };
        (Bundle { extra: extra.then(|| record.to_vec()), index: 0, path: vec![beside], checkpoint }, signer)
    }

    proptest! {
        #[test]
        fn one_changed_byte_of_a_proof_proves_nothing(at: prop::sample::Index, other: u8, extra: bool) {
            let (bundle, signer) = bundle(extra);
            let proven = |bundle: &Bundle| bundle.proves(leaf(b"record"), &[signer.verifier()]).is_ok();
            prop_assert!(proven(&bundle));
            let mut bytes = bundle.to_string().into_bytes();
            prop_assert_eq!(Bundle::parse(&bundle.to_string()), Ok(bundle.clone()));
            let at = at.index(bytes.len());
            bytes[at] = other;
            let changed = String::from_utf8(bytes).ok().and_then(|text| Bundle::parse(&text).ok());
            // What is extra is bound by being hashed, not by the file.
            let same = |changed: &Bundle| Bundle { extra: bundle.extra.clone(), ..changed.clone() } == bundle;
            prop_assert!(changed.is_none_or(|changed| same(&changed) || !proven(&changed)));
        }
    }
}
