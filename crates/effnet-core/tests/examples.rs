//! Checks that the examples run.

#[path = "../examples/train.rs"]
#[allow(dead_code)]
mod train;

/// The example returns an error if the network does not learn.
#[test]
fn a_loop_of_ones_own_learns() {
    // OpenMP threads spin while they wait, and other tests run at the same time.
    tch::set_num_threads(1);
    train::main().unwrap();
}
