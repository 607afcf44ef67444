//! The real binary on a data directory of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A data directory of one test's own.
pub struct Ledger {
    pub directory: TempDir,
}

impl Ledger {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // The account that runs Postgres must come through.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711)).expect("a mode");
        Self { directory }
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convoledger"));
        command.args(arguments).arg("--data").arg(self.data());
        for variable in ["DATABASE_URL", "CONVOLEDGER_DATA", "CONVOLEDGER_ROOT_KEY", "CONVOLEDGER_TOKEN", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_to(0, arguments)
    }

    /// Runs it to this exit code.
    pub fn run_to(&self, code: i32, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        eprint!("{said}");
        output
    }

    /// What it complains of.
    pub fn fail(&self, arguments: &[&str]) -> String {
        let said = String::from_utf8_lossy(&self.run_to(1, arguments).stderr).into_owned();
        assert!(said.contains("error: "), "{said}");
        said
    }

    /// A server that answers, and where.
    pub fn serve(&self) -> (Server, String) {
        self.serve_with(&[])
    }

    pub fn serve_with(&self, arguments: &[&str]) -> (Server, String) {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments);
        let mut server = Server(command.stdout(Stdio::piped()).stderr(heard()).spawn().expect("it starts"));
        let mut said = BufReader::new(server.0.stdout.take().expect("its stdout")).lines();
        let line = said.next().expect("it says where it listens").expect("text");
        let address = line.strip_prefix("listening on ").expect("as scripts expect it").to_owned();
        (server, address)
    }
}

/// Where what a server logs goes: with what the tests print, if all of that is wanted.
#[allow(clippy::disallowed_methods)] // how the test harness itself is told
fn heard() -> Stdio {
    if std::env::var_os("RUST_TEST_NOCAPTURE").is_some() { Stdio::inherit() } else { Stdio::null() }
}

/// Killed when its test ends, however it ends.
pub struct Server(pub Child);

impl Server {
    pub fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.0);
        kill_process(process, signal).expect("it runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn change_as_superuser(url: &str, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
        let mut connection = PgConnection::connect(url).await.expect("the database is where doctor says");
        connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("a superuser may");
        connection.close().await.expect("a farewell");
    });
}

pub fn number_as_superuser(url: &str, sql: &str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
        let mut connection = PgConnection::connect(url).await.expect("the database is where doctor says");
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.expect("a number")
    })
}

pub fn rows_as_superuser(url: &str, sql: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
        let mut connection = PgConnection::connect(url).await.expect("the database is where doctor says");
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.expect("rows")
    })
}

/// What GraphQL answers.
pub fn ask(address: &str, token: &str, query: &str) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let asked = reqwest::Client::new().post(format!("{address}/graphql")).bearer_auth(token.trim());
        let answer = asked.json(&serde_json::json!({ "query": query })).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    })
}

/// The id of a conversation that is not there, of the same owner.
pub fn another(id: &str) -> String {
    let (begin, end) = id.split_at(id.len() - 2);
    let digit = if end.starts_with('A') { 'B' } else { 'A' };
    format!("{begin}{digit}{}", &end[1..])
}

pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("exactly one JSON document")
}
