//! The events of an archive: lines with their proofs, and with the words of whoever is handed it.

use std::collections::HashMap;

use super::veil::Veil;
use super::{CameTo, ExportError, Making, Stage, Told, line};
use crate::archive::line::{Line, Openable, State};
use crate::archive::manifest::Counts;
use crate::archive::name;
use crate::archive::work::Unit;
use crate::event::{OwnerId, Piece, Position, Sealed, SubjectId};
use crate::log::tree::tiles;
use crate::log::{Recorded, verify};
use crate::service::Trouble;

/// Events in one read, in one file at most, and how much a file may hold.
const PAGE: usize = 500;
const FILE_EVENTS: u64 = 5_000;
const FILE_BYTES: u64 = 32 << 20;

impl Making<'_> {
    /// One file of events, from behind `after`.
    pub(super) async fn put_events(
        &self,
        mut unit: Unit,
        (mut after, file): (Position, u32),
        veil: &mut Veil,
        told: &mut Told<'_>,
    ) -> Result<(Unit, CameTo), ExportError> {
        let mut counts = Counts::default();
        let mut more = true;
        unit.file(&format!("{}{file:06}.jsonl", name::EVENTS))?;
        while more && counts.events < FILE_EVENTS && unit.bytes() < FILE_BYTES {
            let page = self.page(after).await?;
            more = page.len() == PAGE;
            let Some(last) = page.last() else { break };
            after = last.position;
            let lines = self.lines(page, veil).await?;
            let mut text = Vec::new();
            for one in &lines {
                counts.count(one);
                text.extend(line(one)?);
            }
            told.add(lines.len() as u64);
            unit = super::written(unit, text).await?;
        }
        unit.end()?;
        let next = if more { Stage::Events { after, file: file + 1 } } else { Stage::Streams };
        Ok((unit, CameTo { counts, next }))
    }

    async fn page(&self, after: Position) -> Result<Vec<Recorded>, ExportError> {
        let (log, (_, to)) = (&self.service.log, self.stretch());
        let mut page = match self.account() {
            Some(account) => log.read_owner(OwnerId::from(account), after, PAGE).await?.events,
            None => log.read_range(after, PAGE).await?,
        };
        let within = page.partition_point(|event| event.position <= to);
        page.truncate(within);
        // What binds what is left of such an event would not be in the archive.
        let expired = |event: &Recorded| event.reduced.is_some_and(|by| by > to);
        if self.account().is_some() && page.iter().any(expired) {
            return Err(ExportError::Expired);
        }
        Ok(page)
    }

    async fn lines(&self, page: Vec<Recorded>, veil: &mut Veil) -> Result<Vec<Line>, ExportError> {
        let indexes: Vec<u64> =
            page.iter().map(|event| u64::try_from(event.position.0 - 1).unwrap_or_default()).collect();
        let mut connection = self.service.pool.acquire().await?;
        let proofs = tiles::inclusions(&mut connection, &indexes, self.plan.size).await?;
        drop(connection);
        let proofs = proofs.ok_or_else(|| Trouble::Internal("an event lies behind its checkpoint".into()))?;
        let histories = verify::histories(&self.service.pool).await?;
        let whole = page.into_iter().zip(proofs).map(|(event, proof)| {
            let history = verify::history_at(&histories, event.position);
            Line { proof, ..Line::of(event, history) }
        });
        let mut lines: Vec<Line> = whole.collect();
        if self.account().is_some() {
            self.say(&mut lines, veil).await?;
        }
        Ok(lines)
    }

    /// Puts the words in that are the account's own.
    async fn say(&self, lines: &mut [Line], veil: &mut Veil) -> Result<(), ExportError> {
        let ledger = self.service.log.identity().ledger;
        let own = self.account().map(|account| SubjectId::from(OwnerId::from(account)));
        let with_words: Vec<Position> =
            lines.iter().filter(|line| !line.words.is_empty()).map(|line| line.position).collect();
        let mut words: HashMap<Position, Vec<Sealed>> = HashMap::new();
        for (position, sealed) in self.service.log.read_words(&with_words).await? {
            words.entry(position).or_default().push(sealed);
        }
        let pieces = words.iter().flat_map(|(position, sealed)| sealed.iter().map(|one| Piece::of(*position, one)));
        let openings = self.service.words.openings(pieces.collect()).await?;
        for line in lines {
            let sealed = words.remove(&line.position).unwrap_or_default();
            let mut parts = std::mem::take(&mut line.words);
            for part in &mut parts {
                let Some(sealed) = sealed.iter().find(|sealed| sealed.part == part.part) else {
                    part.state = State::Gone;
                    continue;
                };
                if Some(sealed.subject) != own {
                    continue; // withheld
                }
                let Some(opening) = openings.get(&(line.position, part.part)) else {
                    part.state = State::Gone;
                    continue;
                };
                let plain = opening.open(&line.about(ledger, part.part), sealed).map_err(Trouble::from)?;
                let said = serde_json::from_slice(&plain).map_err(|error| Trouble::Internal(error.to_string()))?;
                if veil.is_drawn() {
                    (part.state, part.said) = (State::Masked, Some(veil.value(said)));
                } else {
                    (part.state, part.said) = (State::Opened, Some(said));
                    part.sealed = Some(Openable::of(sealed, opening.clone()));
                }
            }
            line.words = parts;
        }
        Ok(())
    }
}
