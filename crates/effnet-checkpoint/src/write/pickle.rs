//! Writes the pickle of a state_dict with the opcodes that `torch.load(weights_only=True)` accepts: protocol
//! 2, an `OrderedDict` of calls to `torch._utils._rebuild_tensor_v2`.

use super::Job;
use crate::DType;
use crate::tensor::contiguous_strides;

/// Returns the pickle. In it, tensor `n` is all of the contiguous storage with the key `n`.
pub(super) fn state_dict(job: &Job<'_>) -> Vec<u8> {
    let mut pickle = Pickle(b"\x80\x02".to_vec());
    pickle.empty_ordered_dict();
    pickle.op(b"(");
    for (index, (name, tensor)) in job.state_dict.iter().enumerate() {
        pickle.text(name);
        pickle.tensor(index, job.dtype(tensor), tensor.shape());
    }
    pickle.op(b"u.");
    pickle.0
}

struct Pickle(Vec<u8>);

impl Pickle {
    fn op(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn global(&mut self, module: &str, name: &str) {
        self.op(format!("c{module}\n{name}\n").as_bytes());
    }

    fn empty_ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.op(b")R");
    }

    fn text(&mut self, text: &str) {
        self.op(b"X");
        self.op(&(text.len() as u32).to_le_bytes());
        self.op(text.as_bytes());
    }

    fn int(&mut self, number: usize) {
        if let Ok(small) = i32::try_from(number) {
            self.op(b"J");
            self.op(&small.to_le_bytes());
        } else {
            // Nine bytes, so that the highest bit is not a sign.
            self.op(b"\x8a\x09");
            self.op(&(number as u64).to_le_bytes());
            self.op(b"\0");
        }
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.op(b"(");
        for &size in sizes {
            self.int(size);
        }
        self.op(b"t");
    }

    fn tensor(&mut self, index: usize, dtype: DType, shape: &[usize]) {
        let numel: usize = shape.iter().product();
        let class = storage_class(dtype);
        // Types newer than the storage classes are stored as bytes, with the type next to them.
        let late = class.is_none().then(|| late_name(dtype));
        self.global(
            "torch._utils",
            if late.is_some() {
                "_rebuild_tensor_v3"
            } else {
                "_rebuild_tensor_v2"
            },
        );
        self.op(b"((");
        self.text("storage");
        match class {
            Some(class) => self.global("torch", class),
            None => self.global("torch.storage", "UntypedStorage"),
        }
        self.text(&index.to_string());
        self.text("cpu");
        self.int(if late.is_some() {
            numel * dtype.size()
        } else {
            numel
        });
        self.op(b"tQ");
        self.int(0);
        self.sizes(shape);
        self.sizes(&contiguous_strides(shape));
        // requires_grad, and no hooks.
        self.op(b"\x89");
        self.empty_ordered_dict();
        if let Some(name) = late {
            self.global("torch", name);
        }
        self.op(b"tR");
    }
}

fn storage_class(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F64 => "DoubleStorage",
        DType::F32 => "FloatStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::I64 => "LongStorage",
        DType::I32 => "IntStorage",
        DType::I16 => "ShortStorage",
        DType::I8 => "CharStorage",
        DType::U8 => "ByteStorage",
        DType::Bool => "BoolStorage",
        _ => return None,
    })
}

/// Never called for an unsupported type: reading its bytes fails first.
fn late_name(dtype: DType) -> &'static str {
    match dtype {
        DType::U16 => "uint16",
        DType::U32 => "uint32",
        _ => "uint64",
    }
}
