//! Expands the stages of a file into nodes and finds the nodes that a name refers to. A stage
//! without a matrix is one node; a stage with a matrix has one node for every combination of its
//! axes' values.

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_stage::{Labelled, did_you_mean};

use crate::error::Problem;
use crate::instance::{Point, label as label_of, name, text_of, words as words_of};
use crate::spec::axes::{Axes, MOST_INSTANCES, Matrix, count, points};
use crate::spec::locate::Side;
use crate::spec::{Spec, StageSpec};

/// With the suffix of temporary files, a longer name may exceed the limit of a file system.
const LONGEST_NAME: usize = 200;

/// The names of a pipeline's nodes, before the nodes are built.
pub(super) struct Instances<'a> {
    spec: &'a Spec,
    /// The stages that have a matrix.
    axes: BTreeMap<&'a str, &'a Axes>,
    points: BTreeMap<&'a str, Vec<Point>>,
    /// Each node's name and its index, in the order of the file's names.
    nodes: BTreeMap<String, usize>,
}

impl<'a> Instances<'a> {
    /// # Errors
    /// When a matrix refers to a stage that has none, or a matrix is too large.
    pub(super) fn new(spec: &'a Spec) -> Result<Instances<'a>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut instances =
            Instances { spec, axes: BTreeMap::new(), points: BTreeMap::new(), nodes: BTreeMap::new() };
        for (stage, written) in &spec.stages {
            let mut points = vec![Point::new()];
            if let Some(setting) = &written.matrix {
                match axes_of(spec, stage, written).and_then(|axes| points_of(stage, axes).map(|p| (axes, p)))
                {
                    Ok((axes, all)) => {
                        instances.axes.insert(stage, axes);
                        points = all;
                    }
                    Err(message) => problems.push(spec.problem(&setting.origin, Side::Value, message)),
                }
            }
            for point in &points {
                instances.nodes.insert(name(stage, point), instances.nodes.len());
            }
            instances.points.insert(stage, points);
        }
        if problems.is_empty() { Ok(instances) } else { Err(problems) }
    }

    /// The names of all nodes of the file, without a profile and with each profile; `None` where
    /// one of them cannot be expanded.
    pub(super) fn all_names(spec: &Spec) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for stages in &spec.variants {
            let variant = spec.with_stages(stages);
            names.extend(Instances::new(&variant).ok()?.nodes.into_keys());
        }
        Some(names)
    }

    /// The points of a stage's instances; a stage without a matrix has one point without axes.
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

    /// The stage that a text names, and the part after an `@`; `None` for a path.
    pub(super) fn stage<'t>(&self, given: &'t str) -> Option<(&'t str, Option<&'t str>)> {
        let Labelled { name: stage, label: words } = Labelled::parse(given);
        let named = self.spec.stages.contains_key(stage);
        // A path may contain an `@`. Only values after it name an instance, and no value contains a
        // slash.
        (named && words.is_none_or(|words| words.contains('=') && !words.contains('/')))
            .then_some((stage, words))
    }

    /// The canonical spelling of a text that names a stage or its instances, with the axes that are
    /// left open. Any other text is returned unchanged.
    pub(super) fn spelled(&self, given: &str, label: &str) -> String {
        let pinned =
            |(stage, words)| Some(name(stage, &pinned(stage, self.axes(stage)?, given, words).ok()?));
        let name = self.stage(given).and_then(pinned).unwrap_or_else(|| given.to_owned());
        match label {
            "" => name,
            _ if Labelled::parse(&name).label.is_some() => format!("{name},{label}"),
            _ => Labelled::new(&name, label).to_string(),
        }
    }

    /// The nodes that a text names for a reader at the point `reader`, each with a label of the
    /// axes in which they differ. The label is empty where only one node is possible. `None` when
    /// the text names no stage.
    ///
    /// # Errors
    /// When the text names an axis or a value that the stage does not have.
    pub(super) fn nodes(&self, given: &str, reader: &Point) -> Result<Option<Vec<(String, usize)>>, String> {
        let Some((stage, words)) = self.stage(given) else { return Ok(None) };
        let Some(axes) = self.axes(stage) else {
            if words.is_some() {
                return Err(format!("{stage} has no matrix, so there is no {given}; write {stage}"));
            }
            return Ok(self.nodes.get(stage).map(|&index| vec![(String::new(), index)]));
        };
        let shared = reader.iter().filter(|(axis, _)| axes.contains_key(*axis));
        let mut fixed: Point = shared.map(|(axis, value)| (axis.clone(), value.clone())).collect();
        fixed.extend(pinned(stage, axes, given, words)?);
        let free = axes.iter().filter(|(axis, _)| !fixed.contains_key(*axis));
        let mut found = Vec::new();
        for free in points(free) {
            let label = label_of(&free);
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

/// The axis values named after an `@`.
fn pinned(stage: &str, axes: &Axes, given: &str, words: Option<&str>) -> Result<Point, String> {
    let mut point = Point::new();
    let Some(words) = words else { return Ok(point) };
    let pairs = words_of(words)
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
            return Err(format!("\"{given}\" sets {axis_name} twice"));
        }
    }
    Ok(point)
}

/// The error for a value of a reader that the stage it reads does not have.
fn lacking(stage: &str, axes: &Axes, fixed: &Point) -> String {
    let text = text_of;
    let has = |axis: &str, value| axes[axis].values.iter().any(|known| text(&known.value) == text(value));
    let missing = fixed.iter().find(|(axis, value)| !has(axis.as_str(), value));
    missing.map_or_else(
        || format!("{stage} has no instance {}", label_of(fixed)),
        |(axis, value)| {
            let (value, list) = (text(value), axes[axis].list());
            format!("this stage has {axis}={value}, but {stage} does not; its values of {axis} are: {list}")
        },
    )
}

/// The axes of a stage, or those of the stage that it takes its matrix from.
fn axes_of<'a>(spec: &'a Spec, stage: &'a str, written: &'a StageSpec) -> Result<&'a Axes, String> {
    let mut way = vec![stage];
    let mut written = written;
    loop {
        match written.matrix.as_ref().map(|setting| &setting.value) {
            Some(Matrix::Axes(axes)) => return Ok(axes),
            Some(Matrix::Like(other)) => {
                let Some(next) = spec.stages.get(other) else {
                    let hint = did_you_mean(other, spec.stages.keys().map(String::as_str));
                    return Err(format!(
                        "unknown stage \"{other}\"{hint}; matrix must name a stage of the pipeline"
                    ));
                };
                let round = way.contains(&other.as_str());
                way.push(other);
                if round {
                    let way = way.join(" -> ");
                    return Err(format!("the stages take their axes from each other in a cycle: {way}"));
                }
                written = next;
            }
            None => {
                let other = way[way.len() - 1];
                return Err(format!("{other} has no matrix; write the axes here, or give {other} a matrix"));
            }
        }
    }
}

fn points_of(stage: &str, axes: &Axes) -> Result<Vec<Point>, String> {
    let count = count(axes);
    if count > MOST_INSTANCES {
        let axes = axes.iter().map(|(axis, values)| format!("{} of {axis}", values.values.len()));
        let axes = axes.collect::<Vec<_>>().join(" x ");
        return Err(format!(
            "{stage} would have {count} instances ({axes}); at most {MOST_INSTANCES} are allowed"
        ));
    }
    let points = points(axes.iter());
    match points.iter().map(|point| name(stage, point)).find(|name| name.len() > LONGEST_NAME) {
        Some(name) => {
            let length = name.len();
            Err(format!("the name {name} has {length} characters; at most {LONGEST_NAME} are allowed"))
        }
        None => Ok(points),
    }
}
