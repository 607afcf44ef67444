//! What a client asks, as GraphQL over HTTP and graphql-transport-ws both write it.

use async_graphql::{Request, Variables};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The parameters of one operation. Read strictly: what has the wrong type is refused rather than guessed at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Question {
    query: String,
    operation_name: Option<String>,
    variables: Option<Map<String, Value>>,
    /// No extension is known here, yet a client may send them, as an object.
    #[serde(rename = "extensions")]
    _extensions: Option<Map<String, Value>>,
}

impl From<Question> for Request {
    fn from(question: Question) -> Self {
        let mut request = Request::new(question.query);
        request.operation_name = question.operation_name;
        request.variables = Variables::from_json(Value::Object(question.variables.unwrap_or_default()));
        request
    }
}
