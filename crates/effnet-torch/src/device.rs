//! Resolves `--device` to a libtorch device.
//!
//! libtorch looks for CUDA once per process and caches the answer, so the CUDA libraries have to be loaded
//! before any other call into libtorch. Every command that computes with libtorch calls [`resolve`] first.

use anyhow::{Context, ensure};
use effnet_cli::Printer;
use effnet_cli::arguments::DeviceChoice;
use effnet_cli::launcher;
use libtorch_ext::load_cuda;
use tch::{Cuda, Device};

/// Returns the device to compute on. This must be the process's first call into libtorch.
pub(crate) fn resolve(choice: DeviceChoice, printer: &Printer) -> anyhow::Result<Device> {
    let index = match choice {
        DeviceChoice::Cpu => return Ok(Device::Cpu),
        DeviceChoice::Auto => {
            let loaded = load_cuda(None);
            if !Cuda::is_available() {
                match loaded {
                    Ok(false) => {}
                    // There is a driver, but libtorch was built without CUDA or for another version: fall
                    // back to the CPU.
                    Ok(true) => printer.note(
                        "running on the CPU: an NVIDIA driver is installed, but libtorch finds no CUDA device",
                    ),
                    Err(error) => printer.note(format!(
                        "running on the CPU: an NVIDIA driver is installed, but this libtorch cannot use it \
                         ({error}); `scripts/setup --cuda` installs one that can"
                    )),
                }
                return Ok(Device::Cpu);
            }
            None
        }
        DeviceChoice::Cuda(index) => {
            let missing = "no CUDA device: expected an NVIDIA driver and a libtorch with CUDA (`scripts/setup \
                           --cuda`); run `effnet env` to see what was found";
            load_cuda(None).context(missing)?;
            ensure!(Cuda::is_available(), missing);
            index
        }
    };
    let count = usize::try_from(Cuda::device_count())?;
    let index = match index {
        Some(index) => index,
        None => launcher::device(count)?,
    };
    let devices = if count == 1 { "device" } else { "devices" };
    ensure!(
        index < count,
        "--device cuda:{index}: this machine has {count} CUDA {devices}, numbered from 0"
    );
    Ok(Device::Cuda(index))
}

/// Makes libtorch compute with `threads` threads.
///
/// If libtorch already uses that many threads, nothing is set. Setting the number also starts XNNPACK's
/// thread pool, which is not used here; its idle threads spin, which costs 8 % of the time for a single
/// image.
pub(crate) fn use_threads(threads: usize) -> anyhow::Result<()> {
    let threads = i32::try_from(threads)?;
    if tch::get_num_threads() != threads {
        tch::set_num_threads(threads);
    }
    Ok(())
}
