//! What is shown of words in an export: all, or all but personal data. What stood behind the placeholders is its legend, which
//! is kept beside the units while the archive is made, so that whoever goes on gives the same placeholders.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::archive::work::Work;
use crate::mask::{Detector, Masked, Masker};

/// Draws over what is not to be shown.
pub(super) struct Veil {
    masker: Option<Masker>,
}

/// A line of a legend.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    placeholder: String,
    kind: Option<crate::event::Personal>,
    original: String,
}

impl Veil {
    pub(super) const fn open() -> Self {
        Self { masker: None }
    }

    /// Over what `detector` finds, going on from the `legend` of what was made already.
    pub(super) fn drawn(detector: Detector, legend: Vec<Entry>) -> Self {
        let masked = |Entry { placeholder, kind, original }| Masked { placeholder, kind, original };
        Self { masker: Some(Masker::resumed(detector, legend.into_iter().map(masked).collect())) }
    }

    /// Whether anything is drawn over: then nothing is shown that would open what was sealed.
    pub(super) const fn is_drawn(&self) -> bool {
        self.masker.is_some()
    }

    pub(super) fn text(&mut self, text: String) -> String {
        match &mut self.masker {
            Some(masker) => masker.mask(&text),
            None => text,
        }
    }

    pub(super) fn value(&mut self, mut value: Value) -> Value {
        if let Some(masker) = &mut self.masker {
            masker.mask_json(&mut value);
        }
        value
    }

    /// Keeps the legend as it is now. It names nothing of a unit that is not whole: such a unit is made again.
    pub(super) fn keep(&self, work: &Work) -> std::io::Result<()> {
        let Some(masker) = &self.masker else { return Ok(()) };
        let entries = masker.legend().map(|Masked { placeholder, kind, original }| Entry {
            placeholder: placeholder.clone(),
            kind: *kind,
            original: original.clone(),
        });
        work.keep_legend(&serde_json::to_vec_pretty(&entries.collect::<Vec<_>>())?)
    }
}
