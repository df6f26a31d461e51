//! The layers of a frame: lines, bands, points, bars, references.

use super::scene::{Colour, Dash};

/// One layer of the frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// A line.
    Line(Line),
    /// A band.
    Band(Band),
    /// Single points.
    Points(Points),
    /// Bars over categories.
    Bars(Bars),
    /// A straight line across the frame.
    Reference(Reference),
}

/// A line through points `(x, y)`.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Line {
    pub(super) points: Vec<(f64, f64)>,
    pub(super) colour: Option<Colour>,
    pub(super) dash: Option<Dash>,
    pub(super) width: f64,
    pub(super) stepped: bool,
    pub(super) legend: Option<String>,
    pub(super) hover: Option<Vec<String>>,
}

impl Line {
    /// A line. By default it takes the next colour and dash in turn.
    pub fn new(points: impl IntoIterator<Item = (f64, f64)>) -> Line {
        let points = points.into_iter().collect();
        Line { points, colour: None, dash: None, width: 2.25, stepped: false, legend: None, hover: None }
    }

    /// Sets the colour.
    pub fn colour(mut self, colour: Colour) -> Line {
        self.colour = Some(colour);
        self
    }

    /// Sets how the line is broken.
    pub fn dash(mut self, dash: Dash) -> Line {
        self.dash = Some(dash);
        self
    }

    /// Sets the width.
    pub fn width(mut self, width: f64) -> Line {
        self.width = width;
        self
    }

    /// Horizontal up to the next point, then vertical.
    pub fn stepped(mut self) -> Line {
        self.stepped = true;
        self
    }

    /// Sets the name in the legend below the frame.
    pub fn legend(mut self, legend: impl Into<String>) -> Line {
        self.legend = Some(legend.into());
        self
    }

    /// Sets the texts shown at the points instead of the values; an empty list shows nothing.
    pub fn hover(mut self, texts: impl IntoIterator<Item = String>) -> Line {
        self.hover = Some(texts.into_iter().collect());
        self
    }
}

/// The area between two lines, at 15 % of its colour.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Band {
    pub(super) points: Vec<(f64, f64, f64)>,
    pub(super) colour: Colour,
    pub(super) legend: Option<String>,
}

impl Band {
    /// A band through `(x, low, high)`.
    pub fn new(points: impl IntoIterator<Item = (f64, f64, f64)>) -> Band {
        Band { points: points.into_iter().collect(), colour: Colour::First, legend: None }
    }

    /// Sets the colour.
    pub fn colour(mut self, colour: Colour) -> Band {
        self.colour = colour;
        self
    }

    /// Sets the name in the legend below the frame.
    pub fn legend(mut self, legend: impl Into<String>) -> Band {
        self.legend = Some(legend.into());
        self
    }
}

/// The shape of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Dot,
    /// A square on its corner.
    Diamond,
    /// A square.
    Square,
}

/// A point with its interval and its text.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) interval: Option<(f64, f64)>,
    pub(super) hover: Option<String>,
}

impl Point {
    /// A point.
    pub fn new(x: f64, y: f64) -> Point {
        Point { x, y, interval: None, hover: None }
    }

    /// Adds a vertical bar from `low` to `high`.
    pub fn interval(mut self, low: f64, high: f64) -> Point {
        self.interval = Some((low, high));
        self
    }

    /// Sets the text shown when the mouse is over the point, instead of the values.
    pub fn hover(mut self, text: impl Into<String>) -> Point {
        self.hover = Some(text.into());
        self
    }
}

/// Points of one shape and colour.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Points {
    pub(super) all: Vec<Point>,
    pub(super) shape: Shape,
    pub(super) colour: Colour,
    pub(super) size: f64,
    pub(super) legend: Option<String>,
}

impl Points {
    /// Dots in the colour of words.
    pub fn new(points: impl IntoIterator<Item = Point>) -> Points {
        let all = points.into_iter().collect();
        Points { all, shape: Shape::Dot, colour: Colour::Ink, size: 4.0, legend: None }
    }

    /// Sets the shape.
    pub fn shape(mut self, shape: Shape) -> Points {
        self.shape = shape;
        self
    }

    /// Sets the colour.
    pub fn colour(mut self, colour: Colour) -> Points {
        self.colour = colour;
        self
    }

    /// Sets the radius.
    pub fn size(mut self, size: f64) -> Points {
        self.size = size;
        self
    }

    /// Sets the name in the legend below the frame.
    pub fn legend(mut self, legend: impl Into<String>) -> Points {
        self.legend = Some(legend.into());
        self
    }
}

/// One value for each category.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Series {
    pub(super) name: String,
    pub(super) values: Vec<f64>,
    pub(super) colour: Option<Colour>,
    pub(super) hover: Option<Vec<String>>,
}

impl Series {
    /// A series. By default it takes the next colour in turn.
    pub fn new(name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Series {
        Series { name: name.into(), values: values.into_iter().collect(), colour: None, hover: None }
    }

    /// Sets the colour.
    pub fn colour(mut self, colour: Colour) -> Series {
        self.colour = Some(colour);
        self
    }

    /// Sets the texts shown at the bars instead of the values.
    pub fn hover(mut self, texts: impl IntoIterator<Item = String>) -> Series {
        self.hover = Some(texts.into_iter().collect());
        self
    }
}

/// Bars over the categories of the x axis; full, hatched and hollow in turn.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Bars {
    pub(super) series: Vec<Series>,
    pub(super) stacked: bool,
}

impl Bars {
    /// Bars beside each other.
    pub fn grouped(series: impl IntoIterator<Item = Series>) -> Bars {
        Bars { series: series.into_iter().collect(), stacked: false }
    }

    /// Bars on top of each other; values below 0 are left out.
    pub fn stacked(series: impl IntoIterator<Item = Series>) -> Bars {
        Bars { series: series.into_iter().collect(), stacked: true }
    }
}

/// A straight line across the frame, named at its end.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Reference {
    pub(super) at: f64,
    pub(super) upright: bool,
    pub(super) label: String,
    pub(super) colour: Colour,
    pub(super) dash: Dash,
}

impl Reference {
    /// A vertical line at a value of the x axis; its label is above the frame.
    pub fn vertical(at: f64, label: impl Into<String>) -> Reference {
        let (colour, dash) = (Colour::Muted, Dash::Dashed);
        Reference { at, upright: true, label: label.into(), colour, dash }
    }

    /// A horizontal line at a value of the y axis; its label is on the line at the right.
    pub fn horizontal(at: f64, label: impl Into<String>) -> Reference {
        Reference { upright: false, ..Reference::vertical(at, label) }
    }

    /// Sets the colour.
    pub fn colour(mut self, colour: Colour) -> Reference {
        self.colour = colour;
        self
    }

    /// Sets how the line is broken.
    pub fn dash(mut self, dash: Dash) -> Reference {
        self.dash = dash;
        self
    }
}

/// Lets each kind of layer be passed where a layer is expected.
macro_rules! is_a_layer {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Layer {
            fn from(layer: $kind) -> Layer {
                Layer::$kind(layer)
            }
        }
    )*};
}

is_a_layer!(Line, Band, Points, Bars, Reference);
