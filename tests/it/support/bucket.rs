//! A server of buckets that others wrote: it checks signatures, digests and `If-None-Match` as its authors understood S3.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::error_handling::HandleError;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use s3s::HttpError;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The bucket that is there.
pub const NAME: &str = "proofs";
const ACCESS_KEY: &str = "AKIDOFTHETESTS";
pub const SECRET_KEY: &str = "the-secret-key-of-the-tests";

/// Answers on loopback for as long as it lives, but while it is closed.
pub struct Buckets {
    directory: TempDir,
    address: SocketAddr,
    answers: Arc<Mutex<Vec<(String, u16)>>>,
    runtime: Option<Runtime>,
}

impl Buckets {
    pub fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join(NAME)).expect("a bucket");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut buckets = Self { directory, address, answers: Arc::default(), runtime: None };
        buckets.reopen();
        buckets
    }

    pub fn close(&mut self) {
        self.runtime = None;
    }

    /// Answers again where it did before.
    pub fn reopen(&mut self) {
        let mut builder = S3ServiceBuilder::new(FileSystem::new(self.directory.path()).expect("a directory"));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let failed = |error: HttpError| async move { (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}")) };
        let answers = Arc::clone(&self.answers);
        let app = Router::new().fallback_service(HandleError::new(builder.build(), failed)).layer(middleware::from_fn(
            move |request: Request, next: Next| {
                let (answers, method) = (Arc::clone(&answers), request.method().to_string());
                async move {
                    let answer = next.run(request).await;
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push((method, answer.status().as_u16()));
                    answer
                }
            },
        ));
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = threads.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(self.address)).expect("a port");
        self.address = listener.local_addr().expect("an address");
        runtime.spawn(async move { axum::serve(listener, app).await });
        self.runtime = Some(runtime);
    }

    /// Has a program come here, with this secret.
    pub fn reached_by(&self, command: &mut Command, secret: &str) {
        without_aws(command)
            .env("AWS_ENDPOINT_URL_S3", format!("http://{}", self.address))
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", secret);
    }

    /// What was answered since it was asked for last: methods and their status.
    pub fn answers(&self) -> Vec<(String, u16)> {
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Files that are the bucket's objects, in the order of their names.
    pub fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.directory.path().join(NAME), &mut found);
        found.sort();
        found
    }

    /// What an object is called.
    pub fn name(&self, object: &Path) -> String {
        let name = object.strip_prefix(self.directory.path().join(NAME)).expect("below the bucket");
        name.to_str().expect("text").to_owned()
    }
}

/// Takes away whatever AWS variables the tests themselves were given.
pub fn without_aws(command: &mut Command) -> &mut Command {
    for variable in [
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ] {
        command.env_remove(variable);
    }
    command
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}
