//! Element types of tensors, and the names PyTorch gives them.

use std::fmt;

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// IEEE 16-bit float.
    F16,
    /// bfloat16: a 16-bit float with the exponent of a 32-bit one.
    BF16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 16-bit signed integer.
    I16,
    /// 8-bit signed integer.
    I8,
    /// 8-bit unsigned integer.
    U8,
    /// 16-bit unsigned integer.
    U16,
    /// 32-bit unsigned integer.
    U32,
    /// 64-bit unsigned integer.
    U64,
    /// Boolean: one byte, 0 or 1.
    Bool,
    /// A kind of tensor that no EfficientNet needs. It is listed, but its bytes cannot be read.
    Unsupported(Unsupported),
}

/// Kinds of tensors that are listed but not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unsupported {
    /// complex32, complex64, complex128.
    Complex,
    /// The 8-bit and narrower floats.
    Float8,
    /// qint8, quint8, qint32 and other integers with a scale.
    Quantised,
    /// COO, CSR and other sparse layouts.
    Sparse,
    /// A tensor of tensors with different shapes.
    Nested,
    /// A shape without data.
    Meta,
    /// A subclass of `torch.Tensor` that is rebuilt by code, or a dtype newer than this reader.
    Other,
}

impl DType {
    /// Size of one element in bytes; 0 for an unsupported type.
    pub fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 | DType::U64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::Unsupported(_) => 0,
        }
    }

    /// Whether the elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F64 | DType::F32 | DType::F16 | DType::BF16)
    }

    /// Short name, such as `f32`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::I16 => "i16",
            DType::I8 => "i8",
            DType::U8 => "u8",
            DType::U16 => "u16",
            DType::U32 => "u32",
            DType::U64 => "u64",
            DType::Bool => "bool",
            DType::Unsupported(Unsupported::Complex) => "complex",
            DType::Unsupported(Unsupported::Float8) => "float8",
            DType::Unsupported(Unsupported::Quantised) => "quantised",
            DType::Unsupported(Unsupported::Sparse) => "sparse",
            DType::Unsupported(Unsupported::Nested) => "nested",
            DType::Unsupported(Unsupported::Meta) => "meta",
            DType::Unsupported(Unsupported::Other) => "other",
        }
    }

    /// Parses the name of a storage class (`torch/storage.py`): `FloatStorage` is [`DType::F32`], and an
    /// untyped storage counts bytes. Returns `None` for other names.
    pub(crate) fn of_storage_class(name: &str) -> Option<StorageType> {
        use Unsupported::{Complex, Quantised};
        let (dtype, size) = match name.strip_suffix("Storage")? {
            "Double" => (DType::F64, 8),
            "Float" => (DType::F32, 4),
            "Half" => (DType::F16, 2),
            "BFloat16" => (DType::BF16, 2),
            "Long" => (DType::I64, 8),
            "Int" => (DType::I32, 4),
            "Short" => (DType::I16, 2),
            "Char" => (DType::I8, 1),
            "Byte" | "Untyped" | "_Untyped" => (DType::U8, 1),
            "Bool" => (DType::Bool, 1),
            "ComplexDouble" => (DType::Unsupported(Complex), 16),
            "ComplexFloat" => (DType::Unsupported(Complex), 8),
            "QInt8" | "QUInt8" | "QUInt4x2" | "QUInt2x4" => (DType::Unsupported(Quantised), 1),
            "QInt32" => (DType::Unsupported(Quantised), 4),
            _ => return None,
        };
        Some(StorageType { dtype, size })
    }

    /// Parses the name of a `torch.dtype`, without the `torch.`.
    pub(crate) fn of_torch_name(name: &str) -> DType {
        match name {
            "float64" | "double" => DType::F64,
            "float32" | "float" => DType::F32,
            "float16" | "half" => DType::F16,
            "bfloat16" => DType::BF16,
            "int64" | "long" => DType::I64,
            "int32" | "int" => DType::I32,
            "int16" | "short" => DType::I16,
            "int8" => DType::I8,
            "uint8" => DType::U8,
            "uint16" => DType::U16,
            "uint32" => DType::U32,
            "uint64" => DType::U64,
            "bool" => DType::Bool,
            _ if name.starts_with("complex") => DType::Unsupported(Unsupported::Complex),
            _ if name.starts_with("float8") || name.starts_with("float4") => {
                DType::Unsupported(Unsupported::Float8)
            }
            _ if name.starts_with('q') => DType::Unsupported(Unsupported::Quantised),
            _ => DType::Unsupported(Unsupported::Other),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The element type and size of a storage. The size is known even for an unsupported type: storages in a
/// stream follow each other, so reading one requires skipping the preceding ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StorageType {
    pub(crate) dtype: DType,
    pub(crate) size: usize,
}
