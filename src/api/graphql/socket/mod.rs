//! Subscriptions, and any other operation, over a WebSocket that speaks graphql-transport-ws.
//!
//! A socket is opened at `GET /graphql` with that sub-protocol. Its token comes with the upgrade (`Authorization`) or,
//! from a browser, which cannot send headers there, in the payload of `connection_init`, as
//! `{"authorization": "Bearer …"}` or `{"token": "…"}`.
//!
//! Every `next` of a subscription whose items have a cursor carries it as `extensions.cursor`. The protocol knows
//! neither acknowledgement nor resumption: a client that was cut subscribes again `after` the last cursor it saw.
//!
//! We close with these codes:
//!
//! | code | why |
//! |---|---|
//! | 1001 | the server goes away; running queries and mutations were answered |
//! | 1009 | a message is over 64 KiB |
//! | 4400 | a message is not one of the protocol |
//! | 4401 | an operation before the acknowledgement |
//! | 4403 | the token opens nothing, or no longer (it is looked at again every 60 s) |
//! | 4406 | the client does not offer graphql-transport-ws |
//! | 4408 | no `connection_init` in 10 s, or no pong |
//! | 4409 | an operation with this id is running |
//! | 4410 | too slow: a write stalled for 10 s. With one subscription the reason is `{"cursor": "…"}`, where to resume |
//! | 4429 | a second `connection_init`, or more than 16 sockets and event streams of one viewer |
//! | 4503 | the token cannot be checked right now |

mod close;
mod message;
mod operation;
mod session;
mod writer;

use std::sync::Arc;

use async_graphql::Executor;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;

use self::close::Close;
use self::operation::Subscriptions;
use self::session::Session;
use crate::api::graphql::gate::{Gate, Viewer};
use crate::api::graphql::limits::MESSAGE_BYTES_MAX;

const PROTOCOL: &str = "graphql-transport-ws";

/// Upgrades the connection. `token` is one that the upgrade itself brought.
pub(super) fn open<E: Executor, V: Viewer>(
    gate: Arc<Gate<E, V>>,
    upgrade: WebSocketUpgrade,
    token: Option<String>,
) -> Response {
    let upgrade = upgrade.protocols([PROTOCOL]);
    let speaks = upgrade.selected_protocol().is_some();
    let open = gate.sockets.token();
    // The library only drops what is too large. So it lets pass a little more, and we close with the code.
    let upgrade = upgrade.max_message_size(2 * MESSAGE_BYTES_MAX).max_frame_size(2 * MESSAGE_BYTES_MAX);
    upgrade.on_upgrade(move |socket| async move {
        let gauge = metrics::gauge!("graphql_sockets");
        gauge.increment(1);
        serve(gate, socket, token, speaks).await;
        gauge.decrement(1);
        drop(open);
    })
}

async fn serve<E: Executor, V: Viewer>(gate: Arc<Gate<E, V>>, socket: WebSocket, token: Option<String>, speaks: bool) {
    let patience = gate.timers.write;
    let (mut sink, mut incoming) = socket.split();
    let close = if speaks {
        let subscriptions = Subscriptions::default();
        let (sender, mut writer) = writer::line(patience, subscriptions.clone());
        let mut session = Session::new(gate, sender, subscriptions);
        // Whoever ends first ends the other: a write that is cut off stays whole in the socket's own buffer.
        tokio::select! {
            close = session.run(&mut incoming, token) => close,
            close = writer.run(&mut sink) => close,
        }
    } else {
        Some(Close::new(4406, "offer the sub-protocol graphql-transport-ws"))
    };
    let farewell = async {
        if let Some(close) = close {
            sink.send(Message::Close(Some(close.frame()))).await?;
        }
        sink.close().await?;
        // Closing a connection with bytes unread resets it, and the peer would lose the frame that says why.
        while incoming.next().await.is_some_and(|message| message.is_ok()) {}
        Ok::<_, axum::Error>(())
    };
    // A peer that is gone, or never reads on, needs no farewell.
    let _ = timeout(patience, farewell).await;
}
