//! Proves what a reader of the phantoms relies on, through the public interface and the files.
//!
//! `peers/check_phantoms.py` proves that other programs can read the files.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ctpipe_phantom::{Error, Options, Summary, write};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, open_file};

/// A folder for one test, empty at first and removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("phantoms-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn small() -> Options {
    Options { patients: 4, matrix: 64, ..Options::default() }
}

fn write_to(folder: &Folder, options: &Options) -> Summary {
    write(&folder.0, options, &AtomicBool::new(false), &|_, _| {}).unwrap()
}

/// Every file below a folder, by its path within the folder.
fn tree(folder: &Folder) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, at: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(&folder.0, &folder.0, &mut files);
    files
}

fn on_threads(threads: usize, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = Folder::new(name);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| write_to(&folder, &small()));
    tree(&folder)
}

#[test]
fn the_same_options_give_the_same_bytes_on_one_thread_and_on_four() {
    let (one, four) = (on_threads(1, "one"), on_threads(4, "four"));
    assert!(one.len() > 160, "{} files", one.len());
    assert!(one == four);
}

#[test]
fn another_seed_gives_other_uids_and_other_voxels() {
    let folders = [Folder::new("seed-1"), Folder::new("seed-2")];
    for (seed, folder) in (1..).zip(&folders) {
        write_to(folder, &Options { seed, patients: 1, ..small() });
    }
    let [a, b] = folders.each_ref().map(tree);
    for (name, bytes) in &a {
        assert_ne!(b.get(name), Some(bytes), "{}", name.display());
    }
}

/// The same patients twice: once all of them healthy, once all of them ill.
fn healthy_and_ill(name: &str) -> [Folder; 2] {
    [0.0, 1.0].map(|prevalence| {
        let folder = Folder::new(&format!("{name}-{prevalence}"));
        write_to(&folder, &Options { prevalence, ..small() });
        folder
    })
}

fn without_pixels(path: &Path) -> Vec<u8> {
    let mut object = open_file(path).unwrap();
    object.remove_element(tags::PIXEL_DATA);
    let mut bytes = Vec::new();
    object.write_all(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_label_changes_voxels_and_its_own_column_and_nothing_else() {
    let folders = healthy_and_ill("label");
    let [healthy, ill] = folders.each_ref().map(tree);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| -> Vec<(PathBuf, usize)> {
        let slices = files.iter().filter(|(name, _)| name.extension().unwrap() == "dcm");
        slices.map(|(name, bytes)| (name.clone(), bytes.len())).collect()
    };
    assert_eq!(names(&healthy), names(&ill));
    for (name, _) in names(&healthy) {
        let [a, b] = folders.each_ref().map(|folder| without_pixels(&folder.0.join(&name)));
        assert!(a == b, "{} reveals the label", name.display());
    }
    let [a, b] = [&healthy, &ill]
        .map(|files| String::from_utf8(files[Path::new("training_data.csv")].clone()).unwrap());
    assert_eq!(a, b.replace(",1,", ",0,"));
    assert_eq!(a.matches(",0,").count(), b.matches(",1,").count());
}

struct Slice {
    corner: [f64; 2],
    spacing: f64,
    columns: usize,
    hu: Vec<f64>,
}

impl Slice {
    fn read(object: &DefaultDicomObject) -> Self {
        let numbers = |tag| object.element(tag).unwrap().value().to_multi_float64().unwrap();
        let signed = numbers(tags::PIXEL_REPRESENTATION)[0] > 0.0;
        let (slope, intercept) = (numbers(tags::RESCALE_SLOPE)[0], numbers(tags::RESCALE_INTERCEPT)[0]);
        let words = object.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
        let hu = words.chunks_exact(2).map(|word| {
            let word = [word[0], word[1]];
            let stored = if signed {
                f64::from(i16::from_le_bytes(word))
            } else {
                f64::from(u16::from_le_bytes(word))
            };
            stored * slope + intercept
        });
        Self {
            corner: [0, 1].map(|axis| numbers(tags::IMAGE_POSITION_PATIENT)[axis]),
            spacing: numbers(tags::PIXEL_SPACING)[0],
            columns: numbers(tags::COLUMNS)[0] as usize,
            hu: hu.collect(),
        }
    }

    /// The median HU of the voxels within `reach` mm of a position.
    fn median_near(&self, place: [f64; 2], reach: f64) -> f64 {
        let mut near: Vec<f64> = Vec::new();
        for (index, &hu) in self.hu.iter().enumerate() {
            let voxel = [index % self.columns, index / self.columns];
            let away = [0, 1].map(|i| self.corner[i] + voxel[i] as f64 * self.spacing - place[i]);
            if away[0].hypot(away[1]) <= reach {
                near.push(hu);
            }
        }
        near.sort_by(f64::total_cmp);
        near[near.len() / 2]
    }
}

/// The height (mm) and the file of every slice, by series UID.
fn slices_of(folder: &Folder) -> HashMap<String, Vec<(f64, PathBuf)>> {
    let mut all: HashMap<String, Vec<(f64, PathBuf)>> = HashMap::new();
    for name in tree(folder).into_keys().filter(|name| name.extension().unwrap() == "dcm") {
        let path = folder.0.join(&name);
        let object = open_file(&path).unwrap();
        let z = object.element(tags::SLICE_LOCATION).unwrap().to_float64().unwrap();
        let uid = object.element(tags::SERIES_INSTANCE_UID).unwrap().to_str().unwrap().into_owned();
        all.entry(uid).or_default().push((z, path));
    }
    all
}

#[test]
fn where_truth_names_a_lesion_there_is_soft_tissue_and_without_it_there_would_be_lung() {
    let folders = healthy_and_ill("truth");
    let [healthy, ill] = folders.each_ref().map(slices_of);
    let truth = fs::read_to_string(folders[1].0.join("truth.csv")).unwrap();
    let mut kinds = HashMap::new();
    for row in truth.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let [x, y, z, half] = [2, 3, 4, 5].map(|i| cells[i].parse::<f64>().unwrap());
        let hu = [&healthy, &ill].map(|set| {
            let slices = &set[cells[0]];
            let away = |slice: &(f64, PathBuf)| (slice.0 - z).abs();
            let nearest = slices.iter().min_by(|a, b| away(a).total_cmp(&away(b))).unwrap();
            Slice::read(&open_file(&nearest.1).unwrap()).median_near([x, y], 6.0_f64.min(half))
        });
        assert!(hu[0] < -500.0, "no lung but {} HU at the position of {row}", hu[0]);
        assert!((-260.0..=130.0).contains(&hu[1]), "{} HU at {row}", hu[1]);
        *kinds.entry(cells[1].to_owned()).or_insert(0) += 1;
    }
    assert!(kinds["nodule"] >= 2 && kinds["consolidation"] >= 1, "{kinds:?}");
    let none = fs::read_to_string(folders[0].0.join("truth.csv")).unwrap();
    assert_eq!(none.lines().count(), 1);
}

#[test]
fn the_summary_counts_what_is_on_disk_and_half_of_it_is_pathological() {
    let folder = Folder::new("summary");
    let most = AtomicUsize::new(0);
    let progress = |done: usize, total: usize| {
        assert!(done <= total);
        most.fetch_max(done, Ordering::Relaxed);
    };
    let summary = write(&folder.0, &small(), &AtomicBool::new(false), &progress).unwrap();
    let files = tree(&folder);
    let slices = files.iter().filter(|(name, _)| name.extension().unwrap() == "dcm");
    assert_eq!(summary.files, slices.clone().count());
    assert_eq!(summary.bytes, slices.map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    assert_eq!(most.into_inner(), summary.series);
    let labels = String::from_utf8(files[Path::new("training_data.csv")].clone()).unwrap();
    assert_eq!(labels.lines().next(), Some("study_uid,series_uid,pathology,age,sex"));
    assert_eq!(labels.lines().count(), summary.series + 1);
    assert_eq!(summary.pathological, summary.series.div_ceil(2));
    assert_eq!(labels.matches(",1,").count(), summary.pathological);
}

#[test]
fn a_folder_that_holds_data_is_refused_and_left_as_it_is() {
    for name in ["training_data/mine.dcm", "training_data.csv", "truth.csv"] {
        let folder = Folder::new("occupied");
        fs::create_dir_all(folder.0.join("training_data")).unwrap();
        fs::write(folder.0.join(name), "mine").unwrap();
        let before = tree(&folder);
        let answer = write(&folder.0, &small(), &AtomicBool::new(false), &|_, _| {});
        assert!(matches!(answer, Err(Error::Occupied(_))), "{name}: {answer:?}");
        assert_eq!(tree(&folder), before);
    }
}

#[test]
fn an_interrupted_write_leaves_no_labels() {
    let folder = Folder::new("interrupted");
    let stop = AtomicBool::new(false);
    let answer = write(&folder.0, &small(), &stop, &|_, _| stop.store(true, Ordering::Relaxed));
    assert!(matches!(answer, Err(Error::Interrupted)), "{answer:?}");
    assert!(folder.0.join("training_data").exists());
    assert!(!folder.0.join("training_data.csv").exists());
}

#[test]
fn options_that_no_phantom_can_be_made_from_are_named() {
    let folder = Folder::new("options");
    for (options, message) in [
        (Options { patients: 0, ..small() }, "patients is 0, expected 1 to 9999"),
        (Options { matrix: 32, ..small() }, "matrix is 32, expected 64 to 512"),
        (Options { prevalence: f64::NAN, ..small() }, "prevalence is NaN, expected 0 to 1"),
    ] {
        let answer = write(&folder.0, &options, &AtomicBool::new(false), &|_, _| {});
        assert_eq!(answer.unwrap_err().to_string(), message);
    }
    assert!(tree(&folder).is_empty());
}
