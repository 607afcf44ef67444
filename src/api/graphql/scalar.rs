//! Scalars whose names clients share. 64-bit counts and money are types of their own: the library would call every
//! integer `Int` and cut it to 32 bits.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::NaiveDate;
use rust_decimal::Decimal as Number;

use crate::event::{INTEGER_MAX, Position};

/// A 64-bit count or position: a JSON integer up to 2^53 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BigInt(pub i64);

#[Scalar(name = "BigInt")]
impl ScalarType for BigInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => number
                .as_i64()
                .filter(|number| number.unsigned_abs() <= INTEGER_MAX)
                .map(Self)
                .ok_or_else(|| InputValueError::custom(format!("{number} is no whole number within ±(2^53 − 1)"))),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

impl From<Position> for BigInt {
    fn from(position: Position) -> Self {
        Self(position.0)
    }
}

/// A day of the calendar, wherever it is that day: `2024-02-29`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date(pub NaiveDate);

#[Scalar(name = "Date")]
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .map(Self)
                .map_err(|_| InputValueError::custom(format!("`{text}` is no day; write it like \"2024-02-29\""))),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.format("%Y-%m-%d").to_string())
    }
}

/// Money and scores: a decimal in a JSON string, never a binary fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal(pub Number);

#[Scalar(name = "Decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => text
                .parse()
                .map(Self)
                .map_err(|_| InputValueError::custom(format!("`{text}` is no decimal; write it like \"0.0125\""))),
            _ => Err(InputValueError::custom("a decimal is written as a string, like \"0.0125\"")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.normalize().to_string())
    }
}
