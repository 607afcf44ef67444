//! Projections that are not built in: a directory of folders that the person who runs the ledger writes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::strand::drop_strands;
use super::table::{drop_schema, exists};
use super::{BUILT_IN, Projection};

/// `manifest.json`: what SQL alone does not say of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The question that the view answers.
    pub answers: String,
    /// What its fold is given.
    pub reads: Reads,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// The table `event`: a public view.
    Facts,
    /// Also what was said, in the clear: an opened view.
    Words,
}

/// A folder that is no projection.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct NoProjection {
    pub path: PathBuf,
    pub what: String,
}

const MANIFEST: &str = "manifest.json";
/// With `_between`, a schema's name must stay below Postgres's 63 bytes.
const NAME_MAX: usize = 40;
/// What other schemas of the database are called, and what a rebuild calls its own.
const TAKEN: &[&str] = &["public", "vault", "account", "fold", "information_schema"];
const TAKEN_ENDS: &[&str] = &["_next", "_old", "_between", "_check", "_trial"];

/// The projections in `directory`, by name. Hidden folders are not looked at.
pub fn read_all(directory: &Path) -> Result<Vec<Projection>, NoProjection> {
    let fault = |error: std::io::Error| NoProjection { path: directory.to_owned(), what: error.to_string() };
    let mut folders = Vec::new();
    for entry in fs::read_dir(directory).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if entry.path().is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            folders.push(entry.path());
        }
    }
    folders.sort();
    folders.iter().map(|folder| read(folder)).collect()
}

/// The projection in `folder`, which gives it its name.
pub fn read(folder: &Path) -> Result<Projection, NoProjection> {
    let fault = |path: &Path, what: String| NoProjection { path: path.to_owned(), what };
    let whole = folder.canonicalize().map_err(|error| fault(folder, error.to_string()))?;
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name_fits(&name).map_err(|what| fault(folder, what))?;
    let text = |file: &str| {
        let path = folder.join(file);
        fs::read_to_string(&path).map_err(|error| fault(&path, error.to_string()))
    };
    let manifest: Manifest =
        serde_json::from_str(&text(MANIFEST)?).map_err(|error| fault(&folder.join(MANIFEST), error.to_string()))?;
    if manifest.answers.trim().is_empty() || manifest.answers.contains('\n') {
        return Err(fault(&folder.join(MANIFEST), "`answers` is one line: the question that the view answers".into()));
    }
    let index = match fs::read_to_string(folder.join("index.sql")) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        index => index.map_err(|error| fault(&folder.join("index.sql"), error.to_string()))?,
    };
    Ok(Projection {
        name: name.into(),
        // As the built-in ones have it: the first line is the question.
        schema: format!("-- {}\n{}", manifest.answers.trim(), text("schema.sql")?).into(),
        index: index.into(),
        apply: text("apply.sql")?.into(),
        streams: &[],
        opened: manifest.reads == Reads::Words,
        own: true,
    })
}

/// Writes a folder to start from, which works as it is.
pub fn write_new(directory: &Path, name: &str) -> Result<PathBuf, NoProjection> {
    let folder = directory.join(name);
    let fault = |what: String| NoProjection { path: folder.clone(), what };
    name_fits(name).map_err(fault)?;
    fs::create_dir_all(directory).map_err(|error| fault(error.to_string()))?;
    fs::create_dir(&folder).map_err(|error| fault(error.to_string()))?;
    let manifest = Manifest { answers: "How many messages are there of each role?".into(), reads: Reads::Facts };
    let manifest = serde_json::to_string_pretty(&manifest).map_err(|error| fault(error.to_string()))? + "\n";
    let files = [
        (MANIFEST, manifest.as_str()),
        ("schema.sql", include_str!("template/schema.sql")),
        ("apply.sql", include_str!("template/apply.sql")),
    ];
    for (file, text) in files {
        fs::write(folder.join(file), text).map_err(|error| fault(error.to_string()))?;
    }
    Ok(folder)
}

/// Drops the rows of the projection of this name, whether its folder is there or not, and says whether there were any.
pub async fn drop(name: &str, pool: &PgPool) -> Result<bool, sqlx::Error> {
    if name_fits(name).is_err() && !BUILT_IN.iter().any(|built_in| built_in.name == name) {
        return Ok(false);
    }
    let mut transaction = pool.begin().await?;
    let there = exists(name, &mut transaction).await?;
    if there {
        for end in ["", "_next", "_old"] {
            drop_schema(&format!("{name}{end}"), &mut transaction).await?;
        }
        drop_strands(name, &mut transaction).await?;
    }
    transaction.commit().await.map(|()| there)
}

fn name_fits(name: &str) -> Result<(), String> {
    let fits = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= NAME_MAX;
    if !fits {
        return Err(format!(
            "`{name}` is no name for a view: it begins with a small letter and has small letters, digits and _ only, at \
             most {NAME_MAX}"
        ));
    }
    let taken = TAKEN.contains(&name)
        || name.starts_with("pg_")
        || TAKEN_ENDS.iter().any(|end| name.ends_with(end))
        || name.contains("_strand_")
        || BUILT_IN.iter().any(|built_in| built_in.name == name);
    if taken { Err(format!("the name `{name}` is taken; choose another one")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_schemas_that_nobody_else_has() {
        for fits in ["a", "thumbs_down", "v2"] {
            assert_eq!(name_fits(fits), Ok(()));
        }
        for taken in [
            "",
            "A",
            "2a",
            "a-b",
            "a b",
            "a;drop",
            "é",
            "pg_x",
            "vault",
            "conversation",
            "x_old",
            "x_strand_1",
            &"a".repeat(41),
        ] {
            assert!(name_fits(taken).is_err(), "{taken}");
        }
    }

    #[test]
    fn a_folder_is_read_as_it_was_written_and_faults_name_their_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let folder = write_new(directory.path(), "roles").expect("written");
        let [projection] = &read_all(directory.path()).expect("read")[..] else { panic!("one") };
        assert_eq!((&*projection.name, projection.opened, projection.own), ("roles", false, true));
        assert_eq!(projection.question(), "How many messages are there of each role?");
        assert!(write_new(directory.path(), "roles").is_err(), "nothing is overwritten");

        fs::write(folder.join(MANIFEST), r#"{"answers": "?", "reads": "minds"}"#).expect("written");
        let fault = read_all(directory.path()).expect_err("no such reading").to_string();
        assert!(fault.contains("manifest.json") && fault.contains("minds"), "{fault}");
        fs::remove_file(folder.join("apply.sql")).expect("removed");
        fs::write(folder.join(MANIFEST), r#"{"answers": "?", "reads": "words"}"#).expect("written");
        let fault = read_all(directory.path()).expect_err("half a folder").to_string();
        assert!(fault.contains("apply.sql"), "{fault}");
    }
}
