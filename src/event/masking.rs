//! Masking: what of an account's words is not to be kept, or not to be shown.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Payload, Private, Words, unseal};

/// What is masked of an account's was settled: all of it, as it holds from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskingConfigured {
    pub kinds: BTreeSet<Personal>,
    /// Whether words are masked before they are sealed: what is masked then is gone.
    pub before_sealing: bool,
    /// Names that are masked wherever they stand.
    #[serde(skip, default = "nameless")]
    pub names: Private<Vec<String>>,
}

/// All kinds, no names, and nothing before it is sealed.
impl Default for MaskingConfigured {
    fn default() -> Self {
        Self { kinds: Personal::ALL.into(), before_sealing: false, names: nameless() }
    }
}

/// A kind of personal data that is told by its form, or that its account listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Personal {
    /// A key or token of a known shape.
    Secret,
    Email,
    Iban,
    /// A payment card's number.
    Card,
    Ip,
    Phone,
    /// A name that the account listed.
    Name,
}

impl Personal {
    pub const ALL: [Self; 7] = [Self::Secret, Self::Email, Self::Iban, Self::Card, Self::Ip, Self::Phone, Self::Name];

    /// What placeholders call it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Email => "email",
            Self::Iban => "iban",
            Self::Card => "card",
            Self::Ip => "ip",
            Self::Phone => "phone",
            Self::Name => "name",
        }
    }
}

const fn nameless() -> Private<Vec<String>> {
    Private::Known(Vec::new())
}

impl Payload for MaskingConfigured {
    const KIND: &'static str = "masking.configured";

    fn words(&self) -> Vec<Words> {
        match &self.names {
            Private::Known(names) if names.is_empty() => Vec::new(),
            names => Words::of(0, names).into_iter().collect(),
        }
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.names = unseal(words)?;
        Ok(())
    }
}
