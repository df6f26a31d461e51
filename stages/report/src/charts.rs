//! The charts as SVG: loss, validation AUC and learning rate by epoch, and ROC curves. Knows
//! neither the page nor how a chart becomes a file.

use ctpipe_tables::json::{PartMetrics, RocPoint};
use ctpipe_tables::{EpochRow, Part};
use kuva::plot::annotations::ReferenceLine;
use kuva::plot::legend::LegendPosition;
use kuva::plot::{LinePlot, MarkerShape, ScatterPlot};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;

use crate::drawing::{Chart, FIRST, INK, MUTED, SECOND, draw};
use crate::words;

/// Loss by epoch; `None` without a finite value.
pub(crate) fn loss(history: &[EpochRow]) -> Option<Chart> {
    let train = curve(history, |row| Some(row.train_loss));
    let val = curve(history, |row| row.val_loss);
    let best = history.iter().find(|row| row.best).map(|row| (row.epoch, row.val_loss));
    let mut said = vec![ends("Training loss", &train)];
    if val.is_empty() {
        said.push("There is no validation loss.".to_owned());
    } else {
        said.push(ends("Validation loss", &val));
    }
    let lines = [("training", FIRST, train), ("validation", SECOND, val)];
    by_epoch("loss", "Loss by epoch", "loss", &said.join(" "), &lines, best, Range::Fit)
}

/// AUC on the validation part by epoch; `None` where it is never defined.
pub(crate) fn val_auc(history: &[EpochRow]) -> Option<Chart> {
    let auc = curve(history, |row| row.val_auc);
    let best = history.iter().find(|row| row.best).map(|row| (row.epoch, row.val_auc));
    let said = ends("Validation AUC", &auc);
    by_epoch(
        "val_auc",
        "Validation AUC by epoch",
        "AUC",
        &said,
        &[("validation", SECOND, auc)],
        best,
        Range::Share,
    )
}

/// Learning rate by epoch.
pub(crate) fn learning_rate(history: &[EpochRow]) -> Option<Chart> {
    let rate = curve(history, |row| Some(row.lr));
    let (first, last) = (rate.first()?.1, rate.last()?.1);
    let said = format!(
        "From {} at the first epoch to {} at the last.",
        words::scientific(first),
        words::scientific(last)
    );
    by_epoch(
        "learning_rate",
        "Learning rate by epoch",
        "learning rate",
        &said,
        &[("learning rate", FIRST, rate)],
        None,
        Range::FromZero,
    )
}

/// The ROC curve of a part, with the point at the threshold; `None` where it is undefined.
pub(crate) fn roc(part: Part, metrics: &PartMetrics, level: f64) -> Option<Chart> {
    if metrics.roc.is_empty() {
        return None;
    }
    let (name, color) = match part {
        Part::Train => ("roc_train", MUTED),
        Part::Val => ("roc_val", SECOND),
        Part::Test => ("roc_test", FIRST),
    };
    let chance = LinePlot::new().with_data([(0.0, 0.0), (1.0, 1.0)]).with_color(MUTED).with_stroke_width(1.0);
    let line = LinePlot::new().with_data(corners(&metrics.roc)).with_color(color).with_stroke_width(2.5);
    let mut plots = vec![
        Plot::Line(chance.with_dashed().with_legend("chance")),
        Plot::Line(line.with_legend(words::part(part.as_str()))),
    ];
    let auc = words::figure(&metrics.auc, level);
    let mut said = vec![format!("The AUC of the {} part is {auc}.", words::part(part.as_str()))];
    if let (Some(sensitivity), Some(specificity)) = (metrics.sensitivity.value, metrics.specificity.value) {
        let (found, spared) = (words::share(sensitivity), words::share(specificity));
        said.push(format!("At the threshold the sensitivity is {found} and the specificity {spared}."));
        plots.push(mark((1.0 - specificity, sensitivity), "at the threshold"));
    }
    let layout = Layout::auto_from_plots(&plots)
        .with_x_label("1 - specificity (false positive rate)")
        .with_y_label("sensitivity (true positive rate)")
        .with_x_tick_step(0.2)
        .with_y_tick_step(0.2)
        .with_tick_format(TickFormat::Fixed(1))
        .with_legend_position(LegendPosition::InsideBottomRight);
    let title = format!("ROC curve of the {} part", words::part(part.as_str()));
    let layout = within(layout, (0.0, 1.0), (0.0, 1.0));
    Some(draw(name, title, said.join(" "), plots, layout, (440.0, 420.0)))
}

/// The points at which the curve turns: those between lie on the straight line and are not seen.
fn corners(roc: &[RocPoint]) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = roc.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)).collect();
    let turns = |i: usize| {
        let (Some(a), Some(b), Some(c)) = (points.get(i.wrapping_sub(1)), points.get(i), points.get(i + 1))
        else {
            return true;
        };
        let level = |one: f64, two: f64, three: f64| {
            one.to_bits() == two.to_bits() && two.to_bits() == three.to_bits()
        };
        !(level(a.0, b.0, c.0) || level(a.1, b.1, c.1))
    };
    points.iter().enumerate().filter(|&(i, _)| turns(i)).map(|(_, &point)| point).collect()
}

type Points = Vec<(f64, f64)>;

fn curve(history: &[EpochRow], value: impl Fn(&EpochRow) -> Option<f64>) -> Points {
    let point = |row: &EpochRow| value(row).filter(|v| v.is_finite()).map(|v| (f64::from(row.epoch), v));
    history.iter().filter_map(point).collect()
}

/// "Training loss goes from 0.693 at epoch 1 to 0.210 at epoch 12."
fn ends(what: &str, points: &Points) -> String {
    match (points.first(), points.last()) {
        (Some(first), Some(last)) if points.len() > 1 => {
            format!(
                "{what} goes from {:.3} at epoch {} to {:.3} at epoch {}.",
                first.1, first.0, last.1, last.0
            )
        }
        (Some(only), _) => format!("{what} is {:.3} at epoch {}.", only.1, only.0),
        _ => String::new(),
    }
}

fn by_epoch(
    name: &'static str,
    title: &str,
    y_label: &str,
    said: &str,
    lines: &[(&str, &str, Points)],
    best: Option<(u32, Option<f64>)>,
    range: Range,
) -> Option<Chart> {
    let all: Points = lines.iter().flat_map(|(_, _, points)| points.clone()).collect();
    if all.is_empty() {
        return None;
    }
    let mut plots = Vec::new();
    for (label, color, points) in lines.iter().filter(|(_, _, points)| !points.is_empty()) {
        let line = LinePlot::new().with_data(points.clone()).with_color(*color).with_stroke_width(2.5);
        plots.push(Plot::Line(line.with_legend(*label)));
        // A line through one point has no length.
        if points.len() == 1 {
            let dot = ScatterPlot::new().with_data(points.clone()).with_color(*color).with_size(3.0);
            plots.push(Plot::Scatter(dot));
        }
    }
    let last = all.iter().map(|p| p.0).fold(1.0, f64::max);
    let (low, high) =
        all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| (l.min(p.1), h.max(p.1)));
    let y = match range {
        Range::Fit => Axis::around(low, high, None),
        Range::Share => Axis::around(low, high, Some(1.0)),
        Range::FromZero => Axis::around(0.0, high, None),
    };
    let x_step = nice_step(last / 6.0).max(1.0);
    let mut said = vec![said.to_owned()];
    if let Some((epoch, value)) = best {
        said.push(format!("The weights of epoch {epoch} were kept."));
        if let Some(value) = value.filter(|v| v.is_finite()) {
            plots.push(mark((f64::from(epoch), value), "epoch kept"));
        }
    }
    let mut layout = Layout::auto_from_plots(&plots)
        .with_x_label("epoch")
        .with_y_label(y_label)
        .with_x_tick_step(x_step)
        .with_x_tick_format(TickFormat::Integer)
        .with_y_tick_step(y.step)
        .with_y_tick_format(y.format())
        .with_legend_position(LegendPosition::OutsideBottomColumns);
    if let Some((epoch, _)) = best {
        let line = ReferenceLine::vertical(f64::from(epoch)).with_color(MUTED).with_dasharray("3 3");
        layout = layout.with_reference_line(line);
    }
    // A single epoch stands in the middle.
    let right = ((last / x_step).ceil() * x_step).max(2.0);
    let layout = within(layout, (0.0, right), (y.low, y.high));
    Some(draw(name, title.to_owned(), said.join(" ").trim().to_owned(), plots, layout, (440.0, 330.0)))
}

/// A ring around a point.
fn mark(point: (f64, f64), label: &str) -> Plot {
    let ring = ScatterPlot::new().with_data([point]).with_color(INK).with_size(5.0);
    Plot::Scatter(ring.with_marker(MarkerShape::Diamond).with_legend(label))
}

/// What the vertical axis covers.
#[derive(Clone, Copy)]
enum Range {
    /// What the values need.
    Fit,
    /// What the values need, and never beyond 1.
    Share,
    /// From 0.
    FromZero,
}

/// Ends and step of an axis, at round numbers.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    fn around(low: f64, high: f64, ceiling: Option<f64>) -> Axis {
        // Lines keep off the frame; a flat one gets half its height above and below.
        let air = if high > low { (high - low) / 20.0 } else { (high.abs() / 2.0).max(1e-12) };
        let bottom = if low >= 0.0 { (low - air).max(0.0) } else { low - air };
        let step = nice_step((high + air - bottom) / 5.0);
        let top = ((high + air) / step - 1e-9).ceil() * step;
        let top = ceiling.map_or(top, |ceiling| top.min(ceiling));
        Axis { low: (bottom / step + 1e-9).floor() * step, high: top, step }
    }

    fn format(&self) -> TickFormat {
        if self.step < 1e-3 {
            return TickFormat::Custom(std::sync::Arc::new(words::scientific));
        }
        TickFormat::Fixed((-self.step.log10()).ceil().max(0.0) as usize)
    }
}

/// 1, 2 or 5 times a power of ten, at least `rough`.
fn nice_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|d| d * power >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
    digit * power
}

fn within(layout: Layout, x: (f64, f64), y: (f64, f64)) -> Layout {
    layout.with_x_axis_min(x.0).with_x_axis_max(x.1).with_y_axis_min(y.0).with_y_axis_max(y.1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn history(epochs: u32) -> Vec<EpochRow> {
        let row = |epoch: u32| EpochRow {
            epoch,
            train_loss: 1.0 / f64::from(epoch),
            val_loss: Some(1.5 / f64::from(epoch)),
            val_auc: None,
            lr: 1e-4,
            best: epoch == epochs,
        };
        (1..=epochs).map(row).collect()
    }

    #[test]
    fn drawn_twice_a_chart_is_the_same_bytes() {
        let draw = || loss(&history(9)).unwrap();
        let (a, b) = (draw(), draw());
        assert_eq!(a.file(), b.file());
        assert_eq!(a.inline(), b.inline());
        assert!(a.file().contains("id=\"loss-clip-0\""), "{}", a.file());
        assert!(!a.file().contains("kuva"), "{}", a.file());
    }

    #[test]
    fn what_is_never_defined_is_not_drawn() {
        assert!(val_auc(&history(3)).is_none());
        assert!(loss(&[]).is_none());
        assert!(learning_rate(&[]).is_none());
        assert!(roc(Part::Test, &PartMetrics::default(), 0.95).is_none());
        let mut wild = history(1);
        wild[0].train_loss = f64::NAN;
        wild[0].val_loss = Some(f64::INFINITY);
        assert!(loss(&wild).is_none());
    }

    #[test]
    fn one_epoch_is_a_point_within_the_frame() {
        for chart in [loss(&history(1)), learning_rate(&history(1))] {
            let svg = chart.unwrap().file();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.contains("<circle"), "{svg}");
        }
    }

    #[test]
    fn on_the_page_no_colour_is_fixed() {
        let svg = loss(&history(9)).unwrap().inline();
        assert!(!svg.contains("=\"#"), "{svg}");
        assert!(svg.contains("currentColor") && svg.contains("var(--first)"));
        assert!(!svg.contains("http"), "{svg}");
    }

    #[test]
    fn an_axis_begins_and_ends_at_round_numbers() {
        let axis = Axis::around(0.21, 0.693, None);
        assert_eq!([axis.low, axis.high, axis.step].map(|v| format!("{v:.1}")), ["0.0", "0.8", "0.2"]);
        let auc = Axis::around(0.5, 1.0, Some(1.0));
        assert_eq!(format!("{:.1} {:.1}", auc.low, auc.high), "0.4 1.0");
        assert!((nice_step(0.3) - 0.5).abs() < 1e-12 && (nice_step(7.0) - 10.0).abs() < 1e-12);
    }

    #[test]
    fn points_on_a_straight_line_are_left_out() {
        let at = |x: f64, y: f64| RocPoint { threshold: None, false_positive_rate: x, true_positive_rate: y };
        let roc = [at(0.0, 0.0), at(0.0, 0.25), at(0.0, 0.5), at(0.5, 0.5), at(1.0, 1.0)];
        assert_eq!(corners(&roc), [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (1.0, 1.0)]);
    }
}
