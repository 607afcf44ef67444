//! Branches of conversations.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::{from, place, unexpected};
use crate::event::{BranchNumber, ConversationId, OwnerId, Place, Position, Token};

#[derive(Debug, Clone, PartialEq)]
pub struct BranchRow {
    pub conversation: ConversationId,
    pub number: BranchNumber,
    /// Its newest message; none while it is empty. Its depth is how many messages the branch has.
    pub tip: Option<Place>,
    /// The message below which it began; none for one that began at the root.
    pub forked_from: Option<Place>,
    /// The event that holds its name, and the token that the name is known by.
    pub name: Option<(Position, Token)>,
    pub preferred: bool,
    /// Put aside: it takes no more messages until it is resumed.
    pub abandoned: bool,
    pub created_at: DateTime<Utc>,
    /// Of the messages that were appended to it; none while no cost is known.
    pub own_cost_usd: Option<Decimal>,
    /// The message of another conversation below which its conversation goes on.
    pub from: Option<(ConversationId, Place)>,
}

impl BranchRow {
    /// The newest message on its path, which is of another conversation when this one goes on from there and nothing was
    /// said on the branch yet.
    pub fn end(&self) -> Option<(ConversationId, Place)> {
        self.tip.map(|tip| (self.conversation, tip)).or(self.from)
    }

    pub fn message_count(&self) -> u64 {
        self.end().and_then(|(_, end)| u64::try_from(end.depth.0).ok()).unwrap_or_default()
    }
}

/// The branches of these conversations as they were at `at`, each conversation's by number.
pub async fn of_conversations(
    pool: &PgPool,
    owner: OwnerId,
    conversations: &[ConversationId],
    at: Position,
) -> Result<HashMap<ConversationId, Vec<BranchRow>>, sqlx::Error> {
    let ids: Vec<Uuid> = conversations.iter().map(|id| id.0).collect();
    let query =
        sqlx::query(as_of!("../../projections/conversation/branches.sql", at)).bind(owner.0).bind(ids).bind(at.0);
    let mut branches: HashMap<_, Vec<_>> = HashMap::with_capacity(conversations.len());
    for row in query.fetch_all(pool).await? {
        let branch = branch(&row)?;
        branches.entry(branch.conversation).or_default().push(branch);
    }
    Ok(branches)
}

/// The branches with these numbers as they were at `at`, in no order.
pub async fn by_numbers(
    pool: &PgPool,
    owner: OwnerId,
    branches: &[(ConversationId, BranchNumber)],
    at: Position,
) -> Result<Vec<BranchRow>, sqlx::Error> {
    let (conversations, numbers) = columns(branches);
    let query = sqlx::query(as_of!("../../projections/conversation/branch.sql", at))
        .bind(owner.0)
        .bind(conversations)
        .bind(numbers)
        .bind(at.0);
    query.fetch_all(pool).await?.iter().map(branch).collect()
}

/// What the path of each branch cost as of `at`, from the root to its tip. A branch on whose path no cost is known is not there.
pub async fn path_costs(
    pool: &PgPool,
    owner: OwnerId,
    branches: &[(ConversationId, BranchNumber)],
    at: Position,
) -> Result<HashMap<(ConversationId, BranchNumber), Decimal>, sqlx::Error> {
    let (conversations, numbers) = columns(branches);
    let query = sqlx::query(as_of!("../../projections/conversation/branch_costs.sql", at))
        .bind(owner.0)
        .bind(conversations)
        .bind(numbers)
        .bind(at.0);
    let mut costs = HashMap::with_capacity(branches.len());
    for row in query.fetch_all(pool).await? {
        let key = (ConversationId(row.try_get("conversation_id")?), BranchNumber(row.try_get("number")?));
        costs.insert(key, row.try_get("cost_usd")?);
    }
    Ok(costs)
}

fn columns(branches: &[(ConversationId, BranchNumber)]) -> (Vec<Uuid>, Vec<i32>) {
    branches.iter().map(|(conversation, number)| (conversation.0, number.0)).unzip()
}

fn branch(row: &PgRow) -> Result<BranchRow, sqlx::Error> {
    let name_at: Option<i64> = row.try_get("name_at")?;
    let token: Option<&[u8]> = row.try_get("token")?;
    let token = token.map(<[u8; 16]>::try_from).transpose();
    let token = token.map_err(|_| unexpected("a branch's token is not 16 bytes".to_owned()))?;
    Ok(BranchRow {
        conversation: ConversationId(row.try_get("conversation_id")?),
        number: BranchNumber(row.try_get("number")?),
        tip: place(row, "tip_segment", "tip_depth")?,
        forked_from: place(row, "fork_segment", "fork_depth")?,
        name: name_at.map(Position).zip(token.map(Token)),
        preferred: row.try_get("preferred")?,
        abandoned: row.try_get("abandoned")?,
        from: from(row)?,
        created_at: row.try_get("created_at")?,
        own_cost_usd: row.try_get("own_cost_usd")?,
    })
}
