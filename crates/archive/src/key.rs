//! Names of objects.

use types::{SourceId, TenantId, Timestamp};

/// The key of a raw copy, below the archive's own prefix:
/// `{tenant}/{source}/{yyyy}/{mm}/{time}-{unique}.warc.gz`. What it says is for
/// people who look into a bucket; the store alone knows which page it is of.
#[must_use]
pub fn object_key(
    tenant: TenantId,
    source: SourceId,
    fetched_at: Timestamp,
    unique: [u8; 16],
) -> String {
    let at = utc(fetched_at);
    let unique: String = unique.iter().map(|byte| format!("{byte:02x}")).collect();
    let (month, time) = (at.strftime("%Y/%m"), at.strftime("%Y%m%dT%H%M%SZ"));
    format!("{}/{}/{month}/{time}-{unique}.warc.gz", tenant.0, source.0)
}

/// A time beyond what a calendar has is the first there is.
pub(crate) fn utc(at: Timestamp) -> jiff::civil::DateTime {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::tz::Offset::UTC.to_datetime(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_whose_and_when() {
        let at = Timestamp(1_795_404_187_123);
        assert_eq!(
            object_key(TenantId(1), SourceId(20), at, [0xab; 16]),
            format!("1/20/2026/11/20261123T032307Z-{}.warc.gz", "ab".repeat(16))
        );
    }
}
