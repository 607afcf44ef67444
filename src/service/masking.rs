//! Masking: what an account settled about it, and words that are masked for good before they are sealed.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::account::ChangeError;
use super::{Actor, Service, Trouble};
use crate::event::{Event, MaskingConfigured, OwnerId, Part, Payload as _, Position, Private};
use crate::format::Transcript;
use crate::ledger::account::configure_masking;
use crate::ledger::{Act, Command, Refusal};
use crate::mask::Detector;
use crate::view::event::{self as events, EventFilter};

/// Accounts whose masking is remembered, and for how long: so late may one be heeded that was settled on another server.
const MASKINGS_MAX: u64 = 10_000;
const MASKING_LASTS: Duration = Duration::from_secs(10);

/// What accounts settled about masking.
#[derive(Clone)]
pub(super) struct Maskings {
    known: Cache<OwnerId, Arc<Masking>>,
}

/// What one account settled, and what finds it.
struct Masking {
    settled: MaskingConfigured,
    detector: Detector,
}

impl Maskings {
    pub(super) fn new() -> Self {
        Self { known: Cache::builder().max_capacity(MASKINGS_MAX).time_to_live(MASKING_LASTS).build() }
    }
}

impl Masking {
    fn of(settled: MaskingConfigured) -> Result<Self, Trouble> {
        let names = settled.names.as_ref().known().map(Vec::as_slice).unwrap_or_default();
        let detector = Detector::new(settled.kinds.iter().copied(), names);
        Ok(Self { detector: detector.map_err(|error| Trouble::Internal(error.to_string()))?, settled })
    }
}

impl Service {
    /// What is masked of the actor's: by default all kinds, no names, and nothing before it is sealed.
    pub async fn masking(&self, actor: Actor) -> Result<MaskingConfigured, Trouble> {
        Ok(self.known_masking(actor.owner()).await?.settled.clone())
    }

    /// What finds what is to be masked of an account's.
    pub async fn detector(&self, actor: Actor) -> Result<Detector, Trouble> {
        Ok(self.known_masking(actor.owner()).await?.detector.clone())
    }

    /// Settles what is masked of the actor's from now on. The position of what was recorded; none when it was so already.
    pub async fn configure_masking(
        &self,
        actor: Actor,
        becomes: MaskingConfigured,
    ) -> Result<Option<Position>, ChangeError> {
        let owner = actor.owner();
        let Private::Known(key) = self.vault.current(owner.into()).await.map_err(Trouble::from)? else {
            return Err(Refusal::Forgetting.into());
        };
        let was = self.read_masking(owner).await?;
        let decide = |state: &_| configure_masking(state, &was, becomes.clone());
        let settled = self.change_account(actor.account, actor.account, &key, decide).await?;
        if let Some(position) = settled {
            self.maskings.known.insert(owner, Arc::new(Masking::of(becomes)?));
            self.acknowledged.note(actor.account, position);
        }
        Ok(settled)
    }

    /// Commands with their words masked, where the owner settled that.
    pub(super) async fn masked(&self, owner: OwnerId, mut commands: Vec<Command>) -> Result<Vec<Command>, Trouble> {
        if let Some(blank) = self.blank(owner).await? {
            for command in &mut commands {
                blank.act(&mut command.act);
            }
        }
        Ok(commands)
    }

    /// A transcript with its words masked, where the owner settled that. Its ids stay: it is known by them again.
    pub(super) async fn masked_transcript(
        &self,
        owner: OwnerId,
        mut transcript: Transcript,
    ) -> Result<Transcript, Trouble> {
        if let Some(blank) = self.blank(owner).await? {
            blank.some(&mut transcript.title);
            blank.some(&mut transcript.kept);
            for message in &mut transcript.messages {
                message.parts.iter_mut().for_each(|part| blank.part(part));
                blank.some(&mut message.verbatim);
            }
        }
        Ok(transcript)
    }

    /// Names of the owner's making, masked where the owner settled that: before facts know them by a token.
    pub(super) async fn masked_names(&self, owner: OwnerId, names: &[String]) -> Result<Vec<String>, Trouble> {
        let mut names = names.to_vec();
        if let Some(blank) = self.blank(owner).await? {
            for name in &mut names {
                blank.text(name);
            }
        }
        Ok(names)
    }

    /// None unless the owner's words are masked before they are sealed.
    async fn blank(&self, owner: OwnerId) -> Result<Option<Blank>, Trouble> {
        let masking = self.known_masking(owner).await?;
        Ok(masking.settled.before_sealing.then(|| Blank(masking.detector.clone())))
    }

    async fn known_masking(&self, owner: OwnerId) -> Result<Arc<Masking>, Trouble> {
        if let Some(masking) = self.maskings.known.get(&owner) {
            return Ok(masking);
        }
        // In a box, for few come here, and all who append pass by.
        let masking = Arc::new(Masking::of(Box::pin(self.read_masking(owner)).await?)?);
        self.maskings.known.insert(owner, Arc::clone(&masking));
        Ok(masking)
    }

    async fn read_masking(&self, owner: OwnerId) -> Result<MaskingConfigured, Trouble> {
        let kinds = vec![MaskingConfigured::KIND.to_owned()];
        let filter = EventFilter { stream: Some(owner.0.into()), kinds, last: None };
        let newest = events::newest(&self.pool, owner, &filter, 1).await?;
        let newest = self.open_rows(newest).await?.into_iter().next();
        Ok(match newest.map(|opened| opened.event) {
            Some(Event::MaskingConfigured(settled)) => settled,
            _ => MaskingConfigured::default(),
        })
    }
}

/// Masks for good. Ids, models and whatever else facts say stay; so do bytes in base64, and what a source called a part.
struct Blank(Detector);

impl Blank {
    fn act(&self, act: &mut Act) {
        match act {
            Act::Start(start) => {
                if let Some(origin) = &mut start.origin {
                    self.some(&mut origin.kept);
                }
            }
            Act::SetTitle { title } => self.text(title),
            Act::Append(append) => {
                append.parts.iter_mut().for_each(|part| self.part(part));
                self.some(&mut append.verbatim);
            }
            Act::Edit(edit) => edit.parts.iter_mut().for_each(|part| self.part(part)),
            Act::Rate { comment, .. } => self.some(comment),
            Act::TakeSnapshot(take) => {
                self.some(&mut take.label);
                take.files.iter_mut().for_each(|(path, _)| self.text(path));
            }
            // Names were masked before they were given a token, and the others say nothing of their own.
            Act::Tag { .. }
            | Act::CreateBranch(_)
            | Act::RenameBranch { .. }
            | Act::Favorite
            | Act::Unfavorite
            | Act::Untag { .. }
            | Act::Archive
            | Act::Unarchive
            | Act::Delete
            | Act::Undelete
            | Act::SwitchModel { .. }
            | Act::Hide { .. }
            | Act::Unhide { .. }
            | Act::ForgetMessage { .. }
            | Act::ForgetConversation
            | Act::PreferBranch { .. }
            | Act::AbandonBranch { .. }
            | Act::ResumeBranch { .. }
            | Act::ChooseBranch { .. }
            | Act::Graft(_)
            | Act::ThinSnapshots { .. }
            | Act::ConfigureSnapshots(_)
            | Act::Restore(_) => {}
        }
    }

    fn part(&self, part: &mut Part) {
        match part {
            Part::Text { content } | Part::Opaque { content, .. } => self.text(content),
            Part::Reasoning { content, signature } => {
                let was = content.clone();
                self.text(content);
                if *content != was {
                    *signature = None; // it holds no more
                }
            }
            Part::ToolCall { arguments, .. } => self.text(arguments),
            Part::ToolCallResponse { response, .. } => self.text(response),
            Part::File { name, .. } => self.some(name),
            Part::Uri { uri, .. } => self.text(uri),
            Part::Blob { .. } => {}
        }
    }

    fn some(&self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn text(&self, text: &mut String) {
        if let std::borrow::Cow::Owned(blank) = self.0.blank(text) {
            *text = blank;
        }
    }
}
