//! The parts of a message, as they are given and as they are shown.

use async_graphql::{Enum, InputObject, Result, SimpleObject};

use super::asker::bad_input;
use crate::event::{self, Part};

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum PartType {
    Text,
    Reasoning,
    ToolCall,
    ToolCallResponse,
    Blob,
    File,
    Uri,
    /// Of a kind that this version does not know, kept as it came.
    Opaque,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::Modality")]
pub enum Modality {
    Text,
    Image,
    Audio,
    Video,
    Document,
}

/// One part of a message (OpenTelemetry `GenAI` message schema). Which fields are filled depends on its type.
#[derive(SimpleObject, Clone)]
pub struct ContentPart {
    #[graphql(name = "type")]
    pub kind: PartType,
    /// Of text and reasoning, of a blob in base64, of an opaque part as JSON text.
    pub content: Option<String>,
    /// The provider's signature over reasoning, to the byte.
    pub signature: Option<String>,
    /// Of a tool call and its response.
    pub id: Option<String>,
    /// Of a tool, a file, or an opaque part's type at its source.
    pub name: Option<String>,
    /// Of a tool call: JSON text, verbatim, which may be invalid.
    pub arguments: Option<String>,
    /// Of a tool: text or JSON text, verbatim.
    pub response: Option<String>,
    pub modality: Option<Modality>,
    pub mime_type: Option<String>,
    pub file_id: Option<String>,
    pub uri: Option<String>,
}

/// One part of a message; see `ContentPart` for which fields each type takes.
#[derive(InputObject)]
pub struct PartInput {
    #[graphql(name = "type")]
    pub kind: PartType,
    pub content: Option<String>,
    pub signature: Option<String>,
    pub id: Option<String>,
    pub name: Option<String>,
    pub arguments: Option<String>,
    pub response: Option<String>,
    pub modality: Option<Modality>,
    pub mime_type: Option<String>,
    pub file_id: Option<String>,
    pub uri: Option<String>,
}

impl ContentPart {
    const fn bare(kind: PartType) -> Self {
        Self {
            kind,
            content: None,
            signature: None,
            id: None,
            name: None,
            arguments: None,
            response: None,
            modality: None,
            mime_type: None,
            file_id: None,
            uri: None,
        }
    }
}

impl From<Part> for ContentPart {
    fn from(part: Part) -> Self {
        let bare = Self::bare;
        match part {
            Part::Text { content } => Self { content: Some(content), ..bare(PartType::Text) },
            Part::Reasoning { content, signature } => {
                Self { content: Some(content), signature, ..bare(PartType::Reasoning) }
            }
            Part::ToolCall { id, name, arguments } => {
                Self { id, name: Some(name), arguments: Some(arguments), ..bare(PartType::ToolCall) }
            }
            Part::ToolCallResponse { id, response } => {
                Self { id, response: Some(response), ..bare(PartType::ToolCallResponse) }
            }
            Part::Blob { modality, mime_type, content } => {
                let modality = Some(modality.into());
                Self { modality, mime_type, content: Some(content), ..bare(PartType::Blob) }
            }
            Part::File { modality, mime_type, file_id, name } => {
                let modality = Some(modality.into());
                Self { modality, mime_type, file_id: Some(file_id), name, ..bare(PartType::File) }
            }
            Part::Uri { modality, mime_type, uri } => {
                Self { modality: Some(modality.into()), mime_type, uri: Some(uri), ..bare(PartType::Uri) }
            }
            Part::Opaque { source_type, content } => {
                Self { name: Some(source_type), content: Some(content), ..bare(PartType::Opaque) }
            }
        }
    }
}

impl PartInput {
    fn read(self) -> Result<Part> {
        let modality = self.modality;
        let modality = || modality.map(event::Modality::from).ok_or_else(|| missing("modality"));
        Ok(match self.kind {
            PartType::Text => Part::Text { content: need("content", self.content)? },
            PartType::Reasoning => {
                Part::Reasoning { content: need("content", self.content)?, signature: self.signature }
            }
            PartType::ToolCall => Part::ToolCall {
                id: self.id,
                name: need("name", self.name)?,
                arguments: need("arguments", self.arguments)?,
            },
            PartType::ToolCallResponse => {
                Part::ToolCallResponse { id: self.id, response: need("response", self.response)? }
            }
            PartType::Blob => {
                Part::Blob { modality: modality()?, mime_type: self.mime_type, content: need("content", self.content)? }
            }
            PartType::File => Part::File {
                modality: modality()?,
                mime_type: self.mime_type,
                file_id: need("fileId", self.file_id)?,
                name: self.name,
            },
            PartType::Uri => {
                Part::Uri { modality: modality()?, mime_type: self.mime_type, uri: need("uri", self.uri)? }
            }
            PartType::Opaque => {
                Part::Opaque { source_type: need("name", self.name)?, content: need("content", self.content)? }
            }
        })
    }
}

/// The parts of a message that is given as text, as parts, or as text and parts after it.
pub fn read(text: Option<String>, parts: Option<Vec<PartInput>>) -> Result<Vec<Part>> {
    if text.is_none() && parts.is_none() {
        return Err(bad_input("the message says nothing: give `text`, `parts`, or both"));
    }
    let parts = parts.unwrap_or_default().into_iter().map(PartInput::read);
    text.map(|content| Ok(Part::Text { content })).into_iter().chain(parts).collect()
}

fn need(name: &str, value: Option<String>) -> Result<String> {
    value.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> async_graphql::Error {
    bad_input(format!("a part of this type needs `{name}`"))
}
