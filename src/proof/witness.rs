//! Witnesses: whoever remembers the last checkpoint of a log believes only one that follows from it.
//!
//! The request by which a log asks a witness for its cosignature (C2SP tlog-witness, `add-checkpoint`) holds all that it
//! takes to judge, so it is also the file in which a later checkpoint is handed on with the proof that it follows.

use std::fmt;

use super::checkpoint::Checkpoint;
use super::merkle::is_consistent;
use super::note::{Note, NoteError, Verifier};
use super::{Hash, base64, decimal, hash};

/// The specification allows no more.
const PROOF_MAX: usize = 63;

/// A checkpoint, and the proof that its log begins with the first `old` events of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub old: u64,
    pub proof: Vec<Hash>,
    pub checkpoint: Note,
}

/// Why a witness does not believe a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disbelief {
    #[error("it does not read as an add-checkpoint request (C2SP tlog-witness)")]
    Form,
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error(
        "it is a checkpoint of `{found}`, and the one remembered is of `{remembered}`: another log, or another history"
    )]
    OtherLog { found: String, remembered: String },
    #[error("it says that the log has {size} events, and {remembered} were seen: the log was cut short")]
    Shrunk { size: u64, remembered: u64 },
    #[error("of {size} events it has another root than the one that was seen: the log was forked or rewritten")]
    Forked { size: u64 },
    #[error("its proof is from {old} events on, and what is remembered is of {remembered}")]
    OtherOld { old: u64, remembered: u64 },
    #[error("the log of {size} events does not begin with the {remembered} that were seen: it was forked or rewritten")]
    Inconsistent { size: u64, remembered: u64 },
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, Disbelief> {
        let (lines, checkpoint) = text.split_once("\n\n").ok_or(Disbelief::Form)?;
        let mut lines = lines.split('\n');
        let old = lines.next().and_then(|line| decimal(line.strip_prefix("old ")?)).ok_or(Disbelief::Form)?;
        let proof = lines.map(hash).collect::<Option<Vec<_>>>().filter(|proof| proof.len() <= PROOF_MAX);
        Ok(Self { old, proof: proof.ok_or(Disbelief::Form)?, checkpoint: Note::parse(checkpoint)? })
    }

    /// The checkpoint, if one of `trusted` signed it and it follows from the one that is remembered.
    ///
    /// # Errors
    /// If it does not, or this does not show it.
    pub fn follows(&self, remembered: Option<&Checkpoint>, trusted: &[Verifier]) -> Result<Checkpoint, Disbelief> {
        self.checkpoint.verified(trusted)?;
        let new = Checkpoint::parse(&self.checkpoint.text).ok_or(Disbelief::Form)?;
        let Some(seen) = remembered else {
            return if self.old == 0 { Ok(new) } else { Err(Disbelief::OtherOld { old: self.old, remembered: 0 }) };
        };
        can_follow(&new, seen)?;
        if self.old != seen.size {
            return Err(Disbelief::OtherOld { old: self.old, remembered: seen.size });
        }
        follows(&new, seen, &self.proof)?;
        Ok(new)
    }
}

/// What the two checkpoints alone tell.
///
/// # Errors
/// If no proof can show that `new` follows from `seen`.
pub fn can_follow(new: &Checkpoint, seen: &Checkpoint) -> Result<(), Disbelief> {
    if new.origin != seen.origin {
        return Err(Disbelief::OtherLog { found: new.origin.clone(), remembered: seen.origin.clone() });
    }
    if new.size < seen.size {
        return Err(Disbelief::Shrunk { size: new.size, remembered: seen.size });
    }
    if new.size == seen.size && new.root != seen.root {
        return Err(Disbelief::Forked { size: new.size });
    }
    Ok(())
}

/// Whether `new` follows from `seen`, by `proof`.
///
/// # Errors
/// If not.
pub fn follows(new: &Checkpoint, seen: &Checkpoint, proof: &[Hash]) -> Result<(), Disbelief> {
    can_follow(new, seen)?;
    let follows = is_consistent(proof, (seen.size, seen.root), (new.size, new.root));
    follows.then_some(()).ok_or(Disbelief::Inconsistent { size: new.size, remembered: seen.size })
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::merkle::{leaf, parent};
    use crate::proof::note::Signer;

    fn signed(signer: &Signer, size: u64, root: Hash) -> (Checkpoint, Note) {
        let checkpoint = Checkpoint { origin: "a.org/log".into(), size, root };
        let text = checkpoint.text();
        (checkpoint, Note { signatures: vec![signer.sign(&text, 0)], text })
    }

    #[test]
    fn a_witness_believes_what_follows_and_nothing_else() {
        let signer = Signer::new("a.org/log", &[1; 32]);
        let trusted = [signer.verifier()];
        let [one, two, other] = [b"1", b"2", b"3"].map(|data| leaf(data));
        let (seen, seen_note) = signed(&signer, 1, one);
        let request = |old, proof: &[Hash], checkpoint: Note| Request { old, proof: proof.to_vec(), checkpoint };
        let (new, new_note) = signed(&signer, 2, parent(&one, &two));
        let honest = request(1, &[two], new_note.clone());
        assert_eq!(Request::parse(&honest.to_string()), Ok(honest.clone()));
        assert_eq!(honest.follows(Some(&seen), &trusted), Ok(new.clone()));
        assert_eq!(request(0, &[], seen_note.clone()).follows(None, &trusted), Ok(seen.clone()));

        let forked = signed(&signer, 2, parent(&other, &two));
        let found = |request: Request, seen: &Checkpoint| request.follows(Some(seen), &trusted).expect_err("disbelief");
        assert_eq!(
            found(request(1, &[two], forked.1.clone()), &seen),
            Disbelief::Inconsistent { size: 2, remembered: 1 }
        );
        assert_eq!(found(request(2, &[], forked.1), &new), Disbelief::Forked { size: 2 });
        assert_eq!(found(request(1, &[], seen_note), &new), Disbelief::Shrunk { size: 1, remembered: 2 });
        assert_eq!(found(request(0, &[], new_note), &seen), Disbelief::OtherOld { old: 0, remembered: 1 });
        let stranger = signed(&Signer::new("a.org/log", &[2; 32]), 2, new.root).1;
        assert!(matches!(found(request(1, &[two], stranger), &seen), Disbelief::Note(NoteError::Stranger(_))));
        let elsewhere = Checkpoint { origin: "b.org/log".into(), ..seen };
        assert!(matches!(found(honest, &elsewhere), Disbelief::OtherLog { .. }));
    }
}
