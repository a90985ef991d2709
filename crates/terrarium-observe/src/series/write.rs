//! Writing a series: at any time the bytes of a whole file can be had.

use std::collections::HashMap;

use arrow_ipc::convert::IpcSchemaEncoder;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_ipc::{Block, CompressionType, FooterBuilder, MetadataVersion};
use arrow_schema::{ArrowError, SchemaRef};
use flatbuffers::FlatBufferBuilder;
use terrarium_core::report::RunReport;
use terrarium_core::sample::{Sample, SeriesStart};

use super::columns::{batch, schema};
use super::{REPORT_KEY, START_KEY};

/// Looks in one record batch. Each batch costs about 2 KB beside its values, and the last one is encoded again at each
/// flush.
const BATCH: usize = 4096;

const MAGIC: &[u8] = b"ARROW1";

/// A stream of messages may end here.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Takes samples in, gives files out.
pub struct Encoder {
    start: SeriesStart,
    /// The file up to the last full batch. It is never finished: the footers are made here.
    file: FileWriter<Vec<u8>>,
    blocks: Vec<Block>,
    open: Vec<Sample>,
    schema: SchemaRef,
}

impl Encoder {
    /// Begins a series.
    pub fn new(start: SeriesStart) -> Result<Self, ArrowError> {
        // 8, not 64, to keep short series small.
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
        let options = options.try_with_compression(Some(CompressionType::ZSTD))?;
        let schema = schema(metadata(&start, None));
        let file = FileWriter::try_new_with_options(Vec::new(), &schema, options)?;
        Ok(Encoder { start, file, blocks: Vec::new(), open: Vec::new(), schema })
    }

    /// Takes a sample in.
    pub fn push(&mut self, sample: Sample) -> Result<(), ArrowError> {
        self.open.push(sample);
        if self.open.len() == BATCH {
            let block = self.write_open()?;
            self.blocks.push(block);
            self.open.clear();
        }
        Ok(())
    }

    /// A whole file with all that came until now; with the report if the run is over.
    pub fn file(&mut self, report: Option<&RunReport>) -> Result<Vec<u8>, ArrowError> {
        let sealed = self.file.get_ref().len();
        let mut blocks = self.blocks.clone();
        if !self.open.is_empty() {
            blocks.push(self.write_open()?);
        }
        let mut bytes = self.file.get_ref().clone();
        self.file.get_mut().truncate(sealed);
        bytes.extend(END_OF_STREAM);
        let footer = footer(&schema(metadata(&self.start, report)), &blocks);
        bytes.extend(&footer);
        bytes.extend((footer.len() as u32).to_le_bytes());
        bytes.extend(MAGIC);
        Ok(bytes)
    }

    fn write_open(&mut self) -> Result<Block, ArrowError> {
        let offset = self.file.get_ref().len();
        self.file.write(&batch(&self.schema, &self.open)?)?;
        let message = &self.file.get_ref()[offset..];
        // A marker and the length of what describes the batch come before it.
        let described: [u8; 4] = message[4..8].try_into().unwrap_or_default();
        let described = 8 + i32::from_le_bytes(described);
        Ok(Block::new(offset as i64, described, message.len() as i64 - i64::from(described)))
    }
}

fn metadata(start: &SeriesStart, report: Option<&RunReport>) -> HashMap<String, String> {
    let start = serde_json::to_string(start).ok().map(|json| (START_KEY.to_owned(), json));
    let report = report.and_then(|r| serde_json::to_string(r).ok()).map(|json| (REPORT_KEY.to_owned(), json));
    start.into_iter().chain(report).collect()
}

fn footer(schema: &SchemaRef, blocks: &[Block]) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let dictionaries = builder.create_vector::<Block>(&[]);
    let batches = builder.create_vector(blocks);
    let schema = IpcSchemaEncoder::new().schema_to_fb_offset(&mut builder, schema);
    let mut footer = FooterBuilder::new(&mut builder);
    footer.add_version(MetadataVersion::V5);
    footer.add_schema(schema);
    footer.add_dictionaries(dictionaries);
    footer.add_recordBatches(batches);
    let root = footer.finish();
    builder.finish(root, None);
    builder.finished_data().to_vec()
}
