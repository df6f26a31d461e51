//! Reads the header of one DICOM file, without its pixel data.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use crate::dicom::{DataSet, Part10, Problem};
use crate::source;

/// Text that many files share. Each thread keeps one copy of what it reads, because half of a
/// hundred thousand headers would be repetition.
pub type Text = Arc<str>;

thread_local! {
    static TEXTS: RefCell<HashSet<Text>> = RefCell::default();
}

/// Number of texts that a thread remembers. Series follow one another, so the latest texts suffice.
const REMEMBERED: usize = 1 << 10;

fn shared(text: &str) -> Text {
    TEXTS.with_borrow_mut(|texts| {
        if let Some(text) = texts.get(text) {
            return text.clone();
        }
        if texts.len() >= REMEMBERED {
            texts.clear();
        }
        let text = Text::from(text);
        texts.insert(text.clone());
        text
    })
}

/// The attributes that ctpipe uses. Units are those of DICOM: millimetres in the patient's LPS
/// coordinates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Header {
    /// SOP Class UID (0008,0016), empty when missing.
    pub class: Text,
    /// Image Type (0008,0008) in capitals, with backslashes between its values:
    /// `ORIGINAL\PRIMARY\AXIAL`.
    pub image_type: Text,
    /// SOP Instance UID (0008,0018), empty when missing.
    pub sop_instance_uid: String,
    /// Study Instance UID (0020,000D), empty when missing.
    pub study_uid: Text,
    /// Series Instance UID (0020,000E), empty when missing.
    pub series_uid: Text,
    /// Modality (0008,0060), empty when missing.
    pub modality: Text,
    /// Patient ID (0010,0020). Personal: it must not leave the stage that hashes it.
    pub patient_id: Text,
    /// Patient's Age (0010,1010) in years.
    pub age: Option<f64>,
    /// Patient's Sex (0010,0040): `F`, `M` or `O`; any other value is left out.
    pub sex: Option<Text>,
    /// Rows (0028,0010).
    pub rows: u32,
    /// Columns (0028,0011).
    pub columns: u32,
    /// Samples per Pixel (0028,0002), 1 when missing.
    pub samples: u32,
    /// Instance Number (0020,0013).
    pub instance_number: Option<i32>,
    /// Manufacturer (0008,0070).
    pub manufacturer: Option<Text>,
    /// Manufacturer's Model Name (0008,1090).
    pub model: Option<Text>,
    /// Convolution Kernel (0018,1210).
    pub kernel: Option<Text>,
    /// KVP (0018,0060) in kV.
    pub kvp: Option<f64>,
    /// Bits Stored (0028,0101).
    pub bits_stored: u32,
    /// Transfer syntax UID.
    pub transfer_syntax: Text,
    /// Whether the file has pixel data.
    pub has_pixels: bool,
    /// One plane for each frame: a single one, except in multi-frame files.
    pub planes: Vec<Plane>,
}

impl Header {
    /// The values of Image Type (0008,0008).
    pub fn image_types(&self) -> impl Iterator<Item = &str> {
        self.image_type.split('\\').filter(|value| !value.is_empty())
    }
}

/// Where one frame lies in the patient, and whether its values are HU.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plane {
    /// Image Position (Patient) (0020,0032): centre of the first voxel.
    pub position: Option<[f64; 3]>,
    /// Image Orientation (Patient) (0020,0037): direction along a row, then along a column.
    pub orientation: Option<[f64; 6]>,
    /// Pixel Spacing (0028,0030): distance between rows, then between columns.
    pub pixel_spacing: Option<[f64; 2]>,
    /// Slice Thickness (0018,0050).
    pub slice_thickness: Option<f64>,
    /// Whether values are HU as far as the file says: Rescale Type (0028,1054) is HU, US or
    /// missing, and there is no lookup table.
    pub in_hu: bool,
}

/// Media Storage Directory Storage (PS3.4, table I.4-1).
const DIRECTORY: &str = "1.2.840.10008.1.3.10";

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Scanned {
    /// DICOM, with its header.
    Dicom(Box<Header>),
    /// Something else, which is ignored.
    NotDicom,
    /// A zip archive, whose members are scanned instead.
    Archive,
    /// DICOM that cannot be read, and why.
    Unreadable(String),
}

/// Bytes read at first: the header of most files, and all of a small file in one read.
const FIRST: usize = 16 << 10;
/// Largest header; no scanner writes a larger one.
pub(crate) const LARGEST: usize = 16 << 20;

/// Reads the header of a file.
///
/// `room` is memory that is reused from file to file.
///
/// # Errors
/// When the file cannot be read at all.
pub fn scan(mut file: impl Read, room: &mut Vec<u8>) -> io::Result<Scanned> {
    room.clear();
    let mut wanted = FIRST;
    loop {
        let missing = wanted - room.len();
        let complete = (&mut file).take(missing as u64).read_to_end(room)? < missing;
        match read(room, complete, wanted) {
            Err(Problem::NeedsMore) if wanted < LARGEST && !complete => wanted *= 4,
            Err(Problem::NeedsMore) => {
                let problem = format!("no pixel data within the first {} MB", wanted >> 20);
                return Ok(Scanned::Unreadable(problem));
            }
            Err(problem) => return Ok(Scanned::Unreadable(problem.to_string())),
            Ok(scanned) => return Ok(scanned),
        }
    }
}

/// Reads the header from the first bytes of a file.
fn read(bytes: &[u8], complete: bool, limit: usize) -> Result<Scanned, Problem> {
    if bytes.is_empty() {
        return Ok(Scanned::Unreadable("it is empty".to_owned()));
    }
    if bytes.starts_with(source::SIGNATURE) {
        return Ok(Scanned::Archive);
    }
    let Some(part) = Part10::open(bytes) else { return Ok(Scanned::NotDicom) };
    // A DICOMDIR is an index of files and not an image.
    if part.class.starts_with(DIRECTORY) {
        return Ok(Scanned::NotDicom);
    }
    let (body, whole) = part.body(complete, (8 * limit).min(LARGEST))?;
    let set = DataSet::read(&body, whole)?;
    Ok(Scanned::Dicom(Box::new(header(&part, &set))))
}

pub(crate) fn header(part: &Part10<'_>, set: &DataSet<'_>) -> Header {
    let text = |tag| set.text(tag).map(|text| shared(&text));
    let uid = |tag| shared(&set.uid(tag).unwrap_or_default());
    let word = |tag| set.word(tag).map(u32::from);
    let sex = text(0x0010_0040).filter(|sex| ["F", "M", "O"].contains(&&**sex));
    let image_type = set.text(0x0008_0008).map_or_else(String::new, |types| {
        types.split('\\').map(|part| part.trim().to_ascii_uppercase()).collect::<Vec<_>>().join("\\")
    });
    Header {
        class: shared(&set.uid(0x0008_0016).unwrap_or_else(|| part.class.clone())),
        image_type: shared(&image_type),
        sop_instance_uid: set.uid(0x0008_0018).unwrap_or_default(),
        study_uid: uid(0x0020_000D),
        series_uid: uid(0x0020_000E),
        modality: text(0x0008_0060).unwrap_or_default(),
        patient_id: text(0x0010_0020).unwrap_or_default(),
        age: set.text(0x0010_1010).as_deref().and_then(years),
        sex,
        rows: word(0x0028_0010).unwrap_or(0),
        columns: word(0x0028_0011).unwrap_or(0),
        samples: word(0x0028_0002).unwrap_or(1),
        instance_number: set.text(0x0020_0013).and_then(|t| t.parse().ok()),
        manufacturer: text(0x0008_0070),
        model: text(0x0008_1090),
        kernel: text(0x0018_1210),
        kvp: set.number(0x0018_0060),
        bits_stored: word(0x0028_0101).unwrap_or(0),
        transfer_syntax: shared(&part.transfer_syntax),
        has_pixels: crate::dicom::frames::pixel_data(set).is_some(),
        planes: planes(set),
    }
}

const POSITION: u32 = 0x0020_0032;
const ORIENTATION: u32 = 0x0020_0037;
const SPACING: u32 = 0x0028_0030;
const THICKNESS: u32 = 0x0018_0050;
const RESCALE_TYPE: u32 = 0x0028_1054;
const RESCALE_INTERCEPT: u32 = 0x0028_1052;
const MODALITY_LUT: u32 = 0x0028_3000;
const PER_FRAME: u32 = 0x5200_9230;
const SHARED: u32 = 0x5200_9229;

/// Number of frames (0028,0008), 1 when missing or not a number.
pub(crate) fn frames(set: &DataSet<'_>) -> usize {
    set.number(0x0028_0008).map_or(1, |n| n.clamp(1.0, 1e9) as usize)
}

/// Maximum number of frames of a file that are distinguished; enhanced CT has some thousands.
const MOST_FRAMES: usize = 1 << 15;

/// One plane for each frame. Frames without functional groups of their own (PS3.3 section C.7.6.16)
/// cannot be distinguished: they share what the file says of all frames, and a claimed number of
/// them gives two planes.
fn planes(set: &DataSet<'_>) -> Vec<Plane> {
    let mut common = Plane { in_hu: true, ..Plane::default() };
    describe(&mut common, set);
    // Unsigned values cannot be HU without rescale: air is below zero.
    let scaled = |set: &DataSet<'_>| set.get(RESCALE_INTERCEPT).is_some();
    let groups = |set: &DataSet<'_>| set.items(GROUPS[3]).next().is_some_and(|item| scaled(&item));
    let scaled = scaled(set)
        || set.items(SHARED).next().is_some_and(|item| groups(&item))
        || set.items(PER_FRAME).next().is_some_and(|item| groups(&item));
    let unsigned = set.word(0x0028_0103) == Some(0);
    if set.get(MODALITY_LUT).is_some() || (unsigned && !scaled) {
        common.in_hu = false;
    }
    if let Some(shared) = set.items(SHARED).next() {
        describe_groups(&mut common, &shared);
    }
    let frames = frames(set);
    let mut planes: Vec<Plane> = set
        .items(PER_FRAME)
        .take(frames.min(MOST_FRAMES))
        .map(|groups| {
            let mut plane = common.clone();
            describe_groups(&mut plane, &groups);
            plane
        })
        .collect();
    if planes.len() < frames {
        planes = vec![common; frames.min(2)];
    }
    planes
}

/// Plane Position, Plane Orientation, Pixel Measures and Pixel Value Transformation. Their
/// attributes have the same tags as in a file with one frame.
const GROUPS: [u32; 4] = [0x0020_9113, 0x0020_9116, 0x0028_9110, 0x0028_9145];

fn describe_groups(plane: &mut Plane, groups: &DataSet<'_>) {
    for group in GROUPS {
        if let Some(item) = groups.items(group).next() {
            describe(plane, &item);
        }
    }
}

fn describe(plane: &mut Plane, set: &DataSet<'_>) {
    plane.position = set.array(POSITION).or(plane.position);
    plane.orientation = set.array(ORIENTATION).or(plane.orientation);
    plane.pixel_spacing = set.array(SPACING).or(plane.pixel_spacing);
    plane.slice_thickness = set.number(THICKNESS).or(plane.slice_thickness);
    if let Some(unit) = set.text(RESCALE_TYPE) {
        // US means "unspecified", which writers put where they must put something.
        plane.in_hu = ["HU", "US", "UNSPECIFIED"].contains(&unit.to_ascii_uppercase().as_str());
    }
}

/// Slope and intercept of each frame: its own, those shared by all frames, or those of the file; 1
/// and 0 when missing.
pub(crate) fn rescales(set: &DataSet<'_>) -> Vec<(f64, f64)> {
    let of = |set: &DataSet<'_>| {
        let slope = set.number(0x0028_1053);
        let intercept = set.number(RESCALE_INTERCEPT);
        (slope.is_some() || intercept.is_some()).then(|| (slope.unwrap_or(1.0), intercept.unwrap_or(0.0)))
    };
    let transformed = |groups: &DataSet<'_>| groups.items(GROUPS[3]).next().and_then(|item| of(&item));
    let shared = set.items(SHARED).next().as_ref().and_then(transformed);
    let common = shared.or_else(|| of(set)).unwrap_or((1.0, 0.0));
    let own: Vec<(f64, f64)> =
        set.items(PER_FRAME).take(MOST_FRAMES).map(|groups| transformed(&groups).unwrap_or(common)).collect();
    if own.is_empty() { vec![common] } else { own }
}

/// Age String (PS3.5 section 6.2): three digits and D, W, M or Y.
fn years(age: &str) -> Option<f64> {
    let digits = age.get(..age.len().checked_sub(1)?)?;
    let count = f64::from(digits.trim().parse::<u16>().ok()?);
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
