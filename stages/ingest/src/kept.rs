//! The rows of series that an earlier artifact has already, because their files and labels are the
//! same. Reads no header: what has to be read is everything else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use ctpipe_ct::{Found, Listing, members, to_path};
use ctpipe_engine::{MadeFrom, StageError, Task};
use ctpipe_tables::labels::Label;
use ctpipe_tables::{InstanceRow, SeriesRow, Table};
use rayon::prelude::*;

use crate::files::Files;
use crate::join::Joined;
use crate::scan::scan;

/// Sums up what the rows of a series are made from.
pub(crate) struct Sums<'a> {
    files: &'a Files<'a>,
    patient_key: Option<&'a str>,
    /// By the series' UID as it stands in the tables.
    labels: BTreeMap<String, Vec<&'a Label>>,
    named: &'a (dyn Fn(&str) -> String + Sync),
}

impl<'a> Sums<'a> {
    /// `named` makes of a series' UID what stands for it in the tables.
    pub(crate) fn new(
        task: &'a Task<'a>,
        files: &'a Files<'a>,
        labels: &'a [Label],
        named: &'a (dyn Fn(&str) -> String + Sync),
    ) -> Sums<'a> {
        let mut by_series: BTreeMap<String, Vec<&Label>> = BTreeMap::new();
        for label in labels {
            by_series.entry(named(&label.series_uid)).or_default().push(label);
        }
        Sums { files, patient_key: task.digest("patient_key", ""), labels: by_series, named }
    }

    /// Of the series with rows in these files, each with its place; `None` when the engine does not know what is summed.
    fn sum<'p>(&self, uid: &str, files: impl Iterator<Item = (&'p str, Option<usize>)>) -> Option<String> {
        let mut made_from = MadeFrom::new();
        made_from.add(self.patient_key?);
        for &label in self.labels.get(uid).map_or(&[][..], Vec::as_slice) {
            // Where it stands in the file changes nothing.
            made_from.add(format!("{:?}", Label { line: 0, ..label.clone() }));
        }
        made_from.add([]);
        let mut last = None;
        for (path, place) in files {
            // Frames and members of one file come one after the other.
            if last != Some(path) {
                made_from.add(path);
                made_from.add(self.files.digest(place?));
                last = Some(path);
            }
        }
        Some(made_from.digest())
    }

    /// Of every series that has a UID, added to what is `known` already.
    pub(crate) fn of(
        &self,
        joined: &Joined,
        mut known: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let rows = InstanceRow::by_series(&joined.instances);
        for row in joined.series.iter().filter(|row| !row.series_uid.is_empty()) {
            let uid = row.series_uid.as_str();
            let own = rows.get(uid).into_iter().flatten();
            let files = own.map(|row| (row.path.as_str(), self.files.place(&row.path)));
            if !known.contains_key(uid)
                && let Some(sum) = self.sum(uid, files)
            {
                known.insert(uid.to_owned(), sum);
            }
        }
        known
    }
}

/// One series of the earlier artifact.
struct Series {
    row: SeriesRow,
    /// Of each of its instances the file's place in the listing, and its own in the table: members of an archive stand
    /// in its order there, whatever their series.
    instances: Vec<(usize, usize)>,
    made_from: Option<String>,
}

impl Series {
    fn new(row: SeriesRow) -> Series {
        Series { row, instances: Vec::new(), made_from: None }
    }

    fn files(&self) -> impl Iterator<Item = usize> {
        self.instances.iter().map(|(file, _)| *file)
    }
}

/// Series that need not be looked at again, by their UID as it stands in the tables.
#[derive(Default)]
pub(crate) struct Kept {
    series: BTreeMap<String, Series>,
    /// Of all series of the earlier artifact.
    instances: Vec<InstanceRow>,
}

impl Kept {
    /// Those of the previous artifact that are made from the same; none where there is no such artifact.
    pub(crate) fn find(task: &Task<'_>, sums: &Sums<'_>) -> Kept {
        let Some(previous) = task.previous() else { return Kept::default() };
        let tables =
            rayon::join(|| SeriesRow::read(previous.folder()), || InstanceRow::read(previous.folder()));
        let (Ok(rows), Ok(instances)) = tables else { return Kept::default() };
        let mut series: BTreeMap<String, Series> =
            rows.into_iter().map(|row| (row.series_uid.clone(), Series::new(row))).collect();
        // A file that could not be read belongs to no series, as one without a UID: they are read again,
        // and so is what has lost a file.
        let mut others = BTreeSet::from([String::new()]);
        let (mut last, mut start) = (0, 0);
        for rows in instances.chunk_by(|a, b| a.series_uid == b.series_uid) {
            let uid = &*rows[0].series_uid;
            let files = rows.iter().map(|row| sums.files.next_place(&row.path, &mut last));
            let found = files.zip(start..).collect::<Vec<(Option<usize>, usize)>>();
            start += rows.len();
            if found.iter().any(|(file, _)| file.is_none()) {
                others.insert(uid.to_owned());
            }
            let found = found.into_iter().filter_map(|(file, at)| Some((file?, at)));
            let of = match series.get_mut(uid) {
                Some(series) => series,
                None => series.entry(String::new()).or_insert_with(|| Series::new(SeriesRow::default())),
            };
            of.instances.extend(found);
        }
        let sum = |(uid, series): (&String, &mut Series)| {
            let files = series.instances.iter().map(|&(file, at)| (instances[at].path.as_str(), Some(file)));
            series.made_from = sums.sum(uid, files);
            let same = series.made_from.as_ref().is_some_and(|made_from| previous.has(uid, made_from));
            (!same).then(|| uid.clone())
        };
        let changed: Vec<Option<String>> = series.par_iter_mut().map(sum).collect();
        others.extend(changed.into_iter().flatten());
        let mut kept = Kept { series, instances };
        kept.let_go(others);
        kept
    }

    /// Keeps these no longer, nor what lies in an archive with them: a file is read whole or not at all.
    fn let_go(&mut self, mut uids: BTreeSet<String>) {
        while !uids.is_empty() {
            let gone: Vec<Series> = uids.iter().filter_map(|uid| self.series.remove(uid)).collect();
            let lost: HashSet<usize> = gone.iter().flat_map(Series::files).collect();
            let shares = |series: &Series| series.files().any(|file| lost.contains(&file));
            uids = self.series.iter().filter(|(_, s)| shares(s)).map(|(uid, _)| uid.clone()).collect();
        }
    }

    /// Reads every file that is not behind a series that is kept. A series that turns out to have one
    /// more file is kept no longer, and what it has is read as well.
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
            self.series.values().flat_map(Series::files).for_each(|file| wanted[file] = false);
            read.iter_mut().zip(&wanted).for_each(|(read, wanted)| *read |= wanted);
            let names = sums.files.names().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(name, _)| name);
            // Where all is read, all must be as it was.
            if round > 1 || !self.series.is_empty() {
                task.opens("dicom", names.clone().map(str::to_owned));
            }
            let found = scan(task, &Listing::named(folder, names))?;
            let named = |file: &Found| Some((sums.named)(&file.header()?.series_uid));
            // Nothing is kept, nothing is touched: most runs are such.
            let touched: BTreeSet<String> =
                found.iter().filter(|_| !self.series.is_empty()).filter_map(named).collect();
            files.extend(found);
            let before = self.series.len();
            self.let_go(touched);
            if self.series.len() == before {
                if round > 1 {
                    files.sort_by_cached_key(|file| sums.files.place(&file.path));
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

    /// Files behind these series, and how many beside them in the same archives are none of DICOM.
    pub(crate) fn files(&self, task: &Task<'_>, folder: &Path) -> (u64, u64) {
        let (mut files, mut last, mut archives) = (0, None, HashMap::<&str, HashSet<&str>>::new());
        for (file, row) in self.series.values().flat_map(|series| &series.instances) {
            let row = &self.instances[*row];
            match &row.member {
                Some(member) => drop(archives.entry(&row.path).or_default().insert(member)),
                // Frames of one file follow each other, and it belongs to one series.
                None => files += u64::from(last.replace(file) != Some(file)),
            }
        }
        if !archives.is_empty() {
            task.opens("dicom", archives.keys().map(|&path| path.to_owned()));
        }
        let mut others = 0;
        for (path, own) in archives {
            let all = members(&folder.join(to_path(path))).unwrap_or(own.len());
            files += all as u64;
            others += all.saturating_sub(own.len()) as u64;
        }
        (files, others)
    }

    /// Puts the rows of these series among the others: the order is that of a table made at once. What each of them is
    /// made from.
    pub(crate) fn merge(self, joined: &mut Joined, files: &Files<'_>) -> BTreeMap<String, String> {
        let mut made_from = BTreeMap::new();
        if !self.series.is_empty() {
            // A file's rows are all of one table, so their places in it put them in order.
            let place = |(at, row): (usize, &InstanceRow)| (files.place(&row.path).unwrap_or(0), at, true);
            let mut order: Vec<(usize, usize, bool)> =
                joined.instances.iter().enumerate().map(place).collect();
            for (uid, series) in self.series {
                joined.series.push(series.row);
                order.extend(series.instances.into_iter().map(|(file, at)| (file, at, false)));
                made_from.extend(series.made_from.map(|sum| (uid, sum)));
            }
            order.sort_unstable();
            // Each row is moved once: there may be a hundred thousand.
            let some = |rows: Vec<InstanceRow>| rows.into_iter().map(Some).collect::<Vec<_>>();
            let (mut earlier, mut fresh) =
                (some(self.instances), some(std::mem::take(&mut joined.instances)));
            let row = |(_, at, is_fresh): (usize, usize, bool)| {
                if is_fresh { fresh[at].take() } else { earlier[at].take() }
            };
            joined.instances = order.into_iter().filter_map(row).collect();
        }
        joined.series.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
        made_from
    }
}
