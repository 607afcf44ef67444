//! What a message is made of: the parts of the OpenTelemetry `GenAI` message schema
//! (`gen_ai.input.messages`, `gen_ai.output.messages`), so that tool calls, images and reasoning survive.

use serde::{Deserialize, Serialize};

/// One part of a message. All of it is words but its [`PartKind`]. JSON from elsewhere (arguments, results) is kept as
/// the text it came as, for it may be invalid, and a signature over it must still hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    Text {
        content: String,
    },
    /// What the model thought; `signature` is the provider's, kept to the byte.
    Reasoning {
        content: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    ToolCall {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        name: String,
        /// JSON text, verbatim.
        arguments: String,
    },
    ToolCallResponse {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Text or JSON text, verbatim.
        response: String,
    },
    /// Bytes carried in the message, base64.
    Blob {
        modality: Modality,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        content: String,
    },
    /// Bytes that lie with the provider, under its id.
    File {
        modality: Modality,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        file_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Bytes that lie somewhere on the web.
    Uri {
        modality: Modality,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        uri: String,
    },
    /// A part of a kind that this vocabulary does not know, kept as it came.
    Opaque {
        /// What its source calls it.
        source_type: String,
        /// JSON text, verbatim.
        content: String,
    },
}

/// The kind of a [`Part`]: all that the facts say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    Text,
    Reasoning,
    ToolCall,
    ToolCallResponse,
    Blob,
    File,
    Uri,
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    Text,
    Image,
    Audio,
    Video,
    Document,
}

impl Part {
    #[must_use]
    pub fn text(content: impl Into<String>) -> Self {
        Self::Text { content: content.into() }
    }

    #[must_use]
    pub const fn kind(&self) -> PartKind {
        match self {
            Self::Text { .. } => PartKind::Text,
            Self::Reasoning { .. } => PartKind::Reasoning,
            Self::ToolCall { .. } => PartKind::ToolCall,
            Self::ToolCallResponse { .. } => PartKind::ToolCallResponse,
            Self::Blob { .. } => PartKind::Blob,
            Self::File { .. } => PartKind::File,
            Self::Uri { .. } => PartKind::Uri,
            Self::Opaque { .. } => PartKind::Opaque,
        }
    }

    /// How much was said, in bytes of UTF-8: the content alone, without names, ids and types.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        match self {
            Self::Text { content }
            | Self::Reasoning { content, .. }
            | Self::Blob { content, .. }
            | Self::Opaque { content, .. } => content.len(),
            Self::ToolCall { arguments, .. } => arguments.len(),
            Self::ToolCallResponse { response, .. } => response.len(),
            Self::File { file_id, .. } => file_id.len(),
            Self::Uri { uri, .. } => uri.len(),
        }
    }
}

/// The text of a message: its text parts, a blank line between them.
#[must_use]
pub fn text_of(parts: &[Part]) -> Option<String> {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| if let Part::Text { content } = part { Some(content.as_str()) } else { None })
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// All that a message says in words that a reader may look for: its text, what was thought, asked of tools and answered by
/// them, and the names of files; a blank line between them.
#[must_use]
pub fn said_in(parts: &[Part]) -> String {
    let said = parts.iter().filter_map(|part| match part {
        Part::Text { content } | Part::Reasoning { content, .. } => Some(content.clone()),
        Part::ToolCall { name, arguments, .. } => Some(format!("{name} {arguments}")),
        Part::ToolCallResponse { response, .. } => Some(response.clone()),
        Part::File { name, .. } => name.clone(),
        Part::Uri { uri, .. } => Some(uri.clone()),
        Part::Blob { .. } | Part::Opaque { .. } => None,
    });
    said.collect::<Vec<_>>().join("\n\n")
}
