#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
//! Every fixture decodes to the values that other programs give (fixtures/make.py: pydicom and
//! imagecodecs). Files without geometry decode to the values they were made from.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use ctpipe_ct::pixels::PixelError;
use ctpipe_ct::{AlignedBuffer, Header, Image, Scanned, Source, scan};
use flate2::Compression;
use flate2::write::DeflateEncoder;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn values(bytes: &[u8]) -> Result<Vec<Vec<i32>>, PixelError> {
    let image = Image::from_bytes(bytes.to_vec())?;
    let mut room = AlignedBuffer::default();
    (0..image.frames()).map(|index| Ok(image.frame(index, &mut room)?.values().collect())).collect()
}

fn header(bytes: &[u8]) -> Header {
    match scan(bytes, &mut Vec::new()) {
        Ok(Scanned::Dicom(header)) => *header,
        other => panic!("{other:?}"),
    }
}

/// Name, name of the expected values, number of frames, and by how much values may differ.
fn expected() -> Vec<(String, String, usize, i32)> {
    let table = String::from_utf8(fixture("expected.tsv")).expect("text");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let number = |cell: usize| cells[cell].parse::<i32>().expect("a number");
        (cells[0].to_owned(), cells[1].to_owned(), number(2) as usize, number(3))
    };
    table.lines().map(row).collect()
}

#[test]
fn every_transfer_syntax_and_oddity_decodes_to_what_peers_make_of_it() {
    let all = expected();
    assert!(all.len() >= 35, "{} fixtures", all.len());
    for (name, peer, frames, tolerance) in all {
        let found = values(&fixture(&format!("{name}.dcm"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(found.len(), frames, "{name}");
        let wanted = fixture(&format!("{peer}.raw"));
        let wanted = wanted.as_chunks::<2>().0.iter().map(|b| match peer.as_str() {
            "signed" => i32::from(i16::from_le_bytes(*b)),
            _ => i32::from(u16::from_le_bytes(*b)),
        });
        let found: Vec<i32> = found.into_iter().flatten().collect();
        let differences: Vec<i32> = found.iter().zip(wanted.clone()).map(|(a, b)| (a - b).abs()).collect();
        assert_eq!(found.len(), wanted.len(), "{name}");
        assert!(differences.iter().all(|d| *d <= tolerance), "{name}: {:?}", differences.iter().max());
    }
}

#[test]
fn headers_are_the_same_in_every_syntax() {
    let first = header(&fixture("explicit.dcm"));
    assert_eq!((first.rows, first.columns, &*first.series_uid), (40, 48, "1.2.3.4"));
    assert_eq!(first.planes[0].position, Some([-16.8, -15.6, 2.0]));
    assert_eq!(first.planes[0].pixel_spacing, Some([0.8, 0.7]));
    let others = [
        "implicit",
        "big_endian",
        "deflated",
        "rle",
        "jpeg70",
        "j2k90",
        "no_preamble",
        "no_meta",
        "wrong_group_length",
        "long_ae_title",
        "trailing_bytes",
        "implicit_in_name_only",
    ];
    for name in others {
        let syntax = first.transfer_syntax.clone();
        let found = Header { transfer_syntax: syntax, ..header(&fixture(&format!("{name}.dcm"))) };
        assert_eq!(found, first, "{name}");
    }
}

#[test]
fn frames_of_an_enhanced_file_have_their_own_places_and_scales() {
    let bytes = fixture("enhanced.dcm");
    let heights: Vec<Option<f64>> = header(&bytes).planes.iter().map(|p| Some(p.position?[2])).collect();
    assert_eq!(heights, [Some(10.0), Some(8.0), Some(6.0)]);
    let image = Image::from_bytes(bytes).expect("an image");
    assert_eq!(image.frames(), 3);
    let scales = [2, 0].map(|index| {
        let mut room = AlignedBuffer::default();
        let frame = image.frame(index, &mut room).expect("a frame");
        (frame.slope, frame.intercept)
    });
    assert_eq!(scales, [(3.0, -1024.0), (1.0, -1024.0)]);
}

#[test]
fn monochrome1_changes_how_an_image_is_shown_and_not_its_values() {
    // PS3.3 section C.7.6.3.1.2: the smallest value is shown white; pydicom's `pixel_array` is the
    // same.
    let plain = fixture("explicit.dcm");
    let at = plain.windows(12).position(|w| w == b"MONOCHROME2 ").expect("the interpretation");
    let mut inverted = plain.clone();
    inverted[at + 10] = b'1';
    assert_eq!(values(&inverted).expect("an image"), values(&plain).expect("an image"));
    assert_eq!(header(&inverted), header(&plain));
}

#[test]
fn a_cut_file_says_what_is_missing() {
    let whole = fixture("explicit.dcm");
    let cut = &whole[..whole.len() - 10];
    let error = values(cut).expect_err("it is cut").to_string();
    assert_eq!(error, "the pixel data ends early: 3830 bytes, 3840 are needed for 40 x 48");
    let retired = String::from_utf8_lossy(&fixture("jpeg50.dcm")).into_owned();
    assert!(retired.contains("1.2.840.10008.1.2.4.50"));
    let mut bytes = fixture("jpeg50.dcm");
    let at = bytes.windows(6).position(|w| w == b".2.4.5").expect("the syntax") + 6;
    bytes[at] = b'5';
    let error = values(&bytes).expect_err("it is retired").to_string();
    assert!(error.contains("1.2.840.10008.1.2.4.55 is not supported: JPEG full progression"), "{error}");
}

/// An element with an explicit VR, little endian.
fn element(group: u16, element: u16, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), element.to_le_bytes(), vr].concat();
    if vr == *b"OW" {
        bytes.extend([0, 0]);
        bytes.extend((value.len() as u32).to_le_bytes());
    } else {
        bytes.extend((value.len() as u16).to_le_bytes());
    }
    [&bytes, value].concat()
}

/// 20 frames of 1024 x 1024: 42 MB, of which one frame is read at a time. Each sample identifies
/// its frame and its position.
fn many_frames() -> (Vec<u8>, Vec<u8>) {
    let sample = |k: usize| ((k >> 20) * 1000 + k % 997) as u16;
    let pixels: Vec<u8> = (0..20 << 20).flat_map(|k| sample(k).to_le_bytes()).collect();
    let meta = [vec![0; 128], b"DICM".to_vec()].concat();
    let set = [
        element(0x0008, 0x0060, *b"CS", b"CT"),
        element(0x0028, 0x0002, *b"US", &1_u16.to_le_bytes()),
        element(0x0028, 0x0008, *b"IS", b"20"),
        element(0x0028, 0x0010, *b"US", &1024_u16.to_le_bytes()),
        element(0x0028, 0x0011, *b"US", &1024_u16.to_le_bytes()),
        element(0x0028, 0x0100, *b"US", &16_u16.to_le_bytes()),
        element(0x0028, 0x0101, *b"US", &16_u16.to_le_bytes()),
        element(0x0028, 0x0103, *b"US", &0_u16.to_le_bytes()),
        element(0x7FE0, 0x0010, *b"OW", &pixels),
    ];
    (meta, set.concat())
}

fn check_frames(image: &Image) {
    let mut room = AlignedBuffer::default();
    assert_eq!(image.frames(), 20);
    for index in [19_usize, 0, 7] {
        let frame = image.frame(index, &mut room).expect("a frame");
        let first = i32::try_from(index).expect("a small number");
        let wanted = (0..1 << 20).map(|k| first * 1000 + ((first << 20) + k) % 997);
        assert!(frame.values().eq(wanted), "frame {index}");
    }
    assert!(image.frame(20, &mut room).is_err());
    // Memory grows with the frame, not with the file.
    assert!(room.capacity() <= 3 << 20, "{}", room.capacity());
}

#[test]
fn frames_of_a_large_file_are_read_where_they_lie() {
    let (meta, set) = many_frames();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("many.dcm");
    let syntax = element(0x0002, 0x0010, *b"UI", b"1.2.840.10008.1.2.1\0");
    fs::write(&path, [meta.clone(), syntax, set.clone()].concat()).expect("written");
    check_frames(
        &Image::open(&Source { path: path.clone(), member: None, frame: 0 }, AlignedBuffer::default())
            .expect("an image"),
    );
    // In a deflated file, frames after the first sixteen megabytes are inflated on request.
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::fast());
    deflated.write_all(&set).expect("deflated");
    let syntax = element(0x0002, 0x0010, *b"UI", b"1.2.840.10008.1.2.1.99");
    let bytes = [meta, syntax, deflated.finish().expect("deflated")].concat();
    fs::write(&path, &bytes).expect("written");
    check_frames(
        &Image::open(&Source { path, member: None, frame: 0 }, AlignedBuffer::default()).expect("an image"),
    );
}
