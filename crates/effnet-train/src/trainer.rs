//! [`Trainer`] takes training steps, can be stopped after any of them, and resumes bit for bit.
//!
//! It works in steps, not epochs: loading data, validating and deciding when to save are left to the caller's
//! loop.

mod distributed;
mod frozen;
mod options;
mod restoring;
mod seeds;
mod state;

use std::path::PathBuf;

use effnet_core::{EfficientNet, channels_last};
use tch::{Kind, Tensor};

pub use frozen::Evaluator;
use frozen::Frozen;
pub use options::{Phase, TrainerOptions};
use seeds::draw_seed;
pub use state::{Position, RunningLoss, TrainerState};

use crate::data_parallel::{DataParallel, Share};
use crate::{
    Batch, Divergence, Ema, Error, GradScaler, Network, Optimizer, Precision, clip_to_norm, global_norm,
};

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The number of images, on all ranks.
    pub images: u64,
    /// The mean loss over these images, before the update.
    pub loss: f64,
    /// The learning rate, before it is multiplied by each group's factor.
    pub rate: f64,
    /// The norm of the gradients before clipping, which is infinite if the step was skipped.
    pub gradient_norm: f64,
    /// Whether the update was skipped because fp16 gradients overflowed.
    pub skipped: bool,
}

/// Trains a network step by step. Between steps, it can be evaluated, saved, stopped and restored.
///
/// Each step seeds libtorch's random number generator, from which dropout and drop connect draw, with the
/// trainer's seed and the number of the step, so a resumed run draws the same numbers as an uninterrupted one.
#[derive(Debug)]
pub struct Trainer<N = EfficientNet> {
    network: N,
    options: TrainerOptions,
    phases: Vec<Phase>,
    optimizer: Optimizer,
    average: Option<Ema<N>>,
    scaler: Option<GradScaler>,
    position: Position,
    running_loss: RunningLoss,
    last_checkpoint: Option<PathBuf>,
    parallel: Option<DataParallel>,
    /// The layers below the head, in steps that train only the head.
    frozen: Option<Frozen>,
}

impl<N: Network> Trainer<N> {
    /// Creates a trainer at the start of the first of `phases`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], including when `phases` is empty and for [`Precision::Fp16`] on the CPU;
    /// [`Error::Network`] and [`Error::Torch`] when memory runs out.
    pub fn new(network: N, options: TrainerOptions, phases: Vec<Phase>) -> Result<Self, Error> {
        let Some(first) = phases.first() else {
            return Err(Error::option("the number of phases", "1 or more", &0));
        };
        if let Some(norm) = options.clip_norm.filter(|norm| norm.is_nan() || *norm <= 0.0) {
            return Err(Error::option("clip_norm", "above 0", &norm));
        }
        let fp16 = options.precision == Precision::Fp16;
        if fp16 && !network.device().is_cuda() {
            let expected = "fp32 or bf16 on a device other than CUDA";
            return Err(Error::option("the precision", expected, &"fp16"));
        }
        let optimizer = Optimizer::new(first.optimizer, first.groups.apply(&network)?)?;
        let average = options.ema.map(|ema| Ema::new(&network, ema));
        Ok(Self {
            average: average.transpose()?,
            scaler: fp16.then(GradScaler::default),
            network,
            options,
            phases,
            optimizer,
            position: Position::default(),
            running_loss: RunningLoss::default(),
            last_checkpoint: None,
            parallel: None,
            frozen: None,
        })
    }

    /// The network being trained.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The network to evaluate and export: the EMA, if there is one.
    pub fn evaluated(&self) -> &N {
        self.average.as_ref().map_or(&self.network, Ema::network)
    }

    /// The current position in the training run.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The mean loss of the current epoch so far.
    pub fn running_loss(&self) -> RunningLoss {
        self.running_loss
    }

    /// The precision of the forward and backward passes.
    pub fn precision(&self) -> Precision {
        self.options.precision
    }

    fn phase(&self) -> &Phase {
        &self.phases[self.position.phase as usize]
    }

    /// The learning rate of the next step.
    pub fn rate(&self) -> f64 {
        self.phase().schedule.rate(self.position.phase_step)
    }

    /// The total number of steps in all phases.
    pub fn total_steps(&self) -> u64 {
        self.phases.iter().map(|phase| phase.schedule.steps()).sum()
    }

    /// Returns whether all phases are finished.
    pub fn is_finished(&self) -> bool {
        self.position.phase as usize + 1 == self.phases.len()
            && self.position.phase_step >= self.phase().schedule.steps()
    }

    /// Takes one step. The gradients of several `parts` are accumulated, weighted by their numbers of images;
    /// batch statistics and weighted means are computed for each part separately. In a group, all ranks must pass
    /// the same number of parts.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the loss or the gradients are not finite, in which case parameters and optimizer are
    /// unchanged; [`Error::Shape`], [`Error::Torch`]. In a group, also [`Error::Group`] and
    /// [`Error::Disagreement`], after which the group must be discarded.
    pub fn step(&mut self, parts: &[Batch]) -> Result<Step, Error> {
        let momentum = self.phase().schedule.momentum(self.position.phase_step);
        let step = self.step_with(parts, self.rate(), momentum)?;
        self.running_loss.add(step.loss, step.images);
        self.position.step += 1;
        self.position.epoch_step += 1;
        self.position.phase_step += 1;
        let over = self.position.phase_step >= self.phase().schedule.steps();
        if over && (self.position.phase as usize) + 1 < self.phases.len() {
            self.begin_phase(self.position.phase + 1)?;
        }
        Ok(step)
    }

    pub(crate) fn step_with(
        &mut self,
        parts: &[Batch],
        rate: f64,
        momentum: Option<f64>,
    ) -> Result<Step, Error> {
        self.optimizer.clear_gradients()?;
        let (loss, share) = self.accumulate(parts, rate)?;
        let images = share.all as u64;
        let gradients = self.optimizer.gradients()?;
        let finite = match &mut self.scaler {
            Some(scaler) => {
                let finite = scaler.unscale(&gradients)?;
                scaler.update(finite);
                finite
            }
            None => true,
        };
        if !finite {
            return self.skip(images, loss, rate);
        }
        let gradient_norm = global_norm(&gradients)?;
        if !gradient_norm.is_finite() {
            return Err(self.diverged("the norm of the gradients", gradient_norm, rate));
        }
        if let Some(limit) = self.options.clip_norm {
            clip_to_norm(&gradients, gradient_norm, limit)?;
        }
        self.optimizer.step_with_momentum(rate, momentum)?;
        if let Some(parallel) = &self.parallel
            && !self.is_frozen()
        {
            parallel.average_statistics(share)?;
        }
        if let Some(average) = &mut self.average {
            average.update()?;
        }
        Ok(Step {
            images,
            loss,
            rate,
            gradient_norm,
            skipped: false,
        })
    }

    /// Runs the forward and backward passes of all parts. Returns the mean loss over the images of all ranks, and
    /// the numbers of images.
    fn accumulate(&mut self, parts: &[Batch], rate: f64) -> Result<(f64, Share), Error> {
        let images: i64 = parts
            .iter()
            .map(|part| part.images.size().first().copied().unwrap_or(0))
            .sum();
        if images == 0 {
            let expected = "at least one image".to_owned();
            return Err(Error::Shape {
                what: "the batch",
                expected,
                found: vec![0],
            });
        }
        let share = match &self.parallel {
            Some(parallel) => parallel.share(images, parts.len(), self.position.step)?,
            None => Share::alone(images),
        };
        let mut total = 0.0;
        for (index, part) in parts.iter().enumerate() {
            let part_number = self.part_number(index);
            tch::manual_seed(draw_seed(self.options.seed, self.position.step, part_number));
            let part_share = part.images.size()[0] as f64 / share.all as f64;
            let loss = self.loss(part)?.f_mul_scalar(part_share)?;
            let scaled = match &self.scaler {
                Some(scaler) => scaler.scale(&loss)?,
                None => loss.shallow_clone(),
            };
            match &mut self.parallel {
                Some(parallel) => parallel.backward(&scaled, index + 1 == parts.len())?,
                None => scaled.f_backward()?,
            }
            // Reading the loss waits for the device, so it is read only after the backward pass is enqueued.
            let value = loss.f_double_value(&[])?;
            // In a group, all ranks have to find out together, so this is checked below.
            if !value.is_finite() && self.parallel.is_none() {
                return Err(self.diverged("the loss", value, rate));
            }
            total += value;
        }
        if let Some(parallel) = &self.parallel {
            total = parallel.sum(total)?;
            if !total.is_finite() {
                return Err(self.diverged("the loss", total, rate));
            }
        }
        Ok((total, share))
    }

    /// Returns the number of part `index` among the parts of all ranks, so that each part gets its own seed.
    fn part_number(&self, index: usize) -> u64 {
        let (rank, world_size) = self
            .group()
            .map_or((0, 1), |group| (group.rank(), group.world_size()));
        (index * world_size + rank) as u64
    }

    fn loss(&mut self, batch: &Batch) -> Result<Tensor, Error> {
        let logits = if self.is_frozen() {
            self.head_logits(batch)?
        } else {
            self.logits(batch)?
        };
        let device = self.network.device();
        let targets = batch.targets.to_device(device)?;
        let loss = self.options.loss.loss(&logits, &targets)?;
        let Some(distillation) = &self.options.distillation else {
            return Ok(loss);
        };
        let images = channels_last(&batch.images.f_to_device(device)?)?;
        let teacher_logits = self
            .options
            .precision
            .autocast(device, || distillation.teacher_logits(&images))??;
        distillation.loss(&logits, &teacher_logits, &loss)
    }

    fn logits(&self, batch: &Batch) -> Result<Tensor, Error> {
        if batch.cache.is_some() {
            let expected = "none, because this step trains layers below the head";
            return Err(Error::option("the feature cache of a batch", expected, &"one"));
        }
        let device = self.network.device();
        let images = channels_last(&batch.images.f_to_device(device)?)?;
        let logits = self
            .options
            .precision
            .autocast(device, || self.network.outputs(&images, true))?;
        logits.map_err(|error| match &self.parallel {
            Some(parallel) => parallel.explain_forward(error),
            None => error,
        })
    }

    /// Returns the logits of a step that trains only the head.
    fn head_logits(&mut self, batch: &Batch) -> Result<Tensor, Error> {
        if batch.cache.is_some() && self.options.distillation.is_some() {
            let expected = "none, because the teacher needs every image";
            return Err(Error::option("the feature cache of a batch", expected, &"one"));
        }
        self.prepare_frozen()?;
        let features = self.frozen_features(batch)?;
        let precision = self.options.precision;
        precision.autocast(self.network.device(), || self.network.head(&features, true))?
    }

    /// Returns the result of a step whose fp16 gradients overflowed.
    fn skip(&self, images: u64, loss: f64, rate: f64) -> Result<Step, Error> {
        /// Gradients that overflow at this scale would overflow without scaling too.
        const MIN_SCALE: f64 = 1.0 / 1024.0;
        if self.scaler.is_some_and(|scaler| scaler.factor() < MIN_SCALE) {
            return Err(self.diverged("the norm of the gradients", f64::INFINITY, rate));
        }
        Ok(Step {
            images,
            loss,
            rate,
            gradient_norm: f64::INFINITY,
            skipped: true,
        })
    }

    fn diverged(&self, what: &'static str, value: f64, rate: f64) -> Error {
        let Position { epoch, step, .. } = self.position;
        let last_good = self.last_checkpoint.clone();
        Error::Diverged(Box::new(Divergence {
            what,
            value,
            epoch,
            step,
            rate,
            last_good,
        }))
    }

    fn begin_phase(&mut self, index: u64) -> Result<(), Error> {
        self.optimizer.clear_gradients()?;
        self.frozen = None;
        self.position.phase = index;
        self.position.phase_step = 0;
        let Phase {
            groups, optimizer, ..
        } = *self.phase();
        self.optimizer = Optimizer::new(optimizer, groups.apply(&self.network)?)?;
        if let Some(parallel) = &mut self.parallel {
            parallel.begin_phase(&self.network)?;
        }
        Ok(())
    }

    /// Ends the epoch, and returns its mean loss, or `None` if it had no steps.
    pub fn end_epoch(&mut self) -> Option<f64> {
        self.position.epoch += 1;
        self.position.epoch_step = 0;
        std::mem::take(&mut self.running_loss).mean()
    }

    /// Computes the outputs of the [evaluated](Self::evaluated) network, such as logits `[N, classes]`, as 32-bit
    /// floats, for images `[N, channels, H, W]` on any device.
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub fn evaluate(&self, images: &Tensor) -> Result<Tensor, Error> {
        let device = self.network.device();
        let images = channels_last(&images.f_to_device(device)?)?;
        let network = self.evaluated();
        let logits = tch::no_grad(|| {
            self.options
                .precision
                .autocast(device, || network.outputs(&images, false))
        })??;
        Ok(logits.f_to_kind(Kind::Float)?)
    }

    /// Sets the checkpoint that a [`Divergence`] names as the last good checkpoint.
    pub fn note_checkpoint(&mut self, path: impl Into<PathBuf>) {
        self.last_checkpoint = Some(path.into());
    }
}
