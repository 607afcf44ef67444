//! `convoledger export`

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use indicatif::ProgressBar;
use serde_json::json;

use super::Place;
use super::output::{bar, say, say_json};
use super::reader::Reader;
use crate::archive::manifest::Of;
use crate::archive::work::{Cover, Work};
use crate::database::Role;
use crate::event::{Position, Reading};
use crate::service::{Actor, Exported, Service, Wanted, legend_of};

/// Hands out all of an account's, or for an auditor a stretch of the whole log without words, as an archive.
///
/// The archive (ZIP) holds every event with a proof that it is in the log, conversations as pages to read and as JSON, and
/// the ledger's signature: `convoledger check` holds it against the ledger's public key, offline, and `convoledger import`
/// takes it into another ledger. It is made beside the file, in FILE.partial; killed, it goes on there when it is called
/// again.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["account", "auditor", "anonymised"])))]
pub(super) struct Export {
    /// Whose: an address, or the id of an account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Every event of everybody's, facts and proofs alone
    #[arg(long, conflicts_with = "masked")]
    auditor: bool,
    /// Facts of everybody's for statistics, as JSON Lines: no words, pseudonyms in the place of ids, times cut to the hour
    #[arg(long, conflicts_with_all = ["masked", "size", "from", "until"])]
    anonymised: bool,
    /// Where to; it must not be there yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The first event of the stretch
    #[arg(long, value_name = "POSITION", default_value_t = 1, requires = "auditor")]
    from: i64,
    /// The last event of the stretch [default: that of the checkpoint]
    #[arg(long, value_name = "POSITION", requires = "auditor")]
    until: Option<i64>,
    /// As of the checkpoint of so many events, which was signed before [default: one that is signed now]
    #[arg(long, value_name = "SIZE")]
    size: Option<u64>,
    /// Put placeholders for personal data in the words; what they stand for is written to FILE with `.legend.json`
    #[arg(long)]
    masked: bool,
    #[command(flatten)]
    reader: Reader,
    /// Print one JSON document: `file`, `events`, `conversations`, `messages`, `size`, `bytes`, `sha256`
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        place.must_exist()?;
        let legend = self.masked.then(|| legend_of(&self.to));
        let mut files = std::iter::once(self.to.clone()).chain(legend);
        if let Some(there) = files.find(|file| file.exists()) {
            bail!("{} is there already; choose another name", there.display());
        }
        let house = place.open(Role::Command).await?;
        if self.anonymised {
            let written = self.write_anonymised(&house.service).await;
            house.close().await;
            let (events, file) = (written?, self.to.display());
            if self.json {
                say_json(&json!({ "file": self.to, "events": events }))?;
            } else {
                say(&format!("{file}: {events} events"));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let exported = self.export(&house.service).await;
        house.close().await;
        let exported = exported?;
        if self.json {
            let mut document = json!(exported);
            document["file"] = json!(self.to);
            say_json(&document)?;
        } else {
            say(&self.text(&exported));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn export(&self, service: &Service) -> anyhow::Result<Exported> {
        let of = match &self.account {
            Some(name) => {
                let actor = service.named(name).await?;
                let account = actor.with_context(|| format!("there is no account `{name}`"))?.account;
                Of::Account { account }
            }
            None => self.range(service).await?,
        };
        let partial = partial(&self.to)?;
        // Whoever goes on with one said so when it was begun.
        let begun = partial.join("plan.json").exists();
        let work = Work::in_directory(partial, Cover::Clear).context("the archive cannot be made there")?;
        let shown: ProgressBar = bar(0, "exporting {bar:40} {pos}/{len}, {eta}");
        let told = {
            let shown = shown.clone();
            move |done, total| {
                shown.set_length(total);
                shown.set_position(done);
            }
        };
        if let Of::Account { account } = of
            && !begun
        {
            self.reader.enter(service, Actor { account }, Reading::Export, None).await?;
        }
        let wanted = Wanted { of, size: self.size, masked: self.masked };
        let exported = service.export(wanted, &work, self.to.clone(), told).await;
        shown.finish_and_clear();
        let _ = service.fold_up().await; // what was said of it is folded when this ends; a view that failed is another matter
        Ok(exported?)
    }

    /// The facts of all events there are now. How many.
    async fn write_anonymised(&self, service: &Service) -> anyhow::Result<u64> {
        let new = partial(&self.to)?;
        let mut file = BufWriter::new(File::create(&new).context("the file cannot be made there")?);
        let head = service.log().head().await?;
        let shown = bar(head.0.unsigned_abs(), "exporting {bar:40} {pos}/{len}, {eta}");
        let (mut after, mut events) = (Position(0), 0);
        while after < head {
            let (page, last) = service.anonymised(after, head).await?;
            for facts in &page {
                writeln!(file, "{facts}")?;
            }
            events += page.len() as u64;
            after = last;
            shown.set_position(after.0.unsigned_abs());
        }
        shown.finish_and_clear();
        file.into_inner()?.sync_all()?;
        fs::rename(&new, &self.to)?;
        Ok(events)
    }

    /// Up to the checkpoint, when it is not said how far.
    async fn range(&self, service: &Service) -> anyhow::Result<Of> {
        let to = match (self.until, self.size) {
            (Some(to), _) => to,
            (None, Some(size)) => i64::try_from(size)?,
            (None, None) => service.log().head().await?.0,
        };
        Ok(Of::Range { from: Position(self.from), to: Position(to) })
    }

    fn text(&self, exported: &Exported) -> String {
        let file = self.to.display();
        let Exported { events, conversations, messages, bytes, .. } = exported;
        if self.auditor {
            return format!("{file}: {events} events, {bytes} bytes");
        }
        format!("{file}: {events} events, {conversations} conversations, {messages} messages, {bytes} bytes")
    }
}

/// Where the archive is made: beside where it will be, so that it takes its place in one step.
fn partial(to: &Path) -> anyhow::Result<PathBuf> {
    let Some(name) = to.file_name() else { bail!("{} names no file", to.display()) };
    let mut name = name.to_owned();
    name.push(".partial");
    Ok(to.with_file_name(name))
}
