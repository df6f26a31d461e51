//! Writes a scene as SVG, in the colours of a file, of the page or of the PNG.

use std::fmt::Write as _;

use super::scene::{Anchor, Colour, Dash, Fill, Geometry, Mark, Place, Scene, Stroke, Words};
use super::text::escape;

/// What the SVG is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skin {
    /// A file of its own: fixed colours.
    File,
    /// The page: its CSS colours, which support dark mode.
    Page,
    /// The PNG: fixed colours; bold is drawn, because there is only one font.
    Raster,
}

impl Skin {
    /// The value of a colour.
    pub(super) fn colour(self, colour: Colour) -> &'static str {
        let (file, page) = match colour {
            Colour::Ink => ("#17212b", "currentColor"),
            Colour::Paper => ("#ffffff", "var(--paper)"),
            Colour::Grid => ("#d9e0e6", "var(--line)"),
            Colour::Muted => ("#5c6873", "var(--muted)"),
            Colour::First => ("#0b6e8a", "var(--first)"),
            Colour::Second => ("#b85900", "var(--second)"),
            Colour::Third => ("#6a4c93", "var(--third)"),
        };
        if self == Skin::Page { page } else { file }
    }
}

/// A number in the chart's units: at most two decimals, and always a number.
pub(super) fn unit(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{:.2}", value.clamp(-1e5, 1e5));
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Writes the elements of `scene`, with `prefix` before each id.
pub(super) fn elements(scene: &Scene, prefix: &str, skin: Skin) -> String {
    let mut writer = Writer { text: String::new(), prefix, skin, clips: 0 };
    writer.patterns(&scene.marks);
    writer.marks(&scene.marks);
    writer.text
}

/// The SVG written so far.
struct Writer<'a> {
    text: String,
    prefix: &'a str,
    skin: Skin,
    clips: usize,
}

impl Writer<'_> {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }

    /// Defines a pattern for every hatched colour.
    fn patterns(&mut self, marks: &[Mark]) {
        let mut colours = Vec::new();
        hatched(marks, &mut colours);
        colours.sort_unstable();
        colours.dedup();
        for colour in colours {
            let (id, value) = (self.hatch(colour), self.skin.colour(colour));
            let paper = self.skin.colour(Colour::Paper);
            self.put(format_args!(
                "<pattern id=\"{id}\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
                 patternTransform=\"rotate(45)\"><rect width=\"5\" height=\"5\" fill=\"{paper}\"/>\
                 <rect width=\"5\" height=\"5\" fill=\"{value}\" fill-opacity=\"0.15\"/><rect width=\"2\" height=\"5\" fill=\"{value}\"/></pattern>"
            ));
        }
    }

    /// Id of the pattern for a colour.
    fn hatch(&self, colour: Colour) -> String {
        format!("{}-hatch-{}", self.prefix, format!("{colour:?}").to_lowercase())
    }

    fn marks(&mut self, marks: &[Mark]) {
        for mark in marks {
            match mark {
                Mark::Shape(geometry, fill, stroke, hover) => {
                    self.shape(geometry, *fill, *stroke, hover.as_deref());
                }
                Mark::Words(words) => self.words(words),
                Mark::Clipped((left, top, width, height), marks) => {
                    let id = format!("{}-clip-{}", self.prefix, self.clips);
                    self.clips += 1;
                    self.put(format_args!(
                        "<clipPath id=\"{id}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>\
                         <g clip-path=\"url(#{id})\">",
                        unit(*left),
                        unit(*top),
                        unit(*width),
                        unit(*height)
                    ));
                    self.marks(marks);
                    self.text.push_str("</g>");
                }
            }
        }
    }

    fn shape(&mut self, geometry: &Geometry, fill: Fill, stroke: Option<Stroke>, hover: Option<&str>) {
        let element = match geometry {
            Geometry::Open(places) | Geometry::Closed(places) if places.is_empty() => return,
            Geometry::Open(places) => {
                self.put(format_args!("<path d=\"{}\"", path(places, false)));
                "path"
            }
            Geometry::Closed(places) => {
                self.put(format_args!("<path d=\"{}\"", path(places, true)));
                "path"
            }
            Geometry::Rect(left, top, width, height) => {
                let (x, y, w, h) = (unit(*left), unit(*top), unit(*width), unit(*height));
                self.put(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\""));
                "rect"
            }
            Geometry::Circle((x, y), radius) => {
                let (x, y, r) = (unit(*x), unit(*y), unit(*radius));
                self.put(format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\""));
                "circle"
            }
        };
        self.paint(fill, stroke);
        match hover {
            Some(hover) => {
                // An unpainted shape would not react to the mouse.
                let feels = if fill == Fill::Empty { " pointer-events=\"all\"" } else { "" };
                self.put(format_args!("{feels}><title>{}</title></{element}>", escape(hover)));
            }
            None => self.text.push_str("/>"),
        }
    }

    fn paint(&mut self, fill: Fill, stroke: Option<Stroke>) {
        let fill = match fill {
            Fill::Empty => " fill=\"none\"".to_owned(),
            Fill::Full(colour) => format!(" fill=\"{}\"", self.skin.colour(colour)),
            Fill::Faint(colour) => format!(" fill=\"{}\" fill-opacity=\"0.15\"", self.skin.colour(colour)),
            Fill::Hatched(colour) => format!(" fill=\"url(#{})\"", self.hatch(colour)),
        };
        self.text.push_str(&fill);
        let Some(Stroke { colour, width, dash }) = stroke else { return };
        let (colour, thick) = (self.skin.colour(colour), unit(width));
        self.put(format_args!(" stroke=\"{colour}\" stroke-width=\"{thick}\" stroke-linejoin=\"round\""));
        let pieces: &[f64] = match dash {
            Dash::Solid => return,
            Dash::Dashed => &[3.5, 2.0],
            Dash::Dotted => &[1.0, 1.5],
            Dash::DashDotted => &[4.0, 1.6, 1.0, 1.6],
        };
        let pieces: Vec<String> = pieces.iter().map(|piece| unit(piece * width.max(1.2))).collect();
        self.put(format_args!(" stroke-dasharray=\"{}\"", pieces.join(" ")));
    }

    fn words(&mut self, words: &Words) {
        let (x, y) = (unit(words.at.0), unit(words.at.1));
        self.put(format_args!("<text x=\"{x}\" y=\"{y}\" font-size=\"{}\"", unit(words.size)));
        match words.anchor {
            Anchor::Start => {}
            Anchor::Middle => self.text.push_str(" text-anchor=\"middle\""),
            Anchor::End => self.text.push_str(" text-anchor=\"end\""),
        }
        let colour = self.skin.colour(words.colour);
        if words.colour != Colour::Ink {
            self.put(format_args!(" fill=\"{colour}\""));
        }
        if words.turned != 0.0 {
            self.put(format_args!(" transform=\"rotate({} {x} {y})\"", unit(words.turned)));
        }
        if words.bold && self.skin == Skin::Raster {
            let thick = unit(words.size * 0.05);
            self.put(format_args!(" stroke=\"{colour}\" stroke-width=\"{thick}\""));
        } else if words.bold {
            self.text.push_str(" font-weight=\"bold\"");
        } else if words.halo {
            let paper = self.skin.colour(Colour::Paper);
            self.put(format_args!(
                " stroke=\"{paper}\" stroke-width=\"4\" stroke-linejoin=\"round\" paint-order=\"stroke\""
            ));
        }
        self.put(format_args!(">{}</text>", escape(&words.text)));
    }
}

/// The data of a path. Positions between others on one horizontal or vertical are invisible and
/// left out.
fn path(places: &[Place], closed: bool) -> String {
    let rounded: Vec<(String, String)> = places.iter().map(|&(x, y)| (unit(x), unit(y))).collect();
    let mut data = String::new();
    for (i, (x, y)) in rounded.iter().enumerate() {
        let around = (i.checked_sub(1).and_then(|before| rounded.get(before)), rounded.get(i + 1));
        if let (Some(before), Some(after)) = around {
            let level = before.1 == *y && after.1 == *y && between(places, i, |place| place.0);
            let upright = before.0 == *x && after.0 == *x && between(places, i, |place| place.1);
            if level || upright {
                continue;
            }
        }
        data.push(if i == 0 { 'M' } else { 'L' });
        data.extend([x.as_str(), " ", y.as_str()]);
    }
    if closed {
        data.push('Z');
    }
    data
}

/// Whether position `i` lies between its neighbours along one direction.
fn between(places: &[Place], i: usize, along: impl Fn(&Place) -> f64) -> bool {
    match (i.checked_sub(1).and_then(|i| places.get(i)), places.get(i), places.get(i + 1)) {
        (Some(a), Some(b), Some(c)) => {
            let (a, b, c) = (along(a), along(b), along(c));
            (a <= b && b <= c) || (a >= b && b >= c)
        }
        _ => false,
    }
}

/// Finds the hatched colours.
fn hatched(marks: &[Mark], colours: &mut Vec<Colour>) {
    for mark in marks {
        match mark {
            Mark::Shape(_, Fill::Hatched(colour), _, _) => colours.push(*colour),
            Mark::Clipped(_, marks) => hatched(marks, colours),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_short_and_always_numbers() {
        let said = [1.0, -0.001, 2.345_678, f64::NAN, f64::INFINITY, 1e300, 100.0].map(unit);
        assert_eq!(said, ["1", "0", "2.35", "0", "0", "100000", "100"]);
    }

    #[test]
    fn places_on_a_level_line_are_left_out_and_turns_are_kept() {
        let places = [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.0, 2.0), (3.0, 2.0), (2.0, 2.0)];
        assert_eq!(path(&places, false), "M0 0L0 2L3 2L2 2");
    }
}
