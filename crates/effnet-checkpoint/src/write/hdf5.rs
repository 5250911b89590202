//! Writes the `.weights.h5` of Keras: a group for each layer by class and number, with numbered variables.
//!
//! The file is what h5py writes with its default settings: a superblock of version 0, groups with symbol tables and
//! contiguous datasets. All descriptions come first and the elements follow in order, so that one tensor at a time is
//! in memory.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::atomic_file::AtomicFile;
use super::{Job, WriteError};
use crate::container::keras::{METADATA, leaves};
use crate::{DType, Tensor, TensorError};

/// Half the number of symbols per node, and half the number of nodes per B-tree, as the superblock states them.
const LEAF_K: usize = 16;
const TREE_K: usize = 16;
/// The largest group that one node of a B-tree holds.
const MAX_MEMBERS: usize = 4 * LEAF_K * TREE_K;
const SUPERBLOCK: usize = 96;
const NODE: usize = 24 + (2 * TREE_K + 1) * 8 + 2 * TREE_K * 8;
const SYMBOLS: usize = 8 + 2 * LEAF_K * 40;
const UNDEFINED: u64 = u64::MAX;

/// A member of a group.
#[derive(Debug)]
enum Member<'a> {
    Group(BTreeMap<String, Member<'a>>),
    Dataset(Dataset<'a>),
}

/// A variable of a layer.
#[derive(Debug, Clone)]
struct Dataset<'a> {
    name: &'a str,
    dtype: DType,
    shape: Vec<usize>,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// A tensor in Keras's order of dimensions.
    Tensor(Tensor),
    Bytes(Vec<u8>),
}

pub(super) fn write(job: &Job<'_>, file: &mut AtomicFile) -> Result<(), WriteError> {
    let root = tree(job)?;
    let mut head = Head {
        bytes: vec![0; SUPERBLOCK],
        data: Vec::new(),
    };
    let (tree, heap, root) = head.group(job, &root)?;
    head.superblock(root, tree, heap);
    let datasets = head.place();
    let put = |file: &mut AtomicFile, bytes: &[u8]| file.write_all(bytes).map_err(|source| job.io(source));
    put(file, &head.bytes)?;
    for dataset in datasets {
        match &dataset.content {
            Content::Bytes(bytes) => put(file, bytes)?,
            Content::Tensor(tensor) => job.with_bytes(dataset.name, tensor, |bytes| file.write_all(bytes))?,
        }
    }
    Ok(())
}

/// Arranges the variables in groups.
fn tree<'a>(job: &Job<'a>) -> Result<BTreeMap<String, Member<'a>>, WriteError> {
    let mut layers: BTreeMap<String, Member<'_>> = BTreeMap::new();
    for (name, tensor) in job.state_dict {
        let refuse = |what: &str| refused(job, name, what);
        let (layer, leaf) = name.rsplit_once('.').unwrap_or((name, ""));
        let class = layer
            .trim_end_matches(|character: char| character.is_ascii_digit())
            .trim_end_matches('_');
        let number = leaves(class).and_then(|leaves| leaves.iter().position(|&other| other == leaf));
        let number = number.ok_or_else(|| refuse("not a variable of a numbered layer of Keras"))?;
        let axes: &[usize] = match (class, tensor.shape().len()) {
            ("conv2d", 4) => &[2, 3, 1, 0],
            ("depthwise_conv2d", 4) => &[2, 3, 0, 1],
            ("dense", 2) => &[1, 0],
            _ => &[],
        };
        let tensor = if axes.is_empty() {
            tensor.clone()
        } else {
            tensor.permuted(axes)
        };
        let dataset = Member::Dataset(Dataset {
            name,
            dtype: job.dtype(&tensor),
            shape: tensor.shape().to_vec(),
            content: Content::Tensor(tensor),
        });
        let layer = layers.entry(layer.to_owned()).or_insert_with(|| {
            Member::Group(BTreeMap::from([(
                "vars".to_owned(),
                Member::Group(BTreeMap::new()),
            )]))
        });
        if let Member::Group(layer) = layer
            && let Some(Member::Group(variables)) = layer.get_mut("vars")
        {
            variables.insert(number.to_string(), dataset);
        }
    }
    let mut root = BTreeMap::from([("layers".to_owned(), Member::Group(layers))]);
    if !job.options.metadata.is_empty() {
        let bytes = serde_json::json!(job.options.metadata).to_string().into_bytes();
        let metadata = Dataset {
            name: METADATA,
            dtype: DType::U8,
            shape: vec![bytes.len()],
            content: Content::Bytes(bytes),
        };
        root.insert(METADATA.to_owned(), Member::Dataset(metadata));
    }
    Ok(root)
}

fn refused(job: &Job<'_>, name: &str, what: &str) -> WriteError {
    let (path, name, what) = (job.path.to_owned(), name.to_owned(), what.to_owned());
    let source = TensorError::Unsupported {
        path: path.clone(),
        name: name.clone(),
        what,
    };
    WriteError::Tensor { path, name, source }
}

/// Everything before the elements.
struct Head<'a> {
    bytes: Vec<u8>,
    /// Datasets, and where the addresses of their elements belong.
    data: Vec<(usize, Dataset<'a>)>,
}

impl<'a> Head<'a> {
    /// Reserves space at a multiple of 8 and returns its address.
    fn reserve(&mut self, len: usize) -> usize {
        let address = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(address + len, 0);
        address
    }

    fn put(&mut self, address: usize, bytes: &[u8]) {
        self.bytes[address..address + bytes.len()].copy_from_slice(bytes);
    }

    fn put_number(&mut self, address: usize, number: usize) {
        self.put(address, &(number as u64).to_le_bytes());
    }

    /// Writes a group and returns the addresses of its B-tree, its heap and its header.
    fn group(
        &mut self,
        job: &Job<'_>,
        members: &BTreeMap<String, Member<'a>>,
    ) -> Result<(usize, usize, usize), WriteError> {
        if members.len() > MAX_MEMBERS {
            let what = format!(
                "{} layers, expected at most {MAX_MEMBERS} for an HDF5 group",
                members.len()
            );
            return Err(refused(job, "layers", &what));
        }
        let mut children = Vec::with_capacity(members.len());
        for (name, member) in members {
            let header = match member {
                Member::Group(members) => self.group(job, members)?.2,
                Member::Dataset(dataset) => self.dataset(job, dataset)?,
            };
            children.push((name.as_str(), header));
        }
        let (heap, names) = self.heap(&children);
        let tree = self.symbol_tree(&children, &names);
        // Version 1, one message: the symbol table.
        let header = self.reserve(16 + 8 + 16);
        self.put(header, &[1, 0, 1, 0, 1, 0, 0, 0, 24, 0, 0, 0]);
        self.put(header + 16, &[0x11, 0, 16, 0]);
        self.put_number(header + 24, tree);
        self.put_number(header + 32, heap);
        Ok((tree, heap, header))
    }

    /// Writes the names of a group's members. Returns the address of the heap and the places of the names in it.
    fn heap(&mut self, children: &[(&str, usize)]) -> (usize, Vec<usize>) {
        // The empty name, which the first key of a B-tree refers to.
        let mut data = vec![0; 8];
        let mut places = Vec::with_capacity(children.len());
        for (name, _) in children {
            places.push(data.len());
            data.extend_from_slice(name.as_bytes());
            data.resize((data.len() + 1).next_multiple_of(8), 0);
        }
        let heap = self.reserve(32);
        let segment = self.reserve(data.len());
        self.put(heap, b"HEAP");
        self.put_number(heap + 8, data.len());
        // No free space.
        self.put_number(heap + 16, 1);
        self.put_number(heap + 24, segment);
        self.put(segment, &data);
        (heap, places)
    }

    /// Writes the symbols of a group, which are sorted by name, and a B-tree of one node.
    fn symbol_tree(&mut self, children: &[(&str, usize)], names: &[usize]) -> usize {
        let tree = self.reserve(NODE);
        let count = children.len().div_ceil(2 * LEAF_K);
        self.put(tree, b"TREE");
        self.put(tree + 6, &(count as u16).to_le_bytes());
        self.put(tree + 8, &UNDEFINED.to_le_bytes());
        self.put(tree + 16, &UNDEFINED.to_le_bytes());
        let entries: Vec<_> = children.iter().zip(names).collect();
        for (number, symbols) in entries.chunks(2 * LEAF_K).enumerate() {
            let node = self.reserve(SYMBOLS);
            self.put(node, b"SNOD\x01\0");
            self.put(node + 6, &(symbols.len() as u16).to_le_bytes());
            for (place, ((_, header), name)) in symbols.iter().enumerate() {
                let entry = node + 8 + 40 * place;
                self.put_number(entry, **name);
                self.put_number(entry + 8, *header);
            }
            self.put_number(tree + 24 + 16 * number + 8, node);
            let last = symbols.last().map_or(0, |(_, name)| **name);
            self.put_number(tree + 24 + 16 * (number + 1), last);
        }
        tree
    }

    /// Writes the header of a dataset, without the address of its elements.
    fn dataset(&mut self, job: &Job<'_>, dataset: &Dataset<'a>) -> Result<usize, WriteError> {
        let kind = datatype(dataset.dtype).ok_or_else(|| {
            refused(
                job,
                dataset.name,
                &format!("{} (which Keras cannot read)", dataset.dtype),
            )
        })?;
        let rank = dataset.shape.len();
        let space = 8 + 8 * rank;
        let len = (8 + space) + (8 + 24) + (8 + 24);
        let header = self.reserve(16 + len);
        self.put(header, &[1, 0, 3, 0, 1, 0, 0, 0]);
        self.put(header + 8, &(len as u32).to_le_bytes());
        let mut at = header + 16;
        self.put(at, &[0x01, 0, space as u8, 0]);
        self.put(at + 8, &[1, rank as u8]);
        for (axis, &size) in dataset.shape.iter().enumerate() {
            self.put_number(at + 16 + 8 * axis, size);
        }
        at += 8 + space;
        self.put(at, &[0x03, 0, 24, 0, 1]);
        self.put(at + 8, &kind);
        at += 8 + 24;
        self.put(at, &[0x08, 0, 24, 0]);
        self.put(at + 8, &[3, 1]);
        self.put_number(at + 8 + 10, nbytes(dataset));
        self.data.push((at + 8 + 2, dataset.clone()));
        Ok(header)
    }

    /// Writes the addresses of all elements, and returns the datasets in the order of these.
    fn place(&mut self) -> Vec<Dataset<'a>> {
        let mut end = self.reserve(0);
        let data = std::mem::take(&mut self.data);
        for (field, dataset) in &data {
            let len = nbytes(dataset);
            if len == 0 {
                self.put(*field, &UNDEFINED.to_le_bytes());
            } else {
                self.put_number(*field, end);
            }
            end += len;
        }
        // The end of the file.
        self.put_number(40, end);
        data.into_iter().map(|(_, dataset)| dataset).collect()
    }

    fn superblock(&mut self, root: usize, tree: usize, heap: usize) {
        self.put(0, b"\x89HDF\r\n\x1a\n");
        self.put(13, &[8, 8]);
        self.put(16, &[LEAF_K as u8, 0, TREE_K as u8, 0]);
        self.put(32, &UNDEFINED.to_le_bytes());
        self.put(48, &UNDEFINED.to_le_bytes());
        self.put_number(64, root);
        // The addresses of the root's tables are repeated.
        self.put(72, &[1]);
        self.put_number(80, tree);
        self.put_number(88, heap);
    }
}

fn nbytes(dataset: &Dataset<'_>) -> usize {
    dataset.shape.iter().product::<usize>() * dataset.dtype.size()
}

/// The datatype message of a type of numbers.
fn datatype(dtype: DType) -> Option<Vec<u8>> {
    let float = |sign: u8, exponent: [u8; 2], bias: u32| {
        let mut message = vec![0x11, 0x20, sign, 0];
        message.extend((dtype.size() as u32).to_le_bytes());
        message.extend([
            0,
            0,
            8 * dtype.size() as u8,
            0,
            exponent[0],
            exponent[1],
            0,
            exponent[0],
        ]);
        message.extend(bias.to_le_bytes());
        message
    };
    let integer = |is_signed: bool| {
        let mut message = vec![0x10, if is_signed { 0x08 } else { 0 }, 0, 0];
        message.extend((dtype.size() as u32).to_le_bytes());
        message.extend([0, 0, 8 * dtype.size() as u8, 0]);
        message
    };
    Some(match dtype {
        DType::F64 => float(63, [52, 11], 1023),
        DType::F32 => float(31, [23, 8], 127),
        DType::F16 => float(15, [10, 5], 15),
        DType::I64 | DType::I32 | DType::I16 | DType::I8 => integer(true),
        DType::U64 | DType::U32 | DType::U16 | DType::U8 => integer(false),
        DType::BF16 | DType::Bool | DType::Unsupported(_) => return None,
    })
}
