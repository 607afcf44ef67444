//! `PgBouncer` in transaction mode: whoever comes by it has another session for each transaction, or shares one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const PORT: u16 = 6432;
/// Where Debian puts it, beside what `tests/pgbouncer/build.sh` leaves and what the path has.
const PROGRAMS: [&str; 3] =
    [concat!(env!("CARGO_MANIFEST_DIR"), "/target/pgbouncer/pgbouncer"), "pgbouncer", "/usr/sbin/pgbouncer"];

/// Stands before a server for as long as it lives.
pub struct Pooler {
    process: Child,
    directory: TempDir,
    database: String,
}

impl Pooler {
    /// Before the server that `server` leads to, with fewer sessions than two of our servers have connections.
    pub async fn before(server: &PgConnectOptions) -> Self {
        let program = PROGRAMS.into_iter().find(|program| is_recent(program));
        let program = program.expect("PgBouncer 1.21 or newer: tests/pgbouncer/build.sh builds one");
        let directory = tempfile::tempdir().expect("a directory");
        // It refuses to be root, and its socket lies here.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("a mode");
        let settings = directory.path().join("settings");
        fs::write(&settings, configuration(server, directory.path())).expect("a file");
        let log = fs::File::create(directory.path().join("log")).expect("a log");
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let process = command.arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let database = server.get_database().expect("a database").to_owned();
        let pooler = Self { process: process.expect("PgBouncer"), directory, database };
        let reached = async {
            let options: PgConnectOptions = pooler.url().parse().expect("a URL");
            while let Err(error) = options.clone().extra_float_digits(None).connect().await {
                eprintln!("not yet: {error}\n{}", pooler.log());
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(10), reached).await.expect("PgBouncer answers");
        pooler
    }

    /// The server's URL, by this way.
    pub fn url(&self) -> String {
        let directory = self.directory.path().to_str().expect("UTF-8").replace('/', "%2F");
        format!("postgres://anybody@{directory}:{PORT}/{}", self.database)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whoever asks is let in, as the one user of `server`.
fn configuration(server: &PgConnectOptions, socket: &Path) -> String {
    let url = server.to_url_lossy();
    let password = url.password().map(|password| format!(" password='{password}'")).unwrap_or_default();
    let (host, port, user) = (server.get_host(), server.get_port(), server.get_username());
    format!(
        "[databases]\n* = host={host} port={port} user={user}{password}\n\n\
         [pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\nunix_socket_dir = {}\nauth_type = any\n\
         pool_mode = transaction\nmax_prepared_statements = 200\ndefault_pool_size = 20\n",
        socket.display()
    )
}

fn is_recent(program: &str) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.strip_prefix("PgBouncer ").and_then(|rest| rest.lines().next()).unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(1), Some(21))
}
