//! A table of typed rows in Parquet, with a fixed schema and fixed writer settings: equal rows
//! give equal bytes. Knows no table by name.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

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
        let schema = Arc::new(Self::schema());
        let file = File::create(&path).map_err(|e| Error::io("cannot write", &path, e))?;
        let written =
            ArrowWriter::try_new(file, schema.clone(), Some(properties())).and_then(|mut writer| {
                for rows in rows.chunks(CHUNK) {
                    writer.write(&Self::to_batch(rows, schema.clone())?)?;
                }
                writer.close()
            });
        written.map(|_| ()).map_err(|e| Error::io("cannot write", &path, std::io::Error::other(e)))
    }

    /// Reads `folder/FILE`.
    ///
    /// # Errors
    /// When it is missing, not Parquet, or has other columns.
    fn read(folder: &Path) -> Result<Vec<Self>> {
        let path = folder.join(Self::FILE);
        let file = File::open(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| Error::format(&path, e))?;
        check(&Self::schema(), reader.schema(), &path)?;
        let mut rows = Vec::new();
        for batch in reader.build().map_err(|e| Error::format(&path, e))? {
            rows.extend(Self::from_batch(&batch.map_err(|e| Error::format(&path, e))?));
        }
        Ok(rows)
    }
}

/// Rows that are copied to Arrow at a time: a table is not to be in memory twice.
const CHUNK: usize = 1 << 14;

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
