//! Tables of typed rows in Parquet, with a fixed schema and fixed writer settings, so that equal
//! rows give equal bytes.

use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Rows that are kept in Parquet.
pub trait Table: Sized {
    /// The file's name in an artifact.
    const FILE: &'static str;
    /// What a row is.
    const ABOUT: &'static str = "";
    /// What each column holds, in the order of the schema.
    const DOCS: &'static [&'static str] = &[];
    /// The column that the table is sorted by; empty where the rows keep their given order.
    const KEY: &'static str = "";
    /// Columns with so many distinct values that a dictionary would hold nearly all of them.
    const UNIQUE: &'static [&'static str] = &[];
    /// The value of the key column.
    #[allow(clippy::unnecessary_literal_bound)] // with a key, the text is the row's
    fn key(&self) -> &str {
        ""
    }
    /// The columns of the table.
    fn schema() -> Schema;
    /// Converts the rows to one batch.
    ///
    /// # Errors
    /// When Arrow refuses, which the schema rules out.
    fn to_batch(
        rows: &[&Self],
        schema: SchemaRef,
    ) -> std::result::Result<RecordBatch, arrow_schema::ArrowError>;
    /// The rows of a batch that has this schema.
    fn from_batch(batch: &RecordBatch) -> Vec<Self>;

    /// Reads `folder/FILE`.
    ///
    /// # Errors
    /// When the file is missing, is not Parquet, or does not match the schema.
    fn read(folder: &Path) -> Result<Vec<Self>>
    where
        Self: Send,
    {
        let path = folder.join(Self::FILE);
        let described = describe::<Self>(&path, ArrowReaderOptions::new())?;
        let count = usize::try_from(described.metadata().file_metadata().num_rows()).unwrap_or_default();
        let part = count.div_ceil(rayon::current_num_threads()).max(PART);
        let read = |first: usize| {
            // Every thread opens the file for itself: cloned handles share one position.
            let file = open(&path)?;
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, described.clone());
            let reader = reader.with_offset(first).with_limit(part);
            let mut rows = Vec::new();
            for batch in reader.build().map_err(|e| Error::format(&path, e))? {
                rows.extend(Self::from_batch(&batch.map_err(|e| Error::format(&path, e))?));
            }
            Ok(rows)
        };
        let parts = (0..count).into_par_iter().step_by(part).map(read);
        Ok(parts.collect::<Result<Vec<Vec<Self>>>>()?.into_iter().flatten().collect())
    }
}

/// Refuses a name that is not a column of the table.
pub(crate) fn known<T: Table>(columns: &[&str], path: &Path) -> Result<()> {
    let schema = T::schema();
    match columns.iter().find(|column| schema.index_of(column).is_err()) {
        Some(column) => Err(Error::Column {
            path: path.to_owned(),
            column: (*column).to_owned(),
            problem: "is not in this table".to_owned(),
        }),
        None => Ok(()),
    }
}

pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::io("cannot read", path, e))
}

/// Reads the footer of a table's file, after checking that its columns match the schema.
pub(crate) fn describe<T: Table>(path: &Path, options: ArrowReaderOptions) -> Result<ArrowReaderMetadata> {
    let described = ArrowReaderMetadata::load(&open(path)?, options).map_err(|e| Error::format(path, e))?;
    check(&T::schema(), described.schema(), path)?;
    Ok(described)
}

/// Minimum number of rows read by one thread: fewer are not worth a thread.
const PART: usize = 1 << 14;

fn check(expected: &Schema, found: &Schema, path: &Path) -> Result<()> {
    for field in expected.fields() {
        let complain = |problem: String| {
            Err(Error::Column { path: path.to_path_buf(), column: field.name().clone(), problem })
        };
        match found.field_with_name(field.name()) {
            // Files of an earlier version lack columns that were added later.
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
    ($(#[doc = $about:literal])+ $(#[derive($($derived:ident),+)])? $name:ident in $file:literal $(by $key:ident, unique $($unique:ident)+)? {
        $($(#[doc = $doc:literal])+ $field:ident: $type:ty,)+
    }) => {
        $(#[doc = $about])+
        $(#[derive($($derived),+)])?
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
        pub struct $name { $($(#[doc = $doc])+ pub $field: $type,)+ }

        impl $name {
            /// Writes the rows to `folder/FILE`, sorted by the key where there is one.
            ///
            /// # Errors
            /// When the file cannot be written.
            pub fn write(rows: &[$name], folder: &std::path::Path) -> $crate::error::Result<()> {
                $crate::row_groups::write_rows(rows, folder)
            }
        }

        impl $crate::table::Table for $name {
            const FILE: &'static str = $file;
            const ABOUT: &'static str = concat!($($about),+);
            const DOCS: &'static [&'static str] = &[$(concat!($($doc),+)),+];
            $(const KEY: &'static str = stringify!($key);
            const UNIQUE: &'static [&'static str] = &[$(stringify!($unique)),+];
            fn key(&self) -> &str {
                &self.$key
            })?
            fn schema() -> arrow_schema::Schema {
                arrow_schema::Schema::new(vec![$(arrow_schema::Field::new(
                    stringify!($field),
                    <$type as $crate::column::Column>::data_type(),
                    <$type as $crate::column::Column>::NULLABLE,
                )),+])
            }
            fn to_batch(
                rows: &[&Self],
                schema: arrow_schema::SchemaRef,
            ) -> std::result::Result<arrow_array::RecordBatch, arrow_schema::ArrowError> {
                arrow_array::RecordBatch::try_new(schema, vec![$(
                    <$type as $crate::column::Column>::write(rows.iter().map(|row| &row.$field))
                ),+])
            }
            fn from_batch(batch: &arrow_array::RecordBatch) -> Vec<Self> {
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

    /// More rows than one thread reads and than one chunk of the writer holds.
    #[test]
    fn many_rows_come_back_in_order() {
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
