//! What a projection is: a folder of SQL. Those that are built in lie under `projections/`.

use std::borrow::Cow;

/// A view of the log that is folded by SQL and can be dropped and folded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// Also the schema that its rows live in.
    pub name: Cow<'static, str>,
    /// Its tables. The first line is the question that it answers.
    pub schema: Cow<'static, str>,
    /// Indexes that readers need and the fold does not: after a rebuild they are made when the rows are there.
    pub index: Cow<'static, str>,
    /// One statement that folds the events in ($1, $2].
    pub apply: Cow<'static, str>,
    /// Through what its fold reads events, with the column that says of which stream they are: `event`, and views of its own.
    /// Nothing if it may not fold different streams apart from each other and at the same time.
    pub streams: &'static [(&'static str, &'static str)],
    /// Whether its fold is given words in the clear ([`Said`](super::Said), as $3, $4 and $5). Its rows are then kept out
    /// of the write-ahead log, of standbys, of backups and of the catalog's statistics.
    pub opened: bool,
    /// Whether it is not built in. Then it is folded under a role that can do nothing else, and may take less long.
    pub own: bool,
}

pub const CONVERSATION: Projection = Projection::of_facts(
    "conversation",
    concat!(
        include_str!("../../projections/conversation/schema.sql"),
        include_str!("../../projections/conversation/acts.sql"),
        include_str!("../../projections/conversation/as_of.sql"),
    ),
    include_str!("../../projections/conversation/index.sql"),
    include_str!("../../projections/conversation/apply.sql"),
)
.apart(&[("event", "stream_id"), ("act", "conversation_id")]);

pub const SEARCH: Projection = Projection::of_words(
    "search",
    include_str!("../../projections/search/schema.sql"),
    include_str!("../../projections/search/index.sql"),
    include_str!("../../projections/search/apply.sql"),
)
.apart(&[("event", "stream_id")]);

pub const USAGE: Projection = Projection::of_facts(
    "usage",
    include_str!("../../projections/usage/schema.sql"),
    "",
    include_str!("../../projections/usage/apply.sql"),
);

pub const AUDIT: Projection = Projection::of_facts(
    "audit",
    include_str!("../../projections/audit/schema.sql"),
    include_str!("../../projections/audit/index.sql"),
    include_str!("../../projections/audit/apply.sql"),
);

pub const BUILT_IN: &[Projection] = &[CONVERSATION, SEARCH, USAGE, AUDIT];

impl Projection {
    /// One that is folded from facts alone.
    pub const fn of_facts(name: &'static str, schema: &'static str, index: &'static str, apply: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            schema: Cow::Borrowed(schema),
            index: Cow::Borrowed(index),
            apply: Cow::Borrowed(apply),
            streams: &[],
            opened: false,
            own: false,
        }
    }

    /// One that is folded from facts and words.
    pub const fn of_words(name: &'static str, schema: &'static str, index: &'static str, apply: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            schema: Cow::Borrowed(schema),
            index: Cow::Borrowed(index),
            apply: Cow::Borrowed(apply),
            streams: &[],
            opened: true,
            own: false,
        }
    }

    /// The same, whose fold may fold different streams apart from each other: it reads events through these views alone.
    const fn apart(mut self, streams: &'static [(&'static str, &'static str)]) -> Self {
        self.streams = streams;
        self
    }

    pub fn question(&self) -> &str {
        self.schema.lines().next().unwrap_or_default().trim_start_matches(['-', ' '])
    }

    /// Changes with every byte that its rows depend on: rows of another fingerprint are outdated.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let given = if self.opened { "words" } else { "facts" };
        for file in [&self.name, &self.schema, &self.index, &self.apply, given] {
            hasher.update(&(file.len() as u64).to_be_bytes()).update(file.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_says_what_it_answers() {
        for projection in BUILT_IN {
            assert!(projection.question().ends_with('?'), "{}: {:?}", projection.name, projection.question());
        }
    }

    #[test]
    fn text_that_moves_from_file_to_file_is_another_projection() {
        let one = Projection::of_facts("p", "ab", "", "c");
        assert_ne!(one.fingerprint(), Projection::of_facts("p", "a", "", "bc").fingerprint());
        assert_ne!(one.fingerprint(), Projection::of_words("p", "ab", "", "c").fingerprint());
        assert_eq!(one.fingerprint(), one.clone().fingerprint());
    }
}
