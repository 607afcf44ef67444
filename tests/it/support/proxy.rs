//! A way to Postgres that can be cut, slowed down and silenced.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What happens to all that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Clear,
    /// Everything is swallowed, and nobody is told: nor that the other end has hung up.
    Silent,
    /// What is sent arrives later.
    Late(Duration),
    /// Each byte arrives alone.
    Trickling,
}

/// Listens on loopback in the place of a server, for as long as it lives.
pub struct Proxy {
    server: PgConnectOptions,
    address: SocketAddr,
    way: Arc<Way>,
    _carriers: JoinSet<()>,
}

struct Way {
    weather: watch::Sender<Weather>,
    /// How often everybody was cut off. Each connection ends when this changes.
    cuts: watch::Sender<u32>,
    /// Whole queries until the cut; none is coming when it is 0.
    fuse: AtomicU32,
}

impl Proxy {
    /// In front of the server that `server` leads to.
    pub async fn before(server: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let way =
            Way { weather: watch::channel(Weather::Clear).0, cuts: watch::channel(0).0, fuse: AtomicU32::default() };
        let (way, mut carriers) = (Arc::new(way), JoinSet::new());
        carriers.spawn(accept(listener, server.clone(), Arc::clone(&way)));
        Self { server: server.clone(), address, way, _carriers: carriers }
    }

    /// The server's URL, by this way.
    pub fn url(&self) -> String {
        let mut url = self.server.to_url_lossy();
        url.set_ip_host(self.address.ip()).expect("a host");
        url.set_port(Some(self.address.port())).expect("a port");
        url.set_query(Some("sslmode=disable"));
        url.into()
    }

    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::from_str(&self.url()).expect("a URL")
    }

    pub fn turn(&self, weather: Weather) {
        self.way.weather.send_replace(weather);
    }

    /// Cuts everybody off who is connected now.
    pub fn cut(&self) {
        self.way.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts everybody off when so many more queries were sent to the server, the last of them a moment ago: it is
    /// carried out, and its answer never comes.
    pub async fn cut_behind_query(&self, queries: u32) {
        let mut cuts = self.way.cuts.subscribe();
        self.way.fuse.store(queries, Ordering::Relaxed);
        cuts.changed().await.expect("the proxy lives");
    }
}

async fn accept(listener: TcpListener, server: PgConnectOptions, way: Arc<Way>) {
    let mut carriers = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while carriers.try_join_next().is_some() {}
        carriers.spawn(carry(client, server.clone(), Arc::clone(&way)));
    }
}

async fn carry(client: TcpStream, server: PgConnectOptions, way: Arc<Way>) {
    let mut cuts = way.cuts.subscribe();
    let Ok(server) = reach(&server).await else { return };
    let _ = client.set_nodelay(true);
    let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
    tokio::select! {
        // In this order, what the server says behind a cut is not passed on.
        biased;
        _ = cuts.changed() => {}
        _ = pass(from_server, to_client, &way, false) => {}
        _ = pass(from_client, to_server, &way, true) => {}
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn reach(server: &PgConnectOptions) -> io::Result<Box<dyn Stream>> {
    let (host, port) = (server.get_host(), server.get_port());
    Ok(match server.get_socket() {
        Some(directory) => Box::new(UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await?),
        None => Box::new(TcpStream::connect((host, port)).await?),
    })
}

/// Passes on what is said, until one end hangs up.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: &Way,
    to_server: bool,
) -> io::Result<()> {
    /// What ends each of sqlx's queries: the message `Sync`.
    const SYNC: &[u8] = b"S\0\0\0\x04";
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await;
        let weather = *way.weather.borrow();
        let said = match read {
            Ok(read) if read > 0 => &buffer[..read],
            _ if weather == Weather::Silent => std::future::pending().await,
            ended => return ended.map(drop),
        };
        match weather {
            Weather::Silent => continue,
            Weather::Clear => to.write_all(said).await?,
            Weather::Late(by) => {
                sleep(by).await;
                to.write_all(said).await?;
            }
            Weather::Trickling => {
                for byte in said.chunks(1) {
                    to.write_all(byte).await?;
                    to.flush().await?;
                }
            }
        }
        if to_server && said.ends_with(SYNC) {
            let left = way.fuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if left == Ok(1) {
                way.cuts.send_modify(|cuts| *cuts += 1);
            }
        }
    }
}
