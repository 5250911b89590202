//! From a weight file to a network that is ready to run.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use effnet_checkpoint::{Checkpoint, ModelMetadata, Scheme, Signature, StateDict};
use effnet_core::{Config, EfficientNet, LoadOptions, LoadReport, Profile, Variant};
use effnet_hub::Entry;
use effnet_infer::{BatchDemand, available_memory};
use libtorch_ext::device_memory;
use tch::{Device, nn};

use crate::arguments::{BatchSize, ModelArguments};
use crate::execution::{Execution, Network};
use crate::labels::Labels;
use crate::printer::Printer;
use crate::zoo::Weights;

/// Number of classes of ImageNet, which the published weights are for.
const IMAGENET_CLASSES: i64 = 1000;

/// What the arguments, the manifest and the weight file say about the network, before any tensor
/// is made.
pub(crate) struct ModelFile {
    weights: Weights,
    checkpoint: Checkpoint,
    pub(crate) metadata: ModelMetadata,
    pub(crate) variant: Variant,
    pub(crate) scheme: Scheme,
    pub(crate) profile: Profile,
    num_classes: i64,
}

/// A network with its parameters, and what its results mean.
pub(crate) struct Model {
    pub(crate) variant: Variant,
    /// The weights as they are reported.
    pub(crate) weights: String,
    pub(crate) labels: Labels,
    pub(crate) config: Config,
    pub(crate) network: Network,
}

impl ModelFile {
    /// Opens the weights and settles variant, profile and number of classes.
    pub(crate) fn open(
        weights: Weights,
        arguments: &ModelArguments,
        num_classes: Option<i64>,
        labels: Option<&Labels>,
    ) -> anyhow::Result<Self> {
        let asked = arguments.model.as_ref().map(|model| model.variant);
        let mut file = Self::inspect(weights, asked, arguments.profile)?;
        let named = labels
            .map(Labels::len)
            .or(file.metadata.labels.as_ref().map(Vec::len));
        let published = file.entry().map(|entry| i64::from(entry.classes));
        let expected = num_classes
            .or(named.map(|count| count as i64))
            .or(published)
            .unwrap_or(IMAGENET_CLASSES);
        let signature = file.state_dict().signature()?;
        file.num_classes = settle_classes(&signature, expected)
            .with_context(|| format!("{}: another number of classes", file.path().display()))?;
        if let Some(labels) = labels {
            ensure!(
                labels.len() as i64 == file.num_classes,
                "{} labels, expected {}, one for each class",
                labels.len(),
                file.num_classes
            );
        }
        Ok(file)
    }

    /// Opens the weights and settles variant and profile, for a network with any number of classes.
    pub(crate) fn inspect(
        weights: Weights,
        variant: Option<Variant>,
        profile: Option<Profile>,
    ) -> anyhow::Result<Self> {
        let shown = weights.path.display().to_string();
        let checkpoint = Checkpoint::open(&weights.path)?;
        let metadata = ModelMetadata::from_entries(checkpoint.metadata()).with_context(|| shown.clone())?;
        let signature = checkpoint
            .state_dict()
            .signature()
            .with_context(|| format!("{shown}: no EfficientNet (`effnet inspect` lists its tensors)"))?;
        let found = Variant::recognise(&signature);
        let variant = settle_variant(variant, found).with_context(|| shown.clone())?;
        let scheme = signature.scheme;
        let entry = weights.entry.as_ref();
        let profile = match profile {
            Some(profile) => profile,
            None => told_profile(&metadata, entry, &weights.path, scheme, variant)
                .with_context(|| shown.clone())?,
        };
        Ok(Self {
            num_classes: signature.num_classes.unwrap_or(0) as i64,
            weights,
            checkpoint,
            metadata,
            variant,
            scheme,
            profile,
        })
    }

    /// The weights as they are reported.
    pub(crate) fn weights(&self) -> &str {
        &self.weights.name
    }

    pub(crate) fn state_dict(&self) -> &StateDict {
        self.checkpoint.state_dict()
    }

    /// How many classes the classifier tells apart; 0 without one.
    pub(crate) fn num_classes(&self) -> i64 {
        self.num_classes
    }

    pub(crate) fn path(&self) -> &Path {
        &self.weights.path
    }

    /// The published weights that the file is, or is named like.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.weights.entry.as_ref()
    }

    /// Makes the network and fills it.
    pub(crate) fn load(
        mut self,
        labels: Option<Labels>,
        execution: &Execution,
        printer: &Printer,
    ) -> anyhow::Result<Model> {
        let (config, network) = self.network(self.num_classes, LoadOptions::default(), execution, printer)?;
        let labels = match (labels, self.metadata.labels.take()) {
            (Some(labels), _) => labels,
            (None, Some(names)) => Labels::from_names(names),
            (None, None) if self.num_classes == IMAGENET_CLASSES => Labels::imagenet()?,
            (None, None) => {
                printer.warning("these weights come without class names, pass them with --labels FILE");
                Labels::numbered(self.num_classes as usize)
            }
        };
        Ok(Model {
            variant: self.variant,
            weights: self.weights.name,
            labels,
            network,
            config,
        })
    }

    /// Makes all of the network but its classifier, of which the file may have any or none.
    pub(crate) fn load_features(
        &self,
        execution: &Execution,
        printer: &Printer,
    ) -> anyhow::Result<(Config, Network)> {
        let options = LoadOptions {
            new_classifier: true,
            ..LoadOptions::default()
        };
        self.network(1, options, execution, printer)
    }

    /// The network of the file, with a classifier for so many classes.
    pub(crate) fn config(&self, num_classes: i64) -> Config {
        Config::new(self.variant)
            .with_profile(self.profile)
            .with_num_classes(num_classes)
    }

    /// Makes the network of `config` in `store`, with the parameters of the file.
    pub(crate) fn fill(
        &self,
        store: &nn::VarStore,
        config: &Config,
        options: LoadOptions,
    ) -> anyhow::Result<(EfficientNet, LoadReport)> {
        EfficientNet::from_state_dict(&store.root(), config, self.state_dict(), options)
            .with_context(|| format!("{}: cannot be loaded as {}", self.path().display(), self.variant))
    }

    fn network(
        &self,
        num_classes: i64,
        options: LoadOptions,
        execution: &Execution,
        printer: &Printer,
    ) -> anyhow::Result<(Config, Network)> {
        let shown = self.path().display().to_string();
        let store = nn::VarStore::new(execution.device);
        let config = self.config(num_classes);
        let (network, report) = self.fill(&store, &config, options)?;
        printer.detail(format!(
            "{shown}: {} ({}), profile {}, {} classes",
            self.variant,
            self.checkpoint.container(),
            self.profile,
            self.num_classes,
        ));
        if let Some((count, dtype)) = report.converted {
            printer.detail(format!("{count} tensors converted from {dtype}"));
        }
        Ok((config, execution.build(network, store, printer)?))
    }
}

/// The number of images for one call of the network, of `images` with this side in all.
pub(crate) fn batch_size(
    (config, network): (&Config, &Network),
    asked: BatchSize,
    images: usize,
    side: usize,
    execution: &Execution,
) -> anyhow::Result<usize> {
    match asked {
        BatchSize::Images(images) => return Ok(images as usize),
        BatchSize::Auto if images == 1 => return Ok(1),
        BatchSize::Auto => {}
    }
    let size = [side as i64; 2];
    let demand = BatchDemand {
        activations: network.memory_need(config, size)?,
        image_bytes: 3 * 4 * (side as u64).pow(2),
        multiply_accumulates: config.multiply_accumulates(size).unsigned_abs(),
        threads: execution.threads,
    };
    Ok(match execution.device {
        Device::Cuda(index) => demand.batch_size_on_device(available_memory(), device_memory(index)?.free),
        _ => demand.batch_size(available_memory()),
    })
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

/// The profile that the file states, that is published for it, or that its names suggest.
pub(crate) fn told_profile(
    metadata: &ModelMetadata,
    entry: Option<&Entry>,
    path: &Path,
    scheme: Scheme,
    variant: Variant,
) -> anyhow::Result<Profile> {
    if let Some(stated) = &metadata.profile {
        return Ok(stated.parse()?);
    }
    if let Some(entry) = entry {
        return Ok(entry.profile.as_str().parse()?);
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
