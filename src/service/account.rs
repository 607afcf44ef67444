//! Accounts: registering one, who a token speaks for, and what happens to one.

use std::sync::LazyLock;

use uuid::Uuid;

use super::{Actor, Service, Trouble, seal};
use crate::account::{EmailDigest, Token};
use crate::event::{AccountId, CommandId, Event, OwnerId, Position, Private, SubjectKeyCreated};
use crate::ledger::account::{Account, Register, decide};
use crate::ledger::{Happened, Refusal};
use crate::log::{Answer, Append, Expected, Target};
use crate::random;
use crate::vault::{SubjectKey, normalise};

/// How often a decision is made again because the account changed meanwhile.
const TRIES: usize = 8;

/// Why an address is none.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("`{0}` is no e-mail address: it needs the form name@host")]
    NoAddress(String),
    #[error("the account was forgotten, and a forgotten address cannot be registered again in this ledger")]
    Forgotten,
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Why something does not happen to an account.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the account is being changed by others at this moment; try again")]
    Overtaken,
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

static REGISTRATIONS: LazyLock<Uuid> =
    LazyLock::new(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, b"convoledger registration"));

impl Service {
    /// The account of `email`, registered now if it was not. Any number of callers at once get the same account.
    pub async fn register(&self, email: &str) -> Result<Actor, RegisterError> {
        self.register_as(email, AccountId(crate::random::id())).await
    }

    /// The same; `fresh` becomes its id if it is new.
    pub(super) async fn register_as(&self, email: &str, fresh: AccountId) -> Result<Actor, RegisterError> {
        let email = email.trim();
        if !is_address(email) {
            return Err(RegisterError::NoAddress(email.to_owned()));
        }
        let digest = self.email_digest(email);
        let account = self.accounts.claim(&digest, fresh, self.clock.now()).await.map_err(Trouble::from)?;
        let actor = Actor { account };
        // Also for an address that was there: a process may have died between claiming it and saying so in the log.
        self.record_registration(actor, email).await?;
        Ok(actor)
    }

    pub async fn find_account(&self, email: &str) -> Result<Option<Actor>, Trouble> {
        let account = self.accounts.find(&self.email_digest(email)).await?;
        Ok(account.map(|account| Actor { account }))
    }

    /// How many accounts there are.
    pub async fn count_accounts(&self) -> Result<i64, Trouble> {
        Ok(self.accounts.count().await?)
    }

    /// Makes an API token; `name` says what for.
    pub async fn create_token(&self, actor: Actor, name: &str) -> Result<Token, Trouble> {
        Ok(self.accounts.create_token(actor.account, name, self.clock.now()).await?)
    }

    /// Ends the tokens called `name`.
    pub async fn revoke_tokens(&self, actor: Actor, name: &str) -> Result<u64, Trouble> {
        Ok(self.accounts.revoke_tokens(actor.account, name, self.clock.now()).await?)
    }

    /// Who a token speaks for, if it is one of ours.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Actor>, Trouble> {
        Ok(self.accounts.authenticate(token).await?.map(|account| Actor { account }))
    }

    async fn record_registration(&self, actor: Actor, email: &str) -> Result<(), RegisterError> {
        let subject = actor.owner().into();
        let created = self.vault.create(subject).await.map_err(Trouble::from)?;
        let Private::Known(key) = self.vault.current(subject).await.map_err(Trouble::from)? else {
            return Err(RegisterError::Forgotten);
        };
        let key_created = SubjectKeyCreated { subject, generation: created.generation, commitment: created.commitment };
        let register = Register { email: email.to_owned(), key: key_created };
        let Ok(events) = decide(&Account::default(), register) else { return Ok(()) };
        let (ledger, occurred_at) = (self.log.identity().ledger, self.clock.now());
        let sealed = |event: Event| seal::seal(ledger, actor.owner(), &key, &Happened { occurred_at, event });
        let append = Append {
            owner: actor.owner(),
            actor: actor.account,
            // One registration an account, however often it is said.
            command: CommandId(Uuid::new_v5(&REGISTRATIONS, actor.account.0.as_bytes())),
            command_digest: None,
            correlation: None,
            causation: None,
            targets: vec![Target {
                stream: actor.account.into(),
                expected: Expected::None,
                events: events.into_iter().map(sealed).collect(),
            }],
        };
        match self.log.append(append).await.map_err(Trouble::from)? {
            Answer::Appended(_) | Answer::Repeated(_) => Ok(()),
            answer => Err(Trouble::Internal(format!("registering {} was answered {answer:?}", actor.account)).into()),
        }
    }

    /// Has something happen to an account, as `actor` asked; none when it was so already. Its words, if there are any, are
    /// sealed under `key`.
    pub(super) async fn change_account(
        &self,
        account: AccountId,
        actor: AccountId,
        key: &SubjectKey,
        decide: impl Fn(&Account) -> Result<Vec<Event>, Refusal>,
    ) -> Result<Option<Position>, ChangeError> {
        self.change_account_as((CommandId(random::id()), None), account, actor, key, decide).await
    }

    /// The same, by a command that its caller named; where it went in before, nothing happens again.
    pub(super) async fn change_account_as(
        &self,
        (command, command_digest): (CommandId, Option<[u8; 16]>),
        account: AccountId,
        actor: AccountId,
        key: &SubjectKey,
        decide: impl Fn(&Account) -> Result<Vec<Event>, Refusal>,
    ) -> Result<Option<Position>, ChangeError> {
        let (owner, ledger) = (OwnerId::from(account), self.log.identity().ledger);
        for _ in 0..TRIES {
            let state = self.account(owner).await?;
            let events = decide(&state)?;
            if events.is_empty() {
                return Ok(None);
            }
            let occurred_at = self.clock.now();
            let sealed = |event| seal::seal(ledger, owner, key, &Happened { occurred_at, event });
            let append = Append {
                owner,
                actor,
                command,
                command_digest,
                correlation: None,
                causation: None,
                targets: vec![Target {
                    stream: account.into(),
                    expected: Expected::Exact(state.version),
                    events: events.into_iter().map(sealed).collect(),
                }],
            };
            match self.log.append(append).await.map_err(Trouble::from)? {
                Answer::Appended(appended) => return Ok(Some(appended.last)),
                Answer::Repeated(_) | Answer::Reused { .. } if command_digest.is_some() => return Ok(None),
                Answer::Conflict { .. } => {}
                answer => return Err(Trouble::Internal(format!("an account's event was answered {answer:?}")).into()),
            }
        }
        Err(ChangeError::Overtaken)
    }

    fn email_digest(&self, email: &str) -> EmailDigest {
        let key = self.vault.derive("convoledger account email v1");
        blake3::keyed_hash(&key, normalise(email).as_bytes()).into()
    }
}

fn is_address(email: &str) -> bool {
    email.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && !host.is_empty()
            && !host.contains('@')
            && email.len() <= 254
            && !email.contains(char::is_whitespace)
    })
}
