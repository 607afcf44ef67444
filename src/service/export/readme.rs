//! What an archive says of itself, to people and to programs.

use std::fmt::Write as _;

use chrono::SecondsFormat;

use crate::archive::line::State;
use crate::archive::manifest::{Manifest, Of};
use crate::proof::note::Verifier;

/// JSON Schema of the lines in `events/`.
pub(super) const SCHEMA: &str = include_str!("event.schema.json");

/// The file README.md.
pub(super) fn text(manifest: &Manifest, keys: &[Verifier]) -> String {
    let mut text = String::new();
    let as_of = manifest.as_of.to_rfc3339_opts(SecondsFormat::Secs, true);
    let counts = &manifest.counts;
    match manifest.of {
        Of::Account { account } => {
            let _ = writeln!(
                text,
                "# Everything that this ledger holds of you\n\n\
                 Account {account}, as of {as_of}: {} events, {} conversations with {} branches, {} messages.\n\n\
                 | to read | |\n|---|---|\n\
                 | `conversations/` | a folder for each, the eldest first: every branch as a page (`branch-1.md`), and all of it, \
                 also what was hidden, revised, rated or put aside, as `conversation.json` |\n\
                 | `account.json` | the account, and the tokens by which programs call in its name |\n\
                 | `costs.json` | what was used and what it cost, by month and model |\n\n\
                 | for programs | |\n|---|---|\n\
                 | `events/` | every event of yours as it was recorded, a line of JSON each (`schema/event.json`): acts of yours, \
                 and what others did in your part of the ledger, such as reading it (`account.read`) |\n\
                 | `streams.jsonl` | how many events each conversation has |\n\
                 | `manifest.json` | what this was made of |\n",
                counts.events, counts.conversations, counts.branches, counts.messages,
            );
        }
        Of::Range { from, to } => {
            let _ = writeln!(
                text,
                "# Events {from} to {to} of a ledger\n\n\
                 Facts and proofs, without words, as of {as_of}: {} events in `events/`, a line of JSON each \
                 (`schema/event.json`). `streams.jsonl` says which versions of each stream they are.\n",
                counts.events,
            );
        }
    }
    let _ = writeln!(text, "## What is not in it\n");
    for withheld in &manifest.withheld {
        let _ = writeln!(text, "- {}: {}.", withheld.what, withheld.why);
    }
    if let Some(gone) = counts.words.get(&State::Gone) {
        let _ =
            writeln!(text, "- {gone} parts of words, which were forgotten: what is left says that they were there.");
    }
    let _ = writeln!(
        text,
        "\n## That it is whole and unchanged\n\n\
         Anybody can check it, without us and offline, who has the ledger's public key from somewhere else than this file:\n\n\
         ```sh\nconvoledger check --key \"$KEY\" ARCHIVE.zip\n```\n\n\
         It holds every file against the ledger's signature (`manifest.note`, `SHA256SUMS`), and every event against the log \
         that the `checkpoint` is of: that it was recorded so, that its words are those that were sealed then, and that none \
         between the first and the last is missing. That the ledger holds nothing else of an account, it states with its \
         signature; no proof shows it. These keys signed it:\n",
    );
    for key in keys {
        let _ = writeln!(text, "    {key}");
    }
    if matches!(manifest.of, Of::Account { .. }) {
        let _ = writeln!(
            text,
            "\n## To take it elsewhere\n\n\
             `convoledger import ARCHIVE.zip --account EMAIL` has another ledger go on where this one stood.\n\n\
             ## Your rights\n\n\
             This is the copy of your personal data that Article 15 of the GDPR gives you, in a form that Article 20 wants. Whoever \
             runs the ledger owes you besides: what your data are used for, who receives them, how long they are kept, where \
             they come from, and that you may have them corrected or erased, object, or complain to an authority. Ask them.",
        );
    }
    text
}
