//! `convoledger witness`

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::output::{say, say_json};
use crate::proof::Hash;
use crate::proof::checkpoint::Checkpoint;
use crate::proof::merkle::{consistency, root};
use crate::proof::note::Verifier;
use crate::proof::tile::{Tile, fold};
use crate::proof::witness::{Disbelief, Request, can_follow, follows};
use crate::service::publish::get;

/// Remembers a log's newest checkpoint, and believes only one that follows from it: run it elsewhere, every now and then.
///
/// Takes the address of a server, whose tiles show whether the log only grew, or a file: a checkpoint, or one with the
/// proof that it follows (`checkpoint --since N`). Exits 1 and remembers what it did when the log was forked, rewritten
/// or cut short.
#[derive(Debug, Args)]
pub(super) struct Witness {
    /// Where the checkpoint is remembered; made the first time
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// A public key that signs the log's checkpoints; needed the first time, and when keys are switched; may be repeated
    #[arg(long = "key", value_name = "KEY")]
    trusted: Vec<Verifier>,
    /// Where the new checkpoint is
    #[arg(value_name = "URL|FILE")]
    source: String,
    /// Print one JSON document: `origin`, `size`, `root`, `before`
    #[arg(long)]
    json: bool,
}

/// What a witness remembers.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    keys: Vec<String>,
    /// The signed note.
    checkpoint: String,
}

impl Witness {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let memory = self.remembered()?;
        let mut keys = self.trusted.clone();
        for known in memory.iter().flat_map(|memory| &memory.keys) {
            let known: Verifier = known.parse()?;
            if !keys.contains(&known) {
                keys.push(known);
            }
        }
        ensure!(!keys.is_empty(), "nothing is remembered yet: say by --key whose checkpoints are to be believed");
        let before = match &memory {
            Some(memory) => Some(Checkpoint::open(&memory.checkpoint, &keys).context("what is remembered")?.0),
            None => None,
        };
        let (new, note) = if self.source.starts_with("http://") || self.source.starts_with("https://") {
            from_server(self.source.trim_end_matches('/'), before.as_ref(), &keys).await?
        } else {
            from_file(Path::new(&self.source), before.as_ref(), &keys)?
        };
        let keys = keys.iter().map(ToString::to_string).collect();
        self.remember(&Memory { keys, checkpoint: note })?;
        let size = before.map(|before| before.size);
        if self.json {
            let root = hex::encode(new.root);
            let said = serde_json::json!({ "origin": new.origin, "size": new.size, "root": root, "before": size });
            say_json(&said)?;
        } else {
            match size {
                Some(size) => say(&format!("the log of {} events begins with the {size} that were seen", new.size)),
                None => say(&format!("{}: {} events are remembered", new.origin, new.size)),
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn remembered(&self) -> anyhow::Result<Option<Memory>> {
        let text = match fs::read_to_string(&self.state) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", self.state.display())),
        };
        let memory = serde_json::from_str(&text);
        memory.map(Some).with_context(|| format!("{} is no witness's memory", self.state.display()))
    }

    /// Whole or not at all.
    fn remember(&self, memory: &Memory) -> anyhow::Result<()> {
        let new = self.state.with_extension("new");
        let written = fs::write(&new, serde_json::to_string_pretty(memory)? + "\n").and_then(|()| {
            fs::File::open(&new)?.sync_all()?;
            fs::rename(&new, &self.state)
        });
        written.with_context(|| format!("{} cannot be written", self.state.display()))
    }
}

fn from_file(path: &Path, before: Option<&Checkpoint>, keys: &[Verifier]) -> anyhow::Result<(Checkpoint, String)> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if text.starts_with("old ") {
        let request = Request::parse(&text)?;
        let proven = match before {
            Some(_) => request.follows(before, keys)?,
            None => Checkpoint::open(&request.checkpoint.to_string(), keys)?.0,
        };
        return Ok((proven, request.checkpoint.to_string()));
    }
    let (new, note) = Checkpoint::open(&text, keys)?;
    if let Some(before) = before {
        can_follow(&new, before)?;
        if new.size > before.size && before.size > 0 {
            bail!(
                "it does not show that it follows from the {} events that were seen: ask for `convoledger checkpoint \
                 --since {}`",
                before.size,
                before.size
            );
        }
    }
    Ok((new, note.to_string()))
}

async fn from_server(
    url: &str,
    before: Option<&Checkpoint>,
    keys: &[Verifier],
) -> anyhow::Result<(Checkpoint, String)> {
    let note = String::from_utf8(fetch(format!("{url}/checkpoint")).await?).context("its checkpoint is no text")?;
    let (new, note) = Checkpoint::open(&note, keys)?;
    if let Some(before) = before {
        can_follow(&new, before)?;
        let proof = prove(url, before.size, new.size).await?;
        follows(&new, before, &proof)?;
    }
    Ok((new, note.to_string()))
}

/// The consistency proof between two sizes, out of tiles that the server hands out. Who lies in a tile proves nothing.
async fn prove(url: &str, old: u64, size: u64) -> anyhow::Result<Vec<Hash>> {
    let spans = consistency(old, size).ok_or(Disbelief::Shrunk { size, remembered: old })?;
    let mut tiles: HashMap<Tile, Vec<Hash>> = HashMap::new();
    let mut proof = Vec::with_capacity(spans.len());
    for span in spans {
        let mut nodes = Vec::new();
        for node in span.nodes() {
            let (tile, range) = Tile::of(node, size);
            let hashes = match tiles.entry(tile) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(unread) => unread.insert(read(url, tile).await?),
            };
            let hashes = hashes.get(range);
            nodes.push(fold(hashes.with_context(|| format!("{} is too narrow", tile.path()))?));
        }
        proof.push(root(&nodes));
    }
    Ok(proof)
}

async fn read(url: &str, tile: Tile) -> anyhow::Result<Vec<Hash>> {
    let bytes = fetch(format!("{url}/{}", tile.path())).await?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    ensure!(rest.is_empty() && hashes.len() as u64 == tile.width, "{} is no such tile", tile.path());
    Ok(hashes.to_vec())
}

async fn fetch(url: String) -> anyhow::Result<Vec<u8>> {
    match get(url.clone()).await {
        Ok((200, body)) => Ok(body),
        Ok((status, _)) => bail!("{url} answers {status}"),
        Err(error) => bail!("{url} does not answer: {error}"),
    }
}
