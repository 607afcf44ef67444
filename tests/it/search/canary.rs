//! Where the words of the index are, and where they never get to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use convoledger::clock::Clock;
use convoledger::database::{Database, Embedded, Role};
use convoledger::ledger::Act;
use convoledger::log::{Limits, Log};
use convoledger::projection::{BUILT_IN, Engine};
use convoledger::service::Service;
use convoledger::vault::{KeyStore, Vault};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::found;
use crate::support::canary::canary;
use crate::support::service::{done, opener, order, say, started};

/// Said in a message, a title and a tag; no file of a logged table, of the write-ahead log or of a backup may say it.
const CANARY: &str = canary!("us");

#[tokio::test]
async fn a_word_that_was_said_lies_in_the_files_of_unlogged_tables_alone() {
    let home = TempDir::new().expect("a directory");
    // A server of its own: all of its files are looked through.
    let server = Embedded::open(home.path(), Role::Serve).expect("Postgres");
    let database =
        Database::new(server.options(), server.options_as(convoledger::database::APP)).await.expect("a database");
    database.migrate().await.expect("migrations");
    let pool = database.pool(8);
    let log = Log::open(pool.clone(), database.pool(3), Limits::default()).await.expect("the log opens");
    let store = KeyStore::new(home.path().join("keys"), None).expect("a store");
    let vault = Vault::open(pool.clone(), log.identity().ledger, &store).await.expect("the vault opens");
    let engine = Engine::start(pool.clone(), BUILT_IN, &log.tail().head(), &opener(&log, &vault));
    let service = Service::new(pool.clone(), log, vault, engine, Clock::system());
    let actor = service.register("a@example.org").await.expect("an account");
    let conversation = started(&service, actor).await;
    let long = (0..3_000).map(|nth| format!("{CANARY}{nth}")).collect::<Vec<_>>().join(" ");
    let acts = (0..40).map(|nth| say(format!("{CANARY} {nth}"))).chain([
        say(long),
        Act::SetTitle { title: CANARY.into() },
        say("and so on"),
    ]);
    done(&service, actor, order(conversation, acts)).await;
    assert!(found(&service, actor, CANARY).await.len() > 40, "it is folded");

    let mut owner = PgConnection::connect_with(&server.options()).await.expect("the owner");
    sqlx::raw_sql("ANALYZE").execute(&mut owner).await.expect("analysed");
    let unlogged: Vec<String> = sqlx::query_scalar(
        "SELECT pg_relation_filepath(oid) FROM pg_class \
         WHERE relpersistence = 'u' AND relkind IN ('r', 'i', 't') AND pg_relation_filepath(oid) IS NOT NULL",
    )
    .fetch_all(&mut owner)
    .await
    .expect("paths");
    let cluster: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut owner).await.expect("a path");
    let cluster = PathBuf::from(cluster);
    owner.close().await.expect("a farewell");
    pool.close().await;
    drop(service);
    // Checkpoints leave unlogged tables in memory, a shutdown does not.
    server.stop();
    let saying: Vec<PathBuf> = files(&cluster).into_iter().filter(|file| says(file)).collect();
    let of_unlogged = |file: &PathBuf| {
        let name = file.strip_prefix(&cluster).expect("below").to_string_lossy().into_owned();
        // A relation's file, one of its forks or of its segments.
        let of =
            |path: &String| name.strip_prefix(path.as_str()).is_some_and(|rest| !rest.starts_with(char::is_numeric));
        unlogged.iter().any(of)
    };
    assert!(saying.iter().any(&of_unlogged), "the index says it: or this test finds nothing");
    let elsewhere: Vec<_> = saying.iter().filter(|file| !of_unlogged(file)).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");

    let server = Embedded::open(home.path(), Role::Serve).expect("Postgres");
    let dump =
        String::from_utf8_lossy(&run(home.path(), &server, "pg_dump", &["--no-unlogged-table-data"])).into_owned();
    assert!(dump.contains("CREATE UNLOGGED TABLE search.document_0") && !dump.contains(CANARY));
    let backup = home.path().join("backup");
    run(home.path(), &server, "pg_basebackup", &["--checkpoint=fast", "--pgdata", &backup.to_string_lossy()]);
    let backed_up = files(&backup);
    assert!(backed_up.len() > 100, "it holds a cluster");
    let saying: Vec<_> = backed_up.into_iter().filter(|file| says(file)).collect();
    assert!(saying.is_empty(), "{saying:?}");

    server.stop();
}

/// What one of Postgres's programs prints.
fn run(data: &Path, server: &Embedded, program: &str, arguments: &[&str]) -> Vec<u8> {
    let server_binary = Embedded::binaries(data).expect("binaries").directory.join("postgres");
    // What is found may be a link to where the client programs lie, too.
    let binary = fs::canonicalize(server_binary).expect("it is there").with_file_name(program);
    let mut command = Command::new(binary);
    command.arg("--host").arg(server.socket_dir()).args(["--username", server.options().get_username()]);
    if program == "pg_dump" {
        command.args(["--dbname", server.options().get_database().unwrap_or_default()]);
    }
    let done = command.args(arguments).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn says(file: &Path) -> bool {
    let bytes = fs::read(file).unwrap_or_default();
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
        || bytes.windows(CANARY.len()).any(|window| window.iter().rev().eq(CANARY.as_bytes()))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}
