//! Writes tables in row groups. A table with a key is sorted by it, and only the keys decide where
//! a row group begins. A change to a few keys therefore rewrites only the row groups of those keys
//! and copies the bytes of the others. The result is byte-identical to a table written all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, RecordBatchReader, StringArray};
use arrow_select::concat::concat_batches;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::table::{Table, describe, known, open};

/// Rows that are converted to Arrow at a time, so that a table is never in memory twice.
const CHUNK: usize = 1 << 14;
/// Rows in a row group of a table without a key.
const GROUP: usize = 1 << 20;
/// Average number of keys in a row group of a table with a key.
const KEYS: u64 = 32;
/// Row groups in memory at a time, for each thread.
const IN_HAND: usize = 4;

/// A table with a key, of which some columns have been read. A later table is made from it.
pub struct Grouped<T> {
    path: PathBuf,
    described: ArrowReaderMetadata,
    groups: Vec<Group>,
    table: PhantomData<fn() -> T>,
}

/// A row group.
struct Group {
    /// The columns that have been read.
    columns: RecordBatch,
    /// The rows of each key.
    runs: Vec<Range<usize>>,
}

/// The rows of one key, in columns.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    /// The key.
    pub key: &'a str,
    pub(crate) columns: &'a RecordBatch,
    pub(crate) rows: Range<usize>,
}

impl<T: Table> Grouped<T> {
    /// Reads the key and the given columns of `folder/FILE`.
    ///
    /// # Errors
    /// When the file is missing, is not Parquet or does not match the schema, or the table has no
    /// such column.
    pub fn read(folder: &Path, columns: &[&str]) -> Result<Grouped<T>> {
        const { assert!(!T::KEY.is_empty(), "a table without a key has no groups of keys") };
        let path = folder.join(T::FILE);
        known::<T>(columns, &path)?;
        // A copied row group keeps all its metadata.
        let options = ArrowReaderOptions::new().with_encoding_stats_as_mask(false);
        let described = describe::<T>(&path, options)?;
        let columns = columns.iter().copied().chain([T::KEY]);
        let mask = ProjectionMask::columns(described.parquet_schema(), columns);
        let mut table = Grouped { path, described, groups: Vec::new(), table: PhantomData };
        let group = |index| {
            let columns = table.columns(index, mask.clone())?;
            let runs = keys(&columns, T::KEY).map_or_else(Vec::new, runs);
            Ok(Group { columns, runs })
        };
        let count = table.described.metadata().num_row_groups();
        table.groups = (0..count).into_par_iter().map(group).collect::<Result<_>>()?;
        Ok(table)
    }

    /// Reads columns of a row group.
    fn columns(&self, group: usize, mask: ProjectionMask) -> Result<RecordBatch> {
        // Every thread opens the file for itself: cloned handles share one position.
        let file = open(&self.path)?;
        let read = || {
            let count = usize::try_from(self.described.metadata().row_group(group).num_rows())?;
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.described.clone());
            // The file's own row count may be wrong, so it does not size the buffer.
            let reader = reader.with_batch_size(count.min(CHUNK));
            let reader = reader.with_row_groups(vec![group]).with_projection(mask);
            let reader = reader.build()?;
            let schema = reader.schema();
            let batches = reader.collect::<std::result::Result<Vec<_>, _>>()?;
            concat_batches(&schema, &batches).map_err(ParquetError::from)
        };
        read().map_err(|e| Error::format(&self.path, e))
    }

    /// The rows of each key, in order.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.groups.iter().flat_map(Self::runs_of)
    }

    fn runs_of(group: &Group) -> impl Iterator<Item = Run<'_>> {
        let keys = keys(&group.columns, T::KEY);
        let run = move |rows: &Range<usize>| {
            let key = keys.map_or("", |keys| keys.value(rows.start));
            Run { key, columns: &group.columns, rows: rows.clone() }
        };
        group.runs.iter().map(run)
    }

    /// Writes to `folder/FILE` the given rows, and the rows of this table whose keys are kept.
    ///
    /// # Errors
    /// When this table cannot be read or is not sorted, or the file cannot be written.
    pub fn write(&self, keeps: &dyn Fn(&str) -> bool, rows: &[T], folder: &Path) -> Result<()>
    where
        T: Send + Sync,
    {
        if !self.runs().is_sorted_by(|a, b| a.key < b.key) {
            let (column, problem) = (T::KEY.to_owned(), "is not sorted".to_owned());
            return Err(Error::Column { path: self.path.clone(), column, problem });
        }
        let mut parts: Vec<Part<'_, T>> = rows.iter().map(Part::Row).collect();
        for (index, group) in self.groups.iter().enumerate() {
            let kept = Self::runs_of(group).filter(|run| keeps(run.key));
            parts.extend(kept.map(|run| Part::Kept(run.key, index)));
        }
        write(parts, Some(self), folder)
    }

    /// The row group that holds exactly these rows.
    fn holding(&self, parts: &[Part<'_, T>]) -> Option<usize> {
        let Part::Kept(_, group) = parts.first()? else { return None };
        let all = parts.iter().all(|part| matches!(part, Part::Kept(_, other) if other == group));
        (all && parts.len() == self.groups[*group].runs.len()).then_some(*group)
    }

    /// Appends a row group unchanged.
    fn copy(
        &self,
        group: usize,
        from: &File,
        to: &mut SerializedRowGroupWriter<'_, File>,
    ) -> parquet::errors::Result<()> {
        let group = self.described.metadata().row_group(group);
        group.columns().iter().try_for_each(|column| {
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size().unsigned_abs(),
                rows_written: group.num_rows().unsigned_abs(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            to.append_column(from, close)
        })
    }
}

fn keys<'a>(columns: &'a RecordBatch, key: &str) -> Option<&'a StringArray> {
    columns.column_by_name(key).map(AsArray::as_string)
}

/// Ranges of consecutive rows with the same key.
fn runs(keys: &StringArray) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for row in 0..keys.len() {
        match runs.last_mut() {
            Some(run) if keys.value(run.start) == keys.value(row) => run.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

/// The parts of which a table is assembled.
enum Part<'a, T> {
    Row(&'a T),
    /// All rows of a key, in the given row group of the earlier table.
    Kept(&'a str, usize),
}

impl<T: Table> Part<'_, T> {
    fn key(&self) -> &str {
        match self {
            Part::Row(row) => row.key(),
            Part::Kept(key, _) => key,
        }
    }
}

/// A row group that is ready to be written.
enum Made<'a, T> {
    /// A row group of the earlier table, whose file is open.
    Copied(&'a Grouped<T>, &'a File, usize),
    Encoded(Vec<ArrowColumnChunk>),
}

/// Whether a row group begins with the rows of this key. It uses FNV-1a and one step of
/// `MurmurHash3`'s finaliser, because UIDs that differ in their last character alone must be told
/// apart.
fn begins_group(key: &str) -> bool {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd) < u64::MAX / KEYS
}

/// Writes rows to `folder/FILE`, sorted by the key where there is one.
///
/// # Errors
/// When the file cannot be written.
pub fn write_rows<T: Table + Send + Sync>(rows: &[T], folder: &Path) -> Result<()> {
    write(rows.iter().map(Part::Row).collect(), None, folder)
}

fn write<T: Table + Send + Sync>(
    mut parts: Vec<Part<'_, T>>,
    earlier: Option<&Grouped<T>>,
    folder: &Path,
) -> Result<()> {
    let path = folder.join(T::FILE);
    let failed = |e: ParquetError| Error::io("cannot write", &path, io::Error::other(e));
    let file = File::create(&path).map_err(|e| Error::io("cannot write", &path, e))?;
    let writer = ArrowWriter::try_new(file, Arc::new(T::schema()), Some(properties::<T>()));
    let (mut file, columns) = writer.and_then(ArrowWriter::into_serialized_writer).map_err(failed)?;
    let earlier = earlier.map(|earlier| Ok((earlier, open(&earlier.path)?))).transpose()?;
    parts.sort_by(|a, b| a.key().cmp(b.key()));
    let together = |a: &Part<'_, T>, b: &Part<'_, T>| a.key() == b.key() || !begins_group(b.key());
    // A table without a key is cut by its length.
    let most = if T::KEY.is_empty() { GROUP } else { usize::MAX };
    let groups: Vec<&[Part<'_, T>]> = parts.chunk_by(together).flat_map(|parts| parts.chunks(most)).collect();
    let made = |parts: &&[Part<'_, T>]| {
        let earlier = earlier.as_ref().map(|(earlier, from)| (*earlier, from));
        let whole =
            earlier.and_then(|(earlier, from)| Some(Made::Copied(earlier, from, earlier.holding(parts)?)));
        let encoded = || made_of(parts, earlier.map(|(earlier, _)| earlier), &columns).map(Made::Encoded);
        whole.map_or_else(encoded, Ok)
    };
    // The row groups of a table without a key are large, and all threads make one together.
    let in_hand = if T::KEY.is_empty() { 1 } else { IN_HAND * rayon::current_num_threads() };
    for groups in groups.chunks(in_hand) {
        for made in groups.par_iter().map(made).collect::<Result<Vec<_>>>()? {
            let mut group = file.next_row_group().map_err(failed)?;
            let appended = match made {
                Made::Copied(earlier, from, index) => earlier.copy(index, from, &mut group),
                Made::Encoded(columns) => {
                    columns.into_iter().try_for_each(|column| column.append_to_row_group(&mut group))
                }
            };
            appended.and_then(|()| group.close()).map_err(failed)?;
        }
    }
    file.close().map(drop).map_err(failed)
}

/// Encodes the columns of a row group.
fn made_of<T: Table + Sync>(
    parts: &[Part<'_, T>],
    earlier: Option<&Grouped<T>>,
    columns: &ArrowRowGroupWriterFactory,
) -> Result<Vec<ArrowColumnChunk>> {
    let mut kept: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    let mut rows: Vec<&T> = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Row(row) => rows.push(row),
            Part::Kept(key, group) => drop(kept.entry(*group).or_default().insert(key)),
        }
    }
    let mut taken: Vec<T> = Vec::new();
    if let Some(earlier) = earlier {
        for (group, keys) in &kept {
            let all = T::from_batch(&earlier.columns(*group, ProjectionMask::all())?);
            taken.extend(all.into_iter().filter(|row| keys.contains(row.key())));
        }
        rows.extend(&taken);
        rows.sort_by(|a, b| a.key().cmp(b.key()));
    }
    encode(&rows, columns).map_err(|e| Error::format(Path::new(T::FILE), e))
}

/// Encodes rows as [`ArrowWriter`] does, several columns at a time.
fn encode<T: Table>(
    rows: &[&T],
    columns: &ArrowRowGroupWriterFactory,
) -> parquet::errors::Result<Vec<ArrowColumnChunk>> {
    let schema = Arc::new(T::schema());
    // The index of the row group does not matter here.
    let mut writers = columns.create_column_writers(0)?;
    for rows in rows.chunks(CHUNK) {
        let batch = T::to_batch(rows, schema.clone())?;
        // No column is a struct, so each column has one writer.
        let columns = writers.par_iter_mut().zip(schema.fields().as_ref()).zip(batch.columns());
        columns.try_for_each(|((writer, field), column)| {
            compute_leaves(field, column)?.iter().try_for_each(|leaf| writer.write(leaf))
        })?;
    }
    writers.into_iter().map(ArrowColumnWriter::close).collect()
}

/// The file names no version of the writer. Page statistics refer to positions in the file, so a
/// table whose row groups are copied omits them.
///
/// A change to these properties, or a parquet or zstd release that writes other bytes, requires a
/// new version of the stages that copy row groups. Otherwise row groups of an earlier artifact
/// would be mixed with new ones.
fn properties<T: Table>() -> WriterProperties {
    let (zstd, properties) = (Compression::ZSTD(ZstdLevel::default()), WriterProperties::builder());
    let mut properties = properties.set_created_by("ctpipe".to_owned());
    if T::KEY.is_empty() {
        return properties.set_compression(zstd).build();
    }
    for &column in T::UNIQUE {
        let column = ColumnPath::from(column);
        properties = properties.set_column_dictionary_enabled(column.clone(), false);
        properties = properties.set_column_compression(column, zstd);
    }
    // Columns with a dictionary are short, and preparing zstd for each of them takes longer than
    // reading it.
    properties.set_statistics_enabled(EnabledStatistics::Chunk).set_offset_index_disabled(true).build()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rows::{InstanceRow, SeriesRow};

    /// Arrow's own writer, from whose parts this one is built, gives the same bytes.
    #[test]
    fn the_bytes_are_those_of_arrows_writer() {
        let dir = tempfile::tempdir().unwrap();
        let row = |k: u32| SeriesRow {
            series_uid: format!("1.{}", k % 7),
            label: Some(k),
            reasons: vec!["not_ct".into(); k as usize % 3],
            ..SeriesRow::default()
        };
        let rows: Vec<SeriesRow> = (0..40_000).map(row).collect();
        write_rows(&rows, dir.path()).unwrap();
        let schema = Arc::new(SeriesRow::schema());
        let (mut bytes, properties) = (Vec::new(), properties::<SeriesRow>());
        let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties)).unwrap();
        for rows in rows.chunks(CHUNK) {
            let rows: Vec<&SeriesRow> = rows.iter().collect();
            writer.write(&SeriesRow::to_batch(&rows, schema.clone()).unwrap()).unwrap();
        }
        writer.close().unwrap();
        assert!(std::fs::read(dir.path().join(SeriesRow::FILE)).unwrap() == bytes);
    }

    /// Some rows of each of these series, in no particular order.
    fn instances(series: impl Iterator<Item = u32>, version: u32) -> Vec<InstanceRow> {
        let row = |(series, k): (u32, u32)| InstanceRow {
            // Longer than the text that statistics hold.
            path: format!("{k}/of {series}{:60}/", ""),
            frame: version,
            series_uid: format!("1.2.{series}").into(),
            position_y: (k == 2).then_some(f64::NAN),
            position_z: (k > 0).then(|| f64::from(k) / 3.0),
            problem: (series % 9 == k).then(|| "what is wrong".to_owned()),
            ..InstanceRow::default()
        };
        let mut rows: Vec<InstanceRow> =
            series.flat_map(|series| (0..=series % 6).map(move |k| (series, k))).map(row).collect();
        rows.sort_by_key(|row| row.path.len() * 7 % 5);
        rows
    }

    fn bytes(folder: &Path) -> Vec<u8> {
        std::fs::read(folder.join(InstanceRow::FILE)).unwrap()
    }

    /// The number of keys in each row group of a table.
    fn groups(folder: &Path) -> Vec<usize> {
        let earlier = Grouped::<InstanceRow>::read(folder, &[]).unwrap();
        earlier.groups.iter().map(|group| group.runs.len()).collect()
    }

    #[test]
    fn a_table_with_a_key_is_sorted_by_it_and_comes_back_from_many_row_groups() {
        let dir = tempfile::tempdir().unwrap();
        // More than one thread reads.
        let mut rows = instances(0..10_000, 0);
        InstanceRow::write(&rows, dir.path()).unwrap();
        rows.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
        assert_eq!(format!("{:?}", InstanceRow::read(dir.path()).unwrap()), format!("{rows:?}"));
        let groups = groups(dir.path());
        assert_eq!(groups.iter().sum::<usize>(), 10_000);
        // One key in 32 begins a row group: 312 on average, here within four standard deviations.
        assert!((243..=382).contains(&groups.len()), "{}", groups.len());
        let earlier = Grouped::<InstanceRow>::read(dir.path(), &["path", "frame"]).unwrap();
        let runs: Vec<(&str, usize)> = earlier.runs().map(|run| (run.key, run.rows.len())).collect();
        let expected = rows.chunk_by(|a, b| a.series_uid == b.series_uid);
        assert_eq!(runs, expected.map(|rows| (&*rows[0].series_uid, rows.len())).collect::<Vec<_>>());
    }

    /// Whatever is changed, added or removed, at either end or in between.
    #[test]
    fn what_is_put_together_from_an_earlier_table_has_the_bytes_of_one_that_is_written_at_once() {
        let before = instances(100..1_000, 0);
        let earlier_dir = tempfile::tempdir().unwrap();
        InstanceRow::write(&before, earlier_dir.path()).unwrap();
        let earlier = Grouped::<InstanceRow>::read(earlier_dir.path(), &[]).unwrap();
        let all = 100..1_000;
        let cases: [(&[u32], &[u32]); 7] = [
            (&[], &[]),
            (&[500], &[500]),
            (&[], &[1_500, 50]),
            (&[100, 999, 345], &[]),
            (&[], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]),
            (&(100..1_000).collect::<Vec<_>>(), &[7]),
            (&(200..900).collect::<Vec<_>>(), &(200..900).collect::<Vec<_>>()),
        ];
        for (lost, fresh) in cases {
            let (at_once, together) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let fresh = instances(fresh.iter().copied(), 1);
            let kept = all.clone().filter(|series| !lost.contains(series));
            let rows = [instances(kept, 0), fresh.clone()].concat();
            InstanceRow::write(&rows, at_once.path()).unwrap();
            let keeps = |key: &str| !lost.contains(&key[4..].parse().unwrap());
            earlier.write(&keeps, &fresh, together.path()).unwrap();
            assert!(bytes(at_once.path()) == bytes(together.path()), "{lost:?}");
        }
    }

    #[test]
    fn a_row_group_is_copied_where_all_of_it_is_kept_and_nothing_new_falls_into_it() {
        let dir = tempfile::tempdir().unwrap();
        InstanceRow::write(&instances(0..100, 0), dir.path()).unwrap();
        let earlier = Grouped::<InstanceRow>::read(dir.path(), &[]).unwrap();
        let kept = |group: usize| earlier.groups[group].runs.len();
        let parts = |group: usize, count: usize| {
            (0..count).map(|_| Part::<InstanceRow>::Kept("", group)).collect::<Vec<_>>()
        };
        assert_eq!(earlier.holding(&parts(1, kept(1))), Some(1));
        assert_eq!(earlier.holding(&parts(1, kept(1) - 1)), None);
        let row = InstanceRow::default();
        let mut with_a_row = parts(1, kept(1) - 1);
        with_a_row.push(Part::Row(&row));
        assert_eq!(earlier.holding(&with_a_row), None);
    }

    /// Another program may have made such a table. It is read, but no table is made from it.
    #[test]
    fn a_table_that_is_not_sorted_is_read_and_not_copied_from() {
        let dir = tempfile::tempdir().unwrap();
        let rows =
            ["1.1", "1.2", "1.1"].map(|uid| InstanceRow { series_uid: uid.into(), ..InstanceRow::default() });
        let schema = Arc::new(InstanceRow::schema());
        let file = File::create(dir.path().join(InstanceRow::FILE)).unwrap();
        let mut writer = ArrowWriter::try_new(file, schema.clone(), None).unwrap();
        writer.write(&InstanceRow::to_batch(&rows.iter().collect::<Vec<_>>(), schema).unwrap()).unwrap();
        writer.close().unwrap();
        let table = Grouped::<InstanceRow>::read(dir.path(), &["path"]).unwrap();
        assert_eq!(table.runs().map(|run| run.key).collect::<Vec<_>>(), ["1.1", "1.2", "1.1"]);
        let error = table.write(&|_| true, &[], tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
        assert!(error.contains("column \"series_uid\" is not sorted"), "{error}");
    }

    #[test]
    fn an_empty_table_and_a_column_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        InstanceRow::write(&[], dir.path()).unwrap();
        assert_eq!(Grouped::<InstanceRow>::read(dir.path(), &["path"]).unwrap().runs().count(), 0);
        let error = Grouped::<InstanceRow>::read(dir.path(), &["paths"]).err().unwrap().to_string();
        assert!(error.contains("column \"paths\" is not in this table"), "{error}");
    }
}
