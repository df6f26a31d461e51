//! Stage report: writes one offline HTML page, the charts as files, `training_results.json` and
//! `predictions.xlsx`. Its output depends only on its inputs: on no clock, host or path. It knows
//! neither DICOM nor the network, and computes no metric: the earlier stages have written
//! everything that it shows.

mod charts;
mod drawn;
mod error;
mod formatting;
mod images;
mod inputs;
mod options;
mod output;
mod page;
mod reasons;
mod results;
mod spreadsheet;
mod texts;

use std::sync::Arc;

use ctpipe_stage::{Kind, Output, Param, Port, Stage, StageError, Task};

pub use crate::error::Error;
use crate::error::failed;
use crate::inputs::Inputs;
use crate::options::Options;
use crate::output::write;
use crate::page::Pictures;
use crate::texts::Texts;
pub use crate::texts::meanings;

/// Raised by hand when the same inputs would give different bytes.
const VERSION: u32 = 6;

/// Writes `report.html`, `training_results.json`, `predictions.xlsx` and `plots/`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report;

const PAGE: &str = "report.html";
/// Number of steps in which progress is counted.
const PIECES: u64 = 4;

impl Stage for Report {
    fn kind(&self) -> &'static str {
        "report"
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn doc(&self) -> &'static str {
        "writes one offline HTML page about data, training and results, with its charts as files"
    }

    /// The page shows parameters and keys from the manifests of its inputs.
    fn shows_lineage(&self) -> bool {
        true
    }

    fn ports(&self) -> &'static [Port] {
        const PORTS: &[Port] = &[
            Port::required("series", "the artifact of ingest"),
            Port::required("volumes", "the artifact of preprocess"),
            Port::required("split", "the artifact of split"),
            Port::required("model", "the artifact of train, or of search"),
            Port::required("metrics", "the artifact of evaluate"),
            Port::optional("folds", "the artifact of folds: a cross-validation to show beside the model"),
            Port::optional("search", "the artifact of search: the models from which the one was chosen"),
        ];
        PORTS
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param {
                name: "title",
                kind: Kind::Text { default: "Chest CT: normal or pathological" },
                unit: "",
                doc: "title of the page",
            },
            Param {
                name: "language",
                kind: Kind::Choice { default: "en", options: &["en", "ru"] },
                unit: "",
                doc: "language of the page: en or ru",
            },
            Param {
                name: "examples",
                kind: Kind::Int { default: 3, min: 0, max: 8 },
                unit: "volumes",
                doc: "example volumes of each class",
            },
            Param {
                name: "flagged",
                kind: Kind::Int { default: 12, min: 0, max: 100 },
                unit: "volumes",
                doc: "pictures of flagged volumes, those with the most flags first",
            },
        ];
        PARAMS
    }

    fn outputs(&self) -> &'static [Output] {
        const OUTPUTS: &[Output] = &[
            Output { path: PAGE, doc: "the page: one file that works offline" },
            Output { path: results::FILE, doc: "figures, threshold and history, for programs" },
            Output { path: spreadsheet::FILE, doc: "the predictions as a spreadsheet" },
            Output { path: "plots/", doc: "each chart that could be drawn, as SVG and as PNG for slides" },
        ];
        OUTPUTS
    }

    fn run(&self, task: &Task<'_>) -> std::result::Result<(), StageError> {
        let options: Options = task.params()?;
        let texts = Arc::new(Texts::new(options.language));
        let tell = |done: u64, note: &str| {
            task.progress(done, PIECES, "pieces", note);
            task.check_stop()
        };
        tell(0, "reading")?;
        let inputs = Inputs::read(task)?;
        tell(1, "charts")?;
        let charts = charts::draw(&texts, &inputs);
        charts.write(task.out(), || task.check_stop())?;
        tell(2, "pictures")?;
        let go_on = || task.check_stop();
        let pictures = Pictures {
            quality: page::quality(&texts, &inputs, options.flagged, go_on)?,
            examples: page::examples(&texts, &inputs, options.examples, go_on)?,
            cases: page::cases(&texts, &inputs, go_on)?,
        };
        tell(3, "page")?;
        let html = page::render(&texts, &options, &inputs, &charts, &pictures).map_err(failed)?;
        write(&task.out().join(PAGE), html.as_bytes()).map_err(failed)?;
        spreadsheet::write(&texts, &inputs, task.out()).map_err(failed)?;
        results::write(&inputs, task.out()).map_err(failed)?;
        tell(PIECES, "")
    }
}
