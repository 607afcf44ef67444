//! Checkpoints as scripts use them: the real binary, its files and its exit codes.

use std::fs;
use std::thread;
use std::time::Duration;

use convoledger::random;
use rustix::process::Signal;

use crate::support::program::{Ledger, change_as_superuser, fixture, json, rows_as_superuser, text};

const TREE: &str = "chatgpt/librechat-chatgpt-tree.json";

#[test]
fn a_checkpoint_is_kept_proven_against_and_checked_offline() {
    let ledger = Ledger::new();
    assert!(ledger.fail(&["checkpoint"]).contains("there is no ledger in"));
    ledger.run(&["import", "--account", "a@b.org", &fixture(TREE)]);
    assert!(ledger.fail(&["keys", "public"]).contains("has signed no checkpoint yet"));
    let at = |name: &str| ledger.directory.path().join(name).to_str().expect("a path").to_owned();
    let keep = |name: &str, arguments: &[&str]| {
        fs::write(at(name), ledger.run(arguments).stdout).expect("a file");
        at(name)
    };
    let (_server, url) = ledger.serve();
    let old = keep("old", &["checkpoint"]);
    let size = fs::read_to_string(&old).expect("text").lines().nth(1).expect("a size").to_owned();
    let key = text(&ledger.run(&["keys", "public"])).trim().to_owned();

    ledger.run(&["witness", "--state", &at("state"), "--key", &key, &url]);
    ledger.run(&["import", "--account", "c@d.org", &fixture(TREE)]);
    let new = keep("new", &["checkpoint", "--since", &size]);
    let proof = keep("event.tlog-proof", &["prove", "7"]);
    assert!(text(&ledger.run(&["witness", "--state", &at("state"), &url])).contains("begins with the"));
    let checked = json(&ledger.run(&["check", "--json", "--key", &key, &old, &new, &proof]));
    let kinds: Vec<_> = checked["files"].as_array().expect("files").iter().map(|file| &file["kind"]).collect();
    assert_eq!(kinds, ["checkpoint", "checkpoint", "event", "consistency"], "{checked}");
    assert_eq!(checked["files"][2]["position"], 7);
    assert!(text(&ledger.run(&["verify", "--against", &old])).contains(&format!("the first {size} events are those")));
    ledger.run(&["verify", "--against", &old, "--key", &key, "--since", &size]);

    // One byte of either.
    for name in ["old", "event.tlog-proof"] {
        let text = fs::read_to_string(at(name)).expect("text");
        let line = text.lines().nth(2).expect("a hash");
        let first = if line.starts_with('A') { "B" } else { "A" };
        fs::write(at("changed"), text.replacen(line, &format!("{first}{}", &line[1..]), 1)).expect("a file");
        let said = ledger.fail(&["check", "--key", &key, &at("changed")]);
        assert!(said.contains("error: "), "{said}");
    }
    let other = Ledger::new();
    other.run(&["import", "--account", "a@b.org", &fixture(TREE)]);
    other.run(&["checkpoint"]);
    let stranger = text(&other.run(&["keys", "public"]));
    assert!(ledger.fail(&["check", "--key", stranger.trim(), &old]).contains("none of the keys"));
    assert!(other.fail(&["verify", "--against", &old, "--key", &key]).contains("and this log is"));

    let both = text(&ledger.run(&["keys", "rotate-signing"]));
    assert_eq!((both.lines().count(), both.lines().nth(1)), (2, Some(&*key)));
    ledger.run(&["import", "--account", "e@f.org", &fixture(TREE)]);
    let during = keep("during", &["checkpoint"]);
    for key in both.lines() {
        ledger.run(&["check", "--key", key, &during]);
    }
    assert_eq!(text(&ledger.run(&["keys", "rotate-signing", "--finish"])), both);
    assert!(text(&ledger.run(&["verify", "--against", &old])).starts_with("ok: "), "the old key stays known");

    let doctor = json(&ledger.run(&["doctor", "--json"]));
    let url = doctor["database"]["url"].as_str().expect("a URL").to_owned();
    let signed = |doctor: &serde_json::Value| doctor["checks"].to_string().contains("are signed for, as convoledger/");
    assert!(signed(&doctor) && doctor["ok"] == true, "{doctor}");
    for table in ["event", "words"] {
        change_as_superuser(&url, &format!("ALTER TABLE {table} DISABLE TRIGGER USER"));
        change_as_superuser(&url, &format!("DELETE FROM {table} WHERE position > 15"));
    }
    assert!(ledger.fail(&["verify", "--against", &during]).contains("events are missing at its end"));
    assert!(ledger.fail(&["checkpoint"]).contains("It was cut short"));
    let told = ledger.command(&["doctor"]).output().expect("it runs");
    let told = (told.status.success(), String::from_utf8(told.stdout).expect("text"));
    assert!(!told.0 && told.1.contains("FAIL checkpoints: the log has 15 events"), "{told:?}");
}

/// A server is killed again and again, wherever it is; its checkpoints are those of one log.
#[test]
fn a_server_that_is_killed_anywhere_never_contradicts_itself() {
    let ledger = Ledger::new();
    let anchor = ledger.directory.path().join("anchor");
    let anchor = anchor.to_str().expect("a path");
    for round in 0..5 {
        let (mut server, _) = ledger.serve_with(&["--anchor", anchor]);
        let account = format!("a{round}@b.org");
        ledger.run(&["import", "--account", &account, &fixture(TREE)]);
        thread::sleep(Duration::from_millis(u64::from(u32::from_be_bytes(random::bytes()) % 2_500)));
        server.signal(Signal::KILL);
        server.0.wait().expect("it ends");
    }
    let (_server, _) = ledger.serve();
    ledger.run(&["checkpoint"]);
    let key = text(&ledger.run(&["keys", "public"]));
    let doctor = json(&ledger.run(&["doctor", "--json"]));
    let url = doctor["database"]["url"].as_str().expect("a URL").to_owned();
    let kept = rows_as_superuser(&url, "SELECT note FROM checkpoint ORDER BY size");
    let anchored = fs::read_to_string(anchor).unwrap_or_default();
    assert!(kept.len() > 1, "it signed in between");
    // An empty line stands within each note, and between two of them.
    let halves: Vec<&str> = anchored.trim_end().split("\n\n").collect();
    let anchored = halves.chunks_exact(2).map(|note| format!("{}\n\n{}\n", note[0], note[1]));
    for note in kept.into_iter().chain(anchored) {
        let file = ledger.directory.path().join("note");
        fs::write(&file, &note).expect("a file");
        let file = file.to_str().expect("a path");
        assert!(text(&ledger.run(&["verify", "--against", file, "--key", key.trim()])).starts_with("ok: "), "{note}");
    }
}
