//! Branches: named pointers to the tip of a path through a conversation's tree.

use serde::{Deserialize, Serialize};

use super::{BranchNumber, MessageId, Payload, Place, Private, Token, Words, unseal};

/// A branch was created whose tip is a message that was there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchCreated {
    pub branch: BranchNumber,
    /// The message that is its tip until something is appended to it.
    pub message: MessageId,
    pub at: Place,
    pub token: Token,
    #[serde(skip)]
    pub name: Private<String>,
}

impl Payload for BranchCreated {
    const KIND: &'static str = "branch.created";

    fn words(&self) -> Vec<Words> {
        Words::of(0, &self.name).into_iter().collect()
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.name = unseal(words)?;
        Ok(())
    }

    fn text(&self) -> Option<String> {
        self.name.clone().known()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchRenamed {
    pub branch: BranchNumber,
    pub token: Token,
    #[serde(skip)]
    pub name: Private<String>,
}

impl Payload for BranchRenamed {
    const KIND: &'static str = "branch.renamed";

    fn words(&self) -> Vec<Words> {
        Words::of(0, &self.name).into_iter().collect()
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.name = unseal(words)?;
        Ok(())
    }

    fn text(&self) -> Option<String> {
        self.name.clone().known()
    }
}

/// A branch became the one that is shown, and appended to, when none is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchPreferred {
    pub branch: BranchNumber,
}

impl Payload for BranchPreferred {
    const KIND: &'static str = "branch.preferred";
}

/// A branch was given up. It keeps its tip and its name, and can be taken up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchAbandoned {
    pub branch: BranchNumber,
}

impl Payload for BranchAbandoned {
    const KIND: &'static str = "branch.abandoned";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchResumed {
    pub branch: BranchNumber,
}

impl Payload for BranchResumed {
    const KIND: &'static str = "branch.resumed";
}

/// A branch was found better than others that it was compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchChosen {
    pub branch: BranchNumber,
    pub over: Vec<BranchNumber>,
}

impl Payload for BranchChosen {
    const KIND: &'static str = "branch.chosen";
}
