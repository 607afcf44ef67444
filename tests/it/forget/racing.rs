//! A person is forgotten while everything that is theirs is being added to, made anew, handed out and watched.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use convoledger::archive::manifest::Of;
use convoledger::archive::work::{Cover, Work};
use convoledger::event::{Position, Requester};
use convoledger::format;
use convoledger::ledger::account::Forgetting;
use convoledger::projection::{Rebuild, SEARCH};
use convoledger::service::{Actor, ExportError, Exports, Imported, Outcome, Reason, Service, Wanted, Watched};
use futures::StreamExt as _;
use futures::future::join_all;
use rand::RngExt as _;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Two, essence, said};
use crate::support::program::fixture;
use crate::support::service::{Stand, opener, order, say, started};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_under_way_it_ends_in_one_receipt_and_nothing_comes_back() {
    let (two, home) = (Two::new().await, TempDir::new().expect("a directory"));
    let kept = home.path().join("exports");
    let servers = [server(&two.stand, &kept).await, server(&two.stand, &kept).await];
    let [one, other] = &servers;
    let (goes, account) = (two.goes, two.goes.account);
    let more = started(one, goes).await;
    let jobs: Vec<_> = servers.iter().map(exporting).collect();
    let watched = other.watch(goes, Position(0), Watched::default());
    let watching = tokio::spawn(timeout(Duration::from_secs(5), watched.for_each(|event| async { drop(event) })));

    let appends = async {
        let mut said = 0;
        while let Outcome::Done(_) =
            other.execute(goes, order(more, [say("one more xylophone")])).await.expect("an answer")
        {
            said += 1;
        }
        said
    };
    let imports = async {
        for nth in 0.. {
            for transcript in
                format::open(Path::new(&fixture("chatgpt/librechat-chatgpt-tree.json"))).expect("an export")
            {
                let mut transcript = transcript.expect("a conversation");
                transcript.id = format!("{} {nth}", transcript.id);
                match other.import(goes, transcript).await.expect("an answer") {
                    Imported::Taken { .. } => {}
                    Imported::Refused(Reason::Forgotten) => return nth,
                    Imported::Refused(reason) => panic!("{reason}"),
                }
            }
        }
        0
    };
    let anew = async {
        while other.forgetting(account).await.expect("an answer") != Forgetting::Done {
            let _ = rebuilt(&two, other).await; // what is swept under its hands may end it
        }
    };
    let exports = async {
        for nth in 0.. {
            let to = home.path().join(format!("{nth}.zip"));
            let outcome = exported(other, goes, &to).await;
            if matches!(outcome, Err(ExportError::Closed)) {
                return (nth, to);
            }
            outcome.expect("an export");
        }
        (0, home.path().to_owned())
    };
    let asks = async {
        while one.request_export(goes, false, None).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let forgetting = async {
        sleep(Duration::from_millis(700)).await;
        two.request().await;
        one.forget(account).await.expect("it ends")
    };
    let (said_more, imported, (), (handed_out, unmade), (), forgotten) =
        tokio::join!(appends, imports, anew, exports, asks, forgetting);
    assert!(said_more > 0 && imported > 0, "it was under way: {said_more} {imported} {handed_out}");
    assert!(!unmade.exists() && !unmade.with_extension("partial").exists());
    assert_eq!(other.forget(account).await.expect("it is over").receipt, forgotten.receipt);
    let parts = format!("SELECT sum(octet_length(words_digest) / 33)::bigint FROM event WHERE owner_id = '{account}'");
    assert_eq!(forgotten.receipt["receipt"]["words"]["parts"], two.number(&parts).await);
    assert_eq!(essence(&forgotten.receipt)[1][0]["count"], two.number(&parts).await);

    two.is_over(other).await;
    rebuilt(&two, other).await.expect("rows");
    two.is_over(other).await;
    watching.await.expect("no panic").ok();
    let again = other.watch(goes, Position(0), Watched::default()).take(said(other, goes).await.0);
    let texts: Vec<_> = again.map(|event| event.expect("it opens").event.text()).collect().await;
    assert!(texts.iter().all(Option::is_none), "{texts:?}");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(names(&kept), Vec::<String>::new());
    for job in jobs {
        job.abort();
    }
}

/// Forgotten before, amid and behind the moment at which their export is made: nothing of it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_an_export_that_is_being_made_nothing_stays() {
    let (stand, home) = (Stand::new().await, TempDir::new().expect("a directory"));
    let kept = home.path().join("exports");
    let servers = [server(&stand, &kept).await, server(&stand, &kept).await];
    let jobs: Vec<_> = servers.iter().map(exporting).collect();
    for round in 0..24_u64 {
        let goes = stand.actor(&format!("{round}@example.org")).await;
        let conversation = started(&servers[0], goes).await;
        servers[0].execute(goes, order(conversation, [say("a xylophone")])).await.expect("an answer");
        servers[1].request_export(goes, round % 2 == 0, None).await.expect("a request");
        servers[0].request_export(goes, round % 2 == 0, None).await.expect("a request");
        sleep(Duration::from_millis(rand::rng().random_range(0..12 * (round + 1)))).await;
        let asked = servers[0].request_forgetting(goes.account, Requester::Subject, TimeDelta::zero());
        asked.await.expect("a request");
        let ended = join_all(servers.iter().map(|server| server.forget(goes.account))).await;
        let receipts: Vec<_> = ended.into_iter().map(|ended| ended.expect("it ends").receipt).collect();
        assert_eq!(receipts[0], receipts[1]);
    }
    // Whoever was late has seen by now that it is.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(names(&kept), Vec::<String>::new());
    for job in jobs {
        job.abort();
    }
}

#[tokio::test]
async fn who_forgets_waits_for_whoever_makes_an_export() {
    let (two, home) = (Two::new().await, TempDir::new().expect("a directory"));
    let kept = home.path().join("exports");
    let one = server(&two.stand, &kept).await;
    // As a server holds it that makes one.
    let folder = kept.join(two.goes.account.to_string());
    fs::create_dir_all(&folder).expect("a directory");
    let lock = fs::File::create(folder.join("lock")).expect("a file");
    lock.lock().expect("nobody else");
    two.request().await;
    let (forgetter, account) = (one.clone(), two.goes.account);
    let forgetting = tokio::spawn(async move { forgetter.forget(account).await });
    sleep(Duration::from_secs(1)).await;
    assert!(!forgetting.is_finished());
    assert_eq!(one.forgetting(account).await.expect("an answer"), Forgetting::Started);
    fs::write(folder.join("late.sealed"), "the last of it").expect("a file");
    drop(lock);
    forgetting.await.expect("no panic").expect("it ends");
    assert_eq!(names(&kept), Vec::<String>::new());
    two.is_over(&one).await;
}

pub(super) async fn server(stand: &Stand, exports: &Path) -> Service {
    stand.beside().await.with_exports(Exports::kept_in(exports.to_owned()))
}

pub(super) fn exporting(server: &Service) -> tokio::task::JoinHandle<()> {
    let server = server.clone();
    tokio::spawn(async move { server.keep_exporting().await })
}

async fn exported(service: &Service, actor: Actor, to: &Path) -> Result<(), ExportError> {
    let work = Work::in_directory(to.with_extension("partial"), Cover::Clear)?;
    let wanted = Wanted { of: Of::Account { account: actor.account }, size: None, masked: false };
    service.export(wanted, &work, to.to_owned(), |_, _| ()).await.map(drop)
}

async fn rebuilt(two: &Two, service: &Service) -> Option<bool> {
    let (pool, opener) = (two.stand.database.pool(4), opener(service.log(), service.vault()));
    let stop = CancellationToken::new();
    let rebuild = Rebuild { projection: &SEARCH, pool: &pool, opener: &*opener, throttle: None, strands: 2, stop };
    rebuild.replace(|_, _| ()).await.ok()?;
    rebuild.drop_old().await.ok()
}

fn names(directory: &Path) -> Vec<String> {
    let found = fs::read_dir(directory).expect("a directory").flatten();
    found.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
