//! How a Rust type becomes an Arrow column: its type, nullability, writing and reading.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, ListArray, StringArray, UInt32Array,
};
use arrow_schema::{DataType, Field};

/// A type that can be a column.
pub(crate) trait Column: Sized {
    /// The Arrow type.
    fn data_type() -> DataType;
    /// Whether it may be null.
    const NULLABLE: bool = false;
    /// Writes the values as one column.
    fn write<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
    /// Reads all values of a column whose type has been checked.
    fn read(array: &dyn Array) -> Vec<Self>;
}

macro_rules! primitive {
    ($type:ty, $array:ty, $arrow:expr, $read:expr) => {
        impl Column for $type {
            fn data_type() -> DataType {
                $arrow
            }
            fn write<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(values.map(|v| Some(*v)).collect::<$array>())
            }
            fn read(array: &dyn Array) -> Vec<Self> {
                $read(array).into_iter().map(Option::unwrap_or_default).collect()
            }
        }
        impl Column for Option<$type> {
            fn data_type() -> DataType {
                $arrow
            }
            const NULLABLE: bool = true;
            fn write<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(values.copied().collect::<$array>())
            }
            fn read(array: &dyn Array) -> Vec<Self> {
                $read(array)
            }
        }
    };
}

primitive!(u32, UInt32Array, DataType::UInt32, |a: &dyn Array| a
    .as_primitive::<UInt32Type>()
    .iter()
    .collect::<Vec<_>>());
primitive!(f64, Float64Array, DataType::Float64, |a: &dyn Array| a
    .as_primitive::<Float64Type>()
    .iter()
    .collect::<Vec<_>>());
primitive!(bool, BooleanArray, DataType::Boolean, |a: &dyn Array| a.as_boolean().iter().collect::<Vec<_>>());

impl Column for String {
    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn write<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(values.map(Some).collect::<StringArray>())
    }
    fn read(array: &dyn Array) -> Vec<Self> {
        array.as_string::<i32>().iter().map(|v| v.unwrap_or_default().to_owned()).collect()
    }
}

/// Text that a row shares with its neighbours. On reading, equal neighbours share one allocation.
impl Column for Arc<str> {
    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn write<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(values.map(|text| Some(&**text)).collect::<StringArray>())
    }
    fn read(array: &dyn Array) -> Vec<Self> {
        let mut last: Arc<str> = Arc::from("");
        let shared = |text: Option<&str>| {
            let text = text.unwrap_or_default();
            if *last != *text {
                last = Arc::from(text);
            }
            last.clone()
        };
        array.as_string::<i32>().iter().map(shared).collect()
    }
}

impl Column for Option<String> {
    fn data_type() -> DataType {
        DataType::Utf8
    }
    const NULLABLE: bool = true;
    fn write<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(values.map(Option::as_deref).collect::<StringArray>())
    }
    fn read(array: &dyn Array) -> Vec<Self> {
        array.as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
    }
}

impl Column for Vec<u8> {
    fn data_type() -> DataType {
        DataType::Binary
    }
    fn write<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(values.map(|bytes| Some(bytes.as_slice())).collect::<BinaryArray>())
    }
    fn read(array: &dyn Array) -> Vec<Self> {
        array.as_binary::<i32>().iter().map(|v| v.unwrap_or_default().to_vec()).collect()
    }
}

impl Column for Vec<String> {
    fn data_type() -> DataType {
        DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
    }
    fn write<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for value in values {
            builder.append_value(value.iter().map(Some));
        }
        Arc::new(builder.finish())
    }
    fn read(array: &dyn Array) -> Vec<Self> {
        let lists: &ListArray = array.as_list();
        lists
            .iter()
            .map(|list| list.map(|l| <String as Column>::read(l.as_ref())).unwrap_or_default())
            .collect()
    }
}
