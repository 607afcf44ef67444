//! From the order of a tree to that of time: how a conversation with branches came about.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chrono::{DateTime, Utc};

use super::tree::Step;

/// The steps in the order of `times` (of each node, by its index), parents before their children whatever the times say:
/// of all steps whose parent is placed, the earliest is next, and of equals the one that stood first. No time is before
/// any.
pub fn by_time(steps: &[Step], times: &[Option<DateTime<Utc>>]) -> Vec<Step> {
    let mut ranks: Vec<Option<usize>> = vec![None; times.len()];
    let mut below = vec![Vec::new(); steps.len()];
    let mut ready = BinaryHeap::new();
    let key = |rank: usize| Reverse((times[steps[rank].node], rank));
    for (rank, step) in steps.iter().enumerate() {
        match step.parent.and_then(|parent| ranks[parent]) {
            Some(parent) => below[parent].push(rank),
            None => ready.push(key(rank)),
        }
        ranks[step.node] = Some(rank);
    }
    let mut ordered = Vec::with_capacity(steps.len());
    while let Some(Reverse((_, rank))) = ready.pop() {
        ordered.push(steps[rank]);
        ready.extend(below[rank].iter().map(|&child| key(child)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(second, 0)
    }

    fn nodes(steps: &[Step]) -> Vec<usize> {
        steps.iter().map(|step| step.node).collect()
    }

    /// A tree as its steps, parents first, and the time of each node.
    fn any_tree() -> impl Strategy<Value = (Vec<Step>, Vec<Option<DateTime<Utc>>>)> {
        let node = (any::<prop::sample::Index>(), 0..4_u8, prop::option::weighted(0.9, 0..20_i64));
        prop::collection::vec(node, 0..40).prop_map(|nodes| {
            let parent =
                |at: usize, parent: &prop::sample::Index, root: u8| (at > 0 && root > 0).then(|| parent.index(at));
            let steps = nodes
                .iter()
                .enumerate()
                .map(|(at, (above, root, _))| Step { node: at, parent: parent(at, above, *root) });
            (steps.collect(), nodes.iter().map(|(_, _, second)| second.and_then(at)).collect())
        })
    }

    #[test]
    fn branches_that_grew_in_turns_stand_in_turns() {
        let step = |node, parent| Step { node, parent };
        let steps = [step(0, None), step(1, Some(0)), step(2, Some(1)), step(3, Some(0)), step(4, Some(3))];
        let times = [at(1), at(2), at(5), at(3), at(3)];
        assert_eq!(nodes(&by_time(&steps, &times)), [0, 1, 3, 4, 2]);
        assert_eq!(nodes(&by_time(&steps, &[None; 5])), [0, 1, 2, 3, 4], "without times nothing moves");
    }

    #[test]
    fn a_child_that_is_said_to_be_older_than_its_parent_follows_it_at_once() {
        let step = |node, parent| Step { node, parent };
        let steps = [step(0, None), step(1, Some(0)), step(2, None)];
        assert_eq!(nodes(&by_time(&steps, &[at(5), at(1), at(5)])), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn every_prefix_is_a_tree((steps, times) in any_tree()) {
            let ordered = by_time(&steps, &times);
            let mut placed = vec![false; times.len()];
            for step in &ordered {
                prop_assert!(step.parent.is_none_or(|parent| placed[parent]));
                prop_assert!(!std::mem::replace(&mut placed[step.node], true));
            }
            prop_assert_eq!(ordered.len(), steps.len());
        }

        /// What a conversation was at a moment of its own time is then a prefix, and has every parent.
        #[test]
        fn where_no_child_is_older_than_its_parent_the_order_is_that_of_time((steps, mut times) in any_tree()) {
            for step in &steps {
                if let Some(parent) = step.parent {
                    times[step.node] = times[step.node].max(times[parent]);
                }
            }
            let ordered = by_time(&steps, &times);
            prop_assert!(ordered.is_sorted_by_key(|step| times[step.node]));
            for moment in (0..20).map(at) {
                let then = ordered.iter().filter(|step| times[step.node] <= moment);
                for step in then {
                    prop_assert!(step.parent.is_none_or(|parent| times[parent] <= moment));
                }
            }
        }

        /// Equals keep the source's order, unless one waits for its parent.
        #[test]
        fn siblings_of_one_time_keep_their_order((steps, times) in any_tree()) {
            let place = |node: usize| by_time(&steps, &times).iter().position(|step| step.node == node);
            for (rank, one) in steps.iter().enumerate() {
                for other in &steps[..rank] {
                    if other.parent == one.parent {
                        let earlier = (times[other.node], place(other.node)) < (times[one.node], place(one.node));
                        prop_assert_eq!(earlier, times[other.node] <= times[one.node]);
                    }
                }
            }
        }
    }
}
