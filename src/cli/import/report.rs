//! What an import did: what was taken, what was kept without being understood, what was refused and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::Taken;
use crate::format::{Counts, Refused};

/// Reasons that the text tells of each file; JSON tells all.
const REFUSALS_SHOWN: usize = 20;

#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    files: Vec<FileReport>,
    pub total: Totals,
}

/// Names that scripts rely on.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Totals {
    /// Taken now or before.
    conversations: u64,
    /// In those conversations, with all of their branches.
    messages: u64,
    branch_points: u64,
    leaves: u64,
    /// Messages that are new.
    appended: u64,
    already_there: u64,
    /// Conversations that were not taken, or files as a whole.
    pub refused: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct FileReport {
    file: String,
    #[serde(flatten)]
    totals: Totals,
    refusals: Vec<Refusal>,
    /// What was kept as it came, or guessed, and how often.
    notes: BTreeMap<String, u64>,
    /// Files of the archive that hold no conversations.
    pub aside: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Refusal {
    file: String,
    /// From 1; 0 is the whole file.
    index: u64,
    reason: String,
}

impl Report {
    pub(super) fn add(&mut self, file: FileReport) {
        let (total, more) = (&mut self.total, file.totals);
        total.conversations += more.conversations;
        total.messages += more.messages;
        total.branch_points += more.branch_points;
        total.leaves += more.leaves;
        total.appended += more.appended;
        total.already_there += more.already_there;
        total.refused += more.refused;
        self.files.push(file);
    }

    pub(super) fn text(&self) -> String {
        let mut text: String = self.files.iter().map(FileReport::text).collect();
        if self.files.len() > 1 {
            text += &self.total.line("all files");
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl FileReport {
    pub(super) fn of(path: &Path) -> Self {
        let file = path.display().to_string();
        Self { file, totals: Totals::default(), refusals: Vec::new(), notes: BTreeMap::new(), aside: Vec::new() }
    }

    pub(super) fn taken(&mut self, taken: Taken) {
        let totals = &mut self.totals;
        totals.conversations += 1;
        totals.messages += taken.counts.messages;
        totals.branch_points += taken.counts.branch_points;
        totals.leaves += taken.counts.leaves;
        totals.appended += taken.appended;
        totals.already_there += taken.already_there;
        for note in taken.notes {
            *self.notes.entry(note.what).or_default() += 1;
        }
    }

    /// What an archive holds as a whole.
    pub(super) fn counted(&mut self, conversations: u64, counts: Counts) {
        let totals = &mut self.totals;
        totals.conversations += conversations;
        totals.messages += counts.messages;
        totals.branch_points += counts.branch_points;
        totals.leaves += counts.leaves;
    }

    /// Something that is to be known of it as a whole.
    pub(super) fn note(&mut self, what: &str) {
        *self.notes.entry(what.to_owned()).or_default() += 1;
    }

    /// So many messages are new, so many were there.
    pub(super) const fn appended(&mut self, appended: u64, already_there: u64) {
        self.totals.appended += appended;
        self.totals.already_there += already_there;
    }

    pub(super) fn refused(&mut self, refused: Refused) {
        let Refused { file, index, reason } = refused;
        self.totals.refused += 1;
        self.refusals.push(Refusal { file, index, reason });
    }

    /// Not a conversation of it alone.
    pub(super) fn refused_whole(&mut self, reason: String) {
        self.refused(Refused { file: self.file.clone(), index: 0, reason });
    }

    /// Conversations end in no order; their report has one.
    pub(super) fn sort(&mut self) {
        self.refusals.sort();
    }

    fn text(&self) -> String {
        let mut text = self.totals.line(&self.file);
        for Refusal { file, index, reason } in self.refusals.iter().take(REFUSALS_SHOWN) {
            let place = if *index == 0 { file.clone() } else { format!("{file}, conversation {index}") };
            let _ = writeln!(text, "  refused: {place}: {reason}");
        }
        if self.refusals.len() > REFUSALS_SHOWN {
            let _ = writeln!(text, "  refused: {} more; --json tells all", self.refusals.len() - REFUSALS_SHOWN);
        }
        for (what, times) in &self.notes {
            let _ = writeln!(text, "  {what} ({times} ×)");
        }
        if !self.aside.is_empty() {
            let _ = writeln!(text, "  not read, as they hold no conversations: {}", self.aside.join(", "));
        }
        text
    }
}

impl Totals {
    fn line(self, of: &str) -> String {
        let Self { conversations, messages, branch_points, leaves, appended, already_there, refused } = self;
        format!(
            "{of}: conversations {conversations}, messages {messages} (appended {appended}, already there \
             {already_there}), branch points {branch_points}, leaves {leaves}, refused {refused}\n"
        )
    }
}
