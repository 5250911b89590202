//! Everything that crosses the C boundary: the structures, enumerations and functions of `shim/api.h` and
//! `shim/cuda_graphs.h`.
//!
//! Neither compiler sees the other language's declarations, so both sides assert the layout of each structure, and
//! a test compares the enumerations. A change to one side needs the same change to the other.

use std::ffi::{c_char, c_void};

use effnet_kernels::assert_layout;
use effnet_kernels::boundary::RawResult;
use torch_sys::C_tensor;

/// `effnet_value_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum ValueKind {
    None = 0,
    Tensor = 1,
    Tensors = 2,
    Float = 3,
    Int = 4,
    Bool = 5,
}

/// `effnet_value`.
#[repr(C)]
pub(crate) struct RawValue {
    pub(crate) kind: ValueKind,
    pub(crate) integer: i64,
    pub(crate) number: f64,
    pub(crate) tensors: *const *mut C_tensor,
    pub(crate) count: usize,
}

/// `effnet_take`.
pub(crate) type Take = unsafe extern "C" fn(context: *mut c_void, tensor: *mut C_tensor);

/// `effnet_autocast`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct RawAutocast {
    pub(crate) cuda: i32,
    pub(crate) enabled: i32,
    pub(crate) dtype: i32,
}

/// `effnet_norm_group`.
#[repr(C)]
pub(crate) struct RawNormGroup {
    /// An `Arc<dyn BatchNormGroup>`, or null for none.
    pub(crate) context: *const c_void,
    pub(crate) retain: unsafe extern "C" fn(context: *const c_void) -> *mut c_void,
    pub(crate) release: unsafe extern "C" fn(context: *mut c_void),
    pub(crate) sum: unsafe extern "C" fn(context: *const c_void, values: *mut C_tensor) -> RawResult,
}

/// `effnet_norm`.
#[repr(C)]
pub(crate) struct RawNorm {
    pub(crate) weight: *const C_tensor,
    pub(crate) bias: *const C_tensor,
    pub(crate) running_mean: *const C_tensor,
    pub(crate) running_var: *const C_tensor,
    pub(crate) momentum: f64,
    pub(crate) epsilon: f64,
    pub(crate) group: RawNormGroup,
}

/// `effnet_graph_api`, which `effnet_cuda_graphs_2` of `libeffnet_cuda_graphs.so` returns.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RawGraphApi {
    pub(crate) begin:
        unsafe extern "C" fn(device: i32, beside: *const RawGraph, graph: *mut *mut RawGraph) -> RawResult,
    pub(crate) end: unsafe extern "C" fn(graph: *mut RawGraph) -> RawResult,
    pub(crate) abandon: unsafe extern "C" fn(graph: *mut RawGraph),
    pub(crate) replay: unsafe extern "C" fn(graph: *mut RawGraph) -> RawResult,
    pub(crate) release: unsafe extern "C" fn(graph: *mut RawGraph),
    pub(crate) free_message: unsafe extern "C" fn(message: *mut c_char),
}

assert_layout!(RawValue, size 40, alignment 8, { kind: 0, integer: 8, number: 16, tensors: 24, count: 32 });
assert_layout!(RawAutocast, size 12, alignment 4, { cuda: 0, enabled: 4, dtype: 8 });
assert_layout!(RawNormGroup, size 32, alignment 8, { context: 0, retain: 8, release: 16, sum: 24 });
assert_layout!(RawNorm, size 80, alignment 8, {
    weight: 0,
    bias: 8,
    running_mean: 16,
    running_var: 24,
    momentum: 32,
    epsilon: 40,
    group: 48,
});
assert_layout!(RawGraphApi, size 48, alignment 8, {
    begin: 0,
    end: 8,
    abandon: 16,
    replay: 24,
    release: 32,
    free_message: 40,
});

/// `c10::Event`, behind a pointer.
#[repr(C)]
pub(crate) struct RawEvent {
    _opaque: [u8; 0],
}

/// `effnet_graph`, behind a pointer.
#[repr(C)]
pub(crate) struct RawGraph {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    pub(crate) fn effnet_load_cuda(folder: *const c_char, loaded: *mut i32) -> RawResult;
    pub(crate) fn effnet_open_library(
        path: *const c_char,
        function: *const c_char,
        table: *mut *const c_void,
    ) -> RawResult;

    pub(crate) fn effnet_call(
        name: *const c_char,
        overload: *const c_char,
        values: *const RawValue,
        count: usize,
        take: Take,
        context: *mut c_void,
    ) -> RawResult;
    pub(crate) fn effnet_clear_gradients(tensors: *const *mut C_tensor, count: usize) -> RawResult;

    pub(crate) fn effnet_autocast_enter(cuda: i32, half: i32, before: *mut RawAutocast) -> RawResult;
    pub(crate) fn effnet_autocast_leave(before: *const RawAutocast);

    pub(crate) fn effnet_allow_tf32(allow: i32);
    pub(crate) fn effnet_device_memory(
        device: i32,
        free: *mut u64,
        total: *mut u64,
        peak: *mut u64,
    ) -> RawResult;
    pub(crate) fn effnet_copy_stream(device: i32, stream: *mut i64) -> RawResult;
    pub(crate) fn effnet_upload(
        source: *const C_tensor,
        device: i32,
        stream: i64,
        target: *mut *mut C_tensor,
    ) -> RawResult;
    pub(crate) fn effnet_download(
        source: *const C_tensor,
        target: *mut *mut C_tensor,
        done: *mut *mut RawEvent,
    ) -> RawResult;
    pub(crate) fn effnet_event_wait(event: *const RawEvent) -> RawResult;
    pub(crate) fn effnet_event_free(event: *mut RawEvent);

    pub(crate) fn effnet_norm_activation(
        x: *const C_tensor,
        norm: *const RawNorm,
        activation: i32,
        out: *mut *mut C_tensor,
    ) -> RawResult;
    pub(crate) fn effnet_sync_batch_norm(
        x: *const C_tensor,
        norm: *const RawNorm,
        out: *mut *mut C_tensor,
    ) -> RawResult;
    pub(crate) fn effnet_depthwise(
        x: *const C_tensor,
        norm: *const RawNorm,
        activation: i32,
        kernels: *const C_tensor,
        stride: i64,
        padding: *const i64,
        out: *mut *mut C_tensor,
    ) -> RawResult;
    pub(crate) fn effnet_norm_squeeze_excite(
        x: *const C_tensor,
        norm: *const RawNorm,
        reduce: *const C_tensor,
        reduce_bias: *const C_tensor,
        expand: *const C_tensor,
        expand_bias: *const C_tensor,
        out: *mut *mut C_tensor,
    ) -> RawResult;
}

#[cfg(test)]
mod tests {
    use super::ValueKind;
    use effnet_kernels::boundary::enumerators;

    #[test]
    fn both_sides_number_kinds_of_values_alike() {
        let expected = [
            ("value_none", ValueKind::None as i32),
            ("value_tensor", ValueKind::Tensor as i32),
            ("value_tensors", ValueKind::Tensors as i32),
            ("value_float", ValueKind::Float as i32),
            ("value_int", ValueKind::Int as i32),
            ("value_bool", ValueKind::Bool as i32),
        ];
        let header = include_str!("../shim/api.h");
        assert_eq!(enumerators(header, "effnet_value_kind"), expected);
    }
}
