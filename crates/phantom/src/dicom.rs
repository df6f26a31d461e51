//! Encodes one slice as a CT Image Storage file (DICOM PS3.3 A.3).
//!
//! It depends neither on the label nor on whether the slice shows a lesion: it only receives pixel
//! data.

use std::io::Write;
use std::path::Path;

use dicom_core::value::{PixelFragmentSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTable, InMemDicomObject};
use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::Error;
use crate::acquisition::Acquisition;
use crate::codec::Syntax;
use crate::cohort::Series;

/// A UUID drawn once for this writer. It identifies the program that made a file, so it never
/// changes.
const IMPLEMENTATION_CLASS_UID: &str = "2.25.240811703614029483715160922087439571248";
const IMPLEMENTATION_VERSION_NAME: &str = "CTPIPE_PHANTOM_1";

/// A slice to be encoded.
pub(crate) struct Instance<'a> {
    pub(crate) series: &'a Series,
    pub(crate) acquisition: &'a Acquisition,
    pub(crate) uid: String,
    /// Number of the slice, counted from the feet.
    pub(crate) slice: usize,
    pub(crate) stored: Vec<i32>,
    pub(crate) syntax: Syntax,
}

/// The bytes of the file; `path` is only used in errors.
pub(crate) fn encode(instance: &Instance<'_>, path: &Path) -> Result<Vec<u8>, Error> {
    let mut file = InMemDicomObject::new_empty();
    patient_and_study(&mut file, instance);
    series_and_equipment(&mut file, instance);
    image(&mut file, instance);
    pixels(&mut file, instance);
    let mut meta = FileMetaTable {
        information_group_length: 0,
        information_version: [0, 1],
        media_storage_sop_class_uid: uids::CT_IMAGE_STORAGE.into(),
        media_storage_sop_instance_uid: instance.uid.clone(),
        transfer_syntax: instance.syntax.uid().into(),
        implementation_class_uid: IMPLEMENTATION_CLASS_UID.into(),
        implementation_version_name: Some(IMPLEMENTATION_VERSION_NAME.into()),
        source_application_entity_title: None,
        sending_application_entity_title: None,
        receiving_application_entity_title: None,
        private_information_creator_uid: None,
        private_information: None,
    };
    meta.update_information_group_length();
    let mut bytes = Vec::with_capacity(2 * instance.stored.len() + 4096);
    let failed = |source| Error::Encode { path: path.into(), source: Box::new(source) };
    if instance.syntax != Syntax::Deflated {
        file.with_exact_meta(meta).write_all(&mut bytes).map_err(failed)?;
        return Ok(bytes);
    }
    let plain = FileMetaTable { transfer_syntax: Syntax::Explicit.uid().into(), ..meta.clone() };
    let mut body = Vec::new();
    file.with_exact_meta(plain).write_dataset(&mut body).map_err(failed)?;
    bytes.extend_from_slice(&[0; 128]);
    bytes.extend_from_slice(b"DICM");
    meta.write(&mut bytes).map_err(|e| Error::io("cannot encode", path)(std::io::Error::other(e)))?;
    let mut deflated = DeflateEncoder::new(bytes, Compression::default());
    deflated.write_all(&body).and_then(|()| deflated.finish()).map_err(Error::io("cannot encode", path))
}

fn patient_and_study(file: &mut InMemDicomObject, instance: &Instance<'_>) {
    let series = instance.series;
    let number = series.patient.number + 1;
    text(file, tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
    text(file, tags::PATIENT_NAME, VR::PN, format!("PHANTOM^{number:04}"));
    text(file, tags::PATIENT_ID, VR::LO, format!("PHANTOM-{number:04}"));
    text(file, tags::PATIENT_BIRTH_DATE, VR::DA, "");
    text(file, tags::PATIENT_SEX, VR::CS, series.patient.sex.code());
    text(file, tags::PATIENT_AGE, VR::AS, format!("{:03}Y", series.patient.age));
    text(file, tags::STUDY_INSTANCE_UID, VR::UI, &series.study_uid);
    text(file, tags::STUDY_ID, VR::SH, series.study.to_string());
    text(file, tags::STUDY_DESCRIPTION, VR::LO, "SYNTHETIC CHEST PHANTOM");
    text(file, tags::REFERRING_PHYSICIAN_NAME, VR::PN, "");
    text(file, tags::ACCESSION_NUMBER, VR::SH, "");
    // The studies of a patient are a year apart; no clock is read.
    let date = format!("{}0115", 2020 + series.study);
    for tag in [tags::STUDY_DATE, tags::SERIES_DATE, tags::ACQUISITION_DATE, tags::CONTENT_DATE] {
        text(file, tag, VR::DA, &date);
    }
    for tag in [tags::STUDY_TIME, tags::SERIES_TIME, tags::ACQUISITION_TIME, tags::CONTENT_TIME] {
        text(file, tag, VR::TM, "120000");
    }
}

fn series_and_equipment(file: &mut InMemDicomObject, instance: &Instance<'_>) {
    let series = instance.series;
    text(file, tags::MODALITY, VR::CS, "CT");
    text(file, tags::SERIES_INSTANCE_UID, VR::UI, &series.uid);
    text(file, tags::SERIES_NUMBER, VR::IS, series.place_in_study.to_string());
    text(file, tags::SERIES_DESCRIPTION, VR::LO, "CHEST");
    text(file, tags::BODY_PART_EXAMINED, VR::CS, "CHEST");
    text(file, tags::PATIENT_POSITION, VR::CS, "HFS");
    text(file, tags::FRAME_OF_REFERENCE_UID, VR::UI, &series.frame_of_reference_uid);
    text(file, tags::POSITION_REFERENCE_INDICATOR, VR::LO, "");
    text(file, tags::MANUFACTURER, VR::LO, "ctpipe");
    text(file, tags::MANUFACTURER_MODEL_NAME, VR::LO, "phantom");
    text(file, tags::DEVICE_SERIAL_NUMBER, VR::LO, "0");
    text(file, tags::INSTITUTION_NAME, VR::LO, "NONE");
    text(file, tags::SOFTWARE_VERSIONS, VR::LO, IMPLEMENTATION_VERSION_NAME);
}

fn image(file: &mut InMemDicomObject, instance: &Instance<'_>) {
    let scan = instance.acquisition;
    let z = scan.z(instance.slice);
    let [x, y] = scan.corner();
    let spacing = decimal(scan.pixel_spacing());
    let instance_number = scan.instance_number(instance.slice);
    text(file, tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
    text(file, tags::SOP_INSTANCE_UID, VR::UI, &instance.uid);
    text(file, tags::IMAGE_TYPE, VR::CS, r"ORIGINAL\PRIMARY\AXIAL");
    text(file, tags::ACQUISITION_NUMBER, VR::IS, "1");
    text(file, tags::INSTANCE_NUMBER, VR::IS, instance_number.to_string());
    text(file, tags::BURNED_IN_ANNOTATION, VR::CS, "NO");
    text(file, tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00");
    text(file, tags::IMAGE_POSITION_PATIENT, VR::DS, [x, y, z].map(decimal).join(r"\"));
    text(file, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, r"1\0\0\0\1\0");
    text(file, tags::SLICE_LOCATION, VR::DS, decimal(z));
    text(file, tags::SLICE_THICKNESS, VR::DS, decimal(scan.slice_thickness));
    text(file, tags::PIXEL_SPACING, VR::DS, format!(r"{spacing}\{spacing}"));
    text(file, tags::KVP, VR::DS, scan.tube.kilovolts.to_string());
    text(file, tags::X_RAY_TUBE_CURRENT, VR::IS, scan.tube.milliamperes.to_string());
    text(file, tags::CONVOLUTION_KERNEL, VR::SH, scan.tube.kernel);
    text(file, tags::GANTRY_DETECTOR_TILT, VR::DS, "0");
    text(file, tags::RECONSTRUCTION_DIAMETER, VR::DS, decimal(scan.field_of_view));
    text(file, tags::RESCALE_INTERCEPT, VR::DS, decimal(scan.format.intercept));
    text(file, tags::RESCALE_SLOPE, VR::DS, decimal(scan.format.slope));
    text(file, tags::RESCALE_TYPE, VR::LO, "HU");
    text(file, tags::WINDOW_CENTER, VR::DS, scan.window.centre.to_string());
    text(file, tags::WINDOW_WIDTH, VR::DS, scan.window.width.to_string());
}

fn pixels(file: &mut InMemDicomObject, instance: &Instance<'_>) {
    let scan = instance.acquisition;
    text(file, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, scan.matrix),
        (tags::COLUMNS, scan.matrix),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, scan.format.bits_stored),
        (tags::HIGH_BIT, scan.format.bits_stored - 1),
        (tags::PIXEL_REPRESENTATION, u16::from(scan.format.signed)),
    ] {
        file.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    if let Some(padding) = scan.padding {
        let (vr, value) = if scan.format.signed {
            (VR::SS, PrimitiveValue::from(padding as i16))
        } else {
            (VR::US, PrimitiveValue::from(padding as u16))
        };
        file.put(DataElement::new(tags::PIXEL_PADDING_VALUE, vr, value));
    }
    // Two's complement, sign-extended to the 16 bits allocated, as scanners write it.
    let words: Vec<u16> = instance.stored.iter().map(|&value| value as u16).collect();
    file.put(match instance.syntax.code(&words, scan.matrix) {
        None => DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into())),
        Some(frame) => {
            DataElement::new(tags::PIXEL_DATA, VR::OB, PixelFragmentSequence::new_fragments(vec![frame]))
        }
    });
}

fn text(file: &mut InMemDicomObject, tag: Tag, vr: VR, value: impl AsRef<str>) {
    file.put(DataElement::new(tag, vr, PrimitiveValue::from(value.as_ref())));
}

/// A decimal string of at most 16 characters (PS3.5 6.2): at most six decimals, and no trailing
/// zeros.
fn decimal(value: f64) -> String {
    let long = format!("{value:.6}");
    long.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimals_are_short_and_exact() {
        assert_eq!(decimal(5.0), "5");
        assert_eq!(decimal(-1024.0), "-1024");
        assert_eq!(decimal(0.703_125), "0.703125");
        assert_eq!(decimal(-1234.05), "-1234.05");
        assert!(decimal(-1_234.567_891).len() <= 16);
    }
}
