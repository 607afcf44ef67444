//! `convoledger projections`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Place;
use super::output::{say, say_json};
use crate::database::Role;
use crate::event::Position;
use crate::projection::{Difference, State, Status, own, status};

/// Tells how far each view of the log has come, and makes views of your own.
///
/// Exits 1 when one has failed.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Projections {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print one JSON document: {"projections": [...]}
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    New(New),
    Check(Check),
    Drop(Drop),
    Skip(Skip),
}

/// Writes a folder to start from: a manifest, the tables and the fold. It works as it is.
#[derive(Debug, Args)]
struct New {
    /// What the view is called: small letters, digits and _
    name: String,
}

/// Looks whether a folder is fit for use: what it touches, and that any division of the log gives the same rows.
///
/// The first events of the log are folded three times, beside whatever is live: all at once, in ranges of several lengths,
/// and one by one. Nothing of it stays. Exits 1 when the folder is not fit.
#[derive(Debug, Args)]
struct Check {
    /// The folder
    folder: PathBuf,
    /// How many events are folded
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(i64).range(0..))]
    events: i64,
    /// Print one JSON document: name, events, differs
    #[arg(long)]
    json: bool,
}

/// Drops the rows of a view. One that is folded by a server is made again from the log.
#[derive(Debug, Args)]
struct Drop {
    name: String,
}

/// Leaves one event out of one view that cannot fold it, now and in every rebuild. It is recorded in the log.
#[derive(Debug, Args)]
struct Skip {
    /// The view
    name: String,
    /// The event: the one behind the position at which the view stands
    position: i64,
    /// Why; it is kept sealed
    #[arg(long)]
    reason: String,
}

impl Projections {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        match self.action {
            None => tell(place, self.json).await,
            Some(Action::New(new)) => new.run(place),
            Some(Action::Check(check)) => check.run(place).await,
            Some(Action::Drop(drop)) => drop.run(place).await,
            Some(Action::Skip(skip)) => skip.run(place).await,
        }
    }
}

async fn tell(place: &Place, json: bool) -> anyhow::Result<ExitCode> {
    let projections = place.projections()?;
    let database = place.existing().await?;
    let pool = database.pool(1);
    let all = status(&projections, &pool).await;
    pool.close().await;
    database.close().await;
    let all = all?;
    if json {
        say_json(&json!({ "projections": all.iter().map(to_json).collect::<Vec<_>>() }))?;
    } else {
        say(&table(&all));
    }
    let failed = all.iter().any(|status| status.state == State::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl New {
    fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let directory = place.projections.as_deref().context("say in which directory with --projections DIR")?;
        let folder = own::write_new(directory, &self.name)?;
        say(&format!("{}", folder.display()));
        Ok(ExitCode::SUCCESS)
    }
}

impl Check {
    async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let projection = own::read(&self.folder)?;
        let workshop = place.workshop(std::slice::from_ref(&projection), 1).await?;
        let trial = projection.trial(&workshop.pool, &*workshop.opener, self.events).await;
        workshop.close().await;
        let trial = trial?;
        let fit = trial.differs.is_none();
        if self.json {
            let differs = trial.differs.as_ref().map(|(division, differences)| {
                json!({ "division": division, "tables": differences.iter().map(difference_json).collect::<Vec<_>>() })
            });
            say_json(&json!({ "name": projection.name, "events": trial.events, "differs": differs }))?;
        } else if let Some((division, differences)) = &trial.differs {
            let mut text = format!(
                "{}: {} events folded {division} do not give the rows that they give at once:",
                projection.name, trial.events
            );
            text.extend(differences.iter().map(difference_text));
            say(&text);
        } else {
            say(&format!(
                "{}: fit for use; {} events give the same rows in three divisions",
                projection.name, trial.events
            ));
        }
        Ok(if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Drop {
    async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let database = place.existing().await?;
        let pool = database.pool(1);
        let dropped = own::drop(&self.name, &pool).await;
        pool.close().await;
        database.close().await;
        if dropped? {
            say(&format!("{}: its rows are dropped", self.name));
            Ok(ExitCode::SUCCESS)
        } else {
            anyhow::bail!("there are no rows of a view `{}`", self.name)
        }
    }
}

impl Skip {
    async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let house = place.open(Role::Command).await?;
        let skipped = house.service.skip(&self.name, Position(self.position), self.reason).await;
        house.close().await;
        say(&match skipped? {
            Some(recorded) => format!(
                "{} leaves event {} out from now on: recorded as event {recorded}; a server goes on within 30 s",
                self.name, self.position
            ),
            None => format!("{} leaves event {} out already", self.name, self.position),
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// The rows that only one side has: `-` those that were there, `+` those that were made anew.
pub(super) fn difference_text(difference: &Difference) -> String {
    let rows =
        |sign: char, rows: &[String]| rows.iter().fold(String::new(), |all, row| all + &format!("\n    {sign} {row}"));
    format!("\n  {}{}{}", difference.table, rows('-', &difference.only_live), rows('+', &difference.only_new))
}

pub(super) fn difference_json(one: &Difference) -> Value {
    json!({ "table": one.table, "only_live": one.only_live, "only_new": one.only_new })
}

pub(super) const fn name(state: State) -> &'static str {
    match state {
        State::Live => "live",
        State::CatchingUp => "catching up",
        State::Failed => "failed",
        State::Outdated => "outdated",
    }
}

fn table(all: &[Status]) -> String {
    let mut table =
        format!("{:<16} {:<12} {:>12} {:>12} {:>10}", "PROJECTION", "STATE", "POSITION", "BEHIND", "LAG ms");
    for status in all {
        let Status { name: projection, state, position, lag_events, lag_ms, .. } = status;
        let state = name(*state);
        let _ = write!(table, "\n{projection:<16} {state:<12} {:>12} {lag_events:>12} {lag_ms:>10}", position.0);
        if let Some(error) = &status.error {
            let _ = write!(table, "\n  {error}");
        }
    }
    table
}

fn to_json(status: &Status) -> Value {
    json!({
        "name": status.name,
        "state": name(status.state),
        "position": status.position,
        "head": status.head,
        "lag_events": status.lag_events,
        "lag_ms": status.lag_ms,
        "error": status.error,
        "fingerprint": hex::encode(status.fingerprint),
    })
}
