//! The data of a training run: the settings become transforms and loaders.

use std::sync::Arc;

use anyhow::Context;
use effnet::Task;
use effnet_data::{Dataset, Order, Reading, Shard, Splits, Subset, support};
use effnet_image::EvalTransform;
use effnet_image::augment::{
    ColorJitter, ErasingMode, Policy, RandomErasing, RandomResizedCrop, TrainTransform,
};
use effnet_train::FitOptions;
use effnet_train::data::{FitData as _, ImageBatches, Loader, LoaderOptions, Mixup};

use super::datasets::{Datasets, listing};
use super::initial_model::InitialModel;
use super::targets;
use super::task_metrics::TaskMetrics;
use effnet_cli::Printer;
use effnet_cli::overview::{Overview, describe_hold_out, print_notices};
use effnet_cli::training::recorded_split::{RecordedSplit, name_within};
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::{CacheFeatures, ClassWeights, DecodeMode};
use effnet_cli::{counted, threads};

/// The training and validation images, with their transforms.
pub(super) struct TrainingData {
    train: Arc<dyn Dataset>,
    val: Option<Arc<dyn Dataset>>,
    /// Which images are used.
    reading: Reading,
    /// What was held out for validation, if the data set has no validation images.
    held_out: Option<String>,
    augment: TrainTransform,
    evaluate: EvalTransform,
    /// The mean and the standard deviation of each value of regression, over the training images.
    scale: Option<[Vec<f64>; 2]>,
    /// The images of this process.
    shard: Shard,
}

impl TrainingData {
    /// Combines the images with their transforms: the network's preprocessing and, for training, a transform with the
    /// same image size and normalisation.
    pub(super) fn new(
        datasets: Datasets,
        settings: &Settings,
        model: &InitialModel,
        shard: Shard,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let evaluate = model.transform;
        let is_split = datasets.has_validation();
        let splits = datasets.split(settings, printer)?;
        let hold_out = settings.hold_out().filter(|_| !is_split);
        let held_out = hold_out.map(|hold_out| describe_hold_out(hold_out, &splits));
        let Splits {
            train, val, reading, ..
        } = splits;
        let augment = augmentation(settings, &evaluate)?;
        let scale = (train.task() == Task::Regression).then(|| {
            model
                .targets()
                .cloned()
                .unwrap_or_else(|| targets::scale(&*train))
        });
        Ok(Self {
            train,
            val,
            reading,
            held_out,
            augment,
            evaluate,
            scale,
            shard,
        })
    }

    pub(super) fn classes(&self) -> &[String] {
        self.train.classes()
    }

    pub(super) fn task(&self) -> Task {
        self.train.task()
    }

    /// Returns the mean and the standard deviation of each value of regression.
    pub(super) fn scale(&self) -> Option<&[Vec<f64>; 2]> {
        self.scale.as_ref()
    }

    /// Returns metrics of the task, without any image yet.
    pub(super) fn metrics(&self) -> TaskMetrics {
        TaskMetrics::new(self.task(), self.classes().len())
    }

    /// Returns the mean and the standard deviation of each channel.
    pub(super) fn normalisation(&self) -> [[f32; 3]; 2] {
        [self.evaluate.mean, self.evaluate.std]
    }

    pub(super) fn training_images(&self) -> usize {
        self.train.len()
    }

    /// Returns the smallest number of training images in any process.
    pub(super) fn training_images_of_rank(&self) -> usize {
        self.train.len() / self.shard.world_size
    }

    /// Returns the number of processes that train together.
    pub(super) fn ranks(&self) -> usize {
        self.shard.world_size
    }

    pub(super) fn validation_images(&self) -> usize {
        match &self.val {
            Some(val) => val.len(),
            None => 0,
        }
    }

    /// Returns the number of training images per class.
    pub(super) fn support(&self) -> Vec<usize> {
        support(&self.train)
    }

    /// Returns the split into training and validation images, as saved in the run folder.
    pub(super) fn recorded_split(&self, settings: &Settings) -> RecordedSplit {
        let name =
            |val: &Arc<dyn Dataset>, index| name_within(settings.data_of_validation(), &val.name(index));
        let names = |val: &Arc<dyn Dataset>| (0..val.len()).map(|index| name(val, index)).collect();
        let val = self.val.iter().map(|val| (settings.data_of_validation(), val));
        let parts = std::iter::once((&*settings.data, &self.train)).chain(val);
        RecordedSplit {
            training: self.training_images(),
            validation: self.val.as_ref().map(names).unwrap_or_default(),
            listing: Some(listing(parts)),
        }
    }

    /// Prints which images are used for what, the number of images per class, and what looks wrong about
    /// them.
    pub(super) fn describe(&self, settings: &Settings, printer: &Printer) {
        let overview = Overview {
            reading: &self.reading,
            train: &*self.train,
            val: self.val.as_deref(),
            held_out: self.held_out.as_deref(),
        };
        printer.note(overview.parts());
        match &self.scale {
            None => printer.note(overview.classes()),
            Some(scale) => printer.note(targets::describe(self.classes(), scale)),
        }
        print_notices(&self.reading, printer);
        if settings.class_weights == ClassWeights::None
            && self.task() == Task::Classify
            && let Some(hint) = overview.imbalance()
        {
            printer.note(hint);
        }
    }

    /// Returns the number of steps per epoch.
    pub(super) fn steps_per_epoch(&self, settings: &Settings) -> anyhow::Result<u64> {
        Ok(self.batches(settings)?.steps_per_epoch())
    }

    /// Returns the batches to train on and to validate with. The batch size must already be resolved.
    pub(super) fn batches(&self, settings: &Settings) -> anyhow::Result<ImageBatches<TaskMetrics>> {
        let options = self.training_options(settings);
        let train = Loader::new(Arc::clone(&self.train), self.augment, options)?;
        let train = targets::attach(train, self.scale.as_ref());
        let mixes = settings.mixup > 0.0 || settings.cutmix > 0.0;
        let mixup = mixes.then(|| {
            Mixup::new(settings.mixup, self.classes().len())
                .with_cutmix_alpha(settings.cutmix)
                // The loss applies the smoothing: mixing and smoothing commute.
                .with_label_smoothing(0.0)
        });
        let longest = self.validation_images().div_ceil(self.shard.world_size);
        let validation_batches = longest.div_ceil(batch_size(settings)) as u64;
        Ok(ImageBatches::new(train)
            .with_head_images(self.head_images(settings)?)
            .with_validation_part(self.validation(settings)?, validation_batches)
            .with_accumulate(settings.accumulate as usize)
            .with_mixup(mixup)
            .with_metrics(self.metrics()))
    }

    /// Returns the training images of epochs that train only the classifier, if every such epoch shows the same.
    fn head_images(&self, settings: &Settings) -> anyhow::Result<Option<Loader>> {
        let (images, options) = (Arc::clone(&self.train), self.training_options(settings));
        let loader = match settings.cache_features {
            CacheFeatures::None => return Ok(None),
            CacheFeatures::Repeat => Loader::new(images, self.augment, options.with_repeat(true))?,
            CacheFeatures::Plain => Loader::new(images, self.evaluate, options)?,
        };
        Ok(Some(targets::attach(loader, self.scale.as_ref())))
    }

    /// Returns the line that says that not all images fit into the cache of features, each of which has `width` values.
    pub(super) fn describe_cache(&self, settings: &Settings, width: usize) -> Option<String> {
        let needed = (self.training_images_of_rank() * width * size_of::<f32>()) as u64;
        let limit = FitOptions::default().feature_memory;
        (settings.cache_features != CacheFeatures::None && needed > limit).then(|| {
            format!(
                "--cache-features: the features of {} take {:.1} GB, but only {:.1} GB are kept; the other images are \
                 decoded in every epoch",
                counted(self.training_images_of_rank(), "image"),
                needed as f64 / 1e9,
                limit as f64 / 1e9
            )
        })
    }

    fn training_options(&self, settings: &Settings) -> LoaderOptions {
        let images = self.training_images_of_rank();
        let options = loader_options(settings, batch_size(settings).min(images).max(1));
        // The batch statistics of a small last batch would be noisy.
        let drop_last = images > options.batch_size;
        options
            .with_drop_last(drop_last)
            .with_partial(settings.decode == DecodeMode::Fast)
            // Unreadable images were skipped before training; skipping another image now would change the
            // steps.
            .with_strict(true)
            .with_shard(self.shard)
    }

    /// Returns the loader of this process's validation images; `None` if it has none.
    fn validation(&self, settings: &Settings) -> anyhow::Result<Option<Loader>> {
        let Some(val) = &self.val else {
            return Ok(None);
        };
        let Shard { rank, world_size } = self.shard;
        let own: Vec<usize> = (rank..val.len()).step_by(world_size).collect();
        if own.is_empty() {
            return Ok(None);
        }
        let options = loader_options(settings, batch_size(settings))
            .with_order(Order::Sequential)
            .with_strict(settings.strict);
        let own = Arc::new(Subset::new(Arc::clone(val), own));
        let loader = Loader::new(own, self.evaluate, options)?;
        Ok(Some(targets::attach(loader, self.scale.as_ref())))
    }
}

/// Returns `batch_size`, which is resolved before any loader is created.
fn batch_size(settings: &Settings) -> usize {
    settings.batch_size.value().map_or(1, |size| size as usize)
}

fn loader_options(settings: &Settings, batch_size: usize) -> LoaderOptions {
    LoaderOptions::default()
        .with_batch_size(batch_size)
        .with_workers(
            settings
                .workers
                .value()
                .map_or_else(|| threads(None), |workers| workers as usize),
        )
        .with_seed(settings.seed)
}

fn augmentation(settings: &Settings, evaluate: &EvalTransform) -> anyhow::Result<TrainTransform> {
    let policy = match settings.augment.as_str() {
        "none" => None,
        name => Some(
            name.parse::<Policy>()
                .with_context(|| format!("--augment {name}"))?,
        ),
    };
    let jitter = settings.color_jitter;
    let transform = TrainTransform::new(evaluate.image_size)
        .with_crop(RandomResizedCrop::default().with_scale((settings.crop_scale, 1.0)))
        .with_interpolation(evaluate.interpolation)
        .with_flip(settings.flip)
        .with_policy(policy)
        .with_jitter((jitter > 0.0).then(|| ColorJitter::new(jitter, jitter, jitter, 0.0)))
        .with_erasing(
            (settings.erasing > 0.0)
                .then(|| RandomErasing::timm(settings.erasing, ErasingMode::RandomPixels)),
        )
        .with_mean(evaluate.mean)
        .with_std(evaluate.std);
    transform.check()?;
    Ok(transform)
}
