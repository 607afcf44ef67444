//! Peaks of memory. Each is that of a process of its own, which joins the cluster, does one thing and tells its peak.

use std::path::Path;

use anyhow::Context as _;
use convoledger::archive::check::check;
use convoledger::projection::{CONVERSATION, USAGE};
use convoledger::proof::note::Verifier;
use tokio::process::Command;

use crate::archive;
use crate::ledgers::{Cluster, Ledger};

/// What such a process is called with first.
pub const ALONE: &str = "alone";

/// Of an export of the ledger's account, in MB.
pub async fn of_export(cluster: &Cluster, ledger: &Ledger, to: &Path) -> anyhow::Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    peak(command.args([ALONE, "export"]).arg(cluster.root()).arg(&ledger.name).arg(to)).await
}

/// Of a check, in MB.
pub async fn of_check(file: &Path, key: &Verifier) -> anyhow::Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    peak(command.args([ALONE, "check"]).arg(file).arg(key.to_string())).await
}

async fn peak(command: &mut Command) -> anyhow::Result<f64> {
    let ended = command.output().await?;
    anyhow::ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let kilobytes: f64 = String::from_utf8(ended.stdout)?.trim().parse()?;
    Ok(kilobytes / 1_000.0)
}

/// The process that does one thing.
pub async fn alone(asked: &[String]) -> anyhow::Result<()> {
    match asked {
        [what, root, name, to] if what == "export" => {
            let cluster = Cluster::join(Path::new(root)).await?;
            let ledger = cluster.open(name, &[CONVERSATION, USAGE]).await?;
            archive::export(&ledger, Path::new(to)).await?;
            cluster.stop().await;
        }
        [what, file, key] if what == "check" => {
            let key: Verifier = key.parse().ok().context("a public key")?;
            check(Path::new(file), Some(&[key]), |_| ())?;
        }
        _ => anyhow::bail!("an export or a check"),
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a peak")?;
    println!("{}", peak.trim().trim_end_matches(" kB"));
    Ok(())
}
