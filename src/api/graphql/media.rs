//! Which media types a client sends and takes.

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

const GRAPHQL: &[&str] = &["application/graphql-response+json"];
const JSON: &[&str] = &["application/json", "application/*", "*/*"];

/// The two forms of a single GraphQL answer. They hold the same JSON and differ in what the status code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/graphql-response+json`: the status tells whether the request was well formed.
    Graphql,
    /// `application/json`: 200 whenever the body is a GraphQL answer.
    Json,
}

impl Media {
    /// What the client would rather have; `None` when it takes neither. Who does not say gets plain JSON, which every
    /// old client expects.
    pub fn wanted(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(ACCEPT) {
            return Some(Self::Json);
        }
        let (graphql, json) = (weight(headers, GRAPHQL), weight(headers, JSON));
        match () {
            () if graphql > 0.0 && graphql >= json => Some(Self::Graphql),
            () if json > 0.0 => Some(Self::Json),
            () => None,
        }
    }

    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Graphql => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }
}

/// What a client takes as a stream of events. It must name `text/event-stream`: who takes anything expects an answer
/// that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streamed {
    Nothing,
    /// What has no other form here. Queries and mutations it would as soon have answered in one of the others.
    Subscriptions,
    Everything,
}

impl Streamed {
    pub fn wanted(headers: &HeaderMap) -> Self {
        let events = weight(headers, &["text/event-stream"]);
        match weight(headers, GRAPHQL).max(weight(headers, JSON)) {
            _ if events == 0.0 => Self::Nothing,
            single if single < events => Self::Everything,
            _ => Self::Subscriptions,
        }
    }
}

/// Whether the body calls itself JSON in UTF-8. Types that a web page may send without asking (forms, plain text) do
/// not pass, so no foreign page can act here by a form.
pub(super) fn sends_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let Ok(only) = only.to_str() else { return false };
    let mut parts = only.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next().as_deref() == Some("application/json")
        && parts.all(|part| part.strip_prefix("charset=").is_none_or(|set| set.trim_matches('"') == "utf-8"))
}

/// Whether the client is a browser that opens a page.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    ranges(headers, &ACCEPT).any(|(name, weight)| name == "text/html" && weight > 0.0)
}

/// How gladly the client takes one of these media ranges.
fn weight(headers: &HeaderMap, media: &[&str]) -> f32 {
    let named = ranges(headers, &ACCEPT).filter(|(name, _)| media.contains(&name.as_str()));
    named.map(|(_, weight)| weight).fold(0.0, f32::max)
}

/// The media ranges of a header, lower case, each with its weight.
fn ranges<'a>(headers: &'a HeaderMap, header: &HeaderName) -> impl Iterator<Item = (String, f32)> + 'a {
    let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|range| {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        (name, weight)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heavier_form_wins_and_plain_json_is_the_default() {
        let wanted = |accept: &'static str| Media::wanted(&headers(&ACCEPT, accept));
        assert_eq!(Media::wanted(&HeaderMap::new()), Some(Media::Json));
        assert_eq!(wanted("*/*"), Some(Media::Json));
        assert_eq!(wanted("application/json, multipart/mixed"), Some(Media::Json));
        assert_eq!(wanted("application/graphql-response+json, application/json;q=0.9"), Some(Media::Graphql));
        assert_eq!(wanted("application/graphql-response+json;q=0.5, application/json"), Some(Media::Json));
        assert_eq!(wanted("application/graphql-response+json;q=0, */*;q=0.1"), Some(Media::Json));
        assert_eq!(wanted("text/plain"), None);
    }

    #[test]
    fn who_takes_a_stream_names_it() {
        let wanted = |accept: &'static str| Streamed::wanted(&headers(&ACCEPT, accept));
        assert_eq!(Streamed::wanted(&HeaderMap::new()), Streamed::Nothing);
        assert_eq!(wanted("*/*"), Streamed::Nothing);
        assert_eq!(wanted("text/event-stream;q=0"), Streamed::Nothing);
        assert_eq!(wanted("application/json, text/event-stream"), Streamed::Subscriptions);
        assert_eq!(wanted("text/event-stream, multipart/mixed"), Streamed::Everything);
        assert_eq!(wanted("text/event-stream, application/json;q=0.9"), Streamed::Everything);
    }

    #[test]
    fn only_json_in_utf8_is_json() {
        let json = |content: &'static str| sends_json(&headers(&CONTENT_TYPE, content));
        assert!(json("application/json") && json("Application/JSON; charset=\"UTF-8\""));
        assert!(!json("application/json; charset=utf-16"));
        assert!(!json("text/plain") && !json("application/x-www-form-urlencoded") && !json("multipart/form-data"));
        assert!(!sends_json(&HeaderMap::new()));
    }

    fn headers(name: &HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(value))])
    }
}
