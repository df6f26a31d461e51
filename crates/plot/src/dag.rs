//! A directed acyclic graph, from top to bottom: boxes in layers, with each reader below what it
//! reads.
//!
//! It follows the steps of Sugiyama, Tagawa and Toda 1981: layers by the longest path, a slot in
//! every layer that an edge passes, and an order within layers by the mean of the neighbours
//! (barycentres).

use super::chart::Chart;
use super::flow::{arrow, frame};
use super::scene::{Anchor, Colour, Fill, Geometry, Mark, Place, Scene, Words};
use super::text::{bold_width, width};

/// Font height.
const SIZE: f64 = 12.5;
/// Height of a line.
const LINE: f64 = 16.0;
/// Distance between a box and its words.
const PAD: f64 = 12.0;
/// Margin around the graph.
const EDGE: f64 = 8.0;
/// Distance between the boxes of a layer.
const AIR: f64 = 22.0;
/// Distance between layers.
const GAP: f64 = 38.0;
/// Number of passes over the layers, down and up.
const PASSES: usize = 8;
/// Minimum width of the chart.
const LEAST: f64 = 300.0;

/// A box of the graph.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Node {
    title: String,
    lines: Vec<String>,
    flagged: bool,
    hover: Option<String>,
}

impl Node {
    /// A box with a title in bold.
    pub fn new(title: impl Into<String>) -> Node {
        Node { title: title.into(), lines: Vec::new(), flagged: false, hover: None }
    }

    /// Adds a line of text below.
    pub fn line(mut self, text: impl Into<String>) -> Node {
        self.lines.push(text.into());
        self
    }

    /// Whether the box has the colour of things that deserve a look.
    pub fn flagged(mut self, flagged: bool) -> Node {
        self.flagged = flagged;
        self
    }

    /// The text shown when the mouse is over the box.
    pub fn hover(mut self, text: impl Into<String>) -> Node {
        self.hover = Some(text.into());
        self
    }

    fn size(&self) -> (f64, f64) {
        let lines = self.lines.iter().map(|line| width(line, SIZE));
        let wide = lines.fold(bold_width(&self.title, SIZE), f64::max);
        (wide + 2.0 * PAD, (self.lines.len() + 1) as f64 * LINE + 1.2 * PAD)
    }
}

/// Boxes and arrows between them.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Dag {
    name: String,
    title: String,
    alternative: String,
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
}

/// A position in a layer: a box, or an edge that passes through.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    node: Option<usize>,
    size: (f64, f64),
    /// Left end; before that is known, the position in the order of the layer.
    left: f64,
}

impl Slot {
    fn middle(&self) -> f64 {
        self.left + self.size.0 / 2.0
    }
}

impl Dag {
    /// A graph without boxes.
    pub fn new(name: impl Into<String>, title: impl Into<String>) -> Dag {
        let (nodes, edges) = (Vec::new(), Vec::new());
        Dag { name: name.into(), title: title.into(), alternative: String::new(), nodes, edges }
    }

    /// A description for readers who cannot see the graph.
    pub fn alternative(mut self, text: impl Into<String>) -> Dag {
        self.alternative = text.into();
        self
    }

    /// Adds a box. Boxes are numbered from 0 in the order in which they are added.
    pub fn node(mut self, node: Node) -> Dag {
        self.nodes.push(node);
        self
    }

    /// Adds an arrow from a box to one that comes after it. An arrow from a later box, or to a box
    /// that does not exist, is left out: the boxes are expected in topological order.
    pub fn edge(mut self, from: usize, to: usize) -> Dag {
        if from < to && to < self.nodes.len() && !self.edges.contains(&(from, to)) {
            self.edges.push((from, to));
        }
        self
    }

    /// Draws the graph.
    pub fn draw(&self) -> Chart {
        let (mut layers, links) = self.layers();
        order(&mut layers, &links);
        let room = layers.iter().map(|layer| breadth(layer)).fold(LEAST, f64::max);
        for layer in &mut layers {
            let mut left = EDGE + (room - breadth(layer)) / 2.0;
            let mut in_order: Vec<&mut Slot> = layer.iter_mut().collect();
            in_order.sort_by(|a, b| a.left.total_cmp(&b.left));
            for slot in in_order {
                slot.left = left;
                left += slot.size.0 + AIR;
            }
        }
        let mut tops = Vec::new();
        let mut y = EDGE;
        for layer in &layers {
            tops.push(y);
            y += layer.iter().map(|slot| slot.size.1).fold(0.0, f64::max) + GAP;
        }
        let mut marks = Vec::new();
        for chain in &links {
            arrow(&mut marks, &path(chain, &layers, &tops));
        }
        for (layer, top) in layers.iter().zip(&tops) {
            for slot in layer {
                if let Some(node) = slot.node.and_then(|node| self.nodes.get(node)) {
                    draw(&mut marks, node, (slot.left, *top), slot.size);
                }
            }
        }
        let height = if layers.is_empty() { 2.0 * EDGE } else { y - GAP + EDGE };
        Chart {
            name: self.name.clone(),
            title: self.title.clone(),
            alternative: self.alternative.clone(),
            scene: Scene { width: room + 2.0 * EDGE, height: height.ceil(), marks },
        }
    }

    /// The slots of each layer, and each edge as the slots that it passes through, by layer and
    /// identity of the slot.
    fn layers(&self) -> (Vec<Vec<Slot>>, Vec<Vec<Link>>) {
        let mut rank = vec![0; self.nodes.len()];
        // Boxes are in topological order, so everything that a box reads already has its rank.
        let mut edges = self.edges.clone();
        edges.sort_by_key(|&(from, to)| (to, from));
        for &(from, to) in &edges {
            rank[to] = rank[to].max(rank[from] + 1);
        }
        let depth = rank.iter().max().map_or(0, |deepest| deepest + 1);
        let mut layers: Vec<Vec<Slot>> = vec![Vec::new(); depth];
        let mut place = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let layer = &mut layers[rank[index]];
            place.push((rank[index], layer.len()));
            layer.push(Slot { node: Some(index), size: node.size(), left: 0.0 });
        }
        let links = edges.iter().map(|&(from, to)| {
            let mut chain = vec![place[from]];
            for (between, layer) in layers.iter_mut().enumerate().take(rank[to]).skip(rank[from] + 1) {
                chain.push((between, layer.len()));
                layer.push(Slot { node: None, size: (2.0, 0.0), left: 0.0 });
            }
            chain.push(place[to]);
            chain
        });
        let links = links.collect();
        (layers, links)
    }
}

/// A slot, by its layer and its number in the layer.
type Link = (usize, usize);

/// The path of an edge: straight through the layers that it passes.
fn path(chain: &[Link], layers: &[Vec<Slot>], tops: &[f64]) -> Vec<Place> {
    let mut places = Vec::new();
    for (step, &(layer, slot)) in chain.iter().enumerate() {
        let slot = &layers[layer][slot];
        let deepest = layers[layer].iter().map(|slot| slot.size.1).fold(0.0, f64::max);
        let (top, middle) = (tops[layer], slot.middle());
        if step == 0 {
            places.extend([(middle, top + slot.size.1), (middle, top + deepest)]);
        } else if step + 1 == chain.len() {
            places.extend([(middle, top - 10.0), (middle, top)]);
        } else {
            places.extend([(middle, top - 10.0), (middle, top + deepest)]);
        }
    }
    places
}

fn breadth(layer: &[Slot]) -> f64 {
    layer.iter().map(|slot| slot.size.0).sum::<f64>() + AIR * layer.len().saturating_sub(1) as f64
}

/// Finds the order of each layer's slots by the mean position of their neighbours; `left` is then
/// the position in that order.
fn order(layers: &mut [Vec<Slot>], links: &[Vec<Link>]) {
    // `at[layer][slot]` is the position of the slot in the order; a slot keeps its number in
    // `links`.
    let mut at: Vec<Vec<usize>> = layers.iter().map(|layer| (0..layer.len()).collect()).collect();
    let mut above: Vec<Vec<Vec<usize>>> = at.iter().map(|layer| vec![Vec::new(); layer.len()]).collect();
    let mut below = above.clone();
    for chain in links {
        for pair in chain.windows(2) {
            let ((upper, a), (lower, b)) = (pair[0], pair[1]);
            below[upper][a].push(b);
            above[lower][b].push(a);
        }
    }
    for pass in 0..PASSES {
        let down = pass % 2 == 0;
        let all = 0..layers.len();
        let sequence: Vec<usize> = if down { all.skip(1).collect() } else { all.rev().skip(1).collect() };
        for layer in sequence {
            let (neighbours, beside) = if down { (&above, layer - 1) } else { (&below, layer + 1) };
            let mean = |slot: usize| {
                let places = neighbours[layer][slot].iter().map(|&other| at[beside][other] as f64);
                let count = places.len() as f64;
                if count > 0.0 { places.sum::<f64>() / count } else { at[layer][slot] as f64 }
            };
            let mut slots: Vec<(f64, usize, usize)> =
                (0..at[layer].len()).map(|slot| (mean(slot), at[layer][slot], slot)).collect();
            slots.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (place, (_, _, slot)) in slots.into_iter().enumerate() {
                at[layer][slot] = place;
            }
        }
    }
    for (layer, places) in layers.iter_mut().zip(&at) {
        // Left ends follow the order; the slots keep the numbers that the links use.
        for (slot, &place) in layer.iter_mut().zip(places) {
            slot.left = place as f64;
        }
    }
}

fn draw(marks: &mut Vec<Mark>, node: &Node, (left, top): Place, (wide, high): (f64, f64)) {
    frame(marks, (left, top), (wide, high), if node.flagged { Colour::Second } else { Colour::First });
    let lines = std::iter::once((&node.title, true)).chain(node.lines.iter().map(|line| (line, false)));
    for (index, (line, bold)) in lines.enumerate() {
        let at = (left + wide / 2.0, top + 0.6 * PAD + 12.0 + index as f64 * LINE);
        marks.push(Mark::Words(Words { bold, ..Words::new(line, at, SIZE, Anchor::Middle) }));
    }
    if let Some(hover) = &node.hover {
        let area = Geometry::Rect(left, top, wide, high);
        marks.push(Mark::Shape(area, Fill::Empty, None, Some(hover.clone())));
    }
}
