//! Ledgers and databases of one embedded Postgres, fsync on, as the program runs it by default.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use convoledger::clock::Clock;
use convoledger::database::{APP, Database, Role};
use convoledger::event::{ConversationId, MessageId, Role as Speaker, Usage};
use convoledger::ledger::{Act, AppendMessage, Command, Start};
use convoledger::log::{Limits, Log};
use convoledger::projection::{Engine, Opener, Projection};
use convoledger::random;
use convoledger::service::{Actor, Order, Outcome, Service, Words};
use convoledger::vault::{KeyStore, Vault};
use rust_decimal::Decimal;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool};

/// Connections of a pool for reads.
const READERS: u32 = 8;
/// Connections of the lane's pool: one a flight and one to spare.
const LANES: u32 = 3;

pub struct Cluster {
    root: PathBuf,
    /// Removed with whoever started it.
    _kept: Option<tempfile::TempDir>,
    database: Database,
}

impl Cluster {
    pub async fn start() -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        // The server may run under an account of its own, which must get through.
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o711))?;
        let joined = Self::join(root.path()).await?;
        Ok(Self { _kept: Some(root), ..joined })
    }

    /// The one that another process runs there.
    pub async fn join(root: &Path) -> anyhow::Result<Self> {
        let database = Database::embedded(&root.join("data"), Role::Command).await?;
        Ok(Self { root: root.to_owned(), _kept: None, database })
    }

    /// Where its files lie, and others that go with it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub async fn stop(self) {
        self.database.close().await;
    }

    /// A fresh ledger whose `projections` are folded as it grows.
    pub async fn ledger(&self, projections: &[Projection]) -> anyhow::Result<Ledger> {
        let name = self.create().await?;
        self.open(&name, projections).await
    }

    /// The ledger in the database of that name, which is made there when it is not.
    pub async fn open(&self, name: &str, projections: &[Projection]) -> anyhow::Result<Ledger> {
        let (owner, app) = self.options(name)?;
        let database = Database::new(owner, app).await?;
        database.migrate().await?;
        let pool = database.pool(READERS);
        let log = Log::open(pool.clone(), database.pool(LANES), Limits::default()).await?;
        let store = KeyStore::new(self.root.join(name), None)?;
        let vault = Vault::open(pool.clone(), log.identity().ledger, &store).await?;
        let words: Arc<dyn Opener> = Arc::new(Words::new(log.clone(), vault.clone()));
        let engine = Engine::start(database.pool(READERS), projections, &log.tail().head(), &words);
        let service = Service::new(pool.clone(), log.clone(), vault, engine, Clock::system());
        let actor = service.register("bench@example.org").await?;
        let views = projections.iter().map(|projection| projection.name.to_string()).collect();
        Ok(Ledger { name: name.to_owned(), pool, log, service, actor, views })
    }

    /// How to connect to a fresh, empty database, as its owner.
    pub async fn empty(&self) -> anyhow::Result<PgConnectOptions> {
        Ok(self.options(&self.create().await?)?.0)
    }

    async fn create(&self) -> anyhow::Result<String> {
        let name = format!("bench_{}", random::id().simple());
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut self.database.connect_as_owner().await?).await?;
        Ok(name)
    }

    /// How its owner and the program connect to a database.
    fn options(&self, name: &str) -> anyhow::Result<(PgConnectOptions, PgConnectOptions)> {
        let server = self.database.server().context("the cluster is embedded")?;
        Ok((server.options().database(name), server.options_as(APP).database(name)))
    }
}

/// A ledger with one account.
#[derive(Clone)]
pub struct Ledger {
    /// Of its database.
    pub name: String,
    pub pool: PgPool,
    pub log: Log,
    pub service: Service,
    pub actor: Actor,
    pub views: Vec<String>,
}

impl Ledger {
    /// The same ledger, for another of its accounts.
    pub async fn of(&self, email: &str) -> anyhow::Result<Self> {
        Ok(Self { actor: self.service.register(email).await?, ..self.clone() })
    }

    /// The same ledger by a service that has read nothing yet.
    pub fn unread(&self) -> Self {
        let (pool, vault) = (self.pool.clone(), self.service.vault().clone());
        let words: Arc<dyn Opener> = Arc::new(Words::new(self.log.clone(), vault.clone()));
        let engine = Engine::start(pool.clone(), &[], &self.log.tail().head(), &words);
        Self { service: Service::new(pool, self.log.clone(), vault, engine, Clock::system()), ..self.clone() }
    }

    pub async fn start_conversation(&self) -> anyhow::Result<ConversationId> {
        let conversation = ConversationId(random::id());
        let start = Start::default();
        self.order(conversation, vec![Act::Start(start).into()]).await?;
        Ok(conversation)
    }

    pub async fn start_conversations(&self, count: usize) -> anyhow::Result<Vec<ConversationId>> {
        futures::future::try_join_all((0..count).map(|_| self.start_conversation())).await
    }

    /// Says `texts` in a conversation, in one order.
    pub async fn say(&self, conversation: ConversationId, texts: Vec<String>) -> anyhow::Result<u32> {
        let said = u32::try_from(texts.len())?;
        let append = |text| Act::Append(AppendMessage::text(MessageId(random::id()), Speaker::User, text)).into();
        self.order(conversation, texts.into_iter().map(append).collect()).await?;
        Ok(said)
    }

    /// Says `text` as a model does, which tells what it used. It was said now when no time is given.
    pub async fn answer(
        &self,
        conversation: ConversationId,
        text: String,
        at: Option<DateTime<Utc>>,
    ) -> anyhow::Result<u32> {
        self.answers(conversation, [(text, at)]).await
    }

    /// Says many answers in one order.
    pub async fn answers(
        &self,
        conversation: ConversationId,
        said: impl IntoIterator<Item = (String, Option<DateTime<Utc>>)>,
    ) -> anyhow::Result<u32> {
        let answer = |(text, occurred_at): (String, _)| {
            let act = Act::Append(AppendMessage {
                model: Some("model".into()),
                provider: Some("provider".into()),
                usage: Some(Usage { input: Some(1_200), output: Some(300), ..Usage::default() }),
                cost_usd: Some(Decimal::new(81, 4)),
                ..AppendMessage::text(MessageId(random::id()), Speaker::Assistant, text)
            });
            Command { occurred_at, act }
        };
        let commands: Vec<_> = said.into_iter().map(answer).collect();
        let said = u32::try_from(commands.len())?;
        self.order(conversation, commands).await?;
        Ok(said)
    }

    /// Waits until the views that it has show all that was said.
    pub async fn caught_up(&self) -> anyhow::Result<()> {
        let head = self.log.head().await?;
        for view in &self.views {
            // A read waits two seconds; here there may be much to fold.
            while self.service.caught_up(self.actor, view, Some(head)).await.is_err() {}
        }
        Ok(())
    }

    /// Carries out what is asked of a conversation.
    pub async fn order(&self, conversation: ConversationId, commands: Vec<Command>) -> anyhow::Result<()> {
        let order = Order { conversation, commands, named: None, expected: None };
        match self.service.execute(self.actor, order).await? {
            Outcome::Done(_) => Ok(()),
            outcome => anyhow::bail!("an order was not carried out: {outcome:?}"),
        }
    }
}

/// Both sides of a figure that appends, each for `callers` at once.
pub async fn both(cluster: &Cluster, callers: usize) -> anyhow::Result<(Ledger, Arc<crate::limit::Limit>)> {
    Ok((cluster.ledger(&[]).await?, Arc::new(crate::limit::Limit::create(cluster.empty().await?, callers).await?)))
}
