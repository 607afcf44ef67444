//! Wake-ups between the processes that share a log: LISTEN and NOTIFY. They are hints. Whoever misses one finds out by the
//! tail's patrol.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Executor as _, PgPool};
use tokio::sync::watch;
use tokio::time::timeout;

use super::tail::READ_WITHIN;
use crate::database::within;
use crate::event::Position;
use crate::random;

/// The channel of LISTEN and NOTIFY.
const CHANNEL: &str = "convoledger";
/// How often this process rings for others at most.
const RING: Duration = Duration::from_millis(20);
/// How long the listener hears nothing before it asks whether it still would.
const QUIET: Duration = Duration::from_secs(30);
/// A setting of the listener's session, which nothing reads but the listener.
const SESSION: &str = "convoledger.listener";

/// Rung when this process appended something.
#[derive(Clone)]
pub(super) struct Bell {
    /// What this process appended, which it tells others.
    own: Arc<watch::Sender<Position>>,
    /// What it knows of, from wherever.
    heard: Arc<watch::Sender<Position>>,
}

impl Bell {
    pub(super) fn new(head: Position) -> Self {
        Self { own: Arc::new(watch::channel(head).0), heard: Arc::new(watch::channel(head).0) }
    }

    pub(super) fn ring(&self, head: Position) {
        raise(&self.own, head);
        raise(&self.heard, head);
    }

    /// What this process appended: it is there.
    pub(super) fn own(&self) -> watch::Receiver<Position> {
        self.own.subscribe()
    }

    /// What it was told of: anybody may have said it.
    pub(super) fn heard(&self) -> watch::Receiver<Position> {
        self.heard.subscribe()
    }

    /// Hears other processes ring, for ever; behind a pooler it does not listen.
    pub(super) async fn listen(self, pool: PgPool) {
        loop {
            let Err(error) = self.hear(&pool).await else {
                tracing::info!("a pooler stands before the database: other servers' appends are found by looking");
                return;
            };
            tracing::debug!(%error, "LISTEN ended; it begins again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Hears until the connection ends. Without an error it ends only where no session is ours alone.
    async fn hear(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        // A session of a pooler's is anybody's: what is listened for there is told to whoever has it next, who does not
        // expect it. So the session is given a mark as it begins; a pooler refuses it, or has begun the session before.
        let mark = random::id().to_string();
        let options = pool.connect_options().as_ref().clone().options([(SESSION, &mark)]);
        // A pool of its own: the listener has its connection for ever, and it is lost with it when it is cut.
        let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        let mut listener = match PgListener::connect_with(&own).await {
            Err(error) if refuses_the_mark(&error) => return Ok(()),
            listener => listener?,
        };
        let marked = sqlx::query_scalar(include_str!("sql/setting.sql")).bind(SESSION).fetch_one(&mut listener);
        let marked: Option<String> = within(READ_WITHIN, marked).await?;
        if marked.is_none_or(|marked| marked != mark) {
            return Ok(());
        }
        within(READ_WITHIN, listener.listen(CHANNEL)).await?;
        loop {
            match timeout(QUIET, listener.recv()).await {
                Ok(rung) => {
                    if let Ok(head) = rung?.payload().parse() {
                        raise(&self.heard, Position(head));
                    }
                }
                Err(_) => {
                    within(READ_WITHIN, listener.execute("SELECT 1")).await?;
                }
            }
        }
    }

    /// Rings for other processes, in a small commit of its own: a NOTIFY inside the lane would serialise the whole cluster.
    pub(super) async fn ring_others(self, pool: PgPool) {
        let mut own = self.own();
        while own.changed().await.is_ok() {
            let head = *own.borrow_and_update();
            let sent = sqlx::query(include_str!("sql/notify.sql")).bind(head.0.to_string()).execute(&pool);
            if let Err(error) = within(READ_WITHIN, sent).await {
                tracing::debug!(%error, "NOTIFY failed; others find out by their patrol");
            }
            tokio::time::sleep(RING).await;
        }
    }
}

/// Whether a pooler would not begin a session that is marked (in the words of `PgBouncer`). Any other refusal passes: Postgres
/// itself takes every mark, and may only be starting, or full.
fn refuses_the_mark(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("unsupported startup parameter"))
}

/// Sets `watched` to `position` if that is higher.
pub(super) fn raise(watched: &watch::Sender<Position>, position: Position) {
    watched.send_if_modified(|known| {
        let higher = position > *known;
        *known = (*known).max(position);
        higher
    });
}
