//! Addresses: of mail, and of machines.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use linkify::{LinkFinder, LinkKind};
use regex::Regex;

static EMAIL: LazyLock<LinkFinder> = LazyLock::new(|| {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Email]);
    finder
});

/// What may be an address of a machine, as long as its characters go on.
static IP: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[0-9A-Za-z_.:]+").expect("a pattern"));

/// As RFC 6531 has them, but for a mark that an address may begin with and quotes begin with as well.
pub(super) fn emails(text: &str) -> Vec<Range<usize>> {
    let trimmed = |link: linkify::Link<'_>| {
        let address = link.as_str().trim_start_matches(|c: char| c.is_ascii_punctuation());
        (!address.is_empty()).then(|| link.end() - address.len()..link.end())
    };
    EMAIL.links(text).filter_map(trimmed).collect()
}

/// Those that may be somebody's: neither the machine's own nor none.
pub(super) fn ips(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for run in IP.find_iter(text) {
        let run = run.start()..run.start() + run.as_str().trim_end_matches(['.', ':']).len();
        if let Some(start) = version_6(text, run.clone()) {
            found.push(start..run.end);
            continue;
        }
        // A name may stand before an address of version 4, and a port behind it.
        let mut start = run.start;
        for piece in text[run].split(':') {
            let address = piece.trim_matches('.');
            let at = start + (piece.len() - piece.trim_start_matches('.').len());
            if is_version_4(address) {
                found.push(at..at + address.len());
            }
            start += piece.len() + 1;
        }
    }
    found
}

/// Where an address of version 6 begins that ends with this run: with it, or behind a name in it.
fn version_6(text: &str, run: Range<usize>) -> Option<usize> {
    let named = text[run.clone()].find(':').map(|colon| run.start + colon + 1);
    [Some(run.start), named].into_iter().flatten().find(|start| is_version_6(&text[*start..run.end]))
}

fn is_version_4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified() && !ip.is_broadcast())
}

/// Paths of programs (`dead::beef`) look like addresses: those have a digit.
fn is_version_6(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
        && text.parse::<Ipv6Addr>().is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
}
