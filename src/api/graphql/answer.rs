//! What a client is told: the schema's response, with inner failures masked.

use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

use async_graphql::{ErrorExtensionValues, Response, ServerError, Value};
use serde::Serialize;

use crate::random;

/// The values of an error's `extensions.code` that this layer gives out or acts upon.
pub mod code {
    /// The request cannot be read, or is not one that this transport carries.
    pub const BAD_REQUEST: &str = "BAD_REQUEST";
    /// An argument is not what its type says.
    pub const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
    pub const PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
    pub const VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
    /// More is asked at once than [`limits`](crate::api::graphql::limits) allow.
    pub const TOO_LARGE: &str = "TOO_LARGE";
    pub const TOO_MANY_SUBSCRIPTIONS: &str = "TOO_MANY_SUBSCRIPTIONS";
    pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
    pub const FORBIDDEN: &str = "FORBIDDEN";
    /// We are overloaded: repeat after `extensions.retryAfter` seconds. HTTP says 503.
    pub const UNAVAILABLE: &str = "UNAVAILABLE";
    /// The viewer asks for more than it may in a minute: repeat after `extensions.retryAfter` seconds. HTTP says 429.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// The time for an answer is over. HTTP says 504.
    pub const TIMEOUT: &str = "TIMEOUT";
    /// Our fault; `extensions.id` finds it in the server's log.
    pub const INTERNAL: &str = "INTERNAL";
}

/// The extension by which an [`UNAVAILABLE`](code::UNAVAILABLE) or a [`RATE_LIMITED`](code::RATE_LIMITED) error says when
/// to come back, in seconds.
pub const RETRY_AFTER: &str = "retryAfter";

/// One response, as it goes out.
#[derive(Serialize)]
pub(super) struct Answer {
    /// Absent when nothing was executed; null when what was executed came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ServerError>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, Value>,
}

impl Answer {
    /// An answer that is nothing but the reason why there is none.
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::from_error(error(code, message))
    }

    /// An answer that asks to be asked again.
    pub fn unavailable(message: &str, retry_after: Duration) -> Self {
        Self::from_error(later(code::UNAVAILABLE, message, retry_after))
    }

    pub fn from_error(error: ServerError) -> Self {
        Self { data: None, errors: vec![error], extensions: BTreeMap::new() }
    }

    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let mut error = ServerError::new(said.unwrap_or("a panic without words"), None);
        mask(&mut error);
        Self::from_error(error)
    }

    /// Whether nothing was executed: the request itself is at fault.
    pub fn is_refusal(&self) -> bool {
        self.data.is_none()
    }

    /// Whether any of its errors says `code`.
    pub fn says(&self, code: &str) -> bool {
        self.errors.iter().any(|error| extension(error, "code").is_some_and(|value| *value == Value::from(code)))
    }

    /// After how many seconds it is worth asking again; `None` when time changes nothing.
    pub fn retry_after(&self) -> Option<u64> {
        let seconds = |error| match extension(error, RETRY_AFTER) {
            Some(Value::Number(seconds)) => seconds.as_u64(),
            _ => None,
        };
        (self.says(code::UNAVAILABLE) || self.says(code::RATE_LIMITED))
            .then(|| self.errors.iter().filter_map(seconds).max().unwrap_or(1))
    }

    /// Counts it as the answer of one request.
    pub fn count(&self) {
        let outcome = match self {
            _ if self.errors.is_empty() => "ok",
            _ if self.says(code::INTERNAL) => "internal",
            _ if self.says(code::TIMEOUT) => "timeout",
            _ if self.says(code::UNAVAILABLE) => "unavailable",
            _ if self.says(code::RATE_LIMITED) => "rate_limited",
            _ if self.is_refusal() => "refused",
            _ => "errors",
        };
        metrics::counter!("graphql_requests_total", "outcome" => outcome).increment(1);
    }

    pub fn to_json(&self) -> String {
        json(self)
    }
}

impl From<Response> for Answer {
    fn from(mut response: Response) -> Self {
        // Only execution gives an error a path: without one, parsing, validation or the choice of the operation failed.
        let executed = response.errors.is_empty()
            || response.data != Value::Null
            || response.errors.iter().any(|error| !error.path.is_empty());
        response.errors.iter_mut().for_each(settle);
        Self { data: executed.then_some(response.data), errors: response.errors, extensions: response.extensions }
    }
}

/// An error that says `code`, which the mask therefore lets through.
pub(super) fn error(code: &str, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    set(&mut error, "code", code);
    error
}

/// An error of one who asks too much.
pub(super) fn rate_limited(message: &str, retry_after: Duration) -> ServerError {
    later(code::RATE_LIMITED, message, retry_after)
}

fn later(code: &str, message: &str, retry_after: Duration) -> ServerError {
    let mut error = error(code, message);
    let seconds = retry_after.as_millis().div_ceil(1_000).max(1);
    set(&mut error, RETRY_AFTER, u64::try_from(seconds).unwrap_or(u64::MAX));
    error
}

/// `value` as JSON. What we answer with is made of JSON's own types, so it always has a form.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("answers are maps with text keys")
}

/// Gives every error a code, and masks those that nobody meant for the client.
fn settle(error: &mut ServerError) {
    if extension(error, "code").is_some() {
        return;
    }
    if error.path.is_empty() && error.source.is_none() {
        set(error, "code", code::VALIDATION_FAILED);
    } else if is_input(error) {
        set(error, "code", code::BAD_USER_INPUT);
    } else {
        mask(error);
    }
}

/// Whether the library refused an argument. It gives such errors no code and no type, only these words.
fn is_input(error: &ServerError) -> bool {
    error.source.is_none()
        && ["Failed to parse \"", "Expected input type \""].iter().any(|words| error.message.starts_with(words))
}

/// Keeps the message for the log, and gives the client an id by which to ask about it.
fn mask(error: &mut ServerError) {
    let id = random::id();
    let message = std::mem::replace(&mut error.message, format!("internal error, id {id}"));
    tracing::error!(%id, path = ?error.path, "{message}");
    error.source = None;
    error.extensions = None;
    set(error, "code", code::INTERNAL);
    set(error, "id", id.to_string());
}

fn extension<'a>(error: &'a ServerError, name: &str) -> Option<&'a Value> {
    error.extensions.as_ref()?.get(name)
}

fn set(error: &mut ServerError, name: &str, value: impl Into<Value>) {
    error.extensions.get_or_insert_with(ErrorExtensionValues::default).set(name, value);
}
