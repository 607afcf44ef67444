//! Numbers: of payment cards, of bank accounts, of telephones.

use std::ops::Range;
use std::sync::LazyLock;

use iban::Iban;
use phonenumber::country;
use regex::Regex;

/// Digits in groups, with a blank or hyphen between them.
static DIGITS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[0-9]+(?:[ -][0-9]+)*").expect("a pattern"));
/// How an IBAN begins.
static IBAN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?-u:\b)[A-Za-z]{2}[0-9]{2}").expect("a pattern"));
/// How a number begins that says its country, and one as it is written in North America.
static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    let north_america = r"(?:\([2-9][0-9]{2}\) ?|(?-u:\b)[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ][0-9]{4}(?-u:\b)";
    Regex::new(&format!(r"(?:\+|(?-u:\b)00)[1-9]|{north_america}")).expect("a pattern")
});

/// The longest that an IBAN or a telephone number is, with what stands between its groups.
const IBAN_MAX: usize = 34;
const PHONE_MAX: usize = 15;
/// Candidates of one text that the plan of their country is asked about. Of a text with more, all are taken: it consists of
/// numbers, and asking takes long.
const ASKED_MAX: usize = 1_000;

/// Cards: issuers' numbers of the right length, with the right check digit, whole groups of digits.
pub(super) fn cards(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for run in DIGITS.find_iter(text) {
        let groups: Vec<Range<usize>> = groups(run.as_str(), run.start());
        let mut at = 0;
        while at < groups.len() {
            let card = (at + 1..=groups.len().min(at + 8)).rev().find(|end| is_card(text, &groups[at..*end]));
            if let Some(end) = card {
                found.push(groups[at].start..groups[end - 1].end);
            }
            at = card.unwrap_or(at + 1);
        }
    }
    found
}

fn groups(run: &str, start: usize) -> Vec<Range<usize>> {
    let mut at = start;
    let groups = run.split([' ', '-']).map(|group| {
        let range = at..at + group.len();
        at = range.end + 1;
        range
    });
    groups.collect()
}

fn is_card(text: &str, groups: &[Range<usize>]) -> bool {
    if groups.iter().map(Range::len).sum::<usize>() > 19 {
        return false;
    }
    let digits: Vec<u8> =
        groups.iter().flat_map(|group| text[group.clone()].bytes()).map(|digit| digit - b'0').collect();
    is_issued(&digits) && has_check_digit(&digits)
}

/// Whether an issuer has numbers that begin so and are so long (ISO/IEC 7812).
fn is_issued(digits: &[u8]) -> bool {
    if digits.len() < 13 {
        return false;
    }
    let begins = |length: usize| digits[..length].iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    match digits.len() {
        14 => matches!(begins(2), 36 | 38 | 39) || matches!(begins(3), 300..=305), // Diners Club
        15 => matches!(begins(2), 34 | 37),                                        // American Express
        13 => begins(1) == 4,                                                      // Visa, once
        _ => {
            begins(1) == 4 // Visa
                || matches!(begins(2), 51..=55) || matches!(begins(4), 2221..=2720) // Mastercard
                || begins(4) == 6011 || matches!(begins(3), 644..=649) || begins(2) == 65 // Discover
                || matches!(begins(4), 3528..=3589) // JCB
                || begins(2) == 62 // UnionPay
                || matches!(begins(4), 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763) // Maestro
        }
    }
}

/// Luhn's (ISO/IEC 7812-1, annex B).
fn has_check_digit(digits: &[u8]) -> bool {
    let double = |digit: u8| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let value = |(nth, digit): (usize, &u8)| u32::from(if nth % 2 == 1 { double(*digit) } else { *digit });
    digits.iter().rev().enumerate().map(value).sum::<u32>() % 10 == 0
}

/// IBANs of countries that have them, in their length and form, with the right check digits; with blanks or without.
pub(super) fn ibans(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for begin in IBAN.find_iter(text) {
        let start = begin.start();
        if found.last().is_none_or(|last| last.end <= start)
            && let Some(end) = iban_end(&text[start..])
        {
            found.push(start..start + end);
        }
    }
    found
}

/// Where the IBAN ends that `text` begins with: not within a word.
fn iban_end(text: &str) -> Option<usize> {
    let (mut plain, mut found) = (String::with_capacity(IBAN_MAX), None);
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            ' ' if !plain.is_empty() && text.as_bytes()[at - 1] != b' ' => continue,
            c if c.is_ascii_alphanumeric() && plain.len() < IBAN_MAX => plain.push(c.to_ascii_uppercase()),
            _ => break,
        }
        let ends = characters.peek().is_none_or(|(_, next)| !next.is_alphanumeric() && *next != '_');
        if ends && plain.len() >= 15 && plain.parse::<Iban>().is_ok() {
            found = Some(at + 1);
        }
    }
    found
}

/// Telephone numbers that a country's plan of numbers has.
pub(super) fn phones(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut asked): (Vec<Range<usize>>, usize) = (Vec::new(), 0);
    for begin in PHONE.find_iter(text) {
        let start = begin.start();
        let within = text[..start].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '+');
        if within || found.last().is_some_and(|last| last.end > start) {
            continue;
        }
        let international = begin.as_str().starts_with(['+', '0']);
        let ends = if international { ends(&text[start..]) } else { vec![begin.len()] };
        let country = (!international).then_some(country::US);
        let end = ends.iter().rev().find(|end| {
            asked += 1;
            asked > ASKED_MAX || is_phone(&text[start..start + **end], country)
        });
        found.extend(end.map(|end| start..start + end));
    }
    found
}

/// Where the number may end that `text` begins with: behind each group of digits, from seven digits on.
fn ends(text: &str) -> Vec<usize> {
    let (mut ends, mut digits, mut between) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '0'..='9' => {
                (digits, between) = (digits + 1, 0);
                if ends.last() == Some(&at) {
                    ends.pop();
                }
                if digits >= 7 {
                    ends.push(at + 1);
                }
            }
            ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' if between < 2 => between += 1,
            c if c.is_alphabetic() || c == '_' => {
                // A number does not end in the middle of a word.
                if between == 0 {
                    ends.pop();
                }
                break;
            }
            _ => break,
        }
        if digits > PHONE_MAX + 2 {
            // More digits than any number has: a group that goes on is none.
            if c.is_ascii_digit() {
                ends.pop();
            }
            break;
        }
    }
    ends
}

fn is_phone(text: &str, country: Option<country::Id>) -> bool {
    let text = text.strip_prefix("00").map_or(text.into(), |rest| format!("+{rest}"));
    phonenumber::parse(country, text).is_ok_and(|number| number.is_valid())
}
