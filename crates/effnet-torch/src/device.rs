//! Which device of libtorch's computes, after a look at what this machine has.

use anyhow::{Context, ensure};
use effnet_cli::Printer;
use effnet_cli::arguments::DeviceChoice;
use effnet_cli::launcher;
use libtorch_ext::load_cuda;
use tch::{Cuda, Device};

/// The device. It must be the first that a process does with libtorch, which looks for CUDA once, and
/// remembers.
pub(crate) fn resolve(choice: DeviceChoice, printer: &Printer) -> anyhow::Result<Device> {
    let index = match choice {
        DeviceChoice::Cpu => return Ok(Device::Cpu),
        DeviceChoice::Auto => {
            let loaded = load_cuda(None);
            if !Cuda::is_available() {
                match loaded {
                    Ok(false) => {}
                    // A driver with a libtorch that has no CUDA, or of another version: the CPU will do.
                    Ok(true) => printer.note("computed on the CPU: there is an NVIDIA driver, and libtorch finds no device"),
                    Err(error) => printer.note(format!(
                        "computed on the CPU: there is an NVIDIA driver, and this libtorch cannot use it ({error}); \
                         scripts/setup --cuda installs one that can"
                    )),
                }
                return Ok(Device::Cpu);
            }
            None
        }
        DeviceChoice::Cuda(index) => {
            let missing = "no CUDA device: expected an NVIDIA driver and a libtorch with CUDA (scripts/setup \
                           --cuda), run `effnet env` to see what is found";
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
    ensure!(index < count, "no device cuda:{index}, this machine has {count}");
    Ok(Device::Cuda(index))
}

/// Has libtorch compute with `threads` threads.
///
/// Nothing is said where libtorch takes as many by itself: being told, it also starts the threads of XNNPACK's pool,
/// which nothing here uses, and whose turning while they wait takes a thirteenth of the time of a single photo.
pub(crate) fn use_threads(threads: usize) -> anyhow::Result<()> {
    let threads = i32::try_from(threads)?;
    if tch::get_num_threads() != threads {
        tch::set_num_threads(threads);
    }
    Ok(())
}
