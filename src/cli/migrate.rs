//! `convoledger migrate`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Place;
use super::output::{say, say_json};
use crate::database::{Database, Migrated, Migration, Role};

/// Brings the database's schema up to this program's.
///
/// `serve` and `import` do so by themselves. It is a command for databases where they may not: give it the URL of a role
/// that may create tables and schemas. Many may run it at once.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Print one JSON document: `migrated` now, `applied` in all, `roles_guard`
    #[arg(long)]
    json: bool,
}

impl Migrate {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let database = place.database(Role::Command).await?;
        let migrated = migrate(&database).await;
        database.close().await;
        let (new, found) = migrated?;
        if self.json {
            let (new, applied) = (list(&new), list(&found.applied));
            say_json(&json!({ "migrated": new, "applied": applied, "roles_guard": found.roles_guard }))?;
            return Ok(ExitCode::SUCCESS);
        }
        for migration in &new {
            say(&format!("applied {:04} {}", migration.version, migration.name));
        }
        let guard = if found.roles_guard { "" } else { "; the log is guarded by its trigger alone, not by roles" };
        say(&format!("up to date: {} migrations{guard}", found.applied.len()));
        Ok(ExitCode::SUCCESS)
    }
}

/// What was pending, and how things are now.
async fn migrate(database: &Database) -> anyhow::Result<(Vec<Migration>, Migrated)> {
    let before = database.migrations().await?;
    Ok((before.pending, database.migrate().await?))
}

fn list(migrations: &[Migration]) -> Vec<Value> {
    migrations.iter().map(|migration| json!({ "version": migration.version, "name": migration.name })).collect()
}
