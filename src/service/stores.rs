//! Every place where something of a person may lie, and what forgetting that person does there.
//!
//! Whatever keeps anything must join: a test compares this with the tables that the database has, the files of the data
//! directory, and the caches in the source. Views are not listed one by one. Those of facts keep what the log keeps; those
//! of words are found in the database itself, also when this program was not given their folder.

/// A place.
#[derive(Debug, Clone, Copy)]
pub struct Store {
    pub place: Place,
    pub forgetting: Forgetting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A table outside of the views.
    Table(&'static str),
    /// A file or folder in the data directory.
    File(&'static str),
    /// A file of the source that keeps something in memory between requests.
    Memory(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgetting {
    /// All of the person's is removed.
    Removes,
    /// The keys are destroyed, and with them whatever they sealed, wherever copies lie.
    Destroys,
    /// It holds nothing of any person's.
    Holds,
    /// Facts stay, and this is why.
    Keeps(&'static str),
    /// It lets go by itself, within this time.
    Passes(&'static str),
}

use Forgetting::{Destroys, Holds, Keeps, Passes, Removes};
use Place::{File, Memory, Table};

const fn store(place: Place, forgetting: Forgetting) -> Store {
    Store { place, forgetting }
}

pub const STORES: &[Store] = &[
    store(Table("public.words"), Removes),
    store(Table("vault.subject_key"), Destroys),
    store(Table("vault.opening"), Removes),
    store(
        Table("vault.renewal"),
        Keeps("of whoever took words away, where in the log that was and which keys went since: ids and numbers"),
    ),
    store(Table("account.account"), Removes),
    store(Table("account.token"), Removes),
    store(
        Table("public.event"),
        Keeps(
            "ids, times, kinds, roles, models, counts and money of what happened stay, and digests of sealed bytes: they \
             hold no words, and without them nothing in the log could be proven, nor any sum be accounted for",
        ),
    ),
    store(Table("public.closed"), Keeps("the account's id stays, so that nothing is ever appended for it again")),
    store(Table("public.unswept"), Passes("it empties as views are swept")),
    store(Table("public.tile"), Holds),
    store(Table("public.checkpoint"), Holds),
    store(Table("public.cosignature"), Holds),
    store(Table("public.ledger"), Holds),
    store(Table("public.history"), Holds),
    store(Table("public._sqlx_migrations"), Holds),
    store(Table("vault.epoch"), Holds),
    store(File("keys"), Destroys),
    store(
        File("pg"),
        Passes(
            "the database's own files: rows that are gone leave sealed bytes in them until Postgres uses the room again, \
             and no key that is left opens those",
        ),
    ),
    store(File("postgres.log"), Holds),
    store(File("owner.lock"), Holds),
    store(File("users.lock"), Holds),
    store(File("exports"), Removes),
    store(File("receipts"), Keeps("the receipt itself: ids, counts and digests")),
    store(Memory("vault/cache.rs"), Passes("keys are let go of here at once, and on other servers within a minute")),
    store(
        Memory("service/recent.rs"),
        Passes("words, within two minutes of being read; what has gone is shown to nobody meanwhile"),
    ),
    store(Memory("service/past.rs"), Passes("facts of conversations, ten minutes after their last use")),
    store(Memory("service/state.rs"), Passes("facts of conversations, ten minutes after their last use")),
    store(Memory("service/snapshot.rs"), Passes("a policy, within ten seconds")),
    store(Memory("service/masking.rs"), Passes("names that an account listed, within ten seconds")),
    store(Memory("service/transfer.rs"), Passes("facts of conversations, while an archive of them is taken in")),
    store(Memory("service/acknowledged.rs"), Passes("the last position of an account")),
];

/// What stays of a person, by place, and why.
pub fn kept() -> impl Iterator<Item = (&'static str, &'static str)> {
    STORES.iter().filter_map(|store| match (store.place, store.forgetting) {
        (Table(place) | File(place), Keeps(why) | Passes(why)) => Some((place, why)),
        _ => None,
    })
}
