//! `ctpipe dag`: draws the pipeline as a graph, with the state of each stage, its reasons, and the
//! duration of its current result. All instances of a stage with a matrix share one node. Nothing
//! is run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ctpipe_engine::graph::Source;
use ctpipe_engine::history::StageRecord;
use ctpipe_engine::html::{STYLE, escape};
use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::dry_run;
use ctpipe_engine::{Decision, Pipeline, Selection, describe};
use ctpipe_plot::{Dag, Node};
use ctpipe_stage::Labelled;

use crate::cli::{self, Format, Global};
use crate::context;
use crate::printed::DagRow;
use crate::terminal::{print_json, say};

pub(crate) fn dag(global: &Global, args: &cli::Dag) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let decisions = dry_run(&pipeline, &Selection::default(), false, LockUse::Update)?;
    let stages = stages(&pipeline, &decisions);
    match args.format {
        _ if global.json => print_json(&stages)?,
        Format::Text => say!("{}", text(&stages).trim_end()),
        Format::Mermaid => say!("{}", mermaid(&stages).trim_end()),
        Format::Dot => say!("{}", dot(&stages).trim_end()),
        Format::Html => say!("{}", html(&stages).trim_end()),
    }
    Ok(0)
}

/// The graph of a finished run, for the page of the run.
pub(crate) fn of_run(
    pipeline: &Pipeline,
    records: &[StageRecord],
    unfinished: &BTreeMap<String, &'static str>,
) -> String {
    let mut graph = Dag::new("run", "The state of each stage");
    let mut rows = stages(pipeline, &[]);
    for row in &mut rows {
        let is_one = |name: &str| name == row.stage || Labelled::parse(name).name == row.stage;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for record in records.iter().filter(|record| is_one(&record.stage)) {
            let outcome = serde_json::to_value(record.outcome).unwrap_or_default();
            *counts.entry(outcome.as_str().unwrap_or_default().replace('_', " ")).or_default() += 1;
        }
        let done: usize = counts.values().sum();
        let open: Vec<&str> =
            unfinished.iter().filter(|(name, _)| is_one(name)).map(|(_, word)| *word).collect();
        for word in &open {
            *counts.entry((*word).to_owned()).or_default() += 1;
        }
        let others = row.instances.saturating_sub(done + open.len());
        if others > 0 {
            counts.insert("not selected".to_owned(), others);
        }
        row.stale = !open.is_empty();
        row.state = counted(counts.iter().map(|(word, count)| (word.as_str(), *count)));
        graph = graph.node(Node::new(row.title()).line(row.state.clone()).flagged(row.stale));
    }
    for (from, to) in edges(&rows) {
        graph = graph.edge(from, to);
    }
    let said =
        rows.iter().map(|row| format!("{}: {}", row.title(), row.state)).collect::<Vec<_>>().join("; ");
    graph.alternative(format!("{said}.")).draw().inline()
}

/// "fresh", or the number of instances in each state.
fn counted<'a>(words: impl Iterator<Item = (&'a str, usize)> + Clone) -> String {
    if words.clone().count() == 1 {
        return words.map(|(word, _)| word.to_owned()).collect();
    }
    words.map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// In pipeline order: each stage comes after its inputs.
fn stages(pipeline: &Pipeline, decisions: &[(String, Decision)]) -> Vec<DagRow> {
    let decisions: BTreeMap<&str, &Decision> =
        decisions.iter().map(|(name, decision)| (name.as_str(), decision)).collect();
    let mut order: Vec<&str> = Vec::new();
    for node in &pipeline.nodes {
        if !order.contains(&node.of()) {
            order.push(node.of());
        }
    }
    let stage = |name: &&str| {
        let nodes: Vec<_> = pipeline.nodes.iter().filter(|node| node.of() == *name).collect();
        let (mut reads, mut inputs) = (BTreeSet::new(), BTreeSet::new());
        for source in nodes.iter().flat_map(|node| node.inputs.values()) {
            match source {
                Source::Stage(index) => drop(reads.insert(pipeline.nodes[*index].of().to_owned())),
                Source::Path { given, .. } => drop(inputs.insert(given.clone())),
            }
        }
        let of: Vec<&Decision> =
            nodes.iter().filter_map(|node| decisions.get(node.name.as_str()).copied()).collect();
        let mut words: Vec<(&str, usize)> = Vec::new();
        for decision in &of {
            let word = describe(&decision.state).0;
            match words.iter_mut().find(|(known, _)| *known == word) {
                Some((_, count)) => *count += 1,
                None => words.push((word, 1)),
            }
        }
        let state = counted(words.iter().copied());
        let stale = of.iter().find(|decision| decision.state.is_stale());
        let made = of.iter().filter_map(|decision| decision.current.as_ref());
        let seconds: Vec<f64> = made.map(|artifact| artifact.manifest.made.seconds).collect();
        DagRow {
            stage: (*name).to_owned(),
            instances: nodes.len(),
            reads: reads.into_iter().collect(),
            inputs: inputs.into_iter().collect(),
            state,
            why: stale.or(of.first()).map(|decision| describe(&decision.state).1).unwrap_or_default(),
            stale: stale.is_some(),
            seconds: (!seconds.is_empty()).then(|| seconds.iter().sum()),
        }
    };
    order.iter().map(stage).collect()
}

impl DagRow {
    fn title(&self) -> String {
        if self.instances > 1 {
            format!("{} ({} instances)", self.stage, self.instances)
        } else {
            self.stage.clone()
        }
    }

    fn took(&self) -> String {
        self.seconds.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default()
    }
}

fn text(stages: &[DagRow]) -> String {
    let mut text = String::new();
    let width = stages.iter().map(|stage| stage.title().len()).max().unwrap_or(0);
    for stage in stages {
        let reads = [stage.reads.clone(), stage.inputs.clone()].concat().join(", ");
        let arrow = if reads.is_empty() { String::new() } else { format!(" <- {reads}") };
        let took = if stage.seconds.is_some() { format!("  [{}]", stage.took()) } else { String::new() };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:width$}{arrow}", stage.title());
        let _ = writeln!(text, "{:width$}    {}: {}{took}", "", stage.state, stage.why);
    }
    text
}

/// The name of a node in Mermaid, which must be one word.
fn word(index: usize) -> String {
    format!("s{index}")
}

fn mermaid(stages: &[DagRow]) -> String {
    // Mermaid has its own entities, such as #quot;.
    let quoted = |text: &str| text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;");
    let mut text = "flowchart TD\n".to_owned();
    for (index, stage) in stages.iter().enumerate() {
        let took = if stage.seconds.is_some() { format!(", {}", stage.took()) } else { String::new() };
        let class = if stage.stale { ":::stale" } else { "" };
        let label = format!("{}<br>{}{took}", quoted(&stage.title()), quoted(&stage.state));
        let _ = writeln!(text, "  {}[\"{label}\"]{class}", word(index));
    }
    for (from, to) in edges(stages) {
        let _ = writeln!(text, "  {} --> {}", word(from), word(to));
    }
    text + "  classDef stale stroke:#b85900,stroke-dasharray:4\n"
}

fn dot(stages: &[DagRow]) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = "digraph pipeline {\n  node [shape=box, fontname=\"sans-serif\"];\n".to_owned();
    for stage in stages {
        let style = if stage.stale { ", color=\"#b85900\", style=dashed" } else { ", color=\"#0b6e8a\"" };
        let label = format!("{}\\n{} {}", quoted(&stage.title()), quoted(&stage.state), stage.took());
        let _ = writeln!(
            text,
            "  \"{}\" [label=\"{}\", tooltip=\"{}\"{style}];",
            quoted(&stage.stage),
            label.trim_end(),
            quoted(&stage.why)
        );
    }
    for (from, to) in edges(stages) {
        let _ = writeln!(text, "  \"{}\" -> \"{}\";", quoted(&stages[from].stage), quoted(&stages[to].stage));
    }
    text + "}\n"
}

fn edges(stages: &[DagRow]) -> Vec<(usize, usize)> {
    let place = |name: &String| stages.iter().position(|stage| stage.stage == *name);
    let of = |(to, stage): (usize, &DagRow)| -> Vec<(usize, usize)> {
        stage.reads.iter().filter_map(|name| Some((place(name)?, to))).collect()
    };
    stages.iter().enumerate().flat_map(of).collect()
}

/// A self-contained HTML page.
fn html(stages: &[DagRow]) -> String {
    let mut graph = Dag::new("pipeline", "The pipeline");
    let (mut told, mut rows) = (Vec::new(), String::new());
    for stage in stages {
        let mut node = Node::new(stage.title()).line(stage.state.clone()).flagged(stage.stale);
        if stage.seconds.is_some() {
            node = node.line(stage.took());
        }
        graph = graph.node(node.hover(stage.why.clone()));
        if !stage.reads.is_empty() {
            told.push(format!("{} reads {}", stage.stage, stage.reads.join(", ")));
        }
        let reads = [stage.reads.clone(), stage.inputs.clone()].concat().join(", ");
        let cells = [stage.title(), stage.state.clone(), stage.why.clone(), stage.took(), reads];
        let [title, state, why, took, reads] = cells.each_ref().map(|cell| escape(cell));
        let _ = write!(
            rows,
            "<tr><th scope=row>{title}</th><td>{state}</td><td>{why}</td><td>{took}</td><td>{reads}</td></tr>"
        );
    }
    for (from, to) in edges(stages) {
        graph = graph.edge(from, to);
    }
    let drawing = graph.alternative(format!("{}.", told.join("; "))).draw().inline();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
<title>Pipeline</title><style>{STYLE} th, td:not(:nth-child(3), :nth-child(5)) {{ white-space: nowrap; }}\
</style><header><h1>Pipeline</h1></header><main>{drawing}\
<table><caption>Stages</caption><thead><tr><th scope=col>Stage<th scope=col>State<th scope=col>Why<th scope=col>Took\
<th scope=col>Reads</tr></thead><tbody>{rows}</tbody></table></main></html>\n"
    )
}
