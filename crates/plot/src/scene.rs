//! What is on a chart once all places are known: shapes and words in named colours. Knows no data and
//! no SVG.

/// A colour by its part in the chart; a file and the page have their own value for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    /// Words and frames.
    Ink,
    /// What lies below all else.
    Paper,
    /// Grid lines.
    Grid,
    /// What is of less weight: ticks, chance, references.
    Muted,
    /// The first series.
    First,
    /// The second series, and what is flagged.
    Second,
    /// The third series.
    Third,
}

/// How a line is broken, so that lines differ without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    /// Not broken.
    Solid,
    /// Long strokes.
    Dashed,
    /// Points.
    Dotted,
    /// Strokes and points by turns.
    DashDotted,
}

/// A place in the chart's units, from the upper left corner.
pub(super) type Place = (f64, f64);

/// Outline of a shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stroke {
    /// Its colour.
    pub(super) colour: Colour,
    /// Its width.
    pub(super) width: f64,
    /// How it is broken.
    pub(super) dash: Dash,
}

impl Stroke {
    /// A line that is not broken.
    pub(super) fn solid(colour: Colour, width: f64) -> Stroke {
        Stroke { colour, width, dash: Dash::Solid }
    }
}

/// Inside of a shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fill {
    /// Nothing.
    Empty,
    /// The colour.
    Full(Colour),
    /// The colour at 15 %.
    Faint(Colour),
    /// Slanted lines of the colour.
    Hatched(Colour),
}

/// Where a shape is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Geometry {
    /// A line through places.
    Open(Vec<Place>),
    /// An area between places.
    Closed(Vec<Place>),
    /// Left, top, width, height.
    Rect(f64, f64, f64, f64),
    /// Centre and radius.
    Circle(Place, f64),
}

/// Where a text's given place lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// At its begin.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// Words at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Words {
    /// The words, not escaped.
    pub(super) text: String,
    /// Place of the base line.
    pub(super) at: Place,
    /// Height of the font.
    pub(super) size: f64,
    /// Where `at` lies.
    pub(super) anchor: Anchor,
    /// Colour of the letters.
    pub(super) colour: Colour,
    /// Whether they are bold.
    pub(super) bold: bool,
    /// Degrees clockwise around `at`.
    pub(super) turned: f64,
    /// Whether paper surrounds the letters, where they may lie on a line.
    pub(super) halo: bool,
}

impl Words {
    /// Plain words in ink.
    pub(super) fn new(text: impl Into<String>, at: Place, size: f64, anchor: Anchor) -> Words {
        let text = text.into();
        Words { text, at, size, anchor, colour: Colour::Ink, bold: false, turned: 0.0, halo: false }
    }
}

/// One thing on the chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    /// A shape, and what is said when the mouse is over it.
    Shape(Geometry, Fill, Option<Stroke>, Option<String>),
    /// Words.
    Words(Words),
    /// Shapes of which only what lies within left, top, width, height is seen.
    Clipped((f64, f64, f64, f64), Vec<Mark>),
}

impl Mark {
    /// A straight line.
    pub(super) fn line(from: Place, to: Place, stroke: Stroke) -> Mark {
        Mark::Shape(Geometry::Open(vec![from, to]), Fill::Empty, Some(stroke), None)
    }

    /// A disc that is not seen and answers to the mouse.
    pub(super) fn hover(at: Place, text: String) -> Mark {
        Mark::Shape(Geometry::Circle(at, 7.0), Fill::Empty, None, Some(text))
    }
}

/// All that is on a chart, from the lowest to the uppermost.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scene {
    /// Width in units.
    pub(super) width: f64,
    /// Height in units.
    pub(super) height: f64,
    /// The things on it.
    pub(super) marks: Vec<Mark>,
}
