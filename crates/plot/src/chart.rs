//! A finished chart: as a file, as a part of a page, as PNG.

use super::raster::{self, Error};
use super::scene::{Colour, Scene};
use super::svg::{Skin, elements, unit};
use super::text::{escape, id};

/// A finished chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// The file's name without its extension; ids in the file begin with it.
    pub name: String,
    /// What the chart shows, in a few words.
    pub title: String,
    /// A description for readers who cannot see the chart.
    pub alternative: String,
    /// Everything on the chart.
    pub(super) scene: Scene,
}

impl Chart {
    /// An SVG file of its own, dark on white.
    pub fn file(&self) -> String {
        self.standalone(Skin::File)
    }

    /// An SVG element for the page, in the page's colours.
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

    /// A PNG that is `width_px` pixels wide, with the one built-in font.
    ///
    /// # Errors
    ///
    /// When the width is 0 or above 10 000, or the picture cannot be made.
    pub fn png(&self, width_px: u32) -> Result<Vec<u8>, Error> {
        raster::png(&self.standalone(Skin::Raster), (self.scene.width, self.scene.height), width_px)
    }

    /// With fixed colours, on a white background.
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

    /// The attributes that give the size.
    fn frame(&self) -> String {
        let (width, height) = (unit(self.scene.width), unit(self.scene.height));
        format!("viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"")
    }
}
