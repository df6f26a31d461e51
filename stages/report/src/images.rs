//! Slices of a volume as PNG data URIs, with or without a map over them. Knows no page and no
//! table.

use png::{BitDepth, ColorType, Compression, Encoder, Filter};

/// A slice of a volume.
pub(crate) struct Slice {
    /// axial, coronal or sagittal.
    pub(crate) plane: &'static str,
    /// `data:image/png;base64,...`, 8 bits a channel.
    pub(crate) uri: String,
    /// Number of its rows, which is also the number of its columns.
    pub(crate) edge: u32,
}

/// Larger slices are shrunk to at most this many rows and columns, so that the page stays small.
const LARGEST: usize = 96;

/// The edge of a cube of this many voxels; `None` if there is no such cube.
pub(crate) fn edge(voxels: usize) -> Option<usize> {
    let edge = (voxels as f64).cbrt().round() as usize;
    (edge > 0 && edge * edge * edge == voxels).then_some(edge)
}

/// The axial, coronal and sagittal slices of `[edge, edge, edge]` voxels (z from feet to head, y
/// from front to back, x from the patient's right to left) through the position `[x, y, z]`, with
/// the head upward. `of` gives the colour of a voxel.
fn slices<const C: usize>(
    edge: usize,
    [x, y, z]: [usize; 3],
    color: ColorType,
    of: impl Fn(usize) -> [u8; C],
) -> Result<[Slice; 3], png::EncodingError> {
    let slice = |plane, at: &dyn Fn(usize, usize) -> [usize; 3]| -> Result<Slice, png::EncodingError> {
        let index = |i: usize| {
            let [x, y, z] = at(i / edge, i % edge);
            (z * edge + y) * edge + x
        };
        // A pixel is the mean of `by` × `by` pixels; a remainder at the far ends is left out.
        let by = edge.div_ceil(LARGEST);
        let small = edge / by;
        let pixel = |i: usize| -> [u8; C] {
            let mut sum = [0_usize; C];
            for (row, column) in (0..by * by).map(|j| (j / by, j % by)) {
                let at = (i / small * by + row) * edge + i % small * by + column;
                for (sum, value) in sum.iter_mut().zip(of(index(at))) {
                    *sum += usize::from(value);
                }
            }
            sum.map(|sum| ((sum + by * by / 2) / (by * by)) as u8)
        };
        let pixels: Vec<u8> = (0..small * small).flat_map(pixel).collect();
        Ok(Slice {
            plane,
            uri: format!("data:image/png;base64,{}", base64(&png(&pixels, small as u32, color)?)),
            edge: small as u32,
        })
    };
    Ok([
        slice("axial", &|row, column| [column, row, z])?,
        slice("coronal", &|row, column| [column, y, edge - 1 - row])?,
        slice("sagittal", &|row, column| [x, column, edge - 1 - row])?,
    ])
}

/// The middle slices of a volume, in grey.
pub(crate) fn middle_slices(voxels: &[u16], edge: usize) -> Result<[Slice; 3], png::EncodingError> {
    slices(edge, [edge / 2; 3], ColorType::Grayscale, |at| [grey(voxels.get(at).copied().unwrap_or(0))])
}

/// The slices of a volume (black without one) through a position, with a map over them. The map
/// runs from dark red through orange to pale yellow; the stronger it is, the less of the volume
/// shows.
pub(crate) fn overlaid(
    voxels: Option<&[u16]>,
    map: &[u8],
    edge: usize,
    place: [usize; 3],
) -> Result<[Slice; 3], png::EncodingError> {
    slices(edge, place, ColorType::Rgb, |at| {
        let under = f32::from(voxels.and_then(|voxels| voxels.get(at)).map_or(0, |&voxel| grey(voxel)));
        let share = f32::from(map.get(at).copied().unwrap_or(0)) / 255.0;
        let over = [3.0 * share, 3.0 * share - 1.0, 3.0 * share - 2.0].map(|c| 255.0 * c.clamp(0.0, 1.0));
        let cover = (1.5 * share).min(0.85);
        over.map(|over| (under * (1.0 - cover) + over * cover).round() as u8)
    })
}

/// 16 bits to 8, rounded: 65535 / 255 = 257.
fn grey(voxel: u16) -> u8 {
    ((u32::from(voxel) + 128) / 257) as u8
}

fn png(pixels: &[u8], edge: u32, color: ColorType) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, edge, edge);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::High);
    encoder.set_filter(Filter::Paeth);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for i in 0..4 {
            let sextet = (bits >> (18 - 6 * i)) & 63;
            text.push(if i > chunk.len() { '=' } else { ALPHABET[sextet as usize] as char });
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        let vectors = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn grey_covers_the_whole_range() {
        assert_eq!([grey(0), grey(128), grey(129), grey(65535)], [0, 0, 1, 255]);
        assert_eq!([edge(262_144), edge(8), edge(9), edge(0)], [Some(64), Some(2), None, None]);
    }

    #[test]
    fn planes_are_cut_where_their_names_say_with_the_head_upward() {
        // 2³ voxels whose value encodes their position: z, y, x as bits 2, 1, 0.
        let voxels: Vec<u16> = (0..8).map(|i| i * 257).collect();
        let pixels = |slice: &Slice| decode(slice.uri.strip_prefix("data:image/png;base64,").unwrap());
        let slices = middle_slices(&voxels, 2).unwrap();
        assert_eq!(slices.each_ref().map(|s| s.plane), ["axial", "coronal", "sagittal"]);
        assert_eq!(pixels(&slices[0]), [4, 5, 6, 7]);
        assert_eq!(pixels(&slices[1]), [6, 7, 2, 3]);
        assert_eq!(pixels(&slices[2]), [5, 7, 1, 3]);
    }

    #[test]
    fn a_large_slice_is_shrunk_by_means() {
        // Each pixel is the mean of 2 × 2, one of which is white: a quarter of 255.
        let edge = 128;
        let voxels: Vec<u16> = (0..edge * edge * edge)
            .map(|i| if i % 2 == 0 && i / edge % 2 == 0 { 65535 } else { 0 })
            .collect();
        let axial = &middle_slices(&voxels, edge).unwrap()[0];
        let pixels = decode(axial.uri.strip_prefix("data:image/png;base64,").unwrap());
        assert_eq!((axial.edge, pixels.len()), (64, 64 * 64));
        assert!(pixels.iter().all(|&pixel| pixel == 64));
    }

    fn decode(text: &str) -> Vec<u8> {
        let sextet = |c: u8| match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let bits: Vec<u8> = text.bytes().filter(|&c| c != b'=').map(sextet).collect();
        let bytes: Vec<u8> = bits
            .chunks(4)
            .flat_map(|c| {
                let word = c.iter().fold(0_u32, |w, &s| (w << 6) | u32::from(s)) << (6 * (4 - c.len()));
                word.to_be_bytes()[1..c.len()].to_vec()
            })
            .collect();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    }
}
