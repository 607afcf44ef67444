//! All of an account's messages handed out as an archive, checked offline, and taken in by another ledger. Against COPY of
//! the same messages to a file and back, and against SHA-256 alone over the archive's files. Beside it stands another
//! account that says as much, in turns.
//!
//! `MESSAGES` says how many messages the account has. Peaks of memory are those of processes that do nothing else, for so
//! many and for a tenth: a peak that grows with the account would be ten times as high.

use std::hint::black_box;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use convoledger::archive::check::check;
use convoledger::archive::manifest::Of;
use convoledger::archive::open::Archive;
use convoledger::archive::work::{Cover, Work};
use convoledger::clock::Clock;
use convoledger::projection::{CONVERSATION, USAGE};
use convoledger::proof::note::Verifier;
use convoledger::random;
use convoledger::service::{Transferred, Wanted};
use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgPoolCopyExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::ledgers::{Cluster, Ledger};
use crate::limit::{Limit, Place};
use crate::memory;
use crate::rounds::take_turns;
use crate::text::Prose;

const MESSAGES: usize = 10_000;
const ROUNDS: usize = 3;
/// Messages of a conversation, of which there are as many of each length.
const LENGTHS: [usize; 5] = [4, 16, 60, 220, 700];
/// Messages in one order.
const ORDER: usize = 500;
/// Events handed over at once when an archive is taken in, and how often ahead, as the command does it.
const BATCH: usize = 500;
const AHEAD: usize = 4;

pub async fn measure(cluster: &Cluster) -> anyhow::Result<()> {
    let messages = messages()?;
    for messages in [messages / 10, messages] {
        peaks(cluster, messages).await?;
    }
    let (ledger, limit) = filled(cluster, messages).await?;
    let count = f64::from(u32::try_from(messages)?);
    let (archive, copied) = (cluster.root().join("archive.zip"), cluster.root().join("copied"));
    let ours = async || {
        let began = Clock::instant();
        export(&ledger, &archive).await?;
        Ok(count / began.elapsed().as_secs_f64())
    };
    let against = async || {
        let began = Clock::instant();
        copy_out(&limit, &copied).await?;
        Ok(count / began.elapsed().as_secs_f64())
    };
    take_turns(&format!("export: {messages} messages, against COPY"), "messages/s", ROUNDS, ours, against).await?;

    let files = unpacked(&archive)?;
    #[allow(clippy::cast_precision_loss)] // a report
    let [packed, whole, bare] =
        [archive.metadata()?.len(), files.iter().map(|file| file.len() as u64).sum(), copied.metadata()?.len()]
            .map(|bytes| bytes as f64 / 1e6);
    println!("export: {packed:.1} MB, {whole:.1} MB unpacked, in {} files; copied: {bare:.1} MB", files.len());
    let trusted = ledger.service.checkpoint_keys().await?;
    let ours = async || {
        let began = Clock::instant();
        check(&archive, Some(&trusted), |_| ())?;
        Ok(whole / began.elapsed().as_secs_f64())
    };
    let against = async || {
        let began = Clock::instant();
        for file in &files {
            black_box(Sha256::digest(file));
        }
        Ok(whole / began.elapsed().as_secs_f64())
    };
    take_turns("check: against SHA-256 alone", "MB/s", ROUNDS, ours, against).await?;
    drop(files);

    let ours = async || {
        let other = cluster.ledger(&[]).await?;
        let began = Clock::instant();
        take(&other, &archive, trusted.clone()).await?;
        Ok(count / began.elapsed().as_secs_f64())
    };
    let against = async || {
        let limit = Limit::create(cluster.empty().await?, 1).await?;
        let began = Clock::instant();
        let mut copying = limit.pool.copy_in_raw(include_str!("limit/sql/copy_in.sql")).await?;
        copying.read_from(tokio::fs::File::open(&copied).await?).await?;
        copying.finish().await?;
        Ok(count / began.elapsed().as_secs_f64())
    };
    take_turns("take in: check and import, against COPY", "messages/s", ROUNDS, ours, against).await
}

/// How much memory an export and a check take at most.
async fn peaks(cluster: &Cluster, messages: usize) -> anyhow::Result<()> {
    let (ledger, _) = filled(cluster, messages).await?;
    let archive = cluster.root().join(random::id().to_string());
    let export = memory::of_export(cluster, &ledger, &archive).await?;
    let key = ledger.service.checkpoint_keys().await?.remove(0);
    let check = memory::of_check(&archive, &key).await?;
    println!("memory: at {messages} messages, an export takes {export:.1} MB at most, a check {check:.1} MB");
    Ok(())
}

/// Both with the same messages; the ledger with as many of another account.
async fn filled(cluster: &Cluster, messages: usize) -> anyhow::Result<(Ledger, Limit)> {
    let ledger = cluster.ledger(&[CONVERSATION, USAGE]).await?;
    let other = ledger.of("other@example.org").await?;
    let limit = Limit::create(cluster.empty().await?, 1).await?;
    let mut prose = Prose::new(6)?;
    for length in LENGTHS.iter().copied().cycle().take(LENGTHS.len() * messages / LENGTHS.iter().sum::<usize>()) {
        let texts = prose.many(length);
        limit.insert_many(&mut *limit.client(0).await, Place::first(), &texts).await?;
        converse(&ledger, &texts).await?;
        converse(&other, &texts).await?;
    }
    ledger.caught_up().await?;
    Ok((ledger, limit))
}

/// Says all of it in a conversation of its own.
pub async fn converse(ledger: &Ledger, texts: &[String]) -> anyhow::Result<()> {
    let conversation = ledger.start_conversation().await?;
    for texts in texts.chunks(ORDER) {
        ledger.answers(conversation, texts.iter().map(|text| (text.clone(), None))).await?;
    }
    Ok(())
}

/// Hands out all of the ledger's account.
pub async fn export(ledger: &Ledger, to: &Path) -> anyhow::Result<()> {
    let work = Work::in_directory(to.with_extension("partial"), Cover::Clear)?;
    let wanted = Wanted { of: Of::Account { account: ledger.actor.account }, size: None, masked: false };
    ledger.service.export(wanted, &work, to.to_owned(), |_, _| ()).await?;
    Ok(())
}

async fn copy_out(limit: &Limit, to: &Path) -> anyhow::Result<()> {
    let mut file = tokio::fs::File::create(to).await?;
    let mut rows = limit.pool.copy_out_raw(include_str!("limit/sql/copy_out.sql")).await?;
    while let Some(row) = rows.try_next().await? {
        file.write_all(&row).await?;
    }
    file.flush().await?;
    Ok(file.sync_all().await?)
}

/// What the archive's files hold.
fn unpacked(archive: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut archive = Archive::open(archive)?;
    let mut files = Vec::new();
    for name in archive.names() {
        let mut file = Vec::new();
        archive.file(&name)?.read_to_end(&mut file)?;
        files.push(file);
    }
    Ok(files)
}

/// Checks an archive as a whole, and takes it in.
async fn take(ledger: &Ledger, archive: &Path, trusted: Vec<Verifier>) -> anyhow::Result<()> {
    let path: PathBuf = archive.to_owned();
    let checked = tokio::task::spawn_blocking(move || check(&path, Some(&trusted), |_| ())).await??;
    let Of::Account { account } = checked.manifest.of else { anyhow::bail!("it is an account's") };
    let actor = ledger.service.register_again("again@example.org", account).await?;
    let Some(mut transfer) = ledger.service.transfer(actor, account).await? else { anyhow::bail!("it is open") };
    let (sender, mut batches) = mpsc::channel(AHEAD);
    let path: PathBuf = archive.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let (mut batch, mut events) = (Vec::new(), 0);
        Archive::open(&path)?.commands(|command| {
            events += command.len();
            batch.push(command);
            if events >= BATCH {
                events = 0;
                sender.blocking_send(std::mem::take(&mut batch))?;
            }
            anyhow::Ok(())
        })?;
        sender.blocking_send(batch)?;
        anyhow::Ok(())
    });
    while let Some(batch) = batches.recv().await {
        for taken in transfer.take(batch).await? {
            anyhow::ensure!(matches!(taken, Transferred::Appended(_)), "it was not taken in: {taken:?}");
        }
    }
    reading.await??;
    Ok(transfer.finish().await?)
}

#[allow(clippy::disallowed_methods)] // a bench's own size
pub fn messages() -> anyhow::Result<usize> {
    Ok(std::env::var("MESSAGES").map_or(Ok(MESSAGES), |messages| messages.parse())?)
}
