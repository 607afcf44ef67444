//! The Merkle tree of RFC 6962 § 2.1 over SHA-256, grown leaf by leaf.

use sha2::{Digest as _, Sha256};

use super::digest::Hash;

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
        let mut from_small = self.full.iter().rev();
        from_small.next().map_or_else(
            || Sha256::digest(b"").into(),
            |smallest| from_small.fold(*smallest, |right, left| parent(left, &right)),
        )
    }
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(data: &[u8]) -> Hash {
        Sha256::new().chain_update([0]).chain_update(data).finalize().into()
    }

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
}
