//! Steps that train only the head: the layers below it run at inference speed, and their results may be kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use effnet::ModelMetadata;
use effnet_core::EfficientNet;
use effnet_data::{BoxError, Dataset, Order};
use effnet_image::augment::TrainTransform;
use effnet_image::{EvalTransform, Image};
use effnet_train::data::{ImageBatches, Loader, LoaderOptions};
use effnet_train::{
    Batch, Checkpointer, EmaOptions, Ending, EpochReport, Error, FeatureCache, Fit, FitOptions, Freeze,
    Measure, Network, Observer, OptimizerKind, ParamGroupOptions, Phase, StepReport, Trainer, TrainerOptions,
};
use serde_json::json;
use tch::{Device, Tensor};

use crate::{Turn, batch, first_difference, narrow, network, parameter, phase, turn, values};

/// An EfficientNet whose frozen layers run through libtorch, as those of any other network.
#[derive(Debug)]
struct Plain(EfficientNet);

impl Network for Plain {
    fn device(&self) -> Device {
        self.0.device()
    }

    fn named_tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.named_tensors()
    }

    fn layers(&self) -> Vec<String> {
        self.0.layers()
    }

    fn layer_of(&self, parameter: &str) -> usize {
        self.0.layer_of(parameter)
    }

    fn features(&self, images: &Tensor, train: bool) -> Result<Tensor, Error> {
        self.0.features(images, train)
    }

    fn head(&self, features: &Tensor, train: bool) -> Result<Tensor, Error> {
        self.0.head(features, train)
    }

    fn duplicate(&self) -> Result<Self, Error> {
        Ok(Self(self.0.duplicate()?))
    }
}

/// A network with statistics of the images, without which all features are nearly zero.
fn prepared(turn: &Turn) -> EfficientNet {
    let mut config = narrow();
    config.batch_norm_momentum = 0.5;
    let network = network(&config, 1, turn);
    for number in 0..8 {
        let images = batch(100 + number, 12).images;
        let _ = tch::no_grad(|| network.forward(&images, true)).unwrap();
    }
    network
}

fn head_phase(steps: u64) -> Phase {
    Phase {
        groups: ParamGroupOptions::default().with_freeze(Freeze::Features),
        ..phase(OptimizerKind::ADAM_W, 0.01, steps)
    }
}

fn trainer<N: Network>(network: N, phases: Vec<Phase>) -> Trainer<N> {
    Trainer::new(network, TrainerOptions::default().with_seed(5), phases).unwrap()
}

#[test]
fn fifty_steps_of_a_head_equal_those_through_libtorch() {
    let turn = turn();
    let mut engine = trainer(prepared(&turn), vec![head_phase(50)]);
    let mut plain = trainer(Plain(prepared(&turn)), vec![head_phase(50)]);
    let mut losses = Vec::new();
    for number in 0..50 {
        let batch = [batch(number, 12)];
        let (engine, plain) = (engine.step(&batch).unwrap(), plain.step(&batch).unwrap());
        assert!((engine.loss - plain.loss).abs() < 1e-4, "{engine:?} {plain:?}");
        losses.push(engine.loss);
    }
    assert!(losses[49] < 0.8 * losses[0], "{losses:?}");
    // The network of the engine is evaluated by it too.
    let images = batch(200, 12).images;
    let evaluator = engine.evaluator().unwrap();
    let fast = evaluator.head(&evaluator.features(&images).unwrap()).unwrap();
    let difference = (fast - engine.evaluate(&images).unwrap()).abs().max();
    assert!(difference.double_value(&[]) < 1e-4, "{difference:?}");
}

#[test]
fn frozen_layers_that_a_caller_changes_are_prepared_again() {
    let turn = turn();
    let mut trainer = trainer(prepared(&turn), vec![head_phase(9)]);
    let images = [batch(0, 12)];
    let _ = trainer.step(&images).unwrap();
    let before = trainer.state().unwrap();
    let expected = trainer.step(&images).unwrap().loss;
    trainer.restore(&before).unwrap();
    let mut weights = parameter(trainer.network(), "_conv_head.weight");
    let _ = tch::no_grad(|| weights.f_mul_scalar_(3.0)).unwrap();
    assert!((trainer.step(&images).unwrap().loss - expected).abs() > 1e-3);
}

#[test]
fn blank_images_are_refused_where_other_layers_are_trained() {
    let turn = turn();
    let phases = vec![phase(OptimizerKind::SGD, 0.1, 3)];
    let mut trainer = trainer(prepared(&turn), phases);
    let mut batch = batch(0, 4);
    batch.cache = Some(FeatureCache::new(1 << 20));
    let error = trainer.step(&[batch]).unwrap_err().to_string();
    assert!(error.contains("feature cache"), "{error}");
}

/// Images of two colours, and how many of them have been decoded.
struct Colours {
    classes: Vec<String>,
    decoded: Arc<AtomicUsize>,
    count: usize,
}

impl Dataset for Colours {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        index % 2
    }

    fn name(&self, index: usize) -> String {
        format!("colour {index}")
    }

    fn image(&self, index: usize) -> Result<Image, BoxError> {
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let pixel = |at: usize| {
            [
                (at * 7 + index * 31) as u8,
                (index % 2 * 200) as u8,
                (at % 251) as u8,
            ]
        };
        Ok(Image::from_rgb8(40, 36, (0..40 * 36).flat_map(pixel).collect())?)
    }
}

const TRAINING: usize = 20;
const VALIDATION: usize = 6;
const STEPS: u64 = 4;

/// Which images the epochs of the head see.
#[derive(Clone, Copy, PartialEq)]
enum Show {
    Fresh,
    Repeated,
    Plain,
}

/// Four steps of five images per epoch, and the counts of decoded images.
fn data(show: Show) -> (ImageBatches, [Arc<AtomicUsize>; 2]) {
    let counts = [Arc::default(), Arc::default()];
    let images = |count, decoded: &Arc<AtomicUsize>| {
        Arc::new(Colours {
            classes: vec!["even".to_owned(), "odd".to_owned()],
            decoded: Arc::clone(decoded),
            count,
        })
    };
    let options = LoaderOptions::default()
        .with_batch_size(5)
        .with_workers(2)
        .with_seed(3);
    let (train, val) = (images(TRAINING, &counts[0]), images(VALIDATION, &counts[1]));
    let augment = TrainTransform::new(32);
    let evaluate = EvalTransform::new(32).with_crop_pct(1.0);
    let head = match show {
        Show::Fresh => None,
        Show::Repeated => Some(
            Loader::new(
                Arc::clone(&train) as _,
                augment,
                options.clone().with_repeat(true),
            )
            .unwrap(),
        ),
        Show::Plain => Some(Loader::new(Arc::clone(&train) as _, evaluate, options.clone()).unwrap()),
    };
    let train = Loader::new(train, augment, options.clone()).unwrap();
    let val = Loader::new(val, evaluate, options.with_order(Order::Sequential)).unwrap();
    let data = ImageBatches::new(train)
        .with_validation(val)
        .with_head_images(head);
    (data, counts)
}

/// The results of the epochs, bit for bit, and an interruption after a number of steps.
#[derive(Default)]
struct Notes {
    epochs: Vec<(u64, u64, u64)>,
    steps: u64,
    most: Option<u64>,
}

impl<M: Measure> Observer<M> for Notes {
    type Error = Error;

    fn step(&mut self, _: &StepReport) -> Result<(), Error> {
        self.steps += 1;
        Ok(())
    }

    fn epoch_ended(&mut self, epoch: &EpochReport<'_, M>) -> Result<(), Error> {
        let score = epoch.metrics.unwrap().score().unwrap();
        self.epochs
            .push((epoch.epoch, epoch.train_loss.to_bits(), score.loss.to_bits()));
        Ok(())
    }

    fn is_interrupted(&self) -> bool {
        self.most.is_some_and(|most| self.steps >= most)
    }
}

/// Three epochs of the head, then one of everything.
fn run(
    show: Show,
    ema: bool,
    options: FitOptions,
    turn: &Turn,
) -> (Fit<EfficientNet, ImageBatches>, [Arc<AtomicUsize>; 2]) {
    let (data, counts) = data(show);
    let phases = vec![head_phase(3 * STEPS), phase(OptimizerKind::SGD, 0.01, STEPS)];
    let average = ema.then(|| EmaOptions::default().with_decay(0.9));
    let trainer_options = TrainerOptions::default().with_seed(5).with_ema(average);
    let mut config = narrow();
    config.num_classes = 2;
    let trainer = Trainer::new(network(&config, 1, turn), trainer_options, phases).unwrap();
    (Fit::new(trainer, data, options), counts)
}

fn decoded(counts: &[Arc<AtomicUsize>; 2]) -> [usize; 2] {
    [0, 1].map(|set| counts[set].load(Ordering::Relaxed))
}

#[test]
fn images_that_do_not_change_are_decoded_once_while_the_head_is_trained() {
    let turn = turn();
    for (show, ema, expected) in [
        // The last epoch trains all layers.
        (Show::Repeated, false, [2 * TRAINING, 2 * VALIDATION]),
        (Show::Plain, true, [2 * TRAINING, 2 * VALIDATION]),
        (Show::Fresh, false, [4 * TRAINING, 2 * VALIDATION]),
    ] {
        let (mut fit, counts) = run(show, ema, FitOptions::default(), &turn);
        assert_eq!(fit.run(&mut ()).unwrap(), Ending::Finished);
        assert_eq!(decoded(&counts), expected);
    }
}

#[test]
fn kept_features_give_the_results_of_computed_ones() {
    let turn = turn();
    for (show, ema) in [(Show::Repeated, true), (Show::Plain, false)] {
        let (mut kept, mut computed) = (Notes::default(), Notes::default());
        let (mut with, _) = run(show, ema, FitOptions::default(), &turn);
        with.run(&mut kept).unwrap();
        // Room for three of the twenty, and for none of the validation images.
        let width = narrow().head_channels() as u64 * 4;
        let little = FitOptions::default().with_feature_memory(3 * width);
        let (mut without, counts) = run(show, ema, little, &turn);
        without.run(&mut computed).unwrap();
        assert_eq!(
            decoded(&counts),
            [TRAINING + 2 * (TRAINING - 3) + TRAINING, 4 * VALIDATION]
        );
        assert_eq!(kept.epochs, computed.epochs);
        let difference = first_difference(
            &values(with.trainer().network()),
            &values(without.trainer().network()),
        );
        assert_eq!(difference, None);
    }
}

#[test]
fn new_augmentation_is_another_run_than_a_repeated_one() {
    let turn = turn();
    let losses = |show| {
        let mut notes = Notes::default();
        run(show, false, FitOptions::default(), &turn)
            .0
            .run(&mut notes)
            .unwrap();
        let losses = notes.epochs.into_iter().map(|(_, loss, _)| loss);
        losses.collect::<Vec<_>>()
    };
    let (fresh, repeated, plain) = (losses(Show::Fresh), losses(Show::Repeated), losses(Show::Plain));
    assert_eq!(fresh[0], repeated[0], "the first epoch is augmented as ever");
    assert!(fresh[1] != repeated[1] && plain[0] != fresh[0]);
}

#[test]
fn a_run_with_kept_features_that_is_interrupted_anywhere_ends_bit_for_bit_as_one_that_was_not() {
    let turn = turn();
    for (show, ema) in [(Show::Repeated, false), (Show::Plain, true), (Show::Fresh, true)] {
        let mut straight = Notes::default();
        let (mut whole, _) = run(show, ema, FitOptions::default(), &turn);
        whole.run(&mut straight).unwrap();
        let expected = values(whole.trainer().network());
        for most in 1..4 * STEPS {
            let folder = tempfile::tempdir().unwrap();
            let start = || {
                let (fit, _) = run(show, ema, FitOptions::default(), &turn);
                let checkpointer = Checkpointer::new(folder.path(), ModelMetadata::default()).unwrap();
                fit.with_checkpoints(checkpointer, json!({}))
            };
            let mut first = Notes {
                most: Some(most),
                ..Notes::default()
            };
            assert_eq!(start().run(&mut first).unwrap(), Ending::Interrupted);
            let (mut second, mut fit) = (Notes::default(), start());
            assert!(fit.resume().unwrap());
            assert_eq!(fit.run(&mut second).unwrap(), Ending::Finished);
            let mut epochs = first.epochs;
            epochs.extend(second.epochs);
            assert_eq!(epochs, straight.epochs, "after {most} steps");
            let found = values(fit.trainer().network());
            assert_eq!(first_difference(&expected, &found), None, "after {most} steps");
        }
    }
}

#[test]
fn features_of_other_frozen_layers_are_forgotten() {
    let turn = turn();
    let finish = |fit: &mut Fit<EfficientNet, ImageBatches>| {
        let mut notes = Notes::default();
        fit.run(&mut notes).unwrap();
        notes.epochs
    };
    let change = |fit: &Fit<EfficientNet, ImageBatches>| {
        let mut weights = parameter(fit.trainer().network(), "_conv_head.weight");
        let _ = tch::no_grad(|| weights.f_mul_scalar_(1.5)).unwrap();
    };
    let start = || run(Show::Repeated, false, FitOptions::default(), &turn).0;
    let (mut fit, mut other) = (start(), start());
    let mut first = Notes {
        most: Some(STEPS + 1),
        ..Notes::default()
    };
    fit.run(&mut first).unwrap();
    // The same state, without anything kept.
    let before = fit.trainer().state().unwrap();
    other.trainer_mut().restore(&before).unwrap();
    change(&fit);
    change(&other);
    assert_eq!(finish(&mut fit), finish(&mut other));
}

/// A batch that comes from elsewhere has no indices, so nothing of it can be kept.
#[test]
fn batches_of_ones_own_train_a_head_without_a_cache() {
    let turn = turn();
    let mut trainer = trainer(prepared(&turn), vec![head_phase(2)]);
    let batch: Batch = batch(0, 8);
    assert!(batch.cache.is_none() && batch.indices.is_empty());
    assert!(trainer.step(&[batch]).unwrap().loss.is_finite());
}
