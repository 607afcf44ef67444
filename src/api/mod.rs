//! The edge that speaks HTTP: it parses, authorises and renders, and decides nothing.

pub mod graphql;
