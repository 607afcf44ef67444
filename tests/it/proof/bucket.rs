//! Checkpoints in a bucket: the real binary, and an S3 server by others.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::bucket::{Buckets, SECRET_KEY, without_aws};
use crate::support::program::{Ledger, Server, fixture, json, number_as_superuser, rows_as_superuser, text};

const TREE: &str = "chatgpt/librechat-chatgpt-tree.json";
const ANCHOR: &str = "s3://proofs/ledgers/ours/";

#[test]
fn each_checkpoint_becomes_an_object_that_is_never_written_again() {
    let (ledger, buckets) = (Ledger::new(), Buckets::open());
    ledger.run(&["import", "--account", "a@b.org", &fixture(TREE)]);
    let server = Serving::start(&ledger, &buckets, SECRET_KEY, &[]);
    until("the first checkpoint", || !buckets.objects().is_empty());
    ledger.run(&["import", "--account", "c@d.org", &fixture(TREE)]);
    let key = text(&ledger.run(&["keys", "public"]));
    let doctor = json(&ledger.run(&["doctor", "--json"]));
    let url = doctor["database"]["url"].as_str().expect("a URL").to_owned();
    let head = number_as_superuser(&url, "SELECT max(position) FROM event");
    until("the checkpoint of all", || buckets.objects().pop().is_some_and(|last| size(&last) == head));
    let kept = rows_as_superuser(&url, "SELECT note FROM checkpoint");
    server.stop();

    let objects = buckets.objects();
    assert!(objects.len() > 1 && objects.is_sorted_by_key(|object| size(object)), "names sort as the log grew");
    for object in &objects {
        let note = fs::read_to_string(object).expect("text");
        assert!(kept.contains(&note), "{note}");
        let path = object.to_str().expect("a path");
        let checked = json(&ledger.run(&["check", "--json", "--key", key.trim(), path]));
        assert_eq!(checked["files"][0]["kind"], "checkpoint", "{checked}");
        let (origin, size) = (note.lines().next().expect("an origin"), size(object));
        assert_eq!(buckets.name(object), format!("ledgers/ours/{origin}/{size:020}"));
    }
    assert!(buckets.answers().iter().all(|answer| *answer == ("PUT".to_owned(), 200)));

    // It offers the newest one again, and what is there is the same.
    let newest = objects.last().expect("an object");
    let written = fs::metadata(newest).expect("a file").modified().expect("a time");
    let server = Serving::start(&ledger, &buckets, SECRET_KEY, &[]);
    let mut answers = Vec::new();
    until("both requests", || {
        answers.extend(buckets.answers());
        answers.len() > 1
    });
    assert_eq!(answers, [("PUT".to_owned(), 412), ("GET".to_owned(), 200)]);
    assert_eq!(fs::metadata(newest).expect("a file").modified().expect("a time"), written);
    let said = server.stop();
    assert!(!said.contains("s3://"), "nothing is to be said of it: {said}");

    // Somebody's fork of the log is there.
    let note = fs::read_to_string(newest).expect("text");
    let root = note.lines().nth(2).expect("a root");
    let fork = note.replacen(root, &format!("{}=", "A".repeat(43)), 1);
    fs::write(newest, &fork).expect("a file");
    let server = Serving::start(&ledger, &buckets, SECRET_KEY, &[]);
    until("it is said", || server.said().contains("contradicts a checkpoint"));
    ledger.run(&["import", "--account", "e@f.org", &fixture(TREE)]);
    until("the next checkpoint", || buckets.objects().len() > objects.len());
    assert_eq!(fs::read_to_string(newest).expect("text"), fork, "it is left as it is");
    let metrics = server.get("/metrics");
    assert!(metrics.contains("checkpoint_contradicted_total 1"), "{metrics}");
    let said = server.stop();
    let line = said.lines().find(|line| line.contains("contradicts")).expect("a line");
    for told in ["ERROR", ANCHOR, &buckets.name(newest), &format!("ours has the root {root}"), "verify --against"] {
        assert!(line.contains(told), "{told}: {line}");
    }
}

#[test]
fn a_bucket_that_refuses_or_is_away_gets_the_next_checkpoint_and_secrets_are_not_told() {
    let (ledger, mut buckets) = (Ledger::new(), Buckets::open());
    ledger.run(&["import", "--account", "a@b.org", &fixture(TREE)]);
    let (secret, token) = ("another-secret-key", "a-token-that-nobody-shall-see");
    let loud = [("RUST_LOG", "info,ureq=trace,ureq_proto=trace"), ("AWS_SESSION_TOKEN", token)];
    let server = Serving::start(&ledger, &buckets, secret, &loud);
    until("it is said", || server.said().contains("did not take a checkpoint"));
    let said = server.stop();
    let line = said.lines().find(|line| line.contains("did not take")).expect("a line");
    for told in ["WARN", ANCHOR, "it answers 403: SignatureDoesNotMatch; look whether AWS_ACCESS_KEY_ID"] {
        assert!(line.contains(told), "{told}: {line}");
    }
    assert!(said.contains("DEBUG ureq"), "{said}");
    for hidden in [secret, token, "X-Amz-"] {
        assert!(!said.contains(hidden), "{hidden}: {said}");
    }
    assert!(buckets.objects().is_empty());

    buckets.close();
    let server = Serving::start(&ledger, &buckets, SECRET_KEY, &[]);
    until("it is said", || server.said().contains("did not take a checkpoint"));
    buckets.reopen();
    ledger.run(&["import", "--account", "c@d.org", &fixture(TREE)]);
    until("the next checkpoint", || !buckets.objects().is_empty());
    assert!(server.stop().contains("refused"), "nobody listened");
}

#[test]
fn a_bucket_that_cannot_be_written_to_is_refused_before_anything_starts() {
    let ledger = Ledger::new();
    let mut set: Vec<(&str, &str)> = Vec::new();
    let refused = |anchor: &str, set: &[(&str, &str)]| {
        let mut command = ledger.command(&["serve", "--listen", "127.0.0.1:0", "--anchor", anchor]);
        let output = without_aws(&mut command).envs(set.iter().copied()).output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(anchor) && said.contains("--anchor"), "{said}");
        said
    };
    for (variable, value) in [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "hushhush"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", "ftp://me:sesame@example.org"),
    ] {
        if variable != "AWS_ENDPOINT_URL" {
            let said = refused("s3://proofs", &[&*set, &[(variable, " ")]].concat());
            assert!(said.contains(variable) && said.contains("is not set"), "{said}");
        }
        set.push((variable, value));
    }
    let said = refused("s3://proofs/ours", &set);
    assert!(said.contains("AWS_ENDPOINT_URL_S3") && said.contains("is to be an http or https URL"), "{said}");
    assert!(!said.contains("hushhush") && !said.contains("sesame"), "{said}");
    for (anchor, told) in [
        ("s3://", "names no bucket"),
        ("s3:///ours", "names no bucket"),
        ("s3://a@b/ours", "names no bucket"),
        ("s3://proofs/a/../b", "`.` or `..`"),
        ("s3://proofs/a//b", "an empty step"),
        ("gs://proofs/ours", "nothing can be anchored at gs://"),
    ] {
        let said = refused(anchor, &set);
        assert!(said.contains(told), "{said}");
    }
    assert!(!ledger.data().exists());
}

/// A server whose log is kept.
struct Serving<'l> {
    ledger: &'l Ledger,
    server: Server,
}

impl<'l> Serving<'l> {
    fn start(ledger: &'l Ledger, buckets: &Buckets, secret: &str, variables: &[(&str, &str)]) -> Self {
        let [out, err] = ["out", "err"].map(|name| File::create(ledger.directory.path().join(name)).expect("a file"));
        let mut command = ledger.command(&["serve", "--listen", "127.0.0.1:0", "--anchor", ANCHOR]);
        buckets.reached_by(&mut command, secret);
        command.envs(variables.iter().copied()).stdout(Stdio::from(out)).stderr(Stdio::from(err));
        let serving = Self { ledger, server: Server(command.spawn().expect("it starts")) };
        until("it listens", || serving.read("out").contains("listening on "));
        serving
    }

    /// All that it logged.
    fn said(&self) -> String {
        self.read("err")
    }

    fn get(&self, path: &str) -> String {
        let out = self.read("out");
        let address = out.lines().find_map(|line| line.strip_prefix("listening on ")).expect("an address").to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            reqwest::get(format!("{address}{path}")).await.expect("an answer").text().await.expect("text")
        })
    }

    /// Ends it in good order, and tells all that it logged.
    fn stop(mut self) -> String {
        self.server.signal(Signal::TERM);
        assert!(self.server.0.wait().expect("it ends").success());
        self.said()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.ledger.directory.path().join(name)).expect("text")
    }
}

/// How many events a checkpoint is of; none while it is being written.
fn size(object: &Path) -> i64 {
    let note = fs::read_to_string(object).expect("text");
    note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or_default()
}

/// Waits for what is bound to happen.
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what} does not come");
        thread::sleep(Duration::from_millis(50));
    }
}
