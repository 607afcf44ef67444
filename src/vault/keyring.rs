//! Keys outside the database: the root, the epoch keys and the lookup key.
//!
//! They lie in one directory, each in a file of mode 0600:
//!
//! - `root`: 32 bytes in hex on a line. While the root is rotated there is a line for each root that may still be
//!   needed, the newest first. There is no such file where the root is given from the environment.
//! - `epoch-N`: the key that wraps the subject keys of epoch N, sealed by the root. The newest wraps what is made. When an
//!   epoch is retired, its file is destroyed, and with it all copies of keys that it ever wrapped, wherever they lie.
//! - `lookup`: the key under which accounts are found and cursors authenticated, sealed by the root.
//! - `signing` and `signed`: see [`signing`](super::signing).
//!
//! Sealed files say `v1 ` and, in hex, nonce ‖ ciphertext ‖ tag. Without these files nothing in the log opens again, so
//! they are made on a ledger's first start alone and never over anything: a file that is missing was lost.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::KeyringError;
use super::cipher::{self, Key};
use super::files::{KeyDir, epoch_name};
use super::root::{KeyStore, Root};
use super::signing;

const ROOT: &str = "root";
const LOOKUP: &str = "lookup";
const FORMAT: &str = "v1 ";

/// The opened keys.
pub struct Keyring {
    dir: PathBuf,
    epochs: BTreeMap<u32, Key>,
    newest: (u32, Key),
    lookup: Key,
}

impl Keyring {
    /// Opens the key files. On a `first_start`, when nothing was sealed yet, those that are not there are made.
    ///
    /// # Errors
    /// If a file is missing that was there or must have been, does not open, reads as nothing known, or may be read by
    /// others; or the file system fails.
    pub fn open(store: &KeyStore, first_start: bool) -> Result<Self, KeyringError> {
        let dir = KeyDir::lock(&store.dir, first_start)?;
        dir.bury()?;
        // Made in the order root, lookup, epoch: a start that was cut short is continued, but what is missing before
        // something that is there was lost.
        let mut numbers = dir.epochs()?;
        let make_epoch = first_start && numbers.is_empty();
        let make_lookup = make_epoch && dir.read(LOOKUP)?.is_none();
        if make_lookup && store.given.is_empty() && dir.read(ROOT)?.is_none() {
            dir.write(ROOT, &lines(&[Root::random()]))?;
        }
        let roots = roots(&dir, store)?;
        if make_lookup {
            dir.write(LOOKUP, &sealed(&roots[0], LOOKUP, &cipher::key()))?;
        }
        let lookup = open(&dir, &roots, LOOKUP)?;
        if make_epoch {
            dir.write(&epoch_name(1), &sealed(&roots[0], &epoch_name(1), &cipher::key()))?;
            numbers.push(1);
        }

        let mut epochs = BTreeMap::new();
        for number in numbers {
            epochs.insert(number, open(&dir, &roots, &epoch_name(number))?);
        }
        let newest = epochs.last_key_value().map(|(&number, key)| (number, key.clone()));
        let newest = newest.ok_or_else(|| KeyringError::Missing { file: dir.file(&epoch_name(1)) })?;
        Ok(Self { dir: store.dir.clone(), epochs, newest, lookup })
    }

    /// Seals all key files anew, under `new`. No log and no table is touched, and servers that run go on. Cut short at
    /// any point, the files open as before, and another call finishes.
    ///
    /// Where the root is given from the environment, `new` must already be given there, before the old one; once this
    /// is done, the old one can go.
    ///
    /// # Errors
    /// As [`Keyring::open`]; then nothing was written yet, unless it is a write that failed.
    pub fn rotate_root(store: &KeyStore, new: &Root) -> Result<(), KeyringError> {
        let dir = KeyDir::lock(&store.dir, false)?;
        for (name, text) in rotation(&dir, store, new)? {
            dir.write(&name, &text)?;
        }
        Ok(())
    }

    /// Makes the key of an epoch that comes after `after`, unless there is one.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub(super) fn begin_epoch(store: &KeyStore, after: u32) -> Result<(), KeyringError> {
        let dir = KeyDir::lock(&store.dir, false)?;
        let newest = dir.epochs()?.last().copied().unwrap_or(after);
        if newest > after {
            return Ok(());
        }
        let (roots, name) = (roots(&dir, store)?, epoch_name(after.max(newest) + 1));
        dir.write(&name, &sealed(&roots[0], &name, &cipher::key()))
    }

    /// Destroys the keys of all epochs up to `through`, and says which they were. What they still wrap is lost.
    ///
    /// # Errors
    /// If there is no later one, or the file system fails; what was destroyed then stays so.
    pub(super) fn destroy_epochs(store: &KeyStore, through: u32) -> Result<Vec<u32>, KeyringError> {
        let dir = KeyDir::lock(&store.dir, false)?;
        dir.bury()?;
        let (old, new): (Vec<u32>, Vec<u32>) = dir.epochs()?.into_iter().partition(|&epoch| epoch <= through);
        if new.is_empty() {
            return Err(KeyringError::Missing { file: dir.file(&epoch_name(through + 1)) });
        }
        for &epoch in &old {
            dir.destroy(&epoch_name(epoch))?;
        }
        Ok(old)
    }

    /// The key of an epoch.
    pub(super) fn epoch(&self, number: u32) -> Result<&Key, KeyringError> {
        self.epochs.get(&number).ok_or_else(|| KeyringError::Missing { file: self.epoch_file(number) })
    }

    /// The newest epoch, whose key wraps what is made from now on.
    pub(super) const fn newest(&self) -> (u32, &Key) {
        (self.newest.0, &self.newest.1)
    }

    /// Whether both hold the keys of the same epochs.
    pub(super) fn same_epochs(&self, other: &Self) -> bool {
        self.epochs.keys().eq(other.epochs.keys())
    }

    pub(super) fn epoch_file(&self, number: u32) -> PathBuf {
        self.dir.join(epoch_name(number))
    }

    /// A key for one use, derived from the lookup key.
    pub(super) fn derive(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.lookup[..])
    }
}

/// The writes that make `new` the root, in an order in which every prefix of them leaves files that open.
fn rotation(dir: &KeyDir, store: &KeyStore, new: &Root) -> Result<Vec<(String, Zeroizing<String>)>, KeyringError> {
    let mut roots = roots(dir, store)?;
    let in_file = store.given.is_empty();
    if !in_file && roots[0] != *new {
        return Err(KeyringError::NotFirst);
    }
    roots.retain(|root| root != new);
    roots.insert(0, new.clone());

    let mut writes = Vec::new();
    if in_file {
        writes.push((ROOT.to_owned(), lines(&roots)));
    }
    for name in std::iter::once(LOOKUP.to_owned()).chain(dir.epochs()?.into_iter().map(epoch_name)) {
        let text = sealed(new, &name, &open(dir, &roots, &name)?);
        writes.push((name, text));
    }
    writes.extend(signing::resealed(dir, &roots, new)?);
    if in_file {
        writes.push((ROOT.to_owned(), lines(&roots[..1])));
    }
    Ok(writes)
}

/// The roots there are, the newest first: at least one.
pub(super) fn roots(dir: &KeyDir, store: &KeyStore) -> Result<Vec<Root>, KeyringError> {
    if !store.given.is_empty() {
        return Ok(store.given.clone());
    }
    let text = dir.read(ROOT)?.ok_or_else(|| KeyringError::Missing { file: dir.file(ROOT) })?;
    let roots: Option<Vec<Root>> = text.lines().map(Root::read).collect();
    roots.filter(|roots| !roots.is_empty()).ok_or_else(|| KeyringError::Unreadable { file: dir.file(ROOT) })
}

/// Opens the key in the file `name` by whichever root does.
fn open(dir: &KeyDir, roots: &[Root], name: &str) -> Result<Key, KeyringError> {
    let text = dir.read(name)?.ok_or_else(|| KeyringError::Missing { file: dir.file(name) })?;
    let wrapped = text.trim_end().strip_prefix(FORMAT).and_then(|digits| hex::decode(digits).ok());
    let wrapped = wrapped.ok_or_else(|| KeyringError::Unreadable { file: dir.file(name) })?;
    let mut opened = roots.iter().filter_map(|root| cipher::unwrap(&root.0, &associated(name), &wrapped).ok());
    opened.next().ok_or_else(|| KeyringError::Sealed { file: dir.file(name) })
}

/// The text of the file `name`, which holds `key`.
fn sealed(root: &Root, name: &str, key: &Key) -> Zeroizing<String> {
    let wrapped = cipher::wrap(&root.0, &associated(name), key);
    Zeroizing::new(format!("{FORMAT}{}\n", hex::encode(wrapped)))
}

/// Bound into a sealed file: which one it is, so that none can take the place of another.
fn associated(name: &str) -> Vec<u8> {
    match name.strip_prefix("epoch-").and_then(|number| number.parse::<u32>().ok()) {
        Some(number) => cipher::associated("convoledger epoch key v1", &[&number.to_be_bytes()]),
        None => cipher::associated("convoledger lookup key v1", &[]),
    }
}

/// The text of the file `root`.
fn lines(roots: &[Root]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(roots.len() * 65));
    for root in roots {
        text.push_str(&root.text());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;

    fn store(dir: &TempDir) -> KeyStore {
        KeyStore::new(dir.path().join("keys"), None).unwrap()
    }

    fn given(dir: &TempDir, roots: &[&Root]) -> KeyStore {
        let text = roots.iter().map(|root| root.text().to_string()).collect::<Vec<_>>().join(",");
        KeyStore::new(dir.path().join("keys"), Some(&text)).unwrap()
    }

    /// The keys themselves, to tell whether two openings found the same.
    fn keys(keyring: &Keyring) -> (Vec<(u32, [u8; 32])>, [u8; 32]) {
        (keyring.epochs.iter().map(|(&number, key)| (number, **key)).collect(), *keyring.lookup)
    }

    fn opened(store: &KeyStore) -> (Vec<(u32, [u8; 32])>, [u8; 32]) {
        keys(&Keyring::open(store, false).unwrap())
    }

    fn error(opened: Result<Keyring, KeyringError>) -> KeyringError {
        opened.err().expect("an error")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// Adds the key of a second epoch.
    fn second_epoch(store: &KeyStore) {
        let dir = KeyDir::lock(&store.dir, false).unwrap();
        let roots = roots(&dir, store).unwrap();
        dir.write("epoch-2", &sealed(&roots[0], "epoch-2", &cipher::key())).unwrap();
    }

    #[test]
    fn the_first_start_makes_files_for_their_owner_alone_and_the_next_finds_them() {
        let dir = TempDir::new().unwrap();
        let first = keys(&Keyring::open(&store(&dir), true).unwrap());
        let keys_dir = dir.path().join("keys");
        assert_eq!(mode(&keys_dir), 0o700);
        let mut names: Vec<_> = fs::read_dir(&keys_dir)
            .unwrap()
            .map(|entry| entry.unwrap())
            .inspect(|entry| assert_eq!(mode(&entry.path()), 0o600, "{entry:?}"))
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["epoch-1", "lock", "lookup", "root"]);
        assert_eq!(opened(&store(&dir)), first);
        assert_eq!(keys(&Keyring::open(&store(&dir), true).unwrap()), first, "a database that was emptied");
    }

    #[test]
    fn servers_that_start_at_once_agree() {
        let dir = TempDir::new().unwrap();
        let all: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| keys(&Keyring::open(&store(&dir), true).unwrap()))).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(all.iter().all(|keys| *keys == all[0]));
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_continued() {
        for kept in [&["root"][..], &["root", "lookup"]] {
            let dir = TempDir::new().unwrap();
            Keyring::open(&store(&dir), true).unwrap();
            for name in ["root", "lookup", "epoch-1"].iter().filter(|name| !kept.contains(name)) {
                fs::remove_file(dir.path().join("keys").join(name)).unwrap();
            }
            let text = fs::read(dir.path().join("keys/root")).unwrap();
            Keyring::open(&store(&dir), true).unwrap();
            assert_eq!(fs::read(dir.path().join("keys/root")).unwrap(), text);
        }
    }

    #[test]
    fn a_lost_file_is_named_and_never_made_anew() {
        for (name, first_start) in
            [("root", true), ("lookup", true), ("root", false), ("lookup", false), ("epoch-1", false)]
        {
            let dir = TempDir::new().unwrap();
            Keyring::open(&store(&dir), true).unwrap();
            let lost = dir.path().join("keys").join(name);
            fs::remove_file(&lost).unwrap();
            let error = error(Keyring::open(&store(&dir), first_start));
            assert!(matches!(&error, KeyringError::Missing { file } if *file == lost), "{name}: {error}");
            assert!(!lost.exists());
        }
        let dir = TempDir::new().unwrap();
        assert!(matches!(error(Keyring::open(&store(&dir), false)), KeyringError::Missing { .. }));
        assert!(!dir.path().join("keys").exists());
    }

    #[test]
    fn another_root_a_moved_file_and_a_changed_one_do_not_open() {
        let dir = TempDir::new().unwrap();
        Keyring::open(&store(&dir), true).unwrap();
        let refused = error(Keyring::open(&given(&dir, &[&Root::random()]), false));
        assert!(matches!(&refused, KeyringError::Sealed { file } if file.ends_with("lookup")), "{refused}");

        let epoch = dir.path().join("keys/epoch-1");
        fs::copy(&epoch, dir.path().join("keys/epoch-2")).unwrap();
        let refused = error(Keyring::open(&store(&dir), false));
        assert!(matches!(&refused, KeyringError::Sealed { file } if file.ends_with("epoch-2")), "{refused}");
        fs::remove_file(dir.path().join("keys/epoch-2")).unwrap();

        fs::write(&epoch, "v2 00\n").unwrap();
        let refused = error(Keyring::open(&store(&dir), false));
        assert!(matches!(&refused, KeyringError::Unreadable { file } if file.ends_with("epoch-1")), "{refused}");
    }

    #[test]
    fn files_that_others_may_use_are_refused_with_the_cure() {
        let dir = TempDir::new().unwrap();
        Keyring::open(&store(&dir), true).unwrap();
        for (name, loose, right) in
            [("root", 0o640, "600"), ("lookup", 0o604, "600"), ("epoch-1", 0o620, "600"), ("", 0o770, "700")]
        {
            let file = dir.path().join("keys").join(name);
            let tight = mode(&file);
            fs::set_permissions(&file, fs::Permissions::from_mode(loose)).unwrap();
            let text = error(Keyring::open(&store(&dir), false)).to_string();
            assert!(text.contains(&format!("{loose:03o}")) && text.contains(&format!("chmod {right} ")), "{text}");
            fs::set_permissions(&file, fs::Permissions::from_mode(tight)).unwrap();
        }
        opened(&store(&dir));
    }

    #[test]
    fn a_given_root_needs_no_file() {
        let (dir, root) = (TempDir::new().unwrap(), Root::random());
        let first = keys(&Keyring::open(&given(&dir, &[&root]), true).unwrap());
        assert!(!dir.path().join("keys/root").exists());
        assert_eq!(opened(&given(&dir, &[&Root::random(), &root])), first);
        for text in ["", "12", "not hex"] {
            assert!(matches!(KeyStore::new("keys", Some(text)), Err(KeyringError::Root)), "{text}");
        }
    }

    #[test]
    fn a_rotation_of_the_root_cut_short_anywhere_opens_and_can_be_finished() {
        let new = Root::random();
        for another in [false, true] {
            for done in 0..=5 {
                let dir = TempDir::new().unwrap();
                let before = keys(&Keyring::open(&store(&dir), true).unwrap());
                second_epoch(&store(&dir));
                let before = (opened(&store(&dir)).0, before.1);
                {
                    let dir = KeyDir::lock(&store(&dir).dir, false).unwrap();
                    let writes = rotation(&dir, &KeyStore { dir: "".into(), given: vec![] }, &new).unwrap();
                    assert_eq!(writes.len(), 5);
                    for (name, text) in &writes[..done] {
                        dir.write(name, text).unwrap();
                    }
                    // What a crash in the midst of the next write leaves.
                    if let Some((name, _)) = writes.get(done) {
                        fs::write(dir.file(&format!("{name}.new")), "half").unwrap();
                    }
                }
                assert_eq!(opened(&store(&dir)), before, "after {done} writes");

                let last = if another { Root::random() } else { new.clone() };
                Keyring::rotate_root(&store(&dir), &last).unwrap();
                assert_eq!(opened(&store(&dir)), before, "finished after {done} writes");
                assert_eq!(opened(&given(&dir, &[&last])), before, "no other root is needed");
                assert_eq!(fs::read_to_string(dir.path().join("keys/root")).unwrap(), *lines(&[last]));
            }
        }
    }

    #[test]
    fn an_epoch_is_begun_once_and_the_ones_before_it_are_destroyed() {
        let dir = TempDir::new().unwrap();
        Keyring::open(&store(&dir), true).unwrap();
        assert!(matches!(Keyring::destroy_epochs(&store(&dir), 1), Err(KeyringError::Missing { .. })), "the only one");
        for _ in 0..2 {
            Keyring::begin_epoch(&store(&dir), 1).unwrap();
        }
        let (epochs, lookup) = opened(&store(&dir));
        assert_eq!(epochs.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
        for destroyed in [&[1][..], &[]] {
            assert_eq!(Keyring::destroy_epochs(&store(&dir), 1).unwrap(), destroyed);
        }
        assert_eq!(opened(&store(&dir)), (epochs[1..].to_vec(), lookup));
        Keyring::begin_epoch(&store(&dir), 2).unwrap();
        assert_eq!(opened(&store(&dir)).0.len(), 2);
    }

    #[test]
    fn a_destruction_cut_short_anywhere_is_ended_by_the_next_start() {
        for left in ["v1 whole", "half\0overwritten", ""] {
            let dir = TempDir::new().unwrap();
            Keyring::open(&store(&dir), true).unwrap();
            Keyring::begin_epoch(&store(&dir), 1).unwrap();
            let keys = dir.path().join("keys");
            fs::rename(keys.join("epoch-1"), keys.join("epoch-1.dead")).unwrap();
            fs::write(keys.join("epoch-1.dead"), left).unwrap();
            assert_eq!(opened(&store(&dir)).0.len(), 1);
            assert!(!keys.join("epoch-1.dead").exists());
        }
    }

    #[test]
    fn a_given_root_is_rotated_once_the_new_one_is_given_first() {
        let (dir, old, new) = (TempDir::new().unwrap(), Root::random(), Root::random());
        let before = keys(&Keyring::open(&given(&dir, &[&old]), true).unwrap());
        for early in [&[&old][..], &[&old, &new]] {
            let refused = Keyring::rotate_root(&given(&dir, early), &new);
            assert!(matches!(refused, Err(KeyringError::NotFirst)));
        }
        Keyring::rotate_root(&given(&dir, &[&new, &old]), &new).unwrap();
        assert_eq!(opened(&given(&dir, &[&new])), before);
        assert!(matches!(error(Keyring::open(&given(&dir, &[&old]), false)), KeyringError::Sealed { .. }));
    }
}
