//! What can be laid into a frame: lines, bands, points, bars, references. Knows no places.

use super::scene::{Colour, Dash};

/// One thing in the frame.
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
    /// A line; without more said, colour and dash are those next in turn.
    pub fn new(points: impl IntoIterator<Item = (f64, f64)>) -> Line {
        let points = points.into_iter().collect();
        Line { points, colour: None, dash: None, width: 2.25, stepped: false, legend: None, hover: None }
    }

    /// In this colour.
    pub fn colour(mut self, colour: Colour) -> Line {
        self.colour = Some(colour);
        self
    }

    /// Broken so.
    pub fn dash(mut self, dash: Dash) -> Line {
        self.dash = Some(dash);
        self
    }

    /// So wide.
    pub fn width(mut self, width: f64) -> Line {
        self.width = width;
        self
    }

    /// Level up to the next point, then upright.
    pub fn stepped(mut self) -> Line {
        self.stepped = true;
        self
    }

    /// Named so below the frame.
    pub fn legend(mut self, legend: impl Into<String>) -> Line {
        self.legend = Some(legend.into());
        self
    }

    /// Says these at the points instead of the values; none says nothing.
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

    /// In this colour.
    pub fn colour(mut self, colour: Colour) -> Band {
        self.colour = colour;
        self
    }

    /// Named so below the frame.
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

/// A point with what belongs to it.
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

    /// With an upright bar from `low` to `high`.
    pub fn interval(mut self, low: f64, high: f64) -> Point {
        self.interval = Some((low, high));
        self
    }

    /// Says this when the mouse is over it, instead of the values.
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
    /// Dots in ink.
    pub fn new(points: impl IntoIterator<Item = Point>) -> Points {
        let all = points.into_iter().collect();
        Points { all, shape: Shape::Dot, colour: Colour::Ink, size: 4.0, legend: None }
    }

    /// Of this shape.
    pub fn shape(mut self, shape: Shape) -> Points {
        self.shape = shape;
        self
    }

    /// In this colour.
    pub fn colour(mut self, colour: Colour) -> Points {
        self.colour = colour;
        self
    }

    /// With this radius.
    pub fn size(mut self, size: f64) -> Points {
        self.size = size;
        self
    }

    /// Named so below the frame.
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
    /// A series; without more said, its colour is the one next in turn.
    pub fn new(name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Series {
        Series { name: name.into(), values: values.into_iter().collect(), colour: None, hover: None }
    }

    /// In this colour.
    pub fn colour(mut self, colour: Colour) -> Series {
        self.colour = Some(colour);
        self
    }

    /// Says these at the bars instead of the values.
    pub fn hover(mut self, texts: impl IntoIterator<Item = String>) -> Series {
        self.hover = Some(texts.into_iter().collect());
        self
    }
}

/// Bars over the categories of the axis x; full, hatched and hollow by turns.
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

    /// Bars upon each other; values below 0 are left out.
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
    /// An upright line at a value of the axis x; its label stands above the frame.
    pub fn vertical(at: f64, label: impl Into<String>) -> Reference {
        let (colour, dash) = (Colour::Muted, Dash::Dashed);
        Reference { at, upright: true, label: label.into(), colour, dash }
    }

    /// A level line at a value of the axis y; its label stands on it at the right.
    pub fn horizontal(at: f64, label: impl Into<String>) -> Reference {
        Reference { upright: false, ..Reference::vertical(at, label) }
    }

    /// In this colour.
    pub fn colour(mut self, colour: Colour) -> Reference {
        self.colour = colour;
        self
    }

    /// Broken so.
    pub fn dash(mut self, dash: Dash) -> Reference {
        self.dash = dash;
        self
    }
}

/// Lets each kind of layer be given where a layer is asked for.
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
