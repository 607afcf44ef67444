//! The edge of the GraphQL API, tried from outside on a toy schema: what the library's own glue leaves open is shut,
//! and foreign clients (node's graphql-http, graphql-ws and graphql-sse) agree.

mod http;
pub mod node;
mod socket;
mod sse;
mod toy;
