//! GraphQL over HTTP, as Server-Sent Events and over WebSocket.
//!
//! Everything enters through a [`gate::Gate`]: who asks, from which origin, how much at once and for how long. Behind
//! it the schema sees only requests that have a viewer and a bounded size. [`http::router`] mounts it.

#![allow(clippy::unused_async)] // resolvers are async, also those that wait for nothing

mod account;
mod answer;
mod as_of;
mod asker;
mod audit;
mod branch;
mod budget;
mod compare;
mod conversation;
mod cursor;
mod event;
mod export;
mod forget;
pub mod gate;
mod graphiql;
pub mod http;
pub mod id;
mod input;
pub mod items;
pub mod limits;
mod loader;
mod masking;
mod media;
mod message;
mod mutation;
mod order;
mod page;
mod part;
mod payload;
mod proof;
mod query;
mod question;
mod reads;
mod retention;
mod scalar;
pub mod schema;
mod search;
mod seats;
mod snapshot;
pub mod socket;
mod sse;
mod subscription;
mod usage;
mod why;
