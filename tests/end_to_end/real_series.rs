//! Real DICOM files from other sources, if the test data is present.

use std::fs;
use std::path::PathBuf;

use ctpipe_tables::shards::Volumes;
use ctpipe_tables::{SeriesRow, Table};

use crate::harness::{Sandbox, copy_tree, files_below};

/// The test data; without it, `None` and a message.
fn test_data(below: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CTPIPE_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = root.join(below);
    if !path.exists() {
        eprintln!("skipped: there is no {}; set CTPIPE_TEST_DATA to the folder of test data", path.display());
        return None;
    }
    Some(path)
}

/// UIDs as dciodvfy or pydicom print them; here they are read from the file itself.
fn uid(bytes: &[u8], group: u16, element: u16) -> String {
    let tag = [group.to_le_bytes(), element.to_le_bytes()].concat();
    let at = bytes.windows(6).position(|w| w[..4] == tag[..] && &w[4..6] == b"UI").expect("the tag");
    let length = u16::from_le_bytes([bytes[at + 6], bytes[at + 7]]) as usize;
    String::from_utf8_lossy(&bytes[at + 8..at + 8 + length]).trim_end_matches('\0').to_owned()
}

#[test]
fn a_real_chest_ct_goes_from_dicom_to_the_report_as_one_series() {
    let Some(chest) = test_data("ct-chest-acrin") else { return };
    let sandbox = Sandbox::new();
    copy_tree(&chest, &sandbox.path("data/training_data/real"));
    let file =
        files_below(&chest).into_iter().find(|f| f.extension().is_some_and(|e| e == "dcm")).expect("a file");
    let bytes = fs::read(file).unwrap();
    let (study, series) = (uid(&bytes, 0x0020, 0x000D), uid(&bytes, 0x0020, 0x000E));
    let labels = fs::read_to_string(sandbox.path("data/training_data.csv")).unwrap();
    let columns = labels.lines().next().unwrap().split(',');
    let row: Vec<&str> = columns
        .map(|column| match column {
            "study_uid" => study.as_str(),
            "series_uid" => series.as_str(),
            "pathology" => "1",
            _ => "",
        })
        .collect();
    sandbox.write("data/training_data.csv", &format!("{}\n{}\n", labels.trim_end(), row.join(",")));
    sandbox.run();
    let rows = SeriesRow::read(&sandbox.path("artifacts/ingest")).unwrap();
    let found = rows.iter().find(|row| row.series_uid == series).expect("a row");
    // 49 slices of 512 x 512, 5 mm thick at 4 mm spacing, as in the description of the data.
    assert_eq!((found.slices, found.rows, found.columns), (49, 512, 512));
    assert_eq!((found.status.as_str(), found.slice_thickness), ("accepted", Some(5.0)));
    assert!((found.slice_spacing.unwrap() - 4.0).abs() < 1e-3);
    assert_eq!(found.warnings, ["few_slices"]);
    let volume = Volumes::open(&sandbox.path("artifacts/preprocess")).unwrap().read(&[&series]).unwrap();
    assert_eq!(volume[0].len(), 64 * 64 * 64);
    // Air in a corner, soft tissue in the middle of the body.
    let hu = |x: usize, y: usize, z: usize| {
        f32::from(volume[0][(z * 64 + y) * 64 + x]) / 65535.0 * 1400.0 - 1000.0
    };
    assert!(hu(1, 1, 32) < -900.0, "{}", hu(1, 1, 32));
    let page = fs::read_to_string(sandbox.path("artifacts/report/report.html")).unwrap();
    assert!(page.contains(&series), "the report shows the series");
}
