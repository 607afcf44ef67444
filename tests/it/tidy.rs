//! What the map of the house promises, checked on the source itself.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A module may use those of lower layers and itself; neighbours do not know each other.
const LAYERS: &[&[&str]] = &[
    &["event", "clock", "random", "config"],
    &["database", "format", "mask", "proof"],
    &["ledger", "vault", "log", "account"],
    &["projection", "view", "archive"],
    &["service"],
    &["api"],
    // An edge as well, whose `serve` starts the other one.
    &["cli"],
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The modules of `src` with their layer's height, their path below `src`, and their text.
fn modules() -> Vec<(String, usize, String, String)> {
    let source = root().join("src");
    let mut modules = Vec::new();
    for path in files(&source, "rs") {
        let name = path.strip_prefix(&source).expect("below src").to_string_lossy().into_owned();
        let module = name.split(['/', '.']).next().unwrap_or_default().to_owned();
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let height = height(&module).unwrap_or_else(|| panic!("{name}: `{module}` stands in no layer; give it one"));
        modules.push((module, height, name, fs::read_to_string(&path).expect("source is text")));
    }
    assert!(modules.len() > 20, "the source was found");
    modules
}

fn height(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn modules_look_down_only() {
    let mut wrong = Vec::new();
    for (module, own, name, text) in modules() {
        for used in text.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if let Some(other) = height(&used)
                && used != module
                && other >= own
            {
                wrong.push(format!("{name} uses crate::{used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "modules look down only, and neighbours do not know each other:\n{}", wrong.join("\n"));
}

#[test]
fn rules_are_pure() {
    for (module, _, name, text) in modules() {
        if ["ledger", "event", "mask"].contains(&module.as_str()) {
            for impure in ["async ", ".await", "sqlx::", "tokio::", "std::fs", "std::env", "random::"] {
                assert!(!text.contains(impure), "{name} has `{impure}`: rules and vocabulary do no I/O");
            }
        }
    }
}

#[test]
fn the_log_never_sees_plaintext() {
    for (module, _, name, text) in modules() {
        if module == "log" {
            for plain in ["Private", "Words,", "Words}", ".words()", "plain:"] {
                assert!(!text.contains(plain), "{name} has `{plain}`: the log holds words sealed only");
            }
        }
    }
}

#[test]
fn nothing_but_the_service_appends() {
    for (module, _, name, text) in modules() {
        if !["service", "log"].contains(&module.as_str()) {
            for call in ["log().append(", "log.append(", "log::Append,", "log::Append;", "log::{Append,"] {
                assert!(!text.contains(call), "{name} appends; ask the service to");
            }
        }
    }
}

#[test]
fn sql_lives_in_sql_files() {
    for (_, _, name, text) in modules() {
        for call in ["query(\"", "query_as(\"", "query_scalar(\"", "raw_sql(\""] {
            assert!(!text.contains(call), "{name} has SQL in a string; put it in a .sql file named by its verb");
        }
    }
}

#[test]
fn a_sql_file_of_the_source_is_one_statement() {
    for path in files(&root().join("src"), "sql") {
        let text = fs::read_to_string(&path).expect("SQL is text");
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        // Bodies of DO blocks are one statement, whatever stands in them.
        let statements = code.split("$$").step_by(2).collect::<String>();
        let ends = statements.trim_end().trim_end_matches(';').matches(';').count();
        assert_eq!(ends, 0, "{} holds more than one statement", path.display());
    }
}

#[test]
fn files_have_one_reason_to_exist() {
    for path in files(&root().join("src"), "rs").into_iter().chain(files(&root().join("tests"), "rs")) {
        let lines = fs::read_to_string(&path).expect("source is text").lines().count();
        assert!(lines <= 500, "{} has {lines} lines: it is perhaps two rooms", path.display());
    }
}
