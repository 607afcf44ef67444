//! A scan opens the whole log in order, whoever owns what, however many pages it takes.

use convoledger::event::{Event, Part, Position};
use convoledger::service::Opened;
use futures::TryStreamExt as _;

use crate::support::service::{Stand, done, order, say, started};

#[tokio::test(flavor = "multi_thread")]
async fn all_of_the_log_is_opened_in_order() {
    const SAID: usize = 300;
    let stand = Stand::new().await;
    let (service, mut said) = (&stand.service, Vec::new());
    for email in ["a@example.org", "b@example.org"] {
        let actor = stand.actor(email).await;
        for part in 0..3 {
            let conversation = started(service, actor).await;
            let texts: Vec<_> = (0..SAID).map(|nth| format!("{email} {part} {nth}")).collect();
            done(service, actor, order(conversation, texts.iter().cloned().map(say))).await;
            said.extend(texts);
        }
    }

    let pages: Vec<Vec<Opened>> = service.scan(Position(0)).try_collect().await.expect("all of it");
    assert!(pages.len() > 2, "one page would show little");
    let events: Vec<_> = pages.into_iter().flatten().collect();
    let positions: Vec<_> = events.iter().map(|event| event.recorded.position.0).collect();
    let head = service.log().head().await.expect("a head");
    assert_eq!(positions, (1..=head.0).collect::<Vec<_>>());
    assert_eq!(events.iter().filter_map(text).collect::<Vec<_>>(), said);

    let rest: Vec<_> = service.scan(Position(head.0 - 7)).try_collect().await.expect("the rest");
    assert_eq!(rest.into_iter().map(|page| page.len()).sum::<usize>(), 7);
}

fn text(opened: &Opened) -> Option<String> {
    let Event::MessageAppended(message) = &opened.event else { return None };
    message.parts.as_ref().known()?.iter().find_map(|part| match part {
        Part::Text { content } => Some(content.clone()),
        _ => None,
    })
}
