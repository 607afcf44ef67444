//! What a model call used, as raw counts. A count that is absent is unknown, which is not zero.

use serde::{Deserialize, Serialize};

/// Tokens as the provider counted them. Providers differ in whether `input` includes what was read from the cache:
/// the counts are kept as they were given, and what was given verbatim lies beside them as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<u64>,
    /// Written to a cache that lives five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<u64>,
    /// Written to a cache that lives an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<u64>,
    /// Output tokens spent on reasoning; a part of `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<u64>,
}

impl Usage {
    #[must_use]
    pub const fn counts(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("input", self.input),
            ("output", self.output),
            ("cache_read", self.cache_read),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
            ("reasoning", self.reasoning),
        ]
    }

    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.counts().iter().all(|(_, count)| count.is_none())
    }
}
