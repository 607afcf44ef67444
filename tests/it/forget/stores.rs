//! Whatever can hold something of a person is in the one registry of such places.

use std::fs;
use std::path::Path;

use convoledger::projection::BUILT_IN;
use convoledger::service::stores::{Place, STORES};

use crate::support::program::{Ledger, json, rows_as_superuser, text};
use crate::support::service::Stand;

fn places(of: impl Fn(Place) -> Option<&'static str>) -> Vec<&'static str> {
    STORES.iter().filter_map(|store| of(store.place)).collect()
}

#[tokio::test]
async fn every_table_is_a_store_or_a_view() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    stand.folded(actor).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname !~ '^(pg_|information_schema)'",
    )
    .fetch_all(&stand.database.pool(1))
    .await
    .expect("tables");
    let stores = places(|place| if let Place::Table(table) = place { Some(table) } else { None });
    for table in &tables {
        let view = BUILT_IN.iter().any(|view| table.starts_with(&format!("{}.", view.name)));
        assert!(view || stores.contains(&table.as_str()), "{table} is in no registry: say what forgetting does there");
    }
    for store in stores {
        assert!(tables.contains(&store.to_owned()), "there is no table {store}");
    }
}

#[test]
fn every_file_of_the_data_directory_is_a_store() {
    let ledger = Ledger::new();
    let created = json(&ledger.run(&["token", "create", "--account", "a@b.org", "--json"]));
    let (_server, _) = ledger.serve();
    ledger.run(&["forget", "a@b.org", "--yes"]);
    let receipt = ledger.data().join("receipts").join(format!("{}.json", created["account"].as_str().expect("an id")));
    // Whoever has the public key checks it, without us.
    let key = text(&ledger.run(&["keys", "public"])).trim().to_owned();
    let file = receipt.display().to_string();
    let checked = json(&ledger.run(&["check", "--json", "--key", &key, &file]));
    assert_eq!((&checked["ok"], &checked["files"][0]["kind"]), (&true.into(), &"receipt".into()));
    let said = fs::read_to_string(&receipt).expect("the receipt");
    for (forged, why) in [
        (said.replacen("\"removed\"", "\"removeD\"", 1), "something else than what was signed"),
        (
            said.replacen("convoledger receipt of forgetting, v1\\n", "convoledger receipt of forgetting, v2\\n", 1),
            "sign",
        ),
    ] {
        assert_ne!(forged, said);
        let path = ledger.directory.path().join("forged.json");
        fs::write(&path, forged).expect("a file");
        let complaint = ledger.fail(&["check", "--key", &key, &path.display().to_string()]);
        assert!(complaint.contains(why), "{complaint}");
    }
    let url = json(&ledger.run(&["doctor", "--json"]))["database"]["url"].as_str().expect("a URL").to_owned();
    assert_eq!(rows_as_superuser(&url, "SELECT name FROM account.token").len(), 0);
    let stores = places(|place| if let Place::File(file) = place { Some(file) } else { None });
    for entry in fs::read_dir(ledger.data()).expect("the data directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(stores.contains(&name.as_str()), "{name} is in no registry: say what forgetting does there");
    }
}

#[test]
fn every_cache_in_the_source_is_a_store() {
    let stores = places(|place| if let Place::Memory(file) = place { Some(file) } else { None });
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    look(&source, &mut |file, text| {
        let keeps = ["Cache<", "DashMap", "LruCache", "static CACHE"].iter().any(|keeper| text.contains(keeper));
        if keeps {
            found.push(file.strip_prefix(&source).expect("below").to_string_lossy().into_owned());
        }
    });
    found.sort();
    let mut stores: Vec<String> = stores.into_iter().map(str::to_owned).collect();
    stores.sort();
    assert_eq!(found, stores);
}

fn look(directory: &Path, at: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            look(&path, at);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            at(&path, &fs::read_to_string(&path).expect("text"));
        }
    }
}
