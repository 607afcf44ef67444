//! A look at the beginning of a file, to tell its format by what it holds.

use std::collections::HashSet;

/// What the beginning of a file shows. It may be cut anywhere.
#[derive(Debug)]
pub struct Glimpse<'a> {
    text: &'a [u8],
    first: Shape<'a>,
}

impl<'a> Glimpse<'a> {
    pub fn of(beginning: &'a [u8]) -> Self {
        let text = beginning.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(beginning).trim_ascii_start();
        Self { text, first: Shape::of(text) }
    }

    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether it is an array of nothing.
    pub fn is_empty_array(&self) -> bool {
        self.text.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii() == b"]")
    }

    /// Whether it is an array, and some object in it has `key`.
    pub fn elements_have(&self, key: &str) -> bool {
        self.text.first() == Some(&b'[') && self.first.inner.contains(key.as_bytes())
    }

    /// Whether it is an object that has `key`.
    pub fn value_has(&self, key: &str) -> bool {
        self.first.outer.contains(key.as_bytes())
    }

    /// Whether it is an object, and some object that is a value of it has `key`.
    pub fn entries_have(&self, key: &str) -> bool {
        self.text.first() == Some(&b'{') && self.first.inner.contains(key.as_bytes())
    }

    /// Whether some line is an object that has all `keys`. Others may be broken.
    pub fn some_line_has(&self, keys: &[&str]) -> bool {
        let mut lines = self.text.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"{"));
        lines.any(|line| {
            let shape = Shape::of(line);
            keys.iter().all(|key| shape.outer.contains(key.as_bytes()))
        })
    }
}

/// The keys of the first JSON value of a text, as they are written, escapes and all.
#[derive(Debug, Default)]
struct Shape<'a> {
    /// Those of the value itself, when it is an object.
    outer: HashSet<&'a [u8]>,
    /// Those of the objects directly within.
    inner: HashSet<&'a [u8]>,
}

impl<'a> Shape<'a> {
    fn of(text: &'a [u8]) -> Self {
        let mut shape = Self::default();
        let mut open = Vec::new();
        let mut key_next = false;
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            match byte {
                b'{' | b'[' => {
                    open.push(byte);
                    key_next = byte == b'{';
                }
                b'}' | b']' => {
                    open.pop();
                    key_next = false;
                    if open.is_empty() {
                        break;
                    }
                }
                b',' => key_next = open.last() == Some(&b'{'),
                b'"' => {
                    let Some(end) = string_end(text, at + 1) else { break };
                    if key_next {
                        match open.len() {
                            1 => drop(shape.outer.insert(&text[at + 1..end])),
                            2 => drop(shape.inner.insert(&text[at + 1..end])),
                            _ => {}
                        }
                    }
                    key_next = false;
                    at = end;
                }
                _ => {}
            }
            at += 1;
        }
        shape
    }
}

/// Where the string that begins at `at` ends: at its closing quote.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_seen_where_they_stand_and_nowhere_else() {
        let list = Glimpse::of(
            b"\xEF\xBB\xBF \n[{\"title\": \"\\\"mapping\\\":\", \"deep\": {\"mapping\": 1}}, null, {\"x\": []",
        );
        assert!(list.elements_have("title") && list.elements_have("x"));
        assert!(!list.elements_have("mapping") && !list.value_has("title") && !list.entries_have("title"));

        let object = Glimpse::of(b"{\"mapping\": {\"root\": {}}, \"cut of");
        assert!(object.value_has("mapping") && object.entries_have("root") && !object.value_has("cut of"));
    }

    #[test]
    fn a_broken_line_does_not_hide_the_next() {
        let lines = Glimpse::of(b"{broken\n{\"id\": \"a\", \"messages\": []}\n");
        assert!(lines.some_line_has(&["id", "messages"]));
        assert!(!lines.some_line_has(&["id", "mapping"]));
    }

    #[test]
    fn nothing_is_told_from_an_empty_list() {
        assert!(Glimpse::of(b" \n").is_empty());
        assert!(Glimpse::of(b" [ \n]\n").is_empty_array());
        assert!(!Glimpse::of(b"[{}]").is_empty_array());
    }
}
