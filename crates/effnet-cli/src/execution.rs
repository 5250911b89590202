//! Where and how a network is computed: what the flags ask for, settled for this machine.

use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context, bail};
use effnet::{Backend, BatchDemand, Config, Engine, EngineOptions, Parameters, Precision, available_memory};

use crate::arguments::{BatchSize, DeviceChoice, EngineChoice, ExecutionArguments};
use crate::launcher;
use crate::sharding::Job;
use crate::torch::{TorchCommands, TorchExecution, TorchRequest};
use crate::{Printer, handover};

/// As many threads as were asked for, or one per core that is this process's.
pub fn threads(asked: Option<u16>) -> usize {
    let cores = || available_parallelism().map_or(1, NonZero::get);
    asked.map_or_else(|| launcher::threads(cores()), usize::from)
}

/// The device, the precision and the threads that networks are made for.
pub(crate) struct Execution {
    /// Of libtorch; `None` for the engine without it.
    torch: Option<Box<dyn TorchExecution>>,
    /// For decoding, and for computing on a CPU.
    pub(crate) threads: usize,
    engine: EngineChoice,
    precision: Precision,
    tf32: bool,
}

impl Execution {
    /// To be called before anything else touches libtorch.
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
            None if handover::needs_torch(arguments) => bail!("{}", handover::MISSING),
            None => None,
        };
        Ok(Self {
            torch,
            threads,
            engine: arguments.engine,
            precision: arguments.precision,
            tf32: arguments.tf32,
        })
    }

    /// Adds what decides the digits of results: processes with other devices or kernels do not share a job.
    pub(crate) fn describe(&self, job: &mut Job) {
        let is_cuda = self.torch.as_ref().is_some_and(|torch| torch.is_cuda());
        job.add("device", if is_cuda { "cuda" } else { "cpu" });
        job.add("engine", format!("{:?}", self.engine));
        job.add("precision", self.precision.to_string());
        job.add("tf32", self.tf32);
    }

    /// Makes a network ready to run; with `features` it ends with the averages of the head's activations.
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
                .context("the network cannot be prepared for the fused engine")?;
            Box::new(engine)
        };
        if self.precision == Precision::Auto && backend.precision() != Precision::Fp32 {
            printer.note(format!(
                "computed in {}, the fastest here; --precision fp32 gives logits to five digits",
                backend.precision()
            ));
        }
        printer.detail(format!(
            "computed by the {} engine ({}) in {}, on {} with {} threads",
            backend.engine(),
            backend.kernels(),
            backend.precision(),
            backend.device(),
            self.threads
        ));
        Ok(backend)
    }

    /// The number of images for one call of the network, of `images` with this side in all.
    pub(crate) fn batch_size(
        &self,
        (config, backend): (&Config, &dyn Backend),
        asked: BatchSize,
        images: usize,
        side: usize,
    ) -> anyhow::Result<usize> {
        match asked {
            BatchSize::Images(images) => return Ok(images as usize),
            BatchSize::Auto if images == 1 => return Ok(1),
            BatchSize::Auto => {}
        }
        let demand = BatchDemand {
            activations: backend.memory_need([side; 2])?,
            image_bytes: 3 * 4 * (side as u64).pow(2),
            multiply_accumulates: config.multiply_accumulates([side as i64; 2]).unsigned_abs(),
            threads: self.threads,
        };
        Ok(match backend.free_device_memory()? {
            Some(free) => demand.batch_size_on_device(available_memory(), free),
            None => demand.batch_size(available_memory()),
        })
    }
}

impl ExecutionArguments {
    /// Whether a device of libtorch's was named, or its own layers.
    pub(crate) fn names_torch(&self) -> bool {
        matches!(self.device, DeviceChoice::Cuda(_)) || self.engine == EngineChoice::Plain
    }
}
