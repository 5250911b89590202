use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use effnet::ModelMetadata;
use effnet_checkpoint::Checkpoint;
use effnet_core::EfficientNet;
use effnet_data::metrics::Metrics;
use effnet_train::data::FitData;
use effnet_train::{
    Batch, Checkpointer, EmaOptions, Ending, EpochReport, EpochStart, Error, Fit, FitOptions, Measure,
    Network, Observer, OptimizerKind, Score, StepReport, Targets, TchNetwork, Trainer, TrainerOptions, fit,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Tensor, nn};

use crate::{Turn, batch, first_difference, narrow, network, phase, turn};

const STEPS: u64 = 3;

/// Three steps of two batches per epoch, and a validation batch.
struct Waves;

impl FitData for Waves {
    type Steps = std::vec::IntoIter<Result<Vec<Batch>, Error>>;
    type Validation = std::vec::IntoIter<Result<Batch, Error>>;
    type Metrics = Metrics;

    fn steps_per_epoch(&self) -> u64 {
        STEPS
    }

    fn steps(&self, epoch: u64, first: u64) -> Result<Self::Steps, Error> {
        let parts = |step| {
            let number = 2 * (epoch * STEPS + step) as usize;
            Ok(vec![batch(number, 8), batch(number + 1, 4)])
        };
        Ok((first..STEPS).map(parts).collect::<Vec<_>>().into_iter())
    }

    fn validation_batches(&self) -> u64 {
        1
    }

    fn validation(&self) -> Result<Option<Self::Validation>, Error> {
        Ok(Some(vec![Ok(batch(1000, 12))].into_iter()))
    }

    fn metrics(&self) -> Metrics {
        Metrics::new(4)
    }
}

/// With dropout, drop connect and an average.
fn trainer<N: Network>(network: N, epochs: u64) -> Trainer<N> {
    let options = TrainerOptions::default()
        .with_ema(EmaOptions::default().with_decay(0.9))
        .with_seed(5);
    let phase = phase(OptimizerKind::ADAM_W, 0.004, epochs * STEPS);
    Trainer::new(network, options, vec![phase]).unwrap()
}

fn saved<N: Network>(trainer: Trainer<N>, folder: &Path) -> Fit<N, Waves> {
    let checkpointer = Checkpointer::new(folder, ModelMetadata::default()).unwrap();
    let options = FitOptions::default().with_save_steps(2);
    Fit::new(trainer, Waves, options).with_checkpoints(checkpointer, json!({}))
}

/// Writes down what happens, and interrupts after a number of events.
#[derive(Default)]
struct Diary {
    lines: Vec<String>,
    epochs: Vec<(u64, f64, f64)>,
    most: Option<usize>,
}

impl Observer<Metrics> for Diary {
    type Error = Error;

    fn epoch_started(&mut self, epoch: &EpochStart) -> Result<(), Error> {
        let EpochStart {
            epoch,
            epochs,
            steps,
            done,
            ..
        } = *epoch;
        self.lines
            .push(format!("epoch {epoch} of {epochs}: {done} of {steps}"));
        Ok(())
    }

    fn step(&mut self, step: &StepReport) -> Result<(), Error> {
        assert!(step.images == 12 && step.loss.is_finite() && step.images_per_second > 0.0);
        self.lines.push(format!("step {}", step.position.step));
        Ok(())
    }

    fn validation_started(&mut self, batches: u64) -> Result<(), Error> {
        self.lines.push(format!("validation of {batches}"));
        Ok(())
    }

    fn validated(&mut self) -> Result<(), Error> {
        self.lines.push("validated".to_owned());
        Ok(())
    }

    fn epoch_ended(&mut self, epoch: &EpochReport<'_, Metrics>) -> Result<(), Error> {
        let summary = epoch.metrics.unwrap().summary().unwrap();
        assert_eq!(summary.images, 12);
        self.epochs.push((epoch.epoch, epoch.train_loss, summary.loss));
        self.lines.push(format!("end of {}", epoch.epoch));
        Ok(())
    }

    fn saving(&mut self, notes: &mut BTreeMap<String, String>) -> Result<(), Error> {
        notes.insert("lines".to_owned(), self.lines.len().to_string());
        self.lines.push("saving".to_owned());
        Ok(())
    }

    fn is_interrupted(&self) -> bool {
        self.most.is_some_and(|most| self.lines.len() >= most)
    }
}

#[test]
fn an_observer_is_told_everything_in_order() {
    let turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut diary = Diary::default();
    let mut fit = saved(trainer(network(&narrow(), 1, &turn), 2), folder.path());
    assert_eq!(fit.run(&mut diary).unwrap(), Ending::Finished);
    assert_eq!(
        diary.lines,
        [
            "epoch 1 of 2: 0 of 3",
            "step 1",
            "step 2",
            "saving",
            "step 3",
            "validation of 1",
            "validated",
            "end of 1",
            "saving",
            "epoch 2 of 2: 0 of 3",
            "step 4",
            "saving",
            "step 5",
            "step 6",
            "validation of 1",
            "validated",
            "end of 2",
            "saving",
        ]
    );
    assert_eq!(fit.run(&mut diary).unwrap(), Ending::Finished);
    assert_eq!(diary.lines.len(), 18, "a finished run has nothing left to do");
}

fn everything<N: Network>(trainer: &Trainer<N>) -> Vec<(String, Tensor)> {
    let state = trainer.state().unwrap();
    let (updates, average) = state.average.unwrap();
    assert_eq!(updates, trainer.position().step);
    let all = state
        .weights
        .iter()
        .chain(average.iter())
        .chain(state.optimizer.iter());
    all.map(|(name, tensor)| (name.to_owned(), effnet_core::to_torch(tensor).unwrap()))
        .collect()
}

/// Interrupts a run after every event, resumes it in a new process's place, and compares the end.
fn is_resumed_exactly<N: Network>(network: impl Fn() -> N) {
    let mut straight = Diary::default();
    let whole = fit(trainer(network(), 2), Waves, FitOptions::default(), &mut straight).unwrap();
    let expected = everything(whole.trainer());
    for most in 1..18 {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Diary {
            most: Some(most),
            ..Diary::default()
        };
        let mut fit = saved(trainer(network(), 2), folder.path());
        assert!(!fit.resume().unwrap());
        let ending = fit.run(&mut first).unwrap();
        drop(fit);
        let mut second = Diary::default();
        let mut fit = saved(trainer(network(), 2), folder.path());
        assert!(fit.resume().unwrap(), "{most}");
        assert_eq!(fit.run(&mut second).unwrap(), Ending::Finished);
        assert_eq!(
            first_difference(&expected, &everything(fit.trainer())),
            None,
            "{most}: {ending:?}"
        );
        let mut epochs = first.epochs;
        epochs.extend(second.epochs);
        assert_eq!(epochs, straight.epochs, "{most}");
        assert_eq!(fit.best(), whole.best(), "{most}");
    }
}

#[test]
fn a_run_that_is_interrupted_anywhere_ends_bit_for_bit_as_one_that_was_not() {
    let turn = turn();
    is_resumed_exactly(|| network(&narrow(), 1, &turn));
}

/// A network of tch's modules, with a head of its own.
fn modules() -> TchNetwork<nn::SequentialT, nn::SequentialT> {
    tch::manual_seed(3);
    TchNetwork::new(Device::Cpu, |root| {
        let config = nn::ConvConfig {
            stride: 4,
            ..nn::ConvConfig::default()
        };
        let body = nn::seq_t()
            .add(nn::conv2d(root / "body" / "conv", 3, 12, 7, config))
            .add(nn::batch_norm2d(
                root / "body" / "norm",
                12,
                nn::BatchNormConfig::default(),
            ))
            .add_fn(|x| x.relu().adaptive_avg_pool2d([2, 2]).flatten(1, -1));
        let head = nn::seq_t()
            .add_fn_t(|x, train| x.dropout(0.2, train))
            .add(nn::linear(root / "head", 48, 4, nn::LinearConfig::default()));
        Ok((body, head))
    })
    .unwrap()
}

#[test]
fn a_network_of_tch_modules_is_trained_averaged_and_resumed() {
    let _turn = turn();
    is_resumed_exactly(modules);
    let mut diary = Diary::default();
    let run = fit(trainer(modules(), 12), Waves, FitOptions::default(), &mut diary).unwrap();
    let (first, last) = (diary.epochs[0], diary.epochs[11]);
    assert!(last.1 < 0.7 * first.1, "{first:?} {last:?}");
    assert!(run.best().unwrap().score.value >= 0.75, "{:?}", run.best());
}

/// Scores that are given, one per epoch.
struct Scripted<'a> {
    scores: &'a [(f64, f64)],
    epoch: Cell<usize>,
}

#[derive(Serialize, Deserialize)]
struct Given(f64, f64);

impl Measure for Given {
    fn add(&mut self, _: &Tensor, _: &Targets) -> Result<(), Error> {
        Ok(())
    }

    fn merge(&mut self, _: &Self) -> Result<(), Error> {
        Ok(())
    }

    fn score(&self) -> Option<Score> {
        let (value, loss) = (self.0, self.1);
        Some(Score { value, loss })
    }
}

impl FitData for Scripted<'_> {
    type Steps = <Waves as FitData>::Steps;
    type Validation = <Waves as FitData>::Validation;
    type Metrics = Given;

    fn steps_per_epoch(&self) -> u64 {
        1
    }

    fn steps(&self, epoch: u64, first: u64) -> Result<Self::Steps, Error> {
        let steps = (first..1).map(|_| Ok(vec![batch(epoch as usize, 4)]));
        Ok(steps.collect::<Vec<_>>().into_iter())
    }

    fn validation_batches(&self) -> u64 {
        1
    }

    fn validation(&self) -> Result<Option<Self::Validation>, Error> {
        Waves.validation()
    }

    fn metrics(&self) -> Given {
        let epoch = self.epoch.replace(self.epoch.get() + 1);
        let (value, loss) = self.scores[epoch];
        Given(value, loss)
    }
}

/// The ending, the best epoch, and the epoch of the weights in `best.safetensors`.
fn scripted(scores: &[(f64, f64)], patience: u64, turn: &Turn) -> (Ending, u64, String) {
    let folder = tempfile::tempdir().unwrap();
    let phase = phase(OptimizerKind::SGD, 0.01, scores.len() as u64);
    let options = TrainerOptions::default();
    let trainer = Trainer::new(network(&narrow(), 1, turn), options, vec![phase]).unwrap();
    let data = Scripted {
        scores,
        epoch: Cell::new(0),
    };
    let checkpointer = Checkpointer::new(folder.path(), ModelMetadata::default()).unwrap();
    let options = FitOptions::default().with_patience(patience);
    let mut fit = Fit::new(trainer, data, options).with_checkpoints(checkpointer, json!({}));
    let ending = fit.run(&mut ()).unwrap();
    let best = fit.checkpointer().unwrap().best();
    let file = Checkpoint::open(best).unwrap();
    (
        ending,
        fit.best().unwrap().epoch,
        file.metadata()["epoch"].clone(),
    )
}

#[test]
fn the_best_epoch_is_kept_and_patience_ends_the_run() {
    let turn = turn();
    let scores = [
        (0.5, 0.9),
        (0.7, 0.8),
        (0.7, 0.7),
        (0.6, 0.1),
        (0.7, 0.7),
        (0.9, 0.1),
    ];
    assert_eq!(
        scripted(&scores, 2, &turn),
        (Ending::EarlyStopped, 3, "3".to_owned())
    );
    assert_eq!(scripted(&scores, 0, &turn), (Ending::Finished, 6, "6".to_owned()));
    assert_eq!(scripted(&scores, 3, &turn), (Ending::Finished, 6, "6".to_owned()));
}

#[test]
fn a_validation_that_fails_names_the_step_and_what_can_be_resumed() {
    #[derive(Debug)]
    struct Wrong;
    impl FitData for Wrong {
        type Steps = <Waves as FitData>::Steps;
        type Validation = <Waves as FitData>::Validation;
        type Metrics = Metrics;

        fn steps_per_epoch(&self) -> u64 {
            STEPS
        }

        fn steps(&self, epoch: u64, first: u64) -> Result<Self::Steps, Error> {
            Waves.steps(epoch, first)
        }

        fn validation_batches(&self) -> u64 {
            1
        }

        fn validation(&self) -> Result<Option<Self::Validation>, Error> {
            Waves.validation()
        }

        fn metrics(&self) -> Metrics {
            Metrics::new(3)
        }
    }
    let turn = turn();
    let network: EfficientNet = network(&narrow(), 1, &turn);
    let error = fit(trainer(network, 1), Wrong, FitOptions::default(), &mut ()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(
            "validation failed after step 3 (epoch 1) with a learning rate of 4.000e-3; no checkpoint"
        ),
        "{text}"
    );
    assert!(matches!(error, Error::Validation(_, source) if matches!(*source, Error::Metrics(_))));
}
