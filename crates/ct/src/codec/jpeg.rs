//! JPEG (ITU-T T.81) with one component: sequential DCT of 8 and 12 bits, and lossless. This is our
//! own decoder because the available libraries lack 12 bits, need a C toolchain, or are slow at
//! lossless.

use super::frame::{CodecError, Decoded, Shape, expect_size, pack};
use super::huffman::Huffman;
use super::jpeg_stream::{CODEC, Stream, damaged};
use super::{dct, lossless};

/// The coding process of a frame, given by its SOF marker.
#[derive(Clone, Copy, PartialEq)]
enum Process {
    Sequential,
    Lossless,
}

pub(super) fn decode(bytes: &[u8], shape: Shape) -> Result<Decoded, CodecError> {
    let (process, stream) = parse(bytes, shape)?;
    // A coded sample takes at least one bit; a block of 64 takes two.
    let least = match process {
        Process::Lossless => shape.samples() / 8,
        Process::Sequential => shape.samples() / 64 / 4,
    };
    if bytes.len() < least {
        return Err(damaged("the frame ends early"));
    }
    let samples = match process {
        Process::Lossless => lossless::decode(&stream)?,
        Process::Sequential => dct::decode(&stream)?,
    };
    Ok(pack(samples.into_iter().map(i32::from), shape))
}

fn parse(bytes: &[u8], shape: Shape) -> Result<(Process, Stream<'_>), CodecError> {
    let mut frame: Option<(Process, u32, u8)> = None;
    let mut tables: [[Option<Huffman>; 4]; 2] = Default::default();
    let mut quantisations: [Option<[u16; 64]>; 4] = [None; 4];
    let mut restart = 0;
    let mut at = 0;
    loop {
        let (marker, segment, next) = segment(bytes, at).ok_or_else(|| damaged("no scan"))?;
        at = next;
        match marker {
            0xC0 | 0xC1 | 0xC3 => {
                let process = if marker == 0xC3 { Process::Lossless } else { Process::Sequential };
                let [precision, a, b, c, d, components, _, _, quantisation, ..] = *segment else {
                    return Err(damaged("a frame header that is too short"));
                };
                let rows = usize::from(u16::from_be_bytes([a, b]));
                let columns = usize::from(u16::from_be_bytes([c, d]));
                expect_size(CODEC, [rows, columns, usize::from(components)], shape)?;
                let least = if process == Process::Lossless { 2 } else { 8 };
                if !(least..=16).contains(&precision) || u32::from(precision) > shape.bits as u32 {
                    return Err(damaged("a precision that does not fit"));
                }
                frame = Some((process, u32::from(precision), quantisation));
            }
            0xC2 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Err(damaged("a progressive, hierarchical or arithmetic-coded stream"));
            }
            0xC4 => huffman_tables(segment, &mut tables)?,
            0xDB => quantisation_tables(segment, &mut quantisations)?,
            0xDD => {
                let interval: &[u8; 2] =
                    segment.first_chunk().ok_or_else(|| damaged("a restart interval that is too short"))?;
                restart = usize::from(u16::from_be_bytes(*interval));
            }
            0xDA => {
                let (process, precision, quantisation) =
                    frame.ok_or_else(|| damaged("a scan before the frame header"))?;
                let [1, _, selectors, selection, _, shift, ..] = *segment else {
                    return Err(damaged("a scan of more than one component"));
                };
                let table =
                    |class: usize, index: u8| tables[class].get(usize::from(index)).cloned().flatten();
                let dc = table(0, selectors >> 4).ok_or_else(|| damaged("a Huffman table is missing"))?;
                let quantisation = quantisations.get(usize::from(quantisation)).copied().flatten();
                let (ac, quantisation) = match process {
                    Process::Lossless => (None, [1; 64]),
                    Process::Sequential => (
                        Some(table(1, selectors & 15).ok_or_else(|| damaged("a Huffman table is missing"))?),
                        quantisation.ok_or_else(|| damaged("a quantisation table is missing"))?,
                    ),
                };
                let stream = Stream {
                    bytes,
                    at,
                    rows: shape.rows,
                    columns: shape.columns,
                    precision,
                    dc,
                    ac,
                    quantisation,
                    restart,
                    selection,
                    shift: u32::from(shift & 15).min(precision - 1),
                };
                return Ok((process, stream));
            }
            _ => {}
        }
    }
}

/// The next marker, its parameters, and where the next segment begins.
fn segment(bytes: &[u8], mut at: usize) -> Option<(u8, &[u8], usize)> {
    loop {
        // Skips fill bytes, and garbage that some writers leave, up to the next marker.
        at += bytes.get(at..)?.iter().position(|&b| b == 0xFF)?;
        let marker = *bytes.get(at + 1)?;
        match marker {
            0xFF => at += 1,
            // Markers without parameters (SOI, restart, TEM), and a stuffed zero.
            0x00 | 0x01 | 0xD0..=0xD8 => at += 2,
            0xD9 => return None,
            _ => {
                let length: &[u8; 2] = bytes.get(at + 2..)?.first_chunk()?;
                let length = usize::from(u16::from_be_bytes(*length));
                let segment = bytes.get(at + 4..at + 2 + length.max(2))?;
                return Some((marker, segment, at + 2 + length.max(2)));
            }
        }
    }
}

fn huffman_tables(mut segment: &[u8], tables: &mut [[Option<Huffman>; 4]; 2]) -> Result<(), CodecError> {
    while let Some((&head, rest)) = segment.split_first() {
        let counts: &[u8; 16] = rest.first_chunk().ok_or_else(|| damaged("a Huffman table is cut"))?;
        let symbols = &rest[16..];
        let table = Huffman::new(*counts, symbols).ok_or_else(|| damaged("a Huffman table is no tree"))?;
        let place = tables.get_mut(usize::from(head >> 4)).and_then(|t| t.get_mut(usize::from(head & 15)));
        *place.ok_or_else(|| damaged("a Huffman table of another kind"))? = Some(table);
        segment = &symbols[counts.iter().map(|&n| usize::from(n)).sum::<usize>()..];
    }
    Ok(())
}

fn quantisation_tables(mut segment: &[u8], tables: &mut [Option<[u16; 64]>; 4]) -> Result<(), CodecError> {
    while let Some((&head, rest)) = segment.split_first() {
        let width = if head >> 4 == 0 { 1 } else { 2 };
        let values = rest.get(..64 * width).ok_or_else(|| damaged("a quantisation table is cut"))?;
        let mut table = [0; 64];
        for (to, value) in table.iter_mut().zip(values.chunks_exact(width)) {
            *to = value.iter().fold(0, |sum, &byte| sum << 8 | u16::from(byte));
        }
        let place = tables.get_mut(usize::from(head & 15));
        *place.ok_or_else(|| damaged("a quantisation table of another number"))? = Some(table);
        segment = &rest[64 * width..];
    }
    Ok(())
}
