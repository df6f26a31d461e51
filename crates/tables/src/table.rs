//! A table of typed rows in Parquet, with a fixed schema and fixed writer settings: equal rows
//! give equal bytes. Knows no table by name.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::{ArrowWriter, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Rows that are kept in Parquet.
pub trait Table: Sized {
    /// The file's name in an artifact.
    const FILE: &'static str;
    /// Its columns.
    fn schema() -> Schema;
    /// All rows as one batch.
    ///
    /// # Errors
    /// When Arrow refuses, which the schema rules out.
    fn to_batch(
        rows: &[Self],
        schema: SchemaRef,
    ) -> std::result::Result<RecordBatch, arrow::error::ArrowError>;
    /// The rows of a batch that has this schema.
    fn from_batch(batch: &RecordBatch) -> Vec<Self>;

    /// Writes the rows to `folder/FILE`.
    ///
    /// # Errors
    /// When the file cannot be written.
    fn write(rows: &[Self], folder: &Path) -> Result<()> {
        let path = folder.join(Self::FILE);
        let file = File::create(&path).map_err(|e| Error::io("cannot write", &path, e))?;
        write(rows, file, GROUP).map_err(|e| Error::io("cannot write", &path, std::io::Error::other(e)))
    }

    /// Reads `folder/FILE`.
    ///
    /// # Errors
    /// When it is missing, not Parquet, or has other columns.
    fn read(folder: &Path) -> Result<Vec<Self>>
    where
        Self: Send,
    {
        read(folder, None)
    }

    /// Reads these columns of `folder/FILE`; what the rows have of the others is empty.
    ///
    /// # Errors
    /// When it is missing, not Parquet, has other columns, or there is no column of such a name.
    fn read_columns(folder: &Path, columns: &[&str]) -> Result<Vec<Self>>
    where
        Self: Send,
    {
        if let Some(column) = columns.iter().find(|column| Self::schema().index_of(column).is_err()) {
            let (path, problem) = (folder.join(Self::FILE), "is none of this table".to_owned());
            return Err(Error::Column { path, column: (*column).to_owned(), problem });
        }
        read(folder, Some(columns))
    }
}

/// All columns, or those that are named.
fn read<T: Table + Send>(folder: &Path, columns: Option<&[&str]>) -> Result<Vec<T>> {
    let path = folder.join(T::FILE);
    let open = || File::open(&path).map_err(|e| Error::io("cannot read", &path, e));
    let described = ArrowReaderMetadata::load(&open()?, ArrowReaderOptions::new());
    let described = described.map_err(|e| Error::format(&path, e))?;
    check(&T::schema(), described.schema(), &path)?;
    let mask = match columns {
        Some(columns) => ProjectionMask::columns(described.parquet_schema(), columns.iter().copied()),
        None => ProjectionMask::all(),
    };
    let count = usize::try_from(described.metadata().file_metadata().num_rows()).unwrap_or_default();
    let part = count.div_ceil(rayon::current_num_threads()).max(CHUNK);
    let read = |first: usize| {
        // Every thread has a file of its own: those that are cloned share a place in it.
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(open()?, described.clone());
        let reader = reader.with_projection(mask.clone()).with_offset(first).with_limit(part);
        let mut rows = Vec::new();
        for batch in reader.build().map_err(|e| Error::format(&path, e))? {
            rows.extend(T::from_batch(&batch.map_err(|e| Error::format(&path, e))?));
        }
        Ok(rows)
    };
    let parts = (0..count).into_par_iter().step_by(part).map(read);
    Ok(parts.collect::<Result<Vec<Vec<T>>>>()?.into_iter().flatten().collect())
}

/// Rows that are copied to Arrow at a time: a table is not to be in memory twice.
const CHUNK: usize = 1 << 14;
/// Rows of a row group.
const GROUP: usize = 1 << 20;

/// What [`ArrowWriter`] writes, several columns at a time: so many rows in a row group.
fn write<T: Table>(rows: &[T], file: File, group: usize) -> parquet::errors::Result<()> {
    let schema = Arc::new(T::schema());
    let (mut file, columns) =
        ArrowWriter::try_new(file, schema.clone(), Some(properties()))?.into_serialized_writer()?;
    for (index, rows) in rows.chunks(group).enumerate() {
        let mut writers = columns.create_column_writers(index)?;
        for rows in rows.chunks(CHUNK) {
            let batch = T::to_batch(rows, schema.clone())?;
            // No column is a struct, so each has one writer.
            let columns = writers.par_iter_mut().zip(schema.fields().as_ref()).zip(batch.columns());
            columns.try_for_each(|((writer, field), column)| {
                compute_leaves(field, column)?.iter().try_for_each(|leaf| writer.write(leaf))
            })?;
        }
        let mut group = file.next_row_group()?;
        for writer in writers {
            writer.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
    }
    file.close().map(drop)
}

/// No version of the writer and no statistics of its mood in the file.
fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by("ctpipe".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build()
}

fn check(expected: &Schema, found: &Schema, path: &Path) -> Result<()> {
    for field in expected.fields() {
        let complain = |problem: String| {
            Err(Error::Column { path: path.to_path_buf(), column: field.name().clone(), problem })
        };
        match found.field_with_name(field.name()) {
            // Files of an earlier version lack what has been added since.
            Err(_) if field.is_nullable() => {}
            Err(_) => return complain("is missing".to_owned()),
            Ok(other) if other.data_type() != field.data_type() => {
                return complain(format!("is {}, expected {}", other.data_type(), field.data_type()));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Declares a struct of columns and makes it a [`Table`].
macro_rules! table {
    ($(#[$meta:meta])* $name:ident in $file:literal { $($(#[$doc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
        pub struct $name { $($(#[$doc])* pub $field: $type,)+ }

        impl $crate::table::Table for $name {
            const FILE: &'static str = $file;
            fn schema() -> arrow::datatypes::Schema {
                arrow::datatypes::Schema::new(vec![$(arrow::datatypes::Field::new(
                    stringify!($field),
                    <$type as $crate::column::Column>::data_type(),
                    <$type as $crate::column::Column>::NULLABLE,
                )),+])
            }
            fn to_batch(
                rows: &[Self],
                schema: arrow::datatypes::SchemaRef,
            ) -> std::result::Result<arrow::array::RecordBatch, arrow::error::ArrowError> {
                arrow::array::RecordBatch::try_new(schema, vec![$(
                    <$type as $crate::column::Column>::write(rows.iter().map(|row| &row.$field))
                ),+])
            }
            fn from_batch(batch: &arrow::array::RecordBatch) -> Vec<Self> {
                $(let mut $field = batch
                    .column_by_name(stringify!($field))
                    .map(|array| <$type as $crate::column::Column>::read(array.as_ref()))
                    .unwrap_or_default()
                    .into_iter();)+
                (0..batch.num_rows())
                    .map(|_| $name { $($field: $field.next().unwrap_or_default(),)+ })
                    .collect()
            }
        }
    };
}
pub(crate) use table;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rows::{EpochRow, SeriesRow};

    fn series() -> Vec<SeriesRow> {
        vec![
            SeriesRow {
                series_uid: "1.2".into(),
                label: Some(1),
                age: Some(54.0),
                reasons: vec!["not_ct".into(), "no_label".into()],
                ..SeriesRow::default()
            },
            SeriesRow { series_uid: "1.3".into(), split: Some("val".into()), ..SeriesRow::default() },
        ]
    }

    #[test]
    fn rows_survive_the_file_and_equal_rows_are_equal_bytes() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        SeriesRow::write(&series(), a.path()).unwrap();
        SeriesRow::write(&series(), b.path()).unwrap();
        assert_eq!(SeriesRow::read(a.path()).unwrap(), series());
        let bytes = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(SeriesRow::FILE)).unwrap();
        assert_eq!(bytes(&a), bytes(&b));
    }

    /// More than are read by one thread, and than one writer's chunk has.
    #[test]
    fn many_rows_come_back_in_order_and_columns_that_are_not_asked_for_are_empty() {
        let dir = tempfile::tempdir().unwrap();
        let row = |k: u32| SeriesRow {
            series_uid: format!("1.{k}"),
            slices: k,
            reasons: vec![format!("r{}", k % 3); k as usize % 4],
            label: (!k.is_multiple_of(5)).then_some(k),
            ..SeriesRow::default()
        };
        let rows: Vec<SeriesRow> = (0..50_000).map(row).collect();
        SeriesRow::write(&rows, dir.path()).unwrap();
        assert!(SeriesRow::read(dir.path()).unwrap() == rows);
        let some = SeriesRow::read_columns(dir.path(), &["slices", "reasons"]).unwrap();
        let left = |row: &SeriesRow| SeriesRow { series_uid: String::new(), label: None, ..row.clone() };
        assert!(some == rows.iter().map(left).collect::<Vec<_>>());
        // Row groups that do not end where the threads' parts do.
        write(&rows, File::create(dir.path().join(SeriesRow::FILE)).unwrap(), 9_000).unwrap();
        assert!(SeriesRow::read(dir.path()).unwrap() == rows);
        let error = SeriesRow::read_columns(dir.path(), &["slice"]).unwrap_err().to_string();
        assert!(error.contains("column \"slice\" is none"), "{error}");
    }

    /// As arrow's own writer does, of which this one is the parts.
    #[test]
    fn the_bytes_are_those_of_arrows_writer() {
        let dir = tempfile::tempdir().unwrap();
        let rows: Vec<SeriesRow> = series().into_iter().cycle().take(40_000).collect();
        SeriesRow::write(&rows, dir.path()).unwrap();
        let schema = Arc::new(SeriesRow::schema());
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties())).unwrap();
        for rows in rows.chunks(CHUNK) {
            writer.write(&SeriesRow::to_batch(rows, schema.clone()).unwrap()).unwrap();
        }
        writer.close().unwrap();
        assert!(std::fs::read(dir.path().join(SeriesRow::FILE)).unwrap() == bytes);
    }

    #[test]
    fn an_empty_table_keeps_its_columns() {
        let dir = tempfile::tempdir().unwrap();
        SeriesRow::write(&[], dir.path()).unwrap();
        assert!(SeriesRow::read(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_table_with_other_columns_is_refused_by_the_columns_name() {
        let dir = tempfile::tempdir().unwrap();
        SeriesRow::write(&series(), dir.path()).unwrap();
        std::fs::rename(dir.path().join(SeriesRow::FILE), dir.path().join(EpochRow::FILE)).unwrap();
        let error = EpochRow::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("column \"epoch\" is missing"), "{error}");
    }
}
