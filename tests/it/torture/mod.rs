//! Crashes, with the real program: it is killed, its Postgres too, and the way between them is cut, while many callers
//! append and one watches; then it heals, and what was promised must hold.
//!
//! | file | what it has |
//! |---|---|
//! | `scenarios` | one function a scenario: a workload, its faults, then all checks |
//! | `house` | a data directory, the Postgres that the ledger is in, and the program that runs on both |
//! | `faults` | what is done to it; on the way to Postgres through `support::proxy` |
//! | `workload` | callers, and the history of what they asked and were told |
//! | `subscriber` | one who watches through all of it, and what it saw |
//! | `checkers` | what must hold after healing, each against the database itself |
//! | `wire` | GraphQL as a client speaks it |
//!
//! A new scenario is a function in `scenarios`; a new fault or promise, a function in `faults` or `checkers`. Every run
//! prints its seed; `CONVOLEDGER_TORTURE_SEED` repeats one (the faults and the callers' choices, not the scheduler's).

mod checkers;
mod faults;
mod house;
mod scenarios;
mod subscriber;
mod wire;
mod workload;

use convoledger::random;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// Where all of a run's choices come from.
#[derive(Debug, Clone, Copy)]
struct Seed(u64);

impl Seed {
    #[allow(clippy::disallowed_methods)] // how a run is repeated
    fn draw(scenario: &str) -> Self {
        let given = std::env::var("CONVOLEDGER_TORTURE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(u32::from_be_bytes(random::bytes())));
        eprintln!("{scenario}: CONVOLEDGER_TORTURE_SEED={seed}");
        Self(seed)
    }

    /// The choices of one party, whatever the others do.
    fn choices(self, party: u64) -> StdRng {
        StdRng::seed_from_u64(self.0 ^ (party << 32))
    }
}
