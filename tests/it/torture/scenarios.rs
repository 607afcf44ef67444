//! One function a scenario: a workload, its faults, then all checks.

use std::sync::Arc;
use std::time::Duration;

use convoledger::clock::Clock;
use futures::future::join_all;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};

use super::house::House;
use super::subscriber::Subscriber;
use super::wire::{Caller, Told};
use super::workload::{Asked, Desk, History, Load};
use super::{Seed, checkers, faults};

/// How long the load runs on behind the last fault.
const AFTERMATH: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_killed_again_and_again() {
    let mut scene = Scene::set("server killed").await;
    let load = scene.load().await;
    let watching = scene.watch(false);
    for _ in 0..6 {
        faults::kill_server(&mut scene.house, &load.history, &mut scene.choices).await;
    }
    sleep(AFTERMATH).await;
    let history = load.heal().await;
    assert!(history.unknown() > 0, "no fault hit anybody");
    scene.check(&history, watching).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_stopped_again_and_again() {
    let mut scene = Scene::set("Postgres stopped").await;
    let load = scene.load().await;
    let watching = scene.watch(false);
    for _ in 0..4 {
        faults::stop_postgres(&scene.house, &load.history, &mut scene.choices).await;
    }
    sleep(AFTERMATH).await;
    let history = load.heal().await;
    assert!(history.unknown() > 0, "no fault hit anybody");
    scene.check(&history, watching).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_comes_and_goes_under_load() {
    let mut scene = Scene::set("restless subscriber").await;
    let load = scene.load().await;
    let watching = scene.watch(true);
    sleep(Duration::from_secs(5)).await;
    let (left, told) = (watching.departures(), load.history.acknowledged());
    eprintln!("it left {left} times while {told} appends were told");
    assert!(left > 0, "it never left");
    let history = load.heal().await;
    scene.check(&history, watching).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_hang_up_midway() {
    let mut scene = Scene::set("callers hang up").await;
    let address = scene.house.address();
    let at = *address.borrow();
    let caller = scene.accounts[0].clone();
    let desk = Desk { caller: caller.clone(), address, history: Arc::<History>::default() };
    let conversations = join_all((0..8).map(|_| caller.start(at))).await;
    let watching = scene.watch(false);

    let storm = (0..200).map(|nth| {
        let (caller, conversation) = (caller.clone(), conversations[nth % conversations.len()].clone());
        let (command, text) = (format!("hung-{nth}"), format!("cut off {nth}"));
        let patience = Duration::from_micros(scene.choices.random_range(0..60_000));
        async move {
            let invoked = Clock::instant();
            let told = timeout(patience, caller.append(at, &conversation, &command, &text)).await.ok().flatten();
            (conversation, command, text, invoked, told.map(|told| (told, Clock::instant())))
        }
    });
    let storm = join_all(storm.collect::<Vec<_>>()).await;
    let cut = storm.iter().filter(|(.., told)| told.is_none()).count();
    assert!(cut > 20, "only {cut} of 200 hung up before they were told");

    // An innocent's write is there for others at once, on whatever connection the storm left it.
    let mut database = scene.house.database().await;
    for nth in 0..20 {
        let (invoked, command, text) = (Clock::instant(), format!("innocent-{nth}"), format!("innocent {nth}"));
        let (told, completed) = desk.append(&conversations[0], &command, &text).await;
        let Told::Done { position, message, .. } = told.clone() else { panic!("{told:?}") };
        let sql = "SELECT id FROM event WHERE position = $1";
        let held = sqlx::query_scalar(sql).bind(position).fetch_optional(&mut database).await.expect("the log");
        assert_eq!(held, Some(message), "an acknowledged write that nobody else sees");
        let conversation = conversations[0].clone();
        let told = vec![told];
        let asked = Asked { conversation, command, text, invoked, completed, told, impostor: None };
        desk.history.asked().push(asked);
    }
    checkers::nobody_sits_in_a_transaction(&mut database).await;
    drop(database);

    // What was cut off comes to one answer when it is asked for again.
    for (conversation, command, text, invoked, first) in storm {
        let (again, at) = desk.append(&conversation, &command, &text).await;
        let completed = first.as_ref().map_or(at, |(_, at)| *at);
        let told = first.map(|(told, _)| told).into_iter().chain([again]).collect();
        let asked = Asked { conversation, command, text, invoked, completed, told, impostor: None };
        desk.history.asked().push(asked);
    }
    scene.check(&desk.history, watching).await;
}

/// A ledger of two accounts' own, and what it is put through.
struct Scene {
    house: House,
    seed: Seed,
    /// For the faults.
    choices: StdRng,
    /// The first one is watched.
    accounts: Vec<Caller>,
}

impl Scene {
    async fn set(scenario: &str) -> Self {
        let seed = Seed::draw(scenario);
        let house = House::build().await;
        let mut accounts = Vec::new();
        for email in ["first@example.org", "second@example.org"] {
            accounts.push(Caller::new(house.token(email).await));
        }
        Self { house, seed, choices: seed.choices(0), accounts }
    }

    async fn load(&self) -> Load {
        Load::start(&self.house, self.seed, &self.accounts).await
    }

    fn watch(&self, restless: bool) -> Subscriber {
        let restless = restless.then(|| self.seed.choices(u64::from(u32::MAX)));
        Subscriber::start(self.accounts[0].clone(), self.house.address(), restless)
    }

    /// Everything that must hold, whatever happened.
    async fn check(&mut self, history: &History, watching: Subscriber) {
        let (asked, unknown) = (history.asked().len(), history.unknown());
        checkers::each_has_one_answer(history);
        checkers::order_is_that_of_time(history);

        let mut database = self.house.database().await;
        let head = checkers::log_is_dense(&mut database).await;
        eprintln!("{asked} appends, {unknown} tries without an answer, {head} events");
        checkers::acknowledged_is_there_once(&mut database, history).await;

        let address = *self.house.address().borrow();
        let mut events = Vec::new();
        for account in &self.accounts {
            events.extend(account.events(address).await);
        }
        checkers::words_are_as_said(&events, history);

        let watched = self.accounts[0].viewer(address).await;
        let sql = "SELECT max(position) FROM event WHERE owner_id = $1";
        let last = sqlx::query_scalar(sql).bind(watched).fetch_one(&mut database).await.expect("the log");
        let seen = watching.end(last).await;
        checkers::seen_is_the_log(&mut database, watched, &seen).await;
        checkers::nobody_sits_in_a_transaction(&mut database).await;

        let report = self.house.verify().await;
        assert_eq!((&report["ok"], report["size"].as_i64()), (&true.into(), Some(head)), "{report}");

        let live = checkers::rows_of_view(&mut database, "conversation", head).await;
        drop(database);
        self.house.stop().await;
        self.house.offline("DROP SCHEMA conversation CASCADE").await;
        self.house.start().await;
        let mut database = self.house.database().await;
        let fresh = checkers::rows_of_view(&mut database, "conversation", head).await;
        assert_eq!(live, fresh, "C6: the view is not what a fresh fold makes of the log");
        drop(database);
        self.house.stop().await;
    }
}
