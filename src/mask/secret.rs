//! Keys and tokens whose makers gave them a shape that can be told, so that they can be found where they should not be.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// By whom they are given out, and their shape, as that documents it.
const SHAPES: &[(&str, &str)] = &[
    ("convoledger", r"\bclt_[0-9a-f]{64}\b"),
    ("AWS access key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    ("GitHub", r"\bgh[oprsu]_[A-Za-z0-9]{36,251}\b"),
    ("GitHub, fine-grained", r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
    ("GitLab", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_-]{20,}"),
    ("Anthropic", r"\bsk-ant-[a-z0-9]{2,12}-[A-Za-z0-9_-]{20,}"),
    ("OpenAI", r"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}"),
    ("OpenRouter", r"\bsk-or-v1-[0-9a-f]{64}\b"),
    ("OpenAI, before there were projects", r"\bsk-[A-Za-z0-9]{32,64}\b"),
    ("Google API key", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("Google OAuth", r"\bGOCSPX-[A-Za-z0-9_-]{28}|\bya29\.[A-Za-z0-9_-]{20,}"),
    ("Slack", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[0-9]-[A-Za-z0-9-]{10,}"),
    ("Slack webhook", r"\bhooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}"),
    ("Stripe", r"\b[prs]k_(?:live|test)_[A-Za-z0-9]{16,}|\bwhsec_[A-Za-z0-9+/=]{24,}"),
    ("Hugging Face", r"\bhf_[A-Za-z]{34}\b"),
    ("npm", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("PyPI", r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    ("crates.io", r"\bcio[A-Za-z0-9]{32}\b"),
    ("SendGrid", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    ("DigitalOcean", r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
    ("Telegram bot", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("age", r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"),
    // RFC 7519: both headers are objects, and those begin with `{"`.
    ("JSON Web Token", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    // RFC 7468. What stands between has no two hyphens in a row, so that an end that is missing is not looked for far.
    (
        "private key",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:(?:[^-]|-[^-])*-----END [A-Z0-9 ]{1,60}-----|(?:(?:\s|\\[nr])+[A-Za-z0-9+/=]{16,})+)",
    ),
    // It has no shape of its own, but is told by what stands before it.
    ("AWS secret key", r#"(?i:aws_?secret_?(?:access_?)?key)['" ]{0,3}[:=]{1,2}['" ]{0,3}[A-Za-z0-9+/]{40}"#),
];

static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    let shapes: Vec<&str> = SHAPES.iter().map(|(_, shape)| *shape).collect();
    // Borders of ASCII words: those of all scripts are told much more slowly.
    Regex::new(&shapes.join("|").replace(r"\b", r"(?-u:\b)")).expect("patterns")
});

pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    SECRET.find_iter(text).map(|secret| secret.range()).collect()
}
