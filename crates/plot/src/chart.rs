//! A chart, drawn: as a file, as a part of the page, as PNG. Knows no data.

use super::raster::{self, Error};
use super::scene::{Colour, Scene};
use super::svg::{Skin, elements, unit};
use super::text::{escape, id};

/// A chart, drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// The file's name without its ending; also the begin of the ids within.
    pub name: String,
    /// What it shows, in a few words.
    pub title: String,
    /// What is to be read from it, for those who do not see it.
    pub alternative: String,
    /// All that is on it.
    pub(super) scene: Scene,
}

impl Chart {
    /// As an SVG file of its own, dark on white.
    pub fn file(&self) -> String {
        self.standalone(Skin::File)
    }

    /// As a part of the page, in the page's colours.
    pub fn inline(&self) -> String {
        let said = match (self.title.is_empty(), self.alternative.is_empty()) {
            (_, true) => self.title.clone(),
            (true, false) => self.alternative.clone(),
            (false, false) => format!("{}. {}", self.title, self.alternative),
        };
        format!(
            "<svg {} role=\"img\" aria-label=\"{}\" fill=\"currentColor\">{}</svg>",
            self.frame(),
            escape(&said),
            elements(&self.scene, &id(&self.name), Skin::Page)
        )
    }

    /// As a PNG of `width_px` pixels' width, with the one font that is built in.
    ///
    /// # Errors
    ///
    /// When the width is 0 or beyond 10 000, or the picture cannot be made.
    pub fn png(&self, width_px: u32) -> Result<Vec<u8>, Error> {
        raster::png(&self.standalone(Skin::Raster), (self.scene.width, self.scene.height), width_px)
    }

    /// With fixed colours, on paper.
    fn standalone(&self, skin: Skin) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" {} font-family=\"sans-serif\" fill=\"{}\">\
             <title>{}</title><desc>{}</desc><rect width=\"{}\" height=\"{}\" fill=\"{}\"/>{}</svg>\n",
            self.frame(),
            skin.colour(Colour::Ink),
            escape(&self.title),
            escape(&self.alternative),
            unit(self.scene.width),
            unit(self.scene.height),
            skin.colour(Colour::Paper),
            elements(&self.scene, &id(&self.name), skin)
        )
    }

    /// The attributes that tell the size.
    fn frame(&self) -> String {
        let (width, height) = (unit(self.scene.width), unit(self.scene.height));
        format!("viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"")
    }
}
