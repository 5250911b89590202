//! The inverse transform of libjpeg-turbo's SIMD code, for use in libjpeg's C code.
//!
//! Both compute the same values from coefficients that an image can have. Damage produces other coefficients,
//! on which the SIMD code saturates and the C code wraps around. Pillow is built with the SIMD code, so that
//! code defines what a damaged file looks like.

use std::ffi::c_uint;
use std::sync::LazyLock;

use libjpeg_turbo_rs::simd::{self, SimdRoutines};
use mozjpeg_sys as c;

/// Transforms one block. `output_col` is where the block begins in each of eight rows.
type Transform = unsafe extern "C-unwind" fn(
    info: *mut c::jpeg_decompress_struct,
    component: *const c::jpeg_component_info,
    coefficients: *const [i16; 64],
    rows: *const *mut u8,
    output_col: c_uint,
);

/// libjpeg's `jpeg_inverse_dct`, which the bindings keep private.
#[repr(C)]
struct Transforms {
    start_pass: unsafe extern "C-unwind" fn(*mut c::jpeg_decompress_struct),
    of_components: [Option<Transform>; 10],
}

/// Replaces the transform of every component. Call it after `jpeg_start_decompress`, which chooses the
/// transforms.
///
/// # Safety
/// `jpeg_start_decompress` must have returned successfully for `info`, without scaling, and no row may have
/// been read yet.
pub(super) unsafe fn install(info: &mut c::jpeg_decompress_struct) {
    // The structure, whose layout is fixed by libjpeg's ABI 62, ends with four pointers: `idct`, `upsample`,
    // `cconvert`, `cquantize`.
    const { assert!(c::JPEG_LIB_VERSION == 62) };
    let end = (&raw mut *info).wrapping_add(1).cast::<*mut Transforms>();
    let components = usize::try_from(info.num_components).unwrap_or(0);
    // SAFETY: the caller has started decompression, so `idct` is set and points to as many transforms as
    // there are components.
    unsafe {
        let transforms = &mut **end.sub(4);
        for transform in transforms.of_components.iter_mut().take(components) {
            *transform = Some(transform_block);
        }
    }
}

unsafe extern "C-unwind" fn transform_block(
    _: *mut c::jpeg_decompress_struct,
    component: *const c::jpeg_component_info,
    coefficients: *const [i16; 64],
    rows: *const *mut u8,
    column: c_uint,
) {
    static ROUTINES: LazyLock<SimdRoutines> = LazyLock::new(simd::detect);
    let mut samples = [0; 64];
    // SAFETY: libjpeg passes a component, one block of coefficients, and eight rows with room
    // for eight samples at `column`.
    unsafe {
        // A component for which no scan was read does not have a table, and libjpeg assumes zeros.
        let table = (*component).quant_table.as_ref();
        let quantizers = table.map_or(&[0; 64], |table| &table.quantval);
        (ROUTINES.idct_islow)(&*coefficients, quantizers, &mut samples);
        for (index, row) in samples.as_chunks::<8>().0.iter().enumerate() {
            let target = (*rows.add(index)).add(column as usize).cast::<[u8; 8]>();
            target.write_unaligned(*row);
        }
    }
}
