//! The stage, run through the engine on small inputs written row by row.

#![allow(clippy::unwrap_used, clippy::panic)]

mod inputs;

use inputs::{Set, figure, run};

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

/// When this fails the report writes other bytes from the same inputs: raise its `VERSION`, together with
/// the digest here.
#[test]
fn the_same_inputs_give_the_same_bytes_as_ever() {
    assert_eq!(
        run(&Set::full(), "").content(),
        "276ee7bfec91920e582f94c43f49e7780fd111e1f3d27b04d9319cf0c9c97d59"
    );
}

#[test]
fn every_section_is_there_and_every_chart_is_a_file_too() {
    let made = run(&Set::full(), "");
    let page = made.page();
    let mut last = 0;
    for id in ["result", "data", "quality", "split", "training", "evaluation", "examples", "provenance"] {
        let at = page.find(&format!("<section id=\"{id}\"")).unwrap();
        assert!(at > last, "{id} comes too early");
        last = at;
    }
    let names: Vec<String> = made.files().into_keys().filter(|name| name.starts_with("plots/")).collect();
    let charts = ["learning_rate", "loss", "roc_test", "roc_val", "val_auc"];
    assert_eq!(names, charts.map(|chart| format!("plots/{chart}.svg")));
    assert_eq!(page.matches("<svg ").count(), charts.len());
    assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), charts.len());
}

#[test]
fn the_result_is_said_with_its_interval_and_in_plain_words() {
    let made = run(&Set::full(), "");
    let page = made.page();
    let result = section(&page, "result");
    for said in [
        "40 series of 38 patients",
        "95% CI 0.88 to 0.97",
        "it finds 18 of 20 pathological series and calls 3 of 20 normal series pathological",
        "Research use only",
    ] {
        assert!(result.contains(said), "{said}");
    }
}

#[test]
fn rejected_series_are_counted_said_in_words_and_listed() {
    let made = run(&Set::full(), "");
    let page = made.page();
    let data = section(&page, "data");
    for said in [
        "<th scope=\"row\">too_few_slices</th><td class=\"n\">2</td><td>it has fewer slices than are asked for</td>",
        "from_the_future",
        "the pixel data could not be decoded",
        "the decoder said &lt;no&gt;",
    ] {
        assert!(data.contains(said), "{said}");
    }
}

#[test]
fn more_than_200_rejected_series_are_cut_and_counted() {
    let mut set = Set::full();
    set.reject(250);
    let made = run(&set, "");
    assert!(section(&made.page(), "data").contains("The first 200 are shown; there are 53 more."));
}

#[test]
fn what_a_table_holds_cannot_become_markup() {
    let made = run(&Set::full(), "    params: { title: \"<b>CT</b>\" }\n");
    let page = made.page();
    assert!(!page.contains("<script"), "a series UID became markup");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;"));
    assert!(page.contains("<h1>&lt;b&gt;CT&lt;&#x2f;b&gt;</h1>"));
}

#[test]
fn the_page_loads_nothing_and_names_no_patient() {
    let made = run(&Set::full(), "");
    let page = made.page();
    for forbidden in ["http://", "https://", "<link", "@import", "url(http", "<iframe", "patient-"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    // What is loaded from within is images as data and clip paths by id.
    for (attribute, allowed) in [("src=\"", "data:image/png;base64,"), ("url(", "#"), ("href=\"", "#")] {
        for (at, _) in page.match_indices(attribute) {
            assert!(page[at + attribute.len()..].starts_with(allowed), "{}", &page[at..at + 60]);
        }
    }
    for (name, bytes) in made.files() {
        let text = String::from_utf8(bytes).unwrap_or_default();
        let loads = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
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
    assert!(section(&page, "result").contains(why));
    assert!(section(&page, "evaluation").contains(why));
    assert!(!made.files().contains_key("plots/roc_test.svg"));
    assert!(made.files().contains_key("plots/roc_val.svg"));
}

#[test]
fn empty_inputs_make_a_page_that_says_so() {
    let made = run(&Set::default(), "");
    let page = made.page();
    for said in [
        "The test part is empty",
        "undefined because there are no samples",
        "Nothing was split",
        "No epoch was run",
        "There is no ROC curve",
        "No series of this class has a volume",
        "There are no volumes",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(made.files().keys().all(|name| !name.starts_with("plots/")));
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
fn a_patient_in_two_parts_is_shouted() {
    let mut set = Set::full();
    set.split[0].patient_key = set.split.last().unwrap().patient_key.clone();
    let page = run(&set, "").page();
    assert!(section(&page, "split").contains("1 patients are in more than one part."));
}

#[test]
fn examples_are_as_many_as_asked_for_with_part_label_and_probability() {
    let count = |params: &str| run(&Set::full(), params).page().matches("data:image/png;base64,").count();
    // Three planes of each volume, two classes; the set has two volumes of a class.
    assert_eq!(count("    params: { flagged: 0, examples: 1 }\n"), 3 * 2);
    assert_eq!(count("    params: { flagged: 0, examples: 8 }\n"), 3 * 2 * 2);
    assert_eq!(count("    params: { flagged: 0, examples: 0 }\n"), 0);
    let page = run(&Set::full(), "").page();
    let examples = section(&page, "examples");
    assert!(
        examples.contains("test part, label pathology, probability of pathology 0.900, called pathology")
    );
    assert!(examples.contains("training part, label normal, no prediction"), "{examples}");
}

#[test]
fn flagged_volumes_are_counted_said_in_words_and_pictured() {
    let page = run(&Set::full(), "    params: { flagged: 1 }\n").page();
    let quality = section(&page, "quality");
    for said in [
        "<th scope=\"row\">noisy</th><td class=\"n\">2</td><td>its noise is above 60 HU</td>",
        "<th scope=\"row\">Noise, HU</th><td class=\"n\">39.5</td><td class=\"n\">10.0</td><td class=\"n\">71.0</td>",
        "air_off, noisy",
        "Without a picture: 1 more",
    ] {
        assert!(quality.contains(said), "{said} in {quality}");
    }
    // The one with most flags, in three planes.
    assert_eq!(quality.matches("data:image/png;base64,").count(), 3);
    assert!(quality.contains("sagittal middle slice of series 1.2.826.0.1.3680043.2.1125.4"));
    let mut set = Set::full();
    set.volumes.iter_mut().for_each(|row| row.flags.clear());
    let page = run(&set, "").page();
    assert!(section(&page, "quality").contains("No volume is flagged"));
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
    for said in ["ctpipe run", "seed: 42", "learning_rate_of_the_fake", "artifacts/runs/"] {
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
    assert!(section(&page, "provenance").contains("Input model: what made it is not known"));
}
