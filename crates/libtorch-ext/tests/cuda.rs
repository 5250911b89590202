//! Tests of the CUDA part of the shim on a machine without a device. `tests/tests/cuda` tests the rest.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use libtorch_ext::{CopyStream, CudaGraph, Download, Error, device_memory};
use tch::{Cuda, Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Returns whether libtorch has a device although `load_cuda` was not called, which is the case if programs are
/// linked against its CUDA library.
fn linked_to_cuda() -> bool {
    Cuda::is_available()
}

#[track_caller]
fn assert_native<T>(result: Result<T, Error>) {
    match result {
        Err(Error::Native(message)) => {
            // The message is meant for the caller, and does not contain libtorch's backtrace.
            assert!(!message.is_empty() && !message.contains("frame #"), "{message}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the call succeeded"),
    }
}

#[test]
fn without_a_device_calls_are_errors() {
    if linked_to_cuda() {
        return;
    }
    assert_native(CopyStream::new(0));
    assert_native(device_memory(0));
    assert_native(CudaGraph::available());
    assert_native(CudaGraph::record(0, None, || -> Result<(), Error> {
        unreachable!("there is nothing to record on")
    }));
}

#[test]
fn a_tensor_on_the_cpu_is_not_downloaded() {
    let error = Download::start(&Tensor::zeros([2], CPU)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Device {
                found: Device::Cpu,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_device_that_libtorch_cannot_count_to_is_refused() {
    for device in [128, usize::MAX] {
        let error = CopyStream::new(device).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    }
}
