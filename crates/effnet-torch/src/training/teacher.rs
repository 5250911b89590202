//! `--teacher`: opens the network to distill from, an EfficientNet or a TorchScript file.
//!
//! A teacher with different classes or a different output would make the whole run worthless, so the teacher
//! is tried out before the first step.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use effnet::{
    LoadOptions, ModelFile, ModelOptions, PreprocessingOverrides, Weights, WeightsContent, Zoo, transform,
};
use effnet_checkpoint::{Checkpoint, ErrorKind};
use effnet_cli::DownloadProgress;
use effnet_core::EfficientNet;
use effnet_image::EvalTransform;
use effnet_train::{Distillation, Error, Teacher};
use tch::{CModule, Device, Kind, Tensor, nn};

use effnet_cli::Printer;
use effnet_cli::training::settings::Settings;

/// The weights or script of a teacher.
pub(super) struct TeacherFile {
    /// The value of `--teacher`.
    name: String,
    /// The digest of the file.
    pub(super) sha256: String,
    network: Network,
    /// The number of classes of the student.
    classes: usize,
}

enum Network {
    /// An EfficientNet, and its preprocessing.
    Weights(Box<ModelFile>, EvalTransform),
    /// A TorchScript file, as written by `torch.jit.save`.
    Script(PathBuf),
}

impl TeacherFile {
    /// Opens the teacher named by `settings`, downloading it if necessary; `None` if there is no teacher.
    pub(super) fn open(
        settings: &Settings,
        classes: &[String],
        zoo: &Zoo,
        printer: &Printer,
    ) -> anyhow::Result<Option<Self>> {
        let Some(name) = settings.teacher() else {
            return Ok(None);
        };
        let open = || -> anyhow::Result<Self> {
            let found = zoo.locate_one(name, &mut DownloadProgress::new(printer))?;
            // This precedes computing the digest, because opening the file gives the better error message.
            let script = match &found.content {
                WeightsContent::File(path) if is_script(path)? => Some(path.clone()),
                _ => None,
            };
            let sha256 = found.sha256()?;
            let network = match script {
                Some(path) => Network::Script(path),
                None => weights(found, classes, zoo)?,
            };
            Ok(Self {
                name: name.to_owned(),
                sha256,
                network,
                classes: classes.len(),
            })
        };
        open().map(Some).with_context(|| {
            format!("--teacher {name}: cannot be used; pass another file, run folder or weight id")
        })
    }

    /// Returns the line about the teacher that is printed before training.
    pub(super) fn describe(&self) -> String {
        match &self.network {
            Network::Weights(file, _) => format!("teacher: {}, {}", self.name, file.variant),
            Network::Script(_) => format!("teacher: {}, TorchScript", self.name),
        }
    }

    /// Loads the teacher for a student with the preprocessing `student`.
    pub(super) fn distillation(
        &self,
        settings: &Settings,
        student: &EvalTransform,
        device: Device,
    ) -> anyhow::Result<Distillation> {
        let teacher: Box<dyn Teacher> = match &self.network {
            Network::Weights(file, transform) => {
                let network = network(file, self.classes, device)?;
                Box::new(Renormalised::new(network, student, transform, device)?)
            }
            Network::Script(path) => {
                // Profiling would compile kernels for the shapes of the first batches, which takes ten
                // seconds on a GPU.
                tch::jit::f_set_profiling_mode(false)?;
                let mut script = CModule::load_on_device(path, device)
                    .with_context(|| format!("{}: cannot be loaded as TorchScript", path.display()))?;
                // A script saved in training mode would use dropout and update its batch-norm statistics.
                script.f_set_eval()?;
                Box::new(script)
            }
        };
        self.try_out(teacher.as_ref(), student.image_size as i64, device)
            .with_context(|| format!("--teacher {}: cannot be used as a teacher here", self.name))?;
        let (alpha, temperature) = (settings.distillation_alpha, settings.distillation_tau);
        Ok(Distillation::new(teacher, alpha, temperature)?)
    }

    /// Checks the shape of the teacher's logits before training.
    fn try_out(&self, teacher: &dyn Teacher, side: i64, device: Device) -> anyhow::Result<()> {
        let images = Tensor::f_zeros([2, 3, side, side], (Kind::Float, device))?;
        let answers = tch::no_grad(|| teacher.logits(&images))?;
        let expected = [2, self.classes as i64];
        ensure!(
            answers.size() == expected,
            "for 2 images it returned the shape {:?}, expected logits {expected:?}",
            answers.size()
        );
        Ok(())
    }
}

/// Returns whether the file is a TorchScript archive. It is an error if the file is not a checkpoint either.
/// No code in the file is executed.
fn is_script(path: &Path) -> anyhow::Result<bool> {
    match Checkpoint::open(path) {
        Ok(_) => Ok(false),
        Err(error) if matches!(error.kind(), ErrorKind::TorchScript { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Opens an EfficientNet trained on `classes`.
fn weights(found: Weights, classes: &[String], zoo: &Zoo) -> anyhow::Result<Network> {
    let file = ModelFile::inspect(found, &ModelOptions::default())?;
    let path = file.path().display();
    ensure!(
        file.num_classes() == classes.len(),
        "{path}: has {} classes, expected {}, as in the images",
        file.num_classes(),
        classes.len()
    );
    let labels = file.metadata.labels.iter().flatten();
    if let Some((number, (label, class))) = labels.zip(classes).enumerate().find(|(_, (a, b))| a != b) {
        bail!("{path}: its class {number} is {label}, expected {class}, as in the images");
    }
    let transform = transform(&PreprocessingOverrides::default(), &file, &zoo.manifest)?;
    Ok(Network::Weights(Box::new(file), transform))
}

fn network(file: &ModelFile, classes: usize, device: Device) -> anyhow::Result<EfficientNet> {
    let mut store = nn::VarStore::new(device);
    let parameters = file.parameters(&file.config(classes), LoadOptions::default())?;
    let network = EfficientNet::from_parameters(&store.root(), &parameters)
        .with_context(|| file.path().display().to_string())?;
    store.freeze();
    Ok(network)
}

/// A teacher that renormalises the student's images to its own mean and standard deviation.
#[derive(Debug)]
struct Renormalised {
    network: EfficientNet,
    /// `[1, 3, 1, 1]`.
    factor: Tensor,
    offset: Tensor,
}

impl Renormalised {
    fn new(
        network: EfficientNet,
        student: &EvalTransform,
        own: &EvalTransform,
        device: Device,
    ) -> anyhow::Result<Self> {
        let channels = |value: &dyn Fn(usize) -> f32| -> anyhow::Result<Tensor> {
            let values = Tensor::f_from_slice(&[value(0), value(1), value(2)])?;
            Ok(values.f_reshape([1, 3, 1, 1])?.f_to_device(device)?)
        };
        Ok(Self {
            network,
            factor: channels(&|c| student.std[c] / own.std[c])?,
            offset: channels(&|c| (student.mean[c] - own.mean[c]) / own.std[c])?,
        })
    }
}

impl Teacher for Renormalised {
    fn logits(&self, images: &Tensor) -> Result<Tensor, Error> {
        self.network
            .logits(&images.f_mul(&self.factor)?.f_add(&self.offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet_core::{Config, Variant};
    use effnet_image::{Interpolation, ResizeMode};

    fn transform(mean: [f32; 3], std: [f32; 3]) -> EvalTransform {
        EvalTransform {
            image_size: 64,
            resize: ResizeMode::CropPct(1.0),
            interpolation: Interpolation::Bicubic,
            mean,
            std,
        }
    }

    #[test]
    fn a_teacher_sees_the_image_in_its_own_normalisation() {
        tch::manual_seed(1);
        let store = nn::VarStore::new(Device::Cpu);
        let config = Config::new(Variant::B0).with_num_classes(3);
        let network = EfficientNet::new(&store.root(), &config).unwrap();
        let image = Tensor::rand([2, 3, 64, 64], (Kind::Float, Device::Cpu));
        let normalised = |transform: &EvalTransform| {
            let channels = |values: [f32; 3]| Tensor::from_slice(&values).reshape([1, 3, 1, 1]);
            (&image - channels(transform.mean)) / channels(transform.std)
        };
        let student = transform([0.5, 0.4, 0.3], [0.5, 0.6, 0.7]);
        let own = transform([0.1, 0.2, 0.3], [0.2, 0.3, 0.9]);
        let expected = tch::no_grad(|| network.forward(&normalised(&own), false)).unwrap();
        let teacher = Renormalised::new(network, &student, &own, Device::Cpu).unwrap();
        let found = tch::no_grad(|| teacher.logits(&normalised(&student))).unwrap();
        let worst = (found - &expected).abs().max().double_value(&[]);
        assert!(
            worst < 1e-4 * expected.abs().max().double_value(&[]).max(1.0),
            "{worst}"
        );
    }
}
