//! Runs one training step on a device: `gradients CHECKPOINT INPUTS OUTPUT [cpu|cuda:N]`.
//!
//! INPUTS is a safetensors file with `images` `[N, 3, H, W]` and `labels` `[N]`. OUTPUT receives `logits`, `loss`
//! (cross-entropy), `gradient.<parameter>` and, with the values after the step, `after.<buffer>`. Dropout and drop
//! connect are off. `scripts/gpu-check` uses this to compare devices.

use std::error::Error;

use effnet_checkpoint::Checkpoint;
use effnet_core::{Config, EfficientNet, EfficientNetNames, LoadOptions, Variant};
use libtorch_ext::{allow_tf32, load_cuda};
use tch::{Device, Reduction, Tensor, nn};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, inputs, output, device @ ..] = arguments.as_slice() else {
        return Err("usage: gradients CHECKPOINT INPUTS OUTPUT [cpu|cuda:N]".into());
    };
    let device = match device.first().map(String::as_str) {
        None | Some("cpu") => Device::Cpu,
        Some(name) => {
            let index = name
                .strip_prefix("cuda:")
                .ok_or("expected cpu or cuda:N")?
                .parse()?;
            // This must precede the first tensor: libtorch looks for CUDA only once.
            if !load_cuda(None)? {
                return Err("no CUDA driver".into());
            }
            allow_tf32(false);
            Device::Cuda(index)
        }
    };

    let checkpoint = Checkpoint::open(checkpoint)?;
    let signature = checkpoint.state_dict().signature()?;
    let config = Config {
        dropout_rate: 0.0,
        drop_connect_rate: 0.0,
        ..Variant::recognise(&signature)
            .ok_or("CHECKPOINT does not match any published variant")?
            .config()
    };
    let store = nn::VarStore::new(device);
    let network = EfficientNet::from_state_dict(
        &store.root(),
        &config,
        checkpoint.state_dict(),
        LoadOptions::default(),
    )?;

    let inputs = Tensor::read_safetensors(inputs)?;
    let input = |name: &str| -> Result<Tensor, Box<dyn Error>> {
        let found = inputs.iter().find(|(found, _)| found == name);
        let (_, tensor) = found.ok_or_else(|| format!("INPUTS does not contain the tensor {name}"))?;
        Ok(tensor.f_to_device(device)?)
    };
    let logits = network.forward(&input("images")?, true)?;
    let loss = logits.f_cross_entropy_loss(&input("labels")?, None::<&Tensor>, Reduction::Mean, -100, 0.0)?;
    loss.f_backward()?;

    let mut outputs = vec![
        ("logits".to_owned(), logits.f_detach()?),
        ("loss".to_owned(), loss.f_detach()?),
    ];
    for (name, tensor) in network.named_tensors() {
        outputs.push(if tensor.requires_grad() {
            (format!("gradient.{name}"), tensor.f_grad()?)
        } else {
            (format!("after.{name}"), tensor.shallow_clone())
        });
    }
    for (_, tensor) in &mut outputs {
        *tensor = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
    }
    Tensor::write_safetensors(&outputs, output)?;
    Ok(())
}
