//! Knowledge distillation: training a network on the logits of a teacher.

use std::fmt::Debug;

use effnet_core::EfficientNet;
use tch::{CModule, Kind, Reduction, Tensor};

use crate::Error;

/// A trained network from which another network, the student, learns.
pub trait Teacher: Debug + Send {
    /// Computes the logits `[N, classes]` for images `[N, channels, H, W]`. The images are those of the student,
    /// augmented and normalised, on the student's device. This is called with gradients turned off, and in the
    /// precision of training.
    ///
    /// # Errors
    /// [`Error::Torch`].
    fn logits(&self, images: &Tensor) -> Result<Tensor, Error>;
}

/// A network in evaluation mode.
impl Teacher for EfficientNet {
    fn logits(&self, images: &Tensor) -> Result<Tensor, Error> {
        Ok(self.forward(images, false)?)
    }
}

/// A TorchScript module in its current mode: call `f_set_eval` first.
impl Teacher for CModule {
    fn logits(&self, images: &Tensor) -> Result<Tensor, Error> {
        Ok(self.forward_ts(&[images])?)
    }
}

/// A distillation loss in addition to the cross-entropy: the divergence of the student from the teacher.
///
/// With logits `s` and `t` and a temperature `T`, the loss is `(1 - alpha) * cross_entropy + alpha * T^2 *
/// KL(softmax(t / T) || softmax(s / T))`, with the divergence averaged over the batch (Hinton, Vinyals and Dean
/// 2015, section 2). The teacher sees the same images as the student, mixup included, which Beyer et al. (2021)
/// found to work best.
#[derive(Debug)]
pub struct Distillation {
    teacher: Box<dyn Teacher>,
    alpha: f64,
    temperature: f64,
}

impl Distillation {
    /// Distills from `teacher`. `alpha`, in `[0, 1]`, is the weight of the distillation loss; a `temperature`
    /// above 1 softens the teacher's probabilities.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn new(teacher: Box<dyn Teacher>, alpha: f64, temperature: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&alpha) {
            return Err(Error::option("alpha", "0 to 1", &alpha));
        }
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(Error::option("the temperature", "above 0", &temperature));
        }
        Ok(Self {
            teacher,
            alpha,
            temperature,
        })
    }

    /// Computes the teacher's logits, as 32-bit floats.
    pub(crate) fn teacher_logits(&self, images: &Tensor) -> Result<Tensor, Error> {
        let logits = tch::no_grad(|| self.teacher.logits(images))?;
        Ok(logits.f_to_kind(Kind::Float)?)
    }

    /// Computes the total loss, a scalar, for the student's logits `[N, classes]` and their loss `cross_entropy`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the teacher has a different number of classes, [`Error::Torch`].
    pub(crate) fn loss(
        &self,
        logits: &Tensor,
        teacher_logits: &Tensor,
        cross_entropy: &Tensor,
    ) -> Result<Tensor, Error> {
        let size = logits.size();
        if teacher_logits.size() != size {
            return Err(Error::Shape {
                what: "the batch of the teacher's logits",
                expected: format!("{size:?}"),
                found: teacher_logits.size(),
            });
        }
        let log_probabilities = |logits: &Tensor| -> Result<Tensor, Error> {
            let softened = logits.f_to_kind(Kind::Float)?.f_div_scalar(self.temperature)?;
            Ok(softened.f_log_softmax(-1, Kind::Float)?)
        };
        let images = size.first().copied().unwrap_or(1).max(1) as f64;
        let weight = self.alpha * self.temperature.powi(2) / images;
        let divergence =
            log_probabilities(logits)?.f_kl_div(&log_probabilities(teacher_logits)?, Reduction::Sum, true)?;
        Ok(cross_entropy
            .f_mul_scalar(1.0 - self.alpha)?
            .f_add(&divergence.f_mul_scalar(weight)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Constant(Vec<f32>);

    impl Teacher for Constant {
        fn logits(&self, images: &Tensor) -> Result<Tensor, Error> {
            let images = images.size()[0];
            Ok(Tensor::from_slice(&self.0)
                .f_reshape([1, -1])?
                .f_repeat([images, 1])?)
        }
    }

    fn distillation(teacher_logits: &[f32], alpha: f64, temperature: f64) -> Distillation {
        Distillation::new(Box::new(Constant(teacher_logits.to_vec())), alpha, temperature).unwrap()
    }

    fn loss(distillation: &Distillation, logits: &Tensor, cross_entropy: f64) -> Result<f64, Error> {
        let images = Tensor::zeros([logits.size()[0], 3, 4, 4], (Kind::Float, tch::Device::Cpu));
        let teacher_logits = distillation.teacher_logits(&images)?;
        let cross_entropy = Tensor::from(cross_entropy as f32);
        let loss = distillation.loss(logits, &teacher_logits, &cross_entropy)?;
        Ok(loss.f_double_value(&[])?)
    }

    fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
        let exponentials = logits.iter().map(|&logit| (f64::from(logit) / temperature).exp());
        let sum: f64 = exponentials.clone().sum();
        exponentials.map(|value| value / sum).collect()
    }

    #[test]
    fn the_loss_is_the_one_of_the_paper() {
        let (student, teacher) = ([1.0f32, -2.0, 0.5], [0.2f32, 0.1, 3.0]);
        let logits = Tensor::from_slice(&student).reshape([1, 3]).repeat([4, 1]);
        for (alpha, temperature) in [(0.0, 2.0), (0.3, 1.0), (0.9, 4.0), (1.0, 0.5)] {
            let (s, t) = (softmax(&student, temperature), softmax(&teacher, temperature));
            let divergence: f64 = t.iter().zip(&s).map(|(t, s)| t * (t / s).ln()).sum();
            let expected = (1.0 - alpha) * 1.7 + alpha * temperature.powi(2) * divergence;
            let found = loss(&distillation(&teacher, alpha, temperature), &logits, 1.7).unwrap();
            assert!(
                (found - expected).abs() < 1e-5,
                "{alpha}, {temperature}: {found}, expected {expected}"
            );
        }
    }

    #[test]
    fn gradients_reach_the_student_and_vanish_where_it_agrees() {
        let teacher_logits = [0.4f32, -1.0, 2.0];
        let gradient = |logits: &[f32]| {
            let logits = Tensor::from_slice(logits).reshape([1, 3]).set_requires_grad(true);
            let distillation = distillation(&teacher_logits, 1.0, 2.0);
            let taught = distillation
                .teacher_logits(&Tensor::zeros([1, 3, 4, 4], (Kind::Float, tch::Device::Cpu)))
                .unwrap();
            let loss = distillation
                .loss(&logits, &taught, &Tensor::from(0.0f32))
                .unwrap();
            loss.backward();
            logits.grad().abs().sum(Kind::Float).double_value(&[])
        };
        assert!(gradient(&teacher_logits) < 1e-6);
        assert!(gradient(&[2.0, 0.0, -1.0]) > 0.1);
    }

    #[test]
    fn a_teacher_of_other_classes_is_refused() {
        let logits = Tensor::zeros([2, 3], (Kind::Float, tch::Device::Cpu));
        let error = loss(&distillation(&[1.0, 2.0], 0.5, 1.0), &logits, 0.0).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("teacher") && text.contains("[2, 3]"), "{text}");
    }

    #[test]
    fn options_out_of_their_ranges_are_refused() {
        for (alpha, temperature) in [
            (-0.1, 1.0),
            (1.5, 1.0),
            (f64::NAN, 1.0),
            (0.5, 0.0),
            (0.5, f64::NAN),
        ] {
            assert!(Distillation::new(Box::new(Constant(vec![0.0])), alpha, temperature).is_err());
        }
    }
}
