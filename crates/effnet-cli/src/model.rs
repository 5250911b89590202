//! From `--model` and `--weights` to a network that is ready to run.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use effnet_checkpoint::{Checkpoint, Scheme, Signature};
use effnet_core::{Config, EfficientNet, LoadOptions, Profile, Variant};
use tch::{Device, Kind, nn};

use crate::arguments::ModelArguments;
use crate::labels::Labels;
use crate::printer::Printer;

/// What the arguments and the weight file say about the network, before any tensor is made.
pub(crate) struct ModelFile {
    path: PathBuf,
    checkpoint: Checkpoint,
    pub(crate) variant: Variant,
    profile: Profile,
    num_classes: i64,
}

/// A network with its parameters, and what its results mean.
pub(crate) struct Model {
    pub(crate) variant: Variant,
    /// The weights as they are reported.
    pub(crate) weights: String,
    pub(crate) labels: Labels,
    pub(crate) network: EfficientNet,
    pub(crate) device: Device,
    pub(crate) kind: Kind,
}

impl ModelFile {
    /// Opens the weights and settles variant, profile and number of classes.
    pub(crate) fn open(arguments: &ModelArguments, labels: Option<&Labels>) -> anyhow::Result<Self> {
        let Some(path) = arguments.weights.clone() else {
            bail!(
                "no weights: expected --weights FILE, a .pth, .pt or .safetensors file with the parameters \
                 of an EfficientNet"
            );
        };
        let shown = path.display().to_string();
        let checkpoint = Checkpoint::open(&path)?;
        let signature = describe(&checkpoint).with_context(|| shown.clone())?;
        let found = Variant::recognise(&signature);
        let variant = settle_variant(arguments.model, found).with_context(|| shown.clone())?;
        let profile = match arguments.profile {
            Some(profile) => profile,
            None => {
                told_profile(&checkpoint, &path, signature.scheme, variant).with_context(|| shown.clone())?
            }
        };
        let expected = arguments.num_classes.or(labels.map(|labels| labels.len() as i64));
        let num_classes = settle_classes(&signature, expected.unwrap_or(1000))
            .with_context(|| format!("{shown}: another number of classes"))?;
        if let Some(labels) = labels {
            ensure!(
                labels.len() as i64 == num_classes,
                "{} labels, expected {num_classes}, one for each class",
                labels.len()
            );
        }
        Ok(Self {
            path,
            checkpoint,
            variant,
            profile,
            num_classes,
        })
    }

    /// Makes the network on `device` and fills it.
    pub(crate) fn load(
        self,
        labels: Option<Labels>,
        device: Device,
        kind: Kind,
        printer: &Printer,
    ) -> anyhow::Result<Model> {
        let mut store = nn::VarStore::new(device);
        let config = Config::new(self.variant)
            .with_profile(self.profile)
            .with_num_classes(self.num_classes);
        let state_dict = self.checkpoint.state_dict();
        let (network, report) =
            EfficientNet::from_state_dict(&store.root(), &config, state_dict, LoadOptions::default())
                .with_context(|| format!("{}: cannot be loaded as {}", self.path.display(), self.variant))?;
        store.freeze();
        match kind {
            Kind::BFloat16 => store.bfloat16(),
            Kind::Half => store.half(),
            _ => {}
        }
        printer.detail(format!(
            "{}: {} ({}), profile {}, {} classes, on {device:?} in {kind:?}",
            self.path.display(),
            self.variant,
            self.checkpoint.container(),
            self.profile,
            self.num_classes,
        ));
        if let Some((count, dtype)) = report.converted {
            printer.detail(format!("{count} tensors converted from {dtype}"));
        }
        let labels = match labels {
            Some(labels) => labels,
            None if self.num_classes == 1000 => Labels::imagenet()?,
            None => {
                printer.warning("these weights come without class names, pass them with --labels FILE");
                Labels::numbered(self.num_classes as usize)
            }
        };
        let weights = self.path.display().to_string();
        Ok(Model {
            variant: self.variant,
            weights,
            labels,
            network,
            device,
            kind,
        })
    }
}

/// The naming scheme and the shapes of a checkpoint that holds an EfficientNet.
fn describe(checkpoint: &Checkpoint) -> anyhow::Result<Signature> {
    let state_dict = checkpoint.state_dict();
    let signature = state_dict.signature().context(
        "no EfficientNet of efficientnet_pytorch, torchvision or timm; `effnet inspect` lists the tensors",
    )?;
    Ok(signature)
}

fn settle_variant(asked: Option<Variant>, found: Option<Variant>) -> anyhow::Result<Variant> {
    match (asked, found) {
        (Some(asked), Some(found)) => {
            ensure!(
                asked == found,
                "the parameters of {found}, expected {asked}; pass --model {found} or leave --model out"
            );
            Ok(asked)
        }
        // Strict loading will say what is wrong with it.
        (Some(asked), None) => Ok(asked),
        (None, Some(found)) => Ok(found),
        (None, None) => bail!(
            "an EfficientNet with other widths or depths than b0 to b8 and l2; the command line knows no \
             others, a program can build one with effnet-core"
        ),
    }
}

fn settle_classes(signature: &Signature, expected: i64) -> anyhow::Result<i64> {
    match signature.num_classes {
        Some(found) => {
            ensure!(
                found as i64 == expected,
                "found {found} classes, expected {expected}; pass --num-classes {found}, and --labels FILE \
                 with their names"
            );
            Ok(expected)
        }
        None => bail!("no classifier in this file, expected one with {expected} classes"),
    }
}

/// The profile that the file states or that its names suggest.
pub(crate) fn told_profile(
    checkpoint: &Checkpoint,
    path: &Path,
    scheme: Scheme,
    variant: Variant,
) -> anyhow::Result<Profile> {
    if let Some(stated) = checkpoint.metadata().get("profile") {
        return Ok(stated.parse()?);
    }
    // timm gives its TensorFlow ports the names of its own networks; only the file's name differs.
    let is_port = path
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with("tf_efficientnet"));
    if scheme == Scheme::Timm && is_port {
        return Ok(Profile::Tf);
    }
    Ok(Profile::default_for(scheme, Some(variant)))
}
