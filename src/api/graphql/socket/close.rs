//! Why a socket is closed, in the 123 bytes that a close frame holds.

use axum::extract::ws::{CloseFrame, close_code};

const REASON_BYTES_MAX: usize = 123;

#[derive(Debug)]
pub(super) struct Close {
    code: u16,
    reason: String,
}

impl Close {
    /// A close with `reason`, or as much of it as fits.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        Self { code, reason }
    }

    pub fn going_away() -> Self {
        Self::new(close_code::AWAY, "the server goes away: connect again")
    }

    /// `cursor`: where to resume, if one place says it all.
    pub fn too_slow(cursor: Option<&str>) -> Self {
        let resume = cursor.map(|cursor| serde_json::json!({ "cursor": cursor }).to_string());
        let reason = resume.filter(|reason| reason.len() <= REASON_BYTES_MAX);
        Self::new(4410, reason.unwrap_or_else(|| "too slow: resume after the last extensions.cursor".to_owned()))
    }

    pub fn frame(self) -> CloseFrame {
        CloseFrame { code: self.code, reason: self.reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_their_frame() {
        let reason = |close: Close| close.frame().reason.to_string();
        assert_eq!(reason(Close::new(4400, "ü".repeat(100))).len(), 122, "never half a character");
        assert_eq!(reason(Close::too_slow(Some("abc"))), r#"{"cursor":"abc"}"#);
        assert!(reason(Close::too_slow(Some(&"c".repeat(120)))).starts_with("too slow"), "never half a cursor");
    }
}
