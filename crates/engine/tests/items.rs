//! Work stored item by item, on a stage whose items are the files of a folder.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::run;
use ctpipe_engine::{Options, Pipeline, Selection, Spec};
use ctpipe_stage::{Kind, MadeFrom, Maker, Manifest, Output, Param, Port, Reuse, Stage, StageError, Task};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Writes the text of each file backwards, and all file names to one list.
struct Backwards;

impl Stage for Backwards {
    fn kind(&self) -> &'static str {
        "backwards"
    }
    fn version(&self) -> u32 {
        1
    }
    fn doc(&self) -> &'static str {
        "a stage of the tests"
    }
    fn ports(&self) -> &'static [Port] {
        const PORTS: &[Port] = &[Port::required("in", "what it reads")];
        PORTS
    }
    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[Param {
            name: "mark",
            kind: Kind::Text { default: "" },
            unit: "",
            doc: "stands before each text",
        }];
        PARAMS
    }
    fn outputs(&self) -> &'static [Output] {
        &[Output { path: "names.txt", doc: "what there is" }]
    }
    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let params: BTreeMap<String, String> = task.params()?;
        let previous = task.previous();
        let (mut items, mut reused) = (BTreeMap::new(), 0);
        let mut names = Vec::new();
        for entry in fs::read_dir(task.input("in")?).map_err(StageError::failed)? {
            let path = entry.map_err(StageError::failed)?.path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let mut made_from = MadeFrom::new();
            made_from.add(task.digest("in", &name).unwrap());
            let made_from = made_from.digest();
            let out = task.out().join(&name);
            if let Some(previous) = previous.as_ref().filter(|previous| previous.has(&name, &made_from)) {
                // Both are allowed; the content of a link is known without reading it.
                let earlier = previous.folder().join(&name);
                let taken = if reused % 2 == 0 {
                    fs::hard_link(earlier, out)
                } else {
                    fs::copy(earlier, out).map(drop)
                };
                taken.map_err(StageError::failed)?;
                reused += 1;
            } else {
                let text: String = fs::read_to_string(&path).unwrap().chars().rev().collect();
                fs::write(out, format!("{}{text}", params["mark"])).map_err(StageError::failed)?;
            }
            items.insert(name.clone(), made_from);
            names.push(name);
        }
        names.sort();
        task.keep_items(items, reused);
        fs::write(task.out().join("names.txt"), names.join("\n")).map_err(StageError::failed)
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new(files: &BTreeMap<u8, u8>) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        let pipeline = "stages:\n  a: { uses: backwards, inputs: { in: data } }\n";
        fs::write(place.path("pipeline.yaml"), pipeline).unwrap();
        place.put(files);
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn put(&self, files: &BTreeMap<u8, u8>) {
        let data = self.path("data");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir(&data).unwrap();
        for (name, text) in files {
            fs::write(data.join(name.to_string()), format!("text {text}")).unwrap();
        }
    }

    fn run(&self) -> Manifest {
        self.run_with(&[], false)
    }

    fn run_with(&self, set: &[&str], force: bool) -> Manifest {
        let set: Vec<String> = set.iter().map(|&s| s.to_owned()).collect();
        let spec = Spec::load(&self.path("pipeline.yaml"), None, &set).unwrap();
        let stage: Arc<dyn Stage> = Arc::new(Backwards);
        let pipeline = Pipeline::new(&spec, &[stage]).unwrap();
        let stop = AtomicBool::new(false);
        let selection = Selection { force, ..Selection::default() };
        let maker = Maker::default();
        let options = Options {
            selection,
            keep_going: false,
            wait: false,
            paranoid: false,
            lock: LockUse::Update,
            draw: None,
            jobs: 1,
            maker,
            stop: &stop,
        };
        run(&pipeline, &options, &()).unwrap();
        Manifest::read(&self.path("artifacts/a")).unwrap()
    }
}

fn reuse(manifest: &Manifest) -> (u64, u64) {
    let Reuse { items, reused } = manifest.made.items.unwrap();
    (items, reused)
}

fn some(pairs: &[(u8, u8)]) -> BTreeMap<u8, u8> {
    pairs.iter().copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(42),
        ..ProptestConfig::with_cases(60)
    })]

    /// Adding, changing and removing k of n items costs k, and the artifact equals that of a clean
    /// build.
    #[test]
    fn edits_cost_what_they_touch_and_leave_what_a_clean_build_makes(
        edits in prop::collection::vec(prop::collection::vec((0_u8..8, prop::option::of(0_u8..4)), 1..4), 1..5)
    ) {
        let mut files = some(&[(1, 0), (2, 1)]);
        let place = Place::new(&files);
        place.run();
        let mut before = files.clone();
        let mut seen = vec![files.clone()];
        for edit in edits {
            for (name, text) in edit {
                match text {
                    Some(text) => files.insert(name, text),
                    None => files.remove(&name),
                };
            }
            place.put(&files);
            let manifest = place.run();
            let kept = files.iter().filter(|(name, text)| before.get(name) == Some(text)).count();
            // An item with the same content as in an earlier artifact is restored and not made.
            if !seen.contains(&files) {
                prop_assert_eq!(reuse(&manifest), (files.len() as u64, kept as u64));
            }
            prop_assert_eq!(&manifest.content, &Place::new(&files).run().content);
            before.clone_from(&files);
            seen.push(files.clone());
        }
    }
}

#[test]
fn items_come_only_from_work_with_the_same_parameters_whatever_is_current() {
    let place = Place::new(&some(&[(1, 0), (2, 0), (3, 0)]));
    place.run();
    let other = place.run_with(&["a.mark=x"], false);
    assert_eq!(reuse(&other), (3, 0));
    place.put(&some(&[(1, 0), (2, 0), (3, 1)]));
    // The current artifact has another mark, so the items come from the one before it.
    let manifest = place.run();
    assert_eq!(reuse(&manifest), (3, 2));
    assert_eq!(fs::read_to_string(place.path("artifacts/a/3")).unwrap(), "1 txet");
}

#[test]
fn forced_work_takes_nothing_over() {
    let place = Place::new(&some(&[(1, 0), (2, 0)]));
    place.run();
    place.put(&some(&[(1, 0), (2, 1)]));
    assert_eq!(reuse(&place.run_with(&[], true)), (2, 0));
}

#[test]
fn nothing_is_taken_from_an_artifact_or_a_list_that_was_altered() {
    for altered in ["2", "items.json"] {
        let place = Place::new(&some(&[(1, 0), (2, 0)]));
        place.run();
        let file = place.path("artifacts/a").join(altered);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace('0', "9")).unwrap();
        place.put(&some(&[(1, 0), (2, 0), (3, 0)]));
        let manifest = place.run();
        assert_eq!(reuse(&manifest), (3, 0), "{altered}");
        assert_eq!(fs::read_to_string(place.path("artifacts/a/2")).unwrap(), "0 txet");
    }
}

#[test]
fn what_items_were_made_from_is_no_part_of_what_the_artifact_holds() {
    let manifest = Place::new(&some(&[(1, 0)])).run();
    let outputs: Vec<&str> = manifest.outputs.paths().collect();
    assert_eq!(outputs, ["1", "names.txt"]);
}
