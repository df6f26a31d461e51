//! Stage report: one offline HTML page, the charts as files, and `training_results.json`. It depends
//! on its inputs alone: no clock, no host, no path. Knows neither DICOM nor the network, and
//! computes no metric: what it shows, the stages before it have written.

mod charts;
mod drawing;
mod error;
mod images;
mod inputs;
mod page;
mod results;
mod words;

use std::fs;
use std::path::Path;

use ctpipe_engine::{Kind, Output, Param, Port, Stage, StageError, Task};
use ctpipe_tables::Part;
use serde::Deserialize;

pub use crate::error::Error;
use crate::error::Result;
use crate::inputs::Inputs;

/// Raised by hand when the same inputs would give other bytes.
const VERSION: u32 = 3;

/// Writes `report.html`, `training_results.json` and `plots/`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report;

/// The parameters of [`Report`].
#[derive(Debug, Deserialize)]
pub(crate) struct Options {
    /// Heading of the page.
    pub(crate) title: String,
    /// Example volumes of each class.
    pub(crate) examples: usize,
    /// Pictures of flagged volumes.
    pub(crate) flagged: usize,
}

const PAGE: &str = "report.html";
const PLOTS: &str = "plots";
/// What progress is counted in, beside the example volumes.
const PIECES: u64 = 4;

impl Stage for Report {
    fn kind(&self) -> &'static str {
        "report"
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn doc(&self) -> &'static str {
        "writes one offline HTML page on data, training and results, with its charts as files"
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
            Port::required("model", "the artifact of train"),
            Port::required("metrics", "the artifact of evaluate"),
        ];
        PORTS
    }

    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] = &[
            Param {
                name: "title",
                kind: Kind::Text { default: "Chest CT: normal or pathological" },
                unit: "",
                doc: "heading of the page",
            },
            Param {
                name: "examples",
                kind: Kind::Int { default: 3, min: 0, max: 8 },
                unit: "volumes",
                doc: "example volumes shown of each class",
            },
            Param {
                name: "flagged",
                kind: Kind::Int { default: 12, min: 0, max: 100 },
                unit: "volumes",
                doc: "pictures of volumes that preprocess has flagged, those with most flags first",
            },
        ];
        PARAMS
    }

    fn outputs(&self) -> &'static [Output] {
        const OUTPUTS: &[Output] = &[
            Output { path: PAGE, doc: "the page; one file, works offline" },
            Output { path: results::FILE, doc: "figures, threshold and history, for programs" },
            Output { path: "plots/", doc: "each chart that could be drawn, as SVG" },
        ];
        OUTPUTS
    }

    fn run(&self, task: &Task<'_>) -> std::result::Result<(), StageError> {
        let options: Options = task.params()?;
        let tell = |done: u64, note: &str| {
            task.progress(done, PIECES, "pieces", note);
            task.check_stop()
        };
        tell(0, "reading")?;
        let inputs = Inputs::read(task)?;
        tell(1, "charts")?;
        let charts = Charts::draw(&inputs);
        charts.write(task.out()).map_err(failed)?;
        tell(2, "pictures")?;
        let quality = page::quality(&inputs, options.flagged, || task.check_stop())?;
        let examples = page::examples(&inputs, options.examples, || task.check_stop())?;
        tell(3, "page")?;
        let html = page::render(&options, &inputs, &charts, &quality, &examples).map_err(failed)?;
        write(&task.out().join(PAGE), &html).map_err(failed)?;
        results::write(&inputs, task.out()).map_err(failed)?;
        tell(PIECES, "")
    }
}

/// The charts that could be drawn.
pub(crate) struct Charts {
    pub(crate) training: Vec<drawing::Chart>,
    pub(crate) roc: Vec<drawing::Chart>,
}

impl Charts {
    fn draw(inputs: &Inputs) -> Charts {
        let history = &inputs.history;
        let training = [charts::loss(history), charts::val_auc(history), charts::learning_rate(history)];
        let level = inputs.metrics.confidence_level;
        let roc = [Part::Test, Part::Val].map(|part| charts::roc(part, inputs.metrics.part(part), level));
        Charts {
            training: training.into_iter().flatten().collect(),
            roc: roc.into_iter().flatten().collect(),
        }
    }

    fn write(&self, out: &Path) -> Result<()> {
        let folder = out.join(PLOTS);
        fs::create_dir_all(&folder).map_err(|source| Error::Write { path: folder.clone(), source })?;
        for chart in self.training.iter().chain(&self.roc) {
            write(&folder.join(format!("{}.svg", chart.name)), &chart.file())?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

pub(crate) fn failed(error: Error) -> StageError {
    StageError::Failed(Box::new(error))
}
