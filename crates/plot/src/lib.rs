//! Charts as SVG, for a file, for a page and as PNG: curves in a frame, forest plots, flow diagrams, graphs.
//! Knows neither tables nor stages nor the page; every word in a chart is the caller's.
//!
//! A builder (`Plot`, `Forest`, `Flow`, `Dag`) lays out a `Scene` of shapes in named colours; a `Chart` writes
//! it with the colours of a file or of the page. The same data give the same bytes: no map's order, no
//! clock, pixels with at most two decimals. What is not finite is left out.

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
