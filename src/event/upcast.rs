//! Reading what older versions wrote. An upcast is a pure step from one version of a kind's facts to the next.

use std::borrow::Cow;

use serde_json::Value;

/// One step: facts of `kind` at version `from` become facts at version `from + 1`.
pub struct Step {
    pub kind: &'static str,
    pub from: u16,
    pub apply: fn(Value) -> Value,
}

/// The steps of this vocabulary. Empty until an event gets a second version.
pub const STEPS: &[Step] = &[];

/// Applies every step that leads on from (`kind`, `version`), one after the other.
#[must_use]
pub fn chain<'a>(steps: &[Step], kind: &str, mut version: u16, mut facts: Cow<'a, Value>) -> (u16, Cow<'a, Value>) {
    while let Some(step) = steps.iter().find(|step| step.kind == kind && step.from == version) {
        facts = Cow::Owned((step.apply)(facts.into_owned()));
        version += 1;
    }
    (version, facts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An invented past of `message.appended`: version 0 said `who`, version -1 is out of reach.
    const INVENTED: &[Step] = &[
        Step {
            kind: "message.appended",
            from: 1,
            apply: |mut facts| {
                let who = facts["who"].take();
                let role = if who == "me" { "user" } else { "assistant" };
                facts.as_object_mut().expect("facts are an object").remove("who");
                facts["role"] = json!(role);
                facts
            },
        },
        Step {
            kind: "message.appended",
            from: 2,
            apply: |mut facts| {
                facts["branch"] = json!(1);
                facts
            },
        },
    ];

    #[test]
    fn an_old_event_climbs_every_step_to_the_newest_version() {
        let (version, facts) = chain(INVENTED, "message.appended", 1, Cow::Owned(json!({"who": "me", "bytes": 2})));
        assert_eq!((version, facts.into_owned()), (3, json!({"role": "user", "branch": 1, "bytes": 2})));
    }

    #[test]
    fn a_newer_version_and_another_kind_are_left_alone() {
        for (kind, version) in [("message.appended", 3), ("message.hidden", 1)] {
            let facts = json!({"who": "me"});
            assert_eq!(chain(INVENTED, kind, version, Cow::Borrowed(&facts)), (version, Cow::Borrowed(&facts)));
        }
    }
}
