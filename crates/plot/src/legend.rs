//! The legend below a frame: names, each with a sample of what it names.

use super::scene::{Anchor, Fill, Geometry, Mark, Place, Stroke, Words};
use super::text::{width, wrap};

/// Font height of names.
const SIZE: f64 = 12.0;
/// Height of a row.
const ROW: f64 = 18.0;
/// Width of a sample with the space after it.
const SAMPLE: f64 = 34.0;
/// Width of the sample itself.
const SAMPLE_LINE: f64 = 28.0;

/// What precedes a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sample {
    /// A piece of the line.
    Line(Stroke),
    /// A piece of the area.
    Area(Fill, Option<Stroke>),
    /// A point around the position 0, 0.
    Point(Vec<Mark>),
}

/// A sample and its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// What precedes the name.
    pub(super) sample: Sample,
    /// The name.
    pub(super) name: String,
}

/// Draws `entries` below `top`, between `left` and `left + room`, and returns their height.
pub(super) fn draw(marks: &mut Vec<Mark>, entries: &[Entry], (left, top): Place, room: f64) -> f64 {
    let (mut x, mut y) = (0.0, 0.0);
    for entry in entries {
        let lines = wrap(&entry.name, SIZE, room - SAMPLE);
        let wide = SAMPLE + lines.iter().map(|line| width(line, SIZE)).fold(0.0, f64::max);
        if x > 0.0 && x + wide > room {
            (x, y) = (0.0, y + ROW);
        }
        sample(marks, &entry.sample, (left + x, top + y + ROW / 2.0));
        for (i, line) in lines.iter().enumerate() {
            let at = (left + x + SAMPLE, top + y + ROW / 2.0 + 4.0 + i as f64 * 15.0);
            marks.push(Mark::Words(Words::new(line, at, SIZE, Anchor::Start)));
        }
        x += wide + 18.0;
        if lines.len() > 1 {
            (x, y) = (0.0, y + ROW + (lines.len() - 1) as f64 * 15.0);
        }
    }
    if x > 0.0 { y + ROW } else { y }
}

/// Draws a sample with its left end at the position.
fn sample(marks: &mut Vec<Mark>, sample: &Sample, (x, y): Place) {
    match sample {
        Sample::Line(stroke) => marks.push(Mark::line((x, y), (x + SAMPLE_LINE, y), *stroke)),
        Sample::Area(fill, stroke) => {
            let area = Geometry::Rect(x + 4.0, y - 6.0, SAMPLE_LINE - 8.0, 12.0);
            marks.push(Mark::Shape(area, *fill, *stroke, None));
        }
        Sample::Point(point) => {
            let moved = |place: &Place| (place.0 + x + SAMPLE_LINE / 2.0, place.1 + y);
            for mark in point {
                let Mark::Shape(geometry, fill, stroke, _) = mark else { continue };
                let geometry = match geometry {
                    Geometry::Open(places) => Geometry::Open(places.iter().map(moved).collect()),
                    Geometry::Closed(places) => Geometry::Closed(places.iter().map(moved).collect()),
                    Geometry::Circle(centre, radius) => Geometry::Circle(moved(centre), *radius),
                    Geometry::Rect(left, top, width, height) => {
                        let (left, top) = moved(&(*left, *top));
                        Geometry::Rect(left, top, *width, *height)
                    }
                };
                marks.push(Mark::Shape(geometry, *fill, *stroke, None));
            }
        }
    }
}
