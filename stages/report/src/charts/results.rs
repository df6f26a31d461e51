//! ROC and precision-recall curves, calibration, decision curve and the forest plot of groups.

use ctpipe_tables::Part;
use ctpipe_tables::json::{BandPoint, Calibration, MetricsFile};

use crate::formatting;
use crate::page::results::group;
use crate::texts::Texts;
use ctpipe_plot::{Axis, Band, Chart, Colour, Dash, Forest, Line, Plot, Point, Points, Row, Shape};

/// The confidence band of a curve.
fn band(texts: &Texts, points: &[BandPoint], level: f64, colour: Colour) -> Band {
    let points: Vec<_> = points.iter().map(|point| (point.at, point.low, point.high)).collect();
    Band::new(points)
        .colour(colour)
        .legend(texts.fill("chart.band", &[("level", &formatting::percent(level))]))
}

fn colour(part: Part) -> Colour {
    match part {
        Part::Test => Colour::First,
        Part::Val => Colour::Second,
        Part::Train => Colour::Third,
    }
}

/// The ROC curve of a set with its band and the point at the threshold; `None` if it is undefined.
pub(crate) fn roc(texts: &Texts, part: Part, metrics: &MetricsFile) -> Option<Chart> {
    let of = metrics.part(part);
    if of.roc.is_empty() {
        return None;
    }
    let name = formatting::part(texts, part.as_str());
    let points: Vec<_> = of.roc.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)).collect();
    let axes = [Axis::share(texts.say("chart.roc.x")), Axis::share(texts.say("chart.roc.y"))];
    let [x, y] = axes;
    let title = texts.fill("chart.roc", &[("part", &name)]);
    let chance = Line::new([(0.0, 0.0), (1.0, 1.0)]).colour(Colour::Muted).dash(Dash::Dotted).width(1.0);
    let mut plot = Plot::new(format!("roc_curve_{part}"), title, x, y)
        .square()
        .with(band(texts, &of.roc_band, metrics.confidence_level, colour(part)))
        .with(chance.legend(texts.say("chart.chance")))
        .with(Line::new(points).colour(colour(part)).legend(name.clone()));
    let auc = formatting::figure(texts, &of.auc, metrics.confidence_level);
    let mut said = vec![texts.fill("chart.roc.said", &[("part", &name), ("auc", &auc)])];
    if let (Some(sensitivity), Some(specificity)) = (of.sensitivity.value, of.specificity.value) {
        let (found, spared) = (formatting::share(sensitivity), formatting::share(specificity));
        let at = texts.fill("chart.roc.at", &[("sensitivity", &found), ("specificity", &spared)]);
        let mark = Point::new(1.0 - specificity, sensitivity).hover(at.clone());
        let marks = Points::new([mark]).shape(Shape::Diamond).colour(Colour::Ink);
        plot = plot.with(marks.legend(texts.say("chart.at_threshold")));
        said.push(at);
    }
    Some(plot.alternative(said.join(" ")).draw())
}

/// The precision-recall curve of a set; `None` if it is undefined.
pub(crate) fn pr(texts: &Texts, part: Part, metrics: &MetricsFile) -> Option<Chart> {
    let of = metrics.part(part);
    let counts = of.confusion.filter(|_| !of.pr.is_empty())?;
    let name = formatting::part(texts, part.as_str());
    // In steps: between two thresholds precision is on no straight line (Davis and Goadrich 2006).
    let mut points: Vec<(f64, f64)> = Vec::new();
    for point in &of.pr {
        let reached = points.last().map_or(0.0, |&(recall, _)| recall);
        points.extend([(reached, point.precision), (point.recall, point.precision)]);
    }
    let base = (counts.tp + counts.r#fn) as f64 / of.samples.max(1) as f64;
    let (x, y) = (Axis::share(texts.say("chart.pr.x")), Axis::share(texts.say("chart.pr.y")));
    let all = Line::new([(0.0, base), (1.0, base)]).colour(Colour::Muted).dash(Dash::Dotted).width(1.0);
    let mut plot = Plot::new(format!("pr_curve_{part}"), texts.fill("chart.pr", &[("part", &name)]), x, y)
        .square()
        .with(band(texts, &of.pr_band, metrics.confidence_level, colour(part)))
        .with(all.legend(texts.say("chart.treat_all")))
        .with(Line::new(points).colour(colour(part)).legend(name.clone()));
    if let (Some(recall), Some(precision)) = (of.sensitivity.value, of.precision.value) {
        let mark = Points::new([Point::new(recall, precision)]).shape(Shape::Diamond).colour(Colour::Ink);
        plot = plot.with(mark.legend(texts.say("chart.at_threshold")));
    }
    let ap = formatting::figure(texts, &of.average_precision, metrics.confidence_level);
    let with = [("part", name.as_str()), ("ap", &ap), ("base", &formatting::share(base))];
    Some(plot.alternative(texts.fill("chart.pr.said", &with)).draw())
}

/// Observed against predicted on the test set, before and after the calibration that is used
/// (temperature scaling if none is); `None` without a reliability curve.
pub(crate) fn calibration(texts: &Texts, metrics: &MetricsFile) -> Option<Chart> {
    let of = &metrics.test.calibration;
    if of.before.curve.is_empty() {
        return None;
    }
    let points = |calibration: &Calibration| -> Vec<Point> {
        let point = |bin: &ctpipe_tables::json::ReliabilityBin| {
            let hover = texts.fill(
                "chart.calibration.hover",
                &[
                    ("predicted", &formatting::share(bin.mean_predicted)),
                    ("observed", &formatting::share(bin.observed_share)),
                    ("n", &texts.count(bin.samples)),
                ],
            );
            let ends = &bin.observed_interval;
            Point::new(bin.mean_predicted, bin.observed_share).interval(ends.low, ends.high).hover(hover)
        };
        calibration.curve.iter().map(point).collect()
    };
    let (x, y) =
        (Axis::share(texts.say("chart.calibration.x")), Axis::share(texts.say("chart.calibration.y")));
    let perfect = Line::new([(0.0, 0.0), (1.0, 1.0)]).colour(Colour::Muted).dash(Dash::Dotted).width(1.0);
    let before = Points::new(points(&of.before)).colour(Colour::Second).shape(Shape::Square);
    let mut plot = Plot::new("calibration_test", texts.say("chart.calibration"), x, y)
        .square()
        .with(perfect.legend(texts.say("chart.perfect")))
        .with(before.legend(texts.say("chart.before")));
    // The calibration that is used; if none is, temperature scaling for comparison.
    let (after, name) = match metrics.calibrators.used.as_str() {
        "isotonic" => (&of.isotonic, "calibration.isotonic"),
        _ => (&of.temperature, "calibration.temperature"),
    };
    let name = texts.say(name);
    if let Some(after) = after {
        let after = Points::new(points(after)).colour(Colour::First).shape(Shape::Dot);
        plot = plot.with(after.legend(name.clone()));
    }
    let error = |calibration: Option<&Calibration>| {
        let error = calibration.and_then(|found| found.expected_calibration_error);
        error.map_or_else(|| texts.say("word.undefined"), |error| format!("{error:.3}"))
    };
    let with = [("before", error(Some(&of.before))), ("after", error(after.as_ref())), ("name", name)];
    let with = with.each_ref().map(|(name, value)| (*name, value.as_str()));
    Some(plot.alternative(texts.fill("chart.calibration.said", &with)).draw())
}

/// Net benefit on the test set, beside treating all and treating none.
pub(crate) fn decision(texts: &Texts, metrics: &MetricsFile) -> Option<Chart> {
    let curve = &metrics.test.decision_curve;
    let most = curve.iter().map(|point| point.model.max(point.treat_all)).reduce(f64::max)?;
    let top = if most > 0.0 { most } else { 1.0 };
    let line = |of: fn(&ctpipe_tables::json::NetBenefit) -> f64| -> Vec<(f64, f64)> {
        curve.iter().map(|point| (point.threshold, of(point))).collect()
    };
    // Far below zero, the curve says only that acting is not worth it, so the axis is cut there.
    let y = Axis::new(texts.say("chart.decision.y")).range(-top / 4.0, top * 1.05);
    let model = Line::new(line(|point| point.model)).colour(Colour::First);
    let all = Line::new(line(|point| point.treat_all)).colour(Colour::Second).dash(Dash::Dashed);
    let none = Line::new([(0.0, 0.0), (1.0, 0.0)]).colour(Colour::Muted).dash(Dash::Dotted).width(1.0);
    let x = if metrics.calibrated() { "chart.decision.x" } else { "chart.decision.x_raw" };
    let x = Axis::share(texts.say(x));
    let plot = Plot::new("decision_curve_test", texts.say("chart.decision"), x, y)
        .with(none.legend(texts.say("chart.treat_none")))
        .with(all.legend(texts.say("chart.treat_all")))
        .with(model.legend(texts.say("chart.by_model")));
    let worth = |point: &ctpipe_tables::json::NetBenefit| point.model > point.treat_all.max(0.0) + 1e-12;
    let ranges: Vec<String> = curve
        .chunk_by(|a, b| worth(a) == worth(b))
        .filter(|range| worth(&range[0]))
        .map(|range| {
            let [low, high] = [&range[0], &range[range.len() - 1]].map(|end| format!("{:.2}", end.threshold));
            if low == high { low } else { texts.fill("figure.range", &[("low", &low), ("high", &high)]) }
        })
        .collect();
    let said = if ranges.is_empty() {
        texts.say("chart.decision.never")
    } else {
        texts.fill("chart.decision.said", &[("ranges", &ranges.join(", "))])
    };
    Some(plot.alternative(said).draw())
}

/// AUC of each group beside that of the whole test set; `None` if no group has an AUC.
pub(crate) fn forest(texts: &Texts, metrics: &MetricsFile) -> Option<Chart> {
    let groups = &metrics.subgroups;
    let judged: Vec<_> = groups.iter().filter(|group| group.auc.value.is_some()).collect();
    if judged.is_empty() {
        return None;
    }
    let whole = metrics.test.auc.value;
    let mut forest = Forest::new(
        "subgroups_test",
        texts.say("chart.forest"),
        Axis::new(texts.say("figure.auc")).at_most(1.0),
    )
    .columns(texts.say("head.group"), texts.say("figure.auc"));
    if let Some(whole) = whole {
        forest = forest.whole(whole, texts.say("part.all"));
    }
    let differs = |of: &ctpipe_tables::json::Subgroup| of.differs.iter().any(|name| name == "auc");
    for &of in &judged {
        let value = of.auc.value.map(formatting::share).unwrap_or_default();
        let n = texts.counted("count.series", of.samples);
        let mut row =
            Row::new(format!("{} ({n})", group(texts, of)), of.auc.value, value).flagged(differs(of));
        if let Some((low, high)) = formatting::interval(&of.auc) {
            row = row.interval(low, high);
        }
        forest = forest.with(row.hover(formatting::short_figure(texts, &of.auc)));
    }
    let differing = judged.iter().filter(|group| differs(group)).count() as u64;
    let (n, differing) = (texts.count(judged.len() as u64), texts.count(differing));
    let said = match whole.map(formatting::share) {
        Some(auc) => texts.fill("chart.forest.said", &[("n", &n), ("differ", &differing), ("auc", &auc)]),
        None => texts.fill("chart.forest.no_whole", &[("n", &n)]),
    };
    Some(forest.alternative(said).draw())
}
