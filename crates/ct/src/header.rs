//! What one DICOM file says of itself, pixel data not read. Knows no other file of the series.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, OpenFileOptions};

/// The attributes that ctpipe uses. Units are DICOM's: millimetres in the patient's LPS coordinates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header {
    /// (0008,0018), empty when missing.
    pub sop_instance_uid: String,
    /// (0020,000D), empty when missing.
    pub study_uid: String,
    /// (0020,000E), empty when missing.
    pub series_uid: String,
    /// (0008,0060), empty when missing.
    pub modality: String,
    /// (0010,0020). Personal: must not leave the stage that hashes it.
    pub patient_id: String,
    /// (0010,1010) in years.
    pub age: Option<f64>,
    /// (0010,0040).
    pub sex: Option<String>,
    /// (0020,0032): centre of the first voxel.
    pub position: Option<[f64; 3]>,
    /// (0020,0037): direction along a row, then along a column.
    pub orientation: Option<[f64; 6]>,
    /// (0028,0030): distance between rows, then between columns.
    pub pixel_spacing: Option<[f64; 2]>,
    /// (0018,0050).
    pub slice_thickness: Option<f64>,
    /// (0028,0010).
    pub rows: u32,
    /// (0028,0011).
    pub columns: u32,
    /// (0028,0008), 1 when missing.
    pub frames: u32,
    /// (0020,0013).
    pub instance_number: Option<i32>,
    /// (0008,0070).
    pub manufacturer: Option<String>,
    /// (0008,1090).
    pub model: Option<String>,
    /// (0018,1210).
    pub kernel: Option<String>,
    /// (0018,0060) in kV.
    pub kvp: Option<f64>,
    /// (0028,0101).
    pub bits_stored: u32,
    /// Transfer syntax UID.
    pub transfer_syntax: String,
}

/// Media Storage Directory Storage (PS3.4, table I.4-1).
const DIRECTORY: &str = "1.2.840.10008.1.3.10";

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Scanned {
    /// DICOM, with what it says.
    Dicom(Box<Header>),
    /// Something else: ignored.
    NotDicom,
    /// DICOM that cannot be read, and why.
    Unreadable(String),
}

/// Reads the header of a file.
///
/// # Errors
/// When the file cannot be opened or read at all.
pub fn scan(path: &Path) -> io::Result<Scanned> {
    if !has_preamble(path)? {
        return Ok(Scanned::NotDicom);
    }
    // A parser that panics on a damaged file must cost that file only.
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        OpenFileOptions::new().read_until(tags::PIXEL_DATA).open_file(path)
    }));
    Ok(match parsed {
        // A DICOMDIR is an index of files and no image.
        Ok(Ok(object)) if object.meta().media_storage_sop_class_uid().starts_with(DIRECTORY) => {
            Scanned::NotDicom
        }
        Ok(Ok(object)) => Scanned::Dicom(Box::new(header(&object))),
        Ok(Err(error)) => Scanned::Unreadable(without_path(&chain(&error), path)),
        Err(_) => Scanned::Unreadable("the parser gave up on it".to_owned()),
    })
}

/// PS3.10 section 7.1: 128 bytes of anything, then "DICM".
fn has_preamble(path: &Path) -> io::Result<bool> {
    let mut start = [0; 132];
    let mut file = File::open(path)?;
    match file.read_exact(&mut start) {
        Ok(()) => Ok(&start[128..] == b"DICM"),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// What an error says, without the path: a folder may be named after a person, and the text goes into a
/// table.
pub(crate) fn without_path(text: &str, path: &Path) -> String {
    text.replace(&*path.to_string_lossy(), "it")
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn header(object: &DefaultDicomObject) -> Header {
    Header {
        sop_instance_uid: text(object, tags::SOP_INSTANCE_UID).unwrap_or_default(),
        study_uid: text(object, tags::STUDY_INSTANCE_UID).unwrap_or_default(),
        series_uid: text(object, tags::SERIES_INSTANCE_UID).unwrap_or_default(),
        modality: text(object, tags::MODALITY).unwrap_or_default(),
        patient_id: text(object, tags::PATIENT_ID).unwrap_or_default(),
        age: text(object, tags::PATIENT_AGE).as_deref().and_then(years),
        sex: text(object, tags::PATIENT_SEX),
        position: numbers(object, tags::IMAGE_POSITION_PATIENT),
        orientation: numbers(object, tags::IMAGE_ORIENTATION_PATIENT),
        pixel_spacing: numbers(object, tags::PIXEL_SPACING),
        slice_thickness: number(object, tags::SLICE_THICKNESS),
        rows: integer(object, tags::ROWS).unwrap_or(0),
        columns: integer(object, tags::COLUMNS).unwrap_or(0),
        frames: integer(object, tags::NUMBER_OF_FRAMES).unwrap_or(1),
        instance_number: text(object, tags::INSTANCE_NUMBER).and_then(|t| t.parse().ok()),
        manufacturer: text(object, tags::MANUFACTURER),
        model: text(object, tags::MANUFACTURER_MODEL_NAME),
        kernel: text(object, tags::CONVOLUTION_KERNEL),
        kvp: number(object, tags::KVP),
        bits_stored: integer(object, tags::BITS_STORED).unwrap_or(0),
        transfer_syntax: object.meta().transfer_syntax().trim_end_matches(['\0', ' ']).to_owned(),
    }
}

/// The value as text without padding; `None` when missing or empty.
pub(crate) fn text(object: &DefaultDicomObject, tag: Tag) -> Option<String> {
    let value = object.element_opt(tag).ok()??.to_str().ok()?;
    let value = value.trim_matches(['\0', ' ']);
    (!value.is_empty()).then(|| value.to_owned())
}

pub(crate) fn number(object: &DefaultDicomObject, tag: Tag) -> Option<f64> {
    let value = object.element_opt(tag).ok()??;
    value.to_float64().ok().filter(|x| x.is_finite())
}

pub(crate) fn integer(object: &DefaultDicomObject, tag: Tag) -> Option<u32> {
    object.element_opt(tag).ok()??.to_int().ok()
}

/// Exactly `N` finite numbers.
fn numbers<const N: usize>(object: &DefaultDicomObject, tag: Tag) -> Option<[f64; N]> {
    let values = object.element_opt(tag).ok()??.to_multi_float64().ok()?;
    values.try_into().ok().filter(|v: &[f64; N]| v.iter().all(|x| x.is_finite()))
}

/// Age String (PS3.5 section 6.2): three digits and D, W, M or Y.
fn years(age: &str) -> Option<f64> {
    let digits = age.get(..age.len().checked_sub(1)?)?;
    let count: f64 = digits.trim().parse().ok()?;
    match age.chars().last()? {
        'Y' => Some(count),
        'M' => Some(count / 12.0),
        'W' => Some(count / 52.18),
        'D' => Some(count / 365.25),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::years;

    #[test]
    fn an_age_string_is_read_in_its_four_units() {
        assert_eq!(years("054Y"), Some(54.0));
        assert_eq!(years("006M"), Some(0.5));
        assert_eq!(years("054"), None);
        assert_eq!(years(""), None);
    }
}
