//! Writes the files of a model.
//!
//! A model is one protobuf message, whose length has to be known before its first byte. All lengths are computed from
//! shapes, so weights are folded and rounded while they are written, without a copy of the model in memory. Protobuf
//! limits a message to 2 GiB: above that, the weights are in a second file, which the first one refers to by name.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use effnet_checkpoint::{AtomicFile, PairError, commit_pair};
use half::f16;

use crate::error::ExportError;
use crate::graph::{Graph, Initializer, Values};
use crate::protobuf::Message;

/// The largest message that protobuf reads.
const MOST_BYTES: u64 = i32::MAX as u64;
/// Smaller tensors stay in the ONNX file: shape inference needs the values of some of them.
const LEAST_EXTERNAL: u64 = 1024;
/// Tensors in the second file start at multiples of the page size, so that runtimes can map them into memory.
const PAGE: u64 = 4096;

/// The field of a `ModelProto` for its graph, and of a `GraphProto` for its initializers.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
/// The fields of a `TensorProto` for its values.
const RAW_DATA: u32 = 9;
const EXTERNAL_DATA: u32 = 13;
const DATA_LOCATION: u32 = 14;

/// A model to be written.
#[derive(Debug)]
pub(crate) struct ModelParts<'a> {
    /// The fields of the model other than its graph.
    pub(crate) model: Message,
    /// The fields of the graph other than its initializers.
    pub(crate) graph: Message,
    pub(crate) initializers: Vec<Initializer<'a>>,
    /// Whether the weights go to a second file, even if one file would do.
    external: bool,
    /// The largest file that runtimes read.
    most_bytes: u64,
}

impl<'a> ModelParts<'a> {
    pub(crate) fn new(model: Message, graph: Graph<'a>, external: bool) -> Self {
        Self {
            model,
            graph: graph.description("effnet"),
            initializers: graph.initializers,
            external,
            most_bytes: MOST_BYTES,
        }
    }

    /// The second file, if the weights go to one: by request, or because one file would be too large.
    pub(crate) fn data_path(&self, path: &Path) -> Option<PathBuf> {
        (self.external || self.length(&self.inside()) > self.most_bytes).then(|| {
            let mut data = path.as_os_str().to_owned();
            data.push(".data");
            data.into()
        })
    }

    /// Writes the model and, if its weights go to one, the second file. Returns the number of bytes.
    pub(crate) fn write(&self, path: &Path) -> Result<u64, ExportError> {
        let Some(data) = self.data_path(path) else {
            let inside = self.inside();
            let file = self.write_model(path, &inside)?;
            file.commit().map_err(|source| io_error(path, source))?;
            return Ok(self.length(&inside));
        };
        let (file, entries, length) = self.write_data(&data)?;
        let model = self.write_model(path, &entries)?;
        commit_pair(file, model).map_err(|error| match error {
            PairError::First(source) => io_error(&data, source),
            PairError::Second(source) => io_error(path, source),
        })?;
        Ok(self.length(&entries) + length)
    }

    fn inside(&self) -> Vec<Entry> {
        self.initializers.iter().map(Entry::inside).collect()
    }

    /// The number of bytes of the model's file.
    fn length(&self, entries: &[Entry]) -> u64 {
        let graph = self.graph_length(entries);
        self.model.len() + Message::default().header(GRAPH, graph).len() + graph
    }

    fn graph_length(&self, entries: &[Entry]) -> u64 {
        let fields = entries.iter().map(|entry| entry.field().len() + entry.length());
        self.graph.len() + fields.sum::<u64>()
    }

    fn write_model(&self, path: &Path, entries: &[Entry]) -> Result<AtomicFile, ExportError> {
        let mut file = create(path)?;
        let failed = |source| io_error(path, source);
        let graph = Message::default().header(GRAPH, self.graph_length(entries));
        for message in [&self.model, &graph, &self.graph] {
            file.write_all(message.bytes()).map_err(failed)?;
        }
        for (entry, tensor) in entries.iter().zip(&self.initializers) {
            file.write_all(entry.field().bytes()).map_err(failed)?;
            file.write_all(entry.message.bytes()).map_err(failed)?;
            if entry.values > 0 {
                write_values(tensor, path, &mut file)?;
            }
        }
        Ok(file)
    }

    /// Writes the large tensors, and returns the file, the entries that refer to it, and its length.
    fn write_data(&self, path: &Path) -> Result<(AtomicFile, Vec<Entry>, u64), ExportError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut file = create(path)?;
        let mut length = 0_u64;
        let mut entries = Vec::with_capacity(self.initializers.len());
        for tensor in &self.initializers {
            if tensor.len() < LEAST_EXTERNAL {
                entries.push(Entry::inside(tensor));
                continue;
            }
            let offset = length.next_multiple_of(PAGE);
            let padding = vec![0; (offset - length) as usize];
            file.write_all(&padding)
                .map_err(|source| io_error(path, source))?;
            write_values(tensor, path, &mut file)?;
            entries.push(Entry::outside(tensor, &name, offset));
            length = offset + tensor.len();
        }
        Ok((file, entries, length))
    }
}

/// An initializer in the model's file.
struct Entry {
    /// The fields of its `TensorProto`, up to the values.
    message: Message,
    /// The number of bytes of the values that follow.
    values: u64,
}

impl Entry {
    fn inside(tensor: &Initializer<'_>) -> Self {
        Self {
            message: tensor.description().header(RAW_DATA, tensor.len()),
            values: tensor.len(),
        }
    }

    fn outside(tensor: &Initializer<'_>, file: &str, offset: u64) -> Self {
        let place = [
            ("location", file.to_owned()),
            ("offset", offset.to_string()),
            ("length", tensor.len().to_string()),
        ];
        let place = place.map(|(key, value)| Message::default().text(1, key).text(2, &value));
        let message = tensor.description().messages(EXTERNAL_DATA, place);
        Self {
            message: message.int(DATA_LOCATION, 1),
            values: 0,
        }
    }

    fn length(&self) -> u64 {
        self.message.len() + self.values
    }

    /// The tag and the length of the entry.
    fn field(&self) -> Message {
        Message::default().header(INITIALIZER, self.length())
    }
}

fn create(path: &Path) -> Result<AtomicFile, ExportError> {
    AtomicFile::create(path).map_err(|source| io_error(path, source))
}

fn io_error(path: &Path, source: io::Error) -> ExportError {
    ExportError::Io {
        path: path.to_owned(),
        source,
    }
}

fn write_values(tensor: &Initializer<'_>, path: &Path, file: &mut AtomicFile) -> Result<(), ExportError> {
    let failed = |source| io_error(path, source);
    match &tensor.values {
        Values::Doubles(values) => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(failed)
        }
        Values::Integers(values) => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(failed)
        }
        Values::Floats {
            values,
            scale,
            is_half,
        } => {
            let rows = scale.as_ref().map_or(1, |scale| scale.len()).max(1);
            let mut bytes = Vec::new();
            for (row, values) in values.chunks((values.len() / rows).max(1)).enumerate() {
                let scale = scale.as_ref().map_or(1.0, |scale| scale[row]);
                bytes.clear();
                for &value in values {
                    let value = f64::from(value) * scale;
                    if *is_half {
                        bytes.extend(half(&tensor.name, value)?.to_le_bytes());
                    } else {
                        bytes.extend((value as f32).to_le_bytes());
                    }
                }
                file.write_all(&bytes).map_err(failed)?;
            }
            Ok(())
        }
    }
}

/// Rounds a weight to 16 bits, unless that would make it infinite.
fn half(name: &str, value: f64) -> Result<f16, ExportError> {
    let rounded = f16::from_f64(value);
    if rounded.is_infinite() && value.is_finite() {
        let (name, value) = (name.to_owned(), value as f32);
        return Err(ExportError::OutOfRange { name, value });
    }
    Ok(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model with one small and two large tensors, the largest file that holds it, and a folder for it.
    fn model() -> (ModelParts<'static>, u64, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut graph = Graph::default();
        graph.floats("small", &[2], vec![1.0; 2], false);
        graph.floats("first", &[300], vec![2.0; 300], false);
        graph.floats("second", &[512], vec![3.0; 512], true);
        let parts = ModelParts::new(Message::default(), graph, false);
        let bytes = parts.write(&folder.path().join("whole.onnx")).unwrap();
        (parts, bytes, folder)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn weights_go_to_a_second_file_if_one_would_be_too_large() {
        let (mut parts, bytes, folder) = model();
        let length = |path: &Path| std::fs::metadata(path).unwrap().len();
        let path = folder.path().join("a.onnx");
        assert_eq!(bytes, length(&folder.path().join("whole.onnx")));
        parts.most_bytes = bytes;
        assert_eq!(
            (parts.data_path(&path), parts.write(&path).unwrap()),
            (None, bytes)
        );
        assert_eq!(names(folder.path()), ["a.onnx", "whole.onnx"]);

        parts.most_bytes = bytes - 1;
        let data = parts.data_path(&path).unwrap();
        assert_eq!(data, folder.path().join("a.onnx.data"));
        assert_eq!(parts.write(&path).unwrap(), length(&path) + length(&data));
        let values = std::fs::read(data).unwrap();
        assert_eq!(values.len(), 4096 + 2 * 512);
        assert_eq!(values[..1200], 2.0_f32.to_le_bytes().repeat(300));
        assert!(values[1200..4096].iter().all(|&byte| byte == 0));
        assert_eq!(values[4096..], f16::from_f32(3.0).to_le_bytes().repeat(512));
        assert_eq!(names(folder.path()), ["a.onnx", "a.onnx.data", "whole.onnx"]);
    }

    #[test]
    fn neither_file_changes_if_the_other_cannot_be_written() {
        let (mut parts, bytes, folder) = model();
        parts.most_bytes = bytes - 1;
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("a.onnx.data")).unwrap();
        std::fs::write(at("a.onnx"), "old").unwrap();
        assert!(parts.write(&at("a.onnx")).is_err());
        std::fs::create_dir(at("b.onnx")).unwrap();
        std::fs::write(at("b.onnx.data"), "old").unwrap();
        assert!(parts.write(&at("b.onnx")).is_err());
        assert_eq!(
            names(folder.path()),
            ["a.onnx", "a.onnx.data", "b.onnx", "b.onnx.data", "whole.onnx"]
        );
        assert_eq!(std::fs::read(at("a.onnx")).unwrap(), b"old");
        assert_eq!(std::fs::read(at("b.onnx.data")).unwrap(), b"old");
    }

    #[test]
    fn weights_are_scaled_in_doubles_and_rounded_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let tensor = Initializer {
            name: "weights".to_owned(),
            shape: vec![2, 1],
            values: Values::Floats {
                values: vec![1.0, 3.0].into(),
                scale: Some(vec![0.1, 1e-3].into()),
                is_half: false,
            },
        };
        let mut file = create(&path).unwrap();
        write_values(&tensor, &path, &mut file).unwrap();
        file.commit().unwrap();
        let expected = [0.1_f32, 3e-3_f32].map(f32::to_le_bytes).concat();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }
}
