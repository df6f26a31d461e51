//! The content of a chart once all positions are known: shapes and words in named colours.

/// A colour by its role in the chart; a file and the page have their own value for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    /// Words and frames.
    Ink,
    /// The background.
    Paper,
    /// Grid lines.
    Grid,
    /// Less important things: ticks, chance, references.
    Muted,
    /// The first series.
    First,
    /// The second series, and flagged things.
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
    /// Strokes and points in turn.
    DashDotted,
}

/// A position in the chart's units, from the upper left corner.
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
    /// An unbroken line.
    pub(super) fn solid(colour: Colour, width: f64) -> Stroke {
        Stroke { colour, width, dash: Dash::Solid }
    }
}

/// The inside of a shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fill {
    /// Nothing is painted.
    Empty,
    /// The full colour.
    Full(Colour),
    /// The colour at 15 %.
    Faint(Colour),
    /// Slanted lines of the colour.
    Hatched(Colour),
}

/// The position of a shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Geometry {
    /// A line through positions.
    Open(Vec<Place>),
    /// An area between positions.
    Closed(Vec<Place>),
    /// Left, top, width, height.
    Rect(f64, f64, f64, f64),
    /// Centre and radius.
    Circle(Place, f64),
}

/// Where the given position lies in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// At its start.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// Words at a position.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Words {
    /// The words, not escaped.
    pub(super) text: String,
    /// Position of the baseline.
    pub(super) at: Place,
    /// Height of the font.
    pub(super) size: f64,
    /// Where `at` lies in the text.
    pub(super) anchor: Anchor,
    /// Colour of the letters.
    pub(super) colour: Colour,
    /// Whether they are bold.
    pub(super) bold: bool,
    /// Degrees clockwise around `at`.
    pub(super) turned: f64,
    /// Whether the background colour outlines the letters, where they may lie on a line.
    pub(super) halo: bool,
}

impl Words {
    /// Plain words in ink.
    pub(super) fn new(text: impl Into<String>, at: Place, size: f64, anchor: Anchor) -> Words {
        let text = text.into();
        Words { text, at, size, anchor, colour: Colour::Ink, bold: false, turned: 0.0, halo: false }
    }
}

/// One element of the chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    /// A shape, and the text shown when the mouse is over it.
    Shape(Geometry, Fill, Option<Stroke>, Option<String>),
    /// Words.
    Words(Words),
    /// Shapes of which only the part within left, top, width and height is visible.
    Clipped((f64, f64, f64, f64), Vec<Mark>),
}

impl Mark {
    /// A straight line.
    pub(super) fn line(from: Place, to: Place, stroke: Stroke) -> Mark {
        Mark::Shape(Geometry::Open(vec![from, to]), Fill::Empty, Some(stroke), None)
    }

    /// An invisible disc that reacts to the mouse.
    pub(super) fn hover(at: Place, text: String) -> Mark {
        Mark::Shape(Geometry::Circle(at, 7.0), Fill::Empty, None, Some(text))
    }
}

/// Everything on a chart, from the lowest to the topmost.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scene {
    /// Width in units.
    pub(super) width: f64,
    /// Height in units.
    pub(super) height: f64,
    /// The elements on it.
    pub(super) marks: Vec<Mark>,
}
