//! Archives: what a person is handed of a ledger, and what an auditor is. A ZIP that a stranger can check with nothing but
//! the ledger's public key, and that another ledger takes in.
//!
//! ```text
//! README.md            what this is, for people
//! manifest.json        what it was made of: ledger, account, checkpoint, counts            manifest
//! manifest.note        the ledger's signature over it (C2SP signed-note)
//! SHA256SUMS           of every other file; the manifest has its own
//! checkpoint           the signed size and root of the log that all proofs lead to
//! schema/event.json    JSON Schema of the lines in events/
//! events/*.jsonl       every event, with its leaf and its proof                            line
//! streams.jsonl        how many events each conversation has, so that none is missing
//! account.json, costs.json, conversations/*                                                 for people
//! ```
//!
//! It is made in units that each are whole on the disk before the next is begun ([`work`]), so whoever made it may be killed
//! and goes on; then the units are packed ([`pack`]). Nothing holds more than a page of it in memory.

pub mod check;
pub mod expiry;
pub mod line;
pub mod manifest;
pub mod open;
pub mod pack;
pub mod page;
pub mod work;

/// Files of an archive whose names are known.
pub mod name {
    pub const README: &str = "README.md";
    pub const MANIFEST: &str = "manifest.json";
    pub const SIGNATURE: &str = "manifest.note";
    pub const SUMS: &str = "SHA256SUMS";
    pub const CHECKPOINT: &str = "checkpoint";
    pub const SCHEMA: &str = "schema/event.json";
    pub const STREAMS: &str = "streams.jsonl";
    pub const ACCOUNT: &str = "account.json";
    pub const COSTS: &str = "costs.json";
    pub const EVENTS: &str = "events/";
}
