//! Finds the run that a name refers to.

use std::fs;

use ctpipe_stage::did_you_mean;

use super::run_id::{LATEST, ids};
use super::tags;
use crate::error::{Error, Result};
use crate::store::Store;

/// The run that a name refers to: a run's own name, `latest`, a tag, or a unique prefix of a run's
/// name.
///
/// # Errors
/// When no run or several runs match; the nearest known name is suggested.
pub fn resolve(store: &Store, name: &str) -> Result<String> {
    let ids = ids(store);
    if name == LATEST {
        let link = fs::read_link(store.layout.runs().join(LATEST)).ok();
        let pointed = link.and_then(|target| target.to_str().map(str::to_owned));
        let found = pointed.filter(|id| ids.contains(id)).or_else(|| ids.last().cloned());
        return found
            .ok_or_else(|| Error::Usage("there is no run yet; start one with \"ctpipe run\"".to_owned()));
    }
    if ids.iter().any(|id| id == name) {
        return Ok(name.to_owned());
    }
    // A damaged tag does not affect other names.
    let tags = tags::list_whole(store);
    if let Some(id) = tags.get(name) {
        return if ids.contains(id) {
            Ok(id.clone())
        } else {
            Err(Error::Usage(format!("the tag {name} names run {id}, whose record no longer exists")))
        };
    }
    let begin: Vec<&String> = ids.iter().filter(|id| !name.is_empty() && id.starts_with(name)).collect();
    match begin[..] {
        [one] => Ok(one.clone()),
        [] => {
            let known = ids.iter().chain(tags.keys()).map(String::as_str).chain([LATEST]);
            let hint = did_you_mean(name, known);
            Err(Error::Usage(format!(
                "there is no run or tag \"{name}\"{hint}; \"ctpipe history\" lists the runs, \"ctpipe tag\" the tags"
            )))
        }
        _ => {
            let some: Vec<&str> = begin.iter().take(5).map(|id| id.as_str()).collect();
            Err(Error::Usage(format!(
                "\"{name}\" is the beginning of {} runs: {}{}; write more of it",
                begin.len(),
                some.join(", "),
                if begin.len() > some.len() { ", ..." } else { "" }
            )))
        }
    }
}
