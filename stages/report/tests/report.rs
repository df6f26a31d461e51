//! The stage, run through the engine on small inputs written row by row.

#![allow(clippy::unwrap_used, clippy::panic)]

mod inputs;

use ctpipe_tables::Note;
use ctpipe_tables::json::{AxisValue, Candidate, Fold, FoldsFile, SearchFile};
use inputs::{Set, figure, reasons, run, run_with};

fn section<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page.find(&format!("<section id=\"{id}\"")).unwrap_or_else(|| panic!("no section {id}"));
    let end = page[start..].find("</section>").unwrap();
    &page[start..start + end]
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let (a, b) = (run(&Set::full(), ""), run(&Set::full(), ""));
    assert_eq!(a.files().keys().collect::<Vec<_>>(), b.files().keys().collect::<Vec<_>>());
    for (name, bytes) in a.files() {
        assert!(b.files()[&name] == bytes, "{name} differs");
    }
}

/// When this fails the report writes other bytes from the same inputs: raise its `VERSION`,
/// together with the digest here.
#[test]
fn the_same_inputs_give_the_same_bytes_as_ever() {
    assert_eq!(
        run(&Set::full(), "").content(),
        "865bacb7ffd296ea19494dab9372e35ee4a2a055e0342017092fc983eee13b34"
    );
}

#[test]
fn every_section_is_there_and_every_chart_is_a_file_too() {
    let made = run(&Set::full(), "");
    let page = made.page();
    let mut last = 0;
    for id in ["verdict", "data", "model", "results", "provenance"] {
        let at = page.find(&format!("<section id=\"{id}\"")).unwrap();
        assert!(at > last, "{id} comes too early");
        last = at;
    }
    let names: Vec<String> = made.files().into_keys().filter(|name| name.starts_with("plots/")).collect();
    let charts = [
        "ages",
        "calibration_test",
        "decision_curve_test",
        "flow",
        "learning_rate",
        "loss",
        "pipeline",
        "pr_curve_test",
        "pr_curve_train",
        "pr_curve_val",
        "roc_curve_test",
        "roc_curve_train",
        "roc_curve_val",
        "subgroups_test",
        "val_auc",
    ];
    let both = charts.iter().flat_map(|chart| ["png", "svg"].map(|kind| format!("plots/{chart}.{kind}")));
    assert_eq!(names, both.collect::<Vec<_>>());
    assert_eq!(page.matches("<svg ").count(), charts.len());
    assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), charts.len());
}

#[test]
fn the_verdict_is_said_with_its_interval_and_in_plain_words() {
    let made = run(&Set::full(), "");
    let page = made.page();
    let verdict = section(&page, "verdict");
    for said in [
        "40 series of 38 patients",
        "95% CI 0.88 to 0.97",
        "it finds 18 of 20 pathological series and wrongly predicts 3 of 20 normal series as pathological",
        "Research use only",
        "Limitations",
    ] {
        assert!(verdict.contains(said), "{said}");
    }
}

#[test]
fn rejected_series_are_counted_said_in_words_and_listed() {
    let made = run(&Set::full(), "");
    let page = made.page();
    let data = section(&page, "data");
    for said in [
        "<th scope=\"row\">too_few_slices</th><td class=\"n\">2</td><td>it has fewer slices than required</td>",
        "from_the_future",
        "the pixel data could not be decoded",
        "the decoder said &lt;no&gt;",
    ] {
        assert!(data.contains(said), "{said}");
    }
}

#[test]
fn every_series_is_in_the_data_of_the_table_that_is_sorted_and_searched() {
    let mut set = Set::full();
    set.reject(250);
    let page = run(&set, "").page();
    let data = &page[page.find("id=\"series-data\">").unwrap() + "id=\"series-data\">".len()..];
    let data: serde_json::Value = serde_json::from_str(&data[..data.find("</script>").unwrap()]).unwrap();
    let rows = data["rows"].as_array().unwrap();
    assert_eq!(rows.len(), set.series.len());
    assert!(
        rows.iter().all(|row| row.as_array().unwrap().len() == data["columns"].as_array().unwrap().len())
    );
    let of = |uid: &str| rows.iter().find(|row| row[0] == uid).unwrap();
    assert_eq!(of("1.2.826.0.1.3680043.2.1125.4")[4], 0.9);
    assert_eq!(of("<script>alert(1)</script>")[1], "rejected");
}

#[test]
fn what_a_table_holds_cannot_become_markup() {
    let made = run(&Set::full(), "    params: { title: \"<b>CT</b>\" }\n");
    let page = made.page();
    assert!(!page.contains("<script>alert"), "a series UID became markup");
    assert!(page.contains("\\u003cscript\\u003ealert(1)\\u003c/script\\u003e"));
    assert!(!page.contains("<b>M</b>") && page.contains("&lt;b&gt;M&lt;"), "a group became markup");
    for (name, bytes) in made.files().iter().filter(|(name, _)| name.contains(".svg")) {
        assert!(!String::from_utf8_lossy(bytes).contains("<b>"), "{name}");
    }
    assert!(page.contains("<h1>&lt;b&gt;CT&lt;&#x2f;b&gt;</h1>"));
}

#[test]
fn the_page_loads_nothing_and_names_no_patient() {
    let made = run(&Set::full(), "");
    let page = made.page();
    // Only one link leaves the page: the one to the page of the latest run.
    let page = page.replace("href=\"../runs/latest/run.html\"", "");
    for forbidden in ["http://", "https://", "<link", "@import", "url(http", "<iframe", "patient-"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    // Nothing else is loaded but images as data URIs and clip paths by id.
    for (attribute, allowed) in [("src=\"", "data:image/png;base64,"), ("url(", "#"), ("href=\"", "#")] {
        for (at, _) in page.match_indices(attribute) {
            assert!(page[at + attribute.len()..].starts_with(allowed), "{}", &page[at..at + 60]);
        }
    }
    for (name, bytes) in made.files() {
        let text = String::from_utf8(bytes).unwrap_or_default();
        let loads = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        if name == "predictions.xlsx" {
            continue;
        }
        assert!(!loads.contains("http://") && !loads.contains("https://"), "{name}");
        assert!(!text.contains("patient-"), "{name}");
    }
}

#[test]
fn ids_are_unique_within_the_page() {
    let page = run(&Set::full(), "").page();
    let mut ids: Vec<&str> = page
        .match_indices(" id=\"")
        .map(|(at, start)| page[at + start.len()..].split('"').next().unwrap())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[test]
fn every_undefined_figure_says_why() {
    let mut set = Set::full();
    let why = "undefined because all 3 samples are normal; samples of both classes are needed";
    set.metrics.test.auc = figure(None, None, Some(why));
    set.metrics.test.roc.clear();
    let made = run(&set, "");
    let page = made.page();
    assert!(section(&page, "verdict").contains(why));
    assert!(section(&page, "results").contains(why));
    assert!(!made.files().contains_key("plots/roc_curve_test.svg"));
    assert!(made.files().contains_key("plots/roc_curve_val.svg"));
}

/// Every reason that exists, in both languages: in English in the words of `metrics` itself.
#[test]
fn every_reason_of_metrics_is_said_in_the_page_s_language() {
    let mut set = Set::full();
    let group = set.metrics.subgroups[0].clone();
    let reasons = reasons();
    set.metrics.subgroups.clear();
    for (_, reason) in &reasons {
        let mut group = group.clone();
        group.auc = figure(None, None, Some("in the words of evaluate"));
        group.auc.reason = Some(reason.clone());
        set.metrics.subgroups.push(group);
    }
    let said = |language: &str| {
        let page = run(&set, &format!("    params: {{ language: {language} }}\n")).page();
        section(&page, "results").to_owned()
    };
    let (english, russian) = (said("en"), said("ru"));
    for (undefined, _) in &reasons {
        let escaped = undefined.to_string().replace('\'', "&#x27;");
        assert!(english.contains(&escaped), "{escaped}");
    }
    assert!(!english.contains("words of evaluate") && !russian.contains("words of evaluate"));
    assert!(!russian.contains("undefined because"));
    assert!(russian.matches("не определено: ").count() >= reasons.len());
}

#[test]
fn empty_inputs_make_a_page_that_says_so() {
    let made = run(&Set::default(), "");
    let page = made.page();
    for said in [
        "The test set is empty",
        "undefined because there are no samples",
        "Nothing was split",
        "No epoch was run",
        "There is no ROC curve",
        "No series of this class has a volume",
        "There are no volumes",
    ] {
        assert!(page.contains(said), "{said}");
    }
    // The pipeline chart is always drawn, here with empty stages.
    let drawn = |name: &&String| name.starts_with("plots/") && !name.starts_with("plots/pipeline.");
    assert_eq!(made.files().keys().find(drawn), None);
}

#[test]
fn a_history_of_one_epoch_is_drawn() {
    let mut set = Set::full();
    set.history.truncate(1);
    let made = run(&set, "");
    assert!(made.files().contains_key("plots/loss.svg"));
    assert!(!made.page().contains("NaN"));
}

#[test]
fn a_patient_in_two_sets_is_shouted() {
    let mut set = Set::full();
    set.split[0].patient_key = set.split.last().unwrap().patient_key.clone();
    let page = run(&set, "").page();
    assert!(section(&page, "data").contains("1 patient is in more than one set."));
}

#[test]
fn examples_are_as_many_as_asked_for_with_part_label_and_probability() {
    let mut set = Set::full();
    set.saliency.clear();
    let count = |params: &str| run(&set, params).page().matches("data:image/png;base64,").count();
    // Three planes of each volume, two classes; the set has two volumes of a class.
    assert_eq!(count("    params: { flagged: 0, examples: 1 }\n"), 3 * 2);
    assert_eq!(count("    params: { flagged: 0, examples: 8 }\n"), 3 * 2 * 2);
    assert_eq!(count("    params: { flagged: 0, examples: 0 }\n"), 0);
    let page = run(&Set::full(), "").page();
    let data = section(&page, "data");
    assert!(data.contains("Set: test; label pathology; probability of pathology 0.900; predicted pathology"));
    assert!(data.contains("Set: training; label normal; no prediction"));
}

#[test]
fn explained_series_are_shown_by_kind_with_a_choice_of_maps() {
    let page = run(&Set::full(), "    params: { flagged: 0, examples: 0 }\n").page();
    let results = section(&page, "results");
    // Three planes of two maps of two series, and of the map over the whole test set.
    assert_eq!(page.matches("data:image/png;base64,").count(), 3 * (2 * 2 + 1));
    for said in [
        "Most confident true positives",
        "Most confident false positives",
        "<select name=\"method-0\" aria-label=\"Map: Most confident true positives, 1\"><option value=\"0\">SmoothGrad</option><option value=\"1\">Grad-CAM</option></select>",
        "rank correlation 0.07",
        "Label pathology, probability of pathology 0.900, predicted pathology.",
        "Whole test set",
    ] {
        assert!(results.contains(said), "{said}");
    }
    assert!(!results.contains("Most confident false negatives"));
}

#[test]
fn groups_and_the_baseline_are_beside_the_whole() {
    let page = run(&Set::full(), "").page();
    let results = section(&page, "results");
    for said in [
        "Sex: female",
        "Groups whose interval excludes the AUC of the whole test set, 0.93: 1 of 2.",
        "2 of these series had a different label when the baseline was evaluated",
    ] {
        assert!(results.contains(said), "{said}");
    }
    let mut set = Set::full();
    set.metrics.comparison = None;
    set.metrics.subgroups.clear();
    let page = run(&set, "").page();
    assert!(section(&page, "results").contains("There is nothing to compare with"));
}

#[test]
fn the_page_is_written_in_russian_when_asked() {
    let made = run(&Set::full(), "    params: { language: ru }\n");
    let page = made.page();
    assert!(page.contains("<html lang=\"ru\""));
    let english = ["Research use only", "Sensitivity", "Data</h2>", "Threshold"];
    for text in english {
        assert!(!page.contains(text), "{text}");
    }
    assert!(page.contains("Чувствительность"));
}

#[test]
fn flagged_volumes_are_counted_said_in_words_and_pictured() {
    let mut set = Set::full();
    set.saliency.clear();
    let page = run(&set, "    params: { flagged: 1, examples: 0 }\n").page();
    let data = section(&page, "data");
    for said in [
        "<th scope=\"row\">noisy</th><td class=\"n\">2</td><td>its noise is above 60 HU</td>",
        "<th scope=\"row\">Noise, HU</th><td class=\"n\">39.5</td><td class=\"n\">10.0</td><td class=\"n\">71.0</td>",
        "air_off, noisy",
        "Not pictured: 1 more",
    ] {
        assert!(data.contains(said), "{said}");
    }
    // The volume with the most flags, in three planes.
    assert_eq!(data.matches("data:image/png;base64,").count(), 3);
    assert!(
        data.contains("alt=\"sagittal slice, air_off, noisy\"")
            && data.contains("1.2.826.0.1.3680043.2.1125.4")
    );
    set.volumes.iter_mut().for_each(|row| row.flags.clear());
    let page = run(&set, "").page();
    assert!(section(&page, "data").contains("No volume is flagged"));
}

#[test]
fn provenance_holds_keys_parameters_and_seed_but_no_clock() {
    let made = run(&Set::full(), "");
    let page = made.page();
    let provenance = section(&page, "provenance");
    for manifest in made.manifests() {
        assert!(provenance.contains(&manifest.key_hash), "{}", manifest.stage);
        assert!(provenance.contains(&manifest.content), "{}", manifest.stage);
        assert!(!page.contains(&manifest.made.started));
    }
    for said in ["ctpipe run", "seed: 42", "learning_rate_of_the_fake", "../runs/latest/run.html"] {
        assert!(provenance.replace("&#x2f;", "/").contains(said), "{said}");
    }
}

#[test]
fn training_results_json_has_the_documented_fields() {
    let made = run(&Set::full(), "");
    let results: serde_json::Value = serde_json::from_slice(&made.files()["training_results.json"]).unwrap();
    let fields: Vec<&String> = results.as_object().unwrap().keys().collect();
    let expected = ["optimal_threshold", "test_metrics", "train_metrics", "training_history", "val_metrics"];
    let mut fields = fields;
    fields.sort();
    assert_eq!(fields, expected);
    let metrics = serde_json::to_value(Set::full().metrics).unwrap();
    for part in ["train", "val", "test"] {
        assert_eq!(results[format!("{part}_metrics")], metrics[part]);
    }
    assert!((results["optimal_threshold"].as_f64().unwrap() - 0.412).abs() < 1e-12);
    let first = &results["training_history"][0];
    assert_eq!(
        *first,
        serde_json::json!({"epoch": 1, "train_loss": 0.7, "val_loss": 0.75, "val_auc": null, "lr": 1e-4})
    );
}

#[test]
fn an_input_without_a_manifest_is_shown_as_of_unknown_origin() {
    let page = inputs::run_on_folders(&Set::full()).page();
    assert!(section(&page, "provenance").contains("Input model: its origin is unknown"));
}

#[test]
fn a_cross_validation_is_said_with_its_spread_and_a_search_with_all_its_models() {
    let of = |value: f64| figure(Some(value), Some((value - 0.1, value + 0.05)), None);
    let one = |label: &str, auc: f64| Fold {
        label: label.into(),
        threshold: 0.3,
        samples: 20,
        patients: 18,
        auc: of(auc),
        sensitivity: of(0.7),
        specificity: figure(None, None, Some("undefined because no sample is normal")),
    };
    let mut folds = FoldsFile { confidence_level: 0.95, ..FoldsFile::default() };
    folds.folds = vec![one("fold=0", 0.81), one("fold=1", 0.91)];
    folds.mean.auc = figure(Some(0.86), None, None);
    folds.standard_deviation.auc = figure(Some(0.0707), None, None);
    folds.mean.specificity = figure(None, None, Some("undefined because no sample is normal"));
    folds.pooled.auc = of(0.84);
    let candidate = |rank: Option<u32>, lr: &str, val_auc: Option<f64>| Candidate {
        rank,
        label: format!("lr={lr}"),
        chosen: rank == Some(1),
        axes: vec![AxisValue { name: "lr".into(), value: lr.into() }],
        val_auc,
        note: val_auc.is_none().then(|| Note::new("search_no_val", "in the words of search", [])),
        ..Candidate::default()
    };
    let candidates = vec![
        candidate(Some(1), "1e-5", Some(0.9)),
        candidate(Some(2), "0.001", Some(0.8)),
        candidate(None, "0.1", None),
    ];
    let chosen = "lr=1e-5".to_owned();
    let search = SearchFile { by: "val_auc".into(), chosen, candidates, ..SearchFile::default() };
    let made = run_with(&Set::full(), &folds, &search, "");
    let page = made.page();
    let page = page.replace("&#x3d;", "=");
    for said in [
        "In 2 folds of whole patients",
        "AUC over the folds: 0.86 ± 0.07 (mean ± standard deviation); of all series pooled: 0.84 (95% CI 0.74 to 0.89)",
        "<th scope=\"row\">fold=1</th><td class=\"n\">20</td><td class=\"n\">18</td>",
        "<td>0.86 ± 0.07</td>",
        "does not give a standard error of the mean",
        "undefined because no sample is normal",
    ] {
        assert!(section(&page, "results").contains(said), "{said}");
    }
    assert!(made.files().contains_key("plots/folds.svg"));
    for said in [
        "Of 3 models, the one with the best validation AUC was chosen: lr=1e-5.",
        "As the best of 3",
        "<td class=\"n\">1e-5</td><td class=\"n\">0.9000</td>",
        "The validation set is empty.",
    ] {
        assert!(section(&page, "model").contains(said), "{said}");
    }
    let russian = run_with(&Set::full(), &folds, &search, "    params: { language: ru }\n").page();
    assert!(section(&russian, "results").contains("Перекрёстная проверка"));
    assert!(section(&russian, "model").contains("Подбор параметров"));
    assert!(!russian.contains("words of search") && !russian.contains("standard error"));
    let without = run(&Set::full(), "").page();
    assert!(!without.contains("Cross-validation") && !without.contains("<h3>Search"));
}
