//! Conversations as people read them: Markdown, a file a branch. What was said stands as it was said.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::event::{MessageAppended, Part, Private};

/// The head of a branch's file.
#[derive(Debug, Clone)]
pub struct Head {
    pub title: Option<String>,
    pub conversation: String,
    pub branch: String,
    pub tags: Vec<String>,
    pub began: DateTime<Utc>,
    /// Where what lies above its first message is to be read.
    pub above: Option<String>,
}

impl Head {
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let title = self.title.as_deref().unwrap_or("Without a title");
        let _ = writeln!(text, "# {}\n", one_line(title));
        let _ = writeln!(
            text,
            "Conversation {}, branch {}, begun {}.",
            self.conversation,
            one_line(&self.branch),
            time(self.began)
        );
        if !self.tags.is_empty() {
            let tags: Vec<String> = self.tags.iter().map(|tag| one_line(tag)).collect();
            let _ = writeln!(text, "Tags: {}.", tags.join(", "));
        }
        if let Some(above) = &self.above {
            let _ = writeln!(text, "{above}");
        }
        text
    }
}

/// What stands around a message.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    pub at: DateTime<Utc>,
    pub hidden: bool,
    pub rating: Option<&'static str>,
    pub comment: Option<&'a str>,
}

/// A message.
#[must_use]
pub fn message(said: &MessageAppended, around: &Around<'_>) -> String {
    let mut text = String::new();
    let _ = write!(text, "\n## {} · {}", said.place.depth, said.role.name());
    if let Some(model) = &said.model {
        let _ = write!(text, " · {}", one_line(model));
    }
    let _ = write!(text, " · {}", time(around.at));
    if let Some(cost) = said.cost_usd {
        let _ = write!(text, " · {cost} USD");
    }
    if around.hidden {
        text.push_str(" · hidden");
    }
    text.push('\n');
    match &said.parts {
        Private::Forgotten => text.push_str("\n*What was said here was forgotten.*\n"),
        Private::Known(parts) => parts.iter().for_each(|part| text.push_str(&of_part(part))),
    }
    match (around.rating, around.comment) {
        (Some(rating), comment) => {
            let comment = comment.map(|comment| format!(": {}", one_line(comment)));
            let _ = writeln!(text, "\n*Rated {rating}{}*", comment.unwrap_or_default());
        }
        (None, Some(comment)) => {
            let _ = writeln!(text, "\n*Said of it: {}*", one_line(comment));
        }
        (None, None) => {}
    }
    text
}

fn of_part(part: &Part) -> String {
    match part {
        Part::Text { content } => format!("\n{content}\n"),
        Part::Reasoning { content, .. } => {
            let quoted: Vec<String> = content.lines().map(|line| format!("> {line}")).collect();
            format!("\n*Thought:*\n\n{}\n", quoted.join("\n"))
        }
        Part::ToolCall { name, arguments, .. } => {
            format!("\n*Asked of the tool {}:*\n{}", one_line(name), fenced(arguments))
        }
        Part::ToolCallResponse { response, .. } => format!("\n*The tool answered:*\n{}", fenced(response)),
        Part::Blob { mime_type, content, .. } => {
            let kind = mime_type.as_deref().unwrap_or("unknown type");
            format!("\n*{} bytes of {}, in the JSON beside this*\n", content.len() / 4 * 3, one_line(kind))
        }
        Part::File { name, file_id, .. } => {
            format!("\n*The file {}, which lies with the provider*\n", one_line(name.as_deref().unwrap_or(file_id)))
        }
        Part::Uri { uri, .. } => format!("\n<{}>\n", one_line(uri)),
        Part::Opaque { source_type, content } => format!("\n*{}:*\n{}", one_line(source_type), fenced(content)),
    }
}

/// A block of code, under a fence that nothing within closes.
fn fenced(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("\n{fence}\n{code}\n{fence}\n")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::fenced;

    #[test]
    fn nothing_within_closes_a_fence() {
        assert_eq!(fenced("a"), "\n```\na\n```\n");
        assert_eq!(fenced("a\n````\nb"), "\n`````\na\n````\nb\n`````\n");
    }
}
