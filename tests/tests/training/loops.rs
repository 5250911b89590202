//! Fifty steps on fixed images: losses, weights and averages against those of a loop in Python.

use std::collections::BTreeMap;
use std::path::Path;

use effnet_checkpoint::Checkpoint;
use effnet_core::{Config, EfficientNet, LoadOptions, Variant};
use effnet_tests::{ask, relative_error, skip, tensors};
use effnet_train::{
    AsymmetricLoss, Batch, BinaryCrossEntropy, CrossEntropy, EmaOptions, FocalLoss, Huber, Loss,
    OptimizerKind, ParamGroupOptions, Phase, Schedule, ScheduleShape, SquaredError, Targets, Trainer,
    TrainerOptions, Warmup,
};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor, nn};

/// The largest relative difference of a loss, and of a tensor, that a loop may end with.
const BOUND: f64 = 1e-3;

struct Loop {
    optimizer: OptimizerKind,
    rate: f64,
    shape: ScheduleShape,
    weight_decay: f64,
    steps: u64,
    batch: i64,
    options: TrainerOptions,
}

fn narrow() -> Config {
    Config {
        width_coefficient: 0.25,
        depth_coefficient: 0.5,
        num_classes: 10,
        ..Variant::B0.config()
    }
}

/// Trains as the reference did and compares.
fn follow(folder: &Path, config: &Config, own: Loop) -> (f64, f64) {
    tch::set_num_threads(1);
    let config = Config {
        dropout_rate: 0.0,
        drop_connect_rate: 0.0,
        ..config.clone()
    };
    let start = Checkpoint::open(folder.join("start.pth")).unwrap();
    let store = nn::VarStore::new(Device::Cpu);
    let options = LoadOptions::default();
    let network = EfficientNet::from_state_dict(&store.root(), &config, start.state_dict(), options).unwrap();
    let expected = tensors(&folder.join("expected.safetensors"));

    let phase = Phase {
        groups: ParamGroupOptions::default().with_weight_decay(own.weight_decay),
        optimizer: own.optimizer,
        schedule: Schedule::new(own.rate, own.steps, own.shape, Warmup::default()).unwrap(),
    };
    let mut trainer = Trainer::new(network, own.options, vec![phase]).unwrap();
    let half = |tensor: &Tensor, step: u64| tensor.narrow(0, (step % 2) as i64 * own.batch, own.batch);
    let mut worst_loss = 0f64;
    for step in 0..own.steps {
        let labels = half(&expected["labels"], step);
        let targets = if labels.kind() == Kind::Int64 {
            Targets::Classes(labels)
        } else {
            Targets::Values(labels)
        };
        let batch = Batch::new(half(&expected["images"], step), targets);
        let loss = trainer.step(&[batch]).unwrap().loss;
        let theirs = expected["losses"].double_value(&[step as i64]);
        let error = (loss - theirs).abs() / theirs;
        assert!(
            error <= BOUND,
            "the loss of step {step} is {loss}, expected {theirs}"
        );
        worst_loss = worst_loss.max(error);
    }
    let mut worst = compare(trainer.network(), "after", &expected);
    if expected.keys().any(|name| name.starts_with("average.")) {
        worst = worst.max(compare(trainer.evaluated(), "average", &expected));
    }
    (worst_loss, worst)
}

/// The largest error of a tensor, over its largest element, or over its unit where rounding alone moves
/// it: what a block's last shift adds to all pixels, the next batch normalisation takes away, so neither
/// the shift nor the mean that is taken away says anything about the training.
fn compare(network: &EfficientNet, part: &str, expected: &BTreeMap<String, Tensor>) -> f64 {
    let mut worst = 0f64;
    for (name, tensor) in network.named_tensors() {
        if name.ends_with("num_batches_tracked") && part == "average" {
            // timm's older average takes the mean of counters too, rounded.
            continue;
        }
        let theirs = &expected[&format!("{part}.{name}")];
        let difference = || (tensor.detach() - theirs).abs().max().double_value(&[]);
        let error = if name.ends_with("_bn2.bias") {
            difference()
        } else if let Some(layer) = name.strip_suffix("running_mean") {
            let variance = &expected[&format!("{part}.{layer}running_var")];
            difference() / variance.max().double_value(&[]).sqrt()
        } else {
            relative_error(&tensor.detach(), theirs)
        };
        worst = worst.max(error);
    }
    assert!(worst <= BOUND, "{part}: {worst:.1e}");
    worst
}

fn same_loop(test: &str, config: &Config, optimizer: &str, mut request: Value, own: Loop) {
    let folder = tempfile::tempdir().unwrap();
    request["request"] = "train".into();
    request["optimizer"] = optimizer.into();
    request["folder"] = folder.path().to_str().unwrap().into();
    request["lr"] = own.rate.into();
    request["weight_decay"] = own.weight_decay.into();
    request["steps"] = own.steps.into();
    request["batch"] = own.batch.into();
    if let Err(reason) = ask(&request) {
        return skip(test, &reason);
    }
    let (loss, weights) = follow(folder.path(), config, own);
    println!("{test}: losses within {loss:.1e}, weights within {weights:.1e}");
}

fn fifty(optimizer: OptimizerKind, rate: f64, weight_decay: f64) -> Loop {
    Loop {
        optimizer,
        rate,
        shape: ScheduleShape::Constant,
        weight_decay,
        steps: 50,
        batch: 16,
        options: TrainerOptions::default(),
    }
}

fn small() -> Value {
    let overrides = json!({"width_coefficient": 0.25, "depth_coefficient": 0.5, "num_classes": 10});
    json!({"size": [64, 48], "overrides": overrides})
}

#[test]
fn fifty_steps_of_sgd_follow_torchs() {
    let own = fifty(OptimizerKind::SGD, 0.005, 1e-4);
    same_loop("fifty_steps_of_sgd_follow_torchs", &narrow(), "sgd", small(), own);
}

#[test]
fn fifty_steps_of_nesterovs_sgd_follow_torchs() {
    let own = fifty(
        OptimizerKind::Sgd {
            momentum: 0.9,
            nesterov: true,
        },
        0.005,
        1e-4,
    );
    same_loop(
        "fifty_steps_of_nesterovs_sgd_follow_torchs",
        &narrow(),
        "nesterov",
        small(),
        own,
    );
}

#[test]
fn fifty_steps_of_adamw_follow_torchs() {
    let own = fifty(OptimizerKind::ADAM_W, 3e-5, 0.05);
    same_loop(
        "fifty_steps_of_adamw_follow_torchs",
        &narrow(),
        "adamw",
        small(),
        own,
    );
}

#[test]
fn one_cycle_of_adamw_sgd_and_rms_prop_follows_torchs() {
    let optimizers = [
        ("adamw", OptimizerKind::ADAM_W, 3e-5),
        ("sgd", OptimizerKind::SGD, 0.005),
        ("rmsprop", OptimizerKind::RMS_PROP_TF, 1e-3),
    ];
    for (name, kind, rate) in optimizers {
        let mut own = fifty(kind, rate, 0.05);
        own.shape = ScheduleShape::ONE_CYCLE_WITH_MOMENTUM;
        let mut request = small();
        request["cycle"] = true.into();
        same_loop(
            "one_cycle_of_adamw_sgd_and_rms_prop_follows_torchs",
            &narrow(),
            name,
            request,
            own,
        );
    }
}

#[test]
fn fifty_steps_of_the_papers_rms_prop_follow_timms() {
    let own = fifty(OptimizerKind::RMS_PROP_TF, 1e-3, 1e-5);
    same_loop(
        "fifty_steps_of_the_papers_rms_prop_follow_timms",
        &narrow(),
        "rmsprop",
        small(),
        own,
    );
}

#[test]
fn clipping_and_label_smoothing_follow_torchs() {
    let mut own = fifty(OptimizerKind::SGD, 0.05, 0.0);
    own.options.clip_norm = Some(0.5);
    own.options = own.options.with_loss(CrossEntropy::new(0.1, None).unwrap());
    let mut request = small();
    request["clip"] = 0.5.into();
    request["smoothing"] = 0.1.into();
    same_loop(
        "clipping_and_label_smoothing_follow_torchs",
        &narrow(),
        "sgd",
        request,
        own,
    );
}

#[test]
fn fifty_steps_of_each_loss_of_labels_and_of_values_follow_torchs() {
    let weights: Vec<f64> = (0..10).map(|label| 0.5 + 0.5 * f64::from(label)).collect();
    let losses: [(&str, Box<dyn Loss>); 5] = [
        ("bce", Box::new(BinaryCrossEntropy::new(Some(&weights)).unwrap())),
        ("focal", Box::new(FocalLoss::default())),
        ("asymmetric", Box::new(AsymmetricLoss::default())),
        ("squared", Box::new(SquaredError)),
        ("huber", Box::new(Huber::new(0.5).unwrap())),
    ];
    for (name, loss) in losses {
        let mut own = fifty(OptimizerKind::SGD, 0.005, 1e-4);
        own.options.loss = loss;
        let mut request = small();
        request["loss"] = name.into();
        same_loop(
            "fifty_steps_of_each_loss_of_labels_and_of_values_follow_torchs",
            &narrow(),
            "sgd",
            request,
            own,
        );
    }
}

#[test]
fn averages_follow_both_of_timms() {
    for version in ["v2", "v3"] {
        let mut own = fifty(OptimizerKind::SGD, 0.005, 1e-4);
        own.steps = 20;
        own.options.ema = Some(EmaOptions::default().with_decay(0.9).with_warmup(false));
        let mut request = small();
        request["average"] = version.into();
        same_loop("averages_follow_both_of_timms", &narrow(), "sgd", request, own);
    }
}

#[test]
fn steps_of_b0_follow_the_original() {
    let mut own = fifty(OptimizerKind::SGD, 0.001, 1e-5);
    (own.steps, own.batch) = (10, 8);
    let request = json!({"size": [96, 96], "overrides": null});
    same_loop(
        "steps_of_b0_follow_the_original",
        &Variant::B0.config(),
        "sgd",
        request,
        own,
    );
}
