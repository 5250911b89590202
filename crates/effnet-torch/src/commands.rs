//! `TorchCommands` for `effnet-torch`: CUDA devices, the plain engine and training.
//!
//! effnet-cli parses all flags but must not link libtorch, so it calls this module through the trait.

use std::sync::Arc;

use anyhow::Context;
use effnet::{Backend, Gradients, Parameters, Precision};
use effnet_cli::arguments::TrainingArguments;
use effnet_cli::training::settings::Settings;
use effnet_cli::{Cuda, Outcome, Printer, TorchCommands, TorchExecution, TorchRequest};
use effnet_kernels::keep_freed_memory;
use libtorch_ext::{CudaGraph, allow_tf32, load_cuda};
use tch::Device;

use crate::device::{resolve, use_threads};
use crate::gradients::GradientNetwork;
use crate::plain::PlainNetwork;
use crate::{Engine, EngineOptions, training};

/// The commands that `effnet-torch` adds.
#[derive(Debug, Clone, Copy)]
pub struct Torch;

impl TorchCommands for Torch {
    fn execution(
        &self,
        request: &TorchRequest,
        printer: &Printer,
    ) -> anyhow::Result<Option<Box<dyn TorchExecution>>> {
        let device = resolve(request.device, printer)?;
        if device == Device::Cpu && !request.plain {
            return Ok(None);
        }
        if request.plain {
            keep_freed_memory();
        }
        if device.is_cuda() {
            // The fused engine passes these flags to each convolution, whereas the plain network reads these
            // global settings.
            allow_tf32(request.tf32);
            tch::Cuda::cudnn_set_benchmark(request.autotune);
        }
        use_threads(request.threads)?;
        Ok(Some(Box::new(Execution {
            device,
            plain: request.plain,
            precision: request.precision,
            options: EngineOptions::default()
                .with_precision(request.precision)
                .with_threads(request.threads)
                .with_tf32(request.tf32)
                .with_autotune(request.autotune),
        })))
    }

    fn gradients(&self, parameters: &Parameters, threads: usize) -> anyhow::Result<Arc<dyn Gradients>> {
        use_threads(threads)?;
        Ok(Arc::new(GradientNetwork::new(parameters)?))
    }

    fn train(
        &self,
        command: &str,
        arguments: &TrainingArguments,
        defaults: Settings,
        printer: &Printer,
    ) -> anyhow::Result<Outcome> {
        training::run(self, command, arguments, defaults, printer)
    }

    fn cuda(&self) -> Cuda {
        // This must precede any other call into libtorch, which looks for CUDA only once.
        let loaded = load_cuda(None);
        let cuda = tch::Cuda::is_available();
        Cuda {
            cuda,
            cuda_devices: tch::Cuda::device_count(),
            cuda_graphs: CudaGraph::available().is_ok(),
            cuda_problem: match loaded {
                Ok(true) if cuda => CudaGraph::available().err().map(|error| error.to_string()),
                Ok(true) => {
                    Some("an NVIDIA driver is installed, but libtorch finds no CUDA device".to_owned())
                }
                Ok(false) => None,
                Err(error) => Some(error.to_string()),
            },
        }
    }

    fn libtorch_folder(&self) -> Option<String> {
        folder_of_loaded("libtorch_cpu.so").or_else(|| option_env!("EFFNET_LIBTORCH_LIB").map(str::to_owned))
    }
}

/// Returns the folder of a library that this process has loaded. Linux lists what a process has mapped.
fn folder_of_loaded(library: &str) -> Option<String> {
    let mapped = std::fs::read_to_string("/proc/self/maps").ok()?;
    mapped.lines().find_map(|line| {
        let (folder, name) = line[line.find('/')?..].rsplit_once('/')?;
        (name == library).then(|| folder.to_owned())
    })
}

struct Execution {
    device: Device,
    plain: bool,
    precision: Precision,
    options: EngineOptions,
}

impl TorchExecution for Execution {
    fn is_cuda(&self) -> bool {
        self.device.is_cuda()
    }

    fn backend(&self, parameters: &Parameters, features: bool) -> anyhow::Result<Box<dyn Backend>> {
        if self.plain {
            let network = PlainNetwork::new(parameters, self.device, self.precision, features)?;
            return Ok(Box::new(network));
        }
        let options = self.options.with_features(features);
        let engine = Engine::from_parameters(parameters, self.device, options)
            .context("cannot prepare the network for the fused engine")?;
        Ok(Box::new(engine))
    }
}
