//! Tiles (C2SP tlog-tiles): the tree in pieces of 256 hashes, and the paths under which they are served.

use super::Hash;
use super::merkle::{Node, parent};

/// Hashes in a full tile.
pub const WIDTH: u64 = 256;
/// How many levels of the tree one level of tiles spans.
pub const HEIGHT: u32 = 8;
/// Above this no tree of 2^64 leaves has a tile.
const LEVEL_MAX: u32 = 7;

/// A tile: the `width` first of the 256 hashes that begin with the `256 * index`-th of its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    pub level: u32,
    pub index: u64,
    /// 1 to 256.
    pub width: u64,
}

impl Tile {
    /// The tile of a tree of `size` leaves that a node is computed from, and which of its hashes it is computed from.
    #[must_use]
    pub fn of(node: Node, size: u64) -> (Self, std::ops::Range<usize>) {
        let (level, above) = (node.height / HEIGHT, node.height % HEIGHT);
        let first = node.index << above;
        let index = first / WIDTH;
        let at = usize::try_from(first % WIDTH).unwrap_or_default();
        (Self { level, index, width: width(level, index, size) }, at..at + (1 << above))
    }

    /// The path below the log's prefix.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = format!("{:03}", self.index % 1000);
        let mut above = self.index / 1000;
        while above > 0 {
            path = format!("x{:03}/{path}", above % 1000);
            above /= 1000;
        }
        let partial = if self.width < WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("tile/{}/{path}{partial}", self.level)
    }

    /// Reads what [`Tile::path`] wrote, and nothing else.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok()?),
            None => (rest, WIDTH),
        };
        let index = index.split('/').try_fold(0_u64, |above, part| {
            let digits = part.strip_prefix('x').unwrap_or(part);
            above.checked_mul(1000)?.checked_add(digits.parse().ok()?)
        })?;
        let tile = Self { level: level.parse().ok()?, index, width };
        // Each tile has one path.
        (tile.level <= LEVEL_MAX && (1..=WIDTH).contains(&width) && tile.path() == path).then_some(tile)
    }
}

/// How many hashes tile `index` of a level has in a tree of `size` leaves.
#[must_use]
pub fn width(level: u32, index: u64, size: u64) -> u64 {
    (size.checked_shr(HEIGHT * level).unwrap_or_default()).saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH)
}

/// The root over a power of two of neighbouring hashes: a node that lies between two levels of tiles, or the one hash
/// that a full tile is on the level above.
#[must_use]
pub fn fold(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        hashes => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            parent(&fold(left), &fold(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_and_widths_are_those_of_the_specification() {
        let tile = Tile { level: 0, index: 1_234_067, width: 256 };
        assert_eq!((tile.path().as_str(), Tile::parse("tile/0/x001/x234/067")), ("tile/0/x001/x234/067", Some(tile)));
        let partial = Tile { level: 1, index: 1, width: 17 };
        assert_eq!((partial.path().as_str(), Tile::parse("tile/1/001.p/17")), ("tile/1/001.p/17", Some(partial)));
        let widths =
            |size| [(0, 272), (0, 273), (0, 274), (1, 0), (1, 1), (2, 0), (3, 0)].map(|(l, i)| width(l, i, size));
        assert_eq!(widths(70_000), [256, 112, 0, 256, 17, 1, 0]);
        assert_eq!((width(0, 0, 256), width(0, 1, 256), width(1, 0, 256)), (256, 0, 1));
    }

    #[test]
    fn another_way_to_write_a_path_is_no_path() {
        for path in [
            "tile/0/1",
            "tile/00/001",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/08",
            "tile/8/001",
            "tile/0/001/",
            "tile/entries/001",
            "tile/0/-01",
            "tile/0/x01/001",
            "/tile/0/001",
            "tile/0/1000",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_path_names_its_tile(level in 0..=LEVEL_MAX, index in 0_u64..1 << 56, width in 1..=WIDTH) {
            let tile = Tile { level, index, width };
            prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
        }
    }
}
