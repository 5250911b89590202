//! The examples run.

#[path = "../examples/train.rs"]
#[allow(dead_code)]
mod train;

/// It fails by itself if the network does not learn.
#[test]
fn a_loop_of_ones_own_learns() {
    train::main().unwrap();
}
