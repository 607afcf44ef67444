//! What is done to a ledger under load. Each fault ends by itself; what comes back is how it went on.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rustix::process::{Signal, kill_process, test_kill_process};
use tokio::time::{sleep, timeout};

use super::house::House;
use super::workload::History;
use crate::support::proxy::Weather;

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

/// Everybody is cut off from Postgres behind one of the next queries: it is carried out, and nobody is told.
pub async fn cut_behind_a_query(house: &House, history: &History, choices: &mut StdRng) {
    goes_on(history).await;
    let cut = house.way().cut_behind_query(choices.random_range(1..200));
    timeout(Duration::from_secs(10), cut).await.expect("queries within 10 s of the last fault");
}

/// Postgres is not heard of for a while, nor are those who knock; then all that were connected are cut off.
pub async fn silence_postgres(house: &House, history: &History) {
    goes_on(history).await;
    house.way().turn(Weather::Silent);
    sleep(Duration::from_secs(4)).await;
    house.way().turn(Weather::Clear);
    house.way().cut();
}

/// Postgres answers, slowly: the way there and back is as `weather` says for a while.
pub async fn slow_postgres(house: &House, history: &History, weather: Weather) {
    goes_on(history).await;
    house.way().turn(weather);
    sleep(Duration::from_secs(2)).await;
    house.way().turn(Weather::Clear);
}

/// Waits until something more is acknowledged: a fault hits a ledger that works.
async fn goes_on(history: &History) {
    let before = history.acknowledged();
    let going = async {
        while history.acknowledged() == before {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(10), going).await.expect("an append within 10 s of the last fault");
}
