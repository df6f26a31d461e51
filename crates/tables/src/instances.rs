//! Instances read from columns: a hundred thousand can be visited without making a row of each.

use arrow_array::ArrayAccessor;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt32Type};

use crate::row_groups::Run;

/// One instance; a field whose column was not read is empty. The fields are those of
/// [`InstanceRow`](crate::InstanceRow).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Instance<'a> {
    /// Path below the DICOM folder.
    pub path: &'a str,
    /// Name of the member within an archive.
    pub member: Option<&'a str>,
    /// Number of the frame, from 0.
    pub frame: u32,
    /// Image Position (0020,0032): x, y and z, mm.
    pub position: [Option<f64>; 3],
    /// Position in the stack, from 0.
    pub slice_index: Option<u32>,
}

impl<'a> Run<'a> {
    /// The instances of a series, in the order of the table.
    pub fn instances(&self) -> impl Iterator<Item = Instance<'a>> + Clone + use<'a> {
        let column = |name| self.columns.column_by_name(name);
        let [path, member] = ["path", "member"].map(|name| column(name)?.as_string_opt::<i32>());
        let [frame, slice_index] =
            ["frame", "slice_index"].map(|name| column(name)?.as_primitive_opt::<UInt32Type>());
        let position = ["position_x", "position_y", "position_z"]
            .map(|name| column(name)?.as_primitive_opt::<Float64Type>());
        self.rows.clone().map(move |row| Instance {
            path: value(path, row).unwrap_or_default(),
            member: value(member, row),
            frame: value(frame, row).unwrap_or_default(),
            position: position.map(|axis| value(axis, row)),
            slice_index: value(slice_index, row),
        })
    }
}

fn value<A: ArrayAccessor>(column: Option<A>, row: usize) -> Option<A::Item> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}
