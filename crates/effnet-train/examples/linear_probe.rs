//! A linear probe: how well a linear classifier does on the features of a frozen network.
//!
//! ```text
//! cargo run --release -p effnet-train --example linear_probe FOLDER WEIGHTS
//! ```
//!
//! FOLDER has a folder of images per class, WEIGHTS is a file of any EfficientNet in any format. The
//! features are computed only once, so even a large network takes a single pass over the images.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use effnet_core::{EfficientNet, ModelOptions, PreprocessingOverrides, Pretrained, PretrainedOptions};
use effnet_data::{Order, Splits};
use effnet_train::data::{Loader, LoaderOptions};
use effnet_train::{Network as _, Precision};
use tch::nn::{Module as _, OptimizerConfig as _};
use tch::{Tensor, nn};

/// Pooled features `[N, C]` and labels `[N]` of all images of `loader`, on a CPU at inference speed.
fn features(network: &EfficientNet, loader: &Loader) -> Result<(Tensor, Tensor), Box<dyn Error>> {
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    let body = network.body(Precision::Fp32)?;
    for batch in loader.epoch(0)? {
        let batch = batch?;
        let pooled = if let Some(body) = &body {
            body.features(&batch.images)?
        } else {
            let images = batch.images.to_device(network.device());
            tch::no_grad(|| network.compact_features(&images))?
        };
        features.push(pooled.flatten(1, -1));
        labels.push(batch.targets.tensor().to_device(network.device()));
    }
    Ok((Tensor::cat(&features, 0), Tensor::cat(&labels, 0)))
}

pub(crate) fn run(folder: &Path, weights: &Path, image_size: Option<usize>) -> Result<f64, Box<dyn Error>> {
    // The classifier is not used: any number of classes will do.
    let preprocessing = PreprocessingOverrides::default().with_image_size(image_size);
    let options = PretrainedOptions::default()
        .with_new_classes(1)
        .with_model(ModelOptions::default().with_preprocessing(preprocessing));
    let Pretrained {
        network, transform, ..
    } = Pretrained::open(weights, &options)?;

    let splits = Splits::open(folder)?.or_split(0.25, 0);
    let options = LoaderOptions::default()
        .with_batch_size(16)
        .with_order(Order::Sequential);
    let loader = |dataset| Loader::new(dataset, transform, options.clone());
    let classes = splits.train.classes().len() as i64;
    let validation = splits.val.ok_or("no validation images")?;
    let (known, known_labels) = features(&network, &loader(Arc::clone(&splits.train))?)?;
    let (new, new_labels) = features(&network, &loader(validation)?)?;

    // Features differ in scale; the classifier learns faster once they are standardised.
    let (deviation, mean) = known.std_mean_dim(&[0i64][..], true, true);
    let scaled = |features: &Tensor| (features - &mean) / (&deviation + 1e-6);
    let store = nn::VarStore::new(network.device());
    let layer = nn::linear(
        store.root(),
        known.size()[1],
        classes,
        nn::LinearConfig::default(),
    );
    let mut optimizer = nn::AdamW::default().build(&store, 1e-2)?;
    for _ in 0..200 {
        let loss = layer
            .forward(&scaled(&known))
            .cross_entropy_for_logits(&known_labels);
        optimizer.backward_step(&loss);
    }
    let accuracy = layer.forward(&scaled(&new)).accuracy_for_logits(&new_labels);
    let accuracy = accuracy.double_value(&[]);
    println!("accuracy on {} validation images: {accuracy:.3}", new.size()[0]);
    Ok(accuracy)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, weights] = arguments.as_slice() else {
        return Err("usage: linear_probe FOLDER WEIGHTS".into());
    };
    run(Path::new(folder), Path::new(weights), None)?;
    Ok(())
}
