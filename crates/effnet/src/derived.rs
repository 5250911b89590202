//! Networks derived from weight files: the average of several, and one whose probabilities are calibrated.
//!
//! Both change nothing but the values of the parameters, so the result is an ordinary weight file, which every other
//! command and every other library runs as it is.

use std::path::PathBuf;

use effnet_architecture::{ParameterKind, Task};
use effnet_checkpoint::{StateDict, Tensor, TensorError};

use crate::network_tensors::scaled_outputs;
use crate::{Error, LoadError, ModelFile, ModelMetadata, Parameters};

/// The weights of a derived network, and what its file says about them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DerivedWeights {
    /// The parameters under their names in the original implementation.
    pub state_dict: StateDict,
    /// Variant, profile, class names and preprocessing.
    pub metadata: ModelMetadata,
}

/// Errors from deriving a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeriveError {
    /// An average needs at least two networks.
    #[error("an average needs at least two networks, found {found}")]
    TooFew {
        /// The number of networks.
        found: usize,
    },
    /// The networks are not of one kind.
    #[error(
        "{}: expected the same {what} as {}, {expected}, found {found}; only networks for the same task can be averaged",
        path.display(),
        first.display()
    )]
    Differs {
        /// The file that differs from the first one.
        path: PathBuf,
        /// The first file.
        first: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the first file has.
        expected: String,
        /// What this file has.
        found: String,
    },
    /// A temperature has to be a positive number, and the network has to have classes.
    #[error("expected a network for classify and a positive temperature, found {task} and {temperature}")]
    Temperature {
        /// What the network was trained for.
        task: Task,
        /// The temperature.
        temperature: f64,
    },
    /// A file does not hold a complete network.
    #[error(transparent)]
    File(#[from] Error),
    /// The classifier cannot be changed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The values of a tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Networks with the same classes, whose weights can be averaged.
#[derive(Debug)]
pub struct WeightAverage {
    parameters: Vec<Parameters>,
    metadata: ModelMetadata,
}

impl WeightAverage {
    /// Checks that the networks of these files, from [`ModelFile::inspect`], have the same shape, classes, profile and
    /// preprocessing.
    ///
    /// # Errors
    /// [`DeriveError::TooFew`], [`DeriveError::Differs`], and [`DeriveError::File`] for an incomplete network.
    pub fn new(files: &[ModelFile]) -> Result<Self, DeriveError> {
        let [first, others @ ..] = files else {
            return Err(DeriveError::TooFew { found: 0 });
        };
        if others.is_empty() {
            return Err(DeriveError::TooFew { found: 1 });
        }
        for other in others {
            check_same(first, other)?;
        }
        let mut metadata = first.complete_metadata();
        for other in others {
            metadata.labels = metadata.labels.or_else(|| other.metadata.labels.clone());
        }
        metadata.thresholds = mean_thresholds(files);
        let parameters = files.iter().map(|file| of_scale(file, &metadata));
        Ok(Self {
            parameters: parameters.collect::<Result<_, _>>()?,
            metadata,
        })
    }

    /// Returns the mean of each parameter and of each batch-norm statistic, summed in 64 bits. Batch-norm counters are
    /// those of the first file.
    ///
    /// # Errors
    /// [`DeriveError::Tensor`] for values that cannot be read.
    pub fn mean(&self) -> Result<DerivedWeights, DeriveError> {
        let mut state_dict = StateDict::new();
        for parameter in self.config().parameter_list() {
            let tensors = self.tensors(&parameter.name);
            let Some(first) = tensors.first() else { continue };
            let mean = match parameter.kind {
                ParameterKind::Float => mean(&tensors)?,
                _ => (*first).clone(),
            };
            state_dict.insert(parameter.name, mean);
        }
        Ok(DerivedWeights {
            state_dict,
            metadata: self.metadata.clone(),
        })
    }

    /// Returns the smallest cosine similarity of the convolutions of the first network and another one, from -1 to 1.
    ///
    /// Networks that were fine-tuned from the same weights are close to 1. For networks that were trained from
    /// different random weights it is close to 0; their average is not a working network (Wortsman et al., Model soups,
    /// arXiv:2203.05482).
    ///
    /// # Errors
    /// [`DeriveError::Tensor`] for values that cannot be read.
    pub fn similarity(&self) -> Result<f64, DeriveError> {
        let mut products = vec![[0.0_f64; 3]; self.parameters.len()];
        for parameter in self.config().parameter_list() {
            if parameter.shape.len() != 4 {
                continue;
            }
            let tensors = self.tensors(&parameter.name);
            let Some(first) = tensors.first().map(|first| first.floats()).transpose()? else {
                continue;
            };
            for (sums, tensor) in products.iter_mut().zip(&tensors) {
                for (&a, &b) in first.iter().zip(tensor.floats()?.iter()) {
                    let (a, b) = (f64::from(a), f64::from(b));
                    *sums = [sums[0] + a * b, sums[1] + a * a, sums[2] + b * b];
                }
            }
        }
        let cosine = |[product, a, b]: [f64; 3]| product / (a * b).sqrt();
        Ok(products.into_iter().map(cosine).fold(1.0, f64::min))
    }

    fn config(&self) -> &effnet_architecture::Config {
        self.parameters[0].config()
    }

    /// Returns this tensor of each network that has it.
    fn tensors(&self, name: &str) -> Vec<&Tensor> {
        self.parameters
            .iter()
            .filter_map(|network| network.get(name))
            .collect()
    }
}

impl DerivedWeights {
    /// Divides the logits of a network by a temperature above 1, which makes its probabilities less certain, or below 1
    /// (temperature scaling; Guo et al., arXiv:1706.04599). The classifier is scaled, so that the file gives calibrated
    /// probabilities wherever it is run. The order of the classes does not change.
    ///
    /// # Errors
    /// [`DeriveError::Temperature`], and [`DeriveError::File`] for an incomplete network.
    pub fn calibrated(file: &ModelFile, temperature: f64) -> Result<Self, DeriveError> {
        let task = file.task();
        if task != Task::Classify || !(temperature > 0.0 && temperature.is_finite()) {
            return Err(DeriveError::Temperature { task, temperature });
        }
        let parameters = file.all_parameters()?;
        let classes = file.num_classes();
        let tensors = in_order(&parameters);
        Ok(Self {
            state_dict: scaled_outputs(&tensors, &vec![0.0; classes], &vec![1.0 / temperature; classes])?,
            metadata: file.complete_metadata(),
        })
    }
}

fn check_same(first: &ModelFile, other: &ModelFile) -> Result<(), DeriveError> {
    let differs = |what, expected: String, found: String| DeriveError::Differs {
        path: other.path().to_owned(),
        first: first.path().to_owned(),
        what,
        expected,
        found,
    };
    let check = |what, expected: &dyn ToString, found: &dyn ToString| {
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected == found {
            return Ok(());
        }
        Err(differs(what, expected, found))
    };
    check("network", &first.variant, &other.variant)?;
    check("profile", &first.profile, &other.profile)?;
    check("task", &first.task(), &other.task())?;
    check("number of classes", &first.num_classes(), &other.num_classes())?;
    let (a, b) = (first.complete_metadata(), other.complete_metadata());
    if let (Some(a), Some(b)) = (&a.labels, &b.labels)
        && let Some(class) = a.iter().zip(b).position(|(a, b)| a != b)
    {
        return Err(differs(
            "class names in the same order",
            a[class].clone(),
            b[class].clone(),
        ));
    }
    let (a, b) = (a.to_entries(), b.to_entries());
    for key in [
        "image_size",
        "crop_pct",
        "resize_size",
        "crop_mode",
        "interpolation",
        "mean",
        "std",
    ] {
        if let (Some(a), Some(b)) = (a.get(key), b.get(key)) {
            check(key, a, b)?;
        }
    }
    Ok(())
}

/// Returns the mean of the thresholds; `None` unless all files have them.
fn mean_thresholds(files: &[ModelFile]) -> Option<Vec<f64>> {
    let all: Option<Vec<&Vec<f64>>> = files
        .iter()
        .map(|file| file.metadata.thresholds.as_ref())
        .collect();
    let all = all?;
    let classes = all.first()?.len();
    let mean = |class: usize| all.iter().map(|one| one[class]).sum::<f64>() / all.len() as f64;
    Some((0..classes).map(mean).collect())
}

/// Returns the parameters of a file. Networks for regression that standardise their values differently get the scale of
/// `metadata`.
fn of_scale(file: &ModelFile, metadata: &ModelMetadata) -> Result<Parameters, DeriveError> {
    let parameters = file.all_parameters()?;
    let (Some([mean, std]), Some([own_mean, own_std])) = (&metadata.targets, &file.metadata.targets) else {
        return Ok(parameters);
    };
    if (mean, std) == (own_mean, own_std) {
        return Ok(parameters);
    }
    let scales: Vec<f64> = own_std.iter().zip(std).map(|(own, std)| own / std).collect();
    let offsets = own_mean.iter().zip(mean).zip(std);
    let offsets: Vec<f64> = offsets.map(|((own, mean), std)| (own - mean) / std).collect();
    let scaled = scaled_outputs(&in_order(&parameters), &offsets, &scales)?;
    Ok(Parameters::from_state_dict(
        parameters.config(),
        &scaled,
        crate::LoadOptions::default(),
    )?)
}

/// Returns the tensors in the order of the network.
fn in_order(parameters: &Parameters) -> StateDict {
    let names = parameters.config().parameter_list().into_iter();
    names
        .filter_map(|parameter| Some((parameter.name.clone(), parameters.get(&parameter.name)?.clone())))
        .collect()
}

fn mean(tensors: &[&Tensor]) -> Result<Tensor, TensorError> {
    let Some(first) = tensors.first() else {
        unreachable!("there is a first tensor");
    };
    let mut sums = vec![0.0_f64; first.numel()];
    for tensor in tensors {
        for (sum, &value) in sums.iter_mut().zip(tensor.floats()?.iter()) {
            *sum += f64::from(value);
        }
    }
    let count = tensors.len() as f64;
    Tensor::from_floats(first.shape(), sums.iter().map(|sum| (sum / count) as f32))
}
