//! The projections that are built in: folders of SQL under `projections/`.

/// A view of the log that is folded by SQL and can be dropped and folded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// Also the schema that its rows live in.
    pub name: &'static str,
    /// Its tables. The first line is the question that it answers.
    pub schema: &'static str,
    /// Indexes that readers need and the fold does not: after a rebuild they are made when the rows are there.
    pub index: &'static str,
    /// One statement that folds the events in ($1, $2].
    pub apply: &'static str,
}

pub const CONVERSATION: Projection = Projection {
    name: "conversation",
    schema: include_str!("../../projections/conversation/schema.sql"),
    index: include_str!("../../projections/conversation/index.sql"),
    apply: include_str!("../../projections/conversation/apply.sql"),
};

pub const USAGE: Projection = Projection {
    name: "usage",
    schema: include_str!("../../projections/usage/schema.sql"),
    index: "",
    apply: include_str!("../../projections/usage/apply.sql"),
};

pub const AUDIT: Projection = Projection {
    name: "audit",
    schema: include_str!("../../projections/audit/schema.sql"),
    index: include_str!("../../projections/audit/index.sql"),
    apply: include_str!("../../projections/audit/apply.sql"),
};

pub const BUILT_IN: &[Projection] = &[CONVERSATION, USAGE, AUDIT];

impl Projection {
    pub fn question(&self) -> &'static str {
        self.schema.lines().next().unwrap_or_default().trim_start_matches(['-', ' '])
    }

    /// Changes with every byte that its rows depend on: rows of another fingerprint are outdated.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for file in [self.name, self.schema, self.index, self.apply] {
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
        let one = Projection { name: "p", schema: "ab", index: "", apply: "c" };
        assert_ne!(one.fingerprint(), Projection { schema: "a", apply: "bc", ..one }.fingerprint());
        assert_eq!(one.fingerprint(), one.fingerprint());
    }
}
