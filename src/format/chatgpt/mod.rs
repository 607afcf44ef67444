//! The data export of `ChatGPT`: `conversations.json`, or its shards, in a zip archive or bare. A conversation is a tree
//! of nodes (`mapping`), of which some carry no message.

mod content;

use std::collections::HashMap;

use content::{Attachment, Speaker};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::build::{Build, role};
use super::frame::{Cut, Frame};
use super::glimpse::Glimpse;
use super::json::{Object, Rest, array, boolean, code, filled, float, text, time};
use super::tree::Node;
use super::{Format, Reason, SourceMessage, Transcript};
use crate::event::{Part, Role};

pub const FORMAT: Format =
    Format { name: "a data export of ChatGPT (its .zip, or a conversations.json out of it)", knows, read };

const SOURCE: &str = "chatgpt";

/// An export is an array; some tools write one conversation alone, several of them one after the other, or an object
/// of them under keys of their own. Who has no conversation exports an empty array.
fn knows(glimpse: &Glimpse) -> Option<Cut> {
    if glimpse.is_empty_array() || ["mapping", "current_node"].iter().any(|key| glimpse.elements_have(key)) {
        Some(Cut::Elements)
    } else if glimpse.value_has("mapping") {
        Some(Cut::Values)
    } else {
        glimpse.entries_have("mapping").then_some(Cut::Entries)
    }
}

fn read(frame: &Frame) -> Result<Transcript, Reason> {
    let mut conversation = Object::of_conversation(&frame.json)?;
    let mapping = conversation.take("mapping", Object::of).ok_or("it has no `mapping`, and so no messages")?;
    let id = conversation.take("id", filled);
    let same = |raw| filled(raw).filter(|other| id.as_ref().is_none_or(|id| id == other));
    let other = conversation.take("conversation_id", same);
    let key = || frame.key.as_deref().and_then(|key| filled(serde_json::from_slice(key).ok()?));
    let id = id.or(other).or_else(key);

    let mut build = Build::new(SOURCE, id.unwrap_or_default());
    let mut bare = Rest::default();
    let nodes = mapping.into_entries();
    let last: HashMap<&str, usize> = nodes.iter().enumerate().map(|(at, (id, _))| (id.as_ref(), at)).collect();
    for (at, (id, raw)) in nodes.iter().enumerate() {
        if last[id.as_ref()] == at {
            read_node(id, raw, &mut build, &mut bare);
        } else {
            build.note(Some(id), "left out: another node has the same id and stands later");
        }
    }
    let transcript = &mut build.transcript;
    transcript.title = conversation.take("title", filled);
    transcript.created_at = conversation.take("create_time", time);
    transcript.updated_at = conversation.take("update_time", time);
    transcript.model = conversation.take("default_model_slug", code);
    transcript.archived = conversation.take("is_archived", boolean).unwrap_or_default();
    transcript.favorited = conversation.take("is_starred", boolean).unwrap_or_default();
    let current = conversation.take("current_node", text);
    let mut kept = conversation.into_rest();
    kept.put_rest("nodes", bare);
    transcript.kept = kept.into_json();

    let mut transcript = build.finish(current.as_deref());
    if transcript.id.is_empty() {
        // The id of its first message says as well which conversation it is, unless it was made up for one file.
        let first = transcript.messages.first().filter(|message| Uuid::try_parse(&message.id).is_ok());
        let first = first.ok_or("it has no `id`, by which a second import would know it again")?;
        transcript.id.clone_from(&first.id);
    }
    Ok(transcript)
}

/// Reads one node of the tree. What a node without a message has beside its place goes to `bare`.
fn read_node(id: &str, raw: &RawValue, build: &mut Build, bare: &mut Rest) {
    let mut node = Object::of(raw).unwrap_or_else(|| {
        build.note(Some(id), "left out: a node that is no JSON object");
        Object::default()
    });
    node.take("id", |raw| text(raw).filter(|name| name == id));
    let parent = node.take("parent", text);
    let listed = node.take("children", array).unwrap_or_default();
    let children = listed.into_iter().filter_map(text).collect();
    let said = node.get("message");
    node.remove("message");
    let rest = node.into_rest();
    let message = match said.map(|said| (said, Object::of(said))) {
        Some((_, Some(object))) if object.is_empty() => None,
        Some((_, Some(object))) => Some(read_message(id, object, rest, build)),
        Some((said, None)) => {
            let mut message = SourceMessage::new(id.to_owned(), build.role(id, None));
            message.parts.push(build.opaque(id, "message", said));
            message.verbatim = rest.into_json();
            Some(message)
        }
        None => {
            bare.put_rest(id, rest);
            None
        }
    };
    build.add(Node { id: id.to_owned(), parent, children, ..Node::default() }, message);
}

fn read_message(id: &str, mut object: Object, node: Rest, build: &mut Build) -> SourceMessage {
    let mut author = object.take("author", Object::of).unwrap_or_default();
    let mut metadata = object.take("metadata", Object::of).unwrap_or_default();
    let role = build.role(id, author.take("role", role));
    let mut message = SourceMessage::new(id.to_owned(), role);
    object.take("id", |raw| text(raw).filter(|name| name == id));
    message.at = object.take("create_time", time);
    message.model = metadata.take("model_slug", code);
    let finish = metadata.get("finish_details").and_then(Object::of);
    message.finish_reason = finish.and_then(|finish| finish.get("type").and_then(code));
    let is_flagged = metadata.get("is_visually_hidden_from_conversation").and_then(boolean).unwrap_or_default();
    message.hidden = is_flagged || object.get("weight").and_then(float) == Some(0.0);

    let recipient = object.get("recipient").and_then(filled);
    let is_tool = |name: &&str| role == Role::Assistant && !["all", "assistant", "user"].contains(name);
    let tool = recipient.as_deref().filter(is_tool);
    let speaker = Speaker { id, role, tool, attachments: Attachment::all(&metadata) };
    let content = object.get("content").map(|raw| content::read(&speaker, raw, build)).unwrap_or_default();
    object.remove("content");
    message.parts = content.parts;
    // To all it is said without saying, and the tool that is called stands in the call.
    let is_call = message.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    if is_call || recipient.as_deref() == Some("all") {
        object.remove("recipient");
    }

    for key in ["name", "metadata"] {
        author.remove_empty(key);
    }
    let mut verbatim = object.into_rest();
    verbatim.put_rest("author", author.into_rest());
    verbatim.put_rest("content", content.rest);
    verbatim.put_rest("metadata", metadata.into_rest());
    verbatim.put_rest("node", node);
    message.verbatim = verbatim.into_json();
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Modality;

    /// A conversation of one message per (node, parent, message), the first below a root without one.
    fn transcript(nodes: &[(&str, &str, &str)]) -> Transcript {
        let node = |(id, parent, message): &(&str, &str, &str)| {
            format!(r#""{id}":{{"parent":"{parent}","message":{message}}}"#)
        };
        let nodes: Vec<String> = nodes.iter().map(node).collect();
        let json = format!(r#"{{"id":"c","mapping":{{"root":{{"parent":null,"message":null}},{}}}}}"#, nodes.join(","));
        read(&Frame { index: 1, key: None, json: json.into_bytes() }).unwrap()
    }

    fn message(json: &str) -> SourceMessage {
        transcript(&[("m", "root", json)]).messages.remove(0)
    }

    fn reads(json: &str) -> Result<Transcript, Reason> {
        read(&Frame { index: 1, key: None, json: json.as_bytes().to_vec() })
    }

    #[test]
    fn a_message_may_lack_almost_everything() {
        let bare = message(r#"{"author":{"role":"user"},"content":{"content_type":"text","parts":[""]}}"#);
        assert_eq!((bare.parts, bare.verbatim, bare.hidden), (vec![Part::text("")], None, false));
        assert_eq!(message(r#"{"author":{"role":"assistant"}}"#).parts, []);
        assert_eq!(message(r#"{"author":{"role":"user"},"content":"bare"}"#).parts, [Part::text("bare")]);
    }

    #[test]
    fn a_null_time_is_that_of_the_message_above() {
        let at = |time: &str| format!(r#"{{"author":{{"role":"user"}},"create_time":{time}}}"#);
        let times = [at("1.5"), at("null"), at("\"2024-01-01T00:00:00Z\"")];
        let read = transcript(&[("a", "root", &times[0]), ("b", "a", &times[1]), ("c", "b", &times[2])]);
        let millis: Vec<i64> = read.messages.iter().map(|message| message.at.unwrap().timestamp_millis()).collect();
        assert_eq!(millis, [1_500, 1_500, 1_704_067_200_000]);
    }

    #[test]
    fn hidden_is_what_weighs_nothing_or_is_flagged() {
        for json in
            [r#"{"weight":0.0}"#, r#"{"weight":0}"#, r#"{"metadata":{"is_visually_hidden_from_conversation":true}}"#]
        {
            assert!(message(json).hidden, "{json}");
        }
        assert!(!message(r#"{"weight":1.0,"metadata":{}}"#).hidden);
    }

    #[test]
    fn an_unknown_role_is_a_tool_and_told() {
        let read =
            transcript(&[("m", "root", r#"{"author":{"role":"critic","name":null},"content":{"parts":["x"]}}"#)]);
        let [message] = read.messages.as_slice() else { panic!("one message") };
        assert_eq!(message.role, Role::Tool);
        assert_eq!(message.verbatim.as_deref(), Some(r#"{"author":{"role":"critic"}}"#));
        assert_eq!(read.notes[0].message.as_deref(), Some("m"));
    }

    #[test]
    fn calls_name_their_tool_and_code_for_all_is_text() {
        let code =
            r#""author":{"role":"assistant"},"content":{"content_type":"code","language":"python","text":"1+1"}"#;
        let call = Part::ToolCall { id: None, name: "python".into(), arguments: "1+1".into() };
        let called = message(&format!(r#"{{{code},"recipient":"python"}}"#));
        assert_eq!(called.parts, [call]);
        assert_eq!(called.verbatim.as_deref(), Some(r#"{"content":{"content_type":"code","language":"python"}}"#));
        assert_eq!(message(&format!(r#"{{{code},"recipient":"all"}}"#)).parts, [Part::text("1+1")]);
    }

    #[test]
    fn thoughts_are_reasoning_and_their_summaries_stay() {
        let read = message(
            r#"{"author":{"role":"assistant"},"content":{"content_type":"thoughts","thoughts":[
                {"summary":"s","content":"t","finished":true},{"summary":"only","content":""}]}}"#,
        );
        let thought = |content: &str| Part::Reasoning { content: content.into(), signature: None };
        assert_eq!(read.parts, [thought("t"), thought("only")]);
        let beside =
            r#"{"content":{"content_type":"thoughts","thoughts":[{"summary":"s","finished":true},{"content":""}]}}"#;
        assert_eq!(read.verbatim.as_deref(), Some(beside));
    }

    #[test]
    fn sound_is_kept_and_its_transcript_is_text() {
        let read = message(
            r#"{"author":{"role":"user"},"content":{"content_type":"multimodal_text","parts":[
                {"content_type":"audio_transcription","text":"hello","direction":"in"},
                {"content_type":"real_time_user_audio_video_asset_pointer","audio_asset_pointer":{"asset_pointer":"sediment://f1"}},
                {"content_type":"hologram","x":1}]}}"#,
        );
        assert_eq!(read.parts[0], Part::text("hello"));
        assert!(
            matches!(&read.parts[1], Part::File { modality: Modality::Audio, file_id, .. } if file_id == "sediment://f1")
        );
        let hologram = r#"{"content_type":"hologram","x":1}"#;
        assert_eq!(read.parts[2], Part::Opaque { source_type: "hologram".into(), content: hologram.into() });
    }

    #[test]
    fn a_known_type_without_its_fields_is_kept_opaque() {
        let read = message(r#"{"author":{"role":"tool"},"content":{"content_type":"execution_output","output":1}}"#);
        let content = r#"{"content_type":"execution_output","output":1}"#;
        assert_eq!(read.parts, [Part::Opaque { source_type: "execution_output".into(), content: content.into() }]);
        assert_eq!(read.verbatim, None);
    }

    #[test]
    fn the_node_last_in_view_may_carry_no_message_or_be_gone() {
        let tree = r#""id":"c","mapping":{"a":{"message":{"weight":1}},"b":{"parent":"a","message":null}}"#;
        let read = |current: &str| reads(&format!(r#"{{{tree},"current_node":"{current}"}}"#)).unwrap();
        assert_eq!(read("b").current.as_deref(), Some("a"));
        assert_eq!((read("gone").current, read("gone").notes.len()), (None, read("b").notes.len() + 1));
    }

    #[test]
    fn a_conversation_without_an_id_goes_by_that_of_its_first_message_if_it_is_unique() {
        let tree = |id: &str| format!(r#"{{"mapping":{{"{id}":{{"message":{{"weight":1}}}}}}}}"#);
        let uuid = "0195d7a0-5f0c-7000-8000-000000000001";
        assert_eq!(reads(&tree(uuid)).unwrap().id, uuid);
        assert!(reads(&tree("root")).is_err());
        assert_eq!(reads(r#"{"id":null,"conversation_id":"x","mapping":{}}"#).unwrap().id, "x");
    }

    #[test]
    fn what_no_field_carries_is_kept() {
        let read = reads(
            r#"{"id":"c","conversation_id":"c","title":"","gizmo_id":"g","is_starred":true,"is_archived":true,
                "create_time":"soon","mapping":{"r":{"id":"r","children":[],"message":null,"extra":1}}}"#,
        );
        let read = read.unwrap();
        assert!(read.favorited && read.archived && read.created_at.is_none());
        let kept = r#"{"title":"","gizmo_id":"g","create_time":"soon","nodes":{"r":{"extra":1}}}"#;
        assert_eq!(read.kept.as_deref(), Some(kept));
    }
}
