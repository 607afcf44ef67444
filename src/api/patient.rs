//! Connections that end when their peer takes nothing, or is no longer there: what is not written holds memory, and an
//! open stream its viewer's place.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

/// Accepts connections on which a write may stall for so long.
pub struct Patient {
    listener: TcpListener,
    patience: Duration,
}

impl Patient {
    pub const fn new(listener: TcpListener, patience: Duration) -> Self {
        Self { listener, patience }
    }
}

impl Listener for Patient {
    type Io = Pin<Box<TimeoutStream<TcpStream>>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        if let Err(error) = set(&stream, self.patience) {
            tracing::debug!(%error, %peer, "a connection is served without its settings");
        }
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.patience));
        (Box::pin(stream), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn set(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    // An event goes out when it is there, not when the one before was acknowledged.
    stream.set_nodelay(true)?;
    // A peer that vanished acknowledges nothing. Without this TCP hopes for a quarter of an hour.
    #[cfg(target_os = "linux")]
    {
        let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(stream, patience)?;
    }
    Ok(())
}
