//! A fresh, migrated database for each test.
//!
//! Starting a server takes a second and a test a few milliseconds, and a runner may give each test a process of its
//! own. So all tests of a user and a checkout share one server. It belongs to a *keeper*: this test binary started once
//! more, in the background, to run the ignored test [`keeper`]. It goes when nobody came for half an hour. Tests join it
//! as commands join `serve`.
//!
//! With `CONVOLEDGER_TEST_DATABASE_URL` the databases are made on that server instead; its role must be allowed to.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr as _;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::database::{APP, Database, Embedded, Role};
use convoledger::random;
use rustix::fs::{FlockOperation, flock};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// How long the keeper stays after the last test that came.
const STAY: Duration = Duration::from_mins(30);
/// How old a database must be that no test can still be using.
const STALE_S: i64 = 3_600;

/// A database of one test's own. It is dropped with this value, but kept for an hour when the test fails.
pub struct TestDatabase {
    database: Database,
    name: String,
}

impl Deref for TestDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

/// A database with everything that `migrations/` makes in it.
pub async fn fresh() -> TestDatabase {
    let template = template(server(), &mut server().connect().await).await;
    let database = copy(&template).await;
    // What is granted on a database is not copied with it; this sees that and grants it again.
    database.migrate().await.expect("grants");
    database
}

/// A database with nothing in it.
pub async fn empty() -> TestDatabase {
    copy("template1").await
}

async fn copy(template: &str) -> TestDatabase {
    let server = server();
    let mut admin = server.connect().await;
    let name = format!("test_{}_{}", Clock::system().now().timestamp(), hex::encode(random::bytes::<6>()));
    run(&mut admin, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await.expect("a database");
    admin.close().await.expect("a farewell");
    let database = Database::new(server.owner.clone().database(&name), server.app.clone().database(&name)).await;
    TestDatabase { database: database.expect("a database"), name }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the database of this test is kept for an hour: {}", self.name);
            return;
        }
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // In a thread, since the test's runtime is busy running this.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { run(&mut server().connect().await, &drop).await })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("{}: {error}", self.name);
        }
    }
}

/// The shared server.
struct Server {
    owner: PgConnectOptions,
    app: PgConnectOptions,
    /// Held for the process's life: the keeper waits for it.
    _joined: Option<Embedded>,
}

impl Server {
    async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.owner).await.expect("the tests' Postgres")
    }
}

#[allow(clippy::disallowed_methods)] // the tests' own variable is read here alone
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        if let Ok(url) = std::env::var("CONVOLEDGER_TEST_DATABASE_URL") {
            let options = PgConnectOptions::from_str(&url).expect("CONVOLEDGER_TEST_DATABASE_URL is a URL");
            Server { owner: options.clone(), app: options, _joined: None }
        } else {
            let joined = join().expect("the tests' Postgres");
            Server { owner: joined.options(), app: joined.options_as(APP), _joined: Some(joined) }
        }
    })
}

/// The name of the database that others are copied from, made when this checkout's schema has none yet.
async fn template(server: &Server, admin: &mut PgConnection) -> String {
    let name = format!("template_{}", fingerprint());
    if exists(&name, admin).await {
        return name;
    }
    // One makes it, the others wait. The lock goes with the session.
    admin.execute("SELECT pg_advisory_lock(1)").await.expect("a lock");
    if !exists(&name, admin).await {
        drop_stale(admin).await;
        run(admin, "DROP DATABASE IF EXISTS template_draft WITH (FORCE)").await.expect("no draft");
        run(admin, "CREATE DATABASE template_draft").await.expect("a draft");
        let draft = |options: &PgConnectOptions| options.clone().database("template_draft");
        let database = Database::new(draft(&server.owner), draft(&server.app)).await.expect("a draft");
        database.migrate().await.expect("migrations");
        run(admin, &format!("ALTER DATABASE template_draft RENAME TO {name}")).await.expect("a template");
    }
    admin.execute("SELECT pg_advisory_unlock(1)").await.expect("a lock");
    name
}

async fn exists(database: &str, admin: &mut PgConnection) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    sqlx::query_scalar(sql).bind(database).fetch_one(admin).await.expect("an answer")
}

/// What the schema is made of, in short.
fn fingerprint() -> String {
    let mut hasher = blake3::Hasher::new();
    for directory in ["migrations", "src/database/sql"] {
        let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).expect("a directory");
        let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        files.sort();
        for file in files {
            hasher.update(&fs::read(file).expect("a file"));
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Drops what failed tests left, and templates of schemas that are no more.
async fn drop_stale(admin: &mut PgConnection) {
    let names = "SELECT datname FROM pg_database WHERE datname ~ '^test_|^template_[0-9a-f]{16}$'";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut *admin).await.expect("names");
    let now = Clock::system().now().timestamp();
    for name in names {
        let made: Option<i64> = name.split('_').nth(1).and_then(|made| made.parse().ok());
        if name.starts_with("template_") || made.is_some_and(|made| made + STALE_S < now) {
            // Another test may be copying a template: then it stays.
            let _ = run(admin, &format!("DROP DATABASE IF EXISTS {name}")).await;
        }
    }
}

async fn run(admin: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    admin.execute(AssertSqlSafe(sql.to_owned())).await.map(|_| ())
}

/// Joins the keeper's server; starts the keeper when there is none.
fn join() -> io::Result<Embedded> {
    let data = directory();
    fs::create_dir_all(&data)?;
    // One looks and starts it, the others wait.
    let door = File::options().create(true).append(true).open(data.join("door.lock"))?;
    flock(&door, FlockOperation::LockExclusive)?;
    File::create(data.join("used"))?;
    if !owned(&data)? {
        let log = File::create(data.join("keeper.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", "support::postgres::keeper", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("CONVOLEDGER_TEST_KEEPER", &data).process_group(0);
        let mut keeper = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        while !owned(&data)? {
            if let Some(status) = keeper.try_wait()? {
                let said = fs::read_to_string(data.join("keeper.log"))?;
                return Err(io::Error::other(format!("the tests' Postgres did not start ({status}):\n{said}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
    drop(door);
    Embedded::open(&data, Role::Command).map_err(io::Error::other)
}

/// Whether somebody holds the lock of the owner.
fn owned(data: &Path) -> io::Result<bool> {
    let lock = File::options().create(true).append(true).open(data.join("owner.lock"))?;
    Ok(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err())
}

fn directory() -> PathBuf {
    let checkout = blake3::hash(env!("CARGO_MANIFEST_DIR").as_bytes()).to_hex();
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("convoledger-tests-{user}-{}", &checkout[..8]))
}

#[test]
#[ignore = "not a test: the process that keeps the tests' Postgres"]
#[allow(clippy::disallowed_methods)] // how it is told that it is meant
fn keeper() {
    let Some(data) = std::env::var_os("CONVOLEDGER_TEST_KEEPER").map(PathBuf::from) else { return };
    // A crash of the machine may cost the tests' data.
    let settings = [("fsync", "off"), ("full_page_writes", "off"), ("max_connections", "400"), ("max_wal_size", "1GB")];
    let server = Embedded::open_with(&data, Role::Serve, &settings).expect("Postgres");
    let idle = || fs::metadata(data.join("used")).and_then(|used| used.modified()).ok()?.elapsed().ok();
    while server.owns() && idle().is_some_and(|idle| idle < STAY) {
        thread::sleep(Duration::from_secs(5));
    }
    server.stop();
}
