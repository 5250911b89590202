//! The examples run.

#[path = "../examples/train.rs"]
#[allow(dead_code)]
mod train;

/// It fails by itself if the network does not learn.
#[test]
fn a_loop_of_ones_own_learns() {
    // Threads of OpenMP wait by spinning, and other tests run beside this one.
    tch::set_num_threads(1);
    train::main().unwrap();
}
