//! Server-Sent Events, read as they come.

use reqwest::Response;

/// The events of a response.
pub struct Events {
    response: Response,
    read: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub event: String,
    pub data: String,
    pub id: Option<String>,
    /// It says nothing: a comment.
    pub comment: bool,
}

impl Events {
    pub const fn of(response: Response) -> Self {
        Self { response, read: Vec::new() }
    }

    /// The next event or comment; none when the stream has ended or was cut.
    pub async fn hear(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                return Some(Event::of(std::str::from_utf8(&block).expect("UTF-8")));
            }
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.read.extend_from_slice(&chunk);
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.hear().await {
                Some(event) if event.comment => {}
                event => return event,
            }
        }
    }
}

impl Event {
    pub fn of(block: &str) -> Self {
        let mut event = Self::default();
        for line in block.lines() {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("event", name) => name.clone_into(&mut event.event),
                ("data", data) => event.data.push_str(data),
                ("id", id) => event.id = Some(id.to_owned()),
                (line, _) => event.comment |= line.starts_with(':'),
            }
        }
        event
    }
}
