//! A chart as SVG, for a file of its own and for the page: colours, frame, ids. Knows no data and no
//! epoch.
//!
//! kuva numbers its clip paths by a counter of the process; they are renumbered within each chart,
//! so that a chart's bytes depend on its data alone and its ids are unique on a page.

use kuva::backend::svg::SvgBackend;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;

// What a file is drawn in; on the page each becomes the CSS colour beside it, which knows dark mode.
pub(crate) const INK: &str = "#17212b";
const PAPER: &str = "#ffffff";
const GRID: &str = "#d9e0e6";
pub(crate) const MUTED: &str = "#697683";
pub(crate) const FIRST: &str = "#0b6e8a";
pub(crate) const SECOND: &str = "#c25e00";
const ON_PAGE: [(&str, &str); 6] = [
    (INK, "currentColor"),
    (PAPER, "none"),
    (GRID, "var(--line)"),
    (MUTED, "var(--muted)"),
    (FIRST, "var(--first)"),
    (SECOND, "var(--second)"),
];

/// A chart, drawn.
pub(crate) struct Chart {
    /// The file's name without `.svg`; also the prefix of the ids within.
    pub(crate) name: &'static str,
    /// What it shows, in a few words.
    pub(crate) title: String,
    /// What is to be read from it, for those who do not see it.
    pub(crate) alternative: String,
    /// Width and height, then all between `<svg ...>` and `</svg>`.
    size: (f64, f64),
    body: String,
}

impl Chart {
    /// As a file of its own, dark on white.
    pub(crate) fn file(&self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" {} font-family=\"sans-serif\" fill=\"{INK}\">\
             <title>{}</title><desc>{}</desc>{}</svg>\n",
            self.frame(),
            escape(&self.title),
            escape(&self.alternative),
            self.body
        )
    }

    /// As part of the page, in the page's colours.
    pub(crate) fn inline(&self) -> String {
        let body = ON_PAGE.iter().fold(self.body.clone(), |svg, (file, page)| svg.replace(file, page));
        format!(
            "<svg {} role=\"img\" aria-label=\"{}\" fill=\"currentColor\">{body}</svg>",
            self.frame(),
            escape(&format!("{}. {}", self.title, self.alternative))
        )
    }

    fn frame(&self) -> String {
        let (width, height) = self.size;
        format!("viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"")
    }
}

/// Draws the plots at `width` and `height`.
pub(crate) fn draw(
    name: &'static str,
    title: String,
    alternative: String,
    plots: Vec<Plot>,
    layout: Layout,
    (width, height): (f64, f64),
) -> Chart {
    let theme = Theme {
        background: PAPER.into(),
        axis_color: MUTED.into(),
        grid_color: GRID.into(),
        tick_color: MUTED.into(),
        text_color: INK.into(),
        legend_bg: PAPER.into(),
        legend_border: PAPER.into(),
        ..Theme::light()
    };
    let layout = layout.with_theme(theme).with_legend_box(false).with_label_size(13).with_tick_size(12);
    let scene = render_multiple(plots, layout.with_width(width).with_height(height));
    let size = (scene.width.ceil(), scene.height.ceil());
    let svg = SvgBackend::new().render_scene(&scene);
    // The frame is written anew, with a title for those who do not see it.
    let body = svg.split_once('>').map_or("", |(_, rest)| rest);
    let body = body.strip_suffix("</svg>").unwrap_or(body);
    let body = without_comments(body);
    Chart { name, title, alternative, size, body: renumber(&body, name) }
}

fn without_comments(svg: &str) -> String {
    let mut text = String::with_capacity(svg.len());
    let mut rest = svg;
    while let Some((before, comment)) = rest.split_once("<!--") {
        text.push_str(before);
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    text + rest
}

/// `kuva-clip-<counter>` becomes `<name>-clip-<place>`.
fn renumber(svg: &str, name: &str) -> String {
    const PREFIX: &str = "kuva-clip-";
    let mut seen: Vec<&str> = Vec::new();
    let mut pieces = svg.split(PREFIX);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.len() - piece.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = piece.split_at(digits);
        let place = seen.iter().position(|n| *n == number).unwrap_or_else(|| {
            seen.push(number);
            seen.len() - 1
        });
        text.extend([name, "-clip-", &place.to_string(), rest]);
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
