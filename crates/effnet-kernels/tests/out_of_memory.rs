//! Running out of memory in C++ returns [`Error::OutOfMemory`], after which callers try again with a smaller
//! batch.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml exempts only in #[test]

use std::env;
use std::process::Command;

use effnet_kernels::{Context, Convolution, Error, Layers, Network, NetworkOptions, Output, Padding};

/// The environment variable that is set for the process with little memory.
const LIMITED: &str = "EFFNET_TEST_LIMITED_MEMORY";

#[test]
fn memory_that_runs_out_is_an_error_of_its_own() {
    if env::var_os(LIMITED).is_some() {
        return run_on_a_large_image();
    }
    // A limit on this process would also apply to the other tests.
    let name = "memory_that_runs_out_is_an_error_of_its_own";
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -v 1048576 && exec "$0" --exact "$1""#])
        .arg(env::current_exe().unwrap())
        .arg(name)
        .env(LIMITED, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

/// Runs a network on 64 MiB of pixels, whose stem activations take 3 GiB.
fn run_on_a_large_image() {
    let weight = [0.1; 40 * 9];
    let stem = Convolution::new(&weight[..], [40, 1, 3, 3], vec![0.0; 40]).with_padding(Padding::Same);
    let layers = Layers {
        stem,
        blocks: Vec::new(),
        head: Convolution::new(vec![0.1; 40], [1, 40, 1, 1], vec![0.0]),
        classifier: None,
        activation: effnet_kernels::Activation::Silu,
    };
    let network = Network::new(&layers, NetworkOptions::default()).unwrap();
    let mut context = Context::new(1).unwrap();
    let mut run = |side: usize| {
        let images = vec![0.0; side * side];
        network.run(
            &mut context,
            &images,
            [1, 1, side, side],
            Output::Pooled,
            &mut [0.0],
        )
    };
    let error = run(4096).unwrap_err();
    assert_eq!(error, Error::OutOfMemory);
    assert!(error.is_out_of_memory());
    run(64).unwrap();
}
