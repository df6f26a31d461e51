//! The page: one view model a section, given to the template, which escapes every string of it.
//! Knows the sections' order; what each says is said in its own file.

mod data;
mod evaluation;
mod examples;
mod provenance;
mod quality;
mod result;
mod split;
mod table;
mod training;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::drawing::Chart;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::{Charts, Options};

pub(crate) use examples::examples;
pub(crate) use quality::quality;

const TEMPLATE: &str = include_str!("../templates/report.html");
const MACROS: &str = include_str!("../templates/macros.html");
const STYLE: &str = include_str!("../templates/style.css");

#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    style: &'static str,
    result: result::View,
    data: data::View,
    quality: &'a quality::View,
    split: split::View,
    training: training::View,
    evaluation: evaluation::View,
    examples: &'a examples::View,
    provenance: provenance::View,
}

/// A chart within the page. `svg` is the one thing that is not escaped again: `drawing` has done it.
#[derive(Serialize)]
struct Figure {
    svg: String,
    title: String,
    alternative: String,
}

impl Figure {
    fn of(charts: &[Chart]) -> Vec<Figure> {
        let figure = |chart: &Chart| Figure {
            svg: chart.inline(),
            title: chart.title.clone(),
            alternative: chart.alternative.clone(),
        };
        charts.iter().map(figure).collect()
    }
}

/// The whole page as text.
pub(crate) fn render(
    options: &Options,
    inputs: &Inputs,
    charts: &Charts,
    quality: &quality::View,
    examples: &examples::View,
) -> Result<String> {
    let page = Page {
        title: &options.title,
        style: STYLE,
        result: result::view(inputs),
        data: data::view(inputs),
        quality,
        split: split::view(inputs),
        training: training::view(inputs, Figure::of(&charts.training)),
        evaluation: evaluation::view(inputs, Figure::of(&charts.roc)),
        examples,
        provenance: provenance::view(options, inputs),
    };
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Names that end in .html are escaped as HTML.
    environment.add_template("macros.html", MACROS)?;
    environment.add_template("report.html", TEMPLATE)?;
    Ok(environment.get_template("report.html")?.render(Value::from(Serde(page)))?)
}
