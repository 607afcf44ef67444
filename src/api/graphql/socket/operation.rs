//! One operation of a socket, from `subscribe` to its last message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_graphql::{Executor, Request};
use futures::StreamExt as _;

use super::message::FromServer;
use super::writer::Sender;
use crate::api::graphql::answer::Answer;
use crate::api::graphql::gate::{Gate, Viewer};
use crate::api::graphql::items::Item;

#[derive(Default)]
pub(super) struct Operation {
    id: String,
    /// The client is done with it: nothing more of it is written.
    stopped: AtomicBool,
    /// Its last message is on its way, and after that message the client may use the id again.
    finished: AtomicBool,
}

impl Operation {
    pub fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
    }

    pub fn is_running(&self) -> bool {
        !self.is_stopped() && !self.finished.load(SeqCst)
    }

    /// Answers a query or mutation.
    pub async fn execute<E: Executor, V: Viewer>(
        self: Arc<Self>,
        gate: Arc<Gate<E, V>>,
        viewer: V,
        request: Request,
        sender: Sender,
    ) {
        let answer = gate.execute(&viewer, request).await;
        answer.count();
        if answer.is_refusal() {
            return self.fail(&answer, &sender).await;
        }
        self.next(&answer, None, &sender).await;
        self.complete(&sender).await;
    }

    /// Follows a subscription to its end, at the speed at which the peer takes it.
    pub async fn follow<E: Executor, V: Viewer>(
        self: Arc<Self>,
        gate: Arc<Gate<E, V>>,
        viewer: V,
        request: Request,
        sender: Sender,
        _subscribed: Subscribed,
    ) {
        let mut items = gate.subscribe(&viewer, request, None);
        while let Some(item) = items.next().await {
            match item {
                Item::Shown { answer, cursor } => self.next(&answer, cursor, &sender).await,
                Item::Failed(answer) => return self.fail(&answer, &sender).await,
            }
        }
        self.complete(&sender).await;
    }

    /// Says why there is no more of it.
    pub async fn fail(self: &Arc<Self>, answer: &Answer, sender: &Sender) {
        let message = FromServer::Error { id: &self.id, payload: &answer.errors }.to_json();
        self.finish(message, sender).await;
    }

    async fn next(self: &Arc<Self>, answer: &Answer, cursor: Option<String>, sender: &Sender) {
        let message = FromServer::Next { id: &self.id, payload: answer }.to_json();
        sender.message(self.clone(), message, cursor).await;
    }

    async fn complete(self: &Arc<Self>, sender: &Sender) {
        self.finish(FromServer::Complete { id: &self.id }.to_json(), sender).await;
    }

    async fn finish(self: &Arc<Self>, message: String, sender: &Sender) {
        // Before it is sent: the client may reuse the id as soon as it reads this.
        self.finished.store(true, SeqCst);
        sender.message(self.clone(), message, None).await;
    }
}

/// How many subscriptions run on one socket.
#[derive(Clone, Default)]
pub(super) struct Subscriptions(Arc<AtomicUsize>);

impl Subscriptions {
    /// One more, until what is returned is dropped.
    pub fn enter(&self) -> Subscribed {
        self.0.fetch_add(1, SeqCst);
        Subscribed(self.clone())
    }

    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// One running subscription.
pub(super) struct Subscribed(Subscriptions);

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}
