//! Checkpoints on their way to others: witnesses that cosign them, and places that keep them. Who holds one can tell
//! when the log is rewritten later; who holds none has to believe us.
//!
//! All of it happens behind the sealing. A witness or a place that does not answer holds nothing up; it gets the next
//! checkpoint.

mod bucket;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio::sync::watch;

pub use self::bucket::Bucket;
use super::{Service, Trouble};
use crate::config::Aws;
use crate::log::tree::checkpoints::Kept;
use crate::proof::note::{NOTE_MAX, Note, Signature, Signs, Verifier};

/// How long others may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// How often one of them is asked at most.
const EVERY: Duration = Duration::from_secs(2);

/// A witness (C2SP tlog-witness): `URL#KEY`, where the key is that of its cosignatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The submission prefix.
    pub url: String,
    pub key: Verifier,
}

/// Where each checkpoint goes besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchor {
    /// Is appended to.
    File(PathBuf),
    /// Gets it as the body of a POST.
    Hook(String),
    /// Keeps it as an object of its own.
    Bucket(Box<Bucket>),
}

impl FromStr for Witness {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, key) = text.split_once('#').ok_or("a witness is written URL#KEY: where it is, and its public key")?;
        let key: Verifier = key.parse().map_err(|error| format!("{error}"))?;
        if key.signs() != Signs::Cosignature {
            return Err(format!("the key of {url} is not one for cosignatures (C2SP tlog-cosignature)"));
        }
        if !is_url(url) {
            return Err(format!("`{url}` is no http or https URL"));
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), key })
    }
}

impl Anchor {
    /// Reads a path, an http or https URL, or `s3://BUCKET/PREFIX`, for which `aws` is asked.
    ///
    /// # Errors
    /// If it is a URL of another kind, or the bucket cannot be written to as `aws` has it.
    pub fn parse(text: &str, aws: impl FnOnce() -> Aws) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("http" | "https", _)) => Ok(Self::Hook(text.to_owned())),
            Some(("s3", _)) => Ok(Self::Bucket(Box::new(Bucket::open(text, aws())?))),
            Some((scheme, _)) if !scheme.contains('/') => Err(format!(
                "nothing can be anchored at {scheme}://; name a file, an http or https URL, or s3://BUCKET/PREFIX"
            )),
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Hook(url) => write!(f, "{url}"),
            Self::Bucket(bucket) => write!(f, "{bucket}"),
        }
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// An answer of somebody's.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Why somebody did not do what he was asked.
#[derive(Debug, thiserror::Error)]
pub enum Unpublished {
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error("{0}")]
    Unanswered(String),
    #[error("it answers {status}: {said}")]
    Refused { status: u16, said: String },
    #[error("its cosignature does not hold")]
    Forged,
    #[error("it says that it saw {seen} events, and the log has {size}")]
    SawMore { seen: u64, size: u64 },
    #[error(
        "`{name}` is there already and cannot be compared, for reading it is answered {status}: {said}. Let the keys \
         read what they write"
    )]
    Unread { name: String, status: u16, said: String },
    #[error(
        "`{name}` holds something else already ({found}; ours has the root {root}). It is left as it is. Either this log \
         was forked or rewritten, or somebody else writes there: keep what is there, and hold the log against it \
         (`convoledger verify --against`)"
    )]
    Contradicted { name: String, found: String, root: String },
}

impl Service {
    /// Hands every checkpoint that `signed` tells of to `witnesses` and `anchors`, for as long as it is polled.
    pub async fn publish(
        &self,
        mut signed: watch::Receiver<Option<Kept>>,
        witnesses: Vec<Witness>,
        anchors: Vec<Anchor>,
    ) {
        while signed.changed().await.is_ok() {
            let Some(kept) = signed.borrow_and_update().clone() else { continue };
            for witness in &witnesses {
                if let Err(error) = self.ask(witness, &kept).await {
                    tracing::warn!("witness {} did not cosign: {error}", witness.url);
                }
            }
            for anchor in &anchors {
                match anchor.take(&kept).await {
                    Ok(()) => {}
                    Err(error @ Unpublished::Contradicted { .. }) => {
                        metrics::counter!("checkpoint_contradicted_total").increment(1);
                        tracing::error!("{anchor} contradicts a checkpoint: {error}");
                    }
                    Err(error) => tracing::warn!("{anchor} did not take a checkpoint: {error}"),
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Asks a witness for its cosignature, and keeps it.
    pub async fn ask(&self, witness: &Witness, kept: &Kept) -> Result<(), Unpublished> {
        let mut old = self.cosigned_size(&witness.key).await?;
        for last in [false, true] {
            let size = kept.checkpoint.size;
            let request = self.prove_checkpoint(kept, old).await?.ok_or(Unpublished::SawMore { seen: old, size })?;
            let answer = post(format!("{}/add-checkpoint", witness.url), request.to_string()).await?;
            match answer.status {
                200 => return self.take_cosignature(witness, kept, &answer.body).await,
                // It remembers another checkpoint than we do, and says which.
                409 if !last && answer.body.trim().parse().is_ok_and(|seen: u64| seen != old) => {
                    old = answer.body.trim().parse().unwrap_or_default();
                }
                status => return Err(Unpublished::Refused { status, said: answer.body.trim().to_owned() }),
            }
        }
        Ok(())
    }

    async fn take_cosignature(&self, witness: &Witness, kept: &Kept, answer: &str) -> Result<(), Unpublished> {
        let text = kept.checkpoint.text();
        for line in answer.lines() {
            let Some(signature) = Signature::parse(line) else { continue };
            let note = Note { text: text.clone(), signatures: vec![signature] };
            if note.verified(std::slice::from_ref(&witness.key)).is_ok() {
                return Ok(self.cosigned(&kept.checkpoint, &witness.key, line).await?);
            }
        }
        Err(Unpublished::Forged)
    }
}

impl Anchor {
    async fn take(&self, kept: &Kept) -> Result<(), Unpublished> {
        match self {
            Self::File(path) => {
                let (path, note) = (path.clone(), kept.note.clone());
                let append = move || -> io::Result<()> {
                    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
                    file.write_all(format!("{note}\n").as_bytes())?;
                    file.sync_data()
                };
                waited(tokio::task::spawn_blocking(append).await)
            }
            Self::Hook(url) => match post(url.clone(), kept.note.clone()).await? {
                answer if (200..300).contains(&answer.status) => Ok(()),
                answer => Err(Unpublished::Refused { status: answer.status, said: answer.body }),
            },
            Self::Bucket(bucket) => bucket.take(kept).await,
        }
    }
}

async fn post(url: String, body: String) -> Result<Answer, Unpublished> {
    waited(tokio::task::spawn_blocking(move || read(agent().post(&url).send(&body))).await)
}

/// What lies at `url`, of at most 64 KiB: a checkpoint or a tile.
pub async fn get(url: String) -> Result<(u16, Vec<u8>), Unpublished> {
    waited(tokio::task::spawn_blocking(move || read_bytes(agent().get(&url).call())).await)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(ANSWERS_WITHIN)).http_status_as_error(false).build().into()
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> io::Result<Answer> {
    let (status, body) = read_bytes(answer)?;
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

fn read_bytes(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> io::Result<(u16, Vec<u8>)> {
    let answer = answer.map_err(io::Error::other)?;
    let (status, mut body) = (answer.status().as_u16(), Vec::new());
    answer.into_body().into_reader().take(NOTE_MAX as u64).read_to_end(&mut body)?;
    Ok((status, body))
}

fn waited<T>(done: Result<io::Result<T>, tokio::task::JoinError>) -> Result<T, Unpublished> {
    let done = done.map_err(|error| Unpublished::Unanswered(error.to_string()))?;
    done.map_err(|error| Unpublished::Unanswered(error.to_string()))
}
