//! Stage report: one offline HTML page, the charts as files, and `training_results.json`. It depends
//! on its inputs alone: no clock, no host, no path. Knows neither DICOM nor the network, and
//! computes no metric: what it shows, the stages before it have written.

mod book;
mod charts;
mod error;
mod images;
mod inputs;
mod page;
mod reasons;
mod results;
mod texts;
mod words;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ctpipe_engine::{Kind, Output, Param, Port, Stage, StageError, Task};
use ctpipe_tables::Part;
use ctpipe_tables::json::MetricsFile;
use serde::Deserialize;

pub use crate::error::Error;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::page::Pictures;
use crate::texts::{Language, Texts};
use ctpipe_plot::Chart;

/// Raised by hand when the same inputs would give other bytes.
const VERSION: u32 = 6;

/// Writes `report.html`, `training_results.json` and `plots/`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report;

/// The parameters of [`Report`].
#[derive(Debug, Deserialize)]
pub(crate) struct Options {
    /// Heading of the page.
    pub(crate) title: String,
    /// What it is written in.
    pub(crate) language: Language,
    /// Example volumes of each class.
    pub(crate) examples: usize,
    /// Pictures of flagged volumes.
    pub(crate) flagged: usize,
}

const PAGE: &str = "report.html";
const PLOTS: &str = "plots";
/// Width of a chart for slides, in pixels.
const SLIDE: u32 = 1200;
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
            Port::required("model", "the artifact of train, or of search"),
            Port::required("metrics", "the artifact of evaluate"),
            Port::optional("folds", "the artifact of folds: a cross-validation, shown beside the model"),
            Port::optional("search", "the artifact of search: all models that the one was chosen from"),
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
                name: "language",
                kind: Kind::Choice { default: "en", options: &["en", "ru"] },
                unit: "",
                doc: "what the page is written in: en or ru",
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
            Output { path: book::FILE, doc: "the predictions as a spreadsheet" },
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
        let charts = Charts::draw(&texts, &inputs);
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
        book::write(&texts, &inputs, task.out()).map_err(failed)?;
        results::write(&inputs, task.out()).map_err(failed)?;
        tell(PIECES, "")
    }
}

/// The charts that could be drawn.
#[derive(Default)]
pub(crate) struct Charts {
    pub(crate) data: Vec<Chart>,
    pub(crate) training: Vec<Chart>,
    pub(crate) roc: Vec<Chart>,
    pub(crate) pr: Vec<Chart>,
    pub(crate) calibration: Vec<Chart>,
    pub(crate) decision: Vec<Chart>,
    pub(crate) forest: Vec<Chart>,
    pub(crate) folds: Vec<Chart>,
    pub(crate) pipeline: Vec<Chart>,
}

impl Charts {
    fn draw(texts: &Texts, inputs: &Inputs) -> Charts {
        let history = &inputs.history;
        let metrics = &inputs.metrics;
        let some = |charts: Vec<Option<Chart>>| charts.into_iter().flatten().collect();
        let of_parts = |draw: fn(&Texts, Part, &MetricsFile) -> Option<Chart>| {
            some([Part::Test, Part::Val, Part::Train].map(|part| draw(texts, part, metrics)).into())
        };
        Charts {
            data: some(vec![charts::flow(texts, inputs), charts::ages(texts, inputs)]),
            training: some(vec![
                charts::loss(texts, history),
                charts::val_auc(texts, history),
                charts::learning_rate(texts, history),
            ]),
            roc: of_parts(charts::roc),
            pr: of_parts(charts::pr),
            calibration: some(vec![charts::calibration(texts, metrics)]),
            decision: some(vec![charts::decision(texts, metrics)]),
            forest: some(vec![charts::forest(texts, metrics)]),
            folds: some(vec![inputs.folds.as_ref().and_then(|found| charts::folds(texts, found))]),
            pipeline: some(vec![charts::pipeline(texts, inputs)]),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Chart> {
        let Charts { data, training, roc, pr, calibration, decision, forest, folds, pipeline } = self;
        [data, training, roc, pr, calibration, decision, forest, folds, pipeline].into_iter().flatten()
    }

    fn write(
        &self,
        out: &Path,
        go_on: impl Fn() -> std::result::Result<(), StageError>,
    ) -> std::result::Result<(), StageError> {
        let folder = out.join(PLOTS);
        fs::create_dir_all(&folder)
            .map_err(|source| failed(Error::Write { path: folder.clone(), source }))?;
        for chart in self.all() {
            go_on()?;
            let name = &chart.name;
            write(&folder.join(format!("{name}.svg")), chart.file().as_bytes()).map_err(failed)?;
            let png =
                chart.png(SLIDE).map_err(|source| failed(Error::Plot { name: name.clone(), source }))?;
            write(&folder.join(format!("{name}.png")), &png).map_err(failed)?;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

pub(crate) fn failed(error: Error) -> StageError {
    StageError::Failed(Box::new(error))
}
