//! Words: what a person said. They are sealed before they are stored and may be forgotten afterwards.

use std::fmt;

/// Words that are known, or were forgotten.
///
/// There is no `Serialize` on purpose: words leave a process sealed or rendered, never by accident. `Debug` shows
/// only whether they are known. A caller meets [`Private::Forgotten`] in the type, as a value and not as an error.
#[derive(Clone, PartialEq, Eq)]
pub enum Private<T> {
    Known(T),
    Forgotten,
}

/// Facts are read without their words: until they are opened they count as forgotten.
impl<T> Default for Private<T> {
    fn default() -> Self {
        Self::Forgotten
    }
}

impl<T> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Known(_)) { "Known(…)" } else { "Forgotten" })
    }
}

impl<T> Private<T> {
    pub fn as_ref(&self) -> Private<&T> {
        match self {
            Self::Known(words) => Private::Known(words),
            Self::Forgotten => Private::Forgotten,
        }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Private<U> {
        match self {
            Self::Known(words) => Private::Known(change(words)),
            Self::Forgotten => Private::Forgotten,
        }
    }

    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(words) => Some(words),
            Self::Forgotten => None,
        }
    }

    pub const fn is_forgotten(&self) -> bool {
        matches!(self, Self::Forgotten)
    }
}
