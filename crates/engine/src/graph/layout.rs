//! Which nodes the stages of a file become, and which of them a name in it means: a stage without a matrix is one
//! node, one with a matrix a node for every combination of its axes' values. Knows no parameter and no port.

use std::collections::{BTreeMap, BTreeSet};

use crate::locate::Side;
use crate::matrix::{self, Axes, MOST_INSTANCES, Matrix, Point, name};
use crate::spec::{Problem, Spec, StageSpec};
use crate::suggest::did_you_mean;

/// Longer names may not fit a file system beside what temporary files add to them.
const LONGEST_NAME: usize = 200;

/// The nodes of a pipeline by name, before there are any.
pub(super) struct Layout<'a> {
    spec: &'a Spec,
    /// Stages that have a matrix.
    axes: BTreeMap<&'a str, &'a Axes>,
    points: BTreeMap<&'a str, Vec<Point>>,
    /// A node's name to its place among all, in the order of the file's names.
    nodes: BTreeMap<String, usize>,
}

impl<'a> Layout<'a> {
    /// # Errors
    /// Matrices that are taken from stages that have none, and those that are too large.
    pub(super) fn new(spec: &'a Spec) -> Result<Layout<'a>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut layout =
            Layout { spec, axes: BTreeMap::new(), points: BTreeMap::new(), nodes: BTreeMap::new() };
        for (stage, written) in &spec.stages {
            let mut points = vec![Point::new()];
            if let Some(setting) = &written.matrix {
                match axes_of(spec, stage, written).and_then(|axes| points_of(stage, axes).map(|p| (axes, p)))
                {
                    Ok((axes, all)) => {
                        layout.axes.insert(stage, axes);
                        points = all;
                    }
                    Err(message) => problems.push(spec.problem(&setting.origin, Side::Value, message)),
                }
            }
            for point in &points {
                layout.nodes.insert(name(stage, point), layout.nodes.len());
            }
            layout.points.insert(stage, points);
        }
        if problems.is_empty() { Ok(layout) } else { Err(problems) }
    }

    /// The names of all nodes that the file has, without a profile and with each; `None` where one of them cannot be laid
    /// out.
    pub(super) fn all_names(spec: &Spec) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for stages in &spec.variants {
            let variant = spec.with_stages(stages);
            names.extend(Layout::new(&variant).ok()?.nodes.into_keys());
        }
        Some(names)
    }

    /// Where the instances of a stage stand; one point without axes when it has no matrix.
    pub(super) fn points(&self, stage: &str) -> &[Point] {
        self.points.get(stage).map_or(&[], Vec::as_slice)
    }

    /// The axes of a stage; `None` when it has no matrix.
    pub(super) fn axes(&self, stage: &str) -> Option<&'a Axes> {
        self.axes.get(stage).copied()
    }

    pub(super) fn stages(&self) -> impl Iterator<Item = &'a str> {
        self.spec.stages.keys().map(String::as_str)
    }

    /// The stage that a text names, and what follows an `@` after it; `None` for a path.
    pub(super) fn stage<'t>(&self, given: &'t str) -> Option<(&'t str, Option<&'t str>)> {
        let (stage, words) = match given.split_once('@') {
            Some((stage, words)) => (stage, Some(words)),
            None => (given, None),
        };
        let named = self.spec.stages.contains_key(stage);
        // A path may hold an @; only values after it make an instance of it, and no value holds a slash.
        (named && words.is_none_or(|words| words.contains('=') && !words.contains('/')))
            .then_some((stage, words))
    }

    /// The one spelling of a text that names a stage or instances of it, with the axes in which they differ still;
    /// another text as it is.
    pub(super) fn spelled(&self, given: &str, label: &str) -> String {
        let pinned =
            |(stage, words)| Some(name(stage, &pinned(stage, self.axes(stage)?, given, words).ok()?));
        let name = self.stage(given).and_then(pinned).unwrap_or_else(|| given.to_owned());
        match label {
            "" => name,
            _ if name.contains('@') => format!("{name},{label}"),
            _ => format!("{name}@{label}"),
        }
    }

    /// The nodes that a text means to a reader that stands at `reader`, each with the axes in which they differ
    /// (an empty label where it can be only one). `None` when it names no stage.
    ///
    /// # Errors
    /// What the stage does not have.
    pub(super) fn nodes(&self, given: &str, reader: &Point) -> Result<Option<Vec<(String, usize)>>, String> {
        let Some((stage, words)) = self.stage(given) else { return Ok(None) };
        let Some(axes) = self.axes(stage) else {
            if words.is_some() {
                return Err(format!("{stage} has no matrix, so that there is no {given}; name {stage}"));
            }
            return Ok(self.nodes.get(stage).map(|&index| vec![(String::new(), index)]));
        };
        let shared = reader.iter().filter(|(axis, _)| axes.contains_key(*axis));
        let mut fixed: Point = shared.map(|(axis, value)| (axis.clone(), value.clone())).collect();
        fixed.extend(pinned(stage, axes, given, words)?);
        let free = axes.iter().filter(|(axis, _)| !fixed.contains_key(*axis));
        let mut found = Vec::new();
        for free in matrix::points(free) {
            let label = matrix::label(&free);
            let mut point = free;
            point.extend(fixed.clone());
            match self.nodes.get(&name(stage, &point)) {
                Some(&index) => found.push((label, index)),
                None => return Err(lacking(stage, axes, &fixed)),
            }
        }
        Ok(Some(found))
    }
}

/// The values that are named after an `@`.
fn pinned(stage: &str, axes: &Axes, given: &str, words: Option<&str>) -> Result<Point, String> {
    let mut point = Point::new();
    let Some(words) = words else { return Ok(point) };
    let pairs = matrix::words(words)
        .ok_or_else(|| format!("\"{given}\" is not of the form {stage}@axis=value,axis=value"))?;
    for (axis_name, word) in pairs {
        let Some(axis) = axes.get(axis_name) else {
            let hint = did_you_mean(axis_name, axes.keys().map(String::as_str));
            let all = axes.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(format!("{stage} has no axis \"{axis_name}\"{hint}; it has: {all}"));
        };
        let value = axis.find(word).ok_or_else(|| {
            format!("{stage} has no {axis_name}={word}; its values of {axis_name} are: {}", axis.list())
        })?;
        if point.insert(axis_name.to_owned(), value.clone()).is_some() {
            return Err(format!("\"{given}\" gives {axis_name} twice"));
        }
    }
    Ok(point)
}

/// The value of a reader that the stage that it reads does not have.
fn lacking(stage: &str, axes: &Axes, fixed: &Point) -> String {
    let text = matrix::text_of;
    let has = |axis: &str, value| axes[axis].values.iter().any(|known| text(&known.value) == text(value));
    let missing = fixed.iter().find(|(axis, value)| !has(axis.as_str(), value));
    missing.map_or_else(
        || format!("{stage} has no instance {}", matrix::label(fixed)),
        |(axis, value)| {
            let (value, list) = (text(value), axes[axis].list());
            format!("{stage} has no {axis}={value}, which this stage has; its values of {axis} are: {list}")
        },
    )
}

/// A stage's own axes, or those of the stage that it takes them from.
fn axes_of<'a>(spec: &'a Spec, stage: &'a str, written: &'a StageSpec) -> Result<&'a Axes, String> {
    let mut way = vec![stage];
    let mut written = written;
    loop {
        match written.matrix.as_ref().map(|setting| &setting.value) {
            Some(Matrix::Axes(axes)) => return Ok(axes),
            Some(Matrix::Like(other)) => {
                let Some(next) = spec.stages.get(other) else {
                    let hint = did_you_mean(other, spec.stages.keys().map(String::as_str));
                    return Err(format!("unknown stage \"{other}\"{hint}, whose matrix this one is to have"));
                };
                let round = way.contains(&other.as_str());
                way.push(other);
                if round {
                    let way = way.join(" -> ");
                    return Err(format!("the stages take their axes from each other in a circle: {way}"));
                }
                written = next;
            }
            None => {
                let other = way[way.len() - 1];
                return Err(format!("{other} has no matrix; write the axes here, or give {other} some"));
            }
        }
    }
}

fn points_of(stage: &str, axes: &Axes) -> Result<Vec<Point>, String> {
    let count = matrix::count(axes);
    if count > MOST_INSTANCES {
        let axes = axes.iter().map(|(axis, values)| format!("{} of {axis}", values.values.len()));
        let axes = axes.collect::<Vec<_>>().join(" x ");
        return Err(format!(
            "there would be {count} instances of {stage} ({axes}); at most {MOST_INSTANCES} are allowed"
        ));
    }
    let points = matrix::points(axes.iter());
    match points.iter().map(|point| name(stage, point)).find(|name| name.len() > LONGEST_NAME) {
        Some(name) => {
            let length = name.len();
            Err(format!("the name {name} has {length} characters; at most {LONGEST_NAME} are allowed"))
        }
        None => Ok(points),
    }
}
