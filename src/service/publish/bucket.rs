//! Checkpoints in a bucket of Amazon S3, or of a server that speaks like it: an object for each, which is never written
//! again.
//!
//! An object is named by log and size, so two logs that call themselves the same and have signed for as many events meet
//! there. That is how a fork is found.

use std::fmt;
use std::time::Duration;

use rusty_s3::{Credentials, S3Action as _, UrlStyle};
use sha2::{Digest as _, Sha256};

use super::{Answer, Unpublished, agent, read, waited};
use crate::config::Aws;
use crate::log::tree::checkpoints::Kept;
use crate::proof::base64;
use crate::proof::checkpoint::Checkpoint;
use crate::proof::note::Note;

/// How far the clocks here and there may be apart: as far as S3 bears it of requests that are not signed in advance.
const CLOCKS_APART: Duration = Duration::from_mins(15);
/// What is told of an answer, in characters.
const SAID_MAX: usize = 300;

/// A bucket, what the names of objects in it begin with, and the keys to it, which it shows to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Bucket {
    bucket: rusty_s3::Bucket,
    /// Empty, or ends in a slash.
    prefix: String,
    credentials: Credentials,
}

impl Bucket {
    /// The bucket that `s3://BUCKET/PREFIX` names, reached as `aws` says.
    ///
    /// # Errors
    /// If it is written otherwise, or something is not set that is needed.
    pub fn open(text: &str, aws: Aws) -> Result<Self, String> {
        let (name, prefix) = parse(text)?;
        let missing = "is not set, and without it no request to a bucket can be signed; set it as for other AWS tools";
        let key = aws.access_key.ok_or_else(|| format!("AWS_ACCESS_KEY_ID {missing}"))?;
        let secret = aws.secret_key.ok_or_else(|| format!("AWS_SECRET_ACCESS_KEY {missing}"))?;
        let region = aws.region.ok_or_else(|| {
            format!("AWS_REGION (or AWS_DEFAULT_REGION) {missing}, to us-east-1 where a server knows no regions")
        })?;
        // A host's certificate covers no name with more dots than one bucket adds, so such a bucket goes into the path.
        let style = if aws.endpoint.is_some() || name.contains('.') { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let endpoint = aws.endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        // The endpoint itself is not shown: somebody may have written a password into it.
        let wrong = |error: &dyn fmt::Display| {
            format!(
                "no URL of the bucket can be made ({error}): AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) is to be an http or \
                 https URL if it is set, and AWS_REGION (or AWS_DEFAULT_REGION) the name of a region"
            )
        };
        let url = endpoint.parse().map_err(|error| wrong(&error))?;
        let bucket = rusty_s3::Bucket::new(url, style, name.clone(), region).map_err(|error| wrong(&error))?;
        let credentials = match aws.session_token {
            Some(token) => Credentials::new_with_token(key, secret.as_str(), token.as_str()),
            None => Credentials::new(key, secret.as_str()),
        };
        Ok(Self { bucket, prefix, credentials })
    }

    /// Puts a checkpoint there, if it is not there already.
    pub(super) async fn take(&self, kept: &Kept) -> Result<(), Unpublished> {
        let name = self.object(&kept.checkpoint);
        let mut answer = self.put(&name, &kept.note).await?;
        if answer.status == 409 {
            // Another server of this ledger is writing the same.
            answer = self.put(&name, &kept.note).await?;
        }
        match answer.status {
            200..=299 => Ok(()),
            412 => self.compare(&name, kept).await,
            status => Err(Unpublished::Refused { status, said: format!("{}{}", self.said(&answer), advice(status)) }),
        }
    }

    /// What the object of a checkpoint is called: `PREFIX/ORIGIN/SIZE`, the size in 20 digits, so that names sort as the
    /// log grew.
    fn object(&self, checkpoint: &Checkpoint) -> String {
        format!("{}{}/{:020}", self.prefix, checkpoint.origin, checkpoint.size)
    }

    async fn put(&self, name: &str, note: &str) -> Result<Answer, Unpublished> {
        let checksum = base64(&Sha256::digest(note).into());
        // A bucket that locks its objects takes none without a checksum.
        let headers = [
            ("if-none-match", "*"),
            ("x-amz-checksum-sha256", checksum.as_str()),
            ("x-amz-sdk-checksum-algorithm", "SHA256"),
        ];
        let mut action = self.bucket.put_object(Some(&self.credentials), name);
        for (header, value) in headers {
            action.headers_mut().insert(header, value);
        }
        let url = action.sign(CLOCKS_APART);
        // What is signed goes nowhere but where it was signed for.
        let mut request = agent().put(url.as_str()).config().max_redirects(0).build();
        for (header, value) in headers {
            request = request.header(header, value);
        }
        let (request, note) = (request.content_type("text/plain; charset=utf-8"), note.to_owned());
        waited(tokio::task::spawn_blocking(move || read(request.send(&note))).await)
    }

    /// Finds out whether what is there already is what was to be put there.
    async fn compare(&self, name: &str, kept: &Kept) -> Result<(), Unpublished> {
        let url = self.bucket.get_object(Some(&self.credentials), name).sign(CLOCKS_APART);
        let request = agent().get(url.as_str()).config().max_redirects(0).build();
        let answer = waited(tokio::task::spawn_blocking(move || read(request.call())).await)?;
        if answer.status != 200 {
            let said = self.said(&answer);
            return Err(Unpublished::Unread { name: name.to_owned(), status: answer.status, said });
        }
        if is_same(&answer.body, &kept.note) {
            return Ok(());
        }
        let found = match Note::parse(&answer.body).ok().and_then(|note| Checkpoint::parse(&note.text)) {
            Some(found) if found == kept.checkpoint => "the same, but signed by others".to_owned(),
            Some(found) => format!("{} events of {} with the root {}", found.size, found.origin, base64(&found.root)),
            None => "no checkpoint".to_owned(),
        };
        Err(Unpublished::Contradicted { name: name.to_owned(), found, root: base64(&kept.checkpoint.root) })
    }

    /// What an answer that is no success says, of which a part only may be shown: S3 answers a wrong signature with all
    /// that it was made from.
    fn said(&self, answer: &Answer) -> String {
        let told: Vec<_> = ["Code", "Message"].iter().filter_map(|name| element(&answer.body, name)).collect();
        let told: String = told.join(": ").chars().filter(|c| !c.is_control()).take(SAID_MAX).collect();
        let (secret, token) = (self.credentials.secret(), self.credentials.token());
        if told.is_empty() || told.contains(secret) || token.is_some_and(|token| told.contains(token)) {
            return "and nothing that can be shown".to_owned();
        }
        told
    }
}

/// `s3://BUCKET/PREFIX`, and nothing of the keys.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket.name(), self.prefix)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({self})")
    }
}

/// The bucket's name, and the prefix with its slash.
fn parse(text: &str) -> Result<(String, String), String> {
    let (name, prefix) = text.strip_prefix("s3://").map_or(("", ""), |rest| rest.split_once('/').unwrap_or((rest, "")));
    if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c)) {
        return Err(format!("`{text}` names no bucket; write s3://BUCKET/PREFIX"));
    }
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return Ok((name.to_owned(), String::new()));
    }
    // URLs take these for steps, so that the objects would lie elsewhere.
    if prefix.split('/').any(|step| ["", ".", ".."].contains(&step)) {
        return Err(format!(
            "the prefix `{prefix}` has an empty step, `.` or `..`; name every step between two slashes"
        ));
    }
    Ok((name.to_owned(), format!("{prefix}/")))
}

/// Whether both are one checkpoint by one key. Witnesses may have signed one of them besides.
fn is_same(found: &str, ours: &str) -> bool {
    let (Ok(found), Ok(ours)) = (Note::parse(found), Note::parse(ours)) else { return false };
    found.text == ours.text && found.signatures.iter().any(|signature| ours.signatures.contains(signature))
}

/// What to do about a refusal.
const fn advice(status: u16) -> &'static str {
    match status {
        301 | 307 | 400 => "; look whether AWS_REGION is where the bucket is",
        401 | 403 => "; look whether AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are a pair that may write there",
        404 => "; make the bucket first",
        _ => "",
    }
}

/// The text of the first element of this name.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once('<')?.0)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::{StatusCode, header};
    use chrono::DateTime;
    use zeroize::Zeroizing;

    use super::*;
    use crate::proof::note::Signer;

    fn aws(endpoint: Option<&str>) -> Aws {
        Aws {
            endpoint: endpoint.map(str::to_owned),
            region: Some("eu-central-1".to_owned()),
            access_key: Some("AKID".to_owned()),
            secret_key: Some(Zeroizing::new("hushhush".to_owned())),
            session_token: Some(Zeroizing::new("mumsword".to_owned())),
        }
    }

    #[test]
    fn objects_lie_where_aws_tools_look_for_them() {
        let checkpoint = Checkpoint { origin: "a.org/log".into(), size: 7, root: [0; 32] };
        let file = "a.org/log/00000000000000000007";
        let minio = Some("http://127.0.0.1:9000");
        for (text, endpoint, at) in [
            ("s3://b", None, format!("https://b.s3.eu-central-1.amazonaws.com/{file}")),
            ("s3://b/p/q/", None, format!("https://b.s3.eu-central-1.amazonaws.com/p/q/{file}")),
            ("s3://b.c/p", None, format!("https://s3.eu-central-1.amazonaws.com/b.c/p/{file}")),
            ("s3://b/p q", minio, format!("http://127.0.0.1:9000/b/p%20q/{file}")),
        ] {
            let bucket = Bucket::open(text, aws(endpoint)).expect("a bucket");
            assert_eq!(bucket.bucket.object_url(&bucket.object(&checkpoint)).as_str(), at, "{text}");
        }
    }

    #[test]
    fn neither_a_bucket_nor_what_it_answers_shows_the_keys_to_it() {
        let bucket = Bucket::open("s3://b/p", aws(None)).expect("a bucket");
        assert_eq!(format!("{bucket} {bucket:?}"), "s3://b/p/ Bucket(s3://b/p/)");
        let said = |body: &str| bucket.said(&Answer { status: 403, body: body.to_owned() });
        let answer = "<Error><Code>Wrong</Code><Message>It\nis</Message><CanonicalRequest>mumsword</CanonicalRequest>";
        assert_eq!(said(answer), "Wrong: Itis");
        for answer in ["", "<html>", "<Code>mumsword</Code>", "<Code>a</Code><Message>hushhush</Message>"] {
            assert_eq!(said(answer), "and nothing that can be shown");
        }
    }

    /// Takes a checkpoint to a server that gives these answers, all of them, and points elsewhere in each.
    async fn taken(note: &str, answers: &[(u16, &str)]) -> Result<(), Unpublished> {
        let left: VecDeque<_> = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let left = Arc::new(Mutex::new(left));
        let from = Arc::clone(&left);
        let app = Router::new().fallback(async move || {
            let (status, body) = from.lock().expect("a lock").pop_front().expect("nothing more is asked");
            (StatusCode::from_u16(status).expect("a status"), [(header::LOCATION, "/elsewhere")], body)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        let checkpoint = Checkpoint::parse(&Note::parse(note).expect("a note").text).expect("a checkpoint");
        let kept = Kept { checkpoint, note: note.to_owned(), signed_at: DateTime::UNIX_EPOCH };
        let done = Bucket::open("s3://b/p", aws(Some(&url))).expect("a bucket").take(&kept).await;
        serving.abort();
        assert!(left.lock().expect("a lock").is_empty(), "all of {answers:?} were asked for");
        done
    }

    #[tokio::test]
    async fn a_busy_object_is_offered_again_and_one_that_is_there_is_compared() {
        let signer = Signer::new("a.org/log", &[1; 32]);
        let note = |root: u8| {
            let text = Checkpoint { origin: "a.org/log".into(), size: 7, root: [root; 32] }.text();
            Note { signatures: vec![signer.sign(&text, 0)], text }.to_string()
        };
        let (ours, fork) = (note(1), note(2));
        assert!(taken(&ours, &[(409, ""), (200, "")]).await.is_ok());
        assert!(taken(&ours, &[(409, ""), (412, ""), (200, &ours)]).await.is_ok());
        for (answers, error) in [
            (vec![(409, ""), (409, "")], "it answers 409"),
            (vec![(307, "")], "it answers 307"),
            (vec![(501, "<Code>NotImplemented</Code>")], "it answers 501: NotImplemented"),
            (vec![(412, ""), (403, "<Code>AccessDenied</Code>")], "reading it is answered 403: AccessDenied"),
            (vec![(412, ""), (200, &fork)], "7 events of a.org/log with the root AgICAgIC"),
            (vec![(412, ""), (200, "else")], "no checkpoint; ours has the root AQEBAQEB"),
        ] {
            let said = taken(&ours, &answers).await.expect_err("a refusal").to_string();
            assert!(said.contains(error), "{said}");
        }
    }

    #[test]
    fn the_same_checkpoint_is_one_by_the_same_key_whoever_signed_it_besides() {
        let [ours, others] = [1, 2].map(|seed| Signer::new("a.org/log", &[seed; 32]));
        let note = |root: u8, signers: &[&Signer]| {
            let text = Checkpoint { origin: "a.org/log".into(), size: 7, root: [root; 32] }.text();
            Note { signatures: signers.iter().map(|signer| signer.sign(&text, 0)).collect(), text }.to_string()
        };
        assert!(is_same(&note(1, &[&ours]), &note(1, &[&ours])));
        assert!(is_same(&note(1, &[&ours]), &note(1, &[&others, &ours])));
        assert!(!is_same(&note(1, &[&others]), &note(1, &[&ours])));
        assert!(!is_same(&note(2, &[&ours]), &note(1, &[&ours])));
        assert!(!is_same("", &note(1, &[&ours])));
    }
}
