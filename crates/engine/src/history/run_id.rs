//! The names of runs: the second in which a run began, and its number among the runs of that
//! second.

use std::fs;

use crate::store::Store;

/// The name of the link, beside the runs, to the last run that ended.
pub(crate) const LATEST: &str = "latest";

/// The names of all runs, the oldest first.
pub fn ids(store: &Store) -> Vec<String> {
    let entries = fs::read_dir(store.layout.runs()).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut ids: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    ids.retain(|id| is_id(id));
    ids.sort_by_key(|id| order(id));
    ids
}

/// A name for a run that begins now. It follows all runs of the same second, some of which `gc` may
/// have removed.
pub(crate) fn next_id(store: &Store, ids: &[String], stamp: &str) -> String {
    let latest = fs::read_link(store.layout.runs().join(LATEST)).ok();
    let latest = latest.and_then(|target| target.to_str().map(str::to_owned));
    let taken = ids.iter().chain(&latest).map(|id| order(id));
    let last = taken.filter(|(second, _)| second == stamp).map(|(_, number)| number).max();
    last.map_or_else(|| stamp.to_owned(), |number| format!("{stamp}-{}", number.saturating_add(1)))
}

/// The second in which a run began, and its number among the runs of that second.
fn order(id: &str) -> (String, u32) {
    let (stamp, number) = id.split_once('-').unwrap_or((id, "1"));
    (stamp.to_owned(), number.parse().unwrap_or(u32::MAX))
}

/// Whether a name has the form `20261125T104832Z`, or `20261125T104832Z-2` for the second run of a
/// second.
pub(crate) fn is_id(name: &str) -> bool {
    let (stamp, number) = name.split_once('-').unwrap_or((name, "1"));
    let shape = |(at, byte): (usize, u8)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    stamp.len() == 16 && stamp.bytes().enumerate().all(shape) && number.parse::<u32>().is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sys::files;

    #[test]
    fn runs_are_in_the_order_in_which_they_began() {
        let mut ids = ["20260102T000000Z-10", "20260102T000000Z", "20260101T235959Z", "20260102T000000Z-9"];
        ids.sort_by_key(|id| order(id));
        assert_eq!(
            ids,
            ["20260101T235959Z", "20260102T000000Z", "20260102T000000Z-9", "20260102T000000Z-10"]
        );
    }

    #[test]
    fn a_name_is_not_given_twice_within_a_second_whatever_was_collected() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::new(place.path());
        let stamp = "20260102T000000Z";
        let next = || next_id(&store, &ids(&store), stamp);
        assert_eq!(next(), stamp);
        for id in ["20260101T235959Z-7", "20260102T000000Z-2", "20260102T000000Z-10"] {
            fs::create_dir_all(store.layout.runs().join(id)).unwrap();
        }
        assert_eq!(next(), "20260102T000000Z-11");
        files::point(&store.layout.runs().join(LATEST), Path::new("20260102T000000Z-12"), place.path())
            .unwrap();
        assert_eq!(next(), "20260102T000000Z-13");
    }

    #[test]
    fn only_a_time_is_the_name_of_a_run() {
        assert!(["20260102T000000Z", "20260102T000000Z-2"].iter().all(|id| is_id(id)));
        assert!(
            !["", "latest", "20260102", "../20260102T000000Z", "20260102T000000Z-", "20260102T000000Z/.."]
                .iter()
                .any(|id| is_id(id))
        );
    }
}
