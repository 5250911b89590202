//! Filling a network from a state dict, strictly.

use effnet_checkpoint::{DType, Scheme, StateDict, Tensor as FileTensor};
use tch::{Kind, Tensor, nn};

use crate::error::{Mismatch, WrongShape};
use crate::init::Init;
use crate::tensors::to_torch;
use crate::{Config, EfficientNet, Error, Variant};

const STEM: &str = "_conv_stem.weight";
const CLASSIFIER: &str = "_fc.";
const COUNTER: &str = "num_batches_tracked";

/// Where loading may depart from "every tensor, with exactly its shape".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Leave the file's classifier aside and draw a new one, whatever the number of classes.
    pub new_classifier: bool,
    /// Where the network has another number of input channels than the file, make its stem from
    /// the file's kernels: summed for one channel, repeated in turn and rescaled for more (as
    /// timm's `adapt_input_conv` does), so that a grey image gives the activations it gave as RGB.
    pub adapt_stem: bool,
}

/// What loading did beside copying.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The naming scheme of the state dict.
    pub scheme: Option<Scheme>,
    /// A new classifier was drawn.
    pub new_classifier: bool,
    /// The stem was made from one with this many input channels.
    pub adapted_stem_from: Option<i64>,
    /// Tensors of the file that were left aside on request.
    pub left_aside: Vec<String>,
    /// Tensors that were converted from another floating-point type, with that type.
    pub converted: Option<(usize, DType)>,
    /// BN counters that the file lacks and that start at zero, as in PyTorch for files that
    /// predate them.
    pub counters_started: usize,
}

impl EfficientNet {
    /// Builds a network under `path` and fills it from a state dict in any of the three naming
    /// schemes.
    ///
    /// # Errors
    /// As [`EfficientNet::new`] and [`EfficientNet::load`]. After an error the variables under
    /// `path` exist with no defined values: drop the store.
    pub fn from_state_dict(
        path: &nn::Path<'_>,
        config: &Config,
        state_dict: &StateDict,
        options: LoadOptions,
    ) -> Result<(Self, LoadReport), Error> {
        let mut network = Self::build(path, config, Init::Unfilled)?;
        let report = network.load(state_dict, options)?;
        Ok((network, report))
    }

    /// Copies a state dict, in any of the three naming schemes, into the network's parameters.
    ///
    /// Strict: nothing is copied unless every tensor fits. Nothing is broadcast. Floating-point
    /// tensors of another type than the network's are converted, and the report says so.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with all missing, unexpected and wrongly shaped tensors,
    /// [`Error::Naming`] when the names are of no known scheme.
    pub fn load(&mut self, state_dict: &StateDict, options: LoadOptions) -> Result<LoadReport, Error> {
        let canonical = state_dict.to_canonical()?;
        let scheme = Scheme::recognise(state_dict.names());
        let mut report = LoadReport {
            scheme,
            ..LoadReport::default()
        };
        let plan = self.plan(&canonical, options, &mut report)?;
        for (name, tensor) in self.named_tensors() {
            if name.ends_with(COUNTER) && !canonical.contains(name) {
                // The network may have counted batches of a training that these weights are not of.
                let _ = tensor.shallow_clone().f_zero_()?;
            }
        }
        for (target, source) in plan {
            let mut target = target;
            fill(&mut target, source, &mut report)?;
        }
        if options.new_classifier && self.config().include_top {
            self.reset_classifier(self.config().num_classes)?;
            report.new_classifier = true;
        }
        Ok(report)
    }

    /// Pairs each tensor of the network with the file's, or lists everything that differs.
    fn plan<'d>(
        &self,
        dict: &'d StateDict,
        options: LoadOptions,
        report: &mut LoadReport,
    ) -> Result<Vec<(Tensor, &'d FileTensor)>, Error> {
        let keeps_classifier = self.config().include_top && !options.new_classifier;
        let mut mismatch = Mismatch::default();
        let mut plan = Vec::with_capacity(dict.len());
        for (name, target) in self.named_tensors() {
            if name.starts_with(CLASSIFIER) && !keeps_classifier {
                continue;
            }
            let Some(source) = dict.get(name) else {
                if name.ends_with(COUNTER) {
                    report.counters_started += 1;
                } else {
                    mismatch.missing.push(name.to_owned());
                }
                continue;
            };
            let found: Vec<i64> = source.shape().iter().map(|&side| side as i64).collect();
            let expected = target.size();
            let adapts = options.adapt_stem && name == STEM && differs_in_input_only(&expected, &found);
            if adapts {
                report.adapted_stem_from = Some(found[1]);
            } else if expected != found {
                mismatch.wrong_shape.push(WrongShape {
                    name: name.to_owned(),
                    expected,
                    found,
                });
                continue;
            }
            if target.is_floating_point() != source.dtype().is_float() {
                mismatch
                    .wrong_type
                    .push((name.to_owned(), source.dtype().to_string()));
                continue;
            }
            plan.push((target.shallow_clone(), source));
        }
        self.find_unexpected(dict, keeps_classifier, &mut mismatch, report);
        if mismatch.is_empty() {
            return Ok(plan);
        }
        mismatch.hint = self.hint(dict, &mismatch);
        Err(Error::Mismatch(Box::new(mismatch)))
    }

    fn find_unexpected(
        &self,
        dict: &StateDict,
        keeps_classifier: bool,
        mismatch: &mut Mismatch,
        report: &mut LoadReport,
    ) {
        let own: std::collections::HashSet<&str> = self.named_tensors().map(|(name, _)| name).collect();
        for name in dict.names() {
            if name.starts_with(CLASSIFIER) && !keeps_classifier {
                report.left_aside.push(name.to_owned());
            } else if !own.contains(name) {
                mismatch.unexpected.push(name.to_owned());
            }
        }
    }

    /// What a user probably did, told from the shapes in the file.
    fn hint(&self, dict: &StateDict, mismatch: &Mismatch) -> Option<String> {
        let signature = dict.signature().ok()?;
        let config = self.config();
        let own = Variant::ALL.into_iter().find(|variant| {
            let published = variant.config();
            published.width_coefficient == config.width_coefficient
                && published.depth_coefficient == config.depth_coefficient
        });
        let found = Variant::recognise(&signature);
        if let (Some(found), own) = (found, own)
            && own != Some(found)
        {
            let own = own.map_or("another network".to_owned(), |own| own.to_string());
            return Some(format!("they are those of {found}, expected {own}"));
        }
        if let Some(classes) = signature.num_classes
            && classes as i64 != config.num_classes
            && mismatch
                .wrong_shape
                .iter()
                .any(|wrong| wrong.name.starts_with(CLASSIFIER))
        {
            return Some(format!(
                "they have {classes} classes, expected {}; set the number of classes to {classes}, or \
                 ask for a new classifier",
                config.num_classes
            ));
        }
        if signature.in_channels as i64 != config.in_channels {
            return Some(format!(
                "they have {} input channels, expected {}; ask for an adapted stem",
                signature.in_channels, config.in_channels
            ));
        }
        None
    }
}

fn differs_in_input_only(expected: &[i64], found: &[i64]) -> bool {
    expected.len() == 4
        && found.len() == 4
        && found[1] > 0
        && expected[1] != found[1]
        && expected[0] == found[0]
        && expected[2..] == found[2..]
}

/// Puts the file's numbers into one tensor of the network.
fn fill(target: &mut Tensor, source: &FileTensor, report: &mut LoadReport) -> Result<(), Error> {
    let mut loaded = to_torch(source)?;
    if loaded.kind() != target.kind() && loaded.is_floating_point() {
        let count = report.converted.map_or(0, |(count, _)| count);
        report.converted = Some((count + 1, source.dtype()));
    }
    if loaded.size() != target.size() {
        loaded = adapt_stem(&loaded, target.size()[1])?;
    }
    let loaded = loaded.f_to_device(target.device())?.f_to_kind(target.kind())?;
    // Swaps the storage behind the variable instead of copying once more.
    target.set_data(&loaded);
    Ok(())
}

/// Kernels `[O, C, k, k]` for `channels` input channels from kernels for another number.
fn adapt_stem(kernels: &Tensor, channels: i64) -> Result<Tensor, Error> {
    let kernels = kernels.f_to_kind(Kind::Float)?;
    let given = kernels.size()[1];
    if channels == 1 {
        return Ok(kernels.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?);
    }
    let times = (channels + given - 1) / given;
    let repeated = kernels.f_repeat([1, times, 1, 1])?.f_narrow(1, 0, channels)?;
    Ok(repeated
        .f_mul_scalar(given as f64 / channels as f64)?
        .f_contiguous()?)
}
