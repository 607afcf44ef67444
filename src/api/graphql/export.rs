//! Exports of the asker's.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject, Union};
use chrono::{DateTime, Utc};

use super::asker::{Asker, trouble};
use super::id::Name;
use super::order::named;
use super::payload::{Refused, Stale};
use super::scalar::BigInt;
use crate::service::{Actor, Asked, ChangeError, ExportRow, Reason, Trouble};

#[derive(InputObject)]
pub struct ExportInput {
    /// Personal data in the words stands behind placeholders, as `configureMasking` settled. False when it is left out.
    pub masked: Option<bool>,
    pub client_mutation_id: Option<String>,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum ExportState {
    /// It is being made.
    Requested,
    /// It can be fetched.
    Ready,
    /// Its time was over, and it is gone. Ask for another one.
    Expired,
}

/// All that there is of the asker's, as an archive.
#[derive(SimpleObject, Clone)]
pub struct Export {
    pub id: ID,
    pub state: ExportState,
    pub masked: bool,
    pub requested_at: DateTime<Utc>,
    /// How many events the log had that it is of.
    pub position: Option<BigInt>,
    pub size_bytes: Option<BigInt>,
    /// SHA-256 of the archive: hex.
    pub sha256: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
    /// Where it is fetched (GET, with the same token; ranges are answered, so a fetch that broke off can go on).
    pub path: Option<String>,
}

#[derive(SimpleObject, Clone)]
pub struct ExportDone {
    pub export: Export,
    pub client_mutation_id: Option<String>,
}

/// It was asked for before by this `clientMutationId`, or one is being made already.
#[derive(SimpleObject, Clone)]
pub struct ExportAlreadyDone {
    pub export: Export,
    pub client_mutation_id: Option<String>,
}

#[derive(Union, Clone)]
#[allow(clippy::large_enum_variant)] // one is made a request
pub enum ExportPayload {
    Done(ExportDone),
    AlreadyDone(ExportAlreadyDone),
    Stale(Stale),
    Refused(Refused),
}

impl Export {
    fn of(actor: Actor, row: ExportRow) -> Self {
        let ready = row.made.filter(|_| !row.expired);
        let state = match &ready {
            Some(_) => ExportState::Ready,
            None if row.expired => ExportState::Expired,
            None => ExportState::Requested,
        };
        Self {
            id: Name::Event(actor.owner(), row.id).id(),
            state,
            masked: row.masked,
            requested_at: row.requested_at,
            position: ready.as_ref().map(|made| BigInt(i64::try_from(made.size).unwrap_or(i64::MAX))),
            size_bytes: ready.as_ref().map(|made| BigInt(i64::try_from(made.bytes).unwrap_or(i64::MAX))),
            sha256: ready.as_ref().map(|made| made.sha256.clone()),
            expires_at: ready.as_ref().map(|made| made.expires),
            path: ready.map(|_| format!("/exports/{}", row.id)),
        }
    }
}

/// The asker's, the newest first.
pub async fn all(asker: &Asker<'_>) -> Result<Vec<Export>> {
    let exports = asker.service.exports(asker.actor).await.map_err(|error| trouble(&error))?;
    Ok(exports.into_iter().map(|row| Export::of(asker.actor, row)).collect())
}

pub struct ExportMutation;

#[Object]
impl ExportMutation {
    /// Asks for all that there is of the asker's, as an archive: `exports` says when it can be fetched, and where.
    async fn export_my_data(&self, context: &Context<'_>, input: ExportInput) -> Result<ExportPayload> {
        let asker = Asker::of(context);
        let named = named(context, input.client_mutation_id.clone())?;
        let asked = asker.service.request_export(asker.actor, input.masked.unwrap_or(false), named).await;
        let (row, already) = match asked {
            Ok(Asked::Now(row)) => (row, false),
            Ok(Asked::Before(row)) => (row, true),
            Ok(Asked::Otherwise) => return Ok(ExportPayload::Refused(Reason::NameReused.into())),
            Err(ChangeError::Refused(refusal)) => return Ok(ExportPayload::Refused(Reason::Rule(refusal).into())),
            Err(ChangeError::Overtaken) => return Err(trouble(&Trouble::Busy { retry_after_s: 1 })),
            Err(ChangeError::Trouble(error)) => return Err(trouble(&error)),
        };
        let (export, client_mutation_id) = (Export::of(asker.actor, row), input.client_mutation_id);
        Ok(if already {
            ExportPayload::AlreadyDone(ExportAlreadyDone { export, client_mutation_id })
        } else {
            ExportPayload::Done(ExportDone { export, client_mutation_id })
        })
    }
}
