//! The rows of series that an earlier artifact has already, because their files and labels are the
//! same. Reads no header: what has to be read is everything else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use ctpipe_ct::{Found, Listing, members, to_path};
use ctpipe_engine::{MadeFrom, StageError, Task};
use ctpipe_tables::labels::Label;
use ctpipe_tables::{InstanceRow, SeriesRow, Table};

use crate::join::Joined;
use crate::scan::scan;

/// Sums up what the rows of a series are made from.
pub(crate) struct Sums<'a> {
    task: &'a Task<'a>,
    /// By the series' UID as it stands in the tables.
    labels: BTreeMap<String, Vec<&'a Label>>,
    named: &'a dyn Fn(&str) -> String,
}

impl<'a> Sums<'a> {
    /// `named` makes of a series' UID what stands for it in the tables.
    pub(crate) fn new(
        task: &'a Task<'a>,
        labels: &'a [Label],
        named: &'a dyn Fn(&str) -> String,
    ) -> Sums<'a> {
        let mut by_series: BTreeMap<String, Vec<&Label>> = BTreeMap::new();
        for label in labels {
            by_series.entry(named(&label.series_uid)).or_default().push(label);
        }
        Sums { task, labels: by_series, named }
    }

    /// Of the series with these rows; `None` when one of their files is not known to the engine.
    fn sum<'p>(&self, uid: &str, rows: impl Iterator<Item = &'p InstanceRow>) -> Option<String> {
        let mut made_from = MadeFrom::new();
        made_from.add(self.task.digest("patient_key", "")?);
        for &label in self.labels.get(uid).map_or(&[][..], Vec::as_slice) {
            // Where it stands in the file changes nothing.
            made_from.add(format!("{:?}", Label { line: 0, ..label.clone() }));
        }
        made_from.add([]);
        let mut last = None;
        for row in rows {
            // Frames and members of one file come one after the other.
            if last != Some(&row.path) {
                made_from.add(&row.path);
                made_from.add(self.task.digest("dicom", &row.path)?);
                last = Some(&row.path);
            }
        }
        Some(made_from.digest())
    }

    /// Of every series that has a UID.
    pub(crate) fn of(&self, joined: &Joined) -> BTreeMap<String, String> {
        let mut rows: HashMap<&str, Vec<&InstanceRow>> = HashMap::new();
        for row in &joined.instances {
            rows.entry(&row.series_uid).or_default().push(row);
        }
        let sum = |row: &SeriesRow| {
            let own = rows.get(row.series_uid.as_str()).into_iter().flatten().copied();
            Some((row.series_uid.clone(), self.sum(&row.series_uid, own)?))
        };
        joined.series.iter().filter(|row| !row.series_uid.is_empty()).filter_map(sum).collect()
    }
}

/// One series of the earlier artifact.
struct Series {
    row: SeriesRow,
    /// With the file's place in the listing, and the row's in its table: members of an archive stand in its
    /// order there, whatever their series.
    instances: Vec<(usize, usize, InstanceRow)>,
}

impl Series {
    fn new(row: SeriesRow) -> Series {
        Series { row, instances: Vec::new() }
    }

    fn files(&self) -> impl Iterator<Item = usize> {
        self.instances.iter().map(|(file, _, _)| *file)
    }
}

/// Where each file stands in the listing.
pub(crate) type Places<'a> = HashMap<&'a str, usize>;

/// Series that need not be looked at again, by their UID as it stands in the tables.
#[derive(Default)]
pub(crate) struct Kept(BTreeMap<String, Series>);

impl Kept {
    /// Those of the previous artifact that are made from the same; none where there is no such artifact.
    pub(crate) fn find(task: &Task<'_>, places: &Places<'_>, sums: &Sums<'_>) -> Kept {
        let Some(previous) = task.previous() else { return Kept::default() };
        let tables = (SeriesRow::read(previous.folder()), InstanceRow::read(previous.folder()));
        let (Ok(rows), Ok(instances)) = tables else { return Kept::default() };
        let mut series: BTreeMap<String, Series> =
            rows.into_iter().map(|row| (row.series_uid.clone(), Series::new(row))).collect();
        // A file that could not be read belongs to no series, as one without a UID: they are read again,
        // and so is what has lost a file.
        let mut others = BTreeSet::from([String::new()]);
        for (place, row) in instances.into_iter().enumerate() {
            match (places.get(row.path.as_str()), series.get_mut(&*row.series_uid)) {
                (Some(&file), Some(series)) => series.instances.push((file, place, row)),
                (Some(&file), None) => {
                    let nameless = series.entry(String::new());
                    let nameless = nameless.or_insert_with(|| Series::new(SeriesRow::default()));
                    nameless.instances.push((file, place, row));
                }
                (None, _) => drop(others.insert(row.series_uid.to_string())),
            }
        }
        let same = |uid: &str, series: &Series| {
            let sum = sums.sum(uid, series.instances.iter().map(|(_, _, row)| row));
            sum.is_some_and(|made_from| previous.has(uid, &made_from))
        };
        others.extend(series.iter().filter(|(uid, series)| !same(uid, series)).map(|(uid, _)| uid.clone()));
        let mut kept = Kept(series);
        kept.let_go(others);
        kept
    }

    /// Keeps these no longer, nor what lies in an archive with them: a file is read whole or not at all.
    fn let_go(&mut self, mut uids: BTreeSet<String>) {
        while !uids.is_empty() {
            let gone: Vec<Series> = uids.iter().filter_map(|uid| self.0.remove(uid)).collect();
            let lost: HashSet<usize> = gone.iter().flat_map(Series::files).collect();
            let shares = |series: &Series| series.files().any(|file| lost.contains(&file));
            uids = self.0.iter().filter(|(_, s)| shares(s)).map(|(uid, _)| uid.clone()).collect();
        }
    }

    /// Reads every file that is not behind a series that is kept. A series that turns out to have one
    /// more file is kept no longer, and what it has is read as well.
    pub(crate) fn read_the_rest(
        &mut self,
        task: &Task<'_>,
        listing: &Listing,
        places: &Places<'_>,
        sums: &Sums<'_>,
    ) -> Result<Vec<Found>, StageError> {
        let mut read = vec![false; listing.paths().count()];
        let mut files: Vec<Found> = Vec::new();
        for round in 1.. {
            let mut wanted: Vec<bool> = read.iter().map(|read| !read).collect();
            self.0.values().flat_map(Series::files).for_each(|file| wanted[file] = false);
            read.iter_mut().zip(&wanted).for_each(|(read, wanted)| *read |= wanted);
            // Where all is read, all must be as it was.
            if round > 1 || !self.0.is_empty() {
                let opened = listing.paths().zip(&wanted).filter(|(_, wanted)| **wanted);
                task.opens("dicom", opened.map(|(path, _)| path.to_owned()));
            }
            let found = scan(task, listing, &|index| wanted[index])?;
            let named = |file: &Found| Some((sums.named)(&file.header()?.series_uid));
            // Nothing is kept, nothing is touched: most runs are such.
            let touched: BTreeSet<String> =
                found.iter().filter(|_| !self.0.is_empty()).filter_map(named).collect();
            files.extend(found);
            let before = self.0.len();
            self.let_go(touched);
            if self.0.len() == before {
                if round > 1 {
                    files.sort_by_cached_key(|file| places.get(file.path.as_str()).copied());
                }
                break;
            }
        }
        Ok(files)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn has(&self, uid: &str) -> bool {
        self.0.contains_key(uid)
    }

    /// Files behind these series, and how many beside them in the same archives are none of DICOM.
    pub(crate) fn files(&self, task: &Task<'_>, folder: &Path) -> (u64, u64) {
        let (mut alone, mut archives) = (HashSet::new(), HashMap::<&str, HashSet<&str>>::new());
        for (file, _, row) in self.0.values().flat_map(|series| &series.instances) {
            match &row.member {
                Some(member) => drop(archives.entry(&row.path).or_default().insert(member)),
                None => drop(alone.insert(*file)),
            }
        }
        if !archives.is_empty() {
            task.opens("dicom", archives.keys().map(|&path| path.to_owned()));
        }
        let (mut files, mut others) = (alone.len() as u64, 0);
        for (path, own) in archives {
            let all = members(&folder.join(to_path(path))).unwrap_or(own.len());
            files += all as u64;
            others += all.saturating_sub(own.len()) as u64;
        }
        (files, others)
    }

    /// Puts the rows of these series among the others: the order is that of a table made at once.
    pub(crate) fn merge(self, joined: &mut Joined, places: &Places<'_>) {
        if !self.0.is_empty() {
            let fresh = std::mem::take(&mut joined.instances).into_iter().enumerate();
            let mut instances: Vec<(usize, usize, InstanceRow)> = fresh
                .map(|(place, row)| (places.get(row.path.as_str()).copied().unwrap_or(0), place, row))
                .collect();
            for series in self.0.into_values() {
                joined.series.push(series.row);
                instances.extend(series.instances);
            }
            // A file's rows are all of one table, so their places in it put them in order.
            instances.sort_by_key(|(file, place, _)| (*file, *place));
            joined.instances = instances.into_iter().map(|(_, _, row)| row).collect();
        }
        joined.series.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
    }
}
