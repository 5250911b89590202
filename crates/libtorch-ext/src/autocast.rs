//! Mixed precision on the CPU and CUDA; tch's own `autocast` supports CUDA only.

use tch::{Device, Kind};

use crate::Error;
use crate::error::{check, device_name};
use crate::raw::{RawAutocast, effnet_autocast_enter, effnet_autocast_leave};

/// Restores the thread's autocast state on drop, even if `body` panics.
struct Guard(RawAutocast);

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: `effnet_autocast_enter` wrote this state on this thread, and it is restored once.
        unsafe { effnet_autocast_leave(&raw const self.0) };
    }
}

/// Runs `body` under autocast on `device`, like `torch.autocast`: convolutions and matrix products compute in
/// `kind`, losses in 32 bits, and each weight is cast once. Run the backward pass outside `body`: it uses the
/// kinds of the forward pass anyway.
///
/// # Errors
/// [`Error::Native`] for a kind other than [`Kind::BFloat16`] or [`Kind::Half`], or a device other than the CPU or
/// CUDA.
pub fn autocast<T>(device: Device, kind: Kind, body: impl FnOnce() -> T) -> Result<T, Error> {
    let half = match kind {
        Kind::BFloat16 => 0,
        Kind::Half => 1,
        other => {
            return Err(Error::Native(format!(
                "autocast supports bf16 and f16, found {other:?}"
            )));
        }
    };
    let cuda = match device {
        Device::Cpu => 0,
        Device::Cuda(_) => 1,
        other => {
            return Err(Error::Native(format!(
                "autocast supports the CPU and CUDA, found {}",
                device_name(other)
            )));
        }
    };
    let mut guard = Guard(RawAutocast::default());
    // SAFETY: `guard.0` is valid for writes.
    let entered = check(unsafe { effnet_autocast_enter(cuda, half, &raw mut guard.0) });
    if let Err(error) = entered {
        // The state is unchanged, so there is nothing to restore.
        std::mem::forget(guard);
        return Err(error);
    }
    Ok(body())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

    fn product() -> Tensor {
        let square = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        square.matmul(&square)
    }

    #[test]
    fn products_are_taken_in_the_asked_for_kind_and_only_inside() {
        for kind in [Kind::BFloat16, Kind::Half] {
            assert_eq!(autocast(Device::Cpu, kind, || product().kind()).unwrap(), kind);
            assert_eq!(product().kind(), Kind::Float);
        }
    }

    #[test]
    fn a_panic_inside_turns_it_off_again() {
        let panicked = std::panic::catch_unwind(|| {
            let _ = autocast(Device::Cpu, Kind::BFloat16, || panic!("inside"));
        });
        assert!(panicked.is_err());
        assert_eq!(product().kind(), Kind::Float);
    }

    #[test]
    fn a_kind_that_is_not_half_as_wide_is_refused() {
        assert!(autocast(Device::Cpu, Kind::Double, || ()).is_err());
    }
}
