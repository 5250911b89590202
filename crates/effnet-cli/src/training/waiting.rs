//! How the threads of a training wait for each other.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// How often a thread looks for work before it sleeps: a hundredth of what the OpenMP library that libtorch comes
/// with does by itself. Measured on two cores, B0, 96 pixels, batches of 16: 133 images/s with either; beside
/// two busy processes 48 instead of 12.
const SPINS: &str = "1000";
const SPIN_COUNT: &str = "GOMP_SPINCOUNT";

/// Starts this program again as one whose threads soon sleep when they wait, unless the environment says how
/// they are to.
///
/// A step has thousands of short parallel sections, after each of which OpenMP's threads spin for a while. Where
/// something else needs the cores, the loader's threads among them, that takes from the very work that they
/// wait for. The library reads its variables when it is loaded, which is before `main`: hence the new start.
/// Where that is not possible the program goes on as it is.
pub(super) fn sleep_soon() {
    let is_set = |variable| std::env::var_os(variable).is_some();
    if is_set(SPIN_COUNT) || is_set("OMP_WAIT_POLICY") {
        return;
    }
    let mut given = std::env::args_os();
    let (Ok(program), Some(name)) = (std::env::current_exe(), given.next()) else {
        return;
    };
    // It returns only if it fails.
    let _ = Command::new(program)
        .arg0(name)
        .args(given)
        .env(SPIN_COUNT, SPINS)
        .exec();
}
