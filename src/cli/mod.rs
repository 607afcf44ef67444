//! The command line: it parses, calls one use case, and prints. One file each.
//!
//! What a command answers goes to stdout (with `--json` as one document), all else to stderr. Exit codes: 0 done, 1 it
//! was not or not all done, 2 the command line is wrong.

#![allow(clippy::doc_markdown)] // what clap prints as help

mod check;
mod checkpoint;
mod doctor;
mod export;
mod forget;
mod hold;
mod import;
mod keys;
mod migrate;
mod open;
mod output;
mod projections;
mod reader;
mod rebuild;
mod receipt;
mod replay;
mod retention;
mod search;
mod serve;
mod snapshots;
mod token;
mod verify;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// An event-sourced ledger of LLM conversations, on Postgres.
///
/// Every act is an immutable event in an append-only log that proves itself. `convoledger serve` is all it takes to
/// begin: without a database URL it runs a Postgres of its own in the data directory. Any other command works beside it
/// on the same directory, or alone.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Which ledger.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which ledger")]
struct Place {
    /// The data directory: a Postgres of its own, and the keys [default: /var/lib/convoledger for root,
    /// else ~/.local/share/convoledger]
    #[arg(long, global = true, value_name = "DIR", env = "CONVOLEDGER_DATA")]
    data: Option<PathBuf>,
    /// A Postgres (15 or newer) that runs already, instead of one of its own: postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where the keys lie that open what people said [default: `keys` in the data directory]
    #[arg(long, global = true, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Views of your own: a directory with a folder of SQL for each (`convoledger projections new` writes one)
    #[arg(long, global = true, value_name = "DIR", env = "CONVOLEDGER_PROJECTIONS")]
    projections: Option<PathBuf>,
    /// For how many days old copies of the key directory are kept: receipts of forgetting say until when one may open what
    /// went
    #[arg(long, global = true, value_name = "DAYS", env = "CONVOLEDGER_BACKUPS_DAYS")]
    backups_days: Option<u32>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Import(import::Import),
    Export(export::Export),
    Replay(replay::ReplayCommand),
    Search(search::SearchCommand),
    Verify(verify::Verify),
    Checkpoint(checkpoint::Checkpoint),
    Prove(checkpoint::Prove),
    Check(check::Check),
    Witness(witness::Witness),
    Token(token::TokenCommand),
    Projections(projections::Projections),
    Rebuild(rebuild::RebuildCommand),
    Snapshots(snapshots::Snapshots),
    Forget(forget::Forget),
    Receipt(receipt::Receipt),
    Hold(hold::Hold),
    Release(hold::Release),
    Retention(retention::RetentionCommand),
    Doctor(doctor::Doctor),
    Migrate(migrate::Migrate),
    Keys(keys::Keys),
}

impl Cli {
    /// Carries the command out. To be called within a runtime.
    pub async fn run(self) -> ExitCode {
        let (level, style) = match &self.command {
            Command::Serve(serve) => ("info", serve.log),
            _ => ("warn", output::LogStyle::Text),
        };
        output::log(level, style);
        let place = &self.place;
        let done = match self.command {
            Command::Serve(serve) => serve.run(place).await,
            Command::Import(import) => import.run(place).await,
            Command::Export(export) => export.run(place).await,
            Command::Replay(replay) => replay.run(place).await,
            Command::Search(search) => search.run(place).await,
            Command::Verify(verify) => verify.run(place).await,
            Command::Checkpoint(checkpoint) => checkpoint.run(place).await,
            Command::Prove(prove) => prove.run(place).await,
            Command::Check(check) => check.run(),
            Command::Witness(witness) => witness.run().await,
            Command::Token(token) => token.run(place).await,
            Command::Projections(projections) => projections.run(place).await,
            Command::Rebuild(rebuild) => rebuild.run(place).await,
            Command::Snapshots(snapshots) => snapshots.run(place).await,
            Command::Forget(forget) => forget.run(place).await,
            Command::Receipt(receipt) => receipt.run(place).await,
            Command::Hold(hold) => hold.run(place).await,
            Command::Release(release) => release.run(place).await,
            Command::Retention(retention) => retention.run(place).await,
            Command::Doctor(doctor) => doctor.run(place).await,
            Command::Migrate(migrate) => migrate.run(place).await,
            Command::Keys(keys) => keys.run(place).await,
        };
        done.unwrap_or_else(|error| {
            output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_says_which_ledger_may_stand_before_and_after() {
        for line in ["c --data /d --database-url u verify", "c verify --data /d --database-url u"] {
            let cli = Cli::try_parse_from(line.split(' ')).expect("a command line");
            assert_eq!((cli.place.data, cli.place.database_url), (Some("/d".into()), Some("u".to_owned())));
        }
    }

    #[test]
    fn a_size_without_a_root_is_no_comparison() {
        assert!(Cli::try_parse_from(["c", "verify", "--size", "3"]).is_err());
        assert!(Cli::try_parse_from(["c", "verify", "--size", "3", "--root", "ab"]).is_err());
        assert!(Cli::try_parse_from(["c", "verify", "--size", "3", "--root", &"ab".repeat(32)]).is_ok());
    }
}
