//! What a receipt claims is checked by whoever holds it, also against the server that made and signed it.

use convoledger::event::Requester;
use convoledger::proof::checkpoint::Checkpoint;
use convoledger::proof::note::{Note, Signer, Verifier};
use convoledger::proof::receipt::{self, Disproven};
use convoledger::random;
use serde_json::{Value, json};

use super::Two;

/// Signs whatever it is told to, with the keys of the ledger.
struct Hostile {
    two: Two,
    keys: Vec<Verifier>,
}

impl Hostile {
    async fn signed(&self, receipt: &Value) -> Result<receipt::Receipt, Disproven> {
        let note = self.two.stand.service.sign(receipt::text(receipt)).await.expect("it signs");
        receipt::check(&json!({ "receipt": receipt, "note": note.to_string() }).to_string(), &self.keys)
    }

    async fn disproven(&self, receipt: &Value, change: impl FnOnce(&mut Value)) -> Disproven {
        let mut changed = receipt.clone();
        change(&mut changed);
        assert_ne!(&changed, receipt);
        self.signed(&changed).await.expect_err("it does not hold")
    }
}

#[tokio::test]
async fn a_receipt_that_was_forged_is_refused_also_when_the_ledger_signed_it() {
    let two = Two::new().await;
    let service = two.stand.service.clone();
    service.checkpoint(1).await.expect("a checkpoint from before");
    two.request().await;
    let kept = service.forget(two.goes.account).await.expect("it ends").receipt;
    let keys = service.checkpoint_keys().await.expect("keys");
    let hostile = Hostile { two, keys };

    let held = receipt::check(&kept.to_string(), &hostile.keys).expect("it holds");
    assert_eq!(held.checkpoints.len(), 2);
    assert!(held.checkpoints[0].size < held.checkpoints[1].size);
    let receipt = held.says;
    assert_eq!(hostile.signed(&receipt).await.map(|held| held.checkpoints), Ok(held.checkpoints));

    // Without the keys: neither what was signed, nor who signed it, can be changed.
    let mut other = kept.clone();
    other["receipt"]["words"]["parts"] = json!(0);
    assert_eq!(receipt::check(&other.to_string(), &hostile.keys), Err(Disproven::OtherText));
    let stranger = Signer::new("elsewhere.example", &random::bytes()).verifier();
    assert!(matches!(receipt::check(&kept.to_string(), &[stranger]), Err(Disproven::Note(_))));
    assert_eq!(receipt::check("{}", &hostile.keys), Err(Disproven::Form));

    // With them: an event that never was, one at another place, and a past that was rewritten are found out.
    let position = receipt["forgotten"]["position"].as_u64().expect("a position");
    let no_event = |receipt: &mut Value| receipt["forgotten"]["leaf"] = json!(hex::encode(random::bytes::<32>()));
    assert_eq!(hostile.disproven(&receipt, no_event).await, Disproven::NotThere { position });
    let elsewhere = |receipt: &mut Value| {
        let path = receipt["log"]["inclusion"][position.to_string()].take();
        receipt["log"]["inclusion"][(position - 1).to_string()] = path;
        receipt["forgotten"]["position"] = json!(position - 1);
    };
    assert_eq!(hostile.disproven(&receipt, elsewhere).await, Disproven::NotThere { position: position - 1 });
    for missing in ["inclusion", "after", "consistency"] {
        let without = |receipt: &mut Value| receipt["log"][missing] = Value::Null;
        assert_eq!(hostile.disproven(&receipt, without).await, Disproven::Proof, "{missing}");
    }
    let before = Note::parse(receipt["log"]["before"].as_str().expect("a note")).expect("a note");
    let forked = Checkpoint { root: random::bytes(), ..Checkpoint::parse(&before.text).expect("a checkpoint") };
    let forked = hostile.two.stand.service.sign(forked.text()).await.expect("it signs");
    let rewritten = |receipt: &mut Value| receipt["log"]["before"] = json!(forked.to_string());
    assert!(matches!(hostile.disproven(&receipt, rewritten).await, Disproven::Rewritten(_)));

    // One that proves nothing says so.
    let mut bare = receipt.clone();
    bare["log"] = Value::Null;
    assert_eq!(hostile.signed(&bare).await.map(|held| held.checkpoints), Ok(Vec::new()));
}

#[tokio::test]
async fn a_receipt_says_the_same_however_often_it_is_made() {
    let two = Two::new().await;
    two.request().await;
    let service = &two.stand.service;
    let first = service.forget(two.goes.account).await.expect("it ends").receipt;
    for nth in 0..3 {
        two.stand.actor(&format!("{nth}@example.org")).await;
        service
            .checkpoint(u64::try_from(service.log().head().await.expect("a head").0).expect("a size"))
            .await
            .expect("one");
        assert_eq!(service.forget(two.goes.account).await.expect("it is over").receipt, first);
    }
    let asked = service.request_forgetting(two.goes.account, Requester::Subject, chrono::TimeDelta::zero()).await;
    assert!(asked.expect("an answer").1, "it was asked before");
}
