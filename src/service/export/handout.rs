//! Exports that a server makes for the account that asks, and keeps for a week: sealed under the account's own key, so that
//! they are gone with it.
//!
//! What is to be made, what is there and what was fetched is told by the log. So a server that died goes on when it starts,
//! and whoever finds two of one export (servers that share no directory) keeps the one that was said to be made.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

use super::{ExportError, Wanted, blocking, legend_of};
use crate::archive::manifest::Of;
use crate::archive::work::{Cover, Work};
use crate::event::{
    AccountId, CommandId, Event, EventId, ExportExpired, ExportFetched, ExportMade, ExportRequested, OwnerId,
    Payload as _, Private,
};
use crate::ledger::account::Forgetting;
use crate::ledger::{Refusal, export};
use crate::service::account::ChangeError;
use crate::service::{Actor, Named, Service, Trouble};
use crate::vault::SubjectKey;
use crate::vault::file::{self, Opener};
use crate::view::event::{self as events, EventFilter};

/// How long an export can be fetched.
const KEPT_FOR: TimeDelta = TimeDelta::days(7);
/// How often a server looks for what others were asked for, and for what has lapsed.
const EVERY: Duration = Duration::from_secs(30);
/// Events about exports that are looked through for what an account has.
const EVENTS_MAX: u32 = 200;
/// What a server holds while it makes one.
const LOCK: &str = "lock";

/// Where a server keeps exports.
#[derive(Clone, Default)]
pub struct Exports {
    directory: Option<PathBuf>,
    asked: Arc<Notify>,
}

impl Exports {
    /// Kept in `directory`, a folder an account.
    pub fn kept_in(directory: PathBuf) -> Self {
        Self { directory: Some(directory), asked: Arc::default() }
    }

    fn of(&self, account: AccountId) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(account.to_string()))
    }

    fn file(&self, account: AccountId, export: EventId) -> Option<PathBuf> {
        self.of(account).map(|directory| directory.join(format!("{export}.sealed")))
    }

    /// How many there are of an account.
    pub(in crate::service) fn count(&self, account: AccountId) -> io::Result<u64> {
        let Some(directory) = self.of(account) else { return Ok(0) };
        match fs::read_dir(directory) {
            Ok(files) => {
                let sealed = |file: &fs::DirEntry| file.path().extension().is_some_and(|kind| kind == "sealed");
                Ok(files.flatten().filter(sealed).count() as u64)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Takes all of an account away, once nobody makes any of it: who does ends soon, for the account is closed.
    pub(in crate::service) async fn remove(&self, account: AccountId) -> Result<(), ExportError> {
        let Some(directory) = self.of(account) else { return Ok(()) };
        let remove = move || {
            let _lock = match lock_file(&directory) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()), // none was ever made
                file => file.and_then(|lock| lock.lock().map(|()| lock))?,
            };
            gone(fs::remove_dir_all(directory))
        };
        blocking(remove).await
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An export as its account sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRow {
    pub id: EventId,
    pub masked: bool,
    pub requested_at: DateTime<Utc>,
    /// None until it is made.
    pub made: Option<ExportMade>,
    pub expired: bool,
}

/// What became of asking for an export.
#[derive(Debug, Clone)]
pub enum Asked {
    Now(ExportRow),
    /// It was asked for before, by the same command; or another one is being made.
    Before(ExportRow),
    /// Something else was asked under this name.
    Otherwise,
}

/// An export that is being fetched.
pub struct Fetched {
    pub content: Opener<File>,
    pub made: ExportMade,
}

impl Service {
    /// With exports kept there.
    #[must_use]
    pub fn with_exports(mut self, exports: Exports) -> Self {
        Arc::make_mut(&mut self.0).exports = exports;
        self
    }

    /// Asks for all that there is of the actor.
    pub async fn request_export(&self, actor: Actor, masked: bool, named: Option<Named>) -> Result<Asked, ChangeError> {
        let (id, owner) = (EventId(crate::random::id()), actor.owner());
        let Private::Known(key) = self.vault.current(owner.into()).await.map_err(Trouble::from)? else {
            return Err(Refusal::Closed.into());
        };
        let command = named.map(|named| {
            (CommandId::of(owner, actor.account, &named.id), Some(key.digest(&named.request))) //
        });
        if let Some((command, digest)) = command
            && let Some(answer) = self.asked_before(actor, command, digest).await?
        {
            return Ok(answer);
        }
        let decide = |state: &_| export::request(state, id, masked);
        let by = command.unwrap_or((CommandId(crate::random::id()), None));
        let asked = self.change_account_as(by, actor.account, actor.account, &key, decide).await?;
        if let Some(position) = asked {
            self.acknowledged.note(actor.account, position);
        } else if let Some((command, digest)) = command
            && let Some(answer) = self.asked_before(actor, command, digest).await?
        {
            return Ok(answer);
        }
        self.exports.asked.notify_one();
        let exports = self.exports(actor).await?;
        let own = |export: &ExportRow| if asked.is_some() { export.id == id } else { export.made.is_none() };
        match exports.iter().find(|export| own(export)).or(exports.first()) {
            Some(export) if asked.is_some() => Ok(Asked::Now(export.clone())),
            Some(export) => Ok(Asked::Before(export.clone())),
            None => Err(Trouble::Internal("an export that was asked for is not there".into()).into()),
        }
    }

    /// The answer to a command that went in before.
    async fn asked_before(
        &self,
        actor: Actor,
        command: CommandId,
        digest: Option<[u8; 16]>,
    ) -> Result<Option<Asked>, Trouble> {
        let first = self.log.read_command(actor.owner(), command).await?;
        let Some(first) = first.first() else { return Ok(None) };
        if first.fact.command_digest != digest {
            return Ok(Some(Asked::Otherwise));
        }
        let exports = self.exports(actor).await?;
        Ok(exports.into_iter().find(|export| export.id == first.fact.id).map(Asked::Before))
    }

    /// The exports of the actor, the newest first.
    pub async fn exports(&self, actor: Actor) -> Result<Vec<ExportRow>, Trouble> {
        let kinds = [ExportRequested::KIND, ExportMade::KIND, ExportExpired::KIND, ExportFetched::KIND];
        let filter =
            EventFilter { stream: Some(actor.account.into()), kinds: kinds.map(str::to_owned).to_vec(), last: None };
        let told = events::newest(&self.pool, actor.owner(), &filter, EVENTS_MAX).await?;
        let mut exports: Vec<ExportRow> = Vec::new();
        for row in told.into_iter().rev() {
            let known = |id: EventId, exports: &mut Vec<ExportRow>| exports.iter().position(|export| export.id == id);
            match row.recorded.event()? {
                Event::ExportRequested(asked) => exports.push(ExportRow {
                    id: asked.id,
                    masked: asked.masked,
                    requested_at: row.recorded.recorded_at,
                    made: None,
                    expired: false,
                }),
                Event::ExportMade(made) => {
                    if let Some(at) = known(made.export, &mut exports) {
                        exports[at].made = Some(made);
                    }
                }
                Event::ExportExpired(expired) => {
                    if let Some(at) = known(expired.export, &mut exports) {
                        exports[at].expired = true;
                    }
                }
                _ => {}
            }
        }
        exports.reverse();
        Ok(exports)
    }

    /// Opens an export of the actor's; none when there is no such one, or it is not here. `from_its_beginning` says so in
    /// the log.
    pub async fn fetch_export(
        &self,
        actor: Actor,
        id: EventId,
        from_its_beginning: bool,
    ) -> Result<Option<Fetched>, ExportError> {
        let found = self.exports(actor).await?.into_iter().find(|export| export.id == id && !export.expired);
        let Some((made, path)) = found.and_then(|export| export.made).zip(self.exports.file(actor.account, id)) else {
            return Ok(None);
        };
        let Some((content, key)) = self.unsealed(actor, &path).await? else { return Ok(None) };
        if from_its_beginning {
            let fetched = |state: &_| export::fetched(state, id);
            self.change_account(actor.account, actor.account, &key, fetched).await.map_err(closed)?;
        }
        Ok(Some(Fetched { content, made }))
    }

    /// What the placeholders of a masked export stand for, as JSON; none when there is no such export here.
    pub async fn fetch_legend(&self, actor: Actor, id: EventId) -> Result<Option<Vec<u8>>, ExportError> {
        let found = self.exports(actor).await?.into_iter().find(|export| export.id == id && !export.expired);
        let Some(path) = found.and_then(|_| self.exports.file(actor.account, id)) else { return Ok(None) };
        let Some((mut content, _)) = self.unsealed(actor, &legend_of(&path)).await? else { return Ok(None) };
        let read = move || {
            let mut legend = Vec::new();
            content.read_to_end(&mut legend)?;
            Ok(legend)
        };
        blocking(read).await.map(Some)
    }

    /// A file under the actor's key, and the key; none when it is not there.
    async fn unsealed(
        &self,
        actor: Actor,
        path: &Path,
    ) -> Result<Option<(Opener<File>, Arc<SubjectKey>)>, ExportError> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let wanted = (actor.owner().into(), file::generation(&mut file)?);
        let keys = self.vault.keys(&[wanted]).await.map_err(Trouble::from)?;
        // Of somebody who is forgotten, or of before some words were: it is to be asked for again.
        let Some(Private::Known(key)) = keys.get(&wanted) else { return Ok(None) };
        Ok(Some((Opener::new(file, key)?, Arc::clone(key))))
    }

    /// Takes away all exports of an account that are made: they hold what was there then.
    pub(in crate::service) async fn take_exports_away(&self, account: AccountId) -> Result<(), ExportError> {
        for export in self.exports(Actor { account }).await? {
            if export.made.is_some() && !export.expired {
                self.expire(account, export.id).await?;
            }
        }
        Ok(())
    }

    /// Whether nothing is handed out of an account any more.
    pub async fn is_closed(&self, actor: Actor) -> Result<bool, Trouble> {
        Ok(self.forgetting(actor.account).await? != Forgetting::No)
    }

    /// Makes what is asked for, and takes away what has lapsed, for as long as it is polled.
    pub async fn keep_exporting(&self) {
        loop {
            if let Err(error) = self.export_open().await {
                tracing::warn!("exports are not made yet: {error}; it is tried again in half a minute");
            }
            let _ = tokio::time::timeout(EVERY, self.exports.asked.notified()).await; // either will do
        }
    }

    async fn export_open(&self) -> Result<(), Trouble> {
        for (owner, export) in self.log.exports_lapsed(self.clock.now()).await? {
            let account = AccountId::from(owner);
            if let Err(error) = self.expire(account, export).await {
                tracing::warn!(%account, "an export is not taken away yet: {error}");
            }
        }
        for (owner, export, masked) in self.log.exports_open().await? {
            let account = AccountId::from(owner);
            match self.make(account, export, masked).await {
                Ok(()) => tracing::info!(%account, "an export is made"),
                Err(ExportError::Closed) => {}
                Err(error) => tracing::warn!(%account, "an export is not made yet: {error}; it is tried again"),
            }
        }
        Ok(())
    }

    async fn make(&self, account: AccountId, id: EventId, masked: bool) -> Result<(), ExportError> {
        let (Some(directory), Some(to)) = (self.exports.of(account), self.exports.file(account, id)) else {
            return Ok(());
        };
        let Private::Known(key) = self.vault.current(OwnerId::from(account).into()).await.map_err(Trouble::from)?
        else {
            return Err(ExportError::Closed);
        };
        let partial = directory.join(format!("{id}.partial"));
        let locked = directory.clone();
        let Some(_lock) = blocking(move || lock(&locked)).await? else { return Ok(()) };
        // Forgotten meanwhile: then whoever forgot has looked here already.
        if matches!(self.forgetting(account).await?, Forgetting::Started | Forgetting::Done) {
            gone(fs::remove_dir_all(directory))?;
            return Err(ExportError::Closed);
        }
        // What was begun under a key of before is begun anew, for it must be of one piece.
        let work = begun(&partial, &key)?;
        let wanted = Wanted { of: Of::Account { account }, size: None, masked };
        let exported = self.export(wanted, &work, to.clone(), |_, _| ()).await?;
        // Some words went meanwhile, and its key with them: what it was made of may hold them still. It is made again.
        let had = self.vault.had(OwnerId::from(account).into()).await.map_err(Trouble::from)?;
        if had.iter().any(|had| had.generation == key.generation() && had.destroyed) {
            gone(fs::remove_file(legend_of(&to)))?;
            gone(fs::remove_file(to))?;
            return Ok(());
        }
        let expires = crate::clock::micros(self.clock.now() + KEPT_FOR);
        let made =
            ExportMade { export: id, size: exported.size, bytes: exported.bytes, sha256: exported.sha256, expires };
        let said = self.change_account(account, self.itself().into(), &key, |state| export::made(state, made.clone()));
        let said = said.await.map(drop).map_err(closed);
        if said.is_err() {
            // The account was closed meanwhile, or it is made again.
            gone(fs::remove_file(legend_of(&to)))?;
            gone(fs::remove_file(to))?;
        }
        said
    }

    async fn expire(&self, account: AccountId, id: EventId) -> Result<(), ExportError> {
        if let Some(path) = self.exports.file(account, id) {
            gone(fs::remove_file(legend_of(&path)))?;
            gone(fs::remove_file(path))?;
        }
        let Private::Known(key) = self.vault.current(OwnerId::from(account).into()).await.map_err(Trouble::from)?
        else {
            return Err(ExportError::Closed);
        };
        let said = self.change_account(account, self.itself().into(), &key, |state| export::expired(state, id));
        said.await.map(drop).map_err(closed)
    }
}

fn closed(error: ChangeError) -> ExportError {
    match error {
        ChangeError::Refused(_) => ExportError::Closed,
        ChangeError::Overtaken => Trouble::Busy { retry_after_s: 1 }.into(),
        ChangeError::Trouble(trouble) => trouble.into(),
    }
}

/// Holds the account's folder for one server at a time; none when another has it.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    match DirBuilder::new().mode(0o700).recursive(true).create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let lock = lock_file(directory)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

fn lock_file(directory: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(directory.join(LOCK))
}

fn begun(partial: &Path, key: &Arc<SubjectKey>) -> io::Result<Work> {
    let work = Work::in_directory(partial.to_owned(), Cover::Sealed(Arc::clone(key)))?;
    if work.came_to::<serde_json::Value>().is_ok() {
        return Ok(work);
    }
    work.remove()?;
    Work::in_directory(partial.to_owned(), Cover::Sealed(Arc::clone(key)))
}
