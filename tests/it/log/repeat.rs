//! A command that comes again: once in the log, and told what it was told at first.

use convoledger::event::{Position, Version};
use convoledger::log::{Answer, Append, Expected};
use convoledger::random;
use futures::future::join_all;

use super::{OWNER, appended, command, holds, named, open, stream, target, to};
use crate::support::postgres::fresh;

#[tokio::test]
async fn the_same_command_is_told_what_it_was_told_at_first() {
    let database = fresh().await;
    let log = open(&database).await;
    appended(&log, to([target(stream(1), Expected::Any, 3)])).await;
    let again =
        || named(7, 1, [target(stream(1), Expected::Exact(Version(3)), 2), target(stream(2), Expected::Any, 1)]);
    let first = appended(&log, again()).await;
    appended(&log, to([target(stream(1), Expected::Any, 1)])).await;
    // Also when its expectation could not be met any more, and from another process.
    for log in [&log, &open(&database).await] {
        assert_eq!(log.append(again()).await.expect("an answer"), Answer::Repeated(first.clone()));
    }
    let reused = log.append(named(7, 2, [target(stream(1), Expected::Any, 1)])).await.expect("an answer");
    assert_eq!(reused, Answer::Reused { first: Position(4) });
    assert_eq!(holds(&log).await, Position(7));
    let events = log.read_command(OWNER, command(7)).await.expect("an answer");
    assert_eq!(events.iter().map(|event| event.position.0).collect::<Vec<_>>(), [4, 5, 6]);
}

#[tokio::test]
async fn a_command_without_a_name_that_comes_again_is_found_out_whatever_it_expects() {
    let database = fresh().await;
    let log = open(&database).await;
    for (number, expected) in (1..).zip([Expected::None, Expected::Any, Expected::Exact(Version(0))]) {
        let nameless = || Append { command: command(number), ..to([target(stream(number), expected, 2)]) };
        let first = appended(&log, nameless()).await;
        assert_eq!(log.append(nameless()).await.expect("an answer"), Answer::Repeated(first.clone()));
        // Among others, and for a stream that is as it expects: then its key alone finds it out.
        let elsewhere = Append { command: command(number), ..to([target(stream(number + 100), expected, 2)]) };
        let others = || to([target(stream(random::id().as_u128()), Expected::None, 1)]);
        let answers = join_all([others(), elsewhere, others()].map(|append| log.append(append))).await;
        match &answers[..] {
            [Ok(Answer::Appended(_)), Ok(Answer::Repeated(again)), Ok(Answer::Appended(_))] => {
                assert_eq!(again.first, first.first);
            }
            answers => panic!("{answers:?}"),
        }
    }
    assert_eq!(holds(&log).await, Position(12));
}

#[tokio::test]
async fn a_repeat_for_another_stream_is_a_repeat_and_hurts_nobody() {
    // A caller that starts a conversation without an id says each time another one.
    let database = fresh().await;
    let log = open(&database).await;
    let first = appended(&log, named(7, 1, [target(stream(1), Expected::None, 1)])).await;
    let commands = (2..40).map(|number| {
        if number % 2 == 0 {
            named(7, 1, [target(stream(number), Expected::None, 1)])
        } else {
            to([target(stream(number), Expected::None, 1)])
        }
    });
    for (number, answer) in (2..).zip(join_all(commands.map(|append| log.append(append))).await) {
        match answer.expect("an answer") {
            Answer::Repeated(done) if number % 2 == 0 => assert_eq!(done.first, first.first),
            Answer::Appended(_) if number % 2 == 1 => {}
            answer => panic!("command {number}: {answer:?}"),
        }
    }
    assert_eq!(holds(&log).await, Position(20));
}

#[tokio::test]
async fn sent_many_times_at_once_through_two_processes_it_goes_in_once() {
    let database = fresh().await;
    let logs = [open(&database).await, open(&database).await];
    for round in 0..20_u128 {
        let send = |log: usize| logs[log % 2].append(named(100 + round, 1, [target(stream(round), Expected::Any, 2)]));
        let answers = join_all((0..6).map(send)).await;
        let mut firsts = Vec::new();
        let mut appended = 0;
        for answer in answers {
            match answer.expect("an answer") {
                Answer::Appended(done) => {
                    appended += 1;
                    firsts.push(done);
                }
                Answer::Repeated(done) => firsts.push(done),
                answer => panic!("{answer:?}"),
            }
        }
        assert_eq!(appended, 1, "round {round}");
        assert!(firsts.windows(2).all(|pair| pair[0] == pair[1]), "{firsts:?}");
    }
    assert_eq!(holds(&logs[0]).await, Position(40));
}
