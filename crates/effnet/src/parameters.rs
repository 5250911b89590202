//! Strict loading of a network's parameters from the tensors of a file.
//!
//! A file that nearly matches would give wrong logits without an error, so nothing is loaded unless every
//! tensor matches. The CPU engine packs the checked tensors, and effnet-core copies them into tch's variable
//! stores, so both follow the same rules.

mod mismatch;
mod random;
mod stem;

use std::borrow::Cow;
use std::collections::HashMap;

use effnet_architecture::{CLASSIFIER, Config, NamingError, Parameter, ParameterKind, STEM, Scheme, Variant};
use effnet_checkpoint::{DType, StateDict, Tensor, TensorError};

pub use mismatch::{Mismatch, WrongShape};

use crate::EfficientNetNames;

/// Exceptions to strict loading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Skip the file's classifier, whatever its number of classes, in favour of a new one or none.
    pub new_classifier: bool,
    /// If the number of input channels differs, adapt the stem's kernels: sum them for one channel, repeat
    /// and rescale them for more (timm's `adapt_input_conv`), so that a greyscale image gives the same
    /// activations as it did in RGB.
    pub adapt_stem: bool,
}

impl LoadOptions {
    /// No exceptions: every tensor must be present with exactly the right shape.
    pub const fn new() -> Self {
        Self {
            new_classifier: false,
            adapt_stem: false,
        }
    }

    /// Sets [`new_classifier`](Self::new_classifier).
    #[must_use]
    pub const fn with_new_classifier(mut self, new_classifier: bool) -> Self {
        self.new_classifier = new_classifier;
        self
    }

    /// Sets [`adapt_stem`](Self::adapt_stem).
    #[must_use]
    pub const fn with_adapt_stem(mut self, adapt_stem: bool) -> Self {
        self.adapt_stem = adapt_stem;
        self
    }
}

/// A report of what loading did besides copying tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// Naming scheme of the state dict.
    pub scheme: Option<Scheme>,
    /// Whether the file's classifier was skipped.
    pub new_classifier: bool,
    /// Number of input channels in the file, if the stem was adapted.
    pub adapted_stem_from: Option<usize>,
    /// Tensors of the file that were skipped on request.
    pub skipped: Vec<String>,
    /// Number of tensors converted from another floating-point type to 32 bits, and that type.
    pub converted: Option<(usize, DType)>,
    /// Number of batch-norm counters that start at zero because the file does not have them as 64-bit
    /// integers. PyTorch does the same for files that predate the counters.
    pub counters_started: usize,
}

/// Errors from loading a state dict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A field of the configuration is out of range.
    #[error(transparent)]
    Config(#[from] effnet_architecture::Error),
    /// The tensors do not match the network.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// The names are not those of an EfficientNet, or are incomplete.
    #[error(transparent)]
    Naming(#[from] NamingError),
    /// The values of a tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// The parameters of a network, checked against its configuration.
///
/// They refer to the tensors of the file, whose values are read on demand.
#[derive(Debug, Clone)]
pub struct Parameters {
    config: Config,
    tensors: HashMap<String, Tensor>,
    report: LoadReport,
}

impl Parameters {
    /// Checks a state dict, in any naming scheme, against the network of `config`.
    ///
    /// Every expected tensor must be present with the right shape, and there must be no others. With
    /// [`new_classifier`](LoadOptions::new_classifier), the result does not contain a classifier.
    ///
    /// # Errors
    /// [`LoadError::Mismatch`] with all missing, unexpected and wrongly shaped tensors, [`LoadError::Naming`]
    /// when the names are not those of a known scheme, [`LoadError::Config`] when a field of `config` is out
    /// of range.
    pub fn from_state_dict(
        config: &Config,
        state_dict: &StateDict,
        options: LoadOptions,
    ) -> Result<Self, LoadError> {
        config.validate()?;
        let dict = state_dict.to_canonical()?;
        let mut report = LoadReport {
            scheme: Scheme::recognise(state_dict.names()),
            ..LoadReport::default()
        };
        let tensors = Check {
            config,
            dict: &dict,
            options,
        }
        .run(&mut report)?;
        Ok(Self {
            config: config.clone(),
            tensors,
            report,
        })
    }

    /// Configuration of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A report of what loading did besides copying tensors.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// The tensor with this name in the original implementation, in the element type of the file. `None` for
    /// a counter that the file does not have, and for a classifier that was skipped.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The values of a floating-point tensor as 32-bit floats, borrowed if they are stored that way.
    ///
    /// # Errors
    /// [`TensorError`] when they cannot be read or are too large for 32 bits.
    ///
    /// # Panics
    /// When no tensor has this name.
    pub(crate) fn floats(&self, name: &str) -> Result<Cow<'_, [f32]>, TensorError> {
        let tensor = self.tensors.get(name);
        let tensor = tensor.unwrap_or_else(|| unreachable!("{name} was checked"));
        tensor.floats()
    }
}

struct Check<'a> {
    config: &'a Config,
    dict: &'a StateDict,
    options: LoadOptions,
}

impl Check<'_> {
    fn keeps_classifier(&self) -> bool {
        self.config.include_top && !self.options.new_classifier
    }

    /// Returns the tensors by name, or all differences.
    fn run(&self, report: &mut LoadReport) -> Result<HashMap<String, Tensor>, LoadError> {
        let expected = self.config.parameter_list();
        let mut mismatch = Mismatch::default();
        let mut tensors = HashMap::with_capacity(expected.len());
        for parameter in &expected {
            if parameter.name.starts_with(CLASSIFIER) && !self.keeps_classifier() {
                continue;
            }
            if let Some(tensor) = self.tensor(parameter, &mut mismatch, report)? {
                tensors.insert(parameter.name.clone(), tensor);
            }
        }
        self.find_unexpected(&expected, &mut mismatch, report);
        report.new_classifier = self.options.new_classifier && self.config.include_top;
        if mismatch.is_empty() {
            return Ok(tensors);
        }
        mismatch.hint = self.hint(&mismatch);
        Err(LoadError::Mismatch(Box::new(mismatch)))
    }

    fn tensor(
        &self,
        parameter: &Parameter,
        mismatch: &mut Mismatch,
        report: &mut LoadReport,
    ) -> Result<Option<Tensor>, LoadError> {
        let name = &parameter.name;
        let is_float = parameter.kind == ParameterKind::Float;
        let Some(found) = self.dict.get(name) else {
            if is_float {
                mismatch.missing.push(name.clone());
            } else {
                report.counters_started += 1;
            }
            return Ok(None);
        };
        let (expected, shape) = (&parameter.shape[..], found.shape());
        // Inference does not use counters, and people cast whole state_dicts to other types.
        if !is_float && (expected != shape || found.dtype() != DType::I64) {
            report.counters_started += 1;
            return Ok(None);
        }
        let adapts = self.options.adapt_stem && name == STEM && stem::differs_in_input_only(expected, shape);
        if !adapts && expected != shape {
            mismatch.wrong_shape.push(WrongShape {
                name: name.clone(),
                expected: expected.to_vec(),
                found: shape.to_vec(),
            });
            return Ok(None);
        }
        if is_float != found.dtype().is_float() {
            let dtype = found.dtype().to_string();
            mismatch.wrong_type.push((name.clone(), dtype));
            return Ok(None);
        }
        if is_float && found.dtype() != DType::F32 {
            let count = report.converted.map_or(0, |(count, _)| count);
            report.converted = Some((count + 1, found.dtype()));
        }
        if adapts {
            report.adapted_stem_from = Some(shape[1]);
            return Ok(Some(stem::adapt(found, expected[1])?));
        }
        Ok(Some(found.clone()))
    }

    fn find_unexpected(&self, expected: &[Parameter], mismatch: &mut Mismatch, report: &mut LoadReport) {
        let known: std::collections::HashSet<&str> =
            expected.iter().map(|parameter| parameter.name.as_str()).collect();
        for name in self.dict.names() {
            if name.starts_with(CLASSIFIER) && !self.keeps_classifier() {
                report.skipped.push(name.to_owned());
            } else if !known.contains(name) {
                mismatch.unexpected.push(name.to_owned());
            }
        }
    }

    /// Describes the likely mistake, judging by the shapes in the file.
    fn hint(&self, mismatch: &Mismatch) -> Option<String> {
        let signature = self.dict.signature().ok()?;
        let config = self.config;
        let own = Variant::ALL.into_iter().find(|variant| {
            let published = variant.config();
            published.baseline == config.baseline
                && published.width_coefficient == config.width_coefficient
                && published.depth_coefficient == config.depth_coefficient
        });
        let found = Variant::recognise(&signature);
        if let Some(found) = found
            && own != Some(found)
        {
            let own = own.map_or("another network".to_owned(), |own| own.to_string());
            return Some(format!("they belong to {found}, expected {own}"));
        }
        if mismatch
            .unexpected
            .iter()
            .any(|name| name.starts_with(CLASSIFIER))
        {
            return Some(
                "the classifier has several layers, expected one linear layer; `effnet features` and \
                 `effnet finetune` ignore it"
                    .to_owned(),
            );
        }
        if let Some(classes) = signature.num_classes
            && classes != config.num_classes
            && mismatch
                .wrong_shape
                .iter()
                .any(|wrong| wrong.name.starts_with(CLASSIFIER))
        {
            return Some(format!(
                "expected {} classes, found {classes}; set the number to {classes}, or load with a new \
                 classifier",
                config.num_classes
            ));
        }
        if signature.in_channels != config.in_channels {
            let channels = if signature.in_channels == 1 {
                "channel"
            } else {
                "channels"
            };
            return Some(format!(
                "the stem takes {} input {channels}, but the commands only run networks that take {}; a \
                 Rust program can adapt it (`LoadOptions::adapt_stem`)",
                signature.in_channels, config.in_channels
            ));
        }
        None
    }
}
