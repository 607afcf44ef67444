//! GraphQL over HTTP.

use std::time::{Duration, Instant};

use convoledger::api::graphql::gate::Timers;
use reqwest::header::{ACCEPT, ALLOW, CONTENT_TYPE, ETAG, IF_NONE_MATCH, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::toy::{TOKEN, Toy};

const GRAPHQL: &str = "application/graphql-response+json";
const BUMP: &str = r#"{"query":"mutation { bump }"}"#;

#[tokio::test]
async fn a_mutation_runs_by_json_post_alone() {
    let toy = Toy::start().await;
    let form = "query=mutation+%7B+bump+%7D";
    let multipart =
        "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{\"query\":\"mutation { bump }\"}\r\n--b--";
    for (content_type, body) in [
        (Some("text/plain"), BUMP),
        (Some("application/x-www-form-urlencoded"), form),
        (Some("multipart/form-data; boundary=b"), multipart),
        (Some("application/json; charset=utf-16"), BUMP),
        (Some("application/graphql"), "mutation { bump }"),
        (None, BUMP),
    ] {
        let mut request = toy.post().body(body);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        refused(request, StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_REQUEST").await;
    }
    let get = Client::new().get(format!("{}?{form}", toy.url())).bearer_auth(TOKEN);
    let answer = refused(get, StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST").await;
    assert_eq!(answer.headers[ALLOW], "GET, POST");
    let put = Client::new().put(toy.url()).bearer_auth(TOKEN).header(CONTENT_TYPE, "application/json").body(BUMP);
    refused(put, StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST").await;
    assert_eq!(toy.bumps(), 0);

    let answer = ask(toy.json(&json!({"query": "mutation { bump }"}))).await;
    assert_eq!((answer.status, answer.body["data"]["bump"].as_i64()), (StatusCode::OK, Some(1)));
}

#[tokio::test]
async fn a_token_opens_and_nothing_else_does() {
    let toy = Toy::start().await;
    let request = |token: Option<&str>| {
        let request = Client::new().post(toy.url()).json(&json!({"query": "{ viewer }"}));
        token.map_or(request.try_clone().unwrap(), |token| request.bearer_auth(token))
    };
    for token in [None, Some("wrong"), Some("")] {
        let answer = refused(request(token), StatusCode::UNAUTHORIZED, "UNAUTHENTICATED").await;
        assert_eq!(answer.headers[WWW_AUTHENTICATE], "Bearer");
    }
    let answer = refused(request(Some("busy")), StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE").await;
    assert_eq!(answer.headers[RETRY_AFTER], "7");
    assert_eq!(ask(request(Some(TOKEN))).await.body, json!({"data": {"viewer": "ann"}}));
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_read() {
    let toy = Toy::start().await;
    let started = Instant::now();
    let large = toy.post().header(CONTENT_TYPE, "application/json").body(vec![b' '; 64 << 20]);
    // The server answers and closes without reading on, which the client may meet as a broken pipe.
    if let Ok(response) = large.send().await {
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert!(started.elapsed() < Duration::from_secs(2));
    let padded = |length: usize| toy.json(&json!({"query": "{ viewer }", "x": "x".repeat(length)}));
    assert_eq!(ask(padded(200 << 10)).await.status, StatusCode::OK);
    refused(padded(256 << 10), StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE").await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let toy = Toy::patient(Timers { body: Duration::from_millis(50), ..Timers::default() }).await;
    let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = toy.post().header(CONTENT_TYPE, "application/json").body(reqwest::Body::wrap_stream(never));
    refused(request, StatusCode::REQUEST_TIMEOUT, "TIMEOUT").await;
}

#[tokio::test]
async fn batches_are_refused_whole() {
    let toy = Toy::start().await;
    let batch = vec![json!({"query": "mutation { bump }"}); 1_000];
    refused(toy.json(&json!(batch)), StatusCode::BAD_REQUEST, "BAD_REQUEST").await;
    refused(toy.json(&json!([{"query": "mutation { bump }"}])), StatusCode::BAD_REQUEST, "BAD_REQUEST").await;
    assert_eq!(toy.bumps(), 0);
}

#[tokio::test]
async fn what_asks_for_too_much_is_refused_quickly() {
    let toy = Toy::start().await;
    let fragment = |n: usize| format!("fragment F{n} on Query {{ ...F{0} ...F{0} viewer }} ", n + 1);
    let aliases: Vec<_> = (0..150).map(|n| format!("a{n}: viewer")).collect();
    let bomb = (0..30).map(fragment).collect::<String>();
    for (what, query) in [
        ("aliases", format!("{{ query {{ {} }} }}", aliases.join(" "))),
        ("root fields", format!("{{ {} }}", "viewer ".repeat(101))),
        ("directives", format!("{{ viewer {} }}", "@skip(if: false) ".repeat(9))),
        ("many directives", format!("{{ viewer {} }}", "@a ".repeat(50_000))),
        ("tokens", format!("{{ query {{ {} }} }}", "viewer ".repeat(4_000))),
        ("depth", format!("{}viewer{}", "{ query ".repeat(12) + "{", "}".repeat(13))),
        ("fragments", format!("{{ ...F0 }} {bomb} fragment F30 on Query {{ viewer }}")),
        ("introspection", "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }".into()),
    ] {
        let started = Instant::now();
        let request = toy.json(&json!({"query": query})).header(ACCEPT, GRAPHQL);
        let answer = refused(request, StatusCode::BAD_REQUEST, "TOO_LARGE").await;
        assert!(started.elapsed() < Duration::from_secs(1), "{what} took {:?}", started.elapsed());
        assert!(answer.body.get("data").is_none(), "{what}");
    }
    let costly = toy.json(&json!({"query": "{ queries(first: 201) { queries(first: 100) { viewer } } }"}));
    refused(costly.header(ACCEPT, GRAPHQL), StatusCode::BAD_REQUEST, "GRAPHQL_VALIDATION_FAILED").await;
    let allowed = toy.json(&json!({"query": "{ queries(first: 2) { queries(first: 10) { viewer } } }"}));
    assert!(ask(allowed).await.body.get("errors").is_none());
}

#[tokio::test]
async fn a_typo_is_not_answered_with_the_schema() {
    let toy = Toy::start().await;
    let answer = ask(toy.json(&json!({"query": "{ viewe }"}))).await;
    let said = answer.body["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(!said.contains("viewer"), "{said}");
    let library = super::toy::unlimited().execute("{ viewe }").await.errors[0].message.clone();
    assert!(library.contains("viewer"), "the library no longer suggests: is the switch still needed? {library}");
}

#[tokio::test]
async fn pages_of_foreign_origins_are_refused() {
    let toy = Toy::start().await;
    let from = |origin: &str| toy.json(&json!({"query": "mutation { bump }"})).header(ORIGIN, origin);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1"] {
        refused(from(origin), StatusCode::FORBIDDEN, "FORBIDDEN").await;
    }
    assert_eq!(toy.bumps(), 0);
    assert_eq!(ask(from(&format!("http://{}", toy.address))).await.status, StatusCode::OK);
    let friend = ask(from("https://friend.example")).await;
    assert_eq!((friend.status, toy.bumps()), (StatusCode::OK, 2));
    assert_eq!(friend.headers["access-control-allow-origin"], "https://friend.example");
}

#[tokio::test]
async fn inner_failures_are_masked_and_expected_ones_pass() {
    let toy = Toy::start().await;
    for field in ["broken", "panics"] {
        let answer = ask(toy.json(&json!({"query": format!("{{ {field} }}")}))).await;
        assert!(!answer.body.to_string().contains("hunter2"), "{}", answer.body);
        let error = &answer.body["errors"][0];
        let id = error["extensions"]["id"].as_str().unwrap();
        assert_eq!(error["message"], format!("internal error, id {id}"));
        assert_eq!(error["extensions"]["code"], "INTERNAL");
    }
    let answer = ask(toy.json(&json!({"query": "{ expected viewer }"}))).await;
    assert_eq!(answer.body["errors"][0]["message"], "no such thing");
    assert_eq!(answer.body["data"], json!({"expected": null, "viewer": "ann"}));
    let large = json!({"query": "query ($n: Int!) { double(n: $n) }", "variables": {"n": 3_000_000_000_i64}});
    let answer = ask(toy.json(&large)).await;
    assert_eq!(answer.body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{}", answer.body);
}

/// async-graphql 7.1 and 7.2 leave a failed field out of its object, whatever its type, and order fields by who is first:
/// clients then meet objects that their types rule out.
#[tokio::test]
async fn answers_have_the_shape_that_the_schema_promises() {
    let toy = Toy::start().await;
    let data = async |query: &str| ask(toy.json(&json!({"query": query}))).await.body["data"].clone();
    assert_eq!(data("{ query { broken viewer } viewer }").await, Value::Null);
    assert_eq!(data("{ maybe { broken viewer } viewer }").await, json!({"maybe": null, "viewer": "ann"}));
    assert_eq!(data("{ maybe { query { broken } } viewer }").await, json!({"maybe": null, "viewer": "ann"}));
    let slow = toy.json(&json!({"query": "{ slow(ms: 30) viewer }"})).send().await.unwrap().text().await.unwrap();
    assert_eq!(slow, r#"{"data":{"slow":true,"viewer":"ann"}}"#);
}

#[tokio::test]
async fn load_and_lateness_have_their_status() {
    let toy = Toy::patient(Timers { execution: Duration::from_millis(50), ..Timers::default() }).await;
    let answer = refused(toy.json(&json!({"query": "{ busy }"})), StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE").await;
    assert_eq!(answer.headers[RETRY_AFTER], "3");
    let slow = toy.json(&json!({"query": "{ slow(ms: 5000) }"}));
    refused(slow, StatusCode::GATEWAY_TIMEOUT, "TIMEOUT").await;
}

#[tokio::test]
async fn the_status_means_what_the_media_type_says() {
    let toy = Toy::start().await;
    let status = async |query: &str, accept: &'static str| {
        let answer = ask(toy.json(&json!({"query": query})).header(ACCEPT, accept)).await;
        (answer.status.as_u16(), answer.headers[CONTENT_TYPE].to_str().unwrap().to_owned())
    };
    let graphql = "application/graphql-response+json; charset=utf-8".to_owned();
    let json = "application/json; charset=utf-8".to_owned();
    assert_eq!(status("{ nothing }", GRAPHQL).await, (400, graphql.clone()));
    assert_eq!(status("{ nothing }", "application/json").await, (200, json.clone()));
    assert_eq!(status("{ expected }", GRAPHQL).await, (200, graphql));
    assert_eq!(status("subscription { events { position } }", GRAPHQL).await.0, 400);
    assert_eq!(status("{ viewer }", "image/png").await, (406, json));
}

#[tokio::test]
async fn graphiql_comes_from_us_and_needs_no_token() {
    let toy = Toy::start().await;
    let get = |path: &str| Client::new().get(format!("http://{}{path}", toy.address)).header(ACCEPT, "text/html");
    let page = get("/graphql").send().await.unwrap();
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
    let page = page.text().await.unwrap();
    let assets = page.split('"').filter(|text| text.starts_with("/graphiql/")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(assets.len(), 7, "{assets:?}");
    assert!(!page.contains("http"), "nothing comes from elsewhere");
    for asset in assets {
        let response = get(&asset).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{asset}");
        let again = get(&asset).header(IF_NONE_MATCH, response.headers()[ETAG].clone()).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{asset}");
    }
    assert_eq!(get("/graphiql/../Cargo.toml").send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Toy {
    fn post(&self) -> RequestBuilder {
        Client::new().post(self.url()).bearer_auth(TOKEN)
    }

    fn json(&self, body: &Value) -> RequestBuilder {
        self.post().json(body)
    }
}

async fn ask(request: RequestBuilder) -> Answer {
    let response: Response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.json().await.unwrap() }
}

async fn refused(request: RequestBuilder, status: StatusCode, code: &str) -> Answer {
    let answer = ask(request).await;
    assert_eq!((answer.status, answer.body["errors"][0]["extensions"]["code"].as_str()), (status, Some(code)));
    answer
}
