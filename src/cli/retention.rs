//! `convoledger retention`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Place;
use super::output::{say, say_json};
use crate::database::Role;
use crate::event::{AccountId, Lapsed, Requester, Resting, RetentionPolicy};
use crate::ledger::retention::{KEPT, check};
use crate::service::{Kept, Retained, Service};

/// How long what was said is kept: for ever, unless a lifetime is settled.
#[derive(Debug, Args)]
pub(super) struct RetentionCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(Show),
    Set(Set),
    Run(Run),
    Undo(Undo),
}

/// Tells how long what an account said is kept, and what is announced.
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    retain: Retain,
}

/// Settles how long what an account said is kept, whatever the server says. What was announced before is void.
#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    whose: Whose,
    /// Lifetimes in days: of all words or by kind of event, since they were recorded; of the facts and the money of
    /// conversations, since their newest event; and the days in which a notice can be undone:
    /// `words=365d,message.appended=30d,facts=730d,money=3650d,undo=7d`; or `ever`, or `default`
    #[arg(value_name = "POLICY", value_parser = settled)]
    policy: Settled,
    #[command(flatten)]
    retain: Retain,
}

/// Takes away what is due, and announces what comes next, as `serve` does every hour.
#[derive(Debug, Args)]
struct Run {
    /// Whose: an address, or the id of an account; all when left out
    #[arg(value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only tell what would go, and what would be announced
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    retain: Retain,
    /// Print one JSON document: {"dry_run", "accounts": [{"account", "held", "due", "announced", "gone"}]}, both lists of
    /// {"class": "words", "kind", "events", "parts", "bytes", "first", "last"} and of {"class": "facts" or "money",
    /// "conversations", "events", "first", "last"}
    #[arg(long)]
    json: bool,
}

/// Takes back what is announced: it is kept until another policy is settled.
#[derive(Debug, Args)]
struct Undo {
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Args)]
struct Whose {
    /// Whose: an address, or the id of an account
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// Print one JSON document: account, policy, own, held, announced, due
    #[arg(long)]
    json: bool,
}

/// What the server says.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "How long things are kept")]
pub(super) struct Retain {
    /// For accounts that settled nothing: `words=365d,message.rated=30d,undo=7d` and the like, or `ever`
    #[arg(long = "retain", value_name = "POLICY", env = "CONVOLEDGER_RETAIN", default_value = "ever", value_parser = policy)]
    pub default: RetentionPolicy,
}

/// None: as the server says.
#[derive(Debug, Clone)]
struct Settled(Option<RetentionPolicy>);

fn settled(text: &str) -> Result<Settled, String> {
    if text == "default" { Ok(Settled(None)) } else { policy(text).map(|policy| Settled(Some(policy))) }
}

fn policy(text: &str) -> Result<RetentionPolicy, String> {
    let mut policy = KEPT;
    if text == "ever" {
        return Ok(policy);
    }
    for lifetime in text.split(',') {
        let (what, days) = lifetime.trim().split_once('=').ok_or("say what is kept how long, such as words=365d")?;
        let days = match days {
            "ever" => None,
            days => Some(days.strip_suffix('d').and_then(|days| days.parse().ok()).ok_or_else(|| {
                format!("`{days}` is no lifetime; give days (d), such as 365d, or `ever`") //
            })?),
        };
        match what {
            "words" => policy.words = days,
            "facts" => policy.facts = days,
            "money" => policy.money = days,
            "undo" => policy.undo = days.ok_or("`undo` takes days, such as 7d")?,
            kind => drop(policy.kinds.insert(kind.to_owned(), days)),
        }
    }
    check(&policy).map_err(|refusal| refusal.to_string())?;
    Ok(policy)
}

/// As it is written on the command line.
fn written(policy: &RetentionPolicy) -> String {
    if *policy == KEPT {
        return "ever".into();
    }
    let span = |days: Option<u32>| days.map_or("ever".to_owned(), |days| format!("{days}d"));
    let mut text = format!("words={}", span(policy.words));
    for (kind, days) in &policy.kinds {
        let _ = write!(text, ",{kind}={}", span(*days)); // a string takes it
    }
    for (what, lifetime) in [("facts", policy.facts), ("money", policy.money)] {
        if lifetime.is_some() {
            let _ = write!(text, ",{what}={}", span(lifetime));
        }
    }
    text + &format!(",undo={}d", policy.undo)
}

impl RetentionCommand {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        place.must_exist()?;
        let house = place.open(Role::Command).await?;
        let done = match self.action {
            Action::Show(show) => show.carry_out(&house.service).await,
            Action::Set(set) => set.carry_out(&house.service).await,
            Action::Run(run) => run.carry_out(&house.service).await,
            Action::Undo(undo) => undo.carry_out(&house.service).await,
        };
        house.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl Show {
    async fn carry_out(self, service: &Service) -> anyhow::Result<()> {
        let account = named(service, &self.whose.account).await?;
        let service = service.clone().with_retention(self.retain.default);
        self.whose.tell(account, &service.kept(account).await?)
    }
}

impl Set {
    async fn carry_out(self, service: &Service) -> anyhow::Result<()> {
        let account = named(service, &self.whose.account).await?;
        let service = service.clone().with_retention(self.retain.default);
        service.configure_retention(account, self.policy.0, Requester::Operator).await?;
        self.whose.tell(account, &service.kept(account).await?)
    }
}

impl Undo {
    async fn carry_out(self, service: &Service) -> anyhow::Result<()> {
        let account = named(service, &self.whose.account).await?;
        let undone = service.undo_retention(account, Requester::Operator).await?;
        if self.whose.json {
            return say_json(&json!({ "account": account, "undone": undone }));
        }
        say(&format!(
            "account {account}: {}",
            if undone { "what was announced stays" } else { "nothing is announced" }
        ));
        Ok(())
    }
}

impl Whose {
    fn tell(&self, account: AccountId, kept: &Kept) -> anyhow::Result<()> {
        let announced = kept.notice.as_ref().map(|notice| &notice.announced);
        let words = announced.map(|announced| announced.words.as_slice()).unwrap_or_default();
        let resting = announced.map(|announced| announced.conversations.as_slice()).unwrap_or_default();
        if self.json {
            return say_json(&json!({
                "account": account, "policy": kept.policy, "own": kept.own, "held": kept.held,
                "announced": lines(words, resting), "due": announced.map(|announced| announced.due),
            }));
        }
        let whose = if kept.own { "its own" } else { "the server's" };
        say(&format!("account {account}: {} ({whose}){}", written(&kept.policy), stays(kept.held)));
        if let Some(announced) = announced {
            say(&format!("announced, and gone at {}:", time(announced.due)));
            say_all(words, resting);
        }
        Ok(())
    }
}

impl Run {
    async fn carry_out(self, service: &Service) -> anyhow::Result<()> {
        let service = service.clone().with_retention(self.retain.default.clone());
        let mut told = Vec::new();
        if let Some(account) = &self.account {
            let account = named(&service, account).await?;
            self.one(&service, account, &mut told).await?;
        } else {
            let mut after = AccountId::default();
            loop {
                let page = service.accounts_behind(after).await?;
                let Some(last) = page.last() else { break };
                after = *last;
                for account in page {
                    self.one(&service, account, &mut told).await?;
                }
            }
        }
        if self.json {
            return say_json(&json!({ "dry_run": self.dry_run, "accounts": told }));
        }
        if told.is_empty() {
            say("nothing is old enough to go");
        }
        Ok(())
    }

    async fn one(&self, service: &Service, account: AccountId, told: &mut Vec<Value>) -> anyhow::Result<()> {
        let retained =
            if self.dry_run { service.would_retain(account).await? } else { service.retain(account).await? };
        if retained.is_empty() {
            return Ok(());
        }
        let Retained { held, announced: words, resting, due, gone, expired, .. } = retained;
        told.push(json!({
            "account": account, "held": held, "due": due, "announced": lines(&words, &resting),
            "gone": lines(&gone, &expired),
        }));
        if self.json {
            return Ok(());
        }
        if !gone.is_empty() || !expired.is_empty() {
            say(&format!("account {account}: {}", if self.dry_run { "would go" } else { "gone" }));
            say_all(&gone, &expired);
        }
        if let Some(due) = due {
            let announced = if self.dry_run { "would go" } else { "announced, and gone" };
            say(&format!("account {account}: {announced} at {}{}", time(due), stays(held)));
            say_all(&words, &resting);
        }
        Ok(())
    }
}

async fn named(service: &Service, name: &str) -> anyhow::Result<AccountId> {
    Ok(service.named(name).await?.context("there is no such account")?.account)
}

fn lines<'w>(words: &'w [Lapsed], resting: &[Resting]) -> Vec<BTreeMap<&'w str, Value>> {
    let line = |words: &Lapsed| {
        BTreeMap::from([
            ("class", json!("words")),
            ("kind", json!(words.kind)),
            ("events", json!(words.events)),
            ("parts", json!(words.parts)),
            ("bytes", json!(words.bytes)),
            ("first", json!(words.first)),
            ("last", json!(words.last)),
        ])
    };
    let rest = |resting: &Resting| {
        BTreeMap::from([
            ("class", json!(resting.class)),
            ("conversations", json!(resting.conversations)),
            ("events", json!(resting.events)),
            ("first", json!(resting.first)),
            ("last", json!(resting.last)),
        ])
    };
    words.iter().map(line).chain(resting.iter().map(rest)).collect()
}

fn say_all(words: &[Lapsed], resting: &[Resting]) {
    for Lapsed { kind, events, bytes, first, last, .. } in words {
        let (first, last) = (time(*first), time(*last));
        say(&format!("{events:>10}  words of {kind}, {bytes} bytes, recorded from {first} to {last}"));
    }
    for Resting { class, conversations, events, first, last, .. } in resting {
        let (class, first, last) = (class.name(), time(*first), time(*last));
        say(&format!("{events:>10}  events, {class} of {conversations} conversations at rest since {first} to {last}"));
    }
}

const fn stays(held: bool) -> &'static str {
    if held { "; it is held, and nothing goes" } else { "" }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        for text in [
            "ever",
            "words=365d,undo=7d",
            "words=365d,facts=730d,money=3650d,undo=7d",
            "words=365d,conversation.titled=ever,message.appended=30d,undo=0d",
        ] {
            assert_eq!(policy(text).map(|policy| written(&policy)), Ok(text.to_owned()));
        }
        assert_eq!(policy("words=1d").map(|policy| policy.undo), Ok(7));
        assert_eq!(
            policy("message.rated=1d").map(|policy| written(&policy)),
            Ok("words=ever,message.rated=1d,undo=7d".into())
        );
        for (wrong, why) in [
            ("", "words=365d"),
            ("words", "words=365d"),
            ("words=1w", "no lifetime"),
            ("undo=ever", "takes days"),
            ("words=99999999d", "36500"),
            ("facts=365d", "would outlive"),
            ("words=30d,conversation.titled=ever,facts=365d", "would outlive"),
            ("words=30d,facts=365d,money=364d", "would outlive"),
            ("message.hidden=3d", "says something"),
        ] {
            let told = policy(wrong).expect_err(wrong);
            assert!(told.contains(why), "{wrong}: {told}");
        }
    }
}
