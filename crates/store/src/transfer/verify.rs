//! Whether both databases have the same rows.

use super::batch::Batch;
use crate::sql::ValueRef;

/// How many rows a table has, and the sum of their hashes, which is the same in
/// whatever order they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) rows: u64,
    sum: u128,
}

impl Checksum {
    pub(super) fn add(&mut self, batch: &Batch) {
        self.rows += batch.rows() as u64;
        for row in batch.each_row() {
            self.sum = self.sum.wrapping_add(hash(&row));
        }
    }

    pub(super) fn hex(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

/// First 16 bytes of BLAKE3 over the values, each with its type and length.
fn hash(row: &[ValueRef<'_>]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for value in row {
        match *value {
            ValueRef::Null => hasher.update(&[0]),
            ValueRef::Integer(number) => hasher.update(&[1]).update(&number.to_le_bytes()),
            // SQLite knows one zero only.
            ValueRef::Real(number) => hasher
                .update(&[2])
                .update(&(number + 0.0).to_bits().to_le_bytes()),
            ValueRef::Text(text) if text.contains('\0') => {
                // As PostgreSQL gets it.
                let text = text.replace('\0', "\u{fffd}");
                update_long(&mut hasher, 3, text.as_bytes())
            }
            ValueRef::Text(text) => update_long(&mut hasher, 3, text.as_bytes()),
            ValueRef::Blob(bytes) => update_long(&mut hasher, 4, bytes),
        };
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(short)
}

fn update_long<'h>(
    hasher: &'h mut blake3::Hasher,
    kind: u8,
    bytes: &[u8],
) -> &'h mut blake3::Hasher {
    hasher
        .update(&[kind])
        .update(&(bytes.len() as u64).to_le_bytes())
        .update(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_another_hash() {
        let rows: &[&[ValueRef<'_>]] = &[
            &[ValueRef::Null],
            &[ValueRef::Integer(0)],
            &[ValueRef::Real(0.0)],
            &[ValueRef::Text("")],
            &[ValueRef::Blob(b"")],
            &[ValueRef::Text("a"), ValueRef::Text("bc")],
            &[ValueRef::Text("ab"), ValueRef::Text("c")],
            &[ValueRef::Blob(b"ab"), ValueRef::Text("c")],
        ];
        for (number, row) in rows.iter().enumerate() {
            for other in &rows[number + 1..] {
                assert_ne!(hash(row), hash(other), "{row:?} {other:?}");
            }
        }
        assert_eq!(hash(&[ValueRef::Real(-0.0)]), hash(&[ValueRef::Real(0.0)]));
        let (stored, sent) = (ValueRef::Text("a\0"), ValueRef::Text("a\u{fffd}"));
        assert_eq!(hash(&[stored]), hash(&[sent]));
    }
}
