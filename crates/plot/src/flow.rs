//! A flow diagram as in CONSORT: boxes from top to bottom, at the right what was excluded and why,
//! and the sets at the end.

use super::chart::Chart;
use super::scene::{Anchor, Colour, Fill, Geometry, Mark, Place, Scene, Stroke, Words};
use super::text::{bold_width, width, wrap};

/// Font height.
const SIZE: f64 = 12.5;
/// Height of a line.
const LINE: f64 = 16.0;
/// Distance between a box and its words.
const PAD: f64 = 10.0;
/// Margin at the left and at the right.
const EDGE: f64 = 8.0;
/// Width of arrows.
const LINE_WIDTH: f64 = 1.4;
/// Distance between boxes.
const GAP: f64 = 30.0;

/// What was excluded between two boxes, and why.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Aside {
    title: String,
    count: String,
    reasons: Vec<(String, String)>,
}

impl Aside {
    /// A box at the right, without reasons yet.
    pub fn new(title: impl Into<String>, count: impl Into<String>) -> Aside {
        Aside { title: title.into(), count: count.into(), reasons: Vec::new() }
    }

    /// Adds a reason, with the number that it excludes.
    pub fn reason(mut self, reason: impl Into<String>, count: impl Into<String>) -> Aside {
        self.reasons.push((reason.into(), count.into()));
        self
    }
}

/// A box with a title and a count.
#[derive(Clone, Debug, PartialEq)]
struct Station {
    title: String,
    count: String,
    /// What is excluded after this box.
    asides: Vec<Aside>,
}

/// Boxes from top to bottom.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Flow {
    name: String,
    title: String,
    alternative: String,
    width: f64,
    stations: Vec<Station>,
    parts: Vec<(String, String)>,
}

impl Flow {
    /// A diagram without boxes, in a chart 720 units wide.
    pub fn new(name: impl Into<String>, title: impl Into<String>) -> Flow {
        Flow {
            name: name.into(),
            title: title.into(),
            alternative: String::new(),
            width: 720.0,
            stations: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// A description for readers who cannot see the diagram.
    pub fn alternative(mut self, text: impl Into<String>) -> Flow {
        self.alternative = text.into();
        self
    }

    /// The chart's width in units, 300 to 4000.
    pub fn width(mut self, width: f64) -> Flow {
        self.width = width.clamp(300.0, 4000.0);
        self
    }

    /// Adds a box at the bottom.
    pub fn station(mut self, title: impl Into<String>, count: impl Into<String>) -> Flow {
        self.stations.push(Station { title: title.into(), count: count.into(), asides: Vec::new() });
        self
    }

    /// Adds what is excluded after the last box so far; does nothing before the first box.
    pub fn aside(mut self, aside: Aside) -> Flow {
        if let Some(station) = self.stations.last_mut() {
            station.asides.push(aside);
        }
        self
    }

    /// Adds a set into which the last box is divided, side by side with the others.
    pub fn part(mut self, title: impl Into<String>, count: impl Into<String>) -> Flow {
        self.parts.push((title.into(), count.into()));
        self
    }

    /// Draws the diagram.
    pub fn draw(&self) -> Chart {
        let mut marks = Vec::new();
        let asides = self.stations.iter().any(|station| !station.asides.is_empty());
        let room = self.width - 2.0 * EDGE;
        let (wide, left) = if asides { (room * 0.44, EDGE) } else { (room * 0.6, EDGE + room * 0.2) };
        let middle = left + wide / 2.0;
        let mut y = EDGE;
        for (i, station) in self.stations.iter().enumerate() {
            y += node(&mut marks, (left, y), wide, (&station.title, &station.count), None);
            let from = y;
            if !station.asides.is_empty() {
                y += GAP / 2.0;
            }
            for aside in &station.asides {
                let at = EDGE + room * 0.52;
                let high = leave(&mut marks, (at, y), room * 0.48, aside);
                arrow(&mut marks, &[(middle, y + high / 2.0), (at, y + high / 2.0)]);
                y += high + GAP / 2.0;
            }
            y = y.max(from + GAP);
            if i + 1 < self.stations.len() {
                arrow(&mut marks, &[(middle, from), (middle, y)]);
            } else if self.parts.is_empty() {
                // Nothing follows, but what is excluded still needs a line to hang on.
                if station.asides.is_empty() {
                    y = from;
                } else {
                    let stroke = Stroke::solid(Colour::Muted, LINE_WIDTH);
                    marks.push(Mark::line((middle, from), (middle, y - GAP), stroke));
                }
            } else {
                y += self.divide(&mut marks, (middle, from), y);
            }
        }
        Chart {
            name: self.name.clone(),
            title: self.title.clone(),
            alternative: self.alternative.clone(),
            scene: Scene { width: self.width, height: (y + EDGE).ceil(), marks },
        }
    }

    /// Draws the sets below `top`, with a fork from the position above, and returns the height.
    fn divide(&self, marks: &mut Vec<Mark>, from: Place, top: f64) -> f64 {
        let count = self.parts.len() as f64;
        let air = 14.0;
        let wide = (self.width - 2.0 * EDGE - air * (count - 1.0)) / count;
        let text = |part: &(String, String)| height((&part.0, &part.1), wide);
        let high = self.parts.iter().map(text).fold(0.0, f64::max);
        let below = top + GAP - 6.0;
        marks.push(Mark::line(from, (from.0, top), Stroke::solid(Colour::Muted, LINE_WIDTH)));
        for (i, part) in self.parts.iter().enumerate() {
            let left = EDGE + i as f64 * (wide + air);
            let middle = left + wide / 2.0;
            arrow(marks, &[(from.0, top), (middle, top), (middle, below)]);
            node(marks, (left, below), wide, (&part.0, &part.1), Some(high));
        }
        GAP - 6.0 + high
    }
}

/// Height of a box with these words.
fn height((title, count): (&str, &str), wide: f64) -> f64 {
    let lines =
        wrap(title, SIZE, (wide - 2.0 * PAD) / 1.09).len() + wrap(count, SIZE, wide - 2.0 * PAD).len();
    lines as f64 * LINE + 1.6 * PAD
}

/// Draws a box with a bold title and a count, and returns its height.
fn node(marks: &mut Vec<Mark>, (left, top): Place, wide: f64, words: (&str, &str), high: Option<f64>) -> f64 {
    let high = high.unwrap_or_else(|| height(words, wide));
    frame(marks, (left, top), (wide, high), Colour::First);
    let middle = left + wide / 2.0;
    let titles = wrap(words.0, SIZE, (wide - 2.0 * PAD) / 1.09);
    let counts = wrap(words.1, SIZE, wide - 2.0 * PAD);
    let bold = titles.iter().map(|line| (line, true)).chain(counts.iter().map(|line| (line, false)));
    for (i, (line, bold)) in bold.enumerate() {
        let at = (middle, top + 0.8 * PAD + 12.0 + i as f64 * LINE);
        marks.push(Mark::Words(Words { bold, ..Words::new(line, at, SIZE, Anchor::Middle) }));
    }
    high
}

/// Draws what was excluded, with reasons at the left and their counts at the right, and returns its
/// height.
fn leave(marks: &mut Vec<Mark>, (left, top): Place, wide: f64, aside: &Aside) -> f64 {
    let counts = aside.reasons.iter().map(|(_, count)| width(count, SIZE));
    let counts = counts.chain([bold_width(&aside.count, SIZE)]).fold(0.0, f64::max).min(wide / 3.0);
    let room = wide - 2.0 * PAD - counts - 10.0;
    let mut words = Vec::new();
    let mut y = top + 0.8 * PAD + 12.0;
    let head = [(&aside.title, &aside.count, true)];
    let all = head.into_iter().chain(aside.reasons.iter().map(|(reason, count)| (reason, count, false)));
    for (text, count, bold) in all {
        let indent = if bold { 0.0 } else { 10.0 };
        let end = Words::new(count, (left + wide - PAD, y), SIZE, Anchor::End);
        words.push(Mark::Words(Words { bold, ..end }));
        let lines = wrap(text, SIZE, if bold { room / 1.09 } else { room - indent });
        for (i, line) in lines.iter().enumerate() {
            let at = (left + PAD + indent, y + i as f64 * LINE);
            words.push(Mark::Words(Words { bold, ..Words::new(line, at, SIZE, Anchor::Start) }));
        }
        // A little space separates the next reason from a second line of this one.
        y += lines.len().max(1) as f64 * LINE + 3.0;
    }
    let high = y - 15.0 + 0.8 * PAD - top;
    frame(marks, (left, top), (wide, high), Colour::Second);
    marks.append(&mut words);
    high
}

/// An empty box.
pub(super) fn frame(marks: &mut Vec<Mark>, (left, top): Place, (wide, high): (f64, f64), colour: Colour) {
    let area = Geometry::Rect(left, top, wide, high);
    let under = Mark::Shape(area.clone(), Fill::Full(Colour::Paper), None, None);
    let stroke = Some(Stroke::solid(colour, 1.25));
    marks.extend([under, Mark::Shape(area, Fill::Faint(colour), stroke, None)]);
}

/// A line through positions, with an arrowhead at the last one.
pub(super) fn arrow(marks: &mut Vec<Mark>, places: &[Place]) {
    let [.., before, end] = places else { return };
    let (dx, dy) = (end.0 - before.0, end.1 - before.1);
    let length = dx.hypot(dy).max(1e-9);
    let (dx, dy) = (dx / length, dy / length);
    let back = (end.0 - dx * 8.0, end.1 - dy * 8.0);
    let tip = vec![*end, (back.0 - dy * 4.0, back.1 + dx * 4.0), (back.0 + dy * 4.0, back.1 - dx * 4.0)];
    let mut line = places.to_vec();
    line.pop();
    line.push(back);
    let stroke = Stroke::solid(Colour::Muted, LINE_WIDTH);
    marks.push(Mark::Shape(Geometry::Open(line), Fill::Empty, Some(stroke), None));
    marks.push(Mark::Shape(Geometry::Closed(tip), Fill::Full(Colour::Muted), None, None));
}
