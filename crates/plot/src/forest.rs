//! A forest plot: a row for each group of the data with its value and interval, compared with the
//! value of all data.

use super::axis::{Axis, Scale, TICK, usable};
use super::chart::Chart;
use super::layers::Shape;
use super::painter::{marker, whisker};
use super::scene::{Anchor, Colour, Dash, Mark, Scene, Stroke, Words};
use super::text::{bold_width, width, wrap};

/// Font height of rows.
const SIZE: f64 = 12.5;
/// Height of a line of a row.
const LINE: f64 = 15.0;
/// Space between rows.
const AIR: f64 = 8.0;
/// Margin at the left and at the right.
const EDGE: f64 = 10.0;

/// A row of a forest plot, or a heading over rows.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Row {
    label: String,
    value: Option<f64>,
    interval: Option<(f64, f64)>,
    text: String,
    flagged: bool,
    heading: bool,
    hover: Option<String>,
}

impl Row {
    /// A row with its label at the left and `text` (the value in words) at the right.
    pub fn new(label: impl Into<String>, value: Option<f64>, text: impl Into<String>) -> Row {
        let (label, text) = (label.into(), text.into());
        Row { label, value, interval: None, text, flagged: false, heading: false, hover: None }
    }

    /// A heading for the rows that follow.
    pub fn heading(label: impl Into<String>) -> Row {
        Row { heading: true, ..Row::new(label, None, "") }
    }

    /// Adds an interval from `low` to `high`.
    pub fn interval(mut self, low: f64, high: f64) -> Row {
        self.interval = (usable(low) && usable(high)).then_some((low.min(high), low.max(high)));
        self
    }

    /// Whether the row has the second colour, a bold label and a diamond.
    pub fn flagged(mut self, flagged: bool) -> Row {
        self.flagged = flagged;
        self
    }

    /// The text shown when the mouse is over the row, instead of label and text.
    pub fn hover(mut self, text: impl Into<String>) -> Row {
        self.hover = Some(text.into());
        self
    }

    fn value(&self) -> Option<f64> {
        self.value.filter(|value| usable(*value))
    }
}

/// Rows of values with intervals on one axis.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Forest {
    name: String,
    title: String,
    alternative: String,
    axis: Axis,
    width: f64,
    whole: Option<(f64, String)>,
    columns: (String, String),
    rows: Vec<Row>,
}

impl Forest {
    /// A plot without rows, in a chart 720 units wide.
    pub fn new(name: impl Into<String>, title: impl Into<String>, axis: Axis) -> Forest {
        Forest {
            name: name.into(),
            title: title.into(),
            alternative: String::new(),
            axis,
            width: 720.0,
            whole: None,
            columns: (String::new(), String::new()),
            rows: Vec::new(),
        }
    }

    /// A description for readers who cannot see the plot.
    pub fn alternative(mut self, text: impl Into<String>) -> Forest {
        self.alternative = text.into();
        self
    }

    /// The chart's width in units, 300 to 4000.
    pub fn width(mut self, width: f64) -> Forest {
        self.width = width.clamp(300.0, 4000.0);
        self
    }

    /// The value of all data, as a vertical line with its label above.
    pub fn whole(mut self, value: f64, label: impl Into<String>) -> Forest {
        self.whole = usable(value).then(|| (value, label.into()));
        self
    }

    /// The headings of the labels and of the values.
    pub fn columns(mut self, labels: impl Into<String>, values: impl Into<String>) -> Forest {
        self.columns = (labels.into(), values.into());
        self
    }

    /// Adds a row.
    pub fn with(mut self, row: Row) -> Forest {
        self.rows.push(row);
        self
    }

    /// Draws the plot.
    pub fn draw(&self) -> Chart {
        let texts = self.rows.iter().map(|row| width(&row.text, SIZE));
        let texts = texts.chain([bold_width(&self.columns.1, SIZE)]).fold(0.0, f64::max);
        let labels =
            self.rows.iter().filter(|row| !row.heading).map(|row| 12.0 + bold_width(&row.label, SIZE));
        let labels = labels.chain([bold_width(&self.columns.0, SIZE)]).fold(0.0, f64::max);
        let labels = labels.min(self.width * 0.38);
        let left = EDGE + labels + 18.0;
        let room = (self.width - left - texts - 18.0 - EDGE).max(60.0);
        let layout = Layout { left, room, labels, scale: self.scale(room) };

        let head = 34.0;
        let mut rows = Vec::new();
        let mut y = head + 6.0;
        for (i, row) in self.rows.iter().enumerate() {
            if row.heading && i > 0 {
                y += 5.0;
            }
            y += self.row(&layout, row, y, &mut rows);
        }
        let base = y + 2.0;
        let mut marks = self.lines(&layout, head, base);
        marks.append(&mut rows);
        for (value, label) in &layout.scale.ticks {
            let words = Words::new(label, (layout.across(*value), base + 17.0), TICK, Anchor::Middle);
            marks.push(Mark::Words(Words { colour: Colour::Muted, ..words }));
        }
        let mut height = base + 28.0;
        for line in wrap(&self.axis.label, 13.0, room + labels) {
            let half = width(&line, 13.0) / 2.0;
            let middle = (left + room / 2.0).min(self.width - half - 4.0);
            marks.push(Mark::Words(Words::new(line, (middle, height + 9.0), 13.0, Anchor::Middle)));
            height += 16.0;
        }
        Chart {
            name: self.name.clone(),
            title: self.title.clone(),
            alternative: self.alternative.clone(),
            scene: Scene { width: self.width, height: (height + 4.0).ceil(), marks },
        }
    }

    fn scale(&self, room: f64) -> Scale {
        let ends = |row: &Row| row.interval.map(|(low, high)| [low, high]);
        let intervals = self.rows.iter().filter_map(ends).flatten();
        let values = self.rows.iter().filter_map(Row::value).chain(intervals);
        let values: Vec<f64> = values.chain(self.whole.as_ref().map(|(value, _)| *value)).collect();
        let mut aim = (room / 50.0).floor().max(1.0);
        loop {
            let scale = self.axis.scale(values.iter().copied(), aim);
            let between = room / (scale.ticks.len() as f64 - 1.0).max(1.0);
            if aim <= 1.0 || scale.widest() + 10.0 <= between {
                return scale;
            }
            aim -= 1.0;
        }
    }

    /// Grid, axis, the line for all data, and the text above.
    fn lines(&self, layout: &Layout, head: f64, base: f64) -> Vec<Mark> {
        let mut marks = Vec::new();
        for (value, _) in &layout.scale.ticks {
            let x = layout.across(*value);
            marks.push(Mark::line((x, head), (x, base), Stroke::solid(Colour::Grid, 1.0)));
        }
        let ends = ((layout.left, base), (layout.left + layout.room, base));
        marks.push(Mark::line(ends.0, ends.1, Stroke::solid(Colour::Muted, 1.0)));
        let bold = |text: &str, x: f64, anchor: Anchor| {
            let words = Words::new(text, (x, head - 14.0), SIZE, anchor);
            Mark::Words(Words { bold: true, ..words })
        };
        marks.push(bold(&self.columns.0, EDGE, Anchor::Start));
        marks.push(bold(&self.columns.1, self.width - EDGE, Anchor::End));
        if let Some((value, label)) = self.whole.as_ref().filter(|(value, _)| layout.scale.holds(*value)) {
            let x = layout.across(*value);
            let stroke = Stroke { colour: Colour::Muted, width: 1.4, dash: Dash::Dashed };
            marks.push(Mark::line((x, head), (x, base), stroke));
            let half = width(label, TICK) / 2.0;
            let middle = x.min(self.width - EDGE - bold_width(&self.columns.1, SIZE) - half - 10.0);
            let middle = middle.max(EDGE + bold_width(&self.columns.0, SIZE) + half + 10.0);
            let words = Words::new(label, (middle, head - 14.0), TICK, Anchor::Middle);
            marks.push(Mark::Words(Words { colour: Colour::Muted, ..words }));
        }
        marks
    }

    /// Draws a row below `top` and returns its height.
    fn row(&self, layout: &Layout, row: &Row, top: f64, marks: &mut Vec<Mark>) -> f64 {
        let indent = if row.heading { 0.0 } else { 12.0 };
        // Bold letters are wider than the measured lines.
        let room = if row.heading { self.width - 2.0 * EDGE } else { layout.labels - indent };
        let lines = wrap(&row.label, SIZE, if row.heading || row.flagged { room / 1.09 } else { room + 1.0 });
        let height = lines.len().max(1) as f64 * LINE + AIR;
        let middle = top + height / 2.0;
        let colour = if row.flagged { Colour::Second } else { Colour::Ink };
        for (i, line) in lines.iter().enumerate() {
            let from = (lines.len() as f64 - 1.0) / 2.0;
            let at = (EDGE + indent, middle + 4.5 + (i as f64 - from) * LINE);
            let words = Words::new(line, at, SIZE, Anchor::Start);
            marks.push(Mark::Words(Words {
                bold: row.heading || row.flagged,
                halo: row.heading,
                colour,
                ..words
            }));
        }
        let words = Words::new(&row.text, (self.width - EDGE, middle + 4.5), SIZE, Anchor::End);
        marks.push(Mark::Words(Words { colour, ..words }));
        let colour = if row.flagged { Colour::Second } else { Colour::First };
        if let Some((low, high)) = row.interval {
            let ends = [low, high].map(|end| (layout.across(layout.scale.clamp(end)), middle));
            marks.push(whisker(ends, colour));
        }
        if let Some(value) = row.value().filter(|value| layout.scale.holds(*value)) {
            let shape = if row.flagged { Shape::Diamond } else { Shape::Square };
            let hover = row.hover.clone().unwrap_or_else(|| format!("{}\n{}", row.label, row.text));
            let at = (layout.across(value), middle);
            marks.push(marker(shape, at, 4.5, colour, None));
            marks.push(Mark::hover(at, hover));
        }
        height
    }
}

/// Where the columns are.
struct Layout {
    left: f64,
    room: f64,
    labels: f64,
    scale: Scale,
}

impl Layout {
    fn across(&self, value: f64) -> f64 {
        self.left + self.scale.share(value) * self.room
    }
}
