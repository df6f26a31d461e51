//! The stages behind this page and the inputs of each, as a graph.

use ctpipe_stage::Manifest;

use crate::inputs::Inputs;
use crate::texts::Texts;
use ctpipe_plot::{Chart, Dag, Node};

/// Number of digits of a key that are shown.
const SHOWN: usize = 12;

/// A box is a stage; an arrow is an input that another stage made, recognised by its content
/// digest. `None` without manifests.
pub(crate) fn pipeline(texts: &Texts, inputs: &Inputs) -> Option<Chart> {
    let manifests: Vec<&Manifest> = inputs.artifacts.iter().filter_map(|a| a.manifest.as_ref()).collect();
    if manifests.is_empty() {
        return None;
    }
    let maker = |content: &String| manifests.iter().position(|other| other.content == *content);
    let mut graph = Dag::new("pipeline", texts.say("chart.pipeline"));
    let mut said = Vec::new();
    for manifest in &manifests {
        let key = &manifest.key;
        let (made, given): (Vec<_>, Vec<_>) =
            key.inputs.iter().partition(|(_, content)| maker(content).is_some());
        let mut node = Node::new(key.stage.clone())
            .line(manifest.key_hash.get(..SHOWN).unwrap_or(&manifest.key_hash).to_owned());
        let mut reads: Vec<String> = made
            .iter()
            .filter_map(|(_, content)| Some(manifests[maker(content)?].key.stage.clone()))
            .collect();
        if !given.is_empty() {
            let ports = ports(given.iter().map(|(port, _)| port.as_str()));
            node = node.line(ports.clone());
            reads.push(ports);
        }
        if !reads.is_empty() {
            let with = [("stage", key.stage.as_str()), ("inputs", &reads.join(", "))];
            said.push(texts.fill("chart.pipeline.reads", &with));
        }
        graph = graph.node(node);
    }
    graph = graph.node(Node::new("report"));
    for (to, manifest) in manifests.iter().enumerate() {
        for from in manifest.key.inputs.values().filter_map(maker) {
            graph = graph.edge(from, to);
        }
        graph = graph.edge(to, manifests.len());
    }
    Some(graph.alternative(said.join(" ")).draw())
}

/// Names of ports; a port with several inputs (`models@lr=0.1`, ...) is named once, with their
/// number.
fn ports<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in names.map(|name| name.split_once('@').map_or(name, |(port, _)| port)) {
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let said =
        |(name, count): (&str, usize)| if count > 1 { format!("{name} × {count}") } else { name.to_owned() };
    counts.into_iter().map(said).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::ports;

    #[test]
    fn a_port_with_many_inputs_is_named_once() {
        let names = ["labels", "models@lr=0.1", "models@lr=0.2", "volumes"];
        assert_eq!(ports(names.into_iter()), "labels, models × 2, volumes");
    }
}
