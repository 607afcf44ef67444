//! Why a command is refused. A refusal is an expected answer, told to the caller; it changes nothing.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::event::{BranchNumber, MessageId, SAYING, Version};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such conversation")]
    NotStarted,
    #[error("the conversation was started already")]
    AlreadyStarted,
    #[error("the conversation is archived; unarchive it first")]
    Archived,
    #[error("the conversation is deleted; undelete it first")]
    Deleted,
    #[error("the conversation has no message {message}")]
    NoSuchMessage { message: MessageId },
    #[error("the conversation has a message {message} already; leave `id` out or choose another")]
    MessageExists { message: MessageId },
    #[error("the conversation has no branch {branch}")]
    NoSuchBranch { branch: BranchNumber },
    #[error("branch {branch} was abandoned; resume it first")]
    BranchAbandoned { branch: BranchNumber },
    #[error("branch {branch} is the preferred one; prefer another before you abandon it")]
    BranchPreferred { branch: BranchNumber },
    #[error("the conversation is at version {version} and is restored to one before that, from 1 on; not to {to}")]
    NoEarlierVersion { to: Version, version: Version },
    #[error("another branch of the conversation has this name; choose another")]
    BranchNameTaken,
    #[error("{what} is empty; say something or leave it out")]
    Empty { what: &'static str },
    #[error("{what} has {given} {unit}, and at most {max} are kept; shorten or split it")]
    TooLong { what: &'static str, given: usize, max: usize, unit: &'static str },
    #[error(
        "it is said to have happened at {}, which is later than now, {}; check the clock and the time zone",
        .occurred_at.to_rfc3339_opts(SecondsFormat::Secs, true), .now.to_rfc3339_opts(SecondsFormat::Secs, true)
    )]
    InTheFuture { occurred_at: DateTime<Utc>, now: DateTime<Utc> },
    #[error("{what} is negative; money and counts are not")]
    Negative { what: &'static str },
    #[error("the account is registered already")]
    AccountExists,
    #[error("there is no such account")]
    NoAccount,
    #[error("the account is held, and nothing of it goes until it is released")]
    Held,
    #[error("the account is being forgotten: nothing can be said in its name any more")]
    Forgetting,
    #[error("the account is being forgotten: nothing of it is shown any more")]
    Closed,
    #[error("forgetting the account has begun, and what is gone is gone")]
    Begun,
    #[error("nobody asked that the account be forgotten, or it is not due yet")]
    NotDue,
    #[error("`{kind}` is no kind of event that says something; give a lifetime to one of: {}", SAYING.join(", "))]
    SaysNothing { kind: String },
    #[error("words are kept no longer than facts, and facts no longer than money: {longer} would outlive {shorter}")]
    Outlives { longer: String, shorter: &'static str },
    #[error("the time of the conversation was over: it expired, and nothing happens to it any more")]
    Expired,
    #[error("what was announced is going already, and what is gone is gone")]
    Going,
}

/// How much of something is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub what: &'static str,
    pub max: usize,
    pub unit: &'static str,
}

impl Bound {
    pub const TITLE: Self = Self::characters("the title", 4_000);
    pub const TAG: Self = Self::characters("a tag", 100);
    pub const TAGS: Self = Self { what: "the conversation", max: 100, unit: "tags" };
    pub const BRANCH_NAME: Self = Self::characters("the branch's name", 200);
    pub const MODEL: Self = Self::characters("the model", 200);
    pub const PROVIDER: Self = Self::characters("the provider", 200);
    pub const FINISH_REASON: Self = Self::characters("the finish reason", 100);
    pub const COMMENT: Self = Self::characters("the comment", 10_000);
    pub const REASON: Self = Self::characters("the reason", 1_000);
    pub const NAME: Self = Self::characters("a name", 200);
    pub const NAMES: Self = Self { what: "the list", max: 200, unit: "names" };
    pub const PARTS: Self = Self { what: "the message", max: 1_000, unit: "parts" };
    pub const MESSAGE: Self = Self { what: "the message", max: 8 << 20, unit: "bytes" };
    pub const LABEL: Self = Self::characters("the label", 1_000);
    pub const PATH: Self = Self::characters("a path", 4_096);
    pub const FILES: Self = Self { what: "the snapshot", max: 1_000, unit: "files" };
    pub const GRAFT: Self = Self { what: "the graft", max: 1_000, unit: "messages" };
    pub const COMPARED: Self = Self { what: "the comparison", max: 100, unit: "branches" };
    pub const LIFETIME: Self = Self { what: "a lifetime", max: 36_500, unit: "days" };
    /// Far above any digit that money has, far below what a body may hold.
    pub const COUNT: Self = Self { what: "a count", max: (1 << 53) - 1, unit: "tokens" };

    const fn characters(what: &'static str, max: usize) -> Self {
        Self { what, max, unit: "characters" }
    }

    /// Refuses `text` when it is empty or too long.
    pub fn filled(self, text: &str) -> Result<(), Refusal> {
        if text.trim().is_empty() {
            return Err(Refusal::Empty { what: self.what });
        }
        self.text(text)
    }

    /// Refuses `text` when it is too long.
    pub fn text(self, text: &str) -> Result<(), Refusal> {
        // Bytes bound characters from above, and are free to count.
        if text.len() <= self.max { Ok(()) } else { self.count(text.chars().count()) }
    }

    pub const fn count(self, given: usize) -> Result<(), Refusal> {
        if given <= self.max {
            Ok(())
        } else {
            Err(Refusal::TooLong { what: self.what, given, max: self.max, unit: self.unit })
        }
    }
}
