//! The tree of a conversation's messages, held as segments: runs without a fork.
//!
//! A segment grows at its end only. Whatever is appended below a message that has a child already begins a segment of
//! its own, which forks off at that message. So every path from the root is a short list of ranges, a fork costs the
//! same whatever lies above it, and what hangs on one branch is never seen from another.

use std::collections::HashMap;

use crate::event::{Depth, MessageId, Place, Role, Segment};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The depth of what the roots go on below: 0, or that of a message of another conversation.
    pub(super) base: Depth,
    segments: Vec<Run>,
    places: HashMap<MessageId, Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    /// Where it forks off; none when it starts at the root.
    fork: Option<Place>,
    /// The depth of its first message.
    first: Depth,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    pub message: MessageId,
    pub role: Role,
}

impl Tree {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub fn place(&self, message: MessageId) -> Option<Place> {
        self.places.get(&message).copied()
    }

    pub fn node(&self, place: Place) -> Option<Node> {
        let run = self.run(place.segment)?;
        run.nodes.get(usize::try_from(place.depth.0 - run.first.0).ok()?).copied()
    }

    /// The message above `place`; none above a root, but in segment 0 what that goes on below in another conversation.
    pub fn parent(&self, place: Place) -> Option<Place> {
        let run = self.run(place.segment)?;
        if place.depth == run.first {
            run.fork
        } else {
            Some(Place { segment: place.segment, depth: Depth(place.depth.0 - 1) })
        }
    }

    /// Where a message below `parent` goes, and where the segment that it begins forks off, if it begins one that does.
    pub fn below(&self, parent: Option<Place>) -> (Place, Option<Place>) {
        match parent {
            Some(parent) if self.is_last(parent) => {
                (Place { segment: parent.segment, depth: parent.depth.next() }, None)
            }
            parent => {
                let segment = Segment(i32::try_from(self.segments.len() + 1).unwrap_or(i32::MAX));
                let above = parent.or_else(|| self.root());
                (Place { segment, depth: above.map(|above| above.depth).unwrap_or_default().next() }, above)
            }
        }
    }

    /// What the roots go on below, as a place of segment 0; none where they begin anew.
    fn root(&self) -> Option<Place> {
        (self.base > Depth(0)).then_some(Place { segment: Segment(0), depth: self.base })
    }

    /// Takes a message in at `place`; `fork` is where its segment forks off, when it is the first of one that does.
    pub fn insert(&mut self, node: Node, place: Place, fork: Option<Place>) {
        let index = usize::try_from(place.segment.0 - 1).unwrap_or_default();
        if index == self.segments.len() {
            self.segments.push(Run { fork, first: place.depth, nodes: Vec::new() });
        }
        if let Some(run) = self.segments.get_mut(index) {
            run.nodes.push(node);
            self.places.insert(node.message, place);
        }
    }

    /// The path from the root to `tip`, as ranges of depths in segments, root first.
    pub fn lineage(&self, tip: Option<Place>) -> Vec<(Segment, Depth, Depth)> {
        let mut ranges = Vec::new();
        let mut end = tip;
        while let Some(place) = end {
            let Some(run) = self.run(place.segment) else { break };
            ranges.push((place.segment, run.first, place.depth));
            end = run.fork;
        }
        ranges.reverse();
        ranges
    }

    /// The messages from the root to `tip`.
    pub fn path(&self, tip: Option<Place>) -> Vec<MessageId> {
        let depths = |(segment, from, to): (Segment, Depth, Depth)| {
            (from.0..=to.0).filter_map(move |depth| self.node(Place { segment, depth: Depth(depth) }))
        };
        self.lineage(tip).into_iter().flat_map(depths).map(|node| node.message).collect()
    }

    /// Whether nothing follows `place` yet: its first child always continues its segment.
    fn is_last(&self, place: Place) -> bool {
        self.run(place.segment)
            .is_some_and(|run| run.first.0 + i32::try_from(run.nodes.len()).unwrap_or(i32::MAX) - 1 == place.depth.0)
    }

    fn run(&self, segment: Segment) -> Option<&Run> {
        self.segments.get(usize::try_from(segment.0 - 1).ok()?)
    }
}
