//! How codes, numbers and figures are put into words. Knows neither tables nor the page.

use ctpipe_tables::json::{Figure, MetricsFile};

use crate::reasons::{because, criterion};
use crate::texts::Texts;

/// Reasons for which ingest and preprocess reject a series; the catalogue has their meanings.
pub(crate) const CODES: [&str; 35] = [
    "not_ct",
    "not_a_ct_image",
    "localizer",
    "derived_reformat",
    "not_in_hu",
    "not_single_channel",
    "no_pixel_data",
    "multi_frame",
    "too_few_slices",
    "thickness_missing",
    "thickness_out_of_range",
    "geometry_missing",
    "mixed_orientation",
    "mixed_size",
    "oblique",
    "repeated_position",
    "missing_slice",
    "repeated_instance",
    "no_label",
    "no_patient",
    "no_files",
    "label_not_0_or_1",
    "conflicting_labels",
    "study_mismatch",
    "series_uid_missing",
    "mixed_study",
    "bad_split",
    "several_patients",
    "no_slices",
    "unreadable_file",
    "decode_failed",
    "pixel_data_truncated",
    "unsupported_transfer_syntax",
    "unsupported_pixels",
    "rescale_not_usable",
];

/// Warnings; a series with warnings is used. The catalogue has their meanings.
pub(crate) const WARNINGS: [&str; 9] = [
    "repeated_slice",
    "irregular_spacing",
    "gantry_tilt",
    "shifted_slices",
    "thickness_from_spacing",
    "sparse_slices",
    "few_slices",
    "repeated_label",
    "unusual_matrix",
];

/// Flags of preprocess; a volume with flags is used. The catalogue has their meanings.
pub(crate) const FLAGS: [&str; 6] =
    ["air_off", "soft_tissue_off", "much_padding", "noisy", "short_coverage", "lungs_not_found"];

/// What a code means, if this version knows it.
pub(crate) fn meaning(texts: &Texts, code: &str) -> Option<String> {
    let kinds = [("code", &CODES[..]), ("warning", &WARNINGS[..]), ("flag", &FLAGS[..])];
    let kind = kinds.iter().find(|(_, codes)| codes.contains(&code))?.0;
    Some(texts.say(&format!("{kind}.{code}")))
}

/// The class of a label.
pub(crate) fn class(texts: &Texts, label: u32) -> String {
    texts.say(if label == 0 { "class.normal" } else { "class.pathology" })
}

/// The name of a set as people say it: "training", "validation", "test".
pub(crate) fn part(texts: &Texts, name: &str) -> String {
    texts.find(&format!("part.{name}")).unwrap_or(name).to_owned()
}

/// A share in 0..=1 with two decimals, or with three if two would claim a perfect 0 or 1.
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

/// A number with two decimals; scientific notation below 0.01, so that digits remain.
pub(crate) fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    if value != 0.0 && value.abs() < 0.01 { scientific(value) } else { format!("{value:.2}") }
}

/// "0.93 (95% CI 0.88 to 0.97)", or why the figure has no value.
pub(crate) fn figure(texts: &Texts, figure: &Figure, level: f64) -> String {
    let interval = texts.fill("figure.ci", &[("level", &percent(level))]);
    said(texts, figure, &format!("{interval} "), share)
}

/// "0.93 (0.88 to 0.97)", for tables whose caption gives the level.
pub(crate) fn short_figure(texts: &Texts, figure: &Figure) -> String {
    said(texts, figure, "", share)
}

/// The same for a figure that is not a share.
pub(crate) fn short_number(texts: &Texts, figure: &Figure) -> String {
    said(texts, figure, "", number)
}

fn said(texts: &Texts, figure: &Figure, interval: &str, number: fn(f64) -> String) -> String {
    let Some(value) = figure.value else {
        return why(texts, figure);
    };
    let value = number(value);
    let replicates = match figure.undefined_replicates {
        Some(n) if n > 0 => format!("; {}", texts.counted("figure.undefined_in", n)),
        _ => String::new(),
    };
    match self::interval(figure) {
        Some((low, high)) => {
            let range = texts.fill("figure.range", &[("low", &number(low)), ("high", &number(high))]);
            format!("{value} ({interval}{range}{replicates})")
        }
        None => match &figure.undefined {
            Some(_) => format!("{value} ({} {})", texts.say("figure.interval"), why(texts, figure)),
            None if figure.ci_low.is_some() => {
                format!("{value} ({} {})", texts.say("figure.interval"), texts.say("figure.all_alike"))
            }
            None => value,
        },
    }
}

/// The interval that a figure is shown with. It is the bootstrap interval; for a proportion that is
/// the same in all replicates it is Wilson's interval with the number of patients as trials, since
/// no proportion is known without uncertainty.
pub(crate) fn interval(figure: &Figure) -> Option<(f64, f64)> {
    let high = figure.ci_high.or(figure.unbounded.then_some(f64::INFINITY));
    let (low, high) = figure.ci_low.zip(high)?;
    if low < high { Some((low, high)) } else { figure.wilson_patients_low.zip(figure.wilson_patients_high) }
}

/// Why a figure has no value or no interval.
pub(crate) fn why(texts: &Texts, figure: &Figure) -> String {
    because(texts, figure.reason.as_ref(), figure.undefined.as_deref())
}

/// A threshold or a probability: three decimals, and more if three would claim a perfect 0 or 1.
pub(crate) fn probability(value: f64) -> String {
    let decimals = (3..=12).find(|&decimals| {
        let text = format!("{value:.decimals$}");
        value <= 0.0 || value >= 1.0 || text.parse().is_ok_and(|said: f64| said > 0.0 && said < 1.0)
    });
    decimals.map_or_else(|| format!("{value:e}"), |decimals| format!("{value:.decimals$}"))
}

/// "95%".
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if (percent - percent.round()).abs() < 1e-9 { format!("{percent:.0}%") } else { format!("{percent:.1}%") }
}

/// "1e-4", "2.5e-4".
pub(crate) fn scientific(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { trimmed(&format!("{value:.2e}")) }
}

/// "2.50e-4" without trailing zeros: "2.5e-4".
fn trimmed(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        None => text.to_owned(),
    }
}

/// The threshold and how it was chosen, in words.
pub(crate) fn threshold(texts: &Texts, metrics: &MetricsFile) -> String {
    let threshold = &metrics.threshold;
    let source = match threshold.source.as_str() {
        "" => texts.say("threshold.unknown"),
        "fixed" => texts.say("threshold.fixed"),
        "fallback" => texts.say("threshold.fallback"),
        other => {
            let by = threshold.criterion.as_ref().and_then(|by| criterion(texts, by));
            let by = by.unwrap_or_else(|| other.trim_end_matches(" on val").to_owned());
            texts.fill("threshold.on_val", &[("by", &by)])
        }
    };
    format!("{}, {source}", probability(threshold.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Language;

    fn of(value: Option<f64>, interval: Option<(f64, f64)>, undefined: Option<&str>) -> Figure {
        Figure {
            value,
            ci_low: interval.map(|i| i.0),
            ci_high: interval.map(|i| i.1),
            undefined: undefined.map(str::to_owned),
            ..Figure::default()
        }
    }

    #[test]
    fn a_figure_is_said_with_its_interval_or_with_why_it_has_none() {
        let texts = Texts::new(Language::En);
        let said = |f: &Figure| figure(&texts, f, 0.95);
        assert_eq!(said(&of(Some(0.934), Some((0.881, 0.9689)), None)), "0.93 (95% CI 0.88 to 0.97)");
        assert_eq!(said(&of(Some(0.934), None, None)), "0.93");
        assert_eq!(
            said(&of(None, None, Some("undefined because there are no samples"))),
            "undefined because there are no samples"
        );
        assert_eq!(said(&Figure::default()), "undefined (no reason is recorded)");
        let all_found = Figure {
            wilson_patients_low: Some(0.8389),
            wilson_patients_high: Some(1.0),
            ..of(Some(1.0), Some((1.0, 1.0)), None)
        };
        assert_eq!(said(&all_found), "1.00 (95% CI 0.84 to 1.00)");
        let ordered = of(Some(1.0), Some((1.0, 1.0)), None);
        assert_eq!(said(&ordered), "1.00 (interval undefined because all replicates are alike)");
        let one_patient = Figure {
            wilson_patients_low: Some(0.8389),
            wilson_patients_high: Some(1.0),
            ..of(Some(1.0), None, Some("undefined because all samples are of one patient"))
        };
        let why = "1.00 (interval undefined because all samples are of one patient)";
        assert_eq!(said(&one_patient), why);
        let ratio = Figure { ci_low: Some(4.2), unbounded: true, ..of(Some(12.0), None, None) };
        assert_eq!(short_number(&texts, &ratio), "12.00 (4.20 to ∞)");
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
        let said = [0.5, 0.9996, 0.0003, 1.0, 0.0, 0.999_999_7].map(probability);
        assert_eq!(said, ["0.500", "0.9996", "0.0003", "1.000", "0.000", "0.9999997"]);
    }

    #[test]
    fn rates_are_written_for_reading() {
        assert_eq!([scientific(1e-4), scientific(2.5e-4), scientific(0.0)], ["1e-4", "2.5e-4", "0"]);
        assert_eq!([percent(0.95), percent(0.975)], ["95%", "97.5%"]);
        assert_eq!([number(2.345), number(-0.002)], ["2.35", "-2e-3"]);
    }

    #[test]
    fn every_code_has_words_and_an_unknown_one_has_none() {
        let texts = Texts::new(Language::En);
        let all = CODES.iter().chain(&WARNINGS).chain(&FLAGS);
        assert!(all.clone().all(|code| meaning(&texts, code).is_some()) && texts.missing().is_empty());
        assert_eq!(meaning(&texts, "from_the_future"), None);
    }
}
