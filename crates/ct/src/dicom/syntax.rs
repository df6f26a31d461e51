//! Transfer syntaxes (PS3.6, table A-1) and which codec reads them.

/// How pixel data are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// Uncompressed.
    Native,
    /// Uncompressed, in a data set that is deflated as a whole.
    Deflated,
    Rle,
    /// JPEG: baseline, extended or lossless; the stream says which.
    Jpeg,
    JpegLs,
    /// JPEG 2000 or HTJ2K.
    Jpeg2000,
    JpegXl,
    /// Known but refused: retired, or not an image.
    Refused(&'static str),
    Unknown,
}

impl Syntax {
    /// Its name, for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Syntax::Native => "uncompressed",
            Syntax::Deflated => "deflated",
            Syntax::Rle => "RLE",
            Syntax::Jpeg => "JPEG",
            Syntax::JpegLs => "JPEG-LS",
            Syntax::Jpeg2000 => "JPEG 2000",
            Syntax::JpegXl => "JPEG XL",
            Syntax::Refused(name) => name,
            Syntax::Unknown => "unknown",
        }
    }

    pub(crate) fn of(uid: &str) -> Syntax {
        const PREFIX: &str = "1.2.840.10008.1.2";
        match uid.strip_prefix(PREFIX) {
            Some("" | ".1" | ".2") => Syntax::Native,
            Some(".1.99") => Syntax::Deflated,
            Some(".5") => Syntax::Rle,
            Some(".4.50" | ".4.51" | ".4.57" | ".4.70") => Syntax::Jpeg,
            Some(".4.80" | ".4.81") => Syntax::JpegLs,
            Some(".4.90" | ".4.91" | ".4.201" | ".4.202" | ".4.203") => Syntax::Jpeg2000,
            Some(".4.110" | ".4.111" | ".4.112") => Syntax::JpegXl,
            Some(".4.53") => Syntax::Refused("JPEG spectral selection (process 6 and 8), retired in 2001"),
            Some(".4.55") => Syntax::Refused("JPEG full progression (process 10 and 12), retired in 2001"),
            Some(
                ".4.52" | ".4.54" | ".4.56" | ".4.58" | ".4.59" | ".4.60" | ".4.61" | ".4.62" | ".4.63"
                | ".4.64" | ".4.65" | ".4.66",
            ) => Syntax::Refused("a JPEG process that was retired in 2001"),
            Some(".4.92" | ".4.93") => Syntax::Refused("JPEG 2000 with several components as one"),
            Some(".4.94" | ".4.95" | ".4.204" | ".4.205") => Syntax::Refused("JPIP: pixel data on a server"),
            Some(uid) if uid.starts_with(".4.10") => Syntax::Refused("video"),
            _ => Syntax::Unknown,
        }
    }
}
