#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(clippy::disallowed_methods)] // tests read the environment
//! dicom-pixeldata decodes the same files: wherever it does, our samples equal its samples. Where
//! it refuses a file or returns other samples, the list below says why.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use ctpipe_ct::{AlignedBuffer, Image};
use dicom_object::from_reader;
use dicom_pixeldata::{ConvertOptions, ModalityLutOption, PixelDecoder};

/// What dicom-pixeldata makes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theirs {
    /// The same samples as ours.
    Equal,
    /// Samples that differ by at most this, since the standard leaves a decoder's rounding open.
    Within(i32),
    /// Different samples.
    Differs,
    /// No samples: it refuses the file or panics.
    Refuses,
}

/// Files that are not [`Theirs::Equal`], by a part of their name, with what dicom-pixeldata 0.10 does.
const EXCEPTIONS: &[(&str, Theirs, &str)] = &[
    ("jpegls", Theirs::Refuses, JPEG_LS),
    ("JPEGLS", Theirs::Refuses, JPEG_LS),
    ("fragments_with", Theirs::Refuses, JPEG_LS),
    ("jpeg50", Theirs::Within(1), ROUNDING),
    ("JPEGProcess1Transfer", Theirs::Within(1), ROUNDING),
    ("jpeg51", Theirs::Refuses, TWELVE_BITS),
    ("JPEGProcess2_4", Theirs::Refuses, TWELVE_BITS),
    ("CT0012.fragmented_no_bot_jpeg_baseline.51", Theirs::Refuses, TWELVE_BITS),
    ("jxl110.dcm", Theirs::Differs, FULL_RANGE),
    ("jxl112.dcm", Theirs::Differs, FULL_RANGE),
    ("implicit_in_name_only", Theirs::Refuses, "it trusts the transfer syntax, which says implicit"),
    ("no_meta", Theirs::Refuses, "it needs a file meta group"),
    ("no_preamble", Theirs::Refuses, "it needs the preamble"),
    ("trailing_bytes", Theirs::Refuses, "it reads the bytes after the last element as an element"),
    ("wrong_group_length", Theirs::Refuses, "it trusts the length of the file meta group"),
];
const JPEG_LS: &str = "it decodes JPEG-LS only with a C++ library, which is not built here";
const TWELVE_BITS: &str = "its JPEG decoder takes 8 bits, and the samples have 12";
const ROUNDING: &str = "an inverse DCT may round either way (PS3.5 section 8.2.1, ITU-T T.81)";
const FULL_RANGE: &str = "it scales samples of 12 bits to the full range of 16: 17 becomes 272";

/// Our samples, frame after frame.
fn ours(bytes: &[u8]) -> Option<Vec<i32>> {
    let image = Image::from_bytes(bytes.to_vec()).ok()?;
    let mut room = AlignedBuffer::default();
    let mut samples = Vec::new();
    for index in 0..image.frames() {
        samples.extend(image.frame(index, &mut room).ok()?.values());
    }
    Some(samples)
}

/// The samples of dicom-pixeldata, without rescale.
fn theirs(bytes: &[u8]) -> Option<Vec<i32>> {
    let bytes = bytes.to_vec();
    let decode = move || {
        let object = from_reader(with_short_titles(&bytes).as_ref().unwrap_or(&bytes).as_slice()).ok()?;
        let pixels = object.decode_pixel_data().ok()?;
        let options = ConvertOptions::new().with_modality_lut(ModalityLutOption::None);
        pixels.to_vec_with_options::<i32>(&options).ok()
    };
    catch_unwind(decode).ok().flatten()
}

/// The file with AE titles of at most 16 characters: dicom-object refuses a file with a longer one,
/// although pydicom reads it.
fn with_short_titles(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut short = bytes.get(..132)?.to_vec();
    let mut cut = 0;
    let mut at = 132;
    // Explicit little endian, whatever the encoding of the data set (PS3.10 section 7.1).
    while bytes.get(at..at + 2)? == [2, 0] {
        let long = matches!(bytes.get(at + 4..at + 6)?, b"OB" | b"UN");
        let (start, length) = if long {
            (at + 12, u32::from_le_bytes(bytes.get(at + 8..at + 12)?.try_into().ok()?) as usize)
        } else {
            (at + 8, usize::from(u16::from_le_bytes(bytes.get(at + 6..at + 8)?.try_into().ok()?)))
        };
        let is_title = bytes.get(at + 4..at + 6)? == b"AE" && length > 16;
        if is_title {
            short.extend_from_slice(bytes.get(at..at + 6)?);
            short.extend_from_slice(&16_u16.to_le_bytes());
            short.extend_from_slice(bytes.get(start..start + 16)?);
            cut += length - 16;
        } else {
            short.extend_from_slice(bytes.get(at..start + length)?);
        }
        at = start + length;
    }
    // The first element of the group holds its length.
    let length = u32::from_le_bytes(short.get(140..144)?.try_into().ok()?) - cut as u32;
    short.get_mut(140..144)?.copy_from_slice(&length.to_le_bytes());
    short.extend_from_slice(bytes.get(at..)?);
    Some(short)
}

fn compare(path: &Path) -> Option<Theirs> {
    let bytes = fs::read(path).unwrap();
    let ours = ours(&bytes)?;
    Some(match theirs(&bytes) {
        None => Theirs::Refuses,
        Some(theirs) if theirs == ours => Theirs::Equal,
        Some(theirs) if theirs.len() == ours.len() => {
            let most = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).max().unwrap_or(0);
            if most <= 3 { Theirs::Within(most) } else { Theirs::Differs }
        }
        Some(_) => Theirs::Differs,
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "dcm")).collect();
    files.sort();
    files
}

#[test]
fn dicom_pixeldata_makes_the_same_samples_or_it_is_known_why_not() {
    let mut all = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"));
    assert!(all.len() >= 35, "{} fixtures", all.len());
    let shared = std::env::var("CTPIPE_TEST_DATA").unwrap_or_else(|_| "../../../shared/data".to_owned());
    for folder in ["codecs", "odd"] {
        let found = files(&Path::new(&shared).join(folder));
        if found.is_empty() {
            println!("skipped {folder}: it is not below {shared}");
        }
        all.extend(found);
    }
    let (mut equal, mut surprises) = (0, Vec::new());
    for path in all {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // decode.rs checks what we refuse against pydicom.
        let Some(found) = compare(&path) else { continue };
        let exception = EXCEPTIONS.iter().find(|(part, ..)| name.contains(part));
        let expected = exception.map_or(Theirs::Equal, |(_, theirs, _)| *theirs);
        if expected == Theirs::Equal {
            equal += 1;
        }
        if found != expected {
            let why = exception.map_or("no exception is known", |(.., why)| why);
            surprises.push(format!("{name}: {found:?}, expected {expected:?} ({why})"));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert!(equal >= 20, "{equal} files were compared");
}
