//! The cost of a change of the data: only the affected items are made again, and the bytes are
//! those of a clean build.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_schema::{Schema, SchemaRef};
use ctpipe_tables::row_groups::write_rows;
use ctpipe_tables::{InstanceRow, SeriesRow, Table};
use serde_json::Value;

use crate::dicom::zipped;
use crate::harness::{Sandbox, files_below};

/// The number of items of a stage in a run, and of those that were reused; `None` if it did not
/// run.
fn reuse(events: &[Value], stage: &str) -> Option<(u64, u64)> {
    let finished = |event: &&Value| event["event"] == "stage_finished" && event["stage"] == stage;
    let items = &events.iter().find(finished)?["items"];
    Some((items["items"].as_u64()?, items["reused"].as_u64()?))
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

/// An edit of the data, with its name.
type Edit<'a> = (&'static str, Box<dyn Fn() + 'a>);

/// Runs ingest and preprocess after each of these edits, one after the other, and returns the cost
/// of each.
fn costs(settings: &[&str]) -> Vec<(&'static str, Option<u64>, Option<u64>)> {
    let sandbox = Sandbox::new();
    let arguments = |more: &[&'static str]| -> Vec<String> {
        let all = ["run", "--json", "--to", "preprocess"].iter().chain(more).chain(settings);
        all.map(|&argument| argument.to_owned()).collect()
    };
    let run = |more: &[&'static str]| {
        let arguments = arguments(more);
        sandbox.ctpipe(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).expect(0)
    };
    let data = sandbox.path("data/training_data");
    let aside = sandbox.path("aside");
    let labels = sandbox.path("data/training_data.csv");
    fs::create_dir(&aside).unwrap();
    let studies = folders(&data);
    let slices = |study: usize| files_below(&studies[study]);
    let name = |study: usize| studies[study].file_name().unwrap().to_owned();
    fs::rename(&studies[0], aside.join(name(0))).unwrap();
    run(&[]);
    let edits: Vec<Edit<'_>> = vec![
        ("a study more", Box::new(|| fs::rename(aside.join(name(0)), &studies[0]).unwrap())),
        (
            "a byte of pixels",
            Box::new(|| {
                edit(&slices(1)[3], |bytes| {
                    let middle = bytes.len() - 64 * 64;
                    bytes[middle] ^= 1;
                });
            }),
        ),
        (
            "another label",
            Box::new(|| {
                edit(&labels, |bytes| {
                    let text = String::from_utf8(bytes.clone()).unwrap();
                    *bytes = text.replacen(",1,", ",0,", 1).into_bytes();
                });
            }),
        ),
        ("a slice less", Box::new(|| fs::remove_file(&slices(2)[0]).unwrap())),
        ("a slice twice", Box::new(|| copy(&slices(3)[5], &data.join("again.dcm")))),
        ("a text", Box::new(|| fs::write(data.join("notes.txt"), "of no account").unwrap())),
        ("a slice cut short", Box::new(|| edit(&slices(4)[2], |bytes| bytes.truncate(bytes.len() - 1000)))),
        (
            "two studies in one archive",
            Box::new(|| {
                let both = sandbox.path("both");
                for study in [5, 6] {
                    for (index, slice) in slices(study).iter().enumerate() {
                        // One file of each study in turn.
                        fs::create_dir_all(&both).unwrap();
                        fs::rename(slice, both.join(format!("{index:03}-{study}.dcm"))).unwrap();
                    }
                }
                fs::write(both.join("notes.txt"), "of no account").unwrap();
                zipped(&both, &data.join("both.zip"));
            }),
        ),
        (
            "another label of one of the two",
            Box::new(|| {
                edit(&labels, |bytes| {
                    let text = String::from_utf8(bytes.clone()).unwrap();
                    let study = name(6).into_string().unwrap();
                    let line = text.lines().find(|line| line.starts_with(&study)).unwrap();
                    let other = if line.contains(",1,") { (",1,", ",0,") } else { (",0,", ",1,") };
                    *bytes = text.replace(line, &line.replace(other.0, other.1)).into_bytes();
                });
            }),
        ),
        ("a study less", Box::new(|| fs::remove_dir_all(&studies[7]).unwrap())),
        (
            "a slice of one of the two beside the archive",
            Box::new(|| copy(&sandbox.path("both/004-5.dcm"), &data.join("beside.dcm"))),
        ),
    ];
    let mut costs = Vec::new();
    for (what, edit) in edits {
        edit();
        let events = run(&[]).events();
        let cost = |stage| reuse(&events, stage).map(|(items, reused)| items - reused);
        costs.push((what, cost("ingest"), cost("preprocess")));
        let forced = run(&["--force"]);
        assert_eq!(reuse(&forced.events(), "preprocess").unwrap().1, 0, "forced work takes nothing over");
        for (stage, outcome) in forced.outcomes() {
            assert_eq!(outcome, "identical", "{what}: {stage} is not what a clean build makes");
        }
    }
    costs
}

#[test]
fn a_change_of_the_data_costs_the_series_that_it_touches() {
    let expected = [
        ("a study more", Some(1), Some(1)),
        ("a byte of pixels", Some(1), Some(1)),
        // Volumes do not depend on the labels; their rows do change series.parquet.
        ("another label", Some(1), Some(0)),
        // One file from the middle: the series is rejected.
        ("a slice less", Some(1), Some(0)),
        // The file is new, so its series is read again; the slice is dropped again.
        ("a slice twice", Some(1), Some(0)),
        ("a text", Some(0), Some(0)),
        ("a slice cut short", Some(1), Some(1)),
        ("two studies in one archive", Some(2), Some(2)),
        // An archive is read whole or not at all.
        ("another label of one of the two", Some(2), Some(0)),
        ("a study less", Some(1), Some(0)),
        // The other file of the duplicate slice is used.
        ("a slice of one of the two beside the archive", Some(2), Some(1)),
    ];
    assert_eq!(costs(&[]), expected);
    assert_eq!(costs(&["--set", "ingest.pseudonymize_uids=true"]), expected);
}

/// Rewrites the table of instances as another program may: not in the order of series.
struct Shuffled(InstanceRow);

impl Table for Shuffled {
    const FILE: &'static str = InstanceRow::FILE;

    fn schema() -> Schema {
        InstanceRow::schema()
    }

    fn to_batch(rows: &[&Self], schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
        InstanceRow::to_batch(&rows.iter().map(|row| &row.0).collect::<Vec<_>>(), schema)
    }

    fn from_batch(batch: &RecordBatch) -> Vec<Self> {
        InstanceRow::from_batch(batch).into_iter().map(Shuffled).collect()
    }
}

#[test]
fn slices_that_stand_apart_in_a_table_of_ones_own_are_all_found() {
    let sandbox = Sandbox::new();
    sandbox.ctpipe(&["run", "--to", "preprocess"]).expect(0);
    let volumes = sandbox.manifest("preprocess")["content"].clone();
    let (made, own) = (sandbox.path("artifacts/ingest"), sandbox.path("own"));
    fs::create_dir(&own).unwrap();
    copy(&made.join(SeriesRow::FILE), &own.join(SeriesRow::FILE));
    let mut rows = InstanceRow::read(&made).unwrap();
    rows.sort_by(|a, b| a.sop_instance_uid.cmp(&b.sop_instance_uid));
    let runs = rows.chunk_by(|a, b| a.series_uid == b.series_uid).count();
    let series = SeriesRow::read(&made).unwrap().len();
    assert!(runs > 2 * series, "{runs} runs of {series} series are no disorder");
    write_rows(&rows.into_iter().map(Shuffled).collect::<Vec<_>>(), &own).unwrap();
    sandbox.ctpipe(&["run", "preprocess", "--set", "preprocess.series=own"]).expect(0);
    assert_eq!(sandbox.manifest("preprocess")["content"], volumes);
}
