//! Words that stand for what people say, and that nothing may print.

/// All of them begin alike. `.ci/run` looks for that in whatever the tests print, and the programs that they start.
macro_rules! canary {
    ($rest:literal) => {
        concat!("quetzalcoatl", $rest)
    };
}

pub(crate) use canary;
