//! Values as PostgreSQL sends and takes them.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::error::Failure;
use crate::sql::{Kind, ValueRef};

type Fault = Box<dyn Error + Sync + Send>;

/// The value in a column of a row.
pub(crate) fn value(row: &tokio_postgres::Row, index: usize) -> Result<ValueRef<'_>, Failure> {
    let value: Option<Stored<'_>> = row.try_get(index)?;
    Ok(value.map_or(ValueRef::Null, |stored| stored.0))
}

struct Stored<'v>(ValueRef<'v>);

impl<'v> FromSql<'v> for Stored<'v> {
    fn from_sql(column: &Type, raw: &'v [u8]) -> Result<Stored<'v>, Fault> {
        let value = match *column {
            Type::INT8 => ValueRef::Integer(i64::from_sql(column, raw)?),
            Type::INT4 => ValueRef::Integer(i32::from_sql(column, raw)?.into()),
            Type::INT2 => ValueRef::Integer(i16::from_sql(column, raw)?.into()),
            Type::BOOL => ValueRef::Integer(bool::from_sql(column, raw)?.into()),
            Type::NUMERIC => ValueRef::Integer(whole_number(raw)?),
            Type::FLOAT8 => ValueRef::Real(f64::from_sql(column, raw)?),
            Type::BYTEA => ValueRef::Blob(raw),
            _ => ValueRef::Text(<&str>::from_sql(column, raw)?),
        };
        Ok(Stored(value))
    }

    fn accepts(column: &Type) -> bool {
        matches!(
            *column,
            Type::INT8
                | Type::INT4
                | Type::INT2
                | Type::BOOL
                | Type::NUMERIC
                | Type::FLOAT8
                | Type::BYTEA
        ) || <&str as FromSql<'_>>::accepts(column)
    }
}

/// A sum of integers, which PostgreSQL gives without a bound: digits to the
/// base of 10,000 behind four 16-bit numbers (how many digits, the power of
/// the first, sign, scale).
fn whole_number(raw: &[u8]) -> Result<i64, Fault> {
    let word = |at: usize| {
        let bytes = raw.get(at * 2..at * 2 + 2).ok_or("a number is cut off")?;
        Ok::<i16, Fault>(i16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let (digits, weight, sign) = (word(0)?, word(1)?, word(2)?);
    let mut number: i64 = 0;
    for place in 0..=weight.max(-1) {
        let digit = if place < digits {
            word(4 + usize::try_from(place)?)?
        } else {
            0
        };
        number = number
            .checked_mul(10_000)
            .and_then(|n| n.checked_add(digit.into()))
            .ok_or("a sum is out of range")?;
    }
    match sign {
        0 => Ok(number),
        0x4000 => Ok(-number),
        _ => Err("a sum is no number".into()),
    }
}

impl ToSql for ValueRef<'_> {
    fn to_sql(&self, parameter: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match *self {
            ValueRef::Null => return Ok(IsNull::Yes),
            ValueRef::Integer(number) => match *parameter {
                Type::INT8 => number.to_sql(parameter, out)?,
                Type::INT4 => i32::try_from(number)?.to_sql(parameter, out)?,
                Type::INT2 => i16::try_from(number)?.to_sql(parameter, out)?,
                Type::BOOL => (number != 0).to_sql(parameter, out)?,
                Type::FLOAT8 => (number as f64).to_sql(parameter, out)?,
                _ => return Err(format!("an integer for a parameter of type {parameter}").into()),
            },
            ValueRef::Real(number) => match *parameter {
                Type::FLOAT8 => number.to_sql(parameter, out)?,
                _ => return Err(format!("a real number for one of type {parameter}").into()),
            },
            ValueRef::Text(text) => {
                if !<&str as ToSql>::accepts(parameter) && *parameter != Type::JSON {
                    return Err(format!("a text for a parameter of type {parameter}").into());
                }
                // The one character that PostgreSQL's texts cannot hold.
                if text.contains('\0') {
                    out.put_slice(text.replace('\0', "\u{fffd}").as_bytes());
                } else {
                    out.put_slice(text.as_bytes());
                }
                IsNull::No
            }
            ValueRef::Blob(bytes) => match *parameter {
                Type::BYTEA => bytes.to_sql(parameter, out)?,
                _ => return Err(format!("bytes for a parameter of type {parameter}").into()),
            },
        };
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The type that a statement which is not prepared gives its parameter.
pub(super) fn type_of(value: ValueRef<'_>) -> Type {
    match value {
        // The server finds out.
        ValueRef::Null => Type::UNKNOWN,
        ValueRef::Integer(_) => Type::INT8,
        ValueRef::Real(_) => Type::FLOAT8,
        ValueRef::Text(_) => Type::TEXT,
        ValueRef::Blob(_) => Type::BYTEA,
    }
}

/// The type of columns of this kind.
pub(super) fn type_of_kind(kind: Kind) -> Type {
    match kind {
        Kind::Integer => Type::INT8,
        Kind::Real => Type::FLOAT8,
        Kind::Text => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
    }
}

#[cfg(test)]
mod tests {
    use super::whole_number;

    fn numeric(words: &[i16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn sums_are_read_as_integers() {
        for (words, expected) in [
            (&[0, 0, 0, 0][..], 0),
            (&[1, 0, 0, 0, 42], 42),
            (&[1, 0, 0x4000, 0, 7], -7),
            // Zeros at the end are not sent.
            (&[1, 2, 0, 0, 3], 300_000_000),
            (&[2, 1, 0, 0, 12, 3456], 123_456),
        ] {
            assert_eq!(whole_number(&numeric(words)).unwrap(), expected);
        }
        assert!(whole_number(&numeric(&[1, 9, 0, 0, 9])).is_err());
        assert!(whole_number(&[0, 1]).is_err());
    }
}
