//! The page: gives the template one view model per section; the template escapes every string.
//! Knows the order of the sections; each section's content is in its own file.

mod cases;
mod checklist;
pub(crate) mod cross_validation;
mod data;
mod defaults;
mod diagnosis;
mod examples;
mod figure;
mod model;
mod provenance;
mod quality;
pub(crate) mod results;
mod search;
mod table;
mod verdict;

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::drawn::Charts;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::options::Options;
use crate::texts::Texts;
use figure::Figure;

pub(crate) use cases::cases;
pub(crate) use examples::examples;
pub(crate) use quality::quality;

const TEMPLATE: &str = include_str!("../../templates/report.html");
const MACROS: &str = include_str!("../../templates/macros.html");
const STYLE: &str = include_str!("../../templates/style.css");
const SCRIPT: &str = include_str!("../../templates/script.js");

#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    language: &'static str,
    style: &'static str,
    script: &'static str,
    verdict: verdict::View,
    data: data::View,
    quality: &'a quality::View,
    model: model::View,
    results: results::View,
    cases: &'a cases::View,
    examples: &'a examples::View,
    provenance: provenance::View,
}

/// The views whose pictures require reading volumes.
pub(crate) struct Pictures {
    pub(crate) quality: quality::View,
    pub(crate) examples: examples::View,
    pub(crate) cases: cases::View,
}

/// The whole page as text.
pub(crate) fn render(
    texts: &Arc<Texts>,
    options: &Options,
    inputs: &Inputs,
    charts: &Charts,
    pictures: &Pictures,
) -> Result<String> {
    let of_results = results::Charts {
        roc: Figure::of(&charts.roc),
        pr: Figure::of(&charts.pr),
        calibration: Figure::of(&charts.calibration),
        decision: Figure::of(&charts.decision),
        forest: Figure::of(&charts.forest),
        folds: Figure::of(&charts.folds),
    };
    let page = Page {
        title: &options.title,
        language: texts.language().code(),
        style: STYLE,
        script: SCRIPT,
        verdict: verdict::view(texts, inputs),
        data: data::view(texts, inputs, Figure::of(&charts.data)),
        quality: &pictures.quality,
        model: model::view(texts, inputs, Figure::of(&charts.training)),
        results: results::view(texts, inputs, of_results),
        cases: &pictures.cases,
        examples: &pictures.examples,
        provenance: provenance::view(texts, options, inputs, Figure::of(&charts.pipeline)),
    };
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let catalogue = texts.clone();
    environment.add_function(
        "t",
        move |key: &str, with: Kwargs| -> std::result::Result<String, minijinja::Error> {
            let mut text = catalogue.say(key);
            for name in with.args().collect::<Vec<_>>() {
                let value: Value = with.get(name)?;
                text = text.replace(&format!("{{{name}}}"), &value.to_string());
            }
            Ok(text)
        },
    );
    environment.add_filter("script", |value: Value| -> std::result::Result<Value, minijinja::Error> {
        Ok(Value::from_safe_string(within_script(&value)))
    });
    // Templates whose names end in .html are escaped as HTML.
    environment.add_template("macros.html", MACROS)?;
    environment.add_template("report.html", TEMPLATE)?;
    Ok(environment.get_template("report.html")?.render(Value::from(Serde(page)))?)
}

/// JSON that is safe in a script element: nothing in it can end the element or open another.
fn within_script(value: &Value) -> String {
    let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_script_cannot_end_it() {
        let json = within_script(&Value::from("</script><!-- &amp;"));
        assert_eq!(json, "\"\\u003c/script\\u003e\\u003c!-- \\u0026amp;\"");
        assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some("</script><!-- &amp;"));
    }
}
