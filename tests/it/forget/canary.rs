//! What a person said, in every field that takes words, is found nowhere once the person is forgotten: in no table, no
//! file, no log and no backup made after. And a backup made before brings it back for nobody, without the keys of then.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use convoledger::database::Embedded;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::canary::canary;
use crate::support::program::{Ledger, Server, ask, change_as_superuser, json};

/// In everything that is sealed.
pub(super) const CANARY: &str = canary!("us");
/// In a token's name, which is in the clear: the write-ahead log of before has it until Postgres uses the file again.
pub(super) const NAME: &str = canary!("onym");

#[test]
fn nothing_that_was_said_is_found_anywhere_and_no_backup_brings_it_back() {
    let ledger = Ledger::new();
    let email = format!("{CANARY}@example.org");
    let token = ledger.run(&["token", "create", "--account", &email, "--name", NAME]);
    let token = String::from_utf8(token.stdout).expect("a token");
    let other = String::from_utf8(ledger.run(&["token", "create", "--account", "b@c.org"]).stdout).expect("a token");
    let views = view_of_words(&ledger);
    let said = ledger.directory.path().join("said");
    let (server, address) = serve(&ledger, &views, &said);
    speak(&address, &token);
    speak_of(&address, &other, "zeppelin");
    let url = json(&ledger.run(&["doctor", "--json"]))["database"]["url"].as_str().expect("a URL").to_owned();
    until(|| number(&url, "SELECT count(*) FROM said.text WHERE text LIKE '%quetzalcoatlus%'") > 2);
    until(|| number(&url, "SELECT count(*) FROM search.vocabulary WHERE word = 'quetzalcoatlus'") > 0);
    let before = dump(&ledger, &url, &["-n", "public", "-n", "vault", "-n", "account", "-n", "fold"]);
    let old_log = dump(&ledger, &url, &["-n", "public", "-n", "account", "-n", "fold"]);

    let dry = json(&ledger.run(&["forget", &email, "--dry-run", "--json"]));
    assert!(dry["removes"].to_string().contains("search"), "{dry}");
    ledger.run(&["forget", &email, "--yes"]);
    assert!(ask_status(&address, &token) == 401);
    let texts =
        ask(&address, &other, "{ conversations(first: 1) { nodes { title messages(first: 5) { nodes { text } } } } }");
    assert!(texts.to_string().contains("zeppelin"), "{texts}");
    // The view of one's own folds again, of what is left.
    until(|| number(&url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'said' AND tablename = 'text'") == 1);
    until(|| number(&url, "SELECT count(*) FROM said.text WHERE text LIKE '%zeppelin%'") > 0);
    ledger.run(&["verify"]);

    let keys = dump(&ledger, &url, &["-n", "vault"]);
    let backup = ledger.directory.path().join("backup");
    let made = program(&ledger, "pg_basebackup")
        .args(["--checkpoint=fast", "-d", &url, "--pgdata"])
        .arg(&backup)
        .status()
        .expect("it runs");
    assert!(made.success());
    a_backup_from_before_opens_for_nobody(&ledger, &url, &before);
    a_log_from_before_and_the_keys_of_now_open_for_the_others_alone(&ledger, &url, &old_log, &keys);

    server.signal(Signal::TERM);
    until(|| !ledger.data().join("pg/postmaster.pid").exists());
    let mut files = all(&ledger.data());
    files.extend(all(&backup));
    files.push(said);
    assert!(files.len() > 500, "whole clusters");
    let saying: Vec<_> = files.iter().filter(|file| says(file, CANARY)).collect();
    assert!(saying.is_empty(), "{saying:?}");
    let wal = |file: &&&PathBuf| !file.to_string_lossy().contains("pg_wal");
    let saying: Vec<_> = files.iter().filter(|file| says(file, NAME)).collect();
    assert!(saying.iter().filter(wal).count() == 0, "{saying:?}");
    drop(server);
}

/// All of a database from before, with the keys of now: no epoch that it needs is there any more.
fn a_backup_from_before_opens_for_nobody(ledger: &Ledger, url: &str, dump: &str) {
    let there = restored(ledger, url, "before", &[dump]);
    let data = ledger.data().join("keys");
    let elsewhere = Ledger::new();
    let keys = copied(&data, &elsewhere);
    let told = elsewhere.fail(&["rebuild", "--database-url", &there, "--keys", &keys]);
    assert!(told.contains("is missing") && told.contains("retired"), "{told}");
    change_as_superuser(url, "DROP DATABASE before");
}

/// As a restore is to be made: the log from whenever, the keys from now.
fn a_log_from_before_and_the_keys_of_now_open_for_the_others_alone(ledger: &Ledger, url: &str, log: &str, keys: &str) {
    let there = restored(ledger, url, "restored", &[log, keys]);
    let elsewhere = Ledger::new();
    let keys = copied(&ledger.data().join("keys"), &elsewhere);
    let whole = |command| [command, "--database-url", &there, "--keys", &keys];
    elsewhere.run(&whole("migrate"));
    elsewhere.run(&whole("rebuild"));
    elsewhere.run(&whole("verify"));
    assert!(number(&there, "SELECT count(*) FROM search.vocabulary WHERE word = 'zeppelin'") > 0);
    assert_eq!(number(&there, &format!("SELECT count(*) FROM search.vocabulary WHERE word = '{CANARY}'")), 0);
    assert!(number(&there, "SELECT count(*) FROM words") > 10, "sealed bytes without a key");
    change_as_superuser(url, "DROP DATABASE restored");
}

pub(super) fn speak(address: &str, token: &str) {
    let conversation = speak_of(address, token, CANARY);
    let said = ask(address, token, "{ conversations(first: 1) { nodes { messages(last: 1) { nodes { id } } } } }");
    let message = said["data"]["conversations"]["nodes"][0]["messages"]["nodes"][0]["id"].clone();
    let digest = "ab".repeat(32);
    for act in [
        format!("tagConversation(input: {{ id: {conversation}, tags: [\"{CANARY} tag\"] }})"),
        format!("setTitle(input: {{ id: {conversation}, title: \"{CANARY} again\" }})"),
        format!("rateMessage(input: {{ id: {message}, rating: DOWN, comment: \"{CANARY} is wrong\" }})"),
        format!(
            "createBranch(input: {{ conversationId: {conversation}, fromMessageId: {message}, name: \"{CANARY} idea\" }})"
        ),
        format!(
            "takeSnapshot(input: {{ conversationId: {conversation}, label: \"{CANARY} label\", \
             files: [{{ path: \"src/{CANARY}.rs\", digest: \"{digest}\", action: ADDED }}] }})"
        ),
        format!("configureMasking(input: {{ names: [\"{CANARY} rex\"] }})"),
        format!("editMessage(input: {{ id: {message}, text: \"{CANARY} edited\" }})"),
        format!(
            "appendMessage(input: {{ conversationId: {conversation}, role: ASSISTANT, text: \"{CANARY}\", verbatim: \"{CANARY} verbatim\" }})"
        ),
    ] {
        done(address, token, &act);
    }
}

/// Begins a conversation about something; its id, as JSON.
pub(super) fn speak_of(address: &str, token: &str, word: &str) -> Value {
    let started =
        done(address, token, &format!("startConversation(input: {{ title: \"{word} title\", tags: [\"{word}\"] }})"));
    assert!(started, "begun");
    let listed = ask(address, token, "{ conversations(first: 1) { nodes { id } } }");
    let conversation = listed["data"]["conversations"]["nodes"][0]["id"].clone();
    for nth in 0..3 {
        let say =
            format!("appendMessage(input: {{ conversationId: {conversation}, role: USER, text: \"{word} {nth}\" }})");
        done(address, token, &say);
    }
    conversation
}

pub(super) fn done(address: &str, token: &str, act: &str) -> bool {
    let told = ask(address, token, &format!("mutation {{ it: {act} {{ __typename }} }}"));
    let name = told["data"]["it"]["__typename"].as_str().unwrap_or_default();
    assert!(name.ends_with("Done"), "{act}: {told}");
    true
}

pub(super) fn ask_status(address: &str, token: &str) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let asked = reqwest::Client::new().post(format!("{address}/graphql")).bearer_auth(token.trim());
        asked.json(&serde_json::json!({ "query": "{ __typename }" })).send().await.expect("an answer").status().as_u16()
    })
}

/// A view of one's own that keeps all that is said.
pub(super) fn view_of_words(ledger: &Ledger) -> String {
    let views = ledger.directory.path().join("views");
    let folder = views.join("said");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("manifest.json"), r#"{"answers": "What is said?", "reads": "words"}"#).expect("written");
    fs::write(folder.join("schema.sql"), "CREATE TABLE text (position bigint PRIMARY KEY, text text)")
        .expect("written");
    let apply = "INSERT INTO text SELECT position, text FROM unnest($3, $4, $5) AS said (position, part, text) \
                 WHERE position > $1 AND position <= $2;";
    fs::write(folder.join("apply.sql"), apply).expect("written");
    views.to_string_lossy().into_owned()
}

/// A server whose log is kept.
pub(super) fn serve(ledger: &Ledger, views: &str, said: &Path) -> (Server, String) {
    let mut command = ledger.command(&["serve", "--listen", "127.0.0.1:0", "--projections", views]);
    let log = File::options().create(true).append(true).open(said).expect("a file");
    command.env("RUST_LOG", "debug");
    let mut server = Server(command.stdout(Stdio::piped()).stderr(log).spawn().expect("it starts"));
    let line =
        BufReader::new(server.0.stdout.take().expect("its stdout")).lines().next().expect("a line").expect("text");
    let address = line.strip_prefix("listening on ").expect("as scripts expect it").to_owned();
    (server, address)
}

pub(super) fn dump(ledger: &Ledger, url: &str, schemas: &[&str]) -> String {
    let dumped =
        program(ledger, "pg_dump").args(schemas).args(["--no-unlogged-table-data", url]).output().expect("it runs");
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    String::from_utf8(dumped.stdout).expect("text")
}

pub(super) fn restored(ledger: &Ledger, url: &str, name: &str, dumps: &[&str]) -> String {
    use std::io::Write as _;
    change_as_superuser(url, &format!("CREATE DATABASE {name}"));
    let there = url.replacen("///convoledger?", &format!("///{name}?"), 1);
    assert_ne!(there, url);
    for dump in dumps {
        let mut psql = program(ledger, "psql");
        psql.args(["-q", "-v", "ON_ERROR_STOP=0", "-o", "/dev/null"]).arg(&there);
        let mut psql = psql.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        psql.stdin.take().expect("a pipe").write_all(dump.as_bytes()).expect("taken");
        assert!(psql.wait().expect("it ends").success());
    }
    there
}

pub(super) fn copied(keys: &Path, to: &Ledger) -> String {
    let copy = to.directory.path().join("keys");
    fs::create_dir(&copy).expect("a directory");
    for key in fs::read_dir(keys).expect("keys").flatten() {
        fs::copy(key.path(), copy.join(key.file_name())).expect("copied");
    }
    copy.to_string_lossy().into_owned()
}

fn program(ledger: &Ledger, name: &str) -> Command {
    let beside = Embedded::binaries(&ledger.data()).expect("a Postgres").directory.join("postgres");
    // What is found may be a link to where the client programs lie, too.
    let beside = fs::canonicalize(beside).expect("it is there").with_file_name(name);
    Command::new(if beside.exists() { beside } else { name.into() })
}

pub(super) fn number(url: &str, sql: &str) -> i64 {
    use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await.expect("the database is where doctor says");
        // A view that is being made is not there yet.
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap_or_default()
    })
}

#[track_caller]
pub(super) fn until(so: impl Fn() -> bool) {
    for _ in 0..400 {
        if so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("it did not come to be so");
}

pub(super) fn says(file: &Path, word: &str) -> bool {
    // Looked through by the standard library, which is fast also where this is not.
    let text = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
    text.contains(word) || text.contains(&word.chars().rev().collect::<String>())
}

pub(super) fn all(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        if entry.path().is_dir() { found.extend(all(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}
