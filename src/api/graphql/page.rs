//! Relay connections (relay.dev/graphql/connections.htm), with `nodes` and `totalCount` beside them.

use async_graphql::{Result, SimpleObject};

use super::asker::bad_input;
use super::cursor::Cursor;
use crate::view::{Cut, Slice};

/// Items in a page.
pub const PAGE_MAX: i32 = 100;
const PAGE: i32 = 50;

#[derive(SimpleObject)]
pub struct PageInfo {
    pub has_next_page: bool,
    pub has_previous_page: bool,
    pub start_cursor: Option<Cursor>,
    pub end_cursor: Option<Cursor>,
}

/// The `first`, `after`, `last` and `before` of a connection.
pub struct Window {
    pub first: Option<i32>,
    pub after: Option<Cursor>,
    pub last: Option<i32>,
    pub before: Option<Cursor>,
}

impl Window {
    /// The slice that is asked for; `key` reads what a cursor says.
    pub fn slice<Key>(&self, key: impl Fn(&Cursor) -> Result<Key>) -> Result<Slice<Key>> {
        let cut = match (self.first, self.last) {
            (Some(_), Some(_)) => {
                return Err(bad_input("`first` and `last` together have no meaning; give one of them"));
            }
            (first, None) => Cut::First(bounded("first", first.unwrap_or(PAGE))?),
            (None, Some(last)) => Cut::Last(bounded("last", last)?),
        };
        Ok(Slice {
            after: self.after.as_ref().map(&key).transpose()?,
            before: self.before.as_ref().map(&key).transpose()?,
            cut,
        })
    }
}

pub fn bounded(name: &str, count: i32) -> Result<u32> {
    u32::try_from(count)
        .ok()
        .filter(|_| count <= PAGE_MAX)
        .ok_or_else(|| bad_input(format!("`{name}` is {count}; a page holds 0 to {PAGE_MAX}")))
}

/// What a page costs: as many items as it may hold.
pub fn cost(first: Option<i32>, last: Option<i32>, child: usize) -> usize {
    let items = first.or(last).unwrap_or(PAGE).clamp(1, PAGE_MAX);
    usize::try_from(items).unwrap_or(1) * child.max(1)
}

macro_rules! connection {
    ($connection:ident, $edge:ident, $node:ty) => {
        #[derive(async_graphql::SimpleObject)]
        pub struct $edge {
            pub cursor: $crate::api::graphql::cursor::Cursor,
            pub node: $node,
        }

        #[derive(async_graphql::SimpleObject)]
        pub struct $connection {
            pub edges: Vec<$edge>,
            pub nodes: Vec<$node>,
            pub page_info: $crate::api::graphql::page::PageInfo,
            pub total_count: i32,
        }

        impl $connection {
            pub fn new(
                items: Vec<($crate::api::graphql::cursor::Cursor, $node)>,
                (has_next_page, has_previous_page): (bool, bool),
                total: Option<u64>,
            ) -> Self {
                let page_info = $crate::api::graphql::page::PageInfo {
                    has_next_page,
                    has_previous_page,
                    start_cursor: items.first().map(|(cursor, _)| cursor.clone()),
                    end_cursor: items.last().map(|(cursor, _)| cursor.clone()),
                };
                Self {
                    nodes: items.iter().map(|(_, node)| node.clone()).collect(),
                    edges: items.into_iter().map(|(cursor, node)| $edge { cursor, node }).collect(),
                    page_info,
                    total_count: total.and_then(|total| i32::try_from(total).ok()).unwrap_or(i32::MAX),
                }
            }
        }
    };
}
pub(crate) use connection;
