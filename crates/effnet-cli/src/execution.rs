//! Resolves the flags for device, precision, engine, threads and batch size for this machine.

use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::Context;
use effnet::{Backend, BatchDemand, Config, Engine, EngineOptions, Parameters, Precision, available_memory};

use crate::arguments::{BatchSize, EngineChoice, ExecutionArguments};
use crate::launcher;
use crate::printer::counted;
use crate::sharding::Job;
use crate::torch::{TorchCommands, TorchExecution, TorchRequest};
use crate::{Printer, handover};

/// Returns the number of threads: `requested`, or one per core of this process.
pub fn threads(requested: Option<usize>) -> usize {
    let cores = || available_parallelism().map_or(1, NonZero::get);
    requested.unwrap_or_else(|| launcher::threads(cores()))
}

/// The device and options that networks are prepared for.
pub(crate) struct Execution {
    /// The libtorch device, or `None` for the engine without libtorch.
    torch: Option<Box<dyn TorchExecution>>,
    /// The number of threads for decoding, and for computing on the CPU.
    pub(crate) threads: usize,
    engine: EngineChoice,
    precision: Precision,
    tf32: bool,
}

impl Execution {
    /// Chooses the device. Must be called before anything else uses libtorch, which looks for CUDA only once.
    pub(crate) fn prepare(
        arguments: &ExecutionArguments,
        torch: Option<&dyn TorchCommands>,
        printer: &Printer,
    ) -> anyhow::Result<Self> {
        let threads = threads(arguments.threads);
        let request = TorchRequest {
            device: arguments.device,
            plain: arguments.engine == EngineChoice::Plain,
            precision: arguments.precision,
            threads,
            tf32: arguments.tf32,
            autotune: arguments.autotune,
        };
        let torch = match torch {
            Some(torch) => torch.execution(&request, printer)?,
            None => match handover::needs_torch(arguments) {
                Some(what) => return Err(handover::missing(what)),
                None => None,
            },
        };
        Ok(Self {
            torch,
            threads,
            engine: arguments.engine,
            precision: arguments.precision,
            tf32: arguments.tf32,
        })
    }

    /// Adds the options that affect the digits of results. Only processes that agree on them may share a job.
    pub(crate) fn describe(&self, job: &mut Job) {
        let is_cuda = self.torch.as_ref().is_some_and(|torch| torch.is_cuda());
        job.add("device", if is_cuda { "cuda" } else { "cpu" });
        job.add("engine", format!("{:?}", self.engine));
        job.add("precision", self.precision.to_string());
        job.add("tf32", self.tf32);
    }

    /// Prepares a network. With `features`, the network returns the pooled features before the classifier.
    pub(crate) fn build(
        &self,
        parameters: &Parameters,
        features: bool,
        printer: &Printer,
    ) -> anyhow::Result<Box<dyn Backend>> {
        let backend = if let Some(torch) = &self.torch {
            torch.backend(parameters, features)?
        } else {
            let options = EngineOptions::default()
                .with_precision(self.precision)
                .with_threads(self.threads)
                .with_features(features);
            let engine = Engine::new(parameters, options)
                .context("cannot prepare the network for the fused engine")?;
            Box::new(engine)
        };
        if self.precision == Precision::Auto && backend.precision() != Precision::Fp32 {
            printer.note(format!(
                "computing in {}, the fastest precision on this machine; --precision fp32 gives logits to five digits",
                backend.precision()
            ));
        }
        printer.detail(format!(
            "engine {} ({}), {}, {}, {}",
            backend.engine(),
            backend.kernels(),
            backend.precision(),
            backend.device(),
            counted(self.threads, "thread")
        ));
        Ok(backend)
    }

    /// Returns the batch size for `images` images of this height and width.
    pub(crate) fn batch_size(
        &self,
        (config, backend): (&Config, &dyn Backend),
        requested: BatchSize,
        images: usize,
        side: usize,
    ) -> anyhow::Result<usize> {
        match requested {
            BatchSize::Images(images) => return Ok(images),
            BatchSize::Auto if images == 1 => return Ok(1),
            BatchSize::Auto => {}
        }
        let demand = BatchDemand::new(backend, config, side, self.threads)?;
        Ok(match backend.free_device_memory()? {
            Some(free) => demand.batch_size_on_device(available_memory(), free),
            None => demand.batch_size(available_memory()),
        })
    }
}
