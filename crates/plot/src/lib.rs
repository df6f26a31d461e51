//! Charts as SVG and PNG, for files and pages: curves in a frame, forest plots, flow diagrams,
//! graphs. Every word in a chart comes from the caller.
//!
//! A builder (`Plot`, `Forest`, `Flow`, `Dag`) lays out a `Scene` of shapes in named colours, and a
//! `Chart` writes it with the colours of a file or of the page. The same data give the same bytes:
//! there is no clock and no order of a hash map, and coordinates have at most two decimals. Values
//! that are not finite are left out.

mod axis;
mod cartesian;
mod chart;
mod dag;
mod flow;
mod forest;
mod layers;
mod legend;
mod painter;
mod raster;
mod scene;
mod svg;
mod text;

#[cfg(test)]
mod tests;

pub use axis::{Axis, figure};
pub use cartesian::Plot;
pub use chart::Chart;
pub use dag::{Dag, Node};
pub use flow::{Aside, Flow};
pub use forest::{Forest, Row};
pub use layers::{Band, Bars, Layer, Line, Point, Points, Reference, Series, Shape};
pub use raster::Error;
pub use scene::{Colour, Dash};
