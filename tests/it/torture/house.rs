//! A data directory, the Postgres that the ledger is in, and the program that runs on both.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use convoledger::database::{Embedded, Role};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::pooler::Pooler;
use crate::support::postgres::{TestDatabase, empty};
use crate::support::proxy::Proxy;

/// How long the program may take to answer, recovery included, and to end when it is asked to.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(30);

pub struct House {
    _turn: File,
    top: TempDir,
    /// None while the program runs a Postgres of its own.
    beside: Option<Beside>,
    server: Option<Child>,
    /// The server that ran before another one was started beside it.
    elder: Option<Child>,
    /// Where it answers; the last place while it is down.
    address: watch::Sender<SocketAddr>,
}

/// A Postgres that runs already. The server goes there by the proxy; commands go directly, or with it where a pooler
/// stands before the proxy.
struct Beside {
    database: TestDatabase,
    proxy: Proxy,
    pooler: Option<Pooler>,
}

impl House {
    /// A new ledger with a Postgres of its own, and its program running.
    pub async fn build() -> Self {
        let turn = turn().await;
        Self::begin(turn, None).await
    }

    /// A new ledger in a Postgres that others run, and its program running.
    pub async fn build_beside() -> Self {
        let turn = turn().await;
        let database = empty().await;
        let proxy = Proxy::before(database.owner_options()).await;
        Self::begin(turn, Some(Beside { database, proxy, pooler: None })).await
    }

    /// A new ledger in a Postgres that others run, behind a pooler in transaction mode.
    pub async fn build_pooled() -> Self {
        let turn = turn().await;
        let database = empty().await;
        let proxy = Proxy::before(database.owner_options()).await;
        let pooler = Some(Pooler::before(&proxy.options()).await);
        Self::begin(turn, Some(Beside { database, proxy, pooler })).await
    }

    async fn begin(turn: File, beside: Option<Beside>) -> Self {
        let top = tempfile::tempdir().expect("a directory");
        // The account that runs Postgres passes through.
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o711)).expect("a mode");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut house =
            Self { _turn: turn, top, beside, server: None, elder: None, address: watch::channel(nowhere).0 };
        house.start().await;
        house
    }

    pub fn data(&self) -> PathBuf {
        self.top.path().join("data")
    }

    pub fn address(&self) -> watch::Receiver<SocketAddr> {
        self.address.subscribe()
    }

    pub async fn start(&mut self) {
        let (server, address) = self.serve().await;
        self.server = Some(server);
        self.address.send_replace(address);
    }

    /// One more server, which is killed when it is dropped, and where it answers.
    pub async fn serve(&self) -> (Child, SocketAddr) {
        let log = File::options().create(true).append(true).open(self.top.path().join("serve.log")).expect("a log");
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        if let Some(beside) = &self.beside {
            command.arg("--database-url").arg(beside.way_of_server());
        }
        let mut server = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the program");
        let mut lines = BufReader::new(server.stdout.take().expect("a pipe")).lines();
        let address = timeout(STARTS_WITHIN, async {
            while let Some(line) = lines.next_line().await.expect("a line") {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    return address.parse().expect("an address");
                }
            }
            panic!("the program ended before it answered:\n{}", self.log());
        });
        let address = address.await.expect("the program answers in time");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (server, address)
    }

    /// A second server on the same database, to which callers turn from now on.
    pub async fn start_another(&mut self) {
        self.elder = self.server.take();
        self.start().await;
    }

    /// The first of two servers stands still for a while, whatever it was doing.
    pub async fn freeze_elder(&self, time: Duration) {
        let elder = self.elder.as_ref().expect("two run");
        signal(elder, Signal::STOP);
        tokio::time::sleep(time).await;
        signal(elder, Signal::CONT);
    }

    /// The first of two servers ends, in order.
    pub async fn stop_elder(&mut self) {
        let mut elder = self.elder.take().expect("two run");
        signal(&elder, Signal::TERM);
        let ended = timeout(ENDS_WITHIN, elder.wait()).await.expect("an orderly end in time").expect("a status");
        assert!(ended.success(), "it ended with {ended}:\n{}", self.log());
    }

    /// `rebuild`, maybe in strands, killed after `patience` if it has not ended by then: what it printed.
    pub async fn rebuild(&self, offline: bool, patience: Duration) -> Option<Value> {
        let offline = if offline { &["--offline"][..] } else { &[] };
        let mut command = self.command(&[&["rebuild", "--json"], offline].concat());
        let rebuild = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        // Dropped when the time is over, and with that killed.
        let output = timeout(patience, rebuild.wait_with_output()).await.ok()?.expect("output");
        assert!(output.status.success(), "{output:?}");
        Some(serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// The program's own end, in order.
    pub async fn stop(&mut self) {
        let mut server = self.server.take().expect("it runs");
        signal(&server, Signal::TERM);
        let ended = timeout(ENDS_WITHIN, server.wait()).await.expect("an orderly end in time").expect("a status");
        assert!(ended.success(), "it ended with {ended}:\n{}", self.log());
    }

    /// kill -9.
    pub async fn kill(&mut self) {
        let mut server = self.server.take().expect("it runs");
        assert!(matches!(server.try_wait(), Ok(None)), "it ended by itself:\n{}", self.log());
        signal(&server, Signal::KILL);
        server.wait().await.expect("a status");
    }

    /// The process id of its Postgres, if one runs.
    pub fn postmaster(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.data().join("pg/postmaster.pid")).ok()?;
        let mut lines = file.lines().map(str::trim);
        let process = lines.next()?.parse().ok()?;
        if lines.nth(6) == Some("ready") { Pid::from_raw(process) } else { None }
    }

    /// The way from the server to its Postgres.
    pub fn way(&self) -> &Proxy {
        &self.beside.as_ref().expect("nothing stands between the program and a Postgres of its own").proxy
    }

    /// The superuser's connection, past everything that the program guards.
    pub async fn database(&self) -> PgConnection {
        let options = match &self.beside {
            Some(beside) => beside.database.owner_options().clone(),
            // Joined for a moment, to be told where it is: an owner waits at its end for those who stay.
            None => self.join().await.options(),
        };
        PgConnection::connect_with(&options).await.expect("a connection")
    }

    /// Runs `sql` as the superuser while the program is down.
    pub async fn offline(&self, sql: String) {
        let own = if self.beside.is_none() { Some(self.join().await) } else { None };
        let mut database = self.database().await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut database).await.expect("it is done");
        database.close().await.expect("a farewell");
        tokio::task::spawn_blocking(|| own.map(Embedded::stop)).await.expect("a thread");
    }

    /// The program's own Postgres: started, or joined while the program runs.
    async fn join(&self) -> Embedded {
        let data = self.data();
        let opened = tokio::task::spawn_blocking(move || Embedded::open(&data, Role::Command));
        opened.await.expect("a thread").expect("Postgres")
    }

    pub async fn token(&self, email: &str) -> String {
        let output = self.run(&["token", "create", "--account", email]).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// What `verify` says of the log.
    pub async fn verify(&self) -> Value {
        self.told(&["verify"]).await
    }

    /// What a command says that comes to a good end.
    pub async fn told(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat()).await;
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What the running server counts under `name`.
    pub async fn counted(&self, name: &str) -> u64 {
        let metrics = reqwest::get(format!("http://{}/metrics", *self.address.borrow())).await.expect("metrics");
        let metrics = metrics.text().await.expect("metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |count| count.parse().expect("a number"))
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        if let Some(beside) = &self.beside {
            command.arg("--database-url").arg(beside.way_of_commands());
        }
        command.output().await.expect("the program")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_convoledger")));
        command.args(arguments).arg("--data").arg(self.data()).kill_on_drop(true).stdin(Stdio::null());
        command.env_remove("DATABASE_URL").env_remove("CONVOLEDGER_DATA");
        command
    }

    /// How often the server logged something like it.
    pub fn logged(&self, what: &str) -> usize {
        self.whole_log().matches(what).count()
    }

    fn whole_log(&self) -> String {
        fs::read_to_string(self.top.path().join("serve.log")).unwrap_or_default()
    }

    /// The end of what the program logged.
    fn log(&self) -> String {
        let log = self.whole_log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Beside {
    fn way_of_server(&self) -> String {
        self.pooler.as_ref().map_or_else(|| self.proxy.url(), Pooler::url)
    }

    fn way_of_commands(&self) -> String {
        let directly = || self.database.owner_options().to_url_lossy().into();
        self.pooler.as_ref().map_or_else(directly, Pooler::url)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.top.disable_cleanup(true);
            eprintln!("kept: {}\n{}", self.top.path().display(), self.log());
        }
    }
}

/// One scenario at a time, whoever runs them: their faults are timed.
async fn turn() -> File {
    let path = std::env::temp_dir().join("convoledger-torture.lock");
    let waited = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).append(true).open(path).expect("a file");
        flock(&file, FlockOperation::LockExclusive).expect("a lock");
        file
    });
    waited.await.expect("a thread")
}

fn signal(process: &Child, signal: Signal) {
    let id = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it runs");
    kill_process(id, signal).expect("a signal");
}
