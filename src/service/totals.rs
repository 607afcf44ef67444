//! What messages used, took and cost together.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::Serialize;

use crate::event::{MessageAppended, Role};

/// A sum is none while no message said the number: unknown is not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub messages: u64,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    #[serde(with = "rust_decimal::serde::str_option")]
    pub cost_usd: Option<Decimal>,
    /// Messages of unknown cost that somebody paid for: those that a model said, or that count tokens.
    pub unknown_costs: u64,
    pub latency_ms: Option<u64>,
    pub models: BTreeSet<String>,
}

impl Totals {
    pub fn add(&mut self, said: &MessageAppended) {
        self.messages += 1;
        let usage = said.usage.unwrap_or_default();
        add(&mut self.tokens_in, usage.input, u64::saturating_add);
        add(&mut self.tokens_out, usage.output, u64::saturating_add);
        add(&mut self.cost_usd, said.cost_usd, Decimal::saturating_add);
        add(&mut self.latency_ms, said.latency_ms, u64::saturating_add);
        let is_paid = said.usage.is_some() || said.role == Role::Assistant;
        self.unknown_costs += u64::from(said.cost_usd.is_none() && is_paid);
        self.models.extend(said.model.clone());
    }
}

fn add<N: Copy>(sum: &mut Option<N>, more: Option<N>, plus: impl Fn(N, N) -> N) {
    if let Some(more) = more {
        *sum = Some(sum.map_or(more, |sum| plus(sum, more)));
    }
}
