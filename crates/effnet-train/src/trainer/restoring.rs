//! [`Trainer::state`] and [`Trainer::restore`]: the exact state between two steps.

use super::{Position, Trainer, TrainerState};
use crate::network::state_dict;
use crate::restore::restore_tensors;
use crate::{Error, Network};

impl<N: Network> Trainer<N> {
    /// Copies everything that [`restore`](Self::restore) needs.
    ///
    /// # Errors
    /// [`Error::Network`] when memory runs out.
    pub fn state(&self) -> Result<TrainerState, Error> {
        let average = self.average.as_ref();
        let average =
            average.map(|average| Ok::<_, Error>((average.updates(), state_dict(average.network())?)));
        Ok(TrainerState {
            position: self.position,
            seed: self.options.seed,
            weights: state_dict(&self.network)?,
            optimizer: self.optimizer.state_dict()?,
            average: average.transpose()?,
            scaler: self.scaler,
            running_loss: self.running_loss,
        })
    }

    /// Restores the [`state`](Self::state) of a trainer with the same network, options and phases. The steps that
    /// follow are then the same; on the CPU, with the same number of threads, they are bit-identical.
    ///
    /// The last phase may be longer than that of the saved trainer, even if that was finished: the steps that follow get
    /// the learning rates of the longer schedule.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] if the state belongs to a different trainer, in which case this trainer must be
    /// discarded.
    pub fn restore(&mut self, state: &TrainerState) -> Result<(), Error> {
        let refuse = |difference: String| {
            let what = "the state of the training run";
            Err(Error::StateMismatch { what, difference })
        };
        if state.position.phase as usize >= self.phases.len() {
            let (found, most) = (state.position.phase + 1, self.phases.len());
            return refuse(format!("it is in phase {found}, expected at most {most}"));
        }
        match (&mut self.average, &state.average) {
            (Some(average), Some((updates, weights))) => average.restore(*updates, weights)?,
            (None, None) => {}
            (own, _) => {
                let (found, expected) = if own.is_some() {
                    ("no", "one")
                } else {
                    ("an", "none")
                };
                return refuse(format!("it has {found} EMA of the weights, expected {expected}"));
            }
        }
        restore_tensors(self.network.named_tensors(), &state.weights, "the saved weights")?;
        let phase_step = state.position.phase_step;
        self.begin_phase(state.position.phase)?;
        self.optimizer.load_state_dict(&state.optimizer)?;
        self.position = Position {
            phase_step,
            ..state.position
        };
        self.options.seed = state.seed;
        self.scaler = self.scaler.map(|own| state.scaler.unwrap_or(own));
        self.running_loss = state.running_loss;
        Ok(())
    }
}
