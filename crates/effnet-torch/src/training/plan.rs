//! Translates the settings into the options and phases of a trainer.

use effnet::Task;
use effnet_train::{
    AsymmetricLoss, BinaryCrossEntropy, CrossEntropy, EmaOptions, FocalLoss, Freeze, Huber, LayerRates,
    OptimizerKind, ParamGroupOptions, Phase, Precision, Schedule, ScheduleShape, SquaredError,
    TrainerOptions, Warmup,
};
use tch::Device;

use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::{
    ClassWeights, FreezeName, HeadFreeze, LossName, OptimizerName, PositiveWeights, PrecisionName,
    ScheduleName,
};

/// The fraction of the classifier's own phase that is warm-up.
const HEAD_WARMUP: f64 = 0.3;

/// Returns the phases of a training run with `settings.epochs` epochs of `steps_per_epoch` steps: first,
/// `head_epochs` epochs that train a new classifier, then the training of all layers. Each step is taken by
/// `ranks` processes together.
pub(super) fn phases(
    settings: &Settings,
    lr: f64,
    steps_per_epoch: u64,
    ranks: usize,
) -> anyhow::Result<Vec<Phase>> {
    let lr = scaled_rate(settings, lr, ranks);
    let head_steps = u64::from(head_epochs(settings)) * steps_per_epoch;
    let steps = u64::from(settings.epochs) * steps_per_epoch - head_steps;
    let mut phases = Vec::new();
    if head_steps > 0 {
        let head_freeze = match settings.head_freeze {
            HeadFreeze::Convolutions => Freeze::Convolutions,
            HeadFreeze::Features => Freeze::Features,
        };
        let warmup = Warmup {
            steps: (head_steps as f64 * HEAD_WARMUP) as u64,
            from: 0.0,
        };
        phases.push(Phase {
            groups: groups(settings, head_freeze),
            optimizer: optimizer(settings),
            schedule: Schedule::new(
                lr * settings.head_rate,
                head_steps,
                ScheduleShape::Constant,
                warmup,
            )?,
        });
    }
    let warmup = Warmup {
        steps: (settings.warmup_epochs * steps_per_epoch as f64).round() as u64,
        from: settings.warmup_lr,
    };
    let freeze = match settings.freeze {
        FreezeName::Nothing => Freeze::Nothing,
        FreezeName::Convolutions => Freeze::Convolutions,
        FreezeName::Features => Freeze::Features,
    };
    let schedule = Schedule::new(
        lr * head_factor(settings),
        steps,
        shape(settings, steps_per_epoch),
        warmup,
    )?;
    phases.push(Phase {
        groups: groups(settings, freeze),
        optimizer: optimizer(settings),
        schedule,
    });
    Ok(phases)
}

/// Returns the learning rate for the images of a step. `batch_size` must already be resolved.
fn scaled_rate(settings: &Settings, lr: f64, ranks: usize) -> f64 {
    match settings.lr_batch {
        0 => lr,
        batch => lr * images_per_step(settings, ranks) as f64 / f64::from(batch),
    }
}

/// Returns by what the learning rate is multiplied after the first epochs of a new classifier: a classifier that is trained
/// alone throughout has the rate of these.
pub(super) fn head_factor(settings: &Settings) -> f64 {
    match settings.freeze {
        FreezeName::Features => settings.head_rate,
        _ => 1.0,
    }
}

/// Returns the highest learning rate after the first epochs of a new classifier, which messages name.
pub(super) fn peak_rate(settings: &Settings, lr: f64, ranks: usize) -> f64 {
    scaled_rate(settings, lr, ranks) * head_factor(settings)
}

/// Returns the number of epochs that train only a new classifier.
pub(super) fn head_epochs(settings: &Settings) -> u32 {
    match settings.freeze {
        // At least one epoch must train all layers.
        FreezeName::Nothing => settings.head_epochs.min(settings.epochs - 1),
        _ => 0,
    }
}

/// Returns the number of images per step over all processes. `batch_size` must already be resolved.
fn images_per_step(settings: &Settings, ranks: usize) -> u64 {
    u64::from(settings.batch_size.value().unwrap_or(1)) * u64::from(settings.accumulate) * ranks as u64
}

fn shape(settings: &Settings, steps_per_epoch: u64) -> ScheduleShape {
    match settings.schedule {
        ScheduleName::OneCycle if settings.cycle_momentum && settings.optimizer == OptimizerName::Adamw => {
            ScheduleShape::ONE_CYCLE_WITH_MOMENTUM
        }
        ScheduleName::OneCycle => ScheduleShape::ONE_CYCLE,
        ScheduleName::Cosine => ScheduleShape::Cosine { end: 0.0 },
        ScheduleName::Staircase => ScheduleShape::Staircase {
            factor: settings.decay_rate,
            every: settings.decay_epochs * steps_per_epoch as f64,
        },
        ScheduleName::Constant => ScheduleShape::Constant,
    }
}

fn groups(settings: &Settings, freeze: Freeze) -> ParamGroupOptions {
    let uniform = settings.stem_rate == 1.0 || freeze != Freeze::Nothing;
    ParamGroupOptions::default()
        .with_weight_decay(settings.weight_decay)
        .with_rates(if uniform {
            LayerRates::Uniform
        } else {
            LayerRates::From(settings.stem_rate)
        })
        .with_freeze(freeze)
}

fn optimizer(settings: &Settings) -> OptimizerKind {
    let momentum = settings.momentum;
    match (settings.optimizer, OptimizerKind::RMS_PROP_TF) {
        (OptimizerName::Adamw, _) => OptimizerKind::ADAM_W,
        (OptimizerName::RmspropTf, OptimizerKind::RmsPropTf { decay, epsilon, .. }) => {
            OptimizerKind::RmsPropTf {
                decay,
                momentum,
                epsilon,
            }
        }
        _ => OptimizerKind::Sgd {
            momentum,
            nesterov: false,
        },
    }
}

/// Returns the options that all phases share. `support` is the number of training images per class, of `images`.
pub(super) fn options(
    settings: &Settings,
    task: Task,
    (images, support): (usize, &[usize]),
    device: Device,
) -> anyhow::Result<TrainerOptions> {
    let options = TrainerOptions::default();
    let options = match settings.loss.for_task(task) {
        LossName::Bce => {
            let weights = match settings.positive_weights {
                PositiveWeights::None => None,
                PositiveWeights::Auto => Some(positive_weights(images, support)),
            };
            options.with_loss(BinaryCrossEntropy::new(weights.as_deref())?)
        }
        LossName::Asymmetric => options.with_loss(AsymmetricLoss::default()),
        LossName::Focal => options.with_loss(FocalLoss::default()),
        LossName::Mse => options.with_loss(SquaredError),
        LossName::Huber => options.with_loss(Huber::default()),
        LossName::Auto | LossName::CrossEntropy => {
            let weights = match settings.class_weights {
                ClassWeights::None => None,
                ClassWeights::Balanced => Some(balanced(support)),
            };
            options.with_loss(CrossEntropy::new(settings.label_smoothing, weights.as_deref())?)
        }
    };
    Ok(options
        .with_precision(precision(settings.precision, device))
        .with_clip_norm((settings.clip > 0.0).then_some(settings.clip))
        .with_ema((settings.ema > 0.0).then_some(EmaOptions::default().with_decay(settings.ema)))
        .with_seed(settings.seed))
}

/// Returns the precision that `auto` means on a device; other precisions are returned unchanged.
pub(super) fn precision_in_use(name: PrecisionName, device: Device) -> PrecisionName {
    match name {
        PrecisionName::Auto if device.is_cuda() => PrecisionName::Bf16,
        PrecisionName::Auto => PrecisionName::Fp32,
        named => named,
    }
}

fn precision(name: PrecisionName, device: Device) -> Precision {
    match precision_in_use(name, device) {
        PrecisionName::Bf16 => Precision::Bf16,
        PrecisionName::Fp16 => Precision::Fp16,
        PrecisionName::Fp32 | PrecisionName::Auto => Precision::Fp32,
    }
}

/// Returns class weights that are inversely proportional to the number of images per class, with a mean of 1
/// over the images.
fn balanced(support: &[usize]) -> Vec<f64> {
    let images: usize = support.iter().sum();
    let share = images as f64 / support.len() as f64;
    support.iter().map(|&own| share / own.max(1) as f64).collect()
}

/// Returns how many times more images there are without each label than with it, from 1 to [`MOST_POSITIVE`].
fn positive_weights(images: usize, support: &[usize]) -> Vec<f64> {
    /// A label that only a few images have would otherwise drown out the others.
    const MOST_POSITIVE: f64 = 20.0;
    let weight = |&own: &usize| (images - own) as f64 / own.max(1) as f64;
    support
        .iter()
        .map(|own| weight(own).clamp(1.0, MOST_POSITIVE))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet_cli::training::values::Auto;
    use effnet_cli::training::values::Recipe;

    fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::of_finetune();
        settings.batch_size = Auto::Value(32);
        change(&mut settings);
        settings
    }

    #[test]
    fn a_new_head_is_trained_before_everything_is_with_lower_rates_below() {
        let phases = phases(&settings(|_| ()), 0.01, 7, 1).unwrap();
        assert_eq!(phases.len(), 2);
        assert_eq!(phases[0].groups.freeze, Freeze::Features);
        assert_eq!(phases[0].schedule.steps(), 7);
        assert_eq!(phases[0].schedule.base_rate(), 0.02);
        assert_eq!(phases[1].groups.freeze, Freeze::Nothing);
        assert_eq!(phases[1].groups.rates, LayerRates::From(0.1));
        assert_eq!(phases[1].schedule.base_rate(), 0.01);
        assert_eq!(phases[1].schedule.steps(), 9 * 7);
    }

    #[test]
    fn the_momentum_cycles_with_adamw_in_one_cycle_if_asked_for() {
        let middle = |change: fn(&mut Settings)| {
            let phases = phases(&settings(change), 0.01, 10, 1).unwrap();
            assert_eq!(phases[0].schedule.momentum(0), None);
            phases[1].schedule.momentum(26)
        };
        assert_eq!(middle(|_| ()), None);
        assert_eq!(middle(|settings| settings.cycle_momentum = true), Some(0.85));
        let others: [fn(&mut Settings); 2] = [
            |settings| (settings.cycle_momentum, settings.optimizer) = (true, OptimizerName::Sgd),
            |settings| (settings.cycle_momentum, settings.schedule) = (true, ScheduleName::Cosine),
        ];
        for change in others {
            assert_eq!(middle(change), None);
        }
    }

    #[test]
    fn all_steps_are_taken_whatever_is_frozen() {
        for (epochs, head_epochs, freeze) in [
            (1, 1, FreezeName::Nothing),
            (2, 5, FreezeName::Nothing),
            (4, 1, FreezeName::Features),
            (3, 0, FreezeName::Nothing),
        ] {
            let settings = settings(|settings| {
                (settings.epochs, settings.head_epochs, settings.freeze) = (epochs, head_epochs, freeze);
            });
            let phases = phases(&settings, 0.01, 3, 1).unwrap();
            let steps: u64 = phases.iter().map(|phase| phase.schedule.steps()).sum();
            assert_eq!(steps, 3 * u64::from(epochs));
            for phase in &phases {
                let only_the_head = phase.groups.freeze == Freeze::Features;
                assert_eq!(
                    phase.schedule.base_rate(),
                    if only_the_head { 0.02 } else { 0.01 }
                );
            }
            let last = phases.last().unwrap();
            assert_eq!(last.schedule.base_rate(), peak_rate(&settings, 0.01, 1));
            assert_eq!(
                last.groups.freeze == Freeze::Features,
                freeze == FreezeName::Features
            );
        }
    }

    #[test]
    fn the_rate_of_a_recipe_is_scaled_to_the_images_of_a_step() {
        let mut settings = Recipe::Paper
            .settings()
            .unwrap()
            .or_defaults(Settings::of_train());
        settings.batch_size = Auto::Value(32);
        settings.accumulate = 4;
        let phases = phases(&settings, 0.016, 10, 1).unwrap();
        assert!((phases[0].schedule.base_rate() - 0.008).abs() < 1e-15);
        let of_two = super::phases(&settings, 0.016, 10, 2).unwrap();
        assert!((of_two[0].schedule.base_rate() - 0.016).abs() < 1e-15);
        assert_eq!(peak_rate(&settings, 0.016, 2), of_two[0].schedule.base_rate());
        // The decays in the paper: the first after 2.4 epochs, within the five epochs of warm-up, the second
        // after 4.8, and so on.
        let rate = |step| phases[0].schedule.rate(step);
        assert!((rate(60) / rate(71) - 1.0).abs() < 1e-12);
        assert!((rate(72) / rate(71) - 0.97).abs() < 1e-12);
    }

    #[test]
    fn a_warm_up_longer_than_the_training_is_refused() {
        let settings = settings(|settings| settings.warmup_epochs = 12.0);
        let error = phases(&settings, 0.01, 10, 1).unwrap_err().to_string();
        assert!(error.contains("warm-up"), "{error}");
    }

    #[test]
    fn rare_labels_weigh_as_much_more_as_they_are_rarer() {
        assert_eq!(
            positive_weights(100, &[20, 50, 90, 1, 0]),
            [4.0, 1.0, 1.0, 20.0, 20.0]
        );
    }

    #[test]
    fn balanced_weights_give_every_class_the_same_sum() {
        let weights = balanced(&[10, 30]);
        assert_eq!(weights, [2.0, 2.0 / 3.0]);
        assert_eq!(weights[0] * 10.0 + weights[1] * 30.0, 40.0);
    }
}
