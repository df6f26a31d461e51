//! The drawn charts of a report, and their files.

use std::fs;
use std::path::Path;

use ctpipe_plot::Chart;
use ctpipe_stage::StageError;

use crate::error::{Error, failed};
use crate::output::write;

const PLOTS: &str = "plots";
/// Width of a chart for slides, in pixels.
const SLIDE: u32 = 1200;

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
    fn all(&self) -> impl Iterator<Item = &Chart> {
        let Charts { data, training, roc, pr, calibration, decision, forest, folds, pipeline } = self;
        [data, training, roc, pr, calibration, decision, forest, folds, pipeline].into_iter().flatten()
    }

    pub(crate) fn write(
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
