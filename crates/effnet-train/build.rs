//! Sets the run path, so that programs find libtorch at run time.

fn main() -> std::io::Result<()> {
    libtorch_build::set_run_path()
}
