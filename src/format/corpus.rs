//! The corpus: JSONL, a conversation a line, its messages in a row or, where they name their parents, in a tree.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::build::{Build, role};
use super::frame::{Cut, Frame};
use super::glimpse::Glimpse;
use super::json::{Object, array, code, compact, count, filled, money, text, time};
use super::tree::Node;
use super::{Format, Reason, SourceMessage, Transcript};
use crate::event::{Part, Role, Usage};

pub const FORMAT: Format =
    Format { name: "JSONL with the `id` and the `messages` of a conversation in every line", knows, read };

const LINES: &str = "corpus";
/// A tree, and one path through it, may come under the same id. They are two conversations.
const TREES: &str = "corpus-tree";

fn knows(glimpse: &Glimpse) -> Option<Cut> {
    glimpse.some_line_has(&["id", "messages"]).then_some(Cut::Lines)
}

fn read(frame: &Frame) -> Result<Transcript, Reason> {
    let mut line = Object::of_conversation(&frame.json)?;
    let id = line.take("id", filled).ok_or("it has no `id`, by which a second import would know it again")?;
    let messages = line.take("messages", array).ok_or("it has no list of `messages`")?;
    let messages: Option<Vec<Object>> = messages.into_iter().map(Object::of).collect();
    let messages = messages.ok_or("one of its messages is no JSON object")?;
    let is_tree = messages.iter().any(|message| message.get("parent_id").is_some());

    let mut build = Build::new(if is_tree { TREES } else { LINES }, id);
    build.transcript.title = line.take("title", filled);
    build.transcript.kept = line.into_rest().into_json();
    let mut ids = HashSet::new();
    let mut above = None;
    for (index, mut message) in messages.into_iter().enumerate() {
        let id = match message.take("id", filled) {
            Some(id) => id,
            None if is_tree => return Err("one of its messages has no `id`, and others name their parents".to_owned()),
            None => index.to_string(),
        };
        if !ids.insert(id.clone()) {
            return Err("two of its messages have the same `id`".to_owned());
        }
        let parent = if is_tree { message.take("parent_id", filled) } else { above.replace(id.clone()) };
        let message = read_message(&id, message, &mut build);
        build.add(Node { id, parent, ..Node::default() }, Some(message));
    }
    Ok(build.finish(above.as_deref()))
}

fn read_message(id: &str, mut object: Object, build: &mut Build) -> SourceMessage {
    let role = build.role(id, object.take("role", role));
    let mut message = SourceMessage::new(id.to_owned(), role);
    message.at = object.take("created_at", time);
    message.model = object.take("model", code);
    let calls = object.get("tool_calls").and_then(array).unwrap_or_default();
    if let Some(content) = object.get("content") {
        let call = if role == Role::Tool { object.take("tool_call_id", filled) } else { None };
        let say = |said| match role {
            Role::Tool => Part::ToolCallResponse { id: call.clone(), response: said },
            _ => Part::text(said),
        };
        message.parts = read_content(id, content, say, build);
        // A turn that only calls tools says nothing beside.
        message.parts.retain(|part| calls.is_empty() || *part != Part::text(""));
    }
    object.remove("content");
    let mut is_all_taken = true;
    for call in calls {
        let (part, is_whole) = read_call(call).unwrap_or_else(|| (build.opaque(id, "tool_call", call), true));
        message.parts.push(part);
        is_all_taken &= is_whole;
    }
    if is_all_taken {
        object.remove("tool_calls");
    }
    // What was given of usage stays whole beside the message: it says more than the counts do.
    if let Some(given) = object.get("usage").and_then(Object::of) {
        let field = |key| given.get(key).and_then(count);
        let usage = Usage { input: field("input_tokens"), output: field("output_tokens"), ..Usage::default() };
        message.usage = Some(usage).filter(|usage| !usage.is_unknown());
        message.cost_usd = given.get("cost_usd").and_then(money);
    }
    message.verbatim = object.into_rest().into_json();
    message
}

fn read_content(id: &str, content: &RawValue, say: impl Fn(String) -> Part, build: &mut Build) -> Vec<Part> {
    if let Some(said) = text(content) {
        return vec![say(said)];
    }
    let Some(parts) = array(content) else { return vec![build.opaque(id, "content", content)] };
    let read = |part: &RawValue| {
        let mut object = Object::of(part)?;
        object.take("type", |kind| (text(kind)? == "text").then_some(()))?;
        let said = object.take("text", text)?;
        object.is_empty().then_some(said)
    };
    parts.into_iter().map(|part| read(part).map_or_else(|| build.opaque(id, "content part", part), &say)).collect()
}

/// A call, and whether the part carries all of it.
fn read_call(call: &RawValue) -> Option<(Part, bool)> {
    let mut object = Object::of(call)?;
    let mut function = object.take("function", Object::of)?;
    object.take("type", |kind| (text(kind)? == "function").then_some(()));
    let name = function.take("name", filled)?;
    let arguments = function.take("arguments", |raw| Some(text(raw).unwrap_or_else(|| compact(raw))))?;
    let part = Part::ToolCall { id: object.take("id", filled), name, arguments };
    Some((part, object.is_empty() && function.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PartKind;

    fn reads(json: &str) -> Result<Transcript, Reason> {
        read(&Frame { index: 1, key: None, json: json.as_bytes().to_vec() })
    }

    fn message(json: &str) -> SourceMessage {
        reads(&format!(r#"{{"id":"c","messages":[{json}]}}"#)).unwrap().messages.remove(0)
    }

    #[test]
    fn messages_in_a_row_go_by_their_number() {
        let read = reads(
            r#"{"id":"c","lang":"en","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#,
        );
        let read = read.unwrap();
        let links: Vec<_> =
            read.messages.iter().map(|message| (message.id.as_str(), message.parent.as_deref())).collect();
        assert_eq!(links, [("0", None), ("1", Some("0"))]);
        assert_eq!((read.current.as_deref(), read.kept.as_deref()), (Some("1"), Some(r#"{"lang":"en"}"#)));
    }

    #[test]
    fn a_call_stands_beside_what_is_said_and_alone_if_nothing_is() {
        let call = r#""tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{broken"}}]"#;
        let kinds = |content: &str| -> Vec<PartKind> {
            let json = format!(r#"{{"role":"assistant","content":{content},{call}}}"#);
            message(&json).parts.iter().map(Part::kind).collect()
        };
        assert_eq!(kinds("\"so\""), [PartKind::Text, PartKind::ToolCall]);
        assert_eq!(kinds("\"\""), [PartKind::ToolCall]);
        assert_eq!(kinds("null"), [PartKind::ToolCall]);
        assert_eq!(message(r#"{"role":"assistant","content":""}"#).parts, [Part::text("")]);
    }

    #[test]
    fn a_call_that_says_more_is_kept_whole() {
        let json = r#"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"a":1}},"extra":2},7]}"#;
        let read = message(json);
        let call = Part::ToolCall { id: None, name: "f".into(), arguments: r#"{"a":1}"#.into() };
        let opaque = Part::Opaque { source_type: "tool_call".into(), content: "7".into() };
        assert_eq!(read.parts, [call, opaque]);
        assert!(read.verbatim.is_some_and(|json| json.contains(r#""extra":2"#)));
    }

    #[test]
    fn usage_is_counted_as_far_as_it_goes_and_stays_whole() {
        let read =
            message(r#"{"role":"assistant","content":"x","usage":{"output_tokens":7,"cost_usd":0.0028,"odd":1}}"#);
        assert_eq!(read.usage, Some(Usage { output: Some(7), ..Usage::default() }));
        assert_eq!(read.cost_usd.map(|cost| cost.to_string()).as_deref(), Some("0.0028"));
        assert_eq!(read.verbatim.as_deref(), Some(r#"{"usage":{"output_tokens":7,"cost_usd":0.0028,"odd":1}}"#));
        assert_eq!(message(r#"{"role":"assistant","content":"x","usage":{"odd":1}}"#).usage, None);
    }

    #[test]
    fn what_could_not_be_known_again_or_told_apart_is_refused() {
        for json in [
            r#"{"messages":[]}"#,
            r#"{"id":"c"}"#,
            r#"{"id":"c","messages":[1]}"#,
            r#"{"id":"c","messages":[{"role":"user","content":"a","parent_id":"x"}]}"#,
            r#"{"id":"c","messages":[{"id":"a","content":"a"},{"id":"a","content":"b"}]}"#,
        ] {
            assert!(reads(json).is_err(), "{json}");
        }
    }
}
