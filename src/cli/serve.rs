//! `convoledger serve`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Place;
use super::output::{LogStyle, say};
use super::retention::Retain;
use super::snapshots::Keep;
use crate::api;
use crate::config;
use crate::database::Role;
use crate::service::Service;
use crate::service::publish::{Anchor, Witness};

/// How long requests under way may take when the server is stopped.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// The account that whoever sits at this machine begins with.
const LOCAL_ACCOUNT: &str = "local@localhost";
/// What its token is called.
const LOCAL_TOKEN: &str = "serve";

/// Answers GraphQL over HTTP, until SIGTERM or Ctrl-C.
///
/// Prints `listening on http://ADDR` on stdout once it answers. On a loopback address with a Postgres of its own it
/// also prints a link that opens GraphiQL signed in as local@localhost, until others have accounts and that one does
/// not. Logs go to stderr; RUST_LOG says which (default: info).
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7717")]
    listen: SocketAddr,
    /// How logs are written
    #[arg(long, value_name = "STYLE", value_enum, default_value = "text")]
    pub log: LogStyle,
    /// A witness that is to cosign checkpoints (C2SP tlog-witness), with its public key; may be repeated
    #[arg(long = "witness", value_name = "URL#KEY")]
    witnesses: Vec<Witness>,
    /// Where each checkpoint is kept besides: a file that it is appended to, a URL that it is sent to, or a bucket that
    /// gets an object for each, reached as AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    /// say; may be repeated
    #[arg(long = "anchor", value_name = "FILE|URL|s3://BUCKET/PREFIX", value_parser = anchor)]
    anchors: Vec<Anchor>,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    retain: Retain,
}

impl Serve {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        // Before all else: what is told to stop while it starts must stop as orderly as later.
        let mut stop = Stop::new()?;
        let listener = TcpListener::bind(self.listen).await;
        let listener =
            listener.with_context(|| format!("cannot listen on {}; --listen chooses another", self.listen))?;
        api::keep_metrics();
        let mut house = place.open(Role::Serve).await?;
        house.service = house.service.with_retention(self.retain.default);
        let is_local = place.is_embedded() && self.listen.ip().is_loopback();
        house.service.renew_views();
        let thinning = self.keep.thinning().map(|policy| {
            let service = house.service.clone();
            tokio::spawn(async move { service.keep_thin(policy).await })
        });
        let (signed, published) = watch::channel(None);
        let sealing = {
            let (service, witnesses, anchors) = (house.service.clone(), self.witnesses, self.anchors);
            tokio::spawn(async move {
                tokio::join!(service.keep_sealed(signed), service.publish(published, witnesses, anchors));
            })
        };
        let epochs = house.service.clone();
        let epochs = tokio::spawn(async move { epochs.keep_epochs().await });
        let forgetting = house.service.clone();
        let forgetting = tokio::spawn(async move { forgetting.keep_forgetting().await });
        let exporting = house.service.clone();
        let exporting = tokio::spawn(async move { exporting.keep_exporting().await });
        let retaining = house.service.clone();
        let retaining = tokio::spawn(async move { retaining.keep_retention().await });
        let served = serve(house.service.clone(), listener, is_local, &mut stop).await;
        if let Some(thinning) = thinning {
            thinning.abort();
        }
        sealing.abort();
        let _ = sealing.await; // what it held is let go of
        epochs.abort();
        forgetting.abort();
        exporting.abort();
        retaining.abort();
        house.close().await;
        served.map(|()| ExitCode::SUCCESS)
    }
}

async fn serve(service: Service, listener: TcpListener, is_local: bool, stop: &mut Stop) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let token = if is_local { local_token(&service).await? } else { None };
    let shutdown = CancellationToken::new();
    let mut server = tokio::spawn(api::serve(service, listener, shutdown.clone()));
    say(&format!("listening on http://{address}"));
    if let Some(token) = token {
        say(&format!("open http://{address}/graphql#token={token}"));
        say(&format!("token {token} ({LOCAL_ACCOUNT})"));
    }
    tokio::select! {
        ended = &mut server => return Ok(ended??),
        () = stop.asked() => {}
    }
    tracing::info!("stopping");
    shutdown.cancel();
    if let Ok(ended) = tokio::time::timeout(DRAIN_WITHIN, &mut server).await {
        return Ok(ended??);
    }
    tracing::warn!("requests are cut that took longer than {} s", DRAIN_WITHIN.as_secs());
    server.abort();
    let _ = server.await; // what it held is let go of
    Ok(())
}

/// A fresh token for the first local account, in the place of the one that was printed before. None where others have
/// accounts and that one is not.
async fn local_token(service: &Service) -> anyhow::Result<Option<String>> {
    let local = if service.count_accounts().await? == 0 {
        Some(service.register(LOCAL_ACCOUNT).await?)
    } else {
        service.find_account(LOCAL_ACCOUNT).await?
    };
    let Some(local) = local else { return Ok(None) };
    service.revoke_tokens(local, LOCAL_TOKEN).await?;
    Ok(Some(service.create_token(local, LOCAL_TOKEN).await?.reveal().to_owned()))
}

fn anchor(text: &str) -> Result<Anchor, String> {
    Anchor::parse(text, config::aws)
}

/// The signals that ask for an end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
    }
}
