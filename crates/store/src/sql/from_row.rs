//! Values on their way out of the database.

use super::{ValueRef, sqlite};
use crate::error::Failure;
use crate::postgres;

/// One row of a query.
pub(crate) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl Row<'_> {
    pub(crate) fn value(&self, index: usize) -> Result<ValueRef<'_>, Failure> {
        match self {
            Row::Sqlite(row) => sqlite::value(row, index),
            Row::Postgres(row) => postgres::value(row, index),
        }
    }

    pub(crate) fn get<T: FromSql>(&self, index: usize) -> Result<T, Failure> {
        let value = self.value(index)?;
        T::from_sql(value).ok_or_else(|| {
            Failure::corrupt(format!(
                "column {index} of a row holds {} instead of {}",
                kind(value),
                std::any::type_name::<T>()
            ))
        })
    }

    /// A text without a copy of it.
    pub(crate) fn text(&self, index: usize) -> Result<&str, Failure> {
        match self.value(index)? {
            ValueRef::Text(text) => Ok(text),
            other => Err(Failure::corrupt(format!(
                "a text column holds {}",
                kind(other)
            ))),
        }
    }

    /// Bytes without a copy of them.
    pub(crate) fn blob(&self, index: usize) -> Result<&[u8], Failure> {
        self.blob_or_null(index)?
            .ok_or_else(|| Failure::corrupt("a column of bytes holds nothing"))
    }

    pub(crate) fn blob_or_null(&self, index: usize) -> Result<Option<&[u8]>, Failure> {
        match self.value(index)? {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(bytes) => Ok(Some(bytes)),
            other => Err(Failure::corrupt(format!(
                "a column of bytes holds {}",
                kind(other)
            ))),
        }
    }
}

fn kind(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "nothing",
        ValueRef::Integer(_) => "an integer out of range",
        ValueRef::Real(_) => "a real number",
        ValueRef::Text(_) => "a text",
        ValueRef::Blob(_) => "bytes",
    }
}

/// What a column can be read as; `None` when it holds something else.
pub(crate) trait FromSql: Sized {
    fn from_sql(value: ValueRef<'_>) -> Option<Self>;
}

macro_rules! integers {
    ($($integer:ty),*) => {
        $(impl FromSql for $integer {
            fn from_sql(value: ValueRef<'_>) -> Option<Self> {
                match value {
                    ValueRef::Integer(number) => number.try_into().ok(),
                    _ => None,
                }
            }
        })*
    };
}
integers!(i64, u64, u32, u16, u8);

impl FromSql for bool {
    fn from_sql(value: ValueRef<'_>) -> Option<bool> {
        i64::from_sql(value).map(|number| number != 0)
    }
}

impl FromSql for f64 {
    fn from_sql(value: ValueRef<'_>) -> Option<f64> {
        match value {
            ValueRef::Real(number) => Some(number),
            // A sum of nothing, or a whole number that a statement computed.
            ValueRef::Integer(number) => Some(number as f64),
            _ => None,
        }
    }
}

impl FromSql for String {
    fn from_sql(value: ValueRef<'_>) -> Option<String> {
        match value {
            ValueRef::Text(text) => Some(text.to_owned()),
            _ => None,
        }
    }
}

impl FromSql for Vec<u8> {
    fn from_sql(value: ValueRef<'_>) -> Option<Vec<u8>> {
        match value {
            ValueRef::Blob(bytes) => Some(bytes.to_vec()),
            _ => None,
        }
    }
}

impl<const N: usize> FromSql for [u8; N] {
    fn from_sql(value: ValueRef<'_>) -> Option<[u8; N]> {
        match value {
            ValueRef::Blob(bytes) => bytes.try_into().ok(),
            _ => None,
        }
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn from_sql(value: ValueRef<'_>) -> Option<Option<T>> {
        match value {
            ValueRef::Null => Some(None),
            value => T::from_sql(value).map(Some),
        }
    }
}
