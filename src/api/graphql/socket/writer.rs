//! The write side of a socket: a bounded queue, one message at a time, and no patience with a peer that takes none.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::SinkExt as _;
use futures::stream::SplitSink;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::close::Close;
use super::operation::{Operation, Subscriptions};

/// Messages of operations that wait to be written. When it is full, no stream is polled: nothing is read from the log
/// that nobody takes.
const QUEUE_MAX: usize = 256;
/// Acknowledgements, pings and pongs overtake the queue, lest a busy socket look dead.
const CONTROL_MAX: usize = 16;

/// Where a socket's messages go in.
#[derive(Clone)]
pub(super) struct Sender {
    control: mpsc::Sender<String>,
    queue: mpsc::Sender<Queued>,
}

pub(super) struct Writer {
    control: mpsc::Receiver<String>,
    queue: mpsc::Receiver<Queued>,
    patience: Duration,
    subscriptions: Subscriptions,
    /// The subscription that was written last, and where it is.
    last: Option<(Arc<Operation>, String)>,
}

enum Queued {
    Message { operation: Arc<Operation>, text: String, cursor: Option<String> },
    Close(Close),
}

/// A queue, and who empties it. A write may take as long as `patience`.
pub(super) fn line(patience: Duration, subscriptions: Subscriptions) -> (Sender, Writer) {
    let (control, control_out) = mpsc::channel(CONTROL_MAX);
    let (queue, queue_out) = mpsc::channel(QUEUE_MAX);
    let writer = Writer { control: control_out, queue: queue_out, patience, subscriptions, last: None };
    (Sender { control, queue }, writer)
}

/// A closed channel means that the socket is closing, which its other side sees to: nobody is left to tell.
impl Sender {
    pub async fn control(&self, text: String) {
        let _ = self.control.send(text).await;
    }

    /// Waits for room in the queue.
    pub async fn message(&self, operation: Arc<Operation>, text: String, cursor: Option<String>) {
        let _ = self.queue.send(Queued::Message { operation, text, cursor }).await;
    }

    /// Closes the socket once what is queued is written.
    pub async fn close(&self, close: Close) {
        let _ = self.queue.send(Queued::Close(close)).await;
    }
}

impl Writer {
    /// Writes until the peer is gone (`None`), is too slow, or the queue says to close.
    pub async fn run(&mut self, sink: &mut SplitSink<WebSocket, Message>) -> Option<Close> {
        loop {
            let text = tokio::select! {
                biased;
                Some(text) = self.control.recv() => text,
                queued = self.queue.recv() => match queued? {
                    Queued::Close(close) => return Some(close),
                    // The client has said that it no longer listens, and may have given the id to another operation.
                    Queued::Message { operation, .. } if operation.is_stopped() => continue,
                    Queued::Message { operation, text, cursor } => {
                        // Noted before it is written: what stalls half-way still goes out before the close.
                        if let Some(cursor) = cursor {
                            self.last = Some((operation, cursor));
                        }
                        text
                    }
                },
            };
            match timeout(self.patience, sink.send(Message::text(text))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(self.too_slow()),
            }
        }
    }

    /// A cursor says it all only if there is no other subscription, which would have another.
    fn too_slow(&self) -> Close {
        let alone = self.subscriptions.count() == 1;
        let only = self.last.as_ref().filter(|(operation, _)| alone && operation.is_running());
        Close::too_slow(only.map(|(_, cursor)| cursor.as_str()))
    }
}
