//! One function a scenario: a workload, its faults, then all checks.

use std::sync::Arc;
use std::time::Duration;

use convoledger::clock::Clock;
use convoledger::projection::BUILT_IN;
use futures::future::join_all;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::house::House;
use super::subscriber::Subscriber;
use super::wire::{Caller, Told};
use super::workload::{Asked, Desk, History, Load};
use super::{Seed, checkers, faults};
use crate::support::proxy::Weather;

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
async fn the_way_to_postgres_is_cut() {
    let mut scene = Scene::set_in(House::build_beside().await, "way to Postgres cut").await;
    let load = scene.load().await;
    let watching = scene.watch(false);
    let half = Weather::Late(Duration::from_millis(100)); // there and back again
    let mut trials: Vec<_> = (0..12).map(|_| Trial::Cut).collect();
    trials.extend([Trial::Silence, Trial::Slow(half), Trial::Slow(Weather::Trickling)]);
    trials.shuffle(&mut scene.choices);
    for trial in trials {
        match trial {
            Trial::Cut => faults::cut_behind_a_query(&scene.house, &load.history, &mut scene.choices).await,
            Trial::Silence => faults::silence_postgres(&scene.house, &load.history).await,
            Trial::Slow(weather) => faults::slow_postgres(&scene.house, &load.history, weather).await,
        }
    }
    sleep(AFTERMATH).await;
    let history = load.heal().await;
    let unanswered = scene.house.counted("append_unanswered_total").await;
    eprintln!("the lane was called {unanswered} times without an answer");
    assert!(unanswered > 0, "no fault hit an append");
    scene.check(&history, watching).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_folds_stands_still_while_another_goes_on() {
    let mut scene = Scene::set_in(House::build_beside().await, "server frozen").await;
    scene.house.start_another().await;
    let load = scene.load().await;
    let watching = scene.watch(false);
    let mut database = scene.house.database().await;
    for _ in 0..6 {
        let frozen = Duration::from_millis(scene.choices.random_range(1_000..6_000));
        let before = checkers::head(&mut database).await;
        let folded = async {
            let folding = checkers::comes_to(&mut database, "conversation", before);
            timeout(Duration::from_secs(8), folding).await.expect("the other one takes over within seconds");
        };
        tokio::join!(scene.house.freeze_elder(frozen), folded);
    }
    drop(database);
    let history = load.heal().await;
    scene.house.stop_elder().await;
    scene.check(&history, watching).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilds_are_killed_under_load() {
    let mut scene = Scene::set("rebuilds killed").await;
    let load = scene.load().await;
    let watching = scene.watch(false);
    let mut kills = 0;
    while kills < 20 {
        let patience = Duration::from_millis(scene.choices.random_range(50..1_500));
        match scene.house.rebuild(scene.choices.random(), patience).await {
            None => kills += 1,
            Some(done) => checkers::rebuilt_is_live(&done),
        }
    }
    let done = scene.house.rebuild(false, Duration::from_mins(1)).await.expect("the last one is let end");
    checkers::rebuilt_is_live(&done);
    let history = load.heal().await;
    scene.check(&history, watching).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_comes_and_goes_under_load() {
    let mut scene = Scene::set("restless subscriber").await;
    let load = scene.load().await;
    let watching = scene.watch(true);
    let restless = async {
        while watching.departures() < 100 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let began = Clock::instant();
    let _ = timeout(Duration::from_mins(1), restless).await;
    let (left, told, took) = (watching.departures(), load.history.acknowledged(), began.elapsed());
    eprintln!("it left {left} times in {took:?} while {told} appends were told");
    assert!(left >= 100, "it left {left} times only");
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
        let told = desk.say(&conversations[0], &format!("innocent-{nth}"), &format!("innocent {nth}")).await;
        let Told::Done { position, message, .. } = told else { panic!("{told:?}") };
        let sql = "SELECT id FROM event WHERE position = $1";
        let held = sqlx::query_scalar(sql).bind(position).fetch_optional(&mut database).await.expect("the log");
        assert_eq!(held, Some(message), "an acknowledged write that nobody else sees");
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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PgBouncer 1.21 or newer: tests/pgbouncer/build.sh builds one"]
async fn a_pooler_in_transaction_mode_stands_between() {
    let mut scene = Scene::set_in(House::build_pooled().await, "pooler").await;
    let (other, elsewhere) = scene.house.serve().await;
    let load = scene.load().await;
    // What is appended at one server is shown by another, to whom nobody rings.
    let (moves, place) = watch::channel(elsewhere);
    let watching = Subscriber::start(scene.accounts[0].clone(), place, None);

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chatgpt/librechat-chatgpt-tree.json");
    scene.house.token("third@example.org").await;
    for appends in [12, 0] {
        let report = scene.house.told(&["import", file, "--account", "third@example.org"]).await;
        assert_eq!(report["total"]["appended"].as_u64(), Some(appends), "{report}");
    }
    faults::cut_behind_a_query(&scene.house, &load.history, &mut scene.choices).await;
    scene.house.told(&["rebuild"]).await;
    sleep(AFTERMATH).await;
    let history = load.heal().await;
    assert!(history.acknowledged() > 100, "{} appends only", history.acknowledged());
    assert_eq!(scene.house.logged("a pooler stands before the database"), 2, "each server knows what is before it");

    // It goes on where the other server leaves it.
    let watched = scene.accounts[0].viewer(elsewhere).await;
    watching.come_to(checkers::last_of(&mut scene.house.database().await, watched).await).await;
    moves.send_replace(*scene.house.address().borrow());
    drop(other);
    scene.check(&history, watching).await;
}

/// What is done to the way to Postgres.
enum Trial {
    Cut,
    Silence,
    Slow(Weather),
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
        Self::set_in(House::build().await, scenario).await
    }

    async fn set_in(house: House, scenario: &str) -> Self {
        let seed = Seed::draw(scenario);
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
    async fn check(&mut self, history: &Arc<History>, watching: Subscriber) {
        let (asked, unknown) = (history.asked().len(), history.unknown());
        let mut database = self.house.database().await;
        let address = *self.house.address().borrow();
        let desk =
            Desk { caller: self.accounts[0].clone(), address: self.house.address(), history: Arc::clone(history) };
        let conversation = desk.caller.start(address).await;
        checkers::pool_is_whole(&mut database, &desk, &conversation).await;

        checkers::each_has_one_answer(history);
        checkers::order_is_that_of_time(history);
        // It would hide a wrong answer from the callers, who take it for none.
        assert_eq!(self.house.logged("the view has come past the event"), 0, "told of what is not where it was told");

        let head = checkers::log_is_dense(&mut database).await;
        eprintln!("{asked} appends, {unknown} tries without an answer, {head} events");
        checkers::acknowledged_is_there_once(&mut database, history).await;

        let mut events = Vec::new();
        for account in &self.accounts {
            events.extend(account.events(address).await);
        }
        checkers::words_are_as_said(&events, history);

        let watched = self.accounts[0].viewer(address).await;
        let last = checkers::last_of(&mut database, watched).await;
        let seen = watching.end(last).await;
        checkers::seen_is_the_log(&mut database, watched, &seen).await;
        checkers::nobody_sits_in_a_transaction(&mut database).await;

        let report = self.house.verify().await;
        assert_eq!((&report["ok"], report["size"].as_i64()), (&true.into(), Some(head)), "{report}");

        let mut live = Vec::new();
        for view in BUILT_IN {
            live.push(checkers::rows_of_view(&mut database, &view.name, head).await);
        }
        drop(database);
        self.house.stop().await;
        let drops = BUILT_IN.iter().map(|view| format!("DROP SCHEMA {} CASCADE;", view.name));
        self.house.offline(drops.collect()).await;
        self.house.start().await;
        let mut database = self.house.database().await;
        for (view, live) in BUILT_IN.iter().zip(live) {
            let fresh = checkers::rows_of_view(&mut database, &view.name, head).await;
            assert_eq!(live, fresh, "C6: `{}` is not what a fresh fold makes of the log", view.name);
        }
        drop(database);
        self.house.stop().await;
    }
}
