//! A hand-written training loop that uses only effnet-core and tch, on CUDA if available:
//!
//! ```text
//! cargo run --release -p effnet-core --example train
//! ```
//!
//! It learns to classify random stripes by their direction.

#![allow(clippy::print_stdout)]

use std::error::Error;

use effnet_core::{Config, EfficientNet, Variant};
use tch::nn::OptimizerConfig as _;
use tch::{Device, Kind, Tensor, nn};

/// Returns `count` noisy images `[count, 3, 64, 64]` and the directions of their stripes, `[count]`.
fn stripes(count: i64, device: Device) -> (Tensor, Tensor) {
    let along = Tensor::arange(64, (Kind::Float, device));
    let (x, y) = (along.view([1, 64]), along.view([64, 1]));
    let across = |line: &Tensor| line.expand([64, 64], false);
    let directions = Tensor::stack(&[across(&x), across(&y), &x + &y, &x - &y], 0);
    let labels = Tensor::randint(4, [count], (Kind::Int64, device));
    let phases = Tensor::rand([count, 1, 1], (Kind::Float, device)) * 6.3;
    let images = (directions.index_select(0, &labels) * 0.7 + phases)
        .sin()
        .unsqueeze(1);
    (
        images.expand([-1, 3, -1, -1], false)
            + Tensor::randn([count, 3, 64, 64], (Kind::Float, device)) * 0.3,
        labels,
    )
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // Use this rather than `Device::cuda_if_available`, and before the first tensor.
    let device = effnet_core::device();
    tch::manual_seed(1);

    let store = nn::VarStore::new(device);
    // The network is narrow, so that this takes only seconds.
    let config = Config {
        width_coefficient: 0.25,
        depth_coefficient: 0.5,
        batch_norm_momentum: 0.1,
        ..Variant::B0.config().with_num_classes(4)
    };
    let network = EfficientNet::new(&store.root(), &config)?;
    let mut optimizer = nn::AdamW::default().build(&store, 3e-3)?;
    for step in 1..=60 {
        let (images, labels) = stripes(32, device);
        let loss = network.forward(&images, true)?.cross_entropy_for_logits(&labels);
        optimizer.backward_step_clip_norm(&loss, 1.0);
        if step % 20 == 0 {
            println!("step {step}: loss {:.3}", loss.double_value(&[]));
        }
    }

    let (images, labels) = stripes(64, device);
    let logits = tch::no_grad(|| network.forward(&images, false))?;
    let accuracy = logits.accuracy_for_logits(&labels).double_value(&[]);
    println!("accuracy on new images: {accuracy:.2}");
    if accuracy < 0.6 {
        return Err(format!("accuracy is {accuracy:.2}, expected at least 0.6 (chance: 0.25)").into());
    }
    Ok(())
}
