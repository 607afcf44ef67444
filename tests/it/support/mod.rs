//! What the tests stand on.

pub mod postgres;
pub mod program;
pub mod proxy;
pub mod service;
