//! Casts between floating-point types.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::storage::Storage;
use crate::tensor::{byte_count, contiguous_strides};
use crate::{DType, Tensor, TensorError};

impl Tensor {
    /// Casts to another floating-point type, rounding to nearest, ties to even. A tensor that already has
    /// the type is cloned without copying its elements.
    ///
    /// # Errors
    /// [`TensorError::NotFloat`] when either type is not a float, [`TensorError::Overflow`] when a finite
    /// number would become infinite, otherwise as [`Tensor::bytes`].
    pub fn to_float(&self, dtype: DType) -> Result<Tensor, TensorError> {
        if !self.dtype().is_float() || !dtype.is_float() {
            return Err(TensorError::NotFloat {
                from: self.dtype(),
                to: dtype,
            });
        }
        if self.dtype() == dtype {
            return Ok(self.clone());
        }
        let bytes = cast(&self.bytes()?, self.dtype(), dtype)?;
        let shape = self.shape().to_vec();
        let strides = contiguous_strides(&shape);
        debug_assert_eq!(byte_count(dtype, &shape), Some(bytes.len()));
        Ok(Tensor::view(dtype, shape, strides, Storage::owned(bytes), false))
    }
}

impl Tensor {
    /// Returns the elements of a floating-point tensor as 32-bit floats, in row-major order: borrowed if they
    /// are stored that way, converted otherwise.
    ///
    /// # Errors
    /// Same as [`Tensor::to_float`].
    pub fn floats(&self) -> Result<Cow<'_, [f32]>, TensorError> {
        let bytes = match self.dtype() {
            DType::F32 => self.bytes()?,
            DType::F16 => return Ok(widened(&self.bytes()?, f16::from_le_bytes)),
            DType::BF16 => return Ok(widened(&self.bytes()?, bf16::from_le_bytes)),
            _ => Cow::Owned(self.to_float(DType::F32)?.bytes()?.into_owned()),
        };
        if cfg!(target_endian = "little")
            && let Cow::Borrowed(bytes) = bytes
            && let Ok(floats) = bytemuck::try_cast_slice(bytes)
        {
            return Ok(Cow::Borrowed(floats));
        }
        let element = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
        Ok(bytes.as_chunks().0.iter().map(element).collect())
    }
}

/// Converts 16-bit floats to 32-bit floats, which is exact.
fn widened<'a, T: Copy>(bytes: &[u8], element: impl Fn([u8; 2]) -> T) -> Cow<'a, [f32]>
where
    [T]: HalfFloatSliceExt,
{
    let short: Vec<T> = bytes.as_chunks().0.iter().map(|bytes| element(*bytes)).collect();
    let mut floats = vec![0.0; short.len()];
    short.convert_to_f32_slice(&mut floats);
    Cow::Owned(floats)
}

fn cast(bytes: &[u8], from: DType, to: DType) -> Result<Vec<u8>, TensorError> {
    let mut out = Vec::with_capacity(bytes.len() / from.size().max(1) * to.size());
    for element in bytes.chunks_exact(from.size()) {
        let value = widen(element, from);
        if !narrow(value, to, &mut out) && value.is_finite() {
            return Err(TensorError::Overflow { value, to });
        }
    }
    Ok(out)
}

/// Widens to f64, which is exact for every float type, so that a cast rounds only once.
fn widen(element: &[u8], dtype: DType) -> f64 {
    match (dtype, element) {
        (DType::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        (DType::F32, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
        (DType::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f64(),
        (DType::BF16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f64(),
        _ => f64::NAN,
    }
}

/// Appends the value; returns whether the narrowed value is finite.
fn narrow(value: f64, dtype: DType, out: &mut Vec<u8>) -> bool {
    match dtype {
        DType::F64 => {
            out.extend(value.to_le_bytes());
            value.is_finite()
        }
        DType::F16 => {
            let short = f16::from_f32(round_to_odd(value));
            out.extend(short.to_le_bytes());
            short.is_finite()
        }
        DType::BF16 => {
            let short = bf16::from_f32(round_to_odd(value));
            out.extend(short.to_le_bytes());
            short.is_finite()
        }
        _ => {
            let single = value as f32;
            out.extend(single.to_le_bytes());
            single.is_finite()
        }
    }
}

/// Converts a double to a single that rounds to any narrower float exactly as the double would: excess bits
/// are cut off, and the last bit is set if any of them were set. (`from_f64` of both types in `half` looks
/// only at the upper half of the double, so it rounds numbers slightly above a tie as if they were the tie.)
fn round_to_odd(value: f64) -> f32 {
    let single = value as f32;
    let exact = f64::from(single);
    if exact == value || value.is_nan() {
        return single;
    }
    let away_from_zero = exact.abs() > value.abs();
    f32::from_bits((single.to_bits() - u32::from(away_from_zero)) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn singles(values: &[f32]) -> Tensor {
        Tensor::from_floats([values.len()], values.iter().copied()).unwrap()
    }

    #[test]
    fn a_float_is_rounded_to_the_nearest_even() {
        // 1 + 2^-8 lies between 1 and 1 + 2^-7 in bf16; 1 + 3 * 2^-8 between that and 1 + 2^-6.
        let short = singles(&[1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0])
            .to_float(DType::BF16)
            .unwrap();
        assert_eq!(&*short.bytes().unwrap(), [0x80, 0x3f, 0x82, 0x3f]);
        assert_eq!(
            &*singles(&[1.0 / 3.0])
                .to_float(DType::F16)
                .unwrap()
                .bytes()
                .unwrap(),
            [0x55, 0x35]
        );
    }

    #[test]
    fn a_number_just_beside_a_tie_is_not_a_tie() {
        // Ties whose lower neighbour is even, and the nearest singles and doubles on each side.
        for (narrow, tie, even) in [
            (DType::BF16, 1.0_f64 + 1.0 / 256.0, [0x80, 0x3f]),
            (DType::F16, 1.0 + 1.0 / 2048.0, [0x00, 0x3c]),
        ] {
            let above = [even[0] + 1, even[1]];
            let single = tie as f32;
            for (value, expected) in [
                (single.next_down(), even),
                (single, even),
                (single.next_up(), above),
            ] {
                let short = singles(&[value]).to_float(narrow).unwrap();
                assert_eq!(&*short.bytes().unwrap(), expected, "{value:e} as {narrow}");
                let short = singles(&[-value]).to_float(narrow).unwrap();
                assert_eq!(&*short.bytes().unwrap(), [expected[0], expected[1] | 0x80]);
            }
            for (value, expected) in [(tie.next_down(), even), (tie.next_up(), above)] {
                let bytes = f64::to_le_bytes(value).to_vec();
                let double = Tensor::from_bytes(DType::F64, [1], bytes).unwrap();
                let short = double.to_float(narrow).unwrap();
                assert_eq!(&*short.bytes().unwrap(), expected, "{value:e} as {narrow}");
            }
        }
    }

    #[test]
    fn a_narrow_float_comes_back_unchanged() {
        let wide = singles(&[0.5, -3.25, f32::INFINITY, 0.0]);
        for narrow in [DType::F16, DType::BF16, DType::F64] {
            let back = wide.to_float(narrow).unwrap().to_float(DType::F32).unwrap();
            assert_eq!(back.bytes().unwrap(), wide.bytes().unwrap());
        }
    }

    #[test]
    fn a_number_beyond_the_range_is_refused() {
        let error = singles(&[70_000.0]).to_float(DType::F16).unwrap_err();
        assert!(error.to_string().contains("70000"), "{error}");
        assert!(singles(&[70_000.0]).to_float(DType::BF16).is_ok());
    }

    #[test]
    fn an_integer_is_not_a_float() {
        let count = Tensor::from_bytes(DType::I64, [], vec![0; 8]).unwrap();
        assert!(matches!(
            count.to_float(DType::F16),
            Err(TensorError::NotFloat { .. })
        ));
    }
}
