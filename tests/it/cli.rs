//! The program as scripts use it: the real binary, its own Postgres, its exit codes.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::program::{Ledger, ask, change_as_superuser, fixture, json, number_as_superuser, text};

#[test]
fn an_import_is_counted_repeated_and_proven() {
    let ledger = Ledger::new();
    let token = text(&ledger.run(&["token", "create", "--account", "a@b.org"]));
    assert!(token.starts_with("clt_") && token.trim().lines().count() == 1, "{token}");

    let expected = expected();
    let files: Vec<String> = expected.as_object().expect("files").keys().map(|name| fixture(name)).collect();
    let mut import = vec!["import", "--account", "a@b.org", "--json"];
    import.extend(files.iter().map(String::as_str));
    let first = json(&ledger.run(&import));
    for (name, expected) in expected.as_object().expect("files") {
        let file = first["files"].as_array().expect("files").iter().find(|file| file["file"] == fixture(name).as_str());
        let file = file.expect("every file is reported");
        for count in ["conversations", "messages", "branch_points", "leaves"] {
            assert_eq!(file[count], expected[count], "{count} of {name}");
        }
        assert_eq!(file["refused"], expected["unreadable"], "{name}");
    }
    assert_eq!(first["total"]["appended"], first["total"]["messages"]);
    let second = json(&ledger.run(&import));
    assert_eq!(second["total"]["appended"], 0);
    assert_eq!(second["total"]["already_there"], first["total"]["messages"]);

    let verified = json(&ledger.run(&["verify", "--json"]));
    assert_eq!(verified["ok"], true);
    let (size, root) = (verified["size"].to_string(), verified["root"].as_str().expect("a root").to_owned());
    assert!(text(&ledger.run(&["verify", "--size", &size, "--root", &root])).starts_with("ok: "));
    let other = ledger.fail(&["verify", "--size", &size, "--root", &"ab".repeat(32)]);
    assert!(other.contains("the log was rewritten"), "{other}");
    let longer = ledger.fail(&["verify", "--size", "1000000", "--root", &root]);
    assert!(longer.contains("events are missing at its end"), "{longer}");
}

#[test]
fn a_flipped_byte_is_found_and_named() {
    let ledger = Ledger::new();
    let tree = fixture("chatgpt/librechat-chatgpt-tree.json");
    ledger.run(&["import", "--account", "a@b.org", &tree]);
    let (_server, _) = ledger.serve();
    let doctor = json(&ledger.run(&["doctor", "--json"]));
    assert_eq!(doctor["ok"], true);
    let url = doctor["database"]["url"].as_str().expect("a URL").to_owned();
    let flips = [
        ("event", "body = jsonb_set(body, '{flipped}', 'true') WHERE position = 7", 7),
        ("words", "ciphertext = set_byte(ciphertext, 3, get_byte(ciphertext, 3) # 1) WHERE position = 5", 5),
    ];
    for (table, change, position) in flips {
        change_as_superuser(&url, &format!("ALTER TABLE {table} DISABLE TRIGGER USER"));
        change_as_superuser(&url, &format!("UPDATE {table} SET {change}"));
        let said = ledger.fail(&["verify"]);
        assert!(said.contains(&format!("position {position}:")), "{said}");
    }
}

#[test]
fn a_view_is_rebuilt_beside_a_running_server() {
    let ledger = Ledger::new();
    let tree = fixture("chatgpt/librechat-chatgpt-tree.json");
    ledger.run(&["import", "--account", "a@b.org", &tree]);
    let (_server, _) = ledger.serve();
    let rebuilt = json(&ledger.run(&["rebuild", "--json"]));
    let view = &rebuilt["rebuilt"][0];
    assert_eq!((&view["name"], &view["became"]), (&"conversation".into(), &"replaced".into()), "{rebuilt}");
    assert_eq!(view["differences"], Value::Array(Vec::new()));

    let doctor = json(&ledger.run(&["doctor", "--json"]));
    let url = doctor["database"]["url"].as_str().expect("a URL").to_owned();
    change_as_superuser(&url, "UPDATE conversation.conversation SET message_count = 99");
    let drifted = ledger.run_to(1, &["rebuild", "conversation", "--compare"]);
    assert!(text(&drifted).contains("the live rows differed:\n  conversation\n    - ("), "{drifted:?}");
    ledger.run_to(1, &["rebuild", "conversation"]);
    assert!(text(&ledger.run(&["rebuild", "--compare"])).contains("the live rows were the same"));
    ledger.run(&["rebuild", "--rollback"]);
    ledger.run_to(1, &["rebuild", "--compare"]);
    ledger.run(&["rebuild", "--rollback"]);
    ledger.run(&["rebuild", "--drop-old"]);
    assert!(ledger.fail(&["rebuild", "--rollback"]).contains("has no former rows"));
    let unknown = ledger.run_to(2, &["rebuild", "nothing"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are: conversation"), "{unknown:?}");
}

#[test]
fn the_view_of_the_readme_works_as_it_is_written() {
    let ledger = Ledger::new();
    let token = text(&ledger.run(&["token", "create", "--account", "a@b.org"]));
    ledger.run(&["import", "--account", "a@b.org", &fixture("chatgpt/librechat-chatgpt-tree.json")]);
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let (_, rest) = readme.split_once("<!-- own view -->\n```sh\n").expect("it is marked");
    let (script, _) = rest.split_once("```").expect("it ends");
    let at = ledger.directory.path();
    fs::create_dir_all(at.join("target/release")).expect("a directory");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_convoledger"), at.join("target/release/convoledger"))
        .expect("a link");
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script]).current_dir(at).env("CONVOLEDGER_DATA", ledger.data());
    bash.env_remove("DATABASE_URL");
    let pasted = bash.output().expect("bash runs");
    assert!(pasted.status.success(), "{pasted:?}");
    assert!(text(&pasted).contains("thumbs_down: fit for use; "), "{pasted:?}");

    let views = at.join("views");
    let (_server, address) = ledger.serve_with(&["--projections", views.to_str().expect("a path")]);
    let messages = ask(&address, &token, "{ conversations { nodes { messages { nodes { id role } } } } }");
    let messages =
        messages["data"]["conversations"]["nodes"][0]["messages"]["nodes"].as_array().expect("messages").clone();
    for (nth, message) in messages.iter().enumerate() {
        for rating in if nth == 0 { &["DOWN", "UP"][..] } else { &["DOWN"] } {
            let rate = format!(
                "mutation {{ rateMessage(input: {{ id: {}, rating: {rating} }}) {{ __typename }} }}",
                message["id"]
            );
            assert_eq!(ask(&address, &token, &rate)["data"]["rateMessage"]["__typename"], "MessageDone");
        }
    }
    let listed = json(&ledger.run(&["projections", "--json", "--projections", views.to_str().expect("a path")]));
    let names: Vec<_> = listed["projections"].as_array().expect("a list").iter().map(|view| &view["name"]).collect();
    assert!(names.contains(&&"thumbs_down".into()), "{listed}");
    let url = json(&ledger.run(&["doctor", "--json"]))["database"]["url"].as_str().expect("a URL").to_owned();
    let down = "SELECT count(*) FROM thumbs_down.verdict WHERE rating = 'down'";
    for _ in 0..100 {
        if i64::try_from(messages.len()).is_ok_and(|rated| number_as_superuser(&url, down) == rated - 1) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{} of {} are down", number_as_superuser(&url, down), messages.len());
}

#[test]
fn what_cannot_be_taken_is_said_and_the_rest_is_taken() {
    let ledger = Ledger::new();
    let strange = ledger.directory.path().join("strange.json");
    fs::write(&strange, "{\"neither\": \"this nor that\"}").expect("a file");
    let missing = ledger.directory.path().join("missing.json");
    let tree = fixture("chatgpt/librechat-chatgpt-tree.json");
    let [strange, missing] = [&strange, &missing].map(|path| path.to_str().expect("a path"));
    let output = ledger.command(&["import", "--account", "a@b.org", "--json", strange, missing, &tree]).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!((&report["total"]["refused"], &report["total"]["appended"]), (&2.into(), &12.into()));
    let reason = report["files"][0]["refusals"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("no format that is understood"), "{reason}");
}

#[test]
fn a_wrong_command_line_and_a_missing_ledger_differ() {
    let ledger = Ledger::new();
    assert_eq!(ledger.command(&["verify", "--size", "3"]).output().expect("it runs").status.code(), Some(2));
    assert!(ledger.fail(&["verify"]).contains("there is no ledger in"));
}

#[test]
fn serve_is_joined_stopped_killed_and_started_again() {
    let ledger = Ledger::new();
    let (mut server, address) = ledger.serve();
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
    let tree = fixture("chatgpt/librechat-chatgpt-tree.json");
    assert_eq!(json(&ledger.run(&["import", "--json", "--account", "a@b.org", &tree]))["total"]["appended"], 12);
    server.signal(Signal::TERM);
    assert!(server.0.wait().expect("it ends").success());

    let (mut server, _) = ledger.serve();
    server.signal(Signal::KILL);
    server.0.wait().expect("it ends");
    let (mut server, _) = ledger.serve();
    assert_eq!(json(&ledger.run(&["verify", "--json"]))["ok"], true);
    server.signal(Signal::TERM);
    assert!(server.0.wait().expect("it ends").success());
}

#[test]
fn the_readme_tells_the_tests_that_are_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).expect("a README");
    let (_, tests) = readme.split_once("<!-- tests -->").expect("the command is marked");
    assert!(tests.contains("cargo test --locked"));
    assert!(fs::read_to_string(root.join(".ci/run")).expect("a script").contains("<!-- tests -->"));
}

fn expected() -> Value {
    let text = fs::read_to_string(fixture("expected.json")).expect("the counts");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn old_labels_are_told_first_and_then_let_go() {
    let ledger = Ledger::new();
    let token = text(&ledger.run(&["token", "create", "--account", "a@b.org"]));
    let (server, address) = ledger.serve();
    let asked = |query: &str| {
        let answer = ask(&address, &token, query);
        assert_eq!(answer["errors"], Value::Null, "{answer}");
        answer["data"].clone()
    };
    let started =
        asked("mutation { startConversation(input: {}) { ... on ConversationDone { conversation { id } } } }");
    let id = started["startConversation"]["conversation"]["id"].as_str().expect("an id").to_owned();
    for label in ["one", "two", "three"] {
        asked(&format!(
            "mutation {{ takeSnapshot(input: {{conversationId: \"{id}\", label: \"{label}\"}}) {{ __typename }} }}"
        ));
    }
    let labels = || asked(&format!("{{ conversation(id: \"{id}\") {{ snapshots {{ nodes {{ label }} }} }} }}"));
    // Beside the server: what was taken by hand stays, unless it is asked for as well.
    let kept = json(&ledger.run(&["snapshots", "thin", "--json"]));
    assert_eq!((&kept["gone"], &kept["dry_run"]), (&Value::from(0), &Value::from(false)));
    let thin = ["snapshots", "thin", "--keep-snapshots", "0h,0h,0h", "--thin-manual", "--json"];
    let told = json(&ledger.run(&[&thin[..], &["--dry-run"]].concat()));
    assert_eq!((&told["gone"], &told["conversations"][0]["kept"]), (&Value::from(2), &Value::from(1)));
    assert_eq!(labels()["conversation"]["snapshots"]["nodes"].as_array().map(Vec::len), Some(3));
    let gone = json(&ledger.run(&thin));
    assert_eq!(gone["conversations"], told["conversations"]);
    let left = serde_json::json!([{"label": "three"}]);
    while labels()["conversation"]["snapshots"]["nodes"] != left {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(json(&ledger.run(&thin))["gone"], 0);
    let wrong = ledger.run_to(2, &["snapshots", "thin", "--keep-snapshots", "a while"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("24h,7d,30d"));
    server.signal(Signal::TERM);
}
