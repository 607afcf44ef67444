//! What is done to a ledger under load. Each fault ends by itself; what comes back is how it went on.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rustix::process::{Signal, kill_process, test_kill_process};
use tokio::time::sleep;

use super::house::House;
use super::workload::History;

/// Within half a second of the load's going on, the program is killed and started again.
pub async fn kill_server(house: &mut House, history: &History, choices: &mut StdRng) {
    goes_on(history).await;
    sleep(Duration::from_millis(choices.random_range(0..500))).await;
    house.kill().await;
    house.start().await;
}

/// As `pg_ctl stop -m immediate`: no checkpoint, no farewell. The program starts it again.
pub async fn stop_postgres(house: &House, history: &History, choices: &mut StdRng) {
    goes_on(history).await;
    sleep(Duration::from_millis(choices.random_range(0..500))).await;
    let stopped = house.postmaster().expect("Postgres runs");
    kill_process(stopped, Signal::QUIT).expect("a signal");
    // Its process stays in the table until the program has seen it end.
    while test_kill_process(stopped).is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
    while house.postmaster().is_none_or(|process| process == stopped) {
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until something more is acknowledged: a fault hits a ledger that works.
async fn goes_on(history: &History) {
    let before = history.acknowledged();
    let going = async {
        while history.acknowledged() == before {
            sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), going).await.expect("an append within 10 s of the last fault");
}
