//! Everything that crosses the C boundary: the structures and functions of `native/network_api.h`.
//!
//! Neither compiler sees the other language's declarations, so both sides assert the layout of each structure, and
//! a test compares the enumerations. A change to one side needs the same change to the other. The two functions
//! that report failures are declared in `boundary.rs`.

use std::ffi::c_char;

use crate::boundary::RawResult;

/// `effnet_convolution`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RawConvolution {
    pub(crate) weight: *const f32,
    /// Null for none.
    pub(crate) scale: *const f64,
    pub(crate) bias: *const f32,
    pub(crate) inputs: i32,
    pub(crate) outputs: i32,
    pub(crate) kernel: i32,
    pub(crate) stride: i32,
    pub(crate) same: i32,
    pub(crate) pad: [i32; 4],
}

/// `effnet_block`.
#[repr(C)]
pub(crate) struct RawBlock {
    pub(crate) has_expand: i32,
    pub(crate) has_gates: i32,
    pub(crate) skip: i32,
    /// A [`RawBlockKind`].
    pub(crate) kind: i32,
    pub(crate) expand: RawConvolution,
    pub(crate) depthwise: RawConvolution,
    pub(crate) reduce: RawConvolution,
    pub(crate) excite: RawConvolution,
    pub(crate) project: RawConvolution,
}

/// `effnet::BlockKind`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum RawBlockKind {
    MbConv = 0,
    Fused = 1,
    Convolution = 2,
}

/// `effnet_network_spec`.
#[repr(C)]
pub(crate) struct RawSpec {
    pub(crate) stem: RawConvolution,
    pub(crate) head: RawConvolution,
    pub(crate) blocks: *const RawBlock,
    pub(crate) block_count: i32,
    pub(crate) has_classifier: i32,
    pub(crate) classifier: RawConvolution,
    pub(crate) bf16: i32,
    /// [`BEST_INSTRUCTION_SET`], or an [`InstructionSet`](crate::InstructionSet).
    pub(crate) isa: i32,
    /// An [`Activation`](crate::Activation).
    pub(crate) activation: i32,
}

/// `effnet::Isa::best`: the best instruction set that the CPU supports.
pub(crate) const BEST_INSTRUCTION_SET: i32 = 0;

crate::assert_layout!(RawConvolution, size 64, alignment 8, {
    weight: 0,
    scale: 8,
    bias: 16,
    inputs: 24,
    outputs: 28,
    kernel: 32,
    stride: 36,
    same: 40,
    pad: 44,
});
crate::assert_layout!(RawBlock, size 336, alignment 8, {
    has_expand: 0,
    has_gates: 4,
    skip: 8,
    kind: 12,
    expand: 16,
    depthwise: 80,
    reduce: 144,
    excite: 208,
    project: 272,
});
crate::assert_layout!(RawSpec, size 224, alignment 8, {
    stem: 0,
    head: 64,
    blocks: 128,
    block_count: 136,
    has_classifier: 140,
    classifier: 144,
    bf16: 208,
    isa: 212,
    activation: 216,
});

/// `effnet::Network`, behind a pointer.
#[repr(C)]
pub(crate) struct RawNetwork {
    _opaque: [u8; 0],
}

/// `effnet::Context`, behind a pointer.
#[repr(C)]
pub(crate) struct RawContext {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    pub(crate) fn effnet_network_new(spec: *const RawSpec, network: *mut *mut RawNetwork) -> RawResult;
    pub(crate) fn effnet_network_free(network: *mut RawNetwork);
    pub(crate) fn effnet_network_isa(network: *const RawNetwork) -> *const c_char;
    pub(crate) fn effnet_network_bytes(network: *const RawNetwork) -> u64;
    pub(crate) fn effnet_network_feature_shape(
        network: *const RawNetwork,
        step: i32,
        height: i32,
        width: i32,
        shape: *mut i32,
    ) -> RawResult;
    pub(crate) fn effnet_network_memory(
        network: *const RawNetwork,
        height: i32,
        width: i32,
        thread: *mut u64,
        image: *mut u64,
    ) -> RawResult;
    pub(crate) fn effnet_network_laps(network: *const RawNetwork) -> i32;
    pub(crate) fn effnet_network_classifier_row(
        network: *const RawNetwork,
        output: i32,
        row: *mut f32,
    ) -> RawResult;

    pub(crate) fn effnet_context_new(threads: i32, context: *mut *mut RawContext) -> RawResult;
    pub(crate) fn effnet_context_free(context: *mut RawContext);
    pub(crate) fn effnet_context_bytes(context: *const RawContext) -> u64;

    pub(crate) fn effnet_network_run(
        network: *const RawNetwork,
        context: *mut RawContext,
        images: *const f32,
        count: i32,
        height: i32,
        width: i32,
        logits: *mut f32,
        pooled: *mut f32,
        features: *mut f32,
        step: i32,
        seconds: *mut f64,
    ) -> RawResult;

    pub(crate) fn effnet_has_bf16() -> i32;
    pub(crate) fn effnet_keep_freed_memory() -> i32;
}

#[cfg(test)]
mod tests {
    use super::{BEST_INSTRUCTION_SET, RawBlockKind};
    use crate::boundary::enumerators;
    use crate::{Activation, InstructionSet};

    #[test]
    fn both_sides_number_instruction_sets_alike() {
        let expected = [
            ("best", BEST_INSTRUCTION_SET),
            ("baseline", InstructionSet::Baseline as i32),
            ("avx2", InstructionSet::Avx2 as i32),
            ("avx512", InstructionSet::Avx512 as i32),
            ("avx512bf16", InstructionSet::Avx512Bf16 as i32),
        ];
        let header = include_str!("../native/network_api.h");
        assert_eq!(enumerators(header, "Isa"), expected);
    }

    #[test]
    fn both_sides_number_kinds_of_blocks_alike() {
        let expected = [
            ("mbconv", RawBlockKind::MbConv as i32),
            ("fused", RawBlockKind::Fused as i32),
            ("convolution", RawBlockKind::Convolution as i32),
        ];
        let header = include_str!("../native/network_api.h");
        assert_eq!(enumerators(header, "BlockKind"), expected);
    }

    #[test]
    fn both_sides_number_activations_alike() {
        let expected = [
            ("none", 0),
            ("silu", Activation::Silu as i32),
            ("relu6", Activation::Relu6 as i32),
        ];
        let header = include_str!("../native/activation.h");
        assert_eq!(enumerators(header, "Activation"), expected);
    }
}
