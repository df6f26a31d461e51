//! Describes every table and its columns for the book.

use arrow_schema::DataType;

use crate::rows::{EpochRow, InstanceRow, PredictionRow, SaliencyRow, SeriesRow, SplitRow, VolumeRow};
use crate::table::Table;

/// A table.
pub struct Described {
    /// The file's name in an artifact.
    pub file: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// Its columns, in order.
    pub columns: Vec<DescribedColumn>,
}

/// A column of a table.
pub struct DescribedColumn {
    /// Its name.
    pub name: String,
    /// Its type in words, such as `text` or `f64`.
    pub kind: String,
    /// Whether a value may be missing.
    pub nullable: bool,
    /// What it holds.
    pub doc: &'static str,
}

/// Every table that passes between stages.
pub const TABLES: [fn() -> Described; 7] = [
    describe::<InstanceRow>,
    describe::<SeriesRow>,
    describe::<VolumeRow>,
    describe::<SplitRow>,
    describe::<EpochRow>,
    describe::<PredictionRow>,
    describe::<SaliencyRow>,
];

fn describe<T: Table>() -> Described {
    let column = |(field, doc): (&arrow_schema::FieldRef, &&'static str)| DescribedColumn {
        name: field.name().clone(),
        kind: kind(field.data_type()),
        nullable: field.is_nullable(),
        doc,
    };
    let columns = T::schema().fields().iter().zip(T::DOCS).map(column).collect();
    Described { file: T::FILE, about: T::ABOUT, columns }
}

fn kind(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "text".to_owned(),
        DataType::Boolean => "true or false".to_owned(),
        DataType::Binary => "bytes".to_owned(),
        DataType::UInt32 => "u32".to_owned(),
        DataType::UInt64 => "u64".to_owned(),
        DataType::Float32 => "f32".to_owned(),
        DataType::Float64 => "f64".to_owned(),
        DataType::List(item) => format!("list of {}", kind(item.data_type())),
        other => other.to_string(),
    }
}
