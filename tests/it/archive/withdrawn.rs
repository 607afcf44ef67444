//! Nothing is handed out of whoever is being forgotten, and nothing that was begun stays.

use chrono::TimeDelta;
use convoledger::archive::manifest::Of;
use convoledger::archive::work::{Cover, Work};
use convoledger::event::Requester;
use convoledger::ledger::Act;
use convoledger::service::{ExportError, Wanted};

use super::{Told, exported, files};
use crate::support::service::{done, order, say, started};

#[tokio::test]
async fn an_export_ends_when_its_account_is_closed() {
    let told = Told::new().await;
    let (service, account) = (&told.stand.service, told.actor.account);
    let to = told.path("half.zip");
    let work = Work::in_directory(told.path("half.partial"), Cover::Clear).expect("a directory");
    let wanted = Wanted { of: Of::Account { account }, size: None, masked: false };
    // Closed amid it: when the first events were told.
    let (closing, closed) = std::sync::mpsc::channel();
    let asked = service.clone();
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::spawn(move || {
        closed.recv().expect("it was begun");
        runtime.block_on(asked.request_forgetting(account, Requester::Subject, TimeDelta::days(1))).expect("a request");
    });
    let mut thread = Some(thread);
    let outcome = tokio::task::spawn_blocking({
        let (service, runtime, work, to) =
            (service.clone(), tokio::runtime::Handle::current(), work.clone(), to.clone());
        move || {
            runtime.block_on(service.export(wanted, &work, to, |_, _| {
                if let Some(thread) = thread.take() {
                    closing.send(()).expect("it listens");
                    thread.join().expect("it is closed");
                }
            }))
        }
    });
    let outcome = outcome.await.expect("no panic");
    assert!(matches!(outcome, Err(ExportError::Closed)), "{outcome:?}");
    assert!(!to.exists() && !work.directory().exists());
    assert!(!told.path("half.new").exists());
    let again = exported(service, wanted, &to).await;
    assert!(matches!(again, Err(ExportError::Closed)), "{again:?}");
    assert!(!told.path("half.partial").exists());
}

#[tokio::test]
async fn what_was_forgotten_is_told_as_forgotten() {
    let told = Told::new().await;
    let conversation = started(&told.stand.service, told.actor).await;
    let said = done(&told.stand.service, told.actor, order(conversation, [say("a xylophone"), say("and more")])).await;
    let message = said.messages[0];
    done(&told.stand.service, told.actor, order(conversation, [Act::ForgetMessage { message }])).await;
    let path = told.export("some.zip").await;
    let checked = told.check(&path).await.expect("it holds");
    assert_eq!(checked.manifest.counts.words[&convoledger::archive::line::State::Gone], 1);
    let all: Vec<u8> = files(&path).into_values().flatten().collect();
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(!all.contains("xylophone") && all.contains("and more"));
    assert!(all.contains("*What was said here was forgotten.*"));
}
