//! Checkpoints: files as they are, pickles in every container, and what is written.

use std::collections::BTreeMap;
use std::path::Path;

use effnet_checkpoint::{
    Checkpoint, DType, Error, OpenOptions, StateDict, Tensor, Work, write_pth, write_safetensors,
};

use crate::containers::{stream, tar, zip};
use crate::counting::counted;

/// Characters of a message: advice, and 200 characters of the file.
const MAX_MESSAGE: usize = 1200;

/// Opens a file and reads all of its tensors; what it costs must be in proportion to its size.
fn read(bytes: &[u8]) -> Result<Checkpoint, Error> {
    let len = bytes.len();
    let owned = bytes.to_vec();
    let ((opened, work), memory) = counted(|| {
        let (opened, work) = OpenOptions::default().open_bytes_measured("file", owned);
        if let Ok(checkpoint) = &opened {
            for (name, tensor) in checkpoint.state_dict() {
                if let Ok(bytes) = tensor.bytes() {
                    assert_eq!(bytes.len(), tensor.nbytes(), "{name}");
                }
            }
        }
        (opened, work)
    });
    let limit = Work::limit_for(len);
    assert!(memory.peak as u64 <= limit.memory, "{memory:?} for {len} bytes");
    assert!(
        memory.total as u64 <= 4 * limit.memory,
        "{memory:?} for {len} bytes"
    );
    assert!(work.steps <= limit.steps + len as u64, "{work:?} for {len} bytes");
    if let Err(error) = &opened {
        assert!(error.to_string().chars().count() <= MAX_MESSAGE, "a long message");
    }
    opened
}

/// The bytes as a file.
pub(crate) fn checkpoint(bytes: &[u8]) {
    if let Ok(checkpoint) = read(bytes) {
        for (_, tensor) in checkpoint.state_dict() {
            if let Ok(values) = tensor.floats() {
                assert_eq!(values.len(), tensor.numel());
            }
        }
    }
}

/// The bytes as a pickle, in the container that the first byte selects, with right checksums.
pub(crate) fn pickle(bytes: &[u8]) {
    let Some((&selector, object)) = bytes.split_first() else {
        return;
    };
    let file = match selector % 4 {
        0 => zip(object),
        1 => stream(object, b"]U\x010a"),
        2 => tar(object),
        // The list of storages rather than the object.
        _ => stream(b"\x80\x02}.", object.strip_suffix(b".").unwrap_or(object)),
    };
    let _ = read(&file);
}

/// Types by the byte that selects them.
const DTYPES: [DType; 8] = [
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::F64,
    DType::I64,
    DType::I32,
    DType::U8,
    DType::Bool,
];

/// Makes tensors of the bytes, writes them in both formats, and reads them back.
pub(crate) fn writers(bytes: &[u8]) {
    let state_dict = state_dict(bytes);
    if state_dict.is_empty() {
        return;
    }
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    for name in ["a.pth", "a.safetensors"] {
        let path = folder.path().join(name);
        if write(&path, &state_dict).is_ok() {
            same(&path, &state_dict);
        }
    }
}

fn write(path: &Path, state_dict: &StateDict) -> Result<(), effnet_checkpoint::WriteError> {
    if path.extension().is_some_and(|extension| extension == "pth") {
        write_pth(path, state_dict)
    } else {
        write_safetensors(path, state_dict, &BTreeMap::new())
    }
}

/// What is written is read back, up to a prefix that all names share.
fn same(path: &Path, written: &StateDict) {
    let checkpoint = match Checkpoint::open(path) {
        Ok(checkpoint) => checkpoint,
        Err(error) => panic!("a file that was written is refused: {error}"),
    };
    // A tensor whose name is a default key, such as `model`, is not a wrapper.
    assert_eq!(checkpoint.wrapper(), None);
    let (read, prefix) = (checkpoint.state_dict(), checkpoint.prefix());
    assert_eq!(read.len(), written.len());
    for (name, tensor) in written {
        let Some(found) = name.strip_prefix(prefix).and_then(|name| read.get(name)) else {
            panic!("`{}` is missing", name.escape_debug());
        };
        assert_eq!((found.dtype(), found.shape()), (tensor.dtype(), tensor.shape()));
        match (found.bytes(), tensor.bytes()) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            other => panic!("{other:?}"),
        }
    }
}

/// Tensors of a few elements: type, dimensions, sizes, the length of a name, and the name.
fn state_dict(mut bytes: &[u8]) -> StateDict {
    let mut state_dict = StateDict::new();
    let mut next = || {
        let (&first, rest) = bytes.split_first()?;
        bytes = rest;
        Some(usize::from(first))
    };
    while let Some(kind) = next() {
        let Some(dimensions) = next() else { break };
        let shape: Option<Vec<usize>> = (0..dimensions % 4).map(|_| next().map(|size| size % 5)).collect();
        let name: Option<Vec<u8>> = next()
            .map_or(0..0, |len| 0..len % 24)
            .map(|_| next().map(|byte| byte as u8))
            .collect();
        let (Some(shape), Some(name)) = (shape, name) else {
            break;
        };
        let dtype = DTYPES[kind % DTYPES.len()];
        let len = shape.iter().product::<usize>() * dtype.size();
        let content = (0..len).map(|index| (index % 2) as u8).collect();
        if let Ok(tensor) = Tensor::from_bytes(dtype, shape, content) {
            state_dict.insert(String::from_utf8_lossy(&name), tensor);
        }
    }
    state_dict
}
