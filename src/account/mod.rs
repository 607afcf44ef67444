//! Who may call: accounts by a keyed digest of their address, and API tokens by their hash.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use crate::event::AccountId;
use crate::random;

/// What tells a token of ours from other strings: scanners of leaked secrets can look for it.
const PREFIX: &str = "clt_";

/// A secret that an account calls with: shown once, stored as a hash.
pub struct Token(String);

impl Token {
    fn fresh() -> Self {
        Self(format!("{PREFIX}{}", hex::encode(random::bytes::<32>())))
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What is known of a token but the token.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct TokenRow {
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A keyed digest of a normalised address.
pub type EmailDigest = [u8; 32];

#[derive(Clone)]
pub struct Accounts {
    pool: PgPool,
}

impl Accounts {
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The account of an address; `fresh` becomes its id when it has none yet. Racing callers get one answer.
    pub async fn claim(
        &self,
        email: &EmailDigest,
        fresh: AccountId,
        now: DateTime<Utc>,
    ) -> Result<AccountId, sqlx::Error> {
        sqlx::query(include_str!("sql/claim.sql"))
            .bind(fresh.0)
            .bind(email.as_slice())
            .bind(now)
            .execute(&self.pool)
            .await?;
        let id = sqlx::query_scalar(include_str!("sql/find.sql")).bind(email.as_slice()).fetch_one(&self.pool).await?;
        Ok(AccountId(id))
    }

    pub async fn find(&self, email: &EmailDigest) -> Result<Option<AccountId>, sqlx::Error> {
        let id = sqlx::query_scalar(include_str!("sql/find.sql")).bind(email.as_slice()).fetch_optional(&self.pool);
        Ok(id.await?.map(AccountId))
    }

    /// Accounts in the order of their ids, behind `after`: the first `limit`.
    pub async fn page(&self, after: Option<AccountId>, limit: i64) -> Result<Vec<AccountId>, sqlx::Error> {
        let ids: Vec<Uuid> = sqlx::query_scalar(include_str!("sql/page.sql"))
            .bind(after.map(|after| after.0))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        Ok(ids.into_iter().map(AccountId).collect())
    }

    /// How many accounts there are.
    pub async fn count(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(include_str!("sql/count.sql")).fetch_one(&self.pool).await
    }

    /// Accounts behind one, in the order of their ids: at most `limit`.
    pub async fn list(&self, after: AccountId, limit: i64) -> Result<Vec<AccountId>, sqlx::Error> {
        let ids = sqlx::query_scalar(include_str!("sql/list.sql")).bind(after.0).bind(limit).fetch_all(&self.pool);
        Ok(ids.await?.into_iter().map(AccountId).collect())
    }

    /// How many tokens an account has, and whether it has an address.
    pub async fn known(&self, account: AccountId) -> Result<(i64, bool), sqlx::Error> {
        let tokens = sqlx::query_scalar(include_str!("sql/count_tokens.sql")).bind(account.0).fetch_one(&self.pool);
        let there = sqlx::query_scalar(include_str!("sql/exists.sql")).bind(account.0).fetch_one(&self.pool);
        Ok((tokens.await?, there.await?))
    }

    /// Its tokens, the eldest first.
    pub async fn tokens(&self, account: AccountId) -> Result<Vec<TokenRow>, sqlx::Error> {
        sqlx::query_as(include_str!("sql/tokens.sql")).bind(account.0).fetch_all(&self.pool).await
    }

    /// Forgets its address and its tokens.
    pub async fn forget(&self, account: AccountId) -> Result<(), sqlx::Error> {
        sqlx::query(include_str!("sql/forget.sql")).bind(account.0).execute(&self.pool).await.map(drop)
    }

    /// Makes a token called `name`.
    pub async fn create_token(&self, account: AccountId, name: &str, now: DateTime<Utc>) -> Result<Token, sqlx::Error> {
        let token = Token::fresh();
        sqlx::query(include_str!("sql/create_token.sql"))
            .bind(digest(token.reveal()).as_slice())
            .bind(account.0)
            .bind(name)
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(token)
    }

    /// Ends every token of `account` that is called `name`; says how many.
    pub async fn revoke_tokens(&self, account: AccountId, name: &str, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
        let revoked = sqlx::query(include_str!("sql/revoke_tokens.sql")).bind(account.0).bind(name).bind(now);
        Ok(revoked.execute(&self.pool).await?.rows_affected())
    }

    /// Whose token this is; nobody's if it was revoked or never was one.
    pub async fn authenticate(&self, token: &str) -> Result<Option<AccountId>, sqlx::Error> {
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        let id = sqlx::query_scalar(include_str!("sql/authenticate.sql"))
            .bind(digest(token).as_slice())
            .fetch_optional(&self.pool)
            .await?;
        Ok(id.map(AccountId))
    }
}

/// A token is 256 random bits: one round of a plain hash is enough, for there is nothing to guess.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
