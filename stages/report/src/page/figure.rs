//! A chart in the page.

use ctpipe_plot::Chart;
use serde::Serialize;

/// A chart in the page. `svg` is the only string that the template does not escape: `plot` has
/// escaped it already.
#[derive(Serialize)]
pub(super) struct Figure {
    svg: String,
    title: String,
    alternative: String,
}

impl Figure {
    pub(super) fn of(charts: &[Chart]) -> Vec<Figure> {
        let figure = |chart: &Chart| Figure {
            svg: chart.inline(),
            title: chart.title.clone(),
            alternative: chart.alternative.clone(),
        };
        charts.iter().map(figure).collect()
    }
}
