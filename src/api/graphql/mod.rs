//! GraphQL over HTTP and over WebSocket.
//!
//! Everything enters through a [`gate::Gate`]: who asks, from which origin, how much at once and for how long. Behind
//! it the schema sees only requests that have a viewer and a bounded size. [`http::router`] mounts it.

mod answer;
pub mod gate;
mod graphiql;
pub mod http;
pub mod limits;
mod media;
mod question;
pub mod socket;
