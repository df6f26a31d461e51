//! The words around a frame: axis labels, categories, names of references.

use super::super::axis::TICK;
use super::super::painter::Frame;
use super::super::scene::{Anchor, Colour, Mark, Words};
use super::super::text::{width, wrap};
use super::{LABEL, LABEL_LINE, Plot, SLANT};

impl Plot {
    /// Height that slanted category labels need below the frame; `None` where they fit side by
    /// side.
    pub(super) fn slanted(&self, frame_width: f64) -> Option<f64> {
        let categories = &self.x.categories;
        let slot = frame_width / categories.len().max(1) as f64 - 6.0;
        let words = || categories.iter().flat_map(|text| text.split(' '));
        if words().all(|word| width(word, TICK) <= slot) {
            return None;
        }
        let longest = categories.iter().map(|text| width(text, TICK)).fold(0.0, f64::max);
        Some(longest * SLANT.to_radians().sin() + 20.0)
    }

    /// Writes category and axis labels, and returns how far below the frame they reach.
    pub(super) fn axis_words(&self, frame: &Frame, marks: &mut Vec<Mark>) -> f64 {
        let base = frame.top + frame.height;
        let mut below = 24.0;
        if let Some(room) = self.slanted(frame.width) {
            for (i, text) in self.x.categories.iter().enumerate() {
                let at = (frame.across(i as f64) + 4.0, base + 15.0);
                let words = Words { turned: -SLANT, ..Words::new(text, at, TICK, Anchor::End) };
                marks.push(Mark::Words(Words { colour: Colour::Muted, ..words }));
            }
            below = room;
        } else {
            let slot = frame.width / self.x.categories.len().max(1) as f64;
            for (i, text) in self.x.categories.iter().enumerate() {
                for (row, line) in wrap(text, TICK, slot - 4.0).into_iter().enumerate() {
                    let y = base + 17.0 + row as f64 * 14.0;
                    let words = Words::new(line, (frame.across(i as f64), y), TICK, Anchor::Middle);
                    marks.push(Mark::Words(Words { colour: Colour::Muted, ..words }));
                    below = below.max(24.0 + row as f64 * 14.0);
                }
            }
        }
        let middle = frame.left + frame.width / 2.0;
        for line in wrap(&self.x.label, LABEL, frame.width) {
            marks.push(Mark::Words(Words::new(line, (middle, base + below + 13.0), LABEL, Anchor::Middle)));
            below += LABEL_LINE;
        }
        let lines = wrap(&self.y.label, LABEL, frame.height);
        let left = frame.left - frame.y.widest() - 13.0 - (lines.len() as f64 - 1.0) * LABEL_LINE;
        for (i, line) in lines.into_iter().enumerate() {
            let at = (left + i as f64 * LABEL_LINE, frame.top + frame.height / 2.0);
            let words = Words::new(line, at, LABEL, Anchor::Middle);
            marks.push(Mark::Words(Words { turned: -90.0, ..words }));
        }
        below + 4.0
    }

    /// Label, middle and row above the frame of each vertical reference, so that no two labels
    /// overlap.
    pub(super) fn label_rows(&self, frame: &Frame) -> Vec<(String, f64, usize)> {
        let upright = self.references().filter(|r| r.upright && !r.label.is_empty() && frame.x.holds(r.at));
        let mut labels: Vec<(String, f64)> = upright.map(|r| (r.label.clone(), frame.across(r.at))).collect();
        labels.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut ends: Vec<f64> = Vec::new();
        let mut rows = Vec::new();
        for (label, at) in labels {
            let half = width(&label, TICK) / 2.0;
            let middle = at.min(self.width - half - 4.0).max(half + 4.0);
            let free = ends.iter().position(|end| middle - half > end + 10.0).unwrap_or(ends.len());
            match ends.get_mut(free) {
                Some(end) => *end = middle + half,
                None => ends.push(middle + half),
            }
            rows.push((label, middle, free));
        }
        rows
    }

    /// Writes the names of references: above the frame, or on the horizontal line at its right.
    pub(super) fn reference_labels(&self, frame: &Frame, marks: &mut Vec<Mark>) {
        for (label, middle, row) in self.label_rows(frame) {
            let at = (middle, frame.top - 6.0 - row as f64 * 15.0);
            let words = Words::new(label, at, TICK, Anchor::Middle);
            marks.push(Mark::Words(Words { colour: Colour::Muted, ..words }));
        }
        for reference in self.references().filter(|r| !r.upright && frame.y.holds(r.at)) {
            let y = frame.up(reference.at);
            let y = if y < frame.top + 18.0 { y + 14.0 } else { y - 5.0 };
            let words = Words::new(&reference.label, (frame.left + frame.width - 4.0, y), TICK, Anchor::End);
            marks.push(Mark::Words(Words { colour: Colour::Muted, halo: true, ..words }));
        }
    }
}
