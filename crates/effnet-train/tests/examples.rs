//! The examples run.

#![allow(clippy::unwrap_used)]

#[path = "../examples/custom_dataset.rs"]
#[allow(dead_code)]
mod custom_dataset;
#[path = "../examples/linear_probe.rs"]
#[allow(dead_code)]
mod linear_probe;

#[path = "../../effnet-data/tests/images/mod.rs"]
mod images;

use effnet_checkpoint::write_pth;
use effnet_core::{EfficientNet, Variant};
use tch::{Device, nn};

use images::{bmp, write};

// One thread each: OpenMP threads spin while waiting, and other tests run in parallel.

#[test]
fn a_data_set_of_ones_own_is_learnt() {
    tch::set_num_threads(1);
    let accuracy = custom_dataset::run(None).unwrap();
    assert!(accuracy >= 0.6, "{accuracy}, where chance is 0.33");
}

#[test]
fn a_linear_probe_tells_colours_by_the_features_of_a_random_network() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    for number in 0..16u8 {
        let (strong, weak) = (160 + 5 * number, 6 * number);
        for (class, colour) in [("red", [strong, weak, weak]), ("blue", [weak, weak, strong])] {
            write(&photos, format!("{class}/{number}.bmp"), &bmp(40, 40, colour));
        }
    }
    let store = nn::VarStore::new(Device::Cpu);
    let network = EfficientNet::new(&store.root(), &Variant::B0.config()).unwrap();
    let weights = folder.path().join("b0.pth");
    write_pth(&weights, &network.state_dict().unwrap()).unwrap();
    let accuracy = linear_probe::run(&photos, &weights, Some(32)).unwrap();
    assert!(accuracy >= 0.9, "{accuracy}, where chance is 0.5");
}
