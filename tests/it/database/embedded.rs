//! A Postgres of our own: started, joined, stopped, and back after everything was killed.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use convoledger::database::{APP, Database, Embedded, EmbeddedError, Role};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

/// A data directory that the account which runs Postgres can reach.
fn data() -> (TempDir, PathBuf) {
    let top = tempfile::tempdir().expect("a directory");
    fs::set_permissions(top.path(), fs::Permissions::from_mode(0o711)).expect("a mode");
    let data = top.path().join("data");
    (top, data)
}

fn open(data: &Path, role: Role) -> Embedded {
    Embedded::open_with(data, role, &[("fsync", "off")]).expect("Postgres")
}

/// Runs `sql` as the superuser and returns how many rows it touched.
fn run(server: &Embedded, sql: &'static str) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = PgConnection::connect_with(&server.options()).await.expect("a connection");
        let result = connection.execute(sql).await.expect(sql);
        connection.close().await.expect("a farewell");
        result.rows_affected()
    })
}

fn postmaster(data: &Path) -> Option<i32> {
    fs::read_to_string(data.join("pg/postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

fn kill(process: i32) {
    kill_process(Pid::from_raw(process).expect("an id"), Signal::KILL).expect("a kill");
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what} did not come");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_is_started_stopped_and_started_again() {
    let (_top, data) = data();
    let first = open(&data, Role::Serve);
    assert!(first.owns());
    assert_eq!(run(&first, "CREATE TABLE t AS SELECT 1"), 1);
    let socket = first.socket_dir().to_owned();
    assert_eq!(fs::metadata(&socket).expect("a directory").permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&data).expect("a directory").permissions().mode() & 0o777, 0o711);
    first.stop();
    assert!(!socket.exists() && postmaster(&data).is_none());

    let second = open(&data, Role::Command);
    assert_eq!(run(&second, "SELECT FROM t"), 1);
    drop(second);
    assert!(postmaster(&data).is_none(), "dropping it stops it");
}

#[tokio::test]
async fn a_ledger_is_ready_after_one_call_and_a_migration() {
    let (_top, data) = data();
    let database = Database::embedded(&data, Role::Command).await.expect("a database");
    assert_eq!(database.version().major(), database.server().expect("a server").version());
    let migrated = database.migrate().await.expect("migrations");
    assert!(migrated.roles_guard && migrated.pending.is_empty());
    let pool = database.pool(2);
    let user: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&pool).await.expect("a name");
    assert_eq!(user, APP);
    let checksums: String = sqlx::query_scalar("SHOW data_checksums").fetch_one(&pool).await.expect("a setting");
    let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&pool).await.expect("a setting");
    assert_eq!((checksums.as_str(), fsync.as_str()), ("on", "on"));
    pool.close().await;
    database.close().await;
    assert!(postmaster(&data).is_none());
}

#[test]
fn an_interrupted_initdb_is_begun_again() {
    let (_top, data) = data();
    fs::create_dir_all(data.join("pg.new/base")).expect("a draft");
    fs::write(data.join("pg.new/PG_VERSION"), "15\n").expect("a draft");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o711)).expect("a mode");
    let server = open(&data, Role::Command);
    assert_eq!(run(&server, "SELECT 1"), 1);
    assert!(!data.join("pg.new").exists());
}

#[test]
fn what_is_no_cluster_is_not_touched() {
    let (_top, data) = data();
    fs::create_dir_all(data.join("pg")).expect("a directory");
    fs::write(data.join("pg/precious"), "").expect("a file");
    let refused = Embedded::open(&data, Role::Command).err().expect("a refusal");
    assert!(matches!(refused, EmbeddedError::NotACluster(_)), "{refused}");
    assert!(data.join("pg/precious").exists());
}

#[test]
fn a_cluster_of_another_version_is_refused() {
    let (_top, data) = data();
    fs::create_dir_all(data.join("pg")).expect("a directory");
    fs::write(data.join("pg/PG_VERSION"), "99\n").expect("a file");
    let refused = Embedded::open(&data, Role::Command).err().expect("a refusal");
    assert!(matches!(refused, EmbeddedError::OtherMajor { cluster: 99, .. }), "{refused}");
}

#[test]
fn a_killed_postmaster_is_started_again() {
    let (_top, data) = data();
    let server = open(&data, Role::Serve);
    run(&server, "CREATE TABLE t AS SELECT 1");
    let killed = postmaster(&data).expect("a server");
    kill(killed);
    wait_for("another server", || postmaster(&data).is_some_and(|process| process != killed));
    wait_for("its readiness", || {
        fs::read_to_string(data.join("pg/postmaster.pid")).is_ok_and(|file| file.trim_end().ends_with("ready"))
    });
    assert_eq!(run(&server, "SELECT FROM t"), 1);
}

#[test]
fn commands_join_and_the_owner_waits_for_them() {
    let (_top, data) = data();
    let owner = open(&data, Role::Command);
    let joined = open(&data, Role::Command);
    assert!(owner.owns() && !joined.owns());
    assert_eq!(joined.version(), owner.version());
    let stopping = thread::spawn(move || owner.stop());
    thread::sleep(Duration::from_millis(300));
    assert!(!stopping.is_finished(), "the owner waits");
    assert_eq!(run(&joined, "SELECT 1"), 1);
    joined.stop();
    stopping.join().expect("no panic");
    assert!(postmaster(&data).is_none());
}

#[test]
fn serve_takes_over_from_a_command() {
    let (_top, data) = data();
    let command = open(&data, Role::Command);
    let serve = {
        let data = data.clone();
        thread::spawn(move || open(&data, Role::Serve))
    };
    thread::sleep(Duration::from_millis(200));
    assert!(!serve.is_finished(), "it waits for the command");
    command.stop();
    let serve = serve.join().expect("no panic");
    assert!(serve.owns());
    let second = open(&data, Role::Serve);
    assert!(!second.owns(), "a second one joins");
    second.stop();
}

#[test]
fn many_may_open_at_once() {
    let (_top, data) = data();
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let data = data.clone();
            thread::spawn(move || {
                let server = open(&data, Role::Command);
                assert_eq!(run(&server, "SELECT 1"), 1);
                (server.owns(), server)
            })
        })
        .collect();
    let opened: Vec<_> = opened.into_iter().map(|one| one.join().expect("no panic")).collect();
    assert_eq!(opened.iter().filter(|(owns, _)| *owns).count(), 1);
    let (owners, joined): (Vec<_>, Vec<_>) = opened.into_iter().partition(|(owns, _)| *owns);
    drop(joined);
    drop(owners);
    assert!(postmaster(&data).is_none());
}

#[test]
fn everything_comes_back_after_the_owner_was_killed() {
    let (_top, data) = data();
    let mut owner = hold(&data);
    let server = open(&data, Role::Command);
    assert!(!server.owns());
    run(&server, "CREATE TABLE t AS SELECT 1");
    drop(server);
    owner.kill().expect("a kill");
    owner.wait().expect("its end");
    // The kernel has told the server to end; whether it has done so by now or not, the next one takes over.
    let next = open(&data, Role::Command);
    assert!(next.owns());
    assert_eq!(run(&next, "SELECT FROM t"), 1);
}

#[test]
fn everything_comes_back_after_owner_and_server_were_killed() {
    let (_top, data) = data();
    let mut owner = hold(&data);
    let server = open(&data, Role::Command);
    let old_socket = server.socket_dir().to_owned();
    run(&server, "CREATE TABLE t AS SELECT 1");
    drop(server);
    let process = postmaster(&data).expect("a server");
    // Killed before the server, so that nobody reaps it or starts it again.
    owner.kill().expect("a kill");
    kill(process);
    owner.wait().expect("its end");
    let next = open(&data, Role::Command);
    assert_eq!(run(&next, "SELECT FROM t"), 1);
    assert!(!old_socket.exists(), "the dead owner's socket is removed");
}

#[test]
fn a_pid_file_that_names_another_program_is_seen_through() {
    let (_top, data) = data();
    open(&data, Role::Command).stop();
    let stale = format!("{}\n{}\n1\n5432\n/tmp\n\n\nready\n", std::process::id(), data.join("pg").display());
    fs::write(data.join("pg/postmaster.pid"), stale).expect("a file");
    assert_eq!(run(&open(&data, Role::Command), "SELECT 1"), 1);
}

/// Another process that owns the server of `data`.
fn hold(data: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "database::embedded::holder", "--ignored", "--nocapture"]);
    command.env("CONVOLEDGER_TEST_HOLD", data).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().expect("a process");
    wait_for("the owner", || {
        let mut signature = String::new();
        let read = File::open(data.join("owner.lock")).and_then(|mut file| file.read_to_string(&mut signature));
        read.is_ok() && signature.starts_with(&format!("serve {} /", child.id()))
    });
    child
}

#[test]
#[ignore = "not a test: the process that others kill"]
#[allow(clippy::disallowed_methods)] // how it is told that it is meant
fn holder() {
    let Some(data) = std::env::var_os("CONVOLEDGER_TEST_HOLD").map(PathBuf::from) else { return };
    let _server = open(&data, Role::Serve);
    thread::sleep(Duration::from_mins(10));
}
