//! Volumes in Arrow IPC shards: one record batch per volume, compressed with zstd. A 16-bit voxel
//! is stored in two byte planes (high and low), which compress far better apart. pyarrow can read
//! the shards.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, BinaryArray, RecordBatch, StringArray, UInt32Array};
use arrow_ipc::convert::IpcSchemaEncoder;
use arrow_ipc::reader::{FileReader, read_footer_length};
use arrow_ipc::writer::{
    DictionaryTracker, FileWriter, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_ipc::{Block, CompressionType, FooterBuilder, MetadataVersion, root_as_footer};
use arrow_schema::ArrowError;
use arrow_schema::{DataType, Field, Schema};
use flatbuffers::FlatBufferBuilder;

use crate::error::{Error, Result};
use crate::rows::VolumeRow;
use crate::table::Table;

/// The folder of the shards in an artifact.
pub const FOLDER: &str = "volumes";

/// Columns: `series_uid`, `edge` (voxels along each axis), `high` and `low` (edge³ bytes each).
fn schema() -> Schema {
    Schema::new(vec![
        Field::new("series_uid", DataType::Utf8, false),
        Field::new("edge", DataType::UInt32, false),
        Field::new("high", DataType::Binary, false),
        Field::new("low", DataType::Binary, false),
    ])
}

/// zstd's compression level. The next levels take half as long again or longer, and save 1 %.
const LEVEL: i32 = 1;

thread_local! {
    /// The compressor's memory, kept from one volume to the next.
    static COMPRESSOR: RefCell<IpcWriteContext> = RefCell::default();
}

fn options() -> std::result::Result<IpcWriteOptions, ArrowError> {
    IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::ZSTD))?
        .try_with_compression_level(Some(LEVEL))
}

/// A volume as it is stored in a shard: compressed once, and copied unchanged from then on.
pub struct Packed {
    /// The message of its record batch, and the body that the message describes.
    bytes: Vec<u8>,
    /// Length of the message; the rest is the body.
    message: usize,
}

impl Packed {
    /// Compresses a volume of `edge³` voxels.
    ///
    /// # Errors
    /// When Arrow cannot encode it.
    pub fn new(series_uid: &str, edge: u32, voxels: &[u16]) -> Result<Packed> {
        let pack = || {
            let high: Vec<u8> = voxels.iter().map(|v| (v >> 8) as u8).collect();
            let low: Vec<u8> = voxels.iter().map(|v| (v & 0xFF) as u8).collect();
            let batch = RecordBatch::try_new(
                Arc::new(schema()),
                vec![
                    Arc::new(StringArray::from(vec![series_uid])),
                    Arc::new(UInt32Array::from(vec![edge])),
                    Arc::new(BinaryArray::from_vec(vec![&high])),
                    Arc::new(BinaryArray::from_vec(vec![&low])),
                ],
            )?;
            let (generator, mut none) = (IpcDataGenerator::default(), DictionaryTracker::new(true));
            let options = options()?;
            let (_, data) =
                COMPRESSOR.with_borrow_mut(|c| generator.encode(&batch, &mut none, &options, c))?;
            let mut bytes = Vec::new();
            let (message, _) = write_message(&mut bytes, data, &options)?;
            Ok(Packed { bytes, message })
        };
        pack().map_err(|e: ArrowError| Error::format(Path::new(series_uid), e))
    }
}

/// Writes one shard as Arrow's own `FileWriter` does, from batches that are already packed.
pub struct ShardWriter {
    path: PathBuf,
    file: BufWriter<File>,
    length: usize,
    blocks: Vec<Block>,
}

impl ShardWriter {
    /// Creates the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> Result<ShardWriter> {
        let file = File::create(path).map_err(|e| Error::io("cannot write", path, e))?;
        let mut writer = ShardWriter {
            path: path.to_path_buf(),
            file: BufWriter::new(file),
            length: 0,
            blocks: Vec::new(),
        };
        let head = options()
            .and_then(|options| FileWriter::try_new_with_options(Vec::new(), &schema(), options))
            .map_err(|e| Error::format(path, e))?;
        writer.put(head.get_ref())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len();
        self.file.write_all(bytes).map_err(|e| Error::io("cannot write", &self.path, e))
    }

    /// Adds a volume and returns the index of its batch.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, volume: &Packed) -> Result<u32> {
        let body = (volume.bytes.len() - volume.message) as u64;
        let (start, message) = (self.length as u64, volume.message as u32);
        self.blocks.push(Block::new(start.cast_signed(), message.cast_signed(), body.cast_signed()));
        self.put(&volume.bytes)?;
        Ok(self.blocks.len() as u32 - 1)
    }

    /// Completes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<()> {
        // The batches end as the format requires: a message of length zero (Arrow's columnar
        // format, "IPC File Format"), then the footer, its length and the magic.
        self.put(&[0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0])?;
        let mut builder = FlatBufferBuilder::new();
        let dictionaries = builder.create_vector::<Block>(&[]);
        let batches = builder.create_vector(&self.blocks);
        let schema = IpcSchemaEncoder::new().schema_to_fb_offset(&mut builder, &schema());
        let mut footer = FooterBuilder::new(&mut builder);
        footer.add_version(MetadataVersion::V5);
        footer.add_schema(schema);
        footer.add_dictionaries(dictionaries);
        footer.add_recordBatches(batches);
        let root = footer.finish();
        builder.finish(root, None);
        let footer = builder.finished_data();
        self.put(footer)?;
        self.put(&(footer.len() as u32).to_le_bytes())?;
        self.put(MAGIC)?;
        self.file.flush().map_err(|e| Error::io("cannot write", &self.path, e))
    }
}

const MAGIC: &[u8] = b"ARROW1";

/// Takes packed volumes out of a finished shard unchanged.
pub struct ShardReader {
    path: PathBuf,
    file: File,
    blocks: Vec<Block>,
}

impl ShardReader {
    /// Opens the shard at `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is not a shard.
    pub fn open(path: &Path) -> Result<ShardReader> {
        let fail = |e| Error::io("cannot read", path, e);
        let file = File::open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let end = length.checked_sub(10).ok_or_else(|| Error::format(path, "the file is cut short"))?;
        let mut tail = [0; 10];
        file.read_exact_at(&mut tail, end).map_err(fail)?;
        let size = read_footer_length(tail).map_err(|e| Error::format(path, e))?;
        let start =
            end.checked_sub(size as u64).ok_or_else(|| Error::format(path, "the file is cut short"))?;
        let mut footer = vec![0; size];
        file.read_exact_at(&mut footer, start).map_err(fail)?;
        let footer = root_as_footer(&footer).map_err(|e| Error::format(path, e))?;
        let blocks: Vec<Block> = footer.recordBatches().into_iter().flatten().copied().collect();
        let inside = |block: &Block| {
            let length = i64::from(block.metaDataLength()).checked_add(block.bodyLength());
            let last = length.and_then(|length| length.checked_add(block.offset()));
            block.offset() >= 0
                && block.metaDataLength() >= 0
                && block.bodyLength() >= 0
                && last.is_some_and(|last| last as u64 <= start)
        };
        if !blocks.iter().all(inside) {
            return Err(Error::format(path, "a batch lies outside the file"));
        }
        Ok(ShardReader { path: path.to_path_buf(), file, blocks })
    }

    /// Number of volumes in the shard.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether the shard holds no volume.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The packed volume of a batch.
    ///
    /// # Errors
    /// When there is no such batch, or it cannot be read.
    pub fn take(&self, batch: u32) -> Result<Packed> {
        let block = self.blocks.get(batch as usize);
        let block = block.ok_or_else(|| Error::format(&self.path, format!("there is no batch {batch}")))?;
        let message = block.metaDataLength() as usize;
        let mut bytes = vec![0; message + block.bodyLength() as usize];
        let read = self.file.read_exact_at(&mut bytes, block.offset() as u64);
        read.map_err(|e| Error::io("cannot read", &self.path, e))?;
        Ok(Packed { bytes, message })
    }
}

/// The volumes of a preprocess artifact.
pub struct Volumes {
    folder: PathBuf,
    index: BTreeMap<String, (String, u32)>,
}

impl Volumes {
    /// Reads the index of the artifact in `folder`.
    ///
    /// # Errors
    /// When `volumes.parquet` cannot be read.
    pub fn open(folder: &Path) -> Result<Volumes> {
        let index = VolumeRow::read(folder)?
            .into_iter()
            .filter(|row| !row.shard.is_empty())
            .map(|row| (row.series_uid, (row.shard, row.batch)))
            .collect();
        Ok(Volumes { folder: folder.join(FOLDER), index })
    }

    /// Edge of the volumes in voxels; preprocess gives all volumes the same edge.
    ///
    /// # Errors
    /// When there is no volume, or it cannot be read.
    pub fn edge(&self) -> Result<usize> {
        let none = || Error::format(&self.folder, "there is no volume");
        let (uid, (shard, batch)) = self.index.first_key_value().ok_or_else(none)?;
        let path = self.folder.join(shard);
        let batch = record(&mut open(&path)?, &path, *batch)?;
        checked(&batch, uid)
            .and_then(|()| {
                let column = batch.column_by_name("edge").and_then(|c| c.as_primitive_opt::<UInt32Type>());
                column
                    .filter(|c| c.len() == 1)
                    .map(|c| c.value(0) as usize)
                    .ok_or("column edge is missing".to_owned())
            })
            .map_err(|p| Error::format(&path, p))
    }

    /// Reads the volumes of the series, in the order requested. Each shard is opened once.
    ///
    /// # Errors
    /// When a series has no volume or a shard is damaged.
    pub fn read(&self, series_uids: &[&str]) -> Result<Vec<Vec<u16>>> {
        let mut by_shard: BTreeMap<&str, Vec<(u32, usize)>> = BTreeMap::new();
        for (place, uid) in series_uids.iter().enumerate() {
            let (shard, batch) = self.index.get(*uid).ok_or_else(|| Error::NoVolume {
                series_uid: (*uid).to_owned(),
                path: self.folder.clone(),
            })?;
            by_shard.entry(shard).or_default().push((*batch, place));
        }
        let mut volumes = vec![Vec::new(); series_uids.len()];
        for (shard, wanted) in by_shard {
            let path = self.folder.join(shard);
            let mut reader = open(&path)?;
            for (batch, place) in wanted {
                let batch = record(&mut reader, &path, batch)?;
                volumes[place] = voxels(&batch, series_uids[place]).map_err(|p| Error::format(&path, p))?;
            }
        }
        Ok(volumes)
    }
}

fn open(shard: &Path) -> Result<FileReader<BufReader<File>>> {
    let file = File::open(shard).map_err(|e| Error::io("cannot read", shard, e))?;
    FileReader::try_new(BufReader::new(file), None).map_err(|e| Error::format(shard, e))
}

fn record(reader: &mut FileReader<BufReader<File>>, shard: &Path, batch: u32) -> Result<RecordBatch> {
    reader.set_index(batch as usize).map_err(|e| Error::format(shard, e))?;
    let found = reader.next().ok_or_else(|| Error::format(shard, format!("there is no batch {batch}")))?;
    found.map_err(|e| Error::format(shard, e))
}

fn checked(batch: &RecordBatch, series_uid: &str) -> std::result::Result<(), String> {
    let uid = batch.column_by_name("series_uid").and_then(|c| c.as_string_opt::<i32>());
    if uid.is_none_or(|uid| uid.len() != 1 || uid.value(0) != series_uid) {
        return Err(format!("it does not hold series {series_uid} where volumes.parquet says it does"));
    }
    Ok(())
}

fn voxels(batch: &RecordBatch, series_uid: &str) -> std::result::Result<Vec<u16>, String> {
    let plane = |name: &str| {
        let column = batch.column_by_name(name).and_then(|c| c.as_binary_opt::<i32>());
        column.filter(|c| c.len() == 1).map(|c| c.value(0)).ok_or(format!("column {name} is missing"))
    };
    checked(batch, series_uid)?;
    let (high, low) = (plane("high")?, plane("low")?);
    if high.len() != low.len() {
        return Err(format!("{} high bytes but {} low bytes", high.len(), low.len()));
    }
    Ok(high.iter().zip(low).map(|(&h, &l)| u16::from_be_bytes([h, l])).collect())
}

/// Creates the folder of the shards in an artifact.
///
/// # Errors
/// When it cannot be created.
pub fn make_folder(artifact: &Path) -> Result<PathBuf> {
    let folder = artifact.join(FOLDER);
    fs::create_dir_all(&folder).map_err(|e| Error::io("cannot create", &folder, e))?;
    Ok(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The compressor is reused: nothing of earlier volumes may show.
    #[test]
    fn a_volume_is_packed_alike_whatever_came_before_it() {
        let volume = |seed: u32| -> Vec<u16> {
            (0..32_u32.pow(3)).map(|i| (i.wrapping_mul(seed) >> 7) as u16 % 4096).collect()
        };
        let (a, b) = (volume(2_654_435_761), volume(40_503));
        let pack = |volume: &[u16]| Packed::new("b", 32, volume).unwrap().bytes;
        let after = [pack(&b), pack(&a), pack(&b)];
        let alone = std::thread::scope(|scope| scope.spawn(|| pack(&b)).join().unwrap());
        assert!(after[0] == alone && after[2] == alone);
        assert!(after[1] != alone);
    }

    #[test]
    fn volumes_come_back_in_the_order_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = make_folder(dir.path()).unwrap();
        let volume = |start: u16| (0..8).map(|i| start + i * 300).collect::<Vec<u16>>();
        let mut rows = Vec::new();
        for (shard, uids) in [("00.arrow", vec!["a", "b"]), ("01.arrow", vec!["c"])] {
            let mut writer = ShardWriter::create(&folder.join(shard)).unwrap();
            for uid in uids {
                let batch = writer
                    .push(&Packed::new(uid, 2, &volume(u16::from(uid.as_bytes()[0]))).unwrap())
                    .unwrap();
                let (series_uid, shard) = (uid.to_owned(), shard.to_owned());
                rows.push(VolumeRow { series_uid, shard, batch, ..VolumeRow::default() });
            }
            writer.finish().unwrap();
        }
        VolumeRow::write(&rows, dir.path()).unwrap();
        let volumes = Volumes::open(dir.path()).unwrap();
        let read = volumes.read(&["c", "a", "b"]).unwrap();
        assert_eq!(read, [volume(99), volume(97), volume(98)]);
        assert!(volumes.read(&["d"]).unwrap_err().to_string().contains("no volume of series d"));
    }
}
