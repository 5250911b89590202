//! Batch normalisation as a scale and a bias of the convolution before it.

use std::collections::HashMap;

use effnet_core::{EfficientNet, Padding as NetworkPadding};
use libtorch_ext::{Convolution, FusedBlock, NetworkParts, Padding};
use tch::{Device, Kind, Tensor};

use crate::Error;

/// The layers of `network`, each convolution with the batch normalisation after it as a scale, in
/// 64 bits, and a bias. The weights are those of the network, not copies.
pub(crate) fn fold(network: &EfficientNet) -> Result<NetworkParts, Error> {
    let config = network.config();
    let folder = Folder {
        tensors: network.named_tensors().collect(),
        epsilon: config.batch_norm_epsilon,
        padding: config.padding,
    };
    let mut size = config.image_size;
    let stem = folder.normalised("_conv_stem", "_bn0", 2, size)?;
    size = size.map(|side| (side + 1) / 2);
    let mut blocks = Vec::new();
    for (index, block) in config.blocks().iter().enumerate() {
        let name = |layer: &str| format!("_blocks.{index}.{layer}");
        let normalised = |convolution: &str, batch_norm: &str, stride| {
            folder.normalised(&name(convolution), &name(batch_norm), stride, size)
        };
        blocks.push(FusedBlock {
            expand: if block.expand_ratio == 1 {
                None
            } else {
                Some(normalised("_expand_conv", "_bn0", 1)?)
            },
            depthwise: normalised("_depthwise_conv", "_bn1", block.stride)?,
            reduce: folder.biased(&name("_se_reduce"))?,
            excite: folder.biased(&name("_se_expand"))?,
            project: normalised("_project_conv", "_bn2", 1)?,
            skip: block.skip,
        });
        size = size.map(|side| (side + block.stride - 1) / block.stride);
    }
    let head = folder.normalised("_conv_head", "_bn1", 1, size)?;
    let classifier = if config.include_top {
        Some(folder.biased("_fc")?)
    } else {
        None
    };
    Ok(NetworkParts {
        stem,
        blocks,
        head,
        classifier,
    })
}

struct Folder<'a> {
    tensors: HashMap<&'a str, &'a Tensor>,
    epsilon: f64,
    padding: NetworkPadding,
}

impl Folder<'_> {
    fn tensor(&self, layer: &str, name: &str) -> Result<Tensor, Error> {
        let name = format!("{layer}.{name}");
        let tensor = self
            .tensors
            .get(name.as_str())
            .ok_or(Error::MissingTensor(name))?;
        Ok(tensor.f_detach()?)
    }

    fn double(&self, layer: &str, name: &str) -> Result<Tensor, Error> {
        Ok(self
            .tensor(layer, name)?
            .f_to_device(Device::Cpu)?
            .f_to_kind(Kind::Double)?)
    }

    /// A convolution without a bias and the batch normalisation after it, for an input that static
    /// padding takes to be of `size`.
    fn normalised(
        &self,
        convolution: &str,
        batch_norm: &str,
        stride: i64,
        size: [i64; 2],
    ) -> Result<Convolution, Error> {
        let weight = self.tensor(convolution, "weight")?;
        let variance = self.double(batch_norm, "running_var")?;
        let scale = self
            .double(batch_norm, "weight")?
            .f_div(&variance.f_add_scalar(self.epsilon)?.f_sqrt()?)?;
        let mean = self.double(batch_norm, "running_mean")?;
        let bias = self.double(batch_norm, "bias")?.f_sub(&mean.f_mul(&scale)?)?;
        let kernel = weight.size()[2];
        Ok(Convolution {
            weight,
            scale: Some(scale),
            bias: bias.f_to_kind(Kind::Float)?,
            stride,
            padding: self.padding(kernel, stride, size),
        })
    }

    /// A pointwise convolution or linear layer with a bias of its own.
    fn biased(&self, layer: &str) -> Result<Convolution, Error> {
        let weight = self.tensor(layer, "weight")?;
        let (outputs, inputs) = (weight.size()[0], weight.size()[1]);
        Ok(Convolution {
            weight: weight.f_view([outputs, inputs, 1, 1])?,
            scale: None,
            bias: self.tensor(layer, "bias")?,
            stride: 1,
            padding: Padding::Fixed([0; 4]),
        })
    }

    fn padding(&self, kernel: i64, stride: i64, [height, width]: [i64; 2]) -> Padding {
        let same = |size: i64| {
            let total = (((size + stride - 1) / stride - 1) * stride + kernel - size).max(0);
            [total / 2, total - total / 2]
        };
        match self.padding {
            NetworkPadding::Same => Padding::Same,
            NetworkPadding::Symmetric => Padding::Fixed([kernel / 2; 4]),
            NetworkPadding::StaticSame => {
                let ([top, bottom], [left, right]) = (same(height), same(width));
                Padding::Fixed([top, bottom, left, right])
            }
        }
    }
}
