//! How codes and numbers are said. Knows neither tables nor the page.

use ctpipe_tables::json::{Figure, MetricsFile};

/// A code of ingest or preprocess, and what it means.
pub(crate) const CODES: [(&str, &str); 35] = [
    ("not_ct", "its modality is not CT"),
    (
        "not_a_ct_image",
        "it says CT but is a segmentation, a secondary capture or another object that is no CT image",
    ),
    ("localizer", "it is an overview (scout, topogram), or has one among its slices"),
    ("derived_reformat", "it was made of other slices: a reformat, projection or rendering"),
    ("not_in_hu", "its values are not HU"),
    ("not_single_channel", "it is in colour"),
    ("no_pixel_data", "its files hold no pixel data"),
    ("multi_frame", "its file holds several frames that do not say where they lie"),
    ("too_few_slices", "it has fewer slices than are asked for"),
    ("thickness_missing", "the slice thickness is not given, nor a distance of slices to take for it"),
    ("thickness_out_of_range", "the slice thickness is outside of the range asked for"),
    (
        "geometry_missing",
        "position, orientation, pixel spacing, rows or columns of some slice are missing or not usable",
    ),
    ("mixed_orientation", "its slices have different orientations, as when a localizer is among them"),
    ("mixed_size", "its slices differ in rows, columns or pixel spacing"),
    ("oblique", "its slices lie between the patient's axes"),
    ("repeated_position", "two different slices lie at one position"),
    ("missing_slice", "there is a gap in the stack where a slice should be"),
    ("repeated_instance", "one SOP instance UID appears more than once"),
    ("no_label", "there is no label for it"),
    ("no_patient", "the column that tells patients apart is empty"),
    ("no_files", "there is a label but no series with its UID"),
    ("label_not_0_or_1", "its label is neither 0 nor 1"),
    ("conflicting_labels", "the labels name it more than once and disagree"),
    ("study_mismatch", "the labels give it another study UID than its files do"),
    ("series_uid_missing", "its files carry no series UID"),
    ("mixed_study", "its files belong to more than one study"),
    ("bad_split", "its split in the labels is not train, val or test"),
    ("several_patients", "its files carry several patient IDs"),
    ("no_slices", "it has no slices"),
    ("unreadable_file", "some of its files cannot be read"),
    ("decode_failed", "the pixel data could not be decoded"),
    ("pixel_data_truncated", "the pixel data is shorter than rows and columns say"),
    ("unsupported_transfer_syntax", "its transfer syntax is retired or unknown"),
    ("unsupported_pixels", "the pixel data is in a form that is not supported"),
    ("rescale_not_usable", "its rescale slope is zero or no number"),
];

/// A warning's code, and what it means. A series with warnings is used.
pub(crate) const WARNINGS: [(&str, &str); 9] = [
    ("repeated_slice", "slices were there twice, pixel by pixel; one of each is used"),
    (
        "irregular_spacing",
        "the distances between its slices differ by more than a tenth; true positions are used",
    ),
    ("gantry_tilt", "the gantry was tilted; the slices are sheared back"),
    ("shifted_slices", "its slices are shifted against each other; true positions are used"),
    ("thickness_from_spacing", "the slice thickness is not given; the distance of slices is taken for it"),
    ("sparse_slices", "its slices lie further apart than twice their thickness"),
    ("few_slices", "it has fewer than 64 slices, so that slices had to be interpolated"),
    ("repeated_label", "the labels name it more than once"),
    ("unusual_matrix", "its rows and columns are not the usual 512 × 512"),
];

/// A flag of preprocess, and what it means. A volume with flags is used.
pub(crate) const FLAGS: [(&str, &str); 6] = [
    ("air_off", "air is more than 50 HU from -1000: the rescale or the calibration is in doubt"),
    ("soft_tissue_off", "there is no soft tissue, or it is not within 0 to 90 HU"),
    ("much_padding", "more than half of its pixels are padding"),
    ("noisy", "its noise is above 60 HU"),
    ("short_coverage", "it covers less than 150 mm from the feet to the head: hardly a whole chest"),
    ("lungs_not_found", "lungs were asked for and not found; the body was taken"),
];

/// What a code means, where this version knows it.
pub(crate) fn meaning(code: &str) -> Option<&'static str> {
    CODES.iter().chain(&WARNINGS).chain(&FLAGS).find(|(known, _)| *known == code).map(|(_, words)| *words)
}

/// `too_few_slices: it has fewer slices than are asked for`, codes joined by `; `.
pub(crate) fn reasons(codes: &[String]) -> String {
    let said = |code: &String| match meaning(code) {
        Some(words) => format!("{code}: {words}"),
        None => code.clone(),
    };
    codes.iter().map(said).collect::<Vec<_>>().join("; ")
}

/// The class of a label.
pub(crate) fn class(label: u32) -> &'static str {
    if label == 0 { "normal" } else { "pathology" }
}

/// The part's name as people say it.
pub(crate) fn part(name: &str) -> &str {
    match name {
        "train" => "training",
        "val" => "validation",
        other => other,
    }
}

/// A share in 0..=1 with two decimals; a third is spent where two would claim a perfect 0 or 1.
pub(crate) fn share(value: f64) -> String {
    let two = format!("{value:.2}");
    if value <= 0.0 || value >= 1.0 || (two != "0.00" && two != "1.00") {
        return two;
    }
    match format!("{value:.3}").as_str() {
        "0.000" => "<0.001".to_owned(),
        "1.000" => ">0.999".to_owned(),
        three => three.to_owned(),
    }
}

/// "0.93 (95% CI 0.88 to 0.97)", or why there is no such figure.
pub(crate) fn figure(figure: &Figure, level: f64) -> String {
    said(figure, &format!("{} CI ", percent(level)))
}

/// "0.93 (0.88 to 0.97)", for where the level is said once for all.
pub(crate) fn short_figure(figure: &Figure) -> String {
    said(figure, "")
}

fn said(figure: &Figure, interval: &str) -> String {
    let Some(value) = figure.value else {
        return why(figure);
    };
    let value = share(value);
    let replicates = match figure.undefined_replicates {
        Some(n) if n > 0 => format!("; undefined in {} replicates", count(n)),
        _ => String::new(),
    };
    match (figure.ci_low, figure.ci_high) {
        (Some(low), Some(high)) => {
            format!("{value} ({interval}{} to {}{replicates})", share(low), share(high))
        }
        _ => match &figure.undefined {
            Some(reason) => format!("{value} (interval {reason})"),
            None => format!("{value} (no interval{replicates})"),
        },
    }
}

/// Why a figure has no value.
pub(crate) fn why(figure: &Figure) -> String {
    figure.undefined.clone().unwrap_or_else(|| "undefined (no reason is recorded)".to_owned())
}

/// "95%".
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if (percent - percent.round()).abs() < 1e-9 { format!("{percent:.0}%") } else { format!("{percent:.1}%") }
}

/// "1,234,567".
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "1 patient", "2 patients".
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// "1e-4", "2.5e-4".
pub(crate) fn scientific(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { trimmed(&format!("{value:.2e}")) }
}

/// "2.50e-4" without the zeros that say nothing.
fn trimmed(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        None => text.to_owned(),
    }
}

/// Where the threshold came from, in words.
pub(crate) fn threshold(metrics: &MetricsFile) -> String {
    let source = match metrics.threshold.source.as_str() {
        "" => "of unknown source".to_owned(),
        "fixed" => "fixed beforehand".to_owned(),
        "f1 on val" => "chosen by F1 on the validation part, never on the test part".to_owned(),
        other => format!("from: {other}"),
    };
    format!("{:.3}, {source}", metrics.threshold.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Option<f64>, interval: Option<(f64, f64)>, undefined: Option<&str>) -> Figure {
        Figure {
            value,
            ci_low: interval.map(|i| i.0),
            ci_high: interval.map(|i| i.1),
            undefined: undefined.map(str::to_owned),
            undefined_replicates: None,
        }
    }

    #[test]
    fn a_figure_is_said_with_its_interval_or_with_why_it_has_none() {
        let said = |f: &Figure| figure(f, 0.95);
        assert_eq!(said(&of(Some(0.934), Some((0.881, 0.9689)), None)), "0.93 (95% CI 0.88 to 0.97)");
        assert_eq!(said(&of(Some(0.934), None, None)), "0.93 (no interval)");
        assert_eq!(
            said(&of(None, None, Some("undefined because there are no samples"))),
            "undefined because there are no samples"
        );
        assert_eq!(said(&Figure::default()), "undefined (no reason is recorded)");
        let mut some = of(Some(0.5), Some((0.25, 0.75)), None);
        some.undefined_replicates = Some(1200);
        assert_eq!(said(&some), "0.50 (95% CI 0.25 to 0.75; undefined in 1,200 replicates)");
    }

    #[test]
    fn rounding_never_makes_a_figure_perfect() {
        assert_eq!(share(1.0), "1.00");
        assert_eq!(share(0.998), "0.998");
        assert_eq!(share(0.99999), ">0.999");
        assert_eq!(share(0.00001), "<0.001");
        assert_eq!(share(0.004), "0.004");
    }

    #[test]
    fn counts_and_rates_are_written_for_reading() {
        assert_eq!([count(7), count(999), count(1000), count(1_234_567)], ["7", "999", "1,000", "1,234,567"]);
        assert_eq!([scientific(1e-4), scientific(2.5e-4), scientific(0.0)], ["1e-4", "2.5e-4", "0"]);
        assert_eq!([percent(0.95), percent(0.975)], ["95%", "97.5%"]);
    }

    #[test]
    fn an_unknown_code_is_shown_as_it_is() {
        assert_eq!(
            reasons(&["not_ct".into(), "from_the_future".into()]),
            "not_ct: its modality is not CT; from_the_future"
        );
    }
}
