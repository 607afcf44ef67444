//! What is masked of the asker's.

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject, Union};

use super::asker::{Asker, trouble};
use super::payload::{Refused, Stale};
use crate::event::{self, MaskingConfigured, Private};
use crate::service::{ChangeError, Reason, Trouble};

/// A kind of personal data that is told by its form, or that its account listed.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::Personal")]
pub enum PersonalData {
    /// A key or token of a known shape.
    Secret,
    Email,
    /// With the right check digits.
    Iban,
    /// A payment card's number with the right check digit.
    Card,
    Ip,
    /// A telephone number that says its country, or is written as in North America.
    Phone,
    /// A name that the account listed.
    Name,
}

/// What is masked of an account's.
#[derive(SimpleObject, Clone)]
pub struct Masking {
    pub kinds: Vec<PersonalData>,
    /// Names that are masked wherever they stand.
    pub names: Vec<String>,
    /// Whether words are masked before they are sealed. What is masked then was never kept, and does not come back.
    pub before_sealing: bool,
}

#[derive(InputObject)]
pub struct ConfigureMaskingInput {
    /// All when it is left out.
    pub kinds: Option<Vec<PersonalData>>,
    /// None when it is left out.
    pub names: Option<Vec<String>>,
    /// False when it is left out.
    pub before_sealing: Option<bool>,
    pub client_mutation_id: Option<String>,
}

/// It is so from now on; what was said before stays as it is.
#[derive(SimpleObject, Clone)]
pub struct MaskingDone {
    pub masking: Masking,
    pub client_mutation_id: Option<String>,
}

/// It was so already.
#[derive(SimpleObject, Clone)]
pub struct MaskingAlreadyDone {
    pub masking: Masking,
    pub client_mutation_id: Option<String>,
}

#[derive(Union, Clone)]
pub enum ConfigureMaskingPayload {
    Done(MaskingDone),
    AlreadyDone(MaskingAlreadyDone),
    Stale(Stale),
    Refused(Refused),
}

pub struct MaskingMutation;

#[Object]
impl MaskingMutation {
    /// Settles what is masked of the asker's, all of it: in exports that are asked for masked, and, where it says so, in
    /// whatever is said or imported from now on, before it is kept.
    async fn configure_masking(
        &self,
        context: &Context<'_>,
        input: ConfigureMaskingInput,
    ) -> Result<ConfigureMaskingPayload> {
        let asker = Asker::of(context);
        let default = MaskingConfigured::default();
        let becomes = MaskingConfigured {
            kinds: input.kinds.map_or(default.kinds, |kinds| kinds.into_iter().map(Into::into).collect()),
            before_sealing: input.before_sealing.unwrap_or(default.before_sealing),
            names: input.names.map_or(default.names, Private::Known),
        };
        let settled = match asker.service.configure_masking(asker.actor, becomes).await {
            Ok(settled) => settled,
            Err(ChangeError::Refused(refusal)) => {
                return Ok(ConfigureMaskingPayload::Refused(Reason::Rule(refusal).into()));
            }
            Err(ChangeError::Overtaken) => return Err(trouble(&Trouble::Busy { retry_after_s: 1 })),
            Err(ChangeError::Trouble(error)) => return Err(trouble(&error)),
        };
        let (masking, client_mutation_id) = (read(&asker).await?, input.client_mutation_id);
        Ok(match settled {
            Some(_) => ConfigureMaskingPayload::Done(MaskingDone { masking, client_mutation_id }),
            None => ConfigureMaskingPayload::AlreadyDone(MaskingAlreadyDone { masking, client_mutation_id }),
        })
    }
}

/// What the asker settled.
pub async fn read(asker: &Asker<'_>) -> Result<Masking> {
    let settled = asker.service.masking(asker.actor).await.map_err(|error| trouble(&error))?;
    Ok(Masking {
        kinds: settled.kinds.into_iter().map(Into::into).collect(),
        names: settled.names.known().unwrap_or_default(),
        before_sealing: settled.before_sealing,
    })
}
