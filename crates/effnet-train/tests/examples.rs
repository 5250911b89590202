//! The examples run.

#![allow(clippy::unwrap_used)]

#[path = "../examples/custom_dataset.rs"]
#[allow(dead_code)]
mod custom_dataset;
#[path = "../examples/linear_probe.rs"]
#[allow(dead_code)]
mod linear_probe;

#[path = "../examples/mixed_precision.rs"]
#[allow(dead_code)]
mod mixed_precision;
#[path = "../examples/multi_label.rs"]
#[allow(dead_code)]
mod multi_label;
#[path = "../examples/two_heads.rs"]
#[allow(dead_code)]
mod two_heads;

#[path = "../../effnet-data/tests/images/mod.rs"]
mod images;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use effnet_checkpoint::write_pth;
use effnet_core::{Config, EfficientNet, Variant};
use effnet_train::Ending;
use tch::{Device, nn};

use images::{bmp, write};
use mixed_precision::Printer;

/// libtorch has one random number generator per process: only one example at a time may draw.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // One thread: OpenMP threads spin while waiting, and other tests run in parallel.
    tch::set_num_threads(1);
    turn
}

/// A data set of 16 images of each colour.
fn red_and_blue(folder: &Path) -> PathBuf {
    let photos = folder.join("photos");
    for number in 0..16u8 {
        let (strong, weak) = (160 + 5 * number, 6 * number);
        for (class, colour) in [("red", [strong, weak, weak]), ("blue", [weak, weak, strong])] {
            write(&photos, format!("{class}/{number}.bmp"), &bmp(40, 40, colour));
        }
    }
    photos
}

#[test]
fn two_heads_learn_two_things() {
    let _turn = turn();
    let [size, colour] = two_heads::run(8).unwrap();
    assert!(size >= 0.75, "{size}, where chance is 0.5");
    assert!(colour >= 0.75, "{colour}, where chance is 0.33");
}

#[test]
fn several_labels_per_image_are_learnt_with_thresholds() {
    let _turn = turn();
    let summary = multi_label::run(10).unwrap();
    let precision = summary.mean_average_precision.unwrap();
    assert!(precision >= 0.85, "{summary:?}, where chance is about 0.35");
    assert!(summary.micro_f1.unwrap() >= 0.75, "{summary:?}");
}

#[test]
fn a_run_in_mixed_precision_is_resumed_bit_for_bit() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let photos = red_and_blue(folder.path());
    let config = Config {
        width_coefficient: 0.1,
        depth_coefficient: 0.3,
        depth_divisor: 4,
        image_size: [32, 32],
        ..Variant::B0.config()
    };
    let train = |name: &str, most_steps| {
        let (run, mut printer) = (folder.path().join(name), Printer::stopping_after(most_steps));
        mixed_precision::run(&photos, &run, &config, &mut printer).unwrap()
    };
    assert_eq!(train("whole", u64::MAX), Ending::Finished);
    assert_eq!(train("parts", 3), Ending::Interrupted);
    assert_eq!(train("parts", u64::MAX), Ending::Finished);
    let weights = |name: &str| std::fs::read(folder.path().join(name).join("last.safetensors")).unwrap();
    assert!(weights("whole") == weights("parts"));
}

#[test]
fn a_data_set_of_ones_own_is_learnt() {
    let _turn = turn();
    let accuracy = custom_dataset::run(None).unwrap();
    assert!(accuracy >= 0.6, "{accuracy}, where chance is 0.33");
}

#[test]
fn a_linear_probe_tells_colours_by_the_features_of_a_random_network() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let photos = red_and_blue(folder.path());
    let store = nn::VarStore::new(Device::Cpu);
    let network = EfficientNet::new(&store.root(), &Variant::B0.config()).unwrap();
    let weights = folder.path().join("b0.pth");
    write_pth(&weights, &network.state_dict().unwrap()).unwrap();
    let accuracy = linear_probe::run(&photos, &weights, Some(32)).unwrap();
    assert!(accuracy >= 0.9, "{accuracy}, where chance is 0.5");
}
