//! DICOM as it arrives: inspected without a pipeline, in zip archives, and damaged.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zip::write::SimpleFileOptions;

use crate::harness::{Sandbox, files_below};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/ct/tests/fixtures").join(name)
}

/// Writes files into an archive; their names are their paths below `root`.
pub(crate) fn zipped(root: &Path, to: &Path) {
    let mut archive = zip::ZipWriter::new(File::create(to).unwrap());
    for file in files_below(root) {
        let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        archive.write_all(&fs::read(file).unwrap()).unwrap();
    }
    archive.finish().unwrap();
}

fn inspected(sandbox: &Sandbox, path: &str) -> Value {
    let said = sandbox.ctpipe(&["inspect", path, "--json", "--set", "ingest.min_slices=1"]).expect(0);
    serde_json::from_str(&said.stdout).expect("JSON")
}

#[test]
fn inspect_shows_every_series_of_a_folder_and_of_a_zip_alike() {
    let sandbox = Sandbox::new();
    let folder = inspected(&sandbox, "data/training_data");
    let series = folder["series"].as_array().unwrap();
    let labels = fs::read_to_string(sandbox.path("data/training_data.csv")).unwrap();
    assert_eq!(series.len(), labels.lines().count() - 1);
    for found in series {
        assert_eq!(found["status"], "accepted", "{found}");
        assert_eq!(found["geometry"]["orientation"], "axial");
        // Phantoms have air at -1000 HU.
        assert!((found["quality"]["air_hu"].as_f64().unwrap() + 1000.0).abs() < 30.0, "{found}");
    }
    zipped(&sandbox.path("data/training_data"), &sandbox.path("all.zip"));
    assert_eq!(inspected(&sandbox, "all.zip")["series"], folder["series"]);
}

#[test]
fn damaged_wavelets_cost_a_child_at_most() {
    // The decoders that could crash a process run in children, as in the program.
    ctpipe_ct::isolate_decoders(PathBuf::from(env!("CARGO_BIN_EXE_ctpipe")), vec!["__decode".to_owned()]);
    let seeds: Vec<Vec<u8>> = ["j2k90", "j2k90_signed", "j2k91", "htj2k201", "htj2k203", "jxl110", "jxl112"]
        .iter()
        .map(|name| fs::read(fixture(&format!("{name}.dcm"))).unwrap())
        .collect();
    let read = |bytes: Vec<u8>| {
        let image = ctpipe_ct::Image::from_bytes(bytes)?;
        let mut room = ctpipe_ct::AlignedBuffer::default();
        let frame = image.frame(0, &mut room)?;
        Ok::<Vec<i32>, ctpipe_ct::pixels::PixelError>(frame.values().collect())
    };
    let whole: Vec<Vec<i32>> = seeds.iter().map(|seed| read(seed.clone()).unwrap()).collect();
    let mut state = 20_261_124_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for number in 0..700 {
        let mut bytes = seeds[number % seeds.len()].clone();
        // The damage is in the code stream; another test covers what comes before it.
        let from = bytes.len() / 3;
        for _ in 0..=random(4) {
            let at = from + random(bytes.len() - from);
            match random(3) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes.truncate(at.max(from + 1)),
                _ => bytes[at] = [0, 0x7F, 0xFF, 0xFE][random(4)],
            }
        }
        refused += usize::from(read(bytes).is_err());
    }
    assert!(refused > 50, "{refused}");
    // Whatever happened to the children, the undamaged files are read as before.
    for (seed, values) in seeds.iter().zip(whole) {
        assert_eq!(read(seed.clone()).unwrap(), values);
    }
}

#[test]
fn phantoms_in_every_syntax_become_the_same_volumes() {
    let sandbox = Sandbox::new();
    let quality = |syntax: &str| {
        let dir = format!("phantoms/{syntax}");
        let said = sandbox.ctpipe(&["synth", &dir, "--patients", "1", "--matrix", "64", "--syntax", syntax]);
        said.expect(0);
        let found = inspected(&sandbox, &dir);
        let series = found["series"].as_array().unwrap().clone();
        let of = |name: &str| series.iter().map(|s| s[name].clone()).collect::<Vec<Value>>();
        (of("quality"), of("codec"))
    };
    let (plain, _) = quality("explicit");
    assert!(!plain.is_empty() && plain.iter().all(|q| q["mean_hu"].is_number()), "{plain:?}");
    let coded = [
        ("implicit", "uncompressed"),
        ("deflated", "deflated"),
        ("rle", "RLE"),
        ("jpeg-lossless", "JPEG"),
        ("jpeg-ls", "JPEG-LS"),
    ];
    for (syntax, codec) in coded {
        let (found, codecs) = quality(syntax);
        assert_eq!(found, plain, "{syntax}");
        assert!(codecs.iter().all(|c| c == codec), "{syntax}: {codecs:?}");
    }
    let refused = sandbox.ctpipe(&["synth", "phantoms/mp3", "--syntax", "mp3"]).expect(2);
    assert!(refused.stderr.contains("possible values: implicit, explicit"), "{}", refused.stderr);
}

#[test]
fn a_pipeline_on_a_zip_makes_the_volumes_of_the_folder() {
    let sandbox = Sandbox::new();
    sandbox.ctpipe(&["run", "--to", "preprocess"]).expect(0);
    let content = |name: &str| fs::read(sandbox.path("artifacts/preprocess").join(name)).unwrap();
    let before: Vec<Vec<u8>> = shards(&sandbox).iter().map(|name| content(name)).collect();
    let dicom = sandbox.path("data/training_data");
    zipped(&dicom, &sandbox.path("all.zip"));
    fs::remove_dir_all(&dicom).unwrap();
    fs::create_dir(&dicom).unwrap();
    fs::rename(sandbox.path("all.zip"), dicom.join("all.zip")).unwrap();
    sandbox.ctpipe(&["run", "--to", "preprocess"]).expect(0);
    let after: Vec<Vec<u8>> = shards(&sandbox).iter().map(|name| content(name)).collect();
    assert!(before == after, "other volumes");
}

fn shards(sandbox: &Sandbox) -> Vec<String> {
    let folder = sandbox.path("artifacts/preprocess/volumes");
    let names = files_below(&folder);
    names.iter().map(|f| format!("volumes/{}", f.file_name().unwrap().to_string_lossy())).collect()
}

#[test]
fn a_single_file_is_shown_with_its_reasons_and_its_pictures() {
    let sandbox = Sandbox::empty();
    let file = fixture("j2k90.dcm");
    let said = sandbox.ctpipe(&[
        "inspect",
        &file.to_string_lossy(),
        "--json",
        "--nifti",
        "one.nii",
        "--png",
        "one.png",
    ]);
    let found: Value = serde_json::from_str(&said.expect(0).stdout).unwrap();
    let series = &found["series"][0];
    assert_eq!((&series["status"], &series["codec"]), (&"rejected".into(), &"JPEG 2000".into()));
    assert_eq!(series["reasons"], serde_json::json!(["too_few_slices"]));
    let nifti = fs::read(sandbox.path("one.nii")).unwrap();
    // 48 x 40 x 1 samples of 16 bits after a header of 352 bytes.
    assert_eq!(nifti.len(), 352 + 48 * 40 * 2);
    assert_eq!(&nifti[40..48], &[3, 0, 48, 0, 40, 0, 1, 0]);
    assert_eq!(&nifti[70..74], &[4, 0, 16, 0]);
    // HU is the value that the peer decoded, minus 1024.
    let stored = fs::read(fixture("image.raw")).unwrap();
    let first = i32::from(u16::from_le_bytes([stored[0], stored[1]])) - 1024;
    assert_eq!(i32::from(i16::from_le_bytes([nifti[352], nifti[353]])), first);
    assert_eq!(&fs::read(sandbox.path("one.png")).unwrap()[..4], b"\x89PNG");
}

#[test]
fn what_is_no_dicom_or_damaged_is_told_and_nothing_else_is_lost() {
    let sandbox = Sandbox::empty();
    let folder = sandbox.path("mixed");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("empty.dcm"), "").unwrap();
    fs::write(folder.join("notes.txt"), "study_uid,series_uid").unwrap();
    let whole = fs::read(fixture("explicit.dcm")).unwrap();
    fs::write(folder.join("cut.dcm"), &whole[..whole.len() - 100]).unwrap();
    let name = whole.windows(7).position(|w| w == b"FIXTURE").unwrap();
    fs::write(folder.join("header.dcm"), &whole[..name + 3]).unwrap();
    fs::write(folder.join("not.zip"), b"PK\x03\x04 and nothing that follows").unwrap();
    let mut archive = zip::ZipWriter::new(File::create(folder.join("evil.zip")).unwrap());
    archive.start_file("../../outside.dcm", SimpleFileOptions::default()).unwrap();
    archive.write_all(&whole).unwrap();
    archive.finish().unwrap();
    let found = inspected(&sandbox, "mixed");
    let unreadable: Vec<String> =
        found["unreadable"].as_array().unwrap().iter().map(|row| row["problem"].to_string()).collect();
    let told = |what: &str| unreadable.iter().any(|problem| problem.contains(what));
    assert!(told("its name leads out of the archive"), "{unreadable:?}");
    assert!(told("not a usable zip archive"), "{unreadable:?}");
    assert!(told("the file ends in element"), "{unreadable:?}");
    assert!(told("it is empty"), "{unreadable:?}");
    assert_eq!(found["not_dicom"], 1);
    let series = found["series"].as_array().unwrap();
    assert_eq!(series.len(), 1);
    assert_eq!(series[0]["reasons"], serde_json::json!(["pixel_data_truncated"]));
    let said = sandbox.ctpipe(&["inspect", "nowhere"]).expect(2);
    assert!(said.stderr.contains("nowhere does not exist; give a DICOM file, a folder or a zip archive"));
}

#[test]
fn a_zip_that_would_grow_beyond_all_measure_is_refused_as_a_whole() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("bomb")).unwrap();
    let mut archive = zip::ZipWriter::new(File::create(sandbox.path("bomb/bomb.zip")).unwrap());
    archive.start_file("a.dcm", SimpleFileOptions::default()).unwrap();
    let air = vec![0; 1 << 20];
    for _ in 0..100 {
        archive.write_all(&air).unwrap();
    }
    archive.finish().unwrap();
    let found = inspected(&sandbox, "bomb");
    let problem = found["unreadable"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("more than 200 times its size"), "{problem}");
}
