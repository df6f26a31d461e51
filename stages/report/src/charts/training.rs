//! Loss, validation AUC and learning rate by epoch.

use ctpipe_tables::EpochRow;

use crate::formatting;
use crate::texts::Texts;
use ctpipe_plot::{Axis, Chart, Colour, Dash, Line, Plot, Point, Points, Reference, Shape};

/// A line of a chart by epoch: its name, colour, dash and points.
type Curve = (String, Colour, Dash, Vec<(f64, f64)>);

/// Loss by epoch; `None` without a finite value.
pub(crate) fn loss(texts: &Texts, history: &[EpochRow]) -> Option<Chart> {
    let train = curve(history, |row| Some(row.train_loss));
    let val = curve(history, |row| row.val_loss);
    let curves = [
        (texts.say("head.train_loss"), Colour::First, Dash::Solid, train),
        (texts.say("head.val_loss"), Colour::Second, Dash::Dashed, val),
    ];
    let axis = Axis::new(texts.say("chart.loss.axis"));
    by_epoch(texts, ("loss", "chart.loss"), axis, &curves, kept(history, |row| row.val_loss))
}

/// AUC on the validation set by epoch; `None` if it is never defined.
pub(crate) fn val_auc(texts: &Texts, history: &[EpochRow]) -> Option<Chart> {
    let auc = curve(history, |row| row.val_auc);
    let curves = [(texts.say("head.val_auc"), Colour::Second, Dash::Solid, auc)];
    let axis = Axis::new(texts.say("figure.auc")).at_most(1.0);
    by_epoch(texts, ("val_auc", "chart.val_auc"), axis, &curves, kept(history, |row| row.val_auc))
}

/// Learning rate by epoch.
pub(crate) fn learning_rate(texts: &Texts, history: &[EpochRow]) -> Option<Chart> {
    let rate = curve(history, |row| Some(row.lr));
    let curves = [(texts.say("head.lr"), Colour::First, Dash::Solid, rate)];
    let axis = Axis::new(texts.say("head.lr")).include(0.0);
    by_epoch(texts, ("learning_rate", "chart.learning_rate"), axis, &curves, None)
}

fn curve(history: &[EpochRow], value: impl Fn(&EpochRow) -> Option<f64>) -> Vec<(f64, f64)> {
    let point = |row: &EpochRow| value(row).filter(|v| v.is_finite()).map(|v| (f64::from(row.epoch), v));
    history.iter().filter_map(point).collect()
}

/// The epoch whose weights were kept, and its value.
fn kept(history: &[EpochRow], value: impl Fn(&EpochRow) -> Option<f64>) -> Option<(u32, Option<f64>)> {
    history.iter().find(|row| row.best).map(|row| (row.epoch, value(row)))
}

/// A value of a curve as it is shown.
fn said(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { formatting::scientific(value) } else { format!("{value:.3}") }
}

fn by_epoch(
    texts: &Texts,
    (name, title): (&str, &str),
    axis: Axis,
    curves: &[Curve],
    best: Option<(u32, Option<f64>)>,
) -> Option<Chart> {
    let last = curves.iter().flat_map(|(.., points)| points).map(|point| point.0).reduce(f64::max)?;
    let epochs = Axis::new(texts.say("chart.epoch")).range(0.0, last.max(2.0)).integer();
    let mut plot = Plot::new(name, texts.say(title), epochs, axis);
    let mut alternative = Vec::new();
    for (what, colour, dash, points) in curves.iter().filter(|(.., points)| !points.is_empty()) {
        let hover = points.iter().map(|(epoch, value)| {
            let (epoch, value) = (epoch.to_string(), said(*value));
            texts.fill("chart.only", &[("what", what), ("value", &value), ("epoch", &epoch)])
        });
        let line = Line::new(points.clone()).colour(*colour).dash(*dash).legend(what.clone());
        plot = plot.with(line.hover(hover));
        if let [only] = points.as_slice() {
            // A line through one point has no length, so the point itself is marked.
            plot = plot.with(Points::new([Point::new(only.0, only.1)]).colour(*colour));
        }
        alternative.push(ends(texts, what, points));
    }
    if let Some((epoch, value)) = best {
        plot = plot.with(Reference::vertical(f64::from(epoch), ""));
        if let Some(value) = value.filter(|value| value.is_finite()) {
            let mark = Points::new([Point::new(f64::from(epoch), value)]).shape(Shape::Diamond);
            plot = plot.with(mark.colour(Colour::Ink).legend(texts.say("chart.kept")));
        }
        alternative.push(texts.fill("chart.weights_kept", &[("epoch", &epoch.to_string())]));
    }
    Some(plot.alternative(alternative.join(" ")).draw())
}

/// "Training loss goes from 0.693 at epoch 1 to 0.210 at epoch 12."
fn ends(texts: &Texts, what: &str, points: &[(f64, f64)]) -> String {
    match points {
        [first, .., last] => texts.fill(
            "chart.from_to",
            &[
                ("what", what),
                ("first", &said(first.1)),
                ("from", &first.0.to_string()),
                ("last", &said(last.1)),
                ("to", &last.0.to_string()),
            ],
        ),
        [only] => texts
            .fill("chart.only", &[("what", what), ("value", &said(only.1)), ("epoch", &only.0.to_string())]),
        [] => String::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::texts::Language;

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
    fn a_chart_says_where_its_curves_begin_and_end() {
        let texts = Texts::new(Language::En);
        let chart = loss(&texts, &history(4)).unwrap();
        assert_eq!(
            chart.alternative,
            "Training loss goes from 1.000 at epoch 1 to 0.250 at epoch 4. Validation loss goes from 1.500 at \
             epoch 1 to 0.375 at epoch 4. The weights of epoch 4 were kept."
        );
        let rate = learning_rate(&texts, &history(1)).unwrap();
        assert_eq!(rate.alternative, "Learning rate is 1e-4 at epoch 1.");
        assert!(rate.file().contains("<circle") || rate.file().contains("<path"));
    }

    #[test]
    fn what_is_never_defined_is_not_drawn() {
        let texts = Texts::new(Language::En);
        assert!(val_auc(&texts, &history(3)).is_none());
        assert!(loss(&texts, &[]).is_none() && learning_rate(&texts, &[]).is_none());
        let mut wild = history(1);
        wild[0].train_loss = f64::NAN;
        wild[0].val_loss = Some(f64::INFINITY);
        assert!(loss(&texts, &wild).is_none());
    }
}
