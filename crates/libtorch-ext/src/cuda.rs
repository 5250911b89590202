//! Transfers that overlap with computation on a CUDA device, the device's memory, and TensorFloat-32.

use std::ptr::{self, NonNull};

use tch::{Device, Tensor};

use crate::Error;
use crate::error::check;
use crate::raw::{
    RawEvent, effnet_allow_tf32, effnet_copy_stream, effnet_device_memory, effnet_download,
    effnet_event_free, effnet_event_wait, effnet_upload,
};

/// Sets whether libtorch's convolutions and matrix products of 32-bit floats on CUDA may round their inputs to
/// TensorFloat-32, which has a 10-bit mantissa. This applies to the whole process. By default, libtorch allows it
/// for convolutions but not for matrix products.
pub fn allow_tf32(allow: bool) {
    // SAFETY: this only sets flags, which libtorch reads when an operation starts.
    unsafe { effnet_allow_tf32(i32::from(allow)) }
}

/// The memory of a CUDA device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Memory that no process has allocated.
    pub free: u64,
    /// The total memory of the device.
    pub total: u64,
    /// The most memory that libtorch has held at any one time in this process.
    pub peak: u64,
}

/// Returns the memory figures of the CUDA device with index `device`.
///
/// # Errors
/// [`Error::Native`] without CUDA or without such a device.
pub fn device_memory(device: usize) -> Result<DeviceMemory, Error> {
    let (mut free, mut total, mut peak) = (0, 0, 0);
    // SAFETY: the last three arguments are valid for writes.
    check(unsafe {
        effnet_device_memory(
            device_index(device)?,
            &raw mut free,
            &raw mut total,
            &raw mut peak,
        )
    })?;
    Ok(DeviceMemory { free, total, peak })
}

/// A CUDA stream for copies that overlap with computation on the device.
#[derive(Debug)]
pub struct CopyStream {
    device: i32,
    stream: i64,
}

impl CopyStream {
    /// Returns a stream of the device with index `device`.
    ///
    /// # Errors
    /// [`Error::Native`] without CUDA or without such a device.
    pub fn new(device: usize) -> Result<Self, Error> {
        let device = device_index(device)?;
        let mut stream = 0;
        // SAFETY: the last argument is valid for writes.
        check(unsafe { effnet_copy_stream(device, &raw mut stream) })?;
        Ok(Self { device, stream })
    }

    /// Copies `tensor` to the device, through pinned memory. The copy may still be in progress when this returns:
    /// computations with the result wait for it, those started earlier do not.
    ///
    /// # Errors
    /// [`Error::Device`] for a tensor that is not on the CPU, [`Error::OutOfMemory`],
    /// [`Error::Native`] when CUDA fails.
    pub fn upload(&self, tensor: &Tensor) -> Result<Tensor, Error> {
        expect(tensor, "the CPU", tensor.device() == Device::Cpu)?;
        let mut target = ptr::null_mut();
        // SAFETY: `tensor` is a live libtorch tensor, and `target` is valid for writes. `tensor` is copied to
        // pinned memory before the call returns, and not read after that.
        check(unsafe { effnet_upload(tensor.as_ptr(), self.device, self.stream, &raw mut target) })?;
        // SAFETY: after a success, `target` is a new tensor that nothing else owns.
        Ok(unsafe { Tensor::from_ptr(target) })
    }
}

/// A tensor on its way from a CUDA device to pinned memory.
#[derive(Debug)]
pub struct Download {
    tensor: Tensor,
    done: Event,
}

impl Download {
    /// Queues a copy of `tensor`, after the work already queued on its device, and returns immediately.
    ///
    /// # Errors
    /// [`Error::Device`] for a tensor that is not on a CUDA device, [`Error::Native`].
    pub fn start(tensor: &Tensor) -> Result<Self, Error> {
        expect(tensor, "a CUDA device", tensor.device().is_cuda())?;
        let (mut target, mut done) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `tensor` is a live libtorch tensor, and the other arguments are valid for writes. The tensor may
        // be freed before the copy is done: libtorch reuses its memory only for later work on the same stream.
        check(unsafe { effnet_download(tensor.as_ptr(), &raw mut target, &raw mut done) })?;
        // SAFETY: after a success, `target` is a new tensor that nothing else owns.
        let tensor = unsafe { Tensor::from_ptr(target) };
        let done = NonNull::new(done).ok_or(Error::OutOfMemory)?;
        Ok(Self {
            tensor,
            done: Event(done),
        })
    }

    /// Waits for the copy and for the work queued before it, and returns the copy.
    ///
    /// # Errors
    /// [`Error::Native`] when a computation queued before it failed.
    pub fn wait(self) -> Result<Tensor, Error> {
        // SAFETY: the event lives as long as `self`.
        check(unsafe { effnet_event_wait(self.done.0.as_ptr()) })?;
        Ok(self.tensor)
    }
}

#[derive(Debug)]
struct Event(NonNull<RawEvent>);

// SAFETY: an event is not bound to a thread, and only one thread at a time owns it.
unsafe impl Send for Event {}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created by `effnet_download`, and freed once.
        unsafe { effnet_event_free(self.0.as_ptr()) }
    }
}

fn expect(tensor: &Tensor, expected: &'static str, fits: bool) -> Result<(), Error> {
    let found = tensor.device();
    if fits {
        Ok(())
    } else {
        Err(Error::Device { expected, found })
    }
}

/// Converts the index of a CUDA device to libtorch's range, which is that of 8-bit integers.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn device_index(device: usize) -> Result<i32, Error> {
    i8::try_from(device)
        .map(i32::from)
        .map_err(|_| Error::OutOfRange {
            name: "the index of the CUDA device",
            value: i64::try_from(device).unwrap_or(i64::MAX),
        })
}
