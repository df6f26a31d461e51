//! A frame with two axes: margins as wide as the words need, grid, labels, legend.

mod words;

use super::axis::{Axis, TICK};
use super::chart::Chart;
use super::layers::{Layer, Points, Reference};
use super::legend::{self, Entry, Sample};
use super::painter::{Frame, bar_style, marker, turn};
use super::scene::{Anchor, Colour, Dash, Fill, Mark, Scene, Stroke, Words};
use super::text::{width, wrap};

/// Font height of axis labels.
const LABEL: f64 = 13.0;
/// Height of a line of an axis label.
const LABEL_LINE: f64 = 16.0;
/// Slant, in degrees, of category labels that do not fit side by side.
const SLANT: f64 = 35.0;

/// Layers in a frame with two axes.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Plot {
    name: String,
    title: String,
    alternative: String,
    x: Axis,
    y: Axis,
    width: f64,
    height: f64,
    square: bool,
    layers: Vec<Layer>,
}

impl Plot {
    /// An empty frame in a chart 440 units wide.
    pub fn new(name: impl Into<String>, title: impl Into<String>, x: Axis, y: Axis) -> Plot {
        Plot {
            name: name.into(),
            title: title.into(),
            alternative: String::new(),
            x,
            y,
            width: 440.0,
            height: 230.0,
            square: false,
            layers: Vec::new(),
        }
    }

    /// A description for readers who cannot see the chart.
    pub fn alternative(mut self, text: impl Into<String>) -> Plot {
        self.alternative = text.into();
        self
    }

    /// The chart's width in units, 200 to 4000.
    pub fn width(mut self, width: f64) -> Plot {
        self.width = width.clamp(200.0, 4000.0);
        self
    }

    /// The frame's height in units, 60 to 4000; the chart is higher by what its words need.
    pub fn height(mut self, height: f64) -> Plot {
        self.height = height.clamp(60.0, 4000.0);
        self
    }

    /// Makes the frame as high as it is wide.
    pub fn square(mut self) -> Plot {
        self.square = true;
        self
    }

    /// Adds a layer.
    pub fn with(mut self, layer: impl Into<Layer>) -> Plot {
        self.layers.push(layer.into());
        self
    }

    /// Draws the plot.
    pub fn draw(&self) -> Chart {
        let frame = self.frame();
        let mut marks = self.grid(&frame);
        self.paint(&frame, &mut marks);
        let right = frame.left + frame.width;
        let base = frame.top + frame.height;
        let corners = [(frame.left, frame.top), (frame.left, base), (right, base)];
        for pair in corners.windows(2) {
            if let [from, to] = *pair {
                marks.push(Mark::line(from, to, Stroke::solid(Colour::Muted, 1.0)));
            }
        }
        self.reference_labels(&frame, &mut marks);
        let below = base + self.axis_words(&frame, &mut marks);
        let entries = self.entries();
        // A narrow frame gives its legend the space at its left.
        let left = if frame.width < self.width * 0.7 { 12.0 } else { frame.left };
        let taken = legend::draw(&mut marks, &entries, (left, below + 4.0), self.width - left - 8.0);
        let height = below + if entries.is_empty() { 8.0 } else { taken + 12.0 };
        Chart {
            name: self.name.clone(),
            title: self.title.clone(),
            alternative: self.alternative.clone(),
            scene: Scene { width: self.width, height: height.ceil(), marks },
        }
    }

    /// Computes the margins from what they hold, and the axes in what is left.
    fn frame(&self) -> Frame {
        let height = if self.square { self.width * 0.8 } else { self.height };
        let y = self.y.scale(self.values(|x_y| x_y.1), (height / 45.0).floor());
        let y_lines = wrap(&self.y.label, LABEL, height).len() as f64;
        let mut left = 8.0 + y_lines * LABEL_LINE + y.widest() + 8.0;
        let (mut right, mut aim) = (14.0, ((self.width - left) / 62.0).floor().max(2.0));
        let mut x = self.x.scale(self.values(|x_y| x_y.0), aim);
        while aim > 1.0 && self.x.categories.is_empty() {
            let between = (self.width - left - right) / (x.ticks.len() as f64 - 1.0).max(1.0);
            if x.widest() + 10.0 <= between {
                break;
            }
            aim -= 1.0;
            x = self.x.scale(self.values(|x_y| x_y.0), aim);
        }
        match (self.slanted(self.width - left - right), x.ticks.last()) {
            (Some(_), _) => {
                let slot = (self.width - left - right) / self.x.categories.len().max(1) as f64;
                let first = self.x.categories.first().map_or(0.0, |c| width(c, TICK));
                left = left.max(first * SLANT.to_radians().cos() - slot / 2.0 + 10.0);
            }
            (None, Some((at, label))) if self.x.categories.is_empty() => {
                let inside = (1.0 - x.share(*at)) * (self.width - left - right);
                right = right.max(width(label, TICK) / 2.0 - inside + 6.0);
            }
            _ => {}
        }
        let wide = (self.width - left - right).max(40.0);
        let height = if self.square { wide } else { height };
        let mut frame = Frame { left, top: 0.0, width: wide, height, x, y };
        let rows = self.label_rows(&frame).iter().map(|label| label.2 + 1).max().unwrap_or(0);
        frame.top = 12.0 + rows as f64 * 15.0;
        frame
    }

    /// All values in one direction.
    fn values(&self, of: impl Fn((f64, f64)) -> f64 + 'static) -> impl Iterator<Item = f64> {
        let mut all: Vec<(f64, f64)> = Vec::new();
        for layer in &self.layers {
            match layer {
                Layer::Line(line) => all.extend(&line.points),
                Layer::Band(band) => {
                    all.extend(band.points.iter().flat_map(|&(x, low, high)| [(x, low), (x, high)]));
                }
                Layer::Points(points) => {
                    for point in &points.all {
                        all.push((point.x, point.y));
                        let ends = point.interval.map(|(low, high)| [(point.x, low), (point.x, high)]);
                        all.extend(ends.into_iter().flatten());
                    }
                }
                Layer::Bars(bars) => {
                    let count = bars.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
                    for c in 0..count.min(self.x.categories.len()) {
                        let at = bars.series.iter().filter_map(|series| series.values.get(c).copied());
                        let at = at.filter(|value| value.is_finite());
                        let sum = || at.clone().filter(|value| *value > 0.0).sum();
                        let tops = if bars.stacked { vec![sum()] } else { at.collect() };
                        all.extend(tops.into_iter().map(|top| (c as f64, top)));
                        all.push((c as f64, 0.0));
                    }
                }
                Layer::Reference(_) => {}
            }
        }
        // A point that has no position on one axis must not stretch the other axis.
        let whole = |point: &(f64, f64)| point.0.is_finite() && point.1.is_finite();
        let across = |at: &Reference| if at.upright { (at.at, f64::NAN) } else { (f64::NAN, at.at) };
        let references: Vec<(f64, f64)> = self.references().map(across).collect();
        all.into_iter().filter(whole).chain(references).map(of)
    }

    fn references(&self) -> impl Iterator<Item = &Reference> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Reference(reference) => Some(reference),
            _ => None,
        })
    }

    /// Grid lines and tick labels, except for categories.
    fn grid(&self, frame: &Frame) -> Vec<Mark> {
        let mut marks = Vec::new();
        let (right, base) = (frame.left + frame.width, frame.top + frame.height);
        let thin = Stroke::solid(Colour::Grid, 1.0);
        for (value, label) in &frame.y.ticks {
            let y = frame.up(*value);
            marks.push(Mark::line((frame.left, y), (right, y), thin));
            marks.push(tick(label, (frame.left - 7.0, y + 4.0), Anchor::End));
        }
        for (value, label) in frame.x.ticks.iter().filter(|_| self.x.categories.is_empty()) {
            let x = frame.across(*value);
            marks.push(Mark::line((x, frame.top), (x, base), thin));
            marks.push(tick(label, (x, base + 17.0), Anchor::Middle));
        }
        marks
    }

    /// The layers: areas below lines, lines below points.
    fn paint(&self, frame: &Frame, marks: &mut Vec<Mark>) {
        let (mut areas, mut lines, mut hovers, mut points) = (vec![], vec![], vec![], vec![]);
        for (layer, (colour, dash)) in self.layers.iter().zip(self.styles()) {
            match layer {
                Layer::Band(band) => areas.push(frame.band(band)),
                Layer::Bars(bars) => areas.extend(frame.bars(bars, &self.x.categories)),
                Layer::Line(line) => {
                    lines.push(frame.line(line, colour, dash));
                    hovers.extend(frame.hovers(line, &self.x.label, &self.y.label));
                }
                Layer::Points(some) => points.extend(frame.points(some, &self.x.label, &self.y.label)),
                Layer::Reference(reference) => {
                    let (right, base) = (frame.left + frame.width, frame.top + frame.height);
                    let stroke = Stroke { colour: reference.colour, width: 1.25, dash: reference.dash };
                    if reference.upright && frame.x.holds(reference.at) {
                        let x = frame.across(reference.at);
                        areas.push(Mark::line((x, frame.top), (x, base), stroke));
                    } else if !reference.upright && frame.y.holds(reference.at) {
                        let y = frame.up(reference.at);
                        areas.push(Mark::line((frame.left, y), (right, y), stroke));
                    }
                }
            }
        }
        areas.extend(lines);
        marks.push(frame.clip(areas));
        marks.extend(hovers);
        marks.extend(points);
    }

    /// Colour and dash of each layer; a line that leaves them open gets a pair that no other line
    /// has.
    fn styles(&self) -> Vec<(Colour, Dash)> {
        const DASHES: [Dash; 4] = [Dash::Solid, Dash::Dashed, Dash::DashDotted, Dash::Dotted];
        let lines =
            || self.layers.iter().filter_map(|l| if let Layer::Line(line) = l { Some(line) } else { None });
        let mut colours: Vec<Colour> = lines().filter_map(|line| line.colour).collect();
        let mut dashes: Vec<Dash> = lines().filter_map(|line| line.dash).collect();
        let mut style = |layer: &Layer| {
            let Layer::Line(line) = layer else { return (Colour::Ink, Dash::Solid) };
            let free = (0..4).map(turn).find(|colour| !colours.contains(colour));
            let colour = line.colour.or(free).unwrap_or(turn(colours.len()));
            let free = DASHES.into_iter().find(|dash| !dashes.contains(dash));
            let dash = line.dash.or(free).unwrap_or(DASHES[dashes.len() % 4]);
            colours.push(colour);
            dashes.push(dash);
            (colour, dash)
        };
        self.layers.iter().map(&mut style).collect()
    }

    /// The entries of the legend; each name appears once.
    fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for (layer, (colour, dash)) in self.layers.iter().zip(self.styles()) {
            let some = match layer {
                Layer::Line(line) => {
                    let stroke = Stroke { colour, width: line.width, dash };
                    vec![(line.legend.clone(), Sample::Line(stroke))]
                }
                Layer::Band(band) => {
                    vec![(band.legend.clone(), Sample::Area(Fill::Faint(band.colour), None))]
                }
                Layer::Points(points) => vec![(points.legend.clone(), Sample::Point(point_sample(points)))],
                Layer::Bars(bars) => {
                    let sample = |(i, series): (usize, &super::layers::Series)| {
                        let (fill, stroke) = bar_style(i, series.colour);
                        (Some(series.name.clone()), Sample::Area(fill, stroke))
                    };
                    bars.series.iter().enumerate().map(sample).collect()
                }
                Layer::Reference(_) => Vec::new(),
            };
            for (name, sample) in some {
                let Some(name) = name.filter(|name| entries.iter().all(|entry| entry.name != *name)) else {
                    continue;
                };
                entries.push(Entry { sample, name });
            }
        }
        entries
    }
}

/// A tick label.
fn tick(label: &str, at: (f64, f64), anchor: Anchor) -> Mark {
    Mark::Words(Words { colour: Colour::Muted, ..Words::new(label, at, TICK, anchor) })
}

/// A point as shown in the legend, with its interval if it has one.
fn point_sample(points: &Points) -> Vec<Mark> {
    let mut marks = Vec::new();
    if points.all.iter().any(|point| point.interval.is_some()) {
        marks.push(super::painter::whisker([(0.0, -7.0), (0.0, 7.0)], points.colour));
    }
    marks.push(marker(points.shape, (0.0, 0.0), points.size, points.colour, None));
    marks
}
