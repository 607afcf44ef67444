//! Checkpoints (C2SP tlog-checkpoint): how large a log is and what its root is, as the text of a signed note.

use super::note::{Note, NoteError, Verifier};
use super::{Hash, base64, decimal, hash};

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: for convoledger, one history of one ledger.
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64(&self.root))
    }

    /// Reads the text of a note. What stands below the three lines is not ours to understand.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let whole = !origin.is_empty() && lines.all(|line| !line.is_empty());
        let (size, root) = (decimal(size)?, hash(root)?);
        whole.then(|| Self { origin: origin.to_owned(), size, root })
    }

    /// Reads a signed checkpoint, and believes it only if one of `trusted` signed it.
    ///
    /// # Errors
    /// If it is no checkpoint, or not signed by any of them.
    pub fn open(note: &str, trusted: &[Verifier]) -> Result<(Self, Note), NoteError> {
        let note = Note::parse(note)?;
        note.verified(trusted)?;
        let checkpoint = Self::parse(&note.text).ok_or(NoteError::Form("its text is no checkpoint"))?;
        Ok((checkpoint, note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, without its signature.
    const SPEC: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_specs_example_is_read_and_written_alike() {
        let checkpoint = Checkpoint::parse(SPEC).expect("a checkpoint");
        assert_eq!((checkpoint.size, checkpoint.text().as_str()), (20_852_163, SPEC));
        assert_eq!(Checkpoint::parse(&format!("{SPEC}more\n")), Some(checkpoint), "extensions are passed over");
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for text in [
            format!("\n1\n{root}\n"),
            format!("a\n01\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n1\n{root}"),
            "a\n1\nAAAA\n".to_owned(),
            format!("a\n1\n{root}\n\n"),
            "a\n1\n".to_owned(),
        ] {
            assert_eq!(Checkpoint::parse(&text), None, "{text:?}");
        }
    }
}
