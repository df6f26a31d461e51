//! Pseudonyms for UIDs, because a file's own UIDs lead anyone with access to the archive back to
//! the patient. Knows neither files nor labels.

use std::sync::Arc;

use crate::join::Joined;
use crate::patient::Hasher;

/// The keyed hash of a UID. It is equal for equal UIDs and keys, so that the series of a study stay
/// together and a second run makes the same tables. A missing UID stays missing.
pub(crate) fn pseudonym(hasher: &Hasher, kind: Kind, uid: &str) -> String {
    if uid.is_empty() { String::new() } else { uid_of(&hasher.hash(kind.as_str(), uid)) }
}

/// The kind of a UID; the same text has a different pseudonym as another kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Study,
    Series,
    Instance,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Study => "study_uid",
            Kind::Series => "series_uid",
            Kind::Instance => "sop_instance_uid",
        }
    }
}

/// Replaces study, series and instance UIDs with pseudonyms.
pub(crate) fn pseudonymize(joined: &mut Joined, hasher: &Hasher) {
    let rename = |kind, uid: &mut String| *uid = pseudonym(hasher, kind, uid);
    let shared = |kind, uid: &mut Arc<str>| *uid = pseudonym(hasher, kind, uid).into();
    for row in &mut joined.instances {
        shared(Kind::Study, &mut row.study_uid);
        shared(Kind::Series, &mut row.series_uid);
        rename(Kind::Instance, &mut row.sop_instance_uid);
    }
    for row in &mut joined.series {
        rename(Kind::Study, &mut row.study_uid);
        rename(Kind::Series, &mut row.series_uid);
    }
}

/// 128 bits as a UUID-derived UID (PS3.5 section B.2), with UUID version 8, whose content is up to
/// the implementation.
fn uid_of(hexadecimal: &str) -> String {
    let bits = u128::from_str_radix(hexadecimal, 16).unwrap_or_default();
    let version = 0x8_u128 << 76;
    let variant = 0x2_u128 << 62;
    format!("2.25.{}", bits & !(0xF_u128 << 76) & !(0x3_u128 << 62) | version | variant)
}

#[cfg(test)]
mod tests {
    use super::uid_of;

    #[test]
    fn a_hash_becomes_a_uid_of_a_uuid_of_version_8() {
        // ffffffff-ffff-8fff-bfff-ffffffffffff and 00000000-0000-8000-8000-000000000000, by
        // Python's uuid.
        assert_eq!(uid_of(&"f".repeat(32)), "2.25.340282366920937934553716840013076889599");
        assert_eq!(uid_of(&"0".repeat(32)), "2.25.604472133179351442128896");
    }
}
