//! Archives of another convoledger.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::report::FileReport;
use crate::archive::check::check;
use crate::archive::line::Line;
use crate::archive::manifest::{Manifest, Of};
use crate::archive::open::{Archive, Unreadable};
use crate::cli::output::bar;
use crate::event::{ConversationExpired, Depth, Event, Payload as _, Place, Segment, StreamId};
use crate::format::Counts;
use crate::proof::note::Verifier;
use crate::service::{Service, Transferred};

/// Events that are handed over at once, and how often that is done ahead.
const BATCH: usize = 500;
const AHEAD: usize = 4;

/// Takes an archive, after it was checked as a whole: of one that does not hold, nothing is taken.
pub(super) async fn take(
    service: &Service,
    email: &str,
    path: &Path,
    manifest: &Manifest,
    trusted: Option<&[Verifier]>,
) -> anyhow::Result<FileReport> {
    let mut report = FileReport::of(path);
    let Of::Account { account: from } = manifest.of else {
        report.refused_whole("it is an auditor's, and holds no words; take an account's own".into());
        return Ok(report);
    };
    let shown = bar(2 * manifest.counts.events, "{msg} {bar:40} {pos}/{len}, {eta}");
    shown.set_message(path.display().to_string());
    let checking = {
        let (path, trusted, shown) = (path.to_owned(), trusted.map(<[_]>::to_vec), shown.clone());
        tokio::task::spawn_blocking(move || check(&path, trusted.as_deref(), |_| shown.inc(1)))
    };
    if let Err(wrong) = checking.await? {
        shown.finish_and_clear();
        report.refused_whole(format!("{:#}", anyhow::Error::from(wrong)));
        return Ok(report);
    }
    if trusted.is_none() {
        report.note("whole, and whose signature it has was not asked: --key says which is trusted");
    }
    let actor = service.register_again(email, from).await?;
    let mut transfer = service.transfer(actor, from).await?.context("the account was forgotten")?;
    let (sender, mut batches) = mpsc::channel(AHEAD);
    let reading = {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || read(&path, &sender))
    };
    let mut differing = HashSet::new();
    while let Some(batch) = batches.recv().await {
        shown.inc(batch.iter().map(|command: &Vec<Line>| command.len() as u64).sum());
        for taken in transfer.take(batch).await? {
            match taken {
                Transferred::Appended(messages) => report.appended(messages, 0),
                Transferred::AlreadyThere(messages) => report.appended(0, messages),
                Transferred::Refused(reason) => report.refused_whole(reason.to_string()),
                Transferred::Unsound { stream, version, why } => {
                    if differing.insert(stream) {
                        report.refused_whole(format!(
                            "conversation {stream}, version {version}: {why}; what comes from there on stays out"
                        ));
                    }
                }
                Transferred::Differs { stream, version } => {
                    if differing.insert(stream) {
                        report.refused_whole(format!(
                            "conversation {stream} is here and went on otherwise: it has {version} events; what came after \
                             stays out"
                        ));
                    }
                }
            }
        }
    }
    shown.finish_and_clear();
    transfer.finish().await?;
    let (tree, expired) = reading.await??;
    (0..expired).for_each(|_| report.note("conversation that had expired there: nothing of it is taken"));
    report.counted(manifest.counts.conversations - (differing.len() as u64), tree.counts());
    Ok(report)
}

/// Reads its commands, in order, as fast as they are taken. Tells how messages stand, and how many conversations expired.
fn read(path: &Path, sender: &mpsc::Sender<Vec<Vec<Line>>>) -> Result<(Tree, usize), Unreadable> {
    let (mut tree, mut batch, mut events) = (Tree::default(), Vec::new(), 0);
    let mut expired = HashSet::new();
    Archive::open(path)?.commands(|command| {
        for line in &command {
            tree.grow(line);
            if line.kind == ConversationExpired::KIND {
                expired.insert(line.stream);
            }
        }
        events += command.len();
        batch.push(command);
        if events >= BATCH {
            events = 0;
            let _ = sender.blocking_send(std::mem::take(&mut batch)); // whoever takes them has failed, and says why
        }
        Ok::<_, Unreadable>(())
    })?;
    let _ = sender.blocking_send(batch);
    Ok((tree, expired.len()))
}

/// The trees of all conversations, as far as they are counted.
#[derive(Default)]
struct Tree {
    messages: u64,
    tips: HashMap<(StreamId, Segment), Depth>,
    /// How many segments begin below a message, or at the root.
    forks: HashMap<(StreamId, Option<Place>), u64>,
}

impl Tree {
    fn grow(&mut self, line: &Line) {
        let version = u16::try_from(line.kind_version).unwrap_or_default();
        let Some(at) = line.place.filter(|_| line.kind == "message.appended" && line.expired.is_none()) else { return };
        self.messages += 1;
        if self.tips.insert((line.stream, at.segment), at.depth).is_none()
            && let Ok(Event::MessageAppended(said)) = Event::read(&line.kind, version, line.id, line.place, &line.facts)
        {
            *self.forks.entry((line.stream, said.fork)).or_default() += 1;
        }
    }

    fn counts(&self) -> Counts {
        let goes_on = |stream, at: Place| self.tips.get(&(stream, at.segment)).is_some_and(|tip| *tip > at.depth);
        let children = |(stream, at): (StreamId, Option<Place>), begun: u64| {
            begun + u64::from(at.is_some_and(|at| goes_on(stream, at)))
        };
        let branch_points = self.forks.iter().filter(|(place, begun)| children(**place, **begun) > 1).count();
        let ends = self.tips.iter().filter(|((stream, segment), depth)| {
            !self.forks.contains_key(&(*stream, Some(Place { segment: *segment, depth: **depth })))
        });
        Counts { messages: self.messages, branch_points: branch_points as u64, leaves: ends.count() as u64 }
    }
}
