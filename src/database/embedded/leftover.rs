//! What a server leaves when it is killed together with its owner.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::EmbeddedError;
use super::lock::lives;
use crate::clock::Clock;

/// How long the remains of an earlier server may take to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until nothing of an earlier server runs, and removes its pid and lock files.
///
/// Postgres takes a pid file for that of a running server when any process has its id, also another program's or a
/// zombie that nobody reaped, as the first process of a container may neglect to; the socket's lock file likewise. So
/// look closer. Where there is no `/proc` to look at, Postgres judges by itself.
pub(super) fn clear(cluster: &Path, socket: &Path) -> Result<(), EmbeddedError> {
    let pid_file = cluster.join("postmaster.pid");
    if !pid_file.exists() || !Path::new("/proc/self/cwd").exists() {
        return Ok(());
    }
    if let Some(postmaster) = postmaster(&pid_file).filter(|process| runs(*process, cluster)) {
        // Its owner was killed, so the kernel has told it to end; if its owner was somebody else, we tell it.
        tracing::warn!(process = postmaster, cluster = %cluster.display(), "stopping an earlier Postgres");
        let _ = Pid::from_raw(postmaster).map(|process| kill_process(process, Signal::INT));
        wait_until(cluster, || if runs(postmaster, cluster) { u32::try_from(postmaster).ok() } else { None })?;
    }
    // Every process of Postgres works in its cluster's directory.
    wait_until(cluster, || working_in(cluster))?;
    for file in [pid_file, socket.join(".s.PGSQL.5432.lock"), socket.join(".s.PGSQL.5432")] {
        if file.symlink_metadata().is_ok() {
            fs::remove_file(&file).map_err(EmbeddedError::at("removing", &file))?;
        }
    }
    Ok(())
}

fn wait_until(cluster: &Path, remains: impl Fn() -> Option<u32>) -> Result<(), EmbeddedError> {
    let began = Clock::instant();
    while let Some(process) = remains() {
        if began.elapsed() > PATIENCE {
            return Err(EmbeddedError::Haunted { cluster: cluster.to_owned(), process });
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn postmaster(pid_file: &Path) -> Option<i32> {
    fs::read_to_string(pid_file).ok()?.lines().next()?.trim().parse().ok()
}

/// Whether `process` is a server of this cluster. A zombie has no command line, another program another one.
fn runs(process: i32, cluster: &Path) -> bool {
    let command = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    lives(process) && command.split('\0').any(|argument| Path::new(argument) == cluster)
}

fn working_in(cluster: &Path) -> Option<u32> {
    let here = |process: &u32| fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|at| at == cluster);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(here)
}
