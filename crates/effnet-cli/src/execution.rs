//! What computes a network, and how.

use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::Context;
use clap::{Args, ValueEnum};
use effnet_core::EfficientNet;
use effnet_infer::{Engine, EngineConfig, Error, MemoryNeed, Part, Pending, Precision, Runner};
use libtorch_ext::{allow_tf32, keep_freed_memory};
use tch::{Cuda, Device, Kind, Tensor, nn};

use crate::device::{DeviceChoice, PrecisionChoice};
use crate::launcher;
use crate::printer::Printer;
use crate::sharding::Job;

/// `--engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineChoice {
    /// Folded, packed and fused
    Fused,
    /// Layer by layer, as in training
    Plain,
}

/// What decides how a network is computed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Execution")]
pub(crate) struct ExecutionArguments {
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: DeviceChoice,
    /// Numbers to compute with: auto, fp32, bf16 or fp16
    #[arg(long, value_name = "PRECISION", default_value = "auto")]
    pub(crate) precision: PrecisionChoice,
    /// What computes: the fused engine, or the network layer by layer
    #[arg(long, value_name = "ENGINE", default_value = "fused")]
    pub(crate) engine: EngineChoice,
    /// Threads for decoding and computing [default: one for each core; of several processes that
    /// torchrun starts on a machine, each has its share]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// On CUDA in fp32: multiply in TensorFloat-32, faster and with 10 bits of mantissa
    #[arg(long)]
    pub(crate) tf32: bool,
    /// On CUDA: time cuDNN's kernels for each shape of a batch and take the fastest, for long runs
    #[arg(long)]
    pub(crate) autotune: bool,
}

/// As many threads as were asked for, or one for each core that is this process's.
pub(crate) fn threads(asked: Option<u16>) -> usize {
    let cores = || available_parallelism().map_or(1, NonZero::get);
    asked.map_or_else(|| launcher::threads(cores()), usize::from)
}

/// Has libtorch compute with `threads` threads.
///
/// Nothing is said where libtorch takes as many by itself: being told, it also starts the threads of XNNPACK's pool,
/// which nothing here uses, and whose turning while they wait takes a thirteenth of the time of a single photo.
pub(crate) fn use_threads(threads: usize) -> anyhow::Result<()> {
    let threads = i32::try_from(threads)?;
    if tch::get_num_threads() != threads {
        tch::set_num_threads(threads);
    }
    Ok(())
}

/// The device, the numbers and the threads that networks are made for.
pub(crate) struct Execution {
    pub(crate) device: Device,
    /// For decoding, and for computing on a CPU.
    pub(crate) threads: usize,
    engine: EngineChoice,
    precision: Precision,
    tf32: bool,
    autotune: bool,
}

impl Execution {
    /// To be called before anything else touches libtorch.
    pub(crate) fn prepare(arguments: &ExecutionArguments, printer: &Printer) -> anyhow::Result<Self> {
        let device = arguments.device.resolve(printer)?;
        let threads = threads(arguments.threads);
        if arguments.engine == EngineChoice::Plain {
            keep_freed_memory();
        }
        if device.is_cuda() {
            // The engine tells each convolution; the plain network takes what is set here.
            allow_tf32(arguments.tf32);
            Cuda::cudnn_set_benchmark(arguments.autotune);
        }
        use_threads(threads)?;
        Ok(Self {
            device,
            threads,
            engine: arguments.engine,
            precision: arguments.precision.into(),
            tf32: arguments.tf32,
            autotune: arguments.autotune,
        })
    }

    /// Adds what decides the digits of results: processes with other devices or kernels do not share a job.
    pub(crate) fn describe(&self, job: &mut Job) {
        job.add("device", if self.device.is_cuda() { "cuda" } else { "cpu" });
        job.add("engine", format!("{:?}", self.engine));
        job.add("precision", self.precision.to_string());
        job.add("tf32", self.tf32);
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
                    tf32: self.tf32,
                    autotune: self.autotune,
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
        self.network.forward(&self.input(images)?, false)
    }

    fn input(&self, images: &Tensor) -> Result<Tensor, tch::TchError> {
        images.f_to_device(self.device)?.f_to_kind(self.kind())
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

    /// Why batches are not replayed as CUDA graphs where they could be.
    pub(crate) fn without_graphs(&self) -> Option<String> {
        match self {
            Self::Fused(engine) => engine.without_graphs(),
            Self::Plain(_) => None,
        }
    }

    /// Whether a device computes while the next batch is submitted.
    pub(crate) fn works_beside(&self) -> bool {
        match self {
            Self::Fused(engine) => engine.device().is_cuda(),
            Self::Plain(_) => false,
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

/// A network without its classifier: of each image the mean of the head's activations over all pixels.
pub(crate) struct Features(pub(crate) Network);

impl Runner for Features {
    fn run(&self, images: &Tensor) -> Result<Tensor, Error> {
        let maps = match &self.0 {
            Network::Fused(engine) => engine.run_features(images)?,
            Network::Plain(plain) => {
                tch::no_grad(|| plain.network.extract_features(&plain.input(images)?, false))?
            }
        };
        Ok(maps.f_mean_dim(&[2i64, 3][..], false, Kind::Float)?)
    }
}

impl Runner for Network {
    fn run(&self, images: &Tensor) -> Result<Tensor, Error> {
        match self {
            Self::Fused(engine) => engine.run(images),
            Self::Plain(plain) => Ok(tch::no_grad(|| plain.forward(images))?),
        }
    }

    fn submit(&self, images: &Tensor) -> Result<Pending, Error> {
        match self {
            Self::Fused(engine) => engine.submit(images),
            Self::Plain(_) => self.run(images).map(Pending::done),
        }
    }
}
