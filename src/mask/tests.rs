use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn detector() -> Detector {
    Detector::new(Personal::ALL, &["Ada Lovelace".into(), "Ada".into(), "Zoë".into(), "田中".into()]).expect("names")
}

/// What is found in `text`, as it stands there.
fn found(text: &str) -> Vec<(Personal, &str)> {
    detector().find(text).into_iter().map(|(range, kind)| (kind, &text[range])).collect()
}

/// The digits of a card that begins so, with its check digit.
fn card(begin: &str, fill: &[u8], length: usize) -> String {
    let mut digits: Vec<u8> = begin.bytes().map(|digit| digit - b'0').collect();
    digits.extend(fill.iter().cycle().take(length - 1 - digits.len()));
    let weight = |(nth, digit): (usize, &u8)| {
        let value = u32::from(*digit) * if nth % 2 == 0 { 2 } else { 1 };
        value / 10 + value % 10
    };
    let sum: u32 = digits.iter().rev().enumerate().map(weight).sum();
    digits.push(u8::try_from((10 - sum % 10) % 10).expect("a digit"));
    digits.iter().map(|digit| char::from(b'0' + digit)).collect()
}

/// A German IBAN of this account, with its check digits.
fn iban(account: u64) -> String {
    let account = format!("{account:018}");
    let rest = format!("{account}131400").bytes().fold(0_u64, |rest, digit| (rest * 10 + u64::from(digit - b'0')) % 97);
    format!("DE{:02}{account}", 98 - rest)
}

fn grouped(text: &str, by: &str) -> String {
    text.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).expect("ASCII")).collect::<Vec<_>>().join(by)
}

/// Something personal, and of which kind it is.
fn personal() -> impl Strategy<Value = (Personal, String)> {
    let fill = || prop::collection::vec(0..10_u8, 15);
    let begin = prop::sample::select(vec![("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("6011", 16), ("4", 19)]);
    let secret = prop_oneof![
        "clt_[0-9a-f]{64}",
        "AKIA[A-Z2-7]{16}",
        "ghp_[A-Za-z0-9]{36}",
        "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
        "sk-ant-api03-[A-Za-z0-9_]{93}",
        "sk-proj-[A-Za-z0-9]{48}",
        "AIza[A-Za-z0-9_]{35}",
        "xoxb-[0-9]{12}-[A-Za-z0-9]{24}",
        "sk_live_[A-Za-z0-9]{24}",
        "eyJ[A-Za-z0-9]{20}\\.eyJ[A-Za-z0-9]{30}\\.[A-Za-z0-9]{43}",
        "-----BEGIN RSA PRIVATE KEY-----\n([A-Za-z0-9+/]{64}\n){1,4}-----END RSA PRIVATE KEY-----",
    ];
    let groups = || prop::sample::select(vec!["", " "]);
    prop_oneof![
        ("[a-z]{1,8}([.+_-][a-z0-9]{1,5})?", "[a-z]{2,8}(-[a-z]{1,4})?\\.(org|de|co\\.uk)")
            .prop_map(|(name, host)| (Personal::Email, format!("{name}@{host}"))),
        (begin, fill(), prop::sample::select(vec!["", " ", "-"]))
            .prop_map(|((begin, length), fill, by)| (Personal::Card, grouped(&card(begin, &fill, length), by))),
        (0..10_u64.pow(18), groups()).prop_map(|(account, by)| (Personal::Iban, grouped(&iban(account), by))),
        (1..=126_u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| (Personal::Ip, format!("{a}.{b}.{c}.{d}"))),
        (0x2000..0x3fff_u16, 1..u16::MAX).prop_map(|(a, z)| (Personal::Ip, format!("{a:x}:db8:0:17::{z:x}"))),
        (170..180_u32, 0..10_000_000_u32, prop::sample::select(vec!["+49", "0049", "+49 ", "+49-"]))
            .prop_map(|(prefix, number, country)| (Personal::Phone, format!("{country}{prefix} {number:07}"))),
        (0..10_000_u32).prop_map(|line| (Personal::Phone, format!("(212) 555-{line:04}"))),
        secret.prop_map(|secret| (Personal::Secret, secret)),
        prop::sample::select(vec!["Ada Lovelace", "ada  lovelace", "ADA", "zoë", "田中"])
            .prop_map(|name| (Personal::Name, name.to_owned())),
    ]
}

/// Texts as they come, and such as hold what may trip a mask up.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<String>(),
        4 => personal().prop_map(|(_, personal)| personal),
        2 => "\\[(email|card|literal|name|what)-[0-9]{0,3}\\]?",
        2 => "[ -~]{0,12}",
        1 => "[0-9 .:@+-]{0,40}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_masked_comes_back(texts in prop::collection::vec(text(), 1..5)) {
        let mut masker = Masker::new(detector());
        let masked: Vec<String> = texts.iter().map(|text| masker.mask(text)).collect();
        for (text, masked) in texts.iter().zip(&masked) {
            prop_assert_eq!(&unmask(masked, masker.legend()), text);
        }
        let again: Vec<String> = texts.iter().map(|text| masker.mask(text)).collect();
        prop_assert_eq!(again, masked, "the same text is masked the same");
    }

    #[test]
    fn nothing_is_left_to_be_found(text in text()) {
        let detector = detector();
        let masked = Masker::new(detector.clone()).mask(&text);
        prop_assert_eq!(detector.find(&PLACEHOLDER.replace_all(&masked, "\u{0}")), vec![], "{}", masked);
        let blank = detector.blank(&text);
        prop_assert_eq!(&detector.blank(&blank), &blank);
    }

    #[test]
    fn it_is_found_wherever_it_stands(
        (kind, personal) in personal(),
        before in "([a-z]{1,9}[ ,(\"\n]){0,4}",
        after in "([ ,;)\"\n][a-z]{1,9}){0,4}",
    ) {
        let text = format!("{before}{personal}{after}");
        prop_assert_eq!(found(&text), vec![(kind, &*personal)]);
        let masked = Masker::new(detector()).mask(&text);
        prop_assert_eq!(masked, format!("{before}[{}-1]{after}", kind.label()));
        prop_assert_eq!(detector().blank(&text), format!("{before}[{}]{after}", kind.label()));
    }

    #[test]
    fn a_wrong_check_digit_is_none(fill in prop::collection::vec(0..10_u8, 15), account in 0..10_u64.pow(18), off in 1..10_u8) {
        let mut card = card("4", &fill, 16).into_bytes();
        card[15] = b'0' + (card[15] - b'0' + off) % 10;
        let card = String::from_utf8(card).expect("ASCII");
        let wrong = number::cards(&format!("pay {card} now"));
        prop_assert_eq!(wrong.len(), 0);
        let iban = iban(account);
        let check: u64 = iban[2..4].parse().expect("digits");
        let wrong = format!("DE{:02}{}", (check + u64::from(off)) % 97, &iban[4..]);
        prop_assert!(number::ibans(&wrong).is_empty());
    }
}

#[test]
fn what_only_looks_like_it_is_left() {
    for text in [
        "std::net::Ipv6Addr and dead::beef and f64::EPSILON",
        "it took 12:30:45, from 127.0.0.1 or ::1 to localhost",
        "version 1.2.3 of 2024-11-24, build 20241124173000123",
        "let x = [1, 2, 3]; a@b and @someone at #4",
        "4111 1111 1111 1112 is no card, nor 1234567890123456",
        "DE00 3704 0044 0532 0130 00 is no account",
        "sk-something, AKIA, ghp_short and eyJ",
        "Adam and Adagio and the Canada of old",
        "an order of 555-1234567, or 100.000.000 of them",
        "-----BEGIN PUBLIC KEY-----",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn edges_are_those_of_the_thing() {
    assert_eq!(
        found(
            "Ada (ada@example.org, +44 20 7946 0958) pays from GB82 WEST 1234 5698 7654 32 BY CARD 4111-1111-1111-1111."
        ),
        [
            (Personal::Name, "Ada"),
            (Personal::Email, "ada@example.org"),
            (Personal::Phone, "+44 20 7946 0958"),
            (Personal::Iban, "GB82 WEST 1234 5698 7654 32"),
            (Personal::Card, "4111-1111-1111-1111"),
        ]
    );
    assert_eq!(found("at 203.0.113.7:8080, [2001:db8::7].").len(), 2);
    assert_eq!(found("2024 4111111111111111 2025"), [(Personal::Card, "4111111111111111")]);
    assert_eq!(found("田中さん").len(), 1);
    assert_eq!(found("Ada's"), [(Personal::Name, "Ada")]);
    let key = "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    assert_eq!(found(key), [(Personal::Secret, key)]);
}

#[test]
fn only_what_is_asked_for_is_found() {
    let text = "Ada, ada@example.org, 4111111111111111";
    let only = Detector::new([Personal::Card], &["Ada".into()]).expect("a name");
    assert_eq!(only.blank(text), "Ada, ada@example.org, [card]");
    let names = Detector::new([Personal::Name], &["Ada".into(), " ".into()]).expect("a name");
    assert_eq!(names.blank(text), "[name], [name]@example.org, 4111111111111111");
    assert_eq!(Detector::default().blank(text), "Ada, [email], [card]");
}

#[test]
fn as_many_names_as_an_account_may_list_are_looked_for() {
    let names: Vec<String> = (0..200).map(|nth| format!("{nth}{}", "\u{1e9e}é".repeat(98))).collect();
    let detector = Detector::new([Personal::Name], &names).expect("names");
    assert_eq!(detector.blank(&format!("to {}", names[199])), "to [name]");
}

#[test]
fn strings_within_json_are_masked_and_keys_are_not() {
    let mut masker = Masker::new(detector());
    let mut value = json!({"Ada": ["Ada", {"to": "ada@example.org", "n": 4_111_111_111_111_111_u64}], "again": "Ada"});
    masker.mask_json(&mut value);
    assert_eq!(
        value,
        json!({"Ada": ["[name-1]", {"to": "[email-1]", "n": 4_111_111_111_111_111_u64}], "again": "[name-1]"})
    );
    assert!(!format!("{:?}", masker.legend().collect::<Vec<_>>()).contains("Ada"), "never printed by accident");
}

/// Time grows as the text does. What is hostile makes no difference but a constant.
#[test]
fn hostile_texts_take_no_longer_than_they_are_long() {
    for piece in [
        "a@",
        "a.b@c.",
        "-----BEGIN PRIVATE KEY-----\nAAAAAAAAAAAAAAAAAAAA\n",
        "eyJeyJeyJeyJ.",
        "sk-ant-api03-",
        "+49 1 ",
        "+1 212 555 0100 ",
        "1 ",
        "4111 ",
        "DE89 3704 ",
        "a1b2",
        "::",
        "1.",
        "Ada",
        "[email-1]",
        "00",
        "@",
        "\u{1f600}",
    ] {
        let time = |bytes: usize| {
            let text = piece.repeat(bytes / piece.len());
            let begun = Instant::now();
            Masker::new(detector()).mask(&text);
            begun.elapsed()
        };
        let (small, large) = (time(1 << 15), time(1 << 18));
        assert!(large < 40 * small.max(Duration::from_millis(20)), "{piece:?}: {small:?}, then {large:?}");
    }
}
