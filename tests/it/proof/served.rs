//! What a server shows of its tree: over GraphQL, at the paths of tlog-tiles, and to witnesses.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use convoledger::proof::bundle::Bundle;
use convoledger::proof::checkpoint::Checkpoint;
use convoledger::proof::merkle::{is_consistent, leaf, root_by};
use convoledger::proof::note::{Signer, Verifier};
use convoledger::proof::witness::{Disbelief, Request};
use convoledger::proof::{base64, hash};
use convoledger::service::publish::{Unpublished, Witness};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{grow, keys, opened, serve};
use crate::support::service::Stand;

#[tokio::test]
async fn graphql_hands_out_what_a_stranger_checks() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    grow(&stand.service, actor, 30).await;
    let url = serve(&stand).await;
    let mut tokens = Vec::new();
    for who in [actor, stand.actor("bob@example.org").await] {
        tokens.push(stand.service.create_token(who, "test").await.expect("a token").reveal().to_owned());
    }
    let ask = async |token: &str, query: &str| -> Value {
        let request = reqwest::Client::new().post(format!("{url}/graphql")).bearer_auth(token);
        let answer = request.json(&json!({ "query": query })).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    };
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let told = ask(&tokens[0], "{ checkpoint { origin size root note keys signedAt } }").await;
    let told = &told["data"]["checkpoint"];
    let keys: Vec<Verifier> = vec![text(&told["keys"][0]).parse().expect("a key")];
    let (checkpoint, _) = Checkpoint::open(&text(&told["note"]), &keys).expect("it is signed");
    assert_eq!((json!(checkpoint.size), json!(base64(&checkpoint.root))), (told["size"].clone(), told["root"].clone()));
    assert_eq!(checkpoint.origin, text(&told["origin"]));

    let proof = ask(&tokens[0], "{ inclusionProof(position: 7) { hashes size root leaf file } }").await;
    let proof = &proof["data"]["inclusionProof"];
    let path = |proof: &Value| -> Vec<_> {
        proof["hashes"].as_array().expect("hashes").iter().map(|one| hash(&text(one)).expect("a hash")).collect()
    };
    let of = hash(&text(&proof["leaf"])).expect("a hash");
    assert_eq!(root_by(&path(proof), of, 6, checkpoint.size), Some(checkpoint.root));
    let bundle = Bundle::parse(&text(&proof["file"])).expect("a file");
    assert_eq!(leaf(bundle.extra.as_ref().expect("a record")), of);
    assert_eq!(bundle.proves(of, &keys), Ok(checkpoint.clone()));

    let (old, size) = (9, checkpoint.size);
    let smaller = ask(&tokens[0], "{ inclusionProof(position: 7, size: 9) { size root file } }").await;
    let smaller = &smaller["data"]["inclusionProof"];
    assert_eq!((&smaller["size"], &smaller["file"]), (&json!(9), &Value::Null), "no checkpoint was signed of 9 events");
    let query = format!("{{ consistencyProof(from: {old}, to: {size}) {{ hashes size root leaf file }} }}");
    let grown = ask(&tokens[1], &query).await;
    let grown = &grown["data"]["consistencyProof"];
    let old_root = hash(&text(&smaller["root"])).expect("a hash");
    assert!(is_consistent(&path(grown), (old, old_root), (size, checkpoint.root)));

    for refused in [
        "{ inclusionProof(position: 0) { size } }",
        "{ inclusionProof(position: 7, size: 6) { size } }",
        "{ inclusionProof(position: 7, size: 100000) { size } }",
        "{ consistencyProof(from: 9, to: 8) { size } }",
        "{ consistencyProof(from: -1, to: 8) { size } }",
        "{ consistencyProof(from: 1, to: 100000) { size } }",
        "{ checkpoint(atLeast: 100000) { size } }",
    ] {
        assert_eq!(ask(&tokens[0], refused).await["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{refused}");
    }
    let stranger = ask(&tokens[1], "{ inclusionProof(position: 7) { size } }").await;
    assert_eq!(stranger["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "whose event it is tells only its owner");
}

#[tokio::test]
async fn tiles_are_served_where_foreign_tools_look_for_them() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    let url = serve(&stand).await;
    let get = async |path: &str| reqwest::get(format!("{url}{path}")).await.expect("an answer");
    assert_eq!(get("/checkpoint").await.status(), 404, "nothing was signed yet");
    grow(&stand.service, actor, 300).await;
    let kept = stand.service.seal_log().await.expect("a checkpoint");
    let answer = get("/checkpoint").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.text().await.expect("text"), kept.note);
    let rest = kept.checkpoint.size - 256;
    for (path, hashes) in [("/tile/0/000", 256), (&*format!("/tile/0/001.p/{rest}"), rest), ("/tile/1/000.p/1", 1)] {
        let answer = get(path).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"application/octet-stream".parse().expect("a value")),
            "{path}"
        );
        assert_eq!(answer.bytes().await.expect("bytes").len() as u64, hashes * 32, "{path}");
    }
    for path in ["/tile/0/001", "/tile/1/000", "/tile/2/000", "/tile/0/1", "/tile/entries/000", "/tile/0/000.p/0"] {
        assert_eq!(get(path).await.status(), 404, "{path}");
    }
}

/// A witness as tlog-witness has it: what it remembers, and its key.
struct Neutral {
    seen: Mutex<Option<Checkpoint>>,
    trusted: Vec<Verifier>,
    signer: Signer,
}

async fn add(State(witness): State<Arc<Neutral>>, body: String) -> (StatusCode, HeaderMap, String) {
    let mut seen = witness.seen.lock().expect("a lock");
    let say = |status, said: String| (status, HeaderMap::new(), said);
    let Ok(request) = Request::parse(&body) else { return say(StatusCode::BAD_REQUEST, "no request".into()) };
    match request.follows(seen.as_ref(), &witness.trusted) {
        Ok(checkpoint) => {
            let line = witness.signer.sign(&checkpoint.text(), 1_700_000_000);
            *seen = Some(checkpoint);
            say(StatusCode::OK, format!("{line}\n"))
        }
        Err(Disbelief::OtherOld { remembered, .. }) => say(StatusCode::CONFLICT, format!("{remembered}\n")),
        Err(error) => say(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_cosigns_and_what_it_added_is_kept() {
    let stand = Stand::new().await;
    let actor = stand.actor("ann@example.org").await;
    grow(&stand.service, actor, 10).await;
    let first = stand.service.seal_log().await.expect("a checkpoint");
    let ours = keys(&stand.service).await;
    let signer = Signer::witness("witness.example/w1", &[4; 32]);
    let key = signer.verifier();
    // It has seen the first checkpoint already, from elsewhere.
    let seen = Mutex::new(Some(opened(&first, &ours)));
    let neutral = Arc::new(Neutral { seen, trusted: ours.clone(), signer });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let app = Router::new().route("/add-checkpoint", post(add)).with_state(neutral.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let witness: Witness = format!("{url}#{key}").parse().expect("a witness");

    for _ in 0..2 {
        grow(&stand.service, actor, 10).await;
        let kept = stand.service.seal_log().await.expect("a checkpoint");
        stand.service.ask(&witness, &kept).await.expect("a cosignature");
        let newest = stand.service.newest_checkpoint().await.expect("an answer").expect("a checkpoint");
        let both = [ours[0].clone(), key.clone()];
        let (checkpoint, note) = Checkpoint::open(&newest.note, &both).expect("it is signed");
        assert_eq!(note.verified(&both).map(|by| by.len()), Ok(2));
        assert_eq!(stand.service.cosigned_size(&key).await.expect("a size"), checkpoint.size);
    }
    // It was shown another log under our key, so it does not follow ours any more.
    if let Some(seen) = neutral.seen.lock().expect("a lock").as_mut() {
        seen.root[0] ^= 1;
    }
    grow(&stand.service, actor, 10).await;
    let kept = stand.service.seal_log().await.expect("a checkpoint");
    let refused = stand.service.ask(&witness, &kept).await.expect_err("a refusal");
    assert!(matches!(refused, Unpublished::Refused { status: 422, .. }), "{refused}");
    let forger: Witness =
        format!("{url}#{}", Signer::witness("witness.example/w1", &[5; 32]).verifier()).parse().expect("a witness");
    *neutral.seen.lock().expect("a lock") = None;
    assert!(matches!(stand.service.ask(&forger, &kept).await, Err(Unpublished::Forged)));
}
