//! Puts a transcript together: nodes as the source has them come in, messages in order come out.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::json;
use super::order::by_time;
use super::transcript::{Note, SourceMessage, Transcript};
use super::tree::{Node, message_at_or_above, walk};
use crate::event::{Part, Role};

pub struct Build {
    pub transcript: Transcript,
    nodes: Vec<Node>,
    /// The message of each node.
    messages: Vec<Option<SourceMessage>>,
}

impl Build {
    pub const fn new(source: &'static str, id: String) -> Self {
        Self { transcript: Transcript::new(source, id), nodes: Vec::new(), messages: Vec::new() }
    }

    pub fn note(&mut self, message: Option<&str>, what: impl Into<String>) {
        self.transcript.notes.push(Note { message: message.map(str::to_owned), what: what.into() });
    }

    /// A part of a kind that is not understood, as it came.
    pub fn opaque(&mut self, message: &str, source_type: &str, content: &RawValue) -> Part {
        self.note(Some(message), format!("kept opaque: `{source_type}`"));
        Part::Opaque { source_type: source_type.to_owned(), content: json::compact(content) }
    }

    /// A role that is not understood is taken for that of a tool, the one that nobody obeys.
    pub fn role(&mut self, message: &str, role: Option<Role>) -> Role {
        role.unwrap_or_else(|| {
            self.note(Some(message), "guessed: an unknown role, taken for a tool");
            Role::Tool
        })
    }

    /// Adds a node. Ids must be unique.
    pub fn add(&mut self, mut node: Node, message: Option<SourceMessage>) {
        node.carries_message = message.is_some();
        self.nodes.push(node);
        self.messages.push(message);
    }

    /// The transcript, with `current` the id of the node that was last in view.
    pub fn finish(mut self, current: Option<&str>) -> Transcript {
        let walk = walk(&self.nodes);
        for &orphan in &walk.orphans {
            self.note(Some(&self.nodes[orphan].id.clone()), "guessed: its parent is not there, taken for a root");
        }
        for &node in &walk.rings {
            self.note(Some(&self.nodes[node].id.clone()), "guessed: its ancestors run in a ring, taken for a root");
        }
        if let Some(current) = current {
            self.transcript.current = message_at_or_above(&self.nodes, current).map(|node| node.id.clone());
            if self.transcript.current.is_none() {
                self.note(None, "left out: the node last in view is not there");
            }
        }
        let mut times: Vec<Option<DateTime<Utc>>> = vec![None; self.nodes.len()];
        for step in &walk.steps {
            let own = self.messages[step.node].as_ref().and_then(|message| message.at);
            times[step.node] = own.or_else(|| times[step.parent?]);
        }
        self.transcript.bare_branch_points = walk.bare_branch_points;
        self.transcript.messages.reserve_exact(walk.steps.len());
        for step in by_time(&walk.steps, &times) {
            let Some(mut message) = self.messages[step.node].take() else { continue };
            message.parent = step.parent.map(|parent| self.nodes[parent].id.clone());
            message.at = times[step.node];
            self.transcript.messages.push(message);
        }
        self.transcript
    }
}

/// The role that a source names.
pub fn role(raw: &RawValue) -> Option<Role> {
    match json::text(raw)?.as_str() {
        "user" | "human" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        "system" => Some(Role::System),
        "developer" => Some(Role::Developer),
        "tool" | "function" => Some(Role::Tool),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::Counts;

    /// The counts as their definition has them, node by node.
    fn counted(nodes: &[(Option<usize>, bool)]) -> Counts {
        fn below(nodes: &[(Option<usize>, bool)], of: usize) -> usize {
            let children = (0..nodes.len()).filter(|&child| nodes[child].0 == Some(of));
            children.map(|child| if nodes[child].1 { 1 } else { below(nodes, child) }).sum()
        }
        let count = |is_one: &dyn Fn(usize) -> bool| (0..nodes.len()).filter(|&node| is_one(node)).count() as u64;
        Counts {
            messages: count(&|node| nodes[node].1),
            branch_points: count(&|node| (nodes[node].1 || nodes[node].0.is_none()) && below(nodes, node) > 1),
            leaves: count(&|node| nodes[node].1 && below(nodes, node) == 0),
        }
    }

    proptest! {
        #[test]
        fn a_transcript_counts_as_the_tree_it_came_from(
            nodes in prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, any::<bool>()), 0..40)
        ) {
            let nodes: Vec<(Option<usize>, bool)> = nodes
                .iter()
                .enumerate()
                .map(|(at, (parent, root, carries))| ((at > 0 && *root > 0).then(|| parent.index(at)), *carries))
                .collect();
            let mut build = Build::new("test", "id".to_owned());
            for (at, &(parent, carries)) in nodes.iter().enumerate() {
                let node = Node { id: at.to_string(), parent: parent.map(|parent| parent.to_string()), ..Node::default() };
                build.add(node, carries.then(|| SourceMessage::new(at.to_string(), Role::User)));
            }
            prop_assert_eq!(build.finish(None).counts(), counted(&nodes));
        }
    }
}
