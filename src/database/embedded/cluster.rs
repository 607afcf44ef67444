//! The files of a Postgres cluster: made once, as a whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::account::Account;
use super::binaries::Binaries;
use super::{DATABASE, EmbeddedError, SUPERUSER};

/// Where the cluster of a data directory lies.
pub(super) fn path(data: &Path) -> PathBuf {
    data.join("pg")
}

/// The major version of the cluster in `data`; none when there is none yet.
pub(super) fn major(data: &Path) -> Result<Option<u32>, EmbeddedError> {
    let cluster = path(data);
    let file = cluster.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(version) => Ok(version.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let empty = fs::read_dir(&cluster).map_or(true, |mut files| files.next().is_none());
            if empty { Ok(None) } else { Err(EmbeddedError::NotACluster(cluster)) }
        }
        Err(error) => Err(EmbeddedError::at("reading", file)(error)),
    }
}

/// Makes the cluster. It is made beside its place and moved there when whole, so that what an interrupted start left
/// is never taken for one. `durable` says whether it must survive a loss of power.
pub(super) fn make(data: &Path, account: &Account, binaries: &Binaries, durable: bool) -> Result<(), EmbeddedError> {
    let draft = data.join("pg.new");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(EmbeddedError::at("removing", &draft))?;
    }
    DirBuilder::new().mode(0o700).create(&draft).map_err(EmbeddedError::at("creating", &draft))?;
    account.own(&draft)?;

    let mut initdb = account.command(&binaries.program("initdb"));
    initdb.arg("--pgdata").arg(&draft).args(["--username", SUPERUSER, "--encoding=UTF8", "--locale=C.UTF-8"]);
    // Whoever reaches the socket is let in: its directory is closed to all but us. Nobody comes by the network.
    initdb.args(["--auth-local=trust", "--auth-host=reject", "--data-checksums", "--no-instructions"]);
    if !durable {
        initdb.arg("--no-sync");
    }
    run(&mut initdb, None, data)?;

    // The database that initdb made takes our name: another would have to be copied.
    let mut single = account.command(&binaries.program("postgres"));
    single.args(["--single", "-D"]).arg(&draft).args(["-c", "exit_on_error=on", "template1"]);
    run(&mut single, Some(&format!("ALTER DATABASE postgres RENAME TO {DATABASE}\n")), data)?;

    fs::rename(&draft, path(data)).map_err(EmbeddedError::at("renaming", &draft))?;
    File::open(data).and_then(|directory| directory.sync_all()).map_err(EmbeddedError::at("syncing", data))
}

fn run(command: &mut Command, input: Option<&str>, data: &Path) -> Result<(), EmbeddedError> {
    let program = PathBuf::from(command.get_program());
    let output = output(command, input).map_err(EmbeddedError::at("running", &program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(EmbeddedError::Initdb { cluster: path(data), said })
}

fn output(command: &mut Command, input: Option<&str>) -> io::Result<Output> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let Some(input) = input else { return command.output() };
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        io::Write::write_all(&mut pipe, input.as_bytes())?;
    }
    child.wait_with_output()
}
