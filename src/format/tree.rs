//! From nodes that name their parents to messages in order, whatever damage the links have taken.

use std::collections::{HashMap, HashSet};

/// A node of a source's tree. Not every node carries a message.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub id: String,
    pub parent: Option<String>,
    /// The ids below it in the source's order. Only the order is taken from here: who is below whom, the parents say.
    pub children: Vec<String>,
    pub carries_message: bool,
}

/// The messages of a tree in order. Nodes are named by their index.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Every node that carries a message, once; parents before children, siblings in the source's order.
    pub steps: Vec<Step>,
    /// Roots without a message below which two messages or more follow directly.
    pub bare_branch_points: u64,
    /// Nodes that name a parent that is not there. They were taken as roots.
    pub orphans: Vec<usize>,
    /// Nodes that were taken as roots to open a ring of parents.
    pub rings: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub node: usize,
    /// The nearest ancestor that carries a message.
    pub parent: Option<usize>,
}

/// Walks the tree. Ids must be unique. Never recursive: an export may be a hundred thousand messages deep.
pub fn walk(nodes: &[Node]) -> Walk {
    let index: HashMap<&str, usize> = nodes.iter().enumerate().map(|(at, node)| (node.id.as_str(), at)).collect();
    let links = Links::of(nodes, &index);
    let mut walk = Walk::default();
    let mut seen = vec![false; nodes.len()];
    for root in 0..nodes.len() {
        if links.parents[root].is_none() {
            if nodes[root].parent.as_ref().is_some_and(|parent| *parent != nodes[root].id) {
                walk.orphans.push(root);
            }
            walk.descend(root, nodes, &links, &mut seen);
        }
    }
    // What no root leads to hangs on a ring of parents.
    for node in 0..nodes.len() {
        if !seen[node] {
            let root = links.first_of_ring_above(node);
            walk.rings.push(root);
            walk.descend(root, nodes, &links, &mut seen);
        }
    }
    walk
}

/// The nearest message at or above the node `id`.
pub fn message_at_or_above<'a>(nodes: &'a [Node], id: &str) -> Option<&'a Node> {
    let index: HashMap<&str, &Node> = nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut at = index.get(id)?;
    for _ in nodes {
        if at.carries_message {
            return Some(at);
        }
        at = index.get(at.parent.as_deref()?)?;
    }
    None
}

struct Links {
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
}

impl Links {
    fn of(nodes: &[Node], index: &HashMap<&str, usize>) -> Self {
        let mut parents = vec![None; nodes.len()];
        let mut children = vec![Vec::new(); nodes.len()];
        for (at, node) in nodes.iter().enumerate() {
            let parent = node.parent.as_deref().and_then(|parent| index.get(parent)).copied();
            if let Some(parent) = parent.filter(|&parent| parent != at) {
                parents[at] = Some(parent);
                children[parent].push(at);
            }
        }
        for (parent, below) in children.iter_mut().enumerate().filter(|(_, below)| below.len() > 1) {
            let listed = &nodes[parent].children;
            let ranks: HashMap<&str, usize> =
                listed.iter().enumerate().rev().map(|(rank, id)| (id.as_str(), rank)).collect();
            // The sort is stable: what the parent does not list comes last, as the nodes stand.
            below.sort_by_key(|&child| ranks.get(nodes[child].id.as_str()).copied().unwrap_or(usize::MAX));
        }
        Self { parents, children }
    }

    /// Of the ring that the parents of `node` lead into, the node that stands first.
    fn first_of_ring_above(&self, node: usize) -> usize {
        let up = |at: usize| self.parents[at].unwrap_or(at);
        let mut inside = node;
        let mut passed = HashSet::new();
        while passed.insert(inside) {
            inside = up(inside);
        }
        let mut first = inside;
        let mut at = up(inside);
        while at != inside {
            first = first.min(at);
            at = up(at);
        }
        first
    }
}

impl Walk {
    fn descend(&mut self, root: usize, nodes: &[Node], links: &Links, seen: &mut [bool]) {
        let mut below_bare_root = 0;
        let mut ahead = vec![Step { node: root, parent: None }];
        while let Some(step) = ahead.pop() {
            if std::mem::replace(&mut seen[step.node], true) {
                continue;
            }
            let mut nearest = step.parent;
            if nodes[step.node].carries_message {
                below_bare_root += usize::from(nearest.is_none());
                nearest = Some(step.node);
                self.steps.push(step);
            }
            ahead.extend(links.children[step.node].iter().rev().map(|&node| Step { node, parent: nearest }));
        }
        self.bare_branch_points += u64::from(!nodes[root].carries_message && below_bare_root > 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(id: &str, parent: Option<&str>, children: &[&str], carries_message: bool) -> Node {
        let children = children.iter().map(ToString::to_string).collect();
        Node { id: id.to_owned(), parent: parent.map(str::to_owned), children, carries_message }
    }

    fn steps(walk: &Walk) -> Vec<(usize, Option<usize>)> {
        walk.steps.iter().map(|step| (step.node, step.parent)).collect()
    }

    #[test]
    fn siblings_keep_the_order_that_their_parent_lists() {
        let nodes = [
            node("a", Some("root"), &[], true),
            node("b", Some("root"), &[], true),
            node("unlisted", Some("root"), &[], true),
            node("root", None, &["b", "gone", "a", "b"], false),
        ];
        let walk = walk(&nodes);
        assert_eq!(steps(&walk), [(1, None), (0, None), (2, None)]);
        assert_eq!(walk.bare_branch_points, 1);
    }

    #[test]
    fn nodes_without_a_message_are_stepped_over() {
        let nodes =
            [node("a", None, &[], true), node("bare", Some("a"), &[], false), node("b", Some("bare"), &[], true)];
        assert_eq!(steps(&walk(&nodes)), [(0, None), (2, Some(0))]);
        assert_eq!(message_at_or_above(&nodes, "bare").map(|node| node.id.as_str()), Some("a"));
        assert!(message_at_or_above(&nodes, "gone").is_none());
    }

    #[test]
    fn orphans_and_rings_become_roots() {
        let nodes = [
            node("orphan", Some("gone"), &[], true),
            node("below", Some("ring"), &[], true),
            node("ring", Some("gnir"), &[], true),
            node("gnir", Some("ring"), &[], true),
            node("itself", Some("itself"), &[], true),
        ];
        let walk = walk(&nodes);
        assert_eq!(steps(&walk), [(0, None), (4, None), (2, None), (1, Some(2)), (3, Some(2))]);
        assert_eq!((walk.orphans, walk.rings), (vec![0], vec![2]));
    }

    fn any_nodes() -> impl Strategy<Value = Vec<Node>> {
        let node = (prop::option::of(0..40_usize), prop::collection::vec(0..40_usize, 0..6), any::<bool>());
        prop::collection::vec(node, 0..32).prop_map(|nodes| {
            let name = |at: usize| format!("n{at}");
            let node = |(at, (parent, children, carries_message)): (usize, (Option<usize>, Vec<usize>, bool))| Node {
                id: name(at),
                parent: parent.map(name),
                children: children.into_iter().map(name).collect(),
                carries_message,
            };
            nodes.into_iter().enumerate().map(node).collect()
        })
    }

    proptest! {
        /// Whatever the links say (rings, orphans, children named twice): every message once, below one before it.
        #[test]
        fn no_message_is_lost_or_doubled_and_parents_come_first(nodes in any_nodes()) {
            let walk = walk(&nodes);
            let mut placed = vec![false; nodes.len()];
            for step in &walk.steps {
                prop_assert!(step.parent.is_none_or(|parent| placed[parent]));
                prop_assert!(!std::mem::replace(&mut placed[step.node], true));
            }
            let carrying: Vec<bool> = nodes.iter().map(|node| node.carries_message).collect();
            prop_assert_eq!(placed, carrying);
            for node in &nodes {
                let _ = message_at_or_above(&nodes, &node.id);
            }
        }

        #[test]
        fn each_parent_is_the_nearest_message_above(nodes in any_nodes()) {
            let walk = walk(&nodes);
            let index = |id: &str| nodes.iter().position(|node| node.id == id);
            for step in &walk.steps {
                let mut at = step.node;
                let above = loop {
                    let is_root = walk.rings.contains(&at) || nodes[at].parent.as_deref() == Some(&nodes[at].id);
                    match nodes[at].parent.as_deref().and_then(index).filter(|_| !is_root) {
                        Some(parent) if nodes[parent].carries_message => break Some(parent),
                        Some(parent) => at = parent,
                        None => break None,
                    }
                };
                prop_assert_eq!(step.parent, above);
            }
        }
    }
}
