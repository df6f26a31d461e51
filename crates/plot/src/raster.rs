//! Converts SVG to PNG with one built-in font and none of the machine's, so that the pixels are the
//! same everywhere.

use std::sync::Arc;

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{self, Options, Tree, fontdb};

/// Noto Sans Regular 1.04 (Apache-2.0): Latin, Greek, Cyrillic.
const FONT: &[u8] = ttf_noto_sans::REGULAR;
const FAMILY: &str = "Noto Sans";
const WIDEST: u32 = 10_000;

/// Why a chart has no PNG.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The size is not possible.
    #[error("a picture {width} pixels wide and {height} high: both must be 1 to {WIDEST}")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The SVG cannot be parsed.
    #[error("the chart's SVG cannot be parsed")]
    Svg(#[from] usvg::Error),
    /// The PNG cannot be written.
    #[error("the picture cannot be written as PNG: {0}")]
    Encode(String),
}

/// Draws `svg`, whose size in units is `(width, height)`, `width_px` pixels wide.
pub(super) fn png(svg: &str, (width, height): (f64, f64), width_px: u32) -> Result<Vec<u8>, Error> {
    let scale = f64::from(width_px) / width;
    let height_px = (height * scale).round().clamp(0.0, f64::from(u32::MAX)) as u32;
    let wrong = || Error::Size { width: width_px, height: height_px };
    if width_px > WIDEST || height_px > WIDEST {
        return Err(wrong());
    }
    let mut canvas = Pixmap::new(width_px, height_px).ok_or_else(wrong)?;
    canvas.fill(Color::WHITE);
    let mut fonts = fontdb::Database::new();
    fonts.load_font_source(fontdb::Source::Binary(Arc::new(FONT)));
    fonts.set_sans_serif_family(FAMILY);
    let options = Options { font_family: FAMILY.to_owned(), fontdb: Arc::new(fonts), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    resvg::render(&tree, Transform::from_scale(scale as f32, scale as f32), &mut canvas.as_mut());
    canvas.encode_png().map_err(|error| Error::Encode(error.to_string()))
}
