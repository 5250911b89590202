//! Optimizers whose state can be saved and restored bit for bit, unlike that of tch's optimizers.

mod rms_prop_tf;

use effnet_checkpoint::StateDict;
use effnet_core::from_torch;
use libtorch_ext::foreach::{self, AdamWConstants, AdamWState, SgdConstants};
use tch::{Kind, Tensor};

use crate::restore::restore_tensors;
use crate::{Error, ParameterGroup};

/// An optimization algorithm and its hyperparameters.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum OptimizerKind {
    /// `torch.optim.SGD`, without dampening.
    Sgd {
        /// Momentum, in `[0, 1)`.
        momentum: f64,
        /// Whether to use Nesterov momentum.
        nesterov: bool,
    },
    /// `torch.optim.AdamW` (Loshchilov and Hutter 2019): Adam with decoupled weight decay.
    AdamW {
        /// Decay rates of the first- and second-moment estimates, in `[0, 1)`.
        betas: [f64; 2],
        /// Epsilon, above 0, added to the square root of the second-moment estimate.
        epsilon: f64,
    },
    /// RMSProp as in TensorFlow and the paper (timm's `RMSpropTF`): epsilon is inside the square root, averages
    /// start at one, and the momentum buffer includes the learning rate.
    RmsPropTf {
        /// Decay rate of the average of squared gradients, in `[0, 1)`; 0.9 in the paper.
        decay: f64,
        /// Momentum, in `[0, 1)`; 0.9 in the paper.
        momentum: f64,
        /// Epsilon, above 0, added to the average inside the square root; 1e-3 in the reference implementation.
        epsilon: f64,
    },
}

impl OptimizerKind {
    /// SGD with a momentum of 0.9.
    pub const SGD: Self = Self::Sgd {
        momentum: 0.9,
        nesterov: false,
    };
    /// AdamW with PyTorch's constants.
    pub const ADAM_W: Self = Self::AdamW {
        betas: [0.9, 0.999],
        epsilon: 1e-8,
    };
    /// RMSProp with the paper's constants.
    pub const RMS_PROP_TF: Self = Self::RmsPropTf {
        decay: 0.9,
        momentum: 0.9,
        epsilon: 1e-3,
    };

    /// Returns the slots of state kept for each parameter, under PyTorch's names, with their initial values.
    fn slots(self) -> Vec<(&'static str, InitialValue)> {
        match self {
            Self::Sgd { momentum: 0.0, .. } => Vec::new(),
            Self::Sgd { .. } => vec![("momentum_buffer", InitialValue::Zeros)],
            Self::AdamW { .. } => {
                vec![
                    ("exp_avg", InitialValue::Zeros),
                    ("exp_avg_sq", InitialValue::Zeros),
                    ("step", InitialValue::Count),
                ]
            }
            Self::RmsPropTf { .. } => vec![
                ("square_avg", InitialValue::Ones),
                ("momentum_buffer", InitialValue::Zeros),
            ],
        }
    }

    /// Returns this algorithm with another momentum, or first beta. SGD without momentum stays without: it has no
    /// buffers.
    fn with_momentum(self, momentum: f64) -> Self {
        match self {
            Self::Sgd { momentum: 0.0, .. } => self,
            Self::Sgd { nesterov, .. } => Self::Sgd { momentum, nesterov },
            Self::AdamW {
                betas: [_, second],
                epsilon,
            } => Self::AdamW {
                betas: [momentum, second],
                epsilon,
            },
            Self::RmsPropTf { decay, epsilon, .. } => Self::RmsPropTf {
                decay,
                momentum,
                epsilon,
            },
        }
    }

    fn validate(self) -> Result<(), Error> {
        let (decays, epsilon) = match self {
            Self::Sgd { momentum, .. } => ([momentum, 0.0], 1.0),
            Self::AdamW { betas, epsilon } => (betas, epsilon),
            Self::RmsPropTf {
                decay,
                momentum,
                epsilon,
            } => ([decay, momentum], epsilon),
        };
        for decay in decays {
            if !(0.0..1.0).contains(&decay) {
                let expected = "0 or more, less than 1";
                return Err(Error::option(
                    "a momentum or decay of the optimizer",
                    expected,
                    &decay,
                ));
            }
        }
        if epsilon > 0.0 && epsilon.is_finite() {
            return Ok(());
        }
        Err(Error::option("the optimizer's epsilon", "above 0", &epsilon))
    }
}

/// The initial value of a slot.
#[derive(Debug, Clone, Copy)]
enum InitialValue {
    Zeros,
    Ones,
    /// A step count instead of a tensor shaped like the parameter.
    Count,
}

impl InitialValue {
    fn tensor(self, parameter: &Tensor) -> Result<Tensor, Error> {
        let parameter = parameter.f_detach()?;
        Ok(match self {
            Self::Zeros => parameter.f_zeros_like()?,
            Self::Ones => parameter.f_ones_like()?,
            Self::Count => Tensor::f_zeros([0i64; 0], (Kind::Float, parameter.device()))?,
        })
    }
}

/// A group's parameters and their state, as parallel lists.
#[derive(Debug)]
struct Group {
    names: Vec<String>,
    rate_scale: f64,
    weight_decay: f64,
    lists: Lists,
}

/// The parameters, and one list of state per slot.
#[derive(Debug)]
struct Lists {
    parameters: Vec<Tensor>,
    slots: Vec<Vec<Tensor>>,
}

impl Lists {
    /// Returns the entries that have a gradient, and the gradients in the memory layout of their parameters.
    fn with_gradients(&self) -> Result<(Self, Vec<Tensor>), Error> {
        let mut gradients = Vec::with_capacity(self.parameters.len());
        let mut taken = Self {
            parameters: Vec::new(),
            slots: self.slots.iter().map(|_| Vec::new()).collect(),
        };
        for (index, parameter) in self.parameters.iter().enumerate() {
            let gradient = parameter.f_grad()?;
            if !gradient.defined() {
                continue;
            }
            gradients.push(laid_out_like(parameter, gradient)?);
            taken.parameters.push(parameter.shallow_clone());
            for (slot, list) in taken.slots.iter_mut().zip(&self.slots) {
                slot.push(list[index].shallow_clone());
            }
        }
        Ok((taken, gradients))
    }
}

fn laid_out_like(parameter: &Tensor, gradient: Tensor) -> Result<Tensor, Error> {
    if gradient.stride() == parameter.stride() {
        return Ok(gradient);
    }
    let mut copy = parameter.f_detach()?.f_empty_like()?;
    copy.f_copy_(&gradient)?;
    Ok(copy)
}

/// An optimizer over groups of parameters.
///
/// ```no_run
/// # use effnet_train::{Optimizer, OptimizerKind, ParamGroupOptions};
/// # fn one(network: &effnet_core::EfficientNet, loss: &tch::Tensor) -> Result<(), effnet_train::Error> {
/// let mut optimizer = Optimizer::new(OptimizerKind::SGD, ParamGroupOptions::default().apply(network)?)?;
/// optimizer.clear_gradients()?;
/// loss.backward();
/// optimizer.step(0.1)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    groups: Vec<Group>,
}

impl Optimizer {
    /// Creates an optimizer with a fresh state.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], [`Error::Torch`] when memory runs out.
    pub fn new(kind: OptimizerKind, groups: Vec<ParameterGroup>) -> Result<Self, Error> {
        kind.validate()?;
        let group = |group: ParameterGroup| -> Result<Group, Error> {
            let (names, parameters): (Vec<_>, Vec<_>) = group.parameters.into_iter().unzip();
            let slots = kind.slots().into_iter().map(|(_, start)| {
                let tensors = parameters.iter().map(|parameter| start.tensor(parameter));
                tensors.collect::<Result<_, Error>>()
            });
            let lists = Lists {
                slots: slots.collect::<Result<_, _>>()?,
                parameters,
            };
            let (rate_scale, weight_decay) = (group.rate_scale, group.weight_decay);
            Ok(Group {
                names,
                rate_scale,
                weight_decay,
                lists,
            })
        };
        let groups = groups.into_iter().map(group).collect::<Result<_, _>>()?;
        Ok(Self { kind, groups })
    }

    /// The algorithm.
    pub fn kind(&self) -> OptimizerKind {
        self.kind
    }

    /// Iterates over the parameters of all groups.
    pub fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        self.groups.iter().flat_map(|group| &group.lists.parameters)
    }

    /// Returns all defined gradients, for [`global_norm`](crate::global_norm) and
    /// [`clip_to_norm`](crate::clip_to_norm).
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub fn gradients(&self) -> Result<Vec<Tensor>, Error> {
        let gradients = self
            .parameters()
            .map(Tensor::f_grad)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(gradients.into_iter().filter(Tensor::defined).collect())
    }

    /// Drops all gradients. Call this before the backward pass of a step.
    ///
    /// # Errors
    /// [`Error::Native`].
    pub fn clear_gradients(&mut self) -> Result<(), Error> {
        for group in &self.groups {
            foreach::clear_gradients(&group.lists.parameters)?;
        }
        Ok(())
    }

    /// Updates every parameter that has a gradient. Its learning rate is `rate` times its group's factor.
    ///
    /// # Errors
    /// [`Error::Native`], [`Error::Torch`].
    pub fn step(&mut self, rate: f64) -> Result<(), Error> {
        self.step_with_momentum(rate, None)
    }

    /// [`step`](Self::step) with this momentum, or first beta of AdamW, instead of that of [`kind`](Self::kind), such as
    /// [`Schedule::momentum`](crate::Schedule::momentum) of the step. SGD without momentum ignores it.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a momentum that is not in `[0, 1)`, [`Error::Native`], [`Error::Torch`].
    pub fn step_with_momentum(&mut self, rate: f64, momentum: Option<f64>) -> Result<(), Error> {
        let kind = momentum.map_or(self.kind, |momentum| self.kind.with_momentum(momentum));
        kind.validate()?;
        tch::no_grad(|| {
            for group in &self.groups {
                let (lists, gradients) = group.lists.with_gradients()?;
                if !gradients.is_empty() {
                    update_group(
                        kind,
                        &lists,
                        &gradients,
                        rate * group.rate_scale,
                        group.weight_decay,
                    )?;
                }
            }
            Ok(())
        })
    }

    /// Iterates over the slots of all parameters, with names such as `_fc.weight.momentum_buffer`.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let slot_names: Vec<&str> = self.kind.slots().into_iter().map(|(name, _)| name).collect();
        self.groups.iter().flat_map(move |group| {
            let named = slot_names.clone().into_iter().zip(&group.lists.slots);
            named.flat_map(|(slot, tensors)| {
                let own = group.names.iter().zip(tensors);
                own.map(move |(name, tensor)| (format!("{name}.{slot}"), tensor))
            })
        })
    }

    /// Copies the optimizer's state, under names such as `_fc.weight.momentum_buffer`.
    ///
    /// # Errors
    /// [`Error::Network`] when memory runs out.
    pub fn state_dict(&self) -> Result<StateDict, Error> {
        self.slots()
            .map(|(name, tensor)| Ok((name, from_torch(tensor)?)))
            .collect()
    }

    /// Restores a [`state_dict`](Self::state_dict), bit for bit.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] if the names or shapes do not match these parameters, in which case nothing is
    /// changed.
    pub fn load_state_dict(&mut self, state: &StateDict) -> Result<(), Error> {
        restore_tensors(self.slots(), state, "the optimizer's state")
    }
}

/// Takes a step of the algorithm for the parameters of a group.
fn update_group(
    kind: OptimizerKind,
    lists: &Lists,
    gradients: &[Tensor],
    lr: f64,
    weight_decay: f64,
) -> Result<(), Error> {
    let parameters = lists.parameters.as_slice();
    match (kind, lists.slots.as_slice()) {
        (OptimizerKind::AdamW { betas, epsilon }, [exp_avgs, exp_avg_sqs, steps]) => {
            foreach::add_number(steps, 1.0)?;
            let state = AdamWState {
                exp_avgs,
                exp_avg_sqs,
                steps,
            };
            let constants = AdamWConstants {
                lr,
                betas,
                weight_decay,
                epsilon,
            };
            foreach::fused_adamw(parameters, gradients, state, constants)?;
        }
        (
            OptimizerKind::RmsPropTf {
                decay,
                momentum,
                epsilon,
            },
            [square_avgs, buffers],
        ) => {
            let constants = rms_prop_tf::Constants {
                lr,
                decay,
                momentum,
                epsilon,
                weight_decay,
            };
            rms_prop_tf::step(parameters, gradients, square_avgs, buffers, constants)?;
        }
        (OptimizerKind::Sgd { momentum, nesterov }, buffers) => {
            let constants = SgdConstants {
                lr,
                momentum,
                nesterov,
                weight_decay,
            };
            let buffers = buffers.first().map_or(&[][..], Vec::as_slice);
            foreach::fused_sgd(parameters, gradients, buffers, constants)?;
        }
        // Unreachable: `new` created the slots for this kind.
        _ => {}
    }
    Ok(())
}
