//! The language that a text is in: a guess, recorded once, by which words are stemmed when they are searched.

use std::sync::LazyLock;

use whatlang::Detector;
use whatlang::Lang::{
    Ara, Ces, Cmn, Dan, Deu, Ell, Eng, Fin, Fra, Heb, Hin, Hun, Hye, Ind, Ita, Jpn, Kor, Lit, Nep, Nld, Nob, Pol, Por,
    Ron, Rus, Spa, Srp, Swe, Tam, Tha, Tur, Ukr, Vie, Yid,
};

use crate::event::Part;

/// Characters that are looked at: the first ones tell as much as all.
const CHARACTERS: usize = 300;
/// How sure a guess must be, of 1. Short texts are rarely sure, and to say nothing is better than to say Tagalog.
const CONFIDENCE_MIN: f64 = 0.5;

/// Those that Postgres has rules for, and those that they would be mistaken for. Each one more makes every guess dearer.
static DETECTOR: LazyLock<Detector> = LazyLock::new(|| {
    Detector::with_allowlist(vec![
        Ara, Ces, Cmn, Dan, Deu, Ell, Eng, Fin, Fra, Heb, Hin, Hun, Hye, Ind, Ita, Jpn, Kor, Lit, Nep, Nld, Nob, Pol,
        Por, Ron, Rus, Spa, Srp, Swe, Tam, Tha, Tur, Ukr, Vie, Yid,
    ])
});

/// What `parts` say first, as ISO 639-3 names its language; none when it cannot be told.
pub(super) fn of(parts: &[Part]) -> Option<String> {
    let text = parts.iter().find_map(|part| if let Part::Text { content } = part { Some(content) } else { None })?;
    let end = text.char_indices().nth(CHARACTERS).map_or(text.len(), |(at, _)| at);
    let guess = DETECTOR.detect(&text[..end])?;
    (guess.confidence() >= CONFIDENCE_MIN).then(|| guess.lang().code().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_that_is_not_sure_is_not_made() {
        let language = |text: &str| of(&[Part::text(text)]);
        assert_eq!(language("What is the capital of France?").as_deref(), Some("eng"));
        assert_eq!(language("Rechnungen für die Steuer").as_deref(), Some("deu"));
        assert_eq!(language("我今天想吃面包").as_deref(), Some("cmn"));
        assert_eq!(language("ok thanks"), None);
        assert_eq!(language("def foo(x): return x + 1"), None);
        assert_eq!(of(&[]), None);
    }
}
