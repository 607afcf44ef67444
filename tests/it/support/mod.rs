//! What the tests stand on.

pub mod bucket;
pub mod canary;
pub mod fold;
pub mod message;
pub mod pooler;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod service;
pub mod sse;
