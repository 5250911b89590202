//! The networks agree with the reference packages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod initialisation;
mod layout;
mod padding;
mod parity;
mod stochastic_depth;
mod training;

use effnet_checkpoint::{Checkpoint, StateDict};
use effnet_core::{Config, EfficientNet, LoadOptions};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::{Device, nn};

/// Does what the reference does, in a folder of its own, and returns the folder; without a
/// reference it reports that `test` was skipped.
fn fixture(test: &str, mut request: serde_json::Value) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().expect("make a temporary folder");
    request["folder"] = folder.path().to_str().expect("a UTF-8 path").into();
    match effnet_tests::ask(&request) {
        Ok(_) => Some(folder),
        Err(reason) => {
            effnet_tests::skip(test, &reason);
            None
        }
    }
}

/// The tensors of a file, under the file's names.
fn state_dict(path: &Path) -> StateDict {
    Checkpoint::open(path)
        .expect("open a checkpoint")
        .into_state_dict()
}

/// One thread for what this test computes, as the Python process has: the tests run side by side, and
/// threads of OpenMP that wait for a core by spinning keep each other from it (ten times slower on
/// two busy cores).
fn compute_on_one_thread() {
    tch::set_num_threads(1);
}

/// A network on a store of its own.
fn load(config: &Config, state_dict: &StateDict) -> (nn::VarStore, EfficientNet) {
    compute_on_one_thread();
    let store = nn::VarStore::new(Device::Cpu);
    let loaded = EfficientNet::from_state_dict(&store.root(), config, state_dict, LoadOptions::default());
    (store, loaded.expect("load a state dict"))
}

/// The right to draw random numbers, seeded. libtorch has one generator for the whole process, so of
/// the tests that run side by side only one may draw.
struct Seeded {
    _turn: MutexGuard<'static, ()>,
}

fn seeded(seed: i64) -> Seeded {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed in its turn leaves nothing behind: the next one seeds again.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed);
    Seeded { _turn: turn }
}

/// A network with random parameters on a store of its own.
fn new(config: &Config, _turn: &Seeded) -> (nn::VarStore, EfficientNet) {
    compute_on_one_thread();
    let store = nn::VarStore::new(Device::Cpu);
    let network = EfficientNet::new(&store.root(), config).expect("build a network");
    (store, network)
}
