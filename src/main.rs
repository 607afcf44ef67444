//! The program: an allocator, a runtime, and the command line.

use std::process::ExitCode;

use clap::Parser as _;
use convoledger::cli::Cli;

/// Many small allocations from many threads are what this program does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            ExitCode::FAILURE
        }
    }
}
