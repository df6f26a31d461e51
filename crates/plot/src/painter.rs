//! Draws layers as shapes within a frame.

use super::axis::{Scale, figure, usable};
use super::layers::{Band, Bars, Line, Points, Shape};
use super::scene::{Colour, Dash, Fill, Geometry, Mark, Place, Stroke};

/// A line with more points than this shows no values under the mouse.
const MOST_HOVERS: usize = 200;

/// The position of the frame, and the range of its axes.
pub(super) struct Frame {
    /// Left edge.
    pub(super) left: f64,
    /// Upper edge.
    pub(super) top: f64,
    /// Width.
    pub(super) width: f64,
    /// Height.
    pub(super) height: f64,
    /// The horizontal axis.
    pub(super) x: Scale,
    /// The vertical axis.
    pub(super) y: Scale,
}

impl Frame {
    /// The position of a value on the horizontal axis.
    pub(super) fn across(&self, x: f64) -> f64 {
        self.left + self.x.share(x) * self.width
    }

    /// The position of a value on the vertical axis.
    pub(super) fn up(&self, y: f64) -> f64 {
        self.top + (1.0 - self.y.share(y)) * self.height
    }

    fn place(&self, x: f64, y: f64) -> Place {
        (self.across(x), self.up(y))
    }

    /// Clips what lies outside; lines on the edge keep their width.
    pub(super) fn clip(&self, marks: Vec<Mark>) -> Mark {
        let air = 2.0;
        let (left, top) = (self.left - air, self.top - air);
        Mark::Clipped((left, top, self.width + 2.0 * air, self.height + 2.0 * air), marks)
    }

    /// The area of a band.
    pub(super) fn band(&self, band: &Band) -> Mark {
        let seen = |p: &&(f64, f64, f64)| usable(p.0) && usable(p.1) && usable(p.2);
        let points: Vec<_> = band.points.iter().filter(seen).collect();
        let upper = points.iter().map(|p| self.place(p.0, p.2));
        let lower = points.iter().rev().map(|p| self.place(p.0, p.1));
        let outline = Geometry::Closed(upper.chain(lower).collect());
        Mark::Shape(outline, Fill::Faint(band.colour), None, None)
    }

    /// A line in its colour and dash.
    pub(super) fn line(&self, line: &Line, colour: Colour, dash: Dash) -> Mark {
        let points = seen(line);
        if let [(x, y)] = points[..] {
            // A line through a single point has no length.
            return Mark::Shape(Geometry::Circle(self.place(x, y), 3.0), Fill::Full(colour), None, None);
        }
        let mut places: Vec<Place> = Vec::with_capacity(points.len());
        for (x, y) in points {
            let place = self.place(x, y);
            if let (true, Some(before)) = (line.stepped, places.last()) {
                places.push((place.0, before.1));
            }
            places.push(place);
        }
        let stroke = Stroke { colour, width: line.width, dash };
        Mark::Shape(Geometry::Open(places), Fill::Empty, Some(stroke), None)
    }

    /// Discs that show the values of a line under the mouse.
    pub(super) fn hovers(&self, line: &Line, x_label: &str, y_label: &str) -> Vec<Mark> {
        if let Some(texts) = &line.hover {
            let said = line.points.iter().zip(texts).filter(|((x, y), _)| self.holds(*x, *y));
            return said.map(|((x, y), text)| Mark::hover(self.place(*x, *y), text.clone())).collect();
        }
        let all = seen(line);
        let points = if all.len() > MOST_HOVERS { corners(&all) } else { all };
        if points.len() > MOST_HOVERS {
            return Vec::new();
        }
        let name = line.legend.as_deref();
        let text = |x: f64, y: f64| said(name, &[(x_label, x), (y_label, y)]);
        let within = points.into_iter().filter(|(x, y)| self.holds(*x, *y));
        within.map(|(x, y)| Mark::hover(self.place(x, y), text(x, y))).collect()
    }

    fn holds(&self, x: f64, y: f64) -> bool {
        self.x.holds(x) && self.y.holds(y)
    }

    /// Points with their bars.
    pub(super) fn points(&self, points: &Points, x_label: &str, y_label: &str) -> Vec<Mark> {
        let mut marks = Vec::new();
        for point in points.all.iter().filter(|point| self.holds(point.x, point.y)) {
            let at = self.place(point.x, point.y);
            if let Some((low, high)) = point.interval.filter(|(low, high)| usable(*low) && usable(*high)) {
                let ends = [low, high].map(|end| self.up(self.y.clamp(end)));
                marks.push(whisker([(at.0, ends[0]), (at.0, ends[1])], points.colour));
            }
            let hover = point.hover.clone();
            let values = [(x_label, point.x), (y_label, point.y)];
            let hover = hover.unwrap_or_else(|| said(points.legend.as_deref(), &values));
            marks.push(marker(points.shape, at, points.size, points.colour, Some(hover)));
        }
        marks
    }

    /// Bars of all series.
    pub(super) fn bars(&self, bars: &Bars, categories: &[String]) -> Vec<Mark> {
        let slot = self.width / (categories.len().max(1) as f64);
        let room = slot * if bars.series.len() > 1 && !bars.stacked { 0.84 } else { 0.74 };
        let wide = if bars.stacked { room } else { room / bars.series.len().max(1) as f64 };
        let mut marks = Vec::new();
        for (c, category) in categories.iter().enumerate() {
            let mut ground = 0.0;
            for (s, series) in bars.series.iter().enumerate() {
                let Some(value) = series.values.get(c).copied().filter(|v| usable(*v)) else { continue };
                if value == 0.0 || (bars.stacked && value < 0.0) {
                    continue;
                }
                let aside = if bars.stacked { 0.0 } else { s as f64 * wide };
                let left = self.across(c as f64) - room / 2.0 + aside;
                let levels = [ground, ground + value].map(|level| self.up(self.y.clamp(level)));
                let (top, base) = (levels[0].min(levels[1]), levels[0].max(levels[1]));
                let hover = series.hover.as_ref().and_then(|texts| texts.get(c).cloned());
                let hover =
                    hover.unwrap_or_else(|| format!("{category}\n{}: {}", series.name, figure(value)));
                let (fill, stroke) = bar_style(s, series.colour);
                let shape = Geometry::Rect(left + 0.5, top, (wide - 1.0).max(0.5), base - top);
                marks.push(Mark::Shape(shape, fill, stroke, Some(hover)));
                if bars.stacked {
                    ground += value;
                }
            }
        }
        marks
    }
}

/// How the bars of series `index` are filled, so that they also differ without colour.
pub(super) fn bar_style(index: usize, colour: Option<Colour>) -> (Fill, Option<Stroke>) {
    let colour = colour.unwrap_or(turn(index));
    let outline = Some(Stroke::solid(colour, 1.25));
    match index % 3 {
        0 => (Fill::Full(colour), outline),
        1 => (Fill::Hatched(colour), outline),
        _ => (Fill::Full(Colour::Paper), outline),
    }
}

/// The colour of the layer at `index`.
pub(super) fn turn(index: usize) -> Colour {
    [Colour::First, Colour::Second, Colour::Third, Colour::Ink][index % 4]
}

/// A point's shape, with a rim in the background colour that separates it from what
/// lies below.
pub(super) fn marker(shape: Shape, (x, y): Place, size: f64, colour: Colour, hover: Option<String>) -> Mark {
    let geometry = match shape {
        Shape::Dot => Geometry::Circle((x, y), size),
        Shape::Square => {
            let half = size * 0.9;
            Geometry::Rect(x - half, y - half, 2.0 * half, 2.0 * half)
        }
        Shape::Diamond => {
            let half = size * 1.35;
            Geometry::Closed(vec![(x, y - half), (x + half, y), (x, y + half), (x - half, y)])
        }
    };
    Mark::Shape(geometry, Fill::Full(colour), Some(Stroke::solid(Colour::Paper, 1.0)), hover)
}

/// An interval with a short bar across each end, vertical or horizontal.
pub(super) fn whisker(ends: [Place; 2], colour: Colour) -> Mark {
    let [a, b] = ends;
    let cap = if a.0 == b.0 { (3.5, 0.0) } else { (0.0, 3.5) };
    let around = |at: Place| [(at.0 - cap.0, at.1 - cap.1), (at.0 + cap.0, at.1 + cap.1), at];
    let mut places = around(a).to_vec();
    places.extend(around(b).iter().rev().chain(&around(b)[..1]));
    Mark::Shape(Geometry::Open(places), Fill::Empty, Some(Stroke::solid(colour, 1.4)), None)
}

/// The text under the mouse: a name, and each value with its axis.
fn said(name: Option<&str>, values: &[(&str, f64)]) -> String {
    let values = values.iter().map(|(label, value)| format!("{label}: {}", figure(*value)));
    name.map(str::to_owned).into_iter().chain(values).collect::<Vec<_>>().join("\n")
}

/// The points of a line that can be drawn.
fn seen(line: &Line) -> Vec<(f64, f64)> {
    line.points.iter().copied().filter(|(x, y)| usable(*x) && usable(*y)).collect()
}

/// The points at which a line leaves a horizontal or vertical stretch.
fn corners(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let straight =
        |w: &[(f64, f64)]| matches!(w, [a, b, c] if (a.0 == b.0 && b.0 == c.0) || (a.1 == b.1 && b.1 == c.1));
    let turns = points.windows(3).filter(|w| !straight(w)).filter_map(|w| w.get(1));
    points.first().into_iter().chain(turns).chain(points.last()).copied().collect()
}
