//! `convoledger import`

mod archive;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures::{StreamExt as _, stream};
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::report::{FileReport, Report};
use super::Place;
use super::output::{bar, say, say_json};
use crate::archive::open::Archive;
use crate::database::Role;
use crate::format::{self, Counts, Export, FormatError, Note, Refused, Transcript};
use crate::log::AppendError;
use crate::proof::note::Verifier;
use crate::service::{Actor, Imported, Service, Trouble};

/// Conversations that are being written at once.
const IN_FLIGHT: usize = 64;
/// Conversations that are read ahead.
const READ_AHEAD: usize = 64;
/// How long to wait before what the server was too busy for is tried again, the first time and at most.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Takes exported conversations into an account.
///
/// Reads archives of convoledger (`export`), exports of ChatGPT (conversations.json, or the .zip as downloaded) and JSONL
/// corpora, also compressed (.zst). The format is told by the content. A second import of the same export appends nothing; one of a later export appends
/// what is new. What cannot be read is refused by conversation and told with its reason; the rest is taken. Exits 1 when
/// anything was refused.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The export files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Whose they become; the account is registered if it is new
    #[arg(long, value_name = "EMAIL")]
    account: String,
    /// Take archives only if one of these public keys signed them, as `convoledger keys public` prints them; may be repeated
    #[arg(long = "key", value_name = "KEY")]
    trusted: Vec<Verifier>,
    /// Print one JSON document: {"files": [...], "total": {...}}
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let house = place.open(Role::Command).await?;
        let taken = self.take(&house.service).await;
        house.close().await;
        let report = taken?;
        if self.json {
            say_json(&report)?;
        } else {
            say(&report.text());
        }
        Ok(if report.total.refused > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn take(&self, service: &Service) -> anyhow::Result<Report> {
        let mut report = Report::default();
        for path in &self.files {
            report.add(match Archive::manifest_of(path) {
                Some(Ok(manifest)) => {
                    let trusted = (!self.trusted.is_empty()).then_some(&*self.trusted);
                    archive::take(service, &self.account, path, &manifest, trusted).await?
                }
                Some(Err(unreadable)) => {
                    let mut report = FileReport::of(path);
                    report.refused_whole(format!("{:#}", anyhow::Error::from(unreadable)));
                    report
                }
                None => {
                    let actor = service.register(&self.account).await?;
                    take_file(service, actor, path).await?
                }
            });
        }
        service.fold_up().await?; // so that whoever reads next sees it all
        Ok(report)
    }
}

async fn take_file(service: &Service, actor: Actor, path: &Path) -> anyhow::Result<FileReport> {
    let mut report = FileReport::of(path);
    let (sender, mut receiver) = mpsc::channel(READ_AHEAD);
    let reader = {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || match format::open(&path) {
            Ok(export) => Ok(read(export, &path, &sender)),
            Err(error) => Err(error),
        })
    };
    let items = stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut results = items.map(|item| take(service, actor, item)).buffer_unordered(IN_FLIGHT);
    while let Some(result) = results.next().await {
        match result? {
            Ok(taken) => report.taken(taken),
            Err(refused) => report.refused(refused),
        }
    }
    drop(results);
    match reader.await? {
        Ok(aside) => report.aside = aside,
        Err(error) => {
            let more = match error {
                FormatError::Unknown { .. } | FormatError::NothingInside { .. } => {
                    "; and archives of convoledger: one that was damaged on its way is to be fetched again"
                }
                _ => "",
            };
            report.refused_whole(format!("{:#}{more}", anyhow::Error::from(error)));
        }
    }
    report.sort();
    Ok(report)
}

/// One item of a file, and which one it is.
struct Item {
    file: String,
    index: u64,
    read: Result<Transcript, Refused>,
}

/// Reads a file to its end, as fast as it is taken. Gives what lies in the archive and was not read.
fn read(export: Export, path: &Path, sender: &mpsc::Sender<Item>) -> Vec<String> {
    let (progress, aside) = (export.progress(), export.aside().to_vec());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let shown: ProgressBar = bar(progress.total(), "{msg} {bar:40} {bytes}/{total_bytes}, {eta}");
    shown.set_message(name.clone());
    for (read, index) in export.zip(1..) {
        shown.set_position(progress.read());
        if sender.blocking_send(Item { file: name.clone(), index, read }).is_err() {
            break; // whoever takes them has failed, and says why
        }
    }
    shown.finish_and_clear();
    aside
}

/// A conversation that was taken.
struct Taken {
    counts: Counts,
    appended: u64,
    already_there: u64,
    notes: Vec<Note>,
}

async fn take(service: &Service, actor: Actor, item: Item) -> Result<Result<Taken, Refused>, Trouble> {
    let mut transcript = match item.read {
        Ok(transcript) => transcript,
        Err(refused) => return Ok(Err(refused)),
    };
    let (counts, notes) = (transcript.counts(), std::mem::take(&mut transcript.notes));
    match patiently(service, actor, transcript).await? {
        Imported::Taken { appended, already_there, .. } => Ok(Ok(Taken { counts, appended, already_there, notes })),
        Imported::Refused(reason) => {
            Ok(Err(Refused { file: item.file, index: item.index, reason: reason.to_string() }))
        }
    }
}

/// Imports, and waits for as long as others keep the server busy.
async fn patiently(service: &Service, actor: Actor, transcript: Transcript) -> Result<Imported, Trouble> {
    let mut wait = RETRY_MIN;
    loop {
        match service.import(actor, transcript.clone()).await {
            Err(Trouble::Busy { .. } | Trouble::Append(AppendError::Full { .. })) => {
                sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
            answer => return answer,
        }
    }
}
