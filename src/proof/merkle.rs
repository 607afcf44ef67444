//! The Merkle tree of RFC 6962 § 2.1 over SHA-256: grown leaf by leaf, proven and checked.
//!
//! Which subtrees a proof is made of follows the recursive definitions of RFC 6962 (§ 2.1.1, § 2.1.2); checking follows
//! the iterative ones of RFC 9162 (§ 2.1.3.2, § 2.1.4.2). So the two do not share their mistakes.

use sha2::{Digest as _, Sha256};

use super::Hash;

/// A tree that remembers the roots of its full subtrees only: one hash for each bit of its size.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    size: u64,
    /// Largest first.
    full: Vec<Hash>,
}

impl Tree {
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next leaf in: a hash with the leaf prefix applied already.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // As many subtrees are completed as the size has trailing ones.
        for _ in 0..self.size.trailing_ones() {
            let left = self.full.pop().expect("one subtree for each bit of the size");
            node = parent(&left, &node);
        }
        self.full.push(node);
        self.size += 1;
    }

    /// The tree's head; that of the empty tree is the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        root(&self.full)
    }
}

/// The root of a tree without leaves.
#[must_use]
pub fn empty() -> Hash {
    Sha256::digest(b"").into()
}

/// The leaf hash of a record.
#[must_use]
pub fn leaf(record: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(record).finalize().into()
}

#[must_use]
pub fn parent(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Leaves `from` to below `to`: a subtree of a tree, whose root is one hash of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

/// A full subtree: the `index`-th of those with `2^height` leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    pub height: u32,
    pub index: u64,
}

impl Span {
    pub const fn whole(size: u64) -> Self {
        Self { from: 0, to: size }
    }

    /// The full subtrees that it consists of, from the left.
    #[must_use]
    pub fn nodes(self) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut from = self.from;
        while from < self.to {
            let height = (self.to - from).ilog2().min(from.trailing_zeros());
            nodes.push(Node { height, index: from >> height });
            from += 1 << height;
        }
        nodes
    }

    /// Its two children, when it has more than one leaf: the left one holds the largest power of two that leaves
    /// something for the right one.
    const fn split(self) -> (Self, Self) {
        let half = (self.to - self.from).next_power_of_two() / 2;
        let at = self.from + half;
        (Self { from: self.from, to: at }, Self { from: at, to: self.to })
    }
}

/// The root over full subtrees that follow one another, largest first; that of none is the empty tree's.
#[must_use]
pub fn root(nodes: &[Hash]) -> Hash {
    let mut from_small = nodes.iter().rev();
    from_small.next().map_or_else(empty, |smallest| from_small.fold(*smallest, |right, left| parent(left, &right)))
}

/// What the inclusion proof of leaf `index` in a tree of `size` leaves consists of, in its order. Nothing where there
/// is no such leaf.
#[must_use]
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Span>> {
    if index >= size {
        return None;
    }
    let (mut at, mut path) = (Span::whole(size), Vec::new());
    while at.to - at.from > 1 {
        let (left, right) = at.split();
        let (down, beside) = if index < left.to { (left, right) } else { (right, left) };
        path.push(beside);
        at = down;
    }
    path.reverse();
    Some(path)
}

/// What the consistency proof between the trees of the first `old` and the first `size` leaves consists of. Nothing
/// where the old one is the larger.
#[must_use]
pub fn consistency(old: u64, size: u64) -> Option<Vec<Span>> {
    if old > size {
        return None;
    }
    if old == 0 || old == size {
        return Some(Vec::new());
    }
    let (mut at, mut path) = (Span::whole(size), Vec::new());
    while at.to != old {
        let (left, right) = at.split();
        let (down, beside) = if old <= left.to { (left, right) } else { (right, left) };
        path.push(beside);
        at = down;
    }
    // The old tree's own root is known to whoever asks.
    if at.from != 0 {
        path.push(at);
    }
    path.reverse();
    Some(path)
}

/// The root that a tree of `size` leaves must have if `leaf` is its leaf `index` and `path` leads up from there. Nothing
/// where the path does not fit.
#[must_use]
pub fn root_by(path: &[Hash], leaf: Hash, index: u64, size: u64) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut node) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            node = parent(beside, &node);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            node = parent(&node, beside);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(node)
}

/// Whether `path` shows that the tree of this size and root begins with all of the old one.
#[must_use]
pub fn is_consistent(path: &[Hash], (old, old_root): (u64, Hash), (size, root): (u64, Hash)) -> bool {
    if old > size {
        return false;
    }
    if old == 0 || old == size {
        return path.is_empty() && if old == 0 { old_root == empty() } else { old_root == root };
    }
    let (mut at, mut last) = (old - 1, size - 1);
    let shift = at.trailing_ones();
    (at, last) = (at >> shift, last >> shift);
    // A full old tree is a node of the new one itself, and is left out of the proof.
    let (first, path) = match path {
        path if old.is_power_of_two() => (old_root, path),
        [first, path @ ..] => (*first, path),
        [] => return false,
    };
    let (mut before, mut now) = (first, first);
    for beside in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            before = parent(beside, &before);
            now = parent(beside, &now);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            now = parent(&now, beside);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    before == old_root && now == root && last == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The inputs and tree heads of the test vectors that Certificate Transparency's libraries share.
    #[test]
    fn roots_equal_the_published_vectors() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::default();
        assert_eq!(hex::encode(tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (input, root) in inputs.iter().zip(roots) {
            tree.push(leaf(input));
            assert_eq!(hex::encode(tree.root()), root, "size {}", tree.size());
        }
    }

    /// MTH, PATH and PROOF as RFC 6962 § 2.1 writes them, over hashes of leaves.
    mod rfc {
        use super::*;

        fn split(leaves: &[Hash]) -> usize {
            let mut half = 1;
            while half * 2 < leaves.len() {
                half *= 2;
            }
            half
        }

        pub fn root(leaves: &[Hash]) -> Hash {
            match leaves {
                [] => empty(),
                [leaf] => *leaf,
                leaves => {
                    let (left, right) = leaves.split_at(split(leaves));
                    parent(&root(left), &root(right))
                }
            }
        }

        pub fn path(at: usize, leaves: &[Hash]) -> Vec<Hash> {
            if leaves.len() == 1 {
                return Vec::new();
            }
            let half = split(leaves);
            let (left, right) = leaves.split_at(half);
            let (mut path, beside) =
                if at < half { (path(at, left), root(right)) } else { (path(at - half, right), root(left)) };
            path.push(beside);
            path
        }

        pub fn proof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
            if old == leaves.len() {
                return if whole { Vec::new() } else { vec![root(leaves)] };
            }
            let half = split(leaves);
            let (left, right) = leaves.split_at(half);
            let (mut path, beside) = if old <= half {
                (proof(old, left, whole), root(right))
            } else {
                (proof(old - half, right, false), root(left))
            };
            path.push(beside);
            path
        }
    }

    fn leaves(size: usize) -> Vec<Hash> {
        (0..size).map(|nth| leaf(&nth.to_be_bytes())).collect()
    }

    /// The hashes that stand for spans, straight from the leaves.
    fn hashes(spans: &[Span], leaves: &[Hash]) -> Vec<Hash> {
        let at = |n: u64| usize::try_from(n).expect("small");
        let node = |node: Node| rfc::root(&leaves[at(node.index << node.height)..at((node.index + 1) << node.height)]);
        spans.iter().map(|span| root(&span.nodes().into_iter().map(node).collect::<Vec<_>>())).collect()
    }

    /// One thing about a proof changed.
    fn spoil(path: &mut Vec<Hash>, how: u8, at: usize, bit: u8) -> bool {
        match how % 4 {
            0 if !path.is_empty() => {
                let at = at % path.len();
                path[at][usize::from(bit / 8)] ^= 1 << (bit % 8);
            }
            1 if !path.is_empty() => drop(path.remove(at % path.len())),
            2 if path.len() > 1 => {
                let at = at % (path.len() - 1);
                path.swap(at, at + 1);
            }
            3 => path.insert(at % (path.len() + 1), leaf(&[bit])),
            _ => return false,
        }
        true
    }

    #[test]
    fn every_proof_of_small_trees_is_the_rfcs_and_checks() {
        for size in 0..70 {
            let leaves = leaves(size);
            let (root, n) = (rfc::root(&leaves), size as u64);
            assert_eq!(hashes(&[Span::whole(n)], &leaves), [root]);
            for at in 0..size {
                let path = hashes(&inclusion(at as u64, n).expect("it is there"), &leaves);
                assert_eq!(path, rfc::path(at, &leaves), "leaf {at} of {size}");
                for claimed in 0..=n {
                    let proven = root_by(&path, leaves[at], claimed, n);
                    assert_eq!(proven == Some(root), claimed == at as u64, "leaf {at} of {size} as {claimed}");
                }
            }
            for old in 0..=size {
                let path = hashes(&consistency(old as u64, n).expect("it is smaller"), &leaves);
                let expected = if old == 0 { Vec::new() } else { rfc::proof(old, &leaves, true) };
                assert_eq!(path, expected, "{old} to {size}");
                let old_root = rfc::root(&leaves[..old]);
                assert!(is_consistent(&path, (old as u64, old_root), (n, root)), "{old} to {size}");
            }
            assert_eq!((inclusion(n, n), consistency(n + 1, n)), (None, None));
        }
    }

    proptest! {
        #[test]
        fn a_spoilt_proof_proves_nothing(
            size in 2_usize..600, at in any::<prop::sample::Index>(), how: u8, place: usize, bit: u8,
        ) {
            let (leaves, n) = (leaves(size), size as u64);
            let root = rfc::root(&leaves);
            let at = at.index(size);
            let mut path = hashes(&inclusion(at as u64, n).expect("it is there"), &leaves);
            if spoil(&mut path, how, place, bit) {
                prop_assert_ne!(root_by(&path, leaves[at], at as u64, n), Some(root));
            }
            let old = at.max(1);
            let mut path = hashes(&consistency(old as u64, n).expect("it is smaller"), &leaves);
            let old_root = rfc::root(&leaves[..old]);
            prop_assert!(is_consistent(&path, (old as u64, old_root), (n, root)));
            prop_assert!(!is_consistent(&path, (old as u64, leaf(&[bit])), (n, root)));
            prop_assert!(!is_consistent(&path, (old as u64, old_root), (n, leaf(&[bit]))));
            if spoil(&mut path, how, place, bit) {
                prop_assert!(!is_consistent(&path, (old as u64, old_root), (n, root)));
            }
        }
    }

    /// CVE-2012-2459: where an odd leaf is paired with itself, three leaves and four have one root.
    #[test]
    fn an_odd_leaf_is_not_counted_twice_and_no_node_passes_for_a_leaf() {
        let mut three = leaves(3);
        let root = rfc::root(&three);
        three.push(three[2]);
        assert_ne!(rfc::root(&three), root);
        let two = [three[0], three[1]].concat();
        assert_ne!(leaf(&two), rfc::root(&three[..2]));
    }
}
