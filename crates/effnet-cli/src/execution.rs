//! What computes a network, and how.

use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::Context;
use clap::ValueEnum;
use effnet_core::EfficientNet;
use effnet_infer::{Engine, EngineConfig, Error, MemoryNeed, Part, Precision, Runner};
use libtorch_ext::keep_freed_memory;
use tch::{Device, Kind, Tensor, nn};

use crate::arguments::ExecutionArguments;
use crate::printer::Printer;

/// `--engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineChoice {
    /// Folded, packed and fused
    Fused,
    /// Layer by layer, as in training
    Plain,
}

/// The device, the numbers and the threads that networks are made for.
pub(crate) struct Execution {
    pub(crate) device: Device,
    /// For decoding, and for computing on a CPU.
    pub(crate) threads: usize,
    engine: EngineChoice,
    precision: Precision,
}

impl Execution {
    /// To be called before anything else touches libtorch.
    pub(crate) fn prepare(arguments: &ExecutionArguments, printer: &Printer) -> anyhow::Result<Self> {
        let device = arguments.device.resolve(printer)?;
        let threads = match arguments.threads {
            Some(threads) => usize::from(threads),
            None => available_parallelism().map_or(1, NonZero::get),
        };
        if arguments.engine == EngineChoice::Plain {
            keep_freed_memory();
        }
        tch::set_num_threads(i32::try_from(threads)?);
        Ok(Self {
            device,
            threads,
            engine: arguments.engine,
            precision: arguments.precision.into(),
        })
    }

    /// Makes a network that lies in `store` ready to run.
    pub(crate) fn build(
        &self,
        network: EfficientNet,
        mut store: nn::VarStore,
        printer: &Printer,
    ) -> anyhow::Result<Network> {
        store.freeze();
        let network = match self.engine {
            EngineChoice::Fused => {
                let config = EngineConfig {
                    precision: self.precision,
                    threads: Some(self.threads),
                    ..EngineConfig::default()
                };
                let engine = Engine::new(&network, config)
                    .context("the network cannot be prepared for the fused engine")?;
                Network::Fused(Box::new(engine))
            }
            EngineChoice::Plain => {
                let precision = match self.precision {
                    Precision::Auto => Precision::Fp32,
                    chosen => chosen,
                };
                match precision {
                    Precision::Bf16 => store.bfloat16(),
                    Precision::Fp16 => store.half(),
                    Precision::Auto | Precision::Fp32 => {}
                }
                Network::Plain(Box::new(PlainNetwork {
                    network,
                    device: self.device,
                    precision,
                }))
            }
        };
        if self.precision == Precision::Auto && network.precision() != Precision::Fp32 {
            printer.note(format!(
                "computed in {}, the fastest here; --precision fp32 gives logits to five digits",
                network.precision()
            ));
        }
        printer.detail(format!(
            "computed by {} engine ({}) in {}, on {:?} with {} threads",
            network.engine(),
            network.backend(),
            network.precision(),
            self.device,
            self.threads
        ));
        Ok(network)
    }
}

/// A network that is ready to run.
pub(crate) enum Network {
    Fused(Box<Engine>),
    Plain(Box<PlainNetwork>),
}

/// The network's own layers, one libtorch call after the other.
pub(crate) struct PlainNetwork {
    network: EfficientNet,
    device: Device,
    precision: Precision,
}

impl PlainNetwork {
    fn kind(&self) -> Kind {
        match self.precision {
            Precision::Bf16 => Kind::BFloat16,
            Precision::Fp16 => Kind::Half,
            Precision::Auto | Precision::Fp32 => Kind::Float,
        }
    }

    fn forward(&self, images: &Tensor) -> Result<Tensor, tch::TchError> {
        let images = images.f_to_device(self.device)?.f_to_kind(self.kind())?;
        self.network.forward(&images, false)
    }
}

impl Network {
    pub(crate) fn engine(&self) -> &'static str {
        match self {
            Self::Fused(_) => "fused",
            Self::Plain(_) => "plain",
        }
    }

    /// The one in use, never `auto`.
    pub(crate) fn precision(&self) -> Precision {
        match self {
            Self::Fused(engine) => engine.precision(),
            Self::Plain(plain) => plain.precision,
        }
    }

    /// Whose kernels.
    pub(crate) fn backend(&self) -> &str {
        match self {
            Self::Fused(engine) => engine.backend(),
            Self::Plain(_) => "libtorch",
        }
    }

    /// What activations of images of `[height, width]` take; an estimate where libtorch decides.
    pub(crate) fn memory_need(
        &self,
        config: &effnet_core::Config,
        size: [i64; 2],
    ) -> anyhow::Result<MemoryNeed> {
        let told = match self {
            Self::Fused(engine) => engine.memory_need(size)?,
            Self::Plain(_) => None,
        };
        Ok(told.unwrap_or_else(|| MemoryNeed::of_modules(config, size)))
    }

    /// The seconds that each part takes for these images; `None` where nothing tells.
    pub(crate) fn profile(&self, images: &Tensor) -> anyhow::Result<Option<Vec<(Part, f64)>>> {
        match self {
            Self::Fused(engine) => Ok(engine.profile(images)?),
            Self::Plain(_) => Ok(None),
        }
    }
}

impl Runner for Network {
    fn run(&self, images: &Tensor) -> Result<Tensor, Error> {
        match self {
            Self::Fused(engine) => engine.run(images),
            Self::Plain(plain) => Ok(tch::no_grad(|| plain.forward(images))?),
        }
    }
}
