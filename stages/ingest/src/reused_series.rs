//! The rows of series that can be taken over from an earlier artifact, because their files and
//! labels are unchanged. Reads the headers of all other files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use ctpipe_ct::{Found, Listing, in_order, members, to_path};
use ctpipe_stage::{Files, MadeFrom, Near, StageError, Task};
use ctpipe_tables::labels::Label;
use ctpipe_tables::row_groups::{Grouped, Run};
use ctpipe_tables::{InstanceRow, SeriesRow, Table};
use rayon::prelude::*;

use crate::join::Joined;
use crate::scan::scan;

/// Computes a digest of everything that the rows of a series are made from.
pub(crate) struct Sums<'a> {
    files: Files<'a>,
    patient_key: Option<&'a str>,
    /// Labels by the series UID as it stands in the tables.
    labels: BTreeMap<String, Vec<&'a Label>>,
    named: &'a (dyn Fn(&str) -> String + Sync),
}

impl<'a> Sums<'a> {
    /// `named` turns a series UID into the one that stands for it in the tables.
    pub(crate) fn new(
        task: &'a Task<'a>,
        files: Files<'a>,
        labels: &'a [Label],
        named: &'a (dyn Fn(&str) -> String + Sync),
    ) -> Sums<'a> {
        let mut by_series: BTreeMap<String, Vec<&Label>> = BTreeMap::new();
        for label in labels {
            by_series.entry(named(&label.series_uid)).or_default().push(label);
        }
        Sums { files, patient_key: task.digest("patient_key", ""), labels: by_series, named }
    }

    /// The digest of the series with rows in these files; `None` if the engine does not know the
    /// digest of one of them.
    fn sum(&self, uid: &str, places: impl Iterator<Item = Option<usize>>) -> Option<String> {
        let mut made_from = MadeFrom::new();
        made_from.add(self.patient_key?);
        for &label in self.labels.get(uid).map_or(&[][..], Vec::as_slice) {
            // The label's line number does not matter.
            made_from.add(format!("{:?}", Label { line: 0, ..label.clone() }));
        }
        made_from.add([]);
        let mut last = None;
        for place in places {
            // Frames and members of one file are consecutive.
            if last.replace(place) != Some(place) {
                made_from.add(self.files.name(place?));
                made_from.add(self.files.digest(place?));
            }
        }
        Some(made_from.digest())
    }

    /// The digest of every series that has a UID.
    pub(crate) fn of(&self, joined: &Joined) -> BTreeMap<String, String> {
        let mut rows: HashMap<&str, Vec<&InstanceRow>> = HashMap::new();
        // The rows of a series are mostly consecutive.
        for own in joined.instances.chunk_by(|a, b| a.series_uid == b.series_uid) {
            rows.entry(&own[0].series_uid).or_default().extend(own);
        }
        let sum = |row: &SeriesRow| {
            let own = rows.get(row.series_uid.as_str()).into_iter().flatten();
            let mut near = Near::default();
            let sum = self.sum(&row.series_uid, own.map(|row| self.files.place_near(&row.path, &mut near)));
            Some((row.series_uid.clone(), sum?))
        };
        joined.series.par_iter().filter(|row| !row.series_uid.is_empty()).filter_map(sum).collect()
    }
}

/// One series of the earlier artifact.
#[derive(Default)]
struct Series {
    row: SeriesRow,
    /// Indices of its files in the listing.
    files: Vec<usize>,
    /// For each of its files that is an archive, how many of the archive's members belong to this
    /// series.
    archives: BTreeMap<usize, usize>,
    /// Whether one of its files is missing now.
    has_lost: bool,
    made_from: Option<String>,
}

impl Series {
    /// Collects the files of this series from the earlier table.
    fn look(&mut self, run: &Run<'_>, files: Files<'_>) {
        let (mut near, mut last) = (Near::default(), None);
        for instance in run.instances() {
            let Some(place) = files.place_near(instance.path, &mut near) else {
                self.has_lost = true;
                continue;
            };
            // Frames and members of one file are consecutive, and so are the frames of a member.
            if self.files.last() != Some(&place) {
                self.files.push(place);
            }
            let member = instance.member.map(|member| (place, member));
            if member.is_some() && last != member {
                *self.archives.entry(place).or_default() += 1;
            }
            last = member;
        }
    }
}

/// Series that need not be read again, by their UID as it stands in the tables.
#[derive(Default)]
pub(crate) struct Kept {
    series: BTreeMap<String, Series>,
    /// The instances of all series of the earlier artifact.
    instances: Option<Grouped<InstanceRow>>,
}

impl Kept {
    /// The series of the previous artifact whose files and labels are unchanged; none if there is
    /// no previous artifact.
    pub(crate) fn find(task: &Task<'_>, sums: &Sums<'_>) -> Kept {
        let Some(previous) = task.previous() else { return Kept::default() };
        let tables = rayon::join(
            || SeriesRow::read(previous.folder()),
            || Grouped::<InstanceRow>::read(previous.folder(), &["path", "member"]),
        );
        let (Ok(rows), Ok(instances)) = tables else { return Kept::default() };
        let runs: HashMap<&str, Run<'_>> = instances.runs().map(|run| (run.key, run)).collect();
        let series = |row: SeriesRow| {
            let uid = row.series_uid.clone();
            let mut series = Series { row, ..Series::default() };
            if let Some(run) = runs.get(uid.as_str()) {
                series.look(run, sums.files);
            }
            series.made_from = sums.sum(&uid, series.files.iter().copied().map(Some));
            (uid, series)
        };
        let mut series: BTreeMap<String, Series> = rows.into_par_iter().map(series).collect();
        // Unreadable files and files without a series UID belong to no series, so they are read
        // again. So are the files of a series that has lost one.
        if !series.contains_key("")
            && let Some(run) = runs.get("")
        {
            series.entry(String::new()).or_default().look(run, sums.files);
        }
        let changed = series.iter().filter(|(uid, series)| {
            let is_same = series.made_from.as_ref().is_some_and(|made_from| previous.has(uid, made_from));
            uid.is_empty() || series.has_lost || !is_same
        });
        let changed: BTreeSet<String> = changed.map(|(uid, _)| uid.clone()).collect();
        let mut kept = Kept { series, instances: Some(instances) };
        kept.let_go(changed);
        kept
    }

    /// Drops these series, and all that share an archive with them: a file is read whole or not at
    /// all.
    fn let_go(&mut self, mut uids: BTreeSet<String>) {
        while !uids.is_empty() {
            let gone: Vec<Series> = uids.iter().filter_map(|uid| self.series.remove(uid)).collect();
            let lost: BTreeSet<usize> = gone.into_iter().flat_map(|series| series.files).collect();
            let shares = |series: &Series| series.archives.keys().any(|archive| lost.contains(archive));
            uids = self.series.iter().filter(|(_, s)| shares(s)).map(|(uid, _)| uid.clone()).collect();
        }
    }

    /// Reads every file that does not belong to a kept series. A kept series that turns out to have
    /// a new file is dropped, and its files are read as well.
    pub(crate) fn read_the_rest(
        &mut self,
        task: &Task<'_>,
        folder: &Path,
        sums: &Sums<'_>,
    ) -> Result<Vec<Found>, StageError> {
        let mut read = vec![false; sums.files.len()];
        let mut files: Vec<Found> = Vec::new();
        for round in 1.. {
            let mut wanted: Vec<bool> = read.iter().map(|read| !read).collect();
            self.series.values().flat_map(|series| &series.files).for_each(|&file| wanted[file] = false);
            read.iter_mut().zip(&wanted).for_each(|(read, wanted)| *read |= wanted);
            let wanted = wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
            let mut names: Vec<&str> = wanted.map(|(place, _)| sums.files.name(place)).collect();
            names.sort_by(|a, b| in_order(a, b));
            // If everything is read, the engine checks afterwards that the whole input is
            // unchanged. Otherwise only the files named here are opened, and only they are checked.
            if round > 1 || !self.series.is_empty() {
                task.opens("dicom", names.iter().map(|&name| name.to_owned()));
            }
            let found = scan(task, &Listing::named(folder, names.into_iter()))?;
            let named = |file: &Found| Some((sums.named)(&file.header()?.series_uid));
            // Most runs keep no series; then no series can be touched.
            let touched: BTreeSet<String> =
                found.iter().filter(|_| !self.series.is_empty()).filter_map(named).collect();
            files.extend(found);
            let before = self.series.len();
            self.let_go(touched);
            if self.series.len() == before {
                if round > 1 {
                    files.sort_by(|a, b| in_order(&a.path, &b.path));
                }
                break;
            }
        }
        Ok(files)
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn has(&self, uid: &str) -> bool {
        self.series.contains_key(uid)
    }

    /// The number of files behind the kept series, and how many other members of their archives are
    /// not DICOM.
    pub(crate) fn files(&self, task: &Task<'_>, folder: &Path, listed: Files<'_>) -> (u64, u64) {
        let (mut files, mut archives) = (0, BTreeMap::<usize, usize>::new());
        for series in self.series.values() {
            files += (series.files.len() - series.archives.len()) as u64;
            for (&archive, &own) in &series.archives {
                *archives.entry(archive).or_default() += own;
            }
        }
        let path = |archive: &usize| listed.name(*archive);
        if !archives.is_empty() {
            task.opens("dicom", archives.keys().map(|archive| path(archive).to_owned()));
        }
        let mut others = 0;
        for (archive, own) in &archives {
            let all = members(&folder.join(to_path(path(archive)))).unwrap_or(*own);
            files += all as u64;
            others += all.saturating_sub(*own) as u64;
        }
        (files, others)
    }

    /// Writes the table of instances, merging the rows of the kept series with those of the others.
    pub(crate) fn write(&self, others: &[InstanceRow], out: &Path) -> ctpipe_tables::Result<()> {
        match &self.instances {
            Some(earlier) => earlier.write(&|uid| self.has(uid), others, out),
            None => InstanceRow::write(others, out),
        }
    }

    /// Merges the rows of the kept series, and the digests of what they are made from, into those
    /// of the others.
    pub(crate) fn merge(self, series: &mut Vec<SeriesRow>, made_from: &mut BTreeMap<String, String>) {
        for (uid, kept) in self.series {
            series.push(kept.row);
            made_from.extend(kept.made_from.map(|sum| (uid, sum)));
        }
        series.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
    }
}
