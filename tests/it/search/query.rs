//! What a query means.

use convoledger::ledger::{Act, Tag};

use convoledger::service::{After, Hits, Search};

use super::{asked, found, searched};
use crate::support::service::{Stand, done, order, say, started};

/// Somebody who said all of this, and the server that heard it.
async fn heard(texts: &[&str]) -> (Stand, convoledger::service::Actor) {
    let stand = Stand::new().await;
    let actor = stand.actor("a@example.org").await;
    let conversation = started(&stand.service, actor).await;
    done(&stand.service, actor, order(conversation, texts.iter().map(|text| say(*text)))).await;
    (stand, actor)
}

#[tokio::test]
async fn words_count_in_all_inflections_of_the_languages_that_are_spoken() {
    let (stand, ann) = heard(&[
        "I was baking two loaves of bread for the neighbours this morning.",
        "We bake every week, and everybody in the house is happy about it.",
        "Gestern haben wir die alten Häuser am Hafen gesehen und fotografiert.",
        "Das Haus am Hafen war leider schon verkauft, sagte der Makler gestern.",
    ])
    .await;
    let find = async |query| found(&stand.service, ann, query).await;
    assert_eq!(find("bakes").await.len(), 2);
    assert_eq!(find("neighbour").await, ["I was baking two loaves of bread for the [neighbours] this morning."]);
    assert_eq!(find("Haus").await.len(), 2);
    assert_eq!(find("häuser hafen").await.len(), 2, "all words, in any case");
    assert_eq!(find("the loaves").await.len(), 1);
    assert_eq!(find("loaves house").await.len(), 0, "all words must be there");
    assert_eq!(find("loaves OR verkauft").await.len(), 2);
    assert_eq!(find("bake -bread").await.len(), 1);
    assert_eq!(find("\"baking\"").await.len(), 1, "as it was said");
    assert_eq!(find("...").await.len(), 0);
}

#[tokio::test]
async fn phrases_prefixes_and_parts_of_names() {
    let (stand, ann) = heard(&[
        "To be or not to be, that is the question.",
        "Not to question is to be.",
        "See src/main.rs or write to ann.miller@example.org, version 1.2.3 of Vec<String>.",
        "internationalization",
    ])
    .await;
    let find = async |query| found(&stand.service, ann, query).await;
    assert_eq!(find("\"not to be\"").await, ["[To] [be] or [not] [to] [be], that is the question."]);
    assert_eq!(find("question -\"that is\"").await, ["Not to [question] is to be."]);
    assert_eq!(find("internationaliz*").await, ["[internationalization]"]);
    assert_eq!(find("ques*").await.len(), 2);
    for part in
        ["main", "main.rs", "src/main.rs", "miller", "ann.miller@example.org", "1.2.3", "string", "\"vec string\""]
    {
        assert_eq!(find(part).await.len(), 1, "{part}");
    }
    assert_eq!(find("1.3.2").await.len(), 0);
}

#[tokio::test]
async fn a_typo_is_forgiven_when_little_is_found_and_is_told() {
    let (stand, ann) = heard(&["The algorithm receives a message.", "Messages are received twice."]).await;
    let find = async |query| found(&stand.service, ann, query).await;
    assert_eq!(find("algoritm").await, ["~The [algorithm] receives a message."]);
    assert_eq!(find("mesage twcie").await, ["~[Messages] are received [twice]."]);
    assert_eq!(find("\"algoritm\"").await.len(), 0, "what is quoted is meant");
    assert_eq!(find("algorithm").await, ["The [algorithm] receives a message."]);
    // What others say widens what one looks for, and is never found.
    let bob = stand.actor("b@example.org").await;
    assert_eq!(found(&stand.service, bob, "algorithm").await.len(), 0);
    assert_eq!(found(&stand.service, bob, "algoritm").await.len(), 0);
}

#[tokio::test]
async fn hits_that_a_typo_may_mean_follow_the_exact_ones_however_long_pages_are() {
    let texts = ["The algorithm receives a message.", "An algorithn of sorts.", "Every algoritm ends."];
    let (stand, ann) = heard(&texts).await;
    let whole = searched(&stand.service, ann, &asked("algorithm")).await;
    let keys = |hits: &Hits| hits.hits.iter().map(|hit| (hit.widened, hit.key.position)).collect::<Vec<_>>();
    assert_eq!(keys(&whole).iter().map(|(widened, _)| *widened).collect::<Vec<_>>(), [false, true, true]);
    for first in [1, 2] {
        let (mut search, mut paged) = (Search { first, ..asked("algorithm") }, Vec::new());
        loop {
            let page = searched(&stand.service, ann, &search).await;
            paged.extend(keys(&page));
            let Some(last) = page.hits.last().filter(|_| page.has_next) else { break };
            search.after = Some(After { until: page.until, widened: last.widened, key: last.key });
        }
        assert_eq!(paged, keys(&whole), "in pages of {first}");
    }
}

#[tokio::test]
async fn scripts_without_blanks_are_found_by_any_run_of_characters() {
    let (stand, ann) =
        heard(&["我今天想吃面包和牛奶。", "面条比包子好吃", "東京タワーへ行きました。", "ฉันชอบกินขนมปัง"]).await;
    let find = async |query| found(&stand.service, ann, query).await;
    assert_eq!(find("面包").await, ["我今天想吃[面][包]和牛奶。"]);
    assert_eq!(find("タワー").await.len(), 1);
    assert_eq!(find("ขนมปัง").await.len(), 1);
    assert_eq!(find("吃").await.len(), 2);
}

#[tokio::test]
async fn titles_and_tags_are_found_while_they_are_on() {
    let stand = Stand::new().await;
    let ann = stand.actor("a@example.org").await;
    let conversation = started(&stand.service, ann).await;
    let act = async |act: Act| done(&stand.service, ann, order(conversation, [act])).await;
    let find = async |query| found(&stand.service, ann, query).await;
    let tokens = stand.service.tokens(ann, &["winter sports".to_owned()]).await.expect("tokens");
    let tag = Tag { token: tokens[0], word: "winter sports".into() };
    act(Act::SetTitle { title: "Plans for skiing".into() }).await;
    act(Act::Tag { tags: vec![tag] }).await;
    assert_eq!(find("plan").await, ["[Plans] for skiing"]);
    assert_eq!(find("sport").await, ["winter [sports]"]);
    act(Act::SetTitle { title: "Skating".into() }).await;
    act(Act::Untag { tokens }).await;
    assert_eq!(find("plan").await.len() + find("sport").await.len(), 0);
    assert_eq!(find("skating").await.len(), 1);
    act(Act::Delete).await;
    assert_eq!(find("skating").await.len(), 0);
    act(Act::Undelete).await;
    assert_eq!(find("skating").await.len(), 1);
}

#[tokio::test]
async fn a_text_of_any_length_folds_and_is_found_by_its_beginning() {
    let words: Vec<String> = (0..700_000).map(|nth| format!("w{nth:x}")).collect();
    let (stand, ann) = heard(&[&words.join(" "), &"x".repeat(5_000_000), "after"]).await;
    assert_eq!(found(&stand.service, ann, "after").await.len(), 1);
    assert_eq!(found(&stand.service, ann, "\"w1f4\"").await.len(), 1);
}

#[tokio::test]
async fn what_is_forgotten_is_not_shown() {
    let (stand, ann) = heard(&["a secret"]).await;
    assert_eq!(found(&stand.service, ann, "secret").await.len(), 1);
    stand.service.vault().destroy(ann.owner().into()).await.expect("destroyed");
    assert_eq!(found(&stand.service, ann, "secret").await.len(), 0);
}
