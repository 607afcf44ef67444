//! What a message says: the content types of the export, turned into parts.

use serde_json::value::RawValue;

use crate::event::{Modality, Part, Role};
use crate::format::build::Build;
use crate::format::json::{Object, Rest, array, filled, text};

/// Who says it, and what stands beside.
pub struct Speaker<'a> {
    /// The id of the message.
    pub id: &'a str,
    pub role: Role,
    /// The tool that it is said to, and so calls.
    pub tool: Option<&'a str>,
    pub attachments: Vec<Attachment>,
}

/// What was read of a content.
#[derive(Default)]
pub struct Content {
    pub parts: Vec<Part>,
    /// What no part carries.
    pub rest: Rest,
}

pub fn read(speaker: &Speaker, raw: &RawValue, build: &mut Build) -> Content {
    let mut content = match Object::of(raw) {
        Some(object) => {
            let kind = object.get("content_type").and_then(text).unwrap_or_else(|| "text".to_owned());
            known(speaker, &kind, object, build).unwrap_or_else(|| build.opaque(speaker.id, &kind, raw).into())
        }
        None => text(raw).map_or_else(|| build.opaque(speaker.id, "content", raw), |said| speaker.say(said)).into(),
    };
    let shown = |part: &Part, file: &Attachment| matches!(part, Part::File { file_id, .. } if file.is(file_id));
    for file in &speaker.attachments {
        if !content.parts.iter().any(|part| shown(part, file)) {
            content.parts.extend(file.part());
        }
    }
    content
}

/// Reads a content of a type that is known; none when it has not the fields of its type.
fn known(speaker: &Speaker, kind: &str, mut content: Object, build: &mut Build) -> Option<Content> {
    let mut left = None;
    let parts = match kind {
        "text" | "multimodal_text" => {
            let (parts, beside) = read_parts(speaker, content.take("parts", array)?, build);
            left = beside;
            parts
        }
        "code" | "execution_output" | "tether_quote" | "tether_browsing_code" | "system_error" => {
            vec![speaker.say(content.take("text", text)?)]
        }
        "tether_browsing_display" => vec![speaker.say(content.take("result", text)?)],
        "thoughts" => match content.take("thoughts", array) {
            Some(thoughts) => {
                let (thoughts, beside) = read_thoughts(thoughts)?;
                left = beside;
                thoughts
            }
            None => {
                content.take("parts", array)?.into_iter().map(|said| text(said).map(thought)).collect::<Option<_>>()?
            }
        },
        "reasoning_recap" => match content.take("content", text) {
            Some(said) => vec![thought(said)],
            None => {
                content.take("parts", array)?.into_iter().map(|said| text(said).map(thought)).collect::<Option<_>>()?
            }
        },
        _ => return None,
    };
    if kind == "text" {
        content.remove("content_type");
    }
    let mut rest = content.into_rest();
    if let Some(left) = left {
        rest.put(if kind == "thoughts" { "thoughts" } else { "parts" }, &left);
    }
    Some(Content { parts, rest })
}

/// Reads parts, and gives what they say beside as the text of an array that runs along them; none when it is nothing.
fn read_parts(speaker: &Speaker, raws: Vec<&RawValue>, build: &mut Build) -> (Vec<Part>, Option<String>) {
    let mut parts = Vec::with_capacity(raws.len());
    let mut beside = Vec::with_capacity(raws.len());
    for raw in raws {
        let (part, rest) = match text(raw) {
            Some(said) => (speaker.say(said), None),
            None => read_part(speaker, raw).unwrap_or_else(|| {
                let kind = Object::of(raw).and_then(|part| part.get("content_type").and_then(text));
                (build.opaque(speaker.id, kind.as_deref().unwrap_or("part"), raw), None)
            }),
        };
        parts.push(part);
        beside.push(rest);
    }
    (parts, along(beside))
}

/// Reads a part that is more than a string.
fn read_part(speaker: &Speaker, raw: &RawValue) -> Option<(Part, Option<String>)> {
    let mut part = Object::of(raw)?;
    let pointer = |modality, id| speaker.file(modality, id);
    let read = match part.get("content_type").and_then(text)?.as_str() {
        "image_asset_pointer" => pointer(Some(Modality::Image), part.take("asset_pointer", filled)?),
        "audio_asset_pointer" => pointer(Some(Modality::Audio), part.take("asset_pointer", filled)?),
        "video_container_asset_pointer" => pointer(Some(Modality::Video), part.take("asset_pointer", filled)?),
        "file_asset_pointer" => pointer(None, part.take("asset_pointer", filled)?),
        "audio_transcription" => speaker.say(part.take("text", text)?),
        // Sound with pictures: the sound is what was said, the rest stays beside.
        "real_time_user_audio_video_asset_pointer" => {
            let sound = part.get("audio_asset_pointer").and_then(Object::of)?;
            pointer(Some(Modality::Audio), sound.get("asset_pointer").and_then(filled)?)
        }
        _ => return None,
    };
    Some((read, part.into_rest().into_json()))
}

fn read_thoughts(raws: Vec<&RawValue>) -> Option<(Vec<Part>, Option<String>)> {
    let mut thoughts = Vec::with_capacity(raws.len());
    let mut beside = Vec::with_capacity(raws.len());
    for raw in raws {
        let mut object = Object::of(raw)?;
        // Some have a summary only.
        let said = object.take("content", filled).or_else(|| object.take("summary", text))?;
        thoughts.push(thought(said));
        beside.push(object.into_rest().into_json());
    }
    Some((thoughts, along(beside)))
}

fn thought(content: String) -> Part {
    Part::Reasoning { content, signature: None }
}

fn along(beside: Vec<Option<String>>) -> Option<String> {
    if beside.iter().all(Option::is_none) {
        return None;
    }
    let items: Vec<String> = beside.into_iter().map(|rest| rest.unwrap_or_else(|| "null".to_owned())).collect();
    Some(format!("[{}]", items.join(",")))
}

impl From<Part> for Content {
    fn from(part: Part) -> Self {
        Self { parts: vec![part], rest: Rest::default() }
    }
}

impl Speaker<'_> {
    /// Words, as what they are: a call to a tool, its answer, or text.
    fn say(&self, said: String) -> Part {
        match (self.tool, self.role) {
            (Some(tool), _) => Part::ToolCall { id: None, name: tool.to_owned(), arguments: said },
            (None, Role::Tool) => Part::ToolCallResponse { id: None, response: said },
            (None, _) => Part::text(said),
        }
    }

    /// A file that a part points at, with what the attachments know of it.
    fn file(&self, modality: Option<Modality>, file_id: String) -> Part {
        let attached = self.attachments.iter().find(|file| file.is(&file_id));
        Part::File {
            modality: modality.or_else(|| attached.map(Attachment::modality)).unwrap_or(Modality::Document),
            mime_type: attached.and_then(|file| file.mime_type.clone()),
            name: attached.and_then(|file| file.name.clone()),
            file_id,
        }
    }
}

/// A file that hangs on a message. Not all of them are pointed at by its parts.
pub struct Attachment {
    ids: Vec<String>,
    name: Option<String>,
    mime_type: Option<String>,
}

impl Attachment {
    pub fn all(metadata: &Object) -> Vec<Self> {
        let read = |raw| {
            let file = Object::of(raw)?;
            let field = |key| file.get(key).and_then(filled);
            let ids = ["file_id", "id"].into_iter().filter_map(field).collect();
            Some(Self { ids, name: field("name"), mime_type: field("mime_type").or_else(|| field("mimeType")) })
        };
        metadata.get("attachments").and_then(array).into_iter().flatten().filter_map(read).collect()
    }

    /// Whether `pointer` (`file-service://ID`, `sediment://ID`, or an id) points here.
    fn is(&self, pointer: &str) -> bool {
        let id = pointer.split_once("://").map_or(pointer, |(_, id)| id);
        self.ids.iter().any(|own| own == id)
    }

    fn modality(&self) -> Modality {
        match self.mime_type.as_deref().and_then(|mime_type| mime_type.split('/').next()) {
            Some("image") => Modality::Image,
            Some("audio") => Modality::Audio,
            Some("video") => Modality::Video,
            Some("text") => Modality::Text,
            _ => Modality::Document,
        }
    }

    fn part(&self) -> Option<Part> {
        let file_id = self.ids.first()?.clone();
        let (mime_type, name) = (self.mime_type.clone(), self.name.clone());
        Some(Part::File { modality: self.modality(), mime_type, file_id, name })
    }
}
