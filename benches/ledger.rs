//! What convoledger costs, as ratios to plain Postgres doing the least possible in the same interleaved run.
//!
//! `cargo bench --bench ledger -- [part of a figure's name]…`; see `benches/README.md` for what was measured when.

mod append;
mod archive;
mod batch;
mod checkpoint;
mod costs;
mod disk;
mod fold;
mod forget;
mod import;
mod lag;
mod langgraph;
mod ledgers;
mod limit;
mod memory;
mod prove;
mod read;
mod rebuild;
mod renew;
mod rounds;
mod search;
mod text;
mod transcript;
mod travel;
mod verify;

use ledgers::Cluster;

/// As the server allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let called_with: Vec<String> = std::env::args().skip(1).collect();
    if let Some((memory::ALONE, asked)) = called_with.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return memory::alone(asked).await;
    }
    // Cargo adds flags of its own.
    let wanted: Vec<String> = called_with.into_iter().filter(|arg| !arg.starts_with("--")).collect();
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
    let cluster = Cluster::start().await?;
    for callers in [1, 8, 64] {
        if asked(&format!("append-{callers}")) {
            append::measure(&cluster, callers).await?;
        }
    }
    for size in [10, 100] {
        if asked(&format!("batch-{size}")) {
            batch::measure(&cluster, size).await?;
        }
    }
    if asked("disk") {
        disk::measure(&cluster).await?;
    }
    if asked("read") {
        read::measure(&cluster).await?;
    }
    if asked("verify") {
        verify::measure(&cluster).await?;
    }
    if asked("verify-hashes") {
        verify::hashes(&cluster).await?;
    }
    if asked("checkpoint") {
        checkpoint::measure(&cluster).await?;
    }
    if asked("prove") {
        prove::measure(&cluster).await?;
    }
    if asked("archive") {
        archive::measure(&cluster).await?;
    }
    if asked("forget") {
        forget::measure(&cluster).await?;
    }
    if asked("renew") {
        renew::measure(&cluster).await?;
    }
    if asked("import") {
        import::measure(&cluster).await?;
    }
    if asked("transcript") {
        transcript::measure(&cluster).await?;
    }
    if asked("fold") {
        fold::measure(&cluster).await?;
    }
    if asked("fold-search") {
        search::fold(&cluster).await?;
    }
    for owners in [1, 100, 10_000] {
        if asked(&format!("search-{owners}")) {
            search::measure(&cluster, owners).await?;
        }
    }
    if asked("rebuild") {
        rebuild::measure(&cluster).await?;
    }
    if asked("lag") {
        lag::measure(&cluster).await?;
    }
    if asked("costs") {
        costs::measure(&cluster).await?;
    }
    if asked("travel") {
        travel::measure(&cluster).await?;
    }
    if asked("langgraph") {
        langgraph::measure(&cluster).await?;
    }
    cluster.stop().await;
    Ok(())
}
