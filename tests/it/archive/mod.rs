//! Archives: all of a person's is handed out, checked by strangers, and taken elsewhere.

mod foreign;
mod hostile;
mod masked;
mod moved;
mod program;
mod served;
mod unsound;
mod withdrawn;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use convoledger::archive::check::{Checked, Wrong, check};
use convoledger::archive::manifest::Of;
use convoledger::archive::open::Archive;
use convoledger::archive::work::{Cover, Work};
use convoledger::ledger::{Act, Tag};
use convoledger::proof::note::Verifier;
use convoledger::service::{Actor, ExportError, Exported, Service, Transferred, Wanted};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::support::service::{Stand, done, order, say, started};

/// Names and contents of an archive's files.
type Files = BTreeMap<String, Vec<u8>>;

/// A ledger with somebody in it who said a few things.
struct Told {
    stand: Stand,
    actor: Actor,
    directory: TempDir,
}

impl Told {
    async fn new() -> Self {
        let stand = Stand::new().await;
        let actor = stand.actor("ann@example.org").await;
        let other = stand.actor("bob@example.org").await;
        for nth in 0..3 {
            let conversation = started(&stand.service, actor).await;
            let theirs = started(&stand.service, other).await;
            let tags = stand.service.tags(actor, &["Travel".into(), format!("tag {nth}")]).await.expect("tags");
            let tags: Vec<Tag> = tags;
            let acts = [Act::SetTitle { title: format!("About {nth}") }, Act::Tag { tags }, say("one"), say("two")];
            done(&stand.service, actor, order(conversation, acts)).await;
            done(&stand.service, other, order(theirs, [say("bob's own")])).await;
            done(&stand.service, actor, order(conversation, [say("three"), Act::Favorite])).await;
        }
        Self { stand, actor, directory: TempDir::new().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn export(&self, name: &str) -> PathBuf {
        let wanted = Wanted { of: Of::Account { account: self.actor.account }, size: None, masked: false };
        let to = self.path(name);
        exported(&self.stand.service, wanted, &to).await.expect("it is exported");
        to
    }

    async fn keys(&self) -> Vec<Verifier> {
        self.stand.service.checkpoint_keys().await.expect("keys")
    }

    async fn check(&self, path: &Path) -> Result<Checked, Wrong> {
        check(path, Some(&self.keys().await), |_| ())
    }
}

async fn exported(service: &Service, wanted: Wanted, to: &Path) -> Result<Exported, ExportError> {
    let work = Work::in_directory(to.with_extension("partial"), Cover::Clear).expect("a directory");
    service.export(wanted, &work, to.to_owned(), |_, _| ()).await
}

/// Takes an archive in, for the account of this address.
async fn taken(service: &Service, email: &str, path: &Path) -> (Actor, Vec<Transferred>) {
    let mut archive = Archive::open(path).expect("an archive");
    let Of::Account { account } = archive.manifest().expect("a manifest").of else { panic!("an account's") };
    let actor = service.register_again(email, account).await.expect("an account");
    let mut transfer = service.transfer(actor, account).await.expect("an answer").expect("nobody is forgotten");
    let mut commands = Vec::new();
    archive
        .commands(|command| {
            commands.push(command);
            Ok::<_, convoledger::archive::open::Unreadable>(())
        })
        .expect("it reads");
    let taken = transfer.take(commands).await.expect("an answer");
    transfer.finish().await.expect("it ends");
    (actor, taken)
}

fn files(path: &Path) -> Files {
    let mut zip = ZipArchive::new(File::open(path).expect("a file")).expect("a ZIP");
    let names: Vec<String> = zip.file_names().map(ToOwned::to_owned).collect();
    let read = |name: String| {
        let mut content = Vec::new();
        zip.by_name(&name).expect("it is there").read_to_end(&mut content).expect("it reads");
        (name, content)
    };
    names.into_iter().map(read).collect()
}

fn packed(files: &Files, to: &Path) {
    let mut zip = ZipWriter::new(File::create(to).expect("a file"));
    for (name, content) in files {
        zip.start_file(name, SimpleFileOptions::default()).expect("a file");
        zip.write_all(content).expect("it is written");
    }
    zip.finish().expect("it is written");
}
