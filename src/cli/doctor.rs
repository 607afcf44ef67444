//! `convoledger doctor`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::output::{say, say_json};
use super::{Place, projections};
use crate::database::{Database, Embedded, Role};
use crate::log::read;
use crate::log::tree::checkpoints;
use crate::projection::{BUILT_IN, State, status};
use crate::service::EPOCH_S;
use crate::vault::Vault;

/// By how much a server may be late to retire an epoch, in seconds.
const LATE_S: f64 = 3_600.0;

/// Looks at everything that a ledger stands on, and says what to do where it does not hold.
///
/// Changes nothing but that it starts a Postgres of its own where none runs. Exits 1 when something does not work.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print one JSON document: `ok`, `database` (how to reach it), `checks`
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let findings = examine(place).await;
        if self.json {
            say_json(&findings)?;
        } else {
            say(&findings.text());
        }
        Ok(if findings.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn examine(place: &Place) -> Findings {
    let mut findings = Findings { ok: true, database: None, checks: Vec::new() };
    if place.is_embedded() {
        findings.binaries(place);
    }
    match place.database(Role::Command).await {
        Ok(database) => {
            let pool = database.pool(2);
            findings.inside(place, &database, &pool).await;
            pool.close().await;
            database.close().await;
        }
        Err(error) => findings.fail("database", format!("{error:#}"), "see above; nothing else can be checked"),
    }
    findings
}

#[derive(Debug, Serialize)]
struct Findings {
    ok: bool,
    database: Option<Reach>,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: Health,
    found: String,
    /// What to do; none where all is well.
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    Warn,
    Fail,
}

/// How to reach the database: for `psql`, and for whoever must act as the owner of its tables.
#[derive(Debug, Serialize)]
struct Reach {
    version: String,
    /// Whether it is a Postgres of the ledger's own.
    embedded: bool,
    /// Whether it runs on when this command has ended.
    stays: bool,
    socket_dir: Option<PathBuf>,
    host: Option<String>,
    port: u16,
    user: String,
    database: String,
    /// Without the password, if there is one.
    url: String,
}

impl Reach {
    fn of(database: &Database) -> Self {
        let options: &PgConnectOptions = database.owner_options();
        let socket = options.get_socket().cloned();
        let (port, user) = (options.get_port(), options.get_username().to_owned());
        let name = options.get_database().unwrap_or(&user).to_owned();
        let url = match &socket {
            Some(socket) => format!("postgresql:///{name}?host={}&port={port}&user={user}", socket.display()),
            None => format!("postgresql://{user}@{}:{port}/{name}", options.get_host()),
        };
        Self {
            version: database.version().to_string(),
            embedded: database.server().is_some(),
            stays: database.server().is_none_or(|server| !server.owns()),
            host: socket.is_none().then(|| options.get_host().to_owned()),
            socket_dir: socket,
            port,
            user,
            database: name,
            url,
        }
    }
}

impl Findings {
    fn binaries(&mut self, place: &Place) {
        let binaries = place.data().and_then(|data| Ok(Embedded::binaries(&data)?));
        match binaries {
            Ok(binaries) => {
                self.good(
                    "server binaries",
                    format!("PostgreSQL {} in {}", binaries.major, binaries.directory.display()),
                );
            }
            Err(error) => self.fail("server binaries", format!("{error:#}"), "do as it says"),
        }
    }

    async fn inside(&mut self, place: &Place, database: &Database, pool: &PgPool) {
        let reach = Reach::of(database);
        self.good("database", format!("PostgreSQL {}, {}", reach.version, reach.url));
        self.database = Some(reach);
        match database.migrations().await {
            Ok(found) if found.applied.is_empty() => {
                self.warn("migrations", "there is no ledger in it yet".into(), "run `convoledger migrate`, or `serve`");
                return;
            }
            Ok(found) => {
                if found.pending.is_empty() {
                    self.good("migrations", format!("all {} are applied", found.applied.len()));
                } else {
                    let missing = format!("{} are to be applied", found.pending.len());
                    self.fail("migrations", missing, "run `convoledger migrate`");
                    return;
                }
                if found.roles_guard {
                    self.good("roles", "privileges and the trigger keep the application from changing the log".into());
                } else {
                    let advice = "where the database lets you, run `migrate` as a role that may create roles, and the \
                                  server as a member of `convoledger_app` that does not own the tables";
                    self.warn("roles", "the trigger alone guards the log from being changed".into(), advice);
                }
            }
            Err(error) => {
                self.fail("migrations", format!("{:#}", anyhow::Error::from(error)), "do as it says");
                return;
            }
        }
        self.projections(pool).await;
        self.keys(place, pool).await;
        if let Err(error) = self.checkpoints(place, pool).await {
            self.fail("checkpoints", format!("{error:#}"), "do as it says");
        }
    }

    /// Whether the log is signed for, and could be again.
    async fn checkpoints(&mut self, place: &Place, pool: &PgPool) -> anyhow::Result<()> {
        let origin = read::identity(pool).await?.checkpoint_origin();
        let head = read::head(pool).await?.0.unsigned_abs();
        let Some(last) = place.signing()?.last()? else {
            let advice = "`serve` signs one whenever the log has grown, `convoledger checkpoint` at once";
            self.warn("checkpoints", format!("none of {head} events is signed for"), advice);
            return Ok(());
        };
        let kept = checkpoints::of_size(pool, &origin, last.size).await?;
        let other = kept.is_some_and(|kept| kept.checkpoint.root != last.root);
        if last.origin == origin && last.size <= head && !other {
            self.good("checkpoints", format!("{} of {head} events are signed for, as {origin}", last.size));
            return Ok(());
        }
        let found = format!(
            "the log has {head} events as {origin}, and is not what was signed last: {} events as {}",
            last.size, last.origin
        );
        let advice = "nothing more is signed: the log was cut short, or restored from an older backup. Put back what is \
                      missing; or, if it was restored on purpose, `convoledger checkpoint --new-history`";
        self.fail("checkpoints", found, advice);
        Ok(())
    }

    async fn projections(&mut self, pool: &PgPool) {
        let all = match status(BUILT_IN, pool).await {
            Ok(all) => all,
            Err(error) => return self.fail("head", error.to_string(), "see the database's log"),
        };
        if let Some(first) = all.first() {
            self.good("head", format!("{} events", first.head));
        }
        for status in all {
            let mut found = format!("`{}` is {}", status.name, projections::name(status.state));
            if status.lag_events > 0 {
                let _ = write!(found, ", {} events and {} ms behind", status.lag_events, status.lag_ms);
            }
            match (status.state, status.error) {
                (State::Live, _) => self.good("projection", found),
                (State::CatchingUp, _) => self.warn("projection", found, "it folds while `serve` runs"),
                (State::Outdated, _) => {
                    let advice = "its rows were made by another version: `convoledger rebuild` makes them anew";
                    self.warn("projection", found, advice);
                }
                (State::Failed, error) => {
                    let found = format!("{found}: {}", error.unwrap_or_default());
                    self.fail("projection", found, "it is tried again while `serve` runs; mend what it names, or leave that event out of the view: \
                                 `convoledger projections skip NAME POSITION --reason …`");
                }
            }
        }
    }

    async fn keys(&mut self, place: &Place, pool: &PgPool) {
        match keys(place, pool).await {
            Ok(Some((directory, overdue))) => {
                self.good("keys", format!("they open, in {}", directory.display()));
                if overdue {
                    let advice = "`serve` retires each after a week, `convoledger keys retire-epoch` at once; until then old \
                                  copies of the database open what was taken away since";
                    self.warn("epochs", "keys are wrapped by an epoch that is older than a week".into(), advice);
                }
            }
            Ok(None) => self.warn("keys", "there are none yet".into(), "the first `serve` or `import` makes them"),
            Err(error) => self.fail("keys", format!("{error:#}"), "do as it says"),
        }
    }

    fn good(&mut self, name: &'static str, found: String) {
        self.checks.push(Check { name, state: Health::Ok, found, advice: None });
    }

    fn warn(&mut self, name: &'static str, found: String, advice: &str) {
        self.checks.push(Check { name, state: Health::Warn, found, advice: Some(advice.to_owned()) });
    }

    fn fail(&mut self, name: &'static str, found: String, advice: &str) {
        self.ok = false;
        self.checks.push(Check { name, state: Health::Fail, found, advice: Some(advice.to_owned()) });
    }

    fn text(&self) -> String {
        let line = |check: &Check| {
            let state = match check.state {
                Health::Ok => "ok  ",
                Health::Warn => "warn",
                Health::Fail => "FAIL",
            };
            let advice = check.advice.as_ref().map(|advice| format!("\n     → {advice}")).unwrap_or_default();
            format!("{state} {}: {}{advice}", check.name, check.found)
        };
        self.checks.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// The directory whose keys open what is in the database, and whether their epoch should be retired by now; none when no key
/// was made yet, and so none is missing.
async fn keys(place: &Place, pool: &PgPool) -> anyhow::Result<Option<(PathBuf, bool)>> {
    let (directory, store) = (place.keys_directory()?, place.keys()?);
    let identity = read::identity(pool).await?;
    // Opening makes keys on a first start; a look must not.
    if !directory.exists() && !Vault::is_used(pool).await? {
        return Ok(None);
    }
    let vault = Vault::open(pool.clone(), identity.ledger, &store).await?;
    let due = vault.due_epoch(EPOCH_S + LATE_S).await?;
    Ok(Some((directory, due.is_some())))
}
