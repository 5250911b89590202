//! Everything that crosses the C boundary: the enumeration and the functions of `shim/api.h`, and the function
//! table of `shim/nccl.h`.
//!
//! Neither compiler sees the other language's declarations, so both sides assert the layout of each structure, and
//! a test compares the enumerations. A change to one side needs the same change to the other.

use std::ffi::{c_char, c_void};

use libtorch_ext::boundary::{RawResult, assert_layout};
use torch_sys::C_tensor;

use crate::Reduction;

/// `effnet_take_bytes`.
pub(crate) type TakeBytes = unsafe extern "C" fn(context: *mut c_void, bytes: *const u8, count: usize);

/// `effnet_nccl_api`, which `effnet_nccl_2` of `libeffnet_nccl.so` returns.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct RawNcclApi {
    pub(crate) connect: unsafe extern "C" fn(
        store: *const RawStore,
        rank: i32,
        size: i32,
        device: i32,
        timeout: i64,
        out: *mut *mut RawBackend,
    ) -> RawResult,
    pub(crate) free_message: unsafe extern "C" fn(message: *mut c_char),
}

assert_layout!(RawNcclApi, size 16, alignment 8, { connect: 0, free_message: 8 });

/// `effnet_backend`, behind a pointer.
#[repr(C)]
pub(crate) struct RawBackend {
    _opaque: [u8; 0],
}

/// `effnet_group`, behind a pointer.
#[repr(C)]
pub(crate) struct RawGroup {
    _opaque: [u8; 0],
}

/// `effnet_reducer`, behind a pointer.
#[repr(C)]
pub(crate) struct RawReducer {
    _opaque: [u8; 0],
}

/// `effnet_store`, behind a pointer.
#[repr(C)]
pub(crate) struct RawStore {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    pub(crate) fn effnet_store_connect(
        host: *const c_char,
        port: u16,
        serves: i32,
        clients: i32,
        timeout: i64,
        out: *mut *mut RawStore,
    ) -> RawResult;
    pub(crate) fn effnet_store_prefixed(
        store: *const RawStore,
        prefix: *const c_char,
        out: *mut *mut RawStore,
    ) -> RawResult;
    pub(crate) fn effnet_store_clone(store: *const RawStore, out: *mut *mut RawStore) -> RawResult;
    pub(crate) fn effnet_store_free(store: *mut RawStore);
    pub(crate) fn effnet_store_set(
        store: *const RawStore,
        key: *const c_char,
        bytes: *const u8,
        count: usize,
    ) -> RawResult;
    pub(crate) fn effnet_store_get(
        store: *const RawStore,
        key: *const c_char,
        timeout: i64,
        take: TakeBytes,
        context: *mut c_void,
    ) -> RawResult;
    pub(crate) fn effnet_store_has(store: *const RawStore, key: *const c_char, out: *mut i32) -> RawResult;

    pub(crate) fn effnet_group_new(
        store: *const RawStore,
        rank: i32,
        size: i32,
        address: *const c_char,
        timeout: i64,
        out: *mut *mut RawGroup,
    ) -> RawResult;
    pub(crate) fn effnet_group_add_nccl(group: *mut RawGroup, backend: *mut RawBackend) -> RawResult;
    pub(crate) fn effnet_group_free(group: *mut RawGroup, failed: i32) -> RawResult;
    pub(crate) fn effnet_group_all_reduce(
        group: *const RawGroup,
        tensor: *const C_tensor,
        reduction: Reduction,
    ) -> RawResult;
    pub(crate) fn effnet_group_broadcast(
        group: *const RawGroup,
        tensor: *const C_tensor,
        root: i32,
    ) -> RawResult;
    pub(crate) fn effnet_group_all_gather(
        group: *const RawGroup,
        input: *const C_tensor,
        outputs: *const *const C_tensor,
        count: usize,
    ) -> RawResult;
    pub(crate) fn effnet_group_barrier(group: *const RawGroup) -> RawResult;
    pub(crate) fn effnet_group_sum(group: *const RawGroup, values: *const C_tensor) -> RawResult;

    pub(crate) fn effnet_reducer_new(
        group: *const RawGroup,
        tensors: *const *const C_tensor,
        count: usize,
        bucket_bytes: i64,
        out: *mut *mut RawReducer,
    ) -> RawResult;
    pub(crate) fn effnet_reducer_backward(reducer: *mut RawReducer, loss: *const C_tensor) -> RawResult;
    pub(crate) fn effnet_reducer_free(reducer: *mut RawReducer) -> RawResult;
}

#[cfg(test)]
mod tests {
    use super::*;
    use libtorch_ext::boundary::enumerators;

    #[test]
    fn both_sides_number_reductions_alike() {
        let expected = [
            ("reduction_sum", Reduction::Sum as i32),
            ("reduction_max", Reduction::Max as i32),
            ("reduction_min", Reduction::Min as i32),
        ];
        let header = include_str!("../shim/api.h");
        assert_eq!(enumerators(header, "effnet_reduction"), expected);
    }
}
